//! What this machine allows, as data, for `nopal doctor` and for the hints of errors.

mod kvm;
mod namespaces;

use std::io;
use std::path::Path;

pub use kvm::{KvmState, probe_kvm};
use namespaces::in_child;

use crate::sandbox::landlock_abi;

/// The answer to "does it work": yes, or no and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It was tried and works.
    Works,
    /// It was tried and does not work.
    Fails {
        /// What the kernel said.
        reason: String,
        /// What the user can do about it, where that is known.
        hint: Option<String>,
    },
}

impl Ability {
    /// Whether it works.
    pub fn works(&self) -> bool {
        *self == Self::Works
    }

    fn from_result(result: Result<(), io::Error>, hint: impl FnOnce(&io::Error) -> Option<String>) -> Self {
        match result {
            Ok(()) => Self::Works,
            Err(error) => Self::Fails { hint: hint(&error), reason: error.to_string() },
        }
    }
}

/// Everything [`probe`] finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The kernel's release, such as `6.18.44`.
    pub kernel: String,
    /// User and mount namespaces: needed by the sandbox and by `nopal run`.
    pub user_namespaces: Ability,
    /// A pid namespace with its own `/proc`: needed by the sandbox.
    pub pid_namespace_with_proc: Ability,
    /// A network namespace: needed by the sandbox.
    pub network_namespace: Ability,
    /// A tmpfs in a user namespace: needed by the sandbox.
    pub tmpfs: Ability,
    /// An overlay file system in a user namespace: used by nothing yet.
    pub overlay: Ability,
    /// System-call filters: needed by the sandbox.
    pub seccomp: Ability,
    /// The ABI version of Landlock; 0 where there is none. From 6 on abstract sockets are scoped.
    pub landlock_abi: i32,
    /// `/dev/kvm`, tried with a virtual processor that runs one instruction.
    pub kvm: KvmState,
    /// The control group of this process, if the user may make groups below it.
    pub delegated_cgroup: Option<String>,
    /// Whether the user has subordinate ids (`/etc/subuid`); nopal needs none.
    pub subordinate_ids: bool,
    /// Settings of the kernel that bear on user namespaces, with their values.
    pub settings: Vec<(String, String)>,
}

/// Settings that turn user namespaces off, and the value at which they do not.
const SETTINGS: [(&str, &str); 4] = [
    ("/proc/sys/user/max_user_namespaces", "15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0"),
    ("/proc/sys/user/max_mnt_namespaces", "15000"),
];

/// Tries everything out. Takes some milliseconds; leaves nothing behind.
///
/// `scratch` is an existing directory that the user may write to; the overlay is tried there.
pub fn probe(scratch: &Path) -> Probe {
    use libc::{CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER};
    let user = CLONE_NEWUSER | CLONE_NEWNS;
    Probe {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        user_namespaces: Ability::from_result(in_child(user, Vec::new()), namespace_obstacle),
        pid_namespace_with_proc: Ability::from_result(namespaces::proc_mount(), proc_obstacle),
        network_namespace: Ability::from_result(in_child(user | CLONE_NEWNET, Vec::new()), namespace_obstacle),
        tmpfs: Ability::from_result(namespaces::tmpfs(scratch), namespace_obstacle),
        overlay: Ability::from_result(namespaces::overlay(scratch), |_| None),
        seccomp: Ability::from_result(namespaces::filter(), |_| {
            Some("the kernel needs CONFIG_SECCOMP_FILTER, and a container must not forbid filters".to_owned())
        }),
        landlock_abi: landlock_abi(),
        kvm: probe_kvm(),
        delegated_cgroup: delegated_cgroup(),
        subordinate_ids: subordinate_ids(),
        settings: settings(),
    }
}

/// Whether user and mount namespaces can be made.
pub fn user_namespaces_work() -> bool {
    in_child(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, Vec::new()).is_ok()
}

impl Probe {
    /// Whether builds can be sandboxed.
    pub fn sandbox_works(&self) -> bool {
        [&self.user_namespaces, &self.pid_namespace_with_proc, &self.network_namespace, &self.tmpfs, &self.seccomp]
            .into_iter()
            .all(Ability::works)
    }

    /// Whether `nopal run` works.
    pub fn run_works(&self) -> bool {
        self.user_namespaces.works() && self.tmpfs.works()
    }
}

/// What stands in the way of user namespaces, given what the kernel said.
pub(crate) fn namespace_obstacle(error: &io::Error) -> Option<String> {
    let read = |path: &str| nopal_fs::read_to_string(Path::new(path)).ok().map(|text| text.trim().to_owned());
    for (path, good) in SETTINGS {
        let blocks = |value: &str| if good == "0" { value == "1" } else { value == "0" };
        if read(path).is_some_and(|value| blocks(&value)) {
            let name = path.trim_start_matches("/proc/sys/").replace('/', ".");
            return Some(format!("an administrator can allow it with 'sysctl -w {name}={good}'"));
        }
    }
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EUSERS) => Some(
            "the limit of namespaces is reached; see the settings user.max_*_namespaces, and whether namespaces are \
             nested too deep"
                .to_owned(),
        ),
        Some(libc::EINVAL) => Some("the kernel is built without user namespaces (CONFIG_USER_NS)".to_owned()),
        Some(libc::EPERM | libc::EACCES) if in_chroot() => {
            Some("this process is in a chroot, where the kernel forbids user namespaces; use pivot_root".to_owned())
        }
        Some(libc::EPERM | libc::EACCES) => Some(
            "something forbids user namespaces: the container's seccomp profile (docker: --security-opt \
             seccomp=unconfined), AppArmor or SELinux"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Why `/proc` cannot be mounted although namespaces work.
fn proc_obstacle(error: &io::Error) -> Option<String> {
    match error.raw_os_error() {
        Some(libc::EPERM) => Some(
            "parts of /proc are covered by mounts, as in most containers (docker: --security-opt \
             systempaths=unconfined)"
                .to_owned(),
        ),
        _ => namespace_obstacle(error),
    }
}

/// Whether the root directory is no root of a mount, which is what `chroot` leaves.
fn in_chroot() -> bool {
    let mounts = nopal_fs::read_to_string(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    // field 5 is the mount point as this process sees it
    !mounts.is_empty() && !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

fn settings() -> Vec<(String, String)> {
    SETTINGS
        .iter()
        .filter_map(|(path, _)| {
            let value = nopal_fs::read_to_string(Path::new(path)).ok()?;
            Some((path.trim_start_matches("/proc/sys/").replace('/', "."), value.trim().to_owned()))
        })
        .collect()
}

/// The control group (version 2) of this process, if its directory is writable for us.
fn delegated_cgroup() -> Option<String> {
    let groups = nopal_fs::read_to_string(Path::new("/proc/self/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let directory = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let procs = directory.join("cgroup.procs");
    (nopal_fs::exists(&procs) && nopal_fs::is_writable(&directory) && nopal_fs::is_writable(&procs))
        .then(|| group.to_owned())
}

/// Whether `/etc/subuid` has a line for the user.
fn subordinate_ids() -> bool {
    let uid = rustix::process::getuid().as_raw().to_string();
    let read = |path: &str| nopal_fs::read_to_string(Path::new(path)).unwrap_or_default();
    let name = read("/etc/passwd").lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    });
    read("/etc/subuid")
        .lines()
        .filter_map(|line| line.split(':').next())
        .any(|owner| owner == uid || name.as_deref() == Some(owner))
}

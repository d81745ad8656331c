//! What a new process does on its way into the sandbox, as data.
//!
//! A list of [`Step`]s is prepared before the process exists, and carried out after: between `clone` and `execve` the
//! child of a threaded program shares its memory and must neither allocate nor take a lock. Every step is a few system
//! calls on prepared, NUL-terminated strings.

use std::ffi::{CStr, CString};
use std::fmt;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit};

use super::filter::Filter;
use super::kernel;

/// One thing to do. Relative paths are meant from the new root before [`Step::Pivot`].
#[derive(Debug)]
pub(crate) enum Step {
    /// Write into a file that exists.
    Write { path: CString, data: Vec<u8> },
    /// Make a directory; one that exists is left alone.
    Directory { path: CString, mode: u32 },
    /// Make a file.
    File { path: CString, data: Vec<u8>, mode: u32 },
    /// Make a symbolic link.
    Symlink { target: CString, path: CString },
    /// Mount a new file system.
    Mount { kind: CString, at: CString, flags: MountFlags, options: CString },
    /// Show a file or a tree at a second place. What is mounted below it comes with it.
    Bind { source: CString, at: CString },
    /// Make a mount and those below it read-only, without set-user-id programs.
    Protect { at: CString },
    /// Keep mounts made from here on out of the old namespace.
    Private,
    /// Change the working directory.
    ChangeDirectory { path: CString },
    /// Make the working directory the root and let go of the old one.
    Pivot,
    /// Take a mount away, whoever uses it.
    Detach { at: CString },
    /// Remove an empty directory.
    RemoveDirectory { path: CString },
    /// Make the root itself read-only; mounts on it stay as they are.
    FreezeRoot,
    /// Set host name and domain name.
    HostName,
    /// Bring up the loopback interface.
    Loopback,
    /// Leave the terminal and the process group.
    Session,
    /// Die with the thread that made this process, or at once if that has died already. The number is the parent's in
    /// `/proc`, or 0 if that is not known.
    DieWithParent { parent: i32 },
    /// Set the mask of permissions.
    Umask { mask: u32 },
    /// Set a resource limit, soft and hard where not `None`.
    Limit { resource: Resource, soft: Option<u64>, hard: Option<u64> },
    /// Set the execution domain.
    Personality { persona: libc::c_ulong },
    /// Never gain privileges by `execve`.
    NoNewPrivileges,
    /// No connections to abstract sockets from here to outside, where the kernel can do that.
    ScopeSockets,
    /// Filter system calls from here on.
    Filter(Filter),
}

impl Step {
    /// Carries the step out on the calling process. Does not allocate.
    pub(crate) fn run(&self) -> Result<(), Errno> {
        match self {
            Self::Write { path, data } => write_file(path, OFlags::WRONLY, 0, data),
            Self::Directory { path, mode } => match rustix::fs::mkdirat(CWD, path.as_c_str(), Mode::from(*mode)) {
                Err(Errno::EXIST) => Ok(()),
                other => other,
            },
            Self::File { path, data, mode } => {
                write_file(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, *mode, data)
            }
            Self::Symlink { target, path } => rustix::fs::symlinkat(target.as_c_str(), CWD, path.as_c_str()),
            Self::Mount { kind, at, flags, options } => {
                rustix::mount::mount(c"none", at.as_c_str(), kind.as_c_str(), *flags, options.as_c_str())
            }
            Self::Bind { source, at } => rustix::mount::mount_bind_recursive(source.as_c_str(), at.as_c_str()),
            Self::Protect { at } => kernel::protect_mount(at),
            Self::Private => {
                rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            }
            Self::ChangeDirectory { path } => rustix::process::chdir(path.as_c_str()),
            Self::Pivot => pivot(),
            Self::Detach { at } => rustix::mount::unmount(at.as_c_str(), UnmountFlags::DETACH),
            Self::RemoveDirectory { path } => {
                rustix::fs::unlinkat(CWD, path.as_c_str(), rustix::fs::AtFlags::REMOVEDIR)
            }
            Self::FreezeRoot => kernel::freeze_root(),
            Self::HostName => {
                rustix::system::sethostname(b"localhost")?;
                rustix::system::setdomainname(b"(none)")
            }
            Self::Loopback => kernel::loopback_up(),
            Self::Session => rustix::process::setsid().map(drop),
            Self::DieWithParent { parent } => {
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
                die_without(*parent)
            }
            Self::Umask { mask } => {
                rustix::process::umask(Mode::from(*mask));
                Ok(())
            }
            Self::Limit { resource, soft, hard } => set_limit(*resource, *soft, *hard),
            Self::Personality { persona } => kernel::set_personality(*persona),
            Self::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Self::ScopeSockets => kernel::scope_sockets(),
            Self::Filter(filter) => filter.install(),
        }
    }
}

/// Fails if the parent, by its number in `/proc`, is not this process's parent any more: it died before the signal was
/// asked for. `getppid` cannot tell, since a parent outside of the pid namespace has no number within.
fn die_without(parent: i32) -> Result<(), Errno> {
    if parent == 0 {
        return Ok(());
    }
    let file = rustix::fs::openat(CWD, c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0u8; 512];
    let length = rustix::io::read(&file, &mut buffer)?;
    // `PID (NAME) STATE PPID …`; the name may contain anything
    let text = buffer.get(..length).unwrap_or_default();
    let after_name = text.iter().rposition(|byte| *byte == b')').and_then(|at| text.get(at + 1..)).unwrap_or_default();
    let field = after_name.split(|byte| *byte == b' ').nth(2).unwrap_or_default();
    let found = field
        .iter()
        .fold(0i32, |number, digit| number.wrapping_mul(10).wrapping_add(i32::from(digit.wrapping_sub(b'0'))));
    if found == parent { Ok(()) } else { Err(Errno::SRCH) }
}

/// Sets a limit, never above the hard limit that is there already.
fn set_limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> Result<(), Errno> {
    let now = rustix::process::getrlimit(resource);
    let lower = |wanted: Option<u64>| match (wanted, now.maximum) {
        (Some(wanted), Some(maximum)) => Some(wanted.min(maximum)),
        (Some(wanted), None) => Some(wanted),
        (None, maximum) => maximum,
    };
    rustix::process::setrlimit(resource, Rlimit { current: lower(soft), maximum: lower(hard) })
}

fn write_file(path: &CStr, flags: OFlags, mode: u32, data: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::from(mode))?;
    let mut rest = data;
    while !rest.is_empty() {
        match rustix::io::write(&file, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Swaps the root with the working directory; the old root ends up below the new one's `.` and is let go.
fn pivot() -> Result<(), Errno> {
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &CStr| text.to_string_lossy().into_owned();
        match self {
            Self::Write { path, .. } => write!(f, "writing '{}'", text(path)),
            Self::Directory { path, .. } => write!(f, "making the directory '{}'", text(path)),
            Self::File { path, .. } => write!(f, "making the file '{}'", text(path)),
            Self::Symlink { path, .. } => write!(f, "making the symbolic link '{}'", text(path)),
            Self::Mount { kind, at, .. } => write!(f, "mounting a new {} at '/{}'", text(kind), text(at)),
            Self::Bind { source, at } => write!(f, "showing '{}' at '{}'", text(source), text(at)),
            Self::Protect { at } => write!(f, "making '{}' read-only", text(at)),
            Self::Private => f.write_str("making mounts private"),
            Self::ChangeDirectory { path } => write!(f, "changing into '{}'", text(path)),
            Self::Pivot => f.write_str("changing the root directory"),
            Self::Detach { at } => write!(f, "taking '{}' away", text(at)),
            Self::RemoveDirectory { path } => write!(f, "removing '{}'", text(path)),
            Self::FreezeRoot => f.write_str("making the root directory read-only"),
            Self::HostName => f.write_str("setting the host name"),
            Self::Loopback => f.write_str("bringing up the loopback interface"),
            Self::Session => f.write_str("starting a new session"),
            Self::DieWithParent { .. } => f.write_str("asking for a signal at the parent's death"),
            Self::Umask { .. } => f.write_str("setting the file mode mask"),
            Self::Limit { resource, .. } => write!(f, "setting the limit {resource:?}"),
            Self::Personality { .. } => f.write_str("setting the execution domain"),
            Self::NoNewPrivileges => f.write_str("giving up new privileges"),
            Self::ScopeSockets => f.write_str("restricting abstract sockets"),
            Self::Filter(_) => f.write_str("installing the system-call filter"),
        }
    }
}

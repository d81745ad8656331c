//! The root directory of a sandbox, as steps.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nopal_format::StoreDir;
use rustix::mount::MountFlags;

use super::error::SandboxError;
use super::step::Step;
use super::{BUILDER_GID, BUILDER_UID, c_path};

/// Where the builder finds its build directory. Nix's default, so that paths in outputs are equal.
pub(crate) const SANDBOX_BUILD_DIR: &str = "/build";
/// Where the physical store is for the time in which the root is put together.
const WHOLE_STORE: &str = ".store";
/// Devices that every builder sees.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
/// Links in `/dev`.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("/dev/pts/ptmx", "dev/ptmx"),
];
/// What of an `__fhs` tree is shown in the root. `etc` is joined with ours.
pub(crate) const FHS_DIRECTORIES: [&str; 7] = ["usr", "lib", "lib64", "lib32", "libx32", "bin", "sbin"];
/// Files of `/etc` that are always ours.
const OWN_ETC: [&str; 6] = ["passwd", "group", "hosts", "nsswitch.conf", "resolv.conf", "services"];
/// Files of the machine's `/etc` that fixed-output builders get a copy of.
const NETWORK_ETC: [&str; 3] = ["resolv.conf", "services", "hosts"];
/// Most that is copied of one of them.
const NETWORK_ETC_LIMIT_BYTES: u64 = 1 << 20;

/// A tree that a derivation names in `__fhs`.
#[derive(Clone, Debug)]
pub(crate) struct FhsTree {
    /// The name of its store object.
    pub(crate) base_name: String,
    /// The directory within that object, relative, or empty.
    pub(crate) sub_path: PathBuf,
}

/// What the root of a sandbox is made of.
#[derive(Debug)]
pub(crate) struct RootSpec<'a> {
    /// An empty directory to mount the root on.
    pub(crate) mount_point: &'a Path,
    /// The physical `/build`.
    pub(crate) build_dir: &'a Path,
    /// The physical `/tmp`.
    pub(crate) temp_dir: &'a Path,
    /// The physical directory that outputs appear in.
    pub(crate) output_dir: &'a Path,
    /// The logical store directory.
    pub(crate) store_dir: &'a StoreDir,
    /// The physical store.
    pub(crate) physical_store: &'a Path,
    /// Names of the store objects to show.
    pub(crate) inputs: &'a [String],
    /// A tree to show at `/usr` and its like.
    pub(crate) fhs: Option<&'a FhsTree>,
    /// Show `/dev/kvm`.
    pub(crate) kvm: bool,
    /// Files that fixed-output builders need to reach the network; `None` for all others.
    pub(crate) network: Option<NetworkFiles<'a>>,
}

/// Where the network files come from.
#[derive(Debug)]
pub(crate) struct NetworkFiles<'a> {
    /// The machine's CA bundle.
    pub(crate) ca_file: Option<&'a Path>,
}

/// Collects steps; paths are relative to the new root.
struct Root {
    steps: Vec<Step>,
}

impl Root {
    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SandboxError> {
        self.steps.push(Step::Directory { path: c_path(Path::new(path))?, mode });
        Ok(())
    }

    fn file(&mut self, path: &str, data: Vec<u8>, mode: u32) -> Result<(), SandboxError> {
        self.steps.push(Step::File { path: c_path(Path::new(path))?, data, mode });
        Ok(())
    }

    fn symlink(&mut self, target: &Path, path: &str) -> Result<(), SandboxError> {
        self.steps.push(Step::Symlink { target: c_path(target)?, path: c_path(Path::new(path))? });
        Ok(())
    }

    fn mount(&mut self, kind: &str, at: &str, flags: MountFlags, options: &str) -> Result<(), SandboxError> {
        let text = |text: &str| c_path(Path::new(text));
        self.steps.push(Step::Mount { kind: text(kind)?, at: text(at)?, flags, options: text(options)? });
        Ok(())
    }

    fn bind(&mut self, source: &Path, at: &str) -> Result<(), SandboxError> {
        self.steps.push(Step::Bind { source: c_path(source)?, at: c_path(Path::new(at))? });
        Ok(())
    }

    /// Shows the file or directory `physical`, reachable as `source`, at `at`; a link is made anew.
    fn show(&mut self, physical: &Path, source: &Path, at: &str) -> Result<bool, nopal_fs::FsError> {
        let Some(metadata) = nopal_fs::symlink_metadata_if_exists(physical)? else { return Ok(false) };
        let c = |path: &Path| {
            CString::new(path.as_os_str().as_bytes())
                .map_err(|error| nopal_fs::FsError::new("show", path, std::io::Error::from(error)))
        };
        let at = c(Path::new(at))?;
        if metadata.is_symlink() {
            self.steps.push(Step::Symlink { target: c(&nopal_fs::read_link(physical)?)?, path: at });
            return Ok(true);
        }
        self.steps.push(if metadata.is_dir() {
            Step::Directory { path: at.clone(), mode: 0o755 }
        } else {
            Step::File { path: at.clone(), data: Vec::new(), mode: 0o444 }
        });
        self.steps.push(Step::Bind { source: c(source)?, at });
        Ok(true)
    }
}

/// The steps from the host's mounts to the sandbox's root.
///
/// # Errors
/// A path that cannot be passed to the kernel, or an input or file of the machine that cannot be looked at.
pub(crate) fn root_steps(spec: &RootSpec<'_>) -> Result<Vec<Step>, RootError> {
    let mut root = Root { steps: vec![Step::Private] };
    let mount_point = spec.mount_point.to_string_lossy();
    root.mount("tmpfs", &mount_point, MountFlags::NOSUID | MountFlags::NODEV, "mode=0755,size=64m")?;
    root.steps.push(Step::ChangeDirectory { path: c_path(spec.mount_point)? });
    add_store(&mut root, spec)?;
    for (at, source) in [("build", spec.build_dir), ("tmp", spec.temp_dir)] {
        root.directory(at, 0o755)?;
        root.bind(source, at)?;
    }
    root.directory("proc", 0o755)?;
    root.mount("proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, "")?;
    add_devices(&mut root, spec.kvm)?;
    add_etc(&mut root, spec)?;
    if let Some(fhs) = spec.fhs {
        add_fhs(&mut root, spec, fhs)?;
    }
    let whole_store = c_path(Path::new(WHOLE_STORE))?;
    root.steps.push(Step::Detach { at: whole_store.clone() });
    root.steps.push(Step::RemoveDirectory { path: whole_store });
    root.steps.push(Step::Pivot);
    root.steps.push(Step::FreezeRoot);
    Ok(root.steps)
}

/// Why the steps could not be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// See [`SandboxError`].
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A file could not be looked at.
    #[error(transparent)]
    Fs(#[from] nopal_fs::FsError),
}

/// The store directory: writable, with the inputs read-only in it.
fn add_store(root: &mut Root, spec: &RootSpec<'_>) -> Result<(), RootError> {
    root.directory(WHOLE_STORE, 0o700)?;
    root.bind(spec.physical_store, WHOLE_STORE)?;
    root.steps.push(Step::Protect { at: c_path(Path::new(WHOLE_STORE))? });
    let store = spec.store_dir.as_str().trim_start_matches('/');
    for (end, _) in store.match_indices('/').chain([(store.len(), "")]) {
        root.directory(&store[..end], 0o755)?;
    }
    root.bind(spec.output_dir, store)?;
    for input in spec.inputs {
        let physical = spec.physical_store.join(input);
        if !root.show(&physical, &Path::new(WHOLE_STORE).join(input), &format!("{store}/{input}"))? {
            return Err(SandboxError::Path { what: "the input", path: physical, reason: "is missing" }.into());
        }
    }
    Ok(())
}

fn add_devices(root: &mut Root, kvm: bool) -> Result<(), RootError> {
    root.directory("dev", 0o755)?;
    for device in DEVICES.into_iter().chain(kvm.then_some("kvm")) {
        if !nopal_fs::exists(&Path::new("/dev").join(device)) {
            continue; // a container without a terminal may lack `tty`, and `kvm` is there or not
        }
        let at = format!("dev/{device}");
        root.file(&at, Vec::new(), 0o444)?;
        root.bind(&Path::new("/dev").join(device), &at)?;
    }
    root.directory("dev/pts", 0o755)?;
    root.mount("devpts", "dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, "newinstance,mode=0620,ptmxmode=0666")?;
    root.directory("dev/shm", 0o755)?;
    root.mount("tmpfs", "dev/shm", MountFlags::NOSUID | MountFlags::NODEV, "mode=1777,size=50%")?;
    for (target, path) in DEVICE_LINKS {
        root.symlink(Path::new(target), path)?;
    }
    Ok(())
}

fn add_etc(root: &mut Root, spec: &RootSpec<'_>) -> Result<(), RootError> {
    root.directory("etc", 0o555)?;
    let passwd = format!(
        "root:x:0:0:Nix build user:{SANDBOX_BUILD_DIR}:/noshell\n\
         nixbld:x:{BUILDER_UID}:{BUILDER_GID}:Nix build user:{SANDBOX_BUILD_DIR}:/noshell\n\
         nobody:x:65534:65534:Nobody:/:/noshell\n"
    );
    root.file("etc/passwd", passwd.into_bytes(), 0o644)?;
    let group = format!("root:x:0:\nnixbld:!:{BUILDER_GID}:\nnogroup:x:65534:\n");
    root.file("etc/group", group.into_bytes(), 0o644)?;
    let Some(network) = &spec.network else {
        root.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n".to_vec(), 0o644)?;
        return Ok(());
    };
    root.file("etc/nsswitch.conf", b"hosts: files dns\nservices: files\n".to_vec(), 0o644)?;
    for name in NETWORK_ETC {
        let path = Path::new("/etc").join(name);
        // a machine without the file, or with a link into nowhere, is as good as one without network
        if let Ok(data) = nopal_fs::read_file_limited(&path, NETWORK_ETC_LIMIT_BYTES) {
            root.file(&format!("etc/{name}"), data, 0o644)?;
        }
    }
    if let Some(ca_file) = network.ca_file {
        let data = nopal_fs::read_file(ca_file)?;
        for directory in ["etc/ssl", "etc/ssl/certs"] {
            root.directory(directory, 0o755)?;
        }
        root.file("etc/ssl/certs/ca-certificates.crt", data, 0o644)?;
    }
    Ok(())
}

/// Shows the top-level directories of the tree, and of its `etc` what is not ours.
fn add_fhs(root: &mut Root, spec: &RootSpec<'_>, fhs: &FhsTree) -> Result<(), RootError> {
    let within = Path::new(&fhs.base_name).join(&fhs.sub_path);
    let physical = spec.physical_store.join(&within);
    let source = Path::new(WHOLE_STORE).join(&within);
    if !nopal_fs::is_dir(&physical) {
        return Err(
            SandboxError::Path { what: "the '__fhs' tree", path: physical, reason: "is not a directory" }.into()
        );
    }
    for name in FHS_DIRECTORIES {
        root.show(&physical.join(name), &source.join(name), name)?;
    }
    let etc = physical.join("etc");
    if !nopal_fs::is_dir(&etc) {
        return Ok(());
    }
    let taken = |name: &str| {
        OWN_ETC.contains(&name) || (name == "ssl" && spec.network.as_ref().is_some_and(|n| n.ca_file.is_some()))
    };
    for name in nopal_fs::read_dir_names(&etc)? {
        let text = String::from_utf8_lossy(name.as_bytes()).into_owned();
        if !taken(&text) {
            root.show(&etc.join(&name), &source.join("etc").join(&name), &format!("etc/{text}"))?;
        }
    }
    Ok(())
}

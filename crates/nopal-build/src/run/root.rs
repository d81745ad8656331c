//! The root directory that a program sees.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, move_mount,
    open_tree, unmount,
};
use rustix::thread::UnshareFlags;

use super::etc::{FROM_MACHINE, machine_file, made_up};
use super::{RunError, RunSpec};
use crate::sandbox::{FHS_DIRECTORIES, freeze_root, map_steps, protect_mount};

/// How long threads that have been joined may take to vanish.
const THREAD_PATIENCE: Duration = Duration::from_millis(20);
/// How often it is tried again.
const THREAD_INTERVAL: Duration = Duration::from_micros(100);

/// Something in the new root, by its path relative to it.
#[derive(Debug)]
pub(super) enum Entry {
    Directory {
        at: PathBuf,
    },
    File {
        at: PathBuf,
        data: Vec<u8>,
    },
    Symlink {
        at: PathBuf,
        target: PathBuf,
    },
    /// A file or tree of the machine, with what is mounted in it.
    Mount {
        at: PathBuf,
        source: PathBuf,
        read_only: bool,
    },
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Layout {
    /// Mount the store over a directory that exists.
    Over { source: PathBuf, at: PathBuf },
    /// Make a new root.
    Root { entries: Vec<Entry> },
}

/// Collects entries.
struct Planner {
    entries: Vec<Entry>,
}

impl Layout {
    /// Looks at the machine; `None` if it already is as the program needs it.
    pub(super) fn plan(spec: &RunSpec) -> Result<Option<Self>, RunError> {
        let logical = Path::new(spec.store.logical.as_str());
        let in_place = nopal_fs::canonicalize(&spec.store.physical)? == logical;
        if spec.fhs.is_none() {
            if in_place {
                return Ok(None);
            }
            if nopal_fs::is_dir(logical) {
                return Ok(Some(Self::Over { source: spec.store.physical.clone(), at: logical.to_owned() }));
            }
        }
        let mut planner = Planner { entries: Vec::new() };
        planner.machine(Path::new("/"), spec, components(logical))?;
        if let Some(tree) = &spec.fhs {
            for name in FHS_DIRECTORIES {
                planner.show(&tree.join(name), Path::new(name), true)?;
            }
            planner.etc(tree, &spec.home)?;
        }
        Ok(Some(Self::Root { entries: planner.entries }))
    }

    /// Moves this process into new namespaces and the new root.
    pub(super) fn enter(&self, mount_point: &Path) -> Result<(), RunError> {
        unshare()?;
        // what the machine mounts later is to be seen inside, but not the other way round
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            .map_err(failed("change the propagation of mounts at", Path::new("/")))?;
        match self {
            Self::Over { source, at } => {
                let tree = clone_tree(source)?;
                attach(&tree, at)?;
                protect(at)
            }
            Self::Root { entries } => enter_root(entries, mount_point),
        }
    }
}

fn components(path: &Path) -> Vec<&OsStr> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect()
}

impl Planner {
    fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Shows everything in a directory of the machine, apart from what lies on the way to the store.
    fn machine(&mut self, directory: &Path, spec: &RunSpec, way: Vec<&OsStr>) -> Result<(), RunError> {
        let at = |name: &OsStr| relative(directory).join(name);
        let top = directory == Path::new("/");
        let names = nopal_fs::if_exists(nopal_fs::read_dir_names(directory))?.unwrap_or_default();
        for name in names {
            let of_tree = |name: &OsStr| name == "etc" || FHS_DIRECTORIES.iter().any(|other| name == *other);
            if way.first() == Some(&name.as_os_str()) || (top && spec.fhs.is_some() && of_tree(&name)) {
                continue;
            }
            self.show(&directory.join(&name), &at(&name), false)?;
        }
        let Some((first, rest)) = way.split_first() else { return Ok(()) };
        self.add(Entry::Directory { at: at(first) });
        if rest.is_empty() {
            let source = spec.store.physical.clone();
            self.add(Entry::Mount { at: at(first), source, read_only: true });
            return Ok(());
        }
        self.machine(&directory.join(first), spec, rest.to_vec())
    }

    /// Shows a file or tree; a link is made anew.
    fn show(&mut self, source: &Path, at: &Path, read_only: bool) -> Result<(), RunError> {
        let Some(metadata) = nopal_fs::symlink_metadata_if_exists(source)? else { return Ok(()) };
        let at = at.to_owned();
        if metadata.is_symlink() {
            self.add(Entry::Symlink { at, target: nopal_fs::read_link(source)? });
        } else if metadata.is_dir() {
            self.add(Entry::Directory { at: at.clone() });
            self.add(Entry::Mount { at, source: source.to_owned(), read_only });
        } else if metadata.is_file() {
            self.add(Entry::File { at: at.clone(), data: Vec::new() });
            self.add(Entry::Mount { at, source: source.to_owned(), read_only });
        }
        Ok(())
    }

    /// Joins the tree's `etc` with files of the machine.
    fn etc(&mut self, tree: &Path, home: &Path) -> Result<(), RunError> {
        let etc = Path::new("etc");
        self.add(Entry::Directory { at: etc.to_owned() });
        let of_tree = Some(tree.join("etc")).filter(|path| nopal_fs::is_dir(path));
        if let Some(of_tree) = &of_tree {
            for name in nopal_fs::read_dir_names(of_tree)? {
                if !FROM_MACHINE.iter().any(|ours| name == *ours) {
                    self.show(&of_tree.join(&name), &etc.join(&name), true)?;
                }
            }
        }
        for name in FROM_MACHINE {
            if let Some(source) = machine_file(name) {
                self.show(&source, &etc.join(name), false)?;
            } else if let Some(data) = made_up(name, of_tree.as_deref(), home)? {
                self.add(Entry::File { at: etc.join(name), data });
            }
        }
        // programs that list mounts look here
        if of_tree.is_none_or(|etc| nopal_fs::symlink_metadata(&etc.join("mtab")).is_err()) {
            self.add(Entry::Symlink { at: etc.join("mtab"), target: PathBuf::from("/proc/self/mounts") });
        }
        Ok(())
    }
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn failed<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> RunError {
    move |error| RunError::Setup { operation, path: path.to_owned(), source: error.into() }
}

/// New namespaces for this process: root needs no user namespace, and keeps all ids without one.
fn unshare() -> Result<(), RunError> {
    // asked for now: in a user namespace without maps everybody is nobody
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: no other thread relies on sharing the mount namespace; with others there the kernel refuses a user
    // namespace.
    if uid.is_root() && unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.is_ok() {
        return Ok(());
    }
    let started = Instant::now();
    // SAFETY: as above.
    while let Err(errno) = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) } {
        let count = nopal_fs::read_dir_names(Path::new("/proc/self/task")).map_or(1, |names| names.len());
        if errno != rustix::io::Errno::INVAL {
            return Err(RunError::Namespaces { source: errno.into() });
        }
        // a thread that has been joined stays in the kernel's books for a moment
        if started.elapsed() > THREAD_PATIENCE {
            return Err(match count {
                1 => RunError::Namespaces { source: errno.into() },
                _ => RunError::Threads { count },
            });
        }
        std::thread::sleep(THREAD_INTERVAL);
    }
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    for step in map_steps(uid, uid, gid, gid) {
        step.run().map_err(failed("map user and group ids in", Path::new("/proc/self")))?;
    }
    Ok(())
}

/// Takes everything that is to be shown before the place of the new root hides any of it.
fn enter_root(entries: &[Entry], mount_point: &Path) -> Result<(), RunError> {
    let mut trees = Vec::new();
    for entry in entries {
        if let Entry::Mount { source, .. } = entry {
            trees.push(clone_tree(source)?);
        }
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("none", mount_point, "tmpfs", flags, c"mode=0755,size=16m")
        .map_err(failed("mount a tmpfs at", mount_point))?;
    rustix::process::chdir(mount_point).map_err(failed("change into", mount_point))?;
    let mut trees = trees.into_iter();
    for entry in entries {
        make(entry, &mut trees)?;
    }
    let root = Path::new("/");
    rustix::process::pivot_root(".", ".").map_err(failed("change the root directory to", mount_point))?;
    unmount(".", UnmountFlags::DETACH).map_err(failed("let go of the old root", root))?;
    rustix::process::chdir("/").map_err(failed("change into", root))?;
    freeze_root().map_err(failed("make read-only", root))
}

fn make(entry: &Entry, trees: &mut impl Iterator<Item = OwnedFd>) -> Result<(), RunError> {
    match entry {
        Entry::Directory { at } => match rustix::fs::mkdirat(CWD, at, Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(errno) => Err(failed("make the directory", at)(errno)),
        },
        Entry::File { at, data } => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(CWD, at, flags, Mode::from(0o444)).map_err(failed("make the file", at))?;
            io::Write::write_all(&mut nopal_fs::FsFile::from(file), data).map_err(failed("write", at))
        }
        Entry::Symlink { at, target } => {
            rustix::fs::symlinkat(target, CWD, at).map_err(failed("make the symbolic link", at))
        }
        Entry::Mount { at, read_only, .. } => {
            let Some(tree) = trees.next() else { return Ok(()) };
            attach(&tree, at)?;
            if *read_only { protect(at) } else { Ok(()) }
        }
    }
}

/// A copy of a mount and those in it, not attached anywhere yet.
fn clone_tree(source: &Path) -> Result<OwnedFd, RunError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, source, flags).map_err(failed("take the mount", source))
}

fn attach(tree: &OwnedFd, at: &Path) -> Result<(), RunError> {
    move_mount(tree.as_fd(), "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed("mount at", at))
}

fn protect(at: &Path) -> Result<(), RunError> {
    let text = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(at.as_os_str()))
        .map_err(|error| failed("make read-only", at)(io::Error::from(error)))?;
    protect_mount(&text).map_err(failed("make read-only", at))
}

//! Temporary directories beside what they will become.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::FsError;
use crate::lock::{ExclusiveLock, LockFile};

/// A name that no other process or thread picks: prefix, process, time, counter.
pub fn unique_name(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let pid = rustix::process::getpid().as_raw_nonzero();
    // process ids repeat across pid namespaces that share a directory; the clock tells those apart
    format!("{prefix}-{pid}-{:x}{:08x}-{count:x}", now.tv_sec, now.tv_nsec)
}

/// Names tried before giving up.
const ATTEMPTS: usize = 16;

/// A directory that vanishes with the value.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
    kept: bool,
}

impl TempDir {
    /// Makes a directory (mode 0700) in `parent` whose name begins with `prefix`.
    pub fn new_in(parent: &Path, prefix: &str) -> Result<Self, FsError> {
        for _ in 0..ATTEMPTS {
            let path = parent.join(unique_name(prefix));
            match crate::create_dir_mode(&path, 0o700) {
                Ok(()) => return Ok(Self { path, kept: false }),
                Err(error) if error.is_already_exists() => {}
                Err(error) => return Err(error),
            }
        }
        Err(FsError::new("create directory in", parent, std::io::Error::from(std::io::ErrorKind::AlreadyExists)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory where it is.
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        std::mem::take(&mut self.path)
    }

    /// Removes it now, and tells of errors.
    pub fn remove(mut self) -> Result<(), FsError> {
        self.kept = true;
        crate::remove_tree(&self.path).map(drop)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.kept {
            // a leftover is litter that the next garbage collection removes
            let _ = crate::remove_tree(&self.path);
        }
    }
}

/// A [`TempDir`] that its maker holds a lock on: one that can be locked by another has lost its owner.
#[derive(Debug)]
pub struct LockedTempDir {
    // dropped in this order: the tree is removed while the lock is still held
    dir: TempDir,
    _lock: ExclusiveLock,
}

impl LockedTempDir {
    /// Makes and locks a directory in `parent` whose name begins with `prefix`.
    pub fn new_in(parent: &Path, prefix: &str) -> Result<Self, FsError> {
        loop {
            let dir = TempDir::new_in(parent, prefix)?;
            // a collector may lock and remove it in the instant between the two calls
            match LockFile::open_existing(dir.path()) {
                Ok(file) => {
                    let lock = file.exclusive()?;
                    if crate::exists(dir.path()) {
                        return Ok(Self { dir, _lock: lock });
                    }
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the directory where it is, and lets go of the lock.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// Removes it now, and tells of errors.
    pub fn remove(self) -> Result<(), FsError> {
        self.dir.remove()
    }
}

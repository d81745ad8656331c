//! Advisory locks (`flock`) whose state is a type: what needs the lock asks for the locked type.
//!
//! A lock belongs to the open file, not to the process: two [`LockFile`]s of one path exclude each other within one
//! process too, and the kernel lets go of the lock when the process dies, however it dies.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::FsError;
use crate::error::Context;

/// An open lock file (or directory), not locked.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

/// Held together with other shared locks, never beside an exclusive one. Let go when dropped.
#[derive(Debug)]
pub struct SharedLock(Held);

/// Held alone. Let go when dropped.
#[derive(Debug)]
pub struct ExclusiveLock(Held);

/// A locked file.
#[derive(Debug)]
struct Held(LockFile);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing alone would not do: a child that was forked meanwhile and runs no other program has the same open
        // file, and would hold the lock for as long as it lives. Unlocking cannot fail on an open, locked file.
        let _ = lock(&self.0, FlockOperation::Unlock);
    }
}

fn lock(file: &LockFile, operation: FlockOperation) -> Result<bool, FsError> {
    loop {
        match flock(&file.file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(FsError::new("lock", &file.path, error)),
        }
    }
}

impl LockFile {
    /// Opens the lock file at `path`, creating it if need be.
    pub fn open(path: &Path) -> Result<Self, FsError> {
        Ok(Self { file: crate::open_write(path)?, path: path.to_owned() })
    }

    /// Opens something that exists already, a directory perhaps, to lock it.
    pub fn open_existing(path: &Path) -> Result<Self, FsError> {
        Ok(Self { file: crate::open_read_nofollow(path)?, path: path.to_owned() })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Waits for the lock, shared.
    pub fn shared(self) -> Result<SharedLock, FsError> {
        lock(&self, FlockOperation::LockShared)?;
        Ok(SharedLock(Held(self)))
    }

    /// Waits for the lock, alone.
    pub fn exclusive(self) -> Result<ExclusiveLock, FsError> {
        lock(&self, FlockOperation::LockExclusive)?;
        Ok(ExclusiveLock(Held(self)))
    }

    /// Takes the lock shared if nobody holds it alone; else gives the file back.
    pub fn try_shared(self) -> Result<Result<SharedLock, LockFile>, FsError> {
        Ok(if lock(&self, FlockOperation::NonBlockingLockShared)? { Ok(SharedLock(Held(self))) } else { Err(self) })
    }

    /// Takes the lock alone if nobody holds it; else gives the file back.
    pub fn try_exclusive(self) -> Result<Result<ExclusiveLock, LockFile>, FsError> {
        Ok(if lock(&self, FlockOperation::NonBlockingLockExclusive)? {
            Ok(ExclusiveLock(Held(self)))
        } else {
            Err(self)
        })
    }
}

impl SharedLock {
    /// The locked file.
    pub fn file(&self) -> &File {
        &self.0.0.file
    }
}

impl ExclusiveLock {
    /// Gives the lock to the process for the rest of its life, whatever program it becomes: the descriptor stays open
    /// across `execve` and is never closed.
    pub fn keep_after_exec(self) -> Result<(), FsError> {
        rustix::io::fcntl_setfd(self.file(), rustix::io::FdFlags::empty()).on("keep open", self.path())?;
        std::mem::forget(self);
        Ok(())
    }

    /// Keeps the lock but lets others share it.
    pub fn downgrade(self) -> Result<SharedLock, FsError> {
        lock(&self.0.0, FlockOperation::LockShared)?;
        Ok(SharedLock(self.0))
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.0.0.file
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.0.0.path
    }

    /// Whether the locked file is still the one that its path names: somebody may have removed it while we waited.
    fn is_current(&self) -> Result<bool, FsError> {
        let ours = self.0.0.file.metadata().on("examine", self.path())?;
        Ok(crate::symlink_metadata_if_exists(self.path())?
            .is_some_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev()))
    }
}

/// An exclusive lock on a file that exists only while somebody holds or waits for the lock.
///
/// The file is removed before the lock is let go; whoever waited for it notices that the name is gone and begins
/// anew, so two holders of one name cannot be.
#[derive(Debug)]
pub struct PathLock {
    lock: ExclusiveLock,
}

impl PathLock {
    /// Waits for the lock at `path`.
    pub fn acquire(path: &Path) -> Result<Self, FsError> {
        loop {
            let lock = LockFile::open(path)?.exclusive()?;
            if lock.is_current()? {
                return Ok(Self { lock });
            }
        }
    }

    /// Takes the lock at `path` if nobody holds it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, FsError> {
        loop {
            let Ok(lock) = LockFile::open(path)?.try_exclusive()? else { return Ok(None) };
            if lock.is_current()? {
                return Ok(Some(Self { lock }));
            }
        }
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        self.lock.path()
    }
}

impl Drop for PathLock {
    fn drop(&mut self) {
        // a lock file that cannot be removed is only litter
        let _ = std::fs::remove_file(self.lock.path());
    }
}

/// Exclusive locks on numbers, which are byte ranges of one file: nothing is created or removed for each of them. Whoever
/// holds a number excludes all others from it, within one process too. Let go when dropped.
#[derive(Debug)]
pub struct NumberLocks {
    file: File,
}

/// So many numbers are locked one by one; of more, all there are, which is one range.
const SINGLE_NUMBERS: usize = 16;

impl NumberLocks {
    /// Waits for the locks on all the numbers, in the file at `path`, which is created if need be. A thread that holds
    /// such locks must not ask for more: with the order in which they are taken, that is why nobody waits for ever.
    pub fn acquire(path: &Path, numbers: &BTreeSet<u16>) -> Result<Self, FsError> {
        if numbers.len() > SINGLE_NUMBERS {
            return Self::acquire_all(path);
        }
        let locks = Self { file: crate::open_write(path)? };
        for number in numbers {
            locks.apply(libc::F_WRLCK, (*number).into(), 1).on("lock", path)?;
        }
        Ok(locks)
    }

    /// The same, for the locks on all numbers that there are.
    pub fn acquire_all(path: &Path) -> Result<Self, FsError> {
        let locks = Self { file: crate::open_write(path)? };
        locks.apply(libc::F_WRLCK, 0, 0).on("lock", path)?;
        Ok(locks)
    }

    /// Locks or unlocks a range; one of length zero has no end.
    fn apply(&self, kind: libc::c_int, start: i64, length: i64) -> io::Result<()> {
        let range = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start,
            l_len: length,
            // for locks that belong to the open file it must be so
            l_pid: 0,
        };
        loop {
            // SAFETY: a system call that reads `range`, which lives until it returns, on a descriptor that is open for
            // as long as `self`.
            let result = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLKW, &range) };
            if result == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl Drop for NumberLocks {
    fn drop(&mut self) {
        // closing alone would not do, as for the other locks
        let _ = self.apply(libc::F_UNLCK, 0, 0);
    }
}

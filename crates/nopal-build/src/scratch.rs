//! The directories of one build, on the file system of the store.

use std::path::{Path, PathBuf};

use nopal_fs::{FsError, LockFile, PathLock, temp::LockedTempDir};

/// Prefix of the directories' names.
const PREFIX: &str = "nix";
/// A file in directories that are kept for the user.
const KEPT: &str = "kept";
/// Suffix of the files that outputs are locked by.
pub(crate) const LOCK_SUFFIX: &str = ".lock";

/// The directories of one build. Only the user may enter them; they vanish with the value, or are swept by the next
/// build if this process is killed.
#[derive(Debug)]
pub(crate) struct Scratch {
    top: LockedTempDir,
    /// Where the builder works, if that is elsewhere.
    work: Option<LockedTempDir>,
}

impl Scratch {
    /// Makes the directories below `parent`; the builder's working directory below `work`, if that is given.
    pub(crate) fn new_in(parent: &Path, work: Option<&Path>) -> Result<Self, FsError> {
        let work = work.map(|work| LockedTempDir::new_in(work, PREFIX)).transpose()?;
        let scratch = match LockedTempDir::new_in(parent, PREFIX) {
            Err(error) if error.is_not_found() => {
                nopal_fs::create_dir_all(parent)?;
                LockedTempDir::new_in(parent, PREFIX)
            }
            other => other,
        };
        let scratch = Self { top: scratch?, work };
        for (path, mode) in [
            (scratch.build_dir(), 0o700),
            (scratch.temp_dir(), 0o1777),
            (scratch.output_dir(), 0o1775),
            (scratch.mount_point(), 0o700),
            (scratch.copies_dir(), 0o700),
        ] {
            nopal_fs::create_dir_mode(&path, 0o700)?;
            if mode != 0o700 {
                // whatever the mask of the user
                nopal_fs::set_permissions(&path, mode)?;
            }
        }
        Ok(scratch)
    }

    /// The builder's working directory.
    pub(crate) fn build_dir(&self) -> PathBuf {
        self.work.as_ref().unwrap_or(&self.top).path().join("build")
    }

    /// The builder's `/tmp`.
    pub(crate) fn temp_dir(&self) -> PathBuf {
        self.top.path().join("tmp")
    }

    /// Where outputs appear.
    pub(crate) fn output_dir(&self) -> PathBuf {
        self.top.path().join("store")
    }

    /// Where the root is mounted, in the builder's namespace only.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.top.path().join("root")
    }

    /// Where outputs are copied and rewritten.
    pub(crate) fn copies_dir(&self) -> PathBuf {
        self.top.path().join("copies")
    }

    /// Leaves the build directory for the user to look at, and removes the rest. Returns where it is.
    pub(crate) fn keep_build_dir(self) -> Result<PathBuf, FsError> {
        let kept = self.build_dir();
        match self.work {
            Some(work) => {
                work.keep();
                self.top.remove()?;
            }
            None => {
                nopal_fs::write(&self.top.path().join(KEPT), b"")?;
                for path in [self.temp_dir(), self.output_dir(), self.mount_point(), self.copies_dir()] {
                    nopal_fs::remove_tree_if_exists(&path)?;
                }
                self.top.keep();
            }
        }
        Ok(kept)
    }

    /// Removes everything now.
    pub(crate) fn remove(self) -> Result<(), FsError> {
        if let Some(work) = self.work {
            work.remove()?;
        }
        self.top.remove()
    }
}

/// Removes what killed processes left below `parent`.
pub(crate) fn sweep(parent: &Path) -> Result<(), FsError> {
    let Some(names) = nopal_fs::if_exists(nopal_fs::read_dir_names(parent))? else { return Ok(()) };
    for name in names {
        let path = parent.join(&name);
        let name = name.to_string_lossy();
        if name.ends_with(LOCK_SUFFIX) {
            // taking and dropping a lock that nobody holds removes its file
            drop(PathLock::try_acquire(&path)?);
            continue;
        }
        if !name.starts_with(PREFIX) || nopal_fs::exists(&path.join(KEPT)) {
            continue;
        }
        let Some(file) = nopal_fs::if_exists(LockFile::open_existing(&path))? else { continue };
        if let Ok(_owner_is_gone) = file.try_exclusive()? {
            // the builder of a killed process may be dying still and fill the directory meanwhile; then the next
            // sweep takes it
            let _ = nopal_fs::remove_tree_if_exists(&path);
        }
    }
    Ok(())
}

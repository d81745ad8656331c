//! The directories of one build, on the file system of the store.

use std::path::{Path, PathBuf};

use nopal_fs::{FsError, LockFile, PathLock, temp::LockedTempDir};

/// Prefix of the directories' names.
const PREFIX: &str = "build";
/// Suffix of the files that outputs are locked by.
pub(crate) const LOCK_SUFFIX: &str = ".lock";

/// The directories of one build. Only the user may enter them; they vanish with the value, or are swept by the next
/// build if this process is killed.
#[derive(Debug)]
pub(crate) struct Scratch {
    top: LockedTempDir,
}

impl Scratch {
    /// Makes the directories below `parent`.
    pub(crate) fn new_in(parent: &Path) -> Result<Self, FsError> {
        let scratch = match LockedTempDir::new_in(parent, PREFIX) {
            Err(error) if error.is_not_found() => {
                nopal_fs::create_dir_all(parent)?;
                LockedTempDir::new_in(parent, PREFIX)
            }
            other => other,
        };
        let scratch = Self { top: scratch? };
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
        self.top.path().join("build")
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

    /// Moves the build directory out, for the user to look at.
    pub(crate) fn keep_build_dir(&self, kept: &Path) -> Result<(), FsError> {
        nopal_fs::rename(&self.build_dir(), kept)
    }

    /// Removes everything now.
    pub(crate) fn remove(self) -> Result<(), FsError> {
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
        if !name.starts_with(PREFIX) {
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

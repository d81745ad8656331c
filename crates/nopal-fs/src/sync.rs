//! Making data survive a power cut.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};

use crate::FsError;
use crate::error::Context;
use crate::walk::{Step, TreeWalk, WalkOptions};

/// How to make a tree durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMethod {
    /// `fsync` each file and directory: touches nothing else, costs a flush of the disk's cache per entry.
    EachEntry,
    /// `syncfs`: one flush, but it also waits for what other programs have written to the file system.
    FileSystem,
    /// Nothing is awaited: for scratch data.
    None,
}

/// Makes the contents of an open file durable. `path` is for the error.
pub fn sync_file(file: &File, path: &Path) -> Result<(), FsError> {
    rustix::fs::fsync(file).on("write to disk", path)
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> Result<(), FsError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(rustix::fs::CWD, path, flags, Mode::empty()).on("open directory", path)?;
    rustix::fs::fsync(directory).on("write to disk", path)
}

/// Makes everything written to the file system of `path` durable, and reports errors of writing it back.
pub fn sync_filesystem(path: &Path) -> Result<(), FsError> {
    let file = openat(rustix::fs::CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).on("open", path)?;
    rustix::fs::syncfs(file).on("write to disk", path)
}

/// Makes a whole tree durable. Names are durable too, but for the root's own in its parent.
pub fn sync_tree(root: &Path, method: SyncMethod) -> Result<(), FsError> {
    match method {
        SyncMethod::None => Ok(()),
        SyncMethod::FileSystem => sync_filesystem(crate::file::parent_of(root)),
        SyncMethod::EachEntry => {
            let mut walk = TreeWalk::new(root, WalkOptions::default())?;
            while let Some(step) = walk.next()? {
                match step {
                    Step::File => sync_file(&walk.open_file()?.0, walk.path())?,
                    Step::Leave => {
                        let (parent, name) = walk.place();
                        let directory =
                            crate::walk::open_directory_at(parent, name).on("open directory", walk.path())?;
                        rustix::fs::fsync(directory.as_fd()).on("write to disk", walk.path())?;
                    }
                    // a link lives in its directory's entry
                    Step::Enter | Step::Symlink | Step::Other => {}
                }
            }
            Ok(())
        }
    }
}

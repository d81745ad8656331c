//! Removing a tree whatever its permissions and however deep it is, through directory descriptors: a directory
//! swapped for a link while we work is unlinked, never entered.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::FsError;
use crate::canon::chmod_nofollow;
use crate::error::Context;
use crate::file::parent_of;
use crate::temp::unique_name;
use crate::walk::{EntryKind, list_directory, open_directory_at};

/// What a removal gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries removed, directories included.
    pub entries: u64,
    /// Bytes of disk given back: blocks of directories and of files that had no other hard link.
    pub bytes: u64,
}

/// Levels held open at once; what lies deeper is first moved up to the root of the tree being removed.
const MAX_OPEN_LEVELS: usize = 64;

struct Level {
    directory: OwnedFd,
    entries: Vec<(CString, EntryKind)>,
    name: CString,
}

/// Removes `path` and all below it. An error if nothing is there.
pub fn remove_tree(path: &Path) -> Result<Removed, FsError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, parent_of(path), flags, Mode::empty()).on("open directory", parent_of(path))?;
    let name = path.file_name().and_then(|name| CString::new(name.as_bytes()).ok());
    let name = name.ok_or_else(|| FsError::new("remove", path, io::Error::from(io::ErrorKind::InvalidInput)))?;
    let mut removal = Removal { removed: Removed::default(), levels: Vec::new() };
    removal.run(parent.as_fd(), name).on("remove", path)?;
    Ok(removal.removed)
}

/// Removes `path` and all below it, if there is anything.
pub fn remove_tree_if_exists(path: &Path) -> Result<Removed, FsError> {
    Ok(crate::if_exists(remove_tree(path))?.unwrap_or_default())
}

struct Removal {
    removed: Removed,
    levels: Vec<Level>,
}

impl Removal {
    fn run(&mut self, parent: BorrowedFd<'_>, root: CString) -> io::Result<()> {
        let stat = statat(parent, &*root, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode).into();
        self.remove(parent, root, kind)?;
        while let Some(level) = self.levels.last_mut() {
            if let Some((name, kind)) = level.entries.pop() {
                let directory = level.directory.as_fd().try_clone_to_owned()?;
                self.remove(directory.as_fd(), name, kind)?;
            } else if let Some(level) = self.levels.pop() {
                let above = self.levels.last().map_or(parent, |above| above.directory.as_fd());
                let blocks = rustix::fs::fstat(&level.directory)?.st_blocks;
                unlink(above, &level.name, AtFlags::REMOVEDIR)?;
                self.count(blocks);
            }
        }
        Ok(())
    }

    /// Removes one entry; of a directory, begins with its contents.
    fn remove(&mut self, directory: BorrowedFd<'_>, name: CString, kind: EntryKind) -> io::Result<()> {
        if kind != EntryKind::Directory {
            let stat = match statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            unlink(directory, &name, AtFlags::empty())?;
            self.count(if stat.st_nlink == 1 { stat.st_blocks } else { 0 });
            return Ok(());
        }
        let opened = match open_directory_at(directory, &name) {
            Err(Errno::ACCESS) => {
                chmod_nofollow(directory, &name, 0o700)?;
                open_directory_at(directory, &name)?
            }
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        if rustix::fs::fstat(&opened)?.st_mode & 0o700 != 0o700 {
            fchmod(&opened, Mode::from_raw_mode(0o700))?;
        }
        if self.levels.len() >= MAX_OPEN_LEVELS
            && let Some(top) = self.levels.first_mut()
        {
            let moved = CString::new(unique_name(".deep")).unwrap_or_default();
            renameat(directory, &*name, &top.directory, &*moved)?;
            top.entries.push((moved, EntryKind::Directory));
            return Ok(());
        }
        let entries = list_directory(opened.as_fd())?;
        self.levels.push(Level { directory: opened, entries, name });
        Ok(())
    }

    fn count(&mut self, blocks: i64) {
        self.removed.entries += 1;
        // st_blocks counts units of 512 bytes whatever the block size of the file system
        self.removed.bytes += u64::try_from(blocks).unwrap_or(0).saturating_mul(512);
    }
}

fn unlink(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> io::Result<()> {
    match unlinkat(directory, name, flags) {
        // another remover of the same tree was faster
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

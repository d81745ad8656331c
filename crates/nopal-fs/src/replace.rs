//! Writing a file so that every reader, and every crash, sees the old one or the new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::FsError;
use crate::error::Context;
use crate::file::parent_of;
use crate::temp::unique_name;

/// Replaces the file at `path` by `contents`, durably, with permissions 0644 (before umask).
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), FsError> {
    replace_with(path, 0o644, |file| file.write_all(contents))
}

/// Replaces the file at `path` by what `write` writes, durably, with the given permissions (before umask).
pub fn replace_with(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), FsError> {
    let mut file = AtomicFile::create(path, mode)?;
    write(file.file()).on("write", path)?;
    file.commit()
}

/// Points the symbolic link at `link` to `target`, replacing an older link in one step.
pub fn symlink_replace(target: &Path, link: &Path) -> Result<(), FsError> {
    for _ in 0..ATTEMPTS {
        let temporary = parent_of(link).join(unique_name(".link"));
        match crate::symlink(target, &temporary) {
            Ok(()) => {}
            Err(error) if error.is_already_exists() => continue,
            Err(error) => return Err(error),
        }
        if let Err(error) = crate::rename(&temporary, link) {
            // the first error is the one to report
            let _ = crate::remove_file(&temporary);
            return Err(error);
        }
        return crate::sync_directory(parent_of(link));
    }
    Err(FsError::new("link", link, io::Error::from(io::ErrorKind::AlreadyExists)))
}

/// Names tried before giving up; each is unique by process, time and counter, so a second try is already rare.
const ATTEMPTS: usize = 16;

/// A file being written beside its destination. Dropped without [`AtomicFile::commit`], it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    destination: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Begins the replacement of `destination`.
    pub fn create(destination: &Path, mode: u32) -> Result<Self, FsError> {
        for _ in 0..ATTEMPTS {
            let temporary = parent_of(destination).join(unique_name(".new"));
            match OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&temporary) {
                Ok(file) => {
                    return Ok(Self { file, temporary, destination: destination.to_owned(), committed: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(FsError::new("create", &temporary, error)),
            }
        }
        Err(FsError::new("create", destination, io::Error::from(io::ErrorKind::AlreadyExists)))
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the contents their name, without waiting for the disk: after a power cut the old file may be there.
    pub fn commit_quickly(mut self) -> Result<(), FsError> {
        crate::rename(&self.temporary, &self.destination)?;
        self.committed = true;
        Ok(())
    }

    /// Makes the contents durable, gives them their name and makes the name durable.
    pub fn commit(mut self) -> Result<(), FsError> {
        crate::sync_file(&self.file, &self.temporary)?;
        crate::rename(&self.temporary, &self.destination)?;
        self.committed = true;
        crate::sync_directory(parent_of(&self.destination))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // nothing better can be done in a destructor; a leftover is only litter
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

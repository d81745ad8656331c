//! Files of which parts are read, wherever they lie.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use crate::FsError;
use crate::error::Context;

/// An open file, any part of which can be read.
#[derive(Debug)]
pub struct RandomFile {
    file: File,
    size_bytes: u64,
    identity: (u64, u64),
}

impl RandomFile {
    /// Opens a file. A pipe or a device is refused: it would have us wait for somebody to write into it.
    pub fn open(path: &Path) -> Result<Self, FsError> {
        let metadata = std::fs::metadata(path).on("open", path)?;
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
            return Err(FsError::new("read", path, kind));
        }
        let file = File::open(path).on("open", path)?;
        let metadata = file.metadata().on("look at", path)?;
        Ok(Self { file, size_bytes: metadata.len(), identity: (metadata.dev(), metadata.ino()) })
    }

    /// How long it was when it was opened.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Device and inode: the same under whatever name.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Fills `into` with the bytes from `offset` on.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
}

//! Files, as the ELF engine asks for them.

use super::{Failure, with_cause};
use nopal_elf::Bytes;
use nopal_fs::{FilePart, FsError, Patchable};
use nopal_relocate::TreeFile;
use std::io;
use std::path::Path;

/// A file that may be changed.
pub(super) struct PatchedFile(Patchable);

impl PatchedFile {
    /// Opens a file. Of a large one only what is asked for is read.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Patchable::open(path).map(Self).map_err(|error| unknown(path, &error))
    }

    /// Changes it.
    pub(super) fn patch(self, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
        self.0.patch(parts, len)
    }
}

impl Bytes for PatchedFile {
    fn len(&self) -> u64 {
        self.0.size_bytes()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, into)
    }
}

/// Opens a file, or nothing where there is none.
pub(super) fn open_if_exists(path: &Path) -> Result<Option<TreeFile>, Failure> {
    let file = nopal_fs::if_exists(nopal_fs::RandomFile::open(path)).map_err(|error| unknown(path, &error))?;
    Ok(file.map(TreeFile::from))
}

fn unknown(path: &Path, error: &FsError) -> Failure {
    with_cause(&format!("getting info about '{}'", path.display()), error.io())
}

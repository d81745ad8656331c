//! Files and directories, as the ELF engine asks for them.

use super::{Failure, with_cause};
use nopal_elf::{Bytes, Directory, RunPathDirectories};
use nopal_fs::FsFile;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A file of which only what is asked for is read.
pub(super) struct FileBytes {
    file: FsFile,
    len: u64,
}

impl FileBytes {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let metadata = nopal_fs::metadata(path)
            .map_err(|error| with_cause(&format!("getting info about '{shown}'"), error.io()))?;
        let file = nopal_fs::open_read(path).map_err(|error| with_cause(&format!("opening '{shown}'"), error.io()))?;
        if metadata.is_dir() {
            return Err(format!("reading '{shown}': Is a directory"));
        }
        Ok(FileBytes { file, len: metadata.len() })
    }

    /// The file, from its begin.
    pub(super) fn file(&mut self) -> &mut FsFile {
        &mut self.file
    }
}

impl Bytes for FileBytes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
}

/// The directories of this machine.
pub(super) struct Directories;

impl RunPathDirectories for Directories {
    fn directory(&self, directory: &[u8]) -> Directory {
        let path = Path::new(OsStr::from_bytes(directory));
        let is_searchable = nopal_fs::is_dir(path) && nopal_fs::may(path, nopal_fs::Permission::Search);
        if is_searchable && !nopal_fs::may(&path.join("glibc-hwcaps"), nopal_fs::Permission::Exist) {
            Directory::Searchable
        } else {
            Directory::AtRunTime
        }
    }

    fn is_readable(&self, path: &[u8]) -> bool {
        nopal_fs::may(Path::new(OsStr::from_bytes(path)), nopal_fs::Permission::Read)
    }
}

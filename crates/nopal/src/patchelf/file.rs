//! Files and directories, as the ELF engine asks for them.

use super::{Failure, with_cause};
use crate::commands::elf::TreeFile;
use nopal_elf::{Directory, RunPathDirectories};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Opens a file, of which only what is asked for is read.
pub(super) fn open(path: &Path) -> Result<TreeFile, Failure> {
    let file = nopal_fs::RandomFile::open(path)
        .map_err(|error| with_cause(&format!("getting info about '{}'", path.display()), error.io()))?;
    Ok(file.into())
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

//! Files and directories, as the ELF engine asks for them.

use super::{Failure, with_cause};
use crate::commands::elf::TreeFile;
use nopal_elf::{Directory, RunPathDirectories};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Opens a file, of which only what is asked for is read.
pub(super) fn open(path: &Path) -> Result<TreeFile, Failure> {
    nopal_fs::RandomFile::open(path).map(TreeFile::from).map_err(|error| unknown(path, &error))
}

/// The same, or nothing where there is no file.
pub(super) fn open_if_exists(path: &Path) -> Result<Option<TreeFile>, Failure> {
    let file = nopal_fs::if_exists(nopal_fs::RandomFile::open(path)).map_err(|error| unknown(path, &error))?;
    Ok(file.map(TreeFile::from))
}

fn unknown(path: &Path, error: &nopal_fs::FsError) -> Failure {
    with_cause(&format!("getting info about '{}'", path.display()), error.io())
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

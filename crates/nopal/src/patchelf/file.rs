//! Files, as the ELF engine asks for them.

use super::{Failure, with_cause};
use nopal_relocate::TreeFile;
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

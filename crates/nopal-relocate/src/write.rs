//! Writing what an edit changes.

use nopal_elf::Changes;
use nopal_fs::{FilePart, FsError};
use std::path::Path;

/// The parts of a file that an edit changes.
pub fn parts(changes: &Changes) -> Vec<FilePart<'_>> {
    changes.patches.iter().map(|patch| FilePart { offset: patch.offset, bytes: &patch.bytes }).collect()
}

/// Changes a file, if there is anything to change.
///
/// # Errors
/// It cannot be read or written; it is as it was then.
pub fn write(path: &Path, changes: &Changes) -> Result<(), FsError> {
    match &parts(changes)[..] {
        [] => Ok(()),
        parts => nopal_fs::patch_file(path, parts, changes.len),
    }
}

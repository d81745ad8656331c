//! `--shrink-rpath`: the directories of a run path that have a library that is needed.

use super::Failure;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Keeps of a run path the directories that have a needed library that none before has, and those that are not absolute.
/// If there are `prefixes`, absolute ones need one of them.
pub(super) fn shrink(path: &[u8], needed: &[Vec<u8>], machine: u16, prefixes: &[Vec<u8>]) -> Result<Vec<u8>, Failure> {
    let mut missing = needed.iter().collect::<Vec<_>>();
    let mut kept = Vec::new();
    for directory in super::flags::split_colons(path) {
        if directory.first().is_some_and(|byte| *byte != b'/') {
            kept.push(directory);
            continue;
        }
        if !prefixes.is_empty() && !prefixes.iter().any(|prefix| directory.starts_with(prefix)) {
            continue;
        }
        let before = missing.len();
        let mut left = Vec::new();
        for library in missing {
            if !has_library(&directory, library, machine)? {
                left.push(library);
            }
        }
        missing = left;
        if missing.len() < before {
            kept.push(directory);
        }
    }
    Ok(kept.join(&b':'))
}

/// Whether a directory has such a library for the machine.
fn has_library(directory: &[u8], library: &[u8], machine: u16) -> Result<bool, Failure> {
    let path = [directory, b"/", library].concat();
    let path = Path::new(OsStr::from_bytes(&path));
    let Some(bytes) = super::file::open_if_exists(path)? else { return Ok(false) };
    nopal_elf::machine(&bytes).map(|found| found == machine).map_err(super::elf)
}

//! Files below a folder.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// Everything below a folder whose name ends in `.nix`, as [`below`] gives it.
pub(crate) fn nix_below(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>, String> {
    with_extension(folder, "nix")
}

/// Everything below a folder whose name has an extension, as [`below`] gives it.
pub(crate) fn with_extension(folder: &Path, extension: &str) -> Result<Vec<(PathBuf, Metadata)>, String> {
    below(folder, &|path, _| path.extension().is_some_and(|found| found == extension))
}

/// Everything below a folder that is wanted, folders aside, in order and with what it is; links are not followed.
pub(crate) fn below(
    folder: &Path,
    is_wanted: &dyn Fn(&Path, &Metadata) -> bool,
) -> Result<Vec<(PathBuf, Metadata)>, String> {
    let mut found = Vec::new();
    collect(folder, is_wanted, &mut found)?;
    Ok(found)
}

fn collect(
    folder: &Path,
    is_wanted: &dyn Fn(&Path, &Metadata) -> bool,
    found: &mut Vec<(PathBuf, Metadata)>,
) -> Result<(), String> {
    let describe = |error: std::io::Error| format!("cannot list {}: {error}", folder.display());
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).map_err(describe)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            collect(&path, is_wanted, found)?;
        } else if is_wanted(&path, &metadata) {
            found.push((path, metadata));
        }
    }
    Ok(())
}

//! Profiles: a link to the newest of numbered links to store paths, its generations.

use crate::error::CliError;
use nopal_engine::Engine;
use nopal_format::StorePath;
use std::path::{Path, PathBuf};

/// Makes a path the newest generation of a profile. It stays the same generation if it is that already.
pub(crate) fn set(engine: &Engine, profile: &Path, paths: &[StorePath]) -> Result<(), CliError> {
    let [path] = paths else {
        let message = format!(
            "'--profile' requires that the arguments produce a single store path, but there are {}",
            paths.len()
        );
        return Err(CliError::usage(message));
    };
    let profile = engine.config().working_dir.join(profile);
    let newest = generations(&profile)?.into_iter().max();
    let shown = engine.config().store_dir.print(path);
    let number = match newest {
        Some(number) if nopal_fs::read_link(&link(&profile, number))? == Path::new(&shown) => number,
        _ => {
            let number = newest.unwrap_or(0) + 1;
            engine.store()?.add_root(&link(&profile, number), path)?;
            number
        }
    };
    let target = link(&profile, number);
    nopal_fs::symlink_replace(Path::new(target.file_name().unwrap_or_default()), &profile)?;
    Ok(())
}

/// The link of a generation.
fn link(profile: &Path, number: u64) -> PathBuf {
    let mut name = profile.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{number}-link"));
    profile.with_file_name(name)
}

/// The numbers of a profile's generations.
fn generations(profile: &Path) -> Result<Vec<u64>, CliError> {
    let name = profile.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = nopal_fs::if_exists(nopal_fs::read_dir_names(nopal_fs::parent_of(profile)))?.unwrap_or_default();
    let number = |entry: &std::ffi::OsString| {
        let rest = entry.to_str()?.strip_prefix(&name)?.strip_prefix('-')?;
        rest.strip_suffix("-link")?.parse().ok()
    };
    Ok(entries.iter().filter_map(number).collect())
}

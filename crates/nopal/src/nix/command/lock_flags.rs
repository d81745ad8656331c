//! The flags about lock files that all commands on flakes have.

use crate::error::CliError;
use crate::nix::cli::Line;
use nopal_engine::LockFlags;
use std::path::PathBuf;

/// What the flags say.
pub(crate) fn lock_flags(line: &mut Line) -> Result<LockFlags, CliError> {
    let overrides: Vec<(String, String)> =
        line.values("override-input").map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let first = |name: &str| line.values(name).map(|values| values[0].clone()).collect::<Vec<_>>();
    let (updates, inputs_from) = (first("update-input"), first("inputs-from"));
    for (flag, mut paths) in [
        ("override-input", overrides.iter().map(|(path, _)| path).collect::<Vec<_>>()),
        ("update-input", updates.iter().collect()),
    ] {
        paths.retain(|path| path.split('/').all(str::is_empty));
        if !paths.is_empty() {
            return Err(CliError::usage(format!(
                "--{flag} was passed a zero-length input path, which would refer to the flake itself, not an input"
            )));
        }
    }
    let flags = LockFlags {
        recreate: line.has("recreate-lock-file"),
        may_change: !line.has("no-update-lock-file"),
        // an override is for this time only
        write: !line.has("no-write-lock-file") && overrides.is_empty(),
        use_registries: line.has("no-registries").then_some(false),
        commit: line.has("commit-lock-file"),
        reference_file: line.value("reference-lock-file").map(PathBuf::from),
        output_file: line.value("output-lock-file").map(PathBuf::from),
        overrides,
        updates,
        inputs_from,
        ..LockFlags::default()
    };
    for (flag, text) in [
        (
            "recreate-lock-file",
            "'--recreate-lock-file' is deprecated and will be removed in a future version; use 'nix flake update' instead.",
        ),
        ("no-registries", "'--no-registries' is deprecated; use '--no-use-registries'"),
        (
            "update-input",
            "'--update-input' is a deprecated alias for 'flake update' and will be removed in a future version.",
        ),
    ] {
        if line.has(flag) {
            line.common.warn(text.to_owned());
        }
    }
    Ok(flags)
}

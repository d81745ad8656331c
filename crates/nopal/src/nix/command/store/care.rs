//! `nix store gc`, `delete` and `optimise`.

use crate::error::CliError;
use crate::nix::cli::Line;
use crate::nix::command::paths::{Realise, named_paths, open};
use crate::nix::store::garbage;
use std::process::ExitCode;

/// `nix store gc`.
pub(super) fn collect(line: Line) -> Result<ExitCode, CliError> {
    let max = line.value("max").map(|text| garbage::bytes("--max", text)).transpose()?;
    if max.is_some() && line.has("dry-run") {
        return Err(CliError::usage("options --max and --dry-run cannot be combined"));
    }
    let context = line.context()?;
    let mut options = garbage::options(&context.settings);
    options.max_freed_bytes = max;
    options.dry_run = line.has("dry-run");
    let engine = context.settings.open(context.style)?;
    garbage::sweep(&engine, &options)?;
    Ok(ExitCode::SUCCESS)
}

/// `nix store delete`.
pub(super) fn delete(mut line: Line) -> Result<ExitCode, CliError> {
    let (engine, targets) = open(&mut line)?;
    let paths = named_paths(&engine, &line, &targets, Realise::Nothing)?;
    garbage::delete_paths(&engine, &line.context()?.settings, paths, line.has("ignore-liveness"))?;
    Ok(ExitCode::SUCCESS)
}

/// `nix store optimise`.
pub(super) fn optimise(line: Line) -> Result<ExitCode, CliError> {
    crate::nix::optimise(&line.engine()?)?;
    Ok(ExitCode::SUCCESS)
}

//! `nix store cat`, `ls` and `dump-path`.

use crate::commands::store::resolve;
use crate::error::CliError;
use crate::nix::cli::Line;
use crate::nix::command::nar::print_listing;
use crate::nix::command::paths::{Realise, open, store_paths};
use nopal_store::StoreError;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// `nix store cat`.
pub(super) fn cat(line: Line) -> Result<ExitCode, CliError> {
    let engine = line.engine()?;
    let (path, inner) = resolve(&engine, line.arg(0).unwrap_or_default())?;
    let mut stdout = std::io::stdout().lock();
    match engine.store()?.cat(&path, Path::new(&inner), &mut stdout) {
        Err(StoreError::NotAFile { .. }) => {
            return Err(CliError::Found(format!("path '/{inner}' is not a regular file")));
        }
        other => other?,
    };
    stdout.flush().map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// `nix store ls`.
pub(super) fn list(line: Line) -> Result<ExitCode, CliError> {
    let engine = line.engine()?;
    let (path, inner) = resolve(&engine, line.arg(0).unwrap_or_default())?;
    let listing = engine.store()?.list(&path, Path::new(&inner), line.has("recursive"))?;
    let name = inner.rsplit('/').next().unwrap_or_default();
    print_listing(&line, &listing, name)?;
    Ok(ExitCode::SUCCESS)
}

/// `nix store dump-path`.
pub(super) fn dump(mut line: Line) -> Result<ExitCode, CliError> {
    let (engine, targets) = open(&mut line)?;
    let paths = store_paths(&engine, &line, &targets, Realise::Nothing)?;
    let [path] = &paths[..] else {
        return Err(CliError::usage("this command requires exactly one store path"));
    };
    let mut stdout = std::io::stdout().lock();
    engine.store()?.dump(path, &mut stdout)?;
    stdout.flush().map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

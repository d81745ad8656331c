//! `nix store info` and `path-from-hash-part`.

use crate::error::CliError;
use crate::nix::VERSION;
use crate::nix::cli::Line;
use crate::output;
use nopal_format::json::Json;
use std::process::ExitCode;

/// `nix store info`: a store that can be opened is local, and whoever opens it is trusted.
pub(super) fn run(line: Line) -> Result<ExitCode, CliError> {
    let context = line.context()?;
    let url = context.settings.store_url();
    context.settings.open(context.style)?.store()?;
    if line.has("json") {
        let fields = [("trusted", Json::Bool(true)), ("url", Json::String(url)), ("version", Json::from(VERSION))];
        line.print_json(&Json::object(fields))?;
    } else {
        eprintln!("Store URL: {url}\nVersion: {VERSION}\nTrusted: 1");
    }
    Ok(ExitCode::SUCCESS)
}

/// Digits of the hash in a store path.
const HASH_PART_DIGITS: usize = 32;

/// `nix store path-from-hash-part`.
pub(super) fn path_from_hash_part(line: Line) -> Result<ExitCode, CliError> {
    let engine = line.engine()?;
    let hash = line.arg(0).unwrap_or_default();
    if hash.len() != HASH_PART_DIGITS {
        return Err(CliError::Found("invalid hash part".to_owned()));
    }
    match engine.store()?.path_from_hash_part(hash)? {
        Some(path) => output::line(&engine.config().store_dir.print(&path))?,
        None => return Err(CliError::Found(format!("there is no store path corresponding to '{hash}'"))),
    }
    Ok(ExitCode::SUCCESS)
}

//! `nix store make-content-addressed`.

use crate::error::CliError;
use crate::nix::cli::Line;
use crate::nix::command::paths::{Realise, open, store_paths};
use nopal_format::json::Json;
use nopal_report::Level;
use std::process::ExitCode;

/// Adds closures with content addresses.
pub(super) fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let (engine, targets) = open(&mut line)?;
    let paths = store_paths(&engine, &line, &targets, Realise::Outputs)?;
    let store = engine.store()?;
    let renamed = store.make_content_addressed(store, &paths)?;
    let pairs = || paths.iter().filter_map(|path| Some((store.print(path), store.print(renamed.get(path)?))));
    if line.has("json") {
        let rewrites = Json::object(pairs().map(|(old, new)| (old, Json::String(new))));
        line.print_json(&Json::object([("rewrites", rewrites)]))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (old, new) in pairs() {
        store.reporter().message(Level::Notice, format!("rewrote '{old}' to '{new}'"));
    }
    Ok(ExitCode::SUCCESS)
}

//! `nix realisation info`: what outputs of derivations turned out to be.

use super::paths::{Resolved, build, open};
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, JSON, Line, SOURCE, STDIN};
use crate::output;
use nopal_engine::RealiseOptions;
use nopal_format::json::Json;
use std::process::ExitCode;

/// `nix realisation`.
pub(super) const COMMAND: Command = Command::group(
    "realisation",
    "look at what outputs turned out to be",
    &[Command::new(
        "info",
        "tell what outputs turned out to be",
        &[JSON, STDIN, SOURCE, EVAL, FLAKE],
        &[Arg::rest("installables", Complete::Installable)],
        info,
    )
    .behind(Some("ca-derivations"))],
);

fn info(mut line: Line) -> Result<ExitCode, CliError> {
    let (engine, targets) = open(&mut line)?;
    let store = engine.store()?;
    let (mut lines, mut all) = (Vec::new(), Vec::new());
    for item in build(&engine, &line, &targets, &RealiseOptions::default())? {
        for path in item.paths() {
            let known = match item {
                Resolved::Path(_) => Vec::new(),
                Resolved::Built { .. } => store.realisations_of(&path)?,
            };
            if known.is_empty() {
                all.push(Json::object([("opaquePath", Json::from(store.print(&path)))]));
                lines.push(store.print(&path));
            }
            for realisation in known {
                lines.push(format!("{} {}", realisation.id, store.print(&path)));
                all.push(realisation.to_json());
            }
        }
    }
    if line.has("json") {
        line.print_json(&Json::Array(all))?;
    } else {
        output::lines(lines)?;
    }
    Ok(ExitCode::SUCCESS)
}

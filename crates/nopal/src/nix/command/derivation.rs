//! `nix derivation show` and `add`.

use super::paths::{derivations, open};
use crate::commands::installables::read_stdin;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, JSON, Line, SOURCE, STDIN};
use crate::output;
use nopal_format::json::Json;
use std::process::ExitCode;

/// `nix derivation`.
pub(super) const COMMAND: Command = Command::group(
    "derivation",
    "look at derivations and make them",
    &[
        Command::new("add", "add a derivation in JSON to the store", &[ADD], &[], add),
        Command::new(
            "show",
            "print derivations as JSON",
            &[SHOW, JSON, STDIN, SOURCE, EVAL, FLAKE],
            &[Arg::rest("installables", Complete::Installable)],
            show,
        ),
    ],
);

const ADD: &[Flag] = &[Flag::new("dry-run", "Only print the path")];
const SHOW: &[Flag] = &[Flag::new("recursive", "Show all that are needed, too").short('r')];

fn show(mut line: Line) -> Result<ExitCode, CliError> {
    let (engine, targets) = open(&mut line)?;
    let drvs: Vec<_> = derivations(&engine, &line, &targets)?.into_iter().collect();
    line.print_json(&engine.show_derivations(&drvs, line.has("recursive"))?)?;
    Ok(ExitCode::SUCCESS)
}

fn add(line: Line) -> Result<ExitCode, CliError> {
    let text = read_stdin()?;
    let json = Json::parse(&String::from_utf8_lossy(&text)).map_err(|error| CliError::Found(error.to_string()))?;
    let engine = line.engine()?;
    let path = engine.add_derivation(&json, line.has("dry-run"))?;
    output::line(&engine.config().store_dir.print(&path))?;
    Ok(ExitCode::SUCCESS)
}

//! `nix log`: what a builder printed.

use super::source::Target;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Line, SOURCE};
use crate::output;
use nopal_engine::{EngineError, Item};
use nopal_report::Level;
use std::process::ExitCode;

/// `nix log`.
pub(super) const COMMAND: Command = Command::new(
    "log",
    "print the log of a build",
    &[SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable)],
    run,
);

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let lookup = line.lookup()?;
    let engine = line.engine()?;
    let target: Target = lookup.target(&engine, line.arg(0).unwrap_or("."))?;
    let path = {
        match &target.items(&engine, &line)?[..] {
            [Item::Path(path)] => path.clone(),
            [Item::Outputs(only)] => only.drv_path.clone(),
            many => {
                let message = format!(
                    "installable '{}' evaluates to {} derivations, where only one is expected",
                    target.word,
                    many.len()
                );
                return Err(CliError::Found(message));
            }
        }
    };
    match engine.build_log(&engine.config().store_dir.print(&path)) {
        Ok(log) => {
            let from = line.context()?.settings.store_url();
            engine
                .config()
                .reporter
                .message(Level::Notice, format!("got build log for '{}' from '{from}'", target.word));
            output::data(&log)?;
        }
        Err(EngineError::NoLog { .. }) => {
            return Err(CliError::Found(format!("build log of '{}' is not available", target.word)));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

//! `nix repl`: evaluate as one types.

use super::source::Lookup;
use crate::error::CliError;
use crate::nix::VERSION;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Line, SOURCE};
use crate::repl;
use crate::settings::Settings;
use crate::ui::Verbosity;
use nopal_engine::{FlakeSource, Purpose};
use std::process::ExitCode;

/// `nix repl`, which needs no experimental feature.
pub(super) const COMMAND: Command = Command::new(
    "repl",
    "start an interactive environment for evaluating Nix expressions",
    &[SOURCE, EVAL, FLAKE],
    &[Arg::rest("installables", Complete::Installable)],
    run,
)
.behind(None);

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    // what is typed may read what is there
    line.common.set_default("pure-eval", "false");
    let lookup = line.lookup()?;
    let context = line.context()?;
    let quiet = context.style.verbosity == Verbosity::Quiet;
    let engine = context.settings.open(context.style)?;
    let (mut source, mut flakes, mut attr_paths) = (None, Vec::new(), Vec::new());
    match &lookup {
        Lookup::Expression(expression) => {
            source = Some(expression.clone());
            attr_paths = line.args.iter().map(|word| if word == "." { String::new() } else { word.clone() }).collect();
            if attr_paths.is_empty() {
                attr_paths.push(String::new());
            }
        }
        Lookup::Word(lock) => {
            let system = &engine.config().system;
            let flake = |word: &String| FlakeSource::new(Purpose::Everything, word, system, (**lock).clone());
            flakes.extend(line.args.iter().map(flake));
        }
    }
    repl::run(
        &engine,
        &repl::Request {
            banner: format!("Nix {VERSION}\nType :? for help."),
            source,
            attr_paths,
            flakes,
            args: line.auto_args(),
            quiet,
            history: Settings::repl_history()?,
        },
    )
}

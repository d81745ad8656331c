//! `nix repl`: evaluate as one types.

use super::source::Lookup;
use crate::error::CliError;
use crate::nix::VERSION;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Line, SOURCE};
use crate::repl;
use crate::settings::Settings;
use crate::ui::Verbosity;
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
    let source = match &lookup {
        Lookup::Expression(source) => Some(source.clone()),
        Lookup::Word(_) => match line.args.first() {
            Some(word) => {
                return Err(CliError::Found(format!("cannot load '{word}': the REPL does not load flakes yet")));
            }
            None => None,
        },
    };
    let path = |word: &String| if word == "." { String::new() } else { word.clone() };
    let mut attr_paths: Vec<String> = line.args.iter().map(path).collect();
    if attr_paths.is_empty() {
        attr_paths.push(String::new());
    }
    repl::run(
        &engine,
        &repl::Request {
            banner: format!("Nix {VERSION}\nType :? for help."),
            source,
            attr_paths,
            args: line.auto_args(),
            quiet,
            history: Settings::repl_history()?,
        },
    )
}

//! What a command line came to.

use crate::cli::Context;
use crate::error::CliError;
use crate::nix::command::source::Lookup;
use crate::nix::flags::Common;
use crate::output;
use nopal_engine::{AutoArg, Engine};
use nopal_format::json::Json;

/// The flags and arguments of one command.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Settings, verbosity, arguments of functions.
    pub(crate) common: Common,
    /// The command's own flags in order, by their long names.
    pub(crate) flags: Vec<(&'static str, Vec<String>)>,
    /// Arguments that are no flags.
    pub(crate) args: Vec<String>,
    /// The names that led to the command.
    pub(crate) commands: Vec<&'static str>,
}

impl Line {
    /// Takes a flag: those that all commands have, or that steer evaluation, at once; others are kept for the command.
    pub(crate) fn take(&mut self, long: &'static str, values: Vec<String>) -> Result<(), CliError> {
        let mut given = values.into_iter();
        let mut next = || given.next().unwrap_or_default();
        let common = &mut self.common;
        match long {
            "debug" => common.tell(2),
            "verbose" => common.tell(1),
            "quiet" => common.tell(-1),
            "log-format" => {}
            "max-jobs" => common.set("max-jobs", &next()),
            "offline" => {
                common.need("nix-command");
                common.set_offline();
            }
            "refresh" => {
                common.need("nix-command");
                common.set_refresh();
            }
            "option" => common.option(next(), next()),
            "print-build-logs" => {
                common.need("nix-command");
                common.show_build_logs();
            }
            "arg" | "argstr" | "arg-from-file" => common.take_arg(&format!("--{long}"), [next(), next()])?,
            "arg-from-stdin" => {
                let text = crate::commands::installables::read_stdin()?;
                common.take_arg("--argstr", [next(), String::from_utf8_lossy(&text).into_owned()])?;
            }
            "include" => common.eval.include.push(next()),
            "impure" => common.set("pure-eval", "false"),
            "override-flake" => common.override_flake(next(), next()),
            "eval-store" => common.set_eval_store(next()),
            _ => self.flags.push((long, given.collect())),
        }
        Ok(())
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == long)
    }

    /// The value of a flag; the last one counts.
    pub(crate) fn value(&self, long: &str) -> Option<&str> {
        let (_, values) = self.flags.iter().rev().find(|(name, _)| *name == long)?;
        values.first().map(String::as_str)
    }

    /// The values of a flag, each time it was given.
    pub(crate) fn values<'a>(&'a self, long: &'a str) -> impl DoubleEndedIterator<Item = &'a [String]> {
        self.flags.iter().filter(move |(name, _)| *name == long).map(|(_, values)| &values[..])
    }

    /// An argument by its place.
    pub(crate) fn arg(&self, index: usize) -> Option<&str> {
        self.args.get(index).map(String::as_str)
    }

    /// The arguments for functions on the way.
    pub(crate) fn auto_args(&self) -> Vec<AutoArg> {
        self.common.auto_args()
    }

    /// Where installables are looked for.
    pub(crate) fn lookup(&mut self) -> Result<Lookup, CliError> {
        Lookup::of(self)
    }

    /// The settings with everything that was said.
    pub(crate) fn context(&self) -> Result<Context, CliError> {
        self.common.context()
    }

    /// The engine.
    pub(crate) fn engine(&self) -> Result<Engine, CliError> {
        let context = self.context()?;
        context.settings.open(context.style)
    }

    /// Prints JSON on one line, or on several if asked to or on a terminal.
    pub(crate) fn print_json(&self, json: &Json) -> Result<(), CliError> {
        output::line(&if self.is_pretty() { json.to_pretty() } else { json.to_compact() })
    }

    /// Whether JSON goes on several lines.
    pub(crate) fn is_pretty(&self) -> bool {
        use std::io::IsTerminal as _;
        match self.flags.iter().rev().find(|(name, _)| matches!(*name, "pretty" | "no-pretty")) {
            Some((name, _)) => *name == "pretty",
            None => std::io::stdout().is_terminal(),
        }
    }
}

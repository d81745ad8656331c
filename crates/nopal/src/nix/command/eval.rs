//! `nix eval`: evaluate and print.

use super::source::What;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, JSON, Line, SOURCE};
use crate::output;
use nopal_engine::{EvalFormat, EvalRequest, Habits, Installable};
use std::path::Path;
use std::process::ExitCode;

/// `nix eval`.
pub(super) const COMMAND: Command = Command::new(
    "eval",
    "evaluate an expression",
    &[OWN, JSON, SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable)],
    run,
);

const OWN: &[Flag] = &[
    Flag::new("apply", "Apply this function to the value first").takes(&["expr"]),
    Flag::new("raw", "Print a string as it is"),
    Flag::new("read-only", "Write no derivations to the store"),
    Flag::new("write-to", "Write a string to a file, or a set of strings to files in a folder")
        .takes(&["path"])
        .completed(Complete::Path),
];

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    if line.has("raw") && line.has("json") {
        return Err(CliError::usage("--raw and --json are mutually exclusive"));
    }
    let lookup = line.lookup()?;
    let mut context = line.context()?;
    context.settings.evaluate_read_only(line.has("read-only"));
    context.settings.leave_memory();
    let engine = context.settings.open(context.style)?;
    let target = lookup.target(&engine, line.arg(0).unwrap_or("."))?;
    let (source, attr_path) = match target.what {
        What::Installable(Installable::Attr { source, attr_path }) => (source, attr_path),
        _ => {
            let message = format!("'{}' cannot be evaluated because it is not a Nix value", target.word);
            return Err(CliError::Found(message));
        }
    };
    let format = match (line.has("raw"), line.has("json")) {
        (true, _) => EvalFormat::Raw,
        (_, true) if line.is_pretty() => EvalFormat::PrettyJson,
        (_, true) => EvalFormat::Json,
        _ => EvalFormat::Nix,
    };
    let request = EvalRequest {
        source,
        attr_path,
        args: line.auto_args(),
        habits: Habits::Eval { apply: line.value("apply").map(str::to_owned) },
        format,
        strict: true,
    };
    match line.value("write-to") {
        Some(folder) => engine.write_value(&request, Path::new(folder))?,
        None => output::data(&engine.eval(&request)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

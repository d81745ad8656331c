//! `nopal eval`

use super::installables::source;
use crate::args::{EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use crate::settings::auto_args;
use clap::Args;
use nopal_engine::{EvalFormat, EvalRequest, Habits};
use std::process::ExitCode;

/// Evaluate a Nix expression and print its value
///
/// The value is printed as Nix prints it. Parts that nothing asked for are shown as `<CODE>` unless `--strict` is
/// given; `--json` and `--raw` ask for all they print. Nothing is built, except what evaluation itself imports.
///
///     nopal eval --expr '1 + 1'
///     nopal eval -f default.nix -A version --raw
#[derive(Args, Debug)]
pub(crate) struct EvalCommandArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Evaluate all parts of the value
    #[arg(long)]
    strict: bool,
    /// The same as `--eval-cores`
    #[arg(short = 'j', value_name = "NUMBER", conflicts_with = "eval_cores")]
    jobs: Option<usize>,
    #[command(flatten)]
    eval: EvalArgs,
}

/// How to print a value.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct FormatArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print a string without quotes and without a line end
    #[arg(long)]
    raw: bool,
    /// Print XML
    #[arg(long)]
    xml: bool,
}

/// Runs it.
pub(crate) fn run(context: Context, mut args: EvalCommandArgs) -> Result<ExitCode, CliError> {
    let Some(source) = source(&args.source)? else {
        return Err(CliError::usage_hint("no expression is named", "add -f FILE or --expr EXPR"));
    };
    args.eval.eval_cores = args.eval.eval_cores.or(args.jobs);
    let mut settings = context.settings.with_eval(&args.eval)?;
    settings.evaluate_read_only(true);
    if args.source.attr.len() <= 1 {
        settings.leave_memory();
    }
    let engine = settings.open(context.style)?;
    let format = match (args.format.json, args.format.raw, args.format.xml) {
        (true, ..) => EvalFormat::Json,
        (_, true, _) => EvalFormat::Raw,
        (.., true) => EvalFormat::Xml { location: true },
        _ => EvalFormat::Instantiate,
    };
    let attr_paths = if args.source.attr.is_empty() { vec![String::new()] } else { args.source.attr };
    for attr_path in attr_paths {
        let strict = args.strict || matches!(format, EvalFormat::Json | EvalFormat::Xml { .. });
        let value = engine.eval(&EvalRequest {
            source: source.clone(),
            attr_path,
            args: auto_args(&args.eval),
            habits: Habits::Instantiate,
            format,
            strict,
        })?;
        output::data(&value)?;
    }
    Ok(ExitCode::SUCCESS)
}

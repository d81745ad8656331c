//! `nopal repl`

use super::installables::source;
use crate::args::{BuildArgs, EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::repl;
use crate::settings::{Settings, auto_args};
use crate::ui::Verbosity;
use clap::Args;
use std::process::ExitCode;

/// Evaluate Nix expressions as you type them
///
/// Attributes of the expression that is named become variables. `:?` lists the commands. Lines are read from standard
/// input; on a terminal they can be edited, and the Tab key completes names.
///
///     nopal repl -f default.nix
///     nopal repl --expr 'import <nixpkgs> {}'
#[derive(Args, Debug)]
pub(crate) struct ReplArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    eval: EvalArgs,
    #[command(flatten)]
    build: BuildArgs,
}

/// Runs it.
pub(crate) fn run(mut context: Context, args: ReplArgs) -> Result<ExitCode, CliError> {
    let source = source(&args.source)?;
    if source.is_none() && !args.source.attr.is_empty() {
        return Err(CliError::usage_hint(
            "-A chooses from an expression, but none is named",
            "add -f FILE or --expr EXPR",
        ));
    }
    context.style.build_logs = args.build.print_build_logs;
    let engine = context.settings.with_eval(&args.eval)?.with_build(&args.build)?.open(context.style)?;
    repl::run(
        &engine,
        &repl::Request {
            banner: concat!("nopal ", env!("CARGO_PKG_VERSION"), " (Nix 2.34.8)\nType :? for help.").to_owned(),
            source,
            attr_paths: if args.source.attr.is_empty() { vec![String::new()] } else { args.source.attr },
            flakes: Vec::new(),
            args: auto_args(&args.eval),
            quiet: context.style.verbosity == Verbosity::Quiet,
            history: Settings::repl_history()?,
        },
    )
}

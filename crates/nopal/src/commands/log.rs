//! `nopal log`

use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::Args;
use std::process::ExitCode;

/// Print what the builder of a store path said
///
///     nopal log /nix/store/…-hello-2.12.drv
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// A derivation, or an output of one
    #[arg(value_name = "PATH")]
    path: String,
}

/// Runs it.
pub(crate) fn run(context: Context, args: &LogArgs) -> Result<ExitCode, CliError> {
    let engine = context.settings.open(context.style)?;
    output::data(&engine.build_log(&args.path)?)?;
    Ok(ExitCode::SUCCESS)
}

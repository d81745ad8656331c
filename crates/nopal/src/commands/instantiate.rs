//! `nopal instantiate`

use super::installables;
use crate::args::{DebianArgs, EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use crate::settings::auto_args;
use clap::Args;
use std::process::ExitCode;

/// Evaluate to derivations and print their store paths
///
/// The derivations are written to the store; nothing is built.
///
///     nopal instantiate -f default.nix -A hello
#[derive(Args, Debug)]
pub(crate) struct InstantiateArgs {
    /// Packages or store paths, such as `deb:hello`
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    eval: EvalArgs,
    #[command(flatten)]
    debian: DebianArgs,
}

/// Runs it.
pub(crate) fn run(context: Context, args: InstantiateArgs) -> Result<ExitCode, CliError> {
    let named = installables::all(&args.source, &args.packages)?;
    let engine = context.settings.with_eval(&args.eval)?.with_debian(&args.debian).open(context.style)?;
    let auto_args = auto_args(&args.eval);
    for what in &named {
        let wanted = engine.instantiate(what, &auto_args)?;
        output::lines(wanted.iter().map(|w| engine.config().store_dir.print(&w.drv_path)))?;
    }
    Ok(ExitCode::SUCCESS)
}

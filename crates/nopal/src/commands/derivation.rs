//! `nopal derivation`

use super::installables;
use crate::args::{DebianArgs, EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use crate::settings::auto_args;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Look at derivations
#[derive(Args, Debug)]
pub(crate) struct DerivationArgs {
    #[command(subcommand)]
    command: DerivationCommand,
}

#[derive(Debug, Subcommand)]
enum DerivationCommand {
    Show(ShowArgs),
}

/// Print derivations as JSON, in the form of `nix derivation show`
///
///     nopal derivation show -f default.nix -A hello
#[derive(Args, Debug)]
struct ShowArgs {
    /// Packages or store paths, such as `deb:hello`
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// Show the derivations these need, too
    #[arg(long, short)]
    recursive: bool,
    #[command(flatten)]
    eval: EvalArgs,
    #[command(flatten)]
    debian: DebianArgs,
}

/// Runs it.
pub(crate) fn run(context: Context, args: DerivationArgs) -> Result<ExitCode, CliError> {
    let DerivationCommand::Show(args) = args.command;
    let named = installables::all(&args.source, &args.packages)?;
    let engine = context.settings.with_eval(&args.eval)?.with_debian(&args.debian).open(context.style)?;
    let auto_args = auto_args(&args.eval);
    let mut drv_paths = Vec::new();
    for what in &named {
        drv_paths.extend(engine.instantiate(what, &auto_args)?.into_iter().map(|wanted| wanted.drv_path));
    }
    output::line(&engine.show_derivations(&drv_paths, args.recursive)?.to_pretty())?;
    Ok(ExitCode::SUCCESS)
}

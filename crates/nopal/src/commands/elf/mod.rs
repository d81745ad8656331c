//! `nopal elf`: programs and libraries as the dynamic loader sees them.

mod loader;
mod show;
mod tree;

use crate::cli::Context;
use crate::error::CliError;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Look at programs and libraries as the dynamic loader does
#[derive(Args, Debug)]
pub(crate) struct ElfArgs {
    #[command(subcommand)]
    command: ElfCommand,
}

#[derive(Debug, Subcommand)]
enum ElfCommand {
    Show(show::ShowArgs),
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &ElfArgs) -> Result<ExitCode, CliError> {
    match &args.command {
        ElfCommand::Show(args) => show::run(context, args),
    }
}

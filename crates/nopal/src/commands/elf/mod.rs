//! `nopal elf`: programs and libraries as the dynamic loader sees them, and changes to what it sees.

mod fast;
mod loader;
mod patch;
mod show;

use crate::cli::Context;
use crate::error::CliError;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Look at programs and libraries as the dynamic loader does, and change them
#[derive(Args, Debug)]
pub(crate) struct ElfArgs {
    #[command(subcommand)]
    command: ElfCommand,
}

#[derive(Debug, Subcommand)]
enum ElfCommand {
    Show(show::ShowArgs),
    Patch(patch::PatchArgs),
    Fast(fast::FastArgs),
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &ElfArgs) -> Result<ExitCode, CliError> {
    match &args.command {
        ElfCommand::Show(args) => show::run(context, args),
        ElfCommand::Fast(args) => fast::run(context, args),
        ElfCommand::Patch(args) => Ok(patch::run(args)),
    }
}

//! `nopal completions`

use crate::cli;
use crate::error::CliError;
use crate::output;
use clap::Args;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print completions for a shell
///
///     nopal completions bash > ~/.local/share/bash-completion/completions/nopal
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Runs it.
pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::whole(), "nopal", &mut script);
    output::data(&script)?;
    Ok(ExitCode::SUCCESS)
}

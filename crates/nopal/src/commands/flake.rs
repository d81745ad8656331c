//! `nopal flake`: the commands of `nix flake`, on nopal's own store.

use crate::args::GlobalArgs;
use crate::error::CliError;
use crate::nix;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;

/// Lock, show, check and make flakes
///
/// The commands are those of `nix flake` with their flags and output: `nopal flake --help` lists them, and
/// `nopal flake show --help` what one of them takes. No experimental feature needs to be on.
///
///     nopal flake init
///     nopal flake show github:NixOS/nixpkgs
///     nopal flake update
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct FlakeArgs {
    /// A command, and what it takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

/// Runs it.
pub(crate) fn run(global: GlobalArgs, args: FlakeArgs) -> Result<ExitCode, CliError> {
    nix::flake(global, args.words)
}

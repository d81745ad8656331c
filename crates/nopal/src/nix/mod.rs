//! The commands that go by Nix's names: links to this program called `nix`, `nix-instantiate`, `nix-build` and
//! `nix-store` take Nix's flags and print what Nix prints, as far as scripts rely on it.

mod build;
mod cli;
mod command;
mod flags;
mod instantiate;
mod store;

use crate::error::CliError;
use std::ffi::OsString;
use std::process::ExitCode;

/// The version of Nix that these commands follow.
pub(crate) const VERSION: &str = "2.34.8";

/// A command of Nix's: takes the words after its name.
type Program = fn(Vec<OsString>) -> Result<ExitCode, CliError>;

/// The command that goes by this name.
pub(crate) fn command(name: &str) -> Option<Program> {
    match name {
        "nix" => Some(command::main),
        "nix-instantiate" => Some(instantiate::main),
        "nix-build" => Some(build::main),
        "nix-store" => Some(store::main),
        _ => None,
    }
}

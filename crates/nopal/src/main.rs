//! The `nopal` command: parses the command line, asks the engine, shows what happens and how it ended.
//!
//! Everything that is about this process lives here and nowhere below: flags, environment, terminal, exit codes.

#![expect(clippy::print_stderr, reason = "the roof is where people are spoken to")]

mod args;
mod cli;
mod commands;
mod env_vars;
mod error;
mod home;
mod manual;
mod nix;
mod nix_conf;
mod output;
mod patchelf;
mod repl;
mod settings;
mod ui;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Evaluation makes many small and short-lived objects beside its values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(OsStr::to_str).unwrap_or_default();
    if name == "patchelf" {
        return patchelf::main(arguments());
    }
    match nix::command(name) {
        Some(_) if name != "nix" && arguments().iter().any(|word| word == "--help") => {
            error::conclude_as_nix(Err(nix::show_manual(name)), name)
        }
        Some(command) => error::conclude_as_nix(command(arguments()), name),
        None => error::conclude(cli::main()),
    }
}

/// The words after the program's name.
fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

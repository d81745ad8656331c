//! Chores of the house. `cargo xtask` lists them.

#![expect(clippy::print_stderr, reason = "a chore talks to the person who started it")]

mod setup;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Chores of the house.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Check the rules of the house: floors, lengths, idioms, dead files, dependencies, licences, formatting.
    Tidy {
        /// Leave out what runs cargo: licences and formatting.
        #[arg(long)]
        quick: bool,
    },
    /// Install what the tests need beside Rust (through apt, as root), or say what to install.
    Setup,
    /// Run all tests.
    Test {
        /// Use the profile of continuous integration: run all, show failures again at the end.
        #[arg(long)]
        ci: bool,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let root = root();
    let outcome = match args.chore {
        Chore::Tidy { quick } => tidy::run(&root, !quick),
        Chore::Setup => setup::run(),
        Chore::Test { ci } => test::run(&root, ci),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// The root of the repository: the parent of this crate.
fn root() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path
}

//! Chores of the house. `cargo xtask` lists them.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a chore talks to the person who started it")]

mod acceptance;
mod bench;
mod files;
mod fuzz;
mod nix;
mod oracle;
mod random;
mod setup;
mod smoke;
mod stubs;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
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
    /// Run the main job as an ordinary user in a root that holds nothing, online and offline.
    Acceptance(acceptance::Options),
    /// Pivot into a directory and become a program without capabilities; `acceptance` starts it.
    #[command(hide = true)]
    EnterEmptyRoot {
        /// The new root.
        root: PathBuf,
        /// The program and its arguments.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Measure ours beside Nix.
    Bench(bench::Options),
    /// Run a command and print what it cost; `bench` starts it.
    #[command(hide = true)]
    WatchCost {
        /// Takes the command's output.
        said: PathBuf,
        /// The program and its arguments.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Evaluate made-up and changed programs with ours and a real Nix, and show what differs.
    FuzzEval(fuzz::Options),
    /// Hold our expectations and ourselves against real Nix.
    Oracle(oracle::Options),
    /// Install what the tests need beside Rust (through apt, as root), or say what to install.
    Setup,
    /// Run Debian's hello as an ordinary user with an empty home.
    Smoke,
    /// Make the images that nopal puts into programs, or compare them with their sources.
    Stubs(stubs::Options),
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
        Chore::Acceptance(options) => acceptance::run(&options),
        Chore::EnterEmptyRoot { root, command } => acceptance::enter(&root, &command).map(|never| match never {}),
        Chore::Bench(options) => bench::run(&root, &options),
        Chore::WatchCost { said, command } => bench::watch(&said, &command),
        Chore::FuzzEval(options) => fuzz::run(&root, &options),
        Chore::Oracle(options) => oracle::run(&root, &options),
        Chore::Setup => setup::run(),
        Chore::Smoke => smoke::run(&root),
        Chore::Stubs(options) => stubs::run(&root, &options),
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

/// The root of the repository: the parent of this crate. Cargo says where that is; checkouts that share a target folder
/// share this program, too.
fn root() -> PathBuf {
    let of_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|path| path.ends_with("xtask"));
    let mut path = of_cargo.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    path.pop();
    path
}

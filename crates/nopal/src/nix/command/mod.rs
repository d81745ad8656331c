//! `nix` and its commands, a file each. A command is a table of what it takes and a function; a new one is named here.

mod build;
mod bundle;
mod config;
mod copy;
mod derivation;
mod develop;
mod edit;
mod environment;
mod eval;
mod flake;
mod hash;
mod lock_flags;
mod log;
mod nar;
mod path_info;
mod paths;
mod realisation;
mod registry;
mod repl;
mod run;
mod search;
mod shebang;
mod shell;
pub(crate) mod source;
mod store;
mod why_depends;

pub(crate) use lock_flags::lock_flags;

use super::VERSION;
use super::cli::{Action, Command, Outcome, help_text, parse};
use super::flags::Common;
use crate::args::GlobalArgs;
use crate::env_vars;
use crate::error::CliError;
use crate::output;
use std::ffi::OsString;
use std::process::ExitCode;

/// The program with all of its commands.
static NIX: Command = Command::group(
    "nix",
    "build software and look at it",
    &[
        build::COMMAND,
        bundle::COMMAND,
        config::COMMAND,
        copy::COMMAND,
        derivation::COMMAND,
        develop::DEVELOP,
        edit::COMMAND,
        shell::COMMAND,
        eval::COMMAND,
        flake::COMMAND,
        hash::COMMAND,
        store::KEY,
        log::COMMAND,
        nar::COMMAND,
        path_info::COMMAND,
        develop::PRINT,
        realisation::COMMAND,
        registry::COMMAND,
        repl::COMMAND,
        run::COMMAND,
        search::COMMAND,
        store::COMMAND,
        why_depends::COMMAND,
    ],
);

/// Other names of commands: the name, what it stands for, whether it is one that should not be used any more.
const ALIASES: &[(&str, &[&str], bool)] = &[
    ("add-to-store", &["store", "add-path"], true),
    ("cat-nar", &["nar", "cat"], true),
    ("cat-store", &["store", "cat"], true),
    ("copy-sigs", &["store", "copy-sigs"], true),
    ("dev-shell", &["develop"], true),
    ("diff-closures", &["store", "diff-closures"], true),
    ("doctor", &["config", "check"], true),
    ("dump-path", &["store", "dump-path"], true),
    ("hash-file", &["hash", "file"], true),
    ("hash-path", &["hash", "path"], true),
    ("ls-nar", &["nar", "ls"], true),
    ("ls-store", &["store", "ls"], true),
    ("make-content-addressable", &["store", "make-content-addressed"], true),
    ("optimise-store", &["store", "optimise"], true),
    ("ping-store", &["store", "info"], true),
    ("shell", &["env", "shell"], false),
    ("show-config", &["config", "show"], true),
    ("show-derivation", &["derivation", "show"], true),
    ("sign-paths", &["store", "sign"], true),
    ("to-base16", &["hash", "to-base16"], true),
    ("to-base32", &["hash", "to-base32"], true),
    ("to-base64", &["hash", "to-base64"], true),
    ("store ping", &["info"], true),
    ("verify", &["store", "verify"], true),
];

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let (words, folder) = shebang::expand(words)?;
    let complete = env_vars::NIX_GET_COMPLETIONS.text().and_then(|number| number.parse().ok());
    run_parsed(parse(&NIX, ALIASES, words, complete)?, &|common| common.set_base(folder.clone()))
}

/// The commands that nopal has in common with `nix`.
static NOPAL: Command = Command::group("nopal", "build software and run it", &[flake::COMMAND]);

/// Runs a command of `nix flake` as one of nopal's own.
pub(crate) fn flake(global: GlobalArgs, words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let words = std::iter::once(OsString::from("flake")).chain(words).collect();
    run_parsed(parse(&NOPAL, &[], words, None)?, &|common| common.be_native(global.clone()))
}

/// Does what a command line says; `prepare` has the last word on what all commands have in common.
fn run_parsed(outcome: Outcome, prepare: &dyn Fn(&mut Common)) -> Result<ExitCode, CliError> {
    match outcome {
        Outcome::Completions(lines) => output::lines(lines)?,
        Outcome::Help(path, mut line) => {
            prepare(&mut line.common);
            // flags may need a feature that is off
            line.context()?;
            output::data(help_text(&path).as_bytes())?;
        }
        Outcome::Version => output::line(&format!("nix (Nix) {VERSION}"))?,
        Outcome::Run(command, mut line) => {
            // unlike the old commands, these evaluate purely unless something says otherwise
            line.common.set_default("pure-eval", "true");
            line.common.speak_as_nix();
            prepare(&mut line.common);
            if let Some(feature) = command.feature {
                line.context()?.settings.require(feature)?;
            }
            return match command.action {
                Action::Run(run) => run(line),
                Action::Group(_) => Err(CliError::usage("no subcommand specified")),
            };
        }
    }
    Ok(ExitCode::SUCCESS)
}

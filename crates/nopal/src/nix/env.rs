//! `nix-env`: profiles are not kept yet; the command tells its version, and says so for everything else.

use super::flags::{Common, Word, Words};
use crate::error::CliError;
use crate::output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Flags that say what is to be done.
const OPERATIONS: &[&str] = &[
    "--install",
    "-i",
    "--uninstall",
    "-e",
    "--upgrade",
    "-u",
    "--set-flag",
    "--set",
    "--query",
    "-q",
    "--delete-generations",
    "--rollback",
    "--list-generations",
    "--switch-generation",
    "-G",
    "--switch-profile",
    "-S",
];

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut words = Words::new(words);
    let mut common = Common::default();
    let (mut operation, mut unknown) = (false, None);
    while let Some(word) = words.next()? {
        match word {
            Word::Flag(flag) if flag == "--version" => {
                output::line(&format!("nix-env (Nix) {}", super::VERSION))?;
                return Ok(ExitCode::SUCCESS);
            }
            Word::Flag(flag) if OPERATIONS.contains(&flag.as_str()) => operation = true,
            Word::Flag(flag) if common.take(&flag, &mut words)? => {}
            Word::Flag(flag) => unknown = Some(flag),
            Word::Operand(_) => {}
        }
    }
    match (operation, unknown) {
        (false, _) => Err(CliError::usage("no operation specified")),
        (true, Some(flag)) if flag.starts_with("--") => Err(CliError::usage(format!("unknown flag '{flag}'"))),
        (true, _) => {
            let message = "profiles are not kept yet: use 'nix build', 'nix run' or 'nix shell' instead of nix-env";
            Err(CliError::Found(message.to_owned()))
        }
    }
}

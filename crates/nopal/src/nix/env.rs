//! `nix-env`: profiles are not kept yet; the command tells its version, and says so for everything else.

use super::flags::{Common, Word, Words};
use crate::error::CliError;
use crate::output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut words = Words::new(words);
    let mut common = Common::default();
    while let Some(word) = words.next()? {
        match word {
            Word::Flag(flag) if flag == "--version" => {
                output::line(&format!("nix-env (Nix) {}", super::VERSION))?;
                return Ok(ExitCode::SUCCESS);
            }
            Word::Flag(flag) if common.take(&flag, &mut words)? => {}
            Word::Flag(_) | Word::Operand(_) => {
                let message = "profiles are not kept yet: use 'nix build', 'nix run' or 'nopal run' instead of nix-env";
                return Err(CliError::Found(message.to_owned()));
            }
        }
    }
    Err(CliError::usage("no operation specified"))
}

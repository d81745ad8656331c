//! `nix-collect-garbage`.

use super::flags::{Common, Word, Words, unknown_flag};
use super::store::garbage;
use crate::error::CliError;
use crate::output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut words = Words::new(words);
    let mut common = Common::default();
    let (mut dry_run, mut max_freed) = (false, None);
    while let Some(word) = words.next()? {
        let flag = match word {
            Word::Operand(operand) => return Err(CliError::usage(format!("unexpected argument '{operand}'"))),
            Word::Flag(flag) => flag,
        };
        match flag.as_str() {
            "--dry-run" => dry_run = true,
            "--max-freed" => {
                let text = words.value(&flag)?;
                max_freed = Some(garbage::bytes(&flag, &text)?);
            }
            // without profiles there are no old generations
            "--delete-old" | "-d" => {}
            "--delete-older-than" => drop(words.value(&flag)?),
            "--version" => {
                output::line(&format!("nix-collect-garbage (Nix) {}", super::VERSION))?;
                return Ok(ExitCode::SUCCESS);
            }
            _ if common.take(&flag, &mut words)? => {}
            _ => return Err(unknown_flag(&flag)),
        }
    }
    if dry_run && max_freed.is_some() {
        return Err(CliError::usage("options --max-freed and --dry-run cannot be combined"));
    }
    let context = common.context()?;
    let mut options = garbage::options(&context.settings);
    options.max_freed_bytes = max_freed;
    options.dry_run = dry_run;
    let engine = context.settings.open(context.style)?;
    garbage::sweep(&engine, &options)?;
    Ok(ExitCode::SUCCESS)
}

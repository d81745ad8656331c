//! Becoming another program.

use crate::error::CliError;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Becomes a program that is looked for in `PATH`; returns only if that fails.
pub(crate) fn replace<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> CliError {
    become_program(Command::new(program).args(arguments))
}

/// Becomes a program; returns only if that fails.
pub(crate) fn become_program(command: &mut Command) -> CliError {
    let error = command.exec();
    cannot_execute(Path::new(command.get_program()), &error)
}

/// Tells that a program could not be executed.
pub(crate) fn cannot_execute(program: &Path, error: &std::io::Error) -> CliError {
    CliError::Found(format!("unable to execute '{}': {}", program.display(), nopal_fs::words(error)))
}

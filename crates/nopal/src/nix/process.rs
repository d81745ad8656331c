//! Becoming another program.

use crate::error::CliError;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Becomes a program that is looked for in `PATH`; returns only if that fails.
pub(crate) fn replace<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> CliError {
    become_program(Command::new(program).args(arguments))
}

/// Becomes a program; returns only if that fails.
pub(crate) fn become_program(command: &mut Command) -> CliError {
    let error = command.exec();
    let program = command.get_program().to_string_lossy().into_owned();
    CliError::Found(format!("unable to execute '{program}': {error}"))
}

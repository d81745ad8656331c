//! `nix edit`: open the source of a package in an editor.

use super::source::What;
use crate::env_vars;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Line, SOURCE};
use crate::nix::process::replace;
use std::ffi::OsString;
use std::process::ExitCode;

/// `nix edit`.
pub(super) const COMMAND: Command = Command::new(
    "edit",
    "open the source of a package in $EDITOR",
    &[SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable)],
    run,
);

/// Editors that go to a line.
const WITH_LINES: [&str; 4] = ["emacs", "nano", "vim", "kak"];

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let lookup = line.lookup()?;
    let engine = line.engine()?;
    let target = lookup.target(&engine, line.arg(0).unwrap_or("."))?;
    let What::Installable(what) = &target.what else {
        return Err(CliError::Found(format!("cannot find position information for '{}", target.word)));
    };
    let (file, number) = engine.package_place(what, &line.auto_args())?;
    let editor = env_vars::EDITOR.text().unwrap_or_else(|| "cat".to_owned());
    let mut words: Vec<OsString> = editor.split_whitespace().map(OsString::from).collect();
    if number > 0 && WITH_LINES.iter().any(|name| editor.contains(name)) {
        words.push(format!("+{number}").into());
    }
    words.push(file.into());
    Err(replace(&words[0].to_string_lossy(), &words[1..]))
}

//! `nix edit`: open the source of a package in an editor.

use super::source::What;
use crate::env_vars;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Line, SOURCE};
use crate::nix::process::replace;
use nopal_engine::{EvalFormat, EvalRequest, Habits, Installable};
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
    let no_position = || CliError::Found(format!("cannot find position information for '{}", target.word));
    let What::Installable(Installable::Attr { source, attr_path }) = &target.what else { return Err(no_position()) };
    let attr_path = if attr_path.is_empty() { String::new() } else { format!("{attr_path}.") };
    let request = EvalRequest {
        source: source.clone(),
        attr_path: format!("{attr_path}meta.position"),
        args: line.auto_args(),
        habits: Habits::Eval { apply: None },
        format: EvalFormat::Raw,
        strict: true,
    };
    let place = engine.eval(&request).map_err(|_| no_position())?;
    let place = String::from_utf8_lossy(&place).into_owned();
    let bad = || CliError::Found(format!("cannot parse 'meta.position' attribute '{place}'"));
    let (file, number) = place.rsplit_once(':').ok_or_else(bad)?;
    let number: u32 = number.parse().map_err(|_| bad())?;
    let editor = env_vars::EDITOR.text().unwrap_or_else(|| "cat".to_owned());
    let mut words: Vec<String> = editor.split_whitespace().map(str::to_owned).collect();
    if number > 0 && WITH_LINES.iter().any(|name| editor.contains(name)) {
        words.push(format!("+{number}"));
    }
    words.push(file.to_owned());
    Err(replace(&words[0].clone(), &words[1..]))
}

//! `nix run`: run a program of a package.

use super::source::What;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, ENVIRONMENT, EVAL, FLAKE, Line, SOURCE};
use nopal_engine::Installable;
use std::ffi::OsString;
use std::process::ExitCode;

/// `nix run`.
pub(super) const COMMAND: Command = Command::new(
    "run",
    "run a program of a package",
    &[ENVIRONMENT, SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable), Arg::rest("args", Complete::Path)],
    run,
);

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let lookup = line.lookup()?;
    let mut context = line.context()?;
    super::environment::apply(&line, &mut context.settings)?;
    let engine = context.settings.open(context.style)?;
    let target = lookup.target(&engine, line.arg(0).unwrap_or("."))?;
    let what = match target.what {
        What::Installable(installable) => installable,
        What::Path(path) => Installable::StorePath(engine.config().store_dir.print(&path)),
    };
    let plan = engine.prepare_run(&what, &[], &line.auto_args(), None)?;
    let never = engine.run(plan, line.args.iter().skip(1).map(OsString::from).collect())?;
    match never {}
}

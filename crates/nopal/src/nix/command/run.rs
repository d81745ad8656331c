//! `nix run`: run a program of a flake or package.

use super::paths::realise_items;
use super::source::What;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, ENVIRONMENT, EVAL, FLAKE, Line, SOURCE};
use crate::nix::process::cannot_execute;
use nopal_build::run::RunError;
use nopal_engine::{EngineError, Installable, Purpose, RunPlan};
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
    let target = lookup.target_for(&engine, line.arg(0).unwrap_or("."), Purpose::App)?;
    let args = line.auto_args();
    let plan = match target.what {
        What::Installable(what @ Installable::Attr { .. }) => {
            let app = engine.app(&what, &args)?;
            realise_items(&engine, &line, app.needs.clone())?;
            let program = engine.app_program(&app)?;
            let (store_path, _) = engine.config().store_dir.split(&program.to_string_lossy())?;
            RunPlan { what: target.word, store_path, tree: None, program }
        }
        What::Installable(what) => engine.prepare_run(&what, &[], &args, None)?,
        What::Path(path) => {
            let what = Installable::StorePath(engine.config().store_dir.print(&path));
            engine.prepare_run(&what, &[], &args, None)?
        }
    };
    // the program begins where its caller is, also if a script names others relative to itself
    let folder = std::env::current_dir().map_err(CliError::WorkingDir)?;
    let variables = engine.config().environment.clone();
    let arguments = line.args.iter().skip(1).map(OsString::from).collect();
    match engine.run_in(plan, arguments, variables, folder) {
        Ok(never) => match never {},
        Err(EngineError::Run(RunError::Execute { program, source })) => Err(cannot_execute(&program, &source)),
        Err(error) => Err(error.into()),
    }
}

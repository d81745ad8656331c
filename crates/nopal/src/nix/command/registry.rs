//! `nix registry`: what short names of flakes stand for.

use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, Flag, Line};
use crate::output;
use nopal_engine::RegistryChange;
use std::path::Path;
use std::process::ExitCode;

const fn command(
    name: &'static str,
    about: &'static str,
    flags: &'static [&'static [Flag]],
    args: &'static [Arg],
    run: fn(Line) -> Result<ExitCode, CliError>,
) -> Command {
    Command::new(name, about, flags, args, run).behind(Some("flakes"))
}

const NAME: Arg = Arg::one("url", Complete::FlakeRef);

/// `nix registry`.
pub(super) const COMMAND: Command = Command::group(
    "registry",
    "manage what short names of flakes stand for",
    &[
        command(
            "add",
            "let a name stand for a flake",
            &[FILE, EVAL],
            &[Arg::one("from-url", Complete::FlakeRef), Arg::one("to-url", Complete::FlakeRef)],
            add,
        ),
        command("list", "list what names stand for", &[], &[], list),
        command(
            "pin",
            "let a name stand for a flake as it is now",
            &[FILE, EVAL],
            &[NAME, Arg::optional("locked", Complete::FlakeRef)],
            pin,
        ),
        command("remove", "let a name stand for nothing", &[FILE], &[NAME], remove),
        command("resolve", "tell what names stand for", &[], &[Arg::rest("flake-refs", Complete::FlakeRef)], resolve),
    ],
)
.behind(Some("flakes"));

const FILE: &[Flag] =
    &[Flag::new("registry", "Work on the registry in this file").takes(&["registry"]).completed(Complete::Path)];

fn change(line: &Line, change: &RegistryChange) -> Result<ExitCode, CliError> {
    line.engine()?.change_registry(line.value("registry").map(Path::new), change)?;
    Ok(ExitCode::SUCCESS)
}

fn word(line: &Line, index: usize) -> String {
    line.arg(index).unwrap_or_default().to_owned()
}

fn add(line: Line) -> Result<ExitCode, CliError> {
    change(&line, &RegistryChange::Add { from: word(&line, 0), to: word(&line, 1) })
}

fn remove(line: Line) -> Result<ExitCode, CliError> {
    change(&line, &RegistryChange::Remove { from: word(&line, 0) })
}

fn pin(line: Line) -> Result<ExitCode, CliError> {
    let from = word(&line, 0);
    let to = line.arg(1).map_or_else(|| from.clone(), str::to_owned);
    change(&line, &RegistryChange::Pin { from, to })
}

fn list(line: Line) -> Result<ExitCode, CliError> {
    let entries = line.engine()?.registry_entries()?;
    output::lines(entries.iter().map(|(registry, from, to)| format!("{registry:6} {from} {to}")))?;
    Ok(ExitCode::SUCCESS)
}

fn resolve(line: Line) -> Result<ExitCode, CliError> {
    let engine = line.engine()?;
    for text in &line.args {
        output::line(&engine.resolve_flake(text)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

//! `nix bundle`: give a program to a bundler, a function of a flake that makes something of it that works anywhere.

use super::paths::realise_items;
use super::source::What;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, Line, SOURCE};
use nopal_engine::{FlakeSource, Item, LockFlags, Purpose};
use std::path::Path;
use std::process::ExitCode;

/// `nix bundle`.
pub(super) const COMMAND: Command = Command::new(
    "bundle",
    "make a package work outside of the store",
    &[OWN, SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable)],
    run,
);

/// The bundlers that are used unless others are named.
const BUNDLERS: &str = "github:NixOS/bundlers";

const OWN: &[Flag] = &[
    Flag::new("bundler", "Use this bundler").takes(&["flake-url"]).completed(Complete::FlakeRef),
    Flag::new("out-link", "Name the link to the result").short('o').takes(&["path"]).completed(Complete::Path),
];

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let lookup = line.lookup()?;
    let context = line.context()?;
    let settings = context.settings.clone();
    let engine = context.settings.open(context.style)?;
    let target = lookup.target_for(&engine, line.arg(0).unwrap_or("."), Purpose::App)?;
    let What::Installable(what) = &target.what else {
        let message = format!("'{}' cannot be bundled because it is not a Nix value", target.word);
        return Err(CliError::Found(message));
    };
    let lock = LockFlags { write: false, ..LockFlags::default() };
    let bundler = line.value("bundler").unwrap_or(BUNDLERS);
    let bundler = FlakeSource::new(Purpose::Bundler, bundler, &engine.config().system, lock);
    let bundle = engine.bundle(what, &bundler, &line.auto_args())?;
    let output = bundle.wanted.output.clone();
    let built = realise_items(&engine, &line, vec![Item::Outputs(bundle.wanted)])?;
    let link = settings.absolute(Path::new(line.value("out-link").unwrap_or(&bundle.name)));
    for item in &built {
        if let Some(path) = item.output(&output) {
            engine.store()?.add_root(&link, &path)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

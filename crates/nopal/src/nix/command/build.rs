//! `nix build`: build, link, print.

use super::paths::{self, Resolved};
use super::source::targets;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, JSON, Line, SOURCE, STDIN};
use crate::nix::{missing, profile};
use crate::output;
use nopal_engine::{Engine, Item, RealiseOptions};
use nopal_format::StorePath;
use nopal_format::json::Json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `nix build`.
pub(super) const COMMAND: Command = Command::new(
    "build",
    "build what is named",
    &[OWN, JSON, STDIN, SOURCE, EVAL, FLAKE],
    &[Arg::rest("installables", Complete::Installable)],
    run,
);

const OWN: &[Flag] = &[
    Flag::new("dry-run", "Tell what would be built"),
    Flag::new("no-link", "Make no links"),
    Flag::new("out-link", "Name the link to the result").short('o').takes(&["path"]).completed(Complete::Path),
    Flag::new("print-out-paths", "Print the paths of the outputs"),
    Flag::new("profile", "Set this profile").takes(&["path"]).completed(Complete::Path),
    Flag::new("rebuild", "Build what is there again, and compare"),
];

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let lookup = line.lookup()?;
    let context = line.context()?;
    let link = context.settings.absolute(Path::new(line.value("out-link").unwrap_or("result")));
    let engine = context.settings.open(context.style)?;
    let targets = targets(&line, &lookup, &engine)?;
    if line.has("dry-run") {
        let mut wanted = Vec::new();
        for target in &targets {
            for item in target.items(&engine, &line)? {
                if let Item::Outputs(one) = item {
                    wanted.push(one);
                }
            }
        }
        missing::print_always(&engine, &wanted)?;
        if line.has("json") {
            line.print_json(&json(&engine, &paths::look_up(&engine, &line, &targets)?))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = RealiseOptions {
        check: line.has("rebuild"),
        keep_difference: engine.config().keep_failed,
        repair: line.has("repair"),
    };
    let built = paths::build(&engine, &line, &targets, &options)?;
    if line.has("json") {
        output::line(&json(&engine, &built).to_compact())?;
    }
    if !line.has("no-link") {
        make_links(&engine, &built, &link)?;
    }
    if let Some(profile) = line.value("profile") {
        let paths: Vec<StorePath> = built.iter().flat_map(Resolved::paths).collect();
        profile::set(&engine, Path::new(profile), &paths)?;
    }
    if line.has("print-out-paths") {
        let paths = built.iter().flat_map(Resolved::paths);
        output::lines(paths.map(|path| engine.config().store_dir.print(&path)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Links to what was built: `result`, `result-dev`, and for the second of what was named `result-1`.
pub(super) fn make_links(engine: &Engine, built: &[Resolved], link: &Path) -> Result<(), CliError> {
    let add = |number: usize, output: &str, path: &StorePath| -> Result<(), CliError> {
        let mut name = link.as_os_str().to_owned();
        if number > 0 {
            name.push(format!("-{number}"));
        }
        if output != "out" {
            name.push(format!("-{output}"));
        }
        Ok(engine.store()?.add_root(&PathBuf::from(name), path)?)
    };
    for (number, item) in built.iter().enumerate() {
        match item {
            Resolved::Path(path) => add(number, "out", path)?,
            Resolved::Built { outputs, .. } => {
                for (output, path) in outputs {
                    if let Some(path) = path {
                        add(number, output, path)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn json(engine: &Engine, items: &[Resolved]) -> Json {
    let print = |path: &StorePath| Json::String(engine.config().store_dir.print(path));
    let one = |item: &Resolved| match item {
        Resolved::Path(path) => print(path),
        Resolved::Built { drv, outputs } => {
            let outputs = outputs.iter().map(|(name, path)| (name.clone(), path.as_ref().map_or(Json::Null, print)));
            Json::object([("drvPath", print(drv)), ("outputs", Json::object(outputs))])
        }
    };
    Json::Array(items.iter().map(one).collect())
}

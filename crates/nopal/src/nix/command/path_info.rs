//! `nix path-info`: what is known of store paths.

use super::paths::{Realise, open, store_paths};
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, JSON, Line, PATHS, SOURCE, STDIN};
use crate::nix::size;
use crate::output;
use nopal_engine::Engine;
use nopal_format::json::Json;
use nopal_format::path_info::PathInfoFormat;
use nopal_format::{PathInfo, StorePath};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// `nix path-info`.
pub(super) const COMMAND: Command = Command::new(
    "path-info",
    "print what is known of store paths",
    &[OWN, PATHS, JSON, STDIN, SOURCE, EVAL, FLAKE],
    &[Arg::rest("installables", Complete::Installable)],
    run,
);

const OWN: &[Flag] = &[
    Flag::new("closure-size", "Print the size of all that is needed").short('S'),
    Flag::new("human-readable", "Print sizes with units").short('h'),
    Flag::new("json-format", "Choose the form of JSON: 1 or 2").takes(&["version"]),
    Flag::new("sigs", "Print signatures"),
    Flag::new("size", "Print the size").short('s'),
];

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let format = match line.value("json-format") {
        None => None,
        Some("1") => Some(PathInfoFormat::V1),
        Some("2") => Some(PathInfoFormat::V2),
        Some(other) => {
            let message = format!("unsupported path info JSON format version {other}; supported versions are 1 and 2");
            return Err(CliError::Found(message));
        }
    };
    let (engine, targets) = open(&mut line)?;
    let paths = store_paths(&engine, &line, &targets, Realise::Nothing)?;
    if line.has("json") {
        if format.is_none() {
            engine.config().reporter.warn(
                "'--json' without '--json-format' is deprecated; please specify '--json-format 1' or '--json-format 2'. \
                 This will become an error in a future release.",
            );
        }
        line.print_json(&json(&engine, &line, &paths, format.unwrap_or(PathInfoFormat::V1))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = engine.store()?;
    let width = paths.iter().map(|path| store.print(path).len()).max().unwrap_or_default();
    for path in &paths {
        let info = store.path_info(path)?;
        let mut text = store.print(path);
        if ["size", "closure-size", "sigs"].iter().any(|flag| line.has(flag)) {
            text = format!("{text:width$}");
        }
        let column = |bytes: u64| match line.has("human-readable") {
            true => format!("\t{}", size::aligned(bytes)),
            false => format!("\t{bytes:>11}"),
        };
        if line.has("size") {
            text += &column(info.nar_size);
        }
        if line.has("closure-size") {
            text += &column(closure_size(&engine, path)?);
        }
        if line.has("sigs") {
            text += &format!("\t{}", signatures(&info));
        }
        output::line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn signatures(info: &PathInfo) -> String {
    let ultimate = info.ultimate.then(|| "ultimate".to_owned());
    let ca = info.ca.as_ref().map(|ca| format!("ca:{ca}"));
    let words = ultimate.into_iter().chain(ca).chain(info.signatures.iter().map(ToString::to_string));
    words.collect::<Vec<_>>().join(" ")
}

fn closure_size(engine: &Engine, path: &StorePath) -> Result<u64, CliError> {
    let closure = engine.store()?.closure_infos(std::slice::from_ref(path))?;
    Ok(closure.iter().map(|info| info.nar_size).sum())
}

fn json(engine: &Engine, line: &Line, paths: &[StorePath], format: PathInfoFormat) -> Result<Json, CliError> {
    let store = engine.store()?;
    let store_dir = Json::String(store.store_dir().to_string());
    let mut all: BTreeMap<String, Json> = BTreeMap::new();
    for path in paths {
        let key = match format {
            PathInfoFormat::V1 => store.print(path),
            PathInfoFormat::V2 => path.base_name(),
        };
        let mut entry = Json::Null;
        if let Some(info) = store.find_path_info(path)? {
            entry = info.to_json(store.store_dir(), format);
            if let Json::Object(fields) = &mut entry {
                fields.insert("storeDir".to_owned(), store_dir.clone());
                if line.has("closure-size") {
                    fields.insert("closureSize".to_owned(), closure_size(engine, path)?.into());
                }
            }
        }
        all.insert(key, entry);
    }
    Ok(match format {
        PathInfoFormat::V1 => Json::Object(all),
        PathInfoFormat::V2 => {
            Json::object([("version", 2.into()), ("storeDir", store_dir), ("info", Json::Object(all))])
        }
    })
}

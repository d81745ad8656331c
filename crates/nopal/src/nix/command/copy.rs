//! `nix copy`: between this store, stores elsewhere on the machine, and binary caches in folders.

use super::build::make_links;
use super::paths::{Realise, Resolved, open, store_paths};
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, Line, PATHS, SOURCE, STDIN};
use crate::nix::profile;
use crate::settings::Settings;
use nopal_engine::Engine;
use nopal_format::StorePath;
use nopal_format::signature::SecretKey;
use nopal_store::{CacheCompression, CacheImport, CacheOptions, Direction, Store};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `nix copy`.
pub(super) const COMMAND: Command = Command::new(
    "copy",
    "copy store paths between stores",
    &[OWN, PATHS, STDIN, SOURCE, EVAL, FLAKE],
    &[Arg::rest("installables", Complete::Installable)],
    run,
);

const OWN: &[Flag] = &[
    Flag::new("from", "Copy from this store").takes(&["store-uri"]),
    Flag::new("to", "Copy to this store").takes(&["store-uri"]),
    Flag::new("no-check-sigs", "Accept what nobody has signed"),
    Flag::new("out-link", "Make links to what was copied").short('o').takes(&["path"]).completed(Complete::Path),
    Flag::new("profile", "Set this profile").takes(&["path"]).completed(Complete::Path),
    Flag::new("no-recursive", "Copy the paths alone, not what they need"),
    Flag::new("substitute-on-destination", "Let the other store fetch what it can").short('s'),
];

/// The other end.
enum Other {
    Cache { folder: PathBuf, options: Box<CacheOptions> },
    Store(Store),
}

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let (from, to) = (line.value("from").map(str::to_owned), line.value("to").map(str::to_owned));
    let settings = line.context()?.settings;
    let trust = trust(&line, &settings)?;
    match (from, to) {
        (None, None) => Err(CliError::usage("you must pass '--from' and/or '--to'")),
        (Some(_), Some(_)) => Err(CliError::Found(
            "copying between two other stores is not supported yet: use one of --from, --to".to_owned(),
        )),
        (None, Some(uri)) => {
            let (engine, targets) = open(&mut line)?;
            let mut paths = store_paths(&engine, &line, &targets, Realise::Outputs)?;
            let store = engine.store()?;
            if !line.has("no-recursive") {
                paths = store.closure(&paths, Direction::References)?;
            }
            send(&engine, &settings, &uri, &paths, &trust)?;
            Ok(ExitCode::SUCCESS)
        }
        (Some(uri), None) => {
            let lookup = line.lookup()?;
            let engine = line.engine()?;
            let mut paths: Vec<StorePath> = Vec::new();
            let targets = super::source::targets(&line, &lookup, &engine)?;
            let named = super::paths::look_up(&engine, &line, &targets)?;
            paths.extend(named.iter().flat_map(Resolved::paths));
            let wanted = paths.clone();
            let store = engine.store()?;
            match other(&engine, &settings, &uri)? {
                Other::Cache { folder, .. } => drop(store.import_from_cache(&folder, &paths, &trust)?),
                Other::Store(there) => {
                    if line.has("all") {
                        paths = there.all_valid_paths()?.into_iter().collect();
                    }
                    if !line.has("no-recursive") {
                        paths = there.closure(&paths, Direction::References)?;
                    }
                    store.copy_from(&there, &paths, &trust)?;
                }
            }
            if let Some(link) = line.value("out-link") {
                make_links(&engine, &named, &settings.absolute(Path::new(link)))?;
            }
            if let Some(profile) = line.value("profile") {
                profile::set(&engine, Path::new(profile), &wanted)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Copies paths to another store. What outputs turned out to be goes along.
pub(super) fn send(
    engine: &Engine,
    settings: &Settings,
    uri: &str,
    paths: &[StorePath],
    trust: &CacheImport,
) -> Result<(), CliError> {
    let store = engine.store()?;
    match other(engine, settings, uri)? {
        Other::Cache { folder, options } => {
            store.export_to_cache(&folder, paths, &options)?;
            let mut known = Vec::new();
            for path in paths {
                known.extend(store.realisations_of(path)?);
            }
            if !known.is_empty() {
                store.export_realisations(&folder, &known)?;
            }
        }
        Other::Store(there) => {
            there.copy_from(store, paths, trust)?;
            for path in paths {
                there.register_realisations(&store.realisations_of(path)?)?;
            }
        }
    }
    Ok(())
}

fn bad(error: impl std::fmt::Display) -> CliError {
    CliError::Found(error.to_string())
}

pub(super) fn trust(line: &Line, settings: &Settings) -> Result<CacheImport, CliError> {
    let keys = settings.conf().words("trusted-public-keys");
    Ok(CacheImport {
        trusted_keys: keys.iter().map(|key| key.parse().map_err(bad)).collect::<Result<_, _>>()?,
        accept_unsigned: line.has("no-check-sigs") || !settings.conf().flag("require-sigs"),
    })
}

fn other(engine: &Engine, settings: &Settings, uri: &str) -> Result<Other, CliError> {
    let Some(rest) = uri.strip_prefix("file://").or_else(|| uri.strip_prefix("file:")) else {
        let config = settings.store_at(uri)?;
        let config =
            config.ok_or_else(|| CliError::Found(format!("'{uri}' is the store that is copied from or to")))?;
        return Ok(Other::Store(Store::open(config, engine.config().reporter.clone())?));
    };
    let (folder, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut options =
        CacheOptions { compression: CacheCompression::Xz, level: None, secret_key: None, skip_existing: true };
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match (name, value) {
            ("compression", "none") => options.compression = CacheCompression::None,
            ("compression", "zstd") => options.compression = CacheCompression::Zstd,
            ("compression", "xz") => options.compression = CacheCompression::Xz,
            ("compression", other) => return Err(CliError::Found(format!("unsupported compression '{other}'"))),
            ("compression-level", level) => {
                let level =
                    level.parse::<i32>().map_err(|_| bad(format!("setting '{name}' has invalid value '{level}'")))?;
                options.level = Some(level).filter(|level| *level >= 0);
            }
            ("secret-key", file) => {
                let key = nopal_fs::read_to_string(Path::new(file))?;
                options.secret_key = Some(key.trim().parse::<SecretKey>().map_err(bad)?);
            }
            _ => {}
        }
    }
    Ok(Other::Cache { folder: settings.absolute(Path::new(folder)), options: Box::new(options) })
}

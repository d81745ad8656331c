//! `nopal store info`, `path-info`, `closure`, `references`, `referrers`: what the database knows.

use super::valid;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_engine::Engine;
use nopal_format::json::Json;
use nopal_format::path_info::{PathInfoFormat, path_infos_to_json};
use nopal_format::{PathInfo, StorePath};
use nopal_store::Direction;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Say where the store is and what is in it
#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `info`.
pub(crate) fn info(engine: &Engine, args: &InfoArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    let infos = store.all_path_infos()?;
    let nar_bytes: u64 = infos.iter().map(|info| info.nar_size).sum();
    let free_bytes = nopal_fs::disk_free_bytes(store.physical_dir())?;
    let physical = store.physical_dir().display().to_string();
    let store_dir = store.store_dir().to_string();
    if args.json {
        output::json(&json!({
            "storeDir": store_dir, "physicalDir": physical, "validPaths": infos.len(), "narBytes": nar_bytes,
            "freeBytes": free_bytes,
        }))?;
    } else {
        output::line(&format!("store directory: {store_dir}"))?;
        output::line(&format!("kept in: {physical}"))?;
        output::line(&format!("valid paths: {}, {} as archives", infos.len(), megabytes(nar_bytes)))?;
        output::line(&format!("free space: {}", megabytes(free_bytes)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Print what is known of store paths
///
/// Without `--json`, a line each: the path, its size, and with `--closure-size` that of all it needs.
#[derive(Args, Debug)]
pub(crate) struct PathInfoArgs {
    /// Store paths, or links to them
    #[arg(required_unless_present = "all", value_name = "PATH")]
    paths: Vec<String>,
    /// All valid paths
    #[arg(long, conflicts_with = "paths")]
    all: bool,
    /// Add all paths that these need
    #[arg(long, short)]
    recursive: bool,
    /// Print the size of the closure, too
    #[arg(long, short = 'S')]
    closure_size: bool,
    /// Print everything as JSON, in the form of `nix path-info --json`
    #[arg(long)]
    json: bool,
}

/// Runs `path-info`.
pub(crate) fn path_info(engine: &Engine, args: &PathInfoArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    let infos: Vec<PathInfo> = if args.all {
        store.all_path_infos()?
    } else {
        let paths = valid(engine, &args.paths)?;
        match args.recursive {
            true => store.closure_infos(&paths)?,
            false => paths.iter().map(|path| store.path_info(path)).collect::<Result<_, _>>()?,
        }
    };
    let mut closure_sizes: BTreeMap<StorePath, u64> = BTreeMap::new();
    if args.closure_size {
        for info in &infos {
            let closure = store.closure_infos(std::slice::from_ref(&info.path))?;
            closure_sizes.insert(info.path.clone(), closure.iter().map(|i| i.nar_size).sum());
        }
    }
    if args.json {
        let entries = infos.iter().map(|info| {
            let mut entry = info.to_json(store.store_dir(), PathInfoFormat::V1);
            if let (Json::Object(fields), Some(size)) = (&mut entry, closure_sizes.get(&info.path)) {
                fields.insert("closureSize".to_owned(), (*size).into());
            }
            (&info.path, Some(entry))
        });
        output::line(&path_infos_to_json(store.store_dir(), PathInfoFormat::V1, entries).to_pretty())?;
    } else {
        output::lines(infos.iter().map(|info| {
            let closure = closure_sizes.get(&info.path).map(|size| format!("\t{size}")).unwrap_or_default();
            format!("{}\t{}{closure}", store.print(&info.path), info.nar_size)
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Print everything that store paths need, themselves included
#[derive(Args, Debug)]
pub(crate) struct ClosureArgs {
    /// Store paths, or links to them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Print what needs them instead
    #[arg(long)]
    referrers: bool,
}

/// Runs `closure`.
pub(crate) fn closure(engine: &Engine, args: &ClosureArgs) -> Result<ExitCode, CliError> {
    let direction = if args.referrers { Direction::Referrers } else { Direction::References };
    let closure = engine.store()?.closure(&valid(engine, &args.paths)?, direction)?;
    print_paths(engine, &closure)
}

/// Print what store paths refer to directly
#[derive(Args, Debug)]
pub(crate) struct ReferencesArgs {
    /// Store paths, or links to them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
}

/// Runs `references`.
pub(crate) fn references(engine: &Engine, args: &ReferencesArgs) -> Result<ExitCode, CliError> {
    for path in valid(engine, &args.paths)? {
        print_paths(engine, &engine.store()?.references(&path)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Print what refers to store paths directly
#[derive(Args, Debug)]
pub(crate) struct ReferrersArgs {
    /// Store paths, or links to them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
}

/// Runs `referrers`.
pub(crate) fn referrers(engine: &Engine, args: &ReferrersArgs) -> Result<ExitCode, CliError> {
    for path in valid(engine, &args.paths)? {
        print_paths(engine, &engine.store()?.referrers(&path)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_paths<'a>(engine: &Engine, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    output::lines(paths.into_iter().map(|path| store.print(path)))?;
    Ok(ExitCode::SUCCESS)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

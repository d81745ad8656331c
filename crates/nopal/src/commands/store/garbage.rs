//! `nopal store roots`, `gc`, `verify`: what is kept, what goes, and whether all of it is whole.

use super::resolve;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_engine::Engine;
use nopal_store::{GcOptions, GcScope, VerifyOptions};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print what keeps store paths from being collected, or add and remove roots
///
/// A root is a link somewhere on the disk, a program that runs, or an open store.
#[derive(Args, Debug)]
pub(crate) struct RootsArgs {
    /// Make this link to the store path and keep what it points to
    #[arg(long, num_args = 2, value_names = ["LINK", "PATH"])]
    add: Vec<String>,
    /// Remove a root made so
    #[arg(long, value_name = "LINK")]
    remove: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `roots`.
pub(crate) fn roots(engine: &Engine, args: &RootsArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    if let [link, path] = args.add.as_slice() {
        let (path, _) = resolve(engine, path)?;
        store.add_temp_root(&path)?;
        store.add_root(&engine.config().working_dir.join(link), &path)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(link) = &args.remove {
        let link = engine.config().working_dir.join(link);
        return match store.remove_root(&link)? {
            true => Ok(ExitCode::SUCCESS),
            false => Err(CliError::usage(format!("{} is no root", link.display()))),
        };
    }
    let roots = store.roots()?;
    let rows = roots.iter().map(|root| (root.reason.to_string(), store.print(&root.path)));
    if args.json {
        output::json(&rows.map(|(reason, path)| json!({ "root": reason, "path": path })).collect())?;
    } else {
        output::lines(rows.map(|(reason, path)| format!("{reason} -> {path}")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Remove store paths that no root needs
///
/// May run while builds and programs do: what they use stays.
#[derive(Args, Debug)]
pub(crate) struct GcArgs {
    /// Remove these paths only; an error if one of them is needed
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Print what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop when this many bytes are free again
    #[arg(long, value_name = "BYTES")]
    max: Option<u64>,
    /// Keep the outputs of derivations that are kept, where they are there
    #[arg(long)]
    keep_outputs: bool,
    /// Do not keep the derivations of outputs that are kept
    #[arg(long)]
    no_keep_derivations: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `gc`.
pub(crate) fn gc(engine: &Engine, args: &GcArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    let mut options = GcOptions { dry_run: args.dry_run, max_freed_bytes: args.max, ..GcOptions::default() };
    options.keep_outputs = args.keep_outputs;
    options.keep_derivations = !args.no_keep_derivations;
    if !args.paths.is_empty() {
        let paths = args.paths.iter().map(|word| Ok(resolve(engine, word)?.0)).collect::<Result<_, CliError>>()?;
        options.scope = GcScope::Only(paths);
    }
    let report = store.collect_garbage(&options)?;
    let deleted: Vec<String> = report.deleted.iter().map(|path| store.print(path)).collect();
    if args.json {
        output::json(&json!({
            "deleted": deleted, "freedBytes": report.freed_bytes, "livePaths": report.live, "litter": report.litter,
            "dryRun": args.dry_run,
        }))?;
    } else {
        output::lines(&deleted)?;
        let verb = if args.dry_run { "would be removed" } else { "removed" };
        let freed = report.freed_bytes as f64 / 1e6;
        store.reporter().message(
            nopal_report::Level::Notice,
            format!("store paths: {} {verb}, {freed:.1} MB; {} stay", deleted.len(), report.live),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Check that every valid path is there and whole
///
/// Without `--contents`, only that it is there and that the database fits together. The exit code is 1 if anything is
/// wrong.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Read everything and compare hashes
    #[arg(long)]
    contents: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `verify`.
pub(crate) fn verify(engine: &Engine, args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    let threads = crate::nix_conf::processors();
    let report = store.verify(&VerifyOptions { contents: args.contents, threads, ..VerifyOptions::default() })?;
    let of_paths = report.problems.iter().map(|p| format!("{}: {}", store.print(&p.path), p.problem));
    let problems: Vec<String> = report.database.iter().cloned().chain(of_paths).collect();
    if args.json {
        output::json(&json!({ "paths": report.paths, "bytes": report.bytes, "problems": problems }))?;
    } else {
        output::lines(&problems)?;
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(CliError::Found(format!("problems found: {}, in a store of {} paths", problems.len(), report.paths)))
}

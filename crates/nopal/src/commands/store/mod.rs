//! `nopal store`: the store itself, path by path.

mod cache;
mod contents;
mod garbage;
mod query;

use crate::cli::Context;
use crate::error::CliError;
use clap::{Args, Subcommand};
use nopal_engine::Engine;
use nopal_format::StorePath;
use std::process::ExitCode;

/// Look at the store and take care of it
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    Info(query::InfoArgs),
    PathInfo(query::PathInfoArgs),
    Closure(query::ClosureArgs),
    References(query::ReferencesArgs),
    Referrers(query::ReferrersArgs),
    Add(contents::AddArgs),
    Cat(contents::CatArgs),
    Ls(contents::LsArgs),
    Dump(contents::DumpArgs),
    Restore(contents::RestoreArgs),
    Export(cache::ExportArgs),
    Import(cache::ImportArgs),
    Roots(garbage::RootsArgs),
    Gc(garbage::GcArgs),
    Verify(garbage::VerifyArgs),
}

/// Runs it.
pub(crate) fn run(context: Context, args: StoreArgs) -> Result<ExitCode, CliError> {
    let engine = context.settings.open(context.style)?;
    match args.command {
        StoreCommand::Info(args) => query::info(&engine, &args),
        StoreCommand::PathInfo(args) => query::path_info(&engine, &args),
        StoreCommand::Closure(args) => query::closure(&engine, &args),
        StoreCommand::References(args) => query::references(&engine, &args),
        StoreCommand::Referrers(args) => query::referrers(&engine, &args),
        StoreCommand::Add(args) => contents::add(&engine, &args),
        StoreCommand::Cat(args) => contents::cat(&engine, &args),
        StoreCommand::Ls(args) => contents::ls(&engine, &args),
        StoreCommand::Dump(args) => contents::dump(&engine, &args),
        StoreCommand::Restore(args) => contents::restore(&args),
        StoreCommand::Export(args) => cache::export(&engine, &args),
        StoreCommand::Import(args) => cache::import(&engine, &args),
        StoreCommand::Roots(args) => garbage::roots(&engine, &args),
        StoreCommand::Gc(args) => garbage::gc(&engine, &args),
        StoreCommand::Verify(args) => garbage::verify(&engine, &args),
    }
}

/// The store path that a word names: with or without the store directory, and perhaps something below it, or a link
/// to one such as `result`.
pub(crate) fn resolve(engine: &Engine, word: &str) -> Result<(StorePath, String), CliError> {
    let store_dir = &engine.config().store_dir;
    let bare = |text: &str| format!("{store_dir}/{text}");
    let text = if word.starts_with('/') {
        word.to_owned()
    } else if StorePath::from_base_name(word.split('/').next().unwrap_or_default()).is_ok() {
        bare(word)
    } else {
        word.to_owned()
    };
    let split = |text: &str| store_dir.split(text).map(|(path, rest)| (path, rest.trim_matches('/').to_owned()));
    if let Ok(found) = split(&text) {
        return Ok(found);
    }
    // a link to an output points into the physical store, or names the logical one
    let link = engine.config().working_dir.join(&text);
    if let Ok(target) = nopal_fs::read_link(&link) {
        let target = target.to_string_lossy().into_owned();
        let physical = engine.store()?.physical_dir().display().to_string();
        let logical =
            target.strip_prefix(&physical).map_or_else(|| target.clone(), |rest| format!("{store_dir}{rest}"));
        if let Ok(found) = split(&logical) {
            return Ok(found);
        }
    }
    split(&text)
        .map_err(|error| CliError::usage_hint(error.to_string(), format!("a store path begins with {store_dir}/")))
}

/// The valid store paths that words name, each protected from collection from now on.
fn valid(engine: &Engine, words: &[String]) -> Result<Vec<StorePath>, CliError> {
    let store = engine.store()?;
    let paths = words.iter().map(|word| Ok(resolve(engine, word)?.0)).collect::<Result<Vec<_>, CliError>>()?;
    store.add_temp_roots(&paths)?;
    for path in &paths {
        // says which one is not valid, and what that means
        store.path_info(path)?;
    }
    Ok(paths)
}

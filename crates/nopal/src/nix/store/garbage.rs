//! `nix-store --gc` and `--delete`.

use super::Request;
use crate::error::CliError;
use crate::output;
use crate::settings::Settings;
use nopal_engine::Engine;
use nopal_report::Level;
use nopal_store::{GcOptions, GcReport, GcScope, Root, RootReason, Store, StoreError};

/// A number of bytes, perhaps with a unit.
pub(in crate::nix) fn bytes(flag: &str, text: &str) -> Result<u64, CliError> {
    let number = crate::nix_conf::number(text);
    number.ok_or_else(|| CliError::usage(format!("'{flag}' requires an integer argument")))
}

/// What the settings say about what is alive.
pub(in crate::nix) fn options(settings: &Settings) -> GcOptions {
    GcOptions {
        keep_derivations: settings.conf().flag("keep-derivations"),
        keep_outputs: settings.conf().flag("keep-outputs"),
        ..GcOptions::default()
    }
}

/// `--gc`.
pub(super) fn collect(engine: &Engine, settings: &Settings, request: &Request) -> Result<(), CliError> {
    if let Some(flag) =
        request.flags.iter().find(|flag| !["--print-roots", "--print-live", "--print-dead"].contains(&flag.as_str()))
    {
        return Err(CliError::usage(format!("bad sub-operation '{flag}' in GC")));
    }
    request.no_operands()?;
    if request.max_freed.is_some() && !request.flags.is_empty() {
        return Err(CliError::usage(
            "option --max-freed cannot be combined with --print-live, --print-dead, or --print-roots",
        ));
    }
    let store = engine.store()?;
    if request.has("--print-roots") {
        let mut lines: Vec<String> = shown_roots(&store.roots()?)
            .map(|root| format!("\"{}\" -> {}", root.reason, store.print(&root.path)))
            .collect();
        lines.sort_unstable();
        return output::lines(lines);
    }
    let mut options = options(settings);
    options.max_freed_bytes = request.max_freed;
    options.dry_run = !request.flags.is_empty();
    if !options.dry_run {
        return sweep(engine, &options);
    }
    let dead = told(store, &options)?.deleted;
    let listed: Vec<_> = match request.has("--print-live") {
        false => dead,
        true => store.all_valid_paths()?.into_iter().filter(|path| !dead.contains(path)).collect(),
    };
    output::lines(listed.iter().map(|path| store.print(path)))
}

/// The roots that are shown: those that outlive the process that asks.
pub(in crate::nix) fn shown_roots(roots: &[Root]) -> impl Iterator<Item = &Root> {
    roots.iter().filter(|root| !matches!(root.reason, RootReason::OpenStore(_)))
}

/// Collects garbage, or only looks for it, and tells when that begins.
fn told(store: &Store, options: &GcOptions) -> Result<GcReport, StoreError> {
    store.reporter().message(Level::Notice, "finding garbage collector roots...");
    if options.dry_run {
        store.reporter().message(Level::Notice, "determining live/dead paths...");
    }
    store.collect_garbage(options)
}

/// Collects garbage and tells of it as Nix does, or tells how much there is.
pub(in crate::nix) fn sweep(engine: &Engine, options: &GcOptions) -> Result<(), CliError> {
    let report = told(engine.store()?, options)?;
    if options.dry_run {
        return output::line(&format!("{} store paths would be deleted", report.deleted.len()));
    }
    tell(engine, &report)
}

fn tell(engine: &Engine, report: &GcReport) -> Result<(), CliError> {
    let store = engine.store()?;
    for path in &report.deleted {
        store.reporter().message(Level::Notice, format!("deleting '{}'", store.print(path)));
    }
    let freed = crate::nix::size::render(report.freed_bytes);
    output::line(&format!("{} store paths deleted, {freed} freed", report.deleted.len()))
}

/// `--delete`.
pub(super) fn delete(engine: &Engine, settings: &Settings, request: &Request) -> Result<(), CliError> {
    request.only(&["--ignore-liveness"])?;
    let paths = request.operands.iter().map(|word| Ok(super::resolve(engine, word)?.0));
    delete_paths(engine, settings, paths.collect::<Result<Vec<_>, CliError>>()?, request.has("--ignore-liveness"))
}

/// Deletes paths that nothing needs.
pub(in crate::nix) fn delete_paths(
    engine: &Engine,
    settings: &Settings,
    paths: Vec<nopal_format::StorePath>,
    ignore_liveness: bool,
) -> Result<(), CliError> {
    let store = engine.store()?;
    let valid = store.valid_of(&paths)?;
    let mut options = options(settings);
    options.scope = GcScope::Only(valid);
    options.ignore_liveness = ignore_liveness;
    let report = match told(store, &options) {
        Err(StoreError::InUse { path, .. }) => {
            output::line("0 store paths deleted, 0.0 KiB freed")?;
            return Err(CliError::Found(format!(
                "Cannot delete path '{path}' since it is still alive. To find out why, use: nix-store --query --roots \
                 and nix-store --query --referrers"
            )));
        }
        other => other?,
    };
    tell(engine, &report)
}

//! `nix flake` and its commands.

use super::copy::{send, trust};
use super::lock_flags;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, JSON, Line};
use crate::nix::failures;
use crate::output;
use nopal_engine::{CheckOptions, Engine, LockFlags, RealiseOptions, ShowOptions, Wanted, as_error};
use nopal_format::StorePath;
use nopal_format::json::Json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const URL: &[Arg] = &[Arg::optional("flake-url", Complete::FlakeRef)];

const fn command(
    name: &'static str,
    about: &'static str,
    flags: &'static [&'static [Flag]],
    args: &'static [Arg],
    run: fn(Line) -> Result<ExitCode, CliError>,
) -> Command {
    Command::new(name, about, flags, args, run).behind(Some("flakes"))
}

/// `nix flake`.
pub(super) const COMMAND: Command = Command::group(
    "flake",
    "manage flakes",
    &[
        command("archive", "fetch a flake and all its inputs", &[ARCHIVE, JSON, EVAL, FLAKE], URL, archive),
        command("check", "check whether a flake evaluates, and build its checks", &[CHECK, EVAL, FLAKE], URL, check),
        command("clone", "clone the repository of a flake", &[CLONE, EVAL, FLAKE], URL, clone),
        command("info", "show what is known of a flake", &[JSON, EVAL, FLAKE], URL, info),
        command("init", "make a flake here from a template", &[TEMPLATE, EVAL], &[], init),
        command("lock", "lock what is not locked yet", &[EVAL, FLAKE], URL, lock),
        command("metadata", "show what is known of a flake", &[JSON, EVAL, FLAKE], URL, metadata),
        command(
            "new",
            "make a flake from a template",
            &[TEMPLATE, EVAL],
            &[Arg::one("dest-dir", Complete::Folder)],
            new,
        ),
        command("prefetch", "fetch the tree of a flake", &[PREFETCH, JSON, EVAL, FLAKE], URL, prefetch),
        command("show", "show the outputs of a flake", &[SHOW, JSON, EVAL, FLAKE], URL, show),
        command(
            "update",
            "lock inputs anew",
            &[UPDATE, EVAL, FLAKE],
            &[Arg::rest("inputs", Complete::FlakeInput)],
            update,
        ),
    ],
)
.behind(Some("flakes"));

const ARCHIVE: &[Flag] = &[
    Flag::new("dry-run", "Fetch nothing"),
    Flag::new("no-check-sigs", "Do not ask for signatures"),
    Flag::new("to", "Copy to this store").takes(&["store-uri"]),
];
const CHECK: &[Flag] =
    &[Flag::new("all-systems", "Check what is for other systems, too"), Flag::new("no-build", "Do not build checks")];
const CLONE: &[Flag] = &[Flag::new("dest", "Clone to this path").short('f').takes(&["path"]).completed(Complete::Path)];
const PREFETCH: &[Flag] =
    &[Flag::new("out-link", "Make a link to the tree").short('o').takes(&["path"]).completed(Complete::Path)];
const SHOW: &[Flag] = &[
    Flag::new("all-systems", "Show what is for other systems, too"),
    Flag::new("legacy", "Show the output legacyPackages, too"),
];
const TEMPLATE: &[Flag] =
    &[Flag::new("template", "Use this template").short('t').takes(&["template"]).completed(Complete::FlakeRef)];
const UPDATE: &[Flag] = &[Flag::new("flake", "Work on this flake").takes(&["flake-url"]).completed(Complete::FlakeRef)];

/// The flake that is named, or the one here.
fn url(line: &Line) -> &str {
    line.arg(0).unwrap_or(".")
}

fn metadata(mut line: Line) -> Result<ExitCode, CliError> {
    let flags = lock_flags(&mut line)?;
    let found = line.engine()?.flake_metadata(url(&line), &flags)?;
    if line.has("json") {
        line.print_json(&found.json)?;
    } else {
        output::lines(found.lines)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn info(mut line: Line) -> Result<ExitCode, CliError> {
    line.common.warn("'nix flake info' is a deprecated alias for 'nix flake metadata'".to_owned());
    metadata(line)
}

fn lock(mut line: Line) -> Result<ExitCode, CliError> {
    line.common.set_refresh();
    let flags = LockFlags { write: true, fail_on_unlocked: true, ..lock_flags(&mut line)? };
    line.engine()?.flake_lock(url(&line), &flags)?;
    Ok(ExitCode::SUCCESS)
}

fn update(mut line: Line) -> Result<ExitCode, CliError> {
    line.common.set_refresh();
    let mut flags = LockFlags { write: true, ..lock_flags(&mut line)? };
    for input in &line.args.clone() {
        let checked = nopal_format::flake::lock::parse_input_path(input)
            .map_err(|error| CliError::usage(error.to_string()))
            .and_then(|path| match path.is_empty() {
                false => Ok(path.join("/")),
                true => Err(CliError::usage(
                    "input path to be updated cannot be zero-length; it would refer to the flake itself, not an input",
                )),
            });
        let path = checked.inspect_err(|_| {
            eprintln!(
                "warning: Invalid flake input '{input}'. To update a specific flake, use 'nix flake update --flake {input}' \
                 instead."
            );
        })?;
        if flags.updates.contains(&path) {
            line.common
                .warn(format!("Input '{path}' was specified multiple times. You may have done this by accident."));
        }
        flags.updates.push(path);
    }
    flags.recreate |= flags.updates.is_empty();
    line.engine()?.flake_lock(line.value("flake").unwrap_or("."), &flags)?;
    Ok(ExitCode::SUCCESS)
}

fn show(mut line: Line) -> Result<ExitCode, CliError> {
    let flags = lock_flags(&mut line)?;
    let options =
        ShowOptions { legacy: line.has("legacy"), all_systems: line.has("all-systems"), json: line.has("json") };
    let mut failure = None;
    let json = line.engine()?.flake_show(url(&line), &flags, options, &mut |text| {
        if failure.is_none() {
            failure = output::line(text).err();
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    if options.json {
        line.print_json(&json)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(mut line: Line) -> Result<ExitCode, CliError> {
    let flags = lock_flags(&mut line)?;
    let no_build = line.has("no-build");
    let mut context = line.context()?;
    context.settings.evaluate_read_only(no_build);
    let engine = context.settings.open(context.style)?;
    let options =
        CheckOptions { all_systems: line.has("all-systems"), keep_going: engine.config().keep_going, no_build };
    let (checks, omitted) = engine.flake_check(url(&line), &flags, options)?;
    if !no_build && !checks.is_empty() {
        let planned = engine.plan(&checks)?.will_build.len();
        eprintln!("running {planned} flake checks...");
        run_checks(&engine, &line, &checks)?;
    }
    eprintln!("all checks passed!");
    if !omitted.is_empty() {
        let systems = omitted.into_iter().collect::<Vec<_>>().join(", ");
        eprintln!(
            "warning: The check omitted these incompatible systems: {systems}\nUse '--all-systems' to check all."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds checks. A failure is told by the attribute that it is of.
fn run_checks(engine: &Engine, line: &Line, checks: &[Wanted]) -> Result<(), CliError> {
    let failed = failures::collect(engine, checks, &RealiseOptions::default(), line.common.teller())?;
    let texts: Vec<String> = failed
        .iter()
        .map(|(drv_path, text)| {
            let named = checks.iter().find(|check| engine.config().store_dir.print(&check.drv_path) == *drv_path);
            match named {
                Some(check) => {
                    format!("failed to build attribute '{}', build of '{drv_path}^*' failed: {text}", check.attr)
                }
                None => format!("build of '{drv_path}^*' failed: {text}"),
            }
        })
        .collect();
    let Some(first) = texts.first() else { return Ok(()) };
    if !engine.config().keep_going {
        return Err(CliError::Found(first.clone()));
    }
    for text in &texts {
        eprintln!("{}", as_error(text));
    }
    Err(CliError::Found("some errors were encountered during the evaluation".to_owned()))
}

fn init(line: Line) -> Result<ExitCode, CliError> {
    line.engine()?.flake_init(line.value("template").unwrap_or("templates"), Path::new("."))?;
    Ok(ExitCode::SUCCESS)
}

fn new(line: Line) -> Result<ExitCode, CliError> {
    let destination = PathBuf::from(line.arg(0).unwrap_or("."));
    line.engine()?.flake_init(line.value("template").unwrap_or("templates"), &destination)?;
    Ok(ExitCode::SUCCESS)
}

fn clone(line: Line) -> Result<ExitCode, CliError> {
    let Some(destination) = line.value("dest") else {
        return Err(CliError::Found("missing flag '--dest'".to_owned()));
    };
    line.engine()?.flake_clone(url(&line), Path::new(destination))?;
    Ok(ExitCode::SUCCESS)
}

fn archive(mut line: Line) -> Result<ExitCode, CliError> {
    let flags = lock_flags(&mut line)?;
    let engine = line.engine()?;
    let (paths, json) = engine.flake_archive(url(&line), &flags, line.has("dry-run"))?;
    if let Some(uri) = line.value("to").filter(|_| !line.has("dry-run")) {
        let settings = line.context()?.settings;
        let paths: Vec<StorePath> = paths.into_iter().collect();
        send(&engine, &settings, uri, &paths, &trust(&line, &settings)?)?;
    }
    if line.has("json") {
        line.print_json(&json)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn prefetch(line: Line) -> Result<ExitCode, CliError> {
    let context = line.context()?;
    let link = line.value("out-link").map(|link| context.settings.absolute(Path::new(link)));
    let engine = context.settings.open(context.style)?;
    let found = engine.flake_prefetch(url(&line))?;
    let path = engine.config().store_dir.print(&found.store_path);
    if line.has("json") {
        let json = Json::object([
            ("storePath", Json::from(path)),
            ("hash", Json::from(found.hash.sri())),
            ("original", found.original),
            ("locked", found.locked),
        ]);
        line.print_json(&json)?;
    } else {
        eprintln!("Downloaded '{}' to '{path}' (hash '{}').", found.locked_text, found.hash.sri());
    }
    if let Some(link) = link {
        engine.store()?.add_root(&link, &found.store_path)?;
    }
    Ok(ExitCode::SUCCESS)
}

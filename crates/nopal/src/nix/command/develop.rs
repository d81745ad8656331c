//! `nix develop` and `nix print-dev-env`: the environment of a derivation's builder, as a shell or as text for one.

use super::environment::changed;
use super::paths::{build, derivations, realise_items};
use super::source::{Lookup, Target, What};
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, ENVIRONMENT, EVAL, FLAKE, Flag, JSON, Line, SOURCE};
use crate::nix::process::become_program;
use crate::nix::profile;
use crate::nix::quote::shell_word;
use crate::output;
use crate::settings::Settings;
use nopal_engine::{Engine, FlakeSource, Installable, Item, LockFlags, Purpose, RealiseOptions, RunPlan};
use nopal_engine::{ShellEnvironment, Source};
use nopal_format::StorePath;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `nix develop`.
pub(super) const DEVELOP: Command = Command::new(
    "develop",
    "start a shell in the environment of a derivation's builder",
    &[SHELL, COMMON, ENVIRONMENT, SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable)],
    develop,
);

/// `nix print-dev-env`.
pub(super) const PRINT: Command = Command::new(
    "print-dev-env",
    "print the environment of a derivation's builder for a shell to read",
    &[COMMON, JSON, SOURCE, EVAL, FLAKE],
    &[Arg::optional("installable", Complete::Installable)],
    print,
);

const SHELL: &[Flag] = &[
    Flag::new("build", "Run the phase build"),
    Flag::new("check", "Run the phase check"),
    Flag::new("command", "Run this instead of a shell").short('c').takes_all("command"),
    Flag::new("configure", "Run the phase configure"),
    Flag::new("install", "Run the phase install"),
    Flag::new("installcheck", "Run the phase installCheck"),
    Flag::new("phase", "Run this phase").takes(&["phase-name"]),
    Flag::new("unpack", "Run the phase unpack"),
];

const COMMON: &[Flag] = &[
    Flag::new("profile", "Set this profile").takes(&["path"]).completed(Complete::Path),
    Flag::new("redirect", "Let a folder stand for a store path").takes(&["installable", "outputs-dir"]),
];

/// Flags that stand for phases, and the phases.
const PHASES: [(&str, &str); 6] = [
    ("unpack", "unpack"),
    ("configure", "configure"),
    ("build", "build"),
    ("check", "check"),
    ("install", "install"),
    ("installcheck", "installCheck"),
];

/// Variables of the builder that mean nothing outside of it.
const IGNORED: [&str; 16] = [
    "BASHOPTS",
    "HOME",
    "NIX_BUILD_TOP",
    "NIX_ENFORCE_PURITY",
    "NIX_LOG_FD",
    "NIX_REMOTE",
    "PPID",
    "SHELLOPTS",
    "SSL_CERT_FILE",
    "TEMP",
    "TEMPDIR",
    "TERM",
    "TMP",
    "TMPDIR",
    "TZ",
    "UID",
];

/// Variables that the environment is put before.
const EXTENDED: [&str; 2] = ["PATH", "XDG_DATA_DIRS"];

/// An environment and where it comes from.
struct Found {
    environment: ShellEnvironment,
    path: StorePath,
    target: Target,
}

fn find(engine: &Engine, line: &Line, lookup: &Lookup) -> Result<Found, CliError> {
    let target = lookup.target_for(engine, line.arg(0).unwrap_or("."), Purpose::Shell)?;
    let path = match &target.what {
        What::Path(path) if engine.is_environment(path) => path.clone(),
        _ => {
            let named = derivations(engine, line, std::slice::from_ref(&target))?;
            let mut named = named.into_iter();
            let (Some(drv), None) = (named.next(), named.next()) else {
                let message = format!("'{}' needs to evaluate to a single derivation", target.word);
                return Err(CliError::Found(message));
            };
            let wanted = engine.environment_derivation(&drv)?;
            let built = realise_items(engine, line, vec![Item::Outputs(wanted)])?;
            let outputs: Vec<StorePath> = built.iter().flat_map(super::paths::Resolved::paths).collect();
            engine.environment_output(&outputs)?
        }
    };
    if let Some(profile) = line.value("profile") {
        profile::set(engine, Path::new(profile), std::slice::from_ref(&path))?;
    }
    let environment = engine.read_environment(&path)?;
    Ok(Found { environment, path, target })
}

/// The text that makes a bash have the environment. Outputs are to be made in `outputs` below the working directory.
fn script(
    engine: &Engine,
    line: &Line,
    lookup: &Lookup,
    environment: &ShellEnvironment,
    folder: &Path,
) -> Result<String, CliError> {
    let mut text = "unset shellHook\n".to_owned();
    for name in EXTENDED {
        let _ = writeln!(text, "{name}=${{{name}:-}}\nnix_saved_{name}=\"${name}\"");
    }
    text += &environment.to_bash(&IGNORED);
    for name in EXTENDED {
        let _ = writeln!(text, "{name}=\"${name}${{nix_saved_{name}:+:$nix_saved_{name}}}\"");
    }
    text += "export NIX_BUILD_TOP=\"$(mktemp -d -t nix-shell.XXXXXX)\"\n";
    for name in ["TMP", "TMPDIR", "TEMP", "TEMPDIR"] {
        let _ = writeln!(text, "export {name}=\"$NIX_BUILD_TOP\"");
    }
    text += "eval \"${shellHook:-}\"\n";
    let outputs = engine.config().working_dir.join("outputs");
    let mut rewrites: BTreeMap<String, String> = BTreeMap::new();
    for (name, path) in environment.outputs() {
        rewrites.insert(path, outputs.join(name).display().to_string());
    }
    for pair in line.values("redirect") {
        let [word, place] = pair else { continue };
        let place = engine.config().working_dir.join(place).display().to_string();
        let target = lookup.target(engine, word)?;
        for found in super::paths::look_up(engine, line, &[target])? {
            for path in found.paths() {
                let from = engine.config().store_dir.print(&path);
                if text.contains(&from) {
                    rewrites.insert(from, place.clone());
                } else {
                    let message = format!("'{word}' (path '{from}') is not used by this build environment");
                    engine.config().reporter.warn(message);
                }
            }
        }
    }
    if let Some(files) = &environment.attrs {
        for (variable, name, contents) in
            [("NIX_ATTRS_SH_FILE", ".attrs.sh", &files.shell), ("NIX_ATTRS_JSON_FILE", ".attrs.json", &files.json)]
        {
            let place = folder.join(name);
            nopal_fs::write(&place, contents.as_bytes())?;
            if let Some(inside) = environment.text(variable) {
                rewrites.insert(inside.to_owned(), place.display().to_string());
            }
        }
    }
    for (from, to) in rewrites.iter().filter(|(from, _)| !from.is_empty()) {
        text = text.replace(from.as_str(), to);
    }
    Ok(text)
}

fn print(mut line: Line) -> Result<ExitCode, CliError> {
    let lookup = line.lookup()?;
    let engine = line.engine()?;
    let found = find(&engine, &line, &lookup)?;
    if line.has("json") {
        line.print_json(&found.environment.to_json())?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = nopal_fs::TempDir::new_in(&std::env::temp_dir(), "nix-dev-env")?;
    let text = script(&engine, &line, &lookup, &found.environment, folder.path())?;
    folder.remove()?;
    output::data(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn develop(mut line: Line) -> Result<ExitCode, CliError> {
    let mut variables = changed(&line, std::env::vars_os().collect())?;
    let phase = line.flags.iter().rev().find_map(|(name, values)| match *name {
        "phase" => values.first().cloned(),
        name => PHASES.iter().find(|(flag, _)| *flag == name).map(|(_, phase)| (*phase).to_owned()),
    });
    let command = match line.values("command").next() {
        Some([]) => return Err(CliError::usage("--command requires at least one argument")),
        command => command.map(<[String]>::to_vec),
    };
    let lookup = line.lookup()?;
    let context = line.context()?;
    let settings = context.settings.clone();
    let engine = context.settings.open(context.style)?;
    let found = find(&engine, &line, &lookup)?;
    let folder = nopal_fs::TempDir::new_in(&std::env::temp_dir(), "nix-develop")?.keep();
    let rc = folder.join("rc");
    let mut text = script(&engine, &line, &lookup, &found.environment, &folder)?;
    match &found.environment.attrs {
        // its files are read as long as the shell is there
        Some(_) => {
            let _ = writeln!(text, "command rm -f {}", shell_word(&rc.display().to_string()));
        }
        None => {
            let _ = writeln!(text, "command rm -rf {}", shell_word(&folder.display().to_string()));
        }
    }
    let is_interactive = match (&phase, &command) {
        (Some(_), Some(_)) => return Err(CliError::usage("you cannot use both '--command' and '--phase'")),
        (Some(phase), None) => {
            let _ = writeln!(text, "foundMakefile=1\nrunHook {phase}Phase");
            false
        }
        (None, Some(words)) => {
            let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
            let _ = writeln!(text, "exec {}", words.join(" "));
            false
        }
        (None, None) => {
            text = interactive(&text, &settings);
            true
        }
    };
    let bash = interactive_bash(&engine, &line, &found.target);
    let shell = bash.clone().unwrap_or_else(|| PathBuf::from("bash"));
    let _ = writeln!(text, "SHELL={}", shell_word(&shell.display().to_string()));
    if let Some(bin) = bash.as_deref().map(nopal_fs::parent_of) {
        let _ = writeln!(text, "PATH={}\"${{PATH:+:$PATH}}\"", shell_word(&bin.display().to_string()));
    }
    nopal_fs::write(&rc, text.as_bytes())?;
    variables.insert("SHELL".into(), shell.clone().into());
    let store_path = engine.config().store_dir.print(&found.path);
    variables.insert("NIX_GCROOT".into(), store_path.into());
    let mut folder = engine.config().working_dir.clone();
    // phases work on the sources
    if phase.is_some()
        && let What::Installable(Installable::Attr { source: Source::Flake(flake), .. }) = &found.target.what
    {
        folder = engine.flake_folder(flake)?.unwrap_or(folder);
    }
    let mut arguments: Vec<OsString> = Vec::new();
    if is_interactive {
        arguments.push("--rcfile".into());
    }
    arguments.push(rc.into());
    let plan = RunPlan { what: found.target.word, store_path: found.path, tree: None, program: shell };
    start(engine, plan, arguments, variables, folder)
}

/// What an interactive shell reads.
fn interactive(text: &str, settings: &Settings) -> String {
    let mut text = format!(
        "[ -n \"$PS1\" ] && [ -e ~/.bashrc ] && source ~/.bashrc;\nshopt -u expand_aliases\n{text}\n\
         shopt -s expand_aliases\n"
    );
    for (name, before, after) in
        [("bash-prompt", "PS1=", ""), ("bash-prompt-prefix", "PS1=", "\"$PS1\""), ("bash-prompt-suffix", "PS1+=", "")]
    {
        let value = settings.conf().text(name);
        if !value.is_empty() {
            let _ = writeln!(text, "[ -n \"$PS1\" ] && {before}{}{after};", shell_word(value));
        }
    }
    text
}

/// The bash of nixpkgs that is made for people; `None` if there is none.
fn interactive_bash(engine: &Engine, line: &Line, target: &Target) -> Option<PathBuf> {
    let mut nixpkgs = "flake:nixpkgs".to_owned();
    let mut lock = LockFlags::default();
    if let What::Installable(Installable::Attr { source: Source::Flake(flake), .. }) = &target.what {
        lock = LockFlags { overrides: Vec::new(), updates: Vec::new(), ..flake.lock.clone() };
        if let Ok(Some(input)) = engine.flake_input(flake, "nixpkgs") {
            nixpkgs = input;
        }
    }
    let system = &engine.config().system;
    let flake = FlakeSource {
        text: format!("{nixpkgs}#bashInteractive"),
        lock,
        defaults: Vec::new(),
        prefixes: vec![format!("legacyPackages.{system}.")],
    };
    let what = Installable::Attr { source: Source::Flake(Box::new(flake)), attr_path: String::new() };
    let word = String::new();
    let target = Target { word, what: What::Installable(what), outputs: super::source::Outputs::Default };
    let built = build(engine, line, &[target], &RealiseOptions::default()).ok()?;
    let store = engine.store().ok()?;
    let mut paths = built.iter().flat_map(super::paths::Resolved::paths);
    let path = paths.find(|path| nopal_fs::exists(&store.physical_path(path).join("bin/bash")))?;
    Some(PathBuf::from(store.print(&path)).join("bin/bash"))
}

/// Becomes the shell.
fn start(
    engine: Engine,
    plan: RunPlan,
    arguments: Vec<OsString>,
    variables: BTreeMap<OsString, OsString>,
    folder: PathBuf,
) -> Result<ExitCode, CliError> {
    if plan.program.is_absolute() {
        let never = engine.run_in(plan, arguments, variables, folder)?;
        match never {}
    }
    let mut command = std::process::Command::new(&plan.program);
    Err(become_program(command.args(arguments).env_clear().envs(&variables).current_dir(folder)))
}

//! `nix shell` (`nix env shell`): a shell, or a program, with packages in `PATH`.

use super::environment::changed;
use super::paths::{Resolved, build, open};
use crate::env_vars;
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, ENVIRONMENT, EVAL, FLAKE, Flag, Line, SOURCE, STDIN};
use crate::nix::process::become_program;
use nopal_engine::RealiseOptions;
use nopal_format::StorePath;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// `nix env`.
pub(super) const COMMAND: Command = Command::group(
    "env",
    "start programs in an environment",
    &[Command::new(
        "shell",
        "start a shell with packages in PATH",
        &[OWN, ENVIRONMENT, STDIN, SOURCE, EVAL, FLAKE],
        &[Arg::rest("installables", Complete::Installable)],
        run,
    )],
);

const OWN: &[Flag] = &[Flag::new("command", "Run this instead of a shell").short('c').takes_all("command")];

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let mut environment = changed(&line, std::env::vars_os().collect())?;
    let words = match line.values("command").next() {
        Some([]) => return Err(CliError::usage("--command requires at least one argument")),
        Some(words) => words.to_vec(),
        None => vec![env_vars::SHELL.text().unwrap_or_else(|| "bash".to_owned())],
    };
    let (engine, targets) = open(&mut line)?;
    let built = build(&engine, &line, &targets, &RealiseOptions::default())?;
    let store = engine.store()?;
    // what a package propagates is in PATH, too
    let mut pending: Vec<StorePath> = built.iter().flat_map(Resolved::paths).rev().collect();
    let mut seen = BTreeSet::new();
    let mut folders = Vec::new();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        folders.push(PathBuf::from(store.print(&path)).join("bin"));
        let propagated = store.physical_path(&path).join("nix-support/propagated-user-env-packages");
        if let Some(text) = nopal_fs::read_file_if_exists(&propagated)? {
            for word in String::from_utf8_lossy(&text).split_whitespace() {
                pending.extend(store.store_dir().parse(word).ok());
            }
        }
    }
    folders.extend(std::env::split_paths(&environment.get(&OsString::from("PATH")).cloned().unwrap_or_default()));
    let joined = std::env::join_paths(folders).map_err(|error| CliError::Found(error.to_string()))?;
    environment.insert("PATH".into(), joined);
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]).env_clear().envs(&environment);
    Err(become_program(&mut command))
}

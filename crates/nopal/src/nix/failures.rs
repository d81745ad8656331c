//! Builds that fail, told as Nix tells it.

use crate::error::CliError;
use nopal_build::{BuildError, Failure, RealiseError, SandboxError};
use nopal_engine::{Built, Engine, EngineError, RealiseOptions, Wanted, as_error};
use std::collections::BTreeSet;

/// What to do where a check has nothing to compare with.
const NOTHING_TO_CHECK: &str =
    "Hint: --rebuild and --check error if the derivation was not previously built and cannot be substituted.
      Remove it to perform a fresh build, or use --repair to rewrite missing or corrupted builds in the store.";

/// Which of Nix's commands tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    /// An old one.
    Old {
        /// Whether what builders print is shown as it comes.
        logs: bool,
    },
    /// `nix`.
    New {
        /// Likewise.
        logs: bool,
    },
}

/// Builds. Returns what failed, each derivation with what is to be said of it.
pub(crate) fn collect(
    engine: &Engine,
    wanted: &[Wanted],
    options: &RealiseOptions,
    teller: Teller,
) -> Result<Vec<(String, String)>, CliError> {
    match engine.realise(wanted, options) {
        Ok(_) => Ok(Vec::new()),
        Err(EngineError::Realise(RealiseError::Failed { failures })) => {
            Ok(failures.iter().map(|failure| (failure.drv_path.clone(), text(failure, teller))).collect())
        }
        Err(other) => Err(other.into()),
    }
}

/// Builds. Of several failures all but the last are told at once.
pub(crate) fn realise(
    engine: &Engine,
    wanted: &[Wanted],
    options: &RealiseOptions,
    teller: Teller,
) -> Result<Vec<Built>, CliError> {
    let error = match engine.realise(wanted, options) {
        Ok(built) => return Ok(built),
        Err(EngineError::Realise(error)) => error,
        Err(other) => return Err(other.into()),
    };
    let code = error.exit_code();
    let RealiseError::Failed { failures } = error else { return Err(EngineError::Realise(error).into()) };
    let print = |wanted: &Wanted| engine.config().store_dir.print(&wanted.drv_path);
    let named: BTreeSet<String> = wanted.iter().map(print).collect();
    // without --keep-going, nothing counts after the first failure of something that was asked for
    let mut shown = Vec::new();
    for failure in &failures {
        let is_named = named.contains(&failure.drv_path);
        shown.push(failure);
        if is_named && !engine.config().keep_going {
            break;
        }
    }
    let tops: Vec<&Failure> = shown.iter().copied().filter(|failure| named.contains(&failure.drv_path)).collect();
    let last = match tops[..] {
        [only] => {
            shown.retain(|failure| failure.drv_path != only.drv_path);
            text(only, teller)
        }
        _ => {
            let mut names: Vec<String> = tops
                .iter()
                .map(|failure| match teller {
                    Teller::Old { .. } => format!("'{}'", failure.drv_path),
                    Teller::New { .. } => format!("'{}^{}'", failure.drv_path, outputs(engine, wanted, failure)),
                })
                .collect();
            names.sort();
            format!("build of {} failed", names.join(", "))
        }
    };
    for kept in failures.iter().filter_map(|failure| failure.kept_dir.as_ref()) {
        eprintln!("note: keeping build directory \"{}\"", kept.display());
    }
    for failure in shown {
        eprintln!("{}", as_error(&text(failure, teller)));
    }
    Err(CliError::Build { message: last, code })
}

/// The outputs that were asked for of what failed.
fn outputs(engine: &Engine, wanted: &[Wanted], failure: &Failure) -> String {
    let of = |wanted: &&Wanted| engine.config().store_dir.print(&wanted.drv_path) == failure.drv_path;
    match wanted.iter().find(of) {
        Some(wanted) if !wanted.outputs.is_empty() => wanted.outputs.join(","),
        _ => "*".to_owned(),
    }
}

fn text(failure: &Failure, teller: Teller) -> String {
    let drv = &failure.drv_path;
    let cannot = |reason: String| format!("Cannot build '{drv}'.\nReason: {reason}");
    let paths = |text: String| match failure.output_paths.is_empty() {
        true => text,
        false => format!("{text}\nOutput paths:{}", lines(&failure.output_paths)),
    };
    match &failure.error {
        BuildError::Builder { status, note } => {
            let mut text = paths(cannot(format!("builder {status}.")));
            let (Teller::Old { logs } | Teller::New { logs }) = teller;
            if !logs && !failure.log_tail.is_empty() {
                text += &format!("\nLast {} log lines:", failure.log_tail.len());
                for line in &failure.log_tail {
                    text += &format!("\n> {}", String::from_utf8_lossy(line));
                }
                let command = match teller {
                    Teller::Old { .. } => "nix-store -l",
                    Teller::New { .. } => "nix log",
                };
                text += &format!("\nFor full logs, run:\n  {command} {drv}");
            }
            text + note
        }
        // for Nix the process that could not become the builder is the builder
        BuildError::Sandbox(SandboxError::Execute { program, source }) => {
            let why = nopal_fs::words(source);
            paths(cannot("builder failed with exit code 1.".to_owned()))
                + &format!("\nerror: executing '{program}': {why}")
        }
        BuildError::Dependencies { .. } => paths(cannot(format!("{}.", failure.error))),
        BuildError::Platform { .. } | BuildError::Features { .. } | BuildError::NoJobs => {
            cannot(failure.error.to_string())
        }
        BuildError::OutputMissing { output, path } => {
            format!("builder for '{drv}' failed to produce output path for output '{output}' at \"{path}\"")
        }
        BuildError::NotDeterministic { drv_path, path, kept } => {
            let kept = kept.as_ref().map(|kept| format!(" from \"{}\"", kept.display())).unwrap_or_default();
            format!("derivation '{drv_path}' may not be deterministic: output \"{path}\" differs{kept}")
        }
        BuildError::LogLimit { .. } => format!("{} {}", name(drv), failure.error),
        BuildError::NothingToCheck { .. } => format!("{}\n{NOTHING_TO_CHECK}", failure.error),
        other => other.to_string(),
    }
}

/// How Nix calls what builds a derivation.
fn name(drv: &str) -> String {
    format!("building derivation '{drv}'")
}

fn lines(items: &[String]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}

//! A graph of derivations, built in dependency order, several at a time, each once.
//!
//! The graph grows from what is wanted: a derivation whose wanted outputs are valid is a leaf, and nothing below it is
//! looked at. Paths get temporary roots before it is asked whether they are valid, so what was found stays.

mod graph;
mod resolved;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nopal_format::{Derivation, DerivationOutput, StorePath};
use nopal_store::{Store, StoreError};
use thiserror::Error;

use crate::cancel::CancelToken;
use crate::config::BuildConfig;
use crate::error::{BuildError, Failure, FailureKind};
use crate::outputs::store_error;
use crate::scratch;
use graph::Graph;

/// Which outputs of a derivation are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputsWanted {
    /// All of them.
    All,
    /// Those of these names.
    Names(BTreeSet<String>),
}

/// Outputs of a derivation that shall be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The derivation, which is valid itself.
    pub drv_path: StorePath,
    /// Its outputs.
    pub outputs: OutputsWanted,
}

impl Wanted {
    /// All outputs of a derivation.
    pub fn all(drv_path: StorePath) -> Self {
        Self { drv_path, outputs: OutputsWanted::All }
    }
}

/// A derivation whose wanted outputs are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realised {
    /// The derivation.
    pub drv_path: StorePath,
    /// Its wanted outputs.
    pub outputs: BTreeMap<String, StorePath>,
    /// Whether this call built it.
    pub built: bool,
}

/// Why not everything that was wanted is valid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RealiseError {
    /// Builds failed. Those that only waited for a failed one come after it.
    #[error("{}", .failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Failed {
        /// Every build that failed.
        failures: Vec<Failure>,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// A derivation could not be read.
    #[error("cannot read the derivation '{drv_path}': {reason}")]
    ReadDerivation {
        /// Its logical path.
        drv_path: String,
        /// Why.
        reason: String,
    },
    /// A derivation does not have an output.
    #[error("derivation '{drv_path}' does not have output '{output}'")]
    NoSuchOutput {
        /// Its logical path.
        drv_path: String,
        /// The output asked for.
        output: String,
    },
    /// Derivations need each other, which no evaluator makes.
    #[error("derivation '{drv_path}' depends on itself")]
    Cycle {
        /// One of them.
        drv_path: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something of the machine failed before any build.
    #[error(transparent)]
    Machine(BuildError),
}

impl RealiseError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Failed { failures } => {
                let mut hints = Vec::new();
                for hint in failures.iter().flat_map(|failure| failure.error.hints()) {
                    if !hints.contains(&hint) {
                        hints.push(hint);
                    }
                }
                hints
            }
            Self::Store(error) => error.hint().into_iter().collect(),
            Self::Machine(error) => error.hints(),
            _ => Vec::new(),
        }
    }

    /// The exit code that Nix gives: 100 for failed builds, with a bit for time-outs (1), hash mismatches (2) and
    /// differences found (8); 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        let Self::Failed { failures } = self else { return 1 };
        let has = |kind: FailureKind| failures.iter().any(|failure| failure.error.kind() == kind);
        let bit = |kind: FailureKind, bit: u8| if has(kind) { bit } else { 0 };
        let special =
            bit(FailureKind::TimedOut, 1) | bit(FailureKind::HashMismatch, 2) | bit(FailureKind::NotDeterministic, 8);
        if special == 0 && !has(FailureKind::Build) {
            return 1;
        }
        // a difference that is found is no failure of a builder
        let failed = if special & !0b1000 != 0 || has(FailureKind::Build) { 0b100 } else { 0 };
        0b110_0000 | failed | special
    }
}

/// What would be built, without building it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Derivations to build, each after those it needs.
    pub will_build: Vec<StorePath>,
}

/// Makes the wanted outputs valid, building what is not.
///
/// # Errors
/// [`RealiseError::Failed`] with every failed build; what was built before or beside stays valid.
pub fn realise(
    store: &Store,
    config: &BuildConfig,
    wanted: &[Wanted],
    cancel: &CancelToken,
) -> Result<Vec<Realised>, RealiseError> {
    let graph = Graph::load(store, config, wanted)?;
    let (graph, built) = if graph.nothing_to_do() {
        (graph, BTreeSet::new())
    } else {
        let builds_dir = builds_dir(store);
        let swept = if nopal_fs::is_dir(&builds_dir) {
            scratch::sweep(&builds_dir)
        } else {
            nopal_fs::create_dir_all(&builds_dir)
        };
        swept.map_err(|error| RealiseError::Machine(BuildError::Fs(error)))?;
        workers::build(&workers::Site { store, config, builds_dir: &builds_dir }, graph, cancel)?
    };
    Ok(wanted.iter().filter_map(|wanted| graph.realised(wanted, &built)).collect())
}

/// Tells what [`realise`] would build.
///
/// # Errors
/// As [`realise`], apart from builds.
pub fn plan(store: &Store, config: &BuildConfig, wanted: &[Wanted]) -> Result<Plan, RealiseError> {
    Ok(Plan { will_build: Graph::load(store, config, wanted)?.order()? })
}

/// Where builds happen: on the file system of the store, out of sight of others.
fn builds_dir(store: &Store) -> PathBuf {
    store.config().state_dir.join("builds")
}

/// Reads a valid derivation.
pub(crate) fn read_derivation(store: &Store, drv_path: &StorePath) -> Result<Derivation, BuildError> {
    let wrong = |text: String| BuildError::Derivation {
        text: format!("cannot read the derivation '{}': {text}", store.print(drv_path)),
    };
    store.read_derivation(drv_path).map_err(|error| match error {
        StoreError::Derivation { reason, .. } => wrong(reason),
        other => store_error(other),
    })
}

/// A derivation that makes no sense.
pub(crate) fn derivation_error(store: &Store, drv_path: &StorePath, error: impl ToString) -> BuildError {
    BuildError::Derivation { text: format!("derivation '{}': {}", store.print(drv_path), error.to_string()) }
}

/// Fails if a derivation is of an experimental kind that is not on.
fn check_features(config: &BuildConfig, derivation: &Derivation) -> Result<(), BuildError> {
    let mut needed = Vec::new();
    for output in derivation.outputs.values() {
        match output {
            DerivationOutput::InputAddressed { .. } | DerivationOutput::Fixed { .. } => {}
            DerivationOutput::Floating { .. } | DerivationOutput::Deferred => needed.push("ca-derivations"),
            DerivationOutput::Impure { .. } => needed.extend(["ca-derivations", "impure-derivations"]),
        }
    }
    if derivation.has_dynamic_inputs() {
        needed.push("dynamic-derivations");
    }
    match needed.into_iter().find(|feature| !config.has_feature(feature)) {
        Some(feature) => Err(BuildError::Feature { feature }),
        None => Ok(()),
    }
}

impl From<BuildError> for RealiseError {
    fn from(error: BuildError) -> Self {
        Self::Machine(error)
    }
}

/// As [`store_error`], for calls outside of a job.
fn machine(error: StoreError) -> RealiseError {
    RealiseError::Machine(store_error(error))
}

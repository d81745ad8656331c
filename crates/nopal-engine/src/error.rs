//! How the engine fails.

use nopal_build::run::RunError;
use nopal_build::{FailureKind, RealiseError};
use nopal_fetch::FetchError;
use nopal_format::store_path::StorePathError;
use nopal_fs::FsError;
use nopal_import::debian::{DebianError, RepositoryError, SourcesError};
use nopal_store::StoreError;
use thiserror::Error;

use crate::installable::InstallableParseError;

/// What kind of failure it is; the roof turns it into an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line asks for something that does not exist or makes no sense.
    Usage,
    /// The Nix expression.
    Evaluation,
    /// A build; the number is Nix's exit code (100 to 104, or 1).
    Build(u8),
    /// The store.
    Store,
    /// A download.
    Network,
    /// The machine does not allow it.
    Environment,
}

/// How the engine fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Evaluation failed; the report is the whole message as Nix words it, with trace and excerpts.
    #[error("{}", String::from_utf8_lossy(report))]
    Evaluation {
        /// Several lines, beginning with `error:`, not ending in a newline. Quotes sources, which need not be UTF-8.
        report: Vec<u8>,
        /// Whether something that was fetched had another hash than it should have.
        is_mismatch: bool,
        /// Whether it is a name that must be one of a few, such as that of a hash algorithm. Nix then says where to read on.
        is_usage: bool,
        /// What Nix has printed of the answer by then.
        begun: nopal_eval::pure::xml::Document,
    },
    /// The value is no derivation.
    #[error("{what} does not evaluate to a derivation")]
    NotADerivation {
        /// The installable.
        what: String,
    },
    /// A build failed.
    #[error(transparent)]
    Realise(#[from] RealiseError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something is where nothing may be.
    #[error("path '{}' already exists", path.display())]
    Exists {
        /// The path.
        path: std::path::PathBuf,
    },
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A path is no store path.
    #[error(transparent)]
    StorePath(#[from] StorePathError),
    /// A derivation file cannot be read.
    #[error("derivation '{path}' cannot be read")]
    Derivation {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: nopal_format::derivation::AtermError,
    },
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The configuration of package sources is unusable.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// A package repository is unusable.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Packages cannot be resolved.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// A derivation cannot be shown as JSON.
    #[error(transparent)]
    Json(#[from] nopal_format::derivation::DerivationJsonError),
    /// A program that was to be run after a build failed.
    #[error("program '{}' {}", program.display(), match status.code() {
        Some(code) => format!("failed with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    })]
    Hook {
        /// The program.
        program: std::path::PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A text is no regular expression.
    #[error(transparent)]
    Regex(#[from] nopal_eval::pure::regex::RegexError),
    /// A key file holds no key.
    #[error(transparent)]
    Key(#[from] nopal_format::signature::SignatureError),
    /// A path cannot be signed.
    #[error(transparent)]
    Fingerprint(#[from] nopal_format::path_info::FingerprintError),
    /// A derivation given as JSON states what does not follow from it.
    #[error(transparent)]
    Modulo(#[from] nopal_format::derivation::DerivationError),
    /// Nothing is known of how the path was built.
    #[error("there is no build log of '{path}'")]
    NoLog {
        /// The path.
        path: String,
    },
    /// A word on the command line.
    #[error(transparent)]
    Installable(#[from] InstallableParseError),
    /// There is no such source.
    #[error("path '{}' does not exist", path.display())]
    NoSource {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The store path is not there and nothing says how to make it.
    #[error("path '{path}' is not valid")]
    NotValid {
        /// The path.
        path: String,
    },
    /// A derivation does not have an output.
    #[error("derivation '{drv_path}' does not have output '{output}'")]
    NoOutput {
        /// The derivation.
        drv_path: String,
        /// The output asked for.
        output: String,
    },
    /// An experimental feature that is not on.
    #[error(
        "experimental Nix feature '{feature}' is disabled{why}; add '--extra-experimental-features {feature}' to enable it"
    )]
    Feature {
        /// The feature, by Nix's name.
        feature: &'static str,
        /// What needs it, in brackets after a blank, or nothing.
        why: String,
    },
    /// A shell needs a derivation that a shell builds.
    #[error("'nix develop' only works on derivations that use 'bash' as their builder")]
    NotBash,
    /// The builder wrote no environment.
    #[error("{} failed to produce an environment", crate::environment::SCRIPT_NAME)]
    NoEnvironment,
    /// Something else than an environment.
    #[error("cannot read the environment '{path}': {source}")]
    Environment {
        /// Its path.
        path: String,
        /// What is wrong with it.
        source: nopal_format::json::JsonError,
    },
    /// A package does not say where it is defined.
    // without the second quote, as Nix says it
    #[error("cannot find position information for '{what}")]
    NoPlace {
        /// The installable.
        what: String,
    },
    /// A binary cache that cannot be read yet.
    #[error("cannot copy a closure from '{address}': only binary caches in folders can be read yet")]
    Cache {
        /// The address of the cache.
        address: String,
    },
    /// No program to run.
    #[error("{what} has no program '{program}'")]
    NoProgram {
        /// The installable.
        what: String,
        /// The program looked for.
        program: String,
        /// The programs that there are.
        available: Vec<String>,
    },
    /// `--with` joins packages of one universe.
    #[error("{what} cannot be joined with a Debian package")]
    MixedUniverses {
        /// The installable that does not fit.
        what: String,
    },
    /// A tree cannot be relocated.
    #[error(transparent)]
    Relocate(#[from] nopal_relocate::RelocateError),
    /// Nothing can be said of a relocated tree.
    #[error(transparent)]
    Assess(#[from] nopal_relocate::AssessError),
    /// The namespace for the program cannot be made.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A system call failed.
    #[error("cannot {operation}")]
    System {
        /// What was tried, to stand after "cannot".
        operation: &'static str,
        /// Why it did not work.
        #[source]
        source: std::io::Error,
    },
}

/// Nix's exit code for something with a wrong hash.
const HASH_MISMATCH: u8 = 102;

/// Program names shown in a hint; more would hide the rest.
const SHOWN_PROGRAMS: usize = 12;

impl EngineError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Evaluation { is_mismatch: true, .. } => ErrorKind::Build(HASH_MISMATCH),
            Self::Evaluation { .. } => ErrorKind::Evaluation,
            Self::NotADerivation { .. }
            | Self::Regex(_)
            | Self::Installable(_)
            | Self::NoProgram { .. }
            | Self::NoSource { .. }
            | Self::NotValid { .. }
            | Self::Exists { .. }
            | Self::NoOutput { .. }
            | Self::Cache { .. }
            | Self::Feature { .. }
            | Self::NotBash
            | Self::NoPlace { .. }
            | Self::MixedUniverses { .. } => ErrorKind::Usage,
            Self::Realise(error) => match error {
                RealiseError::Failed { failures }
                    if failures.iter().any(|failure| failure.error.kind() == FailureKind::Machine) =>
                {
                    ErrorKind::Environment
                }
                _ => ErrorKind::Build(error.exit_code()),
            },
            Self::Store(_)
            | Self::StorePath(_)
            | Self::Derivation { .. }
            | Self::Json(_)
            | Self::Modulo(_)
            | Self::Key(_)
            | Self::Fingerprint(_)
            | Self::NoEnvironment
            | Self::Environment { .. }
            | Self::NoLog { .. } => ErrorKind::Store,
            Self::Fetch(_) | Self::Repository(_) | Self::Debian(_) => ErrorKind::Network,
            Self::Hook { .. }
            | Self::Fs(_)
            | Self::Sources(_)
            | Self::Run(_)
            | Self::Relocate(_)
            | Self::Assess(_)
            | Self::System { .. } => ErrorKind::Environment,
        }
    }

    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Realise(error) => error.hints(),
            Self::Store(error) => error.hint().into_iter().collect(),
            Self::Fs(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::Sources(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::Repository(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::Debian(error) => error.hint().into_iter().collect(),
            Self::Installable(error) => vec![error.hint().to_owned()],
            Self::Run(error) => error.hints(),
            Self::NotADerivation { .. } => vec!["name an attribute with -A, or an expression that is a package".into()],
            Self::NotValid { .. } => {
                vec!["a store path that is not in this store can only be built from its .drv".into()]
            }
            Self::NoProgram { available, .. } if !available.is_empty() => {
                let mut shown = available.iter().take(SHOWN_PROGRAMS).cloned().collect::<Vec<_>>().join(", ");
                if available.len() > SHOWN_PROGRAMS {
                    shown += &format!(" and {} more", available.len() - SHOWN_PROGRAMS);
                }
                vec![format!("choose one with --program: {shown}")]
            }
            _ => Vec::new(),
        }
    }
}

/// A message as Nix shows an error: its further lines stand below its first, right of `error: `.
pub fn as_error(message: &str) -> String {
    format!("error: {}", message.replace('\n', "\n       ").replace("\n       \n", "\n\n"))
}

//! How builds fail. The wording of what Nix also says is Nix's.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nopal_fs::FsError;
use thiserror::Error;

use crate::builtin::BuiltinError;
use crate::sandbox::SandboxError;

/// Lines of the log's end that a failure carries.
pub(crate) const LOG_TAIL_LINES: usize = 25;

/// Why one derivation was not built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The builder ended with a failure.
    #[error("builder {status}{note}")]
    Builder {
        /// How it ended: `failed with exit code 1`, `failed due to signal 9 (Killed)`.
        status: BuilderStatus,
        /// A guess at the reason, on a line of its own, or nothing.
        note: &'static str,
    },
    /// A builtin builder failed.
    #[error("builtin builder '{builder}' failed: {source}")]
    Builtin {
        /// The derivation's builder.
        builder: String,
        /// What it said.
        source: BuiltinError,
    },
    /// The derivation names a builtin builder that does not exist.
    #[error("unsupported builtin builder '{builder}'")]
    UnknownBuiltin {
        /// The derivation's builder.
        builder: String,
    },
    /// The build took longer than allowed.
    #[error("timed out after {} seconds", .limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The builder said nothing for longer than allowed.
    #[error("timed out after {} seconds of silence", .limit.as_secs())]
    Silent {
        /// The limit.
        limit: Duration,
    },
    /// The builder wrote more than allowed.
    #[error("killed after writing more than {limit_bytes} bytes of log output")]
    LogLimit {
        /// The limit.
        limit_bytes: u64,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// Derivations that this one needs failed.
    #[error("{count} {} failed", if *.count == 1 { "dependency" } else { "dependencies" })]
    Dependencies {
        /// How many of the direct ones.
        count: usize,
    },
    /// The derivation is for another machine.
    #[error("platform mismatch\nRequired system: '{required}'\nCurrent system: '{}'", .available.join(", "))]
    Platform {
        /// What it asks for.
        required: String,
        /// What this machine is.
        available: Vec<String>,
    },
    /// The derivation asks for features that the configuration does not offer.
    #[error(
        "missing system features\nRequired features: {{{}}}\nAvailable features: {{{}}}",
        .required.join(", "), .available.join(", ")
    )]
    Features {
        /// What it asks for.
        required: Vec<String>,
        /// What there is.
        available: Vec<String>,
    },
    /// The derivation contradicts itself or asks for what does not exist.
    #[error("{text}")]
    Derivation {
        /// What is wrong.
        text: String,
    },
    /// The derivation is of a kind that is experimental and not on.
    #[error(
        "experimental Nix feature '{feature}' is disabled; add '--extra-experimental-features {feature}' to enable it"
    )]
    Feature {
        /// The feature, by Nix's name.
        feature: &'static str,
    },
    /// Nothing may be built here.
    #[error(
        "local builds are disabled (max-jobs = 0)\nHint: set 'max-jobs' to a non-zero value to enable local builds, or \
         configure remote builders via 'builders'"
    )]
    NoJobs,
    /// The derivation was resolved, and the result was not built.
    #[error("build of resolved derivation '{drv_path}' failed")]
    Resolved {
        /// The resolved derivation.
        drv_path: String,
    },
    /// The sandbox did not come about.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// An output is missing.
    #[error("builder failed to produce output path for output '{output}' at '{path}'")]
    OutputMissing {
        /// Name of the output.
        output: String,
        /// Its store path.
        path: String,
    },
    /// An output is something that a store cannot hold, or others could have tampered with it.
    #[error("output '{output}' is rejected: {reason}")]
    OutputRejected {
        /// Name of the output.
        output: String,
        /// Why.
        reason: String,
    },
    /// Outputs refer to each other in a circle.
    #[error("cycle detected in the references of output '{output}' from output '{from}'")]
    OutputCycle {
        /// One output of the circle.
        output: String,
        /// The one that refers to it.
        from: String,
    },
    /// The content is not what the derivation promised.
    #[error("hash mismatch in fixed-output derivation '{drv_path}':\n  specified: {specified}\n     got:    {got}")]
    HashMismatch {
        /// The derivation.
        drv_path: String,
        /// The hash promised (SRI).
        specified: String,
        /// The hash of what came out (SRI).
        got: String,
    },
    /// A fixed output must stand for itself.
    #[error(
        "fixed-output derivations must not reference store paths: '{drv_path}' references {count} distinct paths, \
         e.g. '{example}'"
    )]
    FixedOutputReferences {
        /// The derivation.
        drv_path: String,
        /// How many store paths.
        count: usize,
        /// One of them.
        example: String,
    },
    /// An output refers to what it must not refer to.
    #[error("output '{path}' is not allowed to refer to the following paths:{}", List(.bad))]
    ForbiddenReferences {
        /// The output's store path.
        path: String,
        /// The paths it must not refer to.
        bad: Vec<String>,
    },
    /// An output is larger than allowed.
    #[error("path '{path}' is too large at {size_bytes} bytes; limit is {limit_bytes} bytes")]
    OutputTooLarge {
        /// The output's store path.
        path: String,
        /// Its size as a NAR.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// An output with all it needs is larger than allowed.
    #[error("closure of path '{path}' is too large at {size_bytes} bytes; limit is {limit_bytes} bytes")]
    ClosureTooLarge {
        /// The output's store path.
        path: String,
        /// Size of its closure as NARs.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// Built again, an output came out different.
    #[error(
        "derivation '{drv_path}' may not be deterministic: output '{path}' differs{}",
        .kept.as_ref().map(|kept| format!(" from '{}'", kept.display())).unwrap_or_default()
    )]
    NotDeterministic {
        /// The derivation.
        drv_path: String,
        /// The store path of the output.
        path: String,
        /// Where the differing output was kept, if that was asked for.
        kept: Option<PathBuf>,
    },
    /// `--rebuild` of what was never built.
    #[error("some outputs of '{drv_path}' are not valid, so checking is not possible")]
    NothingToCheck {
        /// The derivation.
        drv_path: String,
    },
    /// A file-system operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The store failed.
    #[error("{text}")]
    Store {
        /// What it said.
        text: String,
    },
    /// A system call failed.
    #[error("cannot {operation}: {source}")]
    System {
        /// What was tried, to stand after "cannot".
        operation: &'static str,
        /// Why it did not work.
        source: io::Error,
    },
}

impl BuildError {
    /// What the user can do about it, where there is something.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Sandbox(error) => error.hints(),
            Self::Fs(error) => error.hint().into_iter().map(str::to_owned).collect(),
            Self::Features { .. } => vec!["offer the features with --system-features, if this machine has them".into()],
            _ => Vec::new(),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Cancelled => FailureKind::Cancelled,
            Self::Dependencies { .. } | Self::Resolved { .. } => FailureKind::Dependency,
            Self::TimedOut { .. } | Self::Silent { .. } => FailureKind::TimedOut,
            Self::LogLimit { .. }
            | Self::OutputRejected { .. }
            | Self::OutputMissing { .. }
            | Self::OutputCycle { .. }
            | Self::ForbiddenReferences { .. }
            | Self::OutputTooLarge { .. }
            | Self::ClosureTooLarge { .. }
            | Self::FixedOutputReferences { .. }
            | Self::Derivation { .. }
            | Self::Feature { .. }
            | Self::NoJobs
            | Self::NothingToCheck { .. } => FailureKind::Rejected,
            Self::HashMismatch { .. } => FailureKind::HashMismatch,
            Self::NotDeterministic { .. } => FailureKind::NotDeterministic,
            // what cannot be executed is taken for a builder that failed, as in Nix
            Self::Sandbox(SandboxError::Execute { .. }) => FailureKind::Build,
            Self::Sandbox(_) | Self::Fs(_) | Self::Store { .. } | Self::System { .. } => FailureKind::Machine,
            _ => FailureKind::Build,
        }
    }
}

/// Kinds of failures, for exit codes (Nix: 100 build failed, 101 timed out, 102 hash mismatch, 104 not
/// deterministic; several kinds at once add up as bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The builder failed.
    Build,
    /// What it made was rejected, or it was not run.
    Rejected,
    /// A time or log limit.
    TimedOut,
    /// A fixed output's hash.
    HashMismatch,
    /// `--rebuild` found a difference.
    NotDeterministic,
    /// Something this one needs failed.
    Dependency,
    /// The machine, not the derivation: sandbox, disk, store.
    Machine,
    /// Stopped on request.
    Cancelled,
}

/// How a builder ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuilderStatus {
    /// It exited.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
}

impl BuilderStatus {
    /// Whether that is success.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl fmt::Display for BuilderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(0) => f.write_str("succeeded"),
            Self::Exited(code) => write!(f, "failed with exit code {code}"),
            Self::Signalled(signal) => write!(f, "failed due to signal {signal} ({})", signal_name(signal)),
        }
    }
}

/// The usual description of a signal that ends a process.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "Hangup",
        libc::SIGINT => "Interrupt",
        libc::SIGQUIT => "Quit",
        libc::SIGILL => "Illegal instruction",
        libc::SIGTRAP => "Trace/breakpoint trap",
        libc::SIGABRT => "Aborted",
        libc::SIGBUS => "Bus error",
        libc::SIGFPE => "Floating point exception",
        libc::SIGKILL => "Killed",
        libc::SIGUSR1 => "User defined signal 1",
        libc::SIGSEGV => "Segmentation fault",
        libc::SIGUSR2 => "User defined signal 2",
        libc::SIGPIPE => "Broken pipe",
        libc::SIGALRM => "Alarm clock",
        libc::SIGTERM => "Terminated",
        libc::SIGXCPU => "CPU time limit exceeded",
        libc::SIGXFSZ => "File size limit exceeded",
        libc::SIGSYS => "Bad system call",
        _ => "Unknown signal",
    }
}

/// One derivation that was not built, with what is known about it.
#[derive(Debug)]
pub struct Failure {
    /// The derivation's logical path.
    pub drv_path: String,
    /// The logical paths of its outputs, where known beforehand.
    pub output_paths: Vec<String>,
    /// Why.
    pub error: BuildError,
    /// The last lines of its log.
    pub log_tail: Vec<Vec<u8>>,
    /// The whole log.
    pub log_file: Option<PathBuf>,
    /// The build directory, where it was kept.
    pub kept_dir: Option<PathBuf>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot build '{}'\nreason: {}", self.drv_path, self.error)?;
        if matches!(self.error, BuildError::Builder { .. } | BuildError::Dependencies { .. })
            && !self.output_paths.is_empty()
        {
            write!(f, "\noutput paths:{}", List(&self.output_paths))?;
        }
        if !self.log_tail.is_empty() {
            write!(f, "\nlast {} log lines:", self.log_tail.len())?;
            for line in &self.log_tail {
                write!(f, "\n> {}", String::from_utf8_lossy(line))?;
            }
        }
        if let Some(log_file) = &self.log_file {
            write!(f, "\nthe full log is in '{}'", log_file.display())?;
        }
        if let Some(kept_dir) = &self.kept_dir {
            write!(f, "\nthe build directory is kept at '{}'", kept_dir.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // its text is in ours
        std::error::Error::source(&self.error)
    }
}

/// Prints one item per line, indented.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|item| write!(f, "\n  {item}"))
    }
}

//! Why a sandbox did not come about.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::probe::namespace_obstacle;

/// Why a builder could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The kernel refused the namespaces.
    #[error("this system does not allow the namespaces that a sandbox needs: {source}")]
    Namespaces {
        /// What the kernel said.
        source: io::Error,
    },
    /// A step between the new namespaces and the builder failed.
    #[error("cannot set up the sandbox: {step}: {source}")]
    Setup {
        /// What was tried.
        step: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The builder could not be executed.
    #[error("executing '{program}': {source}")]
    Execute {
        /// The builder.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A path, an argument or a variable contains a NUL byte, which no system call can carry.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// What contains it.
        what: String,
    },
    /// A file name in a place where the sandbox needs one is not what it should be.
    #[error("{what} '{path}' {reason}")]
    Path {
        /// The role of the path.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What is wrong, to stand behind it.
        reason: &'static str,
    },
    /// Without a sandbox builders use the paths of the machine, so those must be the logical ones.
    #[error("the store directory '{logical}' is physically at '{physical}', so builds need the sandbox")]
    Diverted {
        /// The logical store directory.
        logical: String,
        /// Where it is.
        physical: PathBuf,
    },
    /// Processes or descriptors ran out before the sandbox began.
    #[error("cannot {operation}: {source}")]
    System {
        /// What was tried, to stand after "cannot".
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl SandboxError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Namespaces { source } => {
                let mut hints: Vec<String> = namespace_obstacle(source).into_iter().collect();
                hints.push("see 'nopal doctor'; '--no-sandbox' builds without any isolation".to_owned());
                hints
            }
            Self::Setup { step, source } if step.contains("/proc") && source.raw_os_error() == Some(libc::EPERM) => {
                vec![
                    "parts of /proc are covered by mounts, as in most containers; a new /proc is then not allowed"
                        .to_owned(),
                ]
            }
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => vec![
                "the builder, or the interpreter that it names, is not in the sandbox; a sandbox contains the inputs \
                 of the derivation and nothing of this machine, not even /bin/sh"
                    .to_owned(),
            ],
            Self::Diverted { .. } => {
                vec!["build in the sandbox, or use a store at its logical directory".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

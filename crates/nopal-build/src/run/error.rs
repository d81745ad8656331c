//! Why a program could not be shown its files.

use std::io;
use std::path::PathBuf;

use nopal_fs::FsError;
use thiserror::Error;

use crate::probe::namespace_obstacle;

/// Why a program did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The kernel refused the namespaces.
    #[error("this system does not allow the user and mount namespaces that 'nopal run' needs: {source}")]
    Namespaces {
        /// What the kernel said.
        source: io::Error,
    },
    /// The process has several threads, so it may not make a user namespace.
    #[error("cannot make a user namespace in a process with {count} threads")]
    Threads {
        /// How many.
        count: usize,
    },
    /// Something on the way to the new root failed.
    #[error("cannot {operation} '{path}': {source}")]
    Setup {
        /// What was tried, to stand after "cannot".
        operation: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The working directory cannot be seen inside.
    #[error("cannot change into the working directory '{path}': {source}")]
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program cannot be executed.
    #[error("cannot execute '{program}': {source}")]
    Execute {
        /// Its path as seen inside.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No system call can carry a NUL byte.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// What contains it.
        what: &'static str,
    },
    /// A file or directory could not be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl RunError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Namespaces { source } => {
                let mut hints: Vec<String> = namespace_obstacle(source).into_iter().collect();
                hints.push("see 'nopal doctor'".to_owned());
                hints
            }
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                vec!["the program, or the interpreter that it names, is not in what the package contains".to_owned()]
            }
            Self::Fs(error) => error.hint().into_iter().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

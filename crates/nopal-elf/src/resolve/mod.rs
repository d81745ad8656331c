//! Finds the libraries of a program as glibc's loader does, without running anything, for any machine.
//!
//! The rules, for a name without a slash, until one leads to a file:
//!
//! 1. a loaded file that goes by that name, by its soname or by the name it was asked for before;
//! 2. `DT_RPATH` of the object that asks, of the one that asked for that, and so on up to the program; not if the object
//!    that asks has a `DT_RUNPATH`, and no list of an object that has one;
//! 3. `LD_LIBRARY_PATH`;
//! 4. the note of the object that asks, if the loader honours notes;
//! 5. `DT_RUNPATH` of the object that asks;
//! 6. `ld.so.cache`, and
//! 7. the default directories: not what lies there, if the object that asks has the flag `NODEFLIB`.
//!
//! In each directory, subdirectories of `glibc-hwcaps` come first. Files of the other class or for another machine are
//! passed over; any other file that cannot be loaded ends the program. Names with a slash are paths. What was opened
//! under another name already is the same object. Symbols are looked for in the program, what was loaded before
//! everything else, and then in breadth-first order.

mod cache;
mod config;
mod directories;
mod explain;
mod memory;
mod outcome;
mod resolver;
mod search;
mod tokens;
mod tree;

#[cfg(test)]
mod tests;

use crate::read::ReadError;
use resolver::Resolver;
use thiserror::Error;

pub use cache::{CacheError, LdCache};
pub use config::{Environment, LoaderConfig, LoaderFacts, platform, usual_interpreter};
pub use explain::{RunPathEntry, run_path};
pub use memory::{MemoryFile, MemoryTree};
pub use outcome::{Answer, Attempt, Mismatch, Object, Refusal, Request, RequestKind, Resolution, Rule};
pub use tree::{OpenError, Opened, Tree, follow_links};

/// The largest programs load some hundreds.
const MAX_OBJECTS: usize = 16 * 1024;
/// Programs of two hundred libraries, each with its directory, take some ten thousand.
const MAX_STEPS: usize = 1_000_000;

/// Why nothing can be said about a program.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// It is not there.
    #[error("there is no file {}", path.escape_ascii())]
    Absent {
        /// Its path.
        path: Vec<u8>,
    },
    /// It makes no sense.
    #[error("cannot read {}", path.escape_ascii())]
    Unreadable {
        /// Its path.
        path: Vec<u8>,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// It loads more than any program does.
    #[error("it loads more than {limit} libraries")]
    TooManyObjects {
        /// The limit.
        limit: usize,
    },
    /// It searches more than any program does.
    #[error("its libraries were looked for in {steps} places, and not all are found")]
    TooMuch {
        /// The limit.
        steps: usize,
    },
}

/// Finds everything that a program would load before it runs.
///
/// # Errors
/// The program cannot be read, or asks for more than any makes sense of. Libraries that are missing are no error.
pub fn resolve<T: Tree>(
    tree: &T,
    program: &[u8],
    config: &LoaderConfig,
    environment: &Environment,
) -> Result<Resolution, ResolveError> {
    Resolver::new(tree, program, config, environment)?.run(&environment.preload)
}

/// Finds what a file itself asks for, as if it were a program; what that asks for is not looked at.
///
/// # Errors
/// As for [`resolve`].
pub fn resolve_direct<T: Tree>(tree: &T, file: &[u8], config: &LoaderConfig) -> Result<Resolution, ResolveError> {
    Resolver::new(tree, file, config, &Environment::default())?.run_direct()
}

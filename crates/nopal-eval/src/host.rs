//! The host boundary: everything impure that evaluation needs, as one narrow trait.
//!
//! Paths handed to a host are absolute and canonical. Paths below the logical store directory mean store objects; where
//! those lie physically is the host's affair.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nopal_format::derivation::Instantiated;
use nopal_format::flake::Input;
use nopal_format::{BuiltPath, ContentAddressMethod, Derivation, Hash, HashAlgorithm, StorePath};

use crate::error::Error;
use crate::eval::Evaluator;
use crate::pos::Pos;
use crate::uses::Uses;
use crate::value::Value;

/// Names in a directory and what they are, in any order.
pub type Listing = Arc<[(Vec<u8>, FileType)]>;

/// The result of a host call.
pub type HostResult<T> = std::result::Result<T, HostError>;

/// Why the host could not do it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or directory does not exist.
    #[error("path '{}' does not exist", .0.display())]
    NotFound(PathBuf),
    /// Anything the system or the store reported; the text is a complete message.
    #[error("{0}")]
    Failed(String),
    /// A hash was not the expected one; the text is a complete message.
    #[error("{0}")]
    HashMismatch(String),
    /// A callback into the evaluator failed; the evaluator has the reason.
    #[error("evaluation failed")]
    Callback,
    /// The host does not offer this.
    #[error("{0} is not available here")]
    Unsupported(&'static str),
    /// The user interrupted.
    #[error("interrupted by the user")]
    Interrupted,
}

/// What a path is, without following symbolic links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileType {
    /// A regular file.
    Regular {
        /// May it be executed by its owner?
        executable: bool,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else: device, socket, pipe.
    Other,
}

impl FileType {
    /// The name that `builtins.readFileType` and filters see.
    pub fn name(self) -> &'static str {
        match self {
            FileType::Regular { .. } => "regular",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Other => "unknown",
        }
    }
}

/// A request to copy a file or tree into the store.
#[derive(Clone, Debug)]
pub struct AddPath<'a> {
    /// The name of the store object.
    pub name: &'a str,
    /// What to copy.
    pub path: &'a Path,
    /// Which serialisation is hashed (NAR, or flat for one regular file).
    pub method: ContentAddressMethod,
    /// The algorithm of the content address.
    pub algorithm: HashAlgorithm,
    /// The hash it must have.
    pub expected: Option<Hash>,
    /// What the store object that it lies in refers to.
    pub references: &'a BTreeSet<StorePath>,
}

/// Decides whether a path (relative to nothing: absolute) of this type is copied; an error ends the copy.
pub type Filter<'a> = &'a mut dyn FnMut(&Path, FileType) -> HostResult<bool>;

/// What kind of archive a fetched URL is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchRequest {
    /// One file, `builtins.fetchurl`.
    File {
        /// Where from.
        url: String,
        /// Name of the store object.
        name: String,
        /// The hash of its contents, if it must have one.
        sha256: Option<Hash>,
    },
    /// An archive, unpacked, `builtins.fetchTarball`.
    Tarball {
        /// Where from.
        url: String,
        /// Name of the store object.
        name: String,
        /// The NAR hash of the unpacked tree, if it must have one.
        sha256: Option<Hash>,
    },
    /// `builtins.fetchTree`, `fetchGit`, `fetchMercurial` and inputs of flakes.
    Tree(Input),
}

/// A closure to copy from a binary cache, `builtins.fetchClosure`.
#[derive(Clone, Copy, Debug)]
pub struct ClosureRequest<'a> {
    /// The address of the cache.
    pub store: &'a str,
    /// The path in it.
    pub path: &'a StorePath,
    /// Give every path of the closure a content address instead of copying it as it is.
    pub rewrite: bool,
}

/// What is to be known of a valid path with its closure.
#[derive(Clone, Debug)]
pub struct ClosureInfo {
    /// The path and everything that it leads to.
    pub closure: Vec<StorePath>,
    /// Whether the path follows from its content.
    pub is_content_addressed: bool,
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The store object.
    pub store_path: StorePath,
    /// Of a tree: the input with all that fetching found out (`rev`, `revCount`, `lastModified`, `narHash`, …).
    pub input: Option<Input>,
    /// How messages name what is in it; `None` is by the store path.
    pub mount: Option<Mount>,
}

/// How messages speak of a tree that was copied to the store from somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What stands for the store path.
    pub shown: Vec<u8>,
    /// Whether it is the working tree of a Git repository, of which only the tracked files were copied.
    pub is_worktree: bool,
}

/// A store object that must exist before its contents are read (import from derivation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A path.
    Path(StorePath),
    /// An output of a derivation.
    Output(BuiltPath),
}

/// Output meant for the user while evaluation goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// `builtins.trace`: the whole line, with its `trace: `.
    Trace(Vec<u8>),
    /// A warning, without `warning: `. May have several lines.
    Warning(Vec<u8>),
    /// A warning about a source, complete with its prefix, excerpt and line end.
    Report(Vec<u8>),
}

/// What a parsed source is known by: a hash of its text and of the options of the parser.
pub type SourceKey = [u8; 32];

/// Everything impure.
pub trait Host: Send + Sync {
    /// What a path is, not following a link at its end (links before that are followed); `None` when it does not exist.
    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>>;

    /// The contents of a regular file.
    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>>;

    /// The names in a directory with their types. What is the same as before may be the same object.
    fn read_dir(&self, path: &Path) -> HostResult<Listing>;

    /// The target of a symbolic link.
    fn read_link(&self, path: &Path) -> HostResult<Vec<u8>>;

    /// Copies a file or tree into the store, as far as `filter` admits; in read-only mode it only computes the path.
    fn add_path(&self, request: &AddPath<'_>, filter: Option<Filter<'_>>) -> HostResult<StorePath>;

    /// Writes a text object; in read-only mode it only computes the path.
    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> HostResult<StorePath>;

    /// Writes a derivation, given with what it is in the store.
    fn add_derivation(&self, derivation: &Derivation, made: &Instantiated<'_>) -> HostResult<()>;

    /// Reads a derivation that this evaluation did not make.
    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation>;

    /// Is this a valid store path? May make it valid by substitution.
    fn ensure_path(&self, path: &StorePath) -> HostResult<bool>;

    /// Makes all of `wanted` exist and returns, in the same order, the paths of outputs and of plain paths.
    fn realise(&self, wanted: &[Wanted]) -> HostResult<Vec<StorePath>>;

    /// The path of an output of a derivation if it is known without building anything; for one whose path follows from
    /// its content that is so once it has been built.
    fn known_output(&self, _built: &BuiltPath) -> HostResult<Option<StorePath>> {
        Err(HostError::Unsupported("what outputs turned out to be"))
    }

    /// Copies a path with its closure from a binary cache, rewritten to content addresses if `to` says so.
    fn fetch_closure(&self, _request: &ClosureRequest<'_>) -> HostResult<StorePath> {
        Err(HostError::Unsupported("fetching of closures"))
    }

    /// The closure of a valid path.
    fn closure_info(&self, _path: &StorePath) -> HostResult<ClosureInfo> {
        Err(HostError::Unsupported("looking at closures"))
    }

    /// What a store object refers to; an error when it is not valid.
    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>>;

    /// Fetches.
    fn fetch(&self, request: &FetchRequest) -> HostResult<Fetched>;

    /// The value of the flake that a reference means, for `builtins.getFlake`.
    ///
    /// # Errors
    /// The evaluation error; by default, that there are no flakes here.
    fn get_flake(&self, _evaluator: &mut Evaluator, _reference: &str, _pos: Pos) -> std::result::Result<Value, Error> {
        Err(Error::eval(HostError::Unsupported("evaluation of flakes").to_string()))
    }

    /// The tree of the flake that a reference means, for `flake:` in the search path.
    ///
    /// # Errors
    /// The evaluation error; by default, that there are no flakes here.
    fn flake_tree(&self, _evaluator: &mut Evaluator, _reference: &str) -> std::result::Result<StorePath, Error> {
        Err(Error::eval(HostError::Unsupported("evaluation of flakes").to_string()))
    }

    /// What [`Host::keep_parsed`] was given for this key, if it is at hand. Whether it is makes no difference but in time.
    fn parsed(&self, _key: &SourceKey) -> Option<Vec<u8>> {
        None
    }

    /// Keeps a parsed source for other evaluations.
    fn keep_parsed(&self, _key: SourceKey, _packed: Vec<u8>) {}

    /// An environment variable.
    fn env(&self, name: &[u8]) -> Option<Vec<u8>>;

    /// Seconds since 1970.
    fn now(&self) -> i64;

    /// Nanoseconds since 1970, for traces and profiles.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.now()).unwrap_or_default().saturating_mul(1_000_000_000)
    }

    /// Shows something to the user at once.
    fn emit(&self, message: Message);

    /// Where it notes which of its answers are used, if it does.
    fn uses(&self) -> Option<Arc<Uses>> {
        None
    }

    /// Finds a store path by the hash part of its name. Only the command line needs it.
    fn path_from_hash_part(&self, _hash_part: &str) -> HostResult<Option<StorePath>> {
        Ok(None)
    }
}

//! Why an operation on a store failed.

use std::path::PathBuf;

use nopal_format::Hash;
use nopal_format::store_path::StorePathError;
use nopal_fs::FsError;

use crate::tree::TreeError;

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A tree cannot be read or written as an archive.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A tree has metadata or entries that a store cannot keep.
    #[error(transparent)]
    Canon(#[from] nopal_fs::CanonError),
    /// A name or path is not one of a store.
    #[error(transparent)]
    Path(#[from] StorePathError),
    /// Nobody who is trusted has signed a path.
    #[error("cannot add path '{path}' because it lacks a signature by a trusted key")]
    Untrusted {
        /// The path.
        path: String,
    },
    /// A stream of exported paths is none.
    #[error("{reason}")]
    BadExport {
        /// What is wrong with it.
        reason: String,
    },
    /// Text that should register paths does not.
    #[error("{reason}")]
    BadRegistration {
        /// What is wrong with it.
        reason: String,
    },
    /// The database does not hold what a database of ours holds.
    #[error("the store database '{}' is corrupt: {reason}", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What SQLite, or we, found wrong.
        reason: String,
    },
    /// A file that is no database of ours.
    #[error("'{}' is not a nopal store database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a later version of nopal.
    #[error("the store database '{}' has schema version {found}, newer than {supported}, the newest that this nopal knows", path.display())]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        supported: i64,
    },
    /// The store was made for another logical directory.
    #[error("the store database '{}' is for the store directory '{found}', not '{expected}'", path.display())]
    OtherStoreDir {
        /// The database file.
        path: PathBuf,
        /// The directory it was made for.
        found: String,
        /// The one asked for.
        expected: String,
    },
    /// Another process has kept the database locked for longer than we wait.
    #[error("the store database '{}' is locked by another process", path.display())]
    Busy {
        /// The database file.
        path: PathBuf,
    },
    /// There is no store, and this one may not be created.
    #[error("there is no store at '{}'", path.display())]
    NoStore {
        /// The state directory looked at.
        path: PathBuf,
    },
    /// The disk is full; nothing was registered.
    #[error("no space left on the disk for the store database '{}'", path.display())]
    DiskFull {
        /// The database file.
        path: PathBuf,
    },
    /// SQLite failed in a way that has no name of its own here.
    #[error("the store database '{}' failed: {source}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// A change was asked of a store that is open for reading only.
    #[error("cannot {operation}: the store at '{}' is open for reading only", path.display())]
    ReadOnly {
        /// What was asked, as an infinitive.
        operation: &'static str,
        /// The physical store directory.
        path: PathBuf,
    },
    /// The store lies where the user may not write, or on a file system that is mounted read-only.
    #[error("the store database '{}' cannot be written to", path.display())]
    NotWritable {
        /// The database file.
        path: PathBuf,
    },
    /// The path is not valid.
    #[error("path '{path}' is not valid")]
    NotValid {
        /// The path, with its store directory.
        path: String,
    },
    /// A derivation cannot be read.
    #[error("cannot read the derivation '{path}': {reason}")]
    Derivation {
        /// The derivation, with its store directory.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// What an output turned out to be is recorded differently already.
    #[error(
        "Trying to register a realisation of '{id}', but we already have another one locally.\nLocal:  {local}\nRemote: \
         {remote}"
    )]
    OtherRealisation {
        /// The output.
        id: String,
        /// The path recorded.
        local: String,
        /// The path that was to be recorded.
        remote: String,
    },
    /// A path refers to one that is not valid.
    #[error("cannot register '{path}': it refers to '{reference}', which is not valid")]
    ReferenceNotValid {
        /// The path to be registered.
        path: String,
        /// What it refers to.
        reference: String,
    },
    /// The path cannot be removed.
    #[error("cannot delete '{path}': {}", reasons.join("; "))]
    InUse {
        /// The path.
        path: String,
        /// What keeps it: roots and referrers.
        reasons: Vec<String>,
    },
    /// The contents are not those that were promised.
    #[error("hash mismatch importing path '{path}': specified {expected}, got {got}", expected = .expected.sri(), got = .got.sri())]
    HashMismatch {
        /// The path.
        path: String,
        /// The hash promised.
        expected: Box<Hash>,
        /// The hash of what came.
        got: Box<Hash>,
    },
    /// The contents are more or fewer bytes than were promised.
    #[error("size mismatch importing path '{path}': specified {expected} bytes, got {got}")]
    SizeMismatch {
        /// The path.
        path: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes that came; reading stops soon after too many.
        got: u64,
    },
    /// A path claims to follow from its contents and does not.
    #[error("path '{path}' claims to be content-addressed as '{ca}' but is not")]
    ContentAddressMismatch {
        /// The path.
        path: String,
        /// The claim.
        ca: String,
    },
    /// The contents hold a reference that was not declared.
    #[error("path '{path}' contains a reference to '{reference}' that its metadata does not list")]
    UndeclaredReference {
        /// The path.
        path: String,
        /// What was found.
        reference: String,
    },
    /// Flat hashing knows one regular file.
    #[error("'{}' is not a regular file, so it cannot be added with flat hashing", path.display())]
    NotAFile {
        /// The path given.
        path: PathBuf,
    },
    /// A path inside a store path that is not there.
    #[error("path '{path}/{inner}' does not exist")]
    NoSuchEntry {
        /// The store path.
        path: String,
        /// The path within.
        inner: String,
    },
    /// A file of a binary cache is not as it should be.
    #[error("'{}' is not a good binary-cache file: {reason}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The filter or another callback of the caller failed. The caller keeps the details.
    #[error("the addition of '{}' was stopped by its filter", path.display())]
    Stopped {
        /// The entry the filter was asked about.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether the store cannot be opened for writing, and may be for reading.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::ReadOnly { .. } | Self::NotWritable { .. } => true,
            Self::Fs(error) => error.is_read_only() || error.is_permission_denied(),
            _ => false,
        }
    }

    /// What the user might do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(error) => error.hint().map(str::to_owned),
            Self::Tree(TreeError::Fs(error)) => error.hint().map(str::to_owned),
            Self::DiskFull { .. } => Some("free some space, for example with `nopal store gc`".to_owned()),
            Self::Corrupt { path, .. } => Some(format!(
                "move '{}' away and let `nopal store verify` say what of the store can be kept",
                path.display()
            )),
            Self::NewerSchema { .. } => Some("use the nopal that wrote it, or a newer one".to_owned()),
            Self::NotWritable { .. } => Some("it can still be opened for reading only".to_owned()),
            Self::Busy { .. } => Some("see which nopal is running, or try again".to_owned()),
            Self::InUse { .. } => Some("`nopal store roots` lists what keeps paths alive".to_owned()),
            _ => None,
        }
    }
}

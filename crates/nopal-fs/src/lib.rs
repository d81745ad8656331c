//! The only user of `std::fs`: every error carries the operation and the path.
//!
//! | module | for |
//! |---|---|
//! | [`file`](read_file) | the thin layer that replaces `std::fs` |
//! | [`replace`] | write a file so that a crash leaves the old or the new one, never half of one |
//! | [`patch_file`] | change parts of a file so that what fails leaves the old one |
//! | [`lock`] | advisory locks whose state is a type |
//! | [`walk`] | a tree in canonical (bytewise) order, without following links |
//! | [`canon`] | permissions, times and attributes as a store keeps them |
//! | [`copy`] | reflink, copy, hard link |
//! | [`create`] | build a tree through directory descriptors |
//! | [`remove`] | remove a tree whatever its permissions |
//! | [`sync`] | make a tree durable |
//! | [`identity`] | whether a file is still the one that was read, without reading it again |
//! | [`RandomFile`] | parts of a file, wherever they lie |
//! | [`proc`] | what running processes hold open |
//!
//! All calls block. Nothing here reads the environment or prints.

pub mod canon;
pub mod copy;
pub mod create;
mod error;
mod file;
pub mod identity;
pub mod lock;
mod patch;
pub mod proc;
mod random;
pub mod remove;
pub mod replace;
pub mod sync;
pub mod temp;
pub mod walk;

pub use canon::{CanonError, canonicalise_tree};
pub use copy::{CopyKind, copy_file, copy_file_contents, reflink_or_copy};
pub use create::{CanonicalDirectory, TreeWriter};
pub use error::{FsError, words};
pub use file::*;
pub use identity::{FileIdentity, FileTime, read_dir_identified, read_file_identified};
pub use lock::{ExclusiveLock, LockFile, NumberLocks, PathLock, SharedLock};
pub use patch::{FilePart, Patchable, patch_copy, patch_file, patch_stream};
pub use random::RandomFile;
pub use remove::{Removed, remove_tree, remove_tree_if_exists};
pub use replace::{AtomicFile, replace, replace_with, symlink_replace};
pub use sync::{SyncMethod, sync_directory, sync_file, sync_filesystem, sync_tree};
pub use temp::{LockedTempDir, TempDir};
pub use walk::{EntryKind, Step, TreeWalk, WalkOptions};

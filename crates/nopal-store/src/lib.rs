//! A store: a directory of immutable trees, and an SQLite database of which of them are valid and what they refer to.
//!
//! The *logical* store directory (a [`StoreDir`](nopal_format::StoreDir)) is what store paths say and what hashes are made of; the
//! *physical* one is where the trees lie. Everything here blocks.
//!
//! Rules that hold at every moment, power cuts included:
//! - a path is valid when, and only when, the database says so, and what is valid is complete on disk;
//! - data is made durable before the database learns of it, and the database forgets before data is removed;
//! - whoever wants to use a path takes a temporary root on it *before* asking whether it is valid.

mod add;
mod additions;
mod addressed;
mod cache;
mod closure;
mod config;
mod content;
mod contents;
mod copy;
mod database;
mod error;
mod gc;
mod install;
mod mentions;
mod nario;
mod optimise;
mod output;
mod query;
mod realisations;
mod registration;
mod roots;
mod spool;
mod store;
mod temp_roots;
mod tree;
mod verify;

pub use add::{AddOptions, NarChecks, TextToAdd, content_hash, path_of_source};
pub use additions::Additions;
pub use addressed::ClosureSource;
pub use cache::{CacheCompression, CacheImport, CacheOptions, CacheSource};
pub use closure::Direction;
pub use config::{Durability, StoreConfig};
pub use contents::{dump_tree, restore_tree, unpack_tree};
pub use error::StoreError;
pub use gc::{GcOptions, GcReport, GcScope};
pub use mentions::Mention;
pub use nopal_format::PathInfo;
pub use nopal_fs::EntryKind;
pub use optimise::OptimiseReport;
pub use output::{BuiltOutput, OutputScan, rewrite_tree, scan_tree, scan_tree_modulo};
pub use registration::RegistrationSource;
pub use roots::{Root, RootReason};
pub use store::Store;
pub use tree::{EntryFilter, Stopped, TreeError, TreeHash};
pub use verify::{PathProblem, Problem, VerifyOptions, VerifyReport};

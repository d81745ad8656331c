//! The Debian universe: from the name of a package to Nix expressions that fetch, unpack and join its closure.
//!
//! The way: [`DebianSources`] (the machine's apt configuration, or flags) → signed Release files and indexes
//! ([`Loader`]) → [`Universe`] → [`resolve()`] → [`Lock`], a file of the rows that were used → [`expression`], Nix code
//! that reads the lock file and yields derivations. Evaluation is pure once there is a lock. The derivations use
//! builders inside the program: [`unpack_deb`] and [`join_trees`]. Maintainer scripts are never run; what programs need
//! of their effects is done as data, and [`explain()`] lists the rest.

pub mod compression;
pub mod control;
pub mod lock;
pub mod locking;
pub mod relation;
pub mod release;
pub mod repository;
pub mod resolve;
pub mod signature;
pub mod sources;
pub mod universe;
pub mod version;

pub use lock::{Lock, LockError, LockedFile, LockedPackage, LockedSource, LockedSuite};
pub use locking::{DebianError, LockRequest, lock, mirrors};
pub use release::Release;
pub use repository::{LoadOptions, Loader, Refresh, RepositoryError, Suite};
pub use resolve::{PackageSpec, Resolution, ResolveError, ResolveOptions, resolve};
pub use sources::{DebianSources, Keys, Repository, SourceFlags, SourcesError};
pub use universe::{Package, Universe};

//! The Debian universe: from the name of a package to Nix expressions that fetch, unpack and join its closure.
//!
//! The way: [`DebianSources`] (the machine's apt configuration, or flags) → signed Release files and indexes
//! ([`Loader`]) → [`Universe`] → [`resolve()`] → [`Lock`], a file of the rows that were used → [`expression`], Nix code
//! that reads the lock file and yields derivations. Evaluation is pure once there is a lock. The derivations use
//! builders inside the program: [`unpack_deb`] and [`join_trees`]. Maintainer scripts are never run; what programs need
//! of their effects is done as data, and [`explain()`] lists the rest.

pub mod alternatives;
pub mod ar;
pub mod control;
mod etc;
pub mod explain;
pub mod join;
pub mod ldcache;
pub mod lock;
pub mod locking;
pub mod relation;
pub mod release;
pub mod repository;
pub mod resolve;
pub mod script;
pub mod signature;
pub mod sources;
mod tree;
pub mod universe;
pub mod unpack;
pub mod version;
pub mod x509;

pub use explain::{Effect, Explanation, Verdict, explain};
pub use join::{JoinError, JoinReport, join_trees};
pub use lock::{Lock, LockError, LockedFile, LockedPackage, LockedSource, LockedSuite};
pub use locking::{DebianError, LockRequest, lock, mirrors};
pub use release::Release;
pub use repository::{LoadOptions, Loader, Refresh, RepositoryError, Suite};
pub use resolve::{PackageSpec, Resolution, ResolveError, ResolveOptions, resolve};
pub use sources::{DebianSources, Keys, Repository, SourceFlags, SourcesError};
pub use universe::{Package, Universe};
pub use unpack::{UnpackError, UnpackReport, unpack_deb};

/// Nix code: a function `{ lock ? ./nopal.lock, essential ? true }` that gives `packages`, `closure NAME`,
/// `tree [ NAME… ]` and `source NAME`. It evaluates with any Nix from 2.8 on.
pub fn expression() -> &'static str {
    include_str!("debian.nix")
}

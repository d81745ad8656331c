//! The rootless sandbox, the scheduler of builds, and the namespace that `nopal run` shows a program.
//!
//! | module | for |
//! |---|---|
//! | [`config`](BuildConfig) | what a build must be told: limits, jobs, sandbox or not |
//! | [`builtin`] | builders that are functions of ours (`builtin:fetchurl`), and the registry for more of them |
//! | `sandbox` | namespaces, mounts, the system-call filter, and the child that goes through them to the builder |
//! | `environment` | the environment and the files that a builder finds, as Nix makes them |
//! | `supervise` | the builder's output, its time-outs and its end |
//! | `outputs` | from what the builder left to valid store paths |
//! | `scheduler` | a graph of derivations, in dependency order, each once |
//! | [`run`] | user and mount namespace around a program, same process, same terminal |
//! | [`probe`](probe()) | what this machine allows, as data |
//!
//! Nothing here falls back silently: a machine without user namespaces is an error with a hint, and a build without
//! a sandbox happens only where [`SandboxMode::Disabled`] says so.

mod attrs;
mod builder;
pub mod builtin;
mod cancel;
mod checks;
mod config;
mod environment;
mod error;
mod graph;
mod job;
mod log;
mod options;
mod outputs;
pub mod probe;
mod rewrite;
pub mod run;
mod sandbox;
mod scheduler;
mod scratch;
mod supervise;

pub use builtin::{BuiltinBuilder, BuiltinBuilders, BuiltinContext, BuiltinError};
pub use cancel::CancelToken;
pub use config::{BuildConfig, BuildLimits, BuildMode, SandboxMode};
pub use environment::AttrsFiles;
pub use error::{BuildError, BuilderStatus, Failure, FailureKind};
pub use graph::attrs_files;
pub use log::log_path;
pub use probe::{Probe, probe};
pub use sandbox::SandboxError;
pub use scheduler::{OutputsWanted, Plan, RealiseError, Realised, Wanted, plan, realise};

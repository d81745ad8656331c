//! The one façade: evaluate, instantiate, realise, run.
//!
//! Everything above this floor talks to an [`Engine`] and to nothing below it. A call goes strictly downwards: an
//! [`Installable`] is evaluated to derivations ([`Engine::instantiate`]), their outputs are made valid in the store
//! ([`Engine::realise`]), and a program of them is described for execution ([`Engine::prepare_run`]). Results and
//! events come back up.

mod after;
mod app;
mod closure;
mod config;
mod debian;
mod derivation;
mod engine;
mod environment;
mod error;
mod eval;
mod fetch;
mod flake;
mod host;
mod inputs;
mod inspect;
mod installable;
mod items;
mod observe;
mod packages;
mod parsed;
mod paths;
mod realise;
mod recorded;
mod relocation;
mod run;
mod search;
mod session;
mod show;
mod substitute;

pub use app::{App, Bundle};
pub use config::{DebianConfig, EngineConfig, FlakeConfig};
pub use debian::DebLock;
pub use engine::Engine;
pub use environment::{ShellEnvironment, ShellVariable};
pub use error::{EngineError, ErrorKind, as_error};
pub use eval::{AutoArg, EvalFormat, EvalRequest, Habits};
pub use flake::{
    CheckOptions, FlakeMetadata, FlakeSource, LockFlags, Prefetched, Purpose, RegistryChange, ShowOptions,
};
pub use installable::{Installable, InstallableParseError, Source};
pub use items::Item;
pub use nopal_build::{AttrsFiles, CancelToken, Probe};
pub use nopal_eval::pure::suggest;
pub use nopal_eval::{Documentation, Held};
pub use nopal_import::debian::Explanation;
pub use nopal_syntax::parser::Lint;
pub use nopal_syntax::printer::identifier;
pub use observe::{Destination, ObserveConfig};
pub use packages::Outputs;
pub use realise::{Built, RealiseOptions, Wanted};
pub use recorded::EvaluationCache;
pub use relocation::{Parcel, Relocated};
pub use run::RunPlan;
pub use search::{FoundPackage, Patterns};
pub use session::{Depth, Loaded, Session, SessionError};
pub use substitute::Plan;

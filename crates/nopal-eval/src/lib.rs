//! The evaluator of the Nix language: compiler, values, builtins, and the host boundary.
//!
//! The face is [`Evaluator`]: make one with [`Settings`] and a [`Host`], evaluate files or texts, force, select and
//! print. Everything impure goes through the host; tests use [`MemHost`].
//!
//! Evaluation recurses on the native stack. Run it inside [`with_stack`], which provides a large one; on any stack
//! an evaluation that would overflow ends in an error.

pub mod builtin;
pub mod builtins;
mod code;
pub mod context;
mod derivation;
pub mod error;
mod eval;
pub mod host;
mod mem_host;
mod native_stack;
pub mod pos;
pub mod print;
pub mod pure;
mod report;
pub mod settings;
mod sync;
pub mod uses;
pub mod value;

pub use error::{Error, ErrorKind, Result};
pub use eval::coerce::Coerce;
pub use eval::documentation::Documentation;
pub use eval::globals::NIX_VERSION;
pub use eval::import::pseudo_url;
pub use eval::interactive::{Bound, Held};
pub use eval::observe::{FunctionCalls, Observe, Statistics};
pub use eval::{Evaluator, Links, evaluate};
pub use host::{Host, HostError};
pub use mem_host::MemHost;
pub use native_stack::with_stack;
pub use pos::Pos;
pub use settings::Settings;
pub use value::{Value, View};

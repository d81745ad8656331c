//! Programs that run from any directory, and start without looking for their libraries.

mod bindings;
#[path = "../../../stubs/src/codes.rs"]
mod codes;
mod fast;
mod lift;
mod loader;
mod pack;
mod paths;
mod probe;
mod relocate;
mod tree;
pub mod wrap;
mod write;

pub use bindings::Binder;
pub use fast::{Fast, FastError, Speed, note, slow, speed};
pub use loader::{Loader, LoaderChoice};
pub use pack::{PackError, Packed, pack};
pub use probe::{Trial, try_rungs};
pub use relocate::edition;
pub use relocate::{AssessError, Assessment, RelocateError, Relocation, Rung, Source, Verdict, assess, relocate};
pub use tree::{FileTree, TreeFile};
pub use write::{parts, write};

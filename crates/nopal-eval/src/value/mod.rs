//! Values: the word, the heap objects, the heap. All `unsafe` of the crate but the value stack's is below this module.

pub mod attrs;
mod chunk;
mod collect;
pub mod heap;
mod limit;
pub mod objects;
mod roots;
mod space;
pub mod stack;
mod update;
pub mod word;
pub(crate) mod world;

pub use attrs::{Attrs, AttrsBuilder, Shape};
pub use heap::{Heap, ListBuilder};
pub use objects::{Closure, List, NixPath, NixStr, PartialApp, Root};
pub use roots::{RootVec, ValueVec};
pub use word::{Value, View};

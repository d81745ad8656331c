//! Which definition each reference of a program and of its libraries is bound to.
//!
//! glibc's loader looks in the program and in its libraries, in their order, until one has the symbol: tens of thousands of
//! searches through hundreds of tables, and the same each time. What it would find is found here once, and written down
//! for the entry code of the program, which binds what is still what it was (`stubs/src/bind.rs`).
//!
//! Left to the loader is what is decided by the machine (functions that choose their code), what it keeps account of
//! (unique symbols, variables of threads, copies), and what is not found.

mod encode;
mod linked;
mod lookup;

pub use encode::bindings;
pub use linked::Linked;

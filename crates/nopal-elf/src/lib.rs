//! ELF files: reading, editing in place, and finding libraries as the dynamic loader does.
//!
//! Nothing here touches a file: bytes come in through [`Bytes`], and what an edit changes goes out as a list of patches.

mod bind;
#[path = "../../../stubs/src/bound.rs"]
mod bound;
mod bytes;
mod edit;
mod error;
mod note;
mod raw;
pub mod read;
pub mod resolve;
#[cfg(test)]
mod sample;
mod start;

pub use bind::{Linked, bindings};
pub use bytes::Bytes;
pub use edit::{CacheOutcome, Changes, Directory, Editor, ExecStack, Options, Patch, RunPath, RunPathDirectories};
pub use error::ElfError;
pub use start::{Place, Start};

/// The machine that a file is for: the number of its architecture.
///
/// # Errors
/// It is no ELF file.
pub fn machine(bytes: &dyn Bytes) -> Result<u16, ElfError> {
    raw::Header::read(bytes).map(|header| header.machine)
}

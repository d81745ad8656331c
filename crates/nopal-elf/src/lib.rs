//! ELF files: reading, editing in place, and finding libraries as the dynamic loader does.
//!
//! Nothing here touches a file: bytes come in through [`Bytes`], and what an edit changes goes out as a list of patches.

mod bytes;

pub use bytes::Bytes;

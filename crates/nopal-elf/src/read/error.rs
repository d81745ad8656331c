//! Why a file cannot be read as ELF.

use std::io;
use thiserror::Error;

/// What is wrong with a file, and at which of its bytes.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It does not begin as ELF files do.
    #[error("not an ELF file: it does not begin with \\x7fELF")]
    NotElf,
    /// A field that says how to read the rest has a value that nobody knows.
    #[error("cannot read {what} {value} (byte {offset})")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// What it says.
        value: u64,
        /// Where it stands.
        offset: u64,
    },
    /// A table does not lie in the file.
    #[error("{what} at byte {offset} ({length} bytes) is not in the file, which has {file_bytes}")]
    Outside {
        /// Which table.
        what: &'static str,
        /// Where it should begin.
        offset: u64,
        /// How long it should be.
        length: u64,
        /// How long the file is.
        file_bytes: u64,
    },
    /// A table is larger than any that makes sense.
    #[error("{what} at byte {offset} has {length} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Which table.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// How long it says to be.
        length: u64,
        /// What is allowed.
        limit: u64,
    },
    /// An address is in no segment that the file has bytes for.
    #[error("address {address:#x} of {what} is in no loaded segment")]
    Unmapped {
        /// What should be there.
        what: &'static str,
        /// The address.
        address: u64,
    },
    /// The file could not be read.
    #[error("cannot read {what} at byte {offset}")]
    Io {
        /// What was read.
        what: &'static str,
        /// Where it lies.
        offset: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

//! NAR, the canonical archive of a file tree: streaming writer, streaming reader, and small trees in memory.
//!
//! Everything is a token: length as 64-bit little-endian number, bytes, zeros up to a multiple of eight. The limits
//! are those of Nix 2.34 (`libutil/archive.cc`). The reader and the writer enforce the same rules, so that whatever is
//! written can be read.

mod decode;
mod encode;
mod tree;

use std::io;

use thiserror::Error;

use crate::bytes::ByteString;

pub use decode::{FileContents, NarEvent, decode, decode_exact};
pub use encode::NarWriter;
pub use tree::{Tree, hash_of_file};

/// The first token.
pub const MAGIC: &[u8] = b"nix-archive-1";
/// A node below this many directories is refused, by Nix to bound its stack.
pub const MAX_DEPTH: usize = 64;
/// Longest name of an entry in bytes: what Linux file systems can hold.
pub const MAX_NAME_LEN: usize = 255;
/// Longest target of a symbolic link in bytes: what Linux can hold.
pub const MAX_TARGET_LEN: usize = 4095;
/// Longest keyword that is read, in bytes; real ones have at most ten, the rest keeps messages useful.
const MAX_TAG_LEN: usize = 32;
/// Longest file: what a signed 64-bit offset can address.
const MAX_FILE_LEN: u64 = i64::MAX as u64;

/// Why a NAR cannot be read or written; the wording is Nix's where Nix has one.
#[derive(Debug, Error)]
pub enum NarError {
    /// The first token is another.
    #[error("bad archive: input doesn't look like a Nix archive")]
    Magic,
    /// The input ends inside the archive.
    #[error("unexpected end-of-file at byte {position} of archive")]
    UnexpectedEof {
        /// Bytes read before.
        position: u64,
    },
    /// Padding bytes are not zero.
    #[error("non-zero padding at byte {position} of archive")]
    Padding {
        /// Where the padding ends.
        position: u64,
    },
    /// Another keyword was expected.
    #[error("bad archive: expected tag '{expected}', got '{found}'")]
    Tag {
        /// What would have been right.
        expected: &'static str,
        /// What was there.
        found: ByteString,
    },
    /// A keyword, name or target is longer than allowed.
    #[error("bad archive: {what} has {len} bytes, more than {limit}")]
    TooLong {
        /// `tag`, `name`, `symlink target`, `executable marker` or `file`.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The type of a node is not known.
    #[error("bad archive: unknown file type '{found}'")]
    Type {
        /// What was there.
        found: ByteString,
    },
    /// A name is empty, `.`, `..`, or holds `/` or a zero byte.
    #[error("bad archive: NAR contains invalid file name '{name}'")]
    Name {
        /// The name.
        name: ByteString,
    },
    /// The entries of a directory are not in strictly ascending order.
    #[error("bad archive: NAR directory is not sorted: '{name}' follows '{previous}'")]
    Unsorted {
        /// The name.
        name: ByteString,
        /// The name before it.
        previous: ByteString,
    },
    /// A symbolic link with an empty target or a zero byte in it.
    #[error("bad archive: NAR contains invalid symlink target")]
    Target,
    /// Below too many directories.
    #[error("bad archive: NAR directory nesting exceeds maximum depth of {MAX_DEPTH}")]
    Depth,
    /// Bytes behind the archive.
    #[error("bad archive: trailing bytes at byte {position}")]
    Trailing {
        /// Where they begin.
        position: u64,
    },
    /// A file yields another number of bytes than was announced.
    #[error("file has {found} bytes where {expected} were announced; it changed while it was archived")]
    FileSize {
        /// Announced.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// The writer was used in a wrong order, or after an error.
    #[error("NAR writer misused: {what}")]
    Misuse {
        /// What was wrong.
        what: &'static str,
    },
    /// Reading or writing failed.
    #[error("at byte {position} of archive: {source}")]
    Io {
        /// Bytes read or written before.
        position: u64,
        /// What failed.
        source: io::Error,
    },
}

/// Zeros that fill a token up to a multiple of eight.
const fn padding(len: u64) -> usize {
    (len.wrapping_neg() & 7) as usize
}

fn check_name(name: &[u8], previous: Option<&[u8]>) -> Result<(), NarError> {
    if name.is_empty() || name == b"." || name == b".." || memchr::memchr2(b'/', 0, name).is_some() {
        return Err(NarError::Name { name: name.into() });
    }
    check_len("name", name.len() as u64, MAX_NAME_LEN as u64)?;
    match previous {
        Some(previous) if name <= previous => Err(NarError::Unsorted { name: name.into(), previous: previous.into() }),
        _ => Ok(()),
    }
}

fn check_target(target: &[u8]) -> Result<(), NarError> {
    check_len("symlink target", target.len() as u64, MAX_TARGET_LEN as u64)?;
    if target.is_empty() || target.contains(&0) { Err(NarError::Target) } else { Ok(()) }
}

const fn check_len(what: &'static str, len: u64, limit: u64) -> Result<(), NarError> {
    if len > limit { Err(NarError::TooLong { what, len, limit }) } else { Ok(()) }
}

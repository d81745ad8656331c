//! What can be wrong with an ELF file.

use thiserror::Error;

/// Why a file cannot be read or edited. The texts are those of patchelf, where it has one.
#[derive(Debug, Error)]
pub enum ElfError {
    /// Too short for a header.
    #[error("missing ELF header")]
    NoHeader,
    /// Another kind of file.
    #[error("not an ELF executable")]
    NotElf,
    /// Not version 1.
    #[error("unsupported ELF version")]
    Version,
    /// Neither 32 nor 64 bit.
    #[error("ELF executable is not 32 or 64 bit")]
    Class,
    /// An object file or a core dump.
    #[error("wrong ELF type")]
    Kind,
    /// A table lies outside of the file.
    #[error("{0} table out of bounds")]
    Table(&'static str),
    /// Program headers of another size than the class has.
    #[error("program headers have wrong size")]
    SegmentSize,
    /// Section headers of another size than the class has.
    #[error("section headers have wrong size")]
    SectionSize,
    /// A program that is linked statically, mostly.
    #[error("cannot find section '{0}'. The input file is most likely statically linked")]
    NoSection(&'static str),
    /// An offset or a size that the file does not have.
    #[error("data offset extends past file end")]
    Outside {
        /// Where it should begin.
        offset: u64,
    },
    /// An index behind the end of a string table.
    #[error("string table index out of bounds")]
    StringIndex,
    /// The dynamic section has no end.
    #[error(".dynamic section has no DT_NULL terminator (setSubstr: write extends past end of section)")]
    NoEnd,
    /// Alignments beyond reason would make the file grow by as much.
    #[error("segment alignment is implausibly large; refusing to grow file")]
    Alignment,
    /// A table that cannot be right.
    #[error("{0}")]
    Malformed(&'static str),
    /// What was asked for cannot be done to this file.
    #[error("{0}")]
    Refused(String),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

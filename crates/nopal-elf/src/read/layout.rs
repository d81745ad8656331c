//! Numbers as a file's class and byte order say.

use std::fmt;

use crate::raw::Format;

/// How wide addresses are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// 32 bits.
    Elf32,
    /// 64 bits.
    Elf64,
}

/// In which order bytes of a number stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteOrder {
    /// Least significant first.
    Little,
    /// Most significant first.
    Big,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf32 => "32-bit",
            Self::Elf64 => "64-bit",
        })
    }
}

impl fmt::Display for ByteOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Little => "little-endian",
            Self::Big => "big-endian",
        })
    }
}

impl ByteOrder {
    /// The number that bytes stand for; eight at most count.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        let join = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        }
    }
}

/// Where a field stands in a record, and how long it is.
pub(crate) type Field = (usize, usize);

/// Class and byte order together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) class: Class,
    pub(crate) order: ByteOrder,
}

impl Layout {
    /// The field of a record, by its place in files of 32 and of 64 bits. Outside of the record is zero.
    pub(crate) fn field(self, record: &[u8], narrow: Field, wide: Field) -> u64 {
        let (at, length) = self.pick(narrow, wide);
        record.get(at..at + length).map_or(0, |bytes| self.order.number(bytes))
    }

    /// The same, as tables are read by.
    pub(crate) fn format(self) -> Format {
        Format { is_64: self.class == Class::Elf64, order: self.order }
    }

    /// One of two, by class.
    pub(crate) fn pick<T>(self, narrow: T, wide: T) -> T {
        match self.class {
            Class::Elf32 => narrow,
            Class::Elf64 => wide,
        }
    }
}

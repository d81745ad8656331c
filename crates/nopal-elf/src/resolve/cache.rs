//! `ld.so.cache`: where `ldconfig` found libraries.

use crate::bytes::until_nul;
use crate::read::{ByteOrder, Class, Header, machine};
use thiserror::Error;

/// What the cache says, in the form that `ldconfig` has written since glibc 2.2, alone or behind the older one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LdCache {
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    soname: Vec<u8>,
    path: Vec<u8>,
    flags: u32,
    /// The subdirectory of `glibc-hwcaps` it is from.
    subdirectory: Option<Vec<u8>>,
}

/// Why the cache cannot be read. Loaders go on without it.
#[derive(Debug, Error)]
pub enum CacheError {
    /// It does not begin as caches do.
    #[error("not a cache of libraries: no glibc-ld.so.cache1.1 at its beginning")]
    NotACache,
    /// It was written for machines of the other byte order.
    #[error("the cache of libraries was written for the other byte order")]
    OtherByteOrder,
    /// A table does not lie in it.
    #[error("the cache of libraries ends before byte {0}")]
    Truncated(u64),
}

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
const EXTENSION_HWCAPS: u64 = 1;
/// Extensions that are known at all are two.
const MAX_EXTENSIONS: u64 = 64;

/// Parts of an entry's last field: it is from a subdirectory, of this number, for processors of this level.
const HWCAP_EXTENSION: u64 = 1 << 62;
const HWCAP_LEVELS: u64 = 0x3ff << 32;
/// For threads' memory, which all processors have.
const HWCAP_TLS: u64 = 1 << 63;

impl LdCache {
    /// Reads the cache.
    ///
    /// # Errors
    /// It is no cache, one for other machines, or cut off.
    pub fn parse(file: &[u8], order: ByteOrder) -> Result<Self, CacheError> {
        // in the old form, the new one stands where its strings begin
        let begin = match file.strip_prefix(OLD_MAGIC) {
            Some(rest) => {
                let count = order.number(rest.get(1..5).unwrap_or_default());
                let end = 16_u64.saturating_add(count.saturating_mul(12)).next_multiple_of(8);
                usize::try_from(end).unwrap_or(usize::MAX)
            }
            None => 0,
        };
        let cache = file.get(begin..).filter(|cache| cache.starts_with(MAGIC)).ok_or(CacheError::NotACache)?;
        let number = |at: u64, length: u64| -> Result<u64, CacheError> {
            let end = at.saturating_add(length);
            let part = usize::try_from(at).ok().zip(usize::try_from(end).ok());
            let bytes = part.and_then(|(at, end)| cache.get(at..end));
            bytes.map(|bytes| order.number(bytes)).ok_or(CacheError::Truncated(end))
        };
        let string = |at: u64| {
            let rest = usize::try_from(at).ok().and_then(|at| cache.get(at..)).unwrap_or_default();
            until_nul(rest).to_vec()
        };
        let count = number(20, 4)?;
        let endian = number(28, 1)? & 3;
        if endian != 0 && endian != if order == ByteOrder::Little { 2 } else { 3 } {
            return Err(CacheError::OtherByteOrder);
        }
        let subdirectories = hwcaps(number(32, 4)?, &number)?;
        let mut entries = Vec::new();
        for index in 0..count {
            let at = HEADER_BYTES as u64 + index * ENTRY_BYTES as u64;
            let hwcap = number(at + 16, 8)?;
            let is_extended = hwcap & !HWCAP_LEVELS & !0xffff_ffff == HWCAP_EXTENSION;
            let subdirectory = match is_extended {
                true => match subdirectories.get((hwcap & 0xffff_ffff) as usize) {
                    Some(name) => Some(string(*name)),
                    None => continue,
                },
                // subdirectories of the time before 2.37, which say what they need by bits
                false if hwcap & !HWCAP_TLS != 0 => continue,
                false => None,
            };
            let (soname, path) = (string(number(at + 4, 4)?), string(number(at + 8, 4)?));
            entries.push(Entry { soname, path, flags: number(at, 4)? as u32, subdirectory });
        }
        Ok(Self { entries })
    }

    /// Where a library for such a machine is. `subdirectories` are those of `glibc-hwcaps` that the processor can use,
    /// the best first.
    pub fn get(&self, soname: &[u8], header: &Header, subdirectories: &[Vec<u8>]) -> Option<&[u8]> {
        let flags = flags(header)?;
        let found = self.entries.iter().filter(|entry| is_same_name(&entry.soname, soname));
        // 1 is any ELF library, of the time before glibc
        let usable = found.filter(|entry| entry.flags == flags || entry.flags == 1).filter_map(|entry| {
            let rank = match &entry.subdirectory {
                Some(name) => subdirectories.iter().position(|usable| usable == name)?,
                None => subdirectories.len() + usize::from(entry.flags != flags),
            };
            Some((rank, &entry.path[..]))
        });
        usable.min_by_key(|(rank, _)| *rank).map(|(_, path)| path)
    }

    /// How many libraries it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Where names of subdirectories of `glibc-hwcaps` stand, if there are any.
fn hwcaps(directory: u64, number: &dyn Fn(u64, u64) -> Result<u64, CacheError>) -> Result<Vec<u64>, CacheError> {
    if directory == 0 || number(directory, 4)? != u64::from(EXTENSION_MAGIC) {
        return Ok(Vec::new());
    }
    for index in 0..number(directory + 4, 4)?.min(MAX_EXTENSIONS) {
        let section = directory + 8 + index * 16;
        if number(section, 4)? == EXTENSION_HWCAPS {
            let (at, length) = (number(section + 8, 4)?, number(section + 12, 4)?);
            return (0..length / 4).map(|index| number(at + index * 4, 4)).collect();
        }
    }
    Ok(Vec::new())
}

/// What the cache calls a machine's libraries: `FLAG_ELF_LIBC6` and the number of its kind.
fn flags(header: &Header) -> Option<u32> {
    const DOUBLE_FLOAT: u32 = 0x4;
    let is_wide = header.class() == Class::Elf64;
    Some(
        3 | match (header.machine, is_wide) {
            (machine::X86_64, true) => 0x0300,
            (machine::X86_64, false) => 0x0800,
            (machine::AARCH64, true) => 0x0a00,
            (machine::ARM, _) if header.flags & machine::ARM_HARD_FLOAT != 0 => 0x0900,
            (machine::ARM, _) => 0x0b00,
            (machine::PPC64, _) => 0x0500,
            (machine::S390, true) => 0x0400,
            (machine::SPARCV9, _) => 0x0100,
            (machine::IA_64, _) => 0x0200,
            (machine::RISCV, true) if header.flags & 0x6 == DOUBLE_FLOAT => 0x1000,
            (machine::RISCV, true) => 0x0f00,
            // three conventions for calls, each with two for numbers
            (machine::MIPS, _) => return None,
            _ => 0,
        },
    )
}

/// Whether names are the same to the loader, to which 1 and 01 are.
fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one == other || pieces(one).eq(pieces(other))
}

/// Numbers, and the bytes between them.
fn pieces(name: &[u8]) -> impl Iterator<Item = (bool, u64)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (first, more) = rest.split_first()?;
        if !first.is_ascii_digit() {
            rest = more;
            return Some((false, u64::from(*first)));
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, more) = rest.split_at(digits);
        rest = more;
        Some((
            true,
            number.iter().fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_numbers() {
        assert!(is_same_name(b"libx.so.1.02", b"libx.so.01.2") && is_same_name(b"a", b"a"));
        assert!(!is_same_name(b"libx.so.1", b"libx.so.10") && !is_same_name(b"liba", b"lib"));
    }

    #[test]
    fn bad_caches_are_refused() {
        let cache = |bytes: &[u8]| LdCache::parse(bytes, ByteOrder::Little);
        assert!(matches!(cache(b"text"), Err(CacheError::NotACache)));
        assert!(matches!(cache(b"ld.so-1.7.0\0\xff\xff\xff\xff"), Err(CacheError::NotACache)));
        let mut head = [MAGIC, &[0; 28]].concat();
        assert!(cache(&head).unwrap().is_empty());
        head[28] = 3;
        assert!(matches!(cache(&head), Err(CacheError::OtherByteOrder)));
        head[20..24].fill(0xff);
        head[28] = 2;
        assert!(matches!(cache(&head), Err(CacheError::Truncated(_))));
    }
}

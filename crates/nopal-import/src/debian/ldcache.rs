//! `/etc/ld.so.cache`: what the dynamic linker looks libraries up in, written without running `ldconfig`.
//!
//! Facts: glibc's sysdeps/generic/dl-cache.h describes the format `glibc-ld.so.cache1.1`: a header of 48 bytes, entries
//! of 24 bytes, strings. Offsets count from the start of the file. Entries are sorted from the last name to the first in
//! an order that compares digits as numbers, because the linker searches by bisection.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// One library the linker may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The name that is looked up, such as `libc.so.6`.
    pub name: Vec<u8>,
    /// Its absolute path.
    pub path: Vec<u8>,
    /// Kind of library, see [`Elf::cache_flags`].
    pub flags: i32,
}

const MAGIC: &[u8; 20] = b"glibc-ld.so.cache1.1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
/// Marks the file as little-endian.
const LITTLE_ENDIAN: u8 = 2;

/// The bytes of the cache. Libraries found under one name keep their order: the first is preferred.
pub fn write(libraries: &[Library]) -> Vec<u8> {
    let mut sorted: Vec<&Library> = libraries.iter().collect();
    sorted.sort_by(|a, b| compare(&b.name, &a.name).then(b.flags.cmp(&a.flags)));
    let strings_start = HEADER_BYTES + sorted.len() * ENTRY_BYTES;
    let mut strings = Vec::new();
    let mut offsets: BTreeMap<&[u8], u32> = BTreeMap::new();
    let mut entries = Vec::with_capacity(sorted.len() * ENTRY_BYTES);
    for library in sorted {
        let mut offset = |text: &'_ [u8]| {
            let next = (strings_start + strings.len()) as u32;
            strings.extend_from_slice(text);
            strings.push(0);
            next
        };
        let name = match offsets.get(library.name.as_slice()) {
            Some(known) => *known,
            None => offset(&library.name),
        };
        offsets.insert(&library.name, name);
        let path = offset(&library.path);
        entries.extend_from_slice(&library.flags.to_le_bytes());
        entries.extend_from_slice(&name.to_le_bytes());
        entries.extend_from_slice(&path.to_le_bytes());
        // unused word, and no hardware capabilities
        entries.extend_from_slice(&[0; 12]);
    }
    let mut out = Vec::with_capacity(strings_start + strings.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(libraries.len() as u32).to_le_bytes());
    out.extend_from_slice(&(strings.len() as u32).to_le_bytes());
    out.extend_from_slice(&[LITTLE_ENDIAN, 0, 0, 0]);
    // no extension, and three unused words
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&entries);
    out.extend_from_slice(&strings);
    out
}

/// The order of names: bytewise, with runs of digits compared as numbers, and digits after everything else.
pub fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(y)) if !y.is_ascii_digit() => return Ordering::Less,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number_a, rest_a) = take_number(a);
                let (number_b, rest_b) = take_number(b);
                match number_a.cmp(&number_b) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    order => return order,
                }
            }
            (Some(x), _) if x.is_ascii_digit() => return Ordering::Greater,
            (_, Some(y)) if y.is_ascii_digit() => return Ordering::Less,
            (Some(x), Some(y)) if x == y => (a, b) = (&a[1..], &b[1..]),
            (x, y) => return x.cmp(&y),
        }
    }
}

fn take_number(text: &[u8]) -> (i32, &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    // the linker computes with int, overflow included
    let number =
        text[..end].iter().fold(0_i32, |number, digit| number.wrapping_mul(10).wrapping_add(i32::from(digit - b'0')));
    (number, &text[end..])
}

/// What has to be known of a shared object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// `e_machine`.
    pub machine: u16,
    /// Whether it is of the 64-bit class.
    pub is_64: bool,
    /// `DT_SONAME`.
    pub soname: Option<Vec<u8>>,
}

const EM_386: u16 = 3;
const EM_ARM: u16 = 40;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
const EM_RISCV: u16 = 243;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
/// Longest soname that is taken, in bytes.
const MAX_SONAME_BYTES: usize = 4096;

impl Elf {
    /// Reads a little-endian shared object; `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != b"\x7fELF" || *bytes.get(5)? != 1 {
            return None;
        }
        let is_64 = match bytes[4] {
            1 => false,
            2 => true,
            _ => return None,
        };
        let machine = u16_at(bytes, 18)?;
        if u16_at(bytes, 16)? != ET_DYN {
            return None;
        }
        Some(Self { machine, is_64, soname: soname(bytes, is_64) })
    }

    /// The flags of a cache entry: glibc's `FLAG_ELF_LIBC6` with the machine's bits; `None` for a machine that has no
    /// known bits.
    pub fn cache_flags(&self) -> Option<i32> {
        Some(match (self.machine, self.is_64) {
            (EM_X86_64, true) => 0x0303,
            (EM_X86_64, false) => 0x0803,
            (EM_AARCH64, true) => 0x0a03,
            (EM_ARM, false) => 0x0903,
            (EM_RISCV, true) => 0x1003,
            (EM_386, false) => 0x0003,
            _ => return None,
        })
    }
}

fn soname(bytes: &[u8], is_64: bool) -> Option<Vec<u8>> {
    let word = |at: u64| if is_64 { u64_at(bytes, at) } else { u32_at(bytes, at).map(u64::from) };
    let (table, entry_size, count) = if is_64 {
        (u64_at(bytes, 32)?, u16_at(bytes, 54)?, u16_at(bytes, 56)?)
    } else {
        (u64::from(u32_at(bytes, 28)?), u16_at(bytes, 42)?, u16_at(bytes, 44)?)
    };
    let mut loads = Vec::new();
    let mut dynamic = None;
    for index in 0..u64::from(count) {
        let header = table.checked_add(index * u64::from(entry_size))?;
        let kind = u32_at(bytes, header)?;
        let (offset, address, size) = if is_64 {
            (u64_at(bytes, header + 8)?, u64_at(bytes, header + 16)?, u64_at(bytes, header + 32)?)
        } else {
            (word(header + 4)?, word(header + 8)?, word(header + 16)?)
        };
        match kind {
            PT_LOAD => loads.push((offset, address, size)),
            PT_DYNAMIC => dynamic = Some((offset, size)),
            _ => {}
        }
    }
    let (start, size) = dynamic?;
    let width = if is_64 { 8 } else { 4 };
    let (mut strings, mut name) = (None, None);
    for index in 0..size / (2 * width) {
        let at = start.checked_add(index * 2 * width)?;
        let value = word(at + width)?;
        match word(at)? {
            0 => break,
            DT_STRTAB => strings = Some(value),
            DT_SONAME => name = Some(value),
            _ => {}
        }
    }
    let address = strings?;
    let (offset, base, _) = loads.into_iter().find(|(_, base, size)| address >= *base && address - base < *size)?;
    let at = usize::try_from((address - base).checked_add(offset)?.checked_add(name?)?).ok()?;
    let text = bytes.get(at..)?;
    let end = text.iter().take(MAX_SONAME_BYTES).position(|byte| *byte == 0)?;
    Some(text[..end].to_vec())
}

fn array_at<const N: usize>(bytes: &[u8], at: u64) -> Option<[u8; N]> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: u64) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: u64) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: u64) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

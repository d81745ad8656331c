//! What a file has for others and wants of them: dynamic symbols, their versions, and relocations.

use crate::bound::checksum_with;
use crate::bytes::{Bytes, until_nul};
use crate::note::records;
use crate::raw::{
    DT_FLAGS, DT_GNU_HASH, DT_HASH, DT_JMPREL, DT_NULL, DT_PLTREL, DT_PLTRELSZ, DT_REL, DT_RELA, DT_RELASZ, DT_RELSZ,
    DT_STRSZ, DT_STRTAB, DT_SYMBOLIC, DT_SYMTAB, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM, DT_VERSYM,
    Dynamic, Format, PF_W, PT_DYNAMIC, PT_LOAD, PT_NOTE, listed_symbols,
};
use crate::read::{Image, ReadError, Source, machine, place, table};
use crate::start;
use std::collections::BTreeMap;

const DF_SYMBOLIC: u64 = 2;

/// Browsers have some hundred megabytes of relocations.
const MAX_TABLE_BYTES: u64 = 512 << 20;
const MAX_VERSION_BYTES: u64 = 4 << 20;
/// Build identifiers are hashes.
const MAX_ID_BYTES: usize = 64;

/// A file as others are bound to it.
#[derive(Debug)]
pub struct Linked {
    pub(super) format: Format,
    /// The size of a relocation.
    pub(super) relocation_bytes: usize,
    /// Bytes of memory that tell this file from another build of it.
    pub(super) check: Check,
    pub(super) symbols: Vec<Symbol>,
    strings: Vec<u8>,
    /// By number.
    versions: Vec<Version>,
    /// Whether symbols have versions.
    pub(super) is_versioned: bool,
    /// Whether its own definitions come first for it.
    pub(super) is_symbolic: bool,
    pub(super) binds_now: bool,
    /// What relocates it, if all of that can be changed in memory.
    pub(super) relocations: Option<Relocations>,
}

/// What must be in memory at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) address: u64,
    pub(super) bytes: u64,
    pub(super) hash: u32,
}

/// A dynamic symbol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    name: u32,
    pub(super) info: u8,
    pub(super) other: u8,
    pub(super) section: u16,
    pub(super) value: u64,
    /// The number of its version; the highest bit hides it from those that ask for none.
    pub(super) version: u16,
    /// Whether others find it.
    pub(super) is_listed: bool,
}

/// A version that symbols have or are wanted with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// Empty for none.
    pub(super) name: Vec<u8>,
    pub(super) is_hidden: bool,
}

/// The relocations of a file.
#[derive(Debug, Default)]
pub(super) struct Relocations {
    pub(super) address: u64,
    pub(super) entries: Vec<Relocation>,
    /// Those of functions that are called, which may be bound when they first are.
    pub(super) calls_address: u64,
    pub(super) calls: Vec<Relocation>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    pub(super) offset: u64,
    pub(super) kind: Kind,
    pub(super) symbol: u32,
    /// What is added, as a number of the width of an address.
    pub(super) addend: u64,
    /// What the file has at the place, where that matters.
    pub(super) content: u64,
}

/// What a relocation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Adds where the file is.
    Relative,
    /// Writes the address of a symbol.
    Address,
    /// Writes the address of a function that is called.
    Call,
    /// Something else.
    Other,
}

impl Linked {
    /// Reads a file. Nothing if it has no dynamic symbols, or is for a machine whose relocations are not known.
    ///
    /// # Errors
    /// Its tables make no sense.
    pub fn read(bytes: &dyn Bytes, image: &Image) -> Result<Option<Self>, ReadError> {
        let reader = Reader { source: Source::new(bytes), image, format: image.header.layout.format() };
        if start::image(image.header.machine, reader.format).is_none() {
            return Ok(None);
        }
        let Some((dynamic, is_writable)) = reader.dynamic()? else { return Ok(None) };
        let (Some(symbol_table), Some(strings)) = (dynamic.get(&DT_SYMTAB), dynamic.get(&DT_STRTAB)) else {
            return Ok(None);
        };
        let count_bytes = dynamic.get(&DT_STRSZ).copied().unwrap_or(0);
        let strings = reader.table("the string table", *strings, count_bytes)?;
        let facts = image.dynamic.as_ref();
        let relocates_text = facts.is_none_or(crate::read::Dynamic::relocates_text);
        let relocations = if is_writable && !relocates_text { reader.relocations(&dynamic)? } else { None };
        let wanted =
            relocations.iter().flat_map(|all| all.entries.iter().chain(&all.calls)).map(|one| one.symbol).max();
        let (mut symbols, symbols_bytes) = reader.symbols(*symbol_table, &dynamic, wanted.unwrap_or(0))?;
        let check = match reader.build_id() {
            Some((address, id)) => Check { address, bytes: id.len() as u64, hash: checksum(&id) },
            None => {
                let bytes = reader.table("the symbols", *symbol_table, symbols_bytes)?;
                Check { address: *symbol_table, bytes: symbols_bytes, hash: checksum(&bytes) }
            }
        };
        let mut versions = Vec::new();
        let version_numbers = dynamic.get(&DT_VERSYM);
        if let Some(address) = version_numbers {
            let numbers = reader.table("the versions of symbols", *address, 2 * symbols.len() as u64)?;
            for (symbol, number) in symbols.iter_mut().zip(numbers.chunks_exact(2)) {
                symbol.version = reader.format.u16(number, 0);
            }
            versions = reader.versions(&dynamic, &strings)?;
        }
        Ok(Some(Self {
            format: reader.format,
            relocation_bytes: reader.relocation_bytes(),
            check,
            symbols,
            strings,
            versions,
            is_versioned: version_numbers.is_some(),
            is_symbolic: dynamic.contains_key(&DT_SYMBOLIC)
                || dynamic.get(&DT_FLAGS).is_some_and(|flags| flags & DF_SYMBOLIC != 0),
            binds_now: facts.is_some_and(crate::read::Dynamic::binds_now),
            relocations,
        }))
    }

    /// The same for a file that is relocated before others are loaded, as loaders are.
    #[must_use]
    pub fn left_alone(self) -> Self {
        Self { relocations: None, ..self }
    }

    /// The name of a symbol.
    pub(super) fn name(&self, symbol: &Symbol) -> &[u8] {
        until_nul(self.strings.get(symbol.name as usize..).unwrap_or_default())
    }

    /// The version that a symbol has or is wanted with, if any.
    pub(super) fn version(&self, symbol: &Symbol) -> Option<&Version> {
        self.versions.get(usize::from(symbol.version & VERSION_NUMBER)).filter(|version| !version.name.is_empty())
    }
}

pub(super) const VERSION_NUMBER: u16 = 0x7fff;
pub(super) const VERSION_IS_HIDDEN: u16 = 0x8000;

/// What the entry code computes of bytes, whole words of four.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(4).fold(0, |checksum, word| {
        checksum_with(checksum, word.iter().rev().fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    })
}

struct Reader<'a> {
    source: Source<'a>,
    image: &'a Image,
    format: Format,
}

type Entries = BTreeMap<u64, u64>;

impl Reader<'_> {
    /// What is at an address.
    fn table(&self, what: &'static str, address: u64, bytes: u64) -> Result<Vec<u8>, ReadError> {
        let (offset, length) = place(&self.image.segments, what, address)?;
        // what the file does not have of it is told by its length
        table(&self.source, what, offset, bytes, MAX_TABLE_BYTES.min(length))
    }

    /// The dynamic section, the last of each tag as loaders take it, and whether it can be written to.
    fn dynamic(&self) -> Result<Option<(Entries, bool)>, ReadError> {
        let segments = &self.image.segments;
        let Some(segment) = segments.iter().rfind(|segment| segment.kind == PT_DYNAMIC) else { return Ok(None) };
        let bytes = self.table("the dynamic section", segment.address, segment.file_bytes)?;
        let entries = bytes.chunks_exact(self.format.dynamic_bytes()).map(|entry| Dynamic::read(self.format, entry));
        let entries = entries.take_while(|entry| entry.tag != DT_NULL).map(|entry| (entry.tag, entry.value)).collect();
        let is_writable = segments.iter().any(|load| {
            let inside = segment.address.checked_sub(load.address).is_some_and(|within| within < load.file_bytes);
            load.kind == PT_LOAD && load.flags & PF_W != 0 && inside
        });
        Ok(Some((entries, is_writable)))
    }

    /// Where the build identifier is in memory, and what it is.
    fn build_id(&self) -> Option<(u64, Vec<u8>)> {
        let wanted = self.image.notes.build_id.as_ref()?;
        let bytes = wanted.len().min(MAX_ID_BYTES) & !3;
        for segment in self.image.segments.iter().filter(|segment| segment.kind == PT_NOTE) {
            let notes = self.table("notes", segment.address, segment.file_bytes).ok()?;
            let found = records(self.image.header.layout.order, &notes, segment.align).find(|note| note.is_build_id());
            if let Some(note) = found.filter(|note| note.descriptor.len() >= bytes && bytes > 0) {
                let within = note.descriptor.as_ptr() as usize - notes.as_ptr() as usize;
                return Some((segment.address + within as u64, note.descriptor[..bytes].to_vec()));
            }
        }
        None
    }

    /// All symbols that a hash table tells of, and up to the last that is wanted; and the size of their table.
    fn symbols(&self, address: u64, dynamic: &Entries, last_wanted: u32) -> Result<(Vec<Symbol>, u64), ReadError> {
        let hash_table = |address, bytes| self.table("the hash table", address, bytes);
        let listed = match (dynamic.get(&DT_GNU_HASH), dynamic.get(&DT_HASH)) {
            (Some(hash), _) => listed_symbols(self.format, *hash, hash_table)?,
            (None, Some(hash)) => 1..self.format.u32(&hash_table(*hash, 8)?, 4).into(),
            (None, None) => 0..0,
        };
        // no table tells how many symbols are only wanted, if there are no others
        let count = listed.end.max(u64::from(last_wanted) + 1);
        let size = self.format.symbol_bytes();
        let bytes = count * size as u64;
        let raw = self.table("the symbols", address, bytes)?;
        let read = |(index, symbol): (usize, &[u8])| {
            let wide = self.format.is_64;
            Symbol {
                name: self.format.u32(symbol, 0),
                info: symbol[if wide { 4 } else { 12 }],
                other: symbol[if wide { 5 } else { 13 }],
                section: self.format.u16(symbol, if wide { 6 } else { 14 }),
                value: self.format.word(symbol, if wide { 8 } else { 4 }),
                version: 1,
                is_listed: listed.contains(&(index as u64)),
            }
        };
        Ok((raw.chunks_exact(size).enumerate().map(read).collect(), bytes))
    }

    /// Versions by number.
    fn versions(&self, dynamic: &Entries, strings: &[u8]) -> Result<Vec<Version>, ReadError> {
        let mut versions = Vec::new();
        let mut add = |number: u16, name: u32, is_hidden| {
            let number = usize::from(number & VERSION_NUMBER);
            if versions.len() <= number {
                versions.resize(number + 1, Version::default());
            }
            let name = until_nul(strings.get(name as usize..).unwrap_or_default()).to_vec();
            versions[number] = Version { name, is_hidden };
        };
        const IS_BASE: u16 = 1;
        let format = self.format;
        self.chain(dynamic, (DT_VERDEF, DT_VERDEFNUM), |table, at| {
            let entry = table.get(at..at + 20)?;
            let first = at + format.u32(entry, 12) as usize;
            if format.u16(entry, 2) & IS_BASE == 0 {
                add(format.u16(entry, 4), format.u32(table.get(first..first + 4)?, 0), false);
            }
            Some(format.u32(entry, 16))
        })?;
        self.chain(dynamic, (DT_VERNEED, DT_VERNEEDNUM), |table, at| {
            let entry = table.get(at..at + 16)?;
            let mut next = at + format.u32(entry, 8) as usize;
            for _ in 0..format.u16(entry, 2) {
                let wanted = table.get(next..next + 16)?;
                let number = format.u16(wanted, 6);
                add(number, format.u32(wanted, 8), number & VERSION_IS_HIDDEN != 0);
                next += format.u32(wanted, 12) as usize;
            }
            Some(format.u32(entry, 12))
        })?;
        Ok(versions)
    }

    /// Goes through records that each tell how far the next is.
    fn chain(
        &self,
        dynamic: &Entries,
        (address, count): (u64, u64),
        mut each: impl FnMut(&[u8], usize) -> Option<u32>,
    ) -> Result<(), ReadError> {
        let (Some(address), Some(count)) = (dynamic.get(&address), dynamic.get(&count)) else { return Ok(()) };
        let what = "the versions";
        let (offset, length) = place(&self.image.segments, what, *address)?;
        let records = table(&self.source, what, offset, length.min(MAX_VERSION_BYTES), MAX_VERSION_BYTES)?;
        let mut at = 0;
        for _ in 0..*count {
            match each(&records, at) {
                Some(step) if step > 0 => at += step as usize,
                _ => break,
            }
        }
        Ok(())
    }

    fn relocations(&self, dynamic: &Entries) -> Result<Option<Relocations>, ReadError> {
        let (tag, size_tag) = if self.has_addends() { (DT_RELA, DT_RELASZ) } else { (DT_REL, DT_RELSZ) };
        let get = |tag: u64| dynamic.get(&tag).copied();
        let other = if self.has_addends() { DT_REL } else { DT_RELA };
        let uses_other = get(other).is_some() || get(DT_PLTREL).is_some_and(|kind| kind != tag);
        if uses_other || get(tag).is_some() != get(size_tag).is_some() {
            return Ok(None);
        }
        let address = get(tag).unwrap_or(0);
        let entries = self.entries(address, get(size_tag).unwrap_or(0))?;
        let calls_address = get(DT_JMPREL).unwrap_or(0);
        let calls_bytes = get(DT_JMPREL).and(get(DT_PLTRELSZ)).unwrap_or(0);
        let calls = self.entries(calls_address, calls_bytes)?;
        // some linkers count the calls with the rest
        let within = calls_address.checked_sub(address);
        let overlap = !calls.is_empty() && within.is_some_and(|within| within < get(size_tag).unwrap_or(0));
        Ok((!overlap).then_some(Relocations { address, entries, calls_address, calls }))
    }

    fn has_addends(&self) -> bool {
        self.image.header.machine != machine::I386
    }

    fn relocation_bytes(&self) -> usize {
        self.format.word_bytes() * if self.has_addends() { 3 } else { 2 }
    }

    fn entries(&self, address: u64, bytes: u64) -> Result<Vec<Relocation>, ReadError> {
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let raw = self.table("the relocations", address, bytes)?;
        let format = self.format;
        let word = format.word_bytes();
        let read = |entry: &[u8]| {
            let info = format.word(entry, word);
            let (symbol, code) = if format.is_64 { (info >> 32, info as u32) } else { (info >> 8, info as u32 & 0xff) };
            let offset = format.word(entry, 0);
            let kind = self.kind(code);
            let takes_content = kind == Kind::Call || kind == Kind::Address && code == R_386_32 && !self.has_addends();
            let content = if takes_content { self.table("what is relocated", offset, word as u64).ok() } else { None };
            let content = content.map_or(0, |bytes| format.word(&bytes, 0));
            let addend = if self.has_addends() { format.word(entry, 2 * word) } else { 0 };
            Relocation { offset, kind, symbol: symbol as u32, addend, content }
        };
        Ok(raw.chunks_exact(self.relocation_bytes()).map(read).collect())
    }

    /// What a relocation does, by its number in the ABI of the machine.
    fn kind(&self, code: u32) -> Kind {
        match (self.image.header.machine, code) {
            (machine::X86_64 | machine::I386, 8) | (machine::AARCH64, 1027) => Kind::Relative,
            (machine::X86_64 | machine::I386, 1 | 6) | (machine::AARCH64, 257 | 1025) => Kind::Address,
            (machine::X86_64 | machine::I386, 7) | (machine::AARCH64, 1026) => Kind::Call,
            _ => Kind::Other,
        }
    }
}

const R_386_32: u32 = 1;

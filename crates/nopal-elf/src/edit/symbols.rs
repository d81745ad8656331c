//! Edits of dynamic symbols: their versions and their names.

use std::collections::{BTreeMap, BTreeSet};

use super::{Editor, read};
use crate::bytes::until_nul;
use crate::error::ElfError;
use crate::raw::{DT_GNU_HASH, DT_HASH, DT_SYMTAB, DT_VERSYM, SHT_DYNSYM, SHT_REL, SHT_RELA, SHT_SYMTAB};

/// The version of a symbol that is global and has none.
const GLOBAL_VERSION: u64 = 1;

/// The dynamic symbols.
struct Symbols {
    offset: u64,
    raw: Vec<u8>,
    names: Vec<Vec<u8>>,
}

/// The GNU hash table: counts, a Bloom filter of words, buckets, chains.
struct GnuHash {
    offset: u64,
    first: usize,
    bloom_words: usize,
    buckets: usize,
    shift: u32,
}

/// The hash function of GNU hash tables.
fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)))
}

/// The hash function of the System V ABI.
fn sysv_hash(name: &[u8]) -> u32 {
    name.iter().fold(0_u32, |hash, byte| {
        let hash = hash.wrapping_shl(4).wrapping_add(u32::from(*byte));
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

impl Editor<'_> {
    /// Tells of symbols that belong to a section without a name, of which patchelf warns.
    pub(super) fn nameless_warnings(&self) -> Result<Vec<String>, ElfError> {
        let format = self.format();
        let is_nameless = |index: usize| {
            index > 0 && self.sections.get(index).is_some_and(|section| self.section_name(section).is_empty())
        };
        if !(1..self.sections.len()).any(is_nameless) {
            return Ok(Vec::new());
        }
        let mut warnings = Vec::new();
        for section in self.sections.iter().filter(|section| matches!(section.kind, SHT_SYMTAB | SHT_DYNSYM)) {
            let raw = read(self.bytes, section.offset, section.bytes)?;
            for symbol in raw.chunks_exact(format.symbol_bytes()) {
                let index = usize::from(format.u16(symbol, if format.is_64 { 6 } else { 14 }));
                if is_nameless(index) {
                    let message = "symbol table entry refers to an unnamed section";
                    warnings.push(format!("{message} (index {index}), skipping"));
                }
            }
        }
        Ok(warnings)
    }

    fn table(&self, tag: u64, name: &'static str) -> Result<u64, ElfError> {
        self.value(tag).and_then(|address| self.offset_of(address)).ok_or(ElfError::NoSection(name))
    }

    fn symbols(&self) -> Result<Symbols, ElfError> {
        let size = self.format().symbol_bytes();
        let offset = self.table(DT_SYMTAB, ".dynsym")?;
        let (_, count) = self.dynamic_symbols()?.ok_or(ElfError::NoSection(".dynsym"))?;
        let raw = read(self.bytes, offset, (count * size) as u64)?;
        let place = self.dynamic_place()?;
        let strings = read(self.bytes, place.strings_offset, place.strings_bytes)?;
        let name = |symbol: &[u8]| {
            let string = strings.get(self.format().u32(symbol, 0) as usize..).ok_or(ElfError::StringIndex)?;
            Ok(until_nul(string).to_vec())
        };
        let names = raw.chunks_exact(size).map(name).collect::<Result<_, ElfError>>()?;
        Ok(Symbols { offset, raw, names })
    }

    /// Makes symbols ask for no version.
    ///
    /// # Errors
    /// The file has no dynamic symbols, or no versions.
    pub fn clear_symbol_versions(&mut self, symbols: &BTreeSet<Vec<u8>>) -> Result<(), ElfError> {
        if symbols.is_empty() {
            return Ok(());
        }
        self.dynamic_place()?;
        let names = self.symbols()?.names;
        let versions = self.table(DT_VERSYM, ".gnu.version")?;
        for (index, _) in names.iter().enumerate().filter(|(_, name)| symbols.contains(*name)) {
            let mut raw = vec![0; 2];
            self.format().put(&mut raw, 0, 2, GLOBAL_VERSION);
            self.patch(versions + 2 * index as u64, raw);
        }
        Ok(())
    }

    /// Gives dynamic symbols other names, and makes the hash tables anew.
    ///
    /// # Errors
    /// The file has no dynamic symbols, or a hash table contradicts itself.
    pub fn rename_symbols(&mut self, renames: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), ElfError> {
        self.dynamic_place()?;
        let Symbols { offset, mut raw, mut names } = self.symbols()?;
        let (format, size) = (self.format(), self.format().symbol_bytes());
        let mut changed = false;
        for (symbol, name) in raw.chunks_exact_mut(size).zip(&mut names) {
            if let Some(new) = renames.get(name).filter(|new| *new != name) {
                let string = self.add_string(new)?;
                format.put(symbol, 0, 4, string);
                name.clone_from(new);
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        if let Ok(table) = self.table(DT_GNU_HASH, ".gnu.hash") {
            self.rebuild_gnu_hash(table, &mut raw, &mut names)?;
        }
        if let Ok(table) = self.table(DT_HASH, ".hash") {
            self.rebuild_hash(table, &names)?;
        }
        self.patch(offset, raw);
        Ok(())
    }

    fn read_gnu_hash(&self, offset: u64) -> Result<GnuHash, ElfError> {
        let format = self.format();
        let raw = read(self.bytes, offset, 16)?;
        let number = |index: usize| format.u32(&raw, 4 * index);
        let hash = GnuHash {
            offset,
            first: number(1) as usize,
            bloom_words: number(2) as usize,
            buckets: number(0) as usize,
            shift: number(3),
        };
        let size = hash.bloom_words as u64 * format.word_bytes() as u64 + 4 * hash.buckets as u64;
        let is_inside = offset + 16 + size <= self.bytes.len();
        if hash.buckets == 0 || hash.bloom_words == 0 || hash.shift >= 32 || !is_inside {
            return Err(ElfError::Malformed(".gnu.hash table header out of range"));
        }
        Ok(hash)
    }

    /// Symbols in the table are in the order of their buckets, so new names change their order, and with it every table
    /// that refers to symbols by their numbers.
    fn rebuild_gnu_hash(&mut self, offset: u64, raw: &mut [u8], names: &mut [Vec<u8>]) -> Result<(), ElfError> {
        let (format, size) = (self.format(), self.format().symbol_bytes());
        let table = self.read_gnu_hash(offset)?;
        if table.first >= names.len() {
            return Ok(());
        }
        let hashes = names[table.first..].iter().map(|name| gnu_hash(name)).collect::<Vec<_>>();
        let bucket = |hash: u32| hash as usize % table.buckets;
        let mut order = (0..hashes.len()).collect::<Vec<_>>();
        order.sort_by_key(|index| bucket(hashes[*index]));

        let old = raw.to_vec();
        let old_names = names.to_vec();
        for (new, index) in order.iter().enumerate() {
            let (to, from) = (table.first + new, table.first + index);
            raw[to * size..(to + 1) * size].copy_from_slice(&old[from * size..(from + 1) * size]);
            names[to].clone_from(&old_names[from]);
        }
        self.reorder_versions(&table, &order)?;
        self.renumber_relocations(&table, &order)?;

        let word_bits = 8 * format.word_bytes() as u32;
        let mut bloom = vec![0_u64; table.bloom_words];
        let mut buckets = vec![0_u64; table.buckets];
        let mut chains = vec![0; 4 * order.len()];
        for (new, index) in order.iter().enumerate() {
            let hash = hashes[*index];
            bloom[(hash / word_bits) as usize % table.bloom_words] |=
                1 << (hash % word_bits) | 1 << ((hash >> table.shift) % word_bits);
            if buckets[bucket(hash)] == 0 {
                buckets[bucket(hash)] = (table.first + new) as u64;
            }
            let is_last = order.get(new + 1).is_none_or(|next| bucket(hashes[*next]) != bucket(hash));
            format.put(&mut chains, 4 * new, 4, u64::from(hash & !1 | u32::from(is_last)));
        }
        let mut bytes = Vec::new();
        let mut push = |numbers: &[u64], size: usize| {
            for number in numbers {
                let at = bytes.len();
                bytes.resize(at + size, 0);
                format.put(&mut bytes, at, size, *number);
            }
        };
        push(&bloom, format.word_bytes());
        push(&buckets, 4);
        bytes.extend(chains);
        self.patch(table.offset + 16, bytes);
        Ok(())
    }

    fn reorder_versions(&mut self, table: &GnuHash, order: &[usize]) -> Result<(), ElfError> {
        let Ok(offset) = self.table(DT_VERSYM, ".gnu.version") else { return Ok(()) };
        let begin = offset + 2 * table.first as u64;
        let old = read(self.bytes, begin, 2 * order.len() as u64)?;
        let new = order.iter().flat_map(|index| old[2 * index..2 * index + 2].to_vec()).collect();
        self.patch(begin, new);
        Ok(())
    }

    fn renumber_relocations(&mut self, table: &GnuHash, order: &[usize]) -> Result<(), ElfError> {
        let format = self.format();
        let mut renumbered = vec![0; order.len()];
        for (new, index) in order.iter().enumerate() {
            renumbered[*index] = new;
        }
        let word = format.word_bytes();
        let is_mips64 = self.header.machine == 8 && format.is_64;
        for section in self.sections.clone() {
            let entry_bytes = match section.kind {
                SHT_REL => 2 * word,
                SHT_RELA => 3 * word,
                _ => continue,
            };
            let mut raw = read(self.bytes, section.offset, section.bytes)?;
            for entry in raw.chunks_exact_mut(entry_bytes) {
                // MIPS-64 has the number of the symbol first, as 32 bits of their own
                let (at, size, shift) = match (format.is_64, is_mips64) {
                    (true, true) => (word, 4, 0),
                    (true, false) => (word, 8, 32),
                    (false, _) => (word, 4, 8),
                };
                let info = if size == 8 { format.word(entry, at) } else { u64::from(format.u32(entry, at)) };
                let symbol = (info >> shift) as usize;
                if let Some(new) = symbol.checked_sub(table.first).and_then(|index| renumbered.get(index)) {
                    let rest = info & ((1 << shift) - 1);
                    format.put(entry, at, size, ((table.first + new) as u64) << shift | rest);
                }
            }
            self.patch(section.offset, raw);
        }
        Ok(())
    }

    fn rebuild_hash(&mut self, offset: u64, names: &[Vec<u8>]) -> Result<(), ElfError> {
        let format = self.format();
        let raw = read(self.bytes, offset, 8)?;
        let (buckets, count) = (format.u32(&raw, 0) as usize, format.u32(&raw, 4) as usize);
        if buckets == 0 || count > names.len() {
            return Err(ElfError::Malformed(".hash table header out of range"));
        }
        // the table is of the size that was read before
        read(self.bytes, offset + 8, 4 * (buckets + count) as u64)?;
        let (mut heads, mut chains) = (vec![0_u64; buckets], vec![0_u64; count]);
        for (index, name) in names[..count].iter().enumerate().skip(1) {
            let bucket = sysv_hash(name) as usize % buckets;
            chains[index] = heads[bucket];
            heads[bucket] = index as u64;
        }
        let mut bytes = vec![0; 4 * (buckets + count)];
        for (index, number) in heads.iter().chain(&chains).enumerate() {
            format.put(&mut bytes, 4 * index, 4, *number);
        }
        self.patch(offset + 8, bytes);
        Ok(())
    }
}

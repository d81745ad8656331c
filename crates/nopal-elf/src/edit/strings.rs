//! The strings of the dynamic section.

use std::collections::BTreeSet;

use super::{Editor, MAX_TABLE_BYTES, read};
use crate::bytes::until_nul;
use crate::error::ElfError;
use crate::raw::{
    DT_GNU_HASH, DT_HASH, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_SYMTAB, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED,
    DT_VERNEEDNUM, SHT_DYNSYM, listed_symbols,
};

/// How many bytes of a string are read at once.
const STRING_STEP: usize = 256;

/// Where the name of something of a version stands, and what it is.
pub(super) struct VersionName {
    /// The offset in the file of the number that refers to the name.
    pub(super) at: u64,
    /// That number.
    pub(super) string: u64,
    /// Whether it names a file, not a version.
    pub(super) is_file: bool,
}

/// Where numbers stand in the entries of a table of versions, and in the inner entries that each of them has.
struct VersionTable {
    /// The string of a file, if entries are of files.
    file: Option<usize>,
    /// How many inner entries there are.
    count: usize,
    /// How far the first inner entry is from the entry.
    first: usize,
    /// How far the next entry is.
    next: usize,
    /// The string of an inner entry.
    inner_name: usize,
    /// How far the next inner entry is.
    inner_next: usize,
}

/// `Verneed` and `Vernaux`.
const NEEDED: VersionTable =
    VersionTable { file: Some(4), count: 2, first: 8, next: 12, inner_name: 8, inner_next: 12 };

/// `Verdef` and `Verdaux`.
const DEFINED: VersionTable = VersionTable { file: None, count: 6, first: 12, next: 16, inner_name: 0, inner_next: 4 };

impl Editor<'_> {
    /// A string of the dynamic section.
    pub(super) fn string(&self, index: u64) -> Result<Vec<u8>, ElfError> {
        let place = self.dynamic_place()?;
        if let Some(index) = index.checked_sub(place.strings_bytes) {
            let added = usize::try_from(index).ok().and_then(|index| self.added.get(index..));
            let added = added.ok_or(ElfError::StringIndex)?;
            return Ok(until_nul(added).to_vec());
        }
        let end = place.strings_offset.saturating_add(place.strings_bytes);
        if place.strings_bytes > 0 && read(self.bytes, end - 1, 1)? != [0] {
            return Err(ElfError::Malformed("string table is not NUL-terminated"));
        }
        let mut at = place.strings_offset.saturating_add(index);
        let mut string = Vec::new();
        while at < end && string.len() as u64 <= MAX_TABLE_BYTES {
            let part = read(self.bytes, at, (end - at).min(STRING_STEP as u64))?;
            if let Some(len) = part.iter().position(|byte| *byte == 0) {
                string.extend_from_slice(&part[..len]);
                return Ok(string);
            }
            at += part.len() as u64;
            string.extend(part);
        }
        Err(ElfError::StringIndex)
    }

    /// The number by which a string is referred to; it is added to the others unless that was done already.
    pub(super) fn add_string(&mut self, string: &[u8]) -> Result<u64, ElfError> {
        let place = self.dynamic_place()?;
        let mut at = 0;
        for known in self.added.split(|byte| *byte == 0) {
            if known == string && at < self.added.len() {
                return Ok(place.strings_bytes + at as u64);
            }
            at += known.len() + 1;
        }
        let index = place.strings_bytes + self.added.len() as u64;
        self.added.extend_from_slice(string);
        self.added.push(0);
        Ok(index)
    }

    /// Whether something else refers to (a part of) a string: linkers let strings with the same end share it.
    /// One reference, by the entry that names the string, is expected.
    pub(super) fn is_shared(&self, index: u64, len: usize) -> Result<bool, ElfError> {
        let end = index + len as u64;
        let refers = |string: u64| (index..=end).contains(&string);
        let by_entries = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.tag, DT_NEEDED | DT_SONAME | DT_RPATH | DT_RUNPATH) && refers(entry.value))
            .count();
        // the end of the string is a reference to an empty one
        if by_entries > 1 {
            return Ok(true);
        }
        if self.version_names()?.iter().any(|name| refers(name.string)) {
            return Ok(true);
        }
        let Some((offset, count)) = self.dynamic_symbols()? else { return Ok(true) };
        let size = self.format().symbol_bytes();
        let symbols = read(self.bytes, offset, (count * size) as u64)?;
        Ok(symbols.chunks_exact(size).skip(1).any(|symbol| refers(u64::from(self.format().u32(symbol, 0)))))
    }

    /// The value of the first entry with a tag.
    pub(super) fn value(&self, tag: u64) -> Option<u64> {
        self.entries.iter().find(|entry| entry.tag == tag).map(|entry| entry.value)
    }

    /// Where the dynamic symbols are, and how many; `None` if that cannot be told.
    pub(super) fn dynamic_symbols(&self) -> Result<Option<(u64, usize)>, ElfError> {
        let size = self.format().symbol_bytes();
        if let Some(section) = self.sections.iter().find(|section| section.kind == SHT_DYNSYM) {
            return Ok(Some((section.offset, section.bytes as usize / size)));
        }
        let Some(offset) = self.value(DT_SYMTAB).and_then(|address| self.offset_of(address)) else {
            return Ok(Some((0, 0)));
        };
        if let Some(hash) = self.value(DT_HASH).and_then(|address| self.offset_of(address)) {
            let raw = read(self.bytes, hash, 8)?;
            return Ok(Some((offset, self.format().u32(&raw, 4) as usize)));
        }
        let Some(hash) = self.value(DT_GNU_HASH).and_then(|address| self.offset_of(address)) else { return Ok(None) };
        let listed = listed_symbols(self.format(), hash, |offset, count| read(self.bytes, offset, count))?;
        Ok(Some((offset, listed.end as usize)))
    }

    /// The names in the tables of versions that are defined and needed.
    pub(super) fn version_names(&self) -> Result<Vec<VersionName>, ElfError> {
        let mut names = Vec::new();
        for (table, count, form) in [(DT_VERNEED, DT_VERNEEDNUM, &NEEDED), (DT_VERDEF, DT_VERDEFNUM, &DEFINED)] {
            if let (Some(table), Some(count)) = (self.value(table), self.value(count)) {
                self.walk_versions(table, count, form, &mut names)?;
            }
        }
        Ok(names)
    }

    fn walk_versions(
        &self,
        table: u64,
        count: u64,
        form: &VersionTable,
        names: &mut Vec<VersionName>,
    ) -> Result<(), ElfError> {
        let format = self.format();
        let Some(mut at) = self.offset_of(table) else { return Ok(()) };
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            if !seen.insert(at) {
                return Err(ElfError::Malformed("version table refers to itself"));
            }
            let entry = read(self.bytes, at, form.next as u64 + 4)?;
            if let Some(file) = form.file {
                let string = u64::from(format.u32(&entry, file));
                names.push(VersionName { at: at + file as u64, string, is_file: true });
            }
            let mut inner = at.saturating_add(u64::from(format.u32(&entry, form.first)));
            for _ in 0..format.u16(&entry, form.count) {
                let raw = read(self.bytes, inner, form.inner_next as u64 + 4)?;
                let string = u64::from(format.u32(&raw, form.inner_name));
                names.push(VersionName { at: inner + form.inner_name as u64, string, is_file: false });
                let next = format.u32(&raw, form.inner_next);
                if next == 0 {
                    break;
                }
                inner = inner.saturating_add(u64::from(next));
            }
            let next = format.u32(&entry, form.next);
            if next == 0 {
                break;
            }
            at = at.saturating_add(u64::from(next));
        }
        Ok(())
    }
}

//! The dynamic section: what a file asks of the loader.

use super::error::ReadError;
use super::layout::Layout;
use super::source::{Source, place, string, table};
use crate::raw::{
    DF_1_NODEFLIB, DT_AUXILIARY, DT_BIND_NOW, DT_DEBUG, DT_FILTER, DT_FLAGS, DT_FLAGS_1, DT_GNU_HASH, DT_HASH,
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMTAB, DT_TEXTREL, Dynamic as Entry,
    PT_DYNAMIC, Segment,
};

/// What a file asks of the loader.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dynamic {
    /// The name by which others need it (`DT_SONAME`).
    pub soname: Option<Vec<u8>>,
    /// What it needs, in order.
    pub dependencies: Vec<Dependency>,
    /// Directories to search, for itself and all it loads (`DT_RPATH`); void if there is a run path.
    pub rpath: Option<Vec<u8>>,
    /// Directories to search for what it needs itself (`DT_RUNPATH`).
    pub runpath: Option<Vec<u8>>,
    /// `DT_FLAGS`.
    pub flags: u64,
    /// `DT_FLAGS_1`.
    pub flags_1: u64,
    /// Whether there is a `DT_BIND_NOW`, the old form of the flag.
    pub has_bind_now: bool,
    /// Whether there is a `DT_TEXTREL`, the old form of the flag.
    pub has_text_relocations: bool,
    /// Whether a debugger can find the loader's list (`DT_DEBUG`), which linkers give to programs only.
    pub has_debug: bool,
    /// Where symbols and their names are.
    pub(crate) symbols: Symbols,
}

/// One file that another needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// In which way.
    pub kind: DependencyKind,
    /// By which name.
    pub name: Vec<u8>,
}

/// How a file is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DependencyKind {
    /// To be loaded (`DT_NEEDED`).
    Needed,
    /// To be loaded and searched before the file itself, if it is there (`DT_AUXILIARY`).
    Auxiliary,
    /// To be loaded and searched before the file itself (`DT_FILTER`).
    Filter,
}

/// Addresses of symbols, their names, and the tables by which they are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Symbols {
    pub(crate) table: Option<u64>,
    pub(crate) strings: Option<u64>,
    pub(crate) strings_bytes: u64,
    pub(crate) gnu_hash: Option<u64>,
    pub(crate) hash: Option<u64>,
}

const DF_TEXTREL: u64 = 0x4;
const DF_BIND_NOW: u64 = 0x8;
const DF_1_NOW: u64 = 0x1;
const DF_1_PIE: u64 = 0x0800_0000;

/// 65536 entries of 64-bit files: the largest programs need hundreds of libraries, not ten thousands.
const MAX_DYNAMIC_BYTES: u64 = 1024 * 1024;
/// Run paths with a directory for each of a thousand packages stay below this.
const MAX_STRING_BYTES: u64 = 1024 * 1024;
/// All strings of one file together: a file of hostile make could point many entries at one long string.
const MAX_STRINGS_BYTES: u64 = 16 * 1024 * 1024;

impl Dynamic {
    /// Names of what it needs, in order, without filters.
    pub fn needed(&self) -> impl Iterator<Item = &[u8]> {
        let needed = self.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Needed);
        needed.map(|dependency| &dependency.name[..])
    }

    /// Whether all symbols are bound before it runs.
    pub fn binds_now(&self) -> bool {
        self.has_bind_now || self.flags & DF_BIND_NOW != 0 || self.flags_1 & DF_1_NOW != 0
    }

    /// Whether the default directories are not for what it needs.
    pub fn ignores_default_directories(&self) -> bool {
        self.flags_1 & DF_1_NODEFLIB != 0
    }

    /// Whether it says to be a program that can lie anywhere.
    pub fn is_position_independent_program(&self) -> bool {
        self.flags_1 & DF_1_PIE != 0
    }

    /// Whether code is changed when it is loaded.
    pub fn relocates_text(&self) -> bool {
        self.has_text_relocations || self.flags & DF_TEXTREL != 0
    }

    /// Reads the dynamic section, if there is one.
    pub(crate) fn read(source: &Source<'_>, layout: Layout, segments: &[Segment]) -> Result<Option<Self>, ReadError> {
        let found = segments.iter().rfind(|segment| segment.kind == PT_DYNAMIC);
        let Some(segment) = found.filter(|segment| segment.file_bytes > 0) else { return Ok(None) };
        let what = "the dynamic section";
        // the loader goes by the address
        let offset = place(segments, what, segment.address).map_or(segment.offset, |(offset, _)| offset);
        let bytes = table(source, what, offset, segment.file_bytes, MAX_DYNAMIC_BYTES)?;
        let mut dynamic = Self::default();
        let mut names = Vec::new();
        let format = layout.format();
        for entry in bytes.chunks_exact(format.dynamic_bytes()) {
            let Entry { tag, value } = Entry::read(format, entry);
            match tag {
                DT_NULL => break,
                DT_NEEDED | DT_AUXILIARY | DT_FILTER | DT_SONAME | DT_RPATH | DT_RUNPATH => names.push((tag, value)),
                DT_STRTAB => dynamic.symbols.strings = Some(value),
                DT_STRSZ => dynamic.symbols.strings_bytes = value,
                DT_SYMTAB => dynamic.symbols.table = Some(value),
                DT_HASH => dynamic.symbols.hash = Some(value),
                DT_GNU_HASH => dynamic.symbols.gnu_hash = Some(value),
                DT_DEBUG => dynamic.has_debug = true,
                DT_TEXTREL => dynamic.has_text_relocations = true,
                DT_BIND_NOW => dynamic.has_bind_now = true,
                DT_FLAGS => dynamic.flags = value,
                DT_FLAGS_1 => dynamic.flags_1 = value,
                _ => {}
            }
        }
        dynamic.read_names(source, segments, &names)?;
        Ok(Some(dynamic))
    }

    fn read_names(&mut self, source: &Source<'_>, segments: &[Segment], names: &[(u64, u64)]) -> Result<(), ReadError> {
        if names.is_empty() {
            return Ok(());
        }
        let what = "the string table";
        let (strings, _) = place(segments, what, self.symbols.strings.unwrap_or(0))?;
        let mut left_bytes = MAX_STRINGS_BYTES;
        for (tag, value) in names {
            let offset = strings.saturating_add(*value);
            let name = string(source, "a string", offset, MAX_STRING_BYTES.min(left_bytes))?;
            left_bytes = left_bytes.saturating_sub(name.len() as u64);
            let kind = match *tag {
                DT_SONAME => {
                    self.soname = Some(name);
                    continue;
                }
                DT_RPATH => {
                    self.rpath = Some(name);
                    continue;
                }
                DT_RUNPATH => {
                    self.runpath = Some(name);
                    continue;
                }
                DT_AUXILIARY => DependencyKind::Auxiliary,
                DT_FILTER => DependencyKind::Filter,
                _ => DependencyKind::Needed,
            };
            self.dependencies.push(Dependency { kind, name });
        }
        Ok(())
    }
}

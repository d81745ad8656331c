//! Editing a file: what is asked for changes a model of its tables, and what that means for the bytes is found out at
//! the end ([`Editor::finish`]).
//!
//! Nothing is moved that has an address others may know: code, data, symbols. What grows (an interpreter, the dynamic
//! section, its strings, the program headers) gets a new place behind everything else, in one segment that later edits
//! extend. See docs/design/relocation.md.

mod cache;
mod dynamic;
mod layout;
mod region;
mod slack;
mod stack;
mod start;
mod strings;
mod symbols;

use crate::bytes::{Bytes, until_nul};
use crate::error::ElfError;
use crate::raw::{
    DT_NULL, DT_STRSZ, DT_STRTAB, Dynamic, Format, Header, PT_DYNAMIC, PT_INTERP, PT_LOAD, SHT_DYNAMIC, SHT_NOBITS,
    Section, Segment,
};
use crate::read::kind;
use crate::start::Start;

pub use cache::{CacheOutcome, Directory, RunPathDirectories};
pub use dynamic::RunPath;
pub use stack::ExecStack;

/// Most bytes that are read of one table or string: none of a sound file is larger.
const MAX_TABLE_BYTES: u64 = 256 << 20;

/// Bytes that take the place of others, or follow the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// What an edit changes. The file has `len` bytes afterwards; between its old end and the first patch behind it there are
/// zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order of their offsets, without overlap.
    pub patches: Vec<Patch>,
    /// The length of the file, in bytes.
    pub len: u64,
    /// What the user should be told.
    pub warnings: Vec<String>,
}

/// How to edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The size of a page; 0 for that of the architecture.
    pub page_bytes: u64,
    /// Write `DT_RPATH`, which libraries inherit, where `DT_RUNPATH` would be written.
    pub force_rpath: bool,
    /// Overwrite what was moved elsewhere, so that nothing that scans the file finds it.
    pub clobber: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { page_bytes: 0, force_rpath: false, clobber: true }
    }
}

/// The dynamic section, as it was found.
#[derive(Debug, Clone, Copy)]
struct DynamicPlace {
    offset: u64,
    /// Entries that there is room for, the last `DT_NULL` included.
    room: usize,
    strings_offset: u64,
    strings_bytes: u64,
}

/// A file that is being edited.
pub struct Editor<'a> {
    bytes: &'a dyn Bytes,
    options: Options,
    header: Header,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    /// The names of sections.
    names: Vec<u8>,
    place: Option<DynamicPlace>,
    /// Entries up to the first `DT_NULL`.
    entries: Vec<Dynamic>,
    /// Whether they changed.
    entries_changed: bool,
    /// Strings to be added to those of the dynamic section.
    added: Vec<u8>,
    /// The interpreter, if it gets another one.
    interpreter: Option<Vec<u8>>,
    /// The resolution cache to be added.
    cache: Option<Vec<u8>>,
    /// What is to start the program.
    start: Option<Start>,
    /// Where the file ends now, if what was behind is removed.
    cut: Option<u64>,
    /// Whether program headers were changed, or section headers.
    segments_changed: bool,
    sections_changed: bool,
    /// Bytes that were changed where they are.
    patches: Vec<Patch>,
}

impl<'a> Editor<'a> {
    /// Begins to edit a file.
    ///
    /// # Errors
    /// It is not a program or a library, or its tables lie outside of it.
    pub fn open(bytes: &'a dyn Bytes, options: Options) -> Result<Self, ElfError> {
        let header = Header::read(bytes)?;
        if header.kind != kind::EXECUTABLE && header.kind != kind::SHARED {
            return Err(ElfError::Kind);
        }
        let format = header.format;
        header.check_tables(bytes.len())?;
        let table = |offset: u64, count: u16, entry_bytes: usize| match count {
            0 => Ok(Vec::new()),
            _ => read(bytes, offset, u64::from(count) * entry_bytes as u64),
        };
        let raw = table(header.segments_offset, header.segment_count, format.segment_bytes())?;
        let segments = raw.chunks_exact(format.segment_bytes()).map(|raw| Segment::read(format, raw)).collect();
        let raw = table(header.sections_offset, header.section_count, format.section_bytes())?;
        let sections = raw.chunks_exact(format.section_bytes()).map(|raw| Section::read(format, raw));
        let sections = sections.collect::<Vec<_>>();
        let names = read_names(bytes, &header, &sections)?;
        let mut editor = Editor {
            bytes,
            options,
            header,
            segments,
            sections,
            names,
            place: None,
            entries: Vec::new(),
            entries_changed: false,
            added: Vec::new(),
            interpreter: None,
            cache: None,
            start: None,
            cut: None,
            segments_changed: false,
            sections_changed: false,
            patches: Vec::new(),
        };
        editor.read_dynamic()?;
        Ok(editor)
    }

    fn format(&self) -> Format {
        self.header.format
    }

    fn page_bytes(&self) -> u64 {
        if self.options.page_bytes > 0 { self.options.page_bytes } else { self.header.page_bytes() }
    }

    /// Whether this is debugging information alone: the headers tell of a dynamic section that is in another file.
    pub fn is_debug_information(&self) -> bool {
        self.dynamic_section().is_some_and(|index| self.sections[index].kind == SHT_NOBITS)
    }

    fn read_dynamic(&mut self) -> Result<(), ElfError> {
        if self.is_debug_information() {
            return Ok(());
        }
        let format = self.format();
        let section = self.dynamic_section().map(|index| self.sections[index]);
        if let Some(section) = section {
            if section.end() > self.bytes.len() {
                return Err(ElfError::Outside { offset: section.offset });
            }
            if section.offset % format.word_bytes() as u64 != 0 {
                return Err(ElfError::Malformed("section content is not naturally aligned"));
            }
        }
        let segment = self.segments.iter().find(|segment| segment.kind == PT_DYNAMIC && segment.file_bytes > 0);
        let (offset, size) = match (segment, section) {
            (Some(segment), _) => (segment.offset, segment.file_bytes),
            (None, Some(section)) => (section.offset, section.bytes),
            (None, None) => return Ok(()),
        };
        let raw = read(self.bytes, offset, size)?;
        let entries = raw.chunks_exact(format.dynamic_bytes()).map(|raw| Dynamic::read(format, raw));
        let entries = entries.take_while(|entry| entry.tag != DT_NULL).collect::<Vec<_>>();
        let room = raw.len() / format.dynamic_bytes();
        if entries.len() == room {
            return Err(ElfError::NoEnd);
        }
        let value = |tag: u64| entries.iter().rfind(|entry| entry.tag == tag).map(|entry| entry.value);
        if let (Some(address), Some(strings_bytes)) = (value(DT_STRTAB), value(DT_STRSZ))
            && let Some(strings_offset) = self.offset_of(address)
        {
            if strings_offset.checked_add(strings_bytes).is_none_or(|end| end > self.bytes.len()) {
                return Err(ElfError::Outside { offset: strings_offset });
            }
            self.place = Some(DynamicPlace { offset, room, strings_offset, strings_bytes });
            self.entries = entries;
        }
        Ok(())
    }

    /// Where the byte at an address stands in the file.
    fn offset_of(&self, address: u64) -> Option<u64> {
        let segment = self
            .loads()
            .find(|segment| segment.address <= address && address - segment.address < segment.file_bytes)?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Segments that are loaded.
    fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == PT_LOAD)
    }

    /// Where the dynamic section is, or the error that there is none.
    fn dynamic_place(&self) -> Result<DynamicPlace, ElfError> {
        self.place.ok_or(ElfError::NoSection(".dynamic"))
    }

    fn section_name(&self, section: &Section) -> &[u8] {
        let name = self.names.get(section.name as usize..).unwrap_or_default();
        until_nul(name)
    }

    /// The number of a name among those of sections, to which it is added if it is not there.
    fn name_index(&mut self, name: &[u8]) -> u32 {
        let name = [name, b"\0"].concat();
        let index = memchr::memmem::find(&self.names, &name).unwrap_or_else(|| {
            self.names.extend_from_slice(&name);
            self.names.len() - name.len()
        });
        index as u32
    }

    fn section_named(&self, name: &[u8]) -> Option<usize> {
        (1..self.sections.len()).find(|index| self.section_name(&self.sections[*index]) == name)
    }

    fn dynamic_section(&self) -> Option<usize> {
        let of_kind = self.sections.iter().position(|section| section.kind == SHT_DYNAMIC);
        of_kind.or_else(|| self.section_named(b".dynamic"))
    }

    fn interpreter_segment(&self) -> Option<usize> {
        self.segments.iter().position(|segment| segment.kind == PT_INTERP)
    }

    /// The program that starts this one.
    ///
    /// # Errors
    /// There is none, as in most libraries; or it lies outside of the file.
    pub fn interpreter(&self) -> Result<Vec<u8>, ElfError> {
        if let Some(interpreter) = &self.interpreter {
            return Ok(interpreter.clone());
        }
        let (offset, size) = match self.interpreter_segment() {
            Some(index) => (self.segments[index].offset, self.segments[index].file_bytes),
            None => {
                let found = self.find_start().map(|(_, found)| found);
                let place = found.and_then(|found| Some((self.offset_of(found.interpreter)?, found.interpreter_bytes)));
                place.ok_or(ElfError::NoSection(".interp"))?
            }
        };
        let text = read(self.bytes, offset, size)?;
        Ok(until_nul(&text).to_vec())
    }

    /// Makes another program the one that starts this one.
    ///
    /// # Errors
    /// As for [`Editor::interpreter`].
    pub fn set_interpreter(&mut self, interpreter: &[u8]) -> Result<(), ElfError> {
        if self.interpreter()? != interpreter {
            if self.interpreter_segment().is_none() {
                let message = "it starts by itself; make it an ordinary program first (nopal elf fast --undo)";
                return Err(ElfError::Refused(message.to_owned()));
            }
            self.interpreter = Some(interpreter.to_vec());
        }
        Ok(())
    }

    /// The number of the architecture.
    pub fn machine(&self) -> u16 {
        self.header.machine
    }

    /// The number of the ABI.
    pub fn os_abi(&self) -> u8 {
        self.header.os_abi
    }

    /// Sets the number of the ABI.
    pub fn set_os_abi(&mut self, abi: u8) {
        self.header.os_abi = abi;
    }

    /// Replaces bytes where they are.
    fn patch(&mut self, offset: u64, bytes: Vec<u8>) {
        self.patches.push(Patch { offset, bytes });
    }
}

/// Reads a part of a file.
fn read(bytes: &dyn Bytes, offset: u64, size: u64) -> Result<Vec<u8>, ElfError> {
    let is_inside = offset.checked_add(size).is_some_and(|end| end <= bytes.len());
    if !is_inside || size > MAX_TABLE_BYTES {
        return Err(ElfError::Outside { offset });
    }
    let mut part = vec![0; size as usize];
    bytes.read_at(offset, &mut part)?;
    Ok(part)
}

/// Reads the names of sections.
fn read_names(bytes: &dyn Bytes, header: &Header, sections: &[Section]) -> Result<Vec<u8>, ElfError> {
    if sections.is_empty() {
        return Ok(Vec::new());
    }
    let table = sections.get(usize::from(header.names_index)).ok_or(ElfError::StringIndex)?;
    if table.bytes == 0 {
        return Err(ElfError::Malformed("string table size is zero"));
    }
    let names =
        read(bytes, table.offset, table.bytes).map_err(|_| ElfError::Malformed("data region extends past file end"))?;
    if names.last() != Some(&0) {
        return Err(ElfError::Malformed("string table is not zero terminated"));
    }
    if sections.iter().skip(1).any(|section| section.name as usize >= names.len()) {
        return Err(ElfError::Malformed("section name offset out of bounds"));
    }
    Ok(names)
}

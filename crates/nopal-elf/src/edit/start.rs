//! Making a program start by itself: the kernel begins in code that is added, which finds the loader.

use super::layout::TABLE_ALIGN;
use super::region::Overlay;
use super::{Editor, read};
use crate::error::ElfError;
use crate::raw::{PF_R, PF_X, PT_INTERP, PT_LOAD, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, Section, Segment};
use crate::start::{self, Found, START_SECTION, Start};

/// Paths of hundreds of libraries fit.
const MAX_START_BYTES: u64 = 16 << 20;

impl Editor<'_> {
    /// How the program starts by itself, if it does.
    pub fn start(&self) -> Option<Start> {
        Some(self.find_start()?.1.start)
    }

    /// Makes the program start by itself, from wherever it is if nothing but paths from the root is named.
    ///
    /// The file says no more which interpreter it wants; [`Editor::remove_start`] brings that back.
    ///
    /// # Errors
    /// It is for a machine for which there is no code to do it, or no program that a loader starts.
    pub fn set_start(&mut self, start: &Start) -> Result<(), ElfError> {
        let (machine, format) = (self.header.machine, self.header.format);
        let Some(image) = start::image(machine, format) else {
            return Err(ElfError::Refused("there is no code to start programs of this machine".to_owned()));
        };
        if let Some((index, found)) = self.find_start() {
            let segment = self.segments[index];
            let wanted = Found { start: start.clone(), ..found };
            let bytes = read(self.bytes, segment.offset, segment.file_bytes)?;
            if wanted.encode(image, format, segment.address) == bytes {
                return Ok(());
            }
            self.remove_start()?;
        }
        self.interpreter_segment().ok_or(ElfError::NoSection(".interp"))?;
        self.start = Some(start.clone());
        Ok(())
    }

    /// Has the loader that the file named before start the program again.
    ///
    /// # Errors
    /// What the file says of that makes no sense.
    pub fn remove_start(&mut self) -> Result<(), ElfError> {
        self.start = None;
        let Some((index, found)) = self.find_start() else { return Ok(()) };
        let offset = self.offset_of(found.interpreter).ok_or(ElfError::NoSection(".interp"))?;
        read(self.bytes, offset, found.interpreter_bytes)?;
        let segment = self.segments.remove(index);
        let before = self.segments.iter().position(|segment| segment.kind == PT_LOAD).unwrap_or(0);
        let (address, bytes) = (found.interpreter, found.interpreter_bytes);
        let interpreter = Segment::mapped(PT_INTERP, PF_R, (offset, address), bytes, 1);
        self.segments.insert(before, interpreter);
        self.header.entry = found.entry;
        self.segments_changed = true;
        if let Some(index) = self.section_named(START_SECTION) {
            self.remove_section(index);
        }
        if self.end() <= segment.file_end().next_multiple_of(TABLE_ALIGN) {
            self.cut = Some(segment.offset);
        } else {
            self.patch(segment.offset, vec![0; segment.file_bytes as usize]);
        }
        Ok(())
    }

    /// The segment that starts the program, and what it says.
    pub(super) fn find_start(&self) -> Option<(usize, Found)> {
        // libraries that are no programs begin nowhere, and often have a segment at 0
        let entry = Some(self.header.entry).filter(|entry| *entry > 0)?;
        let is_it =
            |segment: &Segment| segment.kind == PT_LOAD && segment.address == entry && segment.flags & PF_X != 0;
        let index = self.segments.iter().position(is_it)?;
        let segment = &self.segments[index];
        let bytes = read(self.bytes, segment.offset, segment.file_bytes.min(MAX_START_BYTES)).ok()?;
        Some((index, Found::decode(&bytes, self.format())?))
    }

    /// Writes what starts the program behind `end`, in place of the interpreter's name; the new end.
    pub(super) fn place_start(&mut self, end: u64, over: &mut Overlay) -> Result<u64, ElfError> {
        let (machine, format) = (self.header.machine, self.header.format);
        let (Some(start), Some(image)) = (self.start.take(), start::image(machine, format)) else { return Ok(end) };
        // where it is after everything else has moved
        let interpreter = self.interpreter_segment().ok_or(ElfError::NoSection(".interp"))?;
        let interpreter = self.segments.remove(interpreter);
        let found = Found {
            start,
            entry: self.header.entry,
            interpreter: interpreter.address,
            interpreter_bytes: interpreter.file_bytes,
        };
        let mut end = end;
        let name = if self.sections.is_empty() { 0 } else { self.name_of_start_section(&mut end, over) };
        let offset = end.next_multiple_of(start::ALIGN);
        let address = self.address_behind_all(offset)?;
        let bytes = found.encode(image, format, address);
        let size = bytes.len() as u64;
        self.check_end(address + size)?;
        over.write(offset, bytes);
        let load = Segment::mapped(PT_LOAD, PF_R | PF_X, (offset, address), size, self.segment_align());
        self.insert_load(load);
        self.segments_changed = true;
        self.header.entry = address;
        if !self.sections.is_empty() {
            self.sections.push(Section {
                name,
                kind: SHT_PROGBITS,
                flags: SHF_ALLOC | SHF_EXECINSTR,
                address,
                offset,
                bytes: size,
                align: start::ALIGN,
                ..Section::default()
            });
            self.sections_changed = true;
        }
        Ok(offset + size)
    }

    /// The number of the section's name among those of sections, which get a place at `end` if it is added.
    fn name_of_start_section(&mut self, end: &mut u64, over: &mut Overlay) -> u32 {
        let before = self.names.len();
        let index = self.name_index(START_SECTION);
        if self.names.len() > before {
            over.write(*end, self.names.clone());
            let names = &mut self.sections[usize::from(self.header.names_index)];
            (names.offset, names.bytes) = (*end, self.names.len() as u64);
            *end += names.bytes;
        }
        index
    }
}

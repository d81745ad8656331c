//! What a loader, and a person, wants to know of an ELF file.
//!
//! Read are the header, the table of segments, the dynamic section, the strings it names and the notes: kilobytes, of
//! files however large. Sections are not looked at, so files without them read the same. All lengths have limits.

mod dynamic;
mod error;
mod hardening;
mod header;
mod layout;
mod notes;
mod source;
#[cfg(test)]
mod tests;

use crate::Bytes;
use crate::bytes::until_nul;
use crate::raw::{PF_X, PT_GNU_RELRO, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_NOTE, Segment};
pub(crate) use source::{Source, place, table};
use std::ops::Range;

pub use dynamic::{Dependency, DependencyKind, Dynamic};
pub use error::ReadError;
pub use hardening::{Hardening, Relro, SymbolChecks};
pub use header::{Header, kind, machine};
pub use layout::{ByteOrder, Class};
pub use notes::{Hint, Notes, ResolutionCache};

/// The kernel takes no longer path.
const MAX_INTERPRETER_BYTES: u64 = 4096;
/// The largest notes are lists of where libraries are, a few kilobytes each.
const MAX_NOTES_BYTES: u64 = 1024 * 1024;
/// Linkers make one or two segments of notes.
const MAX_NOTE_SEGMENTS: usize = 16;

/// An ELF file as a loader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// What it is and for which machine.
    pub header: Header,
    /// The loader it asks for.
    pub interpreter: Option<Vec<u8>>,
    /// What it asks of the loader; nothing if it is not linked dynamically.
    pub dynamic: Option<Dynamic>,
    /// What its notes say.
    pub notes: Notes,
    pub(crate) segments: Vec<Segment>,
}

impl Image {
    /// Reads what a loader would.
    ///
    /// # Errors
    /// The file is no ELF file, or what is read of it makes no sense.
    pub fn read(bytes: &dyn Bytes) -> Result<Self, ReadError> {
        Self::read_after(Header::read(bytes)?, bytes)
    }

    /// Reads the rest of a file whose header is known.
    ///
    /// # Errors
    /// What is read of it makes no sense.
    pub fn read_after(header: Header, bytes: &dyn Bytes) -> Result<Self, ReadError> {
        let source = &Source::new(bytes);
        let segments = header.segments(source)?;
        let interpreter = match segments.iter().find(|segment| segment.kind == PT_INTERP) {
            Some(segment) => {
                let what = "the interpreter's path";
                let path = table(source, what, segment.offset, segment.file_bytes, MAX_INTERPRETER_BYTES)?;
                Some(until_nul(&path).to_vec())
            }
            None => None,
        };
        let dynamic = Dynamic::read(source, header.layout, &segments)?;
        let mut notes = Notes::default();
        for segment in segments.iter().filter(|segment| segment.kind == PT_NOTE).take(MAX_NOTE_SEGMENTS) {
            // nobody is kept from running by notes that make no sense
            if let Ok(part) = table(source, "notes", segment.offset, segment.file_bytes, MAX_NOTES_BYTES) {
                notes.take(header.layout, &part, segment.align);
            }
        }
        Ok(Self { header, interpreter, dynamic, notes, segments })
    }

    /// The name by which others need it.
    pub fn soname(&self) -> Option<&[u8]> {
        self.dynamic.as_ref()?.soname.as_deref()
    }

    /// Where in the file it names its loader, with the zero at the end.
    pub fn interpreter_place(&self) -> Option<Range<u64>> {
        let segment = self.segments.iter().find(|segment| segment.kind == PT_INTERP)?;
        Some(segment.offset..segment.offset.saturating_add(segment.file_bytes))
    }

    /// Whether there is anything to load.
    pub fn has_loaded_segments(&self) -> bool {
        self.segments.iter().any(|segment| segment.kind == PT_LOAD)
    }

    /// Whether there is a table of sections, which debuggers and linkers want and loaders do not.
    pub fn has_sections(&self) -> bool {
        self.header.sections > 0
    }

    /// Which defences it has, as far as headers tell.
    pub fn hardening(&self) -> Hardening {
        let has = |kind| self.segments.iter().any(|segment| segment.kind == kind);
        let binds_now = self.dynamic.as_ref().is_some_and(Dynamic::binds_now);
        let stack = self.segments.iter().rfind(|segment| segment.kind == PT_GNU_STACK);
        let is_program = |dynamic: &Dynamic| dynamic.is_position_independent_program() || dynamic.has_debug;
        Hardening {
            relro: match (has(PT_GNU_RELRO), binds_now) {
                (false, _) => Relro::None,
                (true, false) => Relro::Partial,
                (true, true) => Relro::Full,
            },
            binds_now,
            is_position_independent: self.header.kind == kind::SHARED,
            is_program: self.header.kind == kind::EXECUTABLE
                || self.interpreter.is_some()
                || self.dynamic.as_ref().is_some_and(is_program),
            has_executable_stack: stack.is_none_or(|stack| stack.flags & PF_X != 0),
            relocates_text: self.dynamic.as_ref().is_some_and(Dynamic::relocates_text),
        }
    }
}

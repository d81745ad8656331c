//! The resolution cache of a file: making one, and dropping one that no longer holds.

use std::collections::BTreeMap;

use super::layout::TABLE_ALIGN;
use super::region::Region;
use super::{Editor, read};
use crate::error::ElfError;
use crate::note::{CACHE_SECTION, NOTE_ALIGN, Record, cache_note, descriptor, records};
use crate::raw::{PF_R, PT_LOAD, PT_NOTE, SHF_ALLOC, SHT_NOTE, Section, Segment};

/// What a directory of a run path is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directory {
    /// One that can be searched now.
    Searchable,
    /// One that the loader has to look into each time: it is not there, is no directory, may not be searched, or has
    /// variants of libraries for kinds of processors (`glibc-hwcaps`).
    AtRunTime,
}

/// What is asked about the directories of a run path.
pub trait RunPathDirectories {
    /// What the directory is like.
    fn directory(&self, directory: &[u8]) -> Directory;

    /// Whether there is such a file that may be read.
    fn is_readable(&self, path: &[u8]) -> bool;
}

/// What became of a resolution cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It is written.
    Written,
    /// It was there already.
    UpToDate,
    /// There is nothing to write, for this reason.
    Nothing(&'static str),
}

/// The sizes that a note begins with.
const NOTE_SIZES_BYTES: usize = 8;

/// Where a cache stands in a file.
struct Found {
    offset: u64,
    bytes: u64,
    section: Option<usize>,
}

impl Editor<'_> {
    fn find_cache(&self) -> Option<Found> {
        if let Some(index) = self.section_named(CACHE_SECTION) {
            let section = self.sections[index];
            return Some(Found { offset: section.offset, bytes: section.bytes, section: Some(index) });
        }
        let mut notes = self.segments.iter().filter(|segment| segment.kind == PT_NOTE);
        let found = notes.find_map(|segment| {
            let notes = read(self.bytes, segment.offset, segment.file_bytes).ok()?;
            let place = records(self.format().order, &notes, segment.align).find(Record::is_cache)?.place;
            Some(Found { offset: segment.offset + place.start as u64, bytes: place.len() as u64, section: None })
        })?;
        let is_dropped = self.patches.iter().any(|patch| patch.offset == found.offset);
        (!is_dropped).then_some(found)
    }

    /// Drops the resolution cache if there is one, bytes and all, so that nothing takes them for references.
    ///
    /// # Errors
    /// The names of sections are in it.
    pub fn remove_cache(&mut self) -> Result<(), ElfError> {
        self.cache = None;
        let Some(found) = self.find_cache() else { return Ok(()) };
        let end = found.offset.saturating_add(found.bytes);
        self.segments.retain(|segment| {
            !(matches!(segment.kind, PT_LOAD | PT_NOTE)
                && segment.offset == found.offset
                && segment.file_bytes == found.bytes)
        });
        let mut is_followed = false;
        for segment in self.segments.iter_mut().filter(|segment| segment.kind == PT_NOTE) {
            if segment.offset < found.offset && segment.file_end() == end {
                segment.resize(found.offset - segment.offset);
            }
            is_followed |= segment.offset <= found.offset && segment.file_end() > end;
        }
        if end <= self.bytes.len() {
            let mut nothing = vec![0; found.bytes as usize];
            if is_followed && let Some(sizes) = nothing.first_chunk_mut::<NOTE_SIZES_BYTES>() {
                // a note of nobody, of the same size, so that the next one is found
                self.bytes.read_at(found.offset, sizes)?;
            }
            self.patch(found.offset, nothing);
        }
        self.segments_changed = true;
        if let Some(index) = found.section {
            if index == usize::from(self.header.names_index) {
                let message = "cannot remove resolution cache note: section name table index points to it";
                return Err(ElfError::Refused(message.to_owned()));
            }
            // the numbers of other sections stay
            self.sections[index] = Section::default();
            self.sections_changed = true;
        }
        Ok(())
    }

    /// Removes a section. The numbers of others stay.
    pub(super) fn remove_section(&mut self, index: usize) {
        if index + 1 == self.sections.len() {
            self.sections.pop();
            self.header.section_count -= 1;
        } else {
            self.sections[index] = Section::default();
        }
        self.sections_changed = true;
    }

    /// Notes where the needed libraries are found by the run path. In a directory that only the loader can judge it has
    /// to look itself, before what comes later.
    ///
    /// # Errors
    /// Another cache is there already; or as for [`Editor::run_path`].
    pub fn build_cache(&mut self, directories: &dyn RunPathDirectories) -> Result<CacheOutcome, ElfError> {
        let found = self.find_cache();
        let stale = || {
            let message = "--build-resolution-cache: a resolution cache note is already present; rebuild from an \
                           unpatched binary";
            ElfError::Refused(message.to_owned())
        };
        let nothing = |reason| if found.is_some() { Err(stale()) } else { Ok(CacheOutcome::Nothing(reason)) };
        if self.place.is_none() {
            return nothing("no dynamic section (statically linked?)");
        }
        let needed = self.needed()?;
        let path = self.run_path()?.unwrap_or_default();
        if needed.is_empty() || path.is_empty() {
            return nothing("no DT_NEEDED entries or run path to resolve");
        }
        let places = places(&needed, &path, directories);
        if places.is_empty() {
            return nothing("no libraries resolved against the run path");
        }
        let descriptor = descriptor(&places);
        if let Some(found) = found {
            let note = read(self.bytes, found.offset, found.bytes);
            let mut known = records(self.format().order, note.as_deref().unwrap_or_default(), NOTE_ALIGN);
            return match known.find(Record::is_cache) {
                Some(known) if known.descriptor == descriptor => Ok(CacheOutcome::UpToDate),
                _ => Err(stale()),
            };
        }
        self.cache = Some(cache_note(self.format(), &descriptor));
        Ok(CacheOutcome::Written)
    }

    /// Appends the resolution cache, its segment and its section.
    pub(super) fn move_cache(&mut self, region: &mut Region) -> Result<(), ElfError> {
        let Some(note) = self.cache.take() else { return Ok(()) };
        let (offset, address) = region.push(&note, TABLE_ALIGN);
        let bytes = note.len() as u64;
        self.segments.push(Segment::mapped(PT_NOTE, PF_R, (offset, address), bytes, NOTE_ALIGN));
        self.add_cache_section(offset, address, bytes)
    }

    /// Adds the section of the resolution cache, in the place of one that was dropped, if it can.
    pub(super) fn add_cache_section(&mut self, offset: u64, address: u64, bytes: u64) -> Result<(), ElfError> {
        if self.sections.is_empty() {
            return Ok(());
        }
        if self.sections.len() > 1 {
            self.sections.pop_if(|last| *last == Section::default());
        }
        let name = self.name_index(CACHE_SECTION);
        self.sections.push(Section {
            name,
            kind: SHT_NOTE,
            flags: SHF_ALLOC,
            address,
            offset,
            bytes,
            align: NOTE_ALIGN,
            ..Section::default()
        });
        u16::try_from(self.sections.len()).map_err(|_| ElfError::Malformed("too many section headers"))?;
        self.sections_changed = true;
        Ok(())
    }
}

/// For each library by name, where it may be.
fn places(needed: &[Vec<u8>], path: &[u8], directories: &dyn RunPathDirectories) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut places = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    let mut add = |library: &[u8], place: &[u8]| {
        let list = places.entry(library.to_vec()).or_default();
        if !list.is_empty() {
            list.push(b':');
        }
        list.extend_from_slice(place);
    };
    // what has a slash is opened as it is
    let searched = || needed.iter().filter(|library| !library.contains(&b'/'));
    for directory in path.split(|byte| *byte == b':') {
        let is_fixed = directory.first() == Some(&b'/') && !directory.contains(&b'$');
        if is_fixed && directories.directory(directory) == Directory::Searchable {
            for library in searched() {
                let file = [directory, b"/", library].concat();
                if directories.is_readable(&file) {
                    add(library, &[b"=", &file[..]].concat());
                }
            }
        } else {
            searched().for_each(|library| add(library, &[b"?", directory].concat()));
        }
    }
    places
}

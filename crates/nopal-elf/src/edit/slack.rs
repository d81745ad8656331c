//! Room that linkers leave between segments, where they begin each at a page of its own: what is small can go there, and
//! the file gets neither longer nor another segment.

use super::layout::{BLOCK_ALIGN, Block, Places, TABLE_ALIGN};
use super::region::{Overlay, Region};
use super::{Editor, read};
use crate::error::ElfError;
use crate::note::{NOTE_ALIGN, records};
use crate::raw::{PF_W, PF_X, PT_LOAD, PT_NOTE, PT_PHDR, SHT_NOTE, Section, Segment};

/// Linkers make notes of a hundred bytes. Larger ones stay where they are.
const MAX_NOTES_BYTES: u64 = 64 << 10;

impl Editor<'_> {
    /// Puts the resolution cache behind notes that there are: where they stand, or where there is room for all of them.
    /// So it needs no program header of its own.
    pub(super) fn keep_cache_in_slack(&mut self, places: Places, over: &mut Overlay) -> Result<(), ElfError> {
        let Some(cache) = &self.cache else { return Ok(()) };
        let cache_bytes = cache.len() as u64;
        let mut all = self.notes_segments(over);
        // by that in the first page debuggers know the file from a core dump
        all.sort_by_key(|(_, notes)| {
            records(self.format().order, notes, NOTE_ALIGN).any(|record| record.is_build_id())
        });
        let can_grow = |(index, _): &(usize, Vec<u8>)| {
            Some((*index, self.slack_at(self.segments[*index].file_end(), cache_bytes, over)?, false))
        };
        let can_move = |(index, notes): &(usize, Vec<u8>)| {
            let bytes = notes.len() as u64 + cache_bytes + 2 * BLOCK_ALIGN;
            Some((*index, self.slack_behind_a_segment(bytes, over)?, true))
        };
        let found = all.iter().find_map(can_grow).or_else(|| all.iter().find_map(can_move));
        let Some((index, place, moves)) = found else { return Ok(()) };
        let notes = self.segments[index];
        let Some(cache) = self.cache.take() else { return Ok(()) };
        let load = &self.segments[place];
        let offset = if moves { load.file_end() } else { notes.file_end() };
        let address = load.address + (offset - load.offset);
        let mut region = Region { offset, address, bytes: Vec::new(), extended: Some(place) };
        if moves {
            let block = Block { begin: notes.offset, end: notes.file_end(), address: notes.address };
            self.move_block(block, places, &mut region, over)?;
        }
        let (offset, address) = region.push(&cache, NOTE_ALIGN);
        let end = offset + cache_bytes;
        over.write(region.offset, region.bytes);
        for index in [place, index] {
            let segment = &mut self.segments[index];
            segment.resize(segment.file_bytes.max(end - segment.offset));
        }
        self.segments_changed = true;
        self.add_cache_section(offset, address, cache_bytes)
    }

    /// Makes room for a table of program headers behind the first segment, where every kernel and loader finds it; its
    /// offset and address.
    pub(super) fn keep_segments_in_slack(&mut self, bytes: usize, over: &Overlay) -> Option<(u64, u64)> {
        let loads = (0..self.segments.len()).filter(|index| self.segments[*index].kind == PT_LOAD);
        let first = loads.min_by_key(|index| self.segments[*index].address)?;
        let bytes = bytes as u64;
        if !self.is_slack(first, self.segments[first].file_end(), bytes + TABLE_ALIGN, over) {
            return None;
        }
        let load = &mut self.segments[first];
        let offset = load.file_end().next_multiple_of(TABLE_ALIGN);
        let begin = offset - load.offset;
        load.resize(begin + bytes);
        Some((offset, load.address + begin))
    }

    /// The section of the names of sections, if there are more names than it has.
    pub(super) fn added_names(&self) -> Option<usize> {
        let names = usize::from(self.header.names_index);
        self.sections.get(names).is_some_and(|section| section.bytes < self.names.len() as u64).then_some(names)
    }

    /// Writes what is new of the names of sections if they are the last thing of the file, else all of them where there is
    /// room. Where what is added ends.
    pub(super) fn append_names(&mut self, section: usize, over: &mut Overlay) -> u64 {
        let end = self.end();
        let mut names = self.sections[section];
        let gap = end.checked_sub(names.end()).filter(|gap| *gap < TABLE_ALIGN);
        let gap = gap.and_then(|gap| read(self.bytes, names.end(), gap).ok());
        if gap.is_none_or(|gap| gap.iter().any(|byte| *byte != 0)) {
            let slack = self.slack_between_segments(self.names.len() as u64, 1, over);
            (names.offset, names.bytes) = (slack.unwrap_or(end), 0);
        }
        over.write(names.end(), self.names[names.bytes as usize..].to_vec());
        names.bytes = self.names.len() as u64;
        self.sections[section] = names;
        end.max(names.end())
    }

    /// Segments of notes that can be moved as a whole and to which another one can be appended, and their bytes.
    fn notes_segments(&self, over: &Overlay) -> Vec<(usize, Vec<u8>)> {
        // without sections nobody knows what follows
        let segments = self.segments.iter().enumerate().filter(|_| !self.sections.is_empty());
        let notes = segments.filter(|(_, segment)| self.lies_apart(segment));
        notes.filter_map(|(index, segment)| Some((index, self.whole_notes(segment, over)?))).collect()
    }

    /// Whether this is a segment of notes and of nothing else, with the alignment of ours.
    fn lies_apart(&self, segment: &Segment) -> bool {
        let is_small = segment.file_bytes > 0 && segment.file_bytes <= MAX_NOTES_BYTES;
        let is_aligned = segment.align == NOTE_ALIGN && segment.address.is_multiple_of(NOTE_ALIGN);
        let is_mapped = self.offset_of(segment.address) == Some(segment.offset);
        if segment.kind != PT_NOTE || !is_small || !is_aligned || !is_mapped {
            return false;
        }
        let (begin, end) = (segment.offset, segment.file_end());
        let is_outside = |from: u64, to: u64| to <= begin || from >= end;
        let is_inside = |from: u64, to: u64| from >= begin && to <= end;
        let mut sections = self.sections.iter().filter(|section| section.is_in_file());
        let mut others = self.segments.iter().filter(|other| !matches!(other.kind, PT_LOAD | PT_PHDR));
        sections.all(|section| {
            let is_movable = section.kind == SHT_NOTE && is_inside(section.offset, section.end());
            is_movable || is_outside(section.offset, section.end())
        }) && others
            .all(|other| is_outside(other.offset, other.file_end()) || is_inside(other.offset, other.file_end()))
    }

    /// The notes of a segment, if what is appended to them would be found, and is not there already.
    fn whole_notes(&self, segment: &Segment, over: &Overlay) -> Option<Vec<u8>> {
        let mut notes = read(self.bytes, segment.offset, segment.file_bytes).ok()?;
        over.apply(segment.offset, &mut notes);
        let mut end = 0;
        for record in records(self.format().order, &notes, segment.align) {
            if record.is_cache() {
                return None;
            }
            end = record.place.end;
        }
        (end == notes.len() && end.is_multiple_of(NOTE_ALIGN as usize)).then_some(notes)
    }

    /// A segment with so much unused room behind its end. What is executable comes last.
    fn slack_behind_a_segment(&self, size: u64, over: &Overlay) -> Option<usize> {
        let has_room = |index: &usize| self.is_slack(*index, self.segments[*index].file_end(), size, over);
        let of_flag = |flag: u32| {
            (0..self.segments.len()).filter(move |index| self.segments[*index].flags & PF_X == flag).find(has_room)
        };
        of_flag(0).or_else(|| of_flag(PF_X))
    }

    /// A segment with so much unused room at that offset.
    fn slack_at(&self, offset: u64, size: u64, over: &Overlay) -> Option<usize> {
        (0..self.segments.len()).find(|index| self.is_slack(*index, offset, size, over))
    }

    /// Whether a part of the file is unused, and is or can be a part of this segment, which nobody writes to.
    fn is_slack(&self, index: usize, begin: u64, size: u64, over: &Overlay) -> bool {
        let (load, page) = (&self.segments[index], self.page_bytes());
        // with what starts the program goes all of its segment
        if load.address == self.header.entry && self.find_start().is_some_and(|(start, _)| start == index) {
            return false;
        }
        let is_plain = load.kind == PT_LOAD && load.flags & PF_W == 0 && load.file_bytes == load.memory_bytes;
        let is_mapped = load.address % page == load.offset % page && (load.offset..=load.file_end()).contains(&begin);
        let Some(end) = begin.checked_add(size).filter(|_| is_plain && is_mapped) else { return false };
        let others = self.segments.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
        let mut loads = others.filter(|other| other.kind == PT_LOAD);
        let pages_end = load.address.checked_add(end - load.offset).and_then(|end| end.checked_next_multiple_of(page));
        let Some(pages_end) = pages_end else { return false };
        if end > load.file_end() {
            // what follows the last segment of a file is not padding
            let is_between = loads.clone().any(|other| other.offset >= end);
            let is_free =
                |other: &Segment| other.memory_end() <= load.address || other.address / page * page >= pages_end;
            if !is_between || !loads.all(is_free) {
                return false;
            }
        }
        self.is_unused(begin, end, Some(index), over)
    }

    /// Room between loaded segments for what is not loaded.
    pub(super) fn slack_between_segments(&self, size: u64, align: u64, over: &Overlay) -> Option<u64> {
        // what follows data may be a payload, to which other segments were added
        let ends = self.loads().filter(|load| load.flags & PF_W == 0).map(Segment::file_end);
        let follows = |end: u64| self.sections.iter().filter(move |section| section.offset == end).map(Section::end);
        let mut begins = ends.flat_map(|end| std::iter::once(end).chain(follows(end))).filter_map(|end| {
            let begin = end.checked_next_multiple_of(align)?;
            Some((begin, begin.checked_add(size)?))
        });
        let is_between = |end: u64| self.loads().any(|load| load.offset >= end);
        let (begin, _) = begins.find(|(begin, end)| is_between(*end) && self.is_unused(*begin, *end, None, over))?;
        Some(begin)
    }

    /// Whether a part of the file is zero and nothing tells of it, but perhaps the segment that it is a part of.
    fn is_unused(&self, begin: u64, end: u64, load: Option<usize>, over: &Overlay) -> bool {
        let format = self.format();
        let table = |offset: u64, count: u16, entry_bytes: usize| {
            (offset, offset.saturating_add(u64::from(count) * entry_bytes as u64))
        };
        let tables = [
            table(0, 1, format.header_bytes()),
            table(self.header.segments_offset, self.header.segment_count, format.segment_bytes()),
            table(self.header.sections_offset, self.header.section_count, format.section_bytes()),
        ];
        let sections = self.sections.iter().filter(|section| section.is_in_file());
        let sections = sections.map(|section| (section.offset, section.end()));
        let segments = self.segments.iter().enumerate().filter(|(index, _)| Some(*index) != load);
        let segments = segments.map(|(_, segment)| (segment.offset, segment.file_end()));
        if sections.chain(segments).chain(tables).any(|(from, to)| from < end && to > begin && from < to) {
            return false;
        }
        let Ok(mut bytes) = read(self.bytes, begin, end - begin) else { return false };
        over.apply(begin, &mut bytes);
        bytes.iter().all(|byte| *byte == 0)
    }
}

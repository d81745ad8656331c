//! What an edit means for the bytes of the file: what fits stays where it is, what does not gets a new place behind the
//! end, in one segment.

use super::region::{Overlay, Region};
use super::{Changes, Editor, Patch, read};
use crate::error::ElfError;
use crate::raw::{
    DT_STRSZ, DT_STRTAB, Dynamic, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE, PT_NULL,
    PT_PHDR, SHF_ALLOC, SHT_NOBITS, SHT_NOTE, Section, Segment,
};
use crate::read::kind;

/// Larger alignments of segments would make a file grow by as much; linkers use 2 MiB at most.
const MAX_ALIGN: u64 = 16 << 20;

/// Every table begins at a multiple of this, as the largest of their numbers ask for.
pub(super) const TABLE_ALIGN: u64 = 8;

/// What is moved as it is keeps its address modulo this.
pub(super) const BLOCK_ALIGN: u64 = 16;

/// Entries that a dynamic section and a table of program headers get beyond those they need, when they move.
const SPARE_ENTRIES: usize = 4;

/// The largest hole in a file that is made so that program headers lie where kernels before 5.18 look for them.
const MAX_HOLE_BYTES: u64 = 256 << 20;

/// The indices of what a dynamic section and others refer to.
#[derive(Clone, Copy)]
pub(super) struct Places {
    interpreter: Option<usize>,
    strings: Option<usize>,
}

/// Notes, and perhaps the interpreter, that follow the program headers and make room for more of them.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) address: u64,
}

impl Editor<'_> {
    /// What is to be written.
    ///
    /// # Errors
    /// The file has no room for what is asked for, or its tables contradict each other.
    pub fn finish(mut self) -> Result<Changes, ElfError> {
        let mut over = Overlay::default();
        for Patch { offset, bytes } in std::mem::take(&mut self.patches) {
            over.write(offset, bytes);
        }
        let places = self.places();
        self.keep_interpreter_in_place(places, &mut over);
        self.keep_strings_in_place(places, &mut over);
        if let Some(cut) = self.cut {
            over.write(cut, vec![0; (self.bytes.len() - cut) as usize]);
        }
        let adds_cache = self.cache.is_some();
        self.keep_cache_in_slack(places, &mut over)?;
        let needs_region = self.needs_region()?;
        let adds_sections = needs_region || adds_cache || self.start.is_some() || self.cut.is_some();
        let warnings = if adds_sections { self.nameless_warnings()? } else { Vec::new() };
        // where what is added ends
        let mut len = self.end();
        if needs_region {
            let region = self.move_what_grows(places, &mut over)?;
            len = region.offset + region.bytes.len() as u64;
            over.write(region.offset, region.bytes);
        } else {
            self.write_dynamic(&mut over);
            if let Some(names) = self.added_names() {
                len = self.append_names(names, &mut over);
            }
        }
        len = self.place_start(len, &mut over)?;
        if self.section_table_moves(len) {
            let is_last = self.end() < self.bytes.len();
            let slack = (!is_last).then(|| self.slack_between_segments(self.section_table_bytes(), TABLE_ALIGN, &over));
            if let Some(offset) = slack.flatten() {
                self.header.sections_offset = offset;
            } else {
                self.header.sections_offset = len.next_multiple_of(TABLE_ALIGN);
                len = self.header.sections_offset + self.section_table_bytes();
            }
            self.header.section_count = self.sections.len() as u16;
            self.sections_changed = true;
        }
        if self.cut.is_none() {
            len = len.max(self.bytes.len());
        }
        Ok(self.write_tables(over, len, warnings))
    }

    fn section_table_bytes(&self) -> u64 {
        (self.sections.len() * self.header.format.section_bytes()) as u64
    }

    /// The table of sections follows what is added, which ends there, if it was at the end before or grows.
    fn section_table_moves(&self, added_end: u64) -> bool {
        let is_longer = self.sections.len() > usize::from(self.header.section_count);
        let moves = self.cut.is_some() || (self.end() < self.bytes.len() && self.end() < added_end);
        !self.sections.is_empty() && (is_longer || moves)
    }

    /// Where the file ends but for the table of sections.
    pub(super) fn end(&self) -> u64 {
        if let Some(cut) = self.cut {
            return cut;
        }
        let size = u64::from(self.header.section_count) * self.header.format.section_bytes() as u64;
        let is_last = size > 0 && self.header.sections_offset.checked_add(size) == Some(self.bytes.len());
        if is_last { self.header.sections_offset } else { self.bytes.len() }
    }

    /// Whether something follows all that headers tell of, which whoever wrote it there may look for from the end on.
    pub fn has_payload(&self) -> bool {
        /// Linkers leave zeros.
        const LOOKED_AT: u64 = 64;
        let format = self.header.format;
        let tables = [
            (self.header.segments_offset, self.header.segment_count, format.segment_bytes()),
            (self.header.sections_offset, self.header.section_count, format.section_bytes()),
        ];
        let tables = tables.map(|(offset, count, bytes)| offset.saturating_add(u64::from(count) * bytes as u64));
        let sections = self.sections.iter().filter(|section| section.is_in_file());
        let sections = sections.map(|section| section.offset.saturating_add(section.bytes));
        let segments = self.segments.iter().map(Segment::file_end);
        let end = sections.chain(segments).chain(tables).max().unwrap_or(0);
        let behind = self.bytes.len().saturating_sub(end).min(LOOKED_AT);
        let bytes = read(self.bytes, self.bytes.len() - behind, behind);
        bytes.is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    }

    fn places(&self) -> Places {
        let interpreter = self.interpreter_segment().map(|index| self.segments[index]);
        let at = |offset: u64| {
            let is_there =
                |section: &Section| section.offset == offset && section.flags & SHF_ALLOC != 0 && section.is_in_file();
            self.sections.iter().position(is_there)
        };
        Places {
            interpreter: interpreter.and_then(|segment| at(segment.offset)),
            strings: self.place.and_then(|place| at(place.strings_offset)),
        }
    }

    /// An interpreter that is not longer than the one before takes its place.
    fn keep_interpreter_in_place(&mut self, places: Places, over: &mut Overlay) {
        let (Some(index), Some(interpreter)) = (self.interpreter_segment(), &self.interpreter) else { return };
        let segment = &mut self.segments[index];
        let room = segment.file_bytes as usize;
        let size = interpreter.len() + 1;
        if size > room {
            return;
        }
        let mut bytes = interpreter.clone();
        bytes.resize(room, 0);
        over.write(segment.offset, bytes);
        segment.resize(size as u64);
        if let Some(section) = places.interpreter {
            self.sections[section].bytes = size as u64;
            self.sections_changed = true;
        }
        self.segments_changed = true;
        self.interpreter = None;
    }

    /// Strings are added where they are if nothing follows them.
    fn keep_strings_in_place(&mut self, places: Places, over: &mut Overlay) {
        let (Some(place), Some(section), false) = (self.place, places.strings, self.added.is_empty()) else { return };
        let end = place.strings_offset + place.strings_bytes;
        let follows = self.sections.iter().filter(|other| other.is_in_file());
        let follows = follows.map(|other| other.offset).chain(self.segments.iter().map(|segment| segment.offset));
        let tables = [self.header.sections_offset, self.header.segments_offset];
        let Some(next) = follows.chain(tables).filter(|offset| *offset >= end).min() else { return };
        if !self.is_mapped(end, end + self.added.len() as u64) || next - end < self.added.len() as u64 {
            return;
        }
        match read(self.bytes, end, self.added.len() as u64) {
            Ok(gap) if gap.iter().all(|byte| *byte == 0) => {}
            _ => return,
        }
        let added = std::mem::take(&mut self.added);
        let size = place.strings_bytes + added.len() as u64;
        over.write(end, added);
        self.sections[section].bytes = size;
        self.sections_changed = true;
        self.set_entry(DT_STRSZ, size);
    }

    fn set_entry(&mut self, tag: u64, value: u64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.tag == tag) {
            entry.value = value;
        }
        self.entries_changed = true;
    }

    /// Whether a part of the file lies in one loaded segment.
    fn is_mapped(&self, begin: u64, end: u64) -> bool {
        self.loads().any(|segment| segment.offset <= begin && end <= segment.file_end())
    }

    fn dynamic_fits(&self) -> bool {
        !self.entries_changed || self.place.is_none_or(|place| self.entries.len() < place.room)
    }

    fn needs_region(&self) -> Result<bool, ElfError> {
        let moves =
            self.interpreter.is_some() || !self.added.is_empty() || self.cache.is_some() || !self.dynamic_fits();
        if moves || self.segments.len() <= usize::from(self.header.segment_count) {
            return Ok(moves);
        }
        Ok(!matches!(self.room_for_segments(self.segments.len())?, (None, false)))
    }

    /// Gives what grows a place behind the end.
    fn move_what_grows(&mut self, places: Places, over: &mut Overlay) -> Result<Region, ElfError> {
        if self.loads().any(|segment| segment.align > MAX_ALIGN) {
            return Err(ElfError::Alignment);
        }
        self.segments.retain(|segment| segment.kind != PT_NULL);
        let more = usize::from(self.cache.is_some());
        let mut extended = self.extensible_segment();
        let mut count = self.segments.len() + more + usize::from(extended.is_none());
        let (mut block, mut moves_segments) = self.room_for_segments(count)?;
        let segment_bytes = self.header.format.segment_bytes();
        let mut segments_place = None;
        if moves_segments {
            segments_place = self.keep_segments_in_slack((count + SPARE_ENTRIES) * segment_bytes, over);
            moves_segments = segments_place.is_none();
        }
        if moves_segments && extended.is_some_and(|index| !self.suits_segments(index)) {
            extended = None;
            count += 1;
            (block, moves_segments) = self.room_for_segments(count)?;
        }
        let mut region = self.region(extended, moves_segments)?;
        if moves_segments {
            region.skip_to(self.end_of_cleared_pages());
            segments_place = Some(region.reserve((count + SPARE_ENTRIES) * segment_bytes, TABLE_ALIGN));
        }
        if let Some(block) = block {
            self.move_block(block, places, &mut region, over)?;
        }
        self.move_interpreter(places, &mut region, over)?;
        let dynamic_offset = self.move_dynamic(&mut region, over);
        self.move_cache(&mut region)?;
        if let Some(section) = self.added_names() {
            let (offset, _) = region.push(&self.names, 1);
            (self.sections[section].offset, self.sections[section].bytes) = (offset, self.names.len() as u64);
        }
        self.move_strings(places, &mut region, over)?;
        match dynamic_offset {
            Some(offset) => region.fill(offset, &self.dynamic_bytes(self.entries.len() + 1)),
            None => self.write_dynamic(over),
        }

        self.map_region(&region, dynamic_offset.is_some())?;
        self.segments_changed = true;
        let count = self.segments.len();
        self.header.segment_count =
            u16::try_from(count).map_err(|_| ElfError::Malformed("too many program headers"))?;
        let mut table = self.segments.iter_mut().find(|segment| segment.kind == PT_PHDR);
        if let Some(table) = &mut table {
            table.resize((count * segment_bytes) as u64);
        }
        if let Some((offset, address)) = segments_place {
            self.header.segments_offset = offset;
            if let Some(table) = table {
                table.place(offset, address);
            }
        }
        Ok(region)
    }

    /// The last segment, if the file ends with it: what is added can be part of it.
    fn extensible_segment(&self) -> Option<usize> {
        let loads = (0..self.segments.len()).filter(|index| self.segments[*index].kind == PT_LOAD);
        let index = loads.max_by_key(|index| self.segments[*index].address)?;
        let last = &self.segments[index];
        let gap = self.end().checked_sub(last.file_end())?;
        let is_last = gap < TABLE_ALIGN && last.file_bytes == last.memory_bytes && last.flags & PF_X == 0;
        let is_unused =
            is_last && read(self.bytes, last.file_end(), gap).is_ok_and(|gap| gap.iter().all(|byte| *byte == 0));
        is_unused.then_some(index)
    }

    /// Whether program headers in this segment would be found: kernels before 5.18 tell the loader of a program that they
    /// are at their offset from its first segment.
    fn suits_segments(&self, index: usize) -> bool {
        let bias = |segment: &Segment| segment.address.wrapping_sub(segment.offset);
        let first = self.loads().min_by_key(|segment| segment.address);
        !self.starts() || first.is_none_or(|first| bias(first) == bias(&self.segments[index]))
    }

    /// Whether this is a program, or can be started as one.
    fn starts(&self) -> bool {
        self.header.kind == kind::EXECUTABLE || self.interpreter_segment().is_some() || self.find_start().is_some()
    }

    /// Where there is room for so many program headers: behind those there are; or in the place of a block that moves; or
    /// (true) they move themselves.
    fn room_for_segments(&self, count: usize) -> Result<(Option<Block>, bool), ElfError> {
        let size = self.header.format.segment_bytes() as u64;
        let begin = self.header.segments_offset;
        if count <= usize::from(self.header.segment_count) {
            return Ok((None, false));
        }
        // where there were none, the header may name any place
        let end = begin.checked_add(count as u64 * size).filter(|_| !self.sections.is_empty());
        let Some(end) = end else { return Ok((None, true)) };
        let mut in_the_way = self
            .sections
            .iter()
            .skip(1)
            .filter(|section| section.is_in_file() && section.offset < end && section.end() > begin);
        let table_end = self.header.sections_offset.saturating_add(self.section_table_bytes());
        if !self.is_mapped(begin, end) || (self.header.sections_offset < end && table_end > begin) {
            return Ok((None, true));
        }
        if in_the_way.clone().next().is_none() && !self.segment_begins_in(begin, end) {
            return Ok((None, false));
        }
        // without a segment, what starts the program knows where the interpreter's name is
        let has_interpreter = self.interpreter_segment().is_some();
        let is_movable = |section: &Section| {
            section.kind == SHT_NOTE || (has_interpreter && self.section_name(section) == b".interp")
        };
        if !in_the_way.all(is_movable) {
            return Ok((None, true));
        }
        Ok(match self.block(begin, end, is_movable) {
            Some(block) => (Some(block), false),
            None => (None, true),
        })
    }

    /// Whether a part of the file begins there, of which no section tells.
    fn segment_begins_in(&self, begin: u64, end: u64) -> bool {
        self.segments.iter().any(|segment| {
            segment.kind != PT_PHDR && segment.file_bytes > 0 && (begin + 1..end).contains(&segment.offset)
        })
    }

    /// The sections in a range, and those that share a segment of notes with them.
    fn block(&self, begin: u64, end: u64, is_movable: impl Fn(&Section) -> bool) -> Option<Block> {
        let (mut first, mut last) = (u64::MAX, end);
        loop {
            let before = (first, last);
            for section in self.sections.iter().skip(1).filter(|section| section.is_in_file()) {
                if section.offset >= begin && section.offset < last {
                    if !is_movable(section) {
                        return None;
                    }
                    first = first.min(section.offset);
                    last = last.max(section.end());
                }
            }
            for segment in &self.segments {
                let overlaps = segment.file_bytes > 0 && segment.offset < last && segment.file_end() > first;
                match segment.kind {
                    PT_NOTE | PT_GNU_PROPERTY | PT_INTERP if overlaps => {
                        first = first.min(segment.offset);
                        last = last.max(segment.file_end());
                    }
                    PT_LOAD | PT_PHDR => {}
                    _ if overlaps => return None,
                    _ => {}
                }
            }
            if before == (first, last) {
                break;
            }
        }
        let section = self.sections.iter().find(|section| section.offset == first && section.kind != SHT_NOBITS)?;
        Some(Block { begin: first, end: last, address: section.address })
    }

    /// Where pages end of which the loader clears a part. It takes the first segment whose pages have the program headers
    /// of a library for the one that they are in.
    fn end_of_cleared_pages(&self) -> u64 {
        let page = self.page_bytes();
        let cleared = self.loads().filter(|segment| segment.memory_bytes > segment.file_bytes);
        let pages = cleared.map(|segment| segment.file_end().saturating_add(page - 1) / page * page);
        // those that end far behind the file have lying headers
        pages.filter(|end| *end < self.bytes.len() + page).max().unwrap_or(0)
    }

    /// The alignment of a new segment: that of the others, which some programs expect to be one.
    pub(super) fn segment_align(&self) -> u64 {
        let aligns = self.loads().map(|segment| segment.align).filter(|align| align.is_power_of_two());
        aligns.max().unwrap_or(0).max(self.page_bytes())
    }

    /// The place of what is added.
    fn region(&self, extended: Option<usize>, moves_segments: bool) -> Result<Region, ElfError> {
        let base = self.first_free_page()?;
        if let Some(index) = extended {
            let last = &self.segments[index];
            return Ok(Region { offset: last.file_end(), address: last.memory_end(), bytes: Vec::new(), extended });
        }
        let offset = self.end().next_multiple_of(BLOCK_ALIGN);
        if moves_segments
            && self.starts()
            && let Some(first) = self.loads().min_by_key(|segment| segment.address)
            && let Some(bias) = first.address.checked_sub(first.offset)
            && let Some(wanted) = base.checked_sub(bias)
            && wanted.max(offset) - offset <= MAX_HOLE_BYTES
        {
            // see `suits_segments`
            let offset = offset.max(wanted);
            return Ok(Region { offset, address: offset + bias, bytes: Vec::new(), extended });
        }
        let address = self.address_behind_all(offset)?;
        Ok(Region { offset, address, bytes: Vec::new(), extended })
    }

    /// Where no segment is, nor follows one.
    fn first_free_page(&self) -> Result<u64, ElfError> {
        let end = self.loads().map(Segment::memory_end).max().unwrap_or(0);
        let page = end.checked_next_multiple_of(self.page_bytes());
        page.filter(|page| *page < 1 << 63).ok_or(ElfError::Malformed("segments fill the address space"))
    }

    /// The address behind all segments at which a part of the file at that offset can be mapped.
    pub(super) fn address_behind_all(&self, offset: u64) -> Result<u64, ElfError> {
        let (base, align) = (self.first_free_page()?, self.segment_align());
        Ok(base + (offset % align + align - base % align) % align)
    }

    pub(super) fn move_block(
        &mut self,
        block: Block,
        places: Places,
        region: &mut Region,
        over: &mut Overlay,
    ) -> Result<(), ElfError> {
        let mut bytes = read(self.bytes, block.begin, block.end - block.begin)?;
        over.apply(block.begin, &mut bytes);
        if self.interpreter.is_some()
            && let Some(index) = places.interpreter
            && let Some(before) = self.sections[index].offset.checked_sub(block.begin)
            && let Some(old) = bytes.get_mut(before as usize..(before + self.sections[index].bytes) as usize)
        {
            old.fill(0);
        }
        // the same address modulo the alignment that notes may have
        let lead = block.address % BLOCK_ALIGN;
        let (offset, _) = region.reserve(bytes.len() + lead as usize, BLOCK_ALIGN);
        let (offset, address) = (offset + lead, region.address + (offset - region.offset) + lead);
        region.fill(offset, &bytes);
        let inside = |begin: u64, end: u64| begin >= block.begin && end <= block.end;
        for section in self.sections.iter_mut().skip(1) {
            if section.is_in_file() && inside(section.offset, section.end()) {
                section.address = section.address.wrapping_sub(block.address).wrapping_add(address);
                section.offset = section.offset - block.begin + offset;
            }
        }
        self.sections_changed = true;
        for segment in &mut self.segments {
            if !matches!(segment.kind, PT_LOAD | PT_PHDR)
                && segment.file_bytes > 0
                && inside(segment.offset, segment.file_end())
            {
                let moved = segment.address.wrapping_sub(block.address).wrapping_add(address);
                segment.place(segment.offset - block.begin + offset, moved);
            }
        }
        over.write(block.begin, vec![0; bytes.len()]);
        Ok(())
    }

    fn move_interpreter(&mut self, places: Places, region: &mut Region, over: &mut Overlay) -> Result<(), ElfError> {
        let (Some(index), Some(interpreter)) = (self.interpreter_segment(), self.interpreter.take()) else {
            return Ok(());
        };
        let bytes = [&interpreter[..], b"\0"].concat();
        let (offset, address) = region.push(&bytes, 1);
        let segment = &mut self.segments[index];
        if self.options.clobber && segment.offset < region.offset {
            over.write(segment.offset, vec![0; segment.file_bytes as usize]);
        }
        segment.place(offset, address);
        segment.resize(bytes.len() as u64);
        if let Some(index) = places.interpreter {
            let section = &mut self.sections[index];
            (section.offset, section.address, section.bytes) = (offset, address, bytes.len() as u64);
            self.sections_changed = true;
        }
        Ok(())
    }

    /// Makes room for the dynamic section, if it has none where it is; its new offset.
    fn move_dynamic(&mut self, region: &mut Region, over: &mut Overlay) -> Option<u64> {
        let place = self.place?;
        if self.dynamic_fits() {
            return None;
        }
        let size = self.header.format.dynamic_bytes();
        let room = self.entries.len() + 1 + SPARE_ENTRIES;
        let (offset, address) = region.reserve(room * size, TABLE_ALIGN);
        let bytes = (room * size) as u64;
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.kind == PT_DYNAMIC) {
            let moved = address.wrapping_sub(segment.address);
            segment.place(offset, address);
            segment.resize(bytes);
            self.move_debug_map(moved);
        }
        if let Some(index) = self.dynamic_section() {
            let section = &mut self.sections[index];
            (section.offset, section.address, section.bytes) = (offset, address, bytes);
            self.sections_changed = true;
        }
        if self.options.clobber {
            over.write(place.offset, vec![0; place.room * size]);
        }
        Some(offset)
    }

    /// Copies the strings of the dynamic section to the end, where more can follow the next time.
    fn move_strings(&mut self, places: Places, region: &mut Region, over: &mut Overlay) -> Result<(), ElfError> {
        let Some(place) = self.place.filter(|_| !self.added.is_empty()) else { return Ok(()) };
        let added = std::mem::take(&mut self.added);
        let size = place.strings_bytes + added.len() as u64;
        self.set_entry(DT_STRSZ, size);
        let end = place.strings_offset + place.strings_bytes;
        let (offset, address) = if region.extended.is_some() && end == region.offset && region.bytes.is_empty() {
            region.push(&added, 1);
            (place.strings_offset, None)
        } else {
            let mut strings = read(self.bytes, place.strings_offset, place.strings_bytes)?;
            over.apply(place.strings_offset, &mut strings);
            strings.extend(added);
            let (offset, address) = region.push(&strings, 1);
            if self.options.clobber {
                over.write(place.strings_offset, vec![0; place.strings_bytes as usize]);
            }
            self.set_entry(DT_STRTAB, address);
            (offset, Some(address))
        };
        if let Some(index) = places.strings {
            let section = &mut self.sections[index];
            (section.offset, section.bytes) = (offset, size);
            section.address = address.unwrap_or(section.address);
            self.sections_changed = true;
        }
        Ok(())
    }

    fn dynamic_bytes(&self, room: usize) -> Vec<u8> {
        let format = self.header.format;
        let mut bytes = self.entries.iter().flat_map(|entry: &Dynamic| entry.write(format)).collect::<Vec<_>>();
        bytes.resize(room * format.dynamic_bytes(), 0);
        bytes
    }

    /// Writes the dynamic section where it is.
    fn write_dynamic(&self, over: &mut Overlay) {
        if let Some(place) = self.place.filter(|_| self.entries_changed) {
            over.write(place.offset, self.dynamic_bytes(place.room));
        }
    }

    /// Makes a segment of the region, or the last one longer.
    fn map_region(&mut self, region: &Region, is_writable: bool) -> Result<(), ElfError> {
        let bytes = region.bytes.len() as u64;
        let writable = if is_writable { PF_W } else { 0 };
        self.check_end(region.address.saturating_add(bytes))?;
        if let Some(index) = region.extended {
            let segment = &mut self.segments[index];
            segment.file_bytes += bytes;
            segment.memory_bytes += bytes;
            segment.flags |= writable;
            return Ok(());
        }
        let load =
            Segment::mapped(PT_LOAD, PF_R | writable, (region.offset, region.address), bytes, self.segment_align());
        self.insert_load(load);
        Ok(())
    }

    /// Whether addresses can be that large.
    pub(super) fn check_end(&self, end: u64) -> Result<(), ElfError> {
        if !self.header.format.is_64 && end > u64::from(u32::MAX) {
            return Err(ElfError::Malformed("the address space has no room for another segment"));
        }
        Ok(())
    }

    /// Adds a segment behind all others: the loader wants them in the order of their addresses.
    pub(super) fn insert_load(&mut self, load: Segment) {
        let after = self.segments.iter().rposition(|segment| segment.kind == PT_LOAD).map_or(0, |index| index + 1);
        self.segments.insert(after, load);
    }

    /// Writes the tables of headers that changed, and the header of the file.
    fn write_tables(mut self, mut over: Overlay, len: u64, warnings: Vec<String>) -> Changes {
        let format = self.header.format;
        if self.segments_changed {
            // a table that became shorter says so to nobody but the header
            let table = usize::from(self.header.segment_count).max(self.segments.len()) * format.segment_bytes();
            let mut bytes = self.segments.iter().flat_map(|segment| segment.write(format)).collect::<Vec<_>>();
            bytes.resize(table, 0);
            self.header.segment_count = self.segments.len() as u16;
            over.write(self.header.segments_offset, bytes);
        }
        if self.sections_changed {
            let bytes = self.sections.iter().flat_map(|section| section.write(format)).collect::<Vec<_>>();
            over.write(self.header.sections_offset, bytes);
        }
        if let Some(header) = self.header.changed_bytes() {
            over.write(0, header);
        }
        let inside = |(offset, mut bytes): (u64, Vec<u8>)| {
            bytes.truncate(len.saturating_sub(offset) as usize);
            Some(Patch { offset, bytes }).filter(|patch| !patch.bytes.is_empty())
        };
        let patches = over.0.into_iter().filter_map(inside).collect();
        Changes { patches, len, warnings }
    }
}

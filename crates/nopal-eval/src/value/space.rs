//! The memory that objects live in: chunks, runs of free lines in them, and the bitmaps of the collector.
//!
//! A chunk is 32 MiB of address space, aligned to its size, so that an object's address leads to the chunk's bitmaps. An
//! object is allocated by moving a pointer through a *run* of free memory. After a collection the runs are the *lines*
//! (32 bytes) that no live object touches, as in Immix (Blackburn and McKinley, PLDI 2008). Large objects have a chunk
//! of their own, which goes back to the system when they die.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

/// Size and alignment of a chunk; untouched pages cost nothing.
const CHUNK_BYTES: usize = 32 << 20;

/// The part of a chunk that little evaluations do not leave. What follows asks for huge pages: fewer faults, and fewer
/// misses where addresses are translated.
const SMALL_PAGES_BYTES: usize = 4 << 20;

/// What survives or is reused as one.
const LINE_BYTES: usize = 32;

/// Most bytes handed out at a time, as one run or several.
pub(super) const RUN_BYTES: usize = 32 << 10;

/// Free lines fewer than these are not worth a run.
const MIN_RUN_LINES: usize = 3;
const MIN_RUN_BYTES: usize = MIN_RUN_LINES * LINE_BYTES;

/// Objects up to this size are allocated from runs; no run is smaller.
pub(super) const SMALL_BYTES: usize = MIN_RUN_BYTES;

/// An object larger than this gets a chunk of its own.
const LARGE_BYTES: usize = 64 << 10;

/// Logarithms of the sizes up to that.
const BIG_CLASSES: usize = LARGE_BYTES.ilog2() as usize + 1;

/// Bits per word of a bitmap.
const WORD_BITS: usize = 64;

/// Words of a bitmap with a bit per word of a chunk.
const OBJECT_MAP_WORDS: usize = CHUNK_BYTES / 8 / WORD_BITS;

/// Words of a bitmap with a bit per line of a chunk.
const LINE_MAP_WORDS: usize = CHUNK_BYTES / LINE_BYTES / WORD_BITS;

/// The begin of a chunk.
#[repr(C)]
struct Header {
    /// Where objects begin: old ones; others are found when they are asked for.
    starts: [u64; OBJECT_MAP_WORDS],
    /// Old objects, and those that the collection that is going on has reached.
    marks: [u64; OBJECT_MAP_WORDS],
    /// Lines that those touch.
    lines: [u64; LINE_MAP_WORDS],
    /// Offset behind the last byte that was ever handed out; what follows is zero.
    high: usize,
    /// Bytes of the one object of a chunk of its own; zero for other chunks.
    large_bytes: usize,
}

/// Offset of the first object of a chunk.
const FIRST_OBJECT: usize = size_of::<Header>().next_multiple_of(LINE_BYTES);

/// A chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk(NonNull<Header>);

impl Chunk {
    /// Maps a chunk with room for objects of at least `bytes` in all.
    fn map(bytes: usize) -> Option<Chunk> {
        let wanted = (FIRST_OBJECT + bytes).next_multiple_of(CHUNK_BYTES);
        let reserved = wanted + CHUNK_BYTES;
        // SAFETY: a new private mapping, wherever the system likes.
        let begin = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                reserved,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .ok()?;
        let address = begin as usize;
        let aligned = address.next_multiple_of(CHUNK_BYTES);
        // What lies before and behind is given back; if that fails it stays reserved, which costs no memory.
        // SAFETY: both ranges are parts of the mapping just made, and outside of the chunk.
        unsafe {
            if aligned > address {
                let _ = rustix::mm::munmap(begin, aligned - address);
            }
            let behind = aligned + wanted;
            if address + reserved > behind {
                let _ = rustix::mm::munmap(begin.byte_add(behind - address), address + reserved - behind);
            }
        }
        // Where the system does not do it, pages stay small.
        // SAFETY: the range is the end of the chunk.
        let _ = unsafe {
            let huge = begin.with_addr(aligned + SMALL_PAGES_BYTES);
            rustix::mm::madvise(huge, wanted - SMALL_PAGES_BYTES, rustix::mm::Advice::LinuxHugepage)
        };
        let chunk = Chunk(NonNull::new(begin.with_addr(aligned).cast())?);
        chunk.header().high = FIRST_OBJECT;
        Some(chunk)
    }

    fn unmap(self) {
        let bytes = (FIRST_OBJECT + self.header().large_bytes).next_multiple_of(CHUNK_BYTES);
        // SAFETY: the mapping was made by `map` with this size, and the caller has no object of it left.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), bytes) };
    }

    /// The chunk of an object.
    #[inline(always)]
    pub(super) fn of(object: *const u64) -> Chunk {
        let header = object.map_addr(|address| address & !(CHUNK_BYTES - 1)).cast_mut().cast();
        // SAFETY: objects lie in chunks, and no chunk lies at address zero.
        Chunk(unsafe { NonNull::new_unchecked(header) })
    }

    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "one thread owns all chunks, and no reference outlives the call it is for")]
    fn header(&self) -> &mut Header {
        // SAFETY: a chunk begins with its header; see the reason above.
        unsafe { &mut *self.0.as_ptr() }
    }

    fn base(self) -> usize {
        self.0.as_ptr() as usize
    }

    fn is_large(self) -> bool {
        self.header().large_bytes != 0
    }

    #[inline(always)]
    fn bit_of(self, address: usize) -> (usize, u64) {
        let bit = (address - self.base()) / 8;
        (bit / WORD_BITS, 1 << (bit % WORD_BITS))
    }

    /// Marks an object; whether it was not marked before.
    #[inline(always)]
    pub(super) fn mark(self, object: *const u64) -> bool {
        let (word, bit) = self.bit_of(object as usize);
        let marks = &mut self.header().marks[word];
        let new = *marks & bit == 0;
        *marks |= bit;
        new
    }

    /// As [`Chunk::mark`], where several threads mark.
    #[inline(always)]
    pub(super) fn mark_among_others(self, object: *const u64) -> bool {
        let (word, bit) = self.bit_of(object as usize);
        // SAFETY: the map is part of the chunk; while several threads mark, all of them change it so.
        let map = unsafe { AtomicU64::from_ptr(&raw mut (*self.0.as_ptr()).marks[word]) };
        map.load(Ordering::Relaxed) & bit == 0 && map.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// As [`Chunk::keep_lines`], where several threads mark.
    #[inline(always)]
    pub(super) fn keep_lines_among_others(self, object: *const u64, bytes: usize) {
        if bytes > LARGE_BYTES {
            return;
        }
        for_each_line_word(object as usize - self.base(), bytes, |word, bits| {
            // SAFETY: as for `mark_among_others`.
            let map = unsafe { AtomicU64::from_ptr(&raw mut (*self.0.as_ptr()).lines[word]) };
            if map.load(Ordering::Relaxed) & bits != bits {
                map.fetch_or(bits, Ordering::Relaxed);
            }
        });
    }

    /// Takes the mark off an object.
    fn unmark(self, object: *const u64) {
        let (word, bit) = self.bit_of(object as usize);
        self.header().marks[word] &= !bit;
    }

    /// Whether an object is marked, or was when another thread marked it.
    #[inline(always)]
    pub(super) fn is_marked(self, object: *const u64) -> bool {
        let (word, bit) = self.bit_of(object as usize);
        // SAFETY: as for `mark_among_others`.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.0.as_ptr()).marks[word]) }.load(Ordering::Relaxed) & bit != 0
    }

    fn first_object(self) -> *mut u64 {
        self.0.as_ptr().cast::<u64>().wrapping_byte_add(FIRST_OBJECT)
    }

    /// Keeps the lines that an object of this size touches.
    #[inline(always)]
    pub(super) fn keep_lines(self, object: *const u64, bytes: usize) {
        if bytes > LARGE_BYTES {
            return;
        }
        let map = &mut self.header().lines;
        for_each_line_word(object as usize - self.base(), bytes, |word, bits| map[word] |= bits);
    }

    /// Undoes [`Chunk::keep_lines`] for an object that shares no line with others.
    fn free_lines(self, object: *const u64, bytes: usize) {
        let map = &mut self.header().lines;
        for_each_line_word(object as usize - self.base(), bytes, |word, bits| map[word] &= !bits);
    }

    fn set_start(self, object: *const u64) {
        let (word, bit) = self.bit_of(object as usize);
        self.header().starts[word] |= bit;
    }

    /// The last object that begins at or before an address in this chunk.
    fn object_before(self, address: usize) -> Option<*mut u64> {
        let offset = address - self.base();
        if self.is_large() {
            return (offset >= FIRST_OBJECT).then_some(self.first_object());
        }
        if offset < FIRST_OBJECT || offset >= self.header().high {
            return None;
        }
        let (mut word, bit) = self.bit_of(address & !7);
        let starts = &self.header().starts;
        let mut bits = starts[word] & (bit | (bit - 1));
        while bits == 0 {
            word = word.checked_sub(1)?;
            bits = starts[word];
        }
        let index = word * WORD_BITS + (WORD_BITS - 1 - bits.leading_zeros() as usize);
        Some(self.0.as_ptr().cast::<u64>().wrapping_add(index))
    }

    /// The next run of free lines from an offset on, of at least `least` and at most `most` bytes: begin and end as
    /// offsets.
    fn free_run(self, from: usize, least: usize, most: usize) -> Option<(usize, usize)> {
        let kept = &self.header().lines;
        let (least, most) = (least / LINE_BYTES, most / LINE_BYTES);
        let mut line = from.max(FIRST_OBJECT) / LINE_BYTES;
        while let Some(begin) = some_free(kept, line) {
            line = kept_line(kept, begin + MIN_RUN_LINES, (begin + most).min(CHUNK_BYTES / LINE_BYTES));
            if line - begin >= least {
                return Some((begin * LINE_BYTES, line * LINE_BYTES));
            }
        }
        None
    }
}

/// Words of a bitmap of lines, and the bits in them, that stand for so many bytes (at least one) at an offset.
#[inline(always)]
fn for_each_line_word(offset: usize, bytes: usize, mut with: impl FnMut(usize, u64)) {
    let (mut line, end) = (offset / LINE_BYTES, (offset + bytes).div_ceil(LINE_BYTES));
    while line < end {
        let first = line % WORD_BITS;
        let count = (end - line).min(WORD_BITS - first);
        with(line / WORD_BITS, u64::MAX >> (WORD_BITS - count) << first);
        line += count;
    }
}

/// The first line from `line` on that is free, as are those after it that a run needs.
#[inline(always)]
fn some_free(kept: &[u64; LINE_MAP_WORDS], line: usize) -> Option<usize> {
    let mut skipped = u64::MAX << (line % WORD_BITS);
    for word in line / WORD_BITS..LINE_MAP_WORDS {
        let free = !kept[word];
        let next = kept.get(word + 1).map_or(0, |next| !next);
        let free = (1..MIN_RUN_LINES).fold(free, |all, far| all & (free >> far | next << (WORD_BITS - far))) & skipped;
        if free != 0 {
            return Some(word * WORD_BITS + free.trailing_zeros() as usize);
        }
        skipped = u64::MAX;
    }
    None
}

/// The first line from `line` to `end` that is kept; `end` if there is none.
#[inline(always)]
fn kept_line(kept: &[u64; LINE_MAP_WORDS], line: usize, end: usize) -> usize {
    let mut skipped = u64::MAX << (line % WORD_BITS);
    let first = line / WORD_BITS;
    for (word, lines) in (first..).zip(&kept[first..end.div_ceil(WORD_BITS)]) {
        let bits = lines & skipped;
        if bits != 0 {
            return end.min(word * WORD_BITS + bits.trailing_zeros() as usize);
        }
        skipped = u64::MAX;
    }
    end
}

/// Memory to allocate from, or that was: a whole number of words.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) begin: *mut u64,
    pub(super) end: *mut u64,
}

impl Run {
    pub(super) const NONE: Run = Run { begin: std::ptr::null_mut(), end: std::ptr::null_mut() };

    pub(super) fn bytes(self) -> usize {
        self.end as usize - self.begin as usize
    }
}

/// Free memory that one thread may use.
pub(super) struct FreeRun {
    run: Run,
    /// The bytes at its begin that were used before; the others are zero.
    used_bytes: usize,
}

impl FreeRun {
    /// Zeroed memory.
    pub(super) fn clear(self) -> Run {
        // SAFETY: the range lies in a chunk, and no live object lies in it: its lines are free, and handed out once.
        unsafe { std::ptr::write_bytes(self.run.begin.cast::<u8>(), 0, self.used_bytes) };
        self.run
    }
}

/// Objects in a row that were made since the last collection.
struct Filled {
    run: Run,
    /// Whether their begins are in the bitmaps.
    is_known: bool,
}

/// All chunks of a heap.
#[derive(Default)]
pub(super) struct Space {
    /// Chunks of many objects, in the order they were made.
    chunks: Vec<Chunk>,
    /// All chunks, those of one object, too, ascending by address.
    by_address: Vec<Chunk>,
    /// Chunk and offset from which free runs are looked for.
    cursor: (usize, usize),
    /// The same for objects of more than [`SMALL_BYTES`], by the logarithm of their size: a large one, which fits into
    /// few places, leaves the others to smaller ones.
    big_cursors: [(usize, usize); BIG_CLASSES],
    /// Runs that were handed out and given back unused.
    spare: Vec<FreeRun>,
    /// Parts of runs that were filled since the last collection.
    filled: Vec<Filled>,
    /// Objects of more than [`SMALL_BYTES`] made since, which share no line with others. Their begins are in the bitmaps.
    big: Vec<Run>,
    /// Bytes in both, and in large objects made since.
    filled_bytes: usize,
    /// Bytes in the first.
    small_bytes: usize,
    /// Bytes in objects that survived the last collection.
    live_bytes: usize,
    /// The same, after the last one that looked at all objects.
    least_live_bytes: usize,
    /// Of so many bytes that were filled, the last collection of what was new kept so many.
    kept_of_filled: (usize, usize),
    /// Bytes allocated over all.
    total_bytes: u64,
}

impl Space {
    /// Bytes allocated since the last collection.
    pub(super) fn filled_bytes(&self) -> usize {
        self.filled_bytes
    }

    /// Bytes allocated since the last collection in objects of at most [`SMALL_BYTES`].
    pub(super) fn small_bytes(&self) -> usize {
        self.small_bytes
    }

    /// Bytes in objects that survived the last collection.
    pub(super) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes to fill until so many of them are kept, if it goes on as before the last collection.
    pub(super) fn filled_until(&self, kept_bytes: usize) -> usize {
        let (kept, filled) = self.kept_of_filled;
        if kept == 0 { filled } else { (filled as u128 * kept_bytes as u128 / kept as u128) as usize }
    }

    /// Bytes that were live when all objects were looked at last.
    pub(super) fn least_live_bytes(&self) -> usize {
        self.least_live_bytes
    }

    /// Bytes that were ever allocated.
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Takes note of a run as far as it is filled.
    pub(super) fn retire(&mut self, run: Run) {
        if run.bytes() > 0 {
            self.count(run.bytes());
            self.small_bytes += run.bytes();
            self.filled.push(Filled { run, is_known: false });
        }
    }

    /// Takes back runs that were not used.
    pub(super) fn give_back(&mut self, runs: &mut Vec<FreeRun>) {
        self.spare.append(runs);
    }

    fn count(&mut self, bytes: usize) {
        self.filled_bytes += bytes;
        self.total_bytes += bytes as u64;
    }

    /// Runs for small objects, of at most `most` bytes together, the first one last; none when the system has no memory.
    /// That a thread takes several keeps it from waiting for others.
    pub(super) fn runs(&mut self, most: usize, runs: &mut Vec<FreeRun>) {
        if !self.spare.is_empty() {
            return runs.append(&mut self.spare);
        }
        let mut rest = most;
        while rest >= MIN_RUN_BYTES {
            let (index, offset) = self.cursor;
            let Some(&chunk) = self.chunks.get(index) else {
                if !runs.is_empty() || self.add_chunk().is_none() {
                    break;
                }
                continue;
            };
            match chunk.free_run(offset, MIN_RUN_BYTES, rest) {
                Some((begin, end)) => {
                    self.cursor = (index, end);
                    rest -= end - begin;
                    runs.push(take(chunk, begin, end));
                }
                None => self.cursor = (index + 1, 0),
            }
        }
        runs.reverse();
    }

    /// Memory for one object of more than [`SMALL_BYTES`]: free lines in a row, or a chunk of its own.
    pub(super) fn big(&mut self, bytes: usize) -> Option<*mut u64> {
        if bytes > LARGE_BYTES {
            let chunk = Chunk::map(bytes)?;
            chunk.header().large_bytes = bytes;
            self.insert(chunk);
            let object = chunk.first_object();
            chunk.set_start(object);
            self.count(bytes);
            return Some(object);
        }
        let room = bytes.next_multiple_of(LINE_BYTES);
        let class = room.ilog2() as usize;
        loop {
            // what lies before the other cursor was handed out, or is too small
            let (index, offset) = self.big_cursors[class].max(self.cursor);
            let Some(&chunk) = self.chunks.get(index) else {
                self.add_chunk()?;
                continue;
            };
            let Some((begin, end)) = chunk.free_run(offset, room, room) else {
                self.big_cursors[class] = (index + 1, 0);
                continue;
            };
            self.big_cursors[class] = (index, end);
            let run = take(chunk, begin, end).clear();
            // runs for small objects go round it
            chunk.keep_lines(run.begin, bytes);
            chunk.set_start(run.begin);
            self.count(bytes);
            self.big.push(Run { begin: run.begin, end: run.begin.wrapping_byte_add(bytes) });
            return Some(run.begin);
        }
    }

    fn add_chunk(&mut self) -> Option<()> {
        let chunk = Chunk::map(LARGE_BYTES)?;
        self.chunks.push(chunk);
        self.insert(chunk);
        Some(())
    }

    fn insert(&mut self, chunk: Chunk) {
        let at = self.by_address.partition_point(|other| other.base() < chunk.base());
        self.by_address.insert(at, chunk);
    }

    /// Prepares a collection: of all objects, or of those that are not old.
    pub(super) fn prepare(&mut self, all: bool) {
        // those of one thread are in this order, and of several nearly, of which only the stable sort makes use
        if !self.filled.is_sorted_by_key(|filled| filled.run.begin) {
            self.filled.sort_by_key(|filled| filled.run.begin);
        }
        if !all {
            for big in &self.big {
                Chunk::of(big.begin).free_lines(big.begin, big.bytes());
            }
            return;
        }
        for chunk in &self.by_address {
            if chunk.is_large() {
                chunk.unmark(chunk.first_object());
                continue;
            }
            let header = chunk.header();
            header.marks[..used_words(header.high)].fill(0);
            header.lines.fill(0);
        }
    }

    /// The object that a word points to or into, if it is an address of one.
    /// `bytes_of` tells the size of an object.
    pub(super) fn object_at(&mut self, word: usize, bytes_of: impl Fn(*mut u64) -> usize) -> Option<*mut u64> {
        let after = self.by_address.partition_point(|chunk| chunk.base() <= word);
        let chunk = self.by_address[after.checked_sub(1)?];
        if !chunk.is_large() && word - chunk.base() >= CHUNK_BYTES {
            return None;
        }
        let after = self.filled.partition_point(|filled| filled.run.begin as usize <= word);
        if let Some(filled) = after.checked_sub(1).map(|index| &mut self.filled[index])
            && word < filled.run.end as usize
            && !filled.is_known
        {
            let mut object = filled.run.begin;
            while object < filled.run.end {
                chunk.set_start(object);
                object = object.wrapping_byte_add(bytes_of(object));
            }
            filled.is_known = true;
        }
        let object = chunk.object_before(word)?;
        (word < object as usize + bytes_of(object)).then_some(object)
    }

    /// Ends a collection for which the same was prepared: what is not marked is free, and the rest is old.
    pub(super) fn sweep(&mut self, all: bool) {
        let mut live_bytes = 0;
        for run in self.filled.iter().map(|filled| &filled.run).chain(&self.big).filter(|_| !all) {
            let chunk = Chunk::of(run.begin);
            let (first, _) = chunk.bit_of(run.begin as usize);
            let (last, _) = chunk.bit_of(run.end as usize - 8);
            let header = chunk.header();
            header.starts[first..=last].copy_from_slice(&header.marks[first..=last]);
        }
        for chunk in &self.chunks {
            let header = chunk.header();
            if all {
                let used = used_words(header.high);
                header.starts[..used].copy_from_slice(&header.marks[..used]);
            }
            let used = header.high.div_ceil(LINE_BYTES * WORD_BITS).min(LINE_MAP_WORDS);
            let lines = header.lines[..used].iter().map(|word| word.count_ones() as usize).sum::<usize>();
            live_bytes += lines * LINE_BYTES;
        }
        self.by_address.retain(|chunk| {
            if !chunk.is_large() {
                return true;
            }
            let is_live = chunk.is_marked(chunk.first_object());
            if is_live {
                live_bytes += chunk.header().large_bytes;
            } else {
                chunk.unmap();
            }
            is_live
        });
        if all {
            self.least_live_bytes = live_bytes;
        } else {
            self.kept_of_filled = (live_bytes.saturating_sub(self.live_bytes), self.filled_bytes);
        }
        self.live_bytes = live_bytes;
        self.spare.clear();
        self.filled.clear();
        self.big.clear();
        self.filled_bytes = 0;
        self.small_bytes = 0;
        self.cursor = (0, 0);
        self.big_cursors = Default::default();
    }
}

/// Words of a bitmap of objects that are used below an offset.
fn used_words(high: usize) -> usize {
    high.div_ceil(8 * WORD_BITS).min(OBJECT_MAP_WORDS)
}

/// Makes a range of free lines of a chunk a run.
fn take(chunk: Chunk, begin: usize, end: usize) -> FreeRun {
    let header = chunk.header();
    let used_bytes = header.high.clamp(begin, end) - begin;
    header.high = header.high.max(end);
    let at = |offset| chunk.0.as_ptr().wrapping_byte_add(offset).cast();
    FreeRun { run: Run { begin: at(begin), end: at(end) }, used_bytes }
}

impl Drop for Space {
    fn drop(&mut self) {
        for chunk in &self.by_address {
            chunk.unmap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_objects_take_the_place_of_dead_ones() {
        let mut space = Space::default();
        for _ in 0..4 {
            for _ in 0..20_000 {
                space.big(1000).unwrap();
            }
            space.prepare(false);
            space.sweep(false);
        }
        assert_eq!(space.chunks.len(), 1);
    }

    #[test]
    fn nothing_is_handed_out_twice() {
        let mut space = Space::default();
        let mut live: Vec<(usize, usize)> = Vec::new();
        let mut random = 1_usize;
        for _ in 0..3 {
            let mut taken = live.clone();
            for step in 0..30_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let bytes = 200 + (random >> 40) % if step % 50 == 0 { 60_000 } else { 600 };
                let begin = space.big(bytes).unwrap() as usize;
                taken.push((begin, begin + bytes));
                if step % 10 == 0 {
                    let mut runs = Vec::new();
                    space.runs(RUN_BYTES, &mut runs);
                    for run in runs.into_iter().map(FreeRun::clear) {
                        taken.push((run.begin as usize, run.end as usize));
                        space.retire(run);
                    }
                }
            }
            taken.sort_unstable();
            assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            // every third survives
            let all = random >> 60 & 1 == 1;
            space.prepare(all);
            live = taken.into_iter().step_by(3).collect();
            for &(begin, end) in &live {
                Chunk::of(begin as *const u64).keep_lines(begin as *const u64, end - begin);
            }
            space.sweep(all);
        }
    }
}

//! Chunks: 4 MiB of address space, aligned to its size, so that an object's address leads to the bitmaps of its chunk.
//!
//! They lie where addresses are short ([`super::word::Slot`]): above 4 GiB, so that no small number looks like one, and
//! below 16 GiB.
//!
//! A thread changes the bitmaps of the blocks that it has ([`super::space::Block`]), whoever has the space those of blocks
//! that nobody has, and the collector all of them. So their words are atomic, and hardly ever need to be.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use rustix::mm::{MapFlags, ProtFlags};

use super::word::ADDRESS_END;

/// Size and alignment of a chunk; untouched pages cost nothing.
pub(super) const CHUNK_BYTES: usize = 4 << 20;

/// Where chunks lie.
pub(super) const ADDRESSES: Range<usize> = 4 << 30..ADDRESS_END;

/// Where a place for a chunk is looked for next.
static NEXT: AtomicUsize = AtomicUsize::new(ADDRESSES.start);

/// Bytes of all chunks that this process uses.
static USED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes that are left for chunks.
pub(super) fn unused_bytes() -> usize {
    ADDRESSES.len().saturating_sub(USED_BYTES.load(Relaxed))
}

/// The part of a chunk with a large object that does not ask for huge pages; nor does the first chunk, which little
/// evaluations do not leave. With them there are fewer faults, and fewer misses where addresses are translated.
const SMALL_PAGES_BYTES: usize = CHUNK_BYTES;

/// Size of a huge page, mostly.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Chunks for many objects that are mapped at once, at most.
const MOST_MAPPED: usize = 16;

/// What survives or is reused as one.
pub(super) const LINE_BYTES: usize = 32;

/// Free lines fewer than these are not worth a run.
const MIN_RUN_LINES: usize = 3;
pub(super) const MIN_RUN_BYTES: usize = MIN_RUN_LINES * LINE_BYTES;

/// An object larger than this gets a chunk of its own, of which there are 3072 at most.
pub(super) const LARGE_BYTES: usize = 1 << 20;

/// Bits per word of a bitmap.
const WORD_BITS: usize = 64;

/// So many bytes have words of their own in each bitmap.
pub(super) const APART_BYTES: usize = LINE_BYTES * WORD_BITS;

/// Words of a bitmap with a bit per word of a chunk.
const OBJECT_MAP_WORDS: usize = CHUNK_BYTES / 8 / WORD_BITS;

/// Words of a bitmap with a bit per line of a chunk.
const LINE_MAP_WORDS: usize = CHUNK_BYTES / LINE_BYTES / WORD_BITS;

/// The begin of a chunk.
#[repr(C)]
struct Header {
    /// Where objects begin: old ones; others are found when they are asked for.
    starts: [AtomicU64; OBJECT_MAP_WORDS],
    /// Old objects, and those that the collection that is going on has reached.
    marks: [AtomicU64; OBJECT_MAP_WORDS],
    /// Lines that those touch.
    lines: [AtomicU64; LINE_MAP_WORDS],
    /// Offset behind the last byte that was ever handed out; what follows is zero.
    high: AtomicUsize,
    /// Bytes of the one object of a chunk of its own; zero for other chunks.
    large_bytes: AtomicUsize,
}

/// Offset of the first object of a chunk.
pub(super) const FIRST_OBJECT: usize = size_of::<Header>().next_multiple_of(LINE_BYTES);

/// Chunks for many objects that are mapped and not used yet.
#[derive(Default)]
pub(super) struct Supply {
    /// The next one is the last.
    mapped: Vec<Chunk>,
    /// How many were ever mapped.
    total: usize,
}

impl Supply {
    /// The next chunk, which is yet to be opened ([`Chunk::open`]). As many are mapped as there are already, within
    /// bounds: threads that touch memory for the first time wait for one that maps some.
    pub(super) fn chunk(&mut self) -> Option<Chunk> {
        if self.mapped.is_empty() {
            let small_pages_bytes = if self.total == 0 { SMALL_PAGES_BYTES } else { 0 };
            let map = |count| Chunk::map(count * CHUNK_BYTES, small_pages_bytes).map(|first| (first, count));
            let (first, count) = map(self.total.clamp(1, MOST_MAPPED)).or_else(|| map(1))?;
            self.mapped.extend((0..count).rev().map(|index| Chunk::of(first.at(index * CHUNK_BYTES))));
            self.total += count;
        }
        self.mapped.pop()
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        for chunk in &self.mapped {
            // SAFETY: the mapping was made by `Chunk::map`, and nobody has used it.
            let _ = unsafe { rustix::mm::munmap(chunk.0.as_ptr().cast(), CHUNK_BYTES) };
        }
    }
}

/// A chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk(NonNull<Header>);

impl Chunk {
    /// Maps a chunk for one object of so many bytes.
    pub(super) fn map_large(bytes: usize) -> Option<Chunk> {
        let wanted = (FIRST_OBJECT + bytes).next_multiple_of(CHUNK_BYTES);
        let chunk = Chunk::map(wanted, SMALL_PAGES_BYTES)?;
        chunk.begin(wanted);
        chunk.header().large_bytes.store(bytes, Relaxed);
        chunk.set_start(chunk.first_object());
        Some(chunk)
    }

    /// Maps so many bytes, of which the first have small pages: a chunk that is yet to begin, or several in a row.
    fn map(bytes: usize, small_pages_bytes: usize) -> Option<Chunk> {
        let begin = map_low(bytes)?;
        // Where the system does not do it, pages stay small.
        // SAFETY: the range is the end of what was mapped.
        let _ = unsafe {
            let huge = begin.wrapping_byte_add(small_pages_bytes);
            rustix::mm::madvise(huge.cast(), bytes - small_pages_bytes, rustix::mm::Advice::LinuxHugepage)
        };
        NonNull::new(begin).map(Chunk)
    }

    /// Opens a chunk for many objects. All huge pages of it are touched, which takes a while, for the system writes zeros to
    /// them: if two threads touched one at the same time, both would have to wait for that.
    pub(super) fn open(self) {
        self.begin(CHUNK_BYTES);
        for page in (HUGE_PAGE_BYTES..CHUNK_BYTES).step_by(HUGE_PAGE_BYTES) {
            // SAFETY: the page is mapped, and nothing is in it yet.
            unsafe { self.at(page).write_volatile(0) };
        }
    }

    /// Begins a chunk of so many bytes.
    fn begin(self, bytes: usize) {
        USED_BYTES.fetch_add(bytes, Relaxed);
        self.header().high.store(FIRST_OBJECT, Relaxed);
    }

    /// Gives the memory back; no object of it is left.
    pub(super) fn unmap(self) {
        let bytes = (FIRST_OBJECT + self.large_bytes()).next_multiple_of(CHUNK_BYTES);
        // SAFETY: the mapping was made by `Chunk::map`, and the caller has no object of it left.
        let unmapped = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), bytes) };
        if unmapped.is_ok() {
            USED_BYTES.fetch_sub(bytes, Relaxed);
        }
    }

    /// The chunk of an object.
    #[inline(always)]
    pub(super) fn of(object: *const u64) -> Chunk {
        let header = object.map_addr(|address| address & !(CHUNK_BYTES - 1)).cast_mut().cast();
        // SAFETY: objects lie in chunks, and no chunk lies at address zero.
        Chunk(unsafe { NonNull::new_unchecked(header) })
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: a chunk begins with its header, which changes by atomic operations only.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn base(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The address at an offset.
    #[inline(always)]
    pub(super) fn at(self, offset: usize) -> *mut u64 {
        self.0.as_ptr().cast::<u64>().wrapping_byte_add(offset)
    }

    pub(super) fn is_large(self) -> bool {
        self.large_bytes() != 0
    }

    /// Bytes of the one object of a chunk of its own.
    pub(super) fn large_bytes(self) -> usize {
        self.header().large_bytes.load(Relaxed)
    }

    pub(super) fn first_object(self) -> *mut u64 {
        self.at(FIRST_OBJECT)
    }

    /// Hands out what lies between these offsets; from the result on it is zero.
    pub(super) fn hand_out(self, begin: usize, end: usize) -> usize {
        let high = self.header().high.load(Relaxed);
        self.header().high.store(high.max(end), Relaxed);
        high.clamp(begin, end)
    }

    /// The word of a bitmap and the bit in it that stand for an object. (That the word exists is clear to the compiler.)
    #[inline(always)]
    fn bit_of(object: *const u64) -> (usize, u64) {
        let bit = object as usize % CHUNK_BYTES / 8;
        (bit / WORD_BITS, 1 << (bit % WORD_BITS))
    }

    /// Marks an object; whether it was not marked before. `SHARED`: other threads mark at the same time.
    #[inline(always)]
    pub(super) fn mark<const SHARED: bool>(self, object: *const u64) -> bool {
        let (word, bit) = Self::bit_of(object);
        let map = &self.header().marks[word];
        let marks = map.load(Relaxed);
        if SHARED {
            return marks & bit == 0 && map.fetch_or(bit, Relaxed) & bit == 0;
        }
        map.store(marks | bit, Relaxed);
        marks & bit == 0
    }

    /// Takes the mark off an object.
    pub(super) fn unmark(self, object: *const u64) {
        let (word, bit) = Self::bit_of(object);
        let map = &self.header().marks[word];
        map.store(map.load(Relaxed) & !bit, Relaxed);
    }

    /// Whether an object is marked, or was when another thread marked it.
    #[inline(always)]
    pub(super) fn is_marked(self, object: *const u64) -> bool {
        let (word, bit) = Self::bit_of(object);
        self.header().marks[word].load(Relaxed) & bit != 0
    }

    /// Keeps the lines that an object of this size touches. `SHARED`: other threads do so at the same time.
    #[inline(always)]
    pub(super) fn keep_lines<const SHARED: bool>(self, object: *const u64, bytes: usize) {
        if bytes > LARGE_BYTES {
            return;
        }
        for_each_line_word(object as usize - self.base(), bytes, |word, bits| {
            let map = &self.header().lines[word];
            let lines = map.load(Relaxed);
            if !SHARED {
                map.store(lines | bits, Relaxed);
            } else if lines & bits != bits {
                map.fetch_or(bits, Relaxed);
            }
        });
    }

    /// Undoes [`Chunk::keep_lines`] for an object that shares no line with others.
    pub(super) fn free_lines(self, object: *const u64, bytes: usize) {
        for_each_line_word(object as usize - self.base(), bytes, |word, bits| {
            let map = &self.header().lines[word];
            map.store(map.load(Relaxed) & !bits, Relaxed);
        });
    }

    pub(super) fn set_start(self, object: *const u64) {
        let (word, bit) = Self::bit_of(object);
        let map = &self.header().starts[word];
        map.store(map.load(Relaxed) | bit, Relaxed);
    }

    /// The last object that begins at or before an address in this chunk.
    pub(super) fn object_before(self, address: usize) -> Option<*mut u64> {
        let offset = address - self.base();
        if self.is_large() {
            return (offset >= FIRST_OBJECT).then_some(self.first_object());
        }
        if offset < FIRST_OBJECT || offset >= self.header().high.load(Relaxed) {
            return None;
        }
        let (mut word, bit) = Self::bit_of(self.at(offset & !7));
        let starts = &self.header().starts;
        let mut bits = starts[word].load(Relaxed) & (bit | (bit - 1));
        while bits == 0 {
            word = word.checked_sub(1)?;
            bits = starts[word].load(Relaxed);
        }
        let index = word * WORD_BITS + (WORD_BITS - 1 - bits.leading_zeros() as usize);
        Some(self.at(8 * index))
    }

    /// The first run of free lines between two offsets, of at least `least` and at most `most` bytes: begin and end as
    /// offsets. The second of the two has words of its own in the bitmaps.
    pub(super) fn free_run(self, from: usize, to: usize, least: usize, most: usize) -> Option<(usize, usize)> {
        let kept = &self.header().lines[..to / APART_BYTES];
        let (least, most) = (least / LINE_BYTES, most / LINE_BYTES);
        let sure = least.clamp(MIN_RUN_LINES, WORD_BITS);
        let mut line = from.max(FIRST_OBJECT) / LINE_BYTES;
        while let Some(begin) = some_free(kept, line, sure) {
            line = kept_line(kept, begin + sure, (begin + most).min(to / LINE_BYTES));
            if line - begin >= least {
                return Some((begin * LINE_BYTES, line * LINE_BYTES));
            }
        }
        None
    }

    /// Takes off all marks, and keeps no line. Nobody else uses the chunk.
    pub(super) fn forget(self) {
        let header = self.header();
        if self.is_large() {
            self.unmark(self.first_object());
            return;
        }
        header.marks[..self.used_words()].iter().for_each(|word| word.store(0, Relaxed));
        header.lines.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// What is marked between two addresses, or everywhere, is what begins there. Nobody else uses the chunk.
    pub(super) fn know_starts(self, between: Option<(*mut u64, *mut u64)>) {
        let header = self.header();
        let words = match between {
            Some((begin, end)) => Self::bit_of(begin).0..Self::bit_of(end.wrapping_sub(1)).0 + 1,
            None => 0..self.used_words(),
        };
        for (start, mark) in header.starts[words.clone()].iter().zip(&header.marks[words]) {
            start.store(mark.load(Relaxed), Relaxed);
        }
    }

    /// Bytes of lines that are kept.
    pub(super) fn kept_bytes(self) -> usize {
        self.kept_bytes_of(self.first_object(), self.header().high.load(Relaxed).min(CHUNK_BYTES) - FIRST_OBJECT)
    }

    /// Bytes of lines that are kept, of so many bytes from an address on.
    pub(super) fn kept_bytes_of(self, begin: *mut u64, bytes: usize) -> usize {
        let mut lines = 0;
        for_each_line_word(begin as usize - self.base(), bytes, |word, bits| {
            lines += (self.header().lines[word].load(Relaxed) & bits).count_ones() as usize;
        });
        lines * LINE_BYTES
    }

    /// Words of a bitmap of objects that are used.
    fn used_words(self) -> usize {
        self.header().high.load(Relaxed).div_ceil(8 * WORD_BITS).min(OBJECT_MAP_WORDS)
    }
}

/// Maps so many bytes, a multiple of the size of a chunk, where chunks may lie; `None` if no such place is free.
fn map_low(bytes: usize) -> Option<*mut Header> {
    for _ in 0..ADDRESSES.len() / CHUNK_BYTES {
        let place = NEXT.fetch_add(CHUNK_BYTES, Relaxed);
        if place + bytes > ADDRESSES.end {
            NEXT.store(ADDRESSES.start, Relaxed);
            continue;
        }
        // SAFETY: a new private mapping, in the place of none.
        let mapped = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::without_provenance_mut(place),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE,
            )
        };
        match mapped {
            Ok(begin) if begin.addr() == place => {
                NEXT.fetch_max(place + bytes, Relaxed);
                return Some(begin.cast());
            }
            // a kernel before 4.17 takes the place for a wish
            // SAFETY: the mapping was just made.
            Ok(elsewhere) => _ = unsafe { rustix::mm::munmap(elsewhere, bytes) },
            Err(rustix::io::Errno::EXIST) => {}
            Err(_) => return None,
        }
    }
    None
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

/// The first line from `line` on with which at least `least` free ones begin, which are no fewer than a run has, and no more
/// than a word tells of.
#[inline(always)]
fn some_free(kept: &[AtomicU64], line: usize, least: usize) -> Option<usize> {
    let mut skipped = u64::MAX << (line % WORD_BITS);
    for word in line / WORD_BITS..kept.len() {
        let free = !kept[word].load(Relaxed);
        let next = kept.get(word + 1).map_or(0, |next| !next.load(Relaxed));
        // a bit says that so many lines from here on are free; most words have no run at all
        let run = (1..MIN_RUN_LINES).fold(free, |all, far| all & (free >> far | next << (WORD_BITS - far)));
        let mut begins = run & skipped;
        if begins != 0 && MIN_RUN_LINES < least {
            let mut both = u128::from(next) << WORD_BITS | u128::from(free);
            let mut count = 1;
            while count < least {
                let more = count.min(least - count);
                both &= both >> more;
                count += more;
            }
            begins &= both as u64;
        }
        if begins != 0 {
            return Some(word * WORD_BITS + begins.trailing_zeros() as usize);
        }
        skipped = u64::MAX;
    }
    None
}

/// The first line from `line` to `end` that is kept; `end` if there is none.
#[inline(always)]
fn kept_line(kept: &[AtomicU64], line: usize, end: usize) -> usize {
    let mut skipped = u64::MAX << (line % WORD_BITS);
    let first = line / WORD_BITS;
    for (word, lines) in (first..).zip(&kept[first.min(kept.len())..end.div_ceil(WORD_BITS)]) {
        let bits = lines.load(Relaxed) & skipped;
        if bits != 0 {
            return end.min(word * WORD_BITS + bits.trailing_zeros() as usize);
        }
        skipped = u64::MAX;
    }
    end
}

//! The memory that objects live in: chunks, blocks of them that a thread has, and runs of free lines in those.
//!
//! An object is allocated by moving a pointer through a *run* of free memory. After a collection the runs are the *lines*
//! (32 bytes) that no live object touches, as in Immix (Blackburn and McKinley, PLDI 2008). A thread takes a *block* of
//! 32 KiB at a time, and finds the runs in it without asking others. Large objects have a chunk of their own, which goes
//! back to the system when they die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::chunk::{
    ADDRESSES, APART_BYTES, CHUNK_BYTES, Chunk, FIRST_OBJECT, LARGE_BYTES, LINE_BYTES, MIN_RUN_BYTES, unused_bytes,
};

/// What a thread takes at a time.
pub(super) const BLOCK_BYTES: usize = 32 << 10;

const _: () = assert!(BLOCK_BYTES.is_multiple_of(APART_BYTES) && CHUNK_BYTES.is_multiple_of(BLOCK_BYTES));

/// Objects up to this size are allocated from runs; no run is smaller.
pub(super) const SMALL_BYTES: usize = MIN_RUN_BYTES;

/// Logarithms of the sizes of objects that have no chunk of their own.
const BIG_CLASSES: usize = LARGE_BYTES.ilog2() as usize + 1;

/// So many bytes are live for each that is filled before the next collection, at most.
const LIVE_PER_FILLED: usize = 6;

/// Memory that is filled again after a collection that left little of it, as a part of what is filled at first.
const LEAST_PART: usize = 3;

/// More than that is filled where so little is kept that this part of what is filled at first is not: what a collection
/// looks at besides costs as much however much was made.
const KEPT_PART: usize = 6;

/// What is live and what is filled take so many times what is filled at first before anything is collected where more is
/// kept: what is kept is marked once however often is collected, and the fewer collections, the longer the free runs.
const MUCH_KEPT: usize = 3;

/// Of large programs much is kept, and what a collection frees early dies until a later one anyway. Before the first one
/// they fill so much for each of their constants,
const BYTES_PER_CONSTANT: usize = 4 << 10;

/// at most so many halves of what others fill,
const MOST_HALVES: usize = 5;

/// and so many times that where several threads fill it, all of which a collection stops.
const MORE_FOR_THREADS: usize = 2;

/// Until the next one they take so many times as much where much is kept.
const MUCH_KEPT_OF_LARGE: usize = 2;

/// What is filled is so many times what small objects take of it when there are so few of them that looking at all takes
/// no time. Then less is filled, namely this part of what is filled at first: it is likely still in the cache.
const FEW_SMALL: usize = 16;
const SMALL_PART: usize = 8;

/// When objects take so many times what was live when all were looked at last, all are looked at again,
const GROWTH: usize = 2;

/// or so many times, if none were seen to have died then,
const GROWTH_OF_LASTING: usize = 4;

/// unless they take less than so many times what is filled before the first collection.
const WORTH_ALL: usize = 3;

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

/// Part of a chunk that one thread may use as far as its lines are free.
pub(super) struct Block {
    chunk: Chunk,
    /// Offset of what was not taken yet.
    next: usize,
    end: usize,
    /// Offset of what was never used, which is zero.
    fresh: usize,
    /// There is no room for objects of so many bytes.
    no_room: usize,
}

impl Block {
    /// Takes the next run for small objects, of at most so many bytes: zeroed memory.
    pub(super) fn take_run(&mut self, most: usize) -> Option<Run> {
        let Some((begin, end)) = self.chunk.free_run(self.next, self.end, MIN_RUN_BYTES, most) else {
            self.next = self.end;
            return None;
        };
        self.next = end;
        Some(clear(self.chunk, begin, end, self.fresh))
    }

    /// Takes memory for one object of more than [`SMALL_BYTES`]: free lines in a row.
    pub(super) fn take_big(&mut self, bytes: usize) -> Option<Run> {
        let room = bytes.next_multiple_of(LINE_BYTES);
        if room >= self.no_room {
            return None;
        }
        let Some((begin, end)) = self.chunk.free_run(self.next, self.end, room, room) else {
            self.no_room = room;
            return None;
        };
        Some(big(self.chunk, begin, end, self.fresh, bytes))
    }

    /// The part of a run that was taken from here last and is not filled is free again.
    pub(super) fn put_back(&mut self, next: *mut u64) {
        self.next = (next as usize - self.chunk.base()).next_multiple_of(LINE_BYTES);
    }
}

/// Makes free lines of a chunk between two offsets a run: zeroed memory, as what lies behind `fresh` is already.
fn clear(chunk: Chunk, begin: usize, end: usize, fresh: usize) -> Run {
    let run = Run { begin: chunk.at(begin), end: chunk.at(end) };
    let used_bytes = fresh.clamp(begin, end) - begin;
    // SAFETY: the range lies in a chunk, and no live object lies in it: its lines are free, and handed out once.
    unsafe { std::ptr::write_bytes(run.begin.cast::<u8>(), 0, used_bytes) };
    run
}

/// Makes free lines of a chunk the memory of one object.
fn big(chunk: Chunk, begin: usize, end: usize, fresh: usize, bytes: usize) -> Run {
    let Run { begin, .. } = clear(chunk, begin, end, fresh);
    // runs for small objects go round it
    chunk.keep_lines::<false>(begin, bytes);
    chunk.set_start(begin);
    Run { begin, end: begin.wrapping_byte_add(bytes) }
}

/// What a thread made since it took a block.
#[derive(Default)]
pub(super) struct Made {
    /// Objects in a row, ascending, in one block.
    runs: Vec<Filled>,
    /// Objects of more than [`SMALL_BYTES`].
    big: Vec<Run>,
}

impl Made {
    /// Takes note of objects in a row.
    pub(super) fn add(&mut self, run: Run) {
        if run.bytes() > 0 {
            self.runs.push(Filled { run, is_known: false });
        }
    }

    /// Takes note of an object of more than [`SMALL_BYTES`].
    pub(super) fn add_big(&mut self, run: Run) {
        self.big.push(run);
    }

    pub(super) fn bytes(&self) -> usize {
        self.small_bytes() + self.big.iter().map(|run| run.bytes()).sum::<usize>()
    }

    fn small_bytes(&self) -> usize {
        self.runs.iter().map(|filled| filled.run.bytes()).sum()
    }

    /// Takes it all, for [`Space::retire`]: what takes time is done before the space is locked.
    pub(super) fn finish(&mut self) -> Finished {
        let (small_bytes, bytes) = (self.small_bytes(), self.bytes());
        let runs = self.runs.as_slice().into();
        self.runs.clear();
        Finished { runs, big: std::mem::take(&mut self.big), small_bytes, bytes }
    }
}

/// What a thread made in a block.
pub(super) struct Finished {
    runs: Box<[Filled]>,
    big: Vec<Run>,
    small_bytes: usize,
    /// Bytes in both.
    bytes: usize,
}

/// Objects in a row that were made since the last collection.
#[derive(Clone, Copy)]
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
    /// Chunk and offset from which blocks are taken.
    cursor: (usize, usize),
    /// The same for objects of more than [`SMALL_BYTES`], by the logarithm of their size: a large one, which fits into
    /// few places, leaves the others to smaller ones.
    big_cursors: [(usize, usize); BIG_CLASSES],
    /// Blocks that were given back before they were used up.
    spare: Vec<Block>,
    /// By block, what of its runs was filled since the last collection. Ascending when objects are looked for.
    filled: Vec<Box<[Filled]>>,
    /// Objects of more than [`SMALL_BYTES`] made since, which share no line with others. Their begins are in the bitmaps.
    big: Vec<Run>,
    /// Bytes in both, and in large objects made since.
    filled_bytes: usize,
    /// Bytes in the first.
    small_bytes: usize,
    /// Bytes in objects that survived the last collection.
    live_bytes: usize,
    /// Bytes of lines that they keep.
    lines_bytes: usize,
    /// When they take so many, all are looked at again; zero before that was done once.
    all_due_bytes: usize,
    /// Of so many bytes that were filled, the last collection of what was new kept so many.
    kept_of_filled: (usize, usize),
    /// Bytes allocated over all.
    total_bytes: u64,
    /// Bytes of stacks, which the last collection looked through.
    root_bytes: usize,
    /// See [`crate::Settings::collect_after_bytes`].
    collect_after_bytes: usize,
    /// What a program of this size fills before the first collection; zero until it is known.
    program_bytes: usize,
    /// Whether a collection pays.
    is_due: Arc<AtomicBool>,
}

impl Space {
    /// No memory; `is_due` says when a collection pays (see [`crate::Settings::collect_after_bytes`]).
    pub(super) fn new(collect_after_bytes: usize, is_due: Arc<AtomicBool>) -> Space {
        let mut space = Space::default();
        (space.collect_after_bytes, space.is_due) = (collect_after_bytes, is_due);
        space
    }

    /// Bytes allocated since the last collection.
    pub(super) fn filled_bytes(&self) -> usize {
        self.filled_bytes
    }

    /// Bytes in objects that survived the last collection.
    pub(super) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes to fill before the next collection.
    fn due_bytes(&self) -> usize {
        let first = self.collect_after_bytes;
        let worth = if FEW_SMALL * self.small_bytes < self.filled_bytes {
            first / SMALL_PART
        } else if self.is_new() {
            first.max(self.program_bytes)
        } else {
            let until_kept = self.filled_until(first / KEPT_PART).clamp(first / LEAST_PART, first);
            let much = (MUCH_KEPT * first).max(MUCH_KEPT_OF_LARGE * self.program_bytes);
            let most = if self.keeps_much() { much } else { first };
            most.saturating_sub(self.live_bytes).max(until_kept)
        };
        // what has to be looked at anyway should not take more time than what was made
        worth.max(self.live_bytes / LIVE_PER_FILLED).max(self.root_bytes)
    }

    /// Whether nothing is known yet of how much is kept.
    fn is_new(&self) -> bool {
        self.kept_of_filled.1 == 0
    }

    /// Whether the last collection of what was new kept more than a small part of it.
    fn keeps_much(&self) -> bool {
        let (kept, filled) = self.kept_of_filled;
        KEPT_PART * kept > filled
    }

    /// Bytes to fill until so many of them are kept, if it goes on as before the last collection.
    fn filled_until(&self, kept_bytes: usize) -> usize {
        let (kept, filled) = self.kept_of_filled;
        if kept == 0 { filled } else { (filled as u128 * kept_bytes as u128 / kept as u128) as usize }
    }

    /// Whether a collection pays, given how many constants the program has so far, and whether several threads evaluate it.
    pub(super) fn is_due_with(&mut self, constants: usize, is_shared: bool) -> bool {
        if self.is_new() {
            let most = self.collect_after_bytes.saturating_mul(MOST_HALVES) / 2;
            let more = if is_shared { MORE_FOR_THREADS } else { 1 };
            self.program_bytes = (constants * BYTES_PER_CONSTANT).min(most).saturating_mul(more);
        }
        self.count(0);
        self.is_due.load(Relaxed)
    }

    /// Whether the next collection looks at all objects.
    pub(super) fn is_all_due(&self) -> bool {
        let first = self.collect_after_bytes.max(self.program_bytes);
        self.live_bytes >= self.all_due_bytes.max(first.saturating_mul(WORTH_ALL))
    }

    /// Bytes that can still be handed out: those of free lines, and those left for chunks.
    pub(super) fn room_bytes(&self) -> usize {
        let taken = self.lines_bytes + self.filled_bytes;
        unused_bytes() + (self.chunks.len() * (CHUNK_BYTES - FIRST_OBJECT)).saturating_sub(taken)
    }

    /// Takes note of bytes of stacks that a collection looks through.
    pub(super) fn count_roots(&mut self, bytes: usize) {
        self.root_bytes += bytes;
    }

    /// Bytes that were ever allocated.
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    fn count(&mut self, bytes: usize) {
        self.filled_bytes += bytes;
        self.total_bytes += bytes as u64;
        self.is_due.store(self.filled_bytes >= self.due_bytes(), Relaxed);
    }

    /// Takes note of what a thread made, and takes back the block that it has if that is not used up.
    pub(super) fn retire(&mut self, made: Finished, block: Option<Block>) {
        let Finished { runs, mut big, small_bytes, bytes } = made;
        if !runs.is_empty() {
            self.filled.push(runs);
        }
        self.big.append(&mut big);
        self.small_bytes += small_bytes;
        self.count(bytes);
        self.spare.extend(block.filter(|block| block.next < block.end));
    }

    /// A block for one thread; none when another chunk is needed.
    pub(super) fn block(&mut self) -> Option<Block> {
        if let Some(block) = self.spare.pop() {
            return Some(block);
        }
        loop {
            let (index, offset) = self.cursor;
            let chunk = *self.chunks.get(index)?;
            let Some((next, _)) = chunk.free_run(offset, CHUNK_BYTES, MIN_RUN_BYTES, MIN_RUN_BYTES) else {
                self.cursor = (index + 1, 0);
                continue;
            };
            let end = (next + 1).next_multiple_of(BLOCK_BYTES);
            self.cursor = (index, end);
            return Some(Block { chunk, next, end, fresh: chunk.hand_out(next, end), no_room: usize::MAX });
        }
    }

    /// Memory for one object of more than [`SMALL_BYTES`] and no more than [`LARGE_BYTES`]: free lines in a row. None when
    /// another chunk is needed.
    pub(super) fn big(&mut self, bytes: usize) -> Option<*mut u64> {
        let room = bytes.next_multiple_of(LINE_BYTES);
        let class = room.ilog2() as usize;
        loop {
            // what lies before the other cursor was handed out, or is too small
            let (index, offset) = self.big_cursors[class].max(self.cursor);
            let chunk = *self.chunks.get(index)?;
            let Some((begin, end)) = chunk.free_run(offset, CHUNK_BYTES, room, room) else {
                self.big_cursors[class] = (index + 1, 0);
                continue;
            };
            self.big_cursors[class] = (index, end);
            let run = big(chunk, begin, end, chunk.hand_out(begin, end), bytes);
            self.count(bytes);
            self.big.push(run);
            return Some(run.begin);
        }
    }

    /// Adds a chunk for many objects that is open.
    pub(super) fn add(&mut self, chunk: Chunk) {
        self.chunks.push(chunk);
        self.insert(chunk);
    }

    /// Adds the chunk of a large object that is made in it.
    pub(super) fn add_large(&mut self, chunk: Chunk) {
        self.insert(chunk);
        self.count(chunk.large_bytes());
    }

    fn insert(&mut self, chunk: Chunk) {
        let at = self.by_address.partition_point(|other| other.base() < chunk.base());
        self.by_address.insert(at, chunk);
    }

    /// Prepares a collection: of all objects, or of those that are not old.
    pub(super) fn prepare(&mut self, all: bool) {
        self.root_bytes = 0;
        self.filled.sort_by_key(|block| block[0].run.begin);
        if all {
            self.by_address.iter().for_each(|chunk| chunk.forget());
        } else {
            for big in &self.big {
                Chunk::of(big.begin).free_lines(big.begin, big.bytes());
            }
        }
    }

    /// The object that a word points to or into, if it is an address of one.
    /// `bytes_of` tells the size of an object.
    pub(super) fn object_at(&mut self, word: usize, bytes_of: impl Fn(*mut u64) -> usize) -> Option<*mut u64> {
        if !ADDRESSES.contains(&word) {
            return None;
        }
        let after = self.by_address.partition_point(|chunk| chunk.base() <= word);
        let chunk = self.by_address[after.checked_sub(1)?];
        if !chunk.is_large() && word - chunk.base() >= CHUNK_BYTES {
            return None;
        }
        if let Some(filled) = self.filled_at(word)
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

    /// What was filled since the last collection and holds an address.
    fn filled_at(&mut self, address: usize) -> Option<&mut Filled> {
        let begins_before = |filled: &Filled| filled.run.begin as usize <= address;
        let after = self.filled.partition_point(|block| begins_before(&block[0]));
        let block = &mut self.filled[after.checked_sub(1)?];
        let after = block.partition_point(begins_before);
        block[..after].last_mut().filter(|filled| address < filled.run.end as usize)
    }

    /// What was filled since the last collection.
    fn new_runs(&self) -> impl Iterator<Item = &Run> {
        self.filled.iter().flatten().map(|filled| &filled.run).chain(&self.big)
    }

    /// Ends a collection for which the same was prepared: what is not marked is free, and the rest is old.
    pub(super) fn sweep(&mut self, all: bool) {
        if all {
            self.chunks.iter().for_each(|chunk| chunk.know_starts(None));
        } else {
            for run in self.new_runs() {
                Chunk::of(run.begin).know_starts(Some((run.begin, run.end)));
            }
        }
        if all {
            self.lines_bytes = self.chunks.iter().map(|chunk| chunk.kept_bytes()).sum();
        } else {
            let kept = self.new_runs().map(|run| Chunk::of(run.begin).kept_bytes_of(run.begin, run.bytes()));
            self.lines_bytes += kept.sum::<usize>();
        }
        let mut live_bytes = self.lines_bytes;
        self.by_address.retain(|chunk| {
            if !chunk.is_large() {
                return true;
            }
            let is_live = chunk.is_marked(chunk.first_object());
            if is_live {
                live_bytes += chunk.large_bytes();
            } else {
                chunk.unmap();
            }
            is_live
        });
        if all {
            let growth = if live_bytes < self.live_bytes { GROWTH } else { GROWTH_OF_LASTING };
            self.all_due_bytes = growth * live_bytes;
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
        self.is_due.store(false, Relaxed);
    }
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
    use super::super::chunk::Supply;
    use super::*;

    /// Takes something, of another chunk if need be.
    fn take<T>(space: &mut Space, take: impl Fn(&mut Space) -> Option<T>) -> T {
        loop {
            if let Some(taken) = take(space) {
                return taken;
            }
            let chunk = Supply::default().chunk().unwrap();
            chunk.open();
            space.add(chunk);
        }
    }

    #[test]
    fn big_objects_take_the_place_of_dead_ones() {
        let mut space = Space::default();
        let mut chunks = Vec::new();
        for _ in 0..4 {
            for _ in 0..20_000 {
                take(&mut space, |space| space.big(1000));
            }
            space.prepare(false);
            space.sweep(false);
            chunks.push(space.chunks.len());
        }
        assert_eq!(chunks, [chunks[0]; 4]);
    }

    #[test]
    fn no_block_has_room_for_a_large_object() {
        let mut space = Space::default();
        let mut block = take(&mut space, Space::block);
        assert!(block.take_big(LARGE_BYTES / 2).is_none());
        assert!(block.take_big(LARGE_BYTES).is_none());
        assert!(block.take_big(1000).is_some());
    }

    #[test]
    fn nothing_is_handed_out_twice() {
        let mut space = Space::default();
        let mut live: Vec<(usize, usize)> = Vec::new();
        let mut random = 1_usize;
        let mut next_random = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 32
        };
        for _ in 0..3 {
            let mut taken = live.clone();
            let mut blocks = Vec::new();
            for step in 0..30_000 {
                let bytes = 200 + next_random() % if step % 50 == 0 { 60_000 } else { 600 };
                let begin = take(&mut space, |space| space.big(bytes)) as usize;
                taken.push((begin, begin + bytes));
                // as several threads do, some of which give back what they have
                if step % 40 == 0 {
                    blocks.push(take(&mut space, Space::block));
                }
                let count = blocks.len();
                if step % 3 == 0 && count > 0 {
                    let at = next_random() % count;
                    let block = &mut blocks[at];
                    let mut made = Made::default();
                    let taken_now = match step % 2 {
                        0 => block.take_run(BLOCK_BYTES),
                        _ => block.take_big(100 + next_random() % 400),
                    };
                    let given_back = match taken_now {
                        Some(run) => {
                            taken.push((run.begin as usize, run.end as usize));
                            if step % 2 == 0 {
                                made.add(run)
                            } else {
                                made.add_big(run)
                            }
                            None
                        }
                        None => Some(blocks.swap_remove(at)),
                    };
                    space.retire(made.finish(), given_back);
                }
            }
            taken.sort_unstable();
            assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            // every third survives
            let all = next_random() & 1 == 1;
            space.prepare(all);
            live = taken.into_iter().step_by(3).collect();
            for &(begin, end) in &live {
                Chunk::of(begin as *const u64).keep_lines::<false>(begin as *const u64, end - begin);
            }
            space.sweep(all);
        }
    }
}

//! The collector: mark and reuse, without moving anything.
//!
//! Roots are known exactly where that is cheap: the value stack, what a [`super::RootVec`] holds, constants of code, and
//! the tables of the heap. The native stack and the registers are scanned conservatively: a word that is the address of
//! an object, or of a place in one, keeps that object. So a handle in a local variable needs no care.

use std::hint::select_unpredictable;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use super::chunk::Chunk;
use super::heap::Heap;
use super::roots;
use super::space::Space;
use super::word::{
    APP_FLAG, END_FLAG, Kind, OLD_FLAG, Slot, UNIQUE_FLAG, Value, header_address, header_len, is_address, words_of,
};
use super::world::{Shared, Standing};
use crate::code::ir::{Lambda, ThunkCode};
use crate::sync::{lock, wait};

use super::attrs::Shape;

impl Heap {
    /// Collects if enough was allocated since the last time for that to pay.
    pub(super) fn collect_if_due(&mut self) {
        if self.world.collects_always {
            self.collect_some(self.collections().is_multiple_of(3));
        } else if self.world.is_due() {
            let constants = self.world.kept().values.len();
            let mut space = self.world.space();
            let (due, all) = (space.is_due_with(constants, self.is_shared), space.is_all_due());
            drop(space);
            if due {
                self.collect_some(all);
            }
        }
    }

    /// Makes the memory of all objects that cannot be reached any more available again.
    pub fn collect(&mut self) {
        self.collect_some(true);
    }

    /// Makes the memory of objects that cannot be reached available again: of all of them, or of those that are not old.
    #[inline(never)]
    fn collect_some(&mut self, all: bool) {
        if crate::native_stack::begin().is_none() {
            // nothing can be collected on this thread, ever
            self.holds += 1;
            return;
        }
        self.retire_runs();
        self.tell_changed();
        let world = self.world.clone();
        let collected = crate::native_stack::standing(|here, begin| {
            let own = self.standing(here, begin);
            world.alone(|others| self.mark_and_sweep(all, others.iter().flatten().chain([&own])))
        });
        if collected.is_none() {
            self.stand(|| ());
        }
    }

    fn mark_and_sweep<'a>(&mut self, all: bool, threads: impl Iterator<Item = &'a Standing>) {
        let threads = threads.collect::<Vec<_>>();
        let world = self.world.clone();
        let mut space = world.space();
        space.prepare(all);
        let unfinished = if threads.len() > 1 {
            mark_together(threads.len(), |marker| self.mark_roots(marker, all, &threads, &mut space))
        } else {
            let mut marker = Marker::<false>::new(std::mem::take(&mut self.grey), None);
            self.mark_roots(&mut marker, all, &threads, &mut space);
            marker.drain();
            self.grey = marker.grey;
            marker.unfinished
        };
        world.changed().extend(unfinished);
        space.sweep(all);
    }

    fn mark_roots<const SHARED: bool>(
        &mut self,
        marker: &mut Marker<SHARED>,
        all: bool,
        threads: &[&Standing],
        space: &mut Space,
    ) {
        let mut shapes = self.world.shapes();
        if all {
            shapes.table.iter().for_each(|(_, shape)| marker.object(shape.address()));
            shapes.young.clear();
        }
        shapes.young.drain(..).for_each(|shape| marker.object(shape.address()));
        drop(shapes);
        let mut kept = self.world.kept();
        let old = if all { 0 } else { kept.old };
        for_each_fetched(&kept.values[old..], |object| {
            marker.object(object);
            marker.share();
        });
        kept.old = kept.values.len();
        drop(kept);
        let mut changed = self.world.changed();
        if !all {
            // what they refer to may be new
            for_each_fetched(&changed, |object| {
                marker.parts(object);
                marker.share();
            });
        }
        changed.clear();
        drop(changed);
        for thread in threads {
            let (address, slots) = thread.slots;
            space.count_roots(thread.native.1 - thread.native.0 + size_of::<Slot>() * slots);
            (0..slots).for_each(|index| marker.slot((address as *mut Slot).wrapping_add(index)));
            marker.share();
            roots::for_each_range(&thread.buffers, |range| {
                for word in range {
                    marker.word(space, *word);
                }
            });
            crate::native_stack::for_each_word_between(thread.native.0, thread.native.1, |word| {
                marker.word(space, word);
                // a loop may hold only the end of what it walks over
                marker.word(space, word.wrapping_sub(8));
                // what was read from a slot may not be a word yet
                for half in [word as u32, (word >> 32) as u32] {
                    marker.word(space, Slot::of_bits(half).word() as usize);
                }
            });
        }
    }
}

/// Calls a function with objects, and has those that come next fetched meanwhile.
fn for_each_fetched(values: &[Value], mut each: impl FnMut(*mut u64)) {
    for (index, value) in values.iter().enumerate() {
        if let Some(later) = values.get(index + TOGETHER) {
            prefetch(later.object());
        }
        each(value.object());
    }
}

/// The size of an object in bytes.
#[inline]
pub(super) fn bytes_of(object: *mut u64) -> usize {
    bytes_with(payload_of(object))
}

#[inline(always)]
fn bytes_with(payload: usize) -> usize {
    8 * (1 + words_of(payload).max(1))
}

/// How many slots of an object follow its header and are used. (What is no slot takes a whole number of words.)
#[inline]
fn payload_of(object: *mut u64) -> usize {
    payload_with(load(object))
}

/// The same, of an object that begins with such a header.
#[inline(always)]
fn payload_with(header: u64) -> usize {
    // SAFETY: what the address in a header describes lives forever.
    unsafe {
        match Kind::from_header(header) {
            Kind::Blackhole | Kind::Indirection | Kind::Failed | Kind::Noted if header & APP_FLAG != 0 => {
                1 + header_len(header)
            }
            Kind::Thunk | Kind::Blackhole | Kind::Indirection | Kind::Failed | Kind::Noted => {
                (&*header_address::<ThunkCode>(header)).captures.len()
            }
            Kind::Pending | Kind::Closure => (&*header_address::<Lambda>(header)).captures.len(),
            Kind::App => 1 + header_len(header),
            Kind::PartialApp => 2 + header_len(header),
            Kind::Int | Kind::Float | Kind::Builtin | Kind::Layered => 2,
            Kind::Str => 2 * (header_len(header).div_ceil(8) + usize::from(header & UNIQUE_FLAG != 0)),
            Kind::StrCtx | Kind::Path => 2 * (1 + header_len(header).div_ceil(8)),
            Kind::List if header & END_FLAG != 0 => 2,
            Kind::List => header_len(header),
            Kind::Attrs => Shape::of_header(header).len(),
            Kind::Shape => 2 * (2 + 2 * header_len(header).div_ceil(2)),
        }
    }
}

/// So many places are looked at together, so that what they refer to is fetched at the same time.
const TOGETHER: usize = 16;

/// Places that are looked at together.
#[derive(Clone, Copy)]
struct Batch {
    slots: [*mut Slot; TOGETHER],
    len: usize,
}

impl Batch {
    const EMPTY: Batch = Batch { slots: [std::ptr::null_mut(); TOGETHER], len: 0 };

    /// Takes the last places of a list; it has none itself.
    #[inline(always)]
    fn take(&mut self, grey: &mut Vec<*mut Slot>) {
        let rest = grey.len().saturating_sub(TOGETHER);
        self.len = grey.len() - rest;
        self.slots[..self.len].copy_from_slice(&grey[rest..]);
        grey.truncate(rest);
    }

    /// What is in the places.
    #[inline(always)]
    fn words(&self) -> impl Iterator<Item = u64> {
        self.slots[..self.len].iter().map(|slot| load_slot(*slot))
    }

    /// Its places, of which it has none from now on.
    #[inline(always)]
    fn drain(&mut self) -> &[*mut Slot] {
        &self.slots[..std::mem::take(&mut self.len)]
    }
}

/// A thread that marks hands over places when it has more than this many, and another one has none.
const MANY: usize = 512;

/// Threads that mark together, and places for those that have none.
struct Pool {
    places: Mutex<Places>,
    changed: Condvar,
    /// Threads that look for some.
    hungry: AtomicUsize,
}

struct Places {
    parts: Vec<Vec<usize>>,
    /// Threads that mark.
    threads: usize,
}

impl Pool {
    /// Gives some of many places to a thread that has none.
    fn share(&self, grey: &mut Vec<*mut Slot>) {
        if self.hungry.load(Ordering::Relaxed) > 0 {
            // those that waited longest lead to most
            let part = grey.drain(..grey.len() / 2).map(|slot| slot as usize).collect();
            lock(&self.places).parts.push(part);
            self.changed.notify_one();
        }
    }

    /// Waits for places; none when no thread has any left.
    fn take(&self) -> Option<Vec<usize>> {
        let mut places = lock(&self.places);
        self.hungry.fetch_add(1, Ordering::Relaxed);
        while places.parts.is_empty() && self.hungry.load(Ordering::Relaxed) < places.threads {
            places = wait(&self.changed, places);
        }
        let part = places.parts.pop();
        match part {
            Some(_) => _ = self.hungry.fetch_sub(1, Ordering::Relaxed),
            None => self.changed.notify_all(),
        }
        part
    }
}

/// Marks what can be reached from roots, with so many threads; the current one marks the roots. Returns what
/// [`Marker::unfinished`] of all of them holds.
fn mark_together(threads: usize, roots: impl FnOnce(&mut Marker<true>)) -> Vec<Value> {
    let places = Mutex::new(Places { parts: Vec::new(), threads });
    let pool = Pool { places, changed: Condvar::new(), hungry: AtomicUsize::new(0) };
    let mark = || {
        let mut marker = Marker::new(Vec::new(), Some(&pool));
        marker.drain_pool();
        marker.unfinished.into_iter().map(Shared).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let mut others = Vec::new();
        for _ in 1..threads {
            match std::thread::Builder::new().spawn_scoped(scope, mark) {
                Ok(other) => others.push(other),
                Err(_) => lock(&pool.places).threads -= 1,
            }
        }
        let mut marker = Marker::new(Vec::new(), Some(&pool));
        roots(&mut marker);
        marker.drain_pool();
        let theirs = others.into_iter().filter_map(|other| other.join().ok()).flatten().map(|Shared(value)| value);
        marker.unfinished.into_iter().chain(theirs).collect()
    })
}

/// Places that refer to objects which were not looked at. `SHARED`: other threads mark at the same time.
struct Marker<'a, const SHARED: bool> {
    grey: Vec<*mut Slot>,
    /// Objects that were reached while they are being built.
    unfinished: Vec<Value>,
    pool: Option<&'a Pool>,
}

impl Marker<'_, true> {
    /// Marks until no thread has anything left.
    fn drain_pool(&mut self) {
        loop {
            self.drain();
            let Some(part) = self.pool.and_then(Pool::take) else { return };
            self.grey.extend(part.into_iter().map(|slot| slot as *mut Slot));
        }
    }
}

impl<'a, const SHARED: bool> Marker<'a, SHARED> {
    fn new(grey: Vec<*mut Slot>, pool: Option<&'a Pool>) -> Marker<'a, SHARED> {
        Marker { grey, unfinished: Vec::new(), pool }
    }

    /// Gives some places to a thread that has none, if there are many.
    #[inline(always)]
    fn share(&mut self) {
        if SHARED
            && self.grey.len() > MANY
            && let Some(pool) = self.pool
        {
            pool.share(&mut self.grey);
        }
    }

    /// A place that holds a value, or zero where none was stored yet.
    #[inline(always)]
    fn slot(&mut self, slot: *mut Slot) {
        let word = load_slot(slot);
        if is_address(word) && word != 0 {
            self.grey.push(slot);
        }
    }

    /// A word that may be the address of an object, or of a place in one.
    fn word(&mut self, space: &mut Space, word: usize) {
        if let Some(object) = space.object_at(word, bytes_of) {
            self.object(object);
        }
    }

    /// Marks until no place is left. A batch of places goes through three steps, each while others are fetched for it.
    #[inline(always)]
    fn drain(&mut self) {
        let mut batches = [Batch::EMPTY; 3];
        for step in 0.. {
            self.share();
            let [fetched, followed, looked_at] = [0, 2, 1].map(|ahead| (step + ahead) % 3);
            batches[fetched].take(&mut self.grey);
            batches[fetched].words().for_each(|word| prefetch(word as *mut u64));
            batches[followed].words().for_each(prefetch_next);
            for slot in batches[looked_at].drain() {
                let word = skip_indirection(*slot);
                if is_address(word) {
                    self.object(word as *mut u64);
                }
            }
            if self.grey.is_empty() && batches.iter().all(|batch| batch.len == 0) {
                return;
            }
        }
    }

    /// Marks an object; whether it was not marked.
    #[inline(always)]
    fn mark(object: *mut u64) -> bool {
        Chunk::of(object).mark::<SHARED>(object)
    }

    /// Keeps the lines of an object that has so many slots behind its header.
    #[inline(always)]
    fn keep_lines(object: *mut u64, payload: usize) {
        Chunk::of(object).keep_lines::<SHARED>(object, bytes_with(payload));
    }

    /// Marks an object and its lines; if it was not marked, its places are looked at later.
    #[inline(always)]
    fn object(&mut self, object: *mut u64) {
        if Self::mark(object) {
            let (payload, places) = Self::extent(object);
            Self::keep_lines(object, payload);
            self.places(object, places);
        }
    }

    /// Looks at the places of an object later.
    fn parts(&mut self, object: *mut u64) {
        let (_, places) = Self::extent(object);
        self.places(object, places);
    }

    /// How many slots of an object follow its header and are used, and which of them are places. A thunk becomes old, and
    /// the shape of a set is marked.
    #[inline(always)]
    fn extent(object: *mut u64) -> (usize, Range<usize>) {
        let header = load(object);
        let payload = payload_with(header);
        let places = match Kind::from_header(header) {
            Kind::Thunk | Kind::Blackhole | Kind::App => {
                store(object, header | OLD_FLAG);
                0..payload
            }
            Kind::Pending | Kind::Closure | Kind::Layered => 0..payload,
            Kind::List => 0..if header & END_FLAG == 0 { payload } else { 1 },
            Kind::PartialApp => 2..payload,
            Kind::Attrs => {
                Self::shape(Shape::of_header(header));
                0..payload
            }
            Kind::Indirection | Kind::Noted => 0..1,
            Kind::Failed
            | Kind::Int
            | Kind::Float
            | Kind::Str
            | Kind::StrCtx
            | Kind::Path
            | Kind::Builtin
            | Kind::Shape => 0..0,
        };
        (payload, places)
    }

    /// Marks a shape, which has no places.
    #[inline(always)]
    fn shape(shape: Shape) {
        let object = shape.address();
        if Self::mark(object) {
            Self::keep_lines(object, payload_of(object));
        }
    }

    /// Looks later at places of an object that refer to something which is not marked.
    #[inline(always)]
    fn places(&mut self, object: *mut u64, places: Range<usize>) {
        let mut is_unfinished = false;
        self.grey.reserve(places.len());
        let mut len = self.grey.len();
        for index in places {
            let slot = slots_of(object).wrapping_add(index);
            let word = load_slot(slot);
            if is_address(word) && word != 0 {
                // most objects are known: to see it by the bitmap costs less than to fetch them
                let is_known = Chunk::of(word as *mut u64).is_marked(word as *mut u64);
                // SAFETY: there is room for all places. Which of them count is hard to predict, so none is branched on.
                unsafe { self.grey.as_mut_ptr().add(len).write(slot) };
                len += usize::from(!is_known);
            } else {
                is_unfinished |= word == 0 || word == Value::UNSET.bits();
            }
        }
        // SAFETY: so many were written.
        unsafe { self.grey.set_len(len) };
        if is_unfinished {
            // what is stored there later may be new when this is old
            self.unfinished.push(Value::from_object(object));
        }
    }
}

/// What is fetched from memory as one.
const CACHE_LINE_BYTES: usize = 64;

/// Reads the header of a live object. Another thread that marks may change it meanwhile, to one that means the same.
#[inline(always)]
fn load(header: *mut u64) -> u64 {
    // SAFETY: that is what callers pass.
    unsafe { AtomicU64::from_ptr(header) }.load(Ordering::Relaxed)
}

/// Changes such a header.
#[inline(always)]
fn store(header: *mut u64, value: u64) {
    // SAFETY: as for `load`.
    unsafe { AtomicU64::from_ptr(header) }.store(value, Ordering::Relaxed);
}

/// The slots of an object; all have room for two.
#[inline(always)]
fn slots_of(object: *mut u64) -> *mut Slot {
    object.wrapping_add(1).cast()
}

/// Reads a slot of a live object or of a value stack, as `load`.
#[inline(always)]
fn load_slot(slot: *mut Slot) -> u64 {
    // SAFETY: that is what callers pass.
    unsafe { Slot::load(slot) }.word()
}

/// A set of kinds, as a bitmap.
const fn kinds<const N: usize>(kinds: [Kind; N]) -> u32 {
    let (mut set, mut index) = (0, 0);
    while index < N {
        set |= 1 << kinds[index] as u32;
        index += 1;
    }
    set
}

/// Whether an object with this header is of one of these kinds.
#[inline(always)]
fn is_of(header: u64, kinds: u32) -> bool {
    kinds >> Kind::from_header(header) as u32 & 1 != 0
}

/// What begins with the address of what tells its size.
const DESCRIBED: u32 = kinds([Kind::Thunk, Kind::Pending, Kind::Closure, Kind::Attrs]);

/// What is told apart by its cell.
const SAME_CELL: u32 = kinds([Kind::Closure, Kind::Builtin, Kind::PartialApp, Kind::List, Kind::Float]);

/// Has fetched what is read next of an object: what an indirection leads to, or what tells the size, and the second line.
#[inline(always)]
fn prefetch_next(word: u64) {
    if !is_address(word) {
        return;
    }
    let object = word as *mut u64;
    let (header, first) = (load(object), load_slot(slots_of(object)));
    let behind = object.wrapping_byte_add(CACHE_LINE_BYTES);
    let next = select_unpredictable(is_of(header, DESCRIBED), header_address::<u64>(header).cast_mut(), behind);
    let is_indirection = is_of(header, kinds([Kind::Indirection]));
    prefetch(select_unpredictable(is_indirection, first as *mut u64, next));
    prefetch(behind);
}

/// Makes a place that holds an indirection hold its value, unless that is a function or a list: functions are equal only
/// to themselves, and lists are shown as repeated only in the same place, so that nothing else may hold the very same one.
/// (Nor a float: one of them is not equal to itself.) Returns what it holds then.
#[inline(always)]
fn skip_indirection(slot: *mut Slot) -> u64 {
    let word = load_slot(slot);
    if !is_address(word) {
        return word;
    }
    let object = word as *mut u64;
    let (header, first) = (load(object), load_slot(slots_of(object)));
    let target = select_unpredictable(is_of(header, kinds([Kind::Indirection])), first, word);
    let is_object = is_address(target);
    let is_same_cell = is_of(load(select_unpredictable(is_object, target, word) as *mut u64), SAME_CELL);
    let held = select_unpredictable(is_same_cell, word, target);
    // SAFETY: as for `load_slot`.
    unsafe { Slot::store(slot, held) };
    held
}

/// Has memory fetched that will be read soon.
#[inline(always)]
fn prefetch(object: *mut u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fetching ahead has no effect, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(object.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = object;
}

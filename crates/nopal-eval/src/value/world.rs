//! What the threads of one evaluation share: the memory, the tables of the heap, and the agreement on when everybody
//! stands still so that memory can be collected.
//!
//! A thread stands still in two cases: when somebody collects, at the next time it takes memory; and while it waits for
//! something. Then it has told where its roots are and touches no value. Whoever collects waits until all others stand.
//! No thread may take memory while it holds one of the locks here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use hashbrown::HashTable;

use super::attrs::Shape;
use super::chunk::{Chunk, Supply};
use super::heap::Heap;
use super::roots;
use super::space::Space;
use super::word::Value;
use crate::native_stack;
use crate::sync::{lock, wait};

/// Most keys in all shapes that are made at run time and kept to be shared: a bound on memory. Later ones are not shared.
const MAX_SHARED_KEYS: usize = 8 << 20;

/// A shape of more keys is large.
const LARGE_SHAPE: usize = 256;

/// Most keys in large shapes that are shared. A set that grows step by step has a new large shape at each; those that are
/// worth sharing, such as of all packages, are made early.
const MAX_LARGE_SHARED_KEYS: usize = 256 << 10;

/// Shapes made at run time, with their hashes.
#[derive(Default)]
pub(super) struct Shapes {
    pub(super) table: HashTable<(u64, Shape)>,
    /// Those of them that are not old.
    pub(super) young: Vec<Shape>,
    /// Keys in them, in all: in small ones and in large ones.
    keys: usize,
    large_keys: usize,
}

impl Shapes {
    /// The shape with this hash for which `same` holds.
    pub(super) fn find(&self, hash: u64, same: impl FnMut(&(u64, Shape)) -> bool) -> Option<Shape> {
        self.table.find(hash, same).map(|(_, shape)| *shape)
    }

    /// Whether there is room for one more, of so many keys.
    pub(super) fn has_room(&self, len: usize) -> bool {
        if len > LARGE_SHAPE {
            self.large_keys + len <= MAX_LARGE_SHARED_KEYS
        } else {
            self.keys + len <= MAX_SHARED_KEYS
        }
    }

    /// Adds a shape that is not in the table, and returns it.
    pub(super) fn add(&mut self, hash: u64, shape: Shape) -> Shape {
        let len = shape.len();
        *(if len > LARGE_SHAPE { &mut self.large_keys } else { &mut self.keys }) += len;
        self.table.insert_unique(hash, (hash, shape), |(hash, _)| *hash);
        self.young.push(shape);
        shape
    }
}

/// What is never to be collected.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) values: Vec<Value>,
    /// So many of them are old.
    pub(super) old: usize,
    /// Those of them that are unique strings, with their hashes.
    pub(super) strings: HashTable<(u64, Value)>,
}

/// See the module.
pub(super) struct World {
    space: Mutex<Space>,
    supply: Mutex<Supply>,
    /// Whether a collection pays.
    is_due: Arc<AtomicBool>,
    shapes: Mutex<Shapes>,
    /// Constants of code, and whatever else is never to be collected.
    kept: Mutex<Kept>,
    /// See [`Heap::changed`]: those of threads that stand still. And old objects that are not complete yet.
    changed: Mutex<Vec<Value>>,
    threads: Mutex<Threads>,
    /// A thread stands still, is gone, or may go on.
    moved: Condvar,
    /// Whether somebody collects, or wants to.
    stop: AtomicBool,
    /// Whether all threads but the first are to end.
    ending: AtomicBool,
    pub(super) collections: AtomicU64,
    /// Whether all is looked through whenever memory is taken.
    pub(super) collects_always: bool,
}

// SAFETY: values and shapes in the tables are words that only mean something to threads that take part in the evaluation;
// those read objects that are complete before their address is shared, and change them by atomic operations only.
unsafe impl Send for World {}
// SAFETY: as above; the tables are behind locks.
unsafe impl Sync for World {}

/// The threads that take part.
struct Threads {
    present: usize,
    /// By number of the thread: where its roots are, while it stands still.
    standing: Vec<Option<Standing>>,
    collecting: bool,
}

/// The roots of a thread that stands still.
pub(super) struct Standing {
    /// Its native stack: from and to.
    pub(super) native: (usize, usize),
    /// Its value stack: address and length in words. Exactly values.
    pub(super) slots: (usize, usize),
    /// Its root vectors.
    pub(super) buffers: Vec<(usize, usize)>,
}

impl World {
    pub(super) fn new(collect_after_bytes: usize) -> World {
        let is_due = Arc::new(AtomicBool::new(false));
        World {
            space: Mutex::new(Space::new(collect_after_bytes, is_due.clone())),
            supply: Mutex::default(),
            is_due,
            shapes: Mutex::default(),
            kept: Mutex::default(),
            changed: Mutex::default(),
            threads: Mutex::new(Threads { present: 1, standing: vec![None], collecting: false }),
            moved: Condvar::new(),
            stop: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            collections: AtomicU64::new(0),
            collects_always: collect_after_bytes == 0,
        }
    }

    pub(super) fn space(&self) -> MutexGuard<'_, Space> {
        lock(&self.space)
    }

    /// Takes memory out of the space. Where that needs another chunk, others have the space while it is opened.
    pub(super) fn take<'a, T>(
        &'a self,
        mut space: MutexGuard<'a, Space>,
        mut take: impl FnMut(&mut Space) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(taken) = take(&mut space) {
                return Some(taken);
            }
            drop(space);
            let chunk = lock(&self.supply).chunk()?;
            chunk.open();
            space = self.space();
            space.add(chunk);
        }
    }

    /// Takes memory for an object that has a chunk of its own.
    pub(super) fn take_large(&self, bytes: usize) -> Option<*mut u64> {
        let chunk = Chunk::map_large(bytes)?;
        self.space().add_large(chunk);
        Some(chunk.first_object())
    }

    /// Whether a collection pays.
    pub(super) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Relaxed)
    }

    pub(super) fn shapes(&self) -> MutexGuard<'_, Shapes> {
        lock(&self.shapes)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }

    pub(super) fn changed(&self) -> MutexGuard<'_, Vec<Value>> {
        lock(&self.changed)
    }

    /// Another thread takes part from now on; its number.
    pub(super) fn join(&self) -> u8 {
        let mut threads = lock(&self.threads);
        while threads.collecting {
            threads = wait(&self.moved, threads);
        }
        threads.present += 1;
        threads.standing.push(None);
        (threads.standing.len() - 1) as u8
    }

    /// A thread takes part no more.
    pub(super) fn leave(&self) {
        lock(&self.threads).present -= 1;
        self.moved.notify_all();
    }

    /// Whether somebody wants all to stand still.
    #[inline(always)]
    pub(super) fn wants_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Makes all threads but the first give up soon.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Runs `collect` while all others stand still, with their roots; `None` if somebody else was about to.
    pub(super) fn alone<T>(&self, collect: impl FnOnce(&[Option<Standing>]) -> T) -> Option<T> {
        let mut threads = lock(&self.threads);
        if threads.collecting {
            return None;
        }
        threads.collecting = true;
        self.stop.store(true, Ordering::Relaxed);
        while threads.standing.iter().flatten().count() + 1 < threads.present {
            threads = wait(&self.moved, threads);
        }
        let result = collect(&threads.standing);
        self.collections.fetch_add(1, Ordering::Relaxed);
        threads.collecting = false;
        self.stop.store(false, Ordering::Relaxed);
        drop(threads);
        self.moved.notify_all();
        Some(result)
    }
}

impl Heap {
    /// Where the roots of this thread are, whose native stack is in use between these addresses.
    pub(super) fn standing(&self, here: usize, begin: usize) -> Standing {
        Standing { native: (here, begin), slots: self.stack.range(), buffers: roots::buffers() }
    }

    /// Stands still while `wait` waits, and while somebody collects. `wait` must not touch a value.
    #[inline(never)]
    pub(crate) fn stand<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        self.retire_runs();
        self.tell_changed();
        let world = self.world.clone();
        let number = usize::from(self.thread);
        native_stack::standing(|here, begin| {
            lock(&world.threads).standing[number] = Some(self.standing(here, begin));
            world.moved.notify_all();
            let result = wait();
            let mut threads = lock(&world.threads);
            while threads.collecting {
                threads = crate::sync::wait(&world.moved, threads);
            }
            threads.standing[number] = None;
            result
        })
    }
}

/// The heap of another thread that is to take part: what that thread makes its heap from.
pub(crate) struct Invitation {
    pub(super) world: Arc<World>,
    pub(super) constants: super::heap::Constants,
    pub(super) max_memory_bytes: Option<usize>,
}

// SAFETY: the constants are values that are never collected, for a thread that takes part in the evaluation.
unsafe impl Send for Invitation {}

/// A value on its way to another thread of the same evaluation, or in a table that all have. Somebody else must keep it
/// from being collected.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) T);

// SAFETY: as for `World`: what is behind a value that is shared is complete, and changes by atomic operations only.
unsafe impl Send for Shared<Value> {}
// SAFETY: as above.
unsafe impl Sync for Shared<Value> {}

//! Additions beside the caller's work: what is given is written by a thread of its own, many paths at once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nopal_format::derivation::Instantiated;
use nopal_format::{Derivation, Hash, HashAlgorithm, PathInfo, StorePath};
use nopal_report::Activity;
use rustc_hash::FxHashMap;

use crate::add::{AddOptions, stage_text};
use crate::error::StoreError;
use crate::install::{Round, Staged, known_outputs};
use crate::store::Store;
use crate::tree::EntryFilter;

/// Paths that become valid together, at least, if enough are given: that takes a sync and touches many pages of the
/// database, however few they are. The last ones do when nothing else is left to do, and should not be many.
const ROUND_PATHS: usize = 1024;

/// So many paths are worth waking the thread, which gives them their names and contents.
const SOME_PATHS: usize = 64;

/// For so long the thread waits for more before what it has becomes valid: no other process adds anything meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);

/// So many bytes may wait in memory before whoever adds more has to wait, or to write them.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Adds paths to a store behind the caller's back. They become valid in the order in which they were given, many
/// together; [`finish`](Self::finish) waits until all are. What was not finished when this is dropped may not be added.
#[derive(Debug)]
pub struct Additions {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue {
    store: Store,
    state: Mutex<State>,
    /// Told when there is more to write, or somebody waits for it.
    waiting: Condvar,
    /// Told when more may be given, or some have become valid.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<Item>,
    bytes: usize,
    /// How many were given, how many of these have been written, and how many somebody waits for.
    given: u64,
    done: u64,
    wanted: u64,
    /// Paths given and not yet valid, with their texts, if they are such.
    pending: FxHashMap<StorePath, Option<Arc<[u8]>>>,
    /// Whether somebody writes.
    writing: bool,
    closed: bool,
    failure: Option<StoreError>,
}

#[derive(Debug)]
enum Item {
    Text(Text),
    Staged(Box<Staged>),
}

#[derive(Debug)]
struct Text {
    path: StorePath,
    bytes: Arc<[u8]>,
    hash: Hash,
    references: BTreeSet<StorePath>,
    /// Of a derivation, those that are known before it is built.
    outputs: Option<BTreeMap<String, StorePath>>,
}

impl Item {
    fn path(&self) -> &StorePath {
        match self {
            Self::Text(text) => &text.path,
            Self::Staged(staged) => &staged.info.path,
        }
    }

    fn text(&self) -> Option<Arc<[u8]>> {
        match self {
            Self::Text(text) => Some(text.bytes.clone()),
            Self::Staged(_) => None,
        }
    }

    fn references(&self) -> &BTreeSet<StorePath> {
        match self {
            Self::Text(text) => &text.references,
            Self::Staged(staged) => &staged.info.references,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.bytes.len(),
            Self::Staged(staged) => staged.size(),
        }
    }

    fn stage(self) -> Staged {
        match self {
            Self::Text(text) => stage_text(text.path, text.bytes, text.hash, text.references, text.outputs),
            Self::Staged(staged) => *staged,
        }
    }
}

impl Additions {
    /// Nothing is added yet, and no thread runs before there is much to add.
    pub fn new(store: Store) -> Self {
        let queue = Queue { store, state: Mutex::default(), waiting: Condvar::new(), written: Condvar::new() };
        Self { queue: Arc::new(queue), thread: Mutex::new(None) }
    }

    /// Adds a derivation, given with what it is in the store.
    pub fn derivation(&self, derivation: &Derivation, made: &Instantiated<'_>) -> Result<(), StoreError> {
        self.queue.store.writable("add a derivation")?;
        let outputs = match &made.fixed_output {
            Some(path) => BTreeMap::from([("out".to_owned(), path.clone())]),
            None => known_outputs(self.queue.store.store_dir(), derivation),
        };
        self.push(Item::Text(Text {
            path: made.path.clone(),
            bytes: made.aterm.into(),
            hash: made.text_hash,
            references: derivation.references(),
            outputs: Some(outputs),
        }));
        Ok(())
    }

    /// Adds a text file, given with the path that follows from it.
    pub fn text(&self, path: &StorePath, text: Arc<[u8]>, references: BTreeSet<StorePath>) -> Result<(), StoreError> {
        self.queue.store.writable("add a text")?;
        let hash = Hash::of(HashAlgorithm::Sha256, &text);
        self.push(Item::Text(Text { path: path.clone(), bytes: text, hash, references, outputs: None }));
        Ok(())
    }

    /// Adds the tree at `source`, as [`Store::add_path`] does; it has been read when this returns.
    pub fn path(
        &self,
        source: &Path,
        options: &AddOptions,
        filter: Option<&mut EntryFilter<'_>>,
    ) -> Result<PathInfo, StoreError> {
        let store = &self.queue.store;
        let activity = store.reporter().start(Activity::AddToStore { name: options.name.clone() });
        let (info, tree) = store.take_in(source, options, filter)?;
        // a large tree is not written to disk for nothing
        if tree.is_small() || !self.is_valid(&info.path)? {
            self.push(Item::Staged(Box::new(tree.stage(info.clone())?)));
        }
        activity.progress(info.nar_size, Some(info.nar_size));
        activity.succeed();
        Ok(info)
    }

    fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        self.queue.store.add_temp_root(path)?;
        self.queue.store.is_valid(path)
    }

    /// Whether a path was given that is not valid yet.
    pub fn is_pending(&self, path: &StorePath) -> bool {
        self.queue.lock().pending.contains_key(path)
    }

    /// The text that was given as a path that is not valid yet.
    pub fn pending_text(&self, path: &StorePath) -> Option<Arc<[u8]>> {
        self.queue.lock().pending.get(path)?.clone()
    }

    /// Waits until all that was given is valid.
    ///
    /// # Errors
    /// The first of those that have occurred since this was last called. What was to become valid together with what
    /// failed is not added.
    pub fn finish(&self) -> Result<(), StoreError> {
        let mut state = self.queue.lock();
        let goal = state.given;
        self.queue.want(&mut state);
        while state.done < goal {
            state = self.queue.proceed(state);
        }
        state.failure.take().map_or(Ok(()), Err)
    }

    /// Says that nothing more is given before [`finish`](Self::finish), so that there is no need to wait for it.
    pub fn end(&self) {
        self.queue.want(&mut self.queue.lock());
    }

    fn push(&self, item: Item) {
        let mut state = self.queue.lock();
        while state.bytes > WAITING_BYTES {
            state = self.queue.proceed(state);
        }
        match state.pending.entry(item.path().clone()) {
            Entry::Occupied(_) => return,
            Entry::Vacant(slot) => slot.insert(item.text()),
        };
        state.given += 1;
        state.bytes += item.size();
        state.items.push(item);
        if state.items.len() == SOME_PATHS {
            drop(state);
            self.start();
            self.queue.waiting.notify_one();
        }
    }

    /// Starts the thread if it does not run. Without it, the callers write.
    fn start(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let queue = self.queue.clone();
            let builder = std::thread::Builder::new().name("store".to_owned());
            *thread = builder.spawn(move || queue.serve()).ok();
        }
    }
}

impl Drop for Additions {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        // nobody waits for these any more
        state.items.clear();
        drop(state);
        self.queue.waiting.notify_all();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // it has nothing to tell that was not asked for with `finish`
        let _ = thread.map(JoinHandle::join);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody waits for all that was given.
    fn want(&self, state: &mut State) {
        state.wanted = state.given;
        self.waiting.notify_one();
    }

    /// What the thread does.
    fn serve(&self) {
        let mut state = self.lock();
        while !state.closed {
            state = if state.is_worth_it() && !state.writing {
                self.write(state, ROUND_PATHS)
            } else {
                self.waiting.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Waits for what is being written, or else writes what waits.
    fn proceed<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.writing {
            self.written.wait(state).unwrap_or_else(PoisonError::into_inner)
        } else {
            self.write(state, 0)
        }
    }

    /// Writes what waits, and what is given meanwhile until that makes `enough`. The caller has seen that nobody else
    /// writes.
    fn write<'a>(&'a self, mut state: MutexGuard<'a, State>, enough: usize) -> MutexGuard<'a, State> {
        state.writing = true;
        let mut paths = Vec::new();
        let (mut state, result) = self.write_round(state, enough, &mut paths);
        state.writing = false;
        state.done += paths.len() as u64;
        for path in &paths {
            state.pending.remove(path);
        }
        if let Err(error) = result {
            state.failure.get_or_insert(error);
        }
        self.written.notify_all();
        // more may have come meanwhile, of which the thread was not told
        self.waiting.notify_one();
        state
    }

    /// The same; the paths of all that was taken are added to `paths`.
    fn write_round<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        enough: usize,
        paths: &mut Vec<StorePath>,
    ) -> (MutexGuard<'a, State>, Result<(), StoreError>) {
        let mut round = None;
        loop {
            let items = std::mem::take(&mut state.items);
            if std::mem::take(&mut state.bytes) > WAITING_BYTES {
                self.written.notify_all();
            }
            drop(state);
            let mut result = self.place(items, &mut round, paths, enough > 0);
            state = self.lock();
            if result.is_ok() {
                let goes_on;
                (state, goes_on) = self.more(state, paths.len(), enough);
                if goes_on {
                    continue;
                }
            }
            drop(state);
            if let (Some(round), Ok(())) = (round, &result) {
                result = round.finish();
            }
            return (self.lock(), result);
        }
    }

    /// Waits for more than the paths `taken`, which are to be `enough`. Whether there is more.
    fn more<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        taken: usize,
        enough: usize,
    ) -> (MutexGuard<'a, State>, bool) {
        let begin = Instant::now();
        loop {
            let rest = PATIENCE.saturating_sub(begin.elapsed());
            if state.closed || taken >= enough {
                return (state, false);
            }
            if state.is_worth_it() {
                return (state, true);
            }
            if state.wanted > state.done || rest.is_zero() {
                return (state, false);
            }
            state = self.waiting.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives contents to what is not valid yet, in a round that begins with the first, and may have more later.
    fn place<'a>(
        &'a self,
        items: Vec<Item>,
        round: &mut Option<Round<'a>>,
        paths: &mut Vec<StorePath>,
        may_have_more: bool,
    ) -> Result<(), StoreError> {
        let store = &self.store;
        let from = paths.len();
        paths.extend(items.iter().map(|item| item.path().clone()));
        let paths = &paths[from..];
        store.protect(paths.iter().chain(items.iter().flat_map(Item::references)))?;
        let round = match round {
            Some(round) => round,
            None => {
                let locks = if may_have_more { store.lock_all_paths()? } else { store.lock_paths(paths)? };
                round.insert(Round::new(store, locks)?)
            }
        };
        let valid = store.valid_of(paths)?;
        let fresh = items.into_iter().filter(|item| !valid.contains(item.path()));
        round.place(fresh.map(Item::stage).collect(), &BTreeSet::new())
    }
}

impl State {
    /// Whether there is something for the thread to do.
    fn is_worth_it(&self) -> bool {
        self.items.len() >= SOME_PATHS || self.wanted > self.done && !self.items.is_empty()
    }
}

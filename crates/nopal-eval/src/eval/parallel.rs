//! Evaluation by several threads.
//!
//! The first thread evaluates exactly as it would alone: it decides what is shown, in which order, and which error is
//! reported. The others run ahead of it. Where the first thread is about to evaluate one value after the other, it offers
//! those that come later ([`Evaluator::each`]); a thread with nothing to do takes one and evaluates it for the sake of the
//! thunks that get their values by that. Running ahead is without effect but for that: a failed thunk is as it was before,
//! what would show a message, build or fetch fails, and what is computed after such a failure is not kept
//! ([`Evaluator::is_tainted`]).
//!
//! A thread that needs a thunk which another one evaluates waits for it, and meanwhile runs ahead with something else. If
//! threads wait for each other in a circle, the value needs itself: then one that runs ahead gives up, so that the first
//! thread finds the circle alone.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nopal_format::derivation::{DrvHashes, Instantiated};
use nopal_format::{BuiltPath, Derivation, StorePath};
use nopal_syntax::Symbol;

use super::{Common, Evaluator};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{
    AddPath, ClosureInfo, ClosureRequest, FetchRequest, Fetched, FileType, Filter, Host, HostError, HostResult,
    Listing, Message, SourceKey, Wanted,
};
use crate::pos::Pos;
use crate::settings::Settings;
use crate::sync::{lock, wait};
use crate::value::word::{Kind, MAX_THREADS};
use crate::value::world::{Invitation, Shared};
use crate::value::{Attrs, Heap, Value, ValueVec};

/// How long a thread that waits for another one sleeps at most before it looks again.
const NAP: Duration = Duration::from_millis(1);

/// So many tasks are begun in vain while a thread waits: they, too, need what another thread is evaluating.
const PATIENCE: usize = 16;

/// What is done with a value that is offered.
pub(crate) type Ahead = fn(&mut Evaluator, Value) -> Result<()>;

/// A value that somebody is about to evaluate, and how.
struct Task {
    offer: u64,
    value: Shared<Value>,
    ahead: Ahead,
    depth: usize,
}

/// What one thread offers. It keeps the values from being collected until it takes the offer back.
struct Offer {
    id: u64,
    /// The next one to be taken is the last: whoever offers them begins with the first.
    values: VecDeque<Shared<Value>>,
    ahead: Ahead,
    depth: usize,
}

/// The threads that run ahead, and what they share.
pub(crate) struct Team {
    state: Mutex<State>,
    changed: Condvar,
    /// Threads with nothing to do: those that were not started, too, and those that wait for another one.
    hungry: AtomicUsize,
    is_ending: AtomicBool,
}

struct State {
    offers: VecDeque<Offer>,
    next_id: u64,
    /// Threads that sleep until something changes.
    sleepers: usize,
    /// By thread: the thread whose thunk it waits for.
    waits_for: [Option<u8>; MAX_THREADS],
    /// By thread: whether it is to give up, because others wait for it in a circle.
    gives_up: [bool; MAX_THREADS],
}

/// The end of a nap.
enum Woken {
    /// Look again.
    Look,
    /// Give up what is evaluated ahead.
    GiveUp,
}

impl Team {
    /// A team of so many threads, of which only the first exists.
    pub(super) fn new(threads: usize) -> Team {
        let state = State {
            offers: VecDeque::new(),
            next_id: 0,
            sleepers: 0,
            waits_for: [None; MAX_THREADS],
            gives_up: [false; MAX_THREADS],
        };
        let hungry = AtomicUsize::new(threads.clamp(1, MAX_THREADS) - 1);
        Team { state: Mutex::new(state), changed: Condvar::new(), hungry, is_ending: AtomicBool::new(false) }
    }

    /// Whether a thread has nothing to do.
    #[inline(always)]
    fn is_hungry(&self) -> bool {
        self.hungry.load(Ordering::Relaxed) > 0
    }

    fn offer(&self, values: &[Value], ahead: Ahead, depth: usize) -> u64 {
        let mut state = lock(&self.state);
        state.next_id += 1;
        let id = state.next_id;
        let values = values.iter().map(|value| Shared(*value)).collect();
        state.offers.push_back(Offer { id, values, ahead, depth });
        self.notify(&state);
        id
    }

    fn take_back(&self, id: u64) {
        lock(&self.state).offers.retain(|offer| offer.id != id);
    }

    /// Something to do: of what was offered first.
    fn take(&self) -> Option<Task> {
        let mut state = lock(&self.state);
        while let Some(offer) = state.offers.front_mut() {
            if let Some(value) = offer.values.pop_back() {
                return Some(Task { offer: offer.id, value, ahead: offer.ahead, depth: offer.depth });
            }
            state.offers.pop_front();
        }
        None
    }

    /// Lets somebody else do it, after all that is offered now.
    fn give_back(&self, task: &Task) {
        let mut state = lock(&self.state);
        let at = state.offers.iter().position(|offer| offer.id == task.offer);
        if let Some(mut offer) = at.and_then(|at| state.offers.remove(at)) {
            offer.values.push_front(task.value);
            state.offers.push_back(offer);
        }
    }

    /// Waits until there is something to do. Whether the team goes on.
    fn rest(&self, was_started: bool) -> bool {
        if was_started {
            self.hungry.fetch_add(1, Ordering::Relaxed);
        }
        let mut state = lock(&self.state);
        while state.offers.is_empty() && !self.is_ending.load(Ordering::Relaxed) {
            state.sleepers += 1;
            state = wait(&self.changed, state);
            state.sleepers -= 1;
        }
        self.hungry.fetch_sub(1, Ordering::Relaxed);
        !self.is_ending.load(Ordering::Relaxed)
    }

    /// Sleeps until `still` is false or there is something to do, or for a while; `owner` is the thread waited for.
    fn nap(&self, thread: u8, owner: u8, helps: bool, still: impl Fn() -> bool) -> Woken {
        let mut state = lock(&self.state);
        state.waits_for[usize::from(thread)] = Some(owner);
        if state.is_circle(thread) {
            if thread != 0 {
                state.waits_for[usize::from(thread)] = None;
                return Woken::GiveUp;
            }
            state.gives_up[usize::from(owner)] = true;
            self.notify(&state);
        }
        let has_work = helps && !state.offers.is_empty();
        if !has_work && !state.gives_up[usize::from(thread)] && still() {
            // meanwhile the others offer what they come across
            self.hungry.fetch_add(1, Ordering::Relaxed);
            state.sleepers += 1;
            state = self.changed.wait_timeout(state, NAP).unwrap_or_else(PoisonError::into_inner).0;
            state.sleepers -= 1;
            self.hungry.fetch_sub(1, Ordering::Relaxed);
        }
        state.waits_for[usize::from(thread)] = None;
        let gives_up = std::mem::take(&mut state.gives_up[usize::from(thread)]);
        let is_ending = thread != 0 && self.is_ending.load(Ordering::Relaxed);
        if gives_up || is_ending { Woken::GiveUp } else { Woken::Look }
    }

    /// Wakes threads that wait for a thunk.
    #[cold]
    fn wake(&self) {
        self.notify(&lock(&self.state));
    }

    /// Wakes those that sleep, if there are some: it takes a call of the system.
    fn notify(&self, state: &State) {
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
    }

    fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.wake();
    }
}

impl State {
    /// Does a thread wait, through others, for itself?
    fn is_circle(&self, thread: u8) -> bool {
        let mut next = self.waits_for[usize::from(thread)];
        for _ in 0..MAX_THREADS {
            match next {
                Some(other) if other == thread => return true,
                Some(other) => next = self.waits_for[usize::from(other)],
                None => return false,
            }
        }
        false
    }
}

/// A set that is gone through in an order that may not be the one a thread alone would have.
#[derive(Default)]
pub(super) struct Doubt {
    /// The attribute that the thread is at, if it is known.
    attribute: Option<usize>,
    /// The one that showed messages.
    shows: Option<usize>,
}

/// Whether a set is gone through in such an order.
#[derive(Clone, Copy)]
pub(super) struct InDoubt(bool);

/// May it take some time to look at this value and at all that it holds?
fn takes_time(value: Value) -> bool {
    !matches!(value.follow().kind(), None | Some(Kind::Int | Kind::Float | Kind::Str | Kind::StrCtx | Kind::Path))
}

/// The threads of a team but the first; dropping it ends them.
#[derive(Default)]
pub(super) struct Workers(Vec<JoinHandle<()>>);

/// What another thread makes its evaluator from: the parts that threads share or copy.
struct Recruit {
    heap: Invitation,
    globals: Vec<(Symbol, Shared<Value>)>,
    symbols: nopal_syntax::Interner,
    contexts: crate::context::Contexts,
    positions: crate::pos::PosTable,
    settings: Settings,
    drv_hashes: DrvHashes,
    mounts: Vec<(Vec<u8>, crate::host::Mount)>,
    common: Arc<Common>,
    team: Arc<Team>,
    host: Arc<dyn Host>,
}

impl Evaluator {
    /// Calls `each` with every index below `len`, in order. Meanwhile other threads may run `ahead` with values that come
    /// later, as `value` tells them.
    #[inline]
    pub(crate) fn each(
        &mut self,
        len: usize,
        value: impl Fn(usize) -> Value,
        ahead: Ahead,
        mut each: impl FnMut(&mut Evaluator, usize) -> Result<()>,
    ) -> Result<()> {
        for index in 0..len {
            if self.team.is_hungry() && index + 1 < len && self.start_workers() {
                // the collector may put other words into the place that they are in; not so here
                let later = (index + 1..len).map(&value).filter(|value| takes_time(*value)).collect::<ValueVec>();
                if !later.is_empty() {
                    return self.each_offered(index..len, &later, ahead, &mut each);
                }
            }
            each(self, index)?;
        }
        Ok(())
    }

    /// The rest of [`Evaluator::each`], after an offer.
    #[cold]
    fn each_offered(
        &mut self,
        rest: std::ops::Range<usize>,
        later: &ValueVec,
        ahead: Ahead,
        each: &mut dyn FnMut(&mut Evaluator, usize) -> Result<()>,
    ) -> Result<()> {
        let team = self.team.clone();
        let offer = team.offer(later, ahead, self.depth);
        let result = rest.into_iter().try_for_each(|index| each(self, index));
        team.take_back(offer);
        result
    }

    /// Starts the other threads, if there is enough to do. Whether there are some.
    fn start_workers(&mut self) -> bool {
        if self.is_alone {
            return false;
        }
        if self.heap.is_shared() {
            return true;
        }
        let is_small = self.heap.allocated_bytes() < self.settings.parallel_after_bytes as u64;
        if is_small || self.is_observed() || self.heap.is_held() {
            return false;
        }
        for _ in 1..self.settings.threads.clamp(1, MAX_THREADS) {
            let recruit = Recruit {
                heap: self.heap.invite(),
                globals: self.globals.iter().map(|(name, value)| (*name, Shared(*value))).collect(),
                symbols: self.symbols.clone(),
                contexts: self.contexts.clone(),
                positions: self.positions.clone(),
                settings: self.settings.clone(),
                drv_hashes: self.drv_hashes.clone(),
                mounts: self.mounts.clone(),
                common: self.common.clone(),
                team: self.team.clone(),
                host: self.host.clone(),
            };
            match crate::native_stack::spawn(move || recruit.evaluator().run_ahead()) {
                Some(worker) => self.workers.0.push(worker),
                // one less
                None => _ = self.team.hungry.fetch_sub(1, Ordering::Relaxed),
            }
        }
        !self.workers.0.is_empty()
    }

    /// Does something without offering any of it to other threads.
    pub(super) fn alone<T>(&mut self, work: impl FnOnce(&mut Evaluator) -> T) -> T {
        let was_alone = std::mem::replace(&mut self.is_alone, true);
        let result = work(self);
        self.is_alone = was_alone;
        result
    }

    /// The life of a thread that runs ahead.
    fn run_ahead(mut self) {
        let team = self.team.clone();
        let mut was_started = false;
        while self.heap.stand(|| team.rest(was_started)) {
            was_started = true;
            while let Some(task) = team.take() {
                self.run_task(&task);
            }
        }
        self.heap.leave();
    }

    /// Runs ahead with a task; whether it came to its end.
    fn run_task(&mut self, task: &Task) -> bool {
        let depth = std::mem::replace(&mut self.depth, task.depth);
        let was_ahead = self.go_ahead(true);
        let was_alone = std::mem::replace(&mut self.is_alone, false);
        let result = (task.ahead)(self, task.value.0);
        let is_done = result.is_ok() && !self.is_tainted();
        self.tainted.store(false, Ordering::Relaxed);
        self.go_ahead(was_ahead);
        (self.depth, self.is_alone) = (depth, was_alone);
        is_done
    }

    /// From now on this thread runs ahead, or does not; whether it did.
    fn go_ahead(&mut self, is_ahead: bool) -> bool {
        self.symbols.set_ahead(is_ahead);
        std::mem::replace(&mut self.is_ahead, is_ahead)
    }

    /// Goes through attributes in the order of their names' symbols.
    ///
    /// Symbols that were made ahead may have another order than one thread alone would give them. That shows where several
    /// attributes show messages or one fails, and where an answer depends on which is looked at first. Then this ends with
    /// an error that nothing catches, so that all is evaluated again by one thread ([`super::evaluate`]).
    #[inline]
    pub(super) fn in_order<T>(
        &mut self,
        sets: &[Attrs],
        depends: impl FnOnce(&T) -> bool,
        work: impl FnOnce(&mut Self, InDoubt) -> Result<T>,
    ) -> Result<T> {
        if self.heap.is_shared() && sets.iter().any(|set| self.is_order_doubtful(*set)) {
            self.in_doubtful_order(depends, work)
        } else {
            work(self, InDoubt(false))
        }
    }

    /// Does another name come after one that was made ahead? Those before it are before it in any case.
    fn is_order_doubtful(&self, attrs: Attrs) -> bool {
        let mut is_after = false;
        attrs.iter().any(|(name, ..)| std::mem::replace(&mut is_after, self.symbols.is_made_ahead(name)))
    }

    #[cold]
    fn in_doubtful_order<T>(
        &mut self,
        depends: impl FnOnce(&T) -> bool,
        work: impl FnOnce(&mut Self, InDoubt) -> Result<T>,
    ) -> Result<T> {
        self.doubts.get_mut().push(Doubt::default());
        let result = work(self, InDoubt(true));
        self.doubts.get_mut().pop();
        match result {
            Ok(result) if !self.is_doubted.get() && !depends(&result) => {
                if !self.is_in_doubt() {
                    self.kept_back.take().into_iter().for_each(|message| self.emit(message));
                }
                Ok(result)
            }
            _ => Err(self.give_up()),
        }
    }

    /// Takes note that this thread comes to an attribute of the set that it goes through.
    #[inline(always)]
    pub(super) fn comes_to(&mut self, attribute: usize, in_doubt: InDoubt) {
        if in_doubt.0
            && let Some(doubt) = self.doubts.get_mut().last_mut()
        {
            doubt.attribute = Some(attribute);
        }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        !self.doubts.borrow().is_empty()
    }

    /// Keeps a message until there is no doubt. If several attributes of a set show some, their order is not known.
    #[cold]
    pub(super) fn keep_back(&self, message: Message) {
        for doubt in &mut *self.doubts.borrow_mut() {
            if doubt.attribute.is_none() || doubt.shows.is_some() && doubt.shows != doubt.attribute {
                self.is_doubted.set(true);
            }
            doubt.shows = doubt.attribute;
        }
        self.kept_back.borrow_mut().push(message);
    }

    /// Does this thread run ahead at this time?
    #[inline(always)]
    pub(super) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// Whether this thread runs ahead and met something that it must not do: then nothing it computes is kept.
    #[inline(always)]
    pub(super) fn is_tainted(&self) -> bool {
        self.is_ahead && self.tainted.load(Ordering::Relaxed)
    }

    /// From now on nothing is kept until the task ends.
    pub(super) fn taint(&self) {
        self.tainted.store(true, Ordering::Relaxed);
    }

    /// The error that ends an evaluation ahead.
    #[cold]
    pub(super) fn give_up(&self) -> Error {
        Error::new(ErrorKind::Interrupted, "evaluation ahead is given up")
    }

    /// Waits while `still` holds: the time in which another thread evaluates something.
    ///
    /// # Errors
    /// This thread runs ahead and is to give up.
    #[cold]
    pub(super) fn wait_for(&mut self, owner: u8, still: impl Fn() -> bool) -> Result<()> {
        // A thread that runs ahead while it waits waits for nothing.
        if self.is_helping {
            return Err(self.give_up());
        }
        let (team, thread) = (self.team.clone(), self.heap.thread());
        let mut patience = PATIENCE;
        while still() {
            if patience > 0
                && let Some(task) = team.take()
            {
                self.is_helping = true;
                let is_done = self.run_task(&task);
                self.is_helping = false;
                if !is_done {
                    patience -= 1;
                    team.give_back(&task);
                }
                continue;
            }
            match self.heap.stand(|| team.nap(thread, owner, patience > 0, &still)) {
                Woken::Look => patience = PATIENCE,
                Woken::GiveUp => return Err(self.give_up()),
            }
        }
        Ok(())
    }

    /// Takes over hashes of a derivation's inputs that other threads made.
    pub(crate) fn learn_hashes(&self, drv: &Derivation, hashes: &mut DrvHashes) {
        if !self.heap.is_shared() {
            return;
        }
        for input in drv.input_drvs.keys() {
            if hashes.known(input).is_none()
                && let Some(hash) = lock(&self.common.made).get(input)
            {
                hashes.learn(input, hash.clone());
            }
        }
    }

    /// Lets other threads have the hash of a derivation that this one made.
    pub(crate) fn share_hash(&self, path: &StorePath) {
        if self.heap.is_shared()
            && let Some(hash) = self.drv_hashes.known(path)
        {
            lock(&self.common.made).insert(path.clone(), hash.clone());
        }
    }

    /// Wakes threads that wait for something that this one did.
    #[cold]
    pub(super) fn wake_others(&self) {
        self.team.wake();
    }
}

impl Recruit {
    /// The evaluator of the current thread.
    fn evaluator(self) -> Evaluator {
        let heap = Heap::join(self.heap);
        let mut evaluator = Evaluator::with(heap, self.settings, self.host, self.common, self.team);
        evaluator.symbols = self.symbols;
        evaluator.contexts = self.contexts;
        evaluator.positions = self.positions;
        evaluator.globals = self.globals.into_iter().map(|(name, value)| (name, value.0)).collect();
        evaluator.drv_hashes = self.drv_hashes;
        evaluator.mounts = self.mounts;
        evaluator.go_ahead(true);
        evaluator
    }
}

impl Evaluator {
    /// Ends the threads that run ahead.
    pub(super) fn end_workers(&mut self) {
        if self.workers.0.is_empty() {
            return;
        }
        self.heap.end_others();
        self.team.end();
        let workers = std::mem::take(&mut self.workers.0);
        // they may have to stand still before they end
        self.heap.stand(|| {
            for worker in workers {
                // a panic there was told by the thread itself, and this evaluation is complete
                let _ = worker.join();
            }
        });
    }
}

/// The host as a thread sees it that runs ahead: what others would notice is refused.
pub(super) struct Quiet {
    pub(super) host: Arc<dyn Host>,
    pub(super) tainted: Arc<AtomicBool>,
}

impl Quiet {
    fn refuse<T>(&self) -> HostResult<T> {
        self.tainted.store(true, Ordering::Relaxed);
        Err(HostError::Interrupted)
    }
}

impl Host for Quiet {
    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>> {
        self.host.file_type(path)
    }

    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        self.host.read_file(path)
    }

    fn read_dir(&self, path: &Path) -> HostResult<Listing> {
        self.host.read_dir(path)
    }

    fn read_link(&self, path: &Path) -> HostResult<Vec<u8>> {
        self.host.read_link(path)
    }

    fn add_path(&self, request: &AddPath<'_>, filter: Option<Filter<'_>>) -> HostResult<StorePath> {
        self.host.add_path(request, filter)
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> HostResult<StorePath> {
        self.host.add_text(name, contents, references)
    }

    fn add_derivation(&self, derivation: &Derivation, made: &Instantiated<'_>) -> HostResult<()> {
        self.host.add_derivation(derivation, made)
    }

    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        self.host.read_derivation(path)
    }

    fn ensure_path(&self, _path: &StorePath) -> HostResult<bool> {
        self.refuse()
    }

    fn realise(&self, _wanted: &[Wanted]) -> HostResult<Vec<StorePath>> {
        self.refuse()
    }

    fn known_output(&self, built: &BuiltPath) -> HostResult<Option<StorePath>> {
        self.host.known_output(built)
    }

    fn fetch_closure(&self, _request: &ClosureRequest<'_>) -> HostResult<StorePath> {
        self.refuse()
    }

    fn closure_info(&self, path: &StorePath) -> HostResult<ClosureInfo> {
        self.host.closure_info(path)
    }

    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        self.host.references(path)
    }

    fn fetch(&self, _request: &FetchRequest) -> HostResult<Fetched> {
        self.refuse()
    }

    fn get_flake(&self, evaluator: &mut Evaluator, _reference: &str, _pos: Pos) -> Result<Value> {
        evaluator.taint();
        Err(evaluator.give_up())
    }

    fn parsed(&self, key: &SourceKey) -> Option<Vec<u8>> {
        self.host.parsed(key)
    }

    fn keep_parsed(&self, key: SourceKey, packed: Vec<u8>) {
        self.host.keep_parsed(key, packed);
    }

    fn env(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.host.env(name)
    }

    fn now(&self) -> i64 {
        self.host.now()
    }

    fn now_ns(&self) -> u64 {
        self.host.now_ns()
    }

    fn emit(&self, _message: Message) {
        self.tainted.store(true, Ordering::Relaxed);
    }

    fn path_from_hash_part(&self, hash_part: &str) -> HostResult<Option<StorePath>> {
        self.host.path_from_hash_part(hash_part)
    }
}

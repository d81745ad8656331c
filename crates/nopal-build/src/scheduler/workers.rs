//! Threads that build what is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nopal_format::StorePath;
use nopal_format::derivation::DrvHashes;
use nopal_store::Store;

use super::RealiseError;
use super::graph::Graph;
use super::resolved::{self, Task};
use crate::cancel::CancelToken;
use crate::config::BuildConfig;
use crate::error::{BuildError, Failure};
use crate::job::{Done, JobFailure, Outcome};

/// Where and how is built.
pub(super) struct Site<'a> {
    pub(super) store: &'a Store,
    pub(super) config: &'a BuildConfig,
    pub(super) builds_dir: &'a Path,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has asked for a build of it.
    Idle,
    /// It waits, or is being built.
    Scheduled,
    Built,
    Failed,
}

/// What is known of the node of the same index.
#[derive(Clone, Debug)]
struct Schedule {
    state: State,
    /// How many of those it needs are not there yet.
    missing: usize,
    /// How many of those it needs have failed.
    failed_needs: usize,
    needed_by: Vec<usize>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { state: State::Idle, missing: 0, failed_needs: 0, needed_by: Vec::new() }
    }
}

/// What the threads share.
#[derive(Debug)]
struct Progress {
    /// Grows where derivations are built that others need outputs of.
    graph: Graph,
    schedule: Vec<Schedule>,
    /// What can be built, in order of names, as Nix takes it.
    ready: BTreeSet<(String, StorePath, usize)>,
    running: usize,
    built: BTreeSet<usize>,
    failures: Vec<Failure>,
    stopped: bool,
    /// What ended everything, no failure of a build.
    broken: Option<RealiseError>,
}

struct Workers<'a> {
    site: &'a Site<'a>,
    cancel: &'a CancelToken,
    /// Stops the builds that run when one has failed and the others are not to go on.
    stop: CancelToken,
    hashes: Mutex<DrvHashes>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

/// Builds all nodes of the graph that are to be built; returns the graph, with all that is known now, and those that
/// were built.
pub(super) fn build(
    site: &Site<'_>,
    graph: Graph,
    cancel: &CancelToken,
) -> Result<(Graph, BTreeSet<usize>), RealiseError> {
    let total = graph.order()?.len();
    // how many more builds derivations that are built ask for cannot be told
    let is_open = graph.nodes.iter().any(|node| node.build && node.derivation.has_dynamic_inputs());
    let threads = if is_open { site.config.max_jobs } else { site.config.max_jobs.min(total) };
    let stop = cancel.child().map_err(|source| BuildError::System { operation: "make an event descriptor", source })?;
    let mut progress = Progress {
        graph,
        schedule: Vec::new(),
        ready: BTreeSet::new(),
        running: 0,
        built: BTreeSet::new(),
        failures: Vec::new(),
        stopped: false,
        broken: None,
    };
    progress.enrol();
    let workers = Workers {
        site,
        cancel,
        stop,
        hashes: Mutex::default(),
        progress: Mutex::new(progress),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| workers.work());
        }
        workers.work();
    });
    workers.progress.into_inner().unwrap_or_else(PoisonError::into_inner).end(cancel)
}

/// Wakes the other threads if this one panics: nobody is to wait for it.
struct Alarm<'a, 'w>(&'a Workers<'w>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.stop.cancel();
        self.0.changed.notify_all();
    }
}

impl Progress {
    /// Schedules what is to be built and is not scheduled yet.
    fn enrol(&mut self) {
        self.schedule.resize(self.graph.nodes.len(), Schedule::default());
        for index in 0..self.graph.nodes.len() {
            let is_idle = self.schedule.get(index).is_some_and(|schedule| schedule.state == State::Idle);
            if !is_idle || !self.graph.nodes.get(index).is_some_and(|node| node.build) {
                continue;
            }
            let missing = self.wait_for_needs(index);
            if let Some(schedule) = self.schedule.get_mut(index) {
                schedule.state = State::Scheduled;
            }
            if missing == 0 {
                self.make_ready(index);
            }
        }
    }

    /// Lets a node be built.
    fn make_ready(&mut self, index: usize) {
        if let Some(node) = self.graph.nodes.get(index) {
            self.ready.insert((node.derivation.name.clone(), node.drv_path.clone(), index));
        }
    }

    /// Counts what a node needs and what is not there.
    fn wait_for_needs(&mut self, index: usize) -> usize {
        let Some(node) = self.graph.nodes.get(index) else { return 0 };
        let (mut missing, mut failed) = (0, 0);
        for need in self.graph.needs(node) {
            let Some(schedule) = self.schedule.get_mut(need) else { continue };
            match schedule.state {
                State::Built => {}
                State::Failed => failed += 1,
                State::Idle | State::Scheduled => {
                    missing += 1;
                    schedule.needed_by.push(index);
                }
            }
        }
        if let Some(schedule) = self.schedule.get_mut(index) {
            (schedule.missing, schedule.failed_needs) = (missing, failed);
        }
        missing
    }

    /// What came of it all.
    fn end(mut self, cancel: &CancelToken) -> Result<(Graph, BTreeSet<usize>), RealiseError> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        if self.failures.is_empty() {
            let unfinished = self.schedule.iter().position(|schedule| schedule.state == State::Scheduled);
            return match unfinished.and_then(|index| self.graph.nodes.get(index)) {
                None => Ok((self.graph, self.built)),
                Some(_) if cancel.is_cancelled() || self.stopped => Err(RealiseError::Cancelled),
                // a derivation that was built needs one that waits for it
                Some(node) => Err(RealiseError::Cycle { drv_path: node.drv_path.to_string() }),
            };
        }
        let only_stopped =
            |failure: &Failure| matches!(failure.error, BuildError::Cancelled | BuildError::Dependencies { .. });
        if cancel.is_cancelled() && self.failures.iter().all(only_stopped) {
            return Err(RealiseError::Cancelled);
        }
        // what was stopped because of another failure is no failure of its own
        self.failures.retain(|failure| !matches!(failure.error, BuildError::Cancelled));
        self.failures.sort_by_key(|failure| {
            matches!(failure.error, BuildError::Dependencies { .. } | BuildError::Resolved { .. })
        });
        Err(RealiseError::Failed { failures: self.failures })
    }
}

impl Workers<'_> {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds until nothing is left to do.
    fn work(&self) {
        let mut progress = self.lock();
        loop {
            if self.stop.is_cancelled() {
                progress.stopped = true;
            }
            if progress.stopped || (progress.ready.is_empty() && progress.running == 0) {
                self.changed.notify_all();
                return;
            }
            let Some((.., index)) = progress.ready.pop_first() else {
                progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let task = match self.prepare(&mut progress, index) {
                Ok(Some(task)) => task,
                Ok(None) => {
                    self.changed.notify_all();
                    continue;
                }
                Err(error) => {
                    progress.broken = Some(error);
                    progress.stopped = true;
                    self.stop.cancel();
                    continue;
                }
            };
            progress.running += 1;
            drop(progress);
            let alarm = Alarm(self);
            let outcome = resolved::build(self.site, &self.stop, &self.hashes, &task);
            std::mem::forget(alarm);
            progress = self.lock();
            progress.running -= 1;
            match outcome {
                Ok(done) => self.succeeded(&mut progress, index, done),
                Err(failure) => self.failed(&mut progress, index, *failure),
            }
            self.changed.notify_all();
        }
    }

    /// What is to be done for a node whose needs are there; nothing if that turns out to need more.
    fn prepare(&self, progress: &mut Progress, index: usize) -> Result<Option<Task>, RealiseError> {
        let Some(node) = progress.graph.nodes.get(index) else { return Ok(None) };
        if node.derivation.has_dynamic_inputs() {
            progress.graph.grow(self.site.store, self.site.config, index)?;
            progress.enrol();
            if progress.wait_for_needs(index) > 0 {
                return Ok(None);
            }
            if progress.schedule.get(index).is_some_and(|schedule| schedule.failed_needs > 0) {
                self.settle(progress, index);
                return Ok(None);
            }
        }
        let Some(node) = progress.graph.nodes.get(index) else { return Ok(None) };
        let inputs = progress.graph.resolved_inputs(node).map_err(|input| RealiseError::NoSuchOutput {
            drv_path: input.drv.display(self.site.store.store_dir()),
            output: input.output.into(),
        })?;
        Ok(Some(Task {
            drv_path: node.drv_path.clone(),
            derivation: node.derivation.clone(),
            outputs: node.outputs.clone(),
            wanted: node.wanted.clone(),
            check: node.check,
            inputs,
        }))
    }

    fn succeeded(&self, progress: &mut Progress, index: usize, done: Done) {
        if done.outcome == Outcome::Built {
            progress.built.insert(index);
        }
        if let Some(node) = progress.graph.nodes.get_mut(index) {
            node.outputs.extend(done.outputs.into_iter().map(|(name, path)| (name, Some(path))));
        }
        if let Some(schedule) = progress.schedule.get_mut(index) {
            schedule.state = State::Built;
        }
        self.pass_on(progress, index, false);
    }

    fn failed(&self, progress: &mut Progress, index: usize, failure: JobFailure) {
        let Some(node) = progress.graph.nodes.get(index) else { return };
        let (drv_path, outputs) = (node.drv_path.clone(), node.outputs.clone());
        match &failure.resolved {
            Some(resolved) => {
                let own = Box::from(BuildError::Resolved { drv_path: self.site.store.print(resolved) });
                progress.failures.push(self.describe(&drv_path, &outputs, *own));
                let resolved = resolved.clone();
                progress.failures.push(self.describe(&resolved, &BTreeMap::new(), failure));
            }
            None => progress.failures.push(self.describe(&drv_path, &outputs, failure)),
        }
        if !self.site.config.keep_going && !self.cancel.is_cancelled() {
            progress.stopped = true;
            self.stop.cancel();
        }
        if let Some(schedule) = progress.schedule.get_mut(index) {
            schedule.state = State::Failed;
        }
        self.pass_on(progress, index, true);
    }

    /// Passes the end of a build on to those that waited for it.
    fn pass_on(&self, progress: &mut Progress, index: usize, failed: bool) {
        let waiting = progress.schedule.get_mut(index).map(|schedule| std::mem::take(&mut schedule.needed_by));
        for by in waiting.unwrap_or_default() {
            let Some(schedule) = progress.schedule.get_mut(by) else { continue };
            schedule.missing -= 1;
            schedule.failed_needs += usize::from(failed);
            // the first failure counts, unless the others are to go on
            let is_over = failed && !self.site.config.keep_going;
            if (schedule.missing > 0 && !is_over) || schedule.state == State::Failed {
                continue;
            }
            if schedule.failed_needs == 0 {
                progress.make_ready(by);
            } else {
                self.settle(progress, by);
            }
        }
    }

    /// Ends a node of whose needs some have failed.
    fn settle(&self, progress: &mut Progress, index: usize) {
        let Some(schedule) = progress.schedule.get_mut(index) else { return };
        schedule.state = State::Failed;
        let count = schedule.failed_needs;
        if let Some(node) = progress.graph.nodes.get(index) {
            let (drv_path, outputs) = (node.drv_path.clone(), node.outputs.clone());
            let failure = self.describe(&drv_path, &outputs, *Box::from(BuildError::Dependencies { count }));
            progress.failures.push(failure);
        }
        self.pass_on(progress, index, true);
    }

    fn describe(
        &self,
        drv_path: &StorePath,
        outputs: &BTreeMap<String, Option<StorePath>>,
        failure: JobFailure,
    ) -> Failure {
        let print = |path| self.site.store.print(path);
        Failure {
            drv_path: print(drv_path),
            output_paths: outputs.values().flatten().map(print).collect(),
            error: failure.error,
            log_tail: failure.log_tail,
            log_file: failure.log_file,
            kept_dir: failure.kept_dir,
        }
    }
}

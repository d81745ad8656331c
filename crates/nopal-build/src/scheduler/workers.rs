//! Threads that build what is ready.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nopal_store::Store;

use super::RealiseError;
use super::graph::{Graph, Node};
use crate::cancel::CancelToken;
use crate::config::BuildConfig;
use crate::error::{BuildError, Failure};
use crate::job::{Job, JobFailure, Outcome};

/// Where and how is built.
pub(super) struct Site<'a> {
    pub(super) store: &'a Store,
    pub(super) config: &'a BuildConfig,
    pub(super) builds_dir: &'a Path,
}

/// What the threads share.
#[derive(Debug)]
struct Progress {
    ready: VecDeque<usize>,
    /// Per node: how many of those it needs are not there yet.
    missing: Vec<usize>,
    /// Per node: how many of those it needs have failed.
    failed_needs: Vec<usize>,
    running: usize,
    built: BTreeSet<usize>,
    failures: Vec<Failure>,
    stopped: bool,
}

struct Workers<'a> {
    site: &'a Site<'a>,
    graph: &'a Graph,
    cancel: &'a CancelToken,
    /// Stops the builds that run when one has failed and the others are not to go on.
    stop: CancelToken,
    needed_by: Vec<Vec<usize>>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

/// Builds all nodes of the graph that are to be built; returns those that were.
pub(super) fn build(site: &Site<'_>, graph: &Graph, cancel: &CancelToken) -> Result<BTreeSet<usize>, RealiseError> {
    graph.order()?;
    let stop = cancel.child().map_err(|source| BuildError::System { operation: "make an event descriptor", source })?;
    let mut needed_by = vec![Vec::new(); graph.nodes.len()];
    let mut missing = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut count = 0;
        for need in graph.needs(node).filter(|_| node.build) {
            count += 1;
            if let Some(list) = needed_by.get_mut(need) {
                list.push(index);
            }
        }
        missing.push(count);
    }
    let to_build = |index: &usize| graph.nodes.get(*index).is_some_and(|node| node.build);
    let ready: VecDeque<usize> =
        (0..graph.nodes.len()).filter(to_build).filter(|&index| missing.get(index) == Some(&0)).collect();
    let total = (0..graph.nodes.len()).filter(to_build).count();
    let workers = Workers {
        site,
        graph,
        cancel,
        stop,
        needed_by,
        progress: Mutex::new(Progress {
            ready,
            failed_needs: vec![0; missing.len()],
            missing,
            running: 0,
            built: BTreeSet::new(),
            failures: Vec::new(),
            stopped: false,
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..site.config.max_jobs.clamp(1, total.max(1)) {
            scope.spawn(|| workers.work());
        }
        workers.work();
    });
    let progress = workers.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    if progress.failures.is_empty() {
        return if cancel.is_cancelled() && progress.built.len() < total {
            Err(RealiseError::Cancelled)
        } else {
            Ok(progress.built)
        };
    }
    if cancel.is_cancelled()
        && progress
            .failures
            .iter()
            .all(|failure| matches!(failure.error, BuildError::Cancelled | BuildError::Dependencies { .. }))
    {
        return Err(RealiseError::Cancelled);
    }
    let mut failures = progress.failures;
    // what was stopped because of another failure is no failure of its own
    failures.retain(|failure| !matches!(failure.error, BuildError::Cancelled));
    failures.sort_by_key(|failure| matches!(failure.error, BuildError::Dependencies { .. }));
    Err(RealiseError::Failed { failures })
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
            let Some(index) = progress.ready.pop_front() else {
                progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Some(node) = self.graph.nodes.get(index) else { continue };
            progress.running += 1;
            drop(progress);
            let alarm = Alarm(self);
            let outcome = self.build(node);
            std::mem::forget(alarm);
            progress = self.lock();
            progress.running -= 1;
            match outcome {
                Ok(outcome) => self.succeeded(&mut progress, index, outcome),
                Err(failure) => self.failed(&mut progress, index, *failure),
            }
            self.changed.notify_all();
        }
    }

    fn build(&self, node: &Node) -> Result<Outcome, Box<JobFailure>> {
        Job {
            store: self.site.store,
            config: self.site.config,
            cancel: &self.stop,
            drv_path: &node.drv_path,
            derivation: &node.derivation,
            outputs: &node.outputs,
            check: node.check,
            builds_dir: self.site.builds_dir,
        }
        .run()
    }

    fn succeeded(&self, progress: &mut Progress, index: usize, outcome: Outcome) {
        if outcome == Outcome::Built {
            progress.built.insert(index);
        }
        self.settle(progress, index, false);
    }

    fn failed(&self, progress: &mut Progress, index: usize, failure: JobFailure) {
        let Some(node) = self.graph.nodes.get(index) else { return };
        progress.failures.push(self.describe(node, failure));
        if !self.site.config.keep_going && !self.cancel.is_cancelled() {
            progress.stopped = true;
            self.stop.cancel();
        }
        self.settle(progress, index, true);
    }

    /// Passes the end of a build on to those that waited for it.
    fn settle(&self, progress: &mut Progress, index: usize, failed: bool) {
        let mut settled = vec![(index, failed)];
        while let Some((index, failed)) = settled.pop() {
            for &by in self.needed_by.get(index).into_iter().flatten() {
                let (Some(missing), Some(failed_needs)) =
                    (progress.missing.get_mut(by), progress.failed_needs.get_mut(by))
                else {
                    continue;
                };
                *missing -= 1;
                *failed_needs += usize::from(failed);
                if *missing > 0 {
                    continue;
                }
                let count = *failed_needs;
                if count == 0 {
                    progress.ready.push_back(by);
                } else if let Some(node) = self.graph.nodes.get(by) {
                    let failure = self.describe(node, *Box::from(BuildError::Dependencies { count }));
                    progress.failures.push(failure);
                    settled.push((by, true));
                }
            }
        }
    }

    fn describe(&self, node: &Node, failure: JobFailure) -> Failure {
        let print = |path| self.site.store.print(path);
        Failure {
            drv_path: print(&node.drv_path),
            output_paths: node.outputs.values().map(print).collect(),
            error: failure.error,
            log_tail: failure.log_tail,
            log_file: failure.log_file,
            kept_dir: failure.kept_dir,
        }
    }
}

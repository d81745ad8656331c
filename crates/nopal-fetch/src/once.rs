//! "Do it once, others wait": concurrent requests for one key share one execution.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Runs at most one job per key at a time; whoever asks meanwhile waits and gets a clone of the result. A finished job
/// is forgotten, so a later request runs again.
#[derive(Debug)]
pub(crate) struct InFlight<K, V> {
    jobs: Mutex<HashMap<K, Arc<Job<V>>>>,
}

#[derive(Debug)]
struct Job<V> {
    state: Mutex<State<V>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<V> {
    Running,
    Done(V),
    /// The thread that ran it unwound; a waiter takes over.
    Abandoned,
}

impl<K: Eq + Hash + Clone, V: Clone> InFlight<K, V> {
    pub(crate) fn new() -> Self {
        Self { jobs: Mutex::new(HashMap::new()) }
    }

    /// The result of `job`, or of the job that already runs for `key`.
    pub(crate) fn run(&self, key: K, job: impl FnOnce() -> V) -> V {
        loop {
            let (mine, shared) = {
                let mut jobs = lock(&self.jobs);
                match jobs.get(&key) {
                    Some(running) => (false, Arc::clone(running)),
                    None => {
                        let new = Arc::new(Job { state: Mutex::new(State::Running), changed: Condvar::new() });
                        jobs.insert(key.clone(), Arc::clone(&new));
                        (true, new)
                    }
                }
            };
            if mine {
                let guard = Guard { owner: self, key: &key, job: &shared };
                let value = job();
                *lock(&shared.state) = State::Done(value.clone());
                drop(guard);
                return value;
            }
            if let Some(value) = shared.wait() {
                return value;
            }
        }
    }
}

impl<V: Clone> Job<V> {
    fn wait(&self) -> Option<V> {
        let mut state = lock(&self.state);
        loop {
            match &*state {
                State::Running => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                State::Done(value) => return Some(value.clone()),
                State::Abandoned => return None,
            }
        }
    }
}

/// Takes the job off the table and wakes the waiters, also when the job panics.
struct Guard<'a, K: Eq + Hash, V> {
    owner: &'a InFlight<K, V>,
    key: &'a K,
    job: &'a Job<V>,
}

impl<K: Eq + Hash, V> Drop for Guard<'_, K, V> {
    fn drop(&mut self) {
        lock(&self.owner.jobs).remove(self.key);
        let mut state = lock(&self.job.state);
        if matches!(*state, State::Running) {
            *state = State::Abandoned;
        }
        self.job.changed.notify_all();
    }
}

/// The tables hold no invariant that a panic elsewhere could break, so a poisoned lock is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::InFlight;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn concurrent_callers_share_one_run() {
        let flights = InFlight::new();
        let runs = AtomicU32::new(0);
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    let value = flights.run("key", || {
                        runs.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(100));
                        7
                    });
                    assert_eq!(value, 7);
                });
            }
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(flights.run("key", || 8), 8, "a finished job is forgotten");
    }
}

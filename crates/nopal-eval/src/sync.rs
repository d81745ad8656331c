//! Locks of tables that a panic leaves as they were before: what is added is complete before it can be found.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks, whatever happened to a thread that had the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for `changed`, without the lock meanwhile.
pub(crate) fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

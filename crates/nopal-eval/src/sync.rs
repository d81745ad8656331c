//! Locks of tables that a panic leaves as they were before: what is added is complete before it can be found.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How often a lock is tried before a thread sleeps.
const SPINS: usize = 1000;

/// Locks, whatever happened to a thread that had the lock.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.try_lock().unwrap_or_else(|_| lock_patiently(mutex))
}

/// Others have a table for microseconds. To sleep and to be woken takes longer, and where the system wakes a thread behind the
/// one that woke it, a thousand times as long.
#[cold]
fn lock_patiently<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..SPINS {
        if let Ok(guard) = mutex.try_lock() {
            return guard;
        }
        std::hint::spin_loop();
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for `changed`, without the lock meanwhile.
pub(crate) fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

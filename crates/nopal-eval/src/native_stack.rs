//! The native stack: evaluation recurses on it, so it is made large, and its end is an error and not a crash.

use std::cell::Cell;

/// Sizes tried, largest first. Only pages that are touched take memory, but a system may refuse to promise this much.
const SIZES_BYTES: [usize; 4] = [8 << 30, 2 << 30, 512 << 20, 64 << 20];

/// Assumed size of a stack that [`with_stack`] did not make: what threads usually have is 2 MiB, main threads 8.
const FOREIGN_STACK_BYTES: usize = 1 << 20;

/// Left for what runs between two checks: builtins, printing, formatting of errors.
const RESERVE_BYTES: usize = 256 << 10;

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work` on a thread with a large stack and returns its result. Panics of `work` are passed on.
pub fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let mut work = Some(work);
        for size in SIZES_BYTES {
            let Some(once) = work.take() else { break };
            let shared = std::sync::Arc::new(std::sync::Mutex::new(Some(once)));
            let inside = shared.clone();
            let run = move || {
                let marker = 0u8;
                let here = &raw const marker as usize;
                LIMIT.set(here.saturating_sub(size - 2 * RESERVE_BYTES));
                let work = inside.lock().ok().and_then(|mut slot| slot.take());
                work.map(|work| work())
            };
            match std::thread::Builder::new().name("evaluation".to_owned()).stack_size(size).spawn_scoped(scope, run) {
                Ok(thread) => match thread.join() {
                    Ok(Some(result)) => return result,
                    Ok(None) => break,
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                Err(_) => work = shared.lock().ok().and_then(|mut slot| slot.take()),
            }
        }
        match work {
            Some(work) => work(),
            None => unreachable!("the work is given back by a thread that could not start"),
        }
    })
}

/// The address below which the stack of the current thread must not grow.
pub(crate) fn limit() -> usize {
    let known = LIMIT.get();
    if known != 0 {
        return known;
    }
    let marker = 0u8;
    (&raw const marker as usize).saturating_sub(FOREIGN_STACK_BYTES)
}

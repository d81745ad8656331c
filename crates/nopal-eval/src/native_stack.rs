//! The native stack: evaluation recurses on it, so it is made large, and its end is an error and not a crash.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::sync::lock;

/// Sizes tried, largest first. Only pages that are touched take memory, but a system may refuse to promise this much.
const SIZES_BYTES: [usize; 4] = [8 << 30, 2 << 30, 512 << 20, 64 << 20];

/// Assumed size of a stack that [`with_stack`] did not make: what threads usually have is 2 MiB, main threads 8.
const FOREIGN_STACK_BYTES: usize = 1 << 20;

/// Left for what runs between two checks: builtins, printing, formatting of errors.
const RESERVE_BYTES: usize = 256 << 10;

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(0) };
    static BEGIN: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work` on a thread with a large stack and returns its result. Panics of `work` are passed on.
pub fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = Mutex::new(Some(work));
    let take = || lock(&work).take();
    std::thread::scope(|scope| {
        let thread = SIZES_BYTES.into_iter().find_map(|size| {
            let run = move || {
                set_limit(size);
                take().map(|work| work())
            };
            thread_of(size).spawn_scoped(scope, run).ok()
        });
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Some(Ok(Some(result))) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            Some(Ok(None)) | None => match take() {
                Some(work) => work(),
                None => unreachable!("nobody takes the work but a thread that started"),
            },
        }
    })
}

/// Runs `work` on a thread of its own with a large stack; `None` if there can be no such thread.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    let work = Arc::new(Mutex::new(Some(work)));
    SIZES_BYTES.into_iter().find_map(|size| {
        let work = work.clone();
        let run = move || {
            set_limit(size);
            let work = lock(&work).take();
            work.into_iter().for_each(|work| work());
        };
        thread_of(size).spawn(run).ok()
    })
}

/// A thread with a stack of this size, yet to be started.
fn thread_of(stack_bytes: usize) -> std::thread::Builder {
    std::thread::Builder::new().name("evaluation".to_owned()).stack_size(stack_bytes)
}

/// Takes note that the stack of the current thread, which just began, has this size.
fn set_limit(size: usize) {
    let marker = 0u8;
    let here = &raw const marker as usize;
    LIMIT.set(here.saturating_sub(size - 2 * RESERVE_BYTES));
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

/// Calls `visit` with every word between two addresses of the stack of a thread that stands still.
pub(crate) fn for_each_word_between(from: usize, to: usize, mut visit: impl FnMut(usize)) {
    let mut address = from;
    while address + 8 <= to {
        // SAFETY: the thread waits in `standing`, so this part of its stack stays. Words are read whatever they mean.
        visit(unsafe { (address as *const usize).read_volatile() });
        address += 8;
    }
}

/// Calls `wait` with the part of the native stack that holds what the current thread may hold values in, its registers
/// among it: from and to.
#[inline(never)]
pub(crate) fn standing<T>(wait: impl FnOnce(usize, usize) -> T) -> T {
    let registers = saved_registers();
    let here = (&raw const registers as usize) & !7;
    // Others read this frame and all above it while `wait` runs, so what that changes must not be in them.
    let wait: Box<dyn FnOnce(usize, usize) -> T + '_> = Box::new(wait);
    let result = std::hint::black_box(wait)(here, begin().unwrap_or(here));
    std::hint::black_box(&registers);
    result
}

/// The address at which the stack of the current thread begins: it grows down from there. `None` if the system does not
/// say.
pub(crate) fn begin() -> Option<usize> {
    let known = BEGIN.get();
    if known != 0 {
        return Some(known);
    }
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are initialised by the first call, and destroyed by the last one, if that succeeds.
    let found = unsafe {
        libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 && {
            let found = libc::pthread_attr_getstack(attributes.as_ptr(), &mut lowest, &mut size) == 0;
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            found
        }
    };
    let begin = lowest as usize + size;
    BEGIN.set(begin);
    found.then_some(begin)
}

/// The registers that a function must keep for its caller.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn saved_registers() -> [usize; 6] {
    let mut words = [0; 6];
    // SAFETY: writes six words to an array of six words, and changes nothing else.
    unsafe {
        std::arch::asm!(
            "mov [{to}], rbx",
            "mov [{to} + 8], rbp",
            "mov [{to} + 16], r12",
            "mov [{to} + 24], r13",
            "mov [{to} + 32], r14",
            "mov [{to} + 40], r15",
            to = in(reg) words.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    words
}

/// The registers that a function must keep for its caller.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn saved_registers() -> [usize; 12] {
    let mut words = [0; 12];
    // SAFETY: writes twelve words to an array of twelve words, and changes nothing else.
    unsafe {
        std::arch::asm!(
            "stp x19, x20, [{to}]",
            "stp x21, x22, [{to}, 16]",
            "stp x23, x24, [{to}, 32]",
            "stp x25, x26, [{to}, 48]",
            "stp x27, x28, [{to}, 64]",
            "stp x29, x30, [{to}, 80]",
            to = in(reg) words.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    words
}

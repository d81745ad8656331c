//! Starting a process that goes through prepared [`Step`]s and then becomes another program.
//!
//! The child is made by `clone` with `CLONE_VM | CLONE_VFORK`: it borrows this program's memory until `execve`, so the
//! cost does not grow with that memory, and the calling thread sleeps meanwhile, so what the child reads stays where it
//! is. Other threads run on; the child therefore neither allocates nor locks. It writes its own user and group map,
//! which saves a round of messages. A failing step is left in a shared cell, and `clone` returns after the child's end.

use std::ffi::{CString, c_char, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use super::error::SandboxError;
use super::kernel::close_from;
use super::step::Step;
use crate::error::BuilderStatus;

/// Stack of the child until `execve`. The steps are shallow; touched pages only are paid for.
const STACK_BYTES: usize = 256 * 1024;
/// How often a program that somebody still has open for writing is tried: a sibling of this process may hold a
/// descriptor for the moment before it closes all.
const BUSY_ATTEMPTS: usize = 200;
/// The pause between, in microseconds.
const BUSY_PAUSE_US: libc::c_uint = 1000;
/// Step number of a failed `execve`.
const EXECUTE: usize = usize::MAX;

/// A program to start.
pub(crate) struct Launch<'a> {
    /// `CLONE_NEW*` flags.
    pub(crate) namespaces: libc::c_int,
    /// What to do first.
    pub(crate) steps: &'a [Step],
    /// The program.
    pub(crate) program: CString,
    /// Its arguments, the name it is called by first.
    pub(crate) arguments: Vec<CString>,
    /// Its environment, `NAME=value`.
    pub(crate) environment: Vec<CString>,
    /// Standard input.
    pub(crate) input: BorrowedFd<'a>,
    /// Standard output and standard error.
    pub(crate) output: BorrowedFd<'a>,
}

/// What the child gets to see. Lives on the parent's stack while the parent sleeps.
struct Shared<'a> {
    steps: &'a [Step],
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    input: libc::c_int,
    output: libc::c_int,
    failed_step: AtomicUsize,
    errno: AtomicI32,
}

/// A started program. Dropping it kills it, and with it its pid namespace if it has one, and waits for the end.
#[derive(Debug)]
pub(crate) struct Process {
    descriptor: OwnedFd,
    pid: Pid,
    /// Without a pid namespace: the process group is killed too.
    kill_group: bool,
    ended: bool,
}

impl Launch<'_> {
    /// Starts the program. Returns when it runs or could not be brought to run.
    pub(crate) fn start(self) -> Result<Process, SandboxError> {
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        let shared = Shared {
            steps: self.steps,
            program: self.program.as_ptr(),
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            input: self.input.as_raw_fd(),
            output: self.output.as_raw_fd(),
            failed_step: AtomicUsize::new(0),
            errno: AtomicI32::new(0),
        };
        let pid = clone_child(self.namespaces, &shared)?;
        let errno = shared.errno.load(Ordering::Relaxed);
        if errno != 0 {
            // the child has ended; take its status so that it does not stay as a zombie
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            let source = io::Error::from_raw_os_error(errno);
            let step = shared.failed_step.load(Ordering::Relaxed);
            return Err(if step == EXECUTE {
                SandboxError::Execute { program: self.program.to_string_lossy().into_owned(), source }
            } else {
                let step = self.steps.get(step).map_or_else(|| "starting".to_owned(), ToString::to_string);
                SandboxError::Setup { step, source }
            });
        }
        let descriptor = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .map_err(|errno| SandboxError::System { operation: "watch the builder", source: errno.into() })?;
        let kill_group = self.namespaces & libc::CLONE_NEWPID == 0;
        Ok(Process { descriptor, pid, kill_group, ended: false })
    }
}

/// Makes the child and sleeps until it has called `execve` or has ended.
fn clone_child(namespaces: libc::c_int, shared: &Shared<'_>) -> Result<Pid, SandboxError> {
    let mut stack = vec![0u8; STACK_BYTES];
    let top = stack.as_mut_ptr_range().end;
    let top = top.wrapping_sub(top.addr() % 16);
    let flags = namespaces | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;

    // no signal handler of this program may run in the child
    // SAFETY: all-zero bytes are a valid signal set; both sets are local.
    let mut old_mask: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are valid; the mask is restored below.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut old_mask);
    }
    // SAFETY: `child` gets its own stack and a pointer to `shared`. CLONE_VFORK keeps this thread from returning, and
    // so both alive, until the child has called `execve` or `_exit`. `child` follows the rules of the module.
    let pid =
        unsafe { libc::clone(child, top.cast::<c_void>(), flags, (&raw const *shared).cast_mut().cast::<c_void>()) };
    let error = io::Error::last_os_error();
    // SAFETY: `old_mask` was filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const old_mask, std::ptr::null_mut()) };
    drop(stack);
    match Pid::from_raw(pid) {
        Some(pid) if pid.as_raw_nonzero().get() > 0 => Ok(pid),
        _ if namespaces != 0 => Err(SandboxError::Namespaces { source: error }),
        _ => Err(SandboxError::System { operation: "start a process", source: error }),
    }
}

/// The child: goes through the steps and becomes the program. Must not allocate, lock or panic.
extern "C" fn child(argument: *mut c_void) -> libc::c_int {
    // SAFETY: `clone_child` passes a `Shared` that lives until this process has its own memory.
    let shared = unsafe { &*argument.cast_const().cast::<Shared<'_>>() };
    let fail = |step: usize, errno: i32| {
        shared.failed_step.store(step, Ordering::Relaxed);
        shared.errno.store(errno, Ordering::Relaxed);
        // SAFETY: ends this process without running what belongs to the parent.
        unsafe { libc::_exit(1) }
    };
    if let Err(errno) = take_descriptors(shared) {
        fail(EXECUTE, errno);
    }
    for (number, step) in shared.steps.iter().enumerate() {
        if let Err(errno) = step.run() {
            fail(number, errno.raw_os_error());
        }
    }
    let errno = become_program(shared);
    fail(EXECUTE, errno)
}

/// Puts input and output into place and closes everything else at once: as long as this process held a descriptor that
/// another thread writes a program through, nobody could execute that program.
fn take_descriptors(shared: &Shared<'_>) -> Result<(), i32> {
    // SAFETY: descriptors are numbers, and the table is this process's own.
    unsafe {
        if libc::dup2(shared.input, 0) < 0 || libc::dup2(shared.output, 1) < 0 || libc::dup2(shared.output, 2) < 0 {
            return Err(*libc::__errno_location());
        }
    }
    close_from(3);
    Ok(())
}

/// Puts signals into place and calls `execve`. Returns only an error.
fn become_program(shared: &Shared<'_>) -> i32 {
    // SAFETY: the signal set and the action are local; `program`, `arguments` and `environment` are NUL-terminated and
    // live in the parent's frame.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=64 {
            // SIGKILL, SIGSTOP and those of the C library refuse, and are as they should be
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        for _ in 0..BUSY_ATTEMPTS {
            libc::execve(shared.program, shared.arguments, shared.environment);
            if *libc::__errno_location() != libc::ETXTBSY {
                break;
            }
            libc::usleep(BUSY_PAUSE_US);
        }
        *libc::__errno_location()
    }
}

/// The null-terminated array of pointers that `execve` wants.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

impl Process {
    /// A descriptor that becomes readable when the program has ended.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.descriptor.as_fd()
    }

    /// Kills the program, and all of its pid namespace.
    pub(crate) fn kill(&self) {
        // both fail only if there is nothing left to kill
        if self.kill_group {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
        let _ = rustix::process::pidfd_send_signal(&self.descriptor, Signal::KILL);
    }

    /// Waits for the end and takes the status.
    pub(crate) fn wait(&mut self) -> Result<BuilderStatus, SandboxError> {
        use std::os::fd::AsFd;
        let status = loop {
            match rustix::process::waitid(WaitId::PidFd(self.descriptor.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => break status,
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    self.ended = true;
                    return Err(SandboxError::System { operation: "wait for the builder", source: errno.into() });
                }
            }
        };
        self.ended = true;
        Ok(builder_status(&status))
    }
}

fn builder_status(status: &WaitIdStatus) -> BuilderStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => BuilderStatus::Exited(code),
        (None, Some(signal)) => BuilderStatus::Signalled(signal),
        (None, None) => BuilderStatus::Signalled(0),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
            // an error means that somebody else took the status, and it is over all the same
            let _ = self.wait();
        }
    }
}

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Tells running builds to stop. Clones share one state; it cannot be taken back.
///
/// The state is an event descriptor, so a build waits for it beside its builder without waking up in between, and
/// [`CancelToken::cancel`] is a single `write`, which a signal handler may do.
#[derive(Clone)]
pub struct CancelToken {
    /// Our own, last, and those of the tokens that this one is a child of.
    events: Vec<Arc<OwnedFd>>,
}

impl CancelToken {
    /// A token that is not cancelled.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Self::never().child()
    }

    /// A token that is never cancelled.
    pub const fn never() -> Self {
        Self { events: Vec::new() }
    }

    /// A token that is cancelled with this one, and can be cancelled alone.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn child(&self) -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut events = self.events.clone();
        events.push(Arc::new(event));
        Ok(Self { events })
    }

    /// Stops everything that holds a clone or child of this token.
    pub fn cancel(&self) {
        if let Some(event) = self.events.last() {
            // the only failure is a counter at its maximum, which is as cancelled as can be
            let _ = rustix::io::write(event, &1u64.to_ne_bytes());
        }
    }

    /// Whether somebody called [`CancelToken::cancel`].
    pub fn is_cancelled(&self) -> bool {
        let mut fds: Vec<PollFd<'_>> =
            self.descriptors().map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN)).collect();
        !fds.is_empty() && poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Descriptors of which one becomes readable on cancellation.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.events.iter().map(|event| event.as_fd())
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

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
    event: Option<Arc<OwnedFd>>,
}

impl CancelToken {
    /// A token that is not cancelled.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Some(Arc::new(event)) })
    }

    /// A token that is never cancelled.
    pub const fn never() -> Self {
        Self { event: None }
    }

    /// Stops everything that holds a clone of this token.
    pub fn cancel(&self) {
        if let Some(event) = &self.event {
            // the only failure is a counter at its maximum, which is as cancelled as can be
            let _ = rustix::io::write(event, &1u64.to_ne_bytes());
        }
    }

    /// Whether somebody called [`CancelToken::cancel`].
    pub fn is_cancelled(&self) -> bool {
        let Some(event) = &self.event else { return false };
        let mut fds = [PollFd::new(event, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The descriptor that becomes readable on cancellation.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.event.as_ref().map(|event| event.as_fd())
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

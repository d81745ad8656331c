//! A running builder: its output is read, its limits are watched, its end is waited for.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::cancel::CancelToken;
use crate::config::BuildLimits;
use crate::error::{BuildError, BuilderStatus};
use crate::log::BuildLog;
use crate::sandbox::Process;

/// Most that is read at once; the size of a pipe.
const CHUNK_BYTES: usize = 64 * 1024;

/// A pipe for a builder's output: the end to read (not blocking) and the end to write.
pub(crate) fn output_pipe() -> Result<(OwnedFd, OwnedFd), BuildError> {
    let system = |errno: Errno| BuildError::System { operation: "make a pipe", source: errno.into() };
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(system)?;
    rustix::io::ioctl_fionbio(&reader, true).map_err(system)?;
    Ok((reader, writer))
}

/// When to stop a builder.
struct Deadlines<'a> {
    limits: &'a BuildLimits,
    start: Instant,
    last_output: Instant,
}

impl Deadlines<'_> {
    /// The limit that is exceeded, if one is.
    fn exceeded(&self, log_size_bytes: u64) -> Option<BuildError> {
        let BuildLimits { timeout, silence, log_size_bytes: log_limit, .. } = *self.limits;
        if let Some(limit) = timeout.filter(|limit| self.start.elapsed() >= *limit) {
            return Some(BuildError::TimedOut { limit });
        }
        if let Some(limit) = silence.filter(|limit| self.last_output.elapsed() >= *limit) {
            return Some(BuildError::Silent { limit });
        }
        let limit_bytes = log_limit.filter(|limit| log_size_bytes > *limit)?;
        Some(BuildError::LogLimit { limit_bytes })
    }

    /// How long nothing needs to be looked at.
    fn next(&self) -> Option<Duration> {
        let left = |limit: Option<Duration>, since: Instant| limit.map(|limit| limit.saturating_sub(since.elapsed()));
        [left(self.limits.timeout, self.start), left(self.limits.silence, self.last_output)].into_iter().flatten().min()
    }
}

/// Waits for the end of a builder, however it comes. Afterwards no process of its sandbox is left.
pub(crate) fn supervise(
    process: &mut Process,
    output: &OwnedFd,
    limits: &BuildLimits,
    cancel: &CancelToken,
    log: &mut BuildLog<'_>,
) -> Result<BuilderStatus, BuildError> {
    let now = Instant::now();
    let mut deadlines = Deadlines { limits, start: now, last_output: now };
    let outcome = watch(process, output, &mut deadlines, cancel, log);
    if outcome.is_err() {
        process.kill();
    }
    let status = process.wait()?;
    if outcome.is_err() {
        // what it said before it was stopped is worth keeping; the reason for stopping it is the error
        let _ = drain(output, log);
    }
    outcome.map(|()| status)
}

/// Reads until the builder has ended.
fn watch(
    process: &Process,
    output: &OwnedFd,
    deadlines: &mut Deadlines<'_>,
    cancel: &CancelToken,
    log: &mut BuildLog<'_>,
) -> Result<(), BuildError> {
    let mut open = true;
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(process.descriptor(), PollFlags::IN)];
        fds.extend(cancel.descriptors().map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN)));
        let cancel_fds = 1..fds.len();
        if open {
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        let timeout = deadlines.next().map(timespec);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(BuildError::System { operation: "wait for the builder", source: errno.into() }),
        }
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let ended = fds.first().is_some_and(ready);
        if fds.get(cancel_fds).into_iter().flatten().any(ready) {
            return Err(BuildError::Cancelled);
        }
        if open && fds.last().is_some_and(ready) {
            let before = log.size_bytes();
            open = read_some(output, log)?;
            if !open {
                // a builder that nobody can hear any more has ended, or is ended
                process.kill();
            }
            if log.size_bytes() > before {
                deadlines.last_output = Instant::now();
            }
        }
        if ended {
            // all that wrote has ended too, or is no concern of ours
            return drain(output, log);
        }
        if let Some(error) = deadlines.exceeded(log.size_bytes()) {
            return Err(error);
        }
    }
}

/// Reads one chunk; whether more may come.
fn read_some(output: &OwnedFd, log: &mut BuildLog<'_>) -> Result<bool, BuildError> {
    let mut chunk = [0u8; CHUNK_BYTES];
    match rustix::io::read(output, &mut chunk) {
        Ok(0) => Ok(false),
        Ok(count) => {
            log.write(chunk.get(..count).unwrap_or_default())?;
            Ok(true)
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(true),
        Err(errno) => {
            Err(BuildError::System { operation: "read the builder's output", source: io::Error::from(errno) })
        }
    }
}

/// Reads what is in the pipe.
fn drain(output: &OwnedFd, log: &mut BuildLog<'_>) -> Result<(), BuildError> {
    loop {
        let before = log.size_bytes();
        if !read_some(output, log)? || log.size_bytes() == before {
            return Ok(());
        }
    }
}

/// Rounds up: waking up just before a deadline would only mean waiting again.
fn timespec(duration: Duration) -> Timespec {
    let millis = duration.as_millis().saturating_add(1);
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000) * 1_000_000 }
}

//! What the program tells its user while it works: one closed set of events.
//!
//! Libraries emit [`Event`]s through a [`Reporter`]; drawing them (progress bars, plain lines, a page, a peer) is
//! somebody else's business. Nothing below the roof prints.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names one activity for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActivityId(u64);

/// Something that takes time and that a user may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// Bytes come from a URL; progress counts bytes.
    Download {
        /// The URL asked for, without credentials.
        url: String,
    },
    /// An archive is downloaded and unpacked.
    Unpack {
        /// Where it comes from, as users write it.
        from: String,
    },
    /// A derivation is being built; progress is not known.
    Build {
        /// Store path of the derivation.
        drv_path: String,
        /// Its name, for a short line.
        name: String,
        /// Whether its outputs are there and are only compared.
        check: bool,
    },
    /// A tree is added to the store; progress counts bytes.
    AddToStore {
        /// Name of the store path that will come of it.
        name: String,
    },
    /// Store contents are read again and compared; progress counts paths.
    Verify,
    /// Garbage is being collected; progress counts paths.
    CollectGarbage,
    /// Package metadata is read and resolved.
    Resolve {
        /// What was asked for, as the user wrote it.
        what: String,
    },
}

/// How loud a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something the user should act on, while work goes on.
    Warning,
    /// Worth a line by default.
    Notice,
    /// Only when more detail is asked for.
    Info,
}

/// Everything a library can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An activity begins.
    Started {
        /// The new activity.
        id: ActivityId,
        /// What it is.
        activity: Activity,
    },
    /// An activity advanced. Units are those the [`Activity`] names.
    Progress {
        /// Which activity.
        id: ActivityId,
        /// Units done so far.
        done: u64,
        /// Units expected in all, where known.
        expected: Option<u64>,
    },
    /// A line of a builder's output, without its newline. Not necessarily UTF-8.
    LogLine {
        /// The build it belongs to.
        id: ActivityId,
        /// The bytes of the line.
        line: Vec<u8>,
    },
    /// An activity is over.
    Finished {
        /// Which activity.
        id: ActivityId,
        /// Whether it did what it set out to do.
        success: bool,
    },
    /// A message of its own.
    Message {
        /// How loud.
        level: Level,
        /// The text, without a trailing newline.
        text: String,
    },
}

/// Receives events. Called from any thread; must not block for long.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// The handle that libraries carry: cheap to clone, silent by default.
#[derive(Clone, Default)]
pub struct Reporter {
    sink: Option<Arc<dyn Sink>>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("silent", &self.sink.is_none()).finish()
    }
}

impl Reporter {
    /// A reporter that passes everything to `sink`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink: Some(sink) }
    }

    /// A reporter that drops everything.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Emits one event.
    pub fn emit(&self, event: Event) {
        if let Some(sink) = &self.sink {
            sink.event(event);
        }
    }

    /// Begins an activity. It counts as failed unless [`Running::succeed`] is called before the value is dropped.
    pub fn start(&self, activity: Activity) -> Running {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = ActivityId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        self.emit(Event::Started { id, activity });
        Running { reporter: self.clone(), id, success: false }
    }

    /// Emits a [`Level::Warning`].
    pub fn warn(&self, text: impl Into<String>) {
        self.message(Level::Warning, text);
    }

    /// Emits a message.
    pub fn message(&self, level: Level, text: impl Into<String>) {
        self.emit(Event::Message { level, text: text.into() });
    }
}

/// An activity under way.
#[derive(Debug)]
pub struct Running {
    reporter: Reporter,
    id: ActivityId,
    success: bool,
}

impl Running {
    /// Tells how far it has come, in the units its [`Activity`] names.
    pub fn progress(&self, done: u64, expected: Option<u64>) {
        self.reporter.emit(Event::Progress { id: self.id, done, expected });
    }

    /// Passes on a line of output (without its newline).
    pub fn log_line(&self, line: &[u8]) {
        self.reporter.emit(Event::LogLine { id: self.id, line: line.to_vec() });
    }

    /// Ends the activity as a success.
    pub fn succeed(mut self) {
        self.success = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reporter.emit(Event::Finished { id: self.id, success: self.success });
    }
}

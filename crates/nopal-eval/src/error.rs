//! Evaluation errors: a kind, a message in Nix's wording, a position, and the trace frames gathered on the way out.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

use crate::pos::Pos;

/// The result of anything that evaluates.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an evaluation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// `throw`; `tryEval` catches it.
    Throw,
    /// A failed `assert`; `tryEval` catches it.
    Assertion,
    /// `abort`.
    Abort,
    /// A value of the wrong type.
    Type,
    /// An undefined variable.
    Undefined,
    /// A function called without an argument it needs.
    MissingArgument,
    /// A value that depends on itself.
    InfiniteRecursion,
    /// The call depth or the stack is exhausted.
    StackOverflow,
    /// The limit on memory is reached. Thunks do not remember it, and it has the 10,000 innermost frames at most: all of
    /// them could take as much memory again.
    OutOfMemory,
    /// A syntax error.
    Parse,
    /// A syntax error at the end of a text that a read-eval-print loop may get more of.
    Unfinished,
    /// Access that restricted or pure evaluation forbids.
    Restricted,
    /// Import from derivation where it is not allowed, or that failed to build.
    Ifd,
    /// A store path that is not valid.
    InvalidPath,
    /// The command line names an attribute that does not exist.
    AttrPath,
    /// Something the host reported: a file that cannot be read, a fetch that failed.
    Host,
    /// What was fetched has another hash than it should have.
    HashMismatch,
    /// Use of the evaluator that its caller should have excluded (bad arguments on the command line).
    Usage,
    /// The evaluation was interrupted.
    Interrupted,
    /// Everything else that the language calls an error.
    Eval,
}

/// Trace frames that an [`ErrorKind::OutOfMemory`] has at most.
const MOST_FRAMES: usize = 10_000;

/// One line of the trace, `… while evaluating …`, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The place, if there is one.
    pub pos: Pos,
    /// The text without the leading `… `.
    pub message: Vec<u8>,
    /// Whether the frame is shown even without `--show-trace` (`builtins.addErrorContext`).
    pub always: bool,
}

/// Everything about an error; see [`Error`].
#[derive(Clone, Debug)]
pub struct ErrorData {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The message; bytes, because strings of the program may be part of it.
    pub message: Vec<u8>,
    /// The place the message belongs to.
    pub pos: Pos,
    /// Trace frames, innermost first.
    pub traces: Vec<Trace>,
    /// Names for `Did you mean …?`, best first.
    pub suggestions: Vec<String>,
    /// Whether the message was written by the program (`throw`, `abort`), so that frames about it are kept.
    pub is_from_expr: bool,
    /// Whether the message already contains everything, and `error:` and positions are not to be added.
    pub exit_code: u8,
}

/// An evaluation error. One word, so that results stay small; the cold path pays.
///
/// Clones share their data, as Nix's exceptions do: a thunk that failed remembers the error *with* the frames that were
/// added further out. [`Error::detached`] makes a copy of its own.
#[derive(Clone, Debug)]
pub struct Error(Rc<RefCell<ErrorData>>);

impl Error {
    /// An error of `kind` with this message, without a position.
    #[cold]
    #[inline(never)]
    pub fn new(kind: ErrorKind, message: impl Into<Vec<u8>>) -> Error {
        Error(Rc::new(RefCell::new(ErrorData {
            kind,
            message: message.into(),
            pos: Pos::NONE,
            traces: Vec::new(),
            suggestions: Vec::new(),
            is_from_expr: false,
            exit_code: 1,
        })))
    }

    /// A general evaluation error.
    #[cold]
    pub fn eval(message: impl Into<Vec<u8>>) -> Error {
        Error::new(ErrorKind::Eval, message)
    }

    /// There is no more memory than so many bytes.
    #[cold]
    pub(crate) fn memory_limit(bytes: usize) -> Error {
        Error::new(ErrorKind::OutOfMemory, format!("memory limit of {bytes} bytes reached during evaluation"))
    }

    /// A type error.
    #[cold]
    pub fn type_error(message: impl Into<Vec<u8>>) -> Error {
        Error::new(ErrorKind::Type, message)
    }

    /// Puts the message at `pos`.
    #[cold]
    pub fn at(self, pos: Pos) -> Error {
        self.0.borrow_mut().pos = pos;
        self
    }

    /// Puts the message at `pos` if it has no position yet.
    #[cold]
    pub fn at_if_none(self, pos: Pos) -> Error {
        {
            let mut data = self.0.borrow_mut();
            data.pos = data.pos.or(pos);
        }
        self
    }

    /// Adds a trace frame outside of those that are there.
    #[cold]
    #[inline(never)]
    pub fn trace(self, pos: Pos, message: impl Into<Vec<u8>>) -> Error {
        self.frame(Trace { pos, message: message.into(), always: false })
    }

    /// Adds a trace frame that is shown even without `--show-trace`.
    #[cold]
    pub fn trace_always(self, pos: Pos, message: impl Into<Vec<u8>>) -> Error {
        self.frame(Trace { pos, message: message.into(), always: true })
    }

    fn frame(self, frame: Trace) -> Error {
        {
            let mut data = self.0.borrow_mut();
            if data.kind != ErrorKind::OutOfMemory || data.traces.len() < MOST_FRAMES {
                data.traces.push(frame);
            }
        }
        self
    }

    /// Adds names for `Did you mean …?`.
    #[cold]
    pub fn suggest(self, suggestions: Vec<String>) -> Error {
        self.0.borrow_mut().suggestions = suggestions;
        self
    }

    /// Marks the message as written by the program.
    #[cold]
    pub fn from_expr(self) -> Error {
        self.0.borrow_mut().is_from_expr = true;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.borrow().kind
    }

    /// Everything about the error.
    pub fn data(&self) -> Ref<'_, ErrorData> {
        self.0.borrow()
    }

    /// Everything about the error, to be changed.
    pub fn data_mut(&mut self) -> RefMut<'_, ErrorData> {
        self.0.borrow_mut()
    }

    /// A copy that shares nothing with this error.
    #[cold]
    pub fn detached(&self) -> Error {
        Error(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// Does `builtins.tryEval` catch it?
    pub fn is_catchable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Throw | ErrorKind::Assertion)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.borrow().message))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_do_not_take_the_memory_that_ran_out() {
        let frames = |kind| {
            let add = |error: Error, _| error.trace(Pos::NONE, "while evaluating");
            (0..2 * MOST_FRAMES).fold(Error::new(kind, "full"), add).data().traces.len()
        };
        assert_eq!(frames(ErrorKind::OutOfMemory), MOST_FRAMES);
        assert_eq!(frames(ErrorKind::StackOverflow), 2 * MOST_FRAMES);
    }
}

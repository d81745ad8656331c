//! Wrappers: programs that start another one with a changed environment, name, working directory or arguments.
//!
//! A wrapper is a launcher, which is the same for all, and data that say what to start and how. Nothing is compiled, and
//! no shell runs, unless a wrapper has commands for one.
//!
//! | module | for |
//! |---|---|
//! | [`flags`] | the flags of makeWrapper and makeBinaryWrapper, to what they mean: a [`Launch`] |
//! | [`text`] | texts with variables in them, and the words that a shell would make of them |
//! | [`shell`] | what the launcher cannot do, as a script |
//! | [`format`] | a [`Launch`] as the bytes that the launcher reads |
//! | [`image`] | the launchers as files |
//! | [`portable`] | a [`Launch`] as a script, where there is no launcher |
//! | [`files`] | making wrappers, and reading them |
//! | [`explain`] | what a wrapper does, for people |
//! | [`record`] | the command that made a wrapper, and words as bash quotes them |

pub mod explain;
pub mod files;
pub mod flags;
pub mod format;
pub mod image;
pub mod portable;
pub mod record;
pub mod shell;
pub mod text;

pub use files::{Layout, Place, WrapError, make, read, rewrite, wrap_program};
pub use flags::{FlagError, Manner};
pub use image::Architecture;
pub use text::{Piece, Text};

/// What a launcher does, in this order: the steps, then the texts, then it becomes the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// What to start.
    pub target: Text,
    /// The name that it is told to have.
    pub name: Text,
    /// Whether a name without a slash is looked for in `PATH`.
    pub resolves_name: bool,
    /// Arguments in front of those that the wrapper gets.
    pub before: Text,
    /// Arguments behind them.
    pub after: Text,
    /// What is done first.
    pub steps: Vec<Step>,
    /// The command that made it, for people.
    pub record: Vec<u8>,
}

/// A step before the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Gives a variable a value.
    Set(Vec<u8>, Text),
    /// Likewise, unless it has one.
    SetDefault(Vec<u8>, Text),
    /// Takes it away.
    Unset(Vec<u8>),
    /// Adds a value to a list.
    Join(Join),
    /// Goes to a folder.
    ChangeDirectory(Text),
    /// Leaves out the next step, which gives a variable a value, if there is such a file that can be read.
    SkipIfThere(Vec<u8>),
    /// Keeps a folder open under a number, until another program is executed.
    Hold(u16, Text),
    /// Likewise a file or a folder, which stays open in the program that is executed, and in those that it executes.
    Pass(u16, Text),
}

/// Adding a value to a variable that is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The variable.
    pub name: Vec<u8>,
    /// What stands between the elements of the list.
    pub separator: Vec<u8>,
    /// What is added.
    pub value: Text,
    /// How.
    pub how: JoinKind,
}

/// How a value is added to a list, and what happens if it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Put in front. The first one that is there goes.
    Prefix,
    /// Put behind, unless it is there.
    Suffix,
    /// Put behind. The first one that is there goes.
    Last,
}

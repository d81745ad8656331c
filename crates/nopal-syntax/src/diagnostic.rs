//! What is wrong with a source, as data.

use crate::ast::Pos;

/// Which of Nix's error classes it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The text is not an expression (`ParseError`).
    Parse,
    /// A variable is bound nowhere (`UndefinedVarError`).
    UndefinedVariable,
}

/// An error in one source, in Nix's words. Sources are bytes, and so are messages that quote them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Which class of error.
    pub kind: Kind,
    /// What is wrong, without `error: ` and without position.
    pub message: Vec<u8>,
    /// Where.
    pub pos: Pos,
}

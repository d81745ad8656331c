//! The table form of builtin functions.

use crate::Evaluator;
use crate::code::ir::NO_PARAMETER;
use crate::error::Result;
use crate::pos::Pos;
use crate::value::Value;

/// The function behind a builtin: gets exactly as many arguments as its arity, unevaluated. The position is
/// what Nix passes: none; errors get the call's position from the frame `while calling the '…' builtin`.
pub type BuiltinFn = fn(&mut Evaluator, &[Value], Pos) -> Result<Value>;

/// Where a builtin is visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Only as `builtins.NAME`.
    Builtins,
    /// As `builtins.NAME` and as the plain variable `NAME` (such as `map`, `toString`).
    Global,
}

/// One builtin function.
#[derive(Debug)]
pub struct BuiltinDef {
    /// Its name in `builtins`, without leading underscores.
    pub name: &'static str,
    /// Names of its arguments; their number is the arity.
    pub args: &'static [&'static str],
    /// What it does, in a sentence or two; empty if it is internal.
    pub doc: &'static str,
    /// Where it is visible.
    pub scope: Scope,
    /// The experimental feature it needs, if any.
    pub feature: Option<&'static str>,
    /// Whether an error gets the frame `while calling the '…' builtin` (not for `throw`, `abort`, `seq`, … as in Nix).
    pub trace: bool,
    /// The function.
    pub fun: BuiltinFn,
    /// The argument that it evaluates before it does anything that can be noticed, if there is one.
    pub first: Option<u8>,
}

impl BuiltinDef {
    /// The same, where the argument with this index is evaluated before anything else.
    pub(crate) const fn needs(mut self, first: u8) -> BuiltinDef {
        self.first = Some(first);
        self
    }

    /// In a call with `args` arguments: the index of the one that is evaluated before anything else, or
    /// [`NO_PARAMETER`].
    #[inline(always)]
    pub(crate) fn strict_of(&self, args: usize) -> usize {
        match self.first {
            Some(first) if args == self.arity() => first as usize,
            _ => NO_PARAMETER,
        }
    }

    /// How many arguments it takes.
    #[inline(always)]
    pub fn arity(&self) -> usize {
        self.args.len()
    }
}

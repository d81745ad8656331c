//! The table form of builtin functions.

use crate::Evaluator;
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
}

impl BuiltinDef {
    /// How many arguments it takes.
    #[inline(always)]
    pub fn arity(&self) -> usize {
        self.args.len()
    }
}

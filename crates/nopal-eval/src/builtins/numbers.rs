//! Arithmetic and comparison.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::error::{Error, Result};
use crate::pos::Pos;
use crate::pure::{number, version};
use crate::value::Value;
use std::cmp::Ordering;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!("add", ["e1", "e2"], add, "The sum of two numbers."),
    def!("sub", ["e1", "e2"], sub, "The difference of two numbers."),
    def!("mul", ["e1", "e2"], mul, "The product of two numbers."),
    def!("div", ["e1", "e2"], div, "The quotient of two numbers; of integers, rounded towards zero."),
    def!("bitAnd", ["e1", "e2"], bit_and, "The bitwise AND of two integers."),
    def!("bitOr", ["e1", "e2"], bit_or, "The bitwise OR of two integers."),
    def!("bitXor", ["e1", "e2"], bit_xor, "The bitwise exclusive OR of two integers."),
    def!(
        "lessThan",
        ["e1", "e2"],
        less_than,
        "Whether *e1* is less than *e2*: numbers, strings, paths, or lists \
        element by element."
    ),
    def!("ceil", ["number"], ceil, "The least integer that is not less than the number."),
    def!("floor", ["number"], floor, "The greatest integer that is not greater than the number."),
    def!(
        "compareVersions",
        ["s1", "s2"],
        compare_versions,
        "-1, 0 or 1 as the version *s1* is older than, equal to \
        or newer than *s2*."
    ),
];

fn add(ev: &mut Evaluator, args: &[Value], _pos: Pos) -> Result<Value> {
    ev.add(args[0], args[1])
}

fn sub(ev: &mut Evaluator, args: &[Value], _pos: Pos) -> Result<Value> {
    ev.sub(args[0], args[1])
}

fn mul(ev: &mut Evaluator, args: &[Value], _pos: Pos) -> Result<Value> {
    ev.mul(args[0], args[1])
}

fn div(ev: &mut Evaluator, args: &[Value], _pos: Pos) -> Result<Value> {
    ev.div(args[0], args[1])
}

fn bit_and(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let a = ev.force_int(args[0], pos, "while evaluating the first argument passed to builtins.bitAnd")?;
    let b = ev.force_int(args[1], pos, "while evaluating the second argument passed to builtins.bitAnd")?;
    Ok(ev.heap.int(a & b))
}

fn bit_or(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let a = ev.force_int(args[0], pos, "while evaluating the first argument passed to builtins.bitOr")?;
    let b = ev.force_int(args[1], pos, "while evaluating the second argument passed to builtins.bitOr")?;
    Ok(ev.heap.int(a | b))
}

fn bit_xor(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let a = ev.force_int(args[0], pos, "while evaluating the first argument passed to builtins.bitXor")?;
    let b = ev.force_int(args[1], pos, "while evaluating the second argument passed to builtins.bitXor")?;
    Ok(ev.heap.int(a ^ b))
}

fn less_than(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    ev.force(args[0], pos)?;
    ev.force(args[1], pos)?;
    Ok(Value::bool(ev.less_than(args[0], args[1], Pos::NONE, "")?))
}

fn ceil(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    round(ev, args[0], pos, "while evaluating the first argument passed to builtins.ceil", f64::ceil)
}

fn floor(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    round(ev, args[0], pos, "while evaluating the first argument passed to builtins.floor", f64::floor)
}

/// Integers take the way through floats, as in Nix, which refuses those that would change on it.
fn round(ev: &mut Evaluator, value: Value, pos: Pos, what: &str, f: fn(f64) -> f64) -> Result<Value> {
    const BUG: &str = "Due to a bug (see https://github.com/NixOS/nix/issues/12899)";
    const FUTURE: &str = "in previous Nix versions";
    let number = ev.force_float(value, pos, what)?;
    let rounded = f(number);
    let integer = value.forced().as_int();
    // The bounds of i64 as floats: the lower one is exact, the upper one is one too large.
    if !(rounded >= i64::MIN as f64 && rounded < -(i64::MIN as f64)) {
        let message = match integer {
            Some(i) => format!(
                "{BUG} the NixInt argument {i} caused undefined behavior {FUTURE}.\n\tFuture Nix versions might \
                 implement the correct behavior."
            ),
            None => format!("NixFloat argument {} is not in the range of NixInt", number::general(number)),
        };
        return Err(Error::eval(message).at(pos));
    }
    let result = rounded as i64;
    if let Some(i) = integer
        && i != result
    {
        let message = format!(
            "{BUG} a loss of precision occurred {FUTURE} because the NixInt argument {i} was rounded to \
             {result}.\n\tFuture Nix versions might implement the correct behavior."
        );
        return Err(Error::eval(message).at(pos));
    }
    Ok(ev.heap.int(result))
}

fn compare_versions(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.compareVersions";
    let a = ev.force_string_no_ctx(args[0], pos, what)?;
    let what = "while evaluating the second argument passed to builtins.compareVersions";
    let b = ev.force_string_no_ctx(args[1], pos, what)?;
    Ok(ev.heap.int(match version::compare(a.as_bytes(), b.as_bytes()) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

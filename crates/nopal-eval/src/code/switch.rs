//! Chains of `if` that compare one thing with one text after the other.

use super::compile::{leak, leak_all};
use super::ir::{Binary, Expr, If, Name, Op, Select, Switch};
use crate::pos::Pos;
use crate::value::NixStr;

/// Fewer texts are compared one after the other.
const LEAST_TEXTS: usize = 4;

/// The expression of a chain of branches: condition, what is evaluated if it holds, position.
pub(super) fn chain(branches: Vec<(Expr, Expr, Pos)>, last: Expr) -> Expr {
    // how many branches from each one on compare the same thing, and how many texts with
    let mut runs: Vec<(usize, usize)> = vec![(0, 0); branches.len() + 1];
    for index in (0..branches.len()).rev() {
        let Some(texts) = texts(&branches[index].0) else { continue };
        let joins = branches.get(index + 1).is_some_and(|(next, ..)| same_subject(&branches[index].0, next));
        let (length, more) = if joins { runs[index + 1] } else { (0, 0) };
        runs[index] = (length + 1, more + texts.len());
    }
    // A switch begins with a plain comparison: what fails in it has no frame of `||`.
    let mut heads = vec![false; branches.len()];
    let mut index = 0;
    while index < branches.len() {
        let end = index + runs[index].0;
        while index < end && !matches!(branches[index].0, Expr::Equal(_)) {
            index += 1;
        }
        if index < end {
            heads[index] = runs[index].1 >= LEAST_TEXTS;
        }
        index = end.max(index + 1);
    }
    let mut expr = last;
    let mut index = branches.len();
    for (cond, yes, pos) in branches.into_iter().rev() {
        index -= 1;
        expr = Expr::If(leak(If { cond, yes, no: expr, pos }));
        let (length, count) = runs[index];
        if heads[index] {
            expr = switch(expr, length, count);
        }
    }
    expr
}

/// The same as some `if` expressions, each in the `else` of the one before.
fn switch(branches: Expr, length: usize, count: usize) -> Expr {
    let Expr::If(first) = branches else { return branches };
    let Some(subject) = subject(&first.cond) else { return branches };
    let mut arms: Vec<Option<(NixStr, &'static Expr)>> = vec![None; (2 * count).next_power_of_two()];
    let mask = arms.len() - 1;
    let mut branch = first;
    for left in (0..length).rev() {
        for text in texts(&branch.cond).unwrap_or_default() {
            let mut place = text.rough_hash() as usize & mask;
            while arms[place].is_some_and(|(known, _)| !known.has_bytes_of(text)) {
                place = (place + 1) & mask;
            }
            arms[place].get_or_insert((text, &branch.yes));
        }
        match &branch.no {
            Expr::If(next) if left > 0 => branch = next,
            _ => break,
        }
    }
    let (otherwise, pos) = (&branch.no, first.pos);
    Expr::Switch(leak(Switch { subject, arms: leak_all(arms), otherwise, branches, pos }))
}

/// What a condition like `x == "…" || x == "…"` compares.
fn compared(cond: &Expr) -> Option<&Expr> {
    match cond {
        Expr::Equal(Binary { op: Op::Eq, lhs, .. }) => Some(lhs),
        Expr::Binary(Binary { op: Op::Or, lhs, .. }) => compared(lhs),
        _ => None,
    }
}

/// The texts that such a condition compares with; `None` if it is another condition.
fn texts(cond: &Expr) -> Option<Vec<NixStr>> {
    match cond {
        Expr::Equal(Binary { op: Op::Eq, lhs, rhs: Expr::Const(value), .. }) => {
            place(lhs)?;
            Some(vec![value.as_str()?])
        }
        Expr::Binary(Binary { op: Op::Or, lhs, rhs, .. }) if same_subject(lhs, rhs) => {
            let mut all = texts(lhs)?;
            all.extend(texts(rhs)?);
            Some(all)
        }
        _ => None,
    }
}

/// A variable, and the attribute of it: kind of variable, number, attribute.
fn place(expr: &Expr) -> Option<(bool, u32, Option<nopal_syntax::Symbol>)> {
    match expr {
        Expr::Local(slot, _) => Some((true, *slot, None)),
        Expr::Captured(index, _) => Some((false, *index, None)),
        Expr::Select(Select { base, path: [Name::Static(name, _)], default: None, .. }) => match place(base)? {
            (is_local, number, None) => Some((is_local, number, Some(*name))),
            _ => None,
        },
        _ => None,
    }
}

fn same_subject(a: &Expr, b: &Expr) -> bool {
    match (compared(a).and_then(place), compared(b).and_then(place)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// A second expression for what a condition compares.
fn subject(cond: &Expr) -> Option<Expr> {
    match compared(cond)? {
        Expr::Local(slot, pos) => Some(Expr::Local(*slot, *pos)),
        Expr::Captured(index, pos) => Some(Expr::Captured(*index, *pos)),
        Expr::Select(select) => Some(Expr::Select(select)),
        _ => None,
    }
}

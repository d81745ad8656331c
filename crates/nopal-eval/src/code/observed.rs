//! Code that tells what it does: nodes put around others when an evaluation is observed, and only then. What an
//! unobserved evaluation runs has none of them, so observing costs nothing while it is off.
//!
//! Counted is what Nix's evaluator would do: thunks and environments are Nix's notions, and for Nix an operator such as
//! `-` is a call of a builtin. The compiler therefore leaves the shortcuts out that it takes otherwise.

use std::cell::Cell;

use nopal_syntax::Symbol;
use nopal_syntax::ast::{self, ExprId};

use super::compile::{Compiler, leak};
use super::ir::{Binary, Delayed, Expr, Formals, Group, Op, Rare};
use crate::pos::Pos;

/// What happens whenever a node is evaluated, in numbers.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    /// Thunks made.
    pub(crate) thunks: u64,
    /// Thunks that were not needed: the value was at hand.
    pub(crate) avoided: u64,
    /// Environments made, and the variables in them.
    pub(crate) envs: u64,
    pub(crate) env_values: u64,
    /// Sets made, and the attributes there was room for.
    pub(crate) sets: u64,
    pub(crate) attrs: u64,
    /// Elements of lists made.
    pub(crate) elements: u64,
    /// Lists concatenated.
    pub(crate) concats: u64,
}

impl Counts {
    /// Adds what else happened.
    pub(crate) fn add(&mut self, more: &Counts) {
        self.thunks += more.thunks;
        self.avoided += more.avoided;
        self.envs += more.envs;
        self.env_values += more.env_values;
        self.sets += more.sets;
        self.attrs += more.attrs;
        self.elements += more.elements;
        self.concats += more.concats;
    }

    /// Counts an expression whose value is not needed now.
    pub(crate) fn delay(&mut self, delayed: &Delayed) {
        match delayed {
            // an empty list is made nowhere and counts as nothing
            Delayed::Const(value) if value.as_list().is_some_and(|list| list.is_empty()) => {}
            Delayed::Const(_) | Delayed::Var(_) | Delayed::Cell(_) => self.avoided += 1,
            Delayed::Lambda(_) | Delayed::Thunk(_) | Delayed::Cheap(_) => self.thunks += 1,
        }
    }

    fn env(&mut self, values: usize) {
        self.envs += 1;
        self.env_values += values as u64;
    }

    /// A group with this many sources of `inherit (from)` at its begin: they have an environment of their own.
    fn group(&mut self, group: &Group, sources: usize) {
        group.bindings.iter().for_each(|(_, delayed)| self.delay(delayed));
        if sources > 0 {
            self.env(sources);
        }
    }
}

/// A function that is counted.
pub(crate) struct Function {
    pub(crate) name: Option<Symbol>,
    pub(crate) pos: Pos,
    /// For each formal with a default: its name, and whether the default takes a thunk.
    pub(crate) defaults: Box<[(Symbol, bool)]>,
    /// Calls so far.
    pub(crate) calls: Cell<u64>,
}

/// An operand of `//`, and the words for an error in it.
pub(crate) struct Operand {
    pub(crate) expr: &'static Expr,
    pub(crate) context: &'static str,
}

/// How a node is evaluated when it is observed.
pub(crate) enum What {
    /// As it is.
    Plain,
    /// A call.
    Call,
    /// A selection, all steps of which are counted.
    Select,
    /// The body of a function.
    Body(Function),
    /// `++`.
    Concat,
    /// A chain of `//`, rightmost operand first.
    Update(Box<[Operand]>),
}

/// A node around another.
pub(crate) struct Observed {
    pub(crate) inner: Expr,
    pub(crate) what: What,
    pub(crate) counts: Counts,
}

impl Compiler<'_> {
    /// Puts a node that counts around a node, if there is something to count.
    pub(super) fn observed(&self, id: ExprId, inner: Expr) -> Expr {
        let mut counts = Counts::default();
        let mut what = What::Plain;
        match &inner {
            Expr::Call(call) => {
                call.args.iter().for_each(|arg| counts.delay(arg));
                what = What::Call;
            }
            Expr::Select(_) => what = What::Select,
            Expr::Let(binding) => {
                let sources = self.sources(id);
                counts.group(&binding.group, sources);
                counts.env(binding.group.bindings.len() - sources);
            }
            Expr::With(with) => {
                counts.delay(&with.set);
                counts.env(1);
            }
            Expr::List(elements) => {
                elements.iter().for_each(|element| counts.delay(element));
                counts.elements = elements.len() as u64;
            }
            Expr::Attrs(literal) => {
                let sources = self.sources(id);
                counts.sets = 1;
                counts.attrs = (literal.values.len() + literal.dynamic.len()) as u64;
                if literal.overrides.is_some() {
                    // Nix makes a thunk of every attribute then
                    counts.thunks += literal.values.len() as u64;
                } else {
                    counts.group(&literal.group, sources);
                }
                if literal.group.bindings.len() > sources {
                    counts.env(literal.values.len());
                } else {
                    literal.values.iter().for_each(|value| counts.delay(value));
                }
            }
            Expr::Binary(binary) if binary.op == Op::Update => {
                let mut operands = Vec::new();
                add_operands(binary, &mut operands);
                what = What::Update(operands.into());
            }
            Expr::Binary(binary) if binary.op == Op::Concat => what = What::Concat,
            _ => return inner,
        }
        Expr::Rare(leak(Rare::Observed(Observed { inner, what, counts })))
    }

    /// Puts a node that counts around a selection that the program does not spell out.
    pub(super) fn observed_select(&self, inner: Expr) -> Expr {
        Expr::Rare(leak(Rare::Observed(Observed { inner, what: What::Select, counts: Counts::default() })))
    }

    /// How many sources of `inherit (from)` the set or `let` has.
    fn sources(&self, id: ExprId) -> usize {
        let set = match self.ast.expr(id) {
            ast::Expr::Attrs(set) | ast::Expr::Let { attrs: set, .. } => set,
            _ => return 0,
        };
        self.ast.parts_in(self.ast.attr_set(set).inherit_from).len()
    }

    /// Puts a node that counts around the body of a function.
    pub(super) fn observed_body(&self, lambda: &ast::Lambda, pos: Pos, formals: Option<&Formals>, body: Expr) -> Expr {
        let list = formals.map(|formals| formals.list).unwrap_or_default();
        let mut counts = Counts::default();
        counts.env(list.len() + usize::from(lambda.arg.is_some()));
        let defaults = list.iter().filter_map(|formal| {
            let mut counts = Counts::default();
            counts.delay(formal.default.as_ref()?);
            Some((formal.name, counts.thunks > 0))
        });
        let function = Function { name: lambda.name, pos, defaults: defaults.collect(), calls: Cell::new(0) };
        Expr::Rare(leak(Rare::Observed(Observed { inner: body, what: What::Body(function), counts })))
    }
}

/// The operand itself, if it is a chain of `//` that was wrapped: it becomes part of the chain around it.
pub(super) fn unwrap_update(expr: Expr) -> Expr {
    match expr {
        Expr::Rare(Rare::Observed(Observed { inner: Expr::Binary(binary), what: What::Update(_), .. })) => {
            Expr::Binary(binary)
        }
        expr => expr,
    }
}

fn add_operands(binary: &'static Binary, operands: &mut Vec<Operand>) {
    let sides = [
        (&binary.rhs, "in the right operand of the update (//) operator"),
        (&binary.lhs, "in the left operand of the update (//) operator"),
    ];
    for (expr, context) in sides {
        match expr {
            Expr::Binary(inner) if inner.op == Op::Update => add_operands(inner, operands),
            expr => operands.push(Operand { expr, context }),
        }
    }
}

//! The code that is evaluated: a tree of nodes with every variable resolved to a slot of the frame or to a captured
//! word. Nodes live as long as the process (they are shared by all closures made from them).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nopal_syntax::Symbol;

use super::compile::Later;
use crate::pos::Pos;
use crate::value::{NixStr, Shape, Value};

/// Where a variable lives while code runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ref {
    /// A slot of the frame.
    Local(u32),
    /// A captured word of the closure or thunk.
    Captured(u32),
}

/// What is compiled at once, or when it is needed.
pub(crate) struct Lazy<T> {
    compiled: OnceLock<T>,
    later: Option<&'static Later>,
}

impl<T> Lazy<T> {
    /// Something that is compiled.
    pub(crate) fn now(compiled: T) -> Self {
        Lazy { compiled: OnceLock::from(compiled), later: None }
    }

    /// Something to be compiled when it is needed.
    pub(crate) fn later(later: &'static Later) -> Self {
        Lazy { compiled: OnceLock::new(), later: Some(later) }
    }

    /// What was compiled, if it was.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&T> {
        self.compiled.get()
    }

    /// What it takes to compile it.
    pub(crate) fn rest(&self) -> Option<&'static Later> {
        self.later
    }

    /// Remembers what was compiled, unless another thread has done so.
    pub(crate) fn set(&self, compiled: T) -> &T {
        self.compiled.get_or_init(|| compiled)
    }
}

/// Code of a thunk.
pub(crate) struct ThunkCode {
    /// What is copied into the thunk when it is made.
    pub(crate) captures: &'static [Ref],
    /// What to evaluate.
    pub(crate) body: Lazy<Body>,
}

/// What a thunk evaluates.
pub(crate) struct Body {
    pub(crate) expr: Expr,
    /// Slots of its frame.
    pub(crate) slots: u32,
}

impl ThunkCode {
    /// Code that is compiled.
    pub(crate) fn new(captures: &'static [Ref], expr: Expr, slots: u32) -> Self {
        ThunkCode { captures, body: Lazy::now(Body { expr, slots }) }
    }
}

/// A function.
pub(crate) struct Lambda {
    /// What is copied into the closure when it is made.
    pub(crate) captures: &'static [Ref],
    /// What to do when it is called.
    pub(crate) function: Lazy<Function>,
    /// Name of the argument.
    pub(crate) arg: Option<Symbol>,
    /// The attribute it was bound to.
    pub(crate) name: BoundName,
    /// Begin of the function.
    pub(crate) pos: Pos,
    /// The doc comment, as an extent of the source.
    pub(crate) doc: Option<(Pos, u32)>,
}

impl Lambda {
    /// It and the functions that are its body are bound to an attribute with a computed name.
    pub(crate) fn bind(&self, name: Symbol) {
        let mut lambda = self;
        loop {
            lambda.name.set(name);
            match lambda.function.get().map(|function| &function.body) {
                Some(Expr::Lambda(inner)) => lambda = inner,
                _ => return,
            }
        }
    }
}

/// The name of the attribute that a function is bound to. As in Nix it changes where the name of the attribute is computed.
pub(crate) struct BoundName(AtomicU32);

impl BoundName {
    pub(crate) fn new(name: Option<Symbol>) -> Self {
        BoundName(AtomicU32::new(name.map_or(u32::MAX, |name| name.index() as u32)))
    }

    pub(crate) fn get(&self) -> Option<Symbol> {
        let index = self.0.load(Ordering::Relaxed);
        (index != u32::MAX).then(|| Symbol::from_index(index as usize))
    }

    fn set(&self, name: Symbol) {
        self.0.store(name.index() as u32, Ordering::Relaxed);
    }
}

/// What a function does.
pub(crate) struct Function {
    /// The body.
    pub(crate) body: Expr,
    /// Slots of its frame; the argument is in slot 0, formals in the slots after it, and then the arguments before.
    pub(crate) slots: u32,
    /// Which parameter is evaluated before anything else.
    pub(crate) strict: Strict,
    /// How many arguments it takes before anything else happens, if its body is a function and so on.
    pub(crate) curried: u32,
    /// If it takes several: the last of these functions, which does something.
    pub(crate) last: Option<&'static Lambda>,
    /// The arguments before, if it is the last of such functions.
    pub(crate) before: Before,
    /// The set pattern.
    pub(crate) formals: Option<Formals>,
}

/// Arguments of the functions around one that is the last of a curried function. It captures what the first one captures,
/// and behind that these arguments; they are copied to the frame, so that in a call with all arguments none is captured.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) count: u32,
    /// The slot of the first one.
    pub(crate) slot: u32,
}

impl Before {
    /// Which of them is in a slot.
    pub(crate) fn index_of(self, slot: u32) -> Option<u32> {
        slot.checked_sub(self.slot).filter(|index| *index < self.count)
    }

    /// Which of the last `args` arguments of the function, counted from the first of these, is in a slot.
    pub(crate) fn parameter_in(self, slot: u32, args: u32) -> Option<u32> {
        let index = if slot == 0 { self.count } else { self.index_of(slot)? };
        (index + args).checked_sub(self.count + 1)
    }
}

/// No parameter; see [`Strict::of`].
pub(crate) const NO_PARAMETER: usize = usize::MAX;

/// Of a function called with so many arguments: the parameter whose value is needed before anything else happens.
#[derive(Clone, Copy)]
pub(crate) struct Strict {
    args: u8,
    parameter: u8,
}

impl Strict {
    /// None is known.
    pub(crate) const NONE: Strict = Strict { args: 0, parameter: 0 };

    /// The only argument.
    pub(crate) const FIRST: Strict = Strict { args: 1, parameter: 0 };

    /// The index of the parameter in a call with `args` arguments, or [`NO_PARAMETER`].
    #[inline(always)]
    pub(crate) fn of(self, args: usize) -> usize {
        if self.args as usize == args { self.parameter as usize } else { NO_PARAMETER }
    }

    /// What is known of a curried function called with the last `args` arguments of those it takes, of which `before` come
    /// before the last.
    pub(crate) fn of_body(body: &Expr, before: Before, args: u32) -> Strict {
        let Some(Ref::Local(slot)) = first_needed(body) else { return Strict::NONE };
        match (u8::try_from(args), before.parameter_in(slot, args).map(u8::try_from)) {
            (Ok(args), Some(Ok(parameter))) => Strict { args, parameter },
            _ => Strict::NONE,
        }
    }
}

/// The variable that evaluating an expression needs first, before anything that can be noticed.
fn first_needed(expr: &Expr) -> Option<Ref> {
    match expr {
        Expr::Local(slot, _) => Some(Ref::Local(*slot)),
        Expr::Captured(index, _) => Some(Ref::Captured(*index)),
        Expr::Select(select) => first_needed(&select.base),
        Expr::HasAttr(has) => first_needed(&has.base),
        Expr::Call(call) => first_needed(&call.function),
        Expr::If(branch) => first_needed(&branch.cond),
        Expr::Switch(switch) => first_needed(&switch.subject),
        Expr::Assert(assert) => first_needed(&assert.cond),
        Expr::Not(operand) => first_needed(operand),
        Expr::Equal(binary) => first_needed(&binary.lhs),
        Expr::Binary(binary) => match binary.op {
            Op::Greater | Op::LessEq | Op::Update => first_needed(&binary.rhs),
            _ => first_needed(&binary.lhs),
        },
        Expr::ConcatStrings(concat) => concat.parts.first().and_then(|(_, part)| first_needed(part)),
        _ => None,
    }
}

/// A set pattern.
pub(crate) struct Formals {
    /// The formals, by symbol.
    pub(crate) list: &'static [Formal],
    /// Does it end in `...`?
    pub(crate) ellipsis: bool,
}

/// One formal; its slot is its index plus one.
pub(crate) struct Formal {
    pub(crate) name: Symbol,
    pub(crate) pos: Pos,
    pub(crate) default: Option<Delayed>,
}

/// An expression in a place that is not evaluated now: how its value is made.
pub(crate) enum Delayed {
    /// Known when the code was compiled.
    Const(Value),
    /// The value of a variable, as it is.
    Var(Ref),
    /// What is in the cell of a variable now (see [`Overrides`]).
    Cell(Ref),
    /// A function.
    Lambda(&'static Lambda),
    /// Evaluated on demand.
    Thunk(&'static ThunkCode),
    /// A little arithmetic, or a selection, as an argument: done at once if the function needs it first, all it needs is
    /// at hand and it cannot fail; else on demand.
    Cheap(&'static Cheap),
}

impl Delayed {
    /// What is copied into the object that is made for it.
    #[inline(always)]
    pub(crate) fn captures(&self) -> &'static [Ref] {
        match self {
            Delayed::Const(_) | Delayed::Var(_) | Delayed::Cell(_) => &[],
            Delayed::Lambda(lambda) => lambda.captures,
            Delayed::Thunk(code) => code.captures,
            Delayed::Cheap(cheap) => cheap.later.captures,
        }
    }
}

/// See [`Delayed::Cheap`].
pub(crate) struct Cheap {
    /// The expression, for the frame around it.
    pub(crate) now: Expr,
    /// The same as the code of a thunk.
    pub(crate) later: &'static ThunkCode,
}

/// A step of an attribute path.
pub(crate) enum Name {
    Static(Symbol, Cache),
    /// The expression, and its text for messages.
    Dynamic(Expr, &'static [u8]),
}

/// One `with` around a variable.
pub(crate) struct WithScope {
    /// Where its set is.
    pub(crate) set: Ref,
    /// The position of the `with`.
    pub(crate) pos: Pos,
    /// Where the name was found last.
    pub(crate) cache: Cache,
}

/// Inline cache of a look-up: the shape seen last, and the index of the name in it, if it has it.
#[derive(Default)]
pub(crate) struct Cache(AtomicU64);

/// Bits for the index plus one in a cache; zero says that the name is not there.
const CACHED_INDEX_BITS: u32 = 16;

impl Cache {
    /// The index of the name in a shape, if it has it; `None` if the shape seen last is another one. That one often has
    /// the name in the same place: what is of one kind begins with the same keys.
    #[inline(always)]
    pub(crate) fn find(&self, shape: Shape, name: Symbol) -> Option<Option<u32>> {
        let word = self.0.load(Ordering::Relaxed);
        let index = (word as u16).checked_sub(1).map(u32::from);
        if word >> CACHED_INDEX_BITS == shape.id() as u64 {
            return Some(index);
        }
        index.filter(|index| shape.has_at(*index, name)).map(Some)
    }

    /// Remembers the index of the name in a shape that is never collected; an index that is too large is forgotten.
    pub(crate) fn remember(&self, shape: Shape, index: Option<u32>) {
        if let Ok(index) = u16::try_from(index.map_or(0, |index| index + 1)) {
            self.0.store((shape.id() as u64) << CACHED_INDEX_BITS | u64::from(index), Ordering::Relaxed);
        }
    }
}

pub(crate) struct Select {
    pub(crate) base: Expr,
    pub(crate) path: &'static [Name],
    pub(crate) default: Option<Expr>,
    pub(crate) pos: Pos,
}

pub(crate) struct HasAttr {
    pub(crate) base: Expr,
    pub(crate) path: &'static [Name],
    pub(crate) pos: Pos,
}

pub(crate) struct Call {
    pub(crate) function: Expr,
    pub(crate) args: &'static [Delayed],
    pub(crate) pos: Pos,
}

/// Slots filled together, whose expressions may refer to each other.
pub(crate) struct Group {
    pub(crate) bindings: &'static [(u32, Delayed)],
    /// Whether one may capture itself or what comes after it.
    pub(crate) is_circular: bool,
}

impl Group {
    pub(crate) fn new(bindings: &'static [(u32, Delayed)]) -> Group {
        let last = bindings.last().map_or(0, |(slot, _)| *slot);
        let is_circular = !bindings.is_sorted_by_key(|(slot, _)| *slot)
            || bindings.iter().any(|(slot, delayed)| {
                let later = *slot..=last;
                delayed.captures().iter().any(|from| matches!(from, Ref::Local(slot) if later.contains(slot)))
            });
        Group { bindings, is_circular }
    }
}

pub(crate) struct Let {
    pub(crate) group: Group,
    pub(crate) body: Expr,
}

pub(crate) struct WithExpr {
    pub(crate) set: Delayed,
    pub(crate) slot: u32,
    pub(crate) body: Expr,
    pub(crate) pos: Pos,
}

pub(crate) struct If {
    pub(crate) cond: Expr,
    pub(crate) yes: Expr,
    pub(crate) no: Expr,
    pub(crate) pos: Pos,
}

/// A chain of `if x == "…" then … else if x == "…" then …`, where `x` is the same in all conditions.
pub(crate) struct Switch {
    /// What is compared: a variable, or a selection from one.
    pub(crate) subject: Expr,
    /// The texts, by [`NixStr::rough_hash`], each with what is evaluated for it; the length is a power of two, and some are
    /// empty.
    pub(crate) arms: &'static [Option<(NixStr, &'static Expr)>],
    /// For every other text.
    pub(crate) otherwise: &'static Expr,
    /// The same as `if` expressions, for what is not a string.
    pub(crate) branches: Expr,
    pub(crate) pos: Pos,
}

impl Switch {
    #[inline(always)]
    pub(crate) fn choose(&self, subject: NixStr) -> &'static Expr {
        let mut place = subject.rough_hash() as usize;
        loop {
            match &self.arms[place & (self.arms.len() - 1)] {
                Some((text, arm)) if text.has_bytes_of(subject) => return arm,
                Some(_) => place += 1,
                None => return self.otherwise,
            }
        }
    }
}

pub(crate) struct Assert {
    pub(crate) cond: Expr,
    pub(crate) body: Expr,
    pub(crate) pos: Pos,
    /// The extent of the condition: begin and length in bytes.
    pub(crate) text: (Pos, u32),
    /// For `assert a == b`: the operands, for a message that says how they differ.
    pub(crate) equality: Option<(Expr, Expr)>,
}

/// Operators on two operands; from `Sub` on those on numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(crate) enum Op {
    Eq,
    Neq,
    And,
    Or,
    Impl,
    Update,
    Concat,
    Sub,
    Mul,
    Div,
    Less,
    LessEq,
    Greater,
    GreaterEq,
}

pub(crate) struct Binary {
    pub(crate) op: Op,
    /// Of `==` and `!=`.
    pub(crate) comparand: Comparand,
    pub(crate) lhs: Expr,
    pub(crate) rhs: Expr,
    pub(crate) pos: Pos,
}

impl Binary {
    pub(crate) fn new(op: Op, lhs: Expr, rhs: Expr, pos: Pos) -> Binary {
        let comparand = match &rhs {
            Expr::Const(value) if value.is_unique_string() => Comparand::UniqueString,
            Expr::Const(value) if !value.is_object() => Comparand::Immediate,
            _ => Comparand::Any,
        };
        Binary { op, comparand, lhs, rhs, pos }
    }
}

/// What a value is compared with.
#[derive(Clone, Copy)]
pub(crate) enum Comparand {
    /// A constant that is a unique string.
    UniqueString,
    /// A constant that is an immediate value.
    Immediate,
    Any,
}

pub(crate) struct ConcatStrings {
    pub(crate) parts: &'static [(Pos, Expr)],
    pub(crate) force_string: bool,
    pub(crate) pos: Pos,
}

/// An attribute set literal.
pub(crate) struct AttrsLit {
    /// Keys and positions of the static attributes.
    pub(crate) shape: Shape,
    /// Slots to fill first: the attributes of a recursive set, and the sources of `inherit (from)`.
    pub(crate) group: Group,
    /// The values in the order of the shape.
    pub(crate) values: &'static [Delayed],
    /// Dynamic attributes in source order.
    pub(crate) dynamic: &'static [DynamicAttr],
    /// For a recursive set with `__overrides`: the slot of every key of the shape.
    pub(crate) overrides: Option<Overrides>,
    pub(crate) pos: Pos,
}

/// What a recursive set with `__overrides` needs. Its attributes see each other through *cells*: what is captured is not
/// the attribute but an object with one word that names it, until `__overrides` puts another one there. The object is
/// made like a thunk that captures the attribute, but is never evaluated.
pub(crate) struct Overrides {
    /// Index of `__overrides` in the shape.
    pub(crate) index: usize,
    /// The slots of the cells, in the order of the shape.
    pub(crate) cells: &'static [u32],
}

pub(crate) struct DynamicAttr {
    pub(crate) name: Expr,
    pub(crate) value: Delayed,
    pub(crate) pos: Pos,
}

/// A node. Two words; what is larger is behind a reference.
pub(crate) enum Expr {
    Const(Value),
    Local(u32, Pos),
    Captured(u32, Pos),
    Select(&'static Select),
    HasAttr(&'static HasAttr),
    Call(&'static Call),
    Lambda(&'static Lambda),
    Let(&'static Let),
    With(&'static WithExpr),
    WithVar(&'static WithVar),
    If(&'static If),
    Switch(&'static Switch),
    Assert(&'static Assert),
    Not(&'static Expr),
    /// `==` and `!=`
    Equal(&'static Binary),
    Binary(&'static Binary),
    ConcatStrings(&'static ConcatStrings),
    List(&'static &'static [Delayed]),
    Attrs(&'static AttrsLit),
    Rare(&'static Rare),
}

/// What is so rare that it may take its time: it shares a node, so that the others are dispatched as before.
pub(crate) enum Rare {
    /// `__curPos`
    CurPos(Pos),
    /// A variable whose attribute is in a cell (see [`Overrides`]).
    Cell(Ref, Pos),
    /// A variable whose value is known, but was not evaluated when this was compiled.
    Given(Value, Pos),
    /// What has no position of its own, and will fail where Nix shows one.
    Placed(Expr, Pos),
    /// An argument that failed when it was computed before the call: fails now, as it would have done.
    Raised,
    /// Only where the evaluation is observed.
    Observed(super::observed::Observed),
}

pub(crate) struct WithVar {
    pub(crate) name: Symbol,
    pub(crate) pos: Pos,
    /// Innermost first.
    pub(crate) scopes: &'static [WithScope],
}

impl Expr {
    /// The position Nix reports for the expression, where there is one.
    pub(crate) fn pos(&self) -> Pos {
        match self {
            Expr::Local(_, pos) | Expr::Captured(_, pos) => *pos,
            Expr::Rare(Rare::CurPos(pos) | Rare::Cell(_, pos) | Rare::Given(_, pos) | Rare::Placed(_, pos)) => *pos,
            Expr::Not(operand) => operand.pos(),
            Expr::Select(select) => select.pos,
            Expr::HasAttr(has) => has.pos,
            Expr::Call(call) => call.pos,
            Expr::Lambda(lambda) => lambda.pos,
            Expr::WithVar(var) => var.pos,
            Expr::If(branch) => branch.pos,
            Expr::Switch(switch) => switch.pos,
            Expr::Assert(assert) => assert.pos,
            Expr::Equal(binary) | Expr::Binary(binary) => binary.pos,
            Expr::ConcatStrings(concat) => concat.pos,
            Expr::Attrs(literal) => literal.pos,
            Expr::With(with) => with.pos,
            Expr::Rare(Rare::Observed(observed)) => observed.inner.pos(),
            Expr::Rare(Rare::Raised) | Expr::Const(_) | Expr::Let(_) | Expr::List(_) => Pos::NONE,
        }
    }
}

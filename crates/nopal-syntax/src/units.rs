//! Parts of a tree that can be compiled by themselves, when they are needed, and the variables that each needs.

use crate::ast::{Ast, AttrName, AttrValue, AttrsId, Expr, ExprId, LambdaId, Range};
use crate::interner::{Interner, Symbol, sym};

/// A smaller expression is not worth putting off.
const MIN_NODES: u32 = 8;

/// Inside of this many units there are no more: finding out what a unit needs takes time for each unit around it.
const MAX_NESTING: usize = 64;

/// An expression that its surroundings do not evaluate at once: a function with all its parameters, or what becomes a
/// thunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unit {
    /// The expression.
    pub expr: ExprId,
    /// The names of the variables around it that it needs, in [`Units::free_in`].
    pub(crate) free: Range,
    /// Whether it needs the sets of all `with` around it.
    pub withs: bool,
}

/// The units of one tree.
#[derive(Clone, Debug, Default)]
pub struct Units {
    /// Ascending by expression.
    pub(crate) units: Vec<Unit>,
    pub(crate) free: Vec<Symbol>,
    /// Names that nothing in the source binds: those that are bound everywhere, and those looked up in a `with`.
    pub(crate) globals: Vec<Symbol>,
    pub(crate) others: Vec<Symbol>,
}

impl Units {
    /// The unit that is this expression.
    pub fn of(&self, expr: ExprId) -> Option<Unit> {
        self.units.binary_search_by_key(&expr, |unit| unit.expr).ok().map(|index| self.units[index])
    }

    /// Whether the units are those that [`find`] would find with this notion of what is bound everywhere.
    pub fn hold(&self, is_global: impl Fn(Symbol) -> bool) -> bool {
        self.globals.iter().all(|name| is_global(*name)) && !self.others.iter().any(|name| is_global(*name))
    }

    /// The names of the variables that a unit needs. Each is bound by a function, `let` or `rec` around it.
    pub fn free_in(&self, unit: Unit) -> &[Symbol] {
        &self.free[unit.free.indices()]
    }
}

/// A variable that nothing binds; [`crate::scope::check`] tells which one Nix would report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unbound;

/// Finds the units of a tree. `is_global` says which names are bound everywhere.
///
/// # Errors
/// [`Unbound`]
pub fn find(
    ast: &Ast,
    symbols: &Interner,
    finder: &mut Finder,
    is_global: impl Fn(Symbol) -> bool,
) -> Result<Units, Unbound> {
    finder.bound.resize(symbols.len(), NOWHERE);
    finder.needed.resize(symbols.len(), NOWHERE);
    let mut search = Search { ast, is_global, finder, withs: 0, nodes: 0, units: Units::default() };
    let result = search.run();
    let mut units = search.units;
    if result.is_err() {
        *finder = Finder::default();
    }
    units.units.sort_unstable_by_key(|unit| unit.expr);
    for names in [&mut units.globals, &mut units.others] {
        names.sort_unstable();
        names.dedup();
    }
    result.map(|()| units)
}

/// No unit.
const NOWHERE: u32 = u32::MAX;

/// What [`find`] works with, for many trees of the same symbols.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    /// For each symbol, how many units are around what binds it; [`NOWHERE`] if nothing does.
    bound: Vec<u32>,
    /// What `bound` was before.
    shadowed: Vec<(Symbol, u32)>,
    /// For each symbol, the number of the innermost unit that was found to need it last.
    needed: Vec<u32>,
    /// How many units were opened.
    opened: u32,
    work: Vec<Item>,
    /// Units around the expression at hand, outermost first.
    open: Vec<Open>,
    /// Vectors that are used again.
    spare: Vec<Vec<Symbol>>,
}

#[derive(Clone, Debug)]
struct Open {
    expr: ExprId,
    /// Distinguishes it from all others.
    number: u32,
    /// Nodes seen before it.
    nodes: u32,
    free: Vec<Symbol>,
    withs: bool,
}

/// Something still to be done. The search keeps its own stack, so that no tree is too deep for it.
#[derive(Clone, Copy, Debug)]
enum Item {
    Visit(ExprId),
    /// An expression that is not evaluated at once.
    Delay(ExprId),
    /// A function that is the body of another: part of the other's unit.
    Curried(LambdaId),
    Variable(Symbol),
    Bind(AttrsId),
    /// Forgets this many bindings.
    Unbind(u32),
    BindLambda(LambdaId),
    OpenWith,
    CloseWith,
    CloseUnit,
}

struct Search<'a, G> {
    ast: &'a Ast,
    is_global: G,
    finder: &'a mut Finder,
    withs: u32,
    nodes: u32,
    units: Units,
}

impl<G: Fn(Symbol) -> bool> Search<'_, G> {
    fn run(&mut self) -> Result<(), Unbound> {
        self.finder.work.push(Item::Visit(self.ast.root()));
        while let Some(item) = self.finder.work.pop() {
            match item {
                Item::Visit(id) => self.visit(id)?,
                Item::Delay(id) => self.delay(id)?,
                Item::Curried(id) => self.lambda(id),
                Item::Variable(name) => self.variable(name)?,
                Item::Bind(set) => {
                    for attr in self.ast.attrs_in(self.ast.attr_set(set).attrs) {
                        self.bind(attr.name);
                    }
                }
                Item::BindLambda(id) => {
                    let lambda = self.ast.lambda(id);
                    lambda.arg.into_iter().for_each(|arg| self.bind(arg));
                    for formal in lambda.formals.map_or(&[][..], |pattern| self.ast.formals_in(pattern.formals)) {
                        self.bind(formal.name);
                    }
                }
                Item::Unbind(count) => {
                    let kept = self.finder.shadowed.len() - count as usize;
                    for (name, before) in self.finder.shadowed.drain(kept..).rev() {
                        self.finder.bound[name.index()] = before;
                    }
                }
                Item::OpenWith => self.withs += 1,
                Item::CloseWith => self.withs -= 1,
                Item::CloseUnit => self.close_unit(),
            }
        }
        Ok(())
    }

    fn bind(&mut self, name: Symbol) {
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_NESTING")]
        let depth = self.finder.open.len() as u32;
        let before = std::mem::replace(&mut self.finder.bound[name.index()], depth);
        self.finder.shadowed.push((name, before));
    }

    /// Notes that the units between a variable and what binds it need it.
    #[inline]
    fn variable(&mut self, name: Symbol) -> Result<(), Unbound> {
        let binder = self.finder.bound[name.index()];
        if binder != NOWHERE {
            self.need(name, binder as usize);
        } else if (self.is_global)(name) {
            self.units.globals.push(name);
        } else {
            self.units.others.push(name);
            if self.withs == 0 {
                return Err(Unbound);
            }
            self.finder.open.iter_mut().for_each(|unit| unit.withs = true);
        }
        Ok(())
    }

    fn need(&mut self, name: Symbol, binder: usize) {
        let Some(innermost) = self.finder.open.get(binder..).and_then(|units| units.last()) else { return };
        let last = &mut self.finder.needed[name.index()];
        if *last == innermost.number {
            return;
        }
        *last = innermost.number;
        for unit in self.finder.open[binder..].iter_mut().rev() {
            if unit.free.contains(&name) {
                break;
            }
            unit.free.push(name);
        }
    }

    fn open_unit(&mut self, expr: ExprId) {
        let mut free = self.finder.spare.pop().unwrap_or_default();
        free.clear();
        self.finder.open.push(Open { expr, number: self.finder.opened, nodes: self.nodes, free, withs: false });
        self.finder.opened = self.finder.opened.wrapping_add(1);
        self.finder.work.push(Item::CloseUnit);
    }

    fn close_unit(&mut self) {
        let Some(unit) = self.finder.open.pop() else { return };
        if self.nodes - unit.nodes >= MIN_NODES {
            let free = Range { start: index(self.units.free.len()), len: index(unit.free.len()) };
            self.units.free.extend_from_slice(&unit.free);
            self.units.units.push(Unit { expr: unit.expr, free, withs: unit.withs });
        }
        self.finder.spare.push(unit.free);
    }

    fn push(&mut self, id: ExprId) {
        self.finder.work.push(Item::Visit(id));
    }

    fn delay_all(&mut self, ids: &[ExprId]) {
        self.finder.work.extend(ids.iter().map(|id| Item::Delay(*id)));
    }

    fn delay(&mut self, id: ExprId) -> Result<(), Unbound> {
        let is_small = matches!(
            self.ast.expr(id),
            Expr::Int(_) | Expr::Float(_) | Expr::Str(_) | Expr::Path { .. } | Expr::SearchPath(_) | Expr::Var(_)
        );
        if !is_small && !matches!(self.ast.expr(id), Expr::Lambda(_)) && self.finder.open.len() < MAX_NESTING {
            self.open_unit(id);
        }
        self.visit(id)
    }

    /// Notes what an expression needs, and what of it is still to be visited.
    fn visit(&mut self, id: ExprId) -> Result<(), Unbound> {
        self.nodes += 1;
        let ast = self.ast;
        match ast.expr(id) {
            Expr::Int(_) | Expr::Float(_) | Expr::Str(_) | Expr::Path { .. } | Expr::CurPos => {}
            Expr::SearchPath(_) => {
                self.variable(sym::FIND_FILE)?;
                self.variable(sym::NIX_PATH)?;
            }
            Expr::Var(name) => self.variable(name)?,
            Expr::Select { base, path, default } => {
                self.push(base);
                self.finder.work.extend(default.map(Item::Visit));
                self.path(ast.attr_path(path));
            }
            Expr::HasAttr { base, path } => {
                self.push(base);
                self.path(ast.attr_path(path));
            }
            Expr::Lambda(lambda) => {
                if self.finder.open.len() < MAX_NESTING {
                    self.open_unit(id);
                }
                self.lambda(lambda);
            }
            Expr::Call { function, args } => {
                self.push(function);
                self.delay_all(ast.exprs_in(args));
            }
            Expr::Let { attrs, body } => self.bindings(attrs, true, Some(body)),
            Expr::Attrs(set) => self.bindings(set, ast.attr_set(set).recursive, None),
            Expr::With { env, body } => {
                self.finder.work.extend([Item::CloseWith, Item::Visit(body), Item::OpenWith, Item::Delay(env)]);
            }
            Expr::If { cond, yes, no } => [cond, yes, no].into_iter().for_each(|id| self.push(id)),
            Expr::Assert { cond, body } => [cond, body].into_iter().for_each(|id| self.push(id)),
            Expr::Not(operand) => self.push(operand),
            Expr::Negate(operand) => {
                self.variable(sym::SUB)?;
                self.push(operand);
            }
            Expr::Binary { op, lhs, rhs } => {
                if let Some(call) = op.desugar() {
                    self.variable(call.function)?;
                }
                self.push(lhs);
                self.push(rhs);
            }
            Expr::Concat { parts, .. } => {
                self.finder.work.extend(ast.parts_in(parts).iter().map(|part| Item::Visit(part.expr)));
            }
            Expr::List(items) => self.delay_all(ast.exprs_in(items)),
        }
        Ok(())
    }

    fn path(&mut self, names: &[AttrName]) {
        for name in names {
            if let AttrName::Dynamic(expr) = name {
                self.push(*expr);
            }
        }
    }

    fn lambda(&mut self, id: LambdaId) {
        let lambda = self.ast.lambda(id);
        let formals = lambda.formals.map_or(&[][..], |pattern| self.ast.formals_in(pattern.formals));
        let bound = index(formals.len()) + u32::from(lambda.arg.is_some());
        self.finder.work.push(Item::Unbind(bound));
        self.finder.work.push(match self.ast.expr(lambda.body) {
            Expr::Lambda(inner) => Item::Curried(inner),
            _ => Item::Visit(lambda.body),
        });
        self.finder.work.extend(formals.iter().filter_map(|formal| formal.default).map(Item::Delay));
        self.finder.work.push(Item::BindLambda(id));
    }

    /// A set or the bindings of a `let` with its body.
    fn bindings(&mut self, id: AttrsId, recursive: bool, body: Option<ExprId>) {
        let ast = self.ast;
        let set = ast.attr_set(id);
        let attrs = ast.attrs_in(set.attrs);
        if recursive {
            self.finder.work.push(Item::Unbind(index(attrs.len())));
        }
        self.finder.work.extend(body.map(Item::Visit));
        for attr in ast.dynamic_in(set.dynamic) {
            self.push(attr.name);
            self.finder.work.push(Item::Delay(attr.value));
        }
        for attr in attrs {
            if let AttrValue::Plain(expr) = attr.value {
                self.finder.work.push(Item::Delay(expr));
            }
        }
        self.finder.work.extend(ast.parts_in(set.inherit_from).iter().map(|from| Item::Delay(from.expr)));
        if recursive {
            self.finder.work.push(Item::Bind(id));
        }
        // these are variables of the scope around the set
        for attr in attrs {
            if attr.value == AttrValue::Inherited {
                self.finder.work.push(Item::Variable(attr.name));
            }
        }
    }
}

/// A number of something that takes at least a byte of source.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
fn index(number: usize) -> u32 {
    number as u32
}

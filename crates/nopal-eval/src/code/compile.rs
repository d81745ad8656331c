//! The compiler: from the syntax tree of a file to code with every variable resolved.
//!
//! A *level* is the body of a function or of a thunk; it has a frame of slots and a list of captured words. A variable
//! of an outer level is captured through every level in between (flat closures). One table has what each name
//! stands for at the place at hand, so that looking one up does not depend on how many are in scope.

use std::sync::Arc;

use bumpalo::Bump;
use nopal_syntax::ast::{self, Ast, AttrName, BinOp, ConcatKind, ExprId, LambdaId};
use nopal_syntax::interner::sym;
use nopal_syntax::printer::identifier;
use nopal_syntax::units::{Unit, Units};
use nopal_syntax::{Interner, Symbol};
use rustc_hash::FxHashMap;

use super::ir::{
    Assert, Before, Binary, Body, BoundName, Cache, Call, Cheap, ConcatStrings, Delayed, Expr, Formal, Formals,
    Function, HasAttr, If, Lambda, Lazy, Name, Op, Rare, Ref, Select, Strict, ThunkCode, WithExpr, WithScope, WithVar,
};
use super::observed::unwrap_update;
use super::switch;
use crate::error::{Error, ErrorKind, Result};
use crate::pos::{Pos, PosBase};
use crate::value::world::Shared;
use crate::value::{Attrs, Heap, Root, Value};

/// A source whose code is compiled piece by piece.
pub(crate) struct Source {
    pub(crate) ast: Ast,
    /// The pieces; none if all is compiled at once.
    pub(crate) units: Units,
    pub(crate) base: PosBase,
    /// The tree that path literals belong to.
    pub(crate) root: Root,
    /// The directory that relative paths are relative to.
    pub(crate) dir: Box<[u8]>,
    pub(crate) home: Box<[u8]>,
    /// Variables of `scopedImport`, around the source but inside of the globals.
    pub(crate) scope: Option<Shared<Value>>,
}

/// What the compiler needs of the evaluator.
pub(crate) struct Context<'a> {
    pub(crate) heap: &'a mut Heap,
    pub(crate) symbols: &'a mut Interner,
    /// Variables that are visible everywhere.
    pub(crate) globals: &'a FxHashMap<Symbol, Value>,
    /// What names stand for; used by one compilation after the other.
    pub(crate) names: &'a mut Names,
    /// Whether the code tells what it does.
    pub(crate) observed: bool,
}

/// A unit of a source that is compiled when it is needed.
pub(crate) struct Later {
    source: Arc<Source>,
    expr: ExprId,
    /// The names of the first words that it captures.
    names: &'static [Symbol],
    /// The positions of the `with` around it, outermost first; their sets are the next words that it captures.
    withs: &'static [Pos],
}

/// Most arguments before the last that a curried function takes as one.
const MAX_BEFORE: usize = 15;

/// How deep an expression may be to be tried at once where a thunk would do.
pub(crate) const MAX_CHEAP_DEPTH: u32 = 2;

/// Compiles a source to the code of a thunk without captured words, but for the units in it.
pub(crate) fn compile(source: &Arc<Source>, context: Context<'_>) -> Result<&'static ThunkCode> {
    Compiler::run(source, context, |compiler| {
        compiler.levels.push(Level::default());
        let body = compiler.expr(source.ast.root())?;
        let level = compiler.levels.pop().unwrap_or_default();
        Ok(leak(ThunkCode::new(&[], body, level.max_slots)))
    })
}

/// Compiles the code of a thunk that was put off.
pub(crate) fn compile_thunk(later: &Later, context: Context<'_>) -> Result<Body> {
    Compiler::run(&later.source, context, |compiler| {
        compiler.surround(later);
        let expr = compiler.expr(later.expr)?;
        let level = compiler.levels.pop().unwrap_or_default();
        Ok(Body { expr, slots: level.max_slots })
    })
}

/// Compiles a function that was put off.
pub(crate) fn compile_function(later: &Later, context: Context<'_>) -> Result<Function> {
    Compiler::run(&later.source, context, |compiler| {
        compiler.surround(later);
        let ast::Expr::Lambda(lambda) = later.source.ast.expr(later.expr) else {
            return Err(Error::eval("a function that is none"));
        };
        let pos = compiler.pos(later.source.ast.pos(later.expr));
        let (function, _) = compiler.function(lambda, pos)?;
        Ok(function)
    })
}

/// The room for code that a thread begins with. Not none: arenas without room share a word that is written to.
const CODE_BYTES: usize = 4 << 10;

thread_local! {
    /// Where code lives: closures made from it may outlive its compiler, so it lives as long as the process. What is
    /// evaluated together was compiled together, and so lies together.
    static CODE: &'static Bump = Box::leak(Box::new(Bump::with_capacity(CODE_BYTES)));
}

/// The code of [`Rare::Raised`].
pub(crate) fn raise() -> &'static ThunkCode {
    leak(ThunkCode::new(&[Ref::Captured(0)], Expr::Rare(leak(Rare::Raised)), 0))
}

pub(super) fn leak<T>(node: T) -> &'static T {
    CODE.with(|code| &*code.alloc(node))
}

pub(super) fn leak_all<T>(nodes: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>) -> &'static [T] {
    CODE.with(|code| &*code.alloc_slice_fill_iter(nodes))
}

/// A variable: the level it belongs to, and its slot there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Variable {
    pub(super) level: u32,
    pub(super) slot: u32,
    /// Whether what the slot holds is the variable's cell (see [`super::ir::Overrides`]).
    pub(super) is_cell: bool,
}

/// What names stand for at the place that is compiled.
#[derive(Default)]
pub(crate) struct Names {
    /// By symbol.
    variables: Vec<Option<Variable>>,
    /// What each name that was bound stood for before.
    shadowed: Vec<(Symbol, Option<Variable>)>,
}

impl Names {
    /// Begins with nothing bound.
    fn begin(&mut self, symbols: usize) {
        // what is left of a compilation that failed
        self.unbind(self.shadowed.len());
        self.variables.resize(symbols.max(self.variables.len()), None);
    }

    fn get(&self, name: Symbol) -> Option<Variable> {
        self.variables.get(name.index()).copied().flatten()
    }

    fn bind(&mut self, name: Symbol, variable: Variable) {
        let before = self.variables[name.index()].replace(variable);
        self.shadowed.push((name, before));
    }

    fn unbind(&mut self, count: usize) {
        for (name, before) in self.shadowed.drain(self.shadowed.len() - count..).rev() {
            self.variables[name.index()] = before;
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub(super) enum Binding {
    Variable(Variable),
    Const(Value),
}

#[derive(Default)]
pub(super) struct Level {
    pub(super) next_slot: u32,
    max_slots: u32,
    captures: Vec<Ref>,
    captured: Vec<Variable>,
    /// While a group of slots is compiled: slots from this one on have no value yet,
    pub(super) uninitialised: Option<u32>,
    /// but for those of these arguments.
    before: Before,
}

pub(super) struct Compiler<'a> {
    source: &'a Arc<Source>,
    pub(super) ast: &'a Ast,
    pub(super) heap: &'a mut Heap,
    symbols: &'a mut Interner,
    globals: &'a FxHashMap<Symbol, Value>,
    pub(super) is_observed: bool,
    pub(super) levels: Vec<Level>,
    names: &'a mut Names,
    withs: Vec<(Variable, Pos)>,
}

impl<'a> Compiler<'a> {
    /// Compiles something of a source; nothing is collected meanwhile.
    fn run<T>(
        source: &'a Arc<Source>,
        context: Context<'a>,
        work: impl FnOnce(&mut Compiler<'a>) -> Result<T>,
    ) -> Result<T> {
        let Context { heap, symbols, globals, names, observed } = context;
        names.begin(symbols.len());
        heap.hold();
        let mut compiler = Compiler {
            source,
            ast: &source.ast,
            heap,
            symbols,
            globals,
            is_observed: observed,
            levels: Vec::new(),
            names,
            withs: Vec::new(),
        };
        let result = work(&mut compiler);
        compiler.heap.release();
        result
    }

    /// Binds what is around a unit, and begins its level.
    fn surround(&mut self, later: &Later) {
        let all = later.names.len() + later.withs.len();
        self.levels.push(Level::default());
        for (name, slot) in later.names.iter().zip(0..) {
            self.bind(*name, slot);
        }
        for (pos, slot) in later.withs.iter().zip(later.names.len() as u32..) {
            self.withs.push((Variable { level: 0, slot, is_cell: false }, *pos));
        }
        let captured = (0..all as u32).map(|slot| Variable { level: 0, slot, is_cell: false }).collect();
        self.levels.push(Level { captured, ..Level::default() });
    }

    /// Puts a unit off: what it captures, and what it takes to compile it. Not one that captures a cell: those are rare,
    /// and nothing would tell when it is compiled.
    fn put_off(&mut self, unit: Unit) -> Option<(&'static [Ref], &'static Later)> {
        let names = self.source.units.free_in(unit);
        let mut captures = Vec::with_capacity(names.len());
        for name in names {
            match self.lookup(*name) {
                Some(Binding::Variable(variable)) if !variable.is_cell => captures.push(self.reference(variable)),
                _ => return None,
            }
        }
        let withs = if unit.withs { self.withs.clone() } else { Vec::new() };
        captures.extend(withs.iter().map(|(variable, _)| self.reference(*variable)));
        let later = Later {
            source: self.source.clone(),
            expr: unit.expr,
            names: leak_all(names.iter().copied()),
            withs: leak_all(withs.iter().map(|(_, pos)| *pos)),
        };
        Some((leak_all(captures), leak(later)))
    }

    pub(super) fn pos(&self, pos: ast::Pos) -> Pos {
        self.source.base.at(pos)
    }

    pub(super) fn level(&mut self) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    pub(super) fn new_slot(&mut self) -> u32 {
        let level = self.level();
        let slot = level.next_slot;
        level.next_slot += 1;
        level.max_slots = level.max_slots.max(level.next_slot);
        slot
    }

    pub(super) fn bind(&mut self, name: Symbol, slot: u32) {
        let level = self.levels.len() as u32 - 1;
        self.names.bind(name, Variable { level, slot, is_cell: false });
    }

    /// As [`Compiler::bind`], to what is in the cell that the slot holds.
    pub(super) fn bind_cell(&mut self, name: Symbol, slot: u32) {
        let level = self.levels.len() as u32 - 1;
        self.names.bind(name, Variable { level, slot, is_cell: true });
    }

    /// Forgets what the last so many names that were bound stand for.
    pub(super) fn unbind(&mut self, count: usize) {
        self.names.unbind(count);
    }

    /// Where a variable is for the level being compiled; captures it if it belongs to an outer one.
    pub(super) fn reference(&mut self, variable: Variable) -> Ref {
        let innermost = self.levels.len() - 1;
        let mut reference = Ref::Local(variable.slot);
        for level in &mut self.levels[variable.level as usize + 1..=innermost] {
            // there are few
            let index = level.captured.iter().position(|known| *known == variable).unwrap_or_else(|| {
                level.captures.push(reference);
                level.captured.push(variable);
                level.captured.len() - 1
            });
            reference = Ref::Captured(index as u32);
        }
        reference
    }

    fn lookup(&mut self, name: Symbol) -> Option<Binding> {
        if let Some(variable) = self.names.get(name) {
            return Some(Binding::Variable(variable));
        }
        if let Some(value) = self.scope().and_then(|scope| scope.get(name)) {
            return Some(Binding::Const(self.heap.keep(value)));
        }
        self.globals.get(&name).map(|value| Binding::Const(*value))
    }

    fn scope(&self) -> Option<Attrs> {
        self.source.scope.as_ref().and_then(|scope| scope.0.as_attrs())
    }

    /// Is this one of the operators' functions, and not shadowed?
    fn is_builtin(&self, name: Symbol) -> bool {
        // when it is observed, an operator is a call
        !self.is_observed && self.names.get(name).is_none() && !self.scope().is_some_and(|scope| scope.contains(name))
    }

    pub(super) fn variable(&mut self, name: Symbol, pos: Pos) -> Result<Expr> {
        match self.lookup(name) {
            // given by `scopedImport`; who evaluates it may ask where
            Some(Binding::Const(value)) if value.is_thunk() => Ok(Expr::Rare(leak(Rare::Given(value, pos)))),
            Some(Binding::Const(value)) => Ok(Expr::Const(value)),
            Some(Binding::Variable(variable)) if variable.is_cell => {
                Ok(Expr::Rare(leak(Rare::Cell(self.reference(variable), pos))))
            }
            Some(Binding::Variable(variable)) => Ok(match self.reference(variable) {
                Ref::Local(slot) => Expr::Local(slot, pos),
                Ref::Captured(index) => Expr::Captured(index, pos),
            }),
            None if self.withs.is_empty() => {
                let message = [b"undefined variable '", &*identifier(self.symbols.get(name)), b"'"].concat();
                Err(Error::new(ErrorKind::Undefined, message).at(pos))
            }
            None => {
                let scopes = self.withs.clone();
                let scopes = scopes.iter().rev().map(|(variable, pos)| WithScope {
                    set: self.reference(*variable),
                    pos: *pos,
                    cache: Cache::default(),
                });
                let scopes = leak_all(scopes.collect::<Vec<_>>());
                Ok(Expr::WithVar(leak(WithVar { name, pos, scopes })))
            }
        }
    }

    /// The code of a thunk: `body` is compiled in a level of its own.
    pub(super) fn thunk(&mut self, body: impl FnOnce(&mut Self) -> Result<Expr>) -> Result<&'static ThunkCode> {
        self.levels.push(Level::default());
        let body = body(self);
        let level = self.levels.pop().unwrap_or_default();
        Ok(leak(ThunkCode::new(leak_all(level.captures), body?, level.max_slots)))
    }

    /// An expression whose value is not needed now.
    pub(super) fn delayed(&mut self, id: ExprId) -> Result<Delayed> {
        match self.ast.expr(id) {
            ast::Expr::Int(_) | ast::Expr::Float(_) | ast::Expr::Str(_) | ast::Expr::Path { .. } => {
                if let Expr::Const(value) = self.expr(id)? {
                    return Ok(Delayed::Const(value));
                }
            }
            ast::Expr::List(range) if range.len == 0 => return Ok(Delayed::Const(self.heap.empty_list())),
            ast::Expr::Lambda(lambda) => {
                let pos = self.pos(self.ast.pos(id));
                return Ok(Delayed::Lambda(self.lambda(id, lambda, pos)?));
            }
            ast::Expr::Var(name) => {
                let pos = self.pos(self.ast.pos(id));
                if let Some(delayed) = self.delayed_variable(name, pos)? {
                    return Ok(delayed);
                }
            }
            _ => {}
        }
        if let Some(unit) = self.source.units.of(id)
            && let Some((captures, later)) = self.put_off(unit)
        {
            return Ok(Delayed::Thunk(leak(ThunkCode { captures, body: Lazy::later(later) })));
        }
        let later = self.thunk(|compiler| compiler.expr(id))?;
        Ok(Delayed::Thunk(later))
    }

    /// An argument of a call.
    fn argument(&mut self, id: ExprId) -> Result<Delayed> {
        match self.delayed(id)? {
            Delayed::Thunk(later) if !self.is_observed && self.is_cheap(id, MAX_CHEAP_DEPTH) => {
                let now = self.expr(id)?;
                Ok(Delayed::Cheap(leak(Cheap { now, later })))
            }
            delayed => Ok(delayed),
        }
    }

    /// Is this worth trying before a thunk is made? Only numbers and variables, a few operators, short selections.
    fn is_cheap(&mut self, id: ExprId, depth: u32) -> bool {
        let ast = self.ast;
        match ast.expr(id) {
            ast::Expr::Int(_) => true,
            ast::Expr::Var(name) => {
                matches!(self.lookup(name), Some(Binding::Variable(variable)) if !variable.is_cell)
            }
            ast::Expr::Binary { op: op @ (BinOp::Sub | BinOp::Mul), lhs, rhs } => {
                depth > 0
                    && op.desugar().is_some_and(|call| self.is_builtin(call.function))
                    && self.is_cheap(lhs, depth - 1)
                    && self.is_cheap(rhs, depth - 1)
            }
            ast::Expr::Concat { kind: ConcatKind::Plus, parts } => {
                depth > 0 && ast.parts_in(parts).iter().all(|part| self.is_cheap(part.expr, depth - 1))
            }
            ast::Expr::Select { base, path, default: None } => {
                depth == MAX_CHEAP_DEPTH
                    && matches!(ast.expr(base), ast::Expr::Var(_))
                    && self.is_cheap(base, 0)
                    && matches!(ast.attr_path(path), [AttrName::Static(_)])
            }
            _ => false,
        }
    }

    /// A variable that need not be evaluated, unless it has no value yet or comes from a `with`.
    pub(super) fn delayed_variable(&mut self, name: Symbol, _pos: Pos) -> Result<Option<Delayed>> {
        match self.lookup(name) {
            Some(Binding::Const(value)) => Ok(Some(Delayed::Const(value))),
            Some(Binding::Variable(variable)) => {
                let here = self.levels.len() - 1;
                let Level { uninitialised, before, .. } = self.levels[here];
                if variable.level as usize == here
                    && uninitialised.is_some_and(|first| variable.slot >= first)
                    && before.index_of(variable.slot).is_none()
                {
                    return Ok(None);
                }
                let reference = self.reference(variable);
                Ok(Some(if variable.is_cell { Delayed::Cell(reference) } else { Delayed::Var(reference) }))
            }
            None => Ok(None),
        }
    }

    /// The code of an expression that must have a type, with the position that Nix shows if it has another one.
    fn placed(&self, id: ExprId, code: Expr, has_type: fn(Value) -> bool) -> Expr {
        let is_right = matches!(&code, Expr::Const(value) if has_type(*value));
        if is_right || !code.pos().is_none() {
            return code;
        }
        match self.shown_pos(id) {
            Pos::NONE => code,
            pos => Expr::Rare(leak(Rare::Placed(code, pos))),
        }
    }

    /// The position that Nix gives an expression.
    fn shown_pos(&self, id: ExprId) -> Pos {
        match self.ast.expr(id) {
            ast::Expr::Int(_)
            | ast::Expr::Float(_)
            | ast::Expr::Str(_)
            | ast::Expr::Path { .. }
            | ast::Expr::Let { .. } => Pos::NONE,
            ast::Expr::Not(operand) => self.shown_pos(operand),
            ast::Expr::List(range) => {
                self.ast.exprs_in(range).first().map_or(Pos::NONE, |first| self.shown_pos(*first))
            }
            _ => self.pos(self.ast.pos(id)),
        }
    }

    fn constant(&mut self, make: impl FnOnce(&mut Heap) -> Value) -> Expr {
        let value = make(self.heap);
        Expr::Const(self.heap.keep(value))
    }

    pub(super) fn expr(&mut self, id: ExprId) -> Result<Expr> {
        let expr = self.bare_expr(id)?;
        Ok(if self.is_observed { self.observed(id, expr) } else { expr })
    }

    fn bare_expr(&mut self, id: ExprId) -> Result<Expr> {
        let marker = 0u8;
        if (&raw const marker as usize) < self.heap.stack_limit() {
            return Err(Error::new(ErrorKind::StackOverflow, "stack overflow (possible infinite recursion)"));
        }
        let ast = self.ast;
        let pos = self.pos(ast.pos(id));
        Ok(match ast.expr(id) {
            ast::Expr::Int(i) => self.constant(|heap| heap.int(i)),
            ast::Expr::Float(f) => self.constant(|heap| heap.float(f)),
            ast::Expr::Str(bytes) => Expr::Const(self.heap.constant_string(ast.bytes(bytes))),
            ast::Expr::Path { kind, text } => {
                let source = self.source;
                let path = nopal_syntax::path::resolve(kind, ast.bytes(text), &source.dir, &source.home);
                let root = if kind == ast::PathKind::Relative { source.root } else { Root::HOST };
                self.constant(|heap| heap.path(root, &path))
            }
            ast::Expr::SearchPath(name) => self.search_path(ast.bytes(name), pos)?,
            ast::Expr::Var(name) => self.variable(name, pos)?,
            ast::Expr::CurPos => Expr::Rare(leak(Rare::CurPos(pos))),
            ast::Expr::Select { base, path, default } => self.select(base, path, default, pos)?,
            ast::Expr::HasAttr { base, path } => {
                let base = self.expr(base)?;
                let path = self.path(path)?;
                Expr::HasAttr(leak(HasAttr { base, path, pos }))
            }
            ast::Expr::Lambda(lambda) => Expr::Lambda(self.lambda(id, lambda, pos)?),
            ast::Expr::Call { function, args } => {
                let function = self.expr(function)?;
                let args = ast.exprs_in(args).iter().map(|arg| self.argument(*arg)).collect::<Result<Vec<_>>>()?;
                let args = leak_all(args);
                Expr::Call(leak(Call { function, args, pos }))
            }
            ast::Expr::Let { attrs, body } => self.let_in(attrs, body)?,
            ast::Expr::With { env, body } => self.with(env, body, pos)?,
            ast::Expr::If { cond, yes, no } if self.is_observed => {
                let (cond, yes, no) = (self.expr(cond)?, self.expr(yes)?, self.expr(no)?);
                Expr::If(leak(If { cond, yes, no, pos }))
            }
            ast::Expr::If { .. } => self.branches(id)?,
            ast::Expr::Assert { cond, body } => self.assert(cond, body, pos)?,
            ast::Expr::Not(operand) => {
                let code = self.expr(operand)?;
                Expr::Not(leak(self.placed(operand, code, |value| matches!(value, Value::TRUE | Value::FALSE))))
            }
            ast::Expr::Negate(operand) => {
                if self.is_builtin(sym::SUB) {
                    let lhs = Expr::Const(self.heap.int(0));
                    let rhs = self.expr(operand)?;
                    return Ok(Expr::Binary(leak(Binary::new(Op::Sub, lhs, rhs, pos))));
                }
                let function = self.variable(sym::SUB, Pos::NONE)?;
                let args = leak_all([Delayed::Const(self.heap.int(0)), self.delayed(operand)?]);
                Expr::Call(leak(Call { function, args, pos }))
            }
            ast::Expr::Binary { op, lhs, rhs } => self.binary(op, lhs, rhs, pos)?,
            ast::Expr::Concat { kind, parts } => {
                let force_string = kind == ConcatKind::Interpolation;
                let parts = ast
                    .parts_in(parts)
                    .iter()
                    .map(|part| Ok((self.pos(part.pos), self.expr(part.expr)?)))
                    .collect::<Result<Vec<_>>>()?;
                let parts = leak_all(parts);
                Expr::ConcatStrings(leak(ConcatStrings { parts, force_string, pos }))
            }
            ast::Expr::List(range) if range.len == 0 => Expr::Const(self.heap.empty_list()),
            ast::Expr::List(range) => {
                let elements =
                    ast.exprs_in(range).iter().map(|element| self.delayed(*element)).collect::<Result<Vec<_>>>()?;
                Expr::List(leak(leak_all(elements)))
            }
            ast::Expr::Attrs(set) => self.attrs(set)?,
        })
    }

    /// `if … then … else if … then … else …`
    fn branches(&mut self, id: ExprId) -> Result<Expr> {
        let mut branches = Vec::new();
        let mut rest = id;
        while let ast::Expr::If { cond, yes, no } = self.ast.expr(rest) {
            let pos = self.pos(self.ast.pos(rest));
            branches.push((self.expr(cond)?, self.expr(yes)?, pos));
            rest = no;
        }
        let last = self.expr(rest)?;
        Ok(switch::chain(branches, last))
    }

    fn search_path(&mut self, name: &[u8], pos: Pos) -> Result<Expr> {
        let function = self.variable(sym::FIND_FILE, Pos::NONE)?;
        let path = match self.delayed_variable(sym::NIX_PATH, Pos::NONE)? {
            Some(delayed) => delayed,
            None => Delayed::Thunk(self.thunk(|compiler| compiler.variable(sym::NIX_PATH, Pos::NONE))?),
        };
        let args = leak_all([path, Delayed::Const(self.heap.constant_string(name))]);
        Ok(Expr::Call(leak(Call { function, args, pos })))
    }

    fn path(&mut self, path: ast::AttrPathId) -> Result<&'static [Name]> {
        let names: Result<Vec<_>> = self
            .ast
            .attr_path(path)
            .iter()
            .map(|name| match name {
                AttrName::Static(symbol) => Ok(Name::Static(*symbol, Cache::default())),
                AttrName::Dynamic(expr) => {
                    let context = nopal_syntax::printer::Context {
                        symbols: self.symbols,
                        base_dir: &self.source.dir,
                        home: &self.source.home,
                    };
                    let text = nopal_syntax::printer::print_expr(self.ast, &context, *expr);
                    let code = self.expr(*expr)?;
                    Ok(Name::Dynamic(self.placed(*expr, code, |value| value.as_str().is_some()), leak_all(text)))
                }
            })
            .collect();
        names.map(leak_all)
    }

    fn select(&mut self, base: ExprId, path: ast::AttrPathId, default: Option<ExprId>, pos: Pos) -> Result<Expr> {
        let base = self.expr(base)?;
        let path = self.path(path)?;
        if let (Expr::Const(value), [Name::Static(name, _)], false) = (&base, path, self.is_observed) {
            // `builtins.map` needs no lookup at run time.
            if let Some((found, found_pos)) = value.as_attrs().and_then(|attrs| attrs.get_with_pos(*name))
                && found_pos.is_none()
                && !found.is_thunk()
            {
                return Ok(Expr::Const(self.heap.keep(found)));
            }
        }
        let default = default.map(|default| self.expr(default)).transpose()?;
        Ok(Expr::Select(leak(Select { base, path, default, pos })))
    }

    fn lambda(&mut self, id: ExprId, lambda: LambdaId, pos: Pos) -> Result<&'static Lambda> {
        let put_off = self.source.units.of(id).and_then(|unit| self.put_off(unit));
        let (captures, function) = match put_off {
            Some((captures, later)) => (captures, Lazy::later(later)),
            None => {
                self.levels.push(Level::default());
                let (function, captures) = self.function(lambda, pos)?;
                (leak_all(captures), Lazy::now(function))
            }
        };
        Ok(self.described(self.ast.lambda(lambda), pos, captures, function))
    }

    /// A function, with what its source says of it.
    fn described(
        &self,
        lambda: ast::Lambda,
        pos: Pos,
        captures: &'static [Ref],
        function: Lazy<Function>,
    ) -> &'static Lambda {
        leak(Lambda {
            captures,
            function,
            arg: lambda.arg,
            name: BoundName::new(lambda.name),
            pos,
            doc: lambda.doc.map(|span| (self.pos(ast::Pos::at(span.start)), span.end - span.start)),
        })
    }

    /// A function and what it captures; ends the level that was begun for it. If it is curried, all its arguments are
    /// variables of this level.
    fn function(&mut self, id: LambdaId, pos: Pos) -> Result<(Function, Vec<Ref>)> {
        let ast = self.ast;
        let mut outer = Vec::new();
        let mut last = (ast.lambda(id), pos);
        while let (ast::Lambda { formals: None, body, .. }, _) = last
            && let ast::Expr::Lambda(inner) = ast.expr(body)
            && !self.is_observed
            && outer.len() < MAX_BEFORE
        {
            outer.push(last);
            last = (ast.lambda(inner), self.pos(ast.pos(body)));
        }
        let (lambda, _) = last;
        let formals = lambda.formals.map(|formals| (ast.formals_in(formals.formals), formals.ellipsis));
        let list = formals.map_or(&[][..], |(list, _)| list);
        let before = Before { count: outer.len() as u32, slot: 1 + list.len() as u32 };
        self.level().before = before;
        for _ in 0..before.slot + before.count {
            self.new_slot();
        }
        // in the order in which names hide others
        let args = outer.iter().map(|(lambda, _)| lambda.arg).zip(before.slot..).chain([(lambda.arg, 0)]);
        let formal_names = list.iter().map(|formal| Some(formal.name)).zip(1..);
        let mut bound = 0;
        for (name, slot) in args.chain(formal_names) {
            if let Some(name) = name {
                self.bind(name, slot);
                bound += 1;
            }
        }
        let compiled = self.lambda_inside(formals, lambda.body);
        self.unbind(bound);
        let level = self.levels.pop().unwrap_or_default();
        let (formals, mut body) = compiled?;
        if self.is_observed {
            body = self.observed_body(&lambda, pos, formals.as_ref(), body);
        }
        // by the number of arguments, less one
        let mut stricts = [Strict::NONE; MAX_BEFORE + 1];
        match &formals {
            // what is observed is evaluated when Nix evaluates it
            _ if self.is_observed => {}
            Some(_) => stricts[0] = Strict::FIRST,
            None => (1..=before.count + 1)
                .zip(&mut stricts)
                .for_each(|(args, strict)| *strict = Strict::of_body(&body, before, args)),
        }
        let function =
            Function { body, slots: level.max_slots, strict: stricts[0], curried: 1, last: None, before, formals };
        Ok((self.curried(function, last, outer, &stricts[1..], level.captured.len()), level.captures))
    }

    /// The outermost of curried functions, of which `function` is the innermost. Each captures what the outermost one does
    /// (`captured` words) and the arguments so far.
    fn curried(
        &self,
        function: Function,
        last: (ast::Lambda, Pos),
        outer: Vec<(ast::Lambda, Pos)>,
        stricts: &[Strict],
        captured: usize,
    ) -> Function {
        let (mut function, mut inner) = (function, last);
        for ((before, next), strict) in outer.into_iter().enumerate().rev().zip(stricts) {
            let captures = (0..(captured + before) as u32).map(Ref::Captured).chain([Ref::Local(0)]);
            let (curried, last) = (function.curried + 1, function.last);
            let captures = leak_all(captures.collect::<Vec<_>>());
            let lambda = self.described(inner.0, inner.1, captures, Lazy::now(function));
            function = Function {
                body: Expr::Lambda(lambda),
                slots: 1,
                strict: *strict,
                curried,
                last: last.or(Some(lambda)),
                before: Before::default(),
                formals: None,
            };
            inner = next;
        }
        function
    }

    fn lambda_inside(
        &mut self,
        formals: Option<(&[ast::Formal], bool)>,
        body: ExprId,
    ) -> Result<(Option<Formals>, Expr)> {
        let formals = match formals {
            None => None,
            Some((list, ellipsis)) => {
                let mut compiled = Vec::with_capacity(list.len());
                for (index, formal) in list.iter().enumerate() {
                    self.level().uninitialised = Some(index as u32 + 1);
                    let default = formal.default.map(|default| self.delayed(default)).transpose()?;
                    compiled.push(Formal { name: formal.name, pos: self.pos(formal.pos), default });
                }
                self.level().uninitialised = None;
                Some(Formals { list: leak_all(compiled), ellipsis })
            }
        };
        Ok((formals, self.expr(body)?))
    }

    fn with(&mut self, env: ExprId, body: ExprId, pos: Pos) -> Result<Expr> {
        let set = self.delayed(env)?;
        let before = self.level().next_slot;
        let slot = self.new_slot();
        let level = self.levels.len() as u32 - 1;
        self.withs.push((Variable { level, slot, is_cell: false }, pos));
        let body = self.expr(body);
        self.withs.pop();
        self.level().next_slot = before;
        Ok(Expr::With(leak(WithExpr { set, slot, body: body?, pos })))
    }

    fn assert(&mut self, cond: ExprId, body: ExprId, pos: Pos) -> Result<Expr> {
        let ast = self.ast;
        let equality = match ast.expr(cond) {
            ast::Expr::Binary { op: BinOp::Eq, lhs, rhs } => Some((self.expr(lhs)?, self.expr(rhs)?)),
            _ => None,
        };
        let span = ast.span(cond);
        let text = (self.pos(ast::Pos::at(span.start)), span.end - span.start);
        let (cond, body) = (self.expr(cond)?, self.expr(body)?);
        Ok(Expr::Assert(leak(Assert { cond, body, pos, text, equality })))
    }

    fn binary(&mut self, op: BinOp, lhs: ExprId, rhs: ExprId, pos: Pos) -> Result<Expr> {
        let direct = match op {
            BinOp::Eq => Op::Eq,
            BinOp::Neq => Op::Neq,
            BinOp::And => Op::And,
            BinOp::Or => Op::Or,
            BinOp::Impl => Op::Impl,
            BinOp::Update => Op::Update,
            BinOp::Concat => Op::Concat,
            BinOp::Sub => Op::Sub,
            BinOp::Mul => Op::Mul,
            BinOp::Div => Op::Div,
            BinOp::Lt => Op::Less,
            BinOp::Le => Op::LessEq,
            BinOp::Gt => Op::Greater,
            BinOp::Ge => Op::GreaterEq,
        };
        if let Some(call) = op.desugar()
            && !self.is_builtin(call.function)
        {
            let function = self.variable(call.function, Pos::NONE)?;
            let (first, second) = if call.swapped { (rhs, lhs) } else { (lhs, rhs) };
            let args = leak_all([self.delayed(first)?, self.delayed(second)?]);
            let mut result = Expr::Call(leak(Call { function, args, pos }));
            if call.negated && self.is_observed {
                result = self.observed(lhs, result);
            }
            return Ok(if call.negated { Expr::Not(leak(result)) } else { result });
        }
        let (mut left, mut right) = (self.expr(lhs)?, self.expr(rhs)?);
        if direct == Op::Update {
            left = self.placed(lhs, unwrap_update(left), |value| value.as_attrs().is_some());
            right = self.placed(rhs, unwrap_update(right), |value| value.as_attrs().is_some());
        }
        let binary = leak(Binary::new(direct, left, right, pos));
        Ok(if matches!(direct, Op::Eq | Op::Neq) { Expr::Equal(binary) } else { Expr::Binary(binary) })
    }
}

//! Parsed sources as bytes, so that a source that was parsed once need not be parsed again.
//!
//! The form is that of one build of this program: no other has to read it. It has the tree without the extents of nodes
//! (but those of the conditions of assertions, which are shown) and without doc comments between tokens, the
//! [`Units`], and all names in the order in which the parser met them, so that new symbols get the numbers that parsing
//! would have given them.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;

use crate::ast::{
    Ast, Attr, AttrName, AttrPathId, AttrSet, AttrValue, AttrsId, BinOp, Bytes, ConcatKind, DynamicAttr, Expr, ExprId,
    Formal, Formals, Lambda, LambdaId, Part, PathKind, Pos, Range, Span,
};
use crate::interner::{Interner, Symbol};
use crate::units::{Unit, Units};

/// The bytes of a tree. `names` are all names in the order in which the parser met them.
pub fn pack(ast: &Ast, units: &Units, names: &[Symbol], symbols: &Interner) -> Vec<u8> {
    let mut packer = Packer {
        ast,
        node: 0,
        offset: 0,
        out: Vec::with_capacity(ast.len() * 8),
        names: Vec::new(),
        numbers: HashMap::default(),
    };
    for name in names {
        packer.number(*name);
    }
    packer.tree();
    packer.units(units);
    // names that the parser knows without meeting them come last
    let body = std::mem::take(&mut packer.out);
    packer.size(packer.names.len());
    for name in std::mem::take(&mut packer.names) {
        packer.bytes(symbols.get(name));
    }
    packer.out.extend_from_slice(&body);
    packer.out
}

/// The tree of bytes that [`pack`] made; `None` if they are damaged.
pub fn unpack(bytes: &[u8], symbols: &mut Interner) -> Option<(Ast, Units)> {
    let mut reader =
        Unpacker { rest: bytes, names: Vec::new(), nodes: 0, sets: 0, node: 0, offset: 0, ast: Ast::empty() };
    let names = reader.size()?;
    for _ in 0..names {
        let name = reader.bytes()?;
        reader.names.push(symbols.intern(name));
    }
    reader.tree()?;
    let units = reader.units()?;
    reader.rest.is_empty().then_some((reader.ast, units))
}

struct Packer<'a> {
    ast: &'a Ast,
    out: Vec<u8>,
    /// The node at hand, and the position before.
    node: u32,
    offset: u32,
    names: Vec<Symbol>,
    numbers: HashMap<Symbol, usize, BuildHasherDefault<FxHasher>>,
}

impl Packer<'_> {
    fn number(&mut self, name: Symbol) -> usize {
        let next = self.names.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }

    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    /// Seven bits a byte, the lowest first.
    fn word(&mut self, mut word: u64) {
        while word >= 0x80 {
            self.out.push(word as u8 | 0x80);
            word >>= 7;
        }
        self.out.push(word as u8);
    }

    fn size(&mut self, size: usize) {
        self.word(size as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn literal(&mut self, bytes: Bytes) {
        self.bytes(self.ast.bytes(bytes));
    }

    fn name(&mut self, name: Symbol) {
        let number = self.number(name);
        self.size(number);
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Most positions are not far from the one before.
    fn pos(&mut self, pos: Pos) {
        let Some(offset) = pos.offset() else { return self.word(0) };
        self.word(1 + zigzag(i64::from(offset) - i64::from(self.offset)));
        self.offset = offset;
    }

    fn span(&mut self, span: Span) {
        self.word(u64::from(span.start));
        self.word(u64::from(span.end));
    }

    /// Most nodes are just before the one that they belong to.
    fn expr(&mut self, expr: ExprId) {
        self.word(zigzag(i64::from(self.node) - i64::from(expr.0)));
    }

    fn exprs(&mut self, exprs: Range) {
        self.word(u64::from(exprs.len));
        for expr in self.ast.exprs_in(exprs) {
            self.expr(*expr);
        }
    }

    fn parts(&mut self, parts: Range) {
        self.word(u64::from(parts.len));
        for part in self.ast.parts_in(parts) {
            self.pos(part.pos);
            self.expr(part.expr);
        }
    }

    fn path(&mut self, path: AttrPathId) {
        let names = self.ast.attr_path(path);
        self.size(names.len());
        for name in names {
            match name {
                AttrName::Static(name) => {
                    self.byte(0);
                    self.name(*name);
                }
                AttrName::Dynamic(expr) => {
                    self.byte(1);
                    self.expr(*expr);
                }
            }
        }
    }

    fn tree(&mut self) {
        let ast = self.ast;
        self.size(ast.exprs.len());
        self.size(ast.sets.len());
        self.word(u64::from(ast.root.0));
        for room in [
            ast.expr_lists.len(),
            ast.parts.len(),
            ast.attrs.len(),
            ast.lambdas.len(),
            ast.formals.len(),
            ast.path_names.len(),
            ast.pool.len(),
        ] {
            self.size(room);
        }
        for (index, expr) in (0..).zip(ast.exprs()) {
            self.node = index;
            self.node(expr);
            self.pos(ast.pos(ExprId(index)));
        }
        for set in &ast.sets {
            self.set(set);
        }
    }

    fn node(&mut self, expr: Expr) {
        match expr {
            Expr::Int(number) => {
                self.byte(tag::INT);
                self.word(number as u64);
            }
            Expr::Float(number) => {
                self.byte(tag::FLOAT);
                self.word(number.to_bits());
            }
            Expr::Str(text) => {
                self.byte(tag::STR);
                self.literal(text);
            }
            Expr::Path { kind, text } => {
                self.byte(tag::PATH);
                self.byte(kind as u8);
                self.literal(text);
            }
            Expr::SearchPath(name) => {
                self.byte(tag::SEARCH_PATH);
                self.literal(name);
            }
            Expr::Var(name) => {
                self.byte(tag::VAR);
                self.name(name);
            }
            Expr::CurPos => self.byte(tag::CUR_POS),
            Expr::Select { base, path, default } => {
                self.byte(tag::SELECT);
                self.expr(base);
                self.path(path);
                self.option(default, Self::expr);
            }
            Expr::HasAttr { base, path } => {
                self.byte(tag::HAS_ATTR);
                self.expr(base);
                self.path(path);
            }
            Expr::Lambda(lambda) => {
                self.byte(tag::LAMBDA);
                self.lambda(lambda);
            }
            Expr::Call { function, args } => {
                self.byte(tag::CALL);
                self.expr(function);
                self.exprs(args);
            }
            Expr::Let { attrs, body } => {
                self.byte(tag::LET);
                self.word(u64::from(attrs.0));
                self.expr(body);
            }
            Expr::With { env, body } => {
                self.byte(tag::WITH);
                self.expr(env);
                self.expr(body);
            }
            Expr::If { cond, yes, no } => {
                self.byte(tag::IF);
                [cond, yes, no].into_iter().for_each(|expr| self.expr(expr));
            }
            Expr::Assert { cond, body } => {
                self.byte(tag::ASSERT);
                self.expr(cond);
                self.expr(body);
                self.span(self.ast.span(cond));
            }
            Expr::Not(operand) => {
                self.byte(tag::NOT);
                self.expr(operand);
            }
            Expr::Negate(operand) => {
                self.byte(tag::NEGATE);
                self.expr(operand);
            }
            Expr::Binary { op, lhs, rhs } => {
                self.byte(tag::BINARY);
                self.byte(op as u8);
                self.expr(lhs);
                self.expr(rhs);
            }
            Expr::Concat { kind, parts } => {
                self.byte(tag::CONCAT);
                self.byte(kind as u8);
                self.parts(parts);
            }
            Expr::List(items) => {
                self.byte(tag::LIST);
                self.exprs(items);
            }
            Expr::Attrs(set) => {
                self.byte(tag::ATTRS);
                self.word(u64::from(set.0));
            }
        }
    }

    fn lambda(&mut self, id: LambdaId) {
        let lambda = self.ast.lambda(id);
        self.option(lambda.arg, Self::name);
        self.option(lambda.formals, |packer, formals| {
            packer.flag(formals.ellipsis);
            packer.word(u64::from(formals.formals.len));
            for formal in packer.ast.formals_in(formals.formals) {
                packer.name(formal.name);
                packer.pos(formal.pos);
                packer.option(formal.default, Self::expr);
            }
        });
        self.expr(lambda.body);
        self.option(lambda.name, Self::name);
        self.option(lambda.doc, Self::span);
    }

    fn set(&mut self, set: &AttrSet) {
        self.pos(set.pos);
        self.flag(set.recursive);
        self.word(u64::from(set.attrs.len));
        for attr in self.ast.attrs_in(set.attrs) {
            self.name(attr.name);
            self.pos(attr.pos);
            match attr.value {
                AttrValue::Plain(expr) => {
                    self.byte(0);
                    self.expr(expr);
                }
                AttrValue::Inherited => self.byte(1),
                AttrValue::InheritedFrom(source) => {
                    self.byte(2);
                    self.word(u64::from(source));
                }
            }
        }
        self.word(u64::from(set.dynamic.len));
        for attr in self.ast.dynamic_in(set.dynamic) {
            self.expr(attr.name);
            self.expr(attr.value);
            self.pos(attr.pos);
        }
        self.parts(set.inherit_from);
    }

    fn units(&mut self, units: &Units) {
        self.names_of(&units.globals);
        self.names_of(&units.others);
        self.size(units.units.len());
        for unit in &units.units {
            self.expr(unit.expr);
            self.flag(unit.withs);
            self.names_of(units.free_in(*unit));
        }
    }

    fn names_of(&mut self, names: &[Symbol]) {
        self.size(names.len());
        names.iter().for_each(|name| self.name(*name));
    }
}

/// Kinds of nodes.
mod tag {
    pub(super) const INT: u8 = 0;
    pub(super) const FLOAT: u8 = 1;
    pub(super) const STR: u8 = 2;
    pub(super) const PATH: u8 = 3;
    pub(super) const SEARCH_PATH: u8 = 4;
    pub(super) const VAR: u8 = 5;
    pub(super) const CUR_POS: u8 = 6;
    pub(super) const SELECT: u8 = 7;
    pub(super) const HAS_ATTR: u8 = 8;
    pub(super) const LAMBDA: u8 = 9;
    pub(super) const CALL: u8 = 10;
    pub(super) const LET: u8 = 11;
    pub(super) const WITH: u8 = 12;
    pub(super) const IF: u8 = 13;
    pub(super) const ASSERT: u8 = 14;
    pub(super) const NOT: u8 = 15;
    pub(super) const NEGATE: u8 = 16;
    pub(super) const BINARY: u8 = 17;
    pub(super) const CONCAT: u8 = 18;
    pub(super) const LIST: u8 = 19;
    pub(super) const ATTRS: u8 = 20;
}

const PATH_KINDS: [PathKind; 3] = [PathKind::Absolute, PathKind::Relative, PathKind::Home];
const CONCAT_KINDS: [ConcatKind; 3] = [ConcatKind::Plus, ConcatKind::Interpolation, ConcatKind::Path];
const OPERATORS: [BinOp; 14] = [
    BinOp::Eq,
    BinOp::Neq,
    BinOp::And,
    BinOp::Or,
    BinOp::Impl,
    BinOp::Update,
    BinOp::Concat,
    BinOp::Sub,
    BinOp::Mul,
    BinOp::Div,
    BinOp::Lt,
    BinOp::Le,
    BinOp::Gt,
    BinOp::Ge,
];

/// Reads what [`Packer`] wrote. Numbers of nodes, sets and names are checked, so that the tree can be read whatever the
/// bytes are.
struct Unpacker<'a> {
    rest: &'a [u8],
    names: Vec<Symbol>,
    nodes: u32,
    sets: u32,
    node: u32,
    offset: u32,
    ast: Ast,
}

impl<'a> Unpacker<'a> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.byte()? != 0)
    }

    #[inline(always)]
    fn word(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first()?;
        if *first < 0x80 {
            self.rest = rest;
            return Some(u64::from(*first));
        }
        self.long_word()
    }

    fn long_word(&mut self) -> Option<u64> {
        let mut byte = self.byte()?;
        let mut word = u64::from(byte & 0x7f);
        let mut shift = 7;
        while byte >= 0x80 {
            byte = self.byte()?;
            word |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
        }
        Some(word)
    }

    #[inline]
    fn number(&mut self) -> Option<u32> {
        u32::try_from(self.word()?).ok()
    }

    /// A count of things that take at least one byte each.
    fn size(&mut self) -> Option<usize> {
        let size = usize::try_from(self.word()?).ok()?;
        (size <= self.rest.len()).then_some(size)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let size = self.size()?;
        let (bytes, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(bytes)
    }

    fn literal(&mut self) -> Option<Bytes> {
        let bytes = self.bytes()?;
        let start = self.ast.pool.len();
        self.ast.pool.extend_from_slice(bytes);
        range(start, self.ast.pool.len()).map(Bytes)
    }

    #[inline]
    fn name(&mut self) -> Option<Symbol> {
        let number = self.number()?;
        self.names.get(number as usize).copied()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    #[inline]
    fn pos(&mut self) -> Option<Pos> {
        let Some(distance) = self.word()?.checked_sub(1) else { return Some(Pos::NONE) };
        self.offset = u32::try_from(i64::from(self.offset).checked_add(unzigzag(distance))?).ok()?;
        Some(Pos::at(self.offset))
    }

    fn span(&mut self) -> Option<Span> {
        let (start, end) = (self.number()?, self.number()?);
        (start <= end).then_some(Span { start, end })
    }

    #[inline]
    fn expr(&mut self) -> Option<ExprId> {
        let distance = unzigzag(self.word()?);
        let number = u32::try_from(i64::from(self.node).checked_sub(distance)?).ok()?;
        (number < self.nodes).then_some(ExprId(number))
    }

    fn set_id(&mut self) -> Option<AttrsId> {
        let number = self.number()?;
        (number < self.sets).then_some(AttrsId(number))
    }

    fn exprs(&mut self) -> Option<Range> {
        let start = self.ast.expr_lists.len();
        for _ in 0..self.size()? {
            let expr = self.expr()?;
            self.ast.expr_lists.push(expr);
        }
        range(start, self.ast.expr_lists.len())
    }

    fn parts(&mut self) -> Option<Range> {
        let start = self.ast.parts.len();
        for _ in 0..self.size()? {
            let part = Part { pos: self.pos()?, expr: self.expr()? };
            self.ast.parts.push(part);
        }
        range(start, self.ast.parts.len())
    }

    fn path(&mut self) -> Option<AttrPathId> {
        let start = self.ast.path_names.len();
        for _ in 0..self.size()? {
            let name = match self.byte()? {
                0 => AttrName::Static(self.name()?),
                _ => AttrName::Dynamic(self.expr()?),
            };
            self.ast.path_names.push(name);
        }
        let id = u32::try_from(self.ast.paths.len()).ok()?;
        let names = range(start, self.ast.path_names.len())?;
        self.ast.paths.push(names);
        (names.len > 0).then_some(AttrPathId(id))
    }

    fn tree(&mut self) -> Option<()> {
        let (nodes, sets) = (self.size()?, self.size()?);
        self.nodes = u32::try_from(nodes).ok()?;
        self.sets = u32::try_from(sets).ok()?;
        self.ast.root = ExprId(self.number().filter(|root| *root < self.nodes)?);
        self.ast.exprs.reserve_exact(nodes);
        self.ast.positions.reserve_exact(nodes);
        self.ast.sets.reserve_exact(sets);
        let mut room = || self.size();
        let (exprs, parts, attrs, lambdas) = (room()?, room()?, room()?, room()?);
        let (formals, names, bytes) = (room()?, room()?, room()?);
        let ast = &mut self.ast;
        ast.expr_lists.reserve_exact(exprs);
        ast.parts.reserve_exact(parts);
        ast.attrs.reserve_exact(attrs);
        ast.lambdas.reserve_exact(lambdas);
        ast.formals.reserve_exact(formals);
        ast.paths.reserve_exact(names);
        ast.path_names.reserve_exact(names);
        ast.pool.reserve_exact(bytes);
        for index in 0..self.nodes {
            self.node = index;
            let node = self.node()?;
            self.ast.exprs.push(node);
            let pos = self.pos()?;
            self.ast.positions.push(pos);
        }
        self.ast.conditions.sort_unstable_by_key(|condition| condition.0);
        for _ in 0..sets {
            let set = self.set()?;
            self.ast.sets.push(set);
        }
        Some(())
    }

    fn node(&mut self) -> Option<Expr> {
        Some(match self.byte()? {
            tag::INT => Expr::Int(self.word()? as i64),
            tag::FLOAT => Expr::Float(f64::from_bits(self.word()?)),
            tag::STR => Expr::Str(self.literal()?),
            tag::PATH => Expr::Path { kind: *PATH_KINDS.get(usize::from(self.byte()?))?, text: self.literal()? },
            tag::SEARCH_PATH => Expr::SearchPath(self.literal()?),
            tag::VAR => Expr::Var(self.name()?),
            tag::CUR_POS => Expr::CurPos,
            tag::SELECT => Expr::Select { base: self.expr()?, path: self.path()?, default: self.option(Self::expr)? },
            tag::HAS_ATTR => Expr::HasAttr { base: self.expr()?, path: self.path()? },
            tag::LAMBDA => Expr::Lambda(self.lambda()?),
            tag::CALL => Expr::Call { function: self.expr()?, args: self.exprs()? },
            tag::LET => Expr::Let { attrs: self.set_id()?, body: self.expr()? },
            tag::WITH => Expr::With { env: self.expr()?, body: self.expr()? },
            tag::IF => Expr::If { cond: self.expr()?, yes: self.expr()?, no: self.expr()? },
            tag::ASSERT => {
                let (cond, body) = (self.expr()?, self.expr()?);
                let span = self.span()?;
                self.ast.conditions.push((cond, span));
                Expr::Assert { cond, body }
            }
            tag::NOT => Expr::Not(self.expr()?),
            tag::NEGATE => Expr::Negate(self.expr()?),
            tag::BINARY => {
                Expr::Binary { op: *OPERATORS.get(usize::from(self.byte()?))?, lhs: self.expr()?, rhs: self.expr()? }
            }
            tag::CONCAT => {
                let kind = *CONCAT_KINDS.get(usize::from(self.byte()?))?;
                let parts = self.parts()?;
                (parts.len > 0).then_some(Expr::Concat { kind, parts })?
            }
            tag::LIST => Expr::List(self.exprs()?),
            tag::ATTRS => Expr::Attrs(self.set_id()?),
            _ => return None,
        })
    }

    fn lambda(&mut self) -> Option<LambdaId> {
        let arg = self.option(Self::name)?;
        let formals = self.option(Self::formals)?;
        let lambda =
            Lambda { arg, formals, body: self.expr()?, name: self.option(Self::name)?, doc: self.option(Self::span)? };
        let id = u32::try_from(self.ast.lambdas.len()).ok()?;
        self.ast.lambdas.push(lambda);
        Some(LambdaId(id))
    }

    fn formals(&mut self) -> Option<Formals> {
        let ellipsis = self.flag()?;
        let start = self.ast.formals.len();
        for _ in 0..self.size()? {
            let formal = Formal { name: self.name()?, pos: self.pos()?, default: self.option(Self::expr)? };
            self.ast.formals.push(formal);
        }
        // the order of symbols is another in each evaluation
        self.ast.formals[start..].sort_unstable_by_key(|formal| formal.name);
        Some(Formals { formals: range(start, self.ast.formals.len())?, ellipsis })
    }

    fn set(&mut self) -> Option<AttrSet> {
        let (pos, recursive) = (self.pos()?, self.flag()?);
        let start = self.ast.attrs.len();
        let mut sources = 0;
        for _ in 0..self.size()? {
            let (name, pos) = (self.name()?, self.pos()?);
            let value = match self.byte()? {
                0 => AttrValue::Plain(self.expr()?),
                1 => AttrValue::Inherited,
                _ => {
                    let source = self.number()?;
                    sources = sources.max(u64::from(source) + 1);
                    AttrValue::InheritedFrom(source)
                }
            };
            self.ast.attrs.push(Attr { name, pos, value });
        }
        let attrs = range(start, self.ast.attrs.len())?;
        let start = self.ast.dynamic.len();
        for _ in 0..self.size()? {
            let attr = DynamicAttr { name: self.expr()?, value: self.expr()?, pos: self.pos()? };
            self.ast.dynamic.push(attr);
        }
        let dynamic = range(start, self.ast.dynamic.len())?;
        let inherit_from = self.parts()?;
        (u64::from(inherit_from.len) >= sources).then_some(AttrSet { pos, recursive, attrs, dynamic, inherit_from })
    }

    fn units(&mut self) -> Option<Units> {
        let mut units = Units { globals: self.some_names()?, others: self.some_names()?, ..Units::default() };
        for _ in 0..self.size()? {
            let (expr, withs) = (self.expr()?, self.flag()?);
            let start = units.free.len();
            for _ in 0..self.size()? {
                units.free.push(self.name()?);
            }
            units.units.push(Unit { expr, free: range(start, units.free.len())?, withs });
        }
        Some(units)
    }

    fn some_names(&mut self) -> Option<Vec<Symbol>> {
        let size = self.size()?;
        (0..size).map(|_| self.name()).collect()
    }
}

/// Small numbers for small distances of either sign.
fn zigzag(distance: i64) -> u64 {
    (distance << 1 ^ distance >> 63) as u64
}

fn unzigzag(word: u64) -> i64 {
    (word >> 1) as i64 ^ -((word & 1) as i64)
}

fn range(start: usize, end: usize) -> Option<Range> {
    Some(Range { start: u32::try_from(start).ok()?, len: u32::try_from(end - start).ok()? })
}

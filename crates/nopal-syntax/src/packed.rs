//! Parsed sources as bytes, so that a source that was parsed once need not be parsed again.
//!
//! The form is that of one build of this program: no other has to read it. It has the tables of the tree, row by row, each
//! row some words of four bytes: to read one takes few instructions and no decision, and a source is read more often than
//! its parts are compiled. The extents of nodes are left out (but those of the conditions of assertions, which are shown),
//! as are doc comments between tokens; the [`Units`] are added. Names are kept in the order in which the parser met them,
//! so that new symbols get the numbers that parsing would have given them.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;

use crate::ast::{
    Ast, Attr, AttrName, AttrPathId, AttrSet, AttrValue, AttrsId, BinOp, Bytes, ConcatKind, DynamicAttr, Expr, ExprId,
    Formal, Formals, Lambda, LambdaId, Part, PathKind, Pos, Range, Span,
};
use crate::interner::{Interner, Symbol, sym};
use crate::units::{Unit, Units};

/// What is not there: a position, a name, an expression.
const NONE: u32 = u32::MAX;

/// The bytes of a tree. `names` are all names in the order in which the parser met them.
pub fn pack(ast: &Ast, units: &Units, names: &[Symbol], symbols: &Interner) -> Vec<u8> {
    let tables = Vec::with_capacity(ast.len() * 48);
    let mut packer = Packer { sizes: [0; TABLES], tables, names: Vec::new(), numbers: HashMap::default() };
    for name in names {
        packer.name(*name);
    }
    let condition = |expr| match expr {
        Expr::Assert { cond, .. } => Some((cond, ast.span(cond))),
        _ => None,
    };
    let mut conditions: Vec<(ExprId, Span)> = ast.exprs().filter_map(condition).collect();
    conditions.sort_unstable_by_key(|condition| condition.0);
    packer.table(Table::Exprs, &ast.exprs);
    packer.table(Table::Positions, &ast.positions);
    packer.table(Table::ExprLists, &ast.expr_lists);
    packer.table(Table::Parts, &ast.parts);
    packer.table(Table::Sets, &ast.sets);
    packer.table(Table::Attrs, &ast.attrs);
    packer.table(Table::Dynamic, &ast.dynamic);
    packer.table(Table::Lambdas, &ast.lambdas);
    packer.table(Table::Formals, &ast.formals);
    packer.table(Table::Paths, &ast.paths);
    packer.table(Table::PathNames, &ast.path_names);
    packer.table(Table::Conditions, &conditions);
    packer.table(Table::Units, &units.units);
    packer.table(Table::Free, &units.free);
    packer.table(Table::Globals, &units.globals);
    packer.table(Table::Others, &units.others);
    packer.table(Table::Root, &[ast.root]);
    // names that the parser knows without meeting them come last
    let names: Vec<&[u8]> = packer.names.iter().map(|name| symbols.get(*name)).collect();
    packer.sizes[Table::Names as usize] = word(names.len());
    packer.sizes[Table::Pool as usize] = word(ast.pool.len());
    let lengths = names.iter().map(|name| word(name.len()));
    let head: Vec<u8> = packer.sizes.into_iter().chain(lengths).flat_map(u32::to_le_bytes).collect();
    [&head, &names.concat(), &packer.tables, &ast.pool].map(Vec::as_slice).concat()
}

/// The tree of bytes that [`pack`] made; `None` if they are damaged.
pub fn unpack(bytes: &[u8], symbols: &mut Interner) -> Option<(Ast, Units)> {
    let (sizes, rest) = bytes.split_first_chunk::<{ TABLES * WORD_BYTES }>()?;
    let sizes = words(sizes);
    let count = sizes[Table::Names as usize] as usize;
    let (lengths, mut rest) = rest.split_at_checked(count.checked_mul(WORD_BYTES)?)?;
    let mut names = Vec::with_capacity(count);
    for length in lengths.as_chunks().0 {
        let (name, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        names.push(symbols.intern(name));
        rest = after;
    }
    let mut tables = Tables { rest, reader: Reader { names: &names, sizes, good: true } };
    let mut ast = Ast {
        exprs: tables.read(Table::Exprs)?,
        positions: tables.read(Table::Positions)?,
        expr_lists: tables.read(Table::ExprLists)?,
        parts: tables.read(Table::Parts)?,
        sets: tables.read(Table::Sets)?,
        attrs: tables.read(Table::Attrs)?,
        dynamic: tables.read(Table::Dynamic)?,
        lambdas: tables.read(Table::Lambdas)?,
        formals: tables.read(Table::Formals)?,
        paths: tables.read(Table::Paths)?,
        path_names: tables.read(Table::PathNames)?,
        conditions: tables.read(Table::Conditions)?,
        ..Ast::empty()
    };
    let units = Units {
        units: tables.read(Table::Units)?,
        free: tables.read(Table::Free)?,
        globals: tables.read(Table::Globals)?,
        others: tables.read(Table::Others)?,
    };
    ast.root = *tables.read(Table::Root)?.first()?;
    ast.pool = tables.rest.to_vec();
    let whole = ast.pool.len() == tables.reader.size(Table::Pool) && ast.positions.len() == ast.exprs.len();
    if !(whole && tables.reader.good && sources_exist(&ast)) {
        return None;
    }
    // the order of symbols is another in each evaluation
    for formals in ast.lambdas.iter().filter_map(|lambda| lambda.formals) {
        ast.formals[formals.formals.indices()].sort_unstable_by_key(|formal| formal.name);
    }
    Some((ast, units))
}

/// Whether the sources of all `inherit (from)` are among those of their sets.
fn sources_exist(ast: &Ast) -> bool {
    let exists = |set: &AttrSet, attr: &Attr| match attr.value {
        AttrValue::InheritedFrom(source) => source < set.inherit_from.len,
        AttrValue::Plain(_) | AttrValue::Inherited => true,
    };
    ast.sets.iter().all(|set| ast.attrs_in(set.attrs).iter().all(|attr| exists(set, attr)))
}

/// What is counted at the begin: rows of tables, names, and the bytes of literals.
#[derive(Clone, Copy)]
enum Table {
    Exprs,
    Positions,
    ExprLists,
    Parts,
    Sets,
    Attrs,
    Dynamic,
    Lambdas,
    Formals,
    Paths,
    PathNames,
    Conditions,
    Units,
    Free,
    Globals,
    Others,
    Root,
    Names,
    Pool,
}

const TABLES: usize = Table::Pool as usize + 1;

const WORD_BYTES: usize = size_of::<u32>();

/// A row of a table, in words.
trait Row<const WORDS: usize>: Copy {
    fn words(self, packer: &mut Packer) -> [u32; WORDS];

    /// What is no row is something else, and noted.
    fn read(words: [u32; WORDS], reader: &mut Reader<'_>) -> Self;
}

struct Packer {
    sizes: [u32; TABLES],
    tables: Vec<u8>,
    names: Vec<Symbol>,
    numbers: HashMap<Symbol, u32, BuildHasherDefault<FxHasher>>,
}

impl Packer {
    fn table<const WORDS: usize>(&mut self, table: Table, rows: &[impl Row<WORDS>]) {
        self.sizes[table as usize] = word(rows.len());
        for row in rows {
            for word in row.words(self) {
                self.tables.extend_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// The number of a name in this source.
    fn name(&mut self, name: Symbol) -> u32 {
        let next = word(self.names.len());
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }
}

/// The tables that are not read yet.
struct Tables<'a> {
    rest: &'a [u8],
    reader: Reader<'a>,
}

impl Tables<'_> {
    #[inline(always)]
    fn read<const WORDS: usize, R: Row<WORDS>>(&mut self, table: Table) -> Option<Vec<R>> {
        let row_bytes = WORDS * WORD_BYTES;
        let (rows, rest) = self.rest.split_at_checked(self.reader.size(table).checked_mul(row_bytes)?)?;
        self.rest = rest;
        let reader = &mut self.reader;
        Some(rows.chunks_exact(row_bytes).map(|row| R::read(words(row), reader)).collect())
    }
}

/// What rows may refer to, and whether all did that were read.
struct Reader<'a> {
    names: &'a [Symbol],
    sizes: [u32; TABLES],
    good: bool,
}

impl Reader<'_> {
    fn size(&self, table: Table) -> usize {
        self.sizes[table as usize] as usize
    }

    #[inline(always)]
    fn row(&mut self, number: u32, table: Table) -> u32 {
        self.good &= number < self.sizes[table as usize];
        number
    }

    #[inline(always)]
    fn expr(&mut self, number: u32) -> ExprId {
        ExprId(self.row(number, Table::Exprs))
    }

    #[inline(always)]
    fn range(&mut self, start: u32, len: u32, table: Table) -> Range {
        self.good &= u64::from(start) + u64::from(len) <= u64::from(self.sizes[table as usize]);
        Range { start, len }
    }

    #[inline(always)]
    fn name(&mut self, number: u32) -> Symbol {
        let name = self.names.get(number as usize);
        self.good &= name.is_some();
        name.copied().unwrap_or(sym::SUB)
    }

    #[inline(always)]
    fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N], number: u32) -> T {
        self.good &= (number as usize) < N;
        all[number as usize % N]
    }
}

/// Kinds of nodes.
mod kind {
    pub(super) const INT: u32 = 0;
    pub(super) const FLOAT: u32 = 1;
    pub(super) const STR: u32 = 2;
    pub(super) const PATH: u32 = 3;
    pub(super) const SEARCH_PATH: u32 = 4;
    pub(super) const VAR: u32 = 5;
    pub(super) const CUR_POS: u32 = 6;
    pub(super) const SELECT: u32 = 7;
    pub(super) const HAS_ATTR: u32 = 8;
    pub(super) const LAMBDA: u32 = 9;
    pub(super) const CALL: u32 = 10;
    pub(super) const LET: u32 = 11;
    pub(super) const WITH: u32 = 12;
    pub(super) const IF: u32 = 13;
    pub(super) const ASSERT: u32 = 14;
    pub(super) const NOT: u32 = 15;
    pub(super) const NEGATE: u32 = 16;
    pub(super) const BINARY: u32 = 17;
    pub(super) const CONCAT: u32 = 18;
    pub(super) const LIST: u32 = 19;
    pub(super) const ATTRS: u32 = 20;
}

/// How far a word of a node is shifted that says more about its kind.
const MORE: u32 = 8;

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

impl Row<4> for Expr {
    fn words(self, packer: &mut Packer) -> [u32; 4] {
        let of_number = |kind: u32, bits: u64| [kind, bits as u32, (bits >> 32) as u32, 0];
        let of_range = |kind: u32, Range { start, len }: Range| [kind, start, len, 0];
        match self {
            Self::Int(value) => of_number(kind::INT, value as u64),
            Self::Float(value) => of_number(kind::FLOAT, value.to_bits()),
            Self::Str(Bytes(text)) => of_range(kind::STR, text),
            Self::Path { kind, text: Bytes(text) } => of_range(kind::PATH | (kind as u32) << MORE, text),
            Self::SearchPath(Bytes(name)) => of_range(kind::SEARCH_PATH, name),
            Self::Var(name) => [kind::VAR, packer.name(name), 0, 0],
            Self::CurPos => [kind::CUR_POS, 0, 0, 0],
            Self::Select { base, path, default } => [kind::SELECT, base.0, path.0, optional(default)],
            Self::HasAttr { base, path } => [kind::HAS_ATTR, base.0, path.0, 0],
            Self::Lambda(lambda) => [kind::LAMBDA, lambda.0, 0, 0],
            Self::Call { function, args } => [kind::CALL, function.0, args.start, args.len],
            Self::Let { attrs, body } => [kind::LET, attrs.0, body.0, 0],
            Self::With { env, body } => [kind::WITH, env.0, body.0, 0],
            Self::If { cond, yes, no } => [kind::IF, cond.0, yes.0, no.0],
            Self::Assert { cond, body } => [kind::ASSERT, cond.0, body.0, 0],
            Self::Not(operand) => [kind::NOT, operand.0, 0, 0],
            Self::Negate(operand) => [kind::NEGATE, operand.0, 0, 0],
            Self::Binary { op, lhs, rhs } => [kind::BINARY | (op as u32) << MORE, lhs.0, rhs.0, 0],
            Self::Concat { kind, parts } => of_range(kind::CONCAT | (kind as u32) << MORE, parts),
            Self::List(items) => of_range(kind::LIST, items),
            Self::Attrs(set) => [kind::ATTRS, set.0, 0, 0],
        }
    }

    #[inline(always)]
    fn read([kind, a, b, c]: [u32; 4], reader: &mut Reader<'_>) -> Self {
        let more = kind >> MORE;
        let number = u64::from(a) | u64::from(b) << 32;
        match kind & ((1 << MORE) - 1) {
            kind::INT => Self::Int(number as i64),
            kind::FLOAT => Self::Float(f64::from_bits(number)),
            kind::STR => Self::Str(Bytes(reader.range(a, b, Table::Pool))),
            kind::PATH => {
                let text = Bytes(reader.range(a, b, Table::Pool));
                Self::Path { kind: reader.one_of(PATH_KINDS, more), text }
            }
            kind::SEARCH_PATH => Self::SearchPath(Bytes(reader.range(a, b, Table::Pool))),
            kind::VAR => Self::Var(reader.name(a)),
            kind::CUR_POS => Self::CurPos,
            kind::SELECT => {
                let path = AttrPathId(reader.row(b, Table::Paths));
                Self::Select { base: reader.expr(a), path, default: (c != NONE).then(|| reader.expr(c)) }
            }
            kind::HAS_ATTR => Self::HasAttr { base: reader.expr(a), path: AttrPathId(reader.row(b, Table::Paths)) },
            kind::LAMBDA => Self::Lambda(LambdaId(reader.row(a, Table::Lambdas))),
            kind::CALL => Self::Call { function: reader.expr(a), args: reader.range(b, c, Table::ExprLists) },
            kind::LET => Self::Let { attrs: AttrsId(reader.row(a, Table::Sets)), body: reader.expr(b) },
            kind::WITH => Self::With { env: reader.expr(a), body: reader.expr(b) },
            kind::IF => Self::If { cond: reader.expr(a), yes: reader.expr(b), no: reader.expr(c) },
            kind::ASSERT => Self::Assert { cond: reader.expr(a), body: reader.expr(b) },
            kind::NOT => Self::Not(reader.expr(a)),
            kind::NEGATE => Self::Negate(reader.expr(a)),
            kind::BINARY => {
                Self::Binary { op: reader.one_of(OPERATORS, more), lhs: reader.expr(a), rhs: reader.expr(b) }
            }
            kind::CONCAT => {
                reader.good &= b > 0;
                let parts = reader.range(a, b, Table::Parts);
                Self::Concat { kind: reader.one_of(CONCAT_KINDS, more), parts }
            }
            kind::LIST => Self::List(reader.range(a, b, Table::ExprLists)),
            kind::ATTRS => Self::Attrs(AttrsId(reader.row(a, Table::Sets))),
            _ => {
                reader.good = false;
                Self::CurPos
            }
        }
    }
}

impl Row<1> for Pos {
    fn words(self, _: &mut Packer) -> [u32; 1] {
        [self.offset().unwrap_or(NONE)]
    }

    #[inline(always)]
    fn read([offset]: [u32; 1], _: &mut Reader<'_>) -> Self {
        if offset == NONE { Self::NONE } else { Self::at(offset) }
    }
}

impl Row<1> for ExprId {
    fn words(self, _: &mut Packer) -> [u32; 1] {
        [self.0]
    }

    #[inline(always)]
    fn read([number]: [u32; 1], reader: &mut Reader<'_>) -> Self {
        reader.expr(number)
    }
}

impl Row<1> for Symbol {
    fn words(self, packer: &mut Packer) -> [u32; 1] {
        [packer.name(self)]
    }

    #[inline(always)]
    fn read([number]: [u32; 1], reader: &mut Reader<'_>) -> Self {
        reader.name(number)
    }
}

impl Row<2> for Part {
    fn words(self, packer: &mut Packer) -> [u32; 2] {
        let [pos] = self.pos.words(packer);
        [pos, self.expr.0]
    }

    #[inline(always)]
    fn read([pos, expr]: [u32; 2], reader: &mut Reader<'_>) -> Self {
        Self { pos: Pos::read([pos], reader), expr: reader.expr(expr) }
    }
}

impl Row<8> for AttrSet {
    fn words(self, packer: &mut Packer) -> [u32; 8] {
        let [pos] = self.pos.words(packer);
        let Self { attrs, dynamic, inherit_from, .. } = self;
        let recursive = u32::from(self.recursive);
        [pos, recursive, attrs.start, attrs.len, dynamic.start, dynamic.len, inherit_from.start, inherit_from.len]
    }

    #[inline(always)]
    fn read([pos, recursive, rows @ ..]: [u32; 8], reader: &mut Reader<'_>) -> Self {
        Self {
            pos: Pos::read([pos], reader),
            recursive: recursive != 0,
            attrs: reader.range(rows[0], rows[1], Table::Attrs),
            dynamic: reader.range(rows[2], rows[3], Table::Dynamic),
            inherit_from: reader.range(rows[4], rows[5], Table::Parts),
        }
    }
}

impl Row<4> for Attr {
    fn words(self, packer: &mut Packer) -> [u32; 4] {
        let [pos] = self.pos.words(packer);
        let (kind, value) = match self.value {
            AttrValue::Plain(expr) => (0, expr.0),
            AttrValue::Inherited => (1, 0),
            AttrValue::InheritedFrom(source) => (2, source),
        };
        [packer.name(self.name), pos, kind, value]
    }

    #[inline(always)]
    fn read([name, pos, kind, value]: [u32; 4], reader: &mut Reader<'_>) -> Self {
        let value = match kind {
            0 => AttrValue::Plain(reader.expr(value)),
            1 => AttrValue::Inherited,
            _ => AttrValue::InheritedFrom(value),
        };
        Self { name: reader.name(name), pos: Pos::read([pos], reader), value }
    }
}

impl Row<3> for DynamicAttr {
    fn words(self, packer: &mut Packer) -> [u32; 3] {
        let [pos] = self.pos.words(packer);
        [self.name.0, self.value.0, pos]
    }

    #[inline(always)]
    fn read([name, value, pos]: [u32; 3], reader: &mut Reader<'_>) -> Self {
        Self { name: reader.expr(name), value: reader.expr(value), pos: Pos::read([pos], reader) }
    }
}

impl Row<8> for Lambda {
    fn words(self, packer: &mut Packer) -> [u32; 8] {
        let [arg, name] = [self.arg, self.name].map(|name| name.map_or(NONE, |name| packer.name(name)));
        let [start, len, kind] = match self.formals {
            Some(Formals { formals: Range { start, len }, ellipsis }) => [start, len, 1 + u32::from(ellipsis)],
            None => [0; 3],
        };
        let doc = self.doc.map_or([NONE; 2], |doc| doc.words(packer));
        [arg, start, len, kind, self.body.0, name, doc[0], doc[1]]
    }

    #[inline(always)]
    fn read([arg, start, len, kind, body, name, doc @ ..]: [u32; 8], reader: &mut Reader<'_>) -> Self {
        let formals = reader.range(start, len, Table::Formals);
        Self {
            arg: (arg != NONE).then(|| reader.name(arg)),
            formals: (kind != 0).then_some(Formals { formals, ellipsis: kind != 1 }),
            body: reader.expr(body),
            name: (name != NONE).then(|| reader.name(name)),
            doc: (doc != [NONE; 2]).then(|| Span::read(doc, reader)),
        }
    }
}

impl Row<3> for Formal {
    fn words(self, packer: &mut Packer) -> [u32; 3] {
        let [pos] = self.pos.words(packer);
        [packer.name(self.name), pos, optional(self.default)]
    }

    #[inline(always)]
    fn read([name, pos, default]: [u32; 3], reader: &mut Reader<'_>) -> Self {
        let default = (default != NONE).then(|| reader.expr(default));
        Self { name: reader.name(name), pos: Pos::read([pos], reader), default }
    }
}

/// An attribute path: where its names are. There is at least one.
impl Row<2> for Range {
    fn words(self, _: &mut Packer) -> [u32; 2] {
        [self.start, self.len]
    }

    #[inline(always)]
    fn read([start, len]: [u32; 2], reader: &mut Reader<'_>) -> Self {
        reader.good &= len > 0;
        reader.range(start, len, Table::PathNames)
    }
}

impl Row<2> for AttrName {
    fn words(self, packer: &mut Packer) -> [u32; 2] {
        match self {
            Self::Static(name) => [0, packer.name(name)],
            Self::Dynamic(expr) => [1, expr.0],
        }
    }

    #[inline(always)]
    fn read([kind, number]: [u32; 2], reader: &mut Reader<'_>) -> Self {
        if kind == 0 { Self::Static(reader.name(number)) } else { Self::Dynamic(reader.expr(number)) }
    }
}

impl Row<2> for Span {
    fn words(self, _: &mut Packer) -> [u32; 2] {
        [self.start, self.end]
    }

    #[inline(always)]
    fn read([start, end]: [u32; 2], reader: &mut Reader<'_>) -> Self {
        reader.good &= start <= end;
        Self { start, end }
    }
}

/// The condition of an assertion, and its extent.
impl Row<3> for (ExprId, Span) {
    fn words(self, _: &mut Packer) -> [u32; 3] {
        let (expr, Span { start, end }) = self;
        [expr.0, start, end]
    }

    #[inline(always)]
    fn read([expr, start, end]: [u32; 3], reader: &mut Reader<'_>) -> Self {
        (reader.expr(expr), Span::read([start, end], reader))
    }
}

impl Row<4> for Unit {
    fn words(self, _: &mut Packer) -> [u32; 4] {
        [self.expr.0, self.free.start, self.free.len, u32::from(self.withs)]
    }

    #[inline(always)]
    fn read([expr, start, len, withs]: [u32; 4], reader: &mut Reader<'_>) -> Self {
        Self { expr: reader.expr(expr), free: reader.range(start, len, Table::Free), withs: withs != 0 }
    }
}

fn optional(expr: Option<ExprId>) -> u32 {
    expr.map_or(NONE, |expr| expr.0)
}

/// A count of things of which there are at most as many as a source has bytes.
#[expect(clippy::cast_possible_truncation, reason = "a source has fewer bytes")]
fn word(count: usize) -> u32 {
    count as u32
}

/// The words of a row.
#[inline(always)]
fn words<const WORDS: usize>(row: &[u8]) -> [u32; WORDS] {
    let (words, _) = row.as_chunks::<WORD_BYTES>();
    std::array::from_fn(|index| words.get(index).map_or(0, |word| u32::from_le_bytes(*word)))
}

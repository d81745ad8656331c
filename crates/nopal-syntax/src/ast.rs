//! The syntax tree: flat arenas, no pointers, no names.
//!
//! An [`Ast`] is one file. Nodes are [`Expr`] values of 16 bytes in one vector; lists, attribute sets, formals, string
//! parts and attribute paths live in side tables and are named by ranges. Strings are bytes in one pool. The tree is
//! what Nix has *after* its parser: parentheses are gone, nested attributes (`a.b = 1`) are merged, indented strings
//! are stripped, `let { … }` is a selection from a recursive set.
//!
//! Operators that Nix rewrites to calls of variables (`-` is `__sub a b`) stay operators here: see [`BinOp`].

use crate::interner::Symbol;

/// The largest source that is read: offsets are `u32` and one value is kept for "no position".
pub const MAX_SOURCE_BYTES: usize = u32::MAX as usize - 1;

/// Number of a node in [`Ast`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct ExprId(pub u32);

/// Number of an attribute set in [`Ast`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct AttrsId(pub u32);

/// Number of a function in [`Ast`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct LambdaId(pub u32);

/// Number of an attribute path in [`Ast`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct AttrPathId(pub u32);

/// A place in the source: an offset in bytes, or none.
///
/// It is Nix's notion of position, the *begin* of something; [`Ast::span`] has the extent of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Pos(u32);

impl Pos {
    /// No position: what Nix calls `noPos`.
    pub const NONE: Self = Self(u32::MAX);

    /// The position `offset` bytes into the source.
    pub const fn at(offset: u32) -> Self {
        Self(offset)
    }

    /// The offset, unless this is [`Pos::NONE`].
    pub const fn offset(self) -> Option<u32> {
        if self.0 == u32::MAX { None } else { Some(self.0) }
    }
}

/// A stretch of the source, in bytes: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

/// A stretch of one of the side tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Range {
    /// Number of the first entry.
    pub start: u32,
    /// How many entries.
    pub len: u32,
}

impl Range {
    /// The range as indices of a slice.
    pub const fn indices(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// A string of bytes in the pool of the [`Ast`]; read it with [`Ast::bytes`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bytes(pub Range);

/// What a path literal starts with, and so what it is relative to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PathKind {
    /// `/etc/passwd`: the root of the file system.
    Absolute,
    /// `./a`, `../a`, `a/b`: the directory of the file that contains it.
    Relative,
    /// `~/a`: the home directory; the text begins with the tilde.
    Home,
}

/// The operators of two operands that are not string concatenation.
///
/// Those from [`BinOp::Sub`] on are calls of ordinary, shadowable variables in Nix, which has no position for the
/// variable itself: `a - b` is `__sub a b`, `a * b` is `__mul a b`, `a / b` is `__div a b`, `a < b` is
/// `__lessThan a b`, `a > b` is `__lessThan b a`, `a <= b` is `!(__lessThan b a)` and `a >= b` is `!(__lessThan a b)`.
/// [`BinOp::desugar`] says so as data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BinOp {
    /// `==`; Nix keeps no position for it.
    Eq,
    /// `!=`; Nix keeps no position for it.
    Neq,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `->`
    Impl,
    /// `//`
    Update,
    /// `++`
    Concat,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// The call that an operator stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Desugared {
    /// The variable that is called.
    pub function: Symbol,
    /// Whether the right operand is the first argument.
    pub swapped: bool,
    /// Whether the result is negated by `!`.
    pub negated: bool,
}

impl BinOp {
    /// The call behind the operator, for those that Nix rewrites to one.
    pub const fn desugar(self) -> Option<Desugared> {
        use crate::interner::sym;
        let (function, swapped, negated) = match self {
            Self::Sub => (sym::SUB, false, false),
            Self::Mul => (sym::MUL, false, false),
            Self::Div => (sym::DIV, false, false),
            Self::Lt => (sym::LESS_THAN, false, false),
            Self::Gt => (sym::LESS_THAN, true, false),
            Self::Le => (sym::LESS_THAN, true, true),
            Self::Ge => (sym::LESS_THAN, false, true),
            Self::Eq | Self::Neq | Self::And | Self::Or | Self::Impl | Self::Update | Self::Concat => return None,
        };
        Some(Desugared { function, swapped, negated })
    }
}

/// What kind of concatenation a [`Expr::Concat`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConcatKind {
    /// `a + b`: two parts; numbers are added, paths extended (`forceString = false` in Nix).
    Plus,
    /// `"a${b}"` or `''a${b}''`: the result is a string (`forceString = true`).
    Interpolation,
    /// `./a/${b}`: the first part is an [`Expr::Path`] and so is the result (`forceString = false`).
    Path,
}

/// One node. Children are numbers of other nodes of the same [`Ast`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Expr {
    /// An integer literal.
    Int(i64),
    /// A floating-point literal.
    Float(f64),
    /// A string literal without interpolation, or a URL literal.
    Str(Bytes),
    /// A path literal as written; resolve it with `path::resolve`.
    Path {
        /// What it is relative to.
        kind: PathKind,
        /// The text as written.
        text: Bytes,
    },
    /// `<nixpkgs/lib>`: stands for `__findFile __nixPath "nixpkgs/lib"`, both shadowable variables without position.
    SearchPath(Bytes),
    /// A variable.
    Var(Symbol),
    /// `__curPos`: a set of file, line and column of [`Ast::pos`] of this node.
    CurPos,
    /// `base.path` or `base.path or default`.
    Select {
        /// The set.
        base: ExprId,
        /// The attribute path.
        path: AttrPathId,
        /// The expression after `or`.
        default: Option<ExprId>,
    },
    /// `base ? path`.
    HasAttr {
        /// The set.
        base: ExprId,
        /// The attribute path.
        path: AttrPathId,
    },
    /// A function.
    Lambda(LambdaId),
    /// A call with all its arguments: `f a b` is one call.
    Call {
        /// The function.
        function: ExprId,
        /// The arguments in [`Ast::exprs_in`].
        args: Range,
    },
    /// `let … in body`; the set is to be read as recursive and has no dynamic attributes.
    Let {
        /// The bindings.
        attrs: AttrsId,
        /// The body.
        body: ExprId,
    },
    /// `with env; body`.
    With {
        /// The set whose attributes come into scope.
        env: ExprId,
        /// The body.
        body: ExprId,
    },
    /// `if cond then yes else no`.
    If {
        /// The condition.
        cond: ExprId,
        /// The branch for true.
        yes: ExprId,
        /// The branch for false.
        no: ExprId,
    },
    /// `assert cond; body`.
    Assert {
        /// The condition.
        cond: ExprId,
        /// The body.
        body: ExprId,
    },
    /// `!operand`.
    Not(ExprId),
    /// `-operand`: stands for `__sub 0 operand`, see [`BinOp`].
    Negate(ExprId),
    /// An operator of two operands.
    Binary {
        /// The operator.
        op: BinOp,
        /// Left.
        lhs: ExprId,
        /// Right.
        rhs: ExprId,
    },
    /// `+`, string interpolation and path interpolation.
    Concat {
        /// Which of them.
        kind: ConcatKind,
        /// The parts in [`Ast::parts_in`]; at least one.
        parts: Range,
    },
    /// A list; its elements in [`Ast::exprs_in`].
    List(Range),
    /// An attribute set.
    Attrs(AttrsId),
}

/// One part of a concatenation with the position that Nix reports for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Begin of the part as written: of `${`, of the literal text, or of an operand including its parentheses.
    pub pos: Pos,
    /// The part.
    pub expr: ExprId,
}

/// One step of an attribute path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttrName {
    /// A name known from the text, quoted or not.
    Static(Symbol),
    /// `${expr}`, or a string with interpolations.
    Dynamic(ExprId),
}

/// An attribute set or the bindings of a `let`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttrSet {
    /// Begin of the set: of `{`, `rec` or `let`; none for sets made from `a.b = …` and for the bindings of `let … in`.
    pub pos: Pos,
    /// Whether the attributes see each other (`rec { … }` and `let { … }`).
    pub recursive: bool,
    /// The attributes in [`Ast::attrs_in`], in source order; names are unique.
    pub attrs: Range,
    /// The dynamic attributes in [`Ast::dynamic_in`], in source order.
    pub dynamic: Range,
    /// The sources of `inherit (from) …;` in [`Ast::parts_in`]; `pos` is the begin of the source expression.
    pub inherit_from: Range,
}

/// Where the value of an attribute comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttrValue {
    /// `name = expr;`
    Plain(ExprId),
    /// `inherit name;`: the variable `name` of the scope *around* the set, at [`Attr::pos`].
    Inherited,
    /// `inherit (from) name;`: the selection of `name`, at [`Attr::pos`], from the source with this number in
    /// [`AttrSet::inherit_from`]. A source is evaluated once for all its names.
    InheritedFrom(u32),
}

/// An attribute with a name known from the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// The name.
    pub name: Symbol,
    /// Begin of the attribute path that defines it, or of the name in an `inherit`.
    pub pos: Pos,
    /// The value.
    pub value: AttrValue,
}

/// An attribute whose name is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DynamicAttr {
    /// The expression of the name.
    pub name: ExprId,
    /// The value.
    pub value: ExprId,
    /// Begin of the attribute path that defines it.
    pub pos: Pos,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lambda {
    /// The argument's name: `x` of `x: …`, or of `x@{ … }: …` and `{ … }@x: …`.
    pub arg: Option<Symbol>,
    /// The set pattern, if there is one.
    pub formals: Option<Formals>,
    /// The body.
    pub body: ExprId,
    /// The attribute that the function was bound to, for messages; curried functions share it.
    pub name: Option<Symbol>,
    /// The doc comment (`/** … */`) that belongs to the function.
    pub doc: Option<Span>,
}

/// A set pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Formals {
    /// The formals in [`Ast::formals_in`], sorted by symbol as Nix does; names are unique.
    pub formals: Range,
    /// Whether it ends in `...`.
    pub ellipsis: bool,
}

/// One name of a set pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Formal {
    /// The name.
    pub name: Symbol,
    /// Begin of the name.
    pub pos: Pos,
    /// The expression after `?`.
    pub default: Option<ExprId>,
}

/// The syntax tree of one source.
#[derive(Clone, Debug)]
pub struct Ast {
    pub(crate) exprs: Vec<Expr>,
    pub(crate) positions: Vec<Pos>,
    /// Of all nodes; empty in a tree that was unpacked.
    pub(crate) spans: Vec<Span>,
    /// In such a tree, the extents of the conditions of assertions, ascending by node.
    pub(crate) conditions: Vec<(ExprId, Span)>,
    pub(crate) expr_lists: Vec<ExprId>,
    pub(crate) parts: Vec<Part>,
    pub(crate) sets: Vec<AttrSet>,
    pub(crate) attrs: Vec<Attr>,
    pub(crate) dynamic: Vec<DynamicAttr>,
    pub(crate) lambdas: Vec<Lambda>,
    pub(crate) formals: Vec<Formal>,
    pub(crate) paths: Vec<Range>,
    pub(crate) path_names: Vec<AttrName>,
    pub(crate) pool: Vec<u8>,
    /// Doc comments by the offset of the token that follows, ascending.
    pub(crate) docs: Vec<(u32, Span)>,
    pub(crate) root: ExprId,
}

impl Ast {
    /// A tree of which nothing is there yet.
    pub(crate) fn empty() -> Ast {
        Ast {
            exprs: Vec::new(),
            positions: Vec::new(),
            spans: Vec::new(),
            conditions: Vec::new(),
            expr_lists: Vec::new(),
            parts: Vec::new(),
            sets: Vec::new(),
            attrs: Vec::new(),
            dynamic: Vec::new(),
            lambdas: Vec::new(),
            formals: Vec::new(),
            paths: Vec::new(),
            path_names: Vec::new(),
            pool: Vec::new(),
            docs: Vec::new(),
            root: ExprId(0),
        }
    }

    /// Gives back the memory that the tree does not need.
    pub fn shrink_to_fit(&mut self) {
        self.exprs.shrink_to_fit();
        self.positions.shrink_to_fit();
        self.spans.shrink_to_fit();
        self.expr_lists.shrink_to_fit();
        self.parts.shrink_to_fit();
        self.attrs.shrink_to_fit();
        self.dynamic.shrink_to_fit();
        self.lambdas.shrink_to_fit();
        self.formals.shrink_to_fit();
        self.paths.shrink_to_fit();
        self.path_names.shrink_to_fit();
        self.pool.shrink_to_fit();
        self.docs = Vec::new();
    }

    /// The expression of the whole source.
    pub fn root(&self) -> ExprId {
        self.root
    }

    /// How many nodes there are; their numbers are below it.
    pub fn len(&self) -> usize {
        self.exprs.len()
    }

    /// All nodes, in the order in which they were made.
    pub fn exprs(&self) -> impl Iterator<Item = Expr> {
        self.exprs.iter().copied()
    }

    /// Never true of a parsed source.
    pub fn is_empty(&self) -> bool {
        self.exprs.is_empty()
    }

    /// The node.
    #[inline]
    pub fn expr(&self, id: ExprId) -> Expr {
        self.exprs[id.0 as usize]
    }

    /// The position that Nix keeps for the node and reports in errors (`getPos`): the operator for `+`, `//`, `a - b`,
    /// `f <| x`, …; the begin for variables, calls, selections, functions, `if`, `with`, `assert`; that of the operand
    /// for `!` and `?`, that of the first element for lists; none for literals, `==`, `!=`, `let`.
    #[inline]
    pub fn pos(&self, id: ExprId) -> Pos {
        self.positions[id.0 as usize]
    }

    /// The extent of the node in the source, without parentheses around it. A tree that was unpacked knows only those of
    /// the conditions of assertions, and an empty one for the others.
    pub fn span(&self, id: ExprId) -> Span {
        if let Some(span) = self.spans.get(id.0 as usize) {
            return *span;
        }
        let known = self.conditions.binary_search_by_key(&id, |condition| condition.0);
        known.map_or(Span { start: 0, end: 0 }, |index| self.conditions[index].1)
    }

    /// Elements of a list or arguments of a call.
    #[inline]
    pub fn exprs_in(&self, range: Range) -> &[ExprId] {
        &self.expr_lists[range.indices()]
    }

    /// Parts of a concatenation, or sources of `inherit (from)`.
    #[inline]
    pub fn parts_in(&self, range: Range) -> &[Part] {
        &self.parts[range.indices()]
    }

    /// The attribute set.
    #[inline]
    pub fn attr_set(&self, id: AttrsId) -> AttrSet {
        self.sets[id.0 as usize]
    }

    /// Attributes of [`AttrSet::attrs`].
    #[inline]
    pub fn attrs_in(&self, range: Range) -> &[Attr] {
        &self.attrs[range.indices()]
    }

    /// Attributes of [`AttrSet::dynamic`].
    #[inline]
    pub fn dynamic_in(&self, range: Range) -> &[DynamicAttr] {
        &self.dynamic[range.indices()]
    }

    /// The function.
    #[inline]
    pub fn lambda(&self, id: LambdaId) -> Lambda {
        self.lambdas[id.0 as usize]
    }

    /// The formals of [`Formals::formals`].
    #[inline]
    pub fn formals_in(&self, range: Range) -> &[Formal] {
        &self.formals[range.indices()]
    }

    /// The steps of an attribute path; at least one.
    #[inline]
    pub fn attr_path(&self, id: AttrPathId) -> &[AttrName] {
        &self.path_names[self.paths[id.0 as usize].indices()]
    }

    /// The bytes of a literal.
    #[inline]
    pub fn bytes(&self, bytes: Bytes) -> &[u8] {
        &self.pool[bytes.0.indices()]
    }

    /// The doc comment (`/** … */`) directly before the token at `offset`, such as the begin of an attribute.
    pub fn doc_comment_at(&self, offset: u32) -> Option<Span> {
        self.docs.binary_search_by_key(&offset, |doc| doc.0).ok().map(|index| self.docs[index].1)
    }
}

const _: () = assert!(size_of::<Expr>() == 16);

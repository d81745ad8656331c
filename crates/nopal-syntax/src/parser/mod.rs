//! The parser: tokens straight into the arenas of an [`Ast`].
//!
//! Recursive descent for what brackets nest, loops with explicit stacks for everything else: operators (`expr.rs`, a
//! shunting yard) and the tails of `x: …`, `let … in …`, `if … else …` never recurse, so only brackets count against
//! [`Options::max_depth`]. One function per production of Nix's grammar, and the semantic errors in the order in which
//! Nix's parser finds them. On a syntax error the parser gives up without words; the automaton of Nix's grammar
//! (`automaton.rs`) reads the tokens again and says what was expected.

mod bindings;
mod expr;
mod finish;
mod simple;
mod strings;

use rustc_hash::FxHashMap;

use crate::ast::{
    Ast, AttrName, AttrPathId, AttrsId, Bytes, Expr, ExprId, Formal, Lambda, MAX_SOURCE_BYTES, Part, Pos, Range, Span,
};
use crate::automaton;
use crate::diagnostic::{Diagnostic, Problem};
use crate::interner::{Interner, Symbol};
use crate::lexer::Lexer;
use crate::token::{Kind, Token};
use bindings::{AttrNode, DynamicNode, FromNode, SetNode};

/// What to do about text that is allowed but discouraged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lint {
    /// Nothing.
    #[default]
    Ignore,
    /// Report it in [`Parsed::warnings`].
    Warn,
    /// Make it an error.
    Fatal,
}

/// How to parse. The defaults are those of Nix without settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// How many levels of brackets (any kind, string interpolations too) may nest. Each level takes less than
    /// [`STACK_BYTES_PER_LEVEL`] of the caller's stack.
    pub max_depth: u32,
    /// Whether `|>` and `<|` are operators (experimental feature `pipe-operators`).
    pub pipe_operators: bool,
    /// Whether evaluation is pure, so that `~/a` is an error.
    pub pure_eval: bool,
    /// `lint-url-literals`
    pub url_literals: Lint,
    /// `lint-absolute-path-literals`, for home paths, too
    pub absolute_path_literals: Lint,
    /// `lint-short-path-literals`
    pub short_path_literals: Lint,
}

/// An upper bound of the stack that one level of brackets takes in a build without optimisation; with it, it is less
/// than a quarter of this.
pub const STACK_BYTES_PER_LEVEL: usize = 3584;

/// Fits, with everything else, into the 2 MiB that threads usually have; nixpkgs stays below 60.
const DEFAULT_MAX_DEPTH: u32 = 512;

impl Default for Options {
    fn default() -> Self {
        Self {
            max_depth: DEFAULT_MAX_DEPTH,
            pipe_operators: false,
            pure_eval: false,
            url_literals: Lint::Ignore,
            absolute_path_literals: Lint::Ignore,
            short_path_literals: Lint::Ignore,
        }
    }
}

impl Options {
    /// Bytes that differ where options do.
    pub fn bytes(self) -> [u8; 9] {
        let Self { max_depth, pipe_operators, pure_eval, url_literals, absolute_path_literals, short_path_literals } =
            self;
        let [a, b, c, d] = max_depth.to_le_bytes();
        let lints = [url_literals, absolute_path_literals, short_path_literals].map(|lint| lint as u8);
        [a, b, c, d, pipe_operators.into(), pure_eval.into(), lints[0], lints[1], lints[2]]
    }
}

/// A parsed source.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The tree.
    pub ast: Ast,
    /// What is questionable, in the order of the text.
    pub warnings: Vec<Diagnostic>,
    /// The names in it in the order in which symbols were made of them; some several times.
    pub names: Vec<Symbol>,
}

/// Parses one expression. `text` is any bytes, not necessarily UTF-8.
///
/// Variables are not resolved: see [`crate::scope::check`].
///
/// # Errors
/// The first error that Nix would report, or that a limit of ours is exceeded.
pub fn parse(text: &[u8], symbols: &mut Interner, options: &Options) -> Result<Parsed, Box<Diagnostic>> {
    if text.len() > MAX_SOURCE_BYTES {
        return Err(Box::new(Diagnostic::new(Problem::TooLarge, Pos::NONE)));
    }
    let mut parser = Parser::new(text, symbols, options);
    match parser.source() {
        Ok(root) => Ok(parser.finish(root)),
        Err(Stop) => {
            let mut error = match parser.error.take() {
                Some(error) => error,
                None => automaton::explain(text, options.pipe_operators, parser.cur),
            };
            error.warnings = parser.warnings;
            Err(error)
        }
    }
}

/// Why a text is no list of bindings.
#[derive(Clone, Debug)]
pub struct NoBindings {
    /// Whether it could become one with more text behind it.
    pub unfinished: bool,
    /// The warnings about the text before the problem, which are to be shown, too.
    pub warnings: Vec<Diagnostic>,
}

/// Parses one or more bindings, such as `a = 1; inherit (b) c;`, which the REPL takes beside expressions. The root of
/// the tree is a set of those with static names; the others are checked and passed over, as Nix does.
///
/// # Errors
/// The text is something else, or not finished.
pub fn parse_bindings(text: &[u8], symbols: &mut Interner, options: &Options) -> Result<Parsed, NoBindings> {
    if text.len() > MAX_SOURCE_BYTES {
        return Err(NoBindings { unfinished: false, warnings: Vec::new() });
    }
    let mut parser = Parser::new(text, symbols, options);
    match parser.bindings_source() {
        Ok(root) => Ok(parser.finish(root)),
        Err(Stop) => {
            let unfinished = parser.error.is_none() && parser.cur.kind == Kind::Eof;
            Err(NoBindings { unfinished, warnings: parser.warnings })
        }
    }
}

/// The parser has stopped: at an error that it has recorded, or at a token that does not fit.
pub(crate) struct Stop;

type Result<T, E = Stop> = std::result::Result<T, E>;

struct Parser<'s, 'i> {
    src: &'s [u8],
    lexer: Lexer<'s>,
    /// The token at hand.
    cur: Token,
    /// Where the token before `cur` ended.
    last_end: u32,
    depth: u32,
    symbols: &'i mut Interner,
    /// Every name that was met, in order.
    names: Vec<Symbol>,
    options: Options,
    error: Option<Box<Diagnostic>>,
    warnings: Vec<Diagnostic>,
    /// The call made from `x or` most recently, while it may turn out to be questionable.
    cursed_or: Option<ExprId>,
    /// Doc comments that Nix attaches to the value of an attribute, too.
    value_docs: Vec<(u32, Span)>,

    exprs: Vec<Expr>,
    positions: Vec<Pos>,
    spans: Vec<Span>,
    expr_lists: Vec<ExprId>,
    parts: Vec<Part>,
    lambdas: Vec<Lambda>,
    formals: Vec<Formal>,
    paths: Vec<Range>,
    path_names: Vec<AttrName>,
    pool: Vec<u8>,

    sets: Vec<SetNode>,
    attr_nodes: Vec<AttrNode>,
    dynamic_nodes: Vec<DynamicNode>,
    from_nodes: Vec<FromNode>,
    /// Attributes of large sets by set and name.
    attr_index: FxHashMap<(AttrsId, Symbol), u32>,

    // stacks for what is being built; each user cuts back to where it began
    open_exprs: Vec<ExprId>,
    open_parts: Vec<Part>,
    open_names: Vec<AttrName>,
    open_formals: Vec<Formal>,
    operators: Vec<expr::Pending>,
    tails: Vec<expr::Tail>,
    ind_parts: Vec<strings::IndPart>,
}

impl<'s, 'i> Parser<'s, 'i> {
    fn new(src: &'s [u8], symbols: &'i mut Interner, options: &Options) -> Self {
        let mut lexer = Lexer::new(src, options.pipe_operators);
        let cur = lexer.next();
        // enough for nine of ten real sources, so that little is moved while it grows
        let per_bytes = |bytes: usize| src.len() / bytes;
        let nodes = per_bytes(16);
        Self {
            src,
            lexer,
            cur,
            last_end: 0,
            depth: 0,
            symbols,
            names: Vec::with_capacity(per_bytes(16)),
            options: *options,
            error: None,
            warnings: Vec::new(),
            cursed_or: None,
            value_docs: Vec::new(),
            exprs: Vec::with_capacity(nodes),
            positions: Vec::with_capacity(nodes),
            spans: Vec::with_capacity(nodes),
            expr_lists: Vec::with_capacity(per_bytes(64)),
            parts: Vec::with_capacity(per_bytes(96)),
            lambdas: Vec::new(),
            formals: Vec::with_capacity(per_bytes(128)),
            paths: Vec::with_capacity(per_bytes(128)),
            path_names: Vec::with_capacity(per_bytes(96)),
            pool: Vec::with_capacity(per_bytes(2)),
            sets: Vec::with_capacity(per_bytes(128)),
            attr_nodes: Vec::with_capacity(per_bytes(48)),
            dynamic_nodes: Vec::new(),
            from_nodes: Vec::new(),
            attr_index: FxHashMap::default(),
            open_exprs: Vec::new(),
            open_parts: Vec::new(),
            open_names: Vec::new(),
            open_formals: Vec::new(),
            operators: Vec::new(),
            tails: Vec::new(),
            ind_parts: Vec::new(),
        }
    }

    fn source(&mut self) -> Result<ExprId> {
        let root = self.expr()?;
        if self.cur.kind == Kind::Eof { Ok(root) } else { Err(Stop) }
    }

    fn bindings_source(&mut self) -> Result<ExprId> {
        if self.cur.kind == Kind::Eof {
            return Err(Stop);
        }
        let set = self.new_set(Pos::NONE);
        self.bindings(set)?;
        if self.cur.kind != Kind::Eof {
            return Err(Stop);
        }
        self.forget_dynamic(set);
        Ok(self.add(Expr::Attrs(set), Pos::NONE, 0))
    }

    /// Steps to the next token and returns the one left behind.
    #[inline]
    fn bump(&mut self) -> Token {
        let token = self.cur;
        self.last_end = token.end;
        self.cur = self.lexer.next();
        token
    }

    /// The kind of the token after the one at hand.
    #[inline]
    fn peek(&mut self) -> Kind {
        self.lexer.ahead(0).kind
    }

    /// The kind of the token after that.
    #[inline]
    fn peek_second(&mut self) -> Kind {
        self.lexer.ahead(1).kind
    }

    #[inline]
    fn expect(&mut self, kind: Kind) -> Result<Token> {
        if self.cur.kind == kind { Ok(self.bump()) } else { Err(Stop) }
    }

    /// Stops if the token at hand is an error of the lexer: Nix's parser looks at it before it finishes what is open.
    #[inline]
    fn check_lexer(&self) -> Result<()> {
        if self.cur.kind == Kind::LexError { Err(Stop) } else { Ok(()) }
    }

    #[cold]
    fn fail<T>(&mut self, problem: Problem, pos: Pos) -> Result<T> {
        self.error = Some(Box::new(Diagnostic::new(problem, pos)));
        Err(Stop)
    }

    /// Reports what a lint found. `problem` is not called for a lint that is off.
    fn lint(&mut self, lint: Lint, problem: impl FnOnce(bool) -> Problem, at: u32) -> Result<()> {
        match lint {
            Lint::Ignore => Ok(()),
            Lint::Warn => {
                self.warnings.push(Diagnostic::new(problem(false), Pos::at(at)));
                Ok(())
            }
            Lint::Fatal => self.fail(problem(true), Pos::at(at)),
        }
    }

    /// Counts one level of brackets around `inner`.
    #[inline]
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= self.options.max_depth {
            let limit = self.options.max_depth;
            return self.fail(Problem::TooDeep { limit }, Pos::at(self.cur.start));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    #[inline]
    fn text(&self, token: Token) -> &'s [u8] {
        &self.src[token.start as usize..token.end as usize]
    }

    #[inline]
    fn symbol(&mut self, token: Token) -> Symbol {
        let name = self.symbols.intern(&self.src[token.start as usize..token.end as usize]);
        self.names.push(name);
        name
    }

    /// The symbol of bytes in the pool.
    fn pooled_symbol(&mut self, text: Bytes) -> Symbol {
        let name = self.symbols.intern(&self.pool[text.0.indices()]);
        self.names.push(name);
        name
    }

    /// Adds a node that begins at `start` and ends with the last token.
    #[inline]
    fn add(&mut self, expr: Expr, pos: Pos, start: u32) -> ExprId {
        let id = ExprId(index(self.exprs.len()));
        self.exprs.push(expr);
        self.positions.push(pos);
        self.spans.push(Span { start, end: self.last_end });
        id
    }

    #[inline]
    fn expr_at(&self, id: ExprId) -> Expr {
        self.exprs[id.0 as usize]
    }

    #[inline]
    fn pos_of(&self, id: ExprId) -> Pos {
        self.positions[id.0 as usize]
    }

    /// Bytes of the pool from `start` to its end.
    fn pooled_from(&self, start: usize) -> Bytes {
        Bytes(Range { start: index(start), len: index(self.pool.len() - start) })
    }

    fn pooled(&mut self, bytes: &[u8]) -> Bytes {
        let start = self.pool.len();
        self.pool.extend_from_slice(bytes);
        self.pooled_from(start)
    }

    /// Moves the open attribute path from `base` into the tree.
    fn close_path(&mut self, base: usize) -> AttrPathId {
        let start = self.path_names.len();
        self.path_names.extend_from_slice(&self.open_names[base..]);
        self.open_names.truncate(base);
        let id = AttrPathId(index(self.paths.len()));
        self.paths.push(Range { start: index(start), len: index(self.path_names.len() - start) });
        id
    }

    /// Moves the open expressions from `base` into the tree.
    fn close_exprs(&mut self, base: usize) -> Range {
        let start = self.expr_lists.len();
        self.expr_lists.extend_from_slice(&self.open_exprs[base..]);
        self.open_exprs.truncate(base);
        Range { start: index(start), len: index(self.expr_lists.len() - start) }
    }

    /// Moves the open parts from `base` into the tree.
    fn close_parts(&mut self, base: usize) -> Range {
        let start = self.parts.len();
        self.parts.extend_from_slice(&self.open_parts[base..]);
        self.open_parts.truncate(base);
        Range { start: index(start), len: index(self.parts.len() - start) }
    }
}

/// The number of an entry. Each entry comes from at least one byte of a source below 4 GiB.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
#[inline]
const fn index(len: usize) -> u32 {
    len as u32
}

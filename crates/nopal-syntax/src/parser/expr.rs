//! Expressions: functions and the other tails, operators, calls.

use super::simple::starts_simple;
use super::{Parser, Result, Stop, index};
use crate::ast::{AttrsId, BinOp, ConcatKind, Expr, ExprId, Formal, Formals, Lambda, LambdaId, Part, Pos, Range, Span};
use crate::diagnostic::{Diagnostic, Problem};
use crate::interner::{Symbol, sym};
use crate::token::{Kind, Token};

/// The begin of an expression whose last part is being read.
pub(super) enum Tail {
    Lambda { start: u32, arg: Option<Token>, formals: Option<(usize, bool)> },
    Assert { start: u32, cond: ExprId },
    With { start: u32, env: ExprId },
    Let { start: u32, attrs: AttrsId },
    If { start: u32, cond: ExprId, yes: ExprId },
}

/// An operator that waits for its right operand.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    op: Operator,
    /// Where the operator is.
    at: u32,
    /// The left operand and where it begins, with its parentheses; of no use for prefix operators.
    lhs: ExprId,
    lhs_start: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Not,
    Negate,
    Plus,
    Binary(BinOp),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Assoc {
    Left,
    Right,
    None,
}

const NOT: u8 = 7;
const HAS_ATTR: u8 = 11;
const NEGATE: u8 = 12;

impl Operator {
    /// How tightly the operator binds, and to which side.
    const fn binding(self) -> (u8, Assoc) {
        match self {
            Self::Binary(BinOp::Impl) => (1, Assoc::Right),
            Self::Binary(BinOp::Or) => (2, Assoc::Left),
            Self::Binary(BinOp::And) => (3, Assoc::Left),
            Self::Binary(BinOp::Eq | BinOp::Neq) => (4, Assoc::None),
            Self::Binary(BinOp::Lt | BinOp::Gt | BinOp::Le | BinOp::Ge) => (5, Assoc::None),
            Self::Binary(BinOp::Update) => (6, Assoc::Right),
            Self::Not => (NOT, Assoc::Left),
            Self::Plus | Self::Binary(BinOp::Sub) => (8, Assoc::Left),
            Self::Binary(BinOp::Mul | BinOp::Div) => (9, Assoc::Left),
            Self::Binary(BinOp::Concat) => (10, Assoc::Right),
            Self::Negate => (NEGATE, Assoc::None),
        }
    }

    /// The operator of two operands that a token is.
    const fn infix(kind: Kind) -> Option<Self> {
        Some(Self::Binary(match kind {
            Kind::Plus => return Some(Self::Plus),
            Kind::Eq => BinOp::Eq,
            Kind::Neq => BinOp::Neq,
            Kind::And => BinOp::And,
            Kind::Or => BinOp::Or,
            Kind::Impl => BinOp::Impl,
            Kind::Update => BinOp::Update,
            Kind::Concat => BinOp::Concat,
            Kind::Minus => BinOp::Sub,
            Kind::Star => BinOp::Mul,
            Kind::Slash => BinOp::Div,
            Kind::Lt => BinOp::Lt,
            Kind::Le => BinOp::Le,
            Kind::Gt => BinOp::Gt,
            Kind::Ge => BinOp::Ge,
            _ => return None,
        }))
    }
}

impl Parser<'_, '_> {
    /// A whole expression. What can be last in an expression is kept in `tails` until that last part is read.
    pub(super) fn expr(&mut self) -> Result<ExprId> {
        let base = self.tails.len();
        while let Some(tail) = self.tail()? {
            self.tails.push(tail);
        }
        let mut expr = self.pipe()?;
        while self.tails.len() > base {
            let Some(tail) = self.tails.pop() else { break };
            expr = self.close_tail(tail, expr)?;
        }
        Ok(expr)
    }

    fn tail(&mut self) -> Result<Option<Tail>> {
        let start = self.cur.start;
        // a copy, as the guards below look ahead
        let kind = self.cur.kind;
        match kind {
            Kind::Id => match self.peek() {
                Kind::Colon => {
                    let arg = Some(self.bump());
                    self.bump();
                    Ok(Some(Tail::Lambda { start, arg, formals: None }))
                }
                Kind::At => {
                    let arg = Some(self.bump());
                    self.bump();
                    let formals = self.formal_set()?;
                    self.expect(Kind::Colon)?;
                    Ok(Some(Tail::Lambda { start, arg, formals: Some(formals) }))
                }
                _ => Ok(None),
            },
            Kind::CurlyOpen if self.is_formal_set() => {
                let formals = self.formal_set()?;
                let mut arg = None;
                if self.cur.kind == Kind::At {
                    self.bump();
                    arg = Some(self.expect(Kind::Id)?);
                }
                self.expect(Kind::Colon)?;
                Ok(Some(Tail::Lambda { start, arg, formals: Some(formals) }))
            }
            Kind::Assert => {
                self.bump();
                let cond = self.nested(Self::expr)?;
                self.expect(Kind::Semicolon)?;
                Ok(Some(Tail::Assert { start, cond }))
            }
            Kind::With => {
                self.bump();
                let env = self.nested(Self::expr)?;
                self.expect(Kind::Semicolon)?;
                Ok(Some(Tail::With { start, env }))
            }
            Kind::Let if self.peek() != Kind::CurlyOpen => {
                self.bump();
                let attrs = self.new_set(Pos::NONE);
                self.bindings(attrs)?;
                self.expect(Kind::In)?;
                Ok(Some(Tail::Let { start, attrs }))
            }
            Kind::If => {
                self.bump();
                let cond = self.nested(Self::expr)?;
                self.expect(Kind::Then)?;
                let yes = self.nested(Self::expr)?;
                self.expect(Kind::Else)?;
                Ok(Some(Tail::If { start, cond, yes }))
            }
            _ => Ok(None),
        }
    }

    fn close_tail(&mut self, tail: Tail, body: ExprId) -> Result<ExprId> {
        Ok(match tail {
            Tail::Lambda { start, arg, formals } => self.close_lambda(start, arg, formals, body)?,
            Tail::Assert { start, cond } => self.add(Expr::Assert { cond, body }, Pos::at(start), start),
            Tail::With { start, env } => self.add(Expr::With { env, body }, Pos::at(start), start),
            Tail::Let { start, attrs } => {
                if self.has_dynamic(attrs) {
                    return self.fail(Problem::DynamicAttributeInLet, Pos::at(start));
                }
                self.add(Expr::Let { attrs, body }, Pos::NONE, start)
            }
            Tail::If { start, cond, yes } => self.add(Expr::If { cond, yes, no: body }, Pos::at(start), start),
        })
    }

    /// Whether the `{` at hand opens a set pattern rather than a set.
    fn is_formal_set(&mut self) -> bool {
        match self.peek() {
            Kind::Ellipsis => true,
            Kind::CurlyClose => matches!(self.peek_second(), Kind::Colon | Kind::At),
            Kind::Id => matches!(self.peek_second(), Kind::Comma | Kind::Question | Kind::CurlyClose),
            _ => false,
        }
    }

    /// `{ a, b ? 1, ... }`: leaves the formals open, and says where they begin and whether there is an ellipsis.
    fn formal_set(&mut self) -> Result<(usize, bool)> {
        let base = self.open_formals.len();
        self.expect(Kind::CurlyOpen)?;
        let mut ellipsis = false;
        while self.cur.kind != Kind::CurlyClose {
            if self.cur.kind == Kind::Ellipsis {
                self.bump();
                ellipsis = true;
                break;
            }
            let token = self.expect(Kind::Id)?;
            let mut default = None;
            if self.cur.kind == Kind::Question {
                self.bump();
                default = Some(self.nested(Self::expr)?);
            }
            let name = self.symbol(token);
            self.open_formals.push(Formal { name, pos: Pos::at(token.start), default });
            if self.cur.kind != Kind::Comma {
                break;
            }
            self.bump();
        }
        self.expect(Kind::CurlyClose)?;
        Ok((base, ellipsis))
    }

    fn close_lambda(
        &mut self,
        start: u32,
        arg: Option<Token>,
        formals: Option<(usize, bool)>,
        body: ExprId,
    ) -> Result<ExprId> {
        // only now, as in Nix: the order of symbols shows in errors
        let arg = arg.map(|name| self.symbol(name));
        let formals = match formals {
            None => None,
            Some((base, ellipsis)) => {
                self.open_formals[base..].sort_by_key(|formal| (formal.name, formal.pos));
                self.check_formals(base, arg, Pos::at(start))?;
                let first = self.formals.len();
                self.formals.extend_from_slice(&self.open_formals[base..]);
                self.open_formals.truncate(base);
                let formals = Range { start: index(first), len: index(self.formals.len() - first) };
                Some(Formals { formals, ellipsis })
            }
        };
        let id = LambdaId(index(self.lambdas.len()));
        self.lambdas.push(Lambda { arg, formals, body, name: None, doc: None });
        let expr = self.add(Expr::Lambda(id), Pos::at(start), start);
        if let Some(doc) = self.doc_at(start) {
            self.set_doc(expr, doc);
        }
        Ok(expr)
    }

    fn check_formals(&mut self, base: usize, arg: Option<Symbol>, pos: Pos) -> Result<()> {
        let formals = &self.open_formals[base..];
        let twice =
            formals.windows(2).find(|pair| pair[0].name == pair[1].name).map(|pair| (pair[1].name, pair[1].pos));
        let as_arg = arg.filter(|arg| formals.iter().any(|formal| formal.name == *arg)).map(|arg| (arg, pos));
        match twice.or(as_arg) {
            Some((name, pos)) => self.fail(Problem::DuplicateFormal(self.symbols.get(name).to_vec()), pos),
            None => Ok(()),
        }
    }

    /// The doc comment before the token at `start`.
    #[inline]
    pub(super) fn doc_at(&self, start: u32) -> Option<Span> {
        if self.lexer.docs.is_empty() {
            return None;
        }
        let docs = &self.lexer.docs;
        docs.binary_search_by_key(&start, |doc| doc.0).ok().map(|found| docs[found].1)
    }

    /// Gives a function its doc comment and passes it on to curried functions inside; the innermost comment wins.
    pub(super) fn set_doc(&mut self, mut expr: ExprId, doc: Span) {
        while let Expr::Lambda(id) = self.expr_at(expr) {
            let lambda = &mut self.lambdas[id.0 as usize];
            if lambda.doc.is_some() {
                return;
            }
            lambda.doc = Some(doc);
            expr = lambda.body;
        }
    }

    /// `a |> f |> g`, `g <| f <| a`, or an operator expression.
    fn pipe(&mut self) -> Result<ExprId> {
        let start = self.cur.start;
        let mut expr = self.operation()?;
        if self.cur.kind == Kind::PipeInto {
            while self.cur.kind == Kind::PipeInto {
                let at = self.bump().start;
                let function = self.operation()?;
                expr = self.call(function, expr, Pos::at(at), start);
            }
        } else if self.cur.kind == Kind::PipeFrom {
            let mut functions = Vec::new();
            while self.cur.kind == Kind::PipeFrom {
                let at = self.bump().start;
                functions.push((expr, at));
                expr = self.operation()?;
            }
            while let Some((function, at)) = functions.pop() {
                expr = self.call(function, expr, Pos::at(at), self.spans[function.0 as usize].start);
            }
        }
        Ok(expr)
    }

    /// Operators, by the shunting yard: those that wait for a right operand are kept in `operators`.
    fn operation(&mut self) -> Result<ExprId> {
        let base = self.operators.len();
        loop {
            while let Some(op) = match self.cur.kind {
                Kind::Bang => Some(Operator::Not),
                Kind::Minus => Some(Operator::Negate),
                _ => None,
            } {
                let at = self.bump().start;
                self.operators.push(Pending { op, at, lhs: ExprId(0), lhs_start: at });
            }
            let mut start = self.cur.start;
            let mut expr = self.application()?;
            let (op, at) = loop {
                let kind = self.cur.kind;
                if kind == Kind::Question {
                    (expr, start) = self.reduce(base, expr, start, HAS_ATTR, Assoc::None)?;
                    self.bump();
                    let names = self.open_names.len();
                    self.attr_path()?;
                    let path = self.close_path(names);
                    let pos = self.pos_of(expr);
                    expr = self.add(Expr::HasAttr { base: expr, path }, pos, start);
                    continue;
                }
                let Some(op) = Operator::infix(kind) else {
                    self.check_lexer()?;
                    return Ok(self.reduce(base, expr, start, 0, Assoc::Left)?.0);
                };
                let (binding, assoc) = op.binding();
                (expr, start) = self.reduce(base, expr, start, binding, assoc)?;
                break (op, self.bump().start);
            };
            self.operators.push(Pending { op, at, lhs: expr, lhs_start: start });
        }
    }

    /// Builds the operators above `base` that bind tighter than the next one. Returns the operand and its begin.
    fn reduce(
        &mut self,
        base: usize,
        mut expr: ExprId,
        mut start: u32,
        binding: u8,
        assoc: Assoc,
    ) -> Result<(ExprId, u32)> {
        while self.operators.len() > base {
            let Some(&top) = self.operators.last() else { break };
            let (waiting, _) = top.op.binding();
            if waiting < binding || (waiting == binding && assoc == Assoc::Right) {
                break;
            }
            if waiting == binding && assoc == Assoc::None {
                return Err(Stop);
            }
            self.operators.pop();
            expr = self.build(top, expr, start);
            start = top.lhs_start;
        }
        Ok((expr, start))
    }

    fn build(&mut self, pending: Pending, rhs: ExprId, rhs_start: u32) -> ExprId {
        let Pending { op, at, lhs, lhs_start } = pending;
        match op {
            Operator::Not => {
                let pos = self.pos_of(rhs);
                self.add(Expr::Not(rhs), pos, at)
            }
            Operator::Negate => self.add(Expr::Negate(rhs), Pos::at(at), at),
            Operator::Plus => {
                let base = self.open_parts.len();
                self.open_parts.push(Part { pos: Pos::at(lhs_start), expr: lhs });
                self.open_parts.push(Part { pos: Pos::at(rhs_start), expr: rhs });
                let parts = self.close_parts(base);
                self.add(Expr::Concat { kind: ConcatKind::Plus, parts }, Pos::at(at), lhs_start)
            }
            Operator::Binary(op) => {
                let pos = if matches!(op, BinOp::Eq | BinOp::Neq) { Pos::NONE } else { Pos::at(at) };
                self.add(Expr::Binary { op, lhs, rhs }, pos, lhs_start)
            }
        }
    }

    /// `f a b`
    fn application(&mut self) -> Result<ExprId> {
        let start = self.cur.start;
        let function = self.select()?;
        self.cursed_or = None;
        if !starts_simple(self.cur.kind) {
            return Ok(function);
        }
        let base = self.open_exprs.len();
        while starts_simple(self.cur.kind) {
            let arg = self.select()?;
            self.open_exprs.push(arg);
            self.warn_cursed_or(arg);
        }
        self.cursed_or = None;
        Ok(self.close_call(function, base, Pos::at(start), start))
    }

    /// A call of `function` with the open expressions from `base`. As in Nix a call of a call becomes one call, even
    /// through parentheses.
    fn close_call(&mut self, function: ExprId, base: usize, pos: Pos, start: u32) -> ExprId {
        if let Some((inner, mut args)) = self.as_call(function) {
            // the arguments so far go in front of the new ones
            args.extend_from_slice(&self.open_exprs[base..]);
            self.open_exprs.truncate(base);
            self.open_exprs.extend_from_slice(&args);
            let pos = self.pos_of(function);
            let args = self.close_exprs(base);
            return self.add(Expr::Call { function: inner, args }, pos, start);
        }
        let args = self.close_exprs(base);
        self.add(Expr::Call { function, args }, pos, start)
    }

    fn call(&mut self, function: ExprId, arg: ExprId, pos: Pos, start: u32) -> ExprId {
        let base = self.open_exprs.len();
        self.open_exprs.push(arg);
        self.close_call(function, base, pos, start)
    }

    /// The function and the arguments of an expression that is a call for Nix.
    fn as_call(&mut self, expr: ExprId) -> Option<(ExprId, Vec<ExprId>)> {
        let span = self.spans[expr.0 as usize];
        let (function, args) = match self.expr_at(expr) {
            Expr::Call { function, args } => return Some((function, self.expr_lists[args.indices()].to_vec())),
            Expr::Negate(operand) => {
                let zero = self.add(Expr::Int(0), Pos::NONE, span.start);
                (sym::SUB, vec![zero, operand])
            }
            Expr::Binary { op, lhs, rhs } => {
                let desugared = op.desugar().filter(|desugared| !desugared.negated)?;
                (desugared.function, if desugared.swapped { vec![rhs, lhs] } else { vec![lhs, rhs] })
            }
            Expr::SearchPath(text) => {
                let nix_path = self.add(Expr::Var(sym::NIX_PATH), Pos::NONE, span.start);
                let text = self.add(Expr::Str(text), Pos::NONE, span.start);
                (sym::FIND_FILE, vec![nix_path, text])
            }
            _ => return None,
        };
        let function = self.add(Expr::Var(function), Pos::NONE, span.start);
        Some((function, args))
    }

    pub(super) fn warn_cursed_or(&mut self, expr: ExprId) {
        if self.cursed_or == Some(expr) {
            let end = self.spans[expr.0 as usize].end;
            self.warnings.push(Diagnostic::new(Problem::OrAsIdentifier { end }, self.pos_of(expr)));
        }
    }
}

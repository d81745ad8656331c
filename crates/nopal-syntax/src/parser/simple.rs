//! Selections and simple expressions: what needs no parentheses as an argument or a list element.

use super::strings::Stringy;
use super::{Parser, Result, Stop};
use crate::ast::{AttrName, ConcatKind, Expr, ExprId, Part, PathKind, Pos};
use crate::diagnostic::Problem;
use crate::interner::sym;
use crate::number;
use crate::token::{Kind, Token};

/// Whether a token can be the begin of a simple expression, and so of an argument or a list element.
pub(super) const fn starts_simple(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Id
            | Kind::Int
            | Kind::Float
            | Kind::Quote
            | Kind::IndOpen
            | Kind::Path
            | Kind::HomePath
            | Kind::SearchPath
            | Kind::Uri
            | Kind::ParenOpen
            | Kind::Let
            | Kind::Rec
            | Kind::CurlyOpen
            | Kind::SquareOpen
    )
}

impl Parser<'_, '_> {
    /// `a`, `a.b.c`, `a.b or c`, and `a or` for functions that are named so.
    pub(super) fn select(&mut self) -> Result<ExprId> {
        let start = self.cur.start;
        let base = self.simple()?;
        match self.cur.kind {
            Kind::Dot => {
                self.bump();
                let names = self.open_names.len();
                self.attr_path()?;
                let mut default = None;
                if self.cur.kind == Kind::OrKw {
                    self.bump();
                    let expr = self.nested(Self::select)?;
                    self.warn_cursed_or(expr);
                    default = Some(expr);
                }
                let path = self.close_path(names);
                self.cursed_or = None;
                Ok(self.add(Expr::Select { base, path, default }, Pos::at(start), start))
            }
            Kind::OrKw => {
                let token = self.bump();
                let or = self.add(Expr::Var(sym::OR), Pos::at(start), token.start);
                let args = self.open_exprs.len();
                self.open_exprs.push(or);
                let args = self.close_exprs(args);
                let call = self.add(Expr::Call { function: base, args }, Pos::at(start), start);
                self.cursed_or = Some(call);
                Ok(call)
            }
            _ => {
                self.cursed_or = None;
                Ok(base)
            }
        }
    }

    /// `a.b."c".${d}`: pushes the steps to `open_names`.
    pub(super) fn attr_path(&mut self) -> Result<()> {
        loop {
            let name = match self.cur.kind {
                Kind::Id => {
                    let token = self.bump();
                    AttrName::Static(self.symbol(token))
                }
                Kind::OrKw => {
                    self.bump();
                    AttrName::Static(sym::OR)
                }
                Kind::Quote | Kind::DollarCurly => self.string_attr()?,
                _ => return Err(Stop),
            };
            self.open_names.push(name);
            if self.cur.kind != Kind::Dot {
                return Ok(());
            }
            self.bump();
        }
    }

    /// `"a"`, `"a${b}"` or `${a}` as the name of an attribute.
    pub(super) fn string_attr(&mut self) -> Result<AttrName> {
        let expr = if self.cur.kind == Kind::Quote {
            match self.string()? {
                Stringy::Text(text) => {
                    let name = self.pooled_symbol(text);
                    // the name has its own copy
                    self.pool.truncate(text.0.start as usize);
                    return Ok(AttrName::Static(name));
                }
                Stringy::Expr(expr) => expr,
            }
        } else {
            self.interpolation()?
        };
        Ok(match self.expr_at(expr) {
            Expr::Str(text) => AttrName::Static(self.pooled_symbol(text)),
            _ => AttrName::Dynamic(expr),
        })
    }

    /// An expression that needs no parentheses anywhere.
    fn simple(&mut self) -> Result<ExprId> {
        let token = self.cur;
        match token.kind {
            Kind::Id => {
                self.bump();
                let expr = match self.text(token) {
                    b"__curPos" => Expr::CurPos,
                    _ => Expr::Var(self.symbol(token)),
                };
                Ok(self.add(expr, Pos::at(token.start), token.start))
            }
            Kind::Int => {
                self.bump();
                let value = number::parse_int(self.text(token)).unwrap_or_default();
                Ok(self.add(Expr::Int(value), Pos::NONE, token.start))
            }
            Kind::Float => {
                self.bump();
                let value = number::parse_float(self.text(token)).unwrap_or_default();
                Ok(self.add(Expr::Float(value), Pos::NONE, token.start))
            }
            Kind::Quote => {
                let text = self.string()?;
                Ok(match text {
                    Stringy::Text(text) => self.add(Expr::Str(text), Pos::NONE, token.start),
                    Stringy::Expr(expr) => expr,
                })
            }
            Kind::IndOpen => self.ind_string(),
            Kind::Path | Kind::HomePath => self.path(),
            Kind::SearchPath => {
                self.bump();
                let text = self.text(token);
                let text = self.pooled(&text[1..text.len() - 1]);
                Ok(self.add(Expr::SearchPath(text), Pos::at(token.start), token.start))
            }
            Kind::Uri => self.uri(token),
            Kind::ParenOpen => {
                self.bump();
                let expr = self.nested(Self::expr)?;
                self.expect(Kind::ParenClose)?;
                Ok(expr)
            }
            Kind::Let | Kind::Rec | Kind::CurlyOpen => self.set(token),
            Kind::SquareOpen => self.list(token),
            _ => Err(Stop),
        }
    }

    fn uri(&mut self, token: Token) -> Result<ExprId> {
        self.bump();
        let text = self.text(token);
        let problem = |fatal| Problem::UrlLiteral { text: text.to_vec(), fatal };
        self.lint(self.options.url_literals, problem, token.start)?;
        let text = self.pooled(text);
        Ok(self.add(Expr::Str(text), Pos::NONE, token.start))
    }

    fn list(&mut self, token: Token) -> Result<ExprId> {
        self.bump();
        let base = self.open_exprs.len();
        while starts_simple(self.cur.kind) {
            let item = self.nested(Self::select)?;
            self.warn_cursed_or(item);
            self.open_exprs.push(item);
        }
        self.expect(Kind::SquareClose)?;
        let pos = self.open_exprs.get(base).map_or(Pos::NONE, |first| self.pos_of(*first));
        let items = self.close_exprs(base);
        Ok(self.add(Expr::List(items), pos, token.start))
    }

    /// `{ … }`, `rec { … }` or `let { … }`.
    fn set(&mut self, token: Token) -> Result<ExprId> {
        let recursive = token.kind != Kind::CurlyOpen;
        if recursive {
            self.bump();
        }
        self.expect(Kind::CurlyOpen)?;
        let set = self.new_set(Pos::at(token.start));
        self.bindings(set)?;
        self.expect(Kind::CurlyClose)?;
        self.sets[set.0 as usize].recursive = recursive;
        let expr = self.add(Expr::Attrs(set), Pos::at(token.start), token.start);
        if token.kind != Kind::Let {
            return Ok(expr);
        }
        let names = self.open_names.len();
        self.open_names.push(AttrName::Static(sym::BODY));
        let path = self.close_path(names);
        Ok(self.add(Expr::Select { base: expr, path, default: None }, Pos::NONE, token.start))
    }

    /// A path literal, perhaps with interpolations.
    fn path(&mut self) -> Result<ExprId> {
        let token = self.bump();
        let text = self.text(token);
        let kind = match (token.kind, text[0]) {
            (Kind::HomePath, _) => PathKind::Home,
            (_, b'/') => PathKind::Absolute,
            _ => PathKind::Relative,
        };
        match kind {
            PathKind::Home => {
                if self.options.pure_eval {
                    return self.fail(Problem::HomePathInPureMode(text.to_vec()), Pos::NONE);
                }
                let problem = |_| Problem::HomePathLiteral(text.to_vec());
                self.lint(self.options.absolute_path_literals, problem, token.start)?;
            }
            PathKind::Absolute => {
                let problem = |_| Problem::AbsolutePathLiteral(text.to_vec());
                self.lint(self.options.absolute_path_literals, problem, token.start)?;
            }
            PathKind::Relative if text[0] != b'.' => {
                let problem = |_| Problem::ShortPathLiteral(text.to_vec());
                self.lint(self.options.short_path_literals, problem, token.start)?;
            }
            PathKind::Relative => {}
        }
        let text = self.pooled(text);
        let path = self.add(Expr::Path { kind, text }, Pos::NONE, token.start);
        if self.cur.kind == Kind::PathEnd {
            self.bump();
            return Ok(path);
        }
        let base = self.open_parts.len();
        self.open_parts.push(Part { pos: Pos::at(token.start), expr: path });
        self.string_parts()?;
        self.expect(Kind::PathEnd)?;
        let parts = self.close_parts(base);
        Ok(self.add(Expr::Concat { kind: ConcatKind::Path, parts }, Pos::at(token.start), token.start))
    }
}

//! Which variables are bound: the check that Nix makes of every source before it evaluates any of it.

use crate::ast::{Ast, Attr, AttrName, AttrValue, AttrsId, Expr, ExprId, LambdaId, Pos, Range};
use crate::diagnostic::Diagnostic;
use crate::interner::{Interner, Symbol, sym};

/// Checks that every variable is bound by a function, a `let`, a `rec` or a `with` around it, or is global.
///
/// `is_global` says which names are bound everywhere (`builtins`, `map`, `__add`, …). The error is the one that Nix
/// would report of several: it visits attributes in the order of their symbols.
///
/// # Errors
/// [`Problem::UndefinedVariable`](crate::diagnostic::Problem::UndefinedVariable)
pub fn check(ast: &Ast, symbols: &Interner, is_global: impl Fn(Symbol) -> bool) -> Result<(), Box<Diagnostic>> {
    Checker::default().check(ast, symbols, is_global)
}

/// What [`check`] works with, for checking many trees of the same symbols.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    /// How many scopes around the item at hand bind each symbol; all zero between checks.
    bound: Vec<u32>,
    work: Vec<Item>,
}

impl Checker {
    /// As [`check`].
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(
        &mut self,
        ast: &Ast,
        symbols: &Interner,
        is_global: impl Fn(Symbol) -> bool,
    ) -> Result<(), Box<Diagnostic>> {
        if self.bound.len() < symbols.len() {
            self.bound.resize(symbols.len(), 0);
        }
        let mut check = Check { ast, is_global, state: self, withs: 0, sorted: false };
        // sorting costs more than the check, so only a check that failed does it
        if check.run().is_ok() {
            return Ok(());
        }
        check.reset();
        check.sorted = true;
        let result = check.run();
        check.reset();
        result.map_err(|(name, pos)| Box::new(Diagnostic::undefined_variable(symbols.get(name), pos)))
    }
}

/// Something still to be done. The checker keeps its own stack, so that no tree is too deep for it.
#[derive(Clone, Copy, Debug)]
enum Item {
    Visit(ExprId),
    Variable(Symbol, Pos),
    /// The name of an `inherit` in a recursive set, to be found outside of it.
    Outer(Symbol, Pos),
    /// The attributes of a set come into scope, or go out of it.
    Bind(Range),
    Unbind(Range),
    BindLambda(LambdaId),
    UnbindLambda(LambdaId),
    OpenWith,
    CloseWith,
}

struct Check<'a, G> {
    ast: &'a Ast,
    is_global: G,
    state: &'a mut Checker,
    withs: u32,
    sorted: bool,
}

impl<G: Fn(Symbol) -> bool> Check<'_, G> {
    /// Forgets a check that was broken off.
    fn reset(&mut self) {
        self.state.bound.fill(0);
        self.state.work.clear();
        self.withs = 0;
    }

    fn run(&mut self) -> Result<(), (Symbol, Pos)> {
        self.state.work.push(Item::Visit(self.ast.root()));
        while let Some(item) = self.state.work.pop() {
            match item {
                Item::Visit(id) => {
                    // what an expression puts off is pushed in order and then turned round
                    let base = self.state.work.len();
                    self.visit(id)?;
                    self.state.work[base..].reverse();
                }
                Item::Variable(name, pos) => self.variable(name, pos, 0)?,
                Item::Outer(name, pos) => self.variable(name, pos, 1)?,
                Item::Bind(attrs) => self.bind_attrs(attrs, true),
                Item::Unbind(attrs) => self.bind_attrs(attrs, false),
                Item::BindLambda(id) => self.bind_lambda(id, true),
                Item::UnbindLambda(id) => self.bind_lambda(id, false),
                Item::OpenWith => self.withs += 1,
                Item::CloseWith => self.withs -= 1,
            }
        }
        Ok(())
    }

    /// Looks a variable up; `own` scopes around it do not count.
    #[inline]
    fn variable(&self, name: Symbol, pos: Pos, own: u32) -> Result<(), (Symbol, Pos)> {
        if self.state.bound[name.index()] > own || self.withs > 0 || (self.is_global)(name) {
            Ok(())
        } else {
            Err((name, pos))
        }
    }

    fn bind(&mut self, name: Symbol, enter: bool) {
        let count = &mut self.state.bound[name.index()];
        if enter {
            *count += 1;
        } else {
            *count -= 1;
        }
    }

    fn bind_attrs(&mut self, attrs: Range, enter: bool) {
        for attr in self.ast.attrs_in(attrs) {
            self.bind(attr.name, enter);
        }
    }

    fn bind_lambda(&mut self, id: LambdaId, enter: bool) {
        let lambda = self.ast.lambda(id);
        if let Some(arg) = lambda.arg {
            self.bind(arg, enter);
        }
        if let Some(pattern) = lambda.formals {
            for formal in self.ast.formals_in(pattern.formals) {
                self.bind(formal.name, enter);
            }
        }
    }

    fn push(&mut self, id: ExprId) {
        self.state.work.push(Item::Visit(id));
    }

    fn push_all(&mut self, ids: &[ExprId]) {
        self.state.work.extend(ids.iter().map(|id| Item::Visit(*id)));
    }

    fn visit(&mut self, id: ExprId) -> Result<(), (Symbol, Pos)> {
        let ast = self.ast;
        match ast.expr(id) {
            Expr::Int(_) | Expr::Float(_) | Expr::Str(_) | Expr::Path { .. } | Expr::CurPos => {}
            Expr::SearchPath(_) => {
                self.variable(sym::FIND_FILE, Pos::NONE, 0)?;
                self.variable(sym::NIX_PATH, Pos::NONE, 0)?;
            }
            Expr::Var(name) => self.variable(name, ast.pos(id), 0)?,
            Expr::Select { base, path, default } => {
                self.push(base);
                self.state.work.extend(default.map(Item::Visit));
                self.path(ast.attr_path(path));
            }
            Expr::HasAttr { base, path } => {
                self.push(base);
                self.path(ast.attr_path(path));
            }
            Expr::Lambda(id) => self.lambda(id),
            Expr::Call { function, args } => {
                self.push(function);
                self.push_all(ast.exprs_in(args));
            }
            Expr::Let { attrs, body } => self.bindings(attrs, true, Some(body)),
            Expr::Attrs(set) => self.bindings(set, ast.attr_set(set).recursive, None),
            Expr::With { env, body } => {
                self.push(env);
                self.state.work.push(Item::OpenWith);
                self.push(body);
                self.state.work.push(Item::CloseWith);
            }
            Expr::If { cond, yes, no } => self.push_all(&[cond, yes, no]),
            Expr::Assert { cond, body } => self.push_all(&[cond, body]),
            Expr::Not(operand) => self.push(operand),
            Expr::Negate(operand) => {
                self.variable(sym::SUB, Pos::NONE, 0)?;
                self.push(operand);
            }
            Expr::Binary { op, lhs, rhs } => {
                let mut operands = [lhs, rhs];
                if let Some(call) = op.desugar() {
                    self.variable(call.function, Pos::NONE, 0)?;
                    if call.swapped {
                        operands = [rhs, lhs];
                    }
                }
                self.push_all(&operands);
            }
            Expr::Concat { parts, .. } => {
                self.state.work.extend(ast.parts_in(parts).iter().map(|part| Item::Visit(part.expr)));
            }
            Expr::List(items) => self.push_all(ast.exprs_in(items)),
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
        self.state.work.push(Item::BindLambda(id));
        if let Some(pattern) = lambda.formals {
            for formal in self.ast.formals_in(pattern.formals) {
                self.state.work.extend(formal.default.map(Item::Visit));
            }
        }
        self.push(lambda.body);
        self.state.work.push(Item::UnbindLambda(id));
    }

    /// A set or the bindings of a `let` with its body.
    fn bindings(&mut self, id: AttrsId, recursive: bool, body: Option<ExprId>) {
        let ast = self.ast;
        let set = ast.attr_set(id);
        if recursive {
            self.state.work.push(Item::Bind(set.attrs));
        }
        self.state.work.extend(ast.parts_in(set.inherit_from).iter().map(|from| Item::Visit(from.expr)));
        if self.sorted {
            let mut attrs = ast.attrs_in(set.attrs).to_vec();
            attrs.sort_by_key(|attr| attr.name);
            self.attrs(&attrs, recursive);
        } else {
            self.attrs(ast.attrs_in(set.attrs), recursive);
        }
        for attr in ast.dynamic_in(set.dynamic) {
            self.push_all(&[attr.name, attr.value]);
        }
        self.state.work.extend(body.map(Item::Visit));
        if recursive {
            self.state.work.push(Item::Unbind(set.attrs));
        }
    }

    fn attrs(&mut self, attrs: &[Attr], recursive: bool) {
        for attr in attrs {
            match attr.value {
                AttrValue::Plain(expr) => self.push(expr),
                AttrValue::Inherited if recursive => self.state.work.push(Item::Outer(attr.name, attr.pos)),
                AttrValue::Inherited => self.state.work.push(Item::Variable(attr.name, attr.pos)),
                AttrValue::InheritedFrom(_) => {}
            }
        }
    }
}

//! What flakes need of evaluation: a `flake.nix` is read without computing anything, and the text that puts a flake and
//! its inputs together belongs to the program.

use crate::code::ir::Expr;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::pos::{Origin, Pos};
use crate::pure::path::parent;
use crate::value::word::Kind;
use crate::value::{Attrs, AttrsBuilder, Root, Value, View};

impl Evaluator {
    /// Evaluates a file that must be a set as it stands, such as `flake.nix`.
    ///
    /// # Errors
    /// It is not there, not readable, or its expression is something else than a set.
    pub fn eval_plain_set(&mut self, path: &[u8]) -> Result<Attrs> {
        let used = self.uses.height();
        let resolved = self.resolve_expr_path(Root::HOST, path, false)?;
        let key = (Root::HOST, resolved);
        if let Some(value) = self.known_file(&key) {
            return self.force_attrs(value, Pos::NONE, "");
        }
        let text = self.source_read(Root::HOST, &key.1)?;
        let origin = Origin::File { root: Root::HOST, path: key.1.clone() };
        let code = self.compile_source(text.into(), origin, Root::HOST, parent(&key.1), None)?;
        if !matches!(self.body(code)?.expr, Expr::Attrs(_)) {
            let shown = self.shown_path(Root::HOST, path);
            let message = [b"file '", shown.as_slice(), b"' must be an attribute set"].concat();
            return Err(Error::new(ErrorKind::Eval, message));
        }
        let value = self.run(code)?;
        self.know_file(key, value, self.uses.gather(used));
        self.force_attrs(value, Pos::NONE, "")
    }

    /// The value if having it needs no computation: a set, a list or a function as it stands. What does stays a thunk.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn plain_value(&mut self, value: Value) -> Result<Value> {
        let is_plain = match value.kind() {
            Some(Kind::Indirection | Kind::Pending) => true,
            Some(Kind::Thunk) => is_plain(&self.body(value.thunk_code())?.expr),
            _ => false,
        };
        if is_plain { self.force(value, Pos::NONE) } else { Ok(value) }
    }

    /// The names of a function's set pattern, if it has one.
    pub fn formal_names(&mut self, function: Value) -> Vec<Vec<u8>> {
        let View::Closure(closure) = function.view() else { return Vec::new() };
        let Ok(function) = self.function(closure.lambda()) else { return Vec::new() };
        let formals = function.formals.iter().flat_map(|formals| formals.list.iter());
        formals.map(|formal| self.symbols.get(formal.name).to_vec()).collect()
    }

    /// The name of a function's argument, if it has no set pattern.
    pub fn plain_argument(&mut self, function: Value) -> Option<String> {
        let View::Closure(closure) = function.view() else { return None };
        let lambda = closure.lambda();
        let has_pattern = self.function(lambda).ok()?.formals.is_some();
        let name = lambda.arg.filter(|_| !has_pattern)?;
        Some(self.symbol_name(name).into_owned())
    }

    /// No arguments, for [`select_path`](Self::select_path).
    pub fn no_arguments(&mut self) -> Attrs {
        let empty = AttrsBuilder::with_capacity(0).finish(&mut self.heap);
        match empty.as_attrs() {
            Some(attrs) => attrs,
            None => unreachable!("a set that was just made"),
        }
    }

    /// Evaluates a text that belongs to the program.
    ///
    /// # Errors
    /// As for any expression.
    pub fn eval_internal(&mut self, text: &[u8], name: &str) -> Result<Value> {
        let path = format!("/{name}").into_bytes();
        let origin = Origin::File { root: Root::INTERNAL, path };
        let code = self.compile_source(text.to_vec().into(), origin, Root::INTERNAL, b"/", None)?;
        self.run(code)
    }
}

fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Attrs(literal) => literal.dynamic.is_empty(),
        // an empty set or list is a constant
        Expr::List(_) | Expr::Lambda(_) | Expr::Const(_) => true,
        _ => false,
    }
}

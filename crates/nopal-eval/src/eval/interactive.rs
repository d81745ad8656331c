//! What a read-eval-print loop needs: variables that come and go, bindings as input, completion, documentation.
//!
//! Variables are resolved when a text is compiled, as everywhere: a function keeps those that it was made with.

use nopal_syntax::Symbol;
use nopal_syntax::source::Source;
use nopal_syntax::units::Units;
use rustc_hash::FxHashMap;

use crate::code::compile::compile;
use crate::code::ir::{Expr, ThunkCode};
use crate::error::{ErrorKind, Result};
use crate::eval::Evaluator;
use crate::pos::{Origin, Pos};
use crate::sync::lock;
use crate::value::{Attrs, AttrsBuilder, Root, Value};

/// What a syntax error says if the text could go on.
const UNEXPECTED_END: &[u8] = b"unexpected end of file";

/// The state of a loop.
#[derive(Default)]
pub(super) struct Interactive {
    /// The variables, by name.
    variables: FxHashMap<Symbol, Value>,
    /// The set of them, made when it is first needed after a change.
    scope: Option<Value>,
    /// Values that somebody will ask for again.
    held: Vec<Value>,
}

/// A value that an evaluator keeps; see [`Evaluator::hold`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held(usize);

/// What became of a line that may be bindings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// They are variables now.
    Done,
    /// They could be, with more text behind it.
    Unfinished,
    /// It is something else.
    No,
}

impl Evaluator {
    /// Forgets all variables of the loop.
    pub fn clear_variables(&mut self) {
        self.interactive = Interactive::default();
    }

    /// Keeps a value until the variables are forgotten.
    pub fn hold(&mut self, value: Value) -> Held {
        let value = self.heap.keep(value);
        self.interactive.held.push(value);
        Held(self.interactive.held.len() - 1)
    }

    /// A value that was kept; null if it was forgotten.
    pub fn held(&self, held: Held) -> Value {
        self.interactive.held.get(held.0).copied().unwrap_or(Value::NULL)
    }

    /// Makes the attributes of a set variables; returns the set.
    ///
    /// # Errors
    /// The value is no set, or fails.
    pub fn add_variables(&mut self, value: Value) -> Result<Attrs> {
        let pos = self.determine_pos(value);
        let what = "while evaluating an attribute set to be merged in the global scope";
        let attrs = self.force_attrs(value, pos, what)?;
        for (name, value, _) in attrs.iter() {
            let value = self.heap.keep(value);
            self.interactive.variables.insert(name, value);
        }
        self.interactive.scope = None;
        Ok(attrs)
    }

    /// The names that a text of the loop can use: its variables, and what every file sees. Sorted.
    pub fn variable_names(&self) -> Vec<Vec<u8>> {
        let names = self.interactive.variables.keys().chain(self.globals.keys());
        let mut names: Vec<Vec<u8>> = names.map(|name| self.symbols.get(*name).to_vec()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Evaluates an expression with the variables of the loop. `dir` is what relative paths are relative to.
    ///
    /// # Errors
    /// Evaluation fails. If its kind is [`ErrorKind::Unfinished`], more text could help.
    pub fn eval_interactive(&mut self, text: &[u8], dir: &[u8]) -> Result<Value> {
        // each input is an evaluation of its own
        lock(&self.common.added).clear();
        let code = self.compile_interactive(text, dir)?;
        self.run(code)
    }

    /// Compiles an expression with the variables of the loop. A syntax error at its end is [`ErrorKind::Unfinished`].
    pub(super) fn compile_interactive(&mut self, text: &[u8], dir: &[u8]) -> Result<&'static ThunkCode> {
        let scope = self.interactive_scope();
        self.compile_source(text.to_vec().into(), Origin::Text, Root::HOST, dir, Some(scope)).map_err(|mut error| {
            // as Nix does: by what the user would see
            if error.kind() == ErrorKind::Parse
                && memchr::memmem::find(&self.render_error(&error), UNEXPECTED_END).is_some()
            {
                error.data_mut().kind = ErrorKind::Unfinished;
            }
            error
        })
    }

    /// Takes a text as bindings, `a = 1; inherit (b) c`; the last semicolon may be missing. They do not see each other.
    ///
    /// # Errors
    /// They are bindings, and name a variable that does not exist.
    pub fn bind_interactive(&mut self, text: &[u8], dir: &[u8]) -> Result<Bound> {
        let options = self.parser_options();
        let source = Source { origin: &nopal_syntax::source::Origin::String, text };
        let with_semicolon = [text, b";"].concat();
        let mut parsed = nopal_syntax::parser::parse_bindings(text, &mut self.symbols, &options);
        if let Err(problem) = &parsed {
            self.show_warnings(&problem.warnings, &source);
            parsed = nopal_syntax::parser::parse_bindings(&with_semicolon, &mut self.symbols, &options);
        }
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(problem) => {
                self.show_warnings(&problem.warnings, &source);
                return Ok(if problem.unfinished { Bound::Unfinished } else { Bound::No });
            }
        };
        self.show_warnings(&parsed.warnings, &source);
        let base = self.positions.add(Origin::Text, text.to_vec().into());
        let scope = self.interactive_scope();
        let source = self.source(parsed.ast, Units::default(), base, (Root::HOST, dir), Some(scope));
        let code = compile(&source, self.compiler_context())?;
        let value = self.run(code)?;
        let Some(attrs) = value.as_attrs() else { return Ok(Bound::No) };
        for (name, value, _) in attrs.iter() {
            let variable = self.alias(value);
            let variable = self.heap.keep(variable);
            self.interactive.variables.insert(name, variable);
        }
        self.interactive.scope = None;
        Ok(Bound::Done)
    }

    /// A thunk of its own for a value: a variable of Nix's loop is another cell than what it was made from.
    fn alias(&mut self, value: Value) -> Value {
        let body = Expr::Captured(0, Pos::NONE);
        let code = Box::leak(Box::new(ThunkCode::new(&[], body, 0)));
        let alias = self.heap.thunk(code, 1);
        alias.set_captured(0, value);
        alias
    }

    fn interactive_scope(&mut self) -> Value {
        if let Some(scope) = self.interactive.scope {
            return scope;
        }
        let mut builder = AttrsBuilder::with_capacity(self.interactive.variables.len());
        for (name, value) in &self.interactive.variables {
            builder.insert(*name, *value, Pos::NONE);
        }
        let scope = builder.finish(&mut self.heap);
        let scope = self.heap.keep(scope);
        self.interactive.scope = Some(scope);
        scope
    }
}

//! An evaluation that goes on: many inputs, one evaluator, variables between them. What a read-eval-print loop is made
//! of; reading and printing are the caller's.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nopal_eval::context::Context;
use nopal_eval::pos::Origin;
use nopal_eval::print::{Flush, PrintOptions};
use nopal_eval::value::{Attrs, Root};
use nopal_eval::{Bound, Documentation, Error, ErrorKind, Evaluator, Held, Pos, Value, View};
use nopal_format::StorePath;

use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::eval::{AutoArg, auto_args, evaluation_error, file_path, path_of};
use crate::flake::FlakeSource;
use crate::host::EvalHost;
use crate::installable::Source;

/// What a loop may print of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The value, and of sets and lists in it only that they are there.
    One,
    /// Everything; a string as it is, without quotes.
    All,
}

/// Why an input did nothing.
#[derive(Debug)]
pub enum SessionError {
    /// It is not finished: with more text behind it, it may do.
    Unfinished,
    /// It failed.
    Failed(Box<EngineError>),
}

impl<E: Into<EngineError>> From<E> for SessionError {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

/// The names of a set that became variables, in Nix's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The names.
    pub names: Vec<String>,
}

/// See the module's page.
pub struct Session<'a> {
    shared: &'a Arc<Shared>,
    host: &'a EvalHost,
    evaluator: &'a mut Evaluator,
    args: Vec<AutoArg>,
}

impl Engine {
    /// Gives `work` an evaluator of its own for as long as it likes. Functions on the way get `args`.
    ///
    /// # Errors
    /// What was made cannot be written to the store.
    pub fn session<T: Send>(
        &self,
        args: &[AutoArg],
        work: impl FnOnce(&mut Session<'_>) -> T + Send,
    ) -> Result<T, EngineError> {
        let shared = &self.shared;
        let args = args.to_vec();
        shared.with_evaluator_and_host(move |evaluator, host| Ok(work(&mut Session { shared, host, evaluator, args })))
    }
}

impl Session<'_> {
    /// Forgets the variables.
    pub fn clear(&mut self) {
        self.evaluator.clear_variables();
    }

    /// Reads files again that were read before.
    pub fn forget_files(&mut self) {
        self.evaluator.forget_files();
        self.host.forget_trees();
    }

    /// Whether errors are shown with all that led to them.
    pub fn show_trace(&self) -> bool {
        self.evaluator.settings.show_trace
    }

    /// Sets [`show_trace`](Self::show_trace).
    pub fn set_show_trace(&mut self, shown: bool) {
        self.evaluator.settings.show_trace = shown;
    }

    /// Names that inputs can use: variables and what every file sees, sorted.
    pub fn names(&self) -> Vec<String> {
        self.evaluator.variable_names().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Makes the attributes of an expression variables.
    ///
    /// # Errors
    /// It fails, is no set, or is not finished.
    pub fn add(&mut self, text: &str) -> Result<Loaded, SessionError> {
        let value = self.eval(text)?;
        self.add_value(value)
    }

    /// Makes the attributes of a file variables.
    ///
    /// # Errors
    /// The file cannot be evaluated, or is no set.
    pub fn add_file(&mut self, path: &Path) -> Result<Loaded, SessionError> {
        let value = self.try_eval(|evaluator, shared, args| {
            let (root, path) = file_path(evaluator, shared, path)?;
            let value = evaluator.eval_file(root, &path)?;
            evaluator.auto_call(value, args)
        })?;
        self.add_value(value)
    }

    /// Makes the outputs of a flake, and what is known of it, variables.
    ///
    /// # Errors
    /// It cannot be fetched, or evaluation is pure and it is not locked.
    pub fn add_flake(&mut self, reference: &str) -> Result<Loaded, SessionError> {
        let value = self.try_eval(|evaluator, shared, _| crate::flake::load(evaluator, shared, reference))?;
        self.add_value(value)
    }

    /// Evaluates what a word names in a flake. Returns also how it is called.
    ///
    /// # Errors
    /// It cannot be fetched or evaluated.
    pub fn evaluate_flake(&mut self, source: &FlakeSource) -> Result<(Held, String), SessionError> {
        self.try_eval(|evaluator, shared, _| {
            let name = crate::flake::shown(evaluator, shared, source)?;
            let (value, _) = crate::flake::select(evaluator, shared, source)?;
            Ok((evaluator.hold(value), name))
        })
    }

    /// Evaluates attributes of a source.
    ///
    /// # Errors
    /// One cannot be evaluated.
    pub fn evaluate(&mut self, source: &Source, attr_paths: &[String]) -> Result<Vec<Held>, SessionError> {
        self.try_eval(|evaluator, shared, args| {
            let dir = shared.config.working_dir.as_os_str().as_bytes();
            let root = match source {
                Source::Expr(text) => evaluator.eval_text(text.as_bytes(), dir)?,
                Source::Stdin(text) => evaluator.eval_stdin(text, dir)?,
                Source::File(path) | Source::Import(path) => {
                    let (root, path) = file_path(evaluator, shared, path)?;
                    evaluator.eval_file(root, &path)?
                }
                Source::Flake(flake) => crate::flake::select(evaluator, shared, flake)?.0,
            };
            let root = evaluator.hold(root);
            let mut found = Vec::with_capacity(attr_paths.len());
            for attr_path in attr_paths {
                let (value, pos) = evaluator.select_path(attr_path, args, evaluator.held(root))?;
                let mut value = evaluator.force(value, pos)?;
                // as Nix does: the value of a file is called, that of an expression is not
                if !matches!(source, Source::Expr(_)) {
                    value = evaluator.auto_call(value, args)?;
                }
                found.push(evaluator.hold(value));
            }
            Ok(found)
        })
    }

    /// Makes the attributes of a value variables.
    ///
    /// # Errors
    /// It is no set.
    pub fn add_held(&mut self, held: Held) -> Result<Loaded, SessionError> {
        let value = self.evaluator.held(held);
        self.add_value(value)
    }

    fn add_value(&mut self, value: Value) -> Result<Loaded, SessionError> {
        let attrs = self.try_eval(|evaluator, _, _| evaluator.add_variables(value))?;
        let names = attrs.iter().map(|(name, ..)| self.evaluator.symbol_name(name).into_owned()).collect();
        Ok(Loaded { names })
    }

    /// Takes a text as bindings, such as `a = 1`. Returns whether it was that.
    ///
    /// # Errors
    /// It is not finished, or names a variable that does not exist.
    pub fn bind(&mut self, text: &str) -> Result<bool, SessionError> {
        let bound = self.try_eval(|evaluator, shared, _| {
            evaluator.bind_interactive(text.as_bytes(), shared.config.working_dir.as_os_str().as_bytes())
        })?;
        match bound {
            Bound::Done => Ok(true),
            Bound::No => Ok(false),
            Bound::Unfinished => Err(SessionError::Unfinished),
        }
    }

    /// Evaluates an expression and prints it with colours. After an error `out` holds what was printed and not flushed.
    ///
    /// # Errors
    /// It fails, or is not finished.
    pub fn print(&mut self, text: &str, depth: Depth, out: &mut Vec<u8>, flush: Flush<'_>) -> Result<(), SessionError> {
        let value = self.eval(text)?;
        let max_depth = match depth {
            Depth::One => 1,
            Depth::All => usize::MAX,
        };
        if let (Depth::All, View::Str(string)) = (depth, value.view()) {
            out.extend_from_slice(string.as_bytes());
            return Ok(());
        }
        let options = PrintOptions { max_depth, ..PrintOptions::INTERACTIVE };
        self.try_eval(|evaluator, _, _| evaluator.print_to(value, options, out, flush))
    }

    /// The type of an expression's value, in words.
    ///
    /// # Errors
    /// It fails, or is not finished.
    pub fn type_of(&mut self, text: &str) -> Result<String, SessionError> {
        let value = self.eval(text)?;
        Ok(self.evaluator.show_type(value))
    }

    /// What is known about the function or attribute that an expression names.
    ///
    /// # Errors
    /// It fails, or is not finished.
    pub fn document(&mut self, text: &str) -> Result<Option<Documentation>, SessionError> {
        self.try_eval(|evaluator, shared, _| {
            evaluator.document(text.as_bytes(), shared.config.working_dir.as_os_str().as_bytes())
        })
    }

    /// The names of an expression's attributes; none if it fails or is no set.
    pub fn attributes(&mut self, text: &str) -> Vec<String> {
        let Ok(value) = self.eval(text) else { return Vec::new() };
        let View::Attrs(attrs) = value.view() else { return Vec::new() };
        let mut names: Vec<String> =
            attrs.iter().map(|(name, ..)| self.evaluator.symbol_name(name).into_owned()).collect();
        names.sort();
        names
    }

    /// The derivation that an expression is; it is in the store then, unless evaluation is read-only.
    ///
    /// # Errors
    /// It fails, is not finished, or is no derivation.
    pub fn derivation(&mut self, text: &str) -> Result<StorePath, SessionError> {
        let value = self.eval(text)?;
        let path = self.try_eval(|evaluator, _, _| drv_path(evaluator, value))?;
        self.host.flush()?;
        let store = self.shared.existing_source_store()?;
        let valid = match store {
            Some(store) => store.is_valid(&path)?,
            None => false,
        };
        if !valid {
            let path = self.shared.config.store_dir.print(&path);
            let message = format!("expression evaluated to invalid derivation '{path}'");
            return Err(evaluation_error(self.evaluator, &Error::eval(message)).into());
        }
        Ok(path)
    }

    /// The derivation of a shell with an expression's value in it, as `nix-shell -p` would make it.
    ///
    /// # Errors
    /// As for [`derivation`](Self::derivation).
    pub fn shell_derivation(&mut self, text: &str) -> Result<StorePath, SessionError> {
        let value = self.eval(text)?;
        let function = self.eval(SHELL)?;
        let path = self.try_eval(|evaluator, _, _| {
            let shell = evaluator.call(function, &[value], Pos::NONE)?;
            drv_path(evaluator, shell)
        })?;
        self.host.flush()?;
        Ok(path)
    }

    /// The file, and in it the line (or 0), that an expression is defined at or names.
    ///
    /// # Errors
    /// It fails, is not finished, or has no file.
    pub fn place(&mut self, text: &str) -> Result<(PathBuf, u32), SessionError> {
        let value = self.eval(text)?;
        let (path, line) = self.try_eval(|evaluator, _, _| match value.view() {
            View::Path(_) | View::Str(_) => {
                let what = "while evaluating the filename to edit";
                let (_, path) = evaluator.coerce_to_path(value, Pos::NONE, &mut Context::EMPTY.clone(), what)?;
                Ok((path_of(path), 0))
            }
            View::Closure(_) => {
                let pos = evaluator.determine_pos(value);
                match evaluator.positions.locate(pos) {
                    Some(location) if let Origin::File { root: Root::HOST, path } = &location.source.origin => {
                        Ok((path_of(path.clone()), location.line))
                    }
                    _ => {
                        let place = evaluator.show_pos(pos);
                        Err(Error::eval(format!("'{place}' cannot be shown in an editor")))
                    }
                }
            }
            _ => package_place(evaluator, value)?
                .ok_or_else(|| Error::type_error(format!("package '{text}' has no source location information"))),
        })?;
        Ok((self.shared.paths.locate(&path)?, line))
    }

    fn eval(&mut self, text: &str) -> Result<Value, SessionError> {
        self.try_eval(|evaluator, shared, _| {
            let dir = shared.config.working_dir.as_os_str().as_bytes();
            let value = evaluator.eval_interactive(text.as_bytes(), dir)?;
            let pos = evaluator.determine_pos(value);
            evaluator.force(value, pos)
        })
    }

    fn try_eval<T>(
        &mut self,
        work: impl FnOnce(&mut Evaluator, &Shared, Attrs) -> Result<T, Error>,
    ) -> Result<T, SessionError> {
        let dir = self.shared.config.working_dir.as_os_str().as_bytes();
        let outcome =
            auto_args(self.evaluator, dir, &self.args).and_then(|args| work(self.evaluator, self.shared, args));
        outcome.map_err(|error| match error.kind() {
            ErrorKind::Unfinished => SessionError::Unfinished,
            _ => evaluation_error(self.evaluator, &error).into(),
        })
    }
}

/// What makes a shell of a derivation.
const SHELL: &str = "drv: (import <nixpkgs> {}).runCommand \"shell\" { buildInputs = [ drv ]; } \"\"";

/// The store path of a derivation value.
fn drv_path(evaluator: &mut Evaluator, value: Value) -> Result<StorePath, Error> {
    let value = evaluator.force(value, Pos::NONE)?;
    let attrs = match value.view() {
        View::Attrs(attrs) if evaluator.is_derivation(attrs)? => attrs,
        _ => return Err(Error::eval("expression does not evaluate to a derivation, so I can't build it")),
    };
    let name = evaluator.symbols.intern(b"drvPath");
    let Some((path, pos)) = attrs.get_with_pos(name) else {
        return Err(Error::eval("expression did not evaluate to a valid derivation (no 'drvPath' attribute)"));
    };
    let what = "while evaluating the 'drvPath' attribute of a derivation";
    evaluator.coerce_to_store_path(path, pos, &mut Context::EMPTY.clone(), what)
}

/// `meta.position` of a package: a file and a line. `None` if it does not say.
pub(crate) fn package_place(evaluator: &mut Evaluator, value: Value) -> Result<Option<(PathBuf, u32)>, Error> {
    let (meta, position) = (evaluator.symbols.intern(b"meta"), evaluator.symbols.intern(b"position"));
    let attr = |evaluator: &mut Evaluator, value: Value, name| match value.view() {
        View::Attrs(attrs) => attrs.get(name).map(|value| evaluator.force(value, Pos::NONE)).transpose(),
        _ => Ok(None),
    };
    let found = match attr(evaluator, value, meta)? {
        Some(meta) => attr(evaluator, meta, position)?,
        None => None,
    };
    let Some(found) = found else { return Ok(None) };
    let what = "while evaluating the 'meta.position' attribute of a derivation";
    let (_, path) = evaluator.coerce_to_path(found, Pos::NONE, &mut Context::EMPTY.clone(), what)?;
    let text = String::from_utf8_lossy(&path).into_owned();
    let place = text.rsplit_once(':').and_then(|(path, line)| Some((PathBuf::from(path), line.parse().ok()?)));
    place.map(Some).ok_or_else(|| Error::eval(format!("cannot parse 'meta.position' attribute '{text}'")))
}

//! Parsing and evaluating sources: texts, files (each once), the search path.

use std::sync::Arc;

use nopal_format::hash::Hasher;
use nopal_format::{HashAlgorithm, StorePath};
use nopal_syntax::Ast;
use nopal_syntax::parser::{Options, Parsed};
use nopal_syntax::units::Units;

use crate::code::compile::{Source, compile};
use crate::code::ir::ThunkCode;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::eval::access::Links;
use crate::eval::expr::Env;
use crate::eval::parse::warnings_of;
use crate::host::SourceKey;
use crate::pos::{Origin, Pos, PosBase};
use crate::pure::path::{absolute, parent};
use crate::settings::SearchPathEntry;
use crate::sync::lock;
use crate::uses::UseSet;
use crate::value::stack::Captures;
use crate::value::world::Shared;
use crate::value::{Root, Value};

/// Brackets may nest this deep in a source. The parser takes little of the stack for each.
const MAX_SOURCE_DEPTH: u32 = 20_000;

/// A smaller source is parsed faster than it is looked for.
const MIN_KEPT_BYTES: usize = 512;

/// What a file is known by.
pub(super) type FileKey = (Root, Vec<u8>);

/// What became of a file.
pub(super) enum FileState {
    /// It is being evaluated, by the thread with this number.
    Evaluating(u8),
    /// Its value, which is never collected, and what that was made from.
    Done(Shared<Value>, UseSet),
}

impl Evaluator {
    /// Parses and compiles a source. `dir` is what relative paths in it are relative to.
    pub(super) fn compile_source(
        &mut self,
        text: Arc<Vec<u8>>,
        origin: Origin,
        root: Root,
        dir: &[u8],
        scope: Option<Value>,
    ) -> Result<&'static ThunkCode> {
        let base = self.positions.add(origin.clone(), text.clone());
        let is_plain = self.observer.is_none() && scope.is_none();
        let key = (is_plain && text.len() >= MIN_KEPT_BYTES && matches!(origin, Origin::File { .. }))
            .then(|| source_key(&text, self.parser_options()));
        let known = key.and_then(|key| self.recall_parsed(&key));
        let (ast, mut units) = match known {
            Some(known) => known,
            None => self.parse_source(&text, &origin, base, scope, key)?,
        };
        if !is_plain {
            // what is observed tells about itself as a whole, and a scope is bound once
            units = Units::default();
        }
        let source = self.source(ast, units, base, (root, dir), scope);
        compile(&source, self.compiler_context())
    }

    /// A source that was parsed before, if it means the same here.
    fn recall_parsed(&mut self, key: &SourceKey) -> Option<(Ast, Units)> {
        let packed = self.host().parsed(key)?;
        let (ast, units) = nopal_syntax::packed::unpack(&packed, &mut self.symbols)?;
        units.hold(|name| self.globals.contains_key(&name)).then_some((ast, units))
    }

    /// Parses a source and looks for unbound variables.
    fn parse_source(
        &mut self,
        text: &[u8],
        origin: &Origin,
        base: PosBase,
        scope: Option<Value>,
        key: Option<SourceKey>,
    ) -> Result<(Ast, Units)> {
        let options = self.parser_options();
        let syntax_origin = self.syntax_origin(origin);
        let source = nopal_syntax::source::Source { origin: &syntax_origin, text };
        let parsed = nopal_syntax::parse(text, &mut self.symbols, &options);
        let warnings = warnings_of(&parsed);
        if parsed.is_ok() && !warnings.is_empty() {
            // they quote the text
            self.positions.source(base.at(nopal_syntax::ast::Pos::at(0)));
        }
        self.show_warnings(warnings, &source);
        let Parsed { mut ast, warnings, names } =
            parsed.map_err(|problem| syntax_error(&problem, &syntax_origin, text, base))?;
        if let Some(observer) = &mut self.observer {
            observer.parsed(&ast);
        }
        let scope = scope.and_then(Value::as_attrs);
        let is_global = |name| self.globals.contains_key(&name) || scope.is_some_and(|scope| scope.contains(name));
        let Ok(units) = nopal_syntax::units::find(&ast, &self.symbols, &mut self.units, is_global) else {
            // Nix looks for unbound variables in an order of its own.
            let Err(problem) = nopal_syntax::scope::check(&ast, &self.symbols, is_global) else {
                return Err(Error::new(ErrorKind::Undefined, "undefined variable"));
            };
            let error = syntax_error(&problem, &syntax_origin, text, base);
            error.clone().data_mut().kind = ErrorKind::Undefined;
            return Err(error);
        };
        if let Some(key) = key
            && warnings.is_empty()
        {
            let packed = nopal_syntax::packed::pack(&ast, &units, &names, &self.symbols);
            self.host().keep_parsed(key, packed);
        }
        ast.shrink_to_fit();
        Ok((ast, units))
    }

    /// A source to be compiled.
    pub(super) fn source(
        &self,
        ast: Ast,
        units: Units,
        base: PosBase,
        (root, dir): (Root, &[u8]),
        scope: Option<Value>,
    ) -> Arc<Source> {
        let home = self.settings.home.as_deref().unwrap_or_default().into();
        Arc::new(Source { ast, units, base, root, dir: dir.into(), home, scope: scope.map(Shared) })
    }

    pub(super) fn parser_options(&self) -> Options {
        Options {
            max_depth: MAX_SOURCE_DEPTH,
            pipe_operators: self.settings.has_feature("pipe-operators"),
            pure_eval: self.settings.pure_eval,
            url_literals: self.settings.lint_url_literals,
            absolute_path_literals: self.settings.lint_absolute_path_literals,
            short_path_literals: self.settings.lint_short_path_literals,
        }
    }

    /// An expression as Nix prints it; `None` if it does not parse.
    pub(super) fn reprint(&mut self, text: &[u8], dir: &[u8]) -> Option<Vec<u8>> {
        let options = self.parser_options();
        let parsed = nopal_syntax::parse(text, &mut self.symbols, &options).ok()?;
        let home = self.settings.home.clone().unwrap_or_default();
        let context = nopal_syntax::printer::Context { symbols: &self.symbols, base_dir: dir, home: &home };
        Some(nopal_syntax::printer::print(&parsed.ast, &context))
    }

    /// Evaluates a file given on the command line: as [`Evaluator::eval_file`], but without a frame for the file.
    pub fn eval_main_file(&mut self, root: Root, path: &[u8]) -> Result<Value> {
        let resolved = self.resolve_expr_path(root, path, true)?;
        let code = self.compile_file(root, &resolved, None)?;
        self.run(code)
    }

    pub(super) fn run(&mut self, code: &'static ThunkCode) -> Result<Value> {
        self.with_frame(code, |evaluator, env| {
            let body = evaluator.body(code)?;
            evaluator.eval(&body.expr, env)
        })
    }

    /// Gives the frame of a code without captured words to `work`.
    pub(super) fn with_frame<T>(
        &mut self,
        code: &'static ThunkCode,
        work: impl FnOnce(&mut Self, Env) -> Result<T>,
    ) -> Result<T> {
        if self.depth == 0 {
            self.heap.recover();
        }
        self.check_stack()?;
        let height = self.heap.stack.height();
        let slots = self.body(code)?.slots;
        let Some(frame) = self.heap.stack.push(slots) else { return Err(self.stack_overflow()) };
        let result = work(self, Env { frame, captures: Captures::NONE });
        self.heap.stack.reset(height);
        result
    }

    /// Evaluates an expression given as text, with relative paths relative to `dir`.
    pub fn eval_text(&mut self, text: &[u8], dir: &[u8]) -> Result<Value> {
        self.eval_source(text, Origin::Text, dir)
    }

    /// A thunk of an expression given as text, with relative paths relative to `dir`. That it can be parsed is seen at once.
    pub fn delay_text(&mut self, text: &[u8], dir: &[u8]) -> Result<Value> {
        let code = self.compile_source(text.to_vec().into(), Origin::Text, Root::HOST, dir, None)?;
        Ok(self.heap.thunk(code, 0))
    }

    /// Evaluates an expression read from standard input.
    pub fn eval_stdin(&mut self, text: &[u8], dir: &[u8]) -> Result<Value> {
        self.eval_source(text, Origin::Stdin, dir)
    }

    fn eval_source(&mut self, text: &[u8], origin: Origin, dir: &[u8]) -> Result<Value> {
        let code = self.compile_source(text.to_vec().into(), origin, Root::HOST, dir, None)?;
        self.run(code)
    }

    /// Forgets which files were evaluated or added to the store, so that changed ones are read again.
    pub fn forget_files(&mut self) {
        lock(&self.common.files).clear();
        lock(&self.common.added).clear();
        self.failed_files.clear();
        self.resolved.clear();
    }

    /// Evaluates a file or the `default.nix` of a directory; every file only once.
    pub fn eval_file(&mut self, root: Root, path: &[u8]) -> Result<Value> {
        let key = (root, path.to_vec());
        let used = self.uses.height();
        let resolved = match self.resolved.get(&key) {
            Some((resolved, set)) => {
                self.uses.take(*set);
                resolved.clone()
            }
            None => {
                let resolved = self.resolve_expr_path(root, path, true)?;
                self.resolved.insert(key, (resolved.clone(), self.uses.gather(used)));
                resolved
            }
        };
        let key = (root, resolved);
        if let Some((error, set)) = self.failed_files.get(&key) {
            self.uses.take(*set);
            return Err(error.detached());
        }
        if let Some(value) = self.begin_file(&key)? {
            return Ok(value);
        }
        let result = self.eval_new_file(root, &key.1);
        let set = self.uses.gather(used);
        match &result {
            Ok(value) if !self.is_tainted() => self.know_file(key, *value, set),
            Ok(_) => _ = lock(&self.common.files).remove(&key),
            Err(error) => {
                lock(&self.common.files).remove(&key);
                if !self.is_ahead() {
                    self.failed_files.insert(key, (error.clone(), set));
                }
            }
        }
        if self.heap.is_shared() {
            self.wake_others();
        }
        result
    }

    /// The value of a file that was evaluated.
    pub(super) fn known_file(&self, key: &FileKey) -> Option<Value> {
        match lock(&self.common.files).get(key) {
            Some(FileState::Done(value, set)) => {
                self.uses.take(*set);
                Some(value.0)
            }
            _ => None,
        }
    }

    /// Takes note of the value of a file, and what that was made from.
    pub(super) fn know_file(&mut self, key: FileKey, value: Value, set: UseSet) {
        let value = self.heap.keep(value);
        lock(&self.common.files).insert(key, FileState::Done(Shared(value), set));
    }

    /// The value of a file, which another thread may have to be waited for; or `None`, and from now on this thread evaluates
    /// it.
    fn begin_file(&mut self, key: &FileKey) -> Result<Option<Value>> {
        let (common, thread) = (self.common.clone(), self.heap.thread());
        loop {
            let mut files = lock(&common.files);
            let owner = match files.get(key) {
                None => {
                    files.insert(key.clone(), FileState::Evaluating(thread));
                    return Ok(None);
                }
                Some(FileState::Done(value, set)) => {
                    self.uses.take(*set);
                    return Ok(Some(value.0));
                }
                Some(FileState::Evaluating(owner)) => *owner,
            };
            drop(files);
            if owner == thread {
                return Err(Error::new(ErrorKind::InfiniteRecursion, "infinite recursion encountered"));
            }
            let is_evaluated = |state: &FileState| matches!(state, FileState::Evaluating(by) if *by == owner);
            self.wait_for(owner, || lock(&common.files).get(key).is_some_and(is_evaluated))?;
        }
    }

    fn compile_file(&mut self, root: Root, path: &[u8], scope: Option<Value>) -> Result<&'static ThunkCode> {
        let text = self.source_read(root, path)?;
        let origin = Origin::File { root, path: path.to_vec() };
        self.compile_source(text.into(), origin, root, parent(path), scope)
    }

    fn eval_new_file(&mut self, root: Root, path: &[u8]) -> Result<Value> {
        let code = self.compile_file(root, path, None)?;
        self.run(code).map_err(|error| {
            let mut message = b"while evaluating the file '".to_vec();
            message.extend_from_slice(&self.shown_path(root, path));
            message.extend_from_slice(b"':");
            error.trace(Pos::NONE, message)
        })
    }

    /// `scopedImport`: evaluates a file with the attributes of `scope` as variables around it.
    pub(crate) fn scoped_import(&mut self, scope: Value, root: Root, path: &[u8]) -> Result<Value> {
        let context = "while evaluating the first argument passed to builtins.scopedImport";
        let scope = self.force_attrs(scope, Pos::NONE, context)?;
        let resolved = self.resolve_expr_path(root, path, true)?;
        let code = self.compile_file(root, &resolved, Some(scope.value()))?;
        self.run(code)
    }

    /// `<name>` by the search path of the settings.
    pub fn find_file(&mut self, name: &[u8]) -> Result<(Root, Vec<u8>)> {
        let entries = self.settings.nix_path.clone();
        self.find_file_in(&entries, name, Pos::NONE)
    }

    /// `<name>` by a search path.
    pub fn find_file_in(&mut self, entries: &[SearchPathEntry], name: &[u8], pos: Pos) -> Result<(Root, Vec<u8>)> {
        for entry in entries {
            let Some(rest) = suffix_if_match(&entry.prefix, name) else { continue };
            let Some(found) = self.resolve_search_entry(&entry.value)? else { continue };
            // whatever the name, `/x` or `../x`, it is looked up below the entry
            let below = absolute(b"/", rest);
            let candidate = absolute(&found, &[b".", &below[..]].concat());
            let candidate = self.resolve_links(Root::HOST, &candidate, Links::Full)?;
            if self.source_type(Root::HOST, &candidate)?.is_some() {
                return Ok((Root::HOST, candidate));
            }
        }
        if let Some(rest) = name.strip_prefix(b"nix/") {
            return Ok((Root::INTERNAL, absolute(b"/", rest)));
        }
        let shown = String::from_utf8_lossy(name);
        let message = if self.settings.pure_eval {
            format!("cannot look up '<{shown}>' in pure evaluation mode (use '--impure' to override)")
        } else {
            format!("file '{shown}' was not found in the Nix search path (add it using $NIX_PATH or -I)")
        };
        Err(Error::new(ErrorKind::Throw, message).at(pos))
    }

    /// Lets the search path be read in restricted evaluation, and looks up what its entries are.
    pub fn allow_search_path(&mut self) -> Result<()> {
        if !self.settings.restrict_eval && !self.settings.pure_eval {
            return Ok(());
        }
        for entry in self.settings.nix_path.clone() {
            let is_remote = pseudo_url(&String::from_utf8_lossy(&entry.value)).is_some();
            if !is_remote && !entry.value.starts_with(FLAKE) {
                let path = absolute(&self.settings.working_dir, &entry.value);
                self.allow_path_text(&path);
                let text = String::from_utf8_lossy(&path).into_owned();
                if let Ok((store_path, _)) = self.settings.store_dir.split(&text) {
                    self.allow_closure(&store_path);
                }
            }
            if let Some(found) = self.resolve_search_entry(&entry.value)? {
                self.allow_path_text(&found);
            }
        }
        Ok(())
    }

    /// Lets a store path be read in restricted and pure evaluation, and all that it needs.
    pub(crate) fn allow_closure(&mut self, path: &StorePath) {
        if !self.is_restricted() {
            return;
        }
        let mut pending = vec![path.clone()];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(path) = pending.pop() {
            if seen.insert(path.clone()) {
                self.allow_path(&path);
                pending.extend(self.host().references(&path).unwrap_or_default());
            }
        }
    }

    /// What an entry of the search path is: a directory, an archive to be fetched, or nothing (with a warning, once).
    pub fn resolve_search_entry(&mut self, value: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some((known, set)) = self.search_path.get(value) {
            self.uses.take(*set);
            return Ok(known.clone());
        }
        let used = self.uses.height();
        let found = self.resolve_search_entry_new(value)?;
        self.search_path.insert(value.to_vec(), (found.clone(), self.uses.gather(used)));
        Ok(found)
    }

    fn resolve_search_entry_new(&mut self, value: &[u8]) -> Result<Option<Vec<u8>>> {
        let shown = String::from_utf8_lossy(value).into_owned();
        if let Some(reference) = value.strip_prefix(FLAKE) {
            let reference = String::from_utf8_lossy(reference);
            let tree = self.host().flake_tree(self, &reference)?;
            return Ok(Some(self.settings.store_dir.print(&tree).into_bytes()));
        }
        if let Some(url) = pseudo_url(&shown) {
            if let Ok(found) = self.unpack_url(&url) {
                return Ok(Some(found));
            }
            // Nix then looks for a directory of that name
            self.warn(&format!("Nix search path entry '{shown}' cannot be downloaded, ignoring"))?;
        }
        let path = absolute(&self.settings.working_dir, value);
        let resolved = self.resolve_links(Root::HOST, &path, Links::Full)?;
        if self.source_type(Root::HOST, &resolved)?.is_some() {
            return Ok(Some(path));
        }
        self.warn(&format!("Nix search path entry '{shown}' does not exist, ignoring"))?;
        Ok(None)
    }
}

/// What entries of the search path begin with that are flakes.
const FLAKE: &[u8] = b"flake:";

/// The rest of `name` after a prefix of the search path, if the prefix matches whole components.
fn suffix_if_match<'a>(prefix: &[u8], name: &'a [u8]) -> Option<&'a [u8]> {
    let rest = name.strip_prefix(prefix)?;
    if prefix.is_empty() || rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix(b"/")
}

/// Does a search path entry or `-f` argument name something to be fetched? Returns the URL.
pub fn pseudo_url(text: &str) -> Option<String> {
    if let Some(channel) = text.strip_prefix("channel:") {
        return Some(format!("https://channels.nixos.org/{channel}/nixexprs.tar.xz"));
    }
    let (scheme, _) = text.split_once("://")?;
    matches!(scheme, "http" | "https" | "file" | "channel" | "git" | "s3" | "ssh").then(|| text.to_owned())
}

#[cold]
pub(super) fn syntax_error(
    problem: &nopal_syntax::Diagnostic,
    origin: &nopal_syntax::source::Origin,
    text: &[u8],
    base: PosBase,
) -> Error {
    let message = problem.message(&nopal_syntax::source::Source { origin, text });
    Error::new(ErrorKind::Parse, message).at(base.at(problem.pos))
}

/// What a parsed source is kept by.
fn source_key(text: &[u8], options: Options) -> SourceKey {
    let mut hasher = Hasher::new(HashAlgorithm::Blake3);
    hasher.update(&options.bytes());
    hasher.update(text);
    let mut key = SourceKey::default();
    key.copy_from_slice(hasher.finish().bytes());
    key
}

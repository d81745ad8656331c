//! Evaluation for the command line: expressions to text, and expressions to derivations.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nopal_eval::context::Context;
use nopal_eval::host::Host;
use nopal_eval::pos::Origin;
use nopal_eval::print::PrintOptions;
use nopal_eval::pure::path::canonical;
use nopal_eval::settings::SearchPathEntry;
use nopal_eval::value::{Attrs, AttrsBuilder, Root};
use nopal_eval::{Coerce, Error, Evaluator, Pos, Settings, Value, with_stack};
use nopal_format::StorePath;
use nopal_format::json::Json;

use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::host::EvalHost;
use crate::installable::{Installable, Source};
use crate::packages::{Outputs, derivations};
use crate::realise::{RealiseOptions, Wanted};

/// An argument for functions on the way to the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AutoArg {
    /// `--arg NAME EXPR`.
    Expr {
        /// The argument.
        name: String,
        /// Its value, as Nix text.
        text: String,
    },
    /// `--argstr NAME STRING`.
    Str {
        /// The argument.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What the value is printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvalFormat {
    /// Nix syntax, attribute names quoted where needed.
    #[default]
    Nix,
    /// As `nix-instantiate --eval` prints: attribute names are not quoted.
    Instantiate,
    /// `--json`; forces everything.
    Json,
    /// JSON on several lines.
    PrettyJson,
    /// `--xml`.
    Xml {
        /// With positions.
        location: bool,
    },
    /// `--raw`: a string without quotes, and without a newline at its end.
    Raw,
}

/// What to evaluate and how to print it.
#[derive(Clone, Debug)]
pub struct EvalRequest {
    /// The expression.
    pub source: Source,
    /// The attribute path; empty is the expression itself.
    pub attr_path: String,
    /// Arguments for functions on the way.
    pub args: Vec<AutoArg>,
    /// The habits of which command.
    pub habits: Habits,
    /// The form.
    pub format: EvalFormat,
    /// Force everything before printing.
    pub strict: bool,
}

/// In what commands that evaluate differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Habits {
    /// `nix-instantiate`: arguments are applied to the result, too.
    #[default]
    Instantiate,
    /// `nix eval`, perhaps with a function, as Nix text, that is applied to the result.
    Eval {
        /// `--apply`.
        apply: Option<String>,
    },
}

impl Engine {
    /// Evaluates and prints: the bytes for standard output.
    ///
    /// # Errors
    /// Evaluation fails.
    pub fn eval(&self, request: &EvalRequest) -> Result<Vec<u8>, EngineError> {
        let work = |evaluator: &mut Evaluator| {
            let (value, _) = requested(evaluator, &self.shared, request)?;
            print(evaluator, value, request)
        };
        match request.source {
            // what locks and fetches inputs does not do so through the host
            Source::Flake(_) => self.shared.with_threads(work),
            _ => self.shared.answer(&("eval", request), work),
        }
    }

    /// Parses expressions and gives `print` each as `nix-instantiate --parse` prints it, on a line, before it reads the
    /// next.
    ///
    /// # Errors
    /// The first: a syntax error, a file that cannot be read, or that of `print`.
    pub fn parse<E: From<EngineError> + Send>(
        &self,
        sources: &[Source],
        mut print: impl FnMut(&[u8]) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        let dir = self.config().working_dir.as_os_str().as_bytes();
        // a failure that is not the evaluator's ends the work, too
        self.shared.with_evaluator(|evaluator| {
            for source in sources {
                let mut text = match source {
                    Source::Expr(text) => evaluator.parse_to_text(text.as_bytes(), Origin::Text, dir)?,
                    Source::Stdin(text) => evaluator.parse_to_text(text, Origin::Stdin, dir)?,
                    Source::File(path) | Source::Import(path) => {
                        let (text, path) = match self.read_source(path) {
                            Ok(read) => read,
                            Err(error) => return Ok(Err(error.into())),
                        };
                        let dir = nopal_fs::parent_of(&path).as_os_str().as_bytes();
                        let origin = Origin::File { root: Root::HOST, path: path.as_os_str().as_bytes().to_vec() };
                        evaluator.parse_to_text(&text, origin, dir)?
                    }
                    Source::Flake(_) => Vec::new(),
                };
                text.push(b'\n');
                if let Err(error) = print(&text) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    /// The path that `<NAME>` stands for.
    ///
    /// # Errors
    /// Nothing in the search path has that name, or it is a file of the evaluator's own.
    pub fn find_file(&self, name: &str) -> Result<PathBuf, EngineError> {
        self.shared.with_evaluator(|evaluator| match evaluator.find_file(name.as_bytes())? {
            (Root::HOST, path) => Ok(path_of(path)),
            _ => Err(Error::eval(format!("'<{name}>' has no physical path"))),
        })
    }

    /// The text of a file, or of the `default.nix` of a directory, and its path.
    fn read_source(&self, path: &Path) -> Result<(Vec<u8>, PathBuf), EngineError> {
        let mut path = path_of(absolute(&self.shared, path));
        if nopal_fs::is_dir(&path) {
            path.push("default.nix");
        }
        match nopal_fs::read_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(EngineError::NoSource { path }),
            text => Ok((text?, path)),
        }
    }

    /// Evaluates an installable to the derivations it stands for, and writes them to the store.
    ///
    /// # Errors
    /// Evaluation fails, or something else than derivations comes of it.
    pub fn instantiate(&self, what: &Installable, args: &[AutoArg]) -> Result<Vec<Wanted>, EngineError> {
        self.instantiate_outputs(what, args, Outputs::Installed, &mut Vec::new())
    }

    /// The same, for some outputs. If one of the derivations fails, `made` gets those before it.
    ///
    /// # Errors
    /// As [`Engine::instantiate`].
    pub fn instantiate_outputs(
        &self,
        what: &Installable,
        args: &[AutoArg],
        outputs: Outputs,
        made: &mut Vec<Wanted>,
    ) -> Result<Vec<Wanted>, EngineError> {
        match what {
            Installable::Attr { source: Source::Flake(flake), .. } => {
                self.shared.with_threads(|evaluator| crate::flake::derivation(evaluator, &self.shared, flake))
            }
            Installable::Attr { source, attr_path } => {
                let before = Mutex::new(Vec::new());
                let answer = self.shared.answer(&("instantiate", what, args, outputs), |evaluator| {
                    let value = select(evaluator, &self.shared, source, attr_path, args)?;
                    let args = auto_args(evaluator, self.config().working_dir.as_os_str().as_bytes(), args)?;
                    let mut made = before.lock().unwrap_or_else(PoisonError::into_inner);
                    made.clear();
                    derivations(evaluator, value, args, attr_path, outputs, &mut made)
                });
                *made = before.into_inner().unwrap_or_else(PoisonError::into_inner);
                answer
            }
            Installable::Deb { name, version } => {
                let spec = version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}={version}"));
                let pinned = self.shared.pin(&[spec])?;
                self.instantiate_text(&pinned.tree(std::slice::from_ref(name)))
            }
            Installable::StorePath(text) => {
                let (text, outputs) = match text.split_once(['^', '!']) {
                    Some((path, outputs)) => (path, outputs.split(',').map(str::to_owned).collect()),
                    None => (text.as_str(), Vec::new()),
                };
                let (drv_path, rest) = self.config().store_dir.split(text)?;
                if !drv_path.is_derivation() || !rest.is_empty() {
                    return Err(EngineError::NotADerivation { what: text.to_owned() });
                }
                let outputs = if outputs == ["*"] { Vec::new() } else { outputs };
                Ok(vec![Wanted { drv_path, outputs, output: String::new(), attr: String::new() }])
            }
        }
    }

    /// Instantiates an expression given as text.
    pub(crate) fn instantiate_text(&self, text: &str) -> Result<Vec<Wanted>, EngineError> {
        let source = Source::Expr(text.to_owned());
        self.instantiate(&Installable::Attr { source, attr_path: String::new() }, &[])
    }

    /// Realises an expression that is one derivation with one output.
    pub(crate) fn realise_expression(&self, text: &str) -> Result<StorePath, EngineError> {
        let wanted = self.instantiate_text(text)?;
        let built = self.realise(&wanted, &RealiseOptions::default())?;
        let path = built.into_iter().flat_map(|built| built.outputs).next();
        path.map(|(_, path)| path).ok_or_else(|| EngineError::NotADerivation { what: text.to_owned() })
    }
}

impl Shared {
    /// Runs `work` with a fresh evaluator on a large stack, then writes what it made.
    pub(crate) fn with_evaluator<T: Send>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Evaluator) -> Result<T, Error> + Send,
    ) -> Result<T, EngineError> {
        self.with_evaluator_and_host(|evaluator, _| work(evaluator))
    }

    /// The same, for work that has dealings with the host.
    pub(crate) fn with_evaluator_and_host<T: Send>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Evaluator, &EvalHost) -> Result<T, Error> + Send,
    ) -> Result<T, EngineError> {
        self.with_host(|host| {
            let known = host.clone();
            self.evaluate(host, move |evaluator| work(evaluator, &known))
        })
    }

    /// Evaluates with a fresh host, then writes what that made.
    fn with_host<T>(
        self: &Arc<Self>,
        evaluate: impl FnOnce(Arc<EvalHost>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let host = Arc::new(EvalHost::new(self.clone(), self.config.read_only_eval));
        let result = evaluate(host.clone());
        // what was made before something failed stays, as in Nix
        let flushed = host.flush();
        let result = result?;
        flushed?;
        Ok(result)
    }

    /// Runs `work` with a fresh evaluator on a large stack and on `host`, with one thread.
    pub(crate) fn evaluate<T: Send>(
        self: &Arc<Self>,
        host: Arc<dyn Host>,
        work: impl FnOnce(&mut Evaluator) -> Result<T, Error> + Send,
    ) -> Result<T, EngineError> {
        let settings = Settings { threads: 1, ..self.eval_settings() };
        with_stack(move || {
            let mut evaluator = Evaluator::new(settings, host);
            let result = evaluator.allow_search_path().and_then(|()| work(&mut evaluator));
            self.conclude(&evaluator, result)
        })
    }

    /// Evaluates with as many threads as there may be, then writes what that made; `work` does nothing but evaluate, and may
    /// be done twice.
    pub(crate) fn with_threads<T: Send>(
        self: &Arc<Self>,
        work: impl Fn(&mut Evaluator) -> Result<T, Error> + Send,
    ) -> Result<T, EngineError> {
        self.with_host(|host| self.evaluate_ahead(host, work))
    }

    /// As [`Shared::evaluate`], with as many threads as there may be; `work` does nothing but evaluate, and may be done twice.
    pub(crate) fn evaluate_ahead<T: Send>(
        self: &Arc<Self>,
        host: Arc<dyn Host>,
        work: impl Fn(&mut Evaluator) -> Result<T, Error> + Send,
    ) -> Result<T, EngineError> {
        let settings = self.eval_settings();
        with_stack(move || {
            let (evaluator, result) = nopal_eval::evaluate(settings, &host, |evaluator| {
                evaluator.allow_search_path()?;
                work(evaluator)
            });
            self.conclude(&evaluator, result)
        })
    }

    /// Keeps what was observed, and lets the evaluator show its error.
    fn conclude<T>(&self, evaluator: &Evaluator, result: Result<T, Error>) -> Result<T, EngineError> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner).keep(evaluator);
        result.map_err(|error| evaluation_error(evaluator, &error))
    }

    pub(crate) fn eval_settings(&self) -> Settings {
        let config = &self.config;
        let mut settings =
            Settings::new(config.eval_system.as_ref().unwrap_or(&config.system), config.store_dir.clone());
        if !config.pure_eval {
            settings.nix_path = config.nix_path.iter().map(|entry| SearchPathEntry::parse(entry.as_bytes())).collect();
        }
        settings.working_dir = config.working_dir.as_os_str().as_bytes().to_vec();
        settings.pure_eval = config.pure_eval;
        settings.restrict_eval = config.restrict_eval;
        settings.allowed_uris = config.allowed_uris.iter().map(|uri| uri.clone().into_bytes()).collect();
        settings.allow_import_from_derivation = config.import_from_derivation;
        settings.trace_import_from_derivation = config.trace_import_from_derivation;
        settings.experimental_features = config.experimental_features.clone();
        settings.max_call_depth = config.max_call_depth as usize;
        settings.max_memory_bytes = config.max_eval_memory_bytes;
        settings.collect_after_bytes = config.collect_after_bytes.unwrap_or(settings.collect_after_bytes);
        settings.threads = config.eval_threads;
        settings.lint_url_literals = config.lint_url_literals;
        settings.lint_absolute_path_literals = config.lint_absolute_path_literals;
        settings.lint_short_path_literals = config.lint_short_path_literals;
        settings.trace_verbose = config.trace_verbose;
        settings.abort_on_warn = config.abort_on_warn;
        settings.read_only = config.read_only_eval;
        settings.leaves_memory = config.leaves_memory;
        settings.show_trace = config.show_trace;
        settings.observe = config.observe.observe();
        settings.home = config.home.as_ref().map(|home| home.as_os_str().as_bytes().to_vec());
        settings
    }
}

/// An error of evaluation as the engine's.
pub(crate) fn evaluation_error(evaluator: &Evaluator, error: &Error) -> EngineError {
    let mut report = evaluator.render_error(error);
    // a message of the program may end in spaces or empty lines, and they are shown
    report.pop_if(|last| *last == b'\n');
    let kind = error.kind();
    EngineError::Evaluation {
        report,
        is_mismatch: kind == nopal_eval::ErrorKind::HashMismatch,
        is_usage: kind == nopal_eval::ErrorKind::Usage,
        begun: evaluator.begun_answer().clone(),
    }
}

/// The value that is asked for.
pub(crate) fn requested(
    evaluator: &mut Evaluator,
    shared: &Shared,
    request: &EvalRequest,
) -> Result<(Value, Pos), Error> {
    let Habits::Eval { apply } = &request.habits else {
        let value = select(evaluator, shared, &request.source, &request.attr_path, &request.args)?;
        return Ok((value, Pos::NONE));
    };
    let (value, pos) = select_value(evaluator, shared, &request.source, &request.attr_path, &request.args)?;
    let Some(text) = apply else { return Ok((value, pos)) };
    let function = evaluator.eval_text(text.as_bytes(), shared.config.working_dir.as_os_str().as_bytes())?;
    let applied = evaluator.call(function, &[value], Pos::NONE)?;
    Ok((evaluator.force(applied, pos)?, pos))
}

/// The value of a source at an attribute path; functions on the way to it are called.
pub(crate) fn select_value(
    evaluator: &mut Evaluator,
    shared: &Shared,
    source: &Source,
    attr_path: &str,
    args: &[AutoArg],
) -> Result<(Value, Pos), Error> {
    let args = auto_args(evaluator, shared.config.working_dir.as_os_str().as_bytes(), args)?;
    if let Source::Flake(flake) = source {
        if !args.is_empty() {
            let message = "'--arg' and '--argstr' are incompatible with flakes";
            return Err(Error::new(nopal_eval::ErrorKind::Usage, message));
        }
        return Ok((crate::flake::select(evaluator, shared, flake)?.0, Pos::NONE));
    }
    let root = root(evaluator, shared, source)?;
    let (value, pos) = evaluator.select_path(attr_path, args, root)?;
    Ok((evaluator.force(value, pos)?, pos))
}

/// The value of a source.
fn root(evaluator: &mut Evaluator, shared: &Shared, source: &Source) -> Result<Value, Error> {
    let working_dir = shared.config.working_dir.as_os_str().as_bytes();
    match source {
        Source::Expr(text) => evaluator.eval_text(text.as_bytes(), working_dir),
        Source::Stdin(text) => evaluator.eval_stdin(text, working_dir),
        Source::File(path) => {
            let (root, path) = file_path(evaluator, shared, path)?;
            evaluator.eval_main_file(root, &path)
        }
        Source::Import(path) => {
            let (root, path) = file_path(evaluator, shared, path)?;
            evaluator.eval_file(root, &path)
        }
        Source::Flake(flake) => Ok(crate::flake::select(evaluator, shared, flake)?.0),
    }
}

/// The value of a source at an attribute path, called if it is a function and there are arguments.
fn select(
    evaluator: &mut Evaluator,
    shared: &Shared,
    source: &Source,
    attr_path: &str,
    args: &[AutoArg],
) -> Result<Value, Error> {
    let working_dir = shared.config.working_dir.as_os_str().as_bytes();
    let args = auto_args(evaluator, working_dir, args)?;
    let root = root(evaluator, shared, source)?;
    let (value, pos) = evaluator.select_path(attr_path, args, root)?;
    let value = evaluator.force(value, pos)?;
    // as nix-instantiate does: without arguments a function stays a function
    if args.is_empty() {
        return Ok(value);
    }
    let called = evaluator.auto_call(value, args)?;
    evaluator.force(called, pos)
}

/// Where the file of `-f FILE` is, which may also be `<nixpkgs>`.
pub(crate) fn file_path(evaluator: &mut Evaluator, shared: &Shared, path: &Path) -> Result<(Root, Vec<u8>), Error> {
    let text = path.as_os_str().as_bytes();
    if let Some(name) = text.strip_prefix(b"<").and_then(|text| text.strip_suffix(b">")) {
        return evaluator.find_file(name);
    }
    if let Some(url) = nopal_eval::pseudo_url(&path.to_string_lossy()) {
        return Ok((Root::HOST, evaluator.unpack_url(&url)?));
    }
    if text.starts_with(b"flake:") {
        let found = evaluator.resolve_search_entry(text)?;
        let found = found.ok_or_else(|| Error::eval(format!("cannot fetch '{}'", path.display())))?;
        return Ok((Root::HOST, found));
    }
    Ok((Root::HOST, absolute(shared, path)))
}

/// A path given on the command line, without `.` and `..`.
fn absolute(shared: &Shared, path: &Path) -> Vec<u8> {
    canonical(shared.config.working_dir.join(path).as_os_str().as_bytes())
}

pub(crate) fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

pub(crate) fn auto_args(evaluator: &mut Evaluator, working_dir: &[u8], args: &[AutoArg]) -> Result<Attrs, Error> {
    let mut builder = AttrsBuilder::with_capacity(args.len());
    for arg in args {
        let (name, value) = match arg {
            AutoArg::Expr { name, text } => (name, evaluator.delay_text(text.as_bytes(), working_dir)?),
            AutoArg::Str { name, value } => (name, evaluator.heap.string(value.as_bytes())),
        };
        let name = evaluator.symbols.intern(name.as_bytes());
        builder.insert(name, value, Pos::NONE);
    }
    let value = builder.finish(&mut evaluator.heap);
    evaluator.force_attrs(value, Pos::NONE, "while evaluating the arguments given on the command line")
}

/// A value as JSON; `nix eval` does not copy paths to the store for it.
fn json(evaluator: &mut Evaluator, value: Value, request: &EvalRequest) -> Result<Vec<u8>, Error> {
    match request.habits {
        Habits::Instantiate => evaluator.print_json(value, request.strict),
        Habits::Eval { .. } => evaluator.print_json_in_place(value),
    }
}

fn print(evaluator: &mut Evaluator, value: Value, request: &EvalRequest) -> Result<Vec<u8>, Error> {
    let mut out = match request.format {
        EvalFormat::Raw => {
            let mut context = Context::EMPTY;
            let what = match request.habits {
                Habits::Instantiate => "while generating the nix-instantiate output",
                Habits::Eval { .. } => "while generating the eval command output",
            };
            let text = evaluator.coerce_to_string(value, Pos::NONE, &mut context, what, Coerce::STRING)?;
            return Ok(text.to_vec());
        }
        EvalFormat::Json => json(evaluator, value, request)?,
        EvalFormat::PrettyJson => {
            let text = json(evaluator, value, request)?;
            Json::parse(&String::from_utf8_lossy(&text))
                .map_err(|error| Error::eval(error.to_string()))?
                .to_pretty()
                .into_bytes()
        }
        EvalFormat::Xml { location } => return evaluator.print_xml(value, request.strict, location),
        EvalFormat::Instantiate => {
            let value = if request.strict { evaluator.force_deep(value)? } else { value };
            evaluator.print_ambiguous(value)?
        }
        EvalFormat::Nix => {
            // forced as it is printed, so that an error inside takes the place of what failed
            let options = PrintOptions { force: request.strict, ..PrintOptions::EVAL };
            evaluator.print(value, options)?
        }
    };
    out.push(b'\n');
    Ok(out)
}

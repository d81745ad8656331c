//! The evaluator: its state and how it is made. What it does is in the modules beside this one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use nopal_format::StorePath;
use nopal_format::derivation::{DrvHash, DrvHashes};
use nopal_syntax::{Interner, Symbol};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::context::Contexts;
use crate::error::Error;
use crate::host::{FileType, Host, Listing, Message, Mount};
use crate::pos::PosTable;
use crate::settings::Settings;
use crate::uses::{Parts, UseSet, Uses};
use crate::value::{Attrs, Heap, NixStr, Value};

pub(crate) mod access;
mod call;
pub(crate) mod coerce;
mod derived_path;
pub(crate) mod documentation;
mod equal;
mod expr;
mod flake_file;
mod force;
pub(crate) mod globals;
pub(crate) mod import;
pub(crate) mod interactive;
mod intrinsics;
mod later;
mod mounts;
pub(crate) mod observe;
mod ops;
pub(crate) mod parallel;
mod parse;
mod positions;
mod select;
pub(crate) mod store;

pub use access::Links;

/// Evaluates Nix expressions, on the thread that made it and, if [`Settings::threads`] says so, on others that it starts.
/// Values belong to the evaluator that made them.
pub struct Evaluator {
    /// The memory of values.
    pub heap: Heap,
    /// The names.
    pub symbols: Interner,
    /// The string contexts.
    pub contexts: Contexts,
    /// The sources and their positions.
    pub positions: PosTable,
    /// The settings it was made with.
    pub settings: Settings,
    /// Calls that are being evaluated.
    pub(crate) depth: usize,
    /// Variables that are visible in every file.
    globals: FxHashMap<Symbol, Value>,
    /// What the evaluation at hand uses of the world.
    pub uses: Arc<Uses>,
    /// The parts of the answer that the evaluator is made for, if somebody wants to know them.
    pub parts: Option<Parts>,
    /// Files that could not be evaluated.
    failed_files: FxHashMap<import::FileKey, (Error, UseSet)>,
    /// Where a path that was imported leads: through links and to `default.nix`.
    resolved: FxHashMap<import::FileKey, (Vec<u8>, UseSet)>,
    /// Entries of the search path that were looked at, and what they are.
    search_path: FxHashMap<Vec<u8>, (Option<Vec<u8>>, UseSet)>,
    /// Directories that the host says to be unchanged, by the address of what it says is in them: that, and the set.
    pub(crate) listings: FxHashMap<*const (Vec<u8>, FileType), (Listing, Attrs)>,
    /// What was imported from derivations to Nix, once.
    imported_drv: Option<Value>,
    /// Hashes of derivations modulo their inputs.
    pub(crate) drv_hashes: DrvHashes,
    /// The variables of a read-eval-print loop.
    interactive: interactive::Interactive,
    /// Errors of arguments that were computed before their calls and are about to be thrown, by number.
    raised: Vec<Option<Error>>,
    raise_code: Option<&'static crate::code::ir::ThunkCode>,
    /// See [`Evaluator::begun_answer`].
    pub(crate) begun_answer: crate::pure::xml::Document,
    /// A buffer for a text that is put together.
    text: Vec<u8>,
    /// A buffer for the formals of a call that are not among its arguments, and their slots.
    defaults: Vec<(&'static crate::code::ir::Delayed, u32)>,
    /// For finding unbound variables.
    scopes: nopal_syntax::scope::Checker,
    /// For the compiler.
    names: crate::code::compile::Names,
    /// For finding what can be compiled later.
    units: nopal_syntax::units::Finder,
    /// What is observed, if anything is.
    observer: Option<Box<observe::Observer>>,
    /// Trees copied to the store that messages name otherwise, by their store paths.
    mounts: Vec<(Vec<u8>, Mount)>,
    host: Arc<dyn Host>,
    /// The messages that were shown, where there are several threads.
    shown_messages: RefCell<Vec<Message>>,
    /// Messages that were shown already.
    hidden_messages: RefCell<VecDeque<Message>>,
    /// The host for the time in which this thread runs ahead.
    quiet: Arc<parallel::Quiet>,
    /// What all threads of the evaluation share.
    common: Arc<Common>,
    team: Arc<parallel::Team>,
    /// The other threads, if this is the first.
    workers: parallel::Workers,
    /// Whether this thread runs ahead at this time.
    is_ahead: bool,
    /// Whether it does so while it waits for another thread.
    is_helping: bool,
    /// The sets that this thread goes through in an order that may not be the one it would have alone.
    doubts: RefCell<Vec<parallel::Doubt>>,
    /// Whether such an order would have shown.
    is_doubted: Cell<bool>,
    /// Messages for the time when there is no doubt.
    kept_back: RefCell<Vec<Message>>,
    /// Whether this thread offers nothing to others at this time.
    is_alone: bool,
    /// Whether something happened that must not happen ahead.
    tainted: Arc<AtomicBool>,
}

/// What all threads of an evaluation share beside its memory.
pub(crate) struct Common {
    /// Files evaluated so far, by what they are and not by what led to them.
    files: Mutex<FxHashMap<import::FileKey, import::FileState>>,
    /// Paths copied to the store so far.
    sources: Mutex<store::Sources>,
    added: Mutex<store::Added>,
    /// In restricted or pure evaluation: files and directories that may be read.
    allowed: Option<RwLock<FxHashSet<Vec<u8>>>>,
    /// Hashes of the derivations that any thread made since there are several.
    made: Mutex<FxHashMap<StorePath, DrvHash>>,
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        self.end_workers();
        if self.settings.leaves_memory {
            let tables = (self.symbols.clone(), self.contexts.clone(), self.positions.clone(), self.common.clone());
            std::mem::forget((tables, std::mem::take(&mut self.drv_hashes)));
        }
    }
}

impl Evaluator {
    /// An evaluator on the current thread. Evaluation uses the thread's stack; see [`crate::with_stack`].
    pub fn new(settings: Settings, host: Arc<dyn Host>) -> Evaluator {
        let allowed = (settings.pure_eval || settings.restrict_eval).then(RwLock::default);
        let common = Common {
            files: Mutex::default(),
            sources: Mutex::default(),
            added: Mutex::default(),
            allowed,
            made: Mutex::default(),
        };
        let heap = Heap::new(settings.collect_after_bytes, settings.max_memory_bytes);
        let team = parallel::Team::new(settings.threads);
        let mut evaluator = Evaluator::with(heap, settings, host, Arc::new(common), Arc::new(team));
        evaluator.observer = observe::Observer::new(evaluator.settings.observe, evaluator.host.now_ns());
        evaluator.heap.hold();
        evaluator.make_globals();
        evaluator.heap.release();
        evaluator
    }

    /// An evaluator that knows nothing of its own.
    fn with(
        heap: Heap,
        settings: Settings,
        host: Arc<dyn Host>,
        common: Arc<Common>,
        team: Arc<parallel::Team>,
    ) -> Evaluator {
        let tainted = Arc::new(AtomicBool::new(false));
        Evaluator {
            heap,
            symbols: Interner::new(),
            contexts: Contexts::default(),
            positions: PosTable::default(),
            settings,
            depth: 0,
            globals: FxHashMap::default(),
            uses: host.uses().unwrap_or_default(),
            parts: None,
            failed_files: FxHashMap::default(),
            resolved: FxHashMap::default(),
            search_path: FxHashMap::default(),
            listings: FxHashMap::default(),
            imported_drv: None,
            drv_hashes: DrvHashes::new(),
            begun_answer: crate::pure::xml::Document::default(),
            text: Vec::new(),
            defaults: Vec::new(),
            raise_code: None,
            raised: Vec::new(),
            scopes: nopal_syntax::scope::Checker::default(),
            names: crate::code::compile::Names::default(),
            units: nopal_syntax::units::Finder::default(),
            interactive: interactive::Interactive::default(),
            observer: None,
            mounts: Vec::new(),
            quiet: Arc::new(parallel::Quiet { host: host.clone(), tainted: tainted.clone() }),
            host,
            shown_messages: RefCell::default(),
            hidden_messages: RefCell::default(),
            common,
            team,
            workers: parallel::Workers::default(),
            is_ahead: false,
            doubts: RefCell::default(),
            is_doubted: Cell::new(false),
            kept_back: RefCell::default(),
            is_helping: false,
            is_alone: false,
            tainted,
        }
    }

    /// The host.
    pub fn host(&self) -> Arc<dyn Host> {
        if self.is_ahead { self.quiet.clone() } else { self.host.clone() }
    }

    /// The symbol that a string names. Nix makes it even where the name is only looked for, which shows in the order of
    /// attributes of sets that are read later.
    pub(crate) fn symbol_of(&mut self, name: NixStr) -> Symbol {
        if let Some(symbol) = name.known_symbol() {
            return symbol;
        }
        let symbol = self.symbols.intern(name.as_bytes());
        name.know_symbol(symbol);
        symbol
    }

    /// The name of a symbol as a string value.
    pub fn symbol_value(&mut self, symbol: Symbol) -> Value {
        self.heap.symbol_string(symbol, &self.symbols)
    }

    /// The name of a symbol, for messages.
    pub fn symbol_name(&self, symbol: Symbol) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.symbols.get(symbol))
    }

    /// The name of a symbol as messages show it: quoted where the language needs that.
    pub(crate) fn shown(&self, symbol: Symbol) -> String {
        String::from_utf8_lossy(&nopal_syntax::printer::identifier(self.symbols.get(symbol))).into_owned()
    }

    /// The names among `known` that somebody who wrote `wanted` may have meant.
    pub(crate) fn suggestions(&self, known: impl Iterator<Item = Symbol>, wanted: Symbol) -> Vec<String> {
        let names = known.map(|name| self.symbols.get(name));
        let best = crate::pure::suggest::best(self.symbols.get(wanted), names);
        best.into_iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Shows something to the user at once.
    pub fn emit(&self, message: Message) {
        if self.is_ahead {
            return self.taint();
        }
        if self.is_in_doubt() {
            return self.keep_back(message);
        }
        if self.settings.threads > 1 {
            self.shown_messages.borrow_mut().push(message.clone());
        }
        let mut hidden = self.hidden_messages.borrow_mut();
        match hidden.iter().position(|shown| *shown == message) {
            Some(at) => drop(hidden.drain(..=at)),
            None => self.host.emit(message),
        }
    }

    /// Whether a deprecated or risky thing was met; `abort-on-warn` makes it an error.
    pub fn warn(&self, message: &str) -> Result<(), Error> {
        self.emit(Message::Warning(message.as_bytes().to_vec()));
        Ok(())
    }
}

/// Evaluates with a fresh evaluator, and returns that, too, since only it can show the error.
///
/// Threads that run ahead leave traces that errors may show: thunks that have values already, names in another order. So
/// if `work` fails where there were such threads, all is evaluated again by one thread, and what it tells the user a second
/// time is not shown. `work` must do nothing but evaluate.
pub fn evaluate<T>(
    settings: Settings,
    host: &Arc<dyn Host>,
    work: impl Fn(&mut Evaluator) -> Result<T, Error>,
) -> (Evaluator, Result<T, Error>) {
    let alone = Settings { threads: 1, ..settings.clone() };
    let mut evaluator = Evaluator::new(settings, host.clone());
    let result = work(&mut evaluator);
    if result.is_ok() || !evaluator.heap.is_shared() {
        return (evaluator, result);
    }
    let shown = evaluator.shown_messages.take();
    drop(evaluator);
    let mut evaluator = Evaluator::new(alone, host.clone());
    evaluator.hidden_messages = RefCell::new(shown.into());
    let result = work(&mut evaluator);
    (evaluator, result)
}

/// A path of bytes as the standard library's type.
pub(crate) fn as_path(path: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(path))
}

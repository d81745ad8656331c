//! The evaluator: its state and how it is made. What it does is in the modules beside this one.

use std::sync::Arc;

use nopal_format::StorePath;
use nopal_format::derivation::DrvHashes;
use nopal_syntax::{Interner, Symbol};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::context::Contexts;
use crate::error::Error;
use crate::host::{Host, Message, Mount};
use crate::pos::PosTable;
use crate::settings::Settings;
use crate::value::{Heap, Root, Value};

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
mod mounts;
pub(crate) mod observe;
mod ops;
mod positions;
mod select;
mod store;

pub use access::Links;

/// Evaluates Nix expressions. One per thread; values belong to the evaluator that made them.
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
    /// Files evaluated so far, by what they are and not by what led to them.
    files: FxHashMap<(Root, Vec<u8>), import::FileState>,
    /// Where a path that was imported leads: through links and to `default.nix`.
    resolved: FxHashMap<(Root, Vec<u8>), Vec<u8>>,
    /// Entries of the search path that were looked at, and what they are.
    search_path: FxHashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Paths copied to the store so far.
    sources: FxHashMap<(Root, Vec<u8>), StorePath>,
    /// What was imported from derivations to Nix, once.
    imported_drv: Option<Value>,
    /// Hashes of derivations modulo their inputs.
    pub(crate) drv_hashes: DrvHashes,
    /// In restricted or pure evaluation: files and directories that may be read.
    allowed: Option<FxHashSet<Vec<u8>>>,
    /// The variables of a read-eval-print loop.
    interactive: interactive::Interactive,
    /// What is observed, if anything is.
    observer: Option<Box<observe::Observer>>,
    /// Trees copied to the store that messages name otherwise, by their store paths.
    mounts: Vec<(Vec<u8>, Mount)>,
    host: Arc<dyn Host>,
}

impl Evaluator {
    /// An evaluator on the current thread. Evaluation uses the thread's stack; see [`crate::with_stack`].
    pub fn new(settings: Settings, host: Arc<dyn Host>) -> Evaluator {
        let allowed = (settings.pure_eval || settings.restrict_eval).then(FxHashSet::default);
        let observer = observe::Observer::new(settings.observe, host.now_ns());
        let mut evaluator = Evaluator {
            heap: Heap::new(settings.collect_after_bytes, settings.max_memory_bytes),
            symbols: Interner::new(),
            contexts: Contexts::default(),
            positions: PosTable::default(),
            settings,
            depth: 0,
            globals: FxHashMap::default(),
            files: FxHashMap::default(),
            resolved: FxHashMap::default(),
            search_path: FxHashMap::default(),
            sources: FxHashMap::default(),
            imported_drv: None,
            drv_hashes: DrvHashes::new(),
            allowed,
            interactive: interactive::Interactive::default(),
            observer,
            mounts: Vec::new(),
            host,
        };
        evaluator.heap.hold();
        evaluator.make_globals();
        evaluator.heap.release();
        evaluator
    }

    /// The host.
    pub fn host(&self) -> Arc<dyn Host> {
        self.host.clone()
    }

    /// The name of a symbol as a string value.
    pub fn symbol_value(&mut self, symbol: Symbol) -> Value {
        self.heap.symbol_string(symbol, self.symbols.get(symbol))
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
        self.host.emit(message);
    }

    /// Whether a deprecated or risky thing was met; `abort-on-warn` makes it an error.
    pub fn warn(&self, message: &str) -> Result<(), Error> {
        self.emit(Message::Warning(message.as_bytes().to_vec()));
        Ok(())
    }
}

/// A path of bytes as the standard library's type.
pub(crate) fn as_path(path: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(path))
}

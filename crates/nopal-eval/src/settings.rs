//! The settings that evaluation depends on; defaults are Nix 2.34's.

use nopal_format::StoreDir;
use nopal_syntax::parser::Lint;

use crate::eval::observe::Observe;

/// One entry of the search path: `prefix=value`, or a value alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchPathEntry {
    /// What `<prefix/…>` must begin with; may be empty.
    pub prefix: Vec<u8>,
    /// A path, a URL or a channel reference.
    pub value: Vec<u8>,
}

impl SearchPathEntry {
    /// Reads one element as it stands in `NIX_PATH` or after `-I`.
    pub fn parse(text: &[u8]) -> SearchPathEntry {
        match memchr::memchr(b'=', text) {
            Some(at) => SearchPathEntry { prefix: text[..at].to_vec(), value: text[at + 1..].to_vec() },
            None => SearchPathEntry { prefix: Vec::new(), value: text.to_vec() },
        }
    }
}

/// What the evaluator needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `builtins.currentSystem`.
    pub system: String,
    /// The logical store directory, `builtins.storeDir`.
    pub store_dir: StoreDir,
    /// The search path, in order.
    pub nix_path: Vec<SearchPathEntry>,
    /// Where relative entries of the search path start.
    pub working_dir: Vec<u8>,
    /// `pure-eval`
    pub pure_eval: bool,
    /// `restrict-eval`
    pub restrict_eval: bool,
    /// URI prefixes that restricted evaluation may fetch.
    pub allowed_uris: Vec<Vec<u8>>,
    /// `allow-import-from-derivation`
    pub allow_import_from_derivation: bool,
    /// `trace-import-from-derivation`: whether each is told
    pub trace_import_from_derivation: bool,
    /// Names of the enabled experimental features.
    pub experimental_features: Vec<String>,
    /// Calls may nest this deep.
    pub max_call_depth: usize,
    /// `trace-verbose`: whether `builtins.traceVerbose` prints.
    pub trace_verbose: bool,
    /// `debugger-on-warn`/`abort-on-warn`: whether `builtins.warn` ends the evaluation.
    pub abort_on_warn: bool,
    /// Whether derivations and sources are computed but not written to the store.
    pub read_only: bool,
    /// `lint-url-literals`
    pub lint_url_literals: Lint,
    /// `lint-absolute-path-literals`
    pub lint_absolute_path_literals: Lint,
    /// `lint-short-path-literals`
    pub lint_short_path_literals: Lint,
    /// The home directory, for `~/…` paths; none where it is not known.
    pub home: Option<Vec<u8>>,
    /// Whether `…` frames are kept for printing; errors keep them either way.
    pub show_trace: bool,
    /// What is observed beside the result.
    pub observe: Observe,
    /// How much memory values take before it is looked through for what is no longer needed, at least, in bytes; up to two
    /// and a half times as much where the program is large. Where much is needed still, they take three to five times as much
    /// before it is done again. Zero is for tests: whenever memory is taken.
    pub collect_after_bytes: usize,
    /// Threads that evaluate.
    pub threads: usize,
    /// How much is allocated before other threads are started, in bytes.
    pub parallel_after_bytes: usize,
    /// Values and stack may take this much memory together, in bytes; more is an error. None: as much as there is.
    pub max_memory_bytes: Option<usize>,
    /// The process ends after this evaluation: tables are not freed, since the system does that at once.
    pub leaves_memory: bool,
}

/// Default of [`Settings::collect_after_bytes`]: small evaluations are over before.
const COLLECT_AFTER_BYTES: usize = 64 << 20;

/// Default of [`Settings::parallel_after_bytes`]: what is smaller is over before threads have started.
const PARALLEL_AFTER_BYTES: usize = 1 << 20;

impl Settings {
    /// Nix's defaults for a system and a store directory.
    pub fn new(system: &str, store_dir: StoreDir) -> Settings {
        Settings {
            system: system.to_owned(),
            store_dir,
            nix_path: Vec::new(),
            working_dir: b"/".to_vec(),
            pure_eval: false,
            restrict_eval: false,
            allowed_uris: Vec::new(),
            allow_import_from_derivation: true,
            trace_import_from_derivation: false,
            experimental_features: Vec::new(),
            max_call_depth: 10_000,
            trace_verbose: false,
            abort_on_warn: false,
            read_only: true,
            lint_url_literals: Lint::Ignore,
            lint_absolute_path_literals: Lint::Ignore,
            lint_short_path_literals: Lint::Ignore,
            home: None,
            show_trace: false,
            observe: Observe::default(),
            collect_after_bytes: COLLECT_AFTER_BYTES,
            threads: 1,
            parallel_after_bytes: PARALLEL_AFTER_BYTES,
            max_memory_bytes: None,
            leaves_memory: false,
        }
    }

    /// Is this experimental feature on?
    pub fn has_feature(&self, name: &str) -> bool {
        let on = |name: &str| self.experimental_features.iter().any(|feature| feature == name);
        on(name) || (name == "fetch-tree" && on("flakes"))
    }
}

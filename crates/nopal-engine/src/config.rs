//! What the engine must be told. The roof reads the environment and the command line; nothing below does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nopal_report::Reporter;
use nopal_syntax::parser::Lint;

use crate::observe::ObserveConfig;

/// Everything an [`Engine`](crate::Engine) depends on.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The logical store directory: what every hash is computed with. Default `/nix/store`.
    pub store_dir: nopal_format::StoreDir,
    /// Where objects and state physically are. Default: in `store` and `var` of `$XDG_DATA_HOME/nopal`.
    pub store: nopal_store::StoreConfig,
    /// Where derivations and sources go, if not to the store.
    pub eval_store: Option<nopal_store::StoreConfig>,
    /// The name of a store for derivations that takes none.
    pub closed_store: Option<String>,
    /// Downloads, package indices, locks of ad-hoc runs and results of evaluations; may be deleted at any time. Default
    /// `$XDG_CACHE_HOME/nopal`.
    pub cache_dir: PathBuf,
    /// The caller's working directory: relative paths on the command line start here.
    pub working_dir: PathBuf,
    /// The user's home, for paths that begin with `~`; none where it is not known.
    pub home: Option<PathBuf>,
    /// The environment as the roof found it; `builtins.getEnv` and `impureEnvVars` read it.
    pub environment: BTreeMap<OsString, OsString>,
    /// The platform to build for, such as `x86_64-linux`.
    pub system: String,
    /// The platform that expressions are evaluated for; `None` is the one to build for.
    pub eval_system: Option<String>,
    /// Search path entries `name=path` or `path`, in order of precedence.
    pub nix_path: Vec<String>,
    /// Experimental features that are on, by Nix's names.
    pub experimental_features: Vec<String>,
    /// `--pure-eval`.
    pub pure_eval: bool,
    /// `--restrict-eval`.
    pub restrict_eval: bool,
    /// Whether evaluation may build (`allow-import-from-derivation`).
    pub import_from_derivation: bool,
    /// `trace-import-from-derivation`.
    pub trace_import_from_derivation: bool,
    /// `max-call-depth`; Nix's default is 10,000.
    pub max_call_depth: u32,
    /// Values and stack of an evaluation may take this many bytes together; more is an error.
    pub max_eval_memory_bytes: Option<usize>,
    /// Collect whenever an evaluation has taken so much memory; the default suits all but tests.
    pub collect_after_bytes: Option<usize>,
    /// Threads that evaluate an expression.
    pub eval_threads: usize,
    /// `lint-url-literals`.
    pub lint_url_literals: Lint,
    /// `lint-absolute-path-literals`.
    pub lint_absolute_path_literals: Lint,
    /// `lint-short-path-literals`.
    pub lint_short_path_literals: Lint,
    /// `trace-verbose`.
    pub trace_verbose: bool,
    /// `abort-on-warn`.
    pub abort_on_warn: bool,
    /// `allowed-uris` of restricted evaluation.
    pub allowed_uris: Vec<String>,
    /// Print every frame of an evaluation error.
    pub show_trace: bool,
    /// Evaluate without writing to the store (`nix-instantiate --eval` without `--read-write-mode`).
    pub read_only_eval: bool,
    /// The process ends after the first evaluation, whose tables are left to the system.
    pub leaves_memory: bool,
    /// Keep answers of evaluations in [`cache_dir`](Self::cache_dir), and take them from there; `None` evaluates always.
    pub evaluation_cache: Option<crate::EvaluationCache>,
    /// Keep parsed sources in [`cache_dir`](Self::cache_dir), and take them from there; the text tells this program from
    /// every other build of it. `None` parses always.
    pub parsed_sources: Option<String>,
    /// Whether builds must be sandboxed. `false` only by an explicit `--no-sandbox`.
    pub sandbox: bool,
    /// Builds at the same time (`-j`).
    pub max_jobs: usize,
    /// `NIX_BUILD_CORES`; 0 means all.
    pub cores: usize,
    /// Go on with other builds after a failure.
    pub keep_going: bool,
    /// Sign what is built with the keys in these files.
    pub secret_key_files: Vec<PathBuf>,
    /// Link the files of what is built to those with equal contents.
    pub auto_optimise: bool,
    /// Bytes a builder may write to its log.
    pub max_log_bytes: Option<u64>,
    /// A program to run after each build.
    pub post_build_hook: Option<PathBuf>,
    /// Keep the build directory of a failed build.
    pub keep_failed: bool,
    /// Where builders work, if that is not beside the store's state.
    pub build_dir: Option<PathBuf>,
    /// Limit of a whole build.
    pub timeout: Option<Duration>,
    /// Limit of silence on the log.
    pub max_silent_time: Option<Duration>,
    /// Never ask the network; what is not in the store or the caches is an error.
    pub offline: bool,
    /// How to download. Its mirrors are beside those that [`DebianConfig`] yields, and `offline` is as above.
    pub downloads: nopal_fetch::FetchConfig,
    /// Keys whose signatures on paths from binary caches are trusted.
    pub trusted_public_keys: Vec<String>,
    /// Binary caches that are asked before something is built, the most important first. Those in folders
    /// (`file://`) are.
    pub substituters: Vec<String>,
    /// Build what a cache has and cannot deliver.
    pub fallback: bool,
    /// Whether paths from binary caches that are not content-addressed must be signed by one of them.
    pub require_sigs: bool,
    /// Where Debian packages come from.
    pub debian: DebianConfig,
    /// What concerns flakes and what they fetch.
    pub flakes: FlakeConfig,
    /// What is observed of evaluations.
    pub observe: ObserveConfig,
    /// Receives progress.
    pub reporter: Reporter,
}

/// Settings of flakes and of what they fetch.
#[derive(Clone, Debug)]
pub struct FlakeConfig {
    /// `use-registries`.
    pub use_registries: bool,
    /// `flake-registry`: a file or URL; empty is none.
    pub global_registry: String,
    /// The user's registry.
    pub user_registry: Option<PathBuf>,
    /// The system's registry.
    pub system_registry: Option<PathBuf>,
    /// `--override-flake`: what is looked up, and what it stands for.
    pub overrides: Vec<(String, String)>,
    /// `allow-dirty`: whether working trees may have changes.
    pub allow_dirty: bool,
    /// `warn-dirty`.
    pub warn_dirty: bool,
    /// `allow-dirty-locks`: whether a lock file may have inputs of which only the hash of the tree is known.
    pub allow_dirty_locks: bool,
    /// `accept-flake-config`.
    pub accept_config: bool,
    /// `commit-lock-file-summary`; empty is a sentence of our own.
    pub commit_summary: String,
    /// `tarball-ttl`: how long something fetched without a promised hash is used again.
    pub tarball_ttl: Duration,
}

impl Default for FlakeConfig {
    fn default() -> Self {
        Self {
            use_registries: true,
            global_registry: String::new(),
            user_registry: None,
            system_registry: None,
            overrides: Vec::new(),
            allow_dirty: true,
            warn_dirty: true,
            allow_dirty_locks: false,
            accept_config: false,
            commit_summary: String::new(),
            tarball_ttl: Duration::from_secs(3600),
        }
    }
}

/// Where Debian packages come from: flags, or else the machine's apt configuration.
#[derive(Clone, Debug, Default)]
pub struct DebianConfig {
    /// `--mirror`: base URL; `None` reads apt's configuration below [`apt_root`](Self::apt_root).
    pub mirror: Option<String>,
    /// `--suite`, in order of preference.
    pub suites: Vec<String>,
    /// `--component`; empty means `main`.
    pub components: Vec<String>,
    /// `--keyring`.
    pub keyring: Option<PathBuf>,
    /// Debian's name of the architecture; `None` follows [`EngineConfig::system`].
    pub architecture: Option<String>,
    /// The root that apt's configuration is looked for in (`etc/apt` below it), usually `/`.
    pub apt_root: PathBuf,
    /// Ask the mirror again even if the index at hand is recent.
    pub refresh: bool,
    /// A lock file to use instead of resolving.
    pub lock: Option<PathBuf>,
    /// Leave out packages marked Essential, which others may use without declaring it.
    pub no_essential: bool,
    /// Leave out what the packages asked for recommend.
    pub no_recommends: bool,
}

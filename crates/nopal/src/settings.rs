//! From environment and flags to what the engine must be told. Nothing below the roof reads either.

use crate::args::{BuildArgs, DebianArgs, EvalArgs, GlobalArgs};
use crate::env_vars;
use crate::error::CliError;
use crate::home::home;
use crate::nix_conf::{NixConf, processors};
use crate::ui;
use nopal_engine::{
    AutoArg, DebianConfig, Destination, Engine, EngineConfig, EvaluationCache, FlakeConfig, ObserveConfig,
};
use nopal_format::StoreDir;
use nopal_store::{Durability, StoreConfig};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Nix looks for its configuration unless a variable names another place.
const NIX_CONF_DIR: &str = "/etc/nix";
/// The state of Nix's store below its root.
const NIX_STATE_DIR: &str = "nix/var/nix";
/// The logs of Nix's store below its root.
const NIX_LOG_DIR: &str = "nix/var/log/nix";
/// An evaluation that takes less time than this is not worth a record: writing one takes as long.
const EVALUATION_WORTH: Duration = Duration::from_millis(10);
/// Below which root apt's configuration is looked for.
const APT_ROOT: &str = "/";

/// What is known so far of how to run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The store's folder, in nopal's layout.
    root: PathBuf,
    /// The store, if it is laid out otherwise.
    store: Option<StoreConfig>,
    /// The store for derivations, if it is another one.
    eval_store: Option<StoreConfig>,
    /// The name of a store for derivations that takes none.
    closed_store: Option<String>,
    cache: PathBuf,
    store_dir: StoreDir,
    working_dir: PathBuf,
    offline: bool,
    conf: NixConf,
    include: Vec<String>,
    read_only_eval: bool,
    leaves_memory: bool,
    debian: DebianConfig,
    /// Flakes that stand for others (`--override-flake`).
    flake_overrides: Vec<(String, String)>,
    /// See [`env_vars::NOPAL_EVAL_MEMORY`].
    max_eval_memory_bytes: Option<usize>,
    /// See [`env_vars::NOPAL_EVAL_CORES`].
    eval_cores: usize,
    notes: Vec<String>,
    /// The environment of programs that are run, if it is not that of this one.
    environment: Option<BTreeMap<OsString, OsString>>,
}

impl Settings {
    /// Reads the environment; flags of every command come on top.
    pub(crate) fn from_environment(global: &GlobalArgs) -> Result<Self, CliError> {
        let working_dir = std::env::current_dir().map_err(CliError::WorkingDir)?;
        let data = xdg(&env_vars::XDG_DATA_HOME, ".local/share");
        let cache = xdg(&env_vars::XDG_CACHE_HOME, ".cache");
        let root = match (&global.store, env_vars::NOPAL_STORE.get()) {
            (Some(flag), _) => flag.clone(),
            (None, Some(variable)) => variable.into(),
            (None, None) => data.ok_or(CliError::NoHome("the store", "NOPAL_STORE"))?.join("nopal"),
        };
        let cache = match env_vars::NOPAL_CACHE.get() {
            Some(variable) => variable.into(),
            None => cache.ok_or(CliError::NoHome("the cache", "NOPAL_CACHE"))?.join("nopal"),
        };
        let mut conf = NixConf::default();
        conf.read(&env_vars::NIX_CONFIG.text().unwrap_or_default(), Path::new("NIX_CONFIG"), has_search_path())?;
        // Nix has more settings than nopal has uses for
        conf.warnings.clear();
        if env_vars::NIX_ABORT_ON_WARN.flag() {
            conf.set("abort-on-warn", "true")?;
        }
        Ok(Self {
            root: working_dir.join(root),
            store: None,
            eval_store: None,
            closed_store: None,
            cache: working_dir.join(cache),
            store_dir: store_dir(&env_vars::NOPAL_STORE_DIR)?,
            offline: global.offline || env_vars::NOPAL_OFFLINE.flag(),
            working_dir,
            conf,
            include: Vec::new(),
            read_only_eval: false,
            leaves_memory: false,
            debian: DebianConfig { apt_root: PathBuf::from(APT_ROOT), ..DebianConfig::default() },
            flake_overrides: Vec::new(),
            max_eval_memory_bytes: env_vars::NOPAL_EVAL_MEMORY.text().map(|text| bytes(&text)).transpose()?,
            eval_cores: eval_cores()?,
            notes: home().note.clone().into_iter().collect(),
            environment: None,
        })
    }

    /// Takes what the commands by Nix's names read besides: nix.conf, `NIX_STORE_DIR` and `NIX_REMOTE`.
    pub(crate) fn under_nix_name(mut self) -> Result<Self, CliError> {
        if env_vars::NOPAL_STORE_DIR.get().is_none() {
            self.store_dir = store_dir(&env_vars::NIX_STORE_DIR)?;
        }
        if env_vars::NOPAL_CACHE.get().is_none() {
            let own = env_vars::NIX_CACHE_HOME.get().map(PathBuf::from);
            let cache = own.or_else(|| xdg(&env_vars::XDG_CACHE_HOME, ".cache").map(|dir| dir.join("nix")));
            self.cache = cache.map_or(self.cache, |cache| self.working_dir.join(cache));
        }
        let mut conf = NixConf::default();
        let system = env_vars::NIX_CONF_DIR.get().map_or_else(|| PathBuf::from(NIX_CONF_DIR), PathBuf::from);
        conf.read_file(&system.join("nix.conf"), has_search_path())?;
        for file in user_conf_files().iter().rev() {
            conf.read_file(file, has_search_path())?;
        }
        conf.read(&env_vars::NIX_CONFIG.text().unwrap_or_default(), Path::new("NIX_CONFIG"), has_search_path())?;
        if env_vars::NIX_ABORT_ON_WARN.flag() {
            conf.set("abort-on-warn", "true")?;
        }
        if has_search_path() {
            conf.set("nix-path", &split_nix_path(&env_vars::NIX_PATH.text().unwrap_or_default()).join(" "))?;
        }
        if let Some(remote) = env_vars::NIX_REMOTE.text() {
            conf.set("store", &remote)?;
        }
        self.conf = conf;
        Ok(self)
    }

    /// The configuration file of the machine, and those of the user, the most important first.
    pub(crate) fn conf_files() -> (PathBuf, Vec<PathBuf>) {
        let system = env_vars::NIX_CONF_DIR.get().map_or_else(|| PathBuf::from(NIX_CONF_DIR), PathBuf::from);
        (system.join("nix.conf"), user_conf_files())
    }

    /// Finds the place of the store that the setting `store` names, in Nix's layout.
    pub(crate) fn place(&mut self) -> Result<(), CliError> {
        let wish = StoreUri::parse(self.conf.text("store"), &self.working_dir)?;
        self.read_only_eval |= wish.dummy;
        if let Some(store_dir) = &wish.store {
            self.store_dir = StoreDir::new(store_dir).map_err(|error| CliError::Found(error.to_string()))?;
        }
        self.store = wish.config(&self.store_dir);
        Ok(())
    }

    /// Lets derivations go to another store.
    pub(crate) fn set_eval_store(&mut self, uri: &str) -> Result<(), CliError> {
        let wish = StoreUri::parse(uri, &self.working_dir)?;
        match (wish.dummy, wish.writable) {
            (false, _) => self.eval_store = wish.config(&self.store_dir),
            // what goes there is in memory only
            (true, true) => self.read_only_eval = true,
            (true, false) => self.closed_store = Some(uri.to_owned()),
        }
        Ok(())
    }

    /// The store that a URI names; `None` is the one that nothing else is said of.
    pub(crate) fn store_at(&self, uri: &str) -> Result<Option<StoreConfig>, CliError> {
        let config = StoreUri::parse(uri, &self.working_dir)?.config(&self.store_dir);
        Ok(config.map(|config| StoreConfig { durability: durability(&self.conf), ..config }))
    }

    /// Lets flakes stand for others.
    pub(crate) fn override_flakes(&mut self, overrides: &[(String, String)]) {
        self.flake_overrides.extend_from_slice(overrides);
    }

    /// Refuses to go on without an experimental feature.
    pub(crate) fn require(&self, feature: &str) -> Result<(), CliError> {
        if self.conf.has_feature(feature) {
            return Ok(());
        }
        Err(CliError::Found(format!(
            "experimental Nix feature '{feature}' is disabled; add '--extra-experimental-features {feature}' to enable it"
        )))
    }

    /// The settings by their names in nix.conf.
    pub(crate) fn conf(&self) -> &NixConf {
        &self.conf
    }

    /// The value of a setting as Nix prints it; some defaults follow from the machine.
    pub(crate) fn shown(&self, name: &'static str) -> String {
        match name {
            "system" if self.conf.get(name).is_none() => this_system(),
            _ => self.conf.text(name).to_owned(),
        }
    }

    /// The store as Nix names it.
    pub(crate) fn store_url(&self) -> String {
        match self.conf.text("store") {
            "auto" | "" | "daemon" => "local".to_owned(),
            path if path.starts_with('/') => format!("local://{path}"),
            other => other.to_owned(),
        }
    }

    /// Takes what is to be warned of.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.append(&mut self.conf.warnings);
        notes
    }

    /// Adds flags of evaluation.
    pub(crate) fn with_eval(mut self, args: &EvalArgs) -> Result<Self, CliError> {
        for pair in args.option.chunks_exact(2) {
            self.set(&pair[0], &pair[1])?;
        }
        for features in &args.extra_experimental_features {
            self.set("extra-experimental-features", features)?;
        }
        self.include.extend(args.include.iter().cloned());
        if let Some(system) = &args.system {
            self.set("system", system)?;
        }
        for (flag, setting) in
            [(args.show_trace, "show-trace"), (args.pure_eval, "pure-eval"), (args.restrict_eval, "restrict-eval")]
        {
            if flag {
                self.set(setting, "true")?;
            }
        }
        if let Some(cores) = args.eval_cores {
            self.eval_cores = cores;
        }
        if args.no_eval_cache {
            self.set("eval-cache", "false")?;
        }
        Ok(self)
    }

    /// Adds flags of building.
    pub(crate) fn with_build(mut self, args: &BuildArgs) -> Result<Self, CliError> {
        for (name, value) in [
            ("max-jobs", args.max_jobs.map(|number| number.to_string())),
            ("cores", args.cores.map(|number| number.to_string())),
            ("timeout", args.timeout.map(|number| number.to_string())),
            ("max-silent-time", args.max_silent_time.map(|number| number.to_string())),
            // nix.conf alone does not switch the sandbox off: that takes the flag
            ("sandbox", Some((!args.no_sandbox).to_string())),
            ("keep-going", args.keep_going.then(|| "true".to_owned())),
            ("keep-failed", args.keep_failed.then(|| "true".to_owned())),
        ] {
            if let Some(value) = value {
                self.set(name, &value)?;
            }
        }
        Ok(self)
    }

    /// Adds flags of Debian packages.
    pub(crate) fn with_debian(mut self, args: &DebianArgs) -> Self {
        self.debian.mirror.clone_from(&args.mirror);
        self.debian.suites.clone_from(&args.suite);
        self.debian.components.clone_from(&args.component);
        self.debian.keyring = args.keyring.as_ref().map(|path| self.working_dir.join(path));
        self.debian.refresh = args.refresh;
        self.debian.lock.clone_from(&args.lock);
        self.debian.no_recommends = args.no_recommends;
        self
    }

    /// Sets the environment of programs that are run.
    pub(crate) fn set_environment(&mut self, environment: BTreeMap<OsString, OsString>) {
        self.environment = Some(environment);
    }

    /// Resolves relative paths of expressions from here.
    pub(crate) fn set_base(&mut self, folder: PathBuf) {
        self.working_dir = folder;
    }

    /// Evaluates without writing to the store.
    pub(crate) fn evaluate_read_only(&mut self, read_only: bool) {
        self.read_only_eval |= read_only;
    }

    /// Leaves what the only evaluation makes to the system: the process ends then.
    pub(crate) fn leave_memory(&mut self) {
        self.leaves_memory = true;
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> &Path {
        &self.root
    }

    /// The cache's folder.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Where the REPL remembers lines.
    pub(crate) fn repl_history() -> Result<PathBuf, CliError> {
        let data = xdg(&env_vars::XDG_DATA_HOME, ".local/share");
        Ok(data.ok_or(CliError::NoHome("the history", "XDG_DATA_HOME"))?.join("nopal/repl-history"))
    }

    /// A path of the command line, made absolute.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.working_dir.join(path)
    }

    /// Sets a setting by its name in nix.conf; an unknown one is noted and passed over, as Nix does.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), CliError> {
        self.conf.set(name, value)
    }

    /// Opens the engine; progress goes where `style` says.
    pub(crate) fn open(self, style: ui::Style) -> Result<Engine, CliError> {
        let reporter = ui::reporter(style);
        for note in self.notes.iter().chain(&self.conf.warnings) {
            reporter.warn(note.clone());
        }
        Ok(Engine::new(self.engine_config(reporter))?)
    }

    fn engine_config(self, reporter: nopal_report::Reporter) -> EngineConfig {
        let conf = self.conf;
        let search_path = match (env_vars::NIX_PATH.text(), conf.get("nix-path")) {
            (_, Some(words)) => words.split_whitespace().map(str::to_owned).collect(),
            (text, None) => split_nix_path(&text.unwrap_or_default()),
        };
        let durability = durability(&conf);
        let store = self.store.unwrap_or_else(|| StoreConfig::at(&self.root, self.store_dir.clone()));
        EngineConfig {
            store: StoreConfig { durability, ..store },
            store_dir: self.store_dir,
            eval_store: self.eval_store.map(|store| StoreConfig { durability, ..store }),
            closed_store: self.closed_store,
            cache_dir: self.cache,
            working_dir: self.working_dir,
            home: home().path.clone(),
            environment: self.environment.unwrap_or_else(|| std::env::vars_os().collect()),
            observe: observe(&conf),
            system: conf.get("system").map_or_else(this_system, str::to_owned),
            eval_system: Some(conf.text("eval-system")).filter(|text| !text.is_empty()).map(str::to_owned),
            nix_path: self.include.into_iter().chain(search_path).collect(),
            experimental_features: conf.words("experimental-features"),
            pure_eval: conf.flag("pure-eval"),
            restrict_eval: conf.flag("restrict-eval"),
            import_from_derivation: conf.flag("allow-import-from-derivation"),
            trace_import_from_derivation: conf.flag("trace-import-from-derivation"),
            max_call_depth: conf.text("max-call-depth").parse().unwrap_or(u32::MAX),
            max_eval_memory_bytes: self.max_eval_memory_bytes,
            collect_after_bytes: None,
            eval_threads: if self.eval_cores == 0 { processors() } else { self.eval_cores },
            lint_url_literals: conf.lint("lint-url-literals"),
            lint_absolute_path_literals: conf.lint("lint-absolute-path-literals"),
            lint_short_path_literals: conf.lint("lint-short-path-literals"),
            trace_verbose: conf.flag("trace-verbose"),
            abort_on_warn: conf.flag("abort-on-warn"),
            allowed_uris: conf.words("allowed-uris"),
            show_trace: conf.flag("show-trace"),
            read_only_eval: self.read_only_eval,
            leaves_memory: self.leaves_memory,
            evaluation_cache: evaluation_cache(&conf),
            parsed_sources: if env_vars::NOPAL_NO_PARSE_CACHE.flag() { None } else { this_program() },
            sandbox: conf.text("sandbox") != "false",
            max_jobs: conf.number("max-jobs").unwrap_or_else(processors),
            cores: conf.number("cores").unwrap_or(0),
            keep_going: conf.flag("keep-going"),
            keep_failed: conf.flag("keep-failed"),
            build_dir: Some(conf.text("build-dir")).filter(|text| !text.is_empty()).map(PathBuf::from),
            secret_key_files: conf.words("secret-key-files").into_iter().map(PathBuf::from).collect(),
            auto_optimise: conf.flag("auto-optimise-store"),
            max_log_bytes: conf.number("max-build-log-size").filter(|bytes| *bytes != 0),
            post_build_hook: Some(conf.text("post-build-hook")).filter(|text| !text.is_empty()).map(PathBuf::from),
            timeout: conf.seconds("timeout"),
            max_silent_time: conf.seconds("max-silent-time"),
            offline: self.offline,
            downloads: downloads(&conf),
            trusted_public_keys: conf.words("trusted-public-keys"),
            require_sigs: conf.flag("require-sigs"),
            substituters: if conf.flag("substitute") { conf.words("substituters") } else { Vec::new() },
            fallback: conf.flag("fallback"),
            debian: self.debian,
            flakes: flake_config(&conf, self.flake_overrides),
            reporter,
        }
    }
}

/// The platform of this machine.
fn this_system() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// A value of a URI with its `%XX` decoded.
fn decode_percent(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The threads that evaluate, as the environment says.
fn eval_cores() -> Result<usize, CliError> {
    match env_vars::NOPAL_EVAL_CORES.text() {
        None => Ok(1),
        Some(text) => text.parse().map_err(|_| {
            CliError::Found(format!(
                "'{text}' in NOPAL_EVAL_CORES is no number of threads; write one, or 0 for all processors"
            ))
        }),
    }
}

/// A number of bytes, possibly with a unit of 1024, 1024² or 1024³ behind it.
fn bytes(text: &str) -> Result<usize, CliError> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = ["", "K", "M", "G"].iter().position(|known| known.eq_ignore_ascii_case(unit));
    let number = digits.parse::<usize>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1 << (10 * shift)));
    number.ok_or_else(|| CliError::Found(format!("'{text}' is no amount of memory; write bytes, or 512M or 2G")))
}

/// What concerns flakes.
fn flake_config(conf: &NixConf, overrides: Vec<(String, String)>) -> FlakeConfig {
    let system = env_vars::NIX_CONF_DIR.get().map_or_else(|| PathBuf::from(NIX_CONF_DIR), PathBuf::from);
    FlakeConfig {
        use_registries: conf.flag("use-registries"),
        global_registry: conf.text("flake-registry").to_owned(),
        user_registry: xdg(&env_vars::XDG_CONFIG_HOME, ".config").map(|dir| dir.join("nix/registry.json")),
        system_registry: Some(system.join("registry.json")),
        overrides,
        allow_dirty: conf.flag("allow-dirty"),
        warn_dirty: conf.flag("warn-dirty"),
        allow_dirty_locks: conf.flag("allow-dirty-locks"),
        accept_config: conf.flag("accept-flake-config"),
        commit_summary: conf.text("commit-lock-file-summary").to_owned(),
        tarball_ttl: Duration::from_secs(conf.text("tarball-ttl").parse().unwrap_or(u64::MAX)),
    }
}

/// Whether the environment has a search path, which comes before that of the configuration.
fn has_search_path() -> bool {
    std::env::var_os(env_vars::NIX_PATH.name).is_some()
}

/// The configuration files of the user, the most important first.
fn user_conf_files() -> Vec<PathBuf> {
    if let Some(files) = env_vars::NIX_USER_CONF_FILES.get() {
        return std::env::split_paths(&files).filter(|file| !file.as_os_str().is_empty()).collect();
    }
    let further = env_vars::XDG_CONFIG_DIRS.get().unwrap_or_else(|| "/etc/xdg".into());
    let home = xdg(&env_vars::XDG_CONFIG_HOME, ".config");
    home.into_iter().chain(std::env::split_paths(&further)).map(|dir| dir.join("nix/nix.conf")).collect()
}

/// A store as the setting `store` names it.
#[derive(Debug, Default, PartialEq, Eq)]
struct StoreUri {
    root: Option<PathBuf>,
    real: Option<PathBuf>,
    state: Option<PathBuf>,
    log: Option<PathBuf>,
    /// The logical store directory.
    store: Option<String>,
    /// A store that holds nothing.
    dummy: bool,
    /// Whether it takes something all the same.
    writable: bool,
}

impl StoreUri {
    /// Where the store is, if that is not nopal's own place.
    fn config(self, store_dir: &StoreDir) -> Option<StoreConfig> {
        let state_dir = || {
            let local = || env_vars::NIX_LOCALSTATE_DIR.get().map(|dir| PathBuf::from(dir).join("nix"));
            env_vars::NIX_STATE_DIR.get().map(PathBuf::from).or_else(local)
        };
        match (self.root, state_dir()) {
            // the folder is nopal's own, as with `nopal --store`
            (Some(root), _) if nopal_fs::exists(&root.join("var/db.sqlite")) => {
                Some(StoreConfig::at(&root, store_dir.clone()))
            }
            (Some(root), _) => {
                let below = |place: &str| root.join(place.trim_start_matches('/'));
                let physical = self.real.unwrap_or_else(|| below(StoreDir::default().as_str()));
                let state = self.state.unwrap_or_else(|| below(NIX_STATE_DIR));
                let log = self.log.unwrap_or_else(|| below(NIX_LOG_DIR));
                Some(StoreConfig::like_nix(physical, state, log, store_dir.clone()))
            }
            (None, Some(state)) if env_vars::NOPAL_STORE.get().is_none() => {
                let log = env_vars::NIX_LOG_DIR.get().map_or_else(|| state.join("../log/nix"), PathBuf::from);
                let physical = self.real.unwrap_or_else(|| PathBuf::from(store_dir.as_str()));
                Some(StoreConfig::like_nix(physical, state, log, store_dir.clone()))
            }
            (None, _) => None,
        }
    }

    fn parse(text: &str, working_dir: &Path) -> Result<Self, CliError> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let mut uri = Self::default();
        match place {
            "" | "auto" | "local" | "daemon" | "unix://" => {}
            _ if place.starts_with("dummy://") => uri.dummy = true,
            _ => {
                let path = match place.strip_prefix("local://") {
                    Some(encoded) => decode_percent(encoded),
                    None => place.to_owned(),
                };
                if path.contains("://") || !(path.starts_with('/') || path.starts_with("./")) {
                    return Err(CliError::Found(format!("don't know how to open Nix store '{text}'")));
                }
                uri.root = Some(working_dir.join(path));
            }
        }
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let text = decode_percent(value);
            let value = Some(PathBuf::from(&text));
            match name {
                "store" => uri.store = Some(text),
                "root" => uri.root = value,
                "real" => uri.real = value,
                "state" => uri.state = value,
                "log" => uri.log = value,
                "read-only" => uri.writable = text == "false",
                _ => {}
            }
        }
        Ok(uri)
    }
}

/// What of an addition to a store is to survive a power cut.
fn durability(conf: &NixConf) -> Durability {
    Durability {
        contents: conf.flag("fsync-store-paths") || conf.flag("sync-before-registering"),
        database: conf.flag("fsync-metadata"),
    }
}

/// What is to be observed of evaluations.
fn observe(conf: &NixConf) -> ObserveConfig {
    let statistics = env_vars::NIX_SHOW_STATS.flag().then(|| match env_vars::NIX_SHOW_STATS_PATH.get() {
        Some(path) if path != "-" => Destination::File(path.into()),
        _ => Destination::Messages,
    });
    let profile = (conf.text("eval-profiler") == "flamegraph").then(|| {
        let frequency = conf.text("eval-profiler-frequency").parse().unwrap_or(0);
        (frequency, PathBuf::from(conf.text("eval-profile-file")))
    });
    ObserveConfig {
        statistics,
        count_calls: env_vars::NIX_COUNT_CALLS.flag(),
        symbols: env_vars::NIX_SHOW_SYMBOLS.flag(),
        trace_calls: conf.flag("trace-function-calls"),
        profile,
    }
}

/// How answers of evaluations are kept, unless the environment forbids it.
fn evaluation_cache(conf: &NixConf) -> Option<EvaluationCache> {
    // what is to be observed has to happen
    if !conf.flag("eval-cache") || env_vars::NOPAL_NO_EVAL_CACHE.flag() || observe(conf).is_on() {
        return None;
    }
    Some(EvaluationCache { program: this_program()?, worth: EVALUATION_WORTH })
}

/// Tells this program from every other build of it.
fn this_program() -> Option<String> {
    // Another build of the same version may evaluate otherwise. The change time would be surer than that of creation, but
    // making a hard link moves it.
    let program = nopal_fs::metadata(Path::new("/proc/self/exe")).ok()?;
    let created = program.created().map(|time| format!("{time:?}"));
    let created = created.unwrap_or_else(|_| format!("{}.{}", program.ctime(), program.ctime_nsec()));
    Some(format!(
        "{} {}:{} {} {}.{} {created}",
        env!("CARGO_PKG_VERSION"),
        program.dev(),
        program.ino(),
        program.size(),
        program.mtime(),
        program.mtime_nsec(),
    ))
}

/// How to download.
fn downloads(conf: &NixConf) -> nopal_fetch::FetchConfig {
    let default = nopal_fetch::FetchConfig::default();
    nopal_fetch::FetchConfig {
        proxies: proxies(),
        ca_files: env_vars::SSL_CERT_FILE.get().map(PathBuf::from).into_iter().collect(),
        connect_timeout: conf.seconds("connect-timeout").unwrap_or(default.connect_timeout),
        stall_timeout: conf.seconds("stalled-download-timeout").unwrap_or(default.stall_timeout),
        retries: conf.number("download-attempts").map_or(default.retries, |attempts: u32| attempts.saturating_sub(1)),
        ..default
    }
}

/// Proxies as the environment names them; `all_proxy` stands in for the others.
fn proxies() -> nopal_fetch::Proxies {
    let all = env_vars::ALL_PROXY.text();
    nopal_fetch::Proxies {
        http: env_vars::HTTP_PROXY.text().or_else(|| all.clone()),
        https: env_vars::HTTPS_PROXY.text().or(all),
        direct: env_vars::NO_PROXY.text(),
    }
}

/// The arguments that `--arg` and `--argstr` give.
pub(crate) fn auto_args(args: &EvalArgs) -> Vec<AutoArg> {
    let expressions = args.arg.chunks_exact(2).map(|p| AutoArg::Expr { name: p[0].clone(), text: p[1].clone() });
    let strings = args.argstr.chunks_exact(2).map(|p| AutoArg::Str { name: p[0].clone(), value: p[1].clone() });
    expressions.chain(strings).collect()
}

/// Splits `NIX_PATH` at colons, but not at those of URLs, as Nix does.
fn split_nix_path(text: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for piece in text.split(':') {
        match entries.last_mut() {
            Some(last) if (piece.starts_with("//") && ends_in_scheme(last)) || is_named(last) => {
                last.push(':');
                last.push_str(piece);
            }
            _ => entries.push(piece.to_owned()),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

/// Whether an entry is all that stands before the name of a flake or channel.
fn is_named(entry: &str) -> bool {
    matches!(entry.split_once('=').map_or(entry, |(_, value)| value), "flake" | "channel")
}

/// Whether an entry ends in what stands before `://`.
fn ends_in_scheme(entry: &str) -> bool {
    let scheme = entry.rsplit('=').next().unwrap_or_default();
    !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn xdg(variable: &env_vars::EnvVar, below_home: &str) -> Option<PathBuf> {
    // the specification: a relative path is ignored
    let set = variable.get().map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| home().path.as_ref().map(|home| home.join(below_home)))
}

fn store_dir(variable: &env_vars::EnvVar) -> Result<StoreDir, CliError> {
    match variable.text() {
        None => Ok(StoreDir::default()),
        Some(path) => StoreDir::new(&path).map_err(|error| CliError::usage(format!("{}: {error}", variable.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Durability, NixConf, durability, split_nix_path};

    #[test]
    fn what_is_added_is_durable_unless_settings_say_otherwise() {
        let with = |settings: &[(&str, &str)]| {
            let mut conf = NixConf::default();
            settings.iter().for_each(|(name, value)| conf.set(name, value).unwrap());
            durability(&conf)
        };
        assert_eq!(with(&[]), Durability::FULL);
        let unsynced = ("fsync-store-paths", "false");
        assert_eq!(with(&[unsynced]), Durability { contents: false, database: true });
        assert_eq!(with(&[unsynced, ("sync-before-registering", "true")]), Durability::FULL);
        assert_eq!(with(&[unsynced, ("fsync-metadata", "false")]), Durability::NONE);
    }

    #[test]
    fn urls_in_the_search_path_keep_their_colons() {
        assert_eq!(split_nix_path("a=/x:b=https://h/y:/z::"), ["a=/x", "b=https://h/y", "/z"]);
        assert_eq!(split_nix_path("a=flake:b:c=channel:d:/e"), ["a=flake:b", "c=channel:d", "/e"]);
    }
}

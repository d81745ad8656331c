//! From environment and flags to what the engine must be told. Nothing below the roof reads either.

use crate::args::{BuildArgs, DebianArgs, EvalArgs, GlobalArgs};
use crate::env_vars;
use crate::error::CliError;
use crate::nix_conf::{Known, NixConf, processors};
use crate::ui;
use nopal_engine::{AutoArg, DebianConfig, Engine, EngineConfig, Lint};
use nopal_format::StoreDir;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nix's default for `max-call-depth`.
const MAX_CALL_DEPTH: u32 = 10_000;
/// Below which root apt's configuration is looked for.
const APT_ROOT: &str = "/";

/// What is known so far of how to run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    store: PathBuf,
    cache: PathBuf,
    store_dir: StoreDir,
    working_dir: PathBuf,
    offline: bool,
    conf: NixConf,
    include: Vec<String>,
    read_only_eval: bool,
    debian: DebianConfig,
    notes: Vec<String>,
}

impl Settings {
    /// Reads the environment; flags of every command come on top.
    pub(crate) fn from_environment(global: &GlobalArgs) -> Result<Self, CliError> {
        let working_dir = std::env::current_dir().map_err(CliError::WorkingDir)?;
        let data = xdg(&env_vars::XDG_DATA_HOME, ".local/share");
        let cache = xdg(&env_vars::XDG_CACHE_HOME, ".cache");
        let store = match (&global.store, env_vars::NOPAL_STORE.get()) {
            (Some(flag), _) => flag.clone(),
            (None, Some(variable)) => variable.into(),
            (None, None) => data.ok_or(CliError::NoHome("the store", "NOPAL_STORE"))?.join("nopal"),
        };
        let cache = match env_vars::NOPAL_CACHE.get() {
            Some(variable) => variable.into(),
            None => cache.ok_or(CliError::NoHome("the cache", "NOPAL_CACHE"))?.join("nopal"),
        };
        let mut conf = NixConf::default();
        conf.read(&env_vars::NIX_CONFIG.text().unwrap_or_default())?;
        if env_vars::NIX_ABORT_ON_WARN.flag() {
            conf.abort_on_warn = Some(true);
        }
        Ok(Self {
            store: working_dir.join(store),
            cache: working_dir.join(cache),
            store_dir: store_dir(&env_vars::NOPAL_STORE_DIR)?,
            offline: global.offline || env_vars::NOPAL_OFFLINE.flag(),
            working_dir,
            conf,
            include: Vec::new(),
            read_only_eval: false,
            debian: DebianConfig { apt_root: PathBuf::from(APT_ROOT), ..DebianConfig::default() },
            notes: Vec::new(),
        })
    }

    /// Takes what the commands by Nix's names read besides: `NIX_STORE_DIR` and `NIX_REMOTE`.
    pub(crate) fn under_nix_name(mut self) -> Result<Self, CliError> {
        if env_vars::NOPAL_STORE_DIR.get().is_none() {
            self.store_dir = store_dir(&env_vars::NIX_STORE_DIR)?;
        }
        self.read_only_eval |= env_vars::NIX_REMOTE.text().is_some_and(|remote| remote.starts_with("dummy://"));
        Ok(self)
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
        self.conf.system = args.system.clone().or(self.conf.system);
        for (flag, setting) in [
            (args.show_trace, &mut self.conf.show_trace),
            (args.pure_eval, &mut self.conf.pure_eval),
            (args.restrict_eval, &mut self.conf.restrict_eval),
        ] {
            if flag {
                *setting = Some(true);
            }
        }
        Ok(self)
    }

    /// Adds flags of building.
    pub(crate) fn with_build(mut self, args: &BuildArgs) -> Self {
        let conf = &mut self.conf;
        conf.max_jobs = args.max_jobs.or(conf.max_jobs);
        conf.cores = args.cores.or(conf.cores);
        conf.timeout = args.timeout.map(Duration::from_secs).or(conf.timeout);
        conf.max_silent_time = args.max_silent_time.map(Duration::from_secs).or(conf.max_silent_time);
        // nix.conf alone does not switch the sandbox off: that takes the flag
        conf.sandbox = Some(!args.no_sandbox);
        for (flag, setting) in [(args.keep_going, &mut conf.keep_going), (args.keep_failed, &mut conf.keep_failed)] {
            if flag {
                *setting = Some(true);
            }
        }
        self
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

    /// Evaluates without writing to the store.
    pub(crate) fn evaluate_read_only(&mut self, read_only: bool) {
        self.read_only_eval |= read_only;
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> &Path {
        &self.store
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
        if self.conf.set(name, value)? == Known::No {
            self.notes.push(format!("unknown setting '{name}'"));
        }
        Ok(())
    }

    /// Opens the engine; progress goes where `style` says.
    pub(crate) fn open(self, style: ui::Style) -> Result<Engine, CliError> {
        let reporter = ui::reporter(style);
        for note in &self.notes {
            reporter.warn(note.clone());
        }
        Ok(Engine::new(self.engine_config(reporter))?)
    }

    fn engine_config(self, reporter: nopal_report::Reporter) -> EngineConfig {
        let conf = self.conf;
        let search_path =
            conf.nix_path.unwrap_or_else(|| split_nix_path(&env_vars::NIX_PATH.text().unwrap_or_default()));
        EngineConfig {
            store_dir: self.store_dir,
            store_root: self.store,
            cache_dir: self.cache,
            working_dir: self.working_dir,
            environment: std::env::vars_os().collect(),
            system: conf.system.unwrap_or_else(|| format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
            nix_path: self.include.into_iter().chain(search_path).collect(),
            experimental_features: conf.experimental_features,
            pure_eval: conf.pure_eval.unwrap_or(false),
            restrict_eval: conf.restrict_eval.unwrap_or(false),
            import_from_derivation: conf.allow_import_from_derivation.unwrap_or(true),
            max_call_depth: conf.max_call_depth.unwrap_or(MAX_CALL_DEPTH),
            lint_url_literals: conf.lint_url_literals.unwrap_or(Lint::Ignore),
            lint_absolute_path_literals: conf.lint_absolute_path_literals.unwrap_or(Lint::Ignore),
            lint_short_path_literals: conf.lint_short_path_literals.unwrap_or(Lint::Ignore),
            trace_verbose: conf.trace_verbose.unwrap_or(false),
            abort_on_warn: conf.abort_on_warn.unwrap_or(false),
            allowed_uris: conf.allowed_uris,
            show_trace: conf.show_trace.unwrap_or(false),
            read_only_eval: self.read_only_eval,
            sandbox: conf.sandbox.unwrap_or(true),
            max_jobs: conf.max_jobs.unwrap_or_else(processors),
            cores: conf.cores.unwrap_or(0),
            keep_going: conf.keep_going.unwrap_or(false),
            keep_failed: conf.keep_failed.unwrap_or(false),
            timeout: conf.timeout.filter(|limit| !limit.is_zero()),
            max_silent_time: conf.max_silent_time.filter(|limit| !limit.is_zero()),
            offline: self.offline,
            mirrors: BTreeMap::new(),
            proxies: proxies(),
            ca_files: env_vars::SSL_CERT_FILE.get().map(PathBuf::from).into_iter().collect(),
            debian: self.debian,
            reporter,
        }
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
            Some(last) if piece.starts_with("//") && ends_in_scheme(last) => {
                last.push(':');
                last.push_str(piece);
            }
            _ => entries.push(piece.to_owned()),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

/// Whether an entry ends in what stands before `://`.
fn ends_in_scheme(entry: &str) -> bool {
    let scheme = entry.rsplit('=').next().unwrap_or_default();
    !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn xdg(variable: &env_vars::EnvVar, below_home: &str) -> Option<PathBuf> {
    // the specification: a relative path is ignored
    let set = variable.get().map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| env_vars::HOME.get().map(|home| PathBuf::from(home).join(below_home)))
}

fn store_dir(variable: &env_vars::EnvVar) -> Result<StoreDir, CliError> {
    match variable.text() {
        None => Ok(StoreDir::default()),
        Some(path) => StoreDir::new(&path).map_err(|error| CliError::usage(format!("{}: {error}", variable.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::split_nix_path;

    #[test]
    fn urls_in_the_search_path_keep_their_colons() {
        assert_eq!(split_nix_path("a=/x:b=https://h/y:/z::"), ["a=/x", "b=https://h/y", "/z"]);
    }
}

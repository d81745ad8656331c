//! A folder with everything an evaluation can depend on, and engines that evaluate it with and without records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nopal_engine::{
    AutoArg, DebianConfig, Engine, EngineConfig, EvalFormat, EvalRequest, EvaluationCache, Installable, Lint, Source,
};
use nopal_report::{Event, Level, Reporter, Sink};

/// What an evaluation comes to, and what it shows meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Standard output, or the error.
    pub(crate) result: Result<String, String>,
    /// Messages, in order.
    pub(crate) messages: Vec<String>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answered {
    /// From an evaluation.
    #[default]
    Evaluated,
    /// In part from a record.
    InPart,
    /// From a record.
    Recorded,
}

/// An edit that happens while an evaluation shows its first message.
pub(crate) type Meanwhile = Box<dyn FnOnce() + Send>;

/// A folder to evaluate in.
pub(crate) struct World {
    dir: tempfile::TempDir,
    /// The environment of the evaluation.
    pub(crate) environment: BTreeMap<String, String>,
    /// The argument `flag`.
    pub(crate) flag: String,
    /// Whether memory is collected whenever some is taken.
    pub(crate) always_collect: bool,
}

#[derive(Default)]
struct Seen {
    messages: Mutex<Vec<String>>,
    answered: Mutex<Answered>,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Sink for Seen {
    fn event(&self, event: Event) {
        match event {
            Event::Message { level: Level::Info, text } if text.starts_with("nothing has changed") => {
                *self.answered.lock().unwrap() = Answered::Recorded;
            }
            Event::Message { level: Level::Info, text } if text.ends_with("changed since this was evaluated") => {
                *self.answered.lock().unwrap() = Answered::InPart;
            }
            Event::Message { text, .. } => {
                self.messages.lock().unwrap().push(text);
                if let Some(edit) = self.meanwhile.lock().unwrap().take() {
                    edit();
                }
            }
            _ => {}
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("source")).unwrap();
        Self { dir, environment: BTreeMap::new(), flag: "none".to_owned(), always_collect: false }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("source").join(below)
    }

    /// The folder of the records.
    pub(crate) fn records(&self) -> PathBuf {
        self.dir.path().join("cache/evaluations")
    }

    /// An engine on the folder. Stores are apart, so that no evaluation finds what the other wrote.
    pub(crate) fn engine(&self, recorded: bool, read_only: bool, seen: Reporter) -> Engine {
        let environment = self.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (store, cache) = if recorded { ("store", "cache") } else { ("plain-store", "plain-cache") };
        Engine::new(EngineConfig {
            store_dir: nopal_format::StoreDir::default(),
            store: nopal_store::StoreConfig::at(&self.dir.path().join(store), nopal_format::StoreDir::default()),
            cache_dir: self.dir.path().join(cache),
            working_dir: self.path(""),
            home: None,
            environment,
            system: "x86_64-linux".to_owned(),
            eval_system: None,
            nix_path: vec![format!("search={}", self.path("data").display())],
            experimental_features: Vec::new(),
            pure_eval: false,
            restrict_eval: false,
            import_from_derivation: true,
            trace_import_from_derivation: false,
            max_call_depth: 10_000,
            leaves_memory: false,
            max_eval_memory_bytes: None,
            collect_after_bytes: self.always_collect.then_some(0),
            eval_threads: 1,
            eval_store: None,
            closed_store: None,
            build_dir: None,
            substituters: Vec::new(),
            fallback: false,
            lint_url_literals: Lint::Ignore,
            lint_absolute_path_literals: Lint::Ignore,
            lint_short_path_literals: Lint::Ignore,
            trace_verbose: false,
            abort_on_warn: false,
            allowed_uris: Vec::new(),
            show_trace: false,
            read_only_eval: read_only,
            evaluation_cache: recorded.then(|| EvaluationCache { program: "test".to_owned(), worth: Duration::ZERO }),
            parsed_sources: recorded.then(|| "test".to_owned()),
            sandbox: true,
            max_jobs: 1,
            cores: 1,
            keep_going: false,
            keep_failed: false,
            secret_key_files: Vec::new(),
            auto_optimise: false,
            max_log_bytes: None,
            post_build_hook: None,
            timeout: None,
            max_silent_time: None,
            offline: true,
            downloads: nopal_fetch::FetchConfig::default(),
            trusted_public_keys: Vec::new(),
            require_sigs: true,
            debian: DebianConfig { apt_root: self.path(""), ..DebianConfig::default() },
            flakes: nopal_engine::FlakeConfig::default(),
            observe: nopal_engine::ObserveConfig::default(),
            reporter: seen,
        })
        .unwrap()
    }

    /// Evaluates `source`.
    pub(crate) fn evaluate(
        &self,
        recorded: bool,
        read_only: bool,
        source: &Source,
        meanwhile: Option<Meanwhile>,
    ) -> (Outcome, Answered) {
        let seen = Arc::new(Seen { meanwhile: Mutex::new(meanwhile), ..Seen::default() });
        let engine = self.engine(recorded, read_only, Reporter::new(seen.clone()));
        let args = vec![AutoArg::Str { name: "flag".to_owned(), value: self.flag.clone() }];
        let result = if read_only {
            let request = EvalRequest {
                source: source.clone(),
                attr_path: String::new(),
                args,
                habits: nopal_engine::Habits::Instantiate,
                format: EvalFormat::Json,
                strict: true,
            };
            engine.eval(&request).map(|bytes| String::from_utf8(bytes).unwrap())
        } else {
            let what = Installable::Attr { source: source.clone(), attr_path: "drv".to_owned() };
            engine.instantiate(&what, &args).map(|wanted| {
                for one in &wanted {
                    assert!(engine.store().unwrap().is_valid(&one.drv_path).unwrap(), "{one:?} was not written");
                }
                format!("{wanted:?}")
            })
        };
        // where the two stores lie is the one difference that there may be
        let neutral = |text: &str| text.replace("plain-store", "store");
        let messages = seen.messages.lock().unwrap().iter().map(|text| neutral(text)).collect();
        let result = result.map_err(|error| neutral(&error.to_string()));
        let answered = *seen.answered.lock().unwrap();
        (Outcome { result, messages }, answered)
    }

    /// Evaluates with and without records and compares; says where the answer came from.
    pub(crate) fn compared(&self, read_only: bool, source: &Source, what: &str) -> Answered {
        let (plain, _) = self.evaluate(false, read_only, source, None);
        let (recorded, answered) = self.evaluate(true, read_only, source, None);
        assert_eq!(recorded, plain, "{what} ({answered:?})");
        answered
    }

    /// The same; says whether a record answered.
    pub(crate) fn compare(&self, read_only: bool, source: &Source, what: &str) -> bool {
        self.compared(read_only, source, what) == Answered::Recorded
    }
}

/// Writes a file, making what is above it; does nothing where something is in the way.
pub(crate) fn write(path: &Path, text: &str) {
    if let Some(parent) = path.parent() {
        let _ = std::fs::create_dir_all(parent);
    }
    let _ = std::fs::write(path, text);
}

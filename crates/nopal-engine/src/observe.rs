//! What is known of evaluations beside their results: statistics and profiles, told when an engine is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nopal_eval::{Evaluator, FunctionCalls, Observe, Statistics};
use nopal_report::{Level, Reporter};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use crate::config::EngineConfig;

/// Where something goes that is told at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard error.
    Messages,
    /// A file, which is replaced.
    File(PathBuf),
}

/// What is observed of evaluations, and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObserveConfig {
    /// Statistics as JSON.
    pub statistics: Option<Destination>,
    /// Whether they tell how often each function was called.
    pub count_calls: bool,
    /// Whether they have all names, in place of their number.
    pub symbols: bool,
    /// Whether every call is told when it begins and ends.
    pub trace_calls: bool,
    /// Frequency in hertz, and file, of the profile.
    pub profile: Option<(u32, PathBuf)>,
}

impl ObserveConfig {
    /// Whether anything is observed.
    pub fn is_on(&self) -> bool {
        *self != Self::default()
    }

    /// What the evaluator must do for it.
    pub(crate) fn observe(&self) -> Observe {
        Observe {
            counters: self.statistics.is_some(),
            trace_calls: self.trace_calls,
            profile_hz: self.profile.as_ref().map(|(frequency, _)| *frequency),
        }
    }
}

/// What the evaluations of an engine have come to. Dropped, it goes where it should.
#[derive(Debug)]
pub(crate) struct Observed {
    config: ObserveConfig,
    working_dir: PathBuf,
    reporter: Reporter,
    statistics: Option<Statistics>,
    names: Vec<String>,
    profile: Option<Vec<u8>>,
}

impl Observed {
    /// Nothing yet.
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            config: config.observe.clone(),
            working_dir: config.working_dir.clone(),
            reporter: config.reporter.clone(),
            statistics: None,
            names: Vec::new(),
            profile: None,
        }
    }

    /// Keeps what an evaluation that is over has come to: the statistics of the last one, the profiles of all.
    pub(crate) fn keep(&mut self, evaluator: &Evaluator) {
        let Some(statistics) = evaluator.statistics() else { return };
        self.statistics = Some(statistics);
        if self.config.symbols {
            self.names = evaluator.all_names();
        }
        if let Some(profile) = evaluator.profile() {
            self.profile.get_or_insert_default().extend(profile);
        }
    }

    fn write(&self, path: &Path, contents: &[u8]) {
        if let Err(error) = nopal_fs::write(&self.working_dir.join(path), contents) {
            self.reporter.warn(error.to_string());
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let (Some((_, path)), Some(profile)) = (&self.config.profile, &self.profile) {
            self.write(path, profile);
        }
        let (Some(statistics), Some(destination)) = (&self.statistics, &self.config.statistics) else { return };
        let mut document = as_json(statistics, self.config.count_calls);
        if self.config.symbols {
            document.insert("symbols".to_owned(), json!(self.names));
        }
        let text = format!("{:#}", Value::Object(document));
        match destination {
            Destination::Messages => self.reporter.message(Level::Notice, text),
            Destination::File(path) => self.write(path, format!("{text}\n").as_bytes()),
        }
    }
}

/// Bytes that one of each takes here. Nix has environments, and its sets a header and positions.
const VALUE_BYTES: u64 = 4;
const SET_BYTES: u64 = 16;
const ATTR_BYTES: u64 = 4;
const WORD_BYTES: u64 = 8;

/// Processor time of this process.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanoseconds).as_secs_f64()
}

/// Statistics with Nix's keys, in Nix's order.
fn as_json(statistics: &Statistics, count_calls: bool) -> Map<String, Value> {
    let s = statistics;
    let cpu = cpu_time();
    let mut document = Map::new();
    let mut add = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    if count_calls {
        // so it is in Nix
        add("attributes", Value::Null);
    }
    add("cpuTime", json!(cpu));
    add("envs", json!({ "bytes": s.env_values * VALUE_BYTES, "elements": s.env_values, "number": s.envs }));
    if count_calls {
        add("functions", s.functions.iter().map(function).collect());
    }
    add("gc", json!({ "cycles": s.collections, "heapSize": s.value_bytes, "totalBytes": s.value_bytes }));
    add("list", json!({ "bytes": s.elements * VALUE_BYTES, "concats": s.concats, "elements": s.elements }));
    add("nrAvoided", json!(s.avoided));
    add("nrExprs", json!(s.exprs));
    add("nrFunctionCalls", json!(s.function_calls));
    add("nrLookups", json!(s.lookups));
    add("nrOpUpdateValuesCopied", json!(s.values_copied));
    add("nrOpUpdates", json!(s.updates));
    add("nrPrimOpCalls", json!(s.builtin_calls));
    add("nrThunks", json!(s.thunks));
    if count_calls {
        let builtins: Map<String, Value> =
            s.builtins.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
        add("primops", Value::Object(builtins));
    }
    let set_bytes = s.sets * SET_BYTES + s.attrs * ATTR_BYTES;
    add("sets", json!({ "bytes": set_bytes, "elements": s.attrs, "number": s.sets }));
    add("sizes", json!({ "Attr": ATTR_BYTES, "Bindings": SET_BYTES, "Env": 0, "Value": VALUE_BYTES }));
    add("symbols", json!({ "bytes": s.symbol_bytes, "number": s.symbols }));
    add("time", json!({ "cpu": cpu, "gc": 0.0, "gcFraction": 0.0 }));
    add("values", json!({ "bytes": s.value_bytes, "number": s.value_bytes / WORD_BYTES }));
    document
}

fn function(function: &FunctionCalls) -> Value {
    let mut entry = Map::new();
    if function.line > 0 {
        entry.insert("column".to_owned(), json!(function.column));
    }
    entry.insert("count".to_owned(), json!(function.count));
    if let Some(file) = &function.file {
        entry.insert("file".to_owned(), json!(file));
    }
    if function.line > 0 {
        entry.insert("line".to_owned(), json!(function.line));
    }
    entry.insert("name".to_owned(), json!(function.name));
    Value::Object(entry)
}

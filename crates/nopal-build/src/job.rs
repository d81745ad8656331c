//! Building one derivation whose inputs are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nopal_fetch::FetchError;
use nopal_format::{Derivation, Hash, HashAlgorithm, PathInfo, StorePath};
use nopal_fs::PathLock;
use nopal_report::{Activity, Level, Running};
use nopal_store::{BuiltOutput, Direction, Store};

use crate::builder::{BuilderRun, visible_build_dir};
use crate::builtin::{BuiltinContext, BuiltinError, LogLine};
use crate::cancel::CancelToken;
use crate::checks::Checker;
use crate::config::{BuildConfig, BuildMode, SandboxMode};
use crate::environment::EnvironmentSource;
use crate::error::BuildError;
use crate::graph::exported_graphs;
use crate::log::{BuildLog, log_path};
use crate::options::BuildOptions;
use crate::outputs::{Finished, OutputPlace, Outputs, store_error};
use crate::rewrite::Rewrites;
use crate::sandbox::{FhsTree, SandboxError};
use crate::scratch::{LOCK_SUFFIX, Scratch};

/// How often a lock that another process holds is tried again.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// A home that exists would be seen by builders without a sandbox.
const HOME: &str = "/homeless-shelter";
/// With less free space than this a failure may be due to a full disk (Nix's number).
const DISK_FULL_BYTES: u64 = 8 << 20;

/// One derivation to build.
pub(crate) struct Job<'a> {
    pub(crate) store: &'a Store,
    pub(crate) config: &'a BuildConfig,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) drv_path: &'a StorePath,
    pub(crate) derivation: &'a Derivation,
    pub(crate) outputs: &'a BTreeMap<String, StorePath>,
    /// Build again what is valid, and compare.
    pub(crate) check: bool,
    /// Where build directories and their locks are.
    pub(crate) builds_dir: &'a Path,
}

/// What came of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was built.
    Built,
    /// Somebody else had built it meanwhile.
    WasValid,
}

/// A failed job, and what is left of it.
#[derive(Debug)]
pub(crate) struct JobFailure {
    pub(crate) error: BuildError,
    pub(crate) log_tail: Vec<Vec<u8>>,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) kept_dir: Option<PathBuf>,
}

impl From<BuildError> for Box<JobFailure> {
    fn from(error: BuildError) -> Self {
        Self::new(JobFailure { error, log_tail: Vec::new(), log_file: None, kept_dir: None })
    }
}

impl From<nopal_fs::FsError> for Box<JobFailure> {
    fn from(error: nopal_fs::FsError) -> Self {
        BuildError::Fs(error).into()
    }
}

/// A job on its way.
struct Build<'a> {
    job: &'a Job<'a>,
    options: &'a BuildOptions,
    scratch: &'a Scratch,
    inputs: &'a BTreeSet<StorePath>,
    places: &'a BTreeMap<String, OutputPlace>,
    activity: &'a Running,
}

impl Job<'_> {
    /// Builds the derivation and registers its outputs, or compares them.
    pub(crate) fn run(&self) -> Result<Outcome, Box<JobFailure>> {
        let options = BuildOptions::of(self.derivation, self.store.store_dir())?;
        self.check_supported(&options)?;
        let _locks = self.lock_outputs()?;
        let valid = self.store.valid_of(self.outputs.values()).map_err(store_error)?;
        let all_valid = self.outputs.values().all(|path| valid.contains(path));
        if self.check && valid.is_empty() {
            return Err(BuildError::NothingToCheck { drv_path: self.store.print(self.drv_path) }.into());
        }
        if !self.check && all_valid {
            return Ok(Outcome::WasValid);
        }
        let activity = self
            .config
            .reporter
            .start(Activity::Build { drv_path: self.store.print(self.drv_path), name: self.derivation.name.clone() });
        let inputs = self.input_closure()?;
        let scratch = Scratch::new_in(self.builds_dir)?;
        let places = self.places(&scratch, &valid)?;
        let running = Build {
            job: self,
            options: &options,
            scratch: &scratch,
            inputs: &inputs,
            places: &places,
            activity: &activity,
        };
        let outcome = running.build().and_then(|()| Ok(running.register()?));
        self.drop_unsandboxed(&places);
        outcome.map_err(|failure| running.keep(failure))?;
        // the outputs are registered; what is left over now is litter that the next build sweeps
        let _ = scratch.remove();
        activity.succeed();
        Ok(Outcome::Built)
    }

    /// Whether this machine and configuration can build it.
    fn check_supported(&self, options: &BuildOptions) -> Result<(), BuildError> {
        let system = self.derivation.system.to_string_lossy().into_owned();
        if system != "builtin" && !self.derivation.is_builtin() && !self.config.systems.contains(&system) {
            return Err(BuildError::Platform {
                required: system,
                available: self.config.systems.iter().cloned().collect(),
            });
        }
        if !options.required_features.is_subset(&self.config.features) {
            return Err(BuildError::Features {
                required: options.required_features.iter().cloned().collect(),
                available: self.config.features.iter().cloned().collect(),
            });
        }
        match self.config.sandbox {
            SandboxMode::Required if options.no_sandbox => Err(BuildError::Derivation {
                text: format!(
                    "derivation '{}' has '__noChroot' set, but that's not allowed when builds are sandboxed",
                    self.store.print(self.drv_path)
                ),
            }),
            SandboxMode::Disabled if !self.derivation.is_builtin() => self.check_unsandboxed(options),
            _ => Ok(()),
        }
    }

    fn check_unsandboxed(&self, options: &BuildOptions) -> Result<(), BuildError> {
        let logical = self.store.store_dir().as_str();
        let physical = nopal_fs::canonicalize(self.store.physical_dir())?;
        if physical != Path::new(logical) {
            return Err(SandboxError::Diverted { logical: logical.to_owned(), physical }.into());
        }
        if options.fhs.is_some() {
            return Err(BuildError::Derivation { text: "'__fhs' needs the sandbox".to_owned() });
        }
        if nopal_fs::exists(Path::new(HOME)) {
            let text = format!(
                "home directory '{HOME}' exists; please remove it to assure purity of builds without sandboxing"
            );
            return Err(BuildError::Derivation { text });
        }
        Ok(())
    }

    /// Keeps other processes from building the same meanwhile.
    fn lock_outputs(&self) -> Result<Vec<PathLock>, BuildError> {
        let paths: BTreeSet<&StorePath> = self.outputs.values().collect();
        let mut locks = Vec::with_capacity(paths.len());
        for path in paths {
            let file = self.builds_dir.join(format!("{path}{LOCK_SUFFIX}"));
            let mut told = false;
            loop {
                if let Some(lock) = PathLock::try_acquire(&file)? {
                    locks.push(lock);
                    break;
                }
                if !told {
                    let text = format!("waiting for another process to build '{}'", self.store.print(path));
                    self.config.reporter.message(Level::Notice, text);
                    told = true;
                }
                if self.cancel.is_cancelled() {
                    return Err(BuildError::Cancelled);
                }
                std::thread::sleep(LOCK_INTERVAL);
            }
        }
        Ok(locks)
    }

    /// The closure of sources and needed outputs of input derivations, protected from the collector.
    fn input_closure(&self) -> Result<BTreeSet<StorePath>, BuildError> {
        let mut direct: Vec<StorePath> = self.derivation.input_srcs.iter().cloned().collect();
        for (drv_path, wanted) in &self.derivation.input_drvs {
            if !wanted.dynamic.is_empty() {
                return Err(BuildError::Unsupported {
                    what: "an input that is an output of an output (dynamic derivations)",
                });
            }
            let derivation = crate::scheduler::read_derivation(self.store, drv_path)?;
            let paths = crate::scheduler::output_paths(self.store, drv_path, &derivation)?;
            for name in &wanted.outputs {
                let path = paths.get(name).ok_or_else(|| BuildError::Derivation {
                    text: format!(
                        "derivation '{}' requires non-existent output '{name}' from input derivation '{}'",
                        self.store.print(self.drv_path),
                        self.store.print(drv_path)
                    ),
                })?;
                direct.push(path.clone());
            }
        }
        self.store.add_temp_roots(&direct).map_err(store_error)?;
        Ok(self.store.closure(&direct, Direction::References).map_err(store_error)?.into_iter().collect())
    }

    /// Where each output will be made.
    fn places(
        &self,
        scratch: &Scratch,
        valid: &BTreeSet<StorePath>,
    ) -> Result<BTreeMap<String, OutputPlace>, BuildError> {
        let unsandboxed = self.config.sandbox == SandboxMode::Disabled && !self.derivation.is_builtin();
        let mut places = BTreeMap::new();
        for (name, path) in self.outputs {
            let is_valid = valid.contains(path);
            let scratch_path =
                if unsandboxed && (is_valid || self.check) { self.fallback_path(path)? } else { path.clone() };
            let location = if unsandboxed {
                let location = self.store.physical_path(&scratch_path);
                nopal_fs::remove_tree_if_exists(&location)?;
                location
            } else {
                scratch.output_dir().join(path.base_name())
            };
            let keep_valid = is_valid && !self.check;
            places
                .insert(name.clone(), OutputPlace { path: path.clone(), scratch: scratch_path, location, keep_valid });
        }
        Ok(places)
    }

    /// A store path to build at where the real one is taken, as Nix makes it.
    fn fallback_path(&self, path: &StorePath) -> Result<StorePath, BuildError> {
        let kind = format!("rewrite:{}:{path}", self.drv_path);
        let zero = Hash::from_bytes(HashAlgorithm::Sha256, &[0; 32]).unwrap_or_else(|| Hash::sha256([0; 32]));
        self.store
            .store_dir()
            .make_store_path(&kind, &zero, path.name())
            .map_err(|error| BuildError::Derivation { text: error.to_string() })
    }

    /// Removes what a builder without sandbox left in the store.
    fn drop_unsandboxed(&self, places: &BTreeMap<String, OutputPlace>) {
        if self.config.sandbox == SandboxMode::Disabled && !self.derivation.is_builtin() {
            for place in places.values().filter(|place| place.scratch != place.path) {
                // never valid, so the collector would remove it too
                let _ = nopal_fs::remove_tree_if_exists(&place.location);
            }
        }
    }
}

impl Build<'_> {
    /// Runs the builder and demands success of it.
    fn build(&self) -> Result<(), Box<JobFailure>> {
        let job = self.job;
        let log_file = log_path(&job.store.config().log_dir(), job.drv_path);
        let log = BuildLog::create(log_file, self.activity)?;
        let (outcome, log) = if job.derivation.is_builtin() { self.run_builtin(log) } else { self.run_builder(log) };
        let (log_file, log_tail) = log.finish();
        outcome.map_err(|error| Box::new(JobFailure { error, log_tail, log_file: Some(log_file), kept_dir: None }))
    }

    fn run_builder<'l>(&self, mut log: BuildLog<'l>) -> (Result<(), BuildError>, BuildLog<'l>) {
        let outcome = self.run_builder_logging(&mut log);
        (outcome, log)
    }

    fn run_builder_logging(&self, log: &mut BuildLog<'_>) -> Result<(), BuildError> {
        let Job { store, config, derivation, cancel, .. } = *self.job;
        let mut rewrites = Rewrites::default();
        for (name, place) in self.places {
            rewrites.insert(nopal_format::store_path::hash_placeholder(name), store.print(&place.scratch));
            rewrites.insert(place.path.hash_part(), place.scratch.hash_part());
        }
        let build_dir = visible_build_dir(config, self.scratch);
        let environment = EnvironmentSource {
            derivation,
            options: self.options,
            graphs: exported_graphs(store, self.options, self.inputs)?,
            config,
            store_dir: store.store_dir().as_str(),
            build_dir: &build_dir.to_string_lossy(),
            rewrites: &rewrites,
        }
        .make()?;
        let inputs: Vec<String> = self
            .inputs
            .iter()
            .filter(|path| self.places.values().all(|place| place.path != **path))
            .map(StorePath::base_name)
            .collect();
        let status = BuilderRun {
            config,
            derivation,
            store_dir: store.store_dir(),
            physical_store: store.physical_dir(),
            scratch: self.scratch,
            inputs: &inputs,
            fhs: self.fhs()?,
            kvm: self.options.required_features.contains("kvm"),
            variables: &environment.variables,
            files: &environment.files,
            rewrites: &rewrites,
        }
        .run(cancel, log)?;
        if status.success() { Ok(()) } else { Err(BuildError::Builder { status, note: self.disk_note() }) }
    }

    /// The tree that `__fhs` names, which must be among the inputs.
    fn fhs(&self) -> Result<Option<FhsTree>, BuildError> {
        let Some(text) = &self.options.fhs else { return Ok(None) };
        let wrong = |text: String| BuildError::Derivation { text };
        let (path, rest) = self
            .job
            .store
            .store_dir()
            .split(text)
            .map_err(|error| wrong(format!("'__fhs' does not name a tree in the store: {error}")))?;
        if !self.inputs.contains(&path) {
            return Err(wrong(format!("the '__fhs' tree '{text}' is not among the inputs of the derivation")));
        }
        if rest.split('/').any(|part| part == "..") {
            return Err(wrong(format!("the '__fhs' tree '{text}' leaves its store object")));
        }
        Ok(Some(FhsTree { base_name: path.base_name(), sub_path: PathBuf::from(rest.trim_start_matches('/')) }))
    }

    fn run_builtin<'l>(&self, log: BuildLog<'l>) -> (Result<(), BuildError>, BuildLog<'l>) {
        let Job { store, config, derivation, cancel, .. } = *self.job;
        let builder = derivation.builder.to_string_lossy().into_owned();
        let Some(builtin) = config.builtins.find(&builder) else {
            return (Err(BuildError::UnknownBuiltin { builder }), log);
        };
        let log = Mutex::new(log);
        let write = |line: &str| {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            // a log that cannot be written is no reason to fail a build that can go on
            let _ = log.write(format!("{line}\n").as_bytes());
        };
        let inputs: Vec<StorePath> = self.inputs.iter().cloned().collect();
        let locations = self.places.iter().map(|(name, place)| (name.clone(), place.location.clone())).collect();
        let outcome = builtin.build(&BuiltinContext {
            derivation,
            store_dir: store.store_dir(),
            physical_store: store.physical_dir(),
            inputs: &inputs,
            outputs: &locations,
            output_paths: self.job.outputs,
            temp_dir: &self.scratch.build_dir(),
            activity: self.activity,
            cancel,
            log: LogLine(&write),
        });
        let outcome = outcome.map_err(|source| self.builtin_error(builder, source));
        (outcome, log.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// A download with the wrong hash is what it is for any builder.
    fn builtin_error(&self, builder: String, source: BuiltinError) -> BuildError {
        match source.fetch_error() {
            Some(FetchError::HashMismatch { expected, got, .. }) => BuildError::HashMismatch {
                drv_path: self.job.store.print(self.job.drv_path),
                specified: expected.sri(),
                got: got.sri(),
            },
            _ if self.job.cancel.is_cancelled() => BuildError::Cancelled,
            _ => BuildError::Builtin { builder, source },
        }
    }

    fn disk_note(&self) -> &'static str {
        let free = |path: &Path| nopal_fs::disk_free_bytes(path).unwrap_or(u64::MAX);
        if free(self.job.store.physical_dir()) < DISK_FULL_BYTES || free(self.job.builds_dir) < DISK_FULL_BYTES {
            "\nnote: build failure may have been caused by lack of free disk space"
        } else {
            ""
        }
    }

    /// Takes the outputs over, or compares them with those that are there.
    fn register(&self) -> Result<(), BuildError> {
        let Job { store, derivation, drv_path, check, .. } = *self.job;
        let builtin = derivation.is_builtin();
        let unsandboxed = self.job.config.sandbox == SandboxMode::Disabled;
        let finished = Outputs {
            store,
            drv_path,
            derivation,
            options: self.options,
            inputs: self.inputs,
            places: self.places,
            copies: &self.scratch.copies_dir(),
            distrust: !builtin && (derivation.is_fixed() || unsandboxed),
        }
        .finish()?;
        let mut infos: BTreeMap<String, PathInfo> = BTreeMap::new();
        for (name, _) in self.places.iter().filter(|(_, place)| place.keep_valid) {
            if let Some(path) = self.job.outputs.get(name) {
                infos.insert(name.clone(), store.path_info(path).map_err(store_error)?);
            }
        }
        infos.extend(finished.iter().map(|finished| (finished.name.clone(), finished.output.info.clone())));
        Checker { store, drv_path, derivation, infos: &infos }.check(&self.options.checks)?;
        if check {
            // what was not there cannot be compared
            let known = store.valid_of(self.job.outputs.values()).map_err(store_error)?;
            let mut compared = finished.iter().filter(|finished| known.contains(&finished.output.info.path));
            return compared.try_for_each(|finished| self.compare(finished));
        }
        let outputs: Vec<BuiltOutput> = finished.into_iter().map(|finished| finished.output).collect();
        store.register_outputs(outputs).map_err(store_error)
    }

    /// Compares an output that was built again with the valid one.
    fn compare(&self, finished: &Finished) -> Result<(), BuildError> {
        let Job { store, config, drv_path, .. } = *self.job;
        let path = &finished.output.info.path;
        let valid = store.path_info(path).map_err(store_error)?;
        if valid.nar_hash == finished.output.info.nar_hash {
            return Ok(());
        }
        let mut kept = None;
        if config.mode == (BuildMode::Check { keep_difference: true }) {
            let mut beside = store.physical_path(path).into_os_string();
            beside.push(".check");
            let beside = PathBuf::from(beside);
            nopal_fs::remove_tree_if_exists(&beside)?;
            if nopal_fs::is_dir(&finished.output.tree)
                && !nopal_fs::symlink_metadata(&finished.output.tree)?.is_symlink()
            {
                // a directory that moves must be writable, for its `..` changes
                nopal_fs::set_permissions(&finished.output.tree, 0o755)?;
            }
            nopal_fs::rename(&finished.output.tree, &beside)?;
            kept = Some(beside);
        }
        Err(BuildError::NotDeterministic { drv_path: store.print(drv_path), path: store.print(path), kept })
    }

    /// Moves the build directory of a failed build out if that is wanted.
    fn keep(&self, mut failure: Box<JobFailure>) -> Box<JobFailure> {
        let wanted = self.job.config.keep_failed
            && !self.job.derivation.is_builtin()
            && matches!(
                failure.error,
                BuildError::Builder { .. }
                    | BuildError::OutputMissing { .. }
                    | BuildError::TimedOut { .. }
                    | BuildError::Silent { .. }
            );
        if wanted {
            let name = nopal_fs::temp::unique_name(&format!("kept-{}", self.job.derivation.name));
            let kept = self.job.builds_dir.join(name);
            match self.scratch.keep_build_dir(&kept) {
                Ok(()) => failure.kept_dir = Some(kept),
                Err(error) => self.job.config.reporter.warn(format!("cannot keep the build directory: {error}")),
            }
        }
        failure
    }
}

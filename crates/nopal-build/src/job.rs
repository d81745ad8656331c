//! Building one derivation whose inputs are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nopal_fetch::FetchError;
use nopal_format::derivation::DrvHashes;
use nopal_format::store_path::output_path_name;
use nopal_format::{Derivation, DerivationOutput, DrvOutput, Hash, HashAlgorithm, PathInfo, Realisation, StorePath};
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
    /// Paths of its outputs, as far as they are known.
    pub(crate) outputs: &'a BTreeMap<String, Option<StorePath>>,
    /// Outputs of other derivations that it needs, beside its sources.
    pub(crate) inputs: &'a [StorePath],
    /// The text of the derivation if it is not in the store yet.
    pub(crate) text: Option<&'a [u8]>,
    /// Hashes of derivations seen so far.
    pub(crate) hashes: &'a Mutex<DrvHashes>,
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

/// The end of a job that succeeded.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// The outputs that are valid now.
    pub(crate) outputs: BTreeMap<String, StorePath>,
}

/// A failed job, and what is left of it.
#[derive(Debug)]
pub(crate) struct JobFailure {
    pub(crate) error: BuildError,
    pub(crate) log_tail: Vec<Vec<u8>>,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) kept_dir: Option<PathBuf>,
    /// What was built in the place of the derivation.
    pub(crate) resolved: Option<StorePath>,
}

impl From<BuildError> for Box<JobFailure> {
    fn from(error: BuildError) -> Self {
        Self::new(JobFailure { error, log_tail: Vec::new(), log_file: None, kept_dir: None, resolved: None })
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
    pub(crate) fn run(&self) -> Result<Done, Box<JobFailure>> {
        let options = BuildOptions::of(self.derivation, self.store.store_dir())?;
        self.check_supported(&options)?;
        let _locks = self.lock_outputs()?;
        let known = self.known_outputs()?;
        let valid = self.store.valid_of(known.values().flatten()).map_err(store_error)?;
        let all_valid = known.values().all(|path| path.as_ref().is_some_and(|path| valid.contains(path)));
        if self.check && valid.is_empty() {
            return Err(BuildError::NothingToCheck { drv_path: self.store.print(self.drv_path) }.into());
        }
        if !self.check && all_valid {
            let outputs = known.into_iter().filter_map(|(name, path)| Some((name, path?))).collect();
            self.record(&outputs)?;
            return Ok(Done { outcome: Outcome::WasValid, outputs });
        }
        if self.config.max_jobs == 0 {
            return Err(BuildError::NoJobs.into());
        }
        self.store.fetch_sources(&self.derivation.input_srcs).map_err(store_error)?;
        self.store_text()?;
        let activity = self.config.reporter.start(Activity::Build {
            drv_path: self.store.print(self.drv_path),
            name: self.derivation.name.clone(),
            check: self.check,
        });
        let inputs = self.input_closure()?;
        let scratch = Scratch::new_in(self.builds_dir, self.config.build_dir.as_deref())?;
        let places = self.places(&scratch, &known, &valid)?;
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
        let outputs = match outcome {
            Ok(outputs) => outputs,
            Err(mut failure) => {
                if running.is_worth_keeping(&failure) {
                    match scratch.keep_build_dir() {
                        Ok(kept) => failure.kept_dir = Some(kept),
                        Err(error) => {
                            self.config.reporter.warn(format!("cannot keep the build directory: {error}"));
                        }
                    }
                }
                return Err(failure);
            }
        };
        if !self.check {
            self.record(&outputs)?;
        }
        // the outputs are registered; what is left over now is litter that the next build sweeps
        let _ = scratch.remove();
        activity.succeed();
        Ok(Done { outcome: Outcome::Built, outputs })
    }

    fn is_impure(&self) -> bool {
        self.derivation.outputs.values().any(|output| matches!(output, DerivationOutput::Impure { .. }))
    }

    /// The paths of outputs, now that nobody else builds them.
    fn known_outputs(&self) -> Result<BTreeMap<String, Option<StorePath>>, BuildError> {
        let is_known = self.outputs.values().all(Option::is_some);
        let known = if is_known || self.is_impure() {
            self.outputs.clone()
        } else {
            let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
            self.store.known_outputs(self.derivation, &mut hashes).map_err(store_error)?
        };
        let paths: Vec<StorePath> = known.values().flatten().cloned().collect();
        self.store.add_temp_roots(&paths).map_err(store_error)?;
        Ok(known)
    }

    /// Records what the outputs of the derivation are.
    pub(crate) fn record(&self, outputs: &BTreeMap<String, StorePath>) -> Result<(), BuildError> {
        if !self.config.has_feature("ca-derivations") || self.is_impure() {
            return Ok(());
        }
        let drv_hash = {
            let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
            self.store.output_hash(self.derivation, &mut hashes).map_err(store_error)?
        };
        let mut realisations = Vec::with_capacity(outputs.len());
        for (output, path) in outputs {
            let id = DrvOutput { drv_hash, output: output.clone() };
            let mut realisation = Realisation::new(id, path.clone());
            self.config.secret_keys.iter().for_each(|key| realisation.sign(key));
            realisations.push(realisation);
        }
        self.store.register_realisations(&realisations).map_err(store_error)
    }

    /// Puts a resolved derivation into the store, as part of the record of what is built.
    fn store_text(&self) -> Result<(), BuildError> {
        let Some(text) = self.text else { return Ok(()) };
        let name = self.drv_path.name();
        self.store.add_text(name, text, &self.derivation.references()).map(drop).map_err(store_error)
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
        let names: BTreeMap<String, &str> = self
            .outputs
            .iter()
            .map(|(name, path)| match path {
                Some(path) => (path.base_name(), name.as_str()),
                None => (format!("{}.{name}", self.drv_path), name.as_str()),
            })
            .collect();
        let mut locks = Vec::with_capacity(names.len());
        for (lock, output) in names {
            let file = self.builds_dir.join(format!("{lock}{LOCK_SUFFIX}"));
            let mut told = false;
            loop {
                if let Some(lock) = PathLock::try_acquire(&file)? {
                    locks.push(lock);
                    break;
                }
                if !told {
                    let drv_path = self.store.print(self.drv_path);
                    let text = format!("waiting for another process to build '{drv_path}^{output}'");
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
        let direct: Vec<StorePath> = self.derivation.input_srcs.iter().chain(self.inputs).cloned().collect();
        self.store.add_temp_roots(&direct).map_err(store_error)?;
        Ok(self.store.closure(&direct, Direction::References).map_err(store_error)?.into_iter().collect())
    }

    /// Where each output will be made.
    fn places(
        &self,
        scratch: &Scratch,
        known: &BTreeMap<String, Option<StorePath>>,
        valid: &BTreeSet<StorePath>,
    ) -> Result<BTreeMap<String, OutputPlace>, BuildError> {
        let unsandboxed = self.config.sandbox == SandboxMode::Disabled && !self.derivation.is_builtin();
        let mut places = BTreeMap::new();
        for (name, path) in known {
            let is_valid = path.as_ref().is_some_and(|path| valid.contains(path));
            let scratch_path = match path {
                Some(path) if unsandboxed && (is_valid || self.check) => self.fallback_path(path)?,
                Some(path) => path.clone(),
                None => self.unknown_path(name)?,
            };
            let path = path.as_ref().unwrap_or(&scratch_path).clone();
            let location = if unsandboxed {
                let location = self.store.physical_path(&scratch_path);
                nopal_fs::remove_tree_if_exists(&location)?;
                location
            } else {
                scratch.output_dir().join(path.base_name())
            };
            let keep_valid = is_valid && !self.check;
            places.insert(name.clone(), OutputPlace { path, scratch: scratch_path, location, keep_valid });
        }
        Ok(places)
    }

    /// A store path to build at where the real one is taken, as Nix makes it.
    fn fallback_path(&self, path: &StorePath) -> Result<StorePath, BuildError> {
        self.made_up_path(&format!("rewrite:{}:{path}", self.drv_path), path.name())
    }

    /// A store path to build at while the real one is not known, as Nix makes it: for an impure output another one
    /// each time.
    fn unknown_path(&self, output: &str) -> Result<StorePath, BuildError> {
        let name = output_path_name(&self.derivation.name, output);
        if self.is_impure() {
            let unique = nopal_fs::temp::unique_name(&format!("rewrite:{}:name:{output}", self.drv_path));
            return self.made_up_path(&unique, &name);
        }
        self.made_up_path(&format!("rewrite:{}:name:{output}", self.drv_path), &name)
    }

    fn made_up_path(&self, kind: &str, name: &str) -> Result<StorePath, BuildError> {
        let zero = Hash::from_bytes(HashAlgorithm::Sha256, &[0; 32]).unwrap_or_else(|| Hash::sha256([0; 32]));
        self.store
            .store_dir()
            .make_store_path(kind, &zero, name)
            .map_err(|error| BuildError::Derivation { text: error.to_string() })
    }

    /// Removes what a builder without sandbox left in the store.
    fn drop_unsandboxed(&self, places: &BTreeMap<String, OutputPlace>) {
        if self.config.sandbox == SandboxMode::Disabled && !self.derivation.is_builtin() {
            let is_renamed = |name: &String| {
                matches!(
                    self.derivation.outputs.get(name),
                    Some(DerivationOutput::Floating { .. } | DerivationOutput::Impure { .. })
                )
            };
            for (_, place) in places.iter().filter(|(name, place)| place.scratch != place.path || is_renamed(name)) {
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
        outcome.map_err(|error| {
            Box::new(JobFailure { error, log_tail, log_file: Some(log_file), kept_dir: None, resolved: None })
        })
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
        let output_paths = self.places.iter().map(|(name, place)| (name.clone(), place.scratch.clone())).collect();
        let locations = self.places.iter().map(|(name, place)| (name.clone(), place.location.clone())).collect();
        let outcome = builtin.build(&BuiltinContext {
            derivation,
            store_dir: store.store_dir(),
            physical_store: store.physical_dir(),
            inputs: &inputs,
            outputs: &locations,
            output_paths: &output_paths,
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
    fn register(&self) -> Result<BTreeMap<String, StorePath>, BuildError> {
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
            distrust: !builtin && (derivation.is_networked() || unsandboxed),
        }
        .finish()?;
        let mut infos: BTreeMap<String, PathInfo> = BTreeMap::new();
        for (name, place) in self.places.iter().filter(|(_, place)| place.keep_valid) {
            infos.insert(name.clone(), store.path_info(&place.path).map_err(store_error)?);
        }
        infos.extend(finished.iter().map(|finished| (finished.name.clone(), finished.output.info.clone())));
        Checker { store, drv_path, derivation, infos: &infos }.check(&self.options.checks)?;
        let paths = infos.into_iter().map(|(name, info)| (name, info.path)).collect();
        if check {
            finished.iter().try_for_each(|finished| self.compare(finished))?;
            return Ok(paths);
        }
        let outputs: Vec<BuiltOutput> = finished.into_iter().map(|finished| finished.output).collect();
        store.register_outputs(outputs).map_err(store_error)?;
        Ok(paths)
    }

    /// Compares an output that was built again with the valid one.
    fn compare(&self, finished: &Finished) -> Result<(), BuildError> {
        let Job { store, config, drv_path, .. } = *self.job;
        let path = &finished.output.info.path;
        // content-addressed outputs that differ have other paths, which nothing is known of
        let Some(valid) = store.find_path_info(path).map_err(store_error)? else { return Ok(()) };
        if valid.nar_hash == finished.output.info.nar_hash {
            return if config.mode == BuildMode::Repair { self.repair(finished) } else { Ok(()) };
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

    /// Puts an output that was built again in the place of the valid one, if that has changed.
    fn repair(&self, finished: &Finished) -> Result<(), BuildError> {
        let store = self.job.store;
        let path = store.physical_path(&finished.output.info.path);
        let found = nopal_store::dump_tree(&path, &mut std::io::sink()).map_err(|error| store_error(error.into()))?;
        if found.nar_hash == finished.output.info.nar_hash {
            return Ok(());
        }
        let tree = &finished.output.tree;
        for path in [tree, &path] {
            let metadata = nopal_fs::symlink_metadata(path)?;
            if metadata.is_dir() {
                // a directory that moves must be writable, for its `..` changes
                nopal_fs::set_permissions(path, 0o755)?;
            }
        }
        let old = self.scratch.copies_dir().join("replaced");
        nopal_fs::rename(&path, &old)?;
        nopal_fs::rename(tree, &path)?;
        if nopal_fs::symlink_metadata(&path)?.is_dir() {
            nopal_fs::set_permissions(&path, 0o555)?;
        }
        Ok(())
    }

    /// Whether the build directory of a failed build is to be kept.
    fn is_worth_keeping(&self, failure: &JobFailure) -> bool {
        self.job.config.keep_failed
            && !self.job.derivation.is_builtin()
            && matches!(
                failure.error,
                BuildError::Builder { .. }
                    | BuildError::OutputMissing { .. }
                    | BuildError::NotDeterministic { .. }
                    | BuildError::TimedOut { .. }
                    | BuildError::Silent { .. }
            )
    }
}

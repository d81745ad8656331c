//! From derivations to valid outputs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nopal_build::builtin::{self, BuiltinBuilders, BuiltinContext, BuiltinError};
use nopal_build::{BuildConfig, BuildLimits, BuildMode, OutputsWanted, SandboxMode};
use nopal_format::{SingleDerivedPath, StorePath};
use nopal_import::debian;

use crate::engine::{Engine, Shared};
use crate::error::EngineError;

/// Outputs of a derivation that are to be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The derivation, in the store.
    pub drv_path: StorePath,
    /// Names of outputs; empty means all.
    pub outputs: Vec<String>,
    /// The output that the value itself stands for, which the old commands build; empty if it does not say.
    pub output: String,
    /// Where it came from, for messages; may be empty.
    pub attr: String,
}

/// How to realise.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealiseOptions {
    /// `--rebuild`: build again what is valid, and compare.
    pub check: bool,
    /// With [`check`](Self::check): keep an output that differs.
    pub keep_difference: bool,
    /// `--repair`: build again what is valid, and put it in the place of what has changed.
    pub repair: bool,
}

/// What became valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The derivation.
    pub drv_path: StorePath,
    /// The wanted outputs by name.
    pub outputs: Vec<(String, StorePath)>,
    /// Whether a builder ran; `false` if everything had been there.
    pub built: bool,
}

impl Engine {
    /// Makes outputs valid, building what is missing.
    ///
    /// # Errors
    /// A derivation cannot be read, or a build failed.
    pub fn realise(&self, wanted: &[Wanted], options: &RealiseOptions) -> Result<Vec<Built>, EngineError> {
        self.shared.realise(wanted, options)
    }

    /// The store path that a deriving path has, built first if need be.
    ///
    /// # Errors
    /// A build fails, or a derivation lacks the output.
    pub fn obtain(&self, path: &SingleDerivedPath) -> Result<StorePath, EngineError> {
        self.shared.obtain(path)
    }
}

impl Shared {
    pub(crate) fn realise(&self, wanted: &[Wanted], options: &RealiseOptions) -> Result<Vec<Built>, EngineError> {
        let store = self.store()?;
        if !options.check && !options.repair {
            self.substitute(wanted)?;
        }
        let targets = to_build(wanted);
        let plan_config = self.build_config(options, BuiltinBuilders::new());
        let will_build = nopal_build::plan(store, &plan_config, &targets)?.will_build;
        let mut config = self.build_config(options, self.builtins(&will_build)?);
        config.secret_keys = self.secret_keys()?;
        let done = nopal_build::realise(store, &config, &targets, &self.cancel)?;
        self.after_builds(&will_build)?;
        Ok(done
            .into_iter()
            .map(|done| Built {
                drv_path: done.drv_path,
                outputs: done.outputs.into_iter().collect(),
                built: done.built,
            })
            .collect())
    }

    /// The store path that a deriving path has, built first if need be.
    pub(crate) fn obtain(&self, path: &SingleDerivedPath) -> Result<StorePath, EngineError> {
        let built = match path {
            SingleDerivedPath::Opaque(path) => return Ok(path.clone()),
            SingleDerivedPath::Built(built) => built,
        };
        let drv_path = self.obtain(&built.drv)?;
        let wanted =
            Wanted { drv_path, outputs: vec![built.output.to_string()], output: String::new(), attr: String::new() };
        let done = self.realise(&[wanted], &RealiseOptions::default())?;
        let path = done.into_iter().flat_map(|done| done.outputs).find(|(name, _)| *name == built.output);
        path.map(|(_, path)| path).ok_or_else(|| EngineError::NoOutput {
            drv_path: built.drv.display(&self.config.store_dir),
            output: built.output.to_string(),
        })
    }

    /// The builders inside this program. The package repositories are asked for their names only when something
    /// will be fetched from a mirror.
    fn builtins(&self, will_build: &[StorePath]) -> Result<BuiltinBuilders, EngineError> {
        let mut from_mirror = false;
        for path in will_build {
            let derivation = self.read_derivation(path)?;
            let url = derivation.env_value("url").map(|url| url.as_bytes()).unwrap_or_default();
            if derivation.is_builtin() && url.starts_with(b"mirror://") {
                from_mirror = true;
                break;
            }
        }
        let fetcher = if from_mirror { self.mirror_fetcher()? } else { self.plain_fetcher()? };
        Ok(builtin::standard(fetcher.clone()).with("unpack-deb", unpack_deb).with("join-trees", join_trees))
    }

    pub(crate) fn build_config(&self, options: &RealiseOptions, builtins: BuiltinBuilders) -> BuildConfig {
        let config = &self.config;
        let mut systems = BuildConfig::default().systems;
        systems.insert(config.system.clone());
        BuildConfig {
            sandbox: if config.sandbox { SandboxMode::Required } else { SandboxMode::Disabled },
            mode: match (options.repair, options.check) {
                (true, _) => BuildMode::Repair,
                (false, true) => BuildMode::Check { keep_difference: options.keep_difference },
                (false, false) => BuildMode::Normal,
            },
            max_jobs: config.max_jobs,
            cores: config.cores,
            keep_going: config.keep_going,
            keep_failed: config.keep_failed,
            build_dir: config.build_dir.clone(),
            limits: BuildLimits {
                timeout: config.timeout,
                silence: config.max_silent_time,
                log_size_bytes: config.max_log_bytes,
                ..BuildLimits::default()
            },
            systems,
            experimental_features: config.experimental_features.iter().cloned().collect(),
            environment: environment_bytes(&config.environment),
            ca_file: config.downloads.ca_files.first().cloned(),
            builtins,
            reporter: config.reporter.clone(),
            ..BuildConfig::default()
        }
    }
}

fn environment_bytes(
    environment: &std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString>,
) -> std::collections::BTreeMap<nopal_format::ByteString, nopal_format::ByteString> {
    use std::os::unix::ffi::OsStrExt;
    environment.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into())).collect()
}

pub(crate) fn to_build(wanted: &[Wanted]) -> Vec<nopal_build::Wanted> {
    wanted
        .iter()
        .map(|wanted| nopal_build::Wanted {
            drv_path: wanted.drv_path.clone(),
            outputs: if wanted.outputs.is_empty() {
                OutputsWanted::All
            } else {
                OutputsWanted::Names(wanted.outputs.iter().cloned().collect::<BTreeSet<_>>())
            },
        })
        .collect()
}

/// `builtin:unpack-deb`: the package in `deb` becomes a tree.
fn unpack_deb(context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
    let deb = context.physical_input(context.attribute("deb")?)?;
    let report = debian::unpack_deb(&deb, context.output("out")?).map_err(BuiltinError::caused)?;
    report.notes.iter().for_each(|note| context.log(note));
    Ok(())
}

/// `builtin:join-trees`: the unpacked packages in `trees` become one.
fn join_trees(context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
    let trees = context.attribute("trees")?;
    let inputs: Vec<PathBuf> =
        trees.split_whitespace().map(|tree| context.physical_input(tree)).collect::<Result<_, _>>()?;
    let report = debian::join_trees(&inputs, context.output("out")?).map_err(BuiltinError::caused)?;
    report.notes.iter().for_each(|note| context.log(note));
    Ok(())
}

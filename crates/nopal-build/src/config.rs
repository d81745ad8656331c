//! What a build must be told. The roof decides; nothing here reads the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use nopal_format::signature::SecretKey;
use nopal_format::{ByteString, StorePath};
use nopal_report::Reporter;

use crate::builtin::BuiltinBuilders;

/// Whether builders run in a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxMode {
    /// Always; where the machine does not allow it, the build fails and says why.
    #[default]
    Required,
    /// Never: an explicit `--no-sandbox`. Builders see the whole machine, and the physical store must lie where its
    /// logical directory says.
    Disabled,
}

/// Whether to build what is missing, or to build what is there once more and compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildMode {
    /// Build what is not valid.
    #[default]
    Normal,
    /// `--rebuild`: build the wanted derivations again beside their valid outputs and compare NAR hashes.
    Check {
        /// Keep an output that differs as `PATH.check`.
        keep_difference: bool,
    },
    /// `--repair`: build the wanted derivations again, and put their outputs in the place of valid ones that have
    /// changed.
    Repair,
}

/// What one build may use. `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// Wall time of the whole build.
    pub timeout: Option<Duration>,
    /// Wall time without a byte of output.
    pub silence: Option<Duration>,
    /// Bytes of output, after which the builder is killed.
    pub log_size_bytes: Option<u64>,
    /// Processes and threads at one time. On Linux from 5.14 on they are counted per sandbox; before, per user of the
    /// machine. The kernel does not hold root to it.
    pub processes: Option<u64>,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            timeout: None,
            silence: None,
            log_size_bytes: None,
            // above what the widest `make -j` or JVM build needs, below what makes a machine unusable
            processes: Some(16_384),
        }
    }
}

/// Everything builds depend on beside the store and the derivations.
#[derive(Clone, Debug)]
pub struct BuildConfig {
    /// Whether builders run in a sandbox.
    pub sandbox: SandboxMode,
    /// Build, or build again and compare.
    pub mode: BuildMode,
    /// Builds at the same time. With 0 nothing is built: what is not there already is an error.
    pub max_jobs: usize,
    /// What builders read in `NIX_BUILD_CORES`; 0 means all of the machine.
    pub cores: usize,
    /// Go on with what does not depend on a failed build.
    pub keep_going: bool,
    /// Leave the build directory of a failed build behind and say where it is.
    pub keep_failed: bool,
    /// Where builders work, if that is not beside the store's state (`build-dir`). It must exist.
    pub build_dir: Option<PathBuf>,
    /// Outputs of derivations that will be valid without being built; only [`plan`](crate::plan) asks.
    pub presumed: BTreeMap<StorePath, BTreeSet<String>>,
    /// Limits of each build.
    pub limits: BuildLimits,
    /// Platforms whose builders run here, such as `x86_64-linux` and `i686-linux`. `builtin` always does.
    pub systems: BTreeSet<String>,
    /// What `requiredSystemFeatures` may ask for, such as `kvm` and `big-parallel`.
    pub features: BTreeSet<String>,
    /// Experimental features that are on, by Nix's names.
    pub experimental_features: BTreeSet<String>,
    /// Keys that sign records of what outputs turned out to be.
    pub secret_keys: Vec<SecretKey>,
    /// The environment that `impureEnvVars` of fixed-output derivations draws from.
    pub environment: BTreeMap<ByteString, ByteString>,
    /// The CA bundle that fixed-output builders find at `/etc/ssl/certs/ca-certificates.crt`.
    pub ca_file: Option<PathBuf>,
    /// Builders that are functions of ours.
    pub builtins: BuiltinBuilders,
    /// Receives progress and log lines.
    pub reporter: Reporter,
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self {
            sandbox: SandboxMode::Required,
            mode: BuildMode::Normal,
            max_jobs: 1,
            cores: 0,
            keep_going: false,
            keep_failed: false,
            build_dir: None,
            presumed: BTreeMap::new(),
            limits: BuildLimits::default(),
            systems: native_systems(),
            features: ["benchmark", "big-parallel", "nixos-test"].into_iter().map(str::to_owned).collect(),
            experimental_features: BTreeSet::new(),
            secret_keys: Vec::new(),
            environment: BTreeMap::new(),
            ca_file: None,
            builtins: BuiltinBuilders::new(),
            reporter: Reporter::silent(),
        }
    }
}

impl BuildConfig {
    /// Whether an experimental feature is on.
    pub(crate) fn has_feature(&self, name: &str) -> bool {
        self.experimental_features.contains(name)
    }
}

/// The platforms that the processor of this program runs natively.
fn native_systems() -> BTreeSet<String> {
    let names: &[&str] = match std::env::consts::ARCH {
        "x86_64" => &["x86_64-linux", "i686-linux"],
        "aarch64" => &["aarch64-linux"],
        "x86" => &["i686-linux"],
        _ => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

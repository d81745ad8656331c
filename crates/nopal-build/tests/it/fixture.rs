//! A store with a shell in it, and derivations whose builders are scripts.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nopal_build::{BuildConfig, BuildError, CancelToken, RealiseError, Realised, Wanted, realise};
use nopal_format::derivation::{DerivationError, DrvHashes, Environment, OutputSpec};
use nopal_format::{Derivation, StoreDir, StorePath};
use nopal_report::{Event, Reporter, Sink};
use nopal_store::{AddOptions, Durability, Store, StoreConfig};
use nopal_test::Tool;
use tempfile::TempDir;

/// Programs of the shell that scripts use.
const APPLETS: &[&str] = &[
    "awk", "cat", "chmod", "chown", "cp", "date", "dd", "dirname", "echo", "env", "false", "find", "grep", "head",
    "hostname", "id", "ip", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "mv", "nohup", "od", "printf",
    "ps", "readlink", "rm", "sed", "seq", "setsid", "sh", "sleep", "sort", "stat", "sync", "touch", "tr", "true",
    "tty", "uname", "wc", "wget", "yes", "whoami",
];

/// A store of its own.
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) shell: StorePath,
    hashes: RefCell<DrvHashes>,
    root: PathBuf,
    _dir: Option<TempDir>,
}

/// A derivation in the making: `/bin/sh -c SCRIPT` with the shell's programs in `PATH`.
pub(crate) struct Recipe {
    pub(crate) derivation: Derivation,
    outputs: Vec<&'static str>,
    spec: OutputSpec,
}

#[derive(Debug)]
pub(crate) struct Failed;

impl From<DerivationError> for Failed {
    fn from(_: DerivationError) -> Self {
        Self
    }
}

impl Site {
    pub(crate) fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut site = Self::at(&root, "/nix/store")?;
        site._dir = Some(dir);
        Some(site)
    }

    /// Opens or makes the store below `root`.
    pub(crate) fn at(root: &Path, logical: &str) -> Option<Self> {
        let busybox = Tool::find("busybox")?;
        let mut config = StoreConfig::at(root, StoreDir::new(logical).unwrap());
        config.durability = Durability::NONE;
        let store = Store::open(config, Reporter::silent()).unwrap();
        let source = tempfile::tempdir().unwrap();
        let bin = source.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::copy(busybox.path(), bin.join("busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let shell = store.add_path(source.path(), &AddOptions::source("shell"), None).unwrap().path;
        let hashes = RefCell::new(DrvHashes::new());
        Some(Self { store, shell, hashes, root: root.to_owned(), _dir: None })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn recipe(&self, name: &str, script: &str) -> Recipe {
        let shell = self.store.print(&self.shell);
        let text = format!("set -e\nexport PATH={shell}/bin\n{script}\n");
        let derivation = Derivation {
            name: name.to_owned(),
            system: "x86_64-linux".into(),
            builder: format!("{shell}/bin/sh").into(),
            args: vec!["-c".into(), text.into()],
            input_srcs: [self.shell.clone()].into(),
            ..Derivation::default()
        };
        let mut recipe = Recipe { derivation, outputs: vec!["out"], spec: OutputSpec::InputAddressed };
        if cfg!(target_arch = "aarch64") {
            recipe.derivation.system = "aarch64-linux".into();
        }
        recipe.env("name", name)
    }

    /// Writes the derivation into the store.
    pub(crate) fn add(&self, recipe: Recipe) -> StorePath {
        let Recipe { mut derivation, outputs, spec } = recipe;
        let dir = self.store.store_dir();
        derivation.declare_outputs(outputs, spec).unwrap();
        let mut read = |path: &StorePath| {
            let text = std::fs::read(self.store.physical_path(path)).unwrap();
            Ok::<_, Failed>(Derivation::parse_aterm(dir, &text, path.derivation_name().unwrap()).unwrap())
        };
        let mut hashes = self.hashes.borrow_mut();
        let made = hashes.instantiate(dir, &mut derivation, &mut read).unwrap();
        let path =
            self.store.add_text(&format!("{}.drv", derivation.name), made.aterm, &derivation.references()).unwrap();
        assert_eq!(path, made.path);
        path
    }

    pub(crate) fn realise_with(&self, config: &BuildConfig, drv: &StorePath) -> Result<Realised, RealiseError> {
        let wanted = [Wanted::all(drv.clone())];
        realise(&self.store, config, &wanted, &CancelToken::never()).map(|mut all| all.pop().unwrap())
    }

    pub(crate) fn realise(&self, drv: &StorePath) -> Result<Realised, RealiseError> {
        self.realise_with(&BuildConfig::default(), drv)
    }

    /// Builds a recipe; its output `out` in the physical store.
    pub(crate) fn build(&self, recipe: Recipe) -> PathBuf {
        let drv = self.add(recipe);
        let realised = self.realise(&drv).unwrap_or_else(|error| panic!("{error}"));
        self.store.physical_path(&realised.outputs["out"])
    }

    /// Builds a recipe that leaves a text in `out`.
    pub(crate) fn build_text(&self, recipe: Recipe) -> String {
        std::fs::read_to_string(self.build(recipe)).unwrap()
    }

    /// Builds a recipe that fails, with this configuration.
    pub(crate) fn fail_with(&self, config: &BuildConfig, recipe: Recipe) -> (BuildError, String) {
        let drv = self.add(recipe);
        match self.realise_with(config, &drv) {
            Err(RealiseError::Failed { mut failures }) => {
                let text = failures[0].to_string();
                (failures.remove(0).error, text)
            }
            other => panic!("should have failed: {other:?}"),
        }
    }

    pub(crate) fn fail(&self, recipe: Recipe) -> (BuildError, String) {
        self.fail_with(&BuildConfig::default(), recipe)
    }

    /// No build directories are left, and what is registered is on disk as it should be.
    pub(crate) fn assert_clean(&self) {
        let builds = self.root.join("var/builds");
        let left: Vec<_> = std::fs::read_dir(builds).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "left over: {left:?}");
    }
}

impl Recipe {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.derivation.env.insert(name, value);
        self
    }

    pub(crate) fn outputs(mut self, names: &[&'static str]) -> Self {
        self.outputs = names.to_vec();
        self
    }

    pub(crate) fn spec(mut self, spec: OutputSpec) -> Self {
        self.spec = spec;
        self
    }

    pub(crate) fn source(mut self, path: &StorePath) -> Self {
        self.derivation.input_srcs.insert(path.clone());
        self
    }

    pub(crate) fn input(mut self, drv: &StorePath, outputs: &[&str]) -> Self {
        self.derivation.input_drvs.insert(drv.clone(), outputs.iter().copied().collect());
        self
    }

    /// Structured attributes in place of the environment.
    pub(crate) fn structured(mut self, json: &str) -> Self {
        self.derivation.env = Environment::from_iter([("__json", json)]);
        self
    }
}

/// Keeps events.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Sink for Events {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    pub(crate) fn reporter() -> (Arc<Self>, Reporter) {
        let events = Arc::new(Self::default());
        (events.clone(), Reporter::new(events))
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .filter_map(|event| match event {
                Event::LogLine { line, .. } => Some(String::from_utf8_lossy(line).into_owned()),
                _ => None,
            })
            .collect()
    }
}

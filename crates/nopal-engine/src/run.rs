//! A program of an installable, and what it is shown when it runs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nopal_build::run::{self, RunSpec, StoreView};
use nopal_format::StorePath;
use nopal_fs::EntryKind;

use crate::debian::Pinned;
use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::eval::AutoArg;
use crate::installable::Installable;
use crate::realise::{RealiseOptions, Wanted};

/// Where programs are in a joined tree, in the order of a Debian user's `PATH`.
const TREE_PROGRAM_DIRS: [&str; 6] = ["usr/bin", "usr/sbin", "usr/games", "bin", "sbin", "usr/local/bin"];

/// The search path of programs inside a joined tree.
const TREE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games";

/// Variables that name files of the machine outside and would mislead a program that has libraries of its own.
const HOST_ONLY_VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT"];

/// A program ready to run: everything it needs is valid in the store.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What the user asked for.
    pub what: String,
    /// The store path it comes from.
    pub store_path: StorePath,
    /// The tree shown as `/usr` and friends, if the program expects one.
    pub tree: Option<StorePath>,
    /// The program, as seen from inside.
    pub program: PathBuf,
}

impl Engine {
    /// Evaluates and realises an installable and finds its program: `program` if given (a name, or a path as seen from
    /// inside), else the one named as the package.
    ///
    /// # Errors
    /// Evaluation or a build fails, or there is no such program.
    pub fn prepare_run(
        &self,
        what: &Installable,
        with: &[Installable],
        args: &[AutoArg],
        program: Option<&str>,
    ) -> Result<RunPlan, EngineError> {
        match what {
            Installable::Deb { .. } => self.prepare_deb(what, with, program),
            Installable::Attr { .. } | Installable::StorePath(_) => self.prepare_store_path(what, args, program),
        }
    }

    fn prepare_deb(
        &self,
        what: &Installable,
        with: &[Installable],
        program: Option<&str>,
    ) -> Result<RunPlan, EngineError> {
        let (pinned, bare, tree) = self.realise_deb_tree(std::iter::once(what).chain(with))?;
        let tree_dir = self.shared.store()?.physical_path(&tree);
        let wanted = program.unwrap_or(&bare[0]);
        let program = if wanted.contains('/') {
            PathBuf::from(wanted)
        } else if let Some(found) = find_in_tree(&tree_dir, wanted) {
            found
        } else {
            let available = self.programs_of_package(&pinned, &bare[0])?;
            match (&available[..], program) {
                // the package has one program, under another name
                ([only], None) => PathBuf::from("/").join(only),
                _ => {
                    let names = available.iter().filter_map(|path| path.file_name()).map(lossy).collect();
                    let program = wanted.to_owned();
                    return Err(EngineError::NoProgram { what: what.to_string(), program, available: names });
                }
            }
        };
        Ok(RunPlan { what: what.to_string(), store_path: tree.clone(), tree: Some(tree), program })
    }

    /// The joined tree of packages and all they need, and the packages' names.
    pub(crate) fn realise_deb_tree<'a>(
        &self,
        packages: impl Iterator<Item = &'a Installable>,
    ) -> Result<(Pinned, Vec<String>, StorePath), EngineError> {
        let mut names = Vec::new();
        for installable in packages {
            match installable {
                Installable::Deb { name, version } => {
                    names.push(version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}={version}")));
                }
                other => return Err(EngineError::MixedUniverses { what: other.to_string() }),
            }
        }
        let pinned = self.shared.pin(&names)?;
        let bare: Vec<String> = names.iter().map(|name| bare_name(name).to_owned()).collect();
        let tree = self.realise_expression(&pinned.tree(&bare))?;
        Ok((pinned, bare, tree))
    }

    /// Programs that the package itself brings, as paths relative to the tree.
    fn programs_of_package(&self, pinned: &Pinned, name: &str) -> Result<Vec<PathBuf>, EngineError> {
        let unpacked = self.realise_expression(&pinned.package(name))?;
        let dir = self.shared.store()?.physical_path(&unpacked);
        let mut programs = Vec::new();
        for below in TREE_PROGRAM_DIRS {
            let entries = nopal_fs::if_exists(nopal_fs::read_dir(&dir.join(below)))?.unwrap_or_default();
            let names = entries.into_iter().filter(|entry| entry.kind != EntryKind::Directory);
            programs.extend(names.map(|entry| Path::new(below).join(entry.name)));
        }
        Ok(programs)
    }

    fn prepare_store_path(
        &self,
        what: &Installable,
        args: &[AutoArg],
        program: Option<&str>,
    ) -> Result<RunPlan, EngineError> {
        let (store_path, tree, main_program) = match what {
            Installable::StorePath(text) if !text.trim_end_matches('/').ends_with(".drv") => {
                let (path, rest) = self.config().store_dir.split(text)?;
                let store = self.store()?;
                store.add_temp_root(&path)?;
                if !store.is_valid(&path)? {
                    return Err(EngineError::NotValid { path: text.clone() });
                }
                if !rest.trim_matches('/').is_empty() {
                    let program = PathBuf::from(text);
                    return Ok(RunPlan { what: text.clone(), store_path: path, tree: None, program });
                }
                let name = program_name(path.name()).to_owned();
                (path, None, name)
            }
            _ => self.realise_program(what, args)?,
        };
        let physical = self.store()?.physical_path(&store_path);
        let wanted = program.map_or(main_program, str::to_owned);
        let inside = PathBuf::from(self.config().store_dir.print(&store_path));
        let program = if wanted.contains('/') {
            PathBuf::from(wanted)
        } else {
            let bin = physical.join("bin");
            let entries = nopal_fs::if_exists(nopal_fs::read_dir_names(&bin))?.unwrap_or_default();
            match entries.iter().find(|name| name.as_os_str() == OsStr::new(&wanted)).or(match &entries[..] {
                [only] if program.is_none() => Some(only),
                _ => None,
            }) {
                Some(name) => inside.join("bin").join(name),
                None => {
                    let available = entries.iter().map(lossy).collect();
                    return Err(EngineError::NoProgram { what: what.to_string(), program: wanted, available });
                }
            }
        };
        Ok(RunPlan { what: what.to_string(), store_path, tree, program })
    }

    /// Realises the output of a derivation that holds programs, and the tree its programs expect around them.
    pub(crate) fn realise_program(
        &self,
        what: &Installable,
        args: &[AutoArg],
    ) -> Result<(StorePath, Option<StorePath>, String), EngineError> {
        let mut wanted = self.instantiate(what, args)?;
        if wanted.is_empty() {
            return Err(EngineError::NotADerivation { what: what.to_string() });
        }
        let mut wanted = wanted.swap_remove(0);
        let derivation = self.shared.read_derivation(&wanted.drv_path)?;
        let output = if derivation.outputs.contains_key("bin") { "bin" } else { "out" };
        if wanted.outputs.is_empty() || derivation.outputs.contains_key("bin") {
            wanted.outputs = vec![output.to_owned()];
        }
        let tree = self.realise_tree(&derivation)?;
        let built = self.realise(&[wanted], &RealiseOptions::default())?;
        let path = built.into_iter().flat_map(|built| built.outputs).next();
        let (_, path) = path.ok_or_else(|| EngineError::NotADerivation { what: what.to_string() })?;
        let name = derivation
            .env_value("mainProgram")
            .and_then(|name| name.to_str())
            .or_else(|| derivation.env_value("pname").and_then(|name| name.to_str()))
            .unwrap_or_else(|| program_name(&derivation.name))
            .to_owned();
        Ok((path, tree, name))
    }

    /// What was compiled in a tree expects that tree: `__fhs` of the derivation, made valid.
    fn realise_tree(&self, derivation: &nopal_format::Derivation) -> Result<Option<StorePath>, EngineError> {
        let Some(text) = derivation.env_value("__fhs").and_then(|tree| tree.to_str()) else { return Ok(None) };
        let (tree, _) = self.config().store_dir.split(text)?;
        for (drv_path, inputs) in &derivation.input_drvs {
            let input = self.shared.read_derivation(drv_path)?;
            for (name, output) in &input.outputs {
                let path = output.path(&self.config().store_dir, &input.name, name)?;
                if path.as_ref() == Some(&tree) && inputs.outputs.contains(name) {
                    let outputs = vec![name.clone()];
                    let wanted =
                        Wanted { drv_path: drv_path.clone(), outputs, output: String::new(), attr: String::new() };
                    self.realise(&[wanted], &RealiseOptions::default())?;
                }
            }
        }
        Ok(Some(tree))
    }

    /// Becomes the program. Returns only if that fails; the process must have no other thread of its own.
    ///
    /// # Errors
    /// The namespace cannot be made, or the program cannot be started.
    pub fn run(self, plan: RunPlan, arguments: Vec<OsString>) -> Result<Infallible, EngineError> {
        let (environment, folder) = (self.config().environment.clone(), self.config().working_dir.clone());
        self.run_in(plan, arguments, environment, folder)
    }

    /// Becomes the program with another environment, in another working directory.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_in(
        self,
        plan: RunPlan,
        arguments: Vec<OsString>,
        environment: BTreeMap<OsString, OsString>,
        folder: PathBuf,
    ) -> Result<Infallible, EngineError> {
        let spec = RunSpec { cwd: folder, ..self.shared.run_spec(&plan, arguments, environment)? };
        let store = match std::sync::Arc::into_inner(self.shared) {
            Some(shared) => shared.into_store(),
            None => None,
        };
        if let Some(store) = store {
            store.keep_temp_roots_after_exec()?;
        }
        Ok(run::enter(&spec)?)
    }
}

impl Shared {
    /// The user's environment, for programs of a joined tree with that root.
    pub(crate) fn environment_for_tree(&self, root: &Path) -> BTreeMap<OsString, OsString> {
        let mut environment = self.config.environment.clone();
        enter_tree(&mut environment, root);
        environment
    }

    fn run_spec(
        &self,
        plan: &RunPlan,
        arguments: Vec<OsString>,
        mut environment: BTreeMap<OsString, OsString>,
    ) -> Result<RunSpec, EngineError> {
        let store = self.store()?;
        if plan.tree.is_some() {
            enter_tree(&mut environment, Path::new("/"));
        }
        Ok(RunSpec {
            store: StoreView { physical: store.physical_dir().to_owned(), logical: self.config.store_dir.clone() },
            fhs: plan.tree.as_ref().map(|tree| store.physical_path(tree)),
            mount_point: store.physical_dir().to_owned(),
            cwd: self.config.working_dir.clone(),
            home: environment.get(OsStr::new("HOME")).map_or_else(|| PathBuf::from("/"), PathBuf::from),
            program: plan.program.clone(),
            arguments,
            name: None,
            environment: environment.into_iter().collect(),
        })
    }
}

/// Makes an environment one for programs of a joined tree with that root: variables of the machine go, and the tree's
/// directories are appended to `PATH`.
fn enter_tree(environment: &mut BTreeMap<OsString, OsString>, root: &Path) {
    for name in HOST_ONLY_VARIABLES {
        environment.remove(OsStr::new(name));
    }
    let current = environment.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&current).filter(|dir| !dir.as_os_str().is_empty()).collect();
    for dir in TREE_PATH.split(':').map(|dir| root.join(dir.trim_start_matches('/'))) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    // every part came out of a split, or is one of ours: none has a colon
    if let Ok(joined) = std::env::join_paths(dirs) {
        environment.insert("PATH".into(), joined);
    }
}

/// The path, as seen from inside, of a program in a joined tree.
fn find_in_tree(tree: &Path, name: &str) -> Option<PathBuf> {
    TREE_PROGRAM_DIRS.iter().map(|dir| Path::new(dir).join(name)).find_map(|below| {
        let found = nopal_fs::symlink_metadata(&tree.join(&below)).ok()?;
        (!found.is_dir()).then(|| Path::new("/").join(below))
    })
}

/// `NAME=VERSION` without the version.
fn bare_name(spec: &str) -> &str {
    spec.split_once('=').map_or(spec, |(name, _)| name)
}

/// The name of a derivation without its version: up to the first dash that no letter follows, as `parseDrvName`.
pub(crate) fn program_name(name: &str) -> &str {
    let dash =
        name.match_indices('-').find(|(at, _)| name[at + 1..].chars().next().is_some_and(|next| !next.is_alphabetic()));
    dash.map_or(name, |(at, _)| &name[..at])
}

fn lossy(name: impl AsRef<OsStr>) -> String {
    name.as_ref().to_string_lossy().into_owned()
}

//! What is taken along when programs are relocated, and running them from where they are then.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nopal_format::StorePath;
use nopal_relocate::{Assessment, RelocateError, Rung, Source};
use nopal_store::Direction;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::eval::AutoArg;
use crate::installable::Installable;
use crate::run::RunPlan;

/// What is named, made valid in the store.
#[derive(Debug)]
pub struct Parcel {
    /// All trees that it consists of.
    pub sources: Vec<Source>,
    /// Folders, from the root on, whose programs were asked for.
    pub programs: Vec<PathBuf>,
}

impl Engine {
    /// Evaluates and realises what is named, and finds all trees it needs: packages of a distribution joined to one, of
    /// other packages the closure.
    ///
    /// # Errors
    /// Evaluation or a build fails, or packages of a distribution are named beside others.
    pub fn parcel(&self, what: &[Installable], args: &[AutoArg]) -> Result<Parcel, EngineError> {
        if what.iter().any(|installable| matches!(installable, Installable::Deb { .. })) {
            let (_, _, tree) = self.realise_deb_tree(what.iter())?;
            return Ok(Parcel { sources: vec![self.tree_at_root(&tree)?], programs: vec![PathBuf::from("/usr/bin")] });
        }
        let mut parcel = Parcel { sources: Vec::new(), programs: Vec::new() };
        let mut paths = Vec::new();
        for installable in what {
            let (path, tree) = self.realise_member(installable, args)?;
            if let Some(tree) = tree {
                parcel.sources.push(self.tree_at_root(&tree)?);
            }
            parcel.programs.push(Path::new(&self.config().store_dir.print(&path)).join("bin"));
            paths.push(path);
        }
        parcel.sources.extend(self.closure(&paths)?);
        Ok(parcel)
    }

    /// All that a program needs, relocated to the cache, and what speaks against running the program from there. Programs
    /// find their loader by the first way, from `first` on, that will do.
    ///
    /// # Errors
    /// Files cannot be read or written.
    pub fn relocated(&self, plan: &RunPlan, first: Rung) -> Result<Relocated, EngineError> {
        let mut name = format!("{}-{}", plan.store_path, nopal_relocate::edition());
        if first != Rung::Stub {
            name.push_str(&format!("-{}", first.name()));
        }
        let root = self.shared.cache_dir("relocated")?.join(name);
        if !nopal_fs::exists(&root) {
            let mut sources = plan.tree.iter().map(|tree| self.tree_at_root(tree)).collect::<Result<Vec<_>, _>>()?;
            if plan.tree.as_ref() != Some(&plan.store_path) {
                sources.extend(self.closure(std::slice::from_ref(&plan.store_path))?);
            }
            match nopal_relocate::relocate(&sources, &[], first, &root) {
                // somebody else was faster
                Err(RelocateError::Exists(_)) => {}
                Err(RelocateError::Fs(error)) if error.is_already_exists() => {}
                result => result.map(|_| ())?,
            }
        }
        let assessment = nopal_relocate::assess(&root, &plan.program)?;
        Ok(Relocated { root, assessment })
    }

    /// Becomes the program of a relocated tree. Returns only if that fails.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn run_relocated(
        self,
        plan: &RunPlan,
        relocated: &Relocated,
        arguments: Vec<OsString>,
    ) -> Result<Infallible, EngineError> {
        let environment = match plan.tree {
            Some(_) => self.shared.environment_for_tree(&relocated.root),
            None => self.config().environment.clone(),
        };
        let program = relocated.root.join(plan.program.strip_prefix("/").unwrap_or(&plan.program));
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(environment).current_dir(&self.config().working_dir);
        Err(EngineError::System { operation: "start the relocated program", source: command.exec() })
    }

    /// Whether the store is where its programs expect it.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn store_is_in_place(&self) -> Result<bool, EngineError> {
        let physical = nopal_fs::canonicalize(self.store()?.physical_dir())?;
        Ok(physical == Path::new(self.config().store_dir.as_str()))
    }

    /// A store path, and the tree that its programs expect around them.
    fn realise_member(
        &self,
        what: &Installable,
        args: &[AutoArg],
    ) -> Result<(StorePath, Option<StorePath>), EngineError> {
        match what {
            Installable::StorePath(text) if !text.trim_end_matches('/').ends_with(".drv") => {
                let (path, _) = self.config().store_dir.split(text)?;
                let store = self.store()?;
                store.add_temp_root(&path)?;
                if !store.is_valid(&path)? {
                    return Err(EngineError::NotValid { path: text.clone() });
                }
                Ok((path, None))
            }
            _ => self.realise_program(what, args).map(|(path, tree, _)| (path, tree)),
        }
    }

    /// Paths of the store, and all that they refer to.
    fn closure(&self, paths: &[StorePath]) -> Result<Vec<Source>, EngineError> {
        let store = self.store()?;
        let source = |path: StorePath| Source {
            logical: PathBuf::from(self.config().store_dir.print(&path)),
            physical: store.physical_path(&path),
        };
        Ok(store.closure(paths, Direction::References)?.into_iter().map(source).collect())
    }

    fn tree_at_root(&self, tree: &StorePath) -> Result<Source, EngineError> {
        Ok(Source { logical: PathBuf::from("/"), physical: self.store()?.physical_path(tree) })
    }
}

/// A tree that was relocated.
#[derive(Debug)]
pub struct Relocated {
    /// Where it is.
    pub root: PathBuf,
    /// What speaks against running the program from there.
    pub assessment: Assessment,
}

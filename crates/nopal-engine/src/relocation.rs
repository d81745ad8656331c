//! What is taken along when programs are relocated.

use std::path::{Path, PathBuf};

use nopal_format::StorePath;
use nopal_relocate::Source;
use nopal_store::Direction;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::eval::AutoArg;
use crate::installable::Installable;

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
        let store = self.store()?;
        for path in store.closure(&paths, Direction::References)? {
            let logical = PathBuf::from(self.config().store_dir.print(&path));
            parcel.sources.push(Source { logical, physical: store.physical_path(&path) });
        }
        Ok(parcel)
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

    fn tree_at_root(&self, tree: &StorePath) -> Result<Source, EngineError> {
        Ok(Source { logical: PathBuf::from("/"), physical: self.store()?.physical_path(tree) })
    }
}

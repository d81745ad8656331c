//! Derivations in the store: reading them, their outputs, adding one that is given as JSON.

use std::collections::BTreeMap;

use nopal_format::derivation::DrvHashes;
use nopal_format::json::Json;
use nopal_format::{Derivation, StorePath};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// A derivation of the store.
    ///
    /// # Errors
    /// It is not valid, or cannot be read.
    pub fn derivation(&self, path: &StorePath) -> Result<Derivation, EngineError> {
        self.shared.read_derivation(path)
    }

    /// The paths of a derivation's outputs by name; `None` for those that are not known before they are built.
    ///
    /// # Errors
    /// The derivation is not valid, or cannot be read.
    pub fn output_paths(&self, drv: &StorePath) -> Result<BTreeMap<String, Option<StorePath>>, EngineError> {
        let derivation = self.shared.read_derivation(drv)?;
        let known = self.store()?.derivation_outputs(drv)?;
        let mut paths = BTreeMap::new();
        for (name, output) in &derivation.outputs {
            let path = output.path(&self.config().store_dir, drv.derivation_name()?, name)?;
            paths.insert(name.clone(), path.or_else(|| known.get(name).cloned()));
        }
        Ok(paths)
    }

    /// Adds a derivation that is given as JSON, as `nix derivation show` prints one. `dry_run` only tells its path.
    ///
    /// # Errors
    /// The JSON is no derivation, or its output paths are not those that follow from it.
    pub fn add_derivation(&self, json: &Json, dry_run: bool) -> Result<StorePath, EngineError> {
        let store_dir = &self.config().store_dir;
        let mut derivation = Derivation::from_json(store_dir, json)?;
        let mut read = |path: &StorePath| self.shared.read_derivation(path);
        let made = DrvHashes::new().instantiate(store_dir, &mut derivation, &mut read)?;
        if !dry_run {
            self.store()?.add_text(made.path.name(), &made.aterm, &derivation.references())?;
        }
        Ok(made.path)
    }
}

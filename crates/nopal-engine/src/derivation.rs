//! Derivations in the store: reading them, their outputs, adding one that is given as JSON.

use std::collections::BTreeMap;

use nopal_format::derivation::{DerivationForm, DrvHashes};
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
        Ok(self.store()?.known_outputs(&derivation, &mut DrvHashes::new())?)
    }

    /// Adds a derivation that is given as JSON, as `nix derivation show` prints one. `dry_run` only tells its path.
    ///
    /// # Errors
    /// The JSON is no derivation or one of a kind that is experimental and not on, or its output paths are not those
    /// that follow from it.
    pub fn add_derivation(&self, json: &Json, dry_run: bool) -> Result<StorePath, EngineError> {
        let store_dir = &self.config().store_dir;
        let mut derivation = Derivation::from_json(store_dir, json)?;
        for (feature, why) in derivation.required_features(DerivationForm::Json) {
            if !self.config().experimental_features.iter().any(|on| on == feature) {
                let why = if why.is_empty() { why } else { format!(" ({why})") };
                return Err(EngineError::Feature { feature, why });
            }
        }
        let mut read = |path: &StorePath| self.shared.read_derivation(path);
        let mut hashes = DrvHashes::new();
        let made = hashes.instantiate(store_dir, &mut derivation, &mut read)?;
        if !dry_run {
            self.store()?.add_text(made.path.name(), made.aterm, &derivation.references())?;
        }
        Ok(made.path)
    }
}

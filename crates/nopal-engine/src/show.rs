//! Looking at derivations and their logs.

use std::collections::{BTreeMap, BTreeSet};

use nopal_format::derivation::show_derivations;
use nopal_format::json::Json;
use nopal_format::{Derivation, StorePath};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Derivations as `nix derivation show` prints them (JSON version 4); `recursive` adds all that they need.
    ///
    /// # Errors
    /// A derivation is not in the store, or cannot be expressed.
    pub fn show_derivations(&self, paths: &[StorePath], recursive: bool) -> Result<Json, EngineError> {
        let mut todo: BTreeSet<StorePath> = paths.iter().cloned().collect();
        let mut shown: BTreeMap<StorePath, Derivation> = BTreeMap::new();
        while let Some(path) = todo.pop_first() {
            let derivation = self.shared.read_derivation(&path)?;
            if recursive {
                todo.extend(derivation.input_drvs.keys().filter(|input| !shown.contains_key(*input)).cloned());
            }
            shown.insert(path, derivation);
        }
        Ok(show_derivations(&shown)?)
    }

    /// The log of the last build of a derivation, or of the derivation that made an output path.
    ///
    /// # Errors
    /// Not a store path, or no log is kept for it.
    pub fn build_log(&self, path: &str) -> Result<Vec<u8>, EngineError> {
        let (path, _) = self.config().store_dir.split(path)?;
        let store = self.store()?;
        let mut candidates = vec![path.clone()];
        if !path.is_derivation() {
            candidates.extend(store.find_path_info(&path)?.and_then(|info| info.deriver));
            candidates.extend(store.valid_derivers(&path)?);
        }
        for candidate in &candidates {
            let file = nopal_build::log_path(&store.config().log_dir(), candidate);
            if let Some(log) = nopal_fs::read_file_if_exists(&file)? {
                return Ok(log);
            }
        }
        Err(EngineError::NoLog { path: store.print(&path) })
    }
}

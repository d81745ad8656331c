//! Which paths the outputs of derivations have, as far as that is known: from the derivation, or from a record.

use std::collections::BTreeMap;

use nopal_format::derivation::{DerivationError, DrvHashes};
use nopal_format::{BuiltPath, Derivation, DrvOutput, Hash, Realisation, SingleDerivedPath, StorePath};

use crate::database::{ForeignKeys, Persist, Registered};
use crate::error::StoreError;
use crate::store::Store;

impl From<DerivationError> for StoreError {
    fn from(error: DerivationError) -> Self {
        Self::Derivation { path: "in memory".to_owned(), reason: error.to_string() }
    }
}

impl Store {
    /// Reads a derivation.
    pub fn read_derivation(&self, path: &StorePath) -> Result<Derivation, StoreError> {
        let wrong = |reason: String| StoreError::Derivation { path: self.print(path), reason };
        let name = path.derivation_name().map_err(|error| wrong(error.to_string()))?;
        let mut place = self.derivations().physical_path(path);
        if !nopal_fs::exists(&place) {
            place = self.physical_path(path);
        }
        let text = nopal_fs::read_file(&place)?;
        Derivation::parse_aterm(self.store_dir(), &text, name).map_err(|error| wrong(error.to_string()))
    }

    /// The hash that outputs of a derivation are recorded under. Derivations that it needs are read unless `hashes`
    /// knows them.
    pub fn output_hash(&self, derivation: &Derivation, hashes: &mut DrvHashes) -> Result<Hash, StoreError> {
        hashes.output_hash(self.store_dir(), derivation, &mut |path| self.read_derivation(path))
    }

    /// The paths of all outputs of a derivation, as far as they are known.
    pub fn known_outputs(
        &self,
        derivation: &Derivation,
        hashes: &mut DrvHashes,
    ) -> Result<BTreeMap<String, Option<StorePath>>, StoreError> {
        let mut known = BTreeMap::new();
        let mut drv_hash = None;
        for (name, output) in &derivation.outputs {
            let mut path = output.path(self.store_dir(), &derivation.name, name)?;
            if path.is_none() {
                let drv_hash = match drv_hash {
                    Some(hash) => hash,
                    None => *drv_hash.insert(self.output_hash(derivation, hashes)?),
                };
                let id = DrvOutput { drv_hash, output: name.clone() };
                path = self.realisation(&id)?.map(|realisation| realisation.path);
            }
            known.insert(name.clone(), path);
        }
        Ok(known)
    }

    /// The path of an output, if it is known.
    pub fn known_output(&self, built: &BuiltPath, hashes: &mut DrvHashes) -> Result<Option<StorePath>, StoreError> {
        let drv = match &built.drv {
            SingleDerivedPath::Opaque(path) => path.clone(),
            SingleDerivedPath::Built(inner) => match self.known_output(inner, hashes)? {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        let known = self.known_outputs(&self.read_derivation(&drv)?, hashes)?;
        known.get(built.output.as_str()).cloned().ok_or_else(|| StoreError::Derivation {
            path: self.print(&drv),
            reason: format!("it does not have an output named '{}'", built.output),
        })
    }

    /// What is recorded of an output.
    pub fn realisation(&self, id: &DrvOutput) -> Result<Option<Realisation>, StoreError> {
        self.database().read(|reader| reader.realisation(id))
    }

    /// What is recorded of outputs that turned out to be `path`.
    pub fn realisations_of(&self, path: &StorePath) -> Result<Vec<Realisation>, StoreError> {
        self.database().read(|reader| reader.realisations_of(path))
    }

    /// Records what outputs turned out to be, all or none. Where that is known already, signatures are added.
    pub fn register_realisations(&self, realisations: &[Realisation]) -> Result<(), StoreError> {
        self.writable("record a realisation")?;
        self.database().write(Persist::Soon, ForeignKeys::Checked, |writer| {
            for realisation in realisations {
                match writer.register_realisation(realisation)? {
                    Registered::Done => {}
                    Registered::NotValid => return Err(self.not_valid(&realisation.path)),
                    Registered::Other(local) => {
                        return Err(StoreError::OtherRealisation {
                            id: realisation.id.to_string(),
                            local: self.print(&local),
                            remote: self.print(&realisation.path),
                        });
                    }
                }
            }
            Ok(())
        })
    }
}

//! Substitution: what a binary cache has need not be built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nopal_build::builtin::BuiltinBuilders;
use nopal_format::derivation::{DerivationKind, DrvHashes};
use nopal_format::narinfo::NarInfo;
use nopal_format::{Derivation, DrvOutput, Realisation, StorePath};
use nopal_report::Level;
use nopal_store::{CacheImport, StoreError};

use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::realise::{RealiseOptions, Wanted, to_build};

/// What would be done to make outputs valid.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Derivations to build, each after those it needs.
    pub will_build: Vec<StorePath>,
    /// What would be copied from caches.
    pub will_fetch: BTreeSet<StorePath>,
    /// How many bytes that is in the caches.
    pub download_bytes: u64,
    /// How many bytes that is unpacked.
    pub unpacked_bytes: u64,
}

/// A binary cache.
struct Cache {
    uri: String,
    folder: PathBuf,
}

/// An output that a cache has.
struct Offer<'a> {
    cache: &'a Cache,
    drv_path: StorePath,
    output: String,
    /// What must be copied for it.
    narinfos: Vec<NarInfo>,
    /// What the cache says that the output turned out to be, where that does not follow from the derivation.
    realisation: Option<Realisation>,
}

impl Engine {
    /// What [`realise`](Self::realise) would do.
    ///
    /// # Errors
    /// A derivation cannot be read.
    pub fn plan(&self, wanted: &[Wanted]) -> Result<Plan, EngineError> {
        let caches = self.shared.caches();
        let offers = self.shared.offers(&caches, wanted)?;
        let mut config = self.shared.build_config(&RealiseOptions::default(), BuiltinBuilders::new());
        let mut plan = Plan::default();
        for offer in offers {
            for narinfo in offer.narinfos {
                if plan.will_fetch.insert(narinfo.info.path.clone()) {
                    plan.download_bytes += narinfo.file_size.unwrap_or(0);
                    plan.unpacked_bytes += narinfo.info.nar_size;
                }
            }
            config.presumed.entry(offer.drv_path).or_default().insert(offer.output);
        }
        plan.will_build = nopal_build::plan(self.shared.store()?, &config, &to_build(wanted))?.will_build;
        Ok(plan)
    }

    /// Makes a path valid if a cache has it. Returns whether it is valid.
    ///
    /// # Errors
    /// A cache has it and cannot deliver it.
    pub fn substitute_path(&self, path: &StorePath) -> Result<bool, EngineError> {
        let store = self.store()?;
        store.add_temp_root(path)?;
        if store.is_valid(path)? {
            return Ok(true);
        }
        for cache in self.shared.caches() {
            if let Some(narinfos) = self.shared.ask(&cache, path)? {
                self.shared.copy(&cache, &narinfos)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Shared {
    /// The caches that can be asked.
    fn caches(&self) -> Vec<Cache> {
        let mut caches = Vec::new();
        for uri in &self.config.substituters {
            let Some(place) = uri.strip_prefix("file://") else { continue };
            let folder = PathBuf::from(place.split_once('?').map_or(place, |(folder, _)| folder));
            if folder.is_absolute() && nopal_fs::exists(&folder.join("nix-cache-info")) {
                caches.push(Cache { uri: uri.clone(), folder });
            }
        }
        caches
    }

    fn trust(&self) -> Result<CacheImport, EngineError> {
        let keys = self.config.trusted_public_keys.iter().map(|key| key.parse());
        Ok(CacheImport { trusted_keys: keys.collect::<Result<_, _>>()?, accept_unsigned: !self.config.require_sigs })
    }

    /// Copies what caches have of wanted outputs, and of what is needed to build the others.
    pub(crate) fn substitute(&self, wanted: &[Wanted]) -> Result<(), EngineError> {
        let caches = self.caches();
        // what is copied may tell what derivations that need it come to, and that may be in a cache, too
        loop {
            let mut copied = false;
            for offer in self.offers(&caches, wanted)? {
                if let Err(error) = self.copy(offer.cache, &offer.narinfos) {
                    if !self.config.fallback {
                        return Err(error);
                    }
                    self.config.reporter.warn(error.to_string());
                    continue;
                }
                copied = true;
                if let Some(realisation) = &offer.realisation {
                    self.store()?.register_realisations(std::slice::from_ref(realisation))?;
                }
            }
            if !copied {
                return Ok(());
            }
        }
    }

    fn copy(&self, cache: &Cache, narinfos: &[NarInfo]) -> Result<(), EngineError> {
        let store = self.store()?;
        for narinfo in narinfos {
            if store.is_valid(&narinfo.info.path)? {
                continue;
            }
            let text = format!("copying path '{}' from '{}'...", store.print(&narinfo.info.path), cache.uri);
            self.config.reporter.message(Level::Notice, text);
            store.import_planned(&cache.folder, narinfo)?;
        }
        Ok(())
    }

    /// What must be copied from a cache for a path; `None` if it does not have it, or nobody vouches for it.
    fn ask(&self, cache: &Cache, path: &StorePath) -> Result<Option<Vec<NarInfo>>, EngineError> {
        let store = self.store()?;
        if !store.is_in_cache(&cache.folder, path) {
            return Ok(None);
        }
        match store.plan_import(&cache.folder, std::slice::from_ref(path), &self.trust()?) {
            Ok(narinfos) => Ok(Some(narinfos)),
            Err(StoreError::Untrusted { path }) => {
                self.config.reporter.warn(format!(
                    "ignoring substitute for '{path}' from '{}', as it's not signed by any of the keys in \
                     'trusted-public-keys'",
                    cache.uri
                ));
                Ok(None)
            }
            // a part of its closure is not there
            Err(StoreError::Fs(error)) if error.is_not_found() => Ok(None),
            // a cache for another store directory
            Err(StoreError::Cache { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Outputs that caches have, of what is wanted and is not valid; where none has it, of what its build needs.
    fn offers<'a>(&self, caches: &'a [Cache], wanted: &[Wanted]) -> Result<Vec<Offer<'a>>, EngineError> {
        let mut offers = Vec::new();
        if caches.is_empty() {
            return Ok(offers);
        }
        let store = self.store()?;
        let records = self.config.experimental_features.iter().any(|feature| feature == "ca-derivations");
        let (mut hashes, mut asked) = (DrvHashes::new(), BTreeSet::new());
        let mut open: Vec<(StorePath, Vec<String>)> =
            wanted.iter().map(|wanted| (wanted.drv_path.clone(), wanted.outputs.clone())).collect();
        while let Some((drv_path, names)) = open.pop() {
            if !store.derivations().is_valid(&drv_path)? {
                continue;
            }
            let derivation = self.read_derivation(&drv_path)?;
            let known = match derivation.kind()? {
                DerivationKind::Impure => BTreeMap::new(),
                _ => store.known_outputs(&derivation, &mut hashes)?,
            };
            let names = if names.is_empty() { derivation.outputs.keys().cloned().collect() } else { names };
            let is_allowed = derivation.env_value("allowSubstitutes").is_none_or(|value| !value.is_empty());
            let mut must_build = false;
            for output in names {
                if !asked.insert((drv_path.clone(), output.clone())) {
                    continue;
                }
                let path = known.get(&output).cloned().flatten();
                if let Some(path) = &path
                    && store.is_valid(path)?
                {
                    continue;
                }
                let mut found = None;
                for cache in caches.iter().filter(|_| is_allowed && !known.is_empty()) {
                    let (path, realisation) = match &path {
                        Some(path) if !records => (path.clone(), None),
                        Some(path) => {
                            let drv_hash = store.output_hash(&derivation, &mut hashes)?;
                            let id = DrvOutput { drv_hash, output: output.clone() };
                            let realisation = Realisation { id, path: path.clone(), signatures: BTreeSet::new() };
                            (path.clone(), Some(realisation))
                        }
                        None => match self.realisation(&cache.folder, &derivation, &output, &mut hashes)? {
                            Some(realisation) => (realisation.path.clone(), Some(realisation)),
                            None => continue,
                        },
                    };
                    if let Some(narinfos) = self.ask(cache, &path)? {
                        let (drv_path, output) = (drv_path.clone(), output.clone());
                        found = Some(Offer { cache, drv_path, output, narinfos, realisation });
                        break;
                    }
                }
                must_build |= found.is_none();
                offers.extend(found);
            }
            if must_build {
                open.extend(derivation.input_drvs.iter().map(|(drv_path, inputs)| {
                    (drv_path.clone(), inputs.outputs.iter().map(ToString::to_string).collect::<Vec<_>>())
                }));
            }
        }
        Ok(offers)
    }

    /// What a cache says that an output turned out to be, or an output of what the derivation resolves to.
    fn realisation(
        &self,
        folder: &Path,
        derivation: &Derivation,
        output: &str,
        hashes: &mut DrvHashes,
    ) -> Result<Option<Realisation>, EngineError> {
        let store = self.store()?;
        let id = DrvOutput { drv_hash: store.output_hash(derivation, hashes)?, output: output.to_owned() };
        if let Some(realisation) = store.cached_realisation(folder, &id)? {
            return Ok(Some(realisation));
        }
        let Some(resolved) = self.resolved(derivation, hashes)? else { return Ok(None) };
        let mut path = resolved.outputs.get(output).map(|found| found.path(store.store_dir(), &resolved.name, output));
        if let Some(Ok(None)) = path {
            let drv_hash = store.output_hash(&resolved, hashes)?;
            let resolved_id = DrvOutput { drv_hash, output: output.to_owned() };
            path = Some(Ok(store.cached_realisation(folder, &resolved_id)?.map(|found| found.path)));
        }
        let path = path.transpose()?.flatten();
        Ok(path.map(|path| Realisation { id, path, signatures: BTreeSet::new() }))
    }

    /// A derivation with its inputs replaced by what they are, if all of them are there.
    fn resolved(&self, derivation: &Derivation, hashes: &mut DrvHashes) -> Result<Option<Derivation>, EngineError> {
        let store = self.store()?;
        if !derivation.should_resolve(true)? {
            return Ok(None);
        }
        let mut paths = Vec::new();
        for input in derivation.inputs() {
            match store.known_output(&input, hashes)? {
                Some(path) if store.is_valid(&path)? => paths.push((input, path)),
                _ => return Ok(None),
            }
        }
        Ok(Some(derivation.resolve(store.store_dir(), &paths)?))
    }
}

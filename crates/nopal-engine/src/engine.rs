//! The engine's state: one store, one downloader, opened when first needed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nopal_build::CancelToken;
use nopal_fetch::{FetchConfig, Fetcher};
use nopal_format::{Derivation, StorePath};
use nopal_store::Store;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::inputs::registry::Registries;
use crate::observe::Observed;
use crate::parsed::ParsedSources;
use crate::paths::PathMap;

/// Evaluates, instantiates, realises and runs. See the crate's page.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What the engine and the hosts of its evaluations have in common.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) paths: PathMap,
    pub(crate) cancel: CancelToken,
    /// What evaluations have come to beside their results.
    pub(crate) observed: Mutex<Observed>,
    pub(crate) registries: Registries,
    /// Settings of flakes that the user trusts, by their names in nix.conf.
    pub(crate) flake_settings: Mutex<BTreeMap<String, String>>,
    /// Sources that were parsed before.
    pub(crate) parsed: Option<ParsedSources>,
    store: OnceLock<Store>,
    /// Held while the store or a downloader is being opened.
    opening: Mutex<()>,
    /// The downloader that knows no mirrors beyond the configured ones.
    plain_fetcher: OnceLock<Arc<Fetcher>>,
    /// The downloader that also knows the mirrors of package repositories.
    mirror_fetcher: OnceLock<Arc<Fetcher>>,
}

impl Engine {
    /// An engine; nothing is opened or created yet.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let sources = config.eval_store.as_ref().unwrap_or(&config.store);
        let paths = PathMap::new(&config.store_dir, sources.physical_dir.clone());
        let cancel = CancelToken::new()
            .map_err(|source| EngineError::System { operation: "make an event descriptor", source })?;
        let observed = Mutex::new(Observed::new(&config));
        let parsed = config.parsed_sources.as_deref().map(|program| ParsedSources::new(&config.cache_dir, program));
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                paths,
                cancel,
                observed,
                parsed,
                registries: Registries::default(),
                flake_settings: Mutex::default(),
                store: OnceLock::new(),
                opening: Mutex::new(()),
                plain_fetcher: OnceLock::new(),
                mirror_fetcher: OnceLock::new(),
            }),
        })
    }

    /// What it was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.shared.config
    }

    /// The store, opened or created at the first call.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn store(&self) -> Result<&Store, EngineError> {
        self.shared.store()
    }

    /// Stops builds when cancelled; a signal handler may do that.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.shared.cancel
    }
}

impl Shared {
    pub(crate) fn store(&self) -> Result<&Store, EngineError> {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let reporter = &self.config.reporter;
        let other = self.config.eval_store.clone();
        let other = other.map(|config| Store::open(config, reporter.clone())).transpose()?;
        let store = Store::open_with(self.config.store.clone(), reporter.clone(), other)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// Gives up everything but the store.
    pub(crate) fn into_store(self) -> Option<Store> {
        self.store.into_inner()
    }

    /// The store if there is one; it is not created.
    pub(crate) fn existing_store(&self) -> Result<Option<&Store>, EngineError> {
        if self.store.get().is_none() && !nopal_fs::exists(&self.config.store.database_file()) {
            return Ok(None);
        }
        self.store().map(Some)
    }

    /// The store that derivations and sources go to.
    pub(crate) fn source_store(&self) -> Result<&Store, EngineError> {
        Ok(self.store()?.derivations())
    }

    /// Likewise, if there is one; it is not created.
    pub(crate) fn existing_source_store(&self) -> Result<Option<&Store>, EngineError> {
        match &self.config.eval_store {
            Some(config) if !nopal_fs::exists(&config.database_file()) => Ok(None),
            Some(_) => self.source_store().map(Some),
            None => self.existing_store(),
        }
    }

    /// Reads a derivation from the store.
    pub(crate) fn read_derivation(&self, path: &StorePath) -> Result<Derivation, EngineError> {
        let not_valid = || EngineError::NotValid { path: self.config.store_dir.print(path) };
        let mut store = self.existing_source_store()?.ok_or_else(not_valid)?;
        store.add_temp_root(path)?;
        if !store.is_valid(path)? {
            // a derivation that was built is where outputs are
            store = self.store()?;
            store.add_temp_root(path)?;
            if !store.is_valid(path)? {
                return Err(not_valid());
            }
        }
        self.parse_derivation(path, &nopal_fs::read_file(&store.physical_path(path))?)
    }

    /// The derivation that has this text.
    pub(crate) fn parse_derivation(&self, path: &StorePath, text: &[u8]) -> Result<Derivation, EngineError> {
        Derivation::parse_aterm(&self.config.store_dir, text, path.derivation_name()?)
            .map_err(|source| EngineError::Derivation { path: self.config.store_dir.print(path), source })
    }

    /// The downloader for URLs that name no mirror of a package repository.
    pub(crate) fn plain_fetcher(&self) -> Result<&Arc<Fetcher>, EngineError> {
        self.fetcher_in(&self.plain_fetcher, || Ok(self.config.downloads.mirrors.clone()))
    }

    /// The downloader that also knows the mirrors of the configured package repositories.
    pub(crate) fn mirror_fetcher(&self) -> Result<&Arc<Fetcher>, EngineError> {
        // before the lock: it needs the plain downloader
        let mirrors = if self.mirror_fetcher.get().is_none() { self.debian_mirrors()? } else { Default::default() };
        self.fetcher_in(&self.mirror_fetcher, || {
            let mut all = self.config.downloads.mirrors.clone();
            for (name, bases) in mirrors {
                all.entry(name).or_default().extend(bases);
            }
            Ok(all)
        })
    }

    fn fetcher_in<'a>(
        &self,
        cell: &'a OnceLock<Arc<Fetcher>>,
        mirrors: impl FnOnce() -> Result<BTreeMap<String, Vec<String>>, EngineError>,
    ) -> Result<&'a Arc<Fetcher>, EngineError> {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fetcher) = cell.get() {
            return Ok(fetcher);
        }
        let config = FetchConfig { mirrors: mirrors()?, offline: self.config.offline, ..self.config.downloads.clone() };
        let fetcher = Fetcher::new(config, self.config.reporter.clone())?;
        Ok(cell.get_or_init(|| Arc::new(fetcher)))
    }

    /// A directory of the cache.
    pub(crate) fn cache_dir(&self, name: &str) -> Result<PathBuf, EngineError> {
        let dir = self.config.cache_dir.join(name);
        nopal_fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A directory in the cache for what is on its way into the store.
    pub(crate) fn temp_dir(&self, prefix: &str) -> Result<nopal_fs::TempDir, EngineError> {
        Ok(nopal_fs::TempDir::new_in(&self.cache_dir("unpack")?, prefix)?)
    }
}

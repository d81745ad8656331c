//! The engine's state: one store, one downloader, opened when first needed.

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
        let paths = PathMap::new(&config.store_dir, config.store.physical_dir.clone());
        let cancel = CancelToken::new()
            .map_err(|source| EngineError::System { operation: "make an event descriptor", source })?;
        let observed = Mutex::new(Observed::new(&config));
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                paths,
                cancel,
                observed,
                registries: Registries::default(),
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
        let store = Store::open(self.config.store.clone(), self.config.reporter.clone())?;
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

    /// Reads a derivation from the store.
    pub(crate) fn read_derivation(&self, path: &StorePath) -> Result<Derivation, EngineError> {
        let not_valid = || EngineError::NotValid { path: self.config.store_dir.print(path) };
        let store = self.existing_store()?.ok_or_else(not_valid)?;
        store.add_temp_root(path)?;
        if !store.is_valid(path)? {
            return Err(not_valid());
        }
        let text = nopal_fs::read_file(&store.physical_path(path))?;
        let name = path.derivation_name()?;
        Derivation::parse_aterm(&self.config.store_dir, &text, name)
            .map_err(|source| EngineError::Derivation { path: self.config.store_dir.print(path), source })
    }

    /// The downloader for URLs that name no mirror of a package repository.
    pub(crate) fn plain_fetcher(&self) -> Result<&Arc<Fetcher>, EngineError> {
        self.fetcher_in(&self.plain_fetcher, || Ok(self.config.mirrors.clone()))
    }

    /// The downloader that also knows the mirrors of the configured package repositories.
    pub(crate) fn mirror_fetcher(&self) -> Result<&Arc<Fetcher>, EngineError> {
        // before the lock: it needs the plain downloader
        let mirrors = if self.mirror_fetcher.get().is_none() { self.debian_mirrors()? } else { Default::default() };
        self.fetcher_in(&self.mirror_fetcher, || {
            let mut all = self.config.mirrors.clone();
            for (name, bases) in mirrors {
                all.entry(name).or_default().extend(bases);
            }
            Ok(all)
        })
    }

    fn fetcher_in<'a>(
        &self,
        cell: &'a OnceLock<Arc<Fetcher>>,
        mirrors: impl FnOnce() -> Result<std::collections::BTreeMap<String, Vec<String>>, EngineError>,
    ) -> Result<&'a Arc<Fetcher>, EngineError> {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fetcher) = cell.get() {
            return Ok(fetcher);
        }
        let config = FetchConfig {
            mirrors: mirrors()?,
            proxies: self.config.proxies.clone(),
            ca_files: self.config.ca_files.clone(),
            offline: self.config.offline,
            ..FetchConfig::default()
        };
        let fetcher = Fetcher::new(config, self.config.reporter.clone())?;
        Ok(cell.get_or_init(|| Arc::new(fetcher)))
    }

    /// A directory of the cache.
    pub(crate) fn cache_dir(&self, name: &str) -> Result<PathBuf, EngineError> {
        let dir = self.config.cache_dir.join(name);
        nopal_fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

//! The open store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nopal_format::{StoreDir, StorePath};
use nopal_report::Reporter;

use crate::cache::CacheImport;
use crate::closure::Direction;
use crate::config::StoreConfig;
use crate::database::Database;
use crate::error::StoreError;
use crate::optimise::LINKS;
use crate::temp_roots::TempRoots;

/// Disk space set aside: the log of a batch of deletions takes some hundred KiB.
const RESERVE_BYTES: usize = 1024 * 1024;

/// An open store. Cheap to clone; may be used from several threads at once.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: StoreConfig,
    database: Database,
    temp_roots: Option<TempRoots>,
    reporter: Reporter,
    /// Where derivations and sources are, if that is elsewhere.
    derivations: Option<Store>,
}

impl Store {
    /// Opens the store, creating it if there is none and the configuration allows writing.
    pub fn open(config: StoreConfig, reporter: Reporter) -> Result<Self, StoreError> {
        Self::open_with(config, reporter, None)
    }

    /// The same; derivations and what they are made of are read from another store, if one is given.
    pub fn open_with(config: StoreConfig, reporter: Reporter, derivations: Option<Self>) -> Result<Self, StoreError> {
        if config.read_only {
            if !nopal_fs::is_dir(&config.physical_dir) || !nopal_fs::exists(&config.database_file()) {
                return Err(StoreError::NoStore { path: config.state_dir });
            }
        } else {
            create_directories(&config)?;
        }
        let database = Database::open(&config)?;
        let temp_roots = if config.read_only { None } else { Some(TempRoots::new(&config)) };
        let store = Self { inner: Arc::new(Inner { config, database, temp_roots, reporter, derivations }) };
        store.create_reserve();
        Ok(store)
    }

    /// The store that holds derivations: this one, unless another was given.
    pub fn derivations(&self) -> &Self {
        self.inner.derivations.as_ref().unwrap_or(self)
    }

    /// Copies sources that are valid only in the store of derivations, with all they need.
    pub fn fetch_sources(&self, paths: &BTreeSet<StorePath>) -> Result<(), StoreError> {
        let Some(other) = &self.inner.derivations else { return Ok(()) };
        let valid = self.valid_of(paths)?;
        let missing: Vec<StorePath> = paths.iter().filter(|path| !valid.contains(path)).cloned().collect();
        let closure = other.closure(&missing, Direction::References)?;
        self.copy_from(other, &closure, &CacheImport { accept_unsigned: true, ..CacheImport::default() })?;
        Ok(())
    }

    /// The configuration it was opened with.
    pub fn config(&self) -> &StoreConfig {
        &self.inner.config
    }

    /// The directory that store paths name.
    pub fn store_dir(&self) -> &StoreDir {
        &self.inner.config.store_dir
    }

    /// The directory that holds the trees.
    pub fn physical_dir(&self) -> &Path {
        &self.inner.config.physical_dir
    }

    /// Where the tree of `path` lies.
    pub fn physical_path(&self, path: &StorePath) -> PathBuf {
        self.inner.config.physical_dir.join(path.base_name())
    }

    /// The path as it is written, with the logical store directory.
    pub fn print(&self, path: &StorePath) -> String {
        self.inner.config.store_dir.print(path)
    }

    /// Where events go.
    pub fn reporter(&self) -> &Reporter {
        &self.inner.reporter
    }

    /// Protects `path` from garbage collection for as long as this store is open in this process. Take it before
    /// asking whether the path is valid, else the answer may be out of date when it comes.
    pub fn add_temp_root(&self, path: &StorePath) -> Result<(), StoreError> {
        self.add_temp_roots(std::slice::from_ref(path))
    }

    /// Gives up the store but not its temporary roots: they live as long as the process, also after `execve`.
    pub fn keep_temp_roots_after_exec(self) -> Result<(), StoreError> {
        match &self.inner.temp_roots {
            Some(temp_roots) => Ok(temp_roots.keep_after_exec()?),
            None => Ok(()),
        }
    }

    /// [`Store::add_temp_root`] for many paths at once.
    pub fn add_temp_roots(&self, paths: &[StorePath]) -> Result<(), StoreError> {
        self.protect(paths)
    }

    /// The same, for paths from anywhere.
    pub(crate) fn protect<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<(), StoreError> {
        match &self.inner.temp_roots {
            Some(temp_roots) => Ok(temp_roots.add(paths)?),
            // nothing can be deleted from a store that cannot be written to
            None => Ok(()),
        }
    }

    /// Sets some disk space aside, so that garbage can be collected on a full disk: the database has to be written to
    /// before anything can be removed. Without it a store still works.
    pub(crate) fn create_reserve(&self) {
        let reserve = self.reserve_file();
        if !self.inner.config.read_only
            && !nopal_fs::exists(&reserve)
            && nopal_fs::write(&reserve, &vec![0x5a; RESERVE_BYTES]).is_err()
        {
            // half a reserve would take the space it is to keep
            let _ = nopal_fs::remove_file(&reserve);
        }
    }

    /// Gives the space set aside back.
    pub(crate) fn release_reserve(&self) -> Result<(), StoreError> {
        nopal_fs::remove_file_if_exists(&self.reserve_file())?;
        Ok(())
    }

    fn reserve_file(&self) -> PathBuf {
        self.inner.config.state_dir.join("reserved")
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(crate) fn writable(&self, operation: &'static str) -> Result<&TempRoots, StoreError> {
        self.inner
            .temp_roots
            .as_ref()
            .ok_or_else(|| StoreError::ReadOnly { operation, path: self.inner.config.physical_dir.clone() })
    }
}

fn create_directories(config: &StoreConfig) -> Result<(), StoreError> {
    for directory in [
        config.physical_dir.clone(),
        config.indirect_roots_dir(),
        config.temp_roots_dir(),
        config.locks_dir(),
        config.log_dir(),
        config.database_dir.clone(),
        config.physical_dir.join(LINKS),
    ] {
        if !nopal_fs::is_dir(&directory) {
            nopal_fs::create_dir_all(&directory)?;
        }
    }
    Ok(())
}

//! Temporary roots: paths that a running process uses.
//!
//! Each open store has one file in `temproots/`, named by process and a random-enough suffix, and holds an exclusive
//! lock on it for as long as it is open: a file that can be locked by another has lost its owner. Its lines are base
//! names. The name also marks the temporary trees of its owner in the store directory (`.tmp-NAME-COUNT`).
//!
//! A root is written under the shared `roots.lock`. The collector takes that lock alone for each batch of paths that it
//! takes out of sight, and reads all files anew under it, so a root written before is honoured and one written after
//! finds the path gone and makes it again.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use nopal_format::StorePath;
use nopal_fs::{ExclusiveLock, FsError, LockFile, SharedLock};

use crate::config::StoreConfig;

/// Prefix of temporary trees in the store directory.
pub(crate) const TEMP_PREFIX: &str = ".tmp-";

#[derive(Debug)]
pub(crate) struct TempRoots {
    directory: PathBuf,
    physical_dir: PathBuf,
    roots_lock: PathBuf,
    gc_lock: PathBuf,
    state: Mutex<Option<State>>,
    counter: AtomicU64,
}

#[derive(Debug)]
struct State {
    file: ExclusiveLock,
    name: String,
    written: HashSet<StorePath>,
}

impl TempRoots {
    pub(crate) fn new(config: &StoreConfig) -> Self {
        Self {
            directory: config.temp_roots_dir(),
            physical_dir: config.physical_dir.clone(),
            roots_lock: config.roots_lock(),
            gc_lock: config.gc_lock(),
            state: Mutex::new(None),
            counter: AtomicU64::new(0),
        }
    }

    /// Lets the roots live as long as the process, whatever program it becomes: the lock's descriptor stays open.
    pub(crate) fn keep_after_exec(&self) -> Result<(), FsError> {
        let mut guard = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        guard.take().map_or(Ok(()), |state| state.file.keep_after_exec())
    }

    /// Writes the roots that are new.
    pub(crate) fn add<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<(), FsError> {
        let mut guard = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_fresh = |path: &&StorePath| !guard.as_ref().is_some_and(|state| state.written.contains(*path));
        let fresh: HashSet<&StorePath> = paths.into_iter().filter(is_fresh).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let lock = self.lock_shared()?;
        let state = self.state(&mut guard, &lock)?;
        let mut lines = String::new();
        for path in &fresh {
            path.base_name_into(&mut lines);
            lines.push('\n');
        }
        // one write: a reader sees whole lines, since it reads under the lock that we hold shared
        state.file.file().write_all(lines.as_bytes()).map_err(|e| FsError::new("write", state.file.path(), e))?;
        state.written.extend(fresh.into_iter().cloned());
        Ok(())
    }

    /// A path in the store directory for a tree in the making; the collector leaves it alone while this store is open.
    pub(crate) fn temp_path(&self) -> Result<PathBuf, FsError> {
        let mut guard = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if guard.is_none() {
            let lock = self.lock_shared()?;
            self.state(&mut guard, &lock)?;
        }
        let owner = guard.as_ref().map(|state| state.name.as_str()).unwrap_or_default();
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        Ok(self.physical_dir.join(format!("{TEMP_PREFIX}{owner}-{count}")))
    }

    fn lock_shared(&self) -> Result<SharedLock, FsError> {
        LockFile::open(&self.roots_lock)?.shared()
    }

    /// The file, created if need be: under the roots lock, so that no collector takes a file that is not yet locked
    /// for one that has lost its owner.
    fn state<'a>(&self, slot: &'a mut Option<State>, _lock: &SharedLock) -> Result<&'a mut State, FsError> {
        if let Some(state) = slot {
            return Ok(state);
        }
        // a directory that is made and locked at once would do; a file name that nobody else picks is simpler
        let name = nopal_fs::temp::unique_name("p");
        let path = self.directory.join(&name);
        drop(nopal_fs::create_new_file(&path)?);
        let file = LockFile::open(&path)?.exclusive()?;
        Ok(slot.insert(State { file, name, written: HashSet::new() }))
    }
}

impl Drop for TempRoots {
    fn drop(&mut self) {
        let slot = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(state) = slot.take() else { return };
        // A collector at work counts on files that it has seen, or not yet seen: our roots may just have become
        // permanent ones that it does not know of. Then the file stays, and the next collection removes it.
        if let Ok(lock) = LockFile::open(&self.gc_lock)
            && let Ok(Ok(_no_collector)) = lock.try_shared()
        {
            // litter at worst
            let _ = nopal_fs::remove_file(state.file.path());
        }
    }
}

/// What the files in `temproots/` say. The caller holds the roots lock alone.
#[derive(Debug, Default)]
pub(crate) struct TempRootsView {
    /// Names of files that belong to open stores, or did when the collection began.
    pub(crate) owners: HashSet<String>,
    /// The paths, with the process that uses each.
    pub(crate) roots: Vec<(StorePath, String)>,
}

/// Removes files whose owner is gone. The caller holds the roots lock alone.
pub(crate) fn sweep_stale(config: &StoreConfig) -> Result<u64, FsError> {
    let mut swept = 0;
    for name in nopal_fs::read_dir_names(&config.temp_roots_dir())? {
        let path = config.temp_roots_dir().join(name);
        let Some(file) = nopal_fs::if_exists(LockFile::open_existing(&path))? else { continue };
        if file.try_exclusive()?.is_ok() && nopal_fs::remove_file_if_exists(&path)? {
            swept += 1;
        }
    }
    Ok(swept)
}

/// Reads all files.
pub(crate) fn read_all(config: &StoreConfig) -> Result<TempRootsView, FsError> {
    let mut view = TempRootsView::default();
    for name in nopal_fs::read_dir_names(&config.temp_roots_dir())? {
        let Some(contents) = nopal_fs::read_file_if_exists(&config.temp_roots_dir().join(&name))? else { continue };
        let name = name.to_string_lossy().into_owned();
        for line in contents.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(path) = StorePath::from_base_name_bytes(line) {
                view.roots.push((path, name.clone()));
            }
        }
        view.owners.insert(name);
    }
    Ok(view)
}

//! The last steps of every addition: give the tree its name, make it durable, make it valid.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nopal_format::{Derivation, StoreDir, StorePath};
use nopal_fs::{CanonicalDirectory, FsError, NumberLocks, SyncMethod};

use crate::database::{ForeignKeys, Persist, Registration};
use crate::error::StoreError;
use crate::store::Store;
use nopal_format::PathInfo;

/// Entries up to which each is synced by itself; above, one `syncfs` for all. Measured on ext4, files of 8 KiB,
/// milliseconds each/all: 4 entries 2-24/1, 16 entries 4-8/1, 64 entries 130-340/8-18, 512 entries 800/30. A `syncfs`
/// also waits for what others have written to the file system, which a single small file should not have to.
const SYNC_EACH_LIMIT: u64 = 4;

/// A tree that vanishes with the value unless it has been moved away.
#[derive(Debug)]
pub(crate) struct TempTree(PathBuf);

impl TempTree {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempTree {
    fn drop(&mut self) {
        // a leftover is litter that the next collection removes
        let _ = nopal_fs::remove_tree_if_exists(&self.0);
    }
}

/// What is to become a store path, and what is to be known of it.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) info: PathInfo,
    pub(crate) contents: Contents,
    /// Of a derivation, the paths of its outputs, where they are known already.
    pub(crate) outputs: Option<BTreeMap<String, StorePath>>,
}

/// Where the contents of a path are.
#[derive(Debug)]
pub(crate) enum Contents {
    /// A complete tree with canonical metadata, on the file system of the store, of so many entries.
    Tree(TempTree, u64),
    /// A single file, in memory.
    File {
        /// All of it.
        bytes: Arc<[u8]>,
        /// Whether it may be run.
        executable: bool,
    },
}

impl Staged {
    /// A tree of so many entries.
    pub(crate) fn tree(info: PathInfo, tree: TempTree, entries: u64) -> Self {
        Self { info, contents: Contents::Tree(tree, entries), outputs: None }
    }

    /// Bytes in memory.
    pub(crate) fn size(&self) -> usize {
        match &self.contents {
            Contents::Tree(..) => 0,
            Contents::File { bytes, .. } => bytes.len(),
        }
    }
}

impl Store {
    /// Makes trees valid, all or none. The caller holds temporary roots on them. Paths that became valid meanwhile
    /// keep the contents they have.
    pub(crate) fn install(&self, staged: Vec<Staged>) -> Result<(), StoreError> {
        self.protect(staged.iter().flat_map(|staged| &staged.info.references))?;
        let mut round = Round::new(self, self.lock_paths(staged.iter().map(|staged| &staged.info.path))?)?;
        let valid = self.valid_of(staged.iter().map(|staged| &staged.info.path))?;
        round.place(staged, &valid)?;
        round.finish()
    }

    /// Has paths for itself, among all processes, as long as the result lives.
    pub(crate) fn lock_paths<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<NumberLocks, StoreError> {
        let numbers = paths.into_iter().map(lock_number).collect();
        Ok(NumberLocks::acquire(&self.config().paths_lock(), &numbers)?)
    }

    /// The same, for all paths that there may be.
    pub(crate) fn lock_all_paths(&self) -> Result<NumberLocks, StoreError> {
        Ok(NumberLocks::acquire_all(&self.config().paths_lock())?)
    }

    /// The output paths of what is in place, if it is a derivation.
    fn known_of(&self, staged: &Staged) -> BTreeMap<String, StorePath> {
        let path = &staged.info.path;
        match &staged.contents {
            Contents::File { bytes, .. } if path.is_derivation() => self.outputs_in(path, bytes),
            Contents::File { .. } => None,
            Contents::Tree(..) => self.outputs_of(path),
        }
        .unwrap_or_default()
    }

    /// Makes paths valid whose trees are in place.
    pub(crate) fn register_all(&self, known: &[Registration<'_>], persist: Persist) -> Result<(), StoreError> {
        self.database().write(persist, ForeignKeys::Found, |writer| {
            writer.register(known, now_s())?.map_err(|missing| StoreError::ReferenceNotValid {
                path: self.print(&missing.path),
                reference: self.print(&missing.reference),
            })
        })
    }

    /// The output paths of a path whose tree is in place, if it is a derivation.
    pub(crate) fn outputs_of(&self, path: &StorePath) -> Option<BTreeMap<String, StorePath>> {
        if !path.is_derivation() {
            return None;
        }
        self.outputs_in(path, &nopal_fs::read_file(&self.physical_path(path)).ok()?)
    }

    /// The same, by its text. Of a file that is no derivation in spite of its name, nothing is known.
    fn outputs_in(&self, path: &StorePath, text: &[u8]) -> Option<BTreeMap<String, StorePath>> {
        let name = path.derivation_name().ok()?;
        let derivation = Derivation::parse_aterm(self.store_dir(), text, name).ok()?;
        Some(known_outputs(self.store_dir(), &derivation))
    }

    fn make_durable(&self, trees: &[PathBuf], entries: u64) -> Result<(), FsError> {
        if !self.config().durability.contents || trees.is_empty() {
            return Ok(());
        }
        if entries > SYNC_EACH_LIMIT {
            return nopal_fs::sync_filesystem(self.physical_dir());
        }
        for tree in trees {
            nopal_fs::sync_tree(tree, SyncMethod::EachEntry)?;
        }
        nopal_fs::sync_directory(self.physical_dir())
    }
}

/// Paths that get their contents by and by and become valid together, all or none.
pub(crate) struct Round<'a> {
    store: &'a Store,
    _locks: NumberLocks,
    directory: CanonicalDirectory,
    placed: Placed,
    /// In all of what was placed.
    entries: u64,
    /// What is to be known of them.
    known: Vec<(PathInfo, BTreeMap<String, StorePath>)>,
}

impl<'a> Round<'a> {
    /// Begins to add paths that are locked.
    pub(crate) fn new(store: &'a Store, locks: NumberLocks) -> Result<Self, StoreError> {
        let directory = CanonicalDirectory::open(store.physical_dir())?;
        let placed = Placed { paths: Vec::new() };
        Ok(Self { store, _locks: locks, directory, placed, entries: 0, known: Vec::new() })
    }

    /// Gives contents their final names, but to what is in `valid`. The caller has locked the paths, has asked since then
    /// which of them are valid, and holds temporary roots also on what they refer to.
    pub(crate) fn place(&mut self, mut staged: Vec<Staged>, valid: &BTreeSet<StorePath>) -> Result<(), StoreError> {
        staged.sort_unstable_by(|a, b| a.info.path.cmp(&b.info.path));
        staged.dedup_by(|a, b| a.info.path == b.info.path);
        for mut staged in staged {
            if !valid.contains(&staged.info.path) {
                self.place_one(&staged)?;
            }
            let outputs = staged.outputs.take().unwrap_or_else(|| self.store.known_of(&staged));
            self.known.push((staged.info, outputs));
        }
        Ok(())
    }

    fn place_one(&mut self, staged: &Staged) -> Result<(), StoreError> {
        let name = staged.info.path.base_name();
        let destination = self.store.physical_dir().join(&name);
        match &staged.contents {
            Contents::Tree(tree, entries) => {
                // what a process left that died between renaming and registering
                nopal_fs::remove_tree_if_exists(&destination)?;
                move_tree(tree.path(), &destination)?;
                self.placed.paths.push(destination);
                self.entries += entries;
            }
            Contents::File { bytes, executable } => {
                self.placed.paths.push(destination.clone());
                match self.directory.create_file(name.as_ref(), *executable, bytes) {
                    // likewise
                    Err(error) if error.is_already_exists() => {
                        nopal_fs::remove_tree_if_exists(&destination)?;
                        self.directory.create_file(name.as_ref(), *executable, bytes)?;
                    }
                    other => other?,
                }
                self.entries += 1;
            }
        }
        Ok(())
    }

    /// Makes all of it durable, then valid.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        self.store.make_durable(&self.placed.paths, self.entries)?;
        // rows go into the database in the order of its index
        self.known.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let known: Vec<_> =
            self.known.iter().map(|(info, outputs)| Registration { info, outputs: Cow::Borrowed(outputs) }).collect();
        self.store.register_all(&known, Persist::Soon)?;
        self.placed.paths.clear();
        Ok(())
    }
}

/// Trees that have their names but are not valid yet; removed again if that fails.
struct Placed {
    paths: Vec<PathBuf>,
}

impl Drop for Placed {
    fn drop(&mut self) {
        for path in &self.paths {
            // invalid contents under a store path's name do no harm, and the collector removes them
            let _ = nopal_fs::remove_tree_if_exists(path);
        }
    }
}

/// The output paths of a derivation that are known without a build.
pub(crate) fn known_outputs(store_dir: &StoreDir, derivation: &Derivation) -> BTreeMap<String, StorePath> {
    let outputs = derivation.outputs.iter();
    outputs
        .filter_map(|(name, output)| {
            Some((name.clone(), output.path(store_dir, &derivation.name, name).ok().flatten()?))
        })
        .collect()
}

/// By which number a path is locked. Paths that share one wait for each other without need.
fn lock_number(path: &StorePath) -> u16 {
    let [first, second, ..] = *path.digest();
    u16::from_be_bytes([first, second])
}

/// Renames a tree, to another directory perhaps: that changes the entry `..` of a directory, for which it must be
/// writable for a moment.
fn move_tree(from: &Path, to: &Path) -> Result<(), FsError> {
    let same_directory = from.parent() == to.parent();
    let metadata = nopal_fs::symlink_metadata(from)?;
    if same_directory || !metadata.is_dir() {
        return nopal_fs::rename(from, to);
    }
    nopal_fs::set_permissions(from, 0o755)?;
    nopal_fs::rename(from, to)?;
    nopal_fs::set_permissions(to, 0o555)
}

/// Now, in seconds since the epoch.
pub(crate) fn now_s() -> i64 {
    // a clock before 1970 is no reason to fail
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

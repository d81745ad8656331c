//! The last steps of every addition: give the tree its name, make it durable, make it valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nopal_format::{Derivation, DerivationOutput, StorePath};
use nopal_fs::{FsError, PathLock, SyncMethod};

use crate::config::Durability;
use crate::database::Persist;
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

/// A complete tree with canonical metadata, on the file system of the store, and what is to be known of it.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) info: PathInfo,
    pub(crate) tree: TempTree,
    pub(crate) entries: u64,
}

impl Store {
    /// Makes trees valid, all or none. The caller holds temporary roots on them. Paths that became valid meanwhile
    /// keep the contents they have.
    pub(crate) fn install(&self, staged: Vec<Staged>) -> Result<(), StoreError> {
        let references: BTreeSet<&StorePath> = staged.iter().flat_map(|staged| &staged.info.references).collect();
        self.add_temp_roots(&references.into_iter().cloned().collect::<Vec<_>>())?;
        // by path, so that two processes that add the same set take the locks in the same order
        let staged: BTreeMap<StorePath, Staged> =
            staged.into_iter().map(|staged| (staged.info.path.clone(), staged)).collect();
        let mut locks = Vec::with_capacity(staged.len());
        for path in staged.keys() {
            locks.push(PathLock::acquire(&self.config().locks_dir().join(format!("{path}.lock")))?);
        }
        let valid = self.valid_of(staged.keys())?;
        let mut placed = Placed { paths: Vec::new() };
        let mut entries = 0;
        for (path, staged) in &staged {
            if valid.contains(path) {
                continue;
            }
            let destination = self.physical_path(path);
            // what a process left that died between renaming and registering
            nopal_fs::remove_tree_if_exists(&destination)?;
            move_tree(staged.tree.path(), &destination)?;
            placed.paths.push(destination);
            entries += staged.entries;
        }
        self.make_durable(&placed.paths, entries)?;
        let infos: Vec<&PathInfo> = staged.values().map(|staged| &staged.info).collect();
        let outputs = self.outputs_of(&infos);
        let registered = self.database().write(Persist::Soon, |writer| match writer.register(&infos, now_s())? {
            Ok(()) => {
                outputs.iter().try_for_each(|(drv, outputs)| writer.set_derivation_outputs(drv, outputs).map(drop))
            }
            Err(missing) => Err(StoreError::ReferenceNotValid {
                path: self.print(&missing.path),
                reference: self.print(&missing.reference),
            }),
        });
        if registered.is_ok() {
            placed.paths.clear();
        }
        registered
    }

    /// The output paths of the derivations among paths whose trees are in place. Of a file that is no derivation in
    /// spite of its name, nothing is known.
    pub(crate) fn outputs_of(&self, infos: &[&PathInfo]) -> Vec<(StorePath, BTreeMap<String, StorePath>)> {
        let mut all = Vec::new();
        for info in infos.iter().filter(|info| info.path.is_derivation()) {
            let (Ok(text), Ok(name)) =
                (nopal_fs::read_file(&self.physical_path(&info.path)), info.path.derivation_name())
            else {
                continue;
            };
            let Ok(derivation) = Derivation::parse_aterm(self.store_dir(), &text, name) else { continue };
            let path = |name: &String, output: &DerivationOutput| {
                output.path(self.store_dir(), &derivation.name, name).ok().flatten()
            };
            let outputs = derivation.outputs.iter();
            let known = outputs.filter_map(|(name, output)| Some((name.clone(), path(name, output)?)));
            all.push((info.path.clone(), known.collect()));
        }
        all
    }

    fn make_durable(&self, trees: &[PathBuf], entries: u64) -> Result<(), FsError> {
        if self.config().durability == Durability::Volatile || trees.is_empty() {
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

//! The last steps of every addition: give the tree its name, make it durable, make it valid.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nopal_format::{Derivation, StoreDir, StorePath};
use nopal_fs::{CanonicalDirectory, FsError, NumberLocks, SyncMethod};

use crate::config::Durability;
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
        let _locks = self.lock_paths(staged.iter().map(|staged| &staged.info.path))?;
        let valid = self.valid_of(staged.iter().map(|staged| &staged.info.path))?;
        self.install_locked(staged, &valid)
    }

    /// Has paths for itself, among all processes, as long as the result lives.
    pub(crate) fn lock_paths<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<NumberLocks, StoreError> {
        let numbers = paths.into_iter().map(lock_number).collect();
        Ok(NumberLocks::acquire(&self.config().paths_lock(), &numbers)?)
    }

    /// The same, for who has locked the paths, has asked which of them are valid, and holds temporary roots also on
    /// what they refer to.
    pub(crate) fn install_locked(
        &self,
        mut staged: Vec<Staged>,
        valid: &BTreeSet<StorePath>,
    ) -> Result<(), StoreError> {
        // rows go into the database in the order of its index
        staged.sort_unstable_by(|a, b| a.info.path.cmp(&b.info.path));
        staged.dedup_by(|a, b| a.info.path == b.info.path);
        let mut placed = Placed { paths: Vec::new() };
        let mut entries = 0;
        let mut directory = CanonicalDirectory::open(self.physical_dir())?;
        for staged in staged.iter().filter(|staged| !valid.contains(&staged.info.path)) {
            entries += self.place(staged, &mut directory, &mut placed)?;
        }
        self.make_durable(&placed.paths, entries)?;
        let known: Vec<Registration<'_>> = staged.iter().map(|staged| self.registration_of(staged)).collect();
        let registered = self.register_all(&known, Persist::Soon);
        if registered.is_ok() {
            placed.paths.clear();
        }
        registered
    }

    /// Gives contents their final name. The caller has locked the path and knows that it is not valid. Returns the
    /// number of entries.
    fn place(
        &self,
        staged: &Staged,
        directory: &mut CanonicalDirectory,
        placed: &mut Placed,
    ) -> Result<u64, StoreError> {
        let name = staged.info.path.base_name();
        let destination = self.physical_dir().join(&name);
        match &staged.contents {
            Contents::Tree(tree, entries) => {
                // what a process left that died between renaming and registering
                nopal_fs::remove_tree_if_exists(&destination)?;
                move_tree(tree.path(), &destination)?;
                placed.paths.push(destination);
                Ok(*entries)
            }
            Contents::File { bytes, executable } => {
                placed.paths.push(destination.clone());
                match directory.create_file(name.as_ref(), *executable, bytes) {
                    // likewise
                    Err(error) if error.is_already_exists() => {
                        nopal_fs::remove_tree_if_exists(&destination)?;
                        directory.create_file(name.as_ref(), *executable, bytes)?;
                    }
                    other => other?,
                }
                Ok(1)
            }
        }
    }

    fn registration_of<'a>(&self, staged: &'a Staged) -> Registration<'a> {
        let path = &staged.info.path;
        let outputs = match (&staged.outputs, &staged.contents) {
            (Some(outputs), _) => Cow::Borrowed(outputs),
            (None, Contents::File { bytes, .. }) => Cow::Owned(self.outputs_in(path, bytes).unwrap_or_default()),
            (None, Contents::Tree(..)) => Cow::Owned(self.outputs_of(path).unwrap_or_default()),
        };
        Registration { info: &staged.info, outputs }
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

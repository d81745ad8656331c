//! Questions to a store. All see committed state only; take a temporary root first where the answer must stay true.

use std::collections::{BTreeMap, BTreeSet};

use nopal_format::StorePath;
use nopal_format::signature::Signature;

use crate::closure::Direction;
use crate::database::{ForeignKeys, Persist};
use crate::error::StoreError;
use crate::store::Store;
use nopal_format::PathInfo;

impl Store {
    /// Whether the path is valid.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        self.database().read(|reader| reader.is_valid(path))
    }

    /// Those of the paths that are valid.
    pub fn valid_of<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeSet<StorePath>, StoreError> {
        self.database().read(|reader| {
            let mut valid = BTreeSet::new();
            for path in paths {
                if reader.is_valid(path)? {
                    valid.insert(path.clone());
                }
            }
            Ok(valid)
        })
    }

    /// What is known of the path, if it is valid.
    pub fn find_path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        self.database().read(|reader| reader.path_info(path))
    }

    /// What is known of the path; an error if it is not valid.
    pub fn path_info(&self, path: &StorePath) -> Result<PathInfo, StoreError> {
        self.find_path_info(path)?.ok_or_else(|| self.not_valid(path))
    }

    /// The paths that a valid path refers to, itself included if it does.
    pub fn references(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.database().read(|reader| {
            let id = reader.id(path)?.ok_or_else(|| self.not_valid(path))?;
            reader.references(id)
        })
    }

    /// The valid paths that refer to a path, itself included if it does.
    pub fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.database().read(|reader| reader.referrers(path))
    }

    /// The paths themselves and all that they lead to, in topological order: what is referred to comes before what
    /// refers to it, whichever the direction.
    pub fn closure(&self, paths: &[StorePath], direction: Direction) -> Result<Vec<StorePath>, StoreError> {
        self.database().read(|reader| reader.closure(paths, direction))?.map_err(|path| self.not_valid(&path))
    }

    /// What is known of every path of a closure, in topological order.
    pub fn closure_infos(&self, paths: &[StorePath]) -> Result<Vec<PathInfo>, StoreError> {
        self.database().read(|reader| {
            let closure = reader.closure(paths, Direction::References)?.map_err(|path| self.not_valid(&path))?;
            closure.iter().map(|path| reader.path_info(path)?.ok_or_else(|| self.not_valid(path))).collect()
        })
    }

    /// Every valid path.
    pub fn all_valid_paths(&self) -> Result<BTreeSet<StorePath>, StoreError> {
        self.database().read(|reader| reader.all_paths())
    }

    /// What is known of every valid path, in order of base names.
    pub fn all_path_infos(&self) -> Result<Vec<PathInfo>, StoreError> {
        self.database().read(|reader| reader.all_infos())
    }

    /// Valid paths whose base name begins with `prefix` (a whole or partial hash, or more), at most `limit`.
    pub fn paths_with_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<StorePath>, StoreError> {
        self.database().read(|reader| reader.with_prefix(prefix, limit))
    }

    /// The valid path with this 32-digit hash part.
    pub fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>, StoreError> {
        let found = self.paths_with_prefix(hash_part, 1)?.into_iter().next();
        Ok(found.filter(|path| path.hash_part() == hash_part))
    }

    /// Valid derivations that name the path as an output.
    pub fn valid_derivers(&self, output: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.database().read(|reader| reader.derivers(output))
    }

    /// Valid paths that this derivation is recorded to have made.
    pub fn valid_outputs(&self, drv: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.database().read(|reader| reader.outputs_of_deriver(drv))
    }

    /// Output paths of a valid derivation by output name, as recorded with [`Store::set_derivation_outputs`].
    pub fn derivation_outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, StorePath>, StoreError> {
        self.database().read(|reader| reader.derivation_outputs(drv))
    }

    /// Records the output paths of a valid derivation.
    pub fn set_derivation_outputs(
        &self,
        drv: &StorePath,
        outputs: &BTreeMap<String, StorePath>,
    ) -> Result<(), StoreError> {
        self.writable("record outputs")?;
        let done = self
            .database()
            .write(Persist::Soon, ForeignKeys::Checked, |writer| writer.set_derivation_outputs(drv, outputs))?;
        if done { Ok(()) } else { Err(self.not_valid(drv)) }
    }

    /// Adds signatures to a valid path.
    pub fn add_signatures(&self, path: &StorePath, signatures: &BTreeSet<Signature>) -> Result<(), StoreError> {
        self.writable("add signatures")?;
        let done = self
            .database()
            .write(Persist::Soon, ForeignKeys::Checked, |writer| writer.add_signatures(path, signatures))?;
        if done { Ok(()) } else { Err(self.not_valid(path)) }
    }

    pub(crate) fn not_valid(&self, path: &StorePath) -> StoreError {
        StoreError::NotValid { path: self.print(path) }
    }
}

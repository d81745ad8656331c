//! Giving content addresses to paths that have none: `nix store make-content-addressed`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nopal_format::store_path::References;
use nopal_format::{ContentAddress, ContentAddressMethod, HashAlgorithm, PathInfo, StorePath};
use nopal_report::Level;

use crate::error::StoreError;
use crate::install::{Staged, TempTree};
use crate::output::{rewrite_tree, rewrite_tree_texts, scan_tree, scan_tree_modulo};
use crate::store::Store;

/// Where trees come from.
pub trait ClosureSource {
    /// What is known of every path of a closure, references before referrers.
    ///
    /// # Errors
    /// A path that is not there.
    fn closure(&self, paths: &[StorePath]) -> Result<Vec<PathInfo>, StoreError>;

    /// Where the tree of a path of this closure lies; `scratch`, which does not exist, is where it may be unpacked.
    ///
    /// # Errors
    /// It cannot be unpacked.
    fn tree(&self, info: &PathInfo, scratch: PathBuf) -> Result<PathBuf, StoreError>;
}

impl ClosureSource for Store {
    fn closure(&self, paths: &[StorePath]) -> Result<Vec<PathInfo>, StoreError> {
        self.closure_infos(paths)
    }

    fn tree(&self, info: &PathInfo, _scratch: PathBuf) -> Result<PathBuf, StoreError> {
        Ok(self.physical_path(&info.path))
    }
}

impl Store {
    /// Adds the closure of `paths` with content addresses in the place of what the paths were made from. Returns the
    /// new path of each path of the closure.
    ///
    /// References to other paths are replaced where they stand whole, with their store directory; those of a path to
    /// itself wherever its hash stands. So does Nix, and the new paths follow from it.
    pub fn make_content_addressed(
        &self,
        source: &dyn ClosureSource,
        paths: &[StorePath],
    ) -> Result<BTreeMap<StorePath, StorePath>, StoreError> {
        let mut renamed = BTreeMap::new();
        for info in source.closure(paths)? {
            let new = self.address_one(source, &info, &renamed)?;
            renamed.insert(info.path, new);
        }
        Ok(renamed)
    }

    fn address_one(
        &self,
        source: &dyn ClosureSource,
        old: &PathInfo,
        renamed: &BTreeMap<StorePath, StorePath>,
    ) -> Result<StorePath, StoreError> {
        let temp_roots = self.writable("make content-addressed")?;
        let scratch = TempTree::new(temp_roots.temp_path()?);
        let mut tree = source.tree(old, scratch.path().to_owned())?;
        let mut references = References { others: BTreeSet::new(), itself: old.references.contains(&old.path) };
        let mut texts = BTreeMap::new();
        for reference in old.references.iter().filter(|reference| **reference != old.path) {
            let new = renamed.get(reference).unwrap_or(reference);
            if new != reference {
                texts.insert(self.print(reference), self.print(new));
            }
            references.others.insert(new.clone());
        }
        let retold = TempTree::new(temp_roots.temp_path()?);
        if !texts.is_empty() {
            rewrite_tree_texts(&tree, retold.path(), &texts)?;
            tree = retold.path().to_owned();
        }
        let hash = scan_tree_modulo(&tree, HashAlgorithm::Sha256, &old.path)?;
        let ca = ContentAddress { method: ContentAddressMethod::Nar, hash };
        let path = self.store_dir().ca_path(old.path.name(), &ca, &references)?;
        let said = format!("rewriting '{}' to '{}'", self.print(&old.path), self.print(&path));
        self.reporter().message(Level::Info, said);
        let result = TempTree::new(temp_roots.temp_path()?);
        rewrite_tree(&tree, result.path(), &BTreeMap::from([(old.path.clone(), path.clone())]))?;
        let scan = scan_tree(result.path(), &BTreeSet::new())?;
        let mut info = PathInfo::new(path.clone(), scan.nar_hash, scan.nar_size);
        info.references = references.others;
        if references.itself {
            info.references.insert(path.clone());
        }
        info.ca = Some(ca);
        self.add_temp_root(&path)?;
        self.install(vec![Staged::tree(info, result, scan.entries)])?;
        Ok(path)
    }
}

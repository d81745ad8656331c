//! What the tests share.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nopal_format::{StoreDir, StorePath};
use nopal_report::Reporter;
use nopal_store::{Durability, Store, StoreConfig};
use tempfile::TempDir;

/// A store in a directory that goes away with it.
pub(crate) struct Scratch {
    pub(crate) store: Store,
    pub(crate) dir: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("nopal"));
        Self { store, dir }
    }

    /// Entries of the store directory, but for the folder of links.
    pub(crate) fn objects_on_disk(&self) -> usize {
        objects_on_disk(&self.store)
    }

    /// A place beside the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str, contents: &str, references: &[&StorePath]) -> StorePath {
        let references: BTreeSet<StorePath> = references.iter().map(|path| (*path).clone()).collect();
        self.store.add_text(name, contents.as_bytes(), &references).unwrap()
    }

    /// The same store as another process would see it: without the temporary roots of this one.
    pub(crate) fn reopen(self) -> Self {
        let Self { store, dir } = self;
        drop(store);
        let store = open(&dir.path().join("nopal"));
        Self { store, dir }
    }
}

/// The configuration of tests: nothing waits for the disk.
pub(crate) fn config(root: &Path) -> StoreConfig {
    let mut config = StoreConfig::at(root, StoreDir::default());
    config.durability = Durability::NONE;
    config
}

pub(crate) fn open(root: &Path) -> Store {
    Store::open(config(root), Reporter::silent()).unwrap()
}

/// The tree whose store paths Nix 2.34.8 was asked for.
pub(crate) fn sample_tree(root: &Path) {
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::create_dir_all(root.join("empty")).unwrap();
    fs::create_dir_all(root.join("a-dir")).unwrap();
    fs::write(root.join("a"), "hello\n").unwrap();
    fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../a", root.join("sub/link")).unwrap();
    fs::write(root.join("zero"), "").unwrap();
    fs::write(root.join("a.b"), "b").unwrap();
    fs::write(root.join("a-dir/x"), "x").unwrap();
}

pub(crate) fn parse(path: &str) -> StorePath {
    StoreDir::default().parse(path).unwrap()
}

/// Entries of a store directory, but for the folder of links.
pub(crate) fn objects_on_disk(store: &Store) -> usize {
    let entries = std::fs::read_dir(store.physical_dir()).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name() != ".links").count()
}

//! Where a store lies and how it behaves.

use std::path::{Path, PathBuf};

use nopal_format::StoreDir;

/// What survives a power cut. A crash of the process harms nothing in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// What is added is on disk before the database says that it is valid (Nix's `fsync-store-paths`). Otherwise a
    /// power cut may leave valid paths with wrong contents.
    pub contents: bool,
    /// The database is written in an order that keeps it whole (Nix's `fsync-metadata`).
    pub database: bool,
}

impl Durability {
    /// Everything: what a store has if nobody says otherwise.
    pub const FULL: Self = Self { contents: true, database: true };
    /// The kernel writes when it likes: for scratch stores and tests.
    pub const NONE: Self = Self { contents: false, database: false };
}

/// What makes a store: given by the caller, since nothing here reads the environment.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The directory that store paths name.
    pub store_dir: StoreDir,
    /// The directory that holds the trees.
    pub physical_dir: PathBuf,
    /// The directory that holds roots and locks.
    pub state_dir: PathBuf,
    /// The directory that holds the database.
    pub database_dir: PathBuf,
    /// The directory that holds build logs.
    pub log_dir: PathBuf,
    /// Refuse to change anything; needed on a file system that cannot be written to.
    pub read_only: bool,
    /// See [`Durability`].
    pub durability: Durability,
}

impl StoreConfig {
    /// The usual layout: trees in `ROOT/store`, everything else in `ROOT/var`.
    pub fn at(root: &Path, store_dir: StoreDir) -> Self {
        Self {
            store_dir,
            physical_dir: root.join("store"),
            state_dir: root.join("var"),
            database_dir: root.join("var"),
            log_dir: root.join("var/log"),
            read_only: false,
            durability: Durability::FULL,
        }
    }

    /// Nix's layout: trees in `physical_dir`, everything else in `state_dir` as Nix has it there.
    pub fn like_nix(physical_dir: PathBuf, state_dir: PathBuf, log_dir: PathBuf, store_dir: StoreDir) -> Self {
        let database_dir = state_dir.join("db");
        let durability = Durability::FULL;
        Self { store_dir, physical_dir, state_dir, database_dir, log_dir, read_only: false, durability }
    }

    /// The database.
    pub fn database_file(&self) -> PathBuf {
        self.database_dir.join("db.sqlite")
    }

    /// Permanent roots: symbolic links into the store, or to links into the store.
    pub fn roots_dir(&self) -> PathBuf {
        self.state_dir.join("gcroots")
    }

    /// Links to roots that lie elsewhere, such as a `result` link in a project.
    pub fn indirect_roots_dir(&self) -> PathBuf {
        self.roots_dir().join("auto")
    }

    /// One file per open store: the paths in use by it.
    pub(crate) fn temp_roots_dir(&self) -> PathBuf {
        self.state_dir.join("temproots")
    }

    /// Held on the paths being added, by their numbers.
    pub(crate) fn paths_lock(&self) -> PathBuf {
        self.state_dir.join("paths.lock")
    }

    /// One file per path being added, by versions that had such files; a collection removes them.
    pub(crate) fn locks_dir(&self) -> PathBuf {
        self.state_dir.join("locks")
    }

    /// Build logs.
    pub fn log_dir(&self) -> PathBuf {
        self.log_dir.clone()
    }

    /// Held while garbage is collected.
    pub(crate) fn gc_lock(&self) -> PathBuf {
        self.state_dir.join("gc.lock")
    }

    /// Held, shared, while a temporary root is written; alone, while a batch of garbage is taken out of sight.
    pub(crate) fn roots_lock(&self) -> PathBuf {
        self.state_dir.join("roots.lock")
    }

    /// Held while the database is created or migrated.
    pub(crate) fn schema_lock(&self) -> PathBuf {
        self.state_dir.join("schema.lock")
    }
}

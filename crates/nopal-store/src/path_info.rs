//! What the database knows of one valid path.

use std::collections::BTreeSet;

use nopal_format::content_address::{ContentAddress, ContentAddressMethod};
use nopal_format::store_path::References;
use nopal_format::{Hash, StoreDir, StorePath};

/// What the database knows of one valid path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// The path.
    pub path: StorePath,
    /// SHA-256 of its NAR.
    pub nar_hash: Hash,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// Store paths that occur in its contents; its own among them if it refers to itself.
    pub references: BTreeSet<StorePath>,
    /// The derivation that made it, if known. That derivation need not be valid.
    pub deriver: Option<StorePath>,
    /// When it became valid, in seconds since the epoch. Zero where it is not known yet.
    pub registration_time_s: i64,
    /// Whether it was built here and not copied from elsewhere.
    pub ultimate: bool,
    /// `KEY-NAME:BASE64` over the fingerprint.
    pub signatures: BTreeSet<String>,
    /// The claim that the path follows from its contents.
    pub ca: Option<ContentAddress>,
}

impl PathInfo {
    /// A path with contents and nothing else known.
    pub fn new(path: StorePath, nar_hash: Hash, nar_size: u64) -> Self {
        Self {
            path,
            nar_hash,
            nar_size,
            references: BTreeSet::new(),
            deriver: None,
            registration_time_s: 0,
            ultimate: false,
            signatures: BTreeSet::new(),
            ca: None,
        }
    }

    /// The text that signatures are made over: `1;PATH;NARHASH;NARSIZE;REF,REF`.
    pub fn fingerprint(&self, store_dir: &StoreDir) -> String {
        let references: Vec<String> = self.references.iter().map(|path| store_dir.print(path)).collect();
        format!(
            "1;{};{}:{};{};{}",
            store_dir.print(&self.path),
            self.nar_hash.algorithm(),
            self.nar_hash.nix32(),
            self.nar_size,
            references.join(",")
        )
    }

    /// Whether the path is the one that its content address and references make.
    pub fn is_content_addressed(&self, store_dir: &StoreDir) -> bool {
        let Some(ca) = &self.ca else { return false };
        let mut others = self.references.clone();
        let itself = others.remove(&self.path);
        if itself && ca.method == ContentAddressMethod::Text {
            return false;
        }
        store_dir.ca_path(self.path.name(), ca, &References { others, itself }).is_ok_and(|path| path == self.path)
    }
}

//! Validity as lines of text: what `nix-store --dump-db` prints and `--load-db` and `--register-validity` read.
//!
//! For each path: the path, SHA-256 of its archive in base 16, the archive's size, its deriver or an empty line, the
//! number of its references, and these.

use std::borrow::Cow;

use nopal_format::{Hash, HashAlgorithm, PathInfo, StorePath};

use crate::database::{Persist, Registration};
use crate::error::StoreError;
use crate::store::Store;
use crate::tree::hash_tree;

/// How paths are registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationSource {
    /// Whether the text has hash and size; otherwise the tree is read.
    pub hash_given: bool,
    /// Whether paths that are valid already are registered again.
    pub again: bool,
    /// Whether modes and times of the tree are made what a store has.
    pub canonicalise: bool,
}

impl Store {
    /// The lines that register valid paths.
    pub fn registration(&self, paths: &[StorePath]) -> Result<String, StoreError> {
        let mut text = String::new();
        for path in paths {
            let info = self.path_info(path)?;
            let deriver = info.deriver.as_ref().map(|path| self.print(path)).unwrap_or_default();
            let count = info.references.len();
            text +=
                &format!("{}\n{}\n{}\n{deriver}\n{count}\n", self.print(path), info.nar_hash.base16(), info.nar_size);
            for reference in &info.references {
                text += &format!("{}\n", self.print(reference));
            }
        }
        Ok(text)
    }

    /// Makes paths valid whose trees are in the store directory already, as lines of text say.
    pub fn register(&self, text: &str, source: RegistrationSource) -> Result<(), StoreError> {
        self.writable("register paths")?;
        let mut infos = Vec::new();
        let mut lines = text.lines();
        while let Some(first) = lines.next() {
            let mut info = self.read_registration(first, &mut lines, source.hash_given)?;
            self.add_temp_root(&info.path)?;
            if !source.again && self.is_valid(&info.path)? {
                continue;
            }
            let tree = self.physical_path(&info.path);
            if source.canonicalise {
                nopal_fs::canonicalise_tree(&tree)?;
            }
            if !source.hash_given {
                let found = hash_tree(&tree)?;
                (info.nar_hash, info.nar_size) = (found.nar_hash, found.nar_size);
            }
            infos.push(info);
        }
        let known: Vec<Registration<'_>> = infos
            .iter()
            .map(|info| Registration { info, outputs: Cow::Owned(self.outputs_of(&info.path).unwrap_or_default()) })
            .collect();
        self.register_all(&known, Persist::Now)
    }

    fn read_registration<'a>(
        &self,
        path: &str,
        lines: &mut impl Iterator<Item = &'a str>,
        hash_given: bool,
    ) -> Result<PathInfo, StoreError> {
        let bad = |reason: &str| StoreError::BadRegistration { reason: reason.to_owned() };
        let mut next = || lines.next().ok_or_else(|| bad("missing input"));
        let path = self.store_dir().parse(path)?;
        let mut info = PathInfo::new(path, Hash::sha256([0; 32]), 0);
        if hash_given {
            info.nar_hash = Hash::parse_any(next()?, Some(HashAlgorithm::Sha256))
                .map_err(|error| StoreError::BadRegistration { reason: error.to_string() })?;
            info.nar_size = next()?.parse().map_err(|_| bad("number expected"))?;
        }
        let deriver = next()?;
        if !deriver.is_empty() {
            info.deriver = Some(self.store_dir().parse(deriver)?);
        }
        let count: usize = next()?.parse().map_err(|_| bad("number expected"))?;
        for _ in 0..count {
            info.references.insert(self.store_dir().parse(next()?)?);
        }
        Ok(info)
    }
}

//! From what a builder left to what the store takes: outputs are checked, cleaned, scanned, hashed and named.
//!
//! Every output is handled through directory descriptors that follow no links (see [`nopal_fs::canonicalise_tree`]),
//! after the last process that could change it is gone. Fixed outputs, whose builders could talk to the world, are
//! hashed and kept as a copy of our own: a descriptor that somebody still holds leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nopal_format::store_path::{References, output_path_name};
use nopal_format::{ContentAddress, ContentAddressMethod, Derivation, DerivationOutput, PathInfo, StorePath};
use nopal_store::{BuiltOutput, OutputScan, Store, StoreError, content_hash, rewrite_tree, scan_tree};

use crate::error::BuildError;
use crate::options::BuildOptions;

/// Permission bits with which others could have changed an output.
const OTHERS_WRITE: u32 = 0o022;

/// Where an output of a build is, and what it is called meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct OutputPlace {
    /// Its final store path.
    pub(crate) path: StorePath,
    /// The store path under which the builder made it; differs from `path` only if that could not be used.
    pub(crate) scratch: StorePath,
    /// Where it lies.
    pub(crate) location: PathBuf,
    /// Valid before the build and not to be built again: whatever the builder made is dropped.
    pub(crate) keep_valid: bool,
}

/// The outputs of one build.
pub(crate) struct Outputs<'a> {
    pub(crate) store: &'a Store,
    pub(crate) drv_path: &'a StorePath,
    pub(crate) derivation: &'a Derivation,
    pub(crate) options: &'a BuildOptions,
    /// The closure of the inputs.
    pub(crate) inputs: &'a BTreeSet<StorePath>,
    pub(crate) places: &'a BTreeMap<String, OutputPlace>,
    /// An empty directory on the file system of the store.
    pub(crate) copies: &'a Path,
    /// Take a copy of what the builder made.
    pub(crate) distrust: bool,
}

/// An output that has been looked at.
struct Scanned {
    tree: PathBuf,
    scan: OutputScan,
    plain_file: bool,
}

/// An output under its final path.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) output: BuiltOutput,
}

pub(crate) fn store_error(error: StoreError) -> BuildError {
    match error {
        StoreError::Fs(error) => BuildError::Fs(error),
        other => BuildError::Store { text: other.to_string() },
    }
}

impl Outputs<'_> {
    /// Brings every output that is to be registered into its final form, those that others refer to first.
    pub(crate) fn finish(&self) -> Result<Vec<Finished>, BuildError> {
        let candidates: BTreeSet<StorePath> =
            self.inputs.iter().cloned().chain(self.places.values().map(|place| place.scratch.clone())).collect();
        let mut scanned = BTreeMap::new();
        for (name, place) in self.places.iter().filter(|(_, place)| !place.keep_valid) {
            scanned.insert(name.as_str(), self.scan(name, place, &candidates)?);
        }
        let order = self.order(&scanned)?;
        let mut renamed: BTreeMap<StorePath, StorePath> = self
            .places
            .values()
            .filter(|place| place.scratch != place.path)
            .map(|place| (place.scratch.clone(), place.path.clone()))
            .collect();
        renamed.retain(|scratch, path| scratch != path);
        let mut finished = Vec::new();
        for name in order {
            let (Some(place), Some(scanned)) = (self.places.get(name), scanned.remove(name)) else { continue };
            let output = self.finish_one(name, place, scanned, &renamed)?;
            finished.push(Finished { name: name.to_owned(), output });
        }
        Ok(finished)
    }

    /// Looks at one output as the builder left it.
    fn scan(&self, name: &str, place: &OutputPlace, candidates: &BTreeSet<StorePath>) -> Result<Scanned, BuildError> {
        let Some(metadata) = nopal_fs::symlink_metadata_if_exists(&place.location)? else {
            let path = self.store.print(&place.path);
            return Err(BuildError::OutputMissing { output: name.to_owned(), path });
        };
        let mode = metadata.permissions().mode();
        if !metadata.is_symlink() && mode & OTHERS_WRITE != 0 {
            let reason = format!("suspicious ownership or permission (mode {:04o})", mode & 0o7777);
            return Err(BuildError::OutputRejected { output: name.to_owned(), reason });
        }
        nopal_fs::canonicalise_tree(&place.location).map_err(|error| match error {
            nopal_fs::CanonError::Fs(error) => BuildError::Fs(error),
            other => BuildError::OutputRejected { output: name.to_owned(), reason: other.to_string() },
        })?;
        let mut tree = place.location.clone();
        if self.distrust {
            tree = self.copies.join(place.scratch.base_name());
            rewrite_tree(&place.location, &tree, &BTreeMap::new()).map_err(|error| store_error(error.into()))?;
        }
        let none = BTreeSet::new();
        let candidates = if self.options.discard_references.contains(name) { &none } else { candidates };
        let scan = scan_tree(&tree, candidates).map_err(|error| store_error(error.into()))?;
        Ok(Scanned { tree, scan, plain_file: metadata.is_file() && mode & 0o100 == 0 })
    }

    /// Names of the outputs such that each comes after those that it refers to.
    fn order<'n>(&self, scanned: &BTreeMap<&'n str, Scanned>) -> Result<Vec<&'n str>, BuildError> {
        let mut order = Vec::new();
        let mut under_way = Vec::new();
        for name in scanned.keys() {
            self.visit(name, scanned, &mut under_way, &mut order)?;
        }
        Ok(order)
    }

    fn visit<'n>(
        &self,
        name: &'n str,
        scanned: &BTreeMap<&'n str, Scanned>,
        under_way: &mut Vec<&'n str>,
        order: &mut Vec<&'n str>,
    ) -> Result<(), BuildError> {
        if order.contains(&name) {
            return Ok(());
        }
        under_way.push(name);
        let references = scanned.get(name).map(|scanned| &scanned.scan.references);
        for other in scanned.keys().filter(|other| **other != name) {
            let Some(place) = self.places.get(*other) else { continue };
            if !references.is_some_and(|references| references.contains(&place.scratch)) {
                continue;
            }
            if under_way.contains(other) {
                return Err(BuildError::OutputCycle { output: (*other).to_owned(), from: name.to_owned() });
            }
            self.visit(other, scanned, under_way, order)?;
        }
        under_way.pop();
        order.push(name);
        Ok(())
    }

    fn finish_one(
        &self,
        name: &str,
        place: &OutputPlace,
        mut scanned: Scanned,
        renamed: &BTreeMap<StorePath, StorePath>,
    ) -> Result<BuiltOutput, BuildError> {
        let mut ca = None;
        if let Some(DerivationOutput::Fixed { ca: wanted }) = self.derivation.outputs.get(name) {
            let got = self.content_address(name, &scanned, wanted)?;
            if got.hash != wanted.hash {
                self.keep_wrong(name, &scanned, &got)?;
                return Err(BuildError::HashMismatch {
                    drv_path: self.store.print(self.drv_path),
                    specified: wanted.hash.sri(),
                    got: got.hash.sri(),
                });
            }
            ca = Some(got);
        }
        let affected = scanned.scan.references.iter().any(|path| renamed.contains_key(path));
        if affected || place.scratch != place.path {
            let rewritten = self.copies.join(format!("{}.rewritten", place.scratch.base_name()));
            let failed = |error: nopal_store::TreeError| store_error(error.into());
            rewrite_tree(&scanned.tree, &rewritten, renamed).map_err(failed)?;
            let hashed = scan_tree(&rewritten, &BTreeSet::new()).map_err(failed)?;
            scanned.tree = rewritten;
            scanned.scan.nar_hash = hashed.nar_hash;
            scanned.scan.nar_size = hashed.nar_size;
        }
        let references =
            scanned.scan.references.into_iter().map(|path| renamed.get(&path).cloned().unwrap_or(path)).collect();
        let mut info = PathInfo::new(place.path.clone(), scanned.scan.nar_hash, scanned.scan.nar_size);
        info.references = references;
        info.deriver = Some(self.drv_path.clone());
        info.ultimate = true;
        info.ca = ca;
        Ok(BuiltOutput { info, tree: scanned.tree, entries: scanned.scan.entries })
    }

    /// Registers a fixed output that is not what was promised under the path that its content has, where it can be used
    /// once the promise is corrected.
    fn keep_wrong(&self, name: &str, scanned: &Scanned, got: &ContentAddress) -> Result<(), BuildError> {
        if !scanned.scan.references.is_empty() {
            return Ok(());
        }
        let output = output_path_name(&self.derivation.name, name);
        let path = self.store.store_dir().ca_path(&output, got, &References::default());
        let path = path.map_err(|error| BuildError::Derivation { text: error.to_string() })?;
        let mut info = PathInfo::new(path, scanned.scan.nar_hash, scanned.scan.nar_size);
        info.ca = Some(*got);
        info.ultimate = true;
        let output = BuiltOutput { info, tree: scanned.tree.clone(), entries: scanned.scan.entries };
        self.store.register_outputs(vec![output]).map_err(store_error)
    }

    /// What the content of a fixed output is.
    fn content_address(
        &self,
        name: &str,
        scanned: &Scanned,
        wanted: &ContentAddress,
    ) -> Result<ContentAddress, BuildError> {
        let flat = matches!(wanted.method, ContentAddressMethod::Flat | ContentAddressMethod::Text);
        if flat && !scanned.plain_file {
            return Err(BuildError::OutputRejected {
                output: name.to_owned(),
                reason: "it should be a non-executable regular file since recursive hashing is not enabled \
                         (one of outputHashMode={flat,text} is true)"
                    .to_owned(),
            });
        }
        let hash = content_hash(&scanned.tree, wanted.method, wanted.hash.algorithm()).map_err(store_error)?;
        Ok(ContentAddress { method: wanted.method, hash })
    }
}

//! Built outputs: find what they refer to, rewrite the hashes in them, make them valid.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use nopal_format::{Hash, HashAlgorithm, StorePath};
use nopal_fs::create::Metadata;
use nopal_fs::{FsError, Step, TreeWalk, TreeWriter, WalkOptions};

use crate::content::ContentHasher;
use crate::error::StoreError;
use crate::install::{Staged, TempTree};
use crate::path_info::PathInfo;
use crate::store::Store;
use crate::tree::{ArchiveSink, Candidates, Spool, TreeError, walk_tree, without_filter};

/// What one pass over a built tree finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputScan {
    /// SHA-256 of the tree's NAR.
    pub nar_hash: Hash,
    /// Bytes of the NAR.
    pub nar_size: u64,
    /// Those of the candidates whose hash parts occur in it.
    pub references: BTreeSet<StorePath>,
    /// Files, directories and links, the root included.
    pub entries: u64,
}

/// A built tree with canonical metadata (see [`nopal_fs::canonicalise_tree`]) on the file system of the store.
#[derive(Debug)]
pub struct BuiltOutput {
    /// What is to be known of it: path, hash, size, references, deriver.
    pub info: PathInfo,
    /// Where it lies; it is moved from there.
    pub tree: PathBuf,
    /// As [`OutputScan::entries`] counted.
    pub entries: u64,
}

/// Hashes a tree and looks for references to the candidates in it, in one pass.
pub fn scan_tree(tree: &Path, candidates: &BTreeSet<StorePath>) -> Result<OutputScan, TreeError> {
    let candidates = Candidates::new(candidates);
    let sink = ArchiveSink::new().with_scanner(&candidates);
    let walked = walk_tree(tree, None, sink, &mut ContentHasher::None, &mut Spool::Discard, &candidates);
    let (result, entries) = without_filter(walked)?;
    Ok(OutputScan {
        nar_hash: result.nar_hash,
        nar_size: result.nar_size,
        references: result.references.into_iter().collect(),
        entries,
    })
}

/// The hash of a tree's NAR with every occurrence of the hash part of `itself` replaced by zero bytes: what the path of
/// a content-addressed tree that refers to itself is made of.
pub fn scan_tree_modulo(tree: &Path, algorithm: HashAlgorithm, itself: &StorePath) -> Result<Hash, TreeError> {
    let mut hasher = nopal_format::Hasher::new(algorithm);
    let rewrites = Rewrites::new([(itself.digest_digits(), [0; DIGITS])]);
    let mut rewriter = Rewriter::new(&rewrites, &mut hasher);
    let sink = ArchiveSink::new().with_output(&mut rewriter);
    let walked = walk_tree(tree, None, sink, &mut ContentHasher::None, &mut Spool::Discard, &Candidates::none());
    without_filter(walked)?;
    rewriter.finish().map_err(TreeError::Stream)?;
    Ok(hasher.finish())
}

/// Copies a tree with hash parts replaced, in contents, link targets and names. `to` must not exist; it gets canonical
/// metadata. Where no path has been replaced in a file it is shared with the original if the file system can.
pub fn rewrite_tree(from: &Path, to: &Path, replacements: &BTreeMap<StorePath, StorePath>) -> Result<(), TreeError> {
    let rewrites = Rewrites::new(replacements.iter().map(|(old, new)| (old.digest_digits(), new.digest_digits())));
    let mut walk = TreeWalk::new(from, WalkOptions::default())?;
    let mut writer = TreeWriter::new(to, Metadata::Canonical)?;
    let mut buffer = vec![0; 128 * 1024];
    while let Some(step) = walk.next()? {
        let name = walk.name().map(|name| rewrites.apply(name));
        let name = name.as_deref();
        match step {
            Step::Enter => writer.start_directory(name)?,
            Step::Leave => writer.end_directory()?,
            Step::Symlink => writer.symlink(name, &rewrites.apply(&walk.read_link()?))?,
            Step::File => {
                let (mut source, stat) = walk.open_file()?;
                let executable = stat.st_mode & 0o100 != 0;
                let mut file = writer.start_file(name, executable)?;
                let mut rewriter = Rewriter::new(&rewrites, &mut file);
                loop {
                    let got = source.read(&mut buffer).map_err(|e| FsError::new("read", walk.path(), e))?;
                    if got == 0 {
                        break;
                    }
                    rewriter.write_all(&buffer[..got]).map_err(|e| FsError::new("write", writer.path(), e))?;
                }
                rewriter.finish().map_err(|e| FsError::new("write", writer.path(), e))?;
                writer.finish_file(file, executable)?;
            }
            Step::Other => return Err(TreeError::UnsupportedType { path: walk.path().to_owned() }),
        }
    }
    Ok(())
}

impl Store {
    /// Makes built outputs valid, all or none. They may refer to each other. An output whose path is valid already is
    /// left as it is, and its new tree is removed.
    pub fn register_outputs(&self, outputs: Vec<BuiltOutput>) -> Result<(), StoreError> {
        self.writable("register outputs")?;
        let paths: Vec<StorePath> = outputs.iter().map(|output| output.info.path.clone()).collect();
        self.add_temp_roots(&paths)?;
        let staged = outputs.into_iter().map(|output| Staged {
            info: output.info,
            tree: TempTree::new(output.tree),
            entries: output.entries,
        });
        self.install(staged.collect())
    }

    /// A path in the store directory, unique to this process and left alone by the collector while this store is open,
    /// for a tree that is to become a store path. The caller creates it, and removes it if it comes to nothing.
    pub fn temp_path(&self) -> Result<PathBuf, StoreError> {
        Ok(self.writable("make a temporary tree")?.temp_path()?)
    }
}

/// Digits of a hash part.
const DIGITS: usize = 32;

/// Which hash parts become which.
struct Rewrites {
    map: BTreeMap<[u8; DIGITS], [u8; DIGITS]>,
    first_bytes: [bool; 256],
}

impl Rewrites {
    fn new(pairs: impl IntoIterator<Item = ([u8; DIGITS], [u8; DIGITS])>) -> Self {
        let map: BTreeMap<_, _> = pairs.into_iter().collect();
        let mut first_bytes = [false; 256];
        for from in map.keys() {
            first_bytes[usize::from(from[0])] = true;
        }
        Self { map, first_bytes }
    }

    fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        self.apply_in_place(&mut bytes);
        bytes
    }

    fn apply_in_place(&self, bytes: &mut [u8]) {
        let mut at = 0;
        while at + DIGITS <= bytes.len() {
            if self.first_bytes[usize::from(bytes[at])]
                && let Some(to) = self.map.get(&bytes[at..at + DIGITS])
            {
                bytes[at..at + DIGITS].copy_from_slice(to);
                at += DIGITS;
            } else {
                at += 1;
            }
        }
    }
}

/// Replaces hash parts in a stream, across the borders of its pieces too.
struct Rewriter<'a, W: Write> {
    rewrites: &'a Rewrites,
    inner: W,
    held: Vec<u8>,
}

impl<'a, W: Write> Rewriter<'a, W> {
    fn new(rewrites: &'a Rewrites, inner: W) -> Self {
        Self { rewrites, inner, held: Vec::new() }
    }

    fn finish(mut self) -> std::io::Result<()> {
        self.inner.write_all(&self.held)
    }
}

impl<W: Write> Write for Rewriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.held.extend_from_slice(bytes);
        self.rewrites.apply_in_place(&mut self.held);
        // what may be the beginning of a hash part waits for the next piece
        let done = self.held.len().saturating_sub(DIGITS - 1);
        self.inner.write_all(&self.held[..done])?;
        self.held.drain(..done);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Built outputs: find what they refer to, rewrite the hashes in them, make them valid.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nopal_format::references::{Candidates, HashModulo, HashRewriter, TextRewriter};
use nopal_format::{Hash, HashAlgorithm, PathInfo, StorePath};
use nopal_fs::create::Metadata;
use nopal_fs::{FsError, Step, TreeWalk, TreeWriter, WalkOptions};

use crate::content::ContentHasher;
use crate::error::StoreError;
use crate::install::{Staged, TempTree};
use crate::spool::Spool;
use crate::store::Store;
use crate::tree::{ArchiveSink, TreeError, walk_tree, without_filter};

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
    let candidates: Candidates = candidates.iter().cloned().collect();
    let sink = ArchiveSink::new().with_scanner(&candidates);
    let walked = walk_tree(tree, None, sink, &mut ContentHasher::None, &mut Spool::Discard);
    let (result, entries) = without_filter(walked)?;
    Ok(OutputScan { nar_hash: result.nar_hash, nar_size: result.nar_size, references: result.references, entries })
}

/// The hash of a tree's NAR with every occurrence of the hash part of `itself` replaced by zero bytes: what the path of
/// a content-addressed tree that refers to itself is made of.
pub fn scan_tree_modulo(tree: &Path, algorithm: HashAlgorithm, itself: &StorePath) -> Result<Hash, TreeError> {
    let mut modulo = HashModulo::new(algorithm, itself);
    let sink = ArchiveSink::new().with_output(&mut modulo);
    without_filter(walk_tree(tree, None, sink, &mut ContentHasher::None, &mut Spool::Discard))?;
    Ok(modulo.finish().0)
}

/// How bytes are copied.
trait Rewriter {
    /// Copies to the end.
    fn copy(&self, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()>;
}

/// Replaces hash parts.
struct HashParts<'a>(&'a BTreeMap<StorePath, StorePath>);

impl Rewriter for HashParts<'_> {
    fn copy(&self, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
        let pairs = self.0.iter().map(|(old, new)| (old.clone(), new.clone()));
        let mut rewriter = HashRewriter::new(to, pairs);
        io::copy(from, &mut rewriter)?;
        rewriter.finish().map(drop)
    }
}

/// Replaces texts by others of the same length.
struct Texts<'a>(&'a BTreeMap<String, String>);

impl Rewriter for Texts<'_> {
    fn copy(&self, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
        let mut rewriter = TextRewriter::new(to, self.0.iter().map(|(old, new)| (old.as_bytes(), new.as_bytes())));
        io::copy(from, &mut rewriter)?;
        rewriter.finish().map(drop)
    }
}

/// Copies a tree with hash parts replaced, in contents, link targets and names. `to` must not exist; it gets canonical
/// metadata.
pub fn rewrite_tree(from: &Path, to: &Path, replacements: &BTreeMap<StorePath, StorePath>) -> Result<(), TreeError> {
    copy_tree(from, to, &HashParts(replacements))
}

/// As [`rewrite_tree`], replacing texts by others of the same length.
pub(crate) fn rewrite_tree_texts(from: &Path, to: &Path, texts: &BTreeMap<String, String>) -> Result<(), TreeError> {
    copy_tree(from, to, &Texts(texts))
}

fn copy_tree(from: &Path, to: &Path, rewriter: &dyn Rewriter) -> Result<(), TreeError> {
    let rewrite = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(bytes.len());
        rewriter.copy(&mut &*bytes, &mut out).map_err(TreeError::Stream).map(|()| out)
    };
    let mut walk = TreeWalk::new(from, WalkOptions::default())?;
    let mut writer = TreeWriter::new(to, Metadata::Canonical)?;
    while let Some(step) = walk.next()? {
        let name = walk.name().map(rewrite).transpose()?;
        let name = name.as_deref();
        match step {
            Step::Enter => writer.start_directory(name)?,
            Step::Leave => writer.end_directory()?,
            Step::Symlink => writer.symlink(name, &rewrite(&walk.read_link()?)?)?,
            Step::File => {
                let (mut source, stat) = walk.open_file()?;
                let executable = stat.st_mode & 0o100 != 0;
                let mut file = writer.start_file(name, executable)?;
                let copied = rewriter.copy(&mut source, &mut file);
                copied.map_err(|error| FsError::between("copy", walk.path(), writer.path(), error))?;
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
        let staged =
            outputs.into_iter().map(|output| Staged::tree(output.info, TempTree::new(output.tree), output.entries));
        self.install(staged.collect())
    }

    /// A path in the store directory, unique to this process and left alone by the collector while this store is open,
    /// for a tree that is to become a store path. The caller creates it, and removes it if it comes to nothing.
    pub fn temp_path(&self) -> Result<PathBuf, StoreError> {
        Ok(self.writable("make a temporary tree")?.temp_path()?)
    }
}

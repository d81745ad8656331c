//! Adding trees, archives and texts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use nopal_format::content_address::{ContentAddress, ContentAddressMethod};
use nopal_format::nar::hash_of_file;
use nopal_format::references::Candidates;
use nopal_format::store_path::References;
use nopal_format::{Hash, HashAlgorithm, Hasher, PathInfo, StoreDir, StorePath};
use nopal_report::Activity;

use crate::content::{ContentHasher, GitHasher};
use crate::error::StoreError;
use crate::install::{Contents, Staged, TempTree};
use crate::spool::Spool;
use crate::store::Store;
use crate::tree::{ArchiveSink, EntryFilter, HashingReader, SinkResult, TreeError, WalkEnd, read_archive, walk_tree};

/// How a tree becomes a store path.
#[derive(Clone, Debug)]
pub struct AddOptions {
    /// The name of the store path.
    pub name: String,
    /// What is hashed.
    pub method: ContentAddressMethod,
    /// With which algorithm.
    pub algorithm: HashAlgorithm,
    /// What the contents refer to: only texts and recursive SHA-256 trees may refer to anything.
    pub references: BTreeSet<StorePath>,
}

impl AddOptions {
    /// As `path` values and `builtins.path` are added: the tree's NAR by SHA-256.
    pub fn source(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            method: ContentAddressMethod::Nar,
            algorithm: HashAlgorithm::Sha256,
            references: BTreeSet::new(),
        }
    }
}

/// What to check of an archive besides hash and size.
#[derive(Clone, Debug, Default)]
pub struct NarChecks {
    /// Paths that the contents must not mention unless the metadata lists them as references.
    pub undeclared_among: BTreeSet<StorePath>,
}

/// A text to add with [`Store::add_texts`].
#[derive(Clone, Debug)]
pub struct TextToAdd {
    /// The name of the store path.
    pub name: String,
    /// The contents.
    pub contents: Arc<[u8]>,
    /// What it refers to.
    pub references: BTreeSet<StorePath>,
}

impl Store {
    /// Adds the tree at `source`, without the entries that `filter` refuses, and makes it valid. Already valid, it is
    /// only read. The result is protected by a temporary root.
    pub fn add_path(
        &self,
        source: &Path,
        options: &AddOptions,
        filter: Option<&mut EntryFilter<'_>>,
    ) -> Result<PathInfo, StoreError> {
        let activity = self.reporter().start(Activity::AddToStore { name: options.name.clone() });
        let (info, tree) = self.take_in(source, options, filter)?;
        self.add_temp_root(&info.path)?;
        let info = match self.find_path_info(&info.path)? {
            Some(known) => known,
            None => {
                let path = info.path.clone();
                self.install(vec![tree.stage(info)?])?;
                self.path_info(&path)?
            }
        };
        activity.progress(info.nar_size, Some(info.nar_size));
        activity.succeed();
        Ok(info)
    }

    /// Reads a tree that is to be added.
    pub(crate) fn take_in(
        &self,
        source: &Path,
        options: &AddOptions,
        filter: Option<&mut EntryFilter<'_>>,
    ) -> Result<(PathInfo, TakenTree), StoreError> {
        let tree = TempTree::new(self.writable("add a path")?.temp_path()?);
        let mut spool = Spool::new(tree.path().to_owned());
        let (info, entries) = ingest(self.store_dir(), source, options, filter, &mut spool)?;
        Ok((info, TakenTree { tree, spool, entries }))
    }

    /// Adds a text file, as `builtins.toFile` does and as derivations are stored.
    pub fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath, StoreError> {
        let text = TextToAdd { name: name.to_owned(), contents: contents.into(), references: references.clone() };
        let mut paths = self.add_texts(std::slice::from_ref(&text))?;
        paths.pop().ok_or_else(|| StoreError::NotValid { path: name.to_owned() })
    }

    /// Adds many texts at once: they may refer to each other, become valid together, and are synced together.
    pub fn add_texts(&self, texts: &[TextToAdd]) -> Result<Vec<StorePath>, StoreError> {
        let mut paths = Vec::with_capacity(texts.len());
        for text in texts {
            paths.push(self.store_dir().text_path(&text.name, &text.contents, &text.references)?);
        }
        self.add_temp_roots(&paths)?;
        let valid = self.valid_of(&paths)?;
        if paths.iter().all(|path| valid.contains(path)) {
            return Ok(paths);
        }
        self.writable("add a text")?;
        let fresh = texts.iter().zip(&paths).filter(|(_, path)| !valid.contains(path));
        let staged = fresh.map(|(text, path)| {
            let hash = Hash::of(HashAlgorithm::Sha256, &text.contents);
            stage_text(path.clone(), text.contents.clone(), hash, text.references.clone(), None)
        });
        self.install(staged.collect())?;
        Ok(paths)
    }

    /// Adds an archive whose metadata is known. Hash and size are those of the metadata or nothing is added; a content
    /// address is recomputed. Nothing is read if the path is valid already.
    pub fn add_nar(&self, info: &PathInfo, nar: &mut dyn Read, checks: &NarChecks) -> Result<(), StoreError> {
        let temp_roots = self.writable("add an archive")?;
        self.add_temp_root(&info.path)?;
        if self.is_valid(&info.path)? {
            return Ok(());
        }
        let activity = self.reporter().start(Activity::AddToStore { name: info.path.name().to_owned() });
        let candidates: Candidates = checks.undeclared_among.iter().cloned().collect();
        let tree = TempTree::new(temp_roots.temp_path()?);
        let mut spool = Spool::new(tree.path().to_owned());
        let mut reader = HashingReader::new(nar, &candidates, info.nar_size);
        let read = read_archive(&mut reader, &mut spool);
        let (hash, size, found) = reader.finish();
        let path = self.print(&info.path);
        let entries = match read {
            Err(TreeError::TooLarge { limit }) => {
                return Err(StoreError::SizeMismatch { path, expected: limit, got: limit.saturating_add(1) });
            }
            other => other?,
        };
        if size != info.nar_size {
            return Err(StoreError::SizeMismatch { path, expected: info.nar_size, got: size });
        }
        if hash != info.nar_hash {
            return Err(StoreError::HashMismatch { path, expected: Box::new(info.nar_hash), got: Box::new(hash) });
        }
        if let Some(reference) = found.iter().find(|found| !info.references.contains(*found)) {
            return Err(StoreError::UndeclaredReference { path, reference: self.print(reference) });
        }
        spool.spill()?;
        drop(spool);
        self.check_content_address(info, tree.path())?;
        self.install(vec![Staged::tree(info.clone(), tree, entries)])?;
        activity.progress(size, Some(size));
        activity.succeed();
        Ok(())
    }

    /// Recomputes a content address that is claimed of a tree whose NAR hash is known to be right.
    pub(crate) fn check_content_address(&self, info: &PathInfo, tree: &Path) -> Result<(), StoreError> {
        let Some(ca) = &info.ca else { return Ok(()) };
        let itself = info.references.contains(&info.path);
        let method = match ca.method {
            ContentAddressMethod::Text => ContentAddressMethod::Flat,
            other => other,
        };
        let hash = if itself && method == ContentAddressMethod::Nar {
            crate::output::scan_tree_modulo(tree, ca.hash.algorithm(), &info.path)?
        } else if method == ContentAddressMethod::Nar && ca.hash.algorithm() == HashAlgorithm::Sha256 {
            info.nar_hash
        } else {
            content_hash(tree, method, ca.hash.algorithm())?
        };
        if hash == ca.hash && info.is_content_addressed(self.store_dir()) {
            return Ok(());
        }
        Err(StoreError::ContentAddressMismatch { path: self.print(&info.path), ca: ca.to_string() })
    }
}

/// A text ready to be installed, given with its SHA-256.
pub(crate) fn stage_text(
    path: StorePath,
    bytes: Arc<[u8]>,
    hash: Hash,
    references: BTreeSet<StorePath>,
    outputs: Option<BTreeMap<String, StorePath>>,
) -> Staged {
    let (nar_hash, nar_size) = hash_of_file(&bytes);
    let mut info = PathInfo::new(path, nar_hash, nar_size);
    info.references = references;
    info.ca = Some(ContentAddress { method: ContentAddressMethod::Text, hash });
    Staged { info, contents: Contents::File { bytes, executable: false }, outputs }
}

/// A tree that was read to be added: in memory, or on disk if it is large.
pub(crate) struct TakenTree {
    tree: TempTree,
    spool: Spool,
    entries: u64,
}

impl TakenTree {
    /// Whether it is one file, in memory.
    pub(crate) fn is_small(&self) -> bool {
        self.spool.as_file().is_some()
    }

    /// Makes it ready to be installed.
    pub(crate) fn stage(mut self, info: PathInfo) -> Result<Staged, StoreError> {
        if let Some((bytes, executable)) = self.spool.as_file() {
            let contents = Contents::File { bytes: bytes.into(), executable };
            return Ok(Staged { info, contents, outputs: None });
        }
        self.spool.spill()?;
        drop(self.spool);
        Ok(Staged::tree(info, self.tree, self.entries))
    }
}

/// What [`Store::add_path`] would add, without a store to add it to.
pub fn path_of_source(
    store_dir: &StoreDir,
    source: &Path,
    options: &AddOptions,
    filter: Option<&mut EntryFilter<'_>>,
) -> Result<PathInfo, StoreError> {
    Ok(ingest(store_dir, source, options, filter, &mut Spool::Discard)?.0)
}

/// The hash of a tree as a fixed output or an added path states it.
pub fn content_hash(tree: &Path, method: ContentAddressMethod, algorithm: HashAlgorithm) -> Result<Hash, StoreError> {
    let mut content = content_hasher(method, algorithm);
    let sink = archive_sink(method, algorithm);
    let walked = walk_tree(tree, None, sink, &mut content, &mut Spool::Discard);
    let (result, _) = walked.map_err(walk_error)?;
    Ok(content.finish().unwrap_or(result.extra))
}

fn content_hasher(method: ContentAddressMethod, algorithm: HashAlgorithm) -> ContentHasher {
    match method {
        ContentAddressMethod::Nar => ContentHasher::None,
        ContentAddressMethod::Flat | ContentAddressMethod::Text => ContentHasher::Flat(Hasher::new(algorithm)),
        ContentAddressMethod::Git => ContentHasher::Git(GitHasher::new(algorithm)),
    }
}

fn archive_sink<'a>(method: ContentAddressMethod, algorithm: HashAlgorithm) -> ArchiveSink<'a> {
    match method {
        ContentAddressMethod::Nar => ArchiveSink::new().with_extra(algorithm),
        _ => ArchiveSink::new(),
    }
}

fn ingest(
    store_dir: &StoreDir,
    source: &Path,
    options: &AddOptions,
    filter: Option<&mut EntryFilter<'_>>,
    spool: &mut Spool,
) -> Result<(PathInfo, u64), StoreError> {
    let flat = matches!(options.method, ContentAddressMethod::Flat | ContentAddressMethod::Text);
    if flat && !nopal_fs::symlink_metadata(source)?.is_file() {
        return Err(StoreError::NotAFile { path: source.to_owned() });
    }
    let mut content = content_hasher(options.method, options.algorithm);
    let sink = archive_sink(options.method, options.algorithm);
    let walked = walk_tree(source, filter, sink, &mut content, spool);
    let (result, entries) = walked.map_err(walk_error)?;
    let hash = content.finish().unwrap_or(result.extra);
    let ca = ContentAddress { method: options.method, hash };
    let references = References { others: options.references.clone(), itself: false };
    let path = store_dir.ca_path(&options.name, &ca, &references)?;
    Ok((info_of(path, ca, options, &result), entries))
}

fn info_of(path: StorePath, ca: ContentAddress, options: &AddOptions, result: &SinkResult) -> PathInfo {
    let mut info = PathInfo::new(path, result.nar_hash, result.nar_size);
    info.references = options.references.clone();
    info.ca = Some(ca);
    info
}

fn walk_error(end: WalkEnd) -> StoreError {
    match end {
        WalkEnd::Tree(error) => error.into(),
        WalkEnd::Stopped(path) => StoreError::Stopped { path },
    }
}

//! Binary caches in a directory: what Nix calls `file://`. Written so that Nix can copy from them.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use nopal_format::json::Json;
use nopal_format::narinfo::{Compression, NarInfo};
use nopal_format::signature::{PublicKey, SecretKey};
use nopal_format::{DrvOutput, Hash, HashAlgorithm, Hasher, PathInfo, Realisation, StorePath};
use nopal_fs::FsError;

use crate::add::NarChecks;
use crate::addressed::ClosureSource;
use crate::closure::Direction;
use crate::contents::restore_tree;
use crate::error::StoreError;
use crate::store::Store;
use crate::tree::{HashingReader, TreeHash};

/// How archives in a cache are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheCompression {
    /// Not at all.
    None,
    /// zstd at level 3.
    #[default]
    Zstd,
    /// xz at level 6, what public caches use.
    Xz,
}

impl CacheCompression {
    fn format(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Zstd => Compression::Zstd,
            Self::Xz => Compression::Xz,
        }
    }
}

/// How to write to a cache.
#[derive(Debug, Default)]
pub struct CacheOptions {
    /// How archives are compressed.
    pub compression: CacheCompression,
    /// How hard compression tries, in the numbers of its kind; `None` is the usual.
    pub level: Option<i32>,
    /// Signs what is written, in addition to signatures that are known already.
    pub secret_key: Option<SecretKey>,
    /// Leave out paths that are in the cache already.
    pub skip_existing: bool,
}

/// What is accepted from a cache.
#[derive(Debug, Default)]
pub struct CacheImport {
    /// Keys that are trusted. Without any, nothing is accepted but what proves itself by its content address, unless
    /// `accept_unsigned` is set.
    pub trusted_keys: Vec<PublicKey>,
    /// Accept paths that no trusted key has signed.
    pub accept_unsigned: bool,
}

/// The usual levels.
const ZSTD_LEVEL: i32 = 3;
const XZ_LEVEL: i32 = 6;

/// The largest `nix-cache-info` that is read: it has three short lines.
const MAX_CACHE_INFO_BYTES: u64 = 64 * 1024;

/// Nix's default for caches that do not say.
const PRIORITY: u32 = 50;

impl Store {
    /// Copies the closure of the paths to the cache in `directory`, creating it if need be. Returns how many paths were
    /// written. An archive is there before the file that names it, and each file is written whole or not at all.
    pub fn export_to_cache(
        &self,
        directory: &Path,
        paths: &[StorePath],
        options: &CacheOptions,
    ) -> Result<usize, StoreError> {
        let infos = self.closure_infos(paths)?;
        nopal_fs::create_dir_all(&directory.join("nar"))?;
        self.write_cache_info(directory)?;
        let mut written = 0;
        for info in infos {
            let file = narinfo_file(directory, &info.path);
            if options.skip_existing && nopal_fs::exists(&file) {
                continue;
            }
            let narinfo = self.export_path(directory, info, options)?;
            nopal_fs::replace(&file, narinfo.print(self.store_dir()).as_bytes())?;
            written += 1;
        }
        Ok(written)
    }

    fn write_cache_info(&self, directory: &Path) -> Result<(), StoreError> {
        let file = directory.join("nix-cache-info");
        match read_store_dir(&file)? {
            None => {
                let text = format!("StoreDir: {}\nWantMassQuery: 1\nPriority: {PRIORITY}\n", self.store_dir());
                Ok(nopal_fs::replace(&file, text.as_bytes())?)
            }
            Some(_) => self.check_cache_info(directory),
        }
    }

    fn check_cache_info(&self, directory: &Path) -> Result<(), StoreError> {
        let file = directory.join("nix-cache-info");
        match read_store_dir(&file)? {
            None => Err(bad(&file, "it does not exist, so this is no binary cache")),
            Some(found) if found != self.store_dir().as_str() => {
                Err(bad(&file, format!("the cache is for the store directory '{found}', not '{}'", self.store_dir())))
            }
            Some(_) => Ok(()),
        }
    }

    fn export_path(&self, directory: &Path, mut info: PathInfo, options: &CacheOptions) -> Result<NarInfo, StoreError> {
        let nar_dir = directory.join("nar");
        // the final name is the hash of what is written, so it is written under another first
        let temporary = nar_dir.join(nopal_fs::temp::unique_name(".nar"));
        let result = self.compress_to(&info.path, &temporary, options);
        let (tree, file_hash, file_size) = match result {
            Ok(result) => result,
            Err(error) => {
                // the first error is the one to report
                let _ = nopal_fs::remove_file(&temporary);
                return Err(error);
            }
        };
        if tree.nar_hash != info.nar_hash {
            nopal_fs::remove_file(&temporary)?;
            let (expected, got) = (Box::new(info.nar_hash), Box::new(tree.nar_hash));
            return Err(StoreError::HashMismatch { path: self.print(&info.path), expected, got });
        }
        let compression = options.compression.format();
        let url = format!("nar/{}.nar{}", file_hash.nix32(), compression.file_suffix());
        nopal_fs::rename_durable(&temporary, &directory.join(&url))?;
        if let Some(key) = &options.secret_key {
            info.sign(self.store_dir(), key).map_err(|error| bad(directory, error))?;
        }
        Ok(NarInfo { info, url, compression, file_hash: Some(file_hash), file_size: Some(file_size) })
    }

    fn compress_to(
        &self,
        path: &StorePath,
        file: &Path,
        options: &CacheOptions,
    ) -> Result<(TreeHash, Hash, u64), StoreError> {
        let failed = |error| FsError::new("write", file, error);
        let output =
            HashingWriter { inner: nopal_fs::create_new_file(file)?, hasher: Hasher::new(HashAlgorithm::Sha256) };
        let level = |usual| options.level.unwrap_or(usual);
        let (tree, output) = match options.compression {
            CacheCompression::None => {
                let mut output = output;
                (self.dump(path, &mut output)?, output)
            }
            CacheCompression::Zstd => {
                let mut encoder = zstd::Encoder::new(output, level(ZSTD_LEVEL)).map_err(failed)?;
                (self.dump(path, &mut encoder)?, encoder.finish().map_err(failed)?)
            }
            CacheCompression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(output, level(XZ_LEVEL).clamp(0, 9).unsigned_abs());
                (self.dump(path, &mut encoder)?, encoder.finish().map_err(failed)?)
            }
        };
        nopal_fs::sync_file(&output.inner, file)?;
        let size = output.hasher.length();
        Ok((tree, output.hasher.finish(), size))
    }

    /// Copies paths with their closures from the cache in `directory`. Returns how many became valid.
    pub fn import_from_cache(
        &self,
        directory: &Path,
        paths: &[StorePath],
        trust: &CacheImport,
    ) -> Result<usize, StoreError> {
        let narinfos = self.plan_import(directory, paths, trust)?;
        for narinfo in &narinfos {
            self.import_path(directory, narinfo)?;
        }
        Ok(narinfos.len())
    }

    /// What must be copied from the cache in `directory` for paths to be valid: each after those it refers to.
    pub fn plan_import(
        &self,
        directory: &Path,
        paths: &[StorePath],
        trust: &CacheImport,
    ) -> Result<Vec<NarInfo>, StoreError> {
        self.check_cache_info(directory)?;
        let (mut planned, mut done) = (Vec::new(), BTreeSet::new());
        // depth first, references before referrers; `Some` when all it refers to is there
        let mut stack: Vec<(StorePath, Option<Box<NarInfo>>)> = paths.iter().map(|path| (path.clone(), None)).collect();
        while let Some((path, known)) = stack.pop() {
            if let Some(narinfo) = known {
                planned.push(*narinfo);
                done.insert(path);
                continue;
            }
            self.add_temp_root(&path)?;
            if done.contains(&path) || self.is_valid(&path)? {
                continue;
            }
            let narinfo = self.read_narinfo(directory, &path, trust)?;
            let references: Vec<StorePath> =
                narinfo.info.references.iter().filter(|reference| **reference != path).cloned().collect();
            if stack.iter().any(|(other, known)| *other == path && known.is_some()) {
                return Err(bad(&narinfo_file(directory, &path), "it refers to itself through other paths"));
            }
            stack.push((path, Some(Box::new(narinfo))));
            stack.extend(references.into_iter().map(|reference| (reference, None)));
        }
        Ok(planned)
    }

    /// Copies one path from the cache in `directory`; what it refers to is valid.
    pub fn import_planned(&self, directory: &Path, narinfo: &NarInfo) -> Result<(), StoreError> {
        self.import_path(directory, narinfo)
    }

    /// Whether the cache in `directory` has a path.
    pub fn is_in_cache(&self, directory: &Path, path: &StorePath) -> bool {
        nopal_fs::exists(&narinfo_file(directory, path))
    }

    fn read_narinfo(&self, directory: &Path, path: &StorePath, trust: &CacheImport) -> Result<NarInfo, StoreError> {
        let file = narinfo_file(directory, path);
        let limit = nopal_format::narinfo::MAX_NARINFO_LEN as u64;
        let text = nopal_fs::read_file_limited(&file, limit)?;
        let narinfo = NarInfo::parse(self.store_dir(), &text).map_err(|error| bad(&file, error))?;
        if narinfo.info.path != *path {
            return Err(bad(&file, format!("it describes '{}'", self.print(&narinfo.info.path))));
        }
        let by_content = narinfo.info.is_content_addressed(self.store_dir());
        let signed = narinfo.info.count_valid_signatures(self.store_dir(), &trust.trusted_keys);
        if !by_content && !trust.accept_unsigned && signed.map_err(|error| bad(&file, error))? == 0 {
            return Err(StoreError::Untrusted { path: self.print(path) });
        }
        Ok(narinfo)
    }

    fn import_path(&self, directory: &Path, narinfo: &NarInfo) -> Result<(), StoreError> {
        self.add_nar(&narinfo.info, &mut open_archive(directory, narinfo)?, &NarChecks::default())
    }

    /// Writes down in a cache what outputs turned out to be.
    pub fn export_realisations(&self, directory: &Path, realisations: &[Realisation]) -> Result<(), StoreError> {
        nopal_fs::create_dir_all(&directory.join("realisations"))?;
        self.write_cache_info(directory)?;
        for realisation in realisations {
            let text = realisation.to_json().to_compact();
            nopal_fs::replace(&realisation_file(directory, &realisation.id), text.as_bytes())?;
        }
        Ok(())
    }

    /// What a cache says an output turned out to be.
    pub fn cached_realisation(&self, directory: &Path, id: &DrvOutput) -> Result<Option<Realisation>, StoreError> {
        let file = realisation_file(directory, id);
        if !nopal_fs::exists(&file) {
            return Ok(None);
        }
        let bytes = nopal_fs::read_file_limited(&file, nopal_format::narinfo::MAX_NARINFO_LEN as u64)?;
        let text = String::from_utf8(bytes).map_err(|_| bad(&file, "it is not UTF-8"))?;
        let json = Json::parse(&text).map_err(|error| bad(&file, error))?;
        let realisation = Realisation::from_json(&json).map_err(|error| bad(&file, error))?;
        if realisation.id != *id {
            return Err(bad(&file, format!("it describes '{}'", realisation.id)));
        }
        Ok(Some(realisation))
    }

    /// How much of the closure of the paths a cache in `directory` lacks.
    pub fn missing_from_cache(&self, directory: &Path, paths: &[StorePath]) -> Result<Vec<StorePath>, StoreError> {
        let closure = self.closure(paths, Direction::References)?;
        Ok(closure.into_iter().filter(|path| !nopal_fs::exists(&narinfo_file(directory, path))).collect())
    }
}

/// A cache whose paths are given content addresses. Those prove themselves, so nothing needs to be signed.
#[derive(Debug)]
pub struct CacheSource<'a> {
    /// A store for the same store directory.
    pub store: &'a Store,
    /// Where the cache is.
    pub directory: &'a Path,
}

impl CacheSource<'_> {
    fn narinfo(&self, path: &StorePath) -> Result<NarInfo, StoreError> {
        let trust = CacheImport { accept_unsigned: true, ..CacheImport::default() };
        self.store.read_narinfo(self.directory, path, &trust)
    }
}

impl ClosureSource for CacheSource<'_> {
    fn closure(&self, paths: &[StorePath]) -> Result<Vec<PathInfo>, StoreError> {
        self.store.check_cache_info(self.directory)?;
        let mut closure: Vec<PathInfo> = Vec::new();
        let (mut done, mut open) = (BTreeSet::new(), BTreeSet::new());
        // depth first, references before referrers
        let mut stack: Vec<(StorePath, Option<PathInfo>)> = paths.iter().map(|path| (path.clone(), None)).collect();
        while let Some((path, info)) = stack.pop() {
            if done.contains(&path) {
                continue;
            }
            if let Some(info) = info {
                done.insert(path);
                closure.push(info);
                continue;
            }
            if !open.insert(path.clone()) {
                return Err(bad(&narinfo_file(self.directory, &path), "it refers to itself through other paths"));
            }
            let info = self.narinfo(&path)?.info;
            let references: Vec<StorePath> = info
                .references
                .iter()
                .filter(|reference| **reference != path && !done.contains(*reference))
                .cloned()
                .collect();
            stack.push((path, Some(info)));
            stack.extend(references.into_iter().map(|reference| (reference, None)));
        }
        Ok(closure)
    }

    fn tree(&self, info: &PathInfo, scratch: PathBuf) -> Result<PathBuf, StoreError> {
        let mut archive = open_archive(self.directory, &self.narinfo(&info.path)?)?;
        let mut reader = HashingReader::new(&mut archive, &[].into_iter().collect(), info.nar_size);
        let restored = restore_tree(&mut reader, &scratch);
        let (hash, _, _) = reader.finish();
        restored?;
        if hash == info.nar_hash {
            return Ok(scratch);
        }
        let (expected, got) = (Box::new(info.nar_hash), Box::new(hash));
        Err(StoreError::HashMismatch { path: self.store.print(&info.path), expected, got })
    }
}

/// The archive that a narinfo names, decompressed.
fn open_archive(directory: &Path, narinfo: &NarInfo) -> Result<Box<dyn Read>, StoreError> {
    let file = narinfo_file(directory, &narinfo.info.path);
    let url = Path::new(&narinfo.url);
    if !url.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err(bad(&file, format!("the archive '{}' lies outside the cache", narinfo.url)));
    }
    let archive = directory.join(url);
    let source = io::BufReader::with_capacity(128 * 1024, nopal_fs::open_read(&archive)?);
    Ok(match &narinfo.compression {
        Compression::None => Box::new(source),
        Compression::Zstd => {
            Box::new(zstd::Decoder::with_buffer(source).map_err(|e| FsError::new("read", &archive, e))?)
        }
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new(source)),
        other => return Err(bad(&file, format!("the compression '{other}' is not known"))),
    })
}

fn realisation_file(directory: &Path, id: &DrvOutput) -> PathBuf {
    // the name of an output may hold anything
    directory.join("realisations").join(format!("{}.doi", id.to_string().replace('/', "_")))
}

fn narinfo_file(directory: &Path, path: &StorePath) -> PathBuf {
    directory.join(format!("{}.narinfo", path.hash_part()))
}

fn bad(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::Cache { path: path.to_owned(), reason: reason.to_string() }
}

/// The `StoreDir` of a `nix-cache-info`, if there is one; Nix's default where the file does not say.
fn read_store_dir(file: &Path) -> Result<Option<String>, StoreError> {
    if !nopal_fs::exists(file) {
        return Ok(None);
    }
    let bytes = nopal_fs::read_file_limited(file, MAX_CACHE_INFO_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| bad(file, "it is not UTF-8"))?;
    let stated = text.lines().find_map(|line| line.strip_prefix("StoreDir:"));
    Ok(Some(stated.map_or_else(|| nopal_format::StoreDir::default().to_string(), |value| value.trim().to_owned())))
}

struct HashingWriter {
    inner: nopal_fs::FsFile,
    hasher: Hasher,
}

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

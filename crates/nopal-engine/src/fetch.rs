//! What `builtins.fetchurl`, `fetchTarball` and `fetchTree` bring into the store.

use std::path::{Path, PathBuf};

use nopal_eval::host::{FetchRequest, Fetched, HostError, HostResult};
use nopal_fetch::archive::ArchiveError;
use nopal_fetch::{FetchError, Request, file_url_path};
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm, StorePath, hash};
use nopal_report::Activity;
use nopal_store::{AddOptions, PathInfo};

use crate::engine::Shared;
use crate::error::{EngineError, as_error};
use crate::host::failed;
use crate::inputs;

/// The folder of downloads in the cache.
const DOWNLOADS: &str = "download";

/// Answers a fetch of an expression.
pub(crate) fn fetch(shared: &Shared, request: &FetchRequest) -> HostResult<Fetched> {
    let fetch = Fetch { shared };
    match request {
        FetchRequest::File { url, name, sha256 } => fetch.file(url, name, sha256.as_ref()),
        FetchRequest::Tarball { url, name, sha256 } => fetch.tarball(url, name, sha256.as_ref()),
        FetchRequest::Tree(input) => inputs::fetch(shared, input),
    }
}

/// Where a download is kept.
pub(crate) fn download_file(shared: &Shared, url: &str) -> PathBuf {
    shared.config.cache_dir.join(DOWNLOADS).join(hash::sha256(url.as_bytes()).base16())
}

/// Whether a download without a promised hash is there and may be used again.
pub(crate) fn is_recent(shared: &Shared, file: &Path) -> Result<bool, EngineError> {
    let Some(metadata) = nopal_fs::symlink_metadata_if_exists(file)? else { return Ok(false) };
    if shared.config.offline {
        return Ok(true);
    }
    Ok(metadata
        .modified()
        .ok()
        .and_then(|time| time.elapsed().ok())
        .is_some_and(|age| age < shared.config.flakes.tarball_ttl))
}

pub(crate) struct Fetch<'a> {
    pub(crate) shared: &'a Shared,
}

impl Fetch<'_> {
    fn file(&self, url: &str, name: &str, sha256: Option<&Hash>) -> HostResult<Fetched> {
        if let Some(known) = self.known(name, ContentAddressMethod::Flat, sha256).map_err(failed)? {
            return Ok(without_attrs(known));
        }
        if !url.contains(':') {
            return Err(HostError::Failed(format!("URL '{url}' doesn't have a scheme")));
        }
        let file = self.download(url, sha256)?;
        let options = AddOptions { method: ContentAddressMethod::Flat, ..AddOptions::source(name) };
        let info = self.add(&file, &options).map_err(failed)?;
        Ok(without_attrs(info.path))
    }

    fn tarball(&self, url: &str, name: &str, sha256: Option<&Hash>) -> HostResult<Fetched> {
        if let Some(known) = self.known(name, ContentAddressMethod::Nar, sha256).map_err(failed)? {
            return Ok(without_attrs(known));
        }
        let info = self.unpack(&self.archive(url)?, url, name)?;
        check_nar_hash(url, sha256, &info)?;
        Ok(without_attrs(info.path))
    }

    /// The store path that the hash promises, if it is valid already.
    fn known(
        &self,
        name: &str,
        method: ContentAddressMethod,
        sha256: Option<&Hash>,
    ) -> Result<Option<StorePath>, EngineError> {
        let Some(hash) = sha256 else { return Ok(None) };
        let ca = ContentAddress { method, hash: *hash };
        let path = self.shared.config.store_dir.ca_path(name, &ca, &Default::default())?;
        let Some(store) = self.shared.existing_source_store()? else { return Ok(None) };
        store.add_temp_root(&path)?;
        Ok(store.is_valid(&path)?.then_some(path))
    }

    /// Downloads an archive. What is often mistaken for one on this machine is named.
    pub(crate) fn archive(&self, url: &str) -> HostResult<PathBuf> {
        if url.starts_with("file:") {
            let path = file_url_path(url).map_err(failed)?;
            let mistake = if !nopal_fs::exists(&path) {
                Some("does not exist.")
            } else if !nopal_fs::is_dir(&path) {
                None
            } else if nopal_fs::exists(&path.join(".git")) {
                Some("is a git repository, not a tarball. Please use `git+file` as the scheme.")
            } else {
                Some("is a directory, not a file.")
            };
            if let Some(mistake) = mistake {
                return Err(HostError::Failed(format!("tarball \"{}\" {mistake}", path.display())));
            }
        }
        self.download_archive(url, url)
    }

    /// Downloads an archive, of which `from` tells users where it comes from.
    pub(crate) fn download_archive(&self, url: &str, from: &str) -> HostResult<PathBuf> {
        if let Some(file) = self.cached(url, None)? {
            return Ok(file);
        }
        let running = self.shared.config.reporter.start(Activity::Unpack { from: from.to_owned() });
        let archive = self.download_anew(url, None).map_err(|error| match error {
            HostError::Failed(reason) => unopened(&format!("Source threw exception: {}", as_error(&reason))),
            other => other,
        })?;
        running.succeed();
        Ok(archive)
    }

    /// Downloads into the cache, or takes what is there: with the promised hash, or recent.
    pub(crate) fn download(&self, url: &str, expected: Option<&Hash>) -> HostResult<PathBuf> {
        match self.cached(url, expected)? {
            Some(file) => Ok(file),
            None => self.download_anew(url, expected),
        }
    }

    fn cached(&self, url: &str, expected: Option<&Hash>) -> HostResult<Option<PathBuf>> {
        let file = download_file(self.shared, url);
        Ok(self.is_usable(&file, expected).map_err(failed)?.then_some(file))
    }

    fn download_anew(&self, url: &str, expected: Option<&Hash>) -> HostResult<PathBuf> {
        self.shared.cache_dir(DOWNLOADS).map_err(failed)?;
        let file = download_file(self.shared, url);
        let request = Request { hash: expected.cloned(), ..Request::new(url) };
        let fetcher =
            if url.starts_with("mirror://") { self.shared.mirror_fetcher() } else { self.shared.plain_fetcher() };
        match fetcher.map_err(failed)?.to_file(&request, &file) {
            Ok(_) => Ok(file),
            Err(FetchError::HashMismatch { expected, got, .. }) => Err(mismatch(url, &expected, &got)),
            // something old is better than nothing, where no hash is promised
            Err(error) if expected.is_none() && nopal_fs::exists(&file) => {
                inputs::warn(self.shared, format!("{error}; using cached version"));
                Ok(file)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn is_usable(&self, file: &Path, expected: Option<&Hash>) -> Result<bool, EngineError> {
        match expected {
            Some(_) if !nopal_fs::exists(file) => Ok(false),
            Some(expected) => Ok(Hash::of(expected.algorithm(), &nopal_fs::read_file(file)?) == *expected),
            None => is_recent(self.shared, file),
        }
    }

    /// Unpacks an archive and adds the one directory in it, or all of it if there are several entries.
    fn unpack(&self, archive: &Path, url: &str, name: &str) -> HostResult<PathInfo> {
        let (temp, root, _) = self.unpack_to_temp(archive, url)?;
        let info = self.add(&root, &AddOptions::source(name)).map_err(failed)?;
        temp.remove().map_err(failed)?;
        Ok(info)
    }

    /// Unpacks an archive. Returns the directory to remove, the tree in it, and when the newest member was modified.
    pub(crate) fn unpack_to_temp(&self, archive: &Path, url: &str) -> HostResult<(nopal_fs::TempDir, PathBuf, u64)> {
        let temp = self.shared.temp_dir("tar").map_err(failed)?;
        let dest = temp.path().join("tree");
        let unpacked = nopal_fetch::archive::unpack_file(archive, &dest).map_err(|error| match error {
            ArchiveError::UnknownKind { .. } => unopened("Unrecognized archive format"),
            other => HostError::Failed(format!("cannot unpack '{url}': {other}")),
        })?;
        let entries = nopal_fs::read_dir(&dest).map_err(failed)?;
        let root = match &entries[..] {
            [only] if only.kind == nopal_fs::EntryKind::Directory => dest.join(&only.name),
            _ => dest.clone(),
        };
        Ok((temp, root, unpacked.newest_s))
    }

    pub(crate) fn add(&self, path: &Path, options: &AddOptions) -> Result<PathInfo, EngineError> {
        Ok(self.shared.source_store()?.add_path(path, options, None)?)
    }
}

/// An archive that could not be opened, in Nix's words.
fn unopened(reason: &str) -> HostError {
    HostError::Failed(format!("Failed to open archive ({reason})"))
}

fn without_attrs(store_path: StorePath) -> Fetched {
    Fetched { store_path, input: None, mount: None }
}

fn check_nar_hash(url: &str, expected: Option<&Hash>, info: &PathInfo) -> HostResult<()> {
    match expected {
        Some(expected) if expected.algorithm() == HashAlgorithm::Sha256 && *expected != info.nar_hash => {
            Err(mismatch(url, expected, &info.nar_hash))
        }
        _ => Ok(()),
    }
}

fn mismatch(url: &str, expected: &Hash, got: &Hash) -> HostError {
    HostError::HashMismatch(format!(
        "hash mismatch in file downloaded from '{url}':\n  specified: {expected}\n  got:       {got}"
    ))
}

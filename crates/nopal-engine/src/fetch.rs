//! What `builtins.fetchurl`, `fetchTarball` and `fetchTree` bring into the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nopal_eval::host::{FetchAttr, FetchRequest, Fetched, HostError, HostResult};
use nopal_fetch::{FetchError, Request};
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm, StorePath, hash};
use nopal_store::{AddOptions, PathInfo};

use crate::engine::Shared;
use crate::error::EngineError;
use crate::host::failed;

/// How long a download without a promised hash is used again, as `tarball-ttl` of Nix.
const DOWNLOAD_TTL: Duration = Duration::from_secs(3600);

/// Answers a fetch of an expression.
pub(crate) fn fetch(shared: &Shared, request: &FetchRequest) -> HostResult<Fetched> {
    let fetch = Fetch { shared };
    match request {
        FetchRequest::File { url, name, sha256 } => fetch.file(url, name, sha256.as_ref()),
        FetchRequest::Tarball { url, name, sha256 } => fetch.tarball(url, name, sha256.as_ref()),
        FetchRequest::Tree { attrs, name } => fetch.tree(attrs, name.as_deref()),
    }
}

struct Fetch<'a> {
    shared: &'a Shared,
}

impl Fetch<'_> {
    fn file(&self, url: &str, name: &str, sha256: Option<&Hash>) -> HostResult<Fetched> {
        if let Some(known) = self.known(name, ContentAddressMethod::Flat, sha256).map_err(failed)? {
            return Ok(without_attrs(known));
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
        let archive = self.download(url, None)?;
        let info = self.unpack(&archive, url, name)?;
        check_nar_hash(url, sha256, &info)?;
        Ok(without_attrs(info.path))
    }

    fn tree(&self, attrs: &[(String, FetchAttr)], name: Option<&str>) -> HostResult<Fetched> {
        let text = |wanted: &str| {
            attrs.iter().find_map(|(name, value)| match value {
                FetchAttr::Str(text) if name == wanted => Some(text.as_str()),
                _ => None,
            })
        };
        let name = name.unwrap_or("source");
        let expected = text("narHash")
            .map(Hash::parse_sri)
            .transpose()
            .map_err(|error| HostError::Failed(format!("in the attribute 'narHash' of a fetched tree: {error}")))?;
        let kind = text("type").unwrap_or_default();
        let url = || text("url").ok_or_else(|| HostError::Failed("attribute 'url' missing".to_owned()));
        let fetched = match kind {
            "path" => {
                let path = text("path").ok_or_else(|| HostError::Failed("attribute 'path' missing".to_owned()))?;
                let physical = self.shared.paths.locate_target(Path::new(path)).map_err(failed)?;
                self.add(&physical, &AddOptions::source(name)).map_err(failed)?
            }
            "tarball" => self.unpack(&self.download(url()?, None)?, url()?, name)?,
            "file" => self.add(&self.download(url()?, None)?, &AddOptions::source(name)).map_err(failed)?,
            "git" => return Err(HostError::Unsupported("fetching Git repositories")),
            "hg" => return Err(HostError::Unsupported("fetching Mercurial repositories")),
            _ => return Err(HostError::Failed(format!("fetching inputs of type '{kind}' is not supported"))),
        };
        check_nar_hash(text("url").or(text("path")).unwrap_or(kind), expected.as_ref(), &fetched)?;
        let nar_hash = FetchAttr::Str(fetched.nar_hash.sri());
        Ok(Fetched { store_path: fetched.path, attrs: vec![("narHash".to_owned(), nar_hash)] })
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
        let Some(store) = self.shared.existing_store()? else { return Ok(None) };
        store.add_temp_root(&path)?;
        Ok(store.is_valid(&path)?.then_some(path))
    }

    /// Downloads into the cache, or takes what is there: with the promised hash, or recent.
    fn download(&self, url: &str, expected: Option<&Hash>) -> HostResult<PathBuf> {
        let dir = self.shared.cache_dir("download").map_err(failed)?;
        let file = dir.join(hash::sha256(url.as_bytes()).base16());
        if self.is_usable(&file, expected).map_err(failed)? {
            return Ok(file);
        }
        let request = Request { hash: expected.cloned(), ..Request::new(url) };
        let fetcher =
            if url.starts_with("mirror://") { self.shared.mirror_fetcher() } else { self.shared.plain_fetcher() };
        match fetcher.map_err(failed)?.to_file(&request, &file) {
            Ok(_) => Ok(file),
            Err(FetchError::HashMismatch { expected, got, .. }) => Err(mismatch(url, &expected, &got)),
            Err(error) => Err(failed(error)),
        }
    }

    fn is_usable(&self, file: &Path, expected: Option<&Hash>) -> Result<bool, EngineError> {
        let Some(metadata) = nopal_fs::symlink_metadata_if_exists(file)? else { return Ok(false) };
        if let Some(expected) = expected {
            return Ok(Hash::of(expected.algorithm(), &nopal_fs::read_file(file)?) == *expected);
        }
        if self.shared.config.offline {
            return Ok(true);
        }
        Ok(metadata.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age < DOWNLOAD_TTL))
    }

    /// Unpacks an archive and adds the one directory in it, or all of it if there are several entries.
    fn unpack(&self, archive: &Path, url: &str, name: &str) -> HostResult<PathInfo> {
        let temp =
            nopal_fs::TempDir::new_in(&self.shared.cache_dir("unpack").map_err(failed)?, "tar").map_err(failed)?;
        let dest = temp.path().join("tree");
        nopal_fetch::archive::unpack_file(archive, &dest)
            .map_err(|error| HostError::Failed(format!("cannot unpack '{url}': {error}")))?;
        let entries = nopal_fs::read_dir(&dest).map_err(failed)?;
        let root = match &entries[..] {
            [only] if only.kind == nopal_fs::EntryKind::Directory => dest.join(&only.name),
            _ => dest.clone(),
        };
        let info = self.add(&root, &AddOptions::source(name)).map_err(failed)?;
        temp.remove().map_err(failed)?;
        Ok(info)
    }

    fn add(&self, path: &Path, options: &AddOptions) -> Result<PathInfo, EngineError> {
        Ok(self.shared.store()?.add_path(path, options, None)?)
    }
}

fn without_attrs(store_path: StorePath) -> Fetched {
    Fetched { store_path, attrs: Vec::new() }
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
        "hash mismatch in file downloaded from '{url}':\n  specified: {}\n  got:       {}",
        expected.sri(),
        got.sri()
    ))
}

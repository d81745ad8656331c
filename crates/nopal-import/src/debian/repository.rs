//! Fetching a suite: signed Release file, then the indexes that its hashes vouch for, kept in a cache directory.
//!
//! The cache holds `release/KEY` (Release files with their signatures, checked again at every use) and `index/HASH`
//! (indexes, unpacked, under the SHA-256 of what was fetched).

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nopal_fetch::{FetchError, Fetcher, Request};
use nopal_format::hash;
use nopal_fs::FsError;
use nopal_report::Reporter;

use super::release::{IndexFile, Release, ReleaseError};
use super::signature::{KeyRing, SignatureError};
use super::sources::{DebianSources, Repository};

/// Largest Release file in bytes; Debian's have 150 kB.
const MAX_RELEASE_BYTES: u64 = 32 << 20;

/// Largest unpacked index in bytes; Debian's main has 50 MB.
const MAX_INDEX_BYTES: u64 = 1 << 30;

/// Clocks differ: an index that expired this recently, or was made this far in the future, is still taken.
const CLOCK_SKEW_S: u64 = 300;

/// When the network is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Always ask for the newest Release files.
    Always,
    /// Use a cached Release file that was fetched not longer ago than this.
    After(Duration),
    /// Offline: use only the cache.
    Never,
}

/// Settings for looking at repositories.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// When to ask the network.
    pub refresh: Refresh,
    /// The present in seconds since 1970: signatures and validity are judged by it.
    pub now_s: u64,
    /// Whether indexes past their `Valid-Until` are refused. `false` overrides what sources say.
    pub check_valid_until: bool,
}

impl LoadOptions {
    /// The defaults at a given time: Release files are used for an hour, expired ones are refused.
    pub fn at(now_s: u64) -> Self {
        Self { refresh: Refresh::After(Duration::from_secs(3600)), now_s, check_valid_until: true }
    }
}

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// Something could not be fetched.
    #[error("{uri} {suite}: {source}")]
    Fetch {
        /// The archive.
        uri: String,
        /// The suite.
        suite: String,
        /// Why.
        source: Box<FetchError>,
    },
    /// The Release file is not acceptably signed.
    #[error("{uri} {suite}: {source}")]
    Signature {
        /// The archive.
        uri: String,
        /// The suite.
        suite: String,
        /// Why.
        source: Box<SignatureError>,
    },
    /// The Release file is malformed.
    #[error("{uri} {suite}: {source}")]
    Release {
        /// The archive.
        uri: String,
        /// The suite.
        suite: String,
        /// Why.
        source: ReleaseError,
    },
    /// The Release file is out of date: somebody may be withholding updates.
    #[error("{uri} {suite}: the Release file expired {} hours ago", hours(*.seconds))]
    Expired {
        /// The archive.
        uri: String,
        /// The suite.
        suite: String,
        /// How long ago.
        seconds: u64,
    },
    /// A component or architecture is not there.
    #[error("{uri} {suite}: it has no {path}")]
    NoIndex {
        /// The archive.
        uri: String,
        /// The suite.
        suite: String,
        /// The index looked for.
        path: String,
    },
    /// Offline, and the cache does not have it.
    #[error("{uri} {suite}: not in the cache, and the network may not be asked")]
    Offline {
        /// The archive.
        uri: String,
        /// The suite.
        suite: String,
    },
    /// An index is not what it says it is.
    #[error("{path}: {reason}")]
    Index {
        /// File or URL.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] FsError),
    /// Every configured repository had to be left out.
    #[error("no repository can be used{}", .reasons.iter().map(|reason| format!("\n  {reason}")).collect::<String>())]
    NoneUsable {
        /// Why, one line per repository.
        reasons: Vec<String>,
    },
}

fn hours(seconds: u64) -> u64 {
    seconds / 3600
}

impl RepositoryError {
    /// Whether the repository may be left out while others are used: it cannot be reached, or none of our keys vouches
    /// for it. Signs of tampering (bad signature, wrong hash, expiry) are never passed over.
    fn is_absence(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => {
                !matches!(**source, FetchError::HashMismatch { .. } | FetchError::SizeMismatch { .. })
            }
            Self::Signature { source, .. } => matches!(
                **source,
                SignatureError::UnknownKey { .. } | SignatureError::NoKeys { .. } | SignatureError::Read(_)
            ),
            Self::Offline { .. } | Self::NoIndex { .. } => true,
            _ => false,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Fetch { source, .. } => source.hint(),
            Self::Signature { source, .. }
                if matches!(**source, SignatureError::UnknownKey { .. } | SignatureError::NoKeys { .. }) =>
            {
                Some("pass the archive's key ring with --keyring FILE")
            }
            Self::Signature { .. } | Self::Index { .. } => {
                Some("the mirror, or something on the way to it, may have been tampered with")
            }
            Self::Expired { .. } => Some("try another mirror; for an archived release the check can be switched off"),
            Self::Offline { .. } => Some("run once with the network"),
            _ => None,
        }
    }
}

/// A repository whose Release file was accepted.
#[derive(Clone, Debug)]
pub struct Suite {
    /// What was configured.
    pub repository: Repository,
    /// Its Release file.
    pub release: Release,
    /// SHA-256 of the Release file, to tell states of the suite apart.
    pub fingerprint: String,
}

/// Access to the configured repositories.
#[derive(Clone, Copy, Debug)]
pub struct Loader<'a> {
    /// What is configured.
    pub sources: &'a DebianSources,
    /// The downloader.
    pub fetcher: &'a Fetcher,
    /// Directory for Release files and indexes; created if need be.
    pub cache_dir: &'a Path,
    /// Settings.
    pub options: &'a LoadOptions,
    /// Where warnings go.
    pub reporter: &'a Reporter,
}

impl Loader<'_> {
    /// The accepted Release file of every repository. One that cannot be reached or that no key vouches for is left
    /// out with a warning, as apt does.
    ///
    /// # Errors
    /// Signs of tampering in any repository; [`RepositoryError::NoneUsable`] when none is left.
    pub fn suites(&self) -> Result<Vec<Suite>, RepositoryError> {
        let mut suites = Vec::new();
        let mut absent = Vec::new();
        for repository in &self.sources.repositories {
            match self.suite(repository) {
                Ok(suite) => suites.push(suite),
                Err(err) if err.is_absence() => absent.push(err),
                Err(err) => return Err(err),
            }
        }
        if suites.is_empty() {
            if absent.len() == 1 {
                return Err(absent.remove(0));
            }
            return Err(RepositoryError::NoneUsable { reasons: absent.iter().map(ToString::to_string).collect() });
        }
        for err in absent {
            self.reporter.warn(format!("left out: {err}"));
        }
        Ok(suites)
    }

    fn suite(&self, repository: &Repository) -> Result<Suite, RepositoryError> {
        let text = self.release_text(repository)?;
        let (uri, suite) = (repository.uri.clone(), repository.suite.clone());
        let release = Release::parse(&text).map_err(|source| RepositoryError::Release { uri, suite, source })?;
        if let Some(until) = release.valid_until_s
            && repository.check_valid_until
            && self.options.check_valid_until
            && until + CLOCK_SKEW_S < self.options.now_s
        {
            let (uri, suite) = (repository.uri.clone(), repository.suite.clone());
            return Err(RepositoryError::Expired { uri, suite, seconds: self.options.now_s - until });
        }
        let fingerprint = hash::sha256(text.as_bytes()).base16();
        Ok(Suite { repository: repository.clone(), release, fingerprint })
    }

    /// The verified text of the Release file, from the cache while it is fresh.
    fn release_text(&self, repository: &Repository) -> Result<String, RepositoryError> {
        let cached = self.release_cache(repository);
        let fresh = match self.options.refresh {
            Refresh::Always => false,
            Refresh::After(age) => age_s(&cached, self.options.now_s).is_some_and(|seconds| seconds <= age.as_secs()),
            Refresh::Never => true,
        };
        if fresh {
            if let Some(bytes) = nopal_fs::if_exists(nopal_fs::read_file_limited(&cached, MAX_RELEASE_BYTES))? {
                return self.verify(repository, &SignedRelease::from_cache(&bytes));
            }
            if self.options.refresh == Refresh::Never {
                let (uri, suite) = (repository.uri.clone(), repository.suite.clone());
                return Err(RepositoryError::Offline { uri, suite });
            }
        }
        let signed = self.fetch_release(repository)?;
        // only what was verified is kept, so a bad answer does not spoil the cache
        let text = self.verify(repository, &signed)?;
        nopal_fs::create_dir_all(nopal_fs::parent_of(&cached))?;
        nopal_fs::replace(&cached, &signed.to_cache())?;
        Ok(text)
    }

    fn fetch_release(&self, repository: &Repository) -> Result<SignedRelease, RepositoryError> {
        let base = suite_url(repository);
        match self.fetch(repository, &Request::new(format!("{base}/InRelease")).with_limit(MAX_RELEASE_BYTES)) {
            Ok(bytes) => return Ok(SignedRelease { text: bytes, detached: None }),
            Err(RepositoryError::Fetch { source, .. }) if source.is_not_found() => {}
            Err(err) => return Err(err),
        }
        let text = self.fetch(repository, &Request::new(format!("{base}/Release")).with_limit(MAX_RELEASE_BYTES))?;
        let detached = if repository.trusted {
            Vec::new()
        } else {
            self.fetch(repository, &Request::new(format!("{base}/Release.gpg")).with_limit(MAX_RELEASE_BYTES))?
        };
        Ok(SignedRelease { text, detached: Some(detached) })
    }

    fn verify(&self, repository: &Repository, signed: &SignedRelease) -> Result<String, RepositoryError> {
        let wrong = |source| RepositoryError::Signature {
            uri: repository.uri.clone(),
            suite: repository.suite.clone(),
            source: Box::new(source),
        };
        let text = String::from_utf8_lossy(&signed.text);
        if repository.trusted {
            return Ok(text.into_owned());
        }
        let ring = KeyRing::load(&repository.keys).map_err(wrong)?;
        match &signed.detached {
            None => ring.verify_cleartext(&text, self.options.now_s).map_err(wrong),
            Some(detached) => {
                ring.verify_detached(&signed.text, detached, self.options.now_s).map_err(wrong)?;
                Ok(text.into_owned())
            }
        }
    }

    /// The contents of an index of a suite, from the cache where it is there.
    pub fn index(&self, suite: &Suite, path: &str) -> Result<String, RepositoryError> {
        let repository = &suite.repository;
        let (uri, name) = (repository.uri.clone(), repository.suite.clone());
        let Some((file_path, file)) = suite.release.index(path) else {
            return Err(RepositoryError::NoIndex { uri, suite: name, path: path.to_owned() });
        };
        let plain = suite.release.files.get(path);
        let cached = self.cache_dir.join("index").join(file.hash.base16());
        if let Some(bytes) = nopal_fs::if_exists(nopal_fs::read_file_limited(&cached, MAX_INDEX_BYTES))?
            && plain.is_none_or(|plain| hash::sha256(&bytes) == plain.hash)
        {
            return into_text(bytes, path);
        }
        if self.options.refresh == Refresh::Never {
            return Err(RepositoryError::Offline { uri, suite: name });
        }
        let packed = self.fetch_index(suite, &file_path, file)?;
        let bytes = decompress(&packed, &file_path)?;
        if plain.is_some_and(|plain| hash::sha256(&bytes) != plain.hash) {
            let reason = "the unpacked index has another hash than the Release file says".to_owned();
            return Err(RepositoryError::Index { path: file_path, reason });
        }
        nopal_fs::create_dir_all(nopal_fs::parent_of(&cached))?;
        nopal_fs::replace(&cached, &bytes)?;
        into_text(bytes, path)
    }

    fn fetch_index(&self, suite: &Suite, path: &str, file: &IndexFile) -> Result<Vec<u8>, RepositoryError> {
        let base = suite_url(&suite.repository);
        let request = |url: String| Request {
            url,
            hash: Some(file.hash),
            size_bytes: Some(file.size_bytes),
            max_size_bytes: None,
        };
        if suite.release.by_hash {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let url = format!("{base}/{directory}/by-hash/SHA256/{}", file.hash.base16());
            match self.fetch(&suite.repository, &request(url)) {
                Err(RepositoryError::Fetch { source, .. }) if source.is_not_found() => {}
                result => return result,
            }
        }
        self.fetch(&suite.repository, &request(format!("{base}/{path}")))
    }

    fn fetch(&self, repository: &Repository, request: &Request) -> Result<Vec<u8>, RepositoryError> {
        match self.fetcher.to_memory(request) {
            Ok((bytes, _)) => Ok(bytes),
            Err(source) => {
                let (uri, suite) = (repository.uri.clone(), repository.suite.clone());
                Err(RepositoryError::Fetch { uri, suite, source: Box::new(source) })
            }
        }
    }

    fn release_cache(&self, repository: &Repository) -> PathBuf {
        let key = hash::sha256(format!("{}\n{}", repository.uri, repository.suite).as_bytes()).base16();
        self.cache_dir.join("release").join(&key[..32])
    }
}

/// A Release file with what proves it.
struct SignedRelease {
    text: Vec<u8>,
    /// `Release.gpg`, where the text is not signed within itself.
    detached: Option<Vec<u8>>,
}

/// Begins a cached file that holds text and detached signature one after the other.
const DETACHED_MAGIC: &[u8] = b"nopal-detached ";

impl SignedRelease {
    fn to_cache(&self) -> Vec<u8> {
        match &self.detached {
            None => self.text.clone(),
            Some(signature) => {
                let header = format!("{}\n", self.text.len());
                [DETACHED_MAGIC, header.as_bytes(), &self.text, signature].concat()
            }
        }
    }

    fn from_cache(bytes: &[u8]) -> Self {
        let split = bytes.strip_prefix(DETACHED_MAGIC).and_then(|rest| {
            let newline = memchr::memchr(b'\n', rest)?;
            let length: usize = std::str::from_utf8(&rest[..newline]).ok()?.parse().ok()?;
            rest[newline + 1..].split_at_checked(length)
        });
        match split {
            Some((text, signature)) => Self { text: text.to_vec(), detached: Some(signature.to_vec()) },
            None => Self { text: bytes.to_vec(), detached: None },
        }
    }
}

fn suite_url(repository: &Repository) -> String {
    match repository.suite.strip_suffix('/') {
        // a flat archive: the suite is a directory below the URI
        Some(directory) => format!("{}/{directory}", repository.uri).trim_end_matches(['/', '.']).to_owned(),
        None => format!("{}/dists/{}", repository.uri, repository.suite),
    }
}

fn age_s(path: &Path, now_s: u64) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let metadata = nopal_fs::metadata(path).ok()?;
    // a file from the future counts as old: the clock was wrong once
    now_s.checked_sub(u64::try_from(metadata.mtime()).ok()?)
}

fn into_text(bytes: Vec<u8>, path: &str) -> Result<String, RepositoryError> {
    String::from_utf8(bytes)
        .map_err(|_| RepositoryError::Index { path: path.to_owned(), reason: "it is not UTF-8".to_owned() })
}

/// Unpacks an index by the extension of its name.
fn decompress(packed: &[u8], path: &str) -> Result<Vec<u8>, RepositoryError> {
    let wrong = |reason: String| RepositoryError::Index { path: path.to_owned(), reason };
    let reader: Box<dyn Read + '_> = nopal_fetch::compression::reader(packed, nopal_fetch::compression::of_name(path))
        .map_err(|err| wrong(err.to_string()))?;
    let mut bytes = Vec::new();
    reader
        .take(MAX_INDEX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|err| wrong(format!("it cannot be unpacked: {err}")))?;
    if bytes.len() as u64 > MAX_INDEX_BYTES {
        return Err(wrong(format!("unpacked it is larger than {MAX_INDEX_BYTES} bytes")));
    }
    Ok(bytes)
}

//! The one façade: requests in, verified bytes out.

use std::io::{Read, Seek, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nopal_format::{Hash, HashAlgorithm};
use nopal_report::{Activity, Reporter};

use crate::attempt::{Target, Transfer, without_credentials};
use crate::client::{self, HttpClient};
use crate::once::InFlight;
use crate::{FetchConfig, FetchError};

/// What to download and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `http://`, `https://`, `file://` or `mirror://NAME/PATH`.
    pub url: String,
    /// The hash of the bytes as served. `None` accepts anything.
    pub hash: Option<Hash>,
    /// The exact size in bytes, where known.
    pub size_bytes: Option<u64>,
    /// The largest accepted size in bytes; [`FetchConfig::max_size_bytes`] where not given.
    pub max_size_bytes: Option<u64>,
}

impl Request {
    /// A request that accepts whatever comes, within the limits of the settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), hash: None, size_bytes: None, max_size_bytes: None }
    }

    /// The same, expecting a hash.
    #[must_use]
    pub fn with_hash(self, hash: Hash) -> Self {
        Self { hash: Some(hash), ..self }
    }

    /// The same, expecting an exact size.
    #[must_use]
    pub fn with_size(self, size_bytes: u64) -> Self {
        Self { size_bytes: Some(size_bytes), ..self }
    }

    /// The same, with a limit.
    #[must_use]
    pub fn with_limit(self, max_size_bytes: u64) -> Self {
        Self { max_size_bytes: Some(max_size_bytes), ..self }
    }
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its hash: of the algorithm of the expected hash, else SHA-256.
    pub hash: Hash,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Where it came from in the end, after mirrors and redirects, without credentials.
    pub url: String,
}

/// Downloads. Share one per process: it keeps connections and joins concurrent requests for the same file.
#[derive(Debug)]
pub struct Fetcher {
    config: FetchConfig,
    http: HttpClient,
    reporter: Reporter,
    files: InFlight<PathBuf, Result<Fetched, FetchError>>,
}

impl Fetcher {
    /// Sets up the client. Missing CA certificates are no error here; only `https` requests fail without them.
    ///
    /// # Errors
    /// [`FetchError::Setup`] when a CA file or proxy of the settings cannot be used.
    pub fn new(config: FetchConfig, reporter: Reporter) -> Result<Self, FetchError> {
        let http = client::build(&config)?;
        Ok(Self { config, http, reporter, files: InFlight::new() })
    }

    /// The settings in use.
    pub fn config(&self) -> &FetchConfig {
        &self.config
    }

    /// Downloads to a file. `dest` comes into being complete and verified, or not at all; a file that is there already
    /// is replaced. Concurrent calls for one `dest` share one download.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub fn to_file(&self, request: &Request, dest: &Path) -> Result<Fetched, FetchError> {
        self.files.run(dest.to_owned(), || {
            let mut file = FileTarget::create(dest)?;
            let fetched = self.fetch(request, &mut file)?;
            file.commit()?;
            Ok(fetched)
        })
    }

    /// Downloads into memory.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub fn to_memory(&self, request: &Request) -> Result<(Vec<u8>, Fetched), FetchError> {
        let mut target = MemoryTarget(Vec::new());
        let fetched = self.fetch(request, &mut target)?;
        Ok((target.0, fetched))
    }

    /// Tries the places a URL stands for, in order.
    fn fetch(&self, request: &Request, target: &mut dyn Target) -> Result<Fetched, FetchError> {
        let places = self.places(&request.url)?;
        let mut tried = Vec::new();
        for place in &places {
            match self.fetch_place(request, place, target) {
                Ok(fetched) => return Ok(fetched),
                // the disk is full for every mirror alike
                Err(err @ FetchError::Write { .. }) => return Err(err),
                Err(err) => tried.push(err),
            }
            target.restart()?;
        }
        match tried.len() {
            1 => Err(tried.remove(0)),
            _ => Err(FetchError::Mirrors { url: request.url.clone(), tried }),
        }
    }

    /// The real URLs behind `url`: itself, or one per base of the mirror that it names.
    fn places(&self, url: &str) -> Result<Vec<String>, FetchError> {
        let Some(rest) = url.strip_prefix("mirror://") else { return Ok(vec![url.to_owned()]) };
        let (name, path) = rest.split_once('/').ok_or_else(|| FetchError::BadUrl {
            url: url.to_owned(),
            reason: "a mirror URL has the form mirror://NAME/PATH".to_owned(),
        })?;
        match self.config.mirrors.get(name) {
            Some(bases) if !bases.is_empty() => {
                Ok(bases.iter().map(|base| format!("{}/{path}", base.trim_end_matches('/'))).collect())
            }
            _ => Err(FetchError::UnknownMirror { url: url.to_owned(), name: name.to_owned() }),
        }
    }

    fn fetch_place(&self, request: &Request, place: &str, target: &mut dyn Target) -> Result<Fetched, FetchError> {
        let shown = without_credentials(place);
        let running = self.reporter.start(Activity::Download { url: shown.clone() });
        let algorithm = request.hash.as_ref().map_or(HashAlgorithm::Sha256, Hash::algorithm);
        let limit = request.size_bytes.or(request.max_size_bytes).unwrap_or(self.config.max_size_bytes);
        let mut transfer = Transfer::new(place, target, &running, algorithm, limit, request.size_bytes);
        if place.starts_with("file:") {
            read_file(&mut transfer, place)?;
        } else if self.config.offline {
            return Err(FetchError::Offline { url: shown });
        } else if place.starts_with("http://") || place.starts_with("https://") {
            self.with_retries(&mut transfer)?;
        } else {
            let scheme = place.split(':').next().unwrap_or_default().to_owned();
            return Err(FetchError::UnknownScheme { url: shown, scheme });
        }
        let (hash, size_bytes, final_url) = transfer.finish();
        if let Some(expected) = request.size_bytes.filter(|expected| *expected != size_bytes) {
            return Err(FetchError::SizeMismatch { url: shown, expected, got: size_bytes });
        }
        if let Some(expected) = request.hash.as_ref().filter(|expected| **expected != hash) {
            return Err(FetchError::HashMismatch { url: shown, expected: Box::new(*expected), got: Box::new(hash) });
        }
        running.succeed();
        Ok(Fetched { hash, size_bytes, url: final_url.unwrap_or(shown) })
    }

    fn with_retries(&self, transfer: &mut Transfer<'_>) -> Result<(), FetchError> {
        let config = &self.config;
        let mut pause = config.retry_pause;
        let mut attempt = 1;
        loop {
            match transfer.attempt(&self.http, config.stall_timeout, config.max_redirects) {
                Ok(()) => return Ok(()),
                Err(err) if attempt <= config.retries && err.is_passing() => {
                    let asked = transfer.retry_after.unwrap_or(Duration::ZERO);
                    let wait = pause.max(asked).min(config.retry_pause_max);
                    self.reporter.warn(format!(
                        "{err}; retrying{} in {} ms (attempt {attempt}/{})",
                        transfer.resumed_at(),
                        wait.as_millis(),
                        config.retries + 1
                    ));
                    std::thread::sleep(wait);
                    pause = pause.saturating_mul(2);
                    attempt += 1;
                }
                Err(err) => return Err(err),
            }
        }
    }
}

/// Decodes `%41` and the like in the path of a `file://` URL. An invalid escape stands for itself.
fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

struct MemoryTarget(Vec<u8>);

impl Target for MemoryTarget {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        self.0.clear();
        Ok(())
    }
}

/// The destination beside which the bytes gather until they are complete.
struct FileTarget {
    file: nopal_fs::AtomicFile,
    dest: PathBuf,
}

impl FileTarget {
    fn create(dest: &Path) -> Result<Self, FetchError> {
        let file = nopal_fs::AtomicFile::create(dest, 0o644).map_err(|err| write_error(dest, &err))?;
        Ok(Self { file, dest: dest.to_owned() })
    }

    fn commit(self) -> Result<(), FetchError> {
        self.file.commit().map_err(|err| write_error(&self.dest, &err))
    }
}

impl Target for FileTarget {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|err| write_error(&self.dest, &err))
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        let file = self.file.file();
        file.set_len(0).and_then(|()| file.rewind()).map_err(|err| write_error(&self.dest, &err))
    }
}

fn write_error(dest: &Path, err: &dyn std::error::Error) -> FetchError {
    FetchError::Write { path: dest.to_owned(), reason: err.to_string() }
}

/// Reads a `file://` URL: the same checks and the same progress as for a download.
fn read_file(transfer: &mut Transfer<'_>, url: &str) -> Result<(), FetchError> {
    let path = file_url_path(url)?;
    let mut file = nopal_fs::open_read(&path).map_err(|err| {
        if err.is_not_found() {
            FetchError::NoFile { url: url.to_owned(), path: path.clone() }
        } else {
            FetchError::Protocol { url: url.to_owned(), reason: err.to_string() }
        }
    })?;
    let mut chunk = vec![0; FILE_CHUNK_BYTES];
    loop {
        let count = file
            .read(&mut chunk)
            .map_err(|err| FetchError::Protocol { url: url.to_owned(), reason: err.to_string() })?;
        if count == 0 {
            return Ok(());
        }
        transfer.accept(&chunk[..count])?;
    }
}

/// Bytes read at a time from a `file://` URL.
const FILE_CHUNK_BYTES: usize = 256 << 10;

/// The path of a `file:///…`, `file://localhost/…` or `file:/…` URL. A query and a fragment mean nothing there.
///
/// # Errors
/// It is not absolute.
pub fn file_url_path(url: &str) -> Result<PathBuf, FetchError> {
    let rest = url.strip_prefix("file:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let rest = rest.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if !rest.starts_with('/') {
        let reason = "a file URL names an absolute path of this machine".to_owned();
        return Err(FetchError::BadUrl { url: url.to_owned(), reason });
    }
    Ok(PathBuf::from(std::ffi::OsString::from_vec(percent_decode(rest))))
}

//! One try at a transfer, from a given offset.

use std::error::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nopal_format::{Hash, HashAlgorithm, Hasher};
use nopal_report::Running;
use reqwest::StatusCode;
use reqwest::blocking::Response;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER};

use crate::FetchError;
use crate::client::HttpClient;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// So much is read of what a server says about a refusal.
const MAX_BODY_BYTES: u64 = 64 << 10;

/// Receives the body in order.
pub(crate) trait Target {
    /// Appends.
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError>;
    /// Throws away what was written, because the thing changed under us.
    fn restart(&mut self) -> Result<(), FetchError>;
}

/// A transfer that may take several attempts.
pub(crate) struct Transfer<'a> {
    url: &'a str,
    /// The URL for messages, without credentials.
    shown: String,
    pub(crate) target: &'a mut dyn Target,
    pub(crate) running: &'a Running,
    pub(crate) limit_bytes: u64,
    pub(crate) expected_size: Option<u64>,
    hasher: Hasher,
    written: u64,
    /// The strong validator of the first answer, to be sure that a resumed transfer continues the same bytes.
    validator: Option<String>,
    /// What the server said to wait before the next attempt.
    pub(crate) retry_after: Option<Duration>,
    /// Where redirects led.
    pub(crate) final_url: Option<String>,
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(
        url: &'a str,
        target: &'a mut dyn Target,
        running: &'a Running,
        algorithm: HashAlgorithm,
        limit_bytes: u64,
        expected_size: Option<u64>,
    ) -> Self {
        Self {
            url,
            shown: without_credentials(url),
            target,
            running,
            limit_bytes,
            expected_size,
            hasher: Hasher::new(algorithm),
            written: 0,
            validator: None,
            retry_after: None,
            final_url: None,
        }
    }

    pub(crate) fn finish(self) -> (Hash, u64, Option<String>) {
        (self.hasher.finish(), self.written, self.final_url)
    }

    /// Asks for what is still missing and takes in the answer.
    pub(crate) fn attempt(
        &mut self,
        http: &HttpClient,
        stall: Duration,
        max_redirects: usize,
    ) -> Result<(), FetchError> {
        self.retry_after = None;
        let mut request = http.client.get(self.url);
        if self.written > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.written));
            if let Some(validator) = &self.validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        let start = Instant::now();
        let response = request.send().map_err(|err| {
            let limits = Limits { after: start.elapsed(), stall, max_redirects, has_roots: http.has_roots };
            classify(&self.shown, &err, &limits)
        })?;
        self.final_url = Some(without_credentials(response.url().as_str()));
        let skip = match response.status() {
            StatusCode::PARTIAL_CONTENT if self.written > 0 => {
                self.check_range(response.headers())?;
                0
            }
            StatusCode::RANGE_NOT_SATISFIABLE if self.written > 0 => {
                // the thing became shorter, or had just ended where the transfer broke: begin anew to know
                self.restart()?;
                return Err(self.broken("the server cannot continue the transfer".to_owned(), None));
            }
            status if status == StatusCode::OK => self.accept_whole(response.headers())?,
            _ => return Err(self.refused(response)),
        };
        let total = response.content_length().map(|length| match skip {
            0 => self.written + length,
            _ => length,
        });
        self.check_announced(total)?;
        self.take_body(response, skip, total, stall)
    }

    /// A 206 must continue exactly where we stopped.
    fn check_range(&self, headers: &HeaderMap) -> Result<(), FetchError> {
        let start = headers
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("bytes "))
            .and_then(|value| value.split('-').next())
            .and_then(|value| value.trim().parse::<u64>().ok());
        match start {
            Some(start) if start == self.written => Ok(()),
            _ => Err(FetchError::Protocol {
                url: self.shown.clone(),
                reason: format!("asked to continue at byte {}, got another range", self.written),
            }),
        }
    }

    /// A 200 brings everything from the beginning: how many bytes to skip because they are there already.
    fn accept_whole(&mut self, headers: &HeaderMap) -> Result<u64, FetchError> {
        let validator = validator(headers);
        if self.written > 0 && (self.validator.is_none() || validator != self.validator) {
            self.restart()?;
        }
        self.validator = validator;
        Ok(self.written)
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        self.target.restart()?;
        self.hasher = Hasher::new(self.hasher.algorithm());
        self.written = 0;
        self.validator = None;
        Ok(())
    }

    fn refused(&mut self, response: Response) -> FetchError {
        self.retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().parse().ok())
            .map(Duration::from_secs);
        let status = response.status().as_u16();
        let mut body = Vec::new();
        // what arrives of it
        let _ = response.take(MAX_BODY_BYTES).read_to_end(&mut body);
        FetchError::Status { url: self.shown.clone(), status, body: String::from_utf8_lossy(&body).into_owned() }
    }

    fn check_announced(&self, total: Option<u64>) -> Result<(), FetchError> {
        let Some(total) = total else { return Ok(()) };
        match self.expected_size {
            Some(expected) if expected != total => {
                Err(FetchError::SizeMismatch { url: self.shown.clone(), expected, got: total })
            }
            _ if total > self.limit_bytes => {
                Err(FetchError::TooLarge { url: self.shown.clone(), limit: self.limit_bytes })
            }
            _ => Ok(()),
        }
    }

    fn take_body(
        &mut self,
        mut response: Response,
        mut skip: u64,
        total: Option<u64>,
        stall: Duration,
    ) -> Result<(), FetchError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = match response.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(err) if err.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(err) if err.kind() == std::io::ErrorKind::TimedOut || is_timeout(&err) => {
                    return Err(FetchError::TimedOut { url: self.shown.clone(), seconds: stall.as_secs() });
                }
                Err(err) => return Err(self.broken(chain(&err), total)),
            };
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
            skip -= skipped as u64;
            self.accept(&chunk[skipped..count])?;
            self.running.progress(self.written, total.or(self.expected_size));
        }
        match total {
            Some(total) if self.written < total => Err(self.broken("the connection ended".to_owned(), Some(total))),
            _ => Ok(()),
        }
    }

    /// Takes bytes of the body; also the way in for `file://`.
    pub(crate) fn accept(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        if self.written + bytes.len() as u64 > self.limit_bytes {
            return Err(FetchError::TooLarge { url: self.shown.clone(), limit: self.limit_bytes });
        }
        self.target.write(bytes)?;
        // writing into a Hasher cannot fail
        let _infallible = self.hasher.write_all(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Where the next attempt goes on, in words.
    pub(crate) fn resumed_at(&self) -> String {
        if self.written > 0 { format!(" from offset {}", self.written) } else { String::new() }
    }

    fn broken(&self, reason: String, total: Option<u64>) -> FetchError {
        FetchError::Truncated {
            url: self.shown.clone(),
            got: self.written,
            expected: total.or(self.expected_size),
            reason,
        }
    }
}

/// A validator that `If-Range` accepts: a strong entity tag, else the modification date.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// What was allowed to an attempt, and what it took.
struct Limits {
    after: Duration,
    stall: Duration,
    max_redirects: usize,
    has_roots: bool,
}

/// Turns the client's error into ours: what the user has to look at (name, network, certificate) differs.
fn classify(url: &str, err: &reqwest::Error, limits: &Limits) -> FetchError {
    let owned = url.to_owned();
    let reason = chain_below(err);
    if let Some(tls) = find::<rustls::Error>(err) {
        return FetchError::Tls { url: owned, reason: tls.to_string(), no_roots: !limits.has_roots };
    }
    if err.is_redirect() {
        return FetchError::TooManyRedirects { url: owned, limit: limits.max_redirects };
    }
    if err.is_builder() {
        // in curl's words, where they are known
        let reason = match reason.as_str() {
            "invalid port number" => "Port number was not a decimal number between 0 and 65535".to_owned(),
            "invalid international domain name" => "Bad hostname".to_owned(),
            _ => reason,
        };
        return FetchError::Rejected { url: owned, reason };
    }
    if err.is_connect() {
        let host = err.url().and_then(|url| url.host_str()).unwrap_or_default();
        // the connection ended while it was being secured: the other side speaks no TLS, or refuses ours
        if reason.contains("tls handshake") {
            return FetchError::Tls { url: owned, reason, no_roots: false };
        }
        if reason.contains("dns error") {
            return FetchError::Dns { url: owned, host: host.to_owned() };
        }
        let port = err.url().and_then(|url| url.port_or_known_default()).unwrap_or_default();
        return FetchError::Connect { url: owned, address: format!("{host}:{port}"), after: limits.after };
    }
    if err.is_timeout() {
        return FetchError::TimedOut { url: owned, seconds: limits.stall.as_secs() };
    }
    // the connection broke before an answer: worth another try
    FetchError::Truncated { url: owned, got: 0, expected: None, reason }
}

fn is_timeout(err: &std::io::Error) -> bool {
    find::<reqwest::Error>(err).is_some_and(reqwest::Error::is_timeout)
}

/// Looks for an error of a type in the causes, also inside [`std::io::Error`], which hides its payload from `source`.
fn find<'e, E: Error + 'static>(err: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(err);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = match current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}

/// The causes of an error in one line, without repetitions.
pub(crate) fn chain(err: &(dyn Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut next = err.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = cause.source();
    }
    text
}

/// The causes below an error whose own text only repeats the URL.
fn chain_below(err: &(dyn Error + 'static)) -> String {
    err.source().map_or_else(|| err.to_string(), chain)
}

/// A URL fit for messages: user name and password are left out.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_credentials, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

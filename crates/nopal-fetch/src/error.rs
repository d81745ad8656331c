//! Why a download failed, in the words of Nix and curl where they have some.

use std::path::PathBuf;
use std::time::Duration;

use nopal_format::Hash;

/// Why a download failed. Cloneable, because everybody who waited for the same download gets it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server refuses it; 404 and 410 say that it is not there.
    #[error("unable to download '{url}': HTTP error {status}{}", shown_body(body))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said besides, if it said something.
        body: String,
    },
    /// The `file://` path does not exist.
    #[error("unable to download '{url}': Could not read a file:// file (37) Could not open file {}", path.display())]
    NoFile {
        /// What was asked for.
        url: String,
        /// The path.
        path: PathBuf,
    },
    /// The name of the host has no address.
    #[error("unable to download '{url}': Could not resolve hostname (6) Could not resolve host: {host}")]
    Dns {
        /// What was asked for.
        url: String,
        /// The name that was looked up.
        host: String,
    },
    /// No connection came about.
    #[error(
        "unable to download '{url}': Could not connect to server (7) Failed to connect to {address} after {} ms: Could \
         not connect to server",
        after.as_millis()
    )]
    Connect {
        /// What was asked for.
        url: String,
        /// The host and the port.
        address: String,
        /// How long it took to know.
        after: Duration,
    },
    /// The encrypted connection was refused, by us or by the server.
    #[error("unable to download '{url}': no trusted connection: {reason}{}", if *no_roots { " (this machine has no CA certificates)" } else { "" })]
    Tls {
        /// What was asked for.
        url: String,
        /// What was wrong.
        reason: String,
        /// No CA certificate was found on this machine, so none could be trusted.
        no_roots: bool,
    },
    /// Nothing arrived for the whole stall timeout.
    #[error(
        "unable to download '{url}': Timeout was reached (28) Operation too slow. Less than 1 bytes/sec transferred the \
         last {seconds} seconds"
    )]
    TimedOut {
        /// What was asked for.
        url: String,
        /// The limit that ran out.
        seconds: u64,
    },
    /// The transfer broke and could not be taken up again.
    #[error("unable to download '{url}': the transfer broke after {got} bytes{}: {reason}", expected.map(|e| format!(" of {e}")).unwrap_or_default())]
    Truncated {
        /// What was asked for.
        url: String,
        /// Bytes that arrived.
        got: u64,
        /// Bytes that were promised, where known.
        expected: Option<u64>,
        /// What broke it.
        reason: String,
    },
    /// What arrived is not what was expected.
    #[error("{url}: hash mismatch\n  expected: {expected}\n  got:      {got}")]
    HashMismatch {
        /// What was asked for.
        url: String,
        /// The hash in the request.
        expected: Box<Hash>,
        /// The hash of what arrived.
        got: Box<Hash>,
    },
    /// What arrived has another size than expected.
    #[error("{url}: size mismatch: expected {expected} bytes, got {got}")]
    SizeMismatch {
        /// What was asked for.
        url: String,
        /// The size in the request.
        expected: u64,
        /// The size of what arrived, or that the server announced.
        got: u64,
    },
    /// The body exceeds the limit.
    #[error("{url}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The server sent us round and round.
    #[error("unable to download '{url}': more than {limit} redirects")]
    TooManyRedirects {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// `mirror://NAME/…` with a NAME that the settings do not know.
    #[error("{url}: no mirror named '{name}' is configured")]
    UnknownMirror {
        /// What was asked for.
        url: String,
        /// The name.
        name: String,
    },
    /// Every base URL of a mirror failed.
    #[error("{url}: every mirror failed{}", tried.iter().map(|e| format!("\n  {e}")).collect::<String>())]
    Mirrors {
        /// What was asked for.
        url: String,
        /// One error per base URL.
        tried: Vec<FetchError>,
    },
    /// The URL has a scheme that downloads do not know.
    #[error("unable to download '{url}': Unsupported protocol (1) Protocol \"{scheme}\" not supported")]
    UnknownScheme {
        /// What was asked for.
        url: String,
        /// The scheme.
        scheme: String,
    },
    /// The URL is none for HTTP.
    #[error("unable to download '{url}': URL using bad/illegal format or missing URL (3) URL rejected: {reason}")]
    Rejected {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL cannot be used.
    #[error("cannot fetch '{url}': {reason}")]
    BadUrl {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network would have to be asked, and may not be.
    #[error("{url} is needed, but the network may not be asked")]
    Offline {
        /// What was asked for.
        url: String,
    },
    /// The client could not be set up.
    #[error("cannot set up downloads: {reason}")]
    Setup {
        /// What is wrong with the settings.
        reason: String,
    },
    /// The other side does not speak HTTP as it should.
    #[error("{url}: {reason}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What was wrong.
        reason: String,
    },
    /// The destination could not be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The destination.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl FetchError {
    /// Whether trying the same again may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            // as Nix decides, in its `filetransfer.cc`
            Self::Status { status, .. } => match status {
                408 | 429 => true,
                400..=499 | 501 | 505 | 511 => false,
                _ => true,
            },
            Self::Dns { .. } | Self::Connect { .. } | Self::TimedOut { .. } | Self::Truncated { .. } => true,
            _ => false,
        }
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Offline { .. } => Some("run once without --offline"),
            Self::Dns { .. } => Some("is there a network, and does /etc/resolv.conf name a name server?"),
            Self::Tls { no_roots: true, .. } => Some("install CA certificates, or name a file with --ca-file"),
            Self::HashMismatch { .. } => Some("the file changed on the server, or something on the way altered it"),
            Self::UnknownMirror { .. } => Some("name the archive's base URL with --mirror"),
            Self::Mirrors { tried, .. } => tried.iter().find_map(Self::hint),
            _ => None,
        }
    }

    /// Whether the thing asked for simply is not there, on any mirror.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Status { status: 404 | 410, .. } | Self::NoFile { .. } => true,
            Self::Mirrors { tried, .. } => tried.iter().all(Self::is_not_found),
            _ => false,
        }
    }
}

/// What a server says besides the status, if it is short or meant to be read.
fn shown_body(body: &str) -> String {
    const SHORT_BYTES: usize = 1024;
    if body.is_empty() || (body.len() >= SHORT_BYTES && !body.contains("<html>")) {
        return String::new();
    }
    format!("\n\nresponse body:\n\n{}", body.trim_end())
}

//! What the roof decides about downloads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Files in which Linux distributions keep the CA certificates of the machine, most common first.
pub(crate) const SYSTEM_CA_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/cacert.pem",
];

/// Settings of a [`crate::Fetcher`].
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// Base URLs for `mirror://NAME/…`, by name, tried in order.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a server may send nothing, before and within an answer. A transfer that advances is never cut off.
    pub stall_timeout: Duration,
    /// How often a transfer is tried again after a passing failure. Progress made in between does not reset the count.
    pub retries: u32,
    /// Pause before the first retry; doubles each time, up to [`FetchConfig::retry_pause_max`].
    pub retry_pause: Duration,
    /// Longest pause between retries, also when a server asks for more (`Retry-After`).
    pub retry_pause_max: Duration,
    /// What the client calls itself.
    pub user_agent: String,
    /// Largest accepted body in bytes, where a request names no limit of its own.
    pub max_size_bytes: u64,
    /// How many redirects are followed.
    pub max_redirects: usize,
    /// Refuse to ask the network: only `file://` works.
    pub offline: bool,
    /// Proxies; none by default.
    pub proxies: Proxies,
    /// PEM files with trusted CA certificates. Empty means: the first that exists of the usual places. A machine with
    /// none at all can still fetch over `http` and `file`.
    pub ca_files: Vec<PathBuf>,
}

/// Proxy URLs by the scheme of the request. The roof fills them from the environment or from flags.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://` requests.
    pub http: Option<String>,
    /// For `https://` requests.
    pub https: Option<String>,
    /// Hosts that are reached directly: comma-separated names, suffixes, addresses or networks, as in `no_proxy`.
    pub direct: Option<String>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            retries: 4,
            retry_pause: Duration::from_millis(250),
            retry_pause_max: Duration::from_secs(10),
            user_agent: concat!("nopal/", env!("CARGO_PKG_VERSION")).to_owned(),
            // larger than any source archive or package known; a stop against an endless body
            max_size_bytes: 64 << 30,
            max_redirects: 10,
            offline: false,
            proxies: Proxies::default(),
            ca_files: Vec::new(),
        }
    }
}

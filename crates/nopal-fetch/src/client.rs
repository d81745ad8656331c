//! Setting up the HTTP client: TLS on ring, the machine's CA certificates, proxies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::NoProxy;
use reqwest::blocking::Client;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::SYSTEM_CA_FILES;
use crate::{FetchConfig, FetchError};

/// Largest CA file that is read, in bytes; the Mozilla bundle has about 220 kB.
const MAX_CA_FILE_BYTES: u64 = 16 << 20;

/// The client, and whether it trusts any certificate at all.
#[derive(Debug)]
pub(crate) struct HttpClient {
    pub(crate) client: Client,
    pub(crate) has_roots: bool,
}

pub(crate) fn build(config: &FetchConfig) -> Result<HttpClient, FetchError> {
    let roots = load_roots(&config.ca_files)?;
    let has_roots = !roots.is_empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| setup(&err))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(&config.user_agent)
        .connect_timeout(config.connect_timeout)
        // in the blocking client this bounds each wait (headers, each read), not the transfer as a whole
        .timeout(config.stall_timeout)
        .redirect(reqwest::redirect::Policy::limited(config.max_redirects))
        .referer(false)
        // hashes are over the bytes as stored, so nothing may be decoded on the way
        .no_gzip()
        .no_proxy();
    let direct = config.proxies.direct.as_deref().and_then(NoProxy::from_string);
    if let Some(url) = &config.proxies.http {
        builder = builder.proxy(reqwest::Proxy::http(url).map_err(|err| setup(&err))?.no_proxy(direct.clone()));
    }
    if let Some(url) = &config.proxies.https {
        builder = builder.proxy(reqwest::Proxy::https(url).map_err(|err| setup(&err))?.no_proxy(direct));
    }
    let client = builder.build().map_err(|err| setup(&err))?;
    Ok(HttpClient { client, has_roots })
}

/// Certificates that rustls does not understand are left out: one odd certificate must not make all downloads fail.
fn load_roots(files: &[PathBuf]) -> Result<RootCertStore, FetchError> {
    let mut roots = RootCertStore::empty();
    if files.is_empty() {
        for file in SYSTEM_CA_FILES.map(Path::new) {
            if let Ok(pem) = nopal_fs::read_file_limited(file, MAX_CA_FILE_BYTES) {
                add_pem(&mut roots, &pem);
                if !roots.is_empty() {
                    break;
                }
            }
        }
    }
    for file in files {
        let pem = nopal_fs::read_file_limited(file, MAX_CA_FILE_BYTES).map_err(|err| setup(&err))?;
        if add_pem(&mut roots, &pem) == 0 {
            return Err(FetchError::Setup { reason: format!("{} holds no CA certificate", file.display()) });
        }
    }
    Ok(roots)
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> usize {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    let (added, _ignored) = roots.add_parsable_certificates(certificates);
    added
}

fn setup(err: &(dyn std::error::Error + 'static)) -> FetchError {
    FetchError::Setup { reason: crate::attempt::chain(err) }
}

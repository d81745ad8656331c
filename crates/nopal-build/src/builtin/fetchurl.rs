//! `builtin:fetchurl`: a file (or an archive in NAR form) from the network.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use nopal_fetch::{FetchError, Fetcher, Request};
use nopal_format::{ContentAddressMethod, DerivationOutput, Hash};
use nopal_store::restore_tree;

use super::{BuiltinBuilder, BuiltinContext, BuiltinError};

/// Name of the download before it is unpacked.
const ARCHIVE: &str = "archive";

/// `builtin:fetchurl` as Nix has it: `url`, `executable`, `unpack`; and beside that `urls`, tried in order, and
/// `mirror://NAME/PATH`, looked up in the fetcher's settings.
#[derive(Debug)]
pub struct FetchUrl {
    fetcher: Arc<Fetcher>,
}

impl FetchUrl {
    /// The builder that downloads with `fetcher`.
    pub fn new(fetcher: Arc<Fetcher>) -> Self {
        Self { fetcher }
    }
}

impl BuiltinBuilder for FetchUrl {
    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let output = context.output("out")?;
        let fixed = match context.derivation.outputs.get("out") {
            Some(DerivationOutput::Fixed { ca }) => Some(ca),
            Some(DerivationOutput::Impure { .. }) => None,
            _ => return Err(BuiltinError::new("'builtin:fetchurl' must be a fixed-output or impure derivation")),
        };
        let unpack = context.optional_attribute("unpack")? == Some("1");
        let executable = context.optional_attribute("executable")? == Some("1");
        let urls = urls(context)?;
        // only a flat hash is a hash of the bytes as they come
        let hash = fixed.filter(|ca| ca.method == ContentAddressMethod::Flat && !unpack).map(|ca| ca.hash);
        if !unpack {
            self.fetch(&urls, hash, output)?;
        } else {
            let archive = context.temp_dir.join(ARCHIVE);
            let url = self.fetch(&urls, None, &archive)?;
            unpack_archive(&archive, url.ends_with(".xz"), output)?;
        }
        if executable {
            nopal_fs::set_permissions(output, 0o755).map_err(BuiltinError::caused)?;
        }
        Ok(())
    }
}

impl FetchUrl {
    /// Downloads from the first of the URLs that works; returns it.
    fn fetch<'u>(&self, urls: &[&'u str], hash: Option<Hash>, dest: &Path) -> Result<&'u str, BuiltinError> {
        let mut failures: Vec<FetchError> = Vec::new();
        for url in urls {
            let mut request = Request::new(*url);
            if let Some(hash) = hash {
                request = request.with_hash(hash);
            }
            match self.fetcher.to_file(&request, dest) {
                Ok(_) => return Ok(url),
                Err(error) => failures.push(error),
            }
        }
        match failures.pop() {
            Some(only) if failures.is_empty() => Err(BuiltinError::caused(only)),
            Some(last) => {
                let texts: Vec<String> = failures.iter().chain([&last]).map(ToString::to_string).collect();
                Err(BuiltinError::with_source(texts.join("; "), last))
            }
            None => Err(BuiltinError::new("attribute 'url' missing")),
        }
    }
}

fn urls<'a>(context: &'a BuiltinContext<'_>) -> Result<Vec<&'a str>, BuiltinError> {
    let mut urls: Vec<&str> = context.optional_attribute("url")?.into_iter().collect();
    for url in context.optional_attribute("urls")?.unwrap_or_default().split_ascii_whitespace() {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    Ok(urls)
}

fn unpack_archive(archive: &Path, xz: bool, output: &Path) -> Result<(), BuiltinError> {
    let file = nopal_fs::open_read(archive).map_err(BuiltinError::caused)?;
    let mut reader: Box<dyn Read> =
        if xz { Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)) } else { Box::new(file) };
    restore_tree(&mut reader, output).map_err(BuiltinError::caused)
}

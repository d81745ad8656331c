//! Trees of commits that were in the store once: their hashes, so that they need not be written out to be found again.
//!
//! The file is a list of lines, `KEY HASH`, that grows; it may be deleted at any time.

use std::io::Write as _;

use nopal_eval::host::HostResult;
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, StorePath};

use crate::engine::Shared;
use crate::host::failed;

/// The name of the file in the cache.
const FILE: &str = "fetcher-cache-nopal";

/// The store object of a tree, if it is known and there.
pub(super) fn find(shared: &Shared, key: &str, name: &str) -> HostResult<Option<(StorePath, Hash)>> {
    let file = shared.config.cache_dir.join(FILE);
    let Some(text) = nopal_fs::read_file_if_exists(&file).map_err(failed)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let mut hashes = text.lines().rev().filter_map(|line| line.split_once(' ')).filter(|(found, _)| *found == key);
    let Some(hash) = hashes.find_map(|(_, hash)| Hash::parse_sri(hash).ok()) else { return Ok(None) };
    let address = ContentAddress { method: ContentAddressMethod::Nar, hash };
    let path = shared.config.store_dir.ca_path(name, &address, &Default::default()).map_err(failed)?;
    let Some(store) = shared.existing_source_store().map_err(failed)? else { return Ok(None) };
    store.add_temp_root(&path).map_err(failed)?;
    Ok(store.is_valid(&path).map_err(failed)?.then_some((path, hash)))
}

/// Notes the hash of a tree.
pub(super) fn remember(shared: &Shared, key: &str, hash: &Hash) -> HostResult<()> {
    nopal_fs::create_dir_all(&shared.config.cache_dir).map_err(failed)?;
    let path = shared.config.cache_dir.join(FILE);
    let mut file = nopal_fs::open_append(&path).map_err(failed)?;
    // a line at once: others may append at the same time
    let line = format!("{key} {}\n", hash.sri());
    file.write_all(line.as_bytes()).map_err(|error| failed(nopal_fs::FsError::new("write", &path, error)))
}

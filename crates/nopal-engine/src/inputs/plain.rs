//! Trees that are where their name says: paths, archives, single files.

use std::path::{Path, PathBuf};

use nopal_eval::host::{HostError, HostResult};
use nopal_format::flake::{Attr, Input};
use nopal_fs::{Step, TreeWalk, WalkOptions};

use super::{Source, Tree, invalid, named};
use crate::engine::Shared;
use crate::fetch::Fetch;
use crate::host::failed;

/// The place of a `path` input.
pub(super) fn absolute_path(input: &Input) -> HostResult<PathBuf> {
    let path = input.need("path").map_err(invalid)?;
    if !path.starts_with('/') {
        let shown = input.to_text().map_err(invalid)?;
        return Err(HostError::Failed(format!("cannot fetch input '{shown}' because it uses a relative path")));
    }
    Ok(PathBuf::from(nopal_format::flake::reference::absolute("/", path)))
}

pub(super) fn path(shared: &Shared, input: &Input) -> HostResult<Source> {
    let mut input = input.clone();
    let path = absolute_path(&input)?;
    let (tree, modified) = match in_store(shared, &path)? {
        Some(tree) => (tree, 0),
        None => {
            let physical = shared.paths.locate_target(&path).map_err(failed)?;
            if !nopal_fs::symlink_metadata_if_exists(&physical).is_ok_and(|found| found.is_some()) {
                // Nix has the second slash, too
                return Err(HostError::Failed(format!("path '/{}' does not exist", path.display())));
            }
            let modified = newest(&physical).map_err(failed)?;
            (Tree::Path { root: physical, only: None, temp: None }, modified)
        }
    };
    if input.int("lastModified").map_err(invalid)?.is_none() {
        input.set("lastModified", Attr::Int(modified));
    }
    Ok(Source { input, tree, mount: None, key: None })
}

/// A valid store object by the name that copies have.
fn in_store(shared: &Shared, path: &Path) -> HostResult<Option<Tree>> {
    let text = path.to_string_lossy();
    let Ok(path) = shared.config.store_dir.parse(&text) else { return Ok(None) };
    let Some(store) = shared.existing_source_store().map_err(failed)? else { return Ok(None) };
    store.add_temp_root(&path).map_err(failed)?;
    if path.name() != "source" {
        return Ok(None);
    }
    let info = store.find_path_info(&path).map_err(failed)?;
    Ok(info.map(|info| Tree::Store(info.path, info.nar_hash)))
}

/// When the newest entry of a tree was modified, in seconds since 1970.
fn newest(root: &Path) -> Result<u64, nopal_fs::FsError> {
    let mut walk = TreeWalk::new(root, WalkOptions::default())?;
    let mut newest = 0;
    while let Some(step) = walk.next()? {
        if step != Step::Leave {
            newest = newest.max(walk.stat()?.st_mtime);
        }
    }
    Ok(u64::try_from(newest).unwrap_or(0))
}

pub(super) fn tarball(shared: &Shared, input: &Input) -> HostResult<Source> {
    let mut input = input.clone();
    let mount = named(&input)?;
    let url = input.need("url").map_err(invalid)?.to_owned();
    let fetch = Fetch { shared };
    let (temp, root, newest) = fetch.unpack_to_temp(&fetch.archive(&url)?, &url)?;
    if newest > 0 && !input.attrs().contains_key("lastModified") {
        input.set("lastModified", Attr::Int(newest));
    }
    Ok(Source { input, tree: Tree::Path { root, only: None, temp: Some(temp) }, mount: Some(mount), key: None })
}

pub(super) fn file(shared: &Shared, input: &Input) -> HostResult<Source> {
    let url = input.need("url").map_err(invalid)?;
    let root = Fetch { shared }.download(url, None)?;
    let mount = named(input)?;
    Ok(Source {
        input: input.clone(),
        tree: Tree::Path { root, only: None, temp: None },
        mount: Some(mount),
        key: None,
    })
}

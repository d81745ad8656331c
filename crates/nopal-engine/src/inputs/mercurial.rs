//! Mercurial repositories: the working tree of one beside us, or a commit of one anywhere.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nopal_eval::host::{HostError, HostResult};
use nopal_fetch::mercurial::{Mercurial, MercurialError};
use nopal_format::flake::{Attr, Input, Url};
use nopal_format::hash::sha256;
use nopal_fs::PathLock;

use super::{Source, Tree, invalid, known, named, tolerate_dirty, wants_commit};
use crate::engine::Shared;
use crate::fetch::is_recent;

/// What is fetched where nothing else is said.
const DEFAULT_BRANCH: &str = "default";

fn failed(error: MercurialError) -> HostError {
    HostError::Failed(error.to_string())
}

fn program(shared: &Shared) -> Mercurial {
    Mercurial::new(&shared.config.environment)
}

/// The directory of the repository, if it is on this machine; else its URL.
fn location(input: &Input) -> HostResult<Result<PathBuf, String>> {
    let url = Url::parse(input.need("url").map_err(invalid)?, &mut |_| {}).map_err(invalid)?;
    Ok(if url.scheme == "file" { Ok(url.file_path().map_err(invalid)?.into()) } else { Err(url.to_string()) })
}

/// The working tree that an input means, if it means one.
pub(super) fn source_path(input: &Input) -> HostResult<Option<PathBuf>> {
    Ok(location(input)?.ok().filter(|_| !wants_commit(input)))
}

pub(super) fn fetch(shared: &Shared, input: &Input) -> HostResult<Source> {
    let hg = program(shared);
    match location(input)? {
        Ok(path)
            if !wants_commit(input) && nopal_fs::exists(&path.join(".hg")) && hg.is_dirty(&path).map_err(failed)? =>
        {
            worktree(shared, &hg, input.clone(), path)
        }
        Ok(path) => commit(shared, &hg, input.clone(), path.as_os_str()),
        Err(url) => commit(shared, &hg, input.clone(), url.as_ref()),
    }
}

/// The files of a working tree as they are now.
fn worktree(shared: &Shared, hg: &Mercurial, mut input: Input, path: PathBuf) -> HostResult<Source> {
    tolerate_dirty(shared, format!("Mercurial tree '\"{}\"' is unclean", path.display()))?;
    input.set("ref", hg.branch(&path).map_err(failed)?);
    let only = Some(hg.files(&path).map_err(failed)?);
    let mount = Some(named(&input)?);
    Ok(Source { input, tree: Tree::Path { root: path, only, temp: None }, mount, key: None })
}

/// The tree of a commit.
fn commit(shared: &Shared, hg: &Mercurial, mut input: Input, url: &OsStr) -> HostResult<Source> {
    let rev = input.rev().map_err(invalid)?;
    let reference = input.text("ref").map_err(invalid)?.unwrap_or(DEFAULT_BRANCH).to_owned();
    let copy = update_copy(shared, hg, url, rev.as_deref(), &reference)?;
    let found = hg.commit(&copy, rev.as_deref().unwrap_or(&reference)).map_err(failed)?;
    input.set("rev", found.node.as_str());
    input.set("ref", found.branch);
    input.set("revCount", Attr::Int(found.number));
    let mount = Some(named(&input)?);
    let key = format!("hg:{}", found.node);
    if let Some((path, hash)) = known::find(shared, &key, input.name())? {
        return Ok(Source { input, tree: Tree::Store(path, hash), mount, key: None });
    }
    let temp = shared.temp_dir("hg").map_err(crate::host::failed)?;
    let root = temp.path().join("tree");
    hg.export(&copy, &found.node, &root).map_err(failed)?;
    Ok(Source { input, tree: Tree::Path { root, only: None, temp: Some(temp) }, mount, key: Some(key) })
}

/// The copy of a repository in the cache, with what is asked for.
fn update_copy(
    shared: &Shared,
    hg: &Mercurial,
    url: &OsStr,
    rev: Option<&str>,
    reference: &str,
) -> HostResult<PathBuf> {
    let dir = shared.cache_dir("hg").map_err(crate::host::failed)?;
    let copy = dir.join(sha256(url.as_encoded_bytes()).nix32());
    let _lock = PathLock::acquire(&copy.with_extension("lock")).map_err(crate::host::failed)?;
    // how old a reference is
    let stamp = copy.join(format!(".hg/nopal-fetched-{}", sha256(reference.as_bytes()).nix32()));
    let is_there = match rev {
        Some(rev) => hg.has_commit(&copy, rev),
        None => is_recent(shared, &stamp).map_err(crate::host::failed)?,
    };
    if !is_there {
        hg.update_copy(url, &copy).map_err(failed)?;
        if rev.is_none() {
            nopal_fs::write(&stamp, b"").map_err(crate::host::failed)?;
        }
    }
    Ok(copy)
}

/// Makes Mercurial know of a file that was written into a working tree.
pub(super) fn put_file(shared: &Shared, file: &Path, commit_message: Option<&str>) -> HostResult<()> {
    program(shared).put_file(file, commit_message).map_err(failed)
}

//! Fetching inputs: from attributes that say where a tree is to a store object and attributes that say all about it.
//!
//! The schemes are in the modules below. What is common is here: an input that a lock file has completed is taken from
//! the store if it is there; what was fetched must be what was promised.

mod forge;
mod git;
mod known;
mod mercurial;
mod plain;
pub(crate) mod registry;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nopal_eval::host::{Fetched, HostError, HostResult, Mount};
use nopal_fetch::git::Git;
use nopal_format::flake::input::{FINAL, attrs_to_json};
use nopal_format::flake::{Attr, FlakeError, Input};
use nopal_format::{Hash, StorePath};
use nopal_fs::TempDir;
use nopal_report::Level;
use nopal_store::AddOptions;

use crate::engine::Shared;
use crate::host::failed;

pub(crate) use git::{clone, put_file, source_path};

/// A tree before it is in the store.
enum Tree {
    /// It is there already.
    Store(StorePath, Hash),
    /// A file or directory.
    Path {
        /// Where.
        root: PathBuf,
        /// If not all of it counts: what does, relative to the root. Directories on the way count with it.
        only: Option<BTreeSet<PathBuf>>,
        /// What to remove when it is copied.
        temp: Option<TempDir>,
    },
}

/// What a scheme makes of an input.
struct Source {
    /// The input with all that was found out.
    input: Input,
    /// The tree.
    tree: Tree,
    /// How messages name it.
    mount: Option<Mount>,
    /// By what name to remember the tree, if it is always the same under that name.
    key: Option<String>,
}

/// Turns a refused reference into a failure of the host.
pub(crate) fn invalid(error: FlakeError) -> HostError {
    HostError::Failed(error.to_string())
}

/// Fetches an input into the store.
pub(crate) fn fetch(shared: &Shared, input: &Input) -> HostResult<Fetched> {
    let input = &registry::resolve_for_fetch(shared, input)?;
    if let Some(fetched) = stored(shared, input)? {
        return Ok(fetched);
    }
    let source = match input.kind() {
        "git" => git::fetch(shared, input)?,
        "hg" => mercurial::fetch(shared, input)?,
        "path" => plain::path(shared, input)?,
        "tarball" => plain::tarball(shared, input)?,
        "file" => plain::file(shared, input)?,
        "github" | "gitlab" | "sourcehut" => forge::fetch(shared, input)?,
        "indirect" => {
            let shown = input.to_text().map_err(invalid)?;
            return Err(HostError::Failed(format!("indirect input '{shown}' cannot be fetched directly")));
        }
        _ => {
            let shown = attrs_to_json(input.attrs()).to_compact();
            return Err(HostError::Failed(format!("cannot fetch unsupported input '{shown}'")));
        }
    };
    let Source { input: mut result, tree, mount, key } = source;
    result.set(FINAL, Attr::Bool(true));
    let mut result = check_locks(input, result)?;
    let (store_path, nar_hash) = add(shared, tree, result.name(), mount.as_ref())?;
    if let Some(promised) = input.nar_hash().map_err(invalid)?.filter(|promised| *promised != nar_hash) {
        // in Nix's words, which are the wrong way round but for these two kinds (src/libexpr/paths.cc)
        let right = matches!(input.kind(), "tarball" | "file");
        let (expected, got) = if right { (promised, nar_hash) } else { (nar_hash, promised) };
        return Err(HostError::HashMismatch(format!(
            "NAR hash mismatch in input '{}', expected '{}' but got '{}'",
            input.to_text().map_err(invalid)?,
            expected.sri(),
            got.sri()
        )));
    }
    if let Some(key) = key {
        known::remember(shared, &key, &nar_hash)?;
    }
    result.set("narHash", nar_hash.sri());
    // a single file is named by its hash, too
    let mount = if result.kind() == "file" { Some(named(&result)?) } else { mount };
    Ok(Fetched { store_path, input: Some(result), mount })
}

/// An input that a lock file has completed, if its tree is in the store.
fn stored(shared: &Shared, input: &Input) -> HostResult<Option<Fetched>> {
    if !input.is_final() {
        return Ok(None);
    }
    let Some(path) = input.store_path(&shared.config.store_dir).map_err(invalid)? else { return Ok(None) };
    let Some(store) = shared.existing_source_store().map_err(failed)? else { return Ok(None) };
    store.add_temp_root(&path).map_err(failed)?;
    if !store.is_valid(&path).map_err(failed)? {
        return Ok(None);
    }
    let mut result = input.clone();
    // old lock files have hashes without the padding at the end
    if let Some(hash) = input.nar_hash().map_err(invalid)? {
        result.set("narHash", hash.sri());
    }
    let mount = Some(named(input)?);
    Ok(Some(Fetched { store_path: path, input: Some(result), mount }))
}

/// A mount by the input's URL.
fn named(input: &Input) -> HostResult<Mount> {
    Ok(Mount { shown: format!("«{}»", input.to_text().map_err(invalid)?).into_bytes(), is_worktree: false })
}

/// Fails if what was fetched is not what the input says. The attributes of a completed input stay as they are.
fn check_locks(specified: &Input, result: Input) -> HostResult<Input> {
    let fail = |text: String| Err(HostError::Failed(text));
    if specified.is_final() {
        for (key, value) in specified.attrs() {
            // the hash is compared when the tree is in the store
            if key != "narHash" && result.attrs().get(key).is_some_and(|found| found != value) {
                return fail(format!(
                    "mismatch in field '{key}' of input '{}', got '{}'",
                    attrs_to_json(specified.attrs()).to_compact(),
                    attrs_to_json(result.attrs()).to_compact()
                ));
            }
        }
        return Ok(specified.clone());
    }
    let shown = || result.to_text().unwrap_or_default();
    if let Some(expected) = specified.int("lastModified").map_err(invalid)? {
        let got = result.int("lastModified").map_err(invalid)?;
        if got != Some(expected) {
            let got = got.map_or_else(|| "-1".to_owned(), |got| got.to_string());
            return fail(format!(
                "'lastModified' attribute mismatch in input '{}', expected {expected}, got {got}",
                shown()
            ));
        }
    }
    if let Some(expected) = specified.rev().map_err(invalid)?
        && result.rev().map_err(invalid)?.as_ref() != Some(&expected)
    {
        return fail(format!("'rev' attribute mismatch in input '{}', expected {expected}", shown()));
    }
    if let Some(expected) = specified.int("revCount").map_err(invalid)?
        && result.int("revCount").map_err(invalid)? != Some(expected)
    {
        return fail(format!("'revCount' attribute mismatch in input '{}', expected {expected}", shown()));
    }
    Ok(result)
}

fn add(shared: &Shared, tree: Tree, name: &str, mount: Option<&Mount>) -> HostResult<(StorePath, Hash)> {
    let (root, only, temp) = match tree {
        Tree::Store(path, hash) => return Ok((path, hash)),
        Tree::Path { root, only, temp } => (root, only, temp),
    };
    let shown = mount.map_or_else(|| root.display().to_string(), |mount| String::from_utf8_lossy(&mount.shown).into());
    shared.config.reporter.message(Level::Info, format!("copying '{shown}/' to the store"));
    let store = shared.source_store().map_err(failed)?;
    let options = AddOptions::source(name);
    let info = match only {
        None => store.add_path(&root, &options, None),
        Some(only) => {
            let mut filter = |path: &Path, _| {
                let below = path.strip_prefix(&root).unwrap_or(path);
                Ok(nopal_fetch::git::contains(&only, below))
            };
            store.add_path(&root, &options, Some(&mut filter))
        }
    };
    let info = info.map_err(failed)?;
    if let Some(temp) = temp {
        temp.remove().map_err(failed)?;
    }
    Ok((info.path, info.nar_hash))
}

/// What identifies the tree of an input that was fetched, without its contents being read again; `None` where nothing
/// does.
pub(crate) fn fingerprint(shared: &Shared, input: &Input) -> HostResult<Option<String>> {
    let nar_hash = input.nar_hash().map_err(invalid)?.map(|hash| hash.sri());
    let rev = input.rev().map_err(invalid)?;
    Ok(match input.kind() {
        "git" => git::fingerprint(shared, input)?,
        "path" => nar_hash.map(|hash| format!("path:{hash}")),
        "tarball" => nar_hash.or(rev),
        "github" | "gitlab" | "sourcehut" | "hg" => rev,
        _ => None,
    })
}

/// Shows a warning.
pub(crate) fn warn(shared: &Shared, text: impl AsRef<str>) {
    shared.config.reporter.message(Level::Warning, text.as_ref());
}

/// Whether an input asks for a commit, not for a working tree as it is.
fn wants_commit(input: &Input) -> bool {
    input.attrs().contains_key("ref") || input.attrs().contains_key("rev")
}

/// Fails or warns about a working tree with changes, if the settings say so.
fn tolerate_dirty(shared: &Shared, text: String) -> HostResult<()> {
    let config = &shared.config.flakes;
    if !config.allow_dirty {
        return Err(HostError::Failed(text));
    }
    if config.warn_dirty {
        warn(shared, text);
    }
    Ok(())
}

fn git_program(shared: &Shared) -> Git {
    Git::new(&shared.config.environment)
}

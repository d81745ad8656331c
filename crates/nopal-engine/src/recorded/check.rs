//! Whether the world still gives the answers that an evaluation was given.
//!
//! A file or directory that has the identity it had is taken for unchanged, which costs one system call. Everything else
//! is asked again, of the host that an evaluation would ask, and the answers are compared by their hashes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use nopal_eval::host::{AddPath, FileType, Host, HostError, HostResult};
use nopal_format::StorePath;
use nopal_fs::FileIdentity;

use super::host::choice;
use super::record::{
    Extent, Facts, Kind, PathFacts, TreeFact, answer_digest, contents_digest, digest, listing_digest,
    references_digest, tokens_digest,
};
use super::watch::{Trust, Watch, is_same_tree};
use crate::engine::Shared;
use crate::error::EngineError;
use crate::fetch;
use crate::host::EvalHost;

/// Asks again.
pub(super) struct Checker<'a> {
    shared: &'a Shared,
    host: EvalHost,
    trust: Trust,
    pipe_operators: bool,
    /// Whether identities were found that will make the next check cheaper.
    pub(super) learned: bool,
}

impl<'a> Checker<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, pipe_operators: bool) -> Self {
        // nothing is written only to see whether something has changed
        let host = EvalHost::new(shared.clone(), true);
        Self { shared, host, trust: Trust::from_now(), pipe_operators, learned: false }
    }

    /// Whether all answers are still the same. Identities in `facts` are brought up to date.
    pub(super) fn hold(&mut self, facts: &mut Facts) -> bool {
        self.environment_holds(facts)
            && facts.downloads.iter().all(|file| fetch::is_recent(self.shared, as_path(file)).unwrap_or(false))
            && facts.paths.iter_mut().all(|(path, facts)| self.path_holds(as_path(path), facts))
            && facts.trees.iter_mut().all(|tree| self.tree_holds(tree))
            && self.store_holds(facts).unwrap_or(false)
            && facts.references.iter().all(|(path, before)| {
                answer_digest(&self.host.references(path), |now| references_digest(now)) == *before
            })
    }

    fn environment_holds(&self, facts: &Facts) -> bool {
        facts.environment.iter().all(|(name, before)| {
            let now = self.host.env(name);
            now.map(|value| digest(&[&value])) == *before
        })
    }

    fn path_holds(&mut self, path: &Path, facts: &mut PathFacts) -> bool {
        // below the store directory, names are not where the system would look for them
        let seen = if self.shared.paths.is_in_store(path) { None } else { FileIdentity::of(path).ok().flatten() };
        if let (Some(seen), Some(before)) = (&seen, &facts.identity)
            && seen.to_bytes() == *before
        {
            return facts.kind.is_none_or(|kind| kind == Kind::of_identity(seen));
        }
        if let Some(before) = facts.kind {
            let now = match &seen {
                Some(seen) => Kind::of_identity(seen),
                None => Kind::of_answer(&self.host.file_type(path)),
            };
            if now != before {
                return false;
            }
        }
        let had_identity = facts.identity.take();
        if let Some(before) = facts.contents {
            let answer = self.host.read_file_identified(path);
            facts.identity = self.identity(path, answer.as_ref().ok().and_then(|(_, identity)| identity.as_ref()));
            let now = answer_digest(&answer, |(contents, _)| contents_digest(contents));
            if now != before {
                let Ok((contents, _)) = answer else { return false };
                if facts.tokens.is_none() || tokens_digest(&contents, self.pipe_operators) != facts.tokens {
                    return false;
                }
                facts.contents = Some(now);
            }
        }
        if let Some(before) = facts.listing {
            let answer = self.host.read_dir_identified(path);
            facts.identity = self.identity(path, answer.as_ref().ok().and_then(|(_, identity)| identity.as_ref()));
            if answer_digest(&answer, |(listing, _)| listing_digest(listing)) != before {
                return false;
            }
        }
        self.learned |= facts.identity.is_some() && facts.identity != had_identity;
        facts.target.is_none_or(|before| {
            let answer = self.host.read_link(path);
            answer_digest(&answer, |target| contents_digest(target)) == before
        })
    }

    fn identity(&mut self, path: &Path, identity: Option<&FileIdentity>) -> Option<super::record::Identity> {
        identity.and_then(|identity| self.trust.identity(path, identity))
    }

    fn tree_holds(&mut self, tree: &mut TreeFact) -> bool {
        let path = as_path(&tree.path);
        if tree.entries.as_ref().is_some_and(|entries| is_same_tree(path, entries)) {
            return true;
        }
        let is_plain = self.shared.paths.locate_target(path).is_ok_and(|physical| physical == path);
        let (name, method, algorithm) = (&tree.name[..], tree.method, tree.algorithm);
        let references = &BTreeSet::new();
        let request = AddPath { name, path, method, algorithm, references, expected: None };
        let (added, watch) = match &tree.extent {
            Extent::Whole => {
                let watch = is_plain.then(|| Watch::tree(path));
                (self.host.add_path(&request, None), watch)
            }
            Extent::Chosen(choices) => {
                let mut watch = is_plain.then(|| Watch::root(path));
                let mut expected = choices.iter();
                let mut choosing = |entry: &Path, kind: FileType| -> HostResult<bool> {
                    let before = expected.next().ok_or(HostError::Callback)?;
                    if choice(path, entry, kind, before.is_taken) != *before {
                        return Err(HostError::Callback);
                    }
                    if let (true, Some(watch)) = (before.is_taken, watch.as_mut()) {
                        watch.add(entry);
                    }
                    Ok(before.is_taken)
                };
                let added = self.host.add_path(&request, Some(&mut choosing));
                if expected.next().is_some() {
                    return false;
                }
                (added, watch)
            }
        };
        let is_same = added.is_ok_and(|added| added == tree.store_path);
        let entries = watch.and_then(|watch| watch.end(&mut self.trust));
        if entries.is_some() {
            self.learned = true;
            tree.entries = entries;
        }
        is_same
    }

    /// Whether what must be valid is, and will be for as long as this program runs.
    fn store_holds(&self, facts: &Facts) -> Result<bool, EngineError> {
        for path in facts.objects.iter().filter_map(|(path, contents)| contents.is_none().then_some(path)) {
            if self.host.ensure_path(path).unwrap_or(true) {
                return Ok(false);
            }
        }
        let valid = facts.objects.iter().filter_map(|(path, contents)| Some((path, contents.as_ref()?)));
        let needed: Vec<StorePath> = valid.clone().map(|(path, _)| path).chain(&facts.written).cloned().collect();
        if needed.is_empty() {
            return Ok(true);
        }
        let Some(store) = self.shared.existing_store()? else { return Ok(false) };
        store.add_temp_roots(&needed)?;
        for (path, contents) in valid {
            if store.find_path_info(path)?.is_none_or(|info| info.nar_hash != *contents) {
                return Ok(false);
            }
        }
        Ok(store.valid_of(&facts.written)?.len() == facts.written.len())
    }
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

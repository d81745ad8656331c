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

use super::division::Asked;
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

    /// The questions that have other answers now; `None` if what was written is not there any more. If `first_only`, the
    /// first of them will do. Identities in `facts` are brought up to date.
    pub(super) fn changed(&mut self, facts: &mut Facts, first_only: bool) -> Option<BTreeSet<Asked>> {
        let mut changed = BTreeSet::new();
        let mut note = |asked: Option<Asked>| {
            changed.extend(asked);
            first_only && !changed.is_empty()
        };
        let environment = facts.environment.iter().map(|(name, before)| {
            let now = self.host.env(name).map(|value| digest(&[&value]));
            (now != *before).then(|| Asked::Environment(name.clone()))
        });
        let downloads = facts.downloads.iter().map(|file| {
            let is_recent = fetch::is_recent(self.shared, as_path(file)).unwrap_or(false);
            (!is_recent).then(|| Asked::Data(file.clone()))
        });
        let is_known = environment.chain(downloads).any(&mut note)
            || facts
                .paths
                .iter_mut()
                .any(|(path, facts)| self.path_changes(path, facts).into_iter().map(Some).any(&mut note))
            || facts
                .trees
                .iter_mut()
                .any(|(digest, tree)| note((!self.tree_holds(tree)).then_some(Asked::Tree(*digest))));
        if is_known {
            return Some(changed);
        }
        changed.extend(self.objects_changed(facts).ok()??);
        for (path, before) in &facts.references {
            let now = answer_digest(&self.host.references(path), |now| references_digest(now));
            if now != *before {
                changed.insert(Asked::References(path.clone()));
            }
        }
        Some(changed)
    }

    /// What is not as it was at a path.
    fn path_changes(&mut self, path: &[u8], facts: &mut PathFacts) -> Vec<Asked> {
        let place = as_path(path);
        // below the store directory, names are not where the system would look for them
        let seen = if self.shared.paths.is_in_store(place) { None } else { FileIdentity::of(place).ok().flatten() };
        let mut changes = Vec::new();
        if let Some(before) = facts.kind {
            let now = match &seen {
                Some(seen) => Kind::of_identity(seen),
                None => Kind::of_answer(&self.host.file_type(place)),
            };
            if now != before {
                changes.push(Asked::Kind(path.to_vec()));
            }
        }
        let is_same = seen.is_some_and(|seen| facts.identity == Some(seen.to_bytes()));
        if !is_same && !self.data_holds(place, facts) {
            changes.push(Asked::Data(path.to_vec()));
        }
        changes
    }

    /// Whether what is at a path contains what it did.
    fn data_holds(&mut self, path: &Path, facts: &mut PathFacts) -> bool {
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

    /// Store objects that are not as they were; `None` if what was written is not valid. What is valid will be for as long
    /// as this program runs.
    fn objects_changed(&self, facts: &Facts) -> Result<Option<BTreeSet<Asked>>, EngineError> {
        let mut changed = BTreeSet::new();
        for path in facts.objects.iter().filter_map(|(path, contents)| contents.is_none().then_some(path)) {
            if self.host.ensure_path(path).unwrap_or(true) {
                changed.insert(Asked::Object(path.clone()));
            }
        }
        let valid = facts.objects.iter().filter_map(|(path, contents)| Some((path, contents.as_ref()?)));
        let needed: Vec<StorePath> = valid.clone().map(|(path, _)| path).chain(&facts.written).cloned().collect();
        if needed.is_empty() {
            return Ok(Some(changed));
        }
        let Some(store) = self.shared.existing_store()? else { return Ok(None) };
        store.add_temp_roots(&needed)?;
        for (path, contents) in valid {
            if store.find_path_info(path)?.is_none_or(|info| info.nar_hash != *contents) {
                changed.insert(Asked::Object(path.clone()));
            }
        }
        Ok((store.valid_of(&facts.written)?.len() == facts.written.len()).then_some(changed))
    }
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

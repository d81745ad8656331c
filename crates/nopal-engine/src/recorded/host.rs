//! A host that writes down what it is asked and what it answers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nopal_eval::host::{
    AddPath, ClosureInfo, ClosureRequest, FetchRequest, Fetched, FileType, Filter, Host, HostResult, Message,
    SourceKey, Wanted,
};
use nopal_eval::{Error, Evaluator, Pos, Value};
use nopal_format::{BuiltPath, Derivation, SingleDerivedPath, StorePath};
use nopal_fs::FileIdentity;

use super::record::{
    Choice, Digest, Extent, Facts, Kind, PathFacts, Record, TreeFact, answer_digest, contents_digest, digest,
    listing_digest, references_digest,
};
use super::watch::{Trust, Watch};
use crate::engine::Shared;
use crate::fetch;
use crate::host::EvalHost;

/// Answers as [`EvalHost`] does, and remembers.
pub(super) struct RecordingHost {
    inner: EvalHost,
    shared: Arc<Shared>,
    log: Mutex<Log>,
}

/// Sources that were read as code, by their paths.
pub(super) type Code = BTreeMap<Vec<u8>, Source>;

/// A source that was read as code.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// How often.
    pub(super) readings: usize,
    /// The digest of its tokens, if it stands for the source.
    pub(super) tokens: Option<Digest>,
}

/// What was noted so far.
struct Log {
    facts: Facts,
    messages: Vec<Message>,
    /// How often files were read.
    reads: HashMap<Vec<u8>, usize>,
    /// What others that were written refer to.
    referenced: HashSet<StorePath>,
    trust: Trust,
    /// Whether something was asked that has another answer each time, or failed, or changed meanwhile.
    spoilt: bool,
}

impl RecordingHost {
    /// Notes what happens from now on.
    pub(super) fn new(shared: Arc<Shared>, inner: EvalHost) -> Self {
        let log = Log {
            facts: Facts::default(),
            messages: Vec::new(),
            reads: HashMap::new(),
            referenced: HashSet::new(),
            trust: Trust::from_now(),
            spoilt: false,
        };
        Self { inner, shared, log: Mutex::new(log) }
    }

    /// The host that does the work.
    pub(super) fn inner(&self) -> &EvalHost {
        &self.inner
    }

    /// The record of an evaluation that came to `answer`; `None` if it cannot be answered from a record.
    /// `code` are the sources that the evaluator read as such.
    pub(super) fn finish(&self, answer: Vec<u8>, code: Code) -> Option<Record> {
        let mut log = self.log();
        if log.spoilt {
            return None;
        }
        let messages = std::mem::take(&mut log.messages);
        let mut facts = std::mem::take(&mut log.facts);
        for (path, source) in code {
            // whoever read it besides may have seen its spaces
            if log.reads.get(&path) == Some(&source.readings)
                && let Some(facts) = facts.paths.get_mut(&path)
            {
                facts.tokens = source.tokens;
            }
        }
        for facts in facts.paths.values_mut() {
            // one thing, then another, in the course of the evaluation: an identity is of one of them only
            if [facts.contents, facts.listing, facts.target].iter().flatten().count() > 1 {
                facts.identity = None;
            }
        }
        // what was missing and then written is not missing any more
        facts.objects.retain(|path, contents| contents.is_some() || !facts.written.contains(path));
        facts.written.retain(|path| !log.referenced.contains(path));
        Some(Record { answer, messages, facts })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spoil(&self) {
        self.log().spoilt = true;
    }

    /// Notes the store object that `path` lies in. Says whether it is valid: then nothing in it changes as long as it
    /// stays valid, and what is asked about it needs no note.
    fn is_in_object(&self, path: &Path) -> bool {
        let Some(text) = path.to_str() else { return false };
        match self.shared.config.store_dir.split(text) {
            Ok((object, _)) => self.note_object(&object),
            Err(_) => false,
        }
    }

    /// Notes a store object with the hash of its contents, if it is valid.
    fn note_object(&self, object: &StorePath) -> bool {
        if self.log().facts.objects.get(object).is_some_and(Option::is_some) {
            return true;
        }
        // rooted first: valid then means valid until the evaluation is over
        let info = self.shared.existing_store().and_then(|store| match store {
            Some(store) => {
                store.add_temp_root(object)?;
                Ok(store.find_path_info(object)?)
            }
            None => Ok(None),
        });
        let Ok(Some(info)) = info else { return false };
        self.log().facts.objects.insert(object.clone(), Some(info.nar_hash));
        true
    }

    fn note_path(&self, path: &Path, note: impl FnOnce(&mut PathFacts, &mut Trust) -> bool) {
        let mut log = self.log();
        let log = &mut *log;
        let key = path.as_os_str().as_bytes();
        let facts = match log.facts.paths.get_mut(key) {
            Some(facts) => facts,
            None => log.facts.paths.entry(key.to_vec()).or_default(),
        };
        log.spoilt |= !note(facts, &mut log.trust);
    }

    /// Notes what was written and what it refers to.
    fn note_written<'a>(&self, path: &StorePath, references: impl Iterator<Item = &'a StorePath>) {
        let mut log = self.log();
        log.facts.written.insert(path.clone());
        for reference in references.filter(|reference| *reference != path) {
            if !log.referenced.contains(reference) {
                log.referenced.insert(reference.clone());
            }
        }
    }

    fn note_tree(&self, request: &AddPath<'_>, extent: Extent, watch: Option<Watch>, store_path: &StorePath) {
        let mut log = self.log();
        let entries = watch.and_then(|watch| watch.end(&mut log.trust));
        // only what lies in a store object has any
        log.spoilt |= !request.references.is_empty();
        log.facts.trees.push(TreeFact {
            path: request.path.as_os_str().as_bytes().to_vec(),
            name: request.name.to_owned(),
            method: request.method,
            algorithm: request.algorithm,
            extent,
            store_path: store_path.clone(),
            entries,
        });
    }

    /// Where a source lies, if its name is all that leads there.
    fn is_plain(&self, path: &Path) -> bool {
        self.shared.paths.locate_target(path).is_ok_and(|physical| physical == path)
    }

    /// The path of an output, if it follows from the derivation.
    fn fixed_output(&self, drv: &StorePath, output: &str) -> Option<StorePath> {
        let derivation = self.inner.read_derivation(drv).ok()?;
        let spec = derivation.outputs.get(output)?;
        spec.path(&self.shared.config.store_dir, &derivation.name, output).ok()?
    }

    /// The file that a download without a promised hash is in, if there was one before it was asked for.
    fn download(&self, request: &FetchRequest) -> Option<(PathBuf, FileIdentity)> {
        let url = match request {
            FetchRequest::File { url, sha256: None, .. } | FetchRequest::Tarball { url, sha256: None, .. } => {
                url.clone()
            }
            _ => return None,
        };
        let file = fetch::download_file(&self.shared, &url);
        let identity = FileIdentity::of(&file).ok()??;
        Some((file, identity))
    }

    /// Notes a download that has no promised hash: it is used as long as it is recent. One that was made only now is
    /// not noted: another process may have replaced it since.
    fn note_download(&self, download: Option<(PathBuf, FileIdentity)>) {
        let Some((file, before)) = download else { return self.spoil() };
        match nopal_fs::read_file_identified(&file) {
            Ok((contents, identity)) if identity == before => {
                self.note_path(&file, |facts, trust| {
                    facts.identity = trust.identity(&file, &identity);
                    agree(&mut facts.contents, contents_digest(&contents))
                });
                self.log().facts.downloads.insert(file.as_os_str().as_bytes().to_vec());
            }
            Ok(_) | Err(_) => self.spoil(),
        }
    }
}

/// What a function said of an entry of the tree at `root`.
pub(super) fn choice(root: &Path, path: &Path, kind: FileType, is_taken: bool) -> Choice {
    let below = path.strip_prefix(root).unwrap_or(path);
    Choice { path: below.as_os_str().as_bytes().to_vec(), kind: Kind::of_answer(&Ok(Some(kind))), is_taken }
}

/// Keeps an answer. Says whether the same question had the same answer before.
fn agree<T: PartialEq>(slot: &mut Option<T>, answer: T) -> bool {
    match slot {
        Some(before) => *before == answer,
        None => {
            *slot = Some(answer);
            true
        }
    }
}

// a question that is passed on without a note would be forgotten: every method has to be here
#[deny(clippy::missing_trait_methods)]
impl Host for RecordingHost {
    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>> {
        let in_object = self.is_in_object(path);
        let answer = self.inner.file_type(path);
        if !in_object {
            self.note_path(path, |facts, _| agree(&mut facts.kind, Kind::of_answer(&answer)));
        }
        answer
    }

    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        if self.is_in_object(path) {
            return self.inner.read_file(path);
        }
        let answer = self.inner.read_file_identified(path);
        *self.log().reads.entry(path.as_os_str().as_bytes().to_vec()).or_default() += 1;
        self.note_path(path, |facts, trust| {
            let identity = answer.as_ref().ok().and_then(|(_, identity)| identity.as_ref());
            facts.identity = identity.and_then(|identity| trust.identity(path, identity));
            agree(&mut facts.contents, answer_digest(&answer, |(contents, _)| contents_digest(contents)))
        });
        Ok(answer?.0)
    }

    fn read_dir(&self, path: &Path) -> HostResult<Vec<(Vec<u8>, FileType)>> {
        if self.is_in_object(path) {
            return self.inner.read_dir(path);
        }
        let answer = self.inner.read_dir_identified(path);
        self.note_path(path, |facts, trust| {
            let identity = answer.as_ref().ok().and_then(|(_, identity)| identity.as_ref());
            facts.identity = identity.and_then(|identity| trust.identity(path, identity));
            agree(&mut facts.listing, answer_digest(&answer, |(listing, _)| listing_digest(listing)))
        });
        Ok(answer?.0)
    }

    fn read_link(&self, path: &Path) -> HostResult<Vec<u8>> {
        let in_object = self.is_in_object(path);
        let answer = self.inner.read_link(path);
        if !in_object {
            self.note_path(path, |facts, _| {
                agree(&mut facts.target, answer_digest(&answer, |target| contents_digest(target)))
            });
        }
        answer
    }

    fn add_path(&self, request: &AddPath<'_>, filter: Option<Filter<'_>>) -> HostResult<StorePath> {
        let in_object = self.is_in_object(request.path);
        let is_watched = !in_object && self.is_plain(request.path);
        let mut watch = is_watched.then(|| match filter {
            None => Watch::tree(request.path),
            Some(_) => Watch::root(request.path),
        });
        let mut extent = Extent::Whole;
        let answer = match filter {
            None => self.inner.add_path(request, None),
            Some(filter) => {
                let mut choices = Vec::new();
                let mut choosing = |path: &Path, kind: FileType| -> HostResult<bool> {
                    let is_taken = filter(path, kind)?;
                    if let (true, Some(watch)) = (is_taken, watch.as_mut()) {
                        watch.add(path);
                    }
                    choices.push(choice(request.path, path, kind, is_taken));
                    Ok(is_taken)
                };
                let answer = self.inner.add_path(request, Some(&mut choosing));
                extent = Extent::Chosen(choices);
                answer
            }
        };
        match &answer {
            Ok(store_path) => {
                if !in_object {
                    self.note_tree(request, extent, watch, store_path);
                }
                if !self.inner.is_read_only() {
                    self.note_written(store_path, std::iter::empty());
                }
            }
            Err(_) => self.spoil(),
        }
        answer
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> HostResult<StorePath> {
        let answer = self.inner.add_text(name, contents, references);
        match &answer {
            Ok(path) if !self.inner.is_read_only() => self.note_written(path, references.iter()),
            Ok(_) => {}
            Err(_) => self.spoil(),
        }
        answer
    }

    fn add_derivation(&self, path: &StorePath, derivation: &Derivation, text: &[u8]) -> HostResult<()> {
        if !self.inner.is_read_only() {
            self.note_written(path, derivation.input_drvs.keys().chain(&derivation.input_srcs));
        }
        self.inner.add_derivation(path, derivation, text)
    }

    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        if !self.inner.has_made(path) && !self.note_object(path) {
            self.spoil();
        }
        self.inner.read_derivation(path)
    }

    fn ensure_path(&self, path: &StorePath) -> HostResult<bool> {
        let answer = self.inner.ensure_path(path);
        match &answer {
            Ok(true) if self.note_object(path) => {}
            // what becomes valid later in this evaluation is noted as such then
            Ok(false) => {
                self.log().facts.objects.entry(path.clone()).or_insert(None);
            }
            Ok(true) | Err(_) => self.spoil(),
        }
        answer
    }

    fn realise(&self, wanted: &[Wanted]) -> HostResult<Vec<StorePath>> {
        let answer = self.inner.realise(wanted);
        let Ok(found) = &answer else {
            self.spoil();
            return answer;
        };
        for (item, path) in wanted.iter().zip(found) {
            let is_known = match item {
                Wanted::Path(_) => true,
                Wanted::Output(BuiltPath { drv: SingleDerivedPath::Opaque(drv), output }) => {
                    self.fixed_output(drv, output).as_ref() == Some(path)
                }
                Wanted::Output(_) => false,
            };
            if !is_known || !self.note_object(path) {
                self.spoil();
            }
        }
        answer
    }

    /// What a build gave is not fixed by anything that is noted.
    fn known_output(&self, built: &BuiltPath) -> HostResult<Option<StorePath>> {
        self.spoil();
        self.inner.known_output(built)
    }

    fn fetch_closure(&self, request: &ClosureRequest<'_>) -> HostResult<StorePath> {
        self.spoil();
        self.inner.fetch_closure(request)
    }

    fn closure_info(&self, path: &StorePath) -> HostResult<ClosureInfo> {
        self.spoil();
        self.inner.closure_info(path)
    }

    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        let answer = self.inner.references(path);
        let digest = answer_digest(&answer, |references| references_digest(references));
        let mut log = self.log();
        let before = log.facts.references.insert(path.clone(), digest);
        log.spoilt |= before.is_some_and(|before| before != digest);
        answer
    }

    fn fetch(&self, request: &FetchRequest) -> HostResult<Fetched> {
        let download = self.download(request);
        let answer = self.inner.fetch(request);
        let Ok(fetched) = &answer else {
            self.spoil();
            return answer;
        };
        match request {
            FetchRequest::File { sha256: Some(_), .. } | FetchRequest::Tarball { sha256: Some(_), .. } => {}
            FetchRequest::File { .. } | FetchRequest::Tarball { .. } => self.note_download(download),
            // what trees depend on, only those know who fetch them
            FetchRequest::Tree(_) => self.spoil(),
        }
        if !self.note_object(&fetched.store_path) {
            self.spoil();
        }
        answer
    }

    fn get_flake(&self, evaluator: &mut Evaluator, reference: &str, pos: Pos) -> Result<Value, Error> {
        // inputs are locked and fetched without a question to the host
        self.spoil();
        self.inner.get_flake(evaluator, reference, pos)
    }

    fn flake_tree(&self, evaluator: &mut Evaluator, reference: &str) -> Result<StorePath, Error> {
        self.spoil();
        self.inner.flake_tree(evaluator, reference)
    }

    // the same source is parsed to the same tree
    fn parsed(&self, key: &SourceKey) -> Option<Vec<u8>> {
        self.inner.parsed(key)
    }

    fn keep_parsed(&self, key: SourceKey, packed: Vec<u8>) {
        self.inner.keep_parsed(key, packed);
    }

    fn env(&self, name: &[u8]) -> Option<Vec<u8>> {
        let answer = self.inner.env(name);
        let value = answer.as_ref().map(|value| digest(&[value]));
        self.log().facts.environment.insert(name.to_vec(), value);
        answer
    }

    fn now(&self) -> i64 {
        self.spoil();
        self.inner.now()
    }

    /// Only what observes an evaluation asks for it; no program sees it.
    fn now_ns(&self) -> u64 {
        self.inner.now_ns()
    }

    fn emit(&self, message: Message) {
        self.log().messages.push(message.clone());
        self.inner.emit(message);
    }

    fn path_from_hash_part(&self, hash_part: &str) -> HostResult<Option<StorePath>> {
        // only the command line asks this, which no record answers
        self.spoil();
        self.inner.path_from_hash_part(hash_part)
    }
}

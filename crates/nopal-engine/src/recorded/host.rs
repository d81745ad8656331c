//! A host that writes down what it is asked and what it answers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nopal_eval::host::{
    AddPath, ClosureInfo, ClosureRequest, FetchRequest, Fetched, FileType, Filter, Host, HostResult, Listing, Message,
    SourceKey, Wanted,
};
use nopal_eval::uses::{self, Parts, Uses};
use nopal_eval::{Error, Evaluator, Pos, Value};
use nopal_format::derivation::Instantiated;
use nopal_format::{BuiltPath, Derivation, SingleDerivedPath, StorePath};
use nopal_fs::FileIdentity;

use super::division::{Asked, Division, Numbers, Part, Rest};
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
    /// Which answers are used, if the answer may be kept in parts.
    uses: Option<Arc<Uses>>,
    /// Whether messages are kept back, because all may have to be evaluated again.
    is_silent: bool,
}

/// What an evaluation showed, and the parts that it was made of.
pub(super) struct Ending {
    messages: Vec<Message>,
    /// Their numbers.
    order: Vec<u32>,
    /// The parts, if they can be answered one by one.
    division: Option<Division>,
    /// How many of them were evaluated.
    pub(super) anew: usize,
    /// Whether nothing tells which messages are to be shown.
    pub(super) is_ambiguous: bool,
}

impl Ending {
    /// How many parts there are.
    pub(super) fn parts(&self) -> usize {
        self.division.as_ref().map_or(0, |division| division.parts.len())
    }
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
    /// What was in directories.
    listings: HashMap<Vec<u8>, Listing>,
    /// What others that were written refer to.
    referenced: HashSet<StorePath>,
    trust: Trust,
    numbers: Numbers,
    /// What was asked before the first part was begun.
    base: BTreeSet<u32>,
    /// Parts of an earlier answer that are still good.
    parts: BTreeMap<Vec<u8>, Part>,
    /// How many of the messages and numbers are of that.
    old_messages: usize,
    old_numbers: usize,
    /// Sources in whose facts from an earlier evaluation tokens do not stand for the source.
    seen_as_text: BTreeSet<Vec<u8>>,
    /// Whether something was asked that has another answer each time, or failed, or changed meanwhile.
    spoilt: bool,
}

impl RecordingHost {
    /// Notes what happens from now on; with `rest`, which is left of an earlier evaluation, in order to go on from there.
    pub(super) fn new(shared: Arc<Shared>, inner: EvalHost, rest: Option<Rest>) -> Self {
        let is_silent = rest.is_some();
        let Rest { facts, messages, numbers, base, parts } = rest.unwrap_or_default();
        let is_seen_as_text = |facts: &PathFacts| facts.contents.is_some() && facts.tokens.is_none();
        let seen_as_text = facts.paths.iter().filter(|(_, facts)| is_seen_as_text(facts)).map(|(path, _)| path.clone());
        let log = Log {
            seen_as_text: seen_as_text.collect(),
            facts,
            old_messages: messages.len(),
            old_numbers: numbers.list.len(),
            messages,
            reads: HashMap::new(),
            listings: HashMap::new(),
            referenced: HashSet::new(),
            trust: Trust::from_now(),
            numbers,
            base,
            parts,
            spoilt: false,
        };
        let config = &shared.config;
        // where there are several threads, or what may be read depends on what was, nothing tells parts from each other
        let is_divisible = config.eval_threads <= 1 && !config.pure_eval && !config.restrict_eval;
        let uses = is_divisible.then(Arc::default);
        Self { inner, shared, log: Mutex::new(log), uses, is_silent }
    }

    /// The host that does the work.
    pub(super) fn inner(&self) -> &EvalHost {
        &self.inner
    }

    /// The parts that need not be evaluated.
    pub(super) fn known_parts(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.log().parts.iter().map(|(name, part)| (name.clone(), part.answer.clone())).collect()
    }

    /// Ends the evaluation of an answer that is made of `parts`, if it has some.
    pub(super) fn end(&self, parts: Parts) -> Ending {
        let mut log = self.log();
        let log = &mut *log;
        let anew = parts.found.iter().filter(|part| part.evaluated.is_some()).count();
        let Some(division) = self.division(log, parts) else {
            let messages = log.messages.split_off(log.old_messages);
            return Ending { messages, order: Vec::new(), division: None, anew, is_ambiguous: self.is_silent };
        };
        let order = division.messages(|number| log.numbers.message(number));
        // those of the base come first
        let of_base = log.base.iter().filter(|number| log.numbers.message(**number).is_some()).count();
        // A text that both a part shows which was evaluated and one which was not: is it one message or two? Only who
        // evaluates everything knows.
        let of_parts = || order[of_base..].iter().map(|message| *message as usize);
        let old: HashSet<&Message> =
            of_parts().filter(|at| *at < log.old_messages).map(|at| &log.messages[at]).collect();
        let is_ambiguous = of_parts().any(|at| at >= log.old_messages && old.contains(&log.messages[at]));
        let messages = order.iter().map(|message| log.messages[*message as usize].clone()).collect();
        Ending { messages, order, division: Some(division), anew, is_ambiguous }
    }

    /// Shows what was kept back.
    pub(super) fn show(&self, ending: &Ending) {
        if self.is_silent {
            ending.messages.iter().for_each(|message| self.inner.emit(message.clone()));
        }
    }

    /// The parts with what they depend on; `None` if they cannot be answered one by one.
    fn division(&self, log: &mut Log, parts: Parts) -> Option<Division> {
        let uses = self.uses.as_ref()?;
        if parts.found.len() < 2 {
            return None;
        }
        let part = |uses::Part { name, evaluated }| match evaluated {
            Some((answer, set)) => Some(Part { name, answer, uses: uses.answers(set) }),
            None => log.parts.remove(&name),
        };
        let parts = parts.found.into_iter().map(part).collect::<Option<_>>()?;
        Some(Division { base: log.base.iter().copied().collect(), parts })
    }

    /// The record of an evaluation that came to `answer` and ended so; `None` if it cannot be answered from a record.
    /// `code` are the sources that the evaluator read as such.
    pub(super) fn record(&self, answer: Vec<u8>, code: &Code, ending: Ending) -> Option<Record> {
        let mut log = self.log();
        let log = &mut *log;
        if log.spoilt {
            return None;
        }
        let mut facts = std::mem::take(&mut log.facts);
        if let Some(division) = &ending.division {
            // what only parts depended on that were evaluated again
            let used = division.used();
            let old = log.numbers.list[..log.old_numbers].iter().zip(0..);
            old.filter(|(_, number)| !used.contains(number)).for_each(|(asked, _)| facts.remove(asked));
        }
        for (path, readings) in &log.reads {
            if let Some(facts) = facts.paths.get_mut(path) {
                // whoever read it besides may have seen its spaces
                let source = code.get(path).filter(|source| source.readings == *readings);
                facts.tokens = source.filter(|_| !log.seen_as_text.contains(path)).and_then(|source| source.tokens);
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
        let mut record = Record { answer, messages: ending.messages, facts, division: None };
        if let Some(mut division) = ending.division {
            let again: HashMap<u32, u32> = ending.order.into_iter().zip(0..).collect();
            let numbers: HashMap<Asked, u32> = record.asked().into_iter().zip(0..).collect();
            let number = |asked: &Asked| match asked {
                Asked::Message(message) => numbers.get(&Asked::Message(*again.get(message)?)).copied(),
                _ => numbers.get(asked).copied(),
            };
            let numbers: Vec<Option<u32>> = log.numbers.list.iter().map(number).collect();
            division.renumber(|old| numbers[old as usize]);
            record.division = Some(division);
        }
        Some(record)
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
        self.note_use(&Asked::Object(object.clone()));
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

    /// What is being evaluated depends on the answer to this question.
    fn note_use(&self, asked: &Asked) {
        let Some(uses) = &self.uses else { return };
        let mut log = self.log();
        let number = log.numbers.of(asked);
        if uses.is_on() {
            uses.add(number);
        } else {
            log.base.insert(number);
        }
    }

    fn note_kind(&self, path: &Path, answer: &HostResult<Option<FileType>>) {
        self.note_use(&Asked::Kind(path.as_os_str().as_bytes().to_vec()));
        self.note_path(path, |facts, _| agree(&mut facts.kind, Kind::of_answer(answer)));
    }

    fn note_data(&self, path: &Path, note: impl FnOnce(&mut PathFacts, &mut Trust) -> bool) {
        self.note_use(&Asked::Data(path.as_os_str().as_bytes().to_vec()));
        self.note_path(path, note);
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
        let tree = TreeFact {
            path: request.path.as_os_str().as_bytes().to_vec(),
            name: request.name.to_owned(),
            method: request.method,
            algorithm: request.algorithm,
            extent,
            store_path: store_path.clone(),
            entries,
        };
        let digest = tree.digest();
        log.facts.trees.insert(digest, tree);
        drop(log);
        self.note_use(&Asked::Tree(digest));
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
                self.note_data(&file, |facts, trust| {
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
            self.note_kind(path, &answer);
        }
        answer
    }

    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        if self.is_in_object(path) {
            return self.inner.read_file(path);
        }
        let answer = self.inner.read_file_identified(path);
        *self.log().reads.entry(path.as_os_str().as_bytes().to_vec()).or_default() += 1;
        self.note_data(path, |facts, trust| {
            let identity = answer.as_ref().ok().and_then(|(_, identity)| identity.as_ref());
            facts.identity = identity.and_then(|identity| trust.identity(path, identity));
            agree(&mut facts.contents, answer_digest(&answer, |(contents, _)| contents_digest(contents)))
        });
        Ok(answer?.0)
    }

    fn read_dir(&self, path: &Path) -> HostResult<Listing> {
        if self.is_in_object(path) {
            return self.inner.read_dir(path);
        }
        let answer = self.inner.read_dir_identified(path);
        if let Ok((listing, _)) = &answer {
            let key = path.as_os_str().as_bytes().to_vec();
            let before = self.log().listings.insert(key.clone(), listing.clone());
            if before.is_some_and(|before| Arc::ptr_eq(&before, listing)) {
                // it is noted, but not that it is used here
                self.note_use(&Asked::Data(key));
                return Ok(listing.clone());
            }
        }
        self.note_data(path, |facts, trust| {
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
            self.note_data(path, |facts, _| {
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

    fn add_derivation(&self, derivation: &Derivation, made: &Instantiated<'_>) -> HostResult<()> {
        if !self.inner.is_read_only() {
            self.note_written(&made.path, derivation.input_drvs.keys().chain(&derivation.input_srcs));
        }
        self.inner.add_derivation(derivation, made)
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
                self.note_use(&Asked::Object(path.clone()));
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
        self.note_use(&Asked::References(path.clone()));
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
        self.note_use(&Asked::Environment(name.to_vec()));
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
        let number = {
            let mut log = self.log();
            log.messages.push(message.clone());
            log.messages.len() as u32 - 1
        };
        if let Some(uses) = &self.uses {
            uses.begin_with_message();
        }
        self.note_use(&Asked::Message(number));
        if !self.is_silent {
            self.inner.emit(message);
        }
    }

    fn uses(&self) -> Option<Arc<Uses>> {
        self.uses.clone()
    }

    fn path_from_hash_part(&self, hash_part: &str) -> HostResult<Option<StorePath>> {
        // only the command line asks this, which no record answers
        self.spoil();
        self.inner.path_from_hash_part(hash_part)
    }
}

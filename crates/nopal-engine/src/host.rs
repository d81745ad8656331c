//! The host that evaluation runs on: the file system, the store, the downloader, builds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use nopal_eval::host::{
    AddPath, ClosureInfo, ClosureRequest, FetchRequest, Fetched, FileType, Filter, Host, HostError, HostResult,
    Message, SourceKey, Wanted as EvalWanted,
};
use nopal_eval::{Error, Evaluator, Pos, Value};
use nopal_format::derivation::DrvHashes;
use nopal_format::flake::Input;
use nopal_format::{BuiltPath, Derivation, StorePath};
use nopal_fs::{EntryKind, FileIdentity, FsError};
use nopal_report::Level;
use nopal_store::{AddOptions, Direction, Stopped, TextToAdd, path_of_source};

use crate::closure;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::fetch;
use crate::realise::{RealiseOptions, Wanted};

/// Names in a directory and what they are.
pub(crate) type Listing = Vec<(Vec<u8>, FileType)>;

/// One evaluation's view of the machine.
pub(crate) struct EvalHost {
    shared: Arc<Shared>,
    /// Whether store writes are only computed.
    read_only: bool,
    made: Mutex<Made>,
    /// Held by the thread that writes to the store: what one has taken to write, others may refer to.
    writing: Mutex<()>,
    /// Trees fetched so far: within an evaluation an input does not change.
    fetched: Mutex<BTreeMap<Input, Fetched>>,
}

/// What an evaluation made.
#[derive(Default)]
struct Made {
    /// Derivations and texts in order of creation, not written yet: they go to the store together, in one transaction.
    pending: Vec<TextToAdd>,
    /// Texts of derivations, whether written or not; import from derivation and `storePath` read them.
    derivations: BTreeMap<StorePath, Arc<[u8]>>,
}

impl EvalHost {
    pub(crate) fn new(shared: Arc<Shared>, read_only: bool) -> Self {
        Self { shared, read_only, made: Mutex::default(), writing: Mutex::default(), fetched: Mutex::default() }
    }

    /// Writes what evaluation made and has not been written.
    pub(crate) fn flush(&self) -> Result<(), EngineError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = std::mem::take(&mut self.made().pending);
        if pending.is_empty() {
            return Ok(());
        }
        self.shared.source_store()?.add_texts(&pending)?;
        Ok(())
    }

    /// The store that has a path: that of sources, or that of what is built.
    fn store_of(&self, path: &StorePath) -> HostResult<&nopal_store::Store> {
        let sources = self.shared.source_store().map_err(failed)?;
        match sources.is_valid(path).map_err(failed)? {
            true => Ok(sources),
            false => self.shared.store().map_err(failed),
        }
    }

    /// Fails if the store for derivations takes none.
    fn open_for_writing(&self) -> HostResult<()> {
        match &self.shared.config.closed_store {
            None => Ok(()),
            Some(uri) => Err(HostError::Failed(format!("operation 'addToStore' is not supported by store '{uri}'"))),
        }
    }

    /// Fetches trees again that were fetched before.
    pub(crate) fn forget_trees(&self) {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether store writes are only computed.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether this evaluation made the derivation.
    pub(crate) fn has_made(&self, path: &StorePath) -> bool {
        self.made().derivations.contains_key(path)
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents of a file, with its identity where its name alone leads to it.
    pub(crate) fn read_file_identified(&self, path: &Path) -> HostResult<(Vec<u8>, Option<FileIdentity>)> {
        let physical = self.shared.paths.locate_target(path).map_err(fs_error)?;
        let (contents, identity) = nopal_fs::read_file_identified(&physical).map_err(fs_error)?;
        let is_plain = physical == path && identity.kind() == EntryKind::File;
        Ok((contents, is_plain.then_some(identity)))
    }

    /// The names in a directory with their types, and its identity where its name alone leads to it.
    pub(crate) fn read_dir_identified(&self, path: &Path) -> HostResult<(Listing, Option<FileIdentity>)> {
        let physical = self.shared.paths.locate_target(path).map_err(fs_error)?;
        let (entries, identity) = nopal_fs::read_dir_identified(&physical).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotADirectory => {
                HostError::Failed(format!("cannot read directory \"{}\": Not a directory", path.display()))
            }
            _ => fs_error(error),
        })?;
        let entries = entries.into_iter().map(|entry| (entry.name.into_vec(), file_type(entry.kind, false)));
        Ok((entries.collect(), (physical == path).then_some(identity)))
    }
}

impl Drop for EvalHost {
    fn drop(&mut self) {
        if let Some(parsed) = &self.shared.parsed {
            parsed.save();
        }
    }
}

/// A failed file operation as evaluation words it.
fn fs_error(error: FsError) -> HostError {
    if error.is_not_found() { HostError::NotFound(error.path().to_owned()) } else { failed(error) }
}

pub(crate) fn failed(error: impl Into<EngineError>) -> HostError {
    let error = error.into();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        cause = inner.source();
    }
    HostError::Failed(text)
}

impl Host for EvalHost {
    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>> {
        let physical = self.shared.paths.locate(path).map_err(fs_error)?;
        match nopal_fs::symlink_metadata_if_exists(&physical) {
            Ok(None) => Ok(None),
            Ok(Some(metadata)) => {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                Ok(Some(file_type(metadata.file_type().into(), executable)))
            }
            // a path through a file does not exist; that is no failure
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(fs_error(error)),
        }
    }

    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        Ok(self.read_file_identified(path)?.0)
    }

    fn read_dir(&self, path: &Path) -> HostResult<Listing> {
        Ok(self.read_dir_identified(path)?.0)
    }

    fn read_link(&self, path: &Path) -> HostResult<Vec<u8>> {
        let physical = self.shared.paths.locate(path).map_err(fs_error)?;
        Ok(nopal_fs::read_link(&physical).map_err(fs_error)?.into_os_string().into_vec())
    }

    fn add_path(&self, request: &AddPath<'_>, filter: Option<Filter<'_>>) -> HostResult<StorePath> {
        let physical = self.shared.paths.locate(request.path).map_err(fs_error)?;
        let options = AddOptions {
            name: request.name.to_owned(),
            method: request.method,
            algorithm: request.algorithm,
            references: request.references.clone(),
        };
        let mut callback_error = None;
        let logical_root = request.path;
        let mut adapted = filter.map(|filter| {
            let callback_error = &mut callback_error;
            let physical = &physical;
            move |path: &Path, kind: EntryKind| {
                let below = path.strip_prefix(physical).unwrap_or(path);
                filter(&logical_root.join(below), file_type(kind, false)).map_err(|error| {
                    *callback_error = Some(error);
                    Stopped
                })
            }
        });
        let adapted = adapted.as_mut().map(|filter| filter as &mut nopal_store::EntryFilter<'_>);
        let added = if self.read_only {
            path_of_source(&self.shared.config.store_dir, &physical, &options, adapted)
        } else {
            self.open_for_writing()?;
            self.shared.source_store().map_err(failed)?.add_path(&physical, &options, adapted)
        };
        if let Some(error) = callback_error {
            return Err(error);
        }
        let info = added.map_err(failed)?;
        if let (Some(expected), Some(got)) = (&request.expected, info.ca.as_ref().map(|ca| &ca.hash))
            && expected != got
        {
            return Err(HostError::HashMismatch(format!(
                "hash mismatch in path '{}':\n  specified: {}\n  got:       {}",
                request.path.display(),
                expected.sri(),
                got.sri()
            )));
        }
        Ok(info.path)
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> HostResult<StorePath> {
        let references: BTreeSet<StorePath> = references.iter().cloned().collect();
        let path = self.shared.config.store_dir.text_path(name, contents, &references).map_err(failed)?;
        if !self.read_only {
            self.open_for_writing()?;
            self.made().pending.push(TextToAdd { name: name.to_owned(), contents: contents.into(), references });
            // such a path may be read in the same evaluation
            self.flush().map_err(failed)?;
        }
        Ok(path)
    }

    fn add_derivation(&self, path: &StorePath, derivation: &Derivation, text: &[u8]) -> HostResult<()> {
        let mut made = self.made();
        let text: Arc<[u8]> = text.into();
        let known = made.derivations.insert(path.clone(), text.clone());
        if known.is_none() && !self.read_only {
            self.open_for_writing()?;
            let name = path.name().to_owned();
            made.pending.push(TextToAdd { name, contents: text, references: derivation.references() });
        }
        Ok(())
    }

    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        let made = self.made().derivations.get(path).cloned();
        match made {
            Some(text) => self.shared.parse_derivation(path, &text).map_err(failed),
            None => self.shared.read_derivation(path).map_err(failed),
        }
    }

    fn ensure_path(&self, path: &StorePath) -> HostResult<bool> {
        self.flush().map_err(failed)?;
        let stores = [self.shared.existing_source_store(), self.shared.existing_store()];
        for store in stores {
            let Some(store) = store.map_err(failed)? else { continue };
            store.add_temp_root(path).map_err(failed)?;
            if store.is_valid(path).map_err(failed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn realise(&self, wanted: &[EvalWanted]) -> HostResult<Vec<StorePath>> {
        self.flush().map_err(failed)?;
        let mut found = Vec::with_capacity(wanted.len());
        for item in wanted {
            match item {
                EvalWanted::Path(path) => found.push(path.clone()),
                EvalWanted::Output(BuiltPath { drv, output }) => {
                    let drv_path = self.shared.obtain(drv).map_err(failed)?;
                    let want =
                        Wanted { drv_path, outputs: vec![output.clone()], output: String::new(), attr: String::new() };
                    let built = self.shared.realise(&[want], &RealiseOptions::default()).map_err(failed)?;
                    let path = built.iter().flat_map(|built| &built.outputs).find(|(name, _)| name == output);
                    let (_, path) =
                        path.ok_or_else(|| HostError::Failed(format!("derivation '{drv}' has no output '{output}'")))?;
                    found.push(path.clone());
                }
            }
        }
        Ok(found)
    }

    fn known_output(&self, built: &BuiltPath) -> HostResult<Option<StorePath>> {
        self.flush().map_err(failed)?;
        let Some(store) = self.shared.existing_store().map_err(failed)? else { return Ok(None) };
        store.known_output(built, &mut DrvHashes::new()).map_err(failed)
    }

    fn closure_info(&self, path: &StorePath) -> HostResult<ClosureInfo> {
        let store = self.store_of(path)?;
        let closure = store.closure(std::slice::from_ref(path), Direction::References).map_err(failed)?;
        let info = store.path_info(path).map_err(failed)?;
        let is_content_addressed = info.is_content_addressed(store.store_dir());
        Ok(ClosureInfo { closure, is_content_addressed })
    }

    fn fetch_closure(&self, request: &ClosureRequest<'_>) -> HostResult<StorePath> {
        closure::fetch(&self.shared, request).map_err(failed)
    }

    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        self.flush().map_err(failed)?;
        let store = self.store_of(path)?;
        Ok(store.references(path).map_err(failed)?.into_iter().collect())
    }

    fn fetch(&self, request: &FetchRequest) -> HostResult<Fetched> {
        let FetchRequest::Tree(input) = request else { return fetch::fetch(&self.shared, request) };
        let fetched = || self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fetched().get(input) {
            return Ok(known.clone());
        }
        let found = fetch::fetch(&self.shared, request)?;
        fetched().insert(input.clone(), found.clone());
        Ok(found)
    }

    fn get_flake(&self, evaluator: &mut Evaluator, reference: &str, pos: Pos) -> Result<Value, Error> {
        crate::flake::get_flake(evaluator, &self.shared, reference, pos)
    }

    fn flake_tree(&self, evaluator: &mut Evaluator, reference: &str) -> Result<StorePath, Error> {
        crate::flake::tree(evaluator, &self.shared, reference)
    }

    fn parsed(&self, key: &SourceKey) -> Option<Vec<u8>> {
        self.shared.parsed.as_ref()?.get(key)
    }

    fn keep_parsed(&self, key: SourceKey, packed: Vec<u8>) {
        if let Some(parsed) = &self.shared.parsed {
            parsed.put(key, packed);
        }
    }

    fn env(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.shared.config.environment.get(OsStr::from_bytes(name)).map(|value| value.as_bytes().to_vec())
    }

    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    fn now_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn emit(&self, message: Message) {
        let (level, text) = match message {
            // complete with its prefix
            Message::Trace(text) | Message::Report(text) => (Level::Notice, text),
            Message::Warning(text) => (Level::Warning, text),
        };
        self.shared.config.reporter.message(level, String::from_utf8_lossy(&text).trim_end_matches('\n'));
    }

    fn path_from_hash_part(&self, hash_part: &str) -> HostResult<Option<StorePath>> {
        match self.shared.existing_store().map_err(failed)? {
            Some(store) => store.path_from_hash_part(hash_part).map_err(failed),
            None => Ok(None),
        }
    }
}

fn file_type(kind: EntryKind, executable: bool) -> FileType {
    match kind {
        EntryKind::File => FileType::Regular { executable },
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink => FileType::Symlink,
        EntryKind::Other => FileType::Other,
    }
}

//! The host that evaluation runs on: the file system, the store, the downloader, builds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use nopal_eval::host::{
    AddPath, ClosureInfo, ClosureRequest, FetchRequest, Fetched, FileType, Filter, Host, HostError, HostResult,
    Listing, Message, SourceKey, Wanted as EvalWanted,
};
use nopal_eval::{Error, Evaluator, Pos, Value};
use nopal_format::derivation::{DrvHashes, Instantiated};
use nopal_format::flake::Input;
use nopal_format::{BuiltPath, Derivation, StorePath};
use nopal_fs::{EntryKind, FileIdentity, FsError};
use nopal_report::Level;
use nopal_store::{AddOptions, Additions, Direction, Stopped, StoreError, TreeError, path_of_source};
use rustc_hash::FxHashMap;

use crate::closure;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::fetch;
use crate::realise::{RealiseOptions, Wanted};
use crate::recorded::{Identity, Trust};

/// One evaluation's view of the machine.
pub(crate) struct EvalHost {
    shared: Arc<Shared>,
    /// Whether store writes are only computed.
    read_only: bool,
    /// Derivations that this evaluation made, with their texts where the store does not get them.
    made: Mutex<FxHashMap<StorePath, Option<Arc<[u8]>>>>,
    /// What evaluation adds to the store, once it does: it becomes valid later, together.
    additions: OnceLock<Additions>,
    /// Trees fetched so far: within an evaluation an input does not change.
    fetched: Mutex<BTreeMap<Input, Fetched>>,
    /// What was found so far. Every path asks for what is above it, often more than once; as in Nix, all stays what it was.
    kinds: Mutex<FxHashMap<Vec<u8>, FileType>>,
    listings: Mutex<Listings>,
}

/// What was in directories that were read. A package set reads the same large ones again and again.
struct Listings {
    trust: Trust,
    /// With identities that tell of every change since.
    known: HashMap<PathBuf, (Identity, Listing)>,
}

impl Listings {
    /// What is in a directory, if it did not change since that was read.
    fn get(&self, path: &Path) -> Option<(Listing, FileIdentity)> {
        let (known, listing) = self.known.get(path)?;
        let identity = FileIdentity::of(path).ok()??;
        (identity.to_bytes() == *known).then(|| (listing.clone(), identity))
    }

    fn add(&mut self, path: &Path, identity: &FileIdentity, listing: &Listing) {
        if let Some(identity) = self.trust.identity(path, identity) {
            self.known.insert(path.to_owned(), (identity, listing.clone()));
        }
    }
}

impl EvalHost {
    pub(crate) fn new(shared: Arc<Shared>, read_only: bool) -> Self {
        let additions = OnceLock::new();
        let (made, fetched, kinds) = Default::default();
        let listings = Mutex::new(Listings { trust: Trust::from_now(), known: HashMap::new() });
        Self { shared, read_only, made, additions, fetched, kinds, listings }
    }

    /// Says that nothing more is made before [`flush`](Self::flush).
    pub(crate) fn end_additions(&self) {
        if let Some(additions) = self.additions.get() {
            additions.end();
        }
    }

    /// Waits until what evaluation made is valid.
    pub(crate) fn flush(&self) -> Result<(), EngineError> {
        match self.additions.get() {
            Some(additions) => Ok(additions.finish()?),
            None => Ok(()),
        }
    }

    /// Additions to the store that derivations and sources go to, unless it takes none.
    fn additions(&self) -> HostResult<&Additions> {
        if let Some(uri) = &self.shared.config.closed_store {
            return Err(HostError::Failed(format!("operation 'addToStore' is not supported by store '{uri}'")));
        }
        if let Some(additions) = self.additions.get() {
            return Ok(additions);
        }
        let store = self.shared.source_store().map_err(failed)?;
        Ok(self.additions.get_or_init(|| Additions::new(store.clone())))
    }

    /// Waits until what `path` lies in is valid, if this evaluation made it.
    fn settle(&self, path: &Path) -> HostResult<()> {
        let Some(additions) = self.additions.get() else { return Ok(()) };
        let Ok(below) = path.strip_prefix(self.shared.config.store_dir.as_str()) else { return Ok(()) };
        let Some(name) = below.components().next() else { return Ok(()) };
        let object = StorePath::from_base_name_bytes(name.as_os_str().as_bytes());
        match object {
            Ok(object) if additions.is_pending(&object) => self.flush().map_err(failed),
            _ => Ok(()),
        }
    }

    /// The store that has a path: that of sources, or that of what is built.
    fn store_of(&self, path: &StorePath) -> HostResult<&nopal_store::Store> {
        let sources = self.shared.source_store().map_err(failed)?;
        match sources.is_valid(path).map_err(failed)? {
            true => Ok(sources),
            false => self.shared.store().map_err(failed),
        }
    }

    /// Fetches trees again that were fetched before, and looks again what there is.
    pub(crate) fn forget_trees(&self) {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.paths.forget();
        self.kinds().clear();
    }

    fn kinds(&self) -> MutexGuard<'_, FxHashMap<Vec<u8>, FileType>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listings(&self) -> MutexGuard<'_, Listings> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether store writes are only computed.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether this evaluation made the derivation.
    pub(crate) fn has_made(&self, path: &StorePath) -> bool {
        self.made().contains_key(path)
    }

    fn made(&self) -> MutexGuard<'_, FxHashMap<StorePath, Option<Arc<[u8]>>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents of a file, with its identity where its name alone leads to it.
    pub(crate) fn read_file_identified(&self, path: &Path) -> HostResult<(Vec<u8>, Option<FileIdentity>)> {
        self.settle(path)?;
        let physical = self.shared.paths.locate_target(path).map_err(fs_error)?;
        let (contents, identity) = nopal_fs::read_file_identified(&physical).map_err(|error| match error.kind() {
            std::io::ErrorKind::IsADirectory => directory_read(&physical).unwrap_or_else(|| fs_error(error)),
            _ => fs_error(error),
        })?;
        let is_plain = physical == path && identity.kind() == EntryKind::File;
        Ok((contents, is_plain.then_some(identity)))
    }

    /// The names in a directory with their types, and its identity where its name alone leads to it.
    pub(crate) fn read_dir_identified(&self, path: &Path) -> HostResult<(Listing, Option<FileIdentity>)> {
        self.settle(path)?;
        let physical = self.shared.paths.locate_target(path).map_err(fs_error)?;
        let (listing, identity) = self.list(path, &physical)?;
        Ok((listing, (physical == path).then_some(identity)))
    }

    /// What is in a directory, `path` to Nix, and which state of it that was.
    fn list(&self, path: &Path, physical: &Path) -> HostResult<(Listing, FileIdentity)> {
        let known = self.listings().get(physical);
        if let Some(known) = known {
            return Ok(known);
        }
        let (entries, identity) = nopal_fs::read_dir_identified(physical).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotADirectory if matches!(self.file_type(path), Ok(Some(_))) => {
                HostError::Failed(format!("cannot read directory \"{}\": Not a directory", path.display()))
            }
            _ => fs_error(error),
        })?;
        let entries = entries.into_iter().map(|entry| (entry.name.into_vec(), file_type(entry.kind, false)));
        let listing = entries.collect();
        self.listings().add(physical, &identity, &listing);
        Ok((listing, identity))
    }
}

impl Drop for EvalHost {
    fn drop(&mut self) {
        if let Some(parsed) = &self.shared.parsed {
            parsed.save();
        }
    }
}

/// A failed file operation as evaluation words it. A path through a file does not exist.
fn fs_error(error: FsError) -> HostError {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            HostError::NotFound(error.path().to_owned())
        }
        _ => failed(error),
    }
}

/// The error of whoever reads a directory as if it were a file, as Nix words it: by the size of what it tried to read.
fn directory_read(path: &Path) -> Option<HostError> {
    /// The size of Nix's buffer.
    const BUFFER_BYTES: u64 = 64 << 10;
    let metadata = nopal_fs::symlink_metadata(path).ok().filter(|metadata| metadata.is_dir())?;
    Some(HostError::Failed(format!("read of {} bytes: Is a directory", metadata.len().min(BUFFER_BYTES))))
}

/// A failed operation on a file or directory in Nix's words, where it has such an operation.
fn worded(error: &FsError) -> Option<String> {
    let path = error.path().display().to_string();
    let quoted = path.replace('\\', "\\\\").replace('"', "\\\"");
    let tried = match error.operation() {
        "examine" => format!("getting status of \"{quoted}\""),
        "open" => format!("opening file '{path}'"),
        "open directory" | "read directory" => format!("cannot read directory \"{quoted}\""),
        _ => return None,
    };
    Some(format!("{tried}: {}", nopal_fs::words(error.io())))
}

pub(crate) fn failed(error: impl Into<EngineError>) -> HostError {
    let error = error.into();
    if let EngineError::Fs(error) | EngineError::Store(StoreError::Fs(error) | StoreError::Tree(TreeError::Fs(error))) =
        &error
        && let Some(text) = worded(error)
    {
        return HostError::Failed(text);
    }
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
        let key = path.as_os_str().as_bytes();
        if let Some(known) = self.kinds().get(key) {
            return Ok(Some(*known));
        }
        self.settle(path)?;
        let physical = self.shared.paths.locate(path).map_err(fs_error)?;
        let Some(metadata) = nopal_fs::symlink_metadata_if_exists(&physical).map_err(fs_error)? else {
            return Ok(None);
        };
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let found = file_type(metadata.file_type().into(), executable);
        self.kinds().insert(key.to_vec(), found);
        Ok(Some(found))
    }

    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        Ok(self.read_file_identified(path)?.0)
    }

    fn read_dir(&self, path: &Path) -> HostResult<Listing> {
        Ok(self.read_dir_identified(path)?.0)
    }

    fn read_link(&self, path: &Path) -> HostResult<Vec<u8>> {
        self.settle(path)?;
        let physical = self.shared.paths.locate(path).map_err(fs_error)?;
        Ok(nopal_fs::read_link(&physical).map_err(fs_error)?.into_os_string().into_vec())
    }

    fn add_path(&self, request: &AddPath<'_>, filter: Option<Filter<'_>>) -> HostResult<StorePath> {
        self.settle(request.path)?;
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
            self.additions()?.path(&physical, &options, adapted)
        };
        if let Some(error) = callback_error {
            return Err(error);
        }
        let info = added.map_err(|error| match error {
            StoreError::Fs(error) | StoreError::Tree(TreeError::Fs(error)) => fs_error(error),
            StoreError::NotAFile { path } => {
                directory_read(&path).unwrap_or_else(|| failed(StoreError::NotAFile { path }))
            }
            error => failed(error),
        })?;
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
            self.additions()?.text(&path, contents.into(), references).map_err(failed)?;
        }
        Ok(path)
    }

    fn add_derivation(&self, derivation: &Derivation, made: &Instantiated<'_>) -> HostResult<()> {
        let text = self.read_only.then(|| made.aterm.into());
        // held until it is given to the store: what refers to it must be given later
        let mut all = self.made();
        let known = all.insert(made.path.clone(), text);
        if known.is_none() && !self.read_only {
            self.additions()?.derivation(derivation, made).map_err(failed)?;
        }
        Ok(())
    }

    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        // import from derivation and `storePath` read what was just made
        let made = self.made().get(path).cloned().flatten();
        let waiting = || self.additions.get().and_then(|additions| additions.pending_text(path));
        match made.or_else(waiting) {
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
                    let want = Wanted {
                        drv_path,
                        outputs: vec![output.to_string()],
                        output: String::new(),
                        attr: String::new(),
                    };
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
        self.flush().map_err(failed)?;
        let store = self.store_of(path)?;
        let closure = store.closure(std::slice::from_ref(path), Direction::References).map_err(failed)?;
        let info = store.path_info(path).map_err(failed)?;
        let is_content_addressed = info.is_content_addressed(store.store_dir());
        Ok(ClosureInfo { closure, is_content_addressed })
    }

    fn fetch_closure(&self, request: &ClosureRequest<'_>) -> HostResult<StorePath> {
        self.flush().map_err(failed)?;
        closure::fetch(&self.shared, request).map_err(failed)
    }

    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        self.flush().map_err(failed)?;
        let store = self.store_of(path)?;
        Ok(store.references(path).map_err(failed)?.into_iter().collect())
    }

    fn fetch(&self, request: &FetchRequest) -> HostResult<Fetched> {
        self.flush().map_err(failed)?;
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
        let (level, text) = match &message {
            // complete with its prefix, and with the line ends that the program wrote
            Message::Trace(text) => (Level::Notice, text.as_slice()),
            Message::Report(text) => (Level::Notice, text.strip_suffix(b"\n").unwrap_or(text)),
            Message::Warning(text) => (Level::Warning, text.as_slice()),
        };
        self.shared.config.reporter.message(level, String::from_utf8_lossy(text));
    }

    fn path_from_hash_part(&self, hash_part: &str) -> HostResult<Option<StorePath>> {
        self.flush().map_err(failed)?;
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

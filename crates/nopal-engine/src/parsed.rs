//! Sources that were parsed before, in files of the user's cache.
//!
//! What one evaluation parsed goes into one file: an index by key, then the packed trees. Files are never changed. A new
//! one takes in those that are not much larger than itself, so that there are few, and bytes are copied rarely. Two processes
//! that do so at the same time leave something twice, no more. A file that is damaged, or of another build of the program,
//! counts as none.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use nopal_eval::host::SourceKey;
use nopal_format::hash::hex;
use nopal_fs::{FsError, FsFile};

/// The folder in the cache.
const FOLDER: &str = "parsed";

/// How a file begins.
const MAGIC: &[u8; 16] = b"nopal parsed 1\n\0";

/// Bytes of what is before the index: the magic, the number of entries, the checksum of the index.
const HEADER_BYTES: usize = MAGIC.len() + 8 + 8;

/// Bytes of an entry of the index: the key, where its bytes are, how many, and their checksum.
const ENTRY_BYTES: usize = size_of::<SourceKey>() + 8 + 4 + 8;

/// Entries of a file, at most.
const MAX_ENTRIES: usize = 1 << 20;

/// Bytes of all files of one program, at most. The oldest go first.
const MAX_BYTES: u64 = 256 << 20;

/// A file is taken into a new one that is at least so large in comparison.
const MERGE_RATIO: u64 = 2;

/// Parsed sources of one program.
pub(crate) struct ParsedSources {
    folder: PathBuf,
    /// How the names of its files begin.
    program: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The files; not looked for yet if there are none.
    files: Option<Arc<[PackFile]>>,
    /// What was parsed since.
    fresh: BTreeMap<SourceKey, Vec<u8>>,
}

/// An open file and its index.
struct PackFile {
    path: PathBuf,
    file: FsFile,
    size_bytes: u64,
    index: Vec<u8>,
}

impl ParsedSources {
    /// Those in a cache; `program` tells a program from every other build of it.
    pub(crate) fn new(cache_dir: &Path, program: &str) -> Self {
        let program = hex(&checksum(program.as_bytes()).to_le_bytes());
        Self { folder: cache_dir.join(FOLDER), program, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that were kept for a key.
    pub(crate) fn get(&self, key: &SourceKey) -> Option<Vec<u8>> {
        let mut state = self.state();
        if let Some(bytes) = state.fresh.get(key) {
            return Some(bytes.clone());
        }
        let files = state.files.get_or_insert_with(|| self.open_files().unwrap_or_default().into()).clone();
        drop(state);
        files.iter().find_map(|file| file.get(key))
    }

    /// Keeps bytes for a key, until [`ParsedSources::save`] at first.
    pub(crate) fn put(&self, key: SourceKey, bytes: Vec<u8>) {
        self.state().fresh.insert(key, bytes);
    }

    /// Writes what is new. A cache that cannot be written to is no reason to fail.
    pub(crate) fn save(&self) {
        let mut state = self.state();
        let fresh = std::mem::take(&mut state.fresh);
        if !fresh.is_empty() {
            let _ = self.write(fresh);
            state.files = None;
        }
    }

    /// The files of this program, the largest first.
    fn open_files(&self) -> Result<Vec<PackFile>, FsError> {
        let names = nopal_fs::read_dir_names(&self.folder)?;
        let own = names.iter().filter(|name| name.to_str().is_some_and(|name| name.starts_with(&self.program)));
        let mut files: Vec<_> = own.filter_map(|name| PackFile::open(self.folder.join(name))).collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.size_bytes));
        Ok(files)
    }

    fn write(&self, mut all: BTreeMap<SourceKey, Vec<u8>>) -> Result<(), FsError> {
        nopal_fs::create_dir_all(&self.folder)?;
        let mut files = self.open_files()?;
        let mut merged = Vec::new();
        let mut total_bytes: u64 = all.values().map(|bytes| bytes.len() as u64).sum();
        while let Some(smallest) = files.pop_if(|file| file.size_bytes <= MERGE_RATIO * total_bytes) {
            total_bytes += smallest.size_bytes;
            for key in smallest.keys() {
                if let Some(bytes) = smallest.get(&key) {
                    all.insert(key, bytes);
                }
            }
            merged.push(smallest.path);
        }
        let bytes = encode(&all);
        let name = format!("{}-{}", self.program, hex(&checksum(&bytes).to_le_bytes()));
        let path = self.folder.join(name);
        nopal_fs::replace_with(&path, 0o600, |file| file.write_all(&bytes))?;
        for old in merged.iter().filter(|old| **old != path) {
            nopal_fs::remove_file_if_exists(old)?;
        }
        self.prune(MAX_BYTES)
    }

    /// Removes the oldest files beyond the limit, whatever program they are of.
    fn prune(&self, max_bytes: u64) -> Result<(), FsError> {
        let mut files = Vec::new();
        for name in nopal_fs::read_dir_names(&self.folder)? {
            let path = self.folder.join(name);
            let Ok(metadata) = nopal_fs::symlink_metadata(&path) else { continue };
            files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), path));
        }
        files.sort_unstable_by(|one, other| other.cmp(one));
        let mut total_bytes = 0;
        for (_, size_bytes, path) in files {
            total_bytes += size_bytes;
            if total_bytes > max_bytes {
                nopal_fs::remove_file_if_exists(&path)?;
            }
        }
        Ok(())
    }
}

impl PackFile {
    fn open(path: PathBuf) -> Option<Self> {
        let file = nopal_fs::open_read(&path).ok()?;
        let size_bytes = file.metadata().ok()?.len();
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).ok()?;
        let rest = header.strip_prefix(MAGIC)?;
        let entries = usize::try_from(number(rest.get(..8)?)?).ok().filter(|entries| *entries <= MAX_ENTRIES)?;
        let index = nopal_fs::read_at(&file, HEADER_BYTES as u64, entries * ENTRY_BYTES).ok()?;
        (checksum(&index) == number(rest.get(8..16)?)?).then_some(Self { path, file, size_bytes, index })
    }

    fn keys(&self) -> impl Iterator<Item = SourceKey> {
        self.index.chunks_exact(ENTRY_BYTES).filter_map(|entry| entry.first_chunk().copied())
    }

    fn get(&self, key: &SourceKey) -> Option<Vec<u8>> {
        let (entries, _) = self.index.as_chunks::<ENTRY_BYTES>();
        let found = entries.binary_search_by(|entry| entry.first_chunk().cmp(&Some(key))).ok()?;
        let entry = &entries[found][key.len()..];
        let offset = number(&entry[..8])?;
        let length = u64::from(u32::from_le_bytes(entry[8..12].try_into().ok()?));
        if offset.checked_add(length)? > self.size_bytes {
            return None;
        }
        let bytes = nopal_fs::read_at(&self.file, offset, usize::try_from(length).ok()?).ok()?;
        (checksum(&bytes) == number(&entry[12..])?).then_some(bytes)
    }
}

/// The bytes of a file.
fn encode(all: &BTreeMap<SourceKey, Vec<u8>>) -> Vec<u8> {
    let mut index = Vec::with_capacity(all.len() * ENTRY_BYTES);
    let mut offset = (HEADER_BYTES + all.len() * ENTRY_BYTES) as u64;
    let mut kept = Vec::with_capacity(all.len());
    for (key, bytes) in all {
        let Ok(length) = u32::try_from(bytes.len()) else { continue };
        index.extend_from_slice(key);
        index.extend_from_slice(&offset.to_le_bytes());
        index.extend_from_slice(&length.to_le_bytes());
        index.extend_from_slice(&checksum(bytes).to_le_bytes());
        offset += u64::from(length);
        kept.push(bytes.as_slice());
    }
    let count = (kept.len() as u64).to_le_bytes();
    let sum = checksum(&index).to_le_bytes();
    [&[MAGIC.as_slice(), &count, &sum, &index], kept.as_slice()].concat().concat()
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Tells damaged bytes from whole ones.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(bytes);
    hasher.write_usize(bytes.len());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> SourceKey {
        [number; 32]
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn what_was_saved_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let sources = ParsedSources::new(dir.path(), "program");
        assert_eq!(sources.get(&key(1)), None);
        sources.put(key(1), b"large".repeat(1000));
        sources.save();
        sources.put(key(2), b"small".to_vec());
        assert_eq!(sources.get(&key(2)).unwrap(), b"small");
        sources.save();
        let again = ParsedSources::new(dir.path(), "program");
        assert_eq!(again.get(&key(1)).unwrap(), b"large".repeat(1000));
        assert_eq!(again.get(&key(2)).unwrap(), b"small");
        assert_eq!(again.get(&key(3)), None);
        assert_eq!(files(&dir.path().join(FOLDER)).len(), 2, "a large file is not written again for a small one");
        assert_eq!(ParsedSources::new(dir.path(), "another").get(&key(1)), None);
    }

    #[test]
    fn files_are_merged() {
        let dir = tempfile::tempdir().unwrap();
        let sources = ParsedSources::new(dir.path(), "program");
        for number in 0..32 {
            sources.put(key(number), vec![number; 100]);
            sources.save();
        }
        assert!((0..32).all(|number| sources.get(&key(number)).is_some_and(|bytes| bytes == [number; 100])));
        assert!(files(&dir.path().join(FOLDER)).len() < 6);
        sources.prune(0).unwrap();
        assert!(files(&dir.path().join(FOLDER)).is_empty());
    }

    #[test]
    fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let sources = ParsedSources::new(dir.path(), "program");
        sources.put(key(1), b"something".to_vec());
        sources.save();
        let file = files(&dir.path().join(FOLDER)).remove(0);
        let whole = std::fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&file, &damaged).unwrap();
            assert_eq!(ParsedSources::new(dir.path(), "program").get(&key(1)), None, "byte {at}");
            std::fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(ParsedSources::new(dir.path(), "program").get(&key(1)), None, "{at} bytes");
        }
    }
}

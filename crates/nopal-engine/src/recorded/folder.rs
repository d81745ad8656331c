//! Where records lie: a folder of the user's cache, one file each.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use std::io::Write;

use nopal_format::hash::hex;
use nopal_fs::FsError;

use super::record::Digest;

/// Records of one user, at most. The oldest go first.
const MAX_RECORDS: usize = 2_000;
/// Bytes of all of them, at most.
const MAX_BYTES: u64 = 512 << 20;
/// Bytes of one, at most: a larger answer is not kept.
const MAX_RECORD_BYTES: u64 = 64 << 20;
/// A record that was of use is as new as if it had been written; noting that once in a while is enough.
const TOUCH_AFTER: Duration = Duration::from_secs(3600);
/// What is no record and as old as this was left by a process that died while writing it.
const LEFTOVER_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The folder. It is made when first written to.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn file(&self, key: &Digest) -> PathBuf {
        self.path.join(hex(key))
    }

    /// The bytes kept for a key.
    pub(super) fn get(&self, key: &Digest) -> Option<Vec<u8>> {
        nopal_fs::read_file_limited(&self.file(key), MAX_RECORD_BYTES).ok()
    }

    /// Notes that a record was of use.
    pub(super) fn touch(&self, key: &Digest) {
        let file = self.file(key);
        if age(&file).is_some_and(|age| age > TOUCH_AFTER) {
            // one that seems older than it is goes sooner, no more
            let _ = nopal_fs::set_modified_now(&file);
        }
    }

    /// Keeps bytes for a key, and then no more records than there may be.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn put(&self, key: &Digest, bytes: &[u8]) -> Result<(), FsError> {
        if bytes.len() as u64 > MAX_RECORD_BYTES {
            return Ok(());
        }
        nopal_fs::create_dir_all(&self.path)?;
        // answers may hold what only their user may read
        nopal_fs::replace_with(&self.file(key), 0o600, |file| file.write_all(bytes))?;
        self.prune(MAX_RECORDS, MAX_BYTES)
    }

    /// Removes the oldest records beyond the limits. One that somebody else removes meanwhile is gone either way.
    fn prune(&self, max_records: usize, max_bytes: u64) -> Result<(), FsError> {
        let mut records = Vec::new();
        for name in nopal_fs::read_dir_names(&self.path)? {
            let file = self.path.join(&name);
            let Ok(metadata) = nopal_fs::symlink_metadata(&file) else { continue };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if is_record(&name) {
                records.push((modified, metadata.len(), file));
            } else if modified.elapsed().is_ok_and(|age| age > LEFTOVER_AFTER) {
                nopal_fs::remove_file_if_exists(&file)?;
            }
        }
        records.sort_unstable_by(|one, other| other.cmp(one));
        let (mut count, mut bytes) = (0, 0);
        for (_, size_bytes, file) in records {
            count += 1;
            bytes += size_bytes;
            if count > max_records || bytes > max_bytes {
                nopal_fs::remove_file_if_exists(&file)?;
            }
        }
        Ok(())
    }
}

fn is_record(name: &std::ffi::OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.len() == 2 * size_of::<Digest>() && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn age(file: &Path) -> Option<Duration> {
    nopal_fs::symlink_metadata(file).ok()?.modified().ok()?.elapsed().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("below"));
        let keys: Vec<Digest> = (0..5).map(|number| [number; 32]).collect();
        for (age_s, key) in keys.iter().enumerate() {
            folder.put(key, &[0; 100]).unwrap();
            let time = SystemTime::now() - Duration::from_secs(7200 * age_s as u64);
            let file = std::fs::File::options().write(true).open(folder.file(key)).unwrap();
            file.set_modified(time).unwrap();
        }
        // of use: new again
        folder.touch(&keys[4]);
        std::fs::write(folder.path.join("other"), "").unwrap();
        folder.prune(3, 1000).unwrap();
        let there = |key: &Digest| folder.get(key).is_some();
        assert_eq!(keys.iter().map(there).collect::<Vec<_>>(), [true, true, false, false, true]);
        folder.prune(3, 200).unwrap();
        assert_eq!(keys.iter().filter(|key| there(key)).count(), 2);
        assert!(folder.path.join("other").exists());
    }
}

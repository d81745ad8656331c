//! From the paths that evaluation sees to those of the file system.
//!
//! Paths below the logical store directory lie in the physical one. A symbolic link to a logical path, within a store
//! object or anywhere else (`./result`), must be followed there, which the kernel cannot do: such paths are resolved
//! component by component.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nopal_format::StoreDir;
use nopal_fs::{EntryKind, FsError};
use rustc_hash::FxHashSet;

/// Links followed before a path counts as a loop, as in the kernel.
const MAX_LINKS: u32 = 40;

/// The logical store directory and where its objects physically are.
#[derive(Debug)]
pub(crate) struct PathMap {
    logical: PathBuf,
    physical: PathBuf,
    /// Whether the machine has a directory of the logical name, too. What is not in the physical one is read there.
    has_other: bool,
    /// Physical directories inside store objects that are known to be no links. Store objects do not change.
    real_directories: Mutex<HashSet<PathBuf>>,
    /// Directories elsewhere that are reached without links.
    plain_directories: Mutex<FxHashSet<Vec<u8>>>,
}

impl PathMap {
    pub(crate) fn new(store_dir: &StoreDir, physical: PathBuf) -> Self {
        let logical = PathBuf::from(store_dir.as_str());
        let has_other = logical != physical && nopal_fs::is_dir(&logical);
        let (real_directories, plain_directories) = Default::default();
        Self { logical, physical, has_other, real_directories, plain_directories }
    }

    /// Looks again at directories that may have changed.
    pub(crate) fn forget(&self) {
        self.plain_directories.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The physical path of `path` if it is below the logical store directory.
    fn in_store(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.logical).ok()?;
        Some(if below.as_os_str().is_empty() { self.physical.clone() } else { self.physical.join(below) })
    }

    /// Whether `path` is in a store that does not lie where its paths say.
    pub(crate) fn is_in_store(&self, path: &Path) -> bool {
        self.logical != self.physical && path.starts_with(&self.logical)
    }

    fn physical(&self, path: &Path) -> PathBuf {
        self.in_store(path).unwrap_or_else(|| path.to_owned())
    }

    /// Where `path` physically is. Links on the way are followed, a link at its end is not.
    ///
    /// # Errors
    /// A component cannot be examined, or links go round in a circle. A missing component is no error here.
    pub(crate) fn locate(&self, path: &Path) -> Result<PathBuf, FsError> {
        if self.logical == self.physical || self.is_elsewhere(path) {
            return Ok(path.to_owned());
        }
        match self.in_store(path) {
            None if self.is_plain(path) => Ok(path.to_owned()),
            Some(physical) if self.is_direct(path) => Ok(physical),
            _ => self.resolve(path, false),
        }
    }

    /// Where `path` physically is, following a link at its end too.
    ///
    /// # Errors
    /// As for [`locate`](Self::locate).
    pub(crate) fn locate_target(&self, path: &Path) -> Result<PathBuf, FsError> {
        let found = self.locate(path)?;
        match nopal_fs::symlink_metadata_if_exists(&found)? {
            Some(metadata) if metadata.is_symlink() => self.resolve(path, true),
            _ => Ok(found),
        }
    }

    /// Whether the store object of `path` is not in the physical store but in the machine's own of the same name.
    fn is_elsewhere(&self, path: &Path) -> bool {
        if !self.has_other {
            return false;
        }
        let Ok(below) = path.strip_prefix(&self.logical) else { return false };
        let Some(object) = below.components().next() else { return false };
        let exists = |dir: &Path| nopal_fs::symlink_metadata_if_exists(&dir.join(object)).is_ok_and(|m| m.is_some());
        !exists(&self.physical) && exists(&self.logical)
    }

    /// Whether `path`, which is not in the store, is there, or lies in a directory that is reached without links.
    fn is_plain(&self, path: &Path) -> bool {
        let known = || self.plain_directories.lock().unwrap_or_else(PoisonError::into_inner);
        is_plain_entry(path.as_os_str().as_bytes(), &mut known())
            || nopal_fs::symlink_metadata_if_exists(path).is_ok_and(|found| found.is_some())
    }

    /// Whether `path` is a store object itself, or lies in a directory known to be reached without links.
    fn is_direct(&self, path: &Path) -> bool {
        let Some(parent) = path.parent() else { return true };
        if parent == self.logical {
            return true;
        }
        let known = self.real_directories.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&self.physical(parent))
    }

    /// Walks `path` from the root, following links to where they logically lead.
    fn resolve(&self, path: &Path, follow_last: bool) -> Result<PathBuf, FsError> {
        let mut links_left = MAX_LINKS;
        let mut done = PathBuf::from("/");
        let mut todo: Vec<PathBuf> = components(path);
        while let Some(name) = todo.pop() {
            if name.as_os_str() == ".." {
                done.pop();
                continue;
            }
            let here = done.join(&name);
            let physical = self.physical(&here);
            if todo.is_empty() && !follow_last {
                return Ok(physical);
            }
            let kind = nopal_fs::symlink_metadata_if_exists(&physical)?.map(|found| EntryKind::from(found.file_type()));
            match kind {
                Some(EntryKind::Symlink) => {
                    links_left = links_left.checked_sub(1).ok_or_else(|| {
                        FsError::new(
                            "resolve",
                            path,
                            io::Error::from_raw_os_error(rustix::io::Errno::LOOP.raw_os_error()),
                        )
                    })?;
                    let target = nopal_fs::read_link(&physical)?;
                    if target.is_absolute() {
                        done = PathBuf::from("/");
                    }
                    todo.extend(components(&target));
                }
                Some(EntryKind::Directory) => {
                    if self.in_store(&here).is_some() {
                        let mut known = self.real_directories.lock().unwrap_or_else(PoisonError::into_inner);
                        known.insert(physical);
                    }
                    done = here;
                }
                _ => done = here,
            }
        }
        Ok(self.physical(&done))
    }
}

/// Whether `path` is absolute and names something in a directory, without links and without going back. Directories of which
/// this is known are in `known`.
fn is_plain_entry(path: &[u8], known: &mut FxHashSet<Vec<u8>>) -> bool {
    let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return false };
    let (parent, name) = (&path[..slash], &path[slash + 1..]);
    if matches!(name, b"" | b"." | b"..") {
        return false;
    }
    if parent.is_empty() || known.contains(parent) {
        return true;
    }
    let is_directory =
        || nopal_fs::symlink_metadata(Path::new(OsStr::from_bytes(parent))).is_ok_and(|found| found.is_dir());
    let is_plain = is_plain_entry(parent, known) && is_directory();
    if is_plain {
        known.insert(parent.to_owned());
    }
    is_plain
}

/// The names of a path in reverse, for use as a stack; `.` and the root are left out.
fn components(path: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = path
        .components()
        .filter(|component| matches!(component, Component::Normal(_) | Component::ParentDir))
        .map(|component| PathBuf::from(component.as_os_str()))
        .collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_logical_places() {
        let dir = tempfile::tempdir().unwrap();
        let physical = dir.path().join("store");
        std::fs::create_dir_all(physical.join("a/sub")).unwrap();
        std::fs::create_dir_all(physical.join("b")).unwrap();
        std::fs::write(physical.join("b/file"), "here").unwrap();
        std::os::unix::fs::symlink("/logical/store/b", physical.join("a/sub/link")).unwrap();
        std::os::unix::fs::symlink("loop", physical.join("a/loop")).unwrap();
        std::os::unix::fs::symlink("/logical/store/a/sub", dir.path().join("result")).unwrap();
        let map = PathMap::new(&StoreDir::new("/logical/store").unwrap(), physical.clone());
        let locate = |path: &str| map.locate(Path::new(path)).unwrap();
        assert_eq!(locate("/logical/store/a"), physical.join("a"));
        for _ in 0..2 {
            assert_eq!(locate("/logical/store/a/sub/link/file"), physical.join("b/file"));
            assert_eq!(locate("/logical/store/a/sub/link"), physical.join("a/sub/link"));
        }
        assert_eq!(map.locate_target(Path::new("/logical/store/a/sub/link")).unwrap(), physical.join("b"));
        let result = dir.path().join("result/link/file");
        assert_eq!(map.locate(&result).unwrap(), physical.join("b/file"));
        // a directory elsewhere is looked at once, until told otherwise
        let outside = dir.path().canonicalize().unwrap().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let file = outside.join("file");
        assert_eq!(map.locate(&file).unwrap(), file);
        assert_eq!(map.locate(&outside.join("../result/link/file")).unwrap(), physical.join("b/file"));
        std::fs::remove_dir(&outside).unwrap();
        std::os::unix::fs::symlink("/logical/store/b", &outside).unwrap();
        assert_eq!(map.locate(&file).unwrap(), file);
        map.forget();
        assert_eq!(map.locate(&file).unwrap(), physical.join("b/file"));
        let error = map.locate(Path::new("/logical/store/a/loop/x")).unwrap_err();
        assert_eq!(error.io().raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
    }
}

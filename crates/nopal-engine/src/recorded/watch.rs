//! Which identities of files may be trusted, and those of whole trees.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nopal_fs::{FileIdentity, FileTime, FsError, TreeWalk, WalkOptions};

use super::record::Identity;

/// Decides whether a file that has this identity again is unchanged since `start`.
#[derive(Debug)]
pub(crate) struct Trust {
    start: FileTime,
    /// Devices, and whether their time stamps are of this machine's clock.
    devices: HashMap<u64, bool>,
}

impl Trust {
    /// For what is read from now on.
    pub(crate) fn from_now() -> Self {
        Self { start: FileTime::now(), devices: HashMap::new() }
    }

    /// The identity of the file at `path`, if it can stand for what was read.
    pub(crate) fn identity(&mut self, path: &Path, identity: &FileIdentity) -> Option<Identity> {
        if !identity.is_settled(self.start) {
            return None;
        }
        let is_local =
            self.devices.entry(identity.device()).or_insert_with(|| nopal_fs::identity::has_local_clock(path));
        is_local.then(|| identity.to_bytes())
    }
}

/// A tree that is about to be read by somebody who does not tell which files exactly were opened: identities are taken
/// before and after, of the directories above it too, so that a tree that was put in its place meanwhile is noticed.
#[derive(Debug)]
pub(super) struct Watch {
    root: PathBuf,
    above: Vec<(PathBuf, Option<FileIdentity>)>,
    entries: Vec<(PathBuf, FileIdentity)>,
    /// Whether an entry could not be looked at.
    failed: bool,
}

impl Watch {
    /// Begins with the root alone; see [`add`](Self::add).
    pub(super) fn root(root: &Path) -> Self {
        let above = root.ancestors().skip(1);
        let above = above.map(|path| (path.to_owned(), FileIdentity::of(path).ok().flatten())).collect();
        let mut watch = Self { root: root.to_owned(), above, entries: Vec::new(), failed: false };
        watch.add(root);
        watch
    }

    /// Begins with the whole tree.
    pub(super) fn tree(root: &Path) -> Self {
        let mut watch = Self::root(root);
        watch.entries.clear();
        let walked = watch.walk();
        watch.failed |= walked.is_err();
        watch
    }

    fn walk(&mut self) -> Result<(), FsError> {
        let mut walk = TreeWalk::new(&self.root, WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            if step != nopal_fs::Step::Leave {
                self.add(walk.path());
            }
        }
        Ok(())
    }

    /// An entry that is going to be read.
    pub(super) fn add(&mut self, path: &Path) {
        match FileIdentity::of(path) {
            Ok(Some(identity)) => self.entries.push((path.to_owned(), identity)),
            Ok(None) | Err(_) => self.failed = true,
        }
    }

    /// The entries, if nothing changed from the beginning on and all of them can be trusted.
    pub(super) fn end(self, trust: &mut Trust) -> Option<Vec<(Vec<u8>, Identity)>> {
        let is_same =
            |path: &Path, before: Option<&FileIdentity>| FileIdentity::of(path).is_ok_and(|now| now.as_ref() == before);
        if self.failed || !self.above.iter().all(|(path, before)| is_same(path, before.as_ref())) {
            return None;
        }
        let mut entries = Vec::with_capacity(self.entries.len());
        for (path, identity) in &self.entries {
            if !is_same(path, Some(identity)) {
                return None;
            }
            let below = path.strip_prefix(&self.root).ok()?;
            entries.push((below.as_os_str().as_bytes().to_vec(), trust.identity(path, identity)?));
        }
        Some(entries)
    }
}

/// Whether all entries of a tree are the ones that they were.
pub(super) fn is_same_tree(root: &Path, entries: &[(Vec<u8>, Identity)]) -> bool {
    entries.iter().all(|(below, before)| {
        let below = Path::new(std::ffi::OsStr::from_bytes(below));
        let path = if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) };
        matches!(FileIdentity::of(&path), Ok(Some(now)) if now.to_bytes() == *before)
    })
}

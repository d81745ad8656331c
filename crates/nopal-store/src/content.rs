//! Content hashes other than a NAR's, taken in the same pass: of one flat file, and of Git objects.

use nopal_format::{Hash, HashAlgorithm, Hasher};

/// Hashes a tree, event by event, as its content address says.
pub(crate) enum ContentHasher {
    /// The NAR's own hash serves.
    None,
    /// The bytes of the one file.
    Flat(Hasher),
    /// Git blobs and trees.
    Git(GitHasher),
}

impl ContentHasher {
    pub(crate) fn start_directory(&mut self, name: Option<&[u8]>) {
        if let Self::Git(git) = self {
            git.open.push(OpenTree { name: name.map(<[u8]>::to_vec), entries: Vec::new() });
        }
    }

    pub(crate) fn end_directory(&mut self) {
        if let Self::Git(git) = self {
            git.end_directory();
        }
    }

    pub(crate) fn symlink(&mut self, name: Option<&[u8]>, target: &[u8]) {
        if let Self::Git(git) = self {
            let mut blob = git.object("blob", target.len() as u64);
            blob.update(target);
            git.entry(name, "120000", blob.finish());
        }
    }

    pub(crate) fn start_file(&mut self, name: Option<&[u8]>, executable: bool, size: u64) {
        if let Self::Git(git) = self {
            let mode = if executable { "100755" } else { "100644" };
            git.file = Some((name.map(<[u8]>::to_vec), mode, git.object("blob", size)));
        }
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Flat(hasher) => hasher.update(bytes),
            Self::Git(git) => {
                if let Some((_, _, hasher)) = &mut git.file {
                    hasher.update(bytes);
                }
            }
        }
    }

    pub(crate) fn end_file(&mut self) {
        if let Self::Git(git) = self
            && let Some((name, mode, hasher)) = git.file.take()
        {
            git.entry(name.as_deref(), mode, hasher.finish());
        }
    }

    /// The hash of the whole; `None` where the NAR's serves.
    pub(crate) fn finish(self) -> Option<Hash> {
        match self {
            Self::None => None,
            Self::Flat(hasher) => Some(hasher.finish()),
            Self::Git(git) => git.root,
        }
    }
}

/// Folds a tree into Git objects: <https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>.
pub(crate) struct GitHasher {
    algorithm: HashAlgorithm,
    open: Vec<OpenTree>,
    file: Option<(Option<Vec<u8>>, &'static str, Hasher)>,
    root: Option<Hash>,
}

struct OpenTree {
    name: Option<Vec<u8>>,
    entries: Vec<(Vec<u8>, &'static str, Hash)>,
}

const DIRECTORY_MODE: &str = "40000";

impl GitHasher {
    pub(crate) fn new(algorithm: HashAlgorithm) -> Self {
        Self { algorithm, open: Vec::new(), file: None, root: None }
    }

    fn object(&self, kind: &str, size: u64) -> Hasher {
        let mut hasher = Hasher::new(self.algorithm);
        hasher.update(format!("{kind} {size}\0").as_bytes());
        hasher
    }

    fn entry(&mut self, name: Option<&[u8]>, mode: &'static str, hash: Hash) {
        match (self.open.last_mut(), name) {
            (Some(tree), Some(name)) => tree.entries.push((name.to_vec(), mode, hash)),
            _ => self.root = Some(hash),
        }
    }

    fn end_directory(&mut self) {
        let Some(mut tree) = self.open.pop() else { return };
        // Git sorts a directory as if its name ended in a slash
        tree.entries.sort_by_cached_key(|(name, mode, _)| {
            let mut key = name.clone();
            if *mode == DIRECTORY_MODE {
                key.push(b'/');
            }
            key
        });
        let mut body = Vec::new();
        for (name, mode, hash) in &tree.entries {
            body.extend_from_slice(mode.as_bytes());
            body.push(b' ');
            body.extend_from_slice(name);
            body.push(0);
            body.extend_from_slice(hash.bytes());
        }
        let mut object = self.object("tree", body.len() as u64);
        object.update(&body);
        self.entry(tree.name.as_deref(), DIRECTORY_MODE, object.finish());
    }
}

//! A joined tree in memory: what lies at each path, and where its bytes come from. Nothing is written before all of it
//! is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nopal_fs::FsError;

/// Links followed while resolving one path, as Linux does.
const MAX_LINKS: usize = 40;

/// Directories of the root that are one with those of the same name in `usr` (usr-merge).
pub(crate) const MERGED: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    /// A file whose bytes are in an input.
    File(PathBuf),
    /// A symbolic link and its target.
    Link(Vec<u8>),
    /// A file that is made here.
    Made(Vec<u8>),
}

/// Paths are relative to the root, without a slash at either end; the root itself is not listed.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: BTreeMap<Vec<u8>, Node>,
}

impl Tree {
    /// Puts something at a path, with the directories above it. What was there is replaced.
    pub(crate) fn put(&mut self, path: Vec<u8>, node: Node) {
        self.make_parents(&path);
        self.nodes.insert(path, node);
    }

    fn make_parents(&mut self, path: &[u8]) {
        let mut end = path.len();
        while let Some(slash) = path[..end].iter().rposition(|byte| *byte == b'/') {
            end = slash;
            if self.nodes.contains_key(&path[..end]) {
                break;
            }
            self.nodes.insert(path[..end].to_vec(), Node::Directory);
        }
    }

    /// The path that a path leads to when every link on the way is followed within the tree; `None` where it leads
    /// nowhere.
    pub(crate) fn resolve(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut links = 0;
        let mut done: Vec<u8> = Vec::new();
        let mut todo: Vec<Vec<u8>> = components(path).map(<[u8]>::to_vec).rev().collect();
        while let Some(part) = todo.pop() {
            if part == b".." {
                let parent = done.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                done.truncate(parent);
                continue;
            }
            let before = done.len();
            if !done.is_empty() {
                done.push(b'/');
            }
            done.extend_from_slice(&part);
            if let Node::Link(target) = self.nodes.get(&done)? {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                done.truncate(if target.starts_with(b"/") { 0 } else { before });
                todo.extend(components(target).map(<[u8]>::to_vec).rev());
            }
        }
        Some(done)
    }

    /// The bytes of a file, links followed; `None` where there is no file.
    pub(crate) fn read(&self, path: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        match self.resolve(path).and_then(|path| self.nodes.get(&path)) {
            Some(Node::File(source)) => nopal_fs::read_file(source).map(Some),
            Some(Node::Made(bytes)) => Ok(Some(bytes.clone())),
            _ => Ok(None),
        }
    }

    /// Everything below a directory: paths and nodes, in order.
    pub(crate) fn below<'a>(&'a self, directory: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a Node)> {
        let mut prefix = directory.to_vec();
        prefix.push(b'/');
        let start = prefix.clone();
        self.nodes
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, node)| (path.as_slice(), node))
    }

    /// Writes the tree to `out`, which must not exist. Files of inputs become hard links, or copies where that is not
    /// possible.
    pub(crate) fn write(&self, out: &Path) -> Result<Written, FsError> {
        use std::os::unix::ffi::OsStrExt;
        nopal_fs::create_dir(out)?;
        let mut written = Written::default();
        for (path, node) in &self.nodes {
            let place = out.join(std::ffi::OsStr::from_bytes(path));
            match node {
                Node::Directory => nopal_fs::create_dir(&place)?,
                Node::Link(target) => nopal_fs::symlink(Path::new(std::ffi::OsStr::from_bytes(target)), &place)?,
                Node::Made(bytes) => nopal_fs::write_new(&place, bytes, 0o644)?,
                Node::File(source) => {
                    if nopal_fs::hard_link(source, &place).is_ok() {
                        written.hard_links += 1;
                    } else {
                        // another file system, or too many links: the copy then says what is really wrong
                        copy(source, &place)?;
                        written.copies += 1;
                    }
                }
            }
        }
        written.entries = self.nodes.len() as u64;
        Ok(written)
    }

    /// Removes links and files that stand where a directory has to be, because something lies below them.
    pub(crate) fn clear_parents(&mut self) {
        let mut parents = BTreeSet::new();
        for path in self.nodes.keys() {
            let mut end = path.len();
            while let Some(slash) = path[..end].iter().rposition(|byte| *byte == b'/') {
                end = slash;
                if !parents.insert(path[..end].to_vec()) {
                    break;
                }
            }
        }
        for parent in parents {
            self.nodes.insert(parent, Node::Directory);
        }
    }
}

/// What writing a tree did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) entries: u64,
    pub(crate) hard_links: u64,
    pub(crate) copies: u64,
}

fn copy(source: &Path, place: &Path) -> Result<(), FsError> {
    use std::os::unix::fs::MetadataExt;
    nopal_fs::copy_file(source, place)?;
    let executable = nopal_fs::metadata(source)?.mode() & 0o111 != 0;
    nopal_fs::set_permissions(place, if executable { 0o755 } else { 0o644 })
}

/// The parts of a path; `.` and empty parts are left out.
pub(crate) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// A path without its leading slash, with `/bin` and its like moved below `usr`. `None` for the root, and for `bin`
/// and its like themselves, which become links.
pub(crate) fn normalise(path: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = components(path).collect();
    let first = parts.first()?;
    if MERGED.iter().any(|name| name.as_bytes() == *first) {
        if parts.len() == 1 {
            return None;
        }
        return Some([b"usr/".to_vec(), parts.join(&b'/')].concat());
    }
    Some(parts.join(&b'/'))
}

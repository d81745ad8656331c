//! A tree that is no file system, but a table: for tests, and for trees that exist as lists only.

use super::tree::{OpenError, Opened, Tree};
use crate::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// Files and links by their path. Directories are there if something is in them.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    entries: BTreeMap<Vec<u8>, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    File { contents: Rc<[u8]>, inode: u64 },
    Link(Vec<u8>),
}

/// The kernel follows no more links than that.
const MAX_LINKS: usize = 40;

/// An open file of such a tree.
#[derive(Clone, Debug)]
pub struct MemoryFile(Rc<[u8]>);

impl Bytes for MemoryFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, into)
    }
}

impl MemoryTree {
    /// Adds a file.
    pub fn file(&mut self, path: &str, contents: Vec<u8>) -> &mut Self {
        let inode = self.entries.len() as u64;
        self.entries.insert(path.into(), Entry::File { contents: contents.into(), inode });
        self
    }

    /// Adds a link, to a path from the root on or from where it is.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.entries.insert(path.into(), Entry::Link(target.into()));
        self
    }

    /// Follows links.
    fn find(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut todo = components(path);
        let (mut at, mut links) = (Vec::new(), 0);
        while let Some(name) = todo.pop() {
            match &name[..] {
                b"." => {}
                b".." => at.truncate(at.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
                _ => {
                    let parent = at.len();
                    at.push(b'/');
                    at.extend(name);
                    let Some(Entry::Link(target)) = self.entries.get(&at) else { continue };
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    at.truncate(if target.starts_with(b"/") { 0 } else { parent });
                    todo.extend(components(target));
                }
            }
        }
        Some(at)
    }

    fn is_dir_at(&self, path: &[u8]) -> bool {
        let inside = [path, b"/"].concat();
        self.entries.range(inside.clone()..).next().is_some_and(|(path, _)| path.starts_with(&inside))
    }
}

/// What a path is made of, the last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec).collect()
}

impl Tree for MemoryTree {
    type File = MemoryFile;

    fn open(&self, path: &[u8]) -> Result<Opened<MemoryFile>, OpenError> {
        match self.find(path).and_then(|path| self.entries.get(&path)) {
            Some(Entry::File { contents, inode }) => {
                Ok(Opened { file: MemoryFile(Rc::clone(contents)), identity: (0, *inode) })
            }
            _ => Err(OpenError::Absent),
        }
    }

    fn is_dir(&self, path: &[u8]) -> bool {
        self.find(path).is_some_and(|path| self.is_dir_at(&path))
    }

    fn canonical(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.find(path).filter(|path| self.entries.contains_key(path) || self.is_dir_at(path))
    }

    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() }
    }
}

//! A tree that is no file system, but a table: for tests, and for trees that exist as lists only.

use super::tree::{OpenError, Opened, Tree, follow_links};
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
        follow_links(path, |at| match self.entries.get(at) {
            Some(Entry::Link(target)) => Some(target.clone()),
            _ => None,
        })
    }

    fn is_dir_at(&self, path: &[u8]) -> bool {
        let inside = [path, b"/"].concat();
        self.entries.range(inside.clone()..).next().is_some_and(|(path, _)| path.starts_with(&inside))
    }
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

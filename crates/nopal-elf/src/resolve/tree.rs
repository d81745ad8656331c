//! The files among which libraries are looked for.

use crate::Bytes;

/// A file system, or a part of one that is to be looked at as if it were the whole.
///
/// Paths are bytes, as they stand in ELF files; those that do not begin with `/` are below the working directory. Links
/// are followed.
pub trait Tree {
    /// An open file.
    type File: Bytes;

    /// Opens a file.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    fn open(&self, path: &[u8]) -> Result<Opened<Self::File>, OpenError>;

    /// Whether there is a directory.
    fn is_dir(&self, path: &[u8]) -> bool;

    /// The path without links, from the root on.
    fn canonical(&self, path: &[u8]) -> Option<Vec<u8>>;

    /// The path from the root on, links and all.
    fn absolute(&self, path: &[u8]) -> Vec<u8>;
}

/// The kernel follows no more links than that.
const MAX_LINKS: usize = 40;

/// A path from the root on without links and dots. `read_link` tells where a path leads that is a link; what it knows nothing
/// of is taken for none. Nothing if there are more links than the kernel follows.
pub fn follow_links(path: &[u8], read_link: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
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
                let Some(target) = read_link(&at) else { continue };
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                at.truncate(if target.starts_with(b"/") { 0 } else { parent });
                todo.extend(components(&target));
            }
        }
    }
    Some(at)
}

/// What a path is made of, the last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec).collect()
}

/// A file that was opened.
#[derive(Debug)]
pub struct Opened<F> {
    /// The file.
    pub file: F,
    /// What it has in common only with itself, under whatever name: its device and inode.
    pub identity: (u64, u64),
}

/// Why a file is not to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// It is not there, or may not be seen: the search goes on.
    Absent,
    /// Something else: the loader gives up the list of directories that it is searching.
    Failed,
}

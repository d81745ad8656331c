//! Where in a store path others are named.

use std::collections::BTreeSet;
use std::path::PathBuf;

use memchr::memmem::Finder;
use nopal_format::StorePath;
use nopal_fs::{Step, TreeWalk, WalkOptions};

use crate::error::StoreError;
use crate::store::Store;

/// Bytes around a mention that are told.
const MARGIN: usize = 32;

/// A place where a store path is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The file or link, below the path that was looked through; the path itself is `/`.
    pub place: PathBuf,
    /// What is named.
    pub reference: StorePath,
    /// Whether it is in a link's target.
    pub in_link: bool,
    /// Bytes before the name's hash part: of a link's target all, else at most 32.
    pub before: Vec<u8>,
    /// Bytes after it.
    pub after: Vec<u8>,
}

impl Store {
    /// The first mention of each of some paths in each file and link of a valid path, in order of files.
    pub fn mentions(&self, path: &StorePath, of: &BTreeSet<StorePath>) -> Result<Vec<Mention>, StoreError> {
        let finders: Vec<(&StorePath, Finder<'static>)> =
            of.iter().map(|path| (path, Finder::new(path.hash_part().as_bytes()).into_owned())).collect();
        let mut found = Vec::new();
        let mut walk = TreeWalk::new(&self.physical_path(path), WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            let (bytes, in_link) = match step {
                Step::File => (nopal_fs::read_file(walk.path())?, false),
                Step::Symlink => (walk.read_link()?, true),
                Step::Enter | Step::Leave | Step::Other => continue,
            };
            for (reference, finder) in &finders {
                let Some(at) = finder.find(&bytes) else { continue };
                let end = at + finder.needle().len();
                let (from, to) = match in_link {
                    true => (0, bytes.len()),
                    false => (at.saturating_sub(MARGIN), (end + MARGIN).min(bytes.len())),
                };
                let place = match walk.relative_path() {
                    root if root.as_os_str().is_empty() => PathBuf::from("/"),
                    below => below.to_owned(),
                };
                found.push(Mention {
                    place,
                    reference: (*reference).clone(),
                    in_link,
                    before: bytes[from..at].to_vec(),
                    after: bytes[end..to].to_vec(),
                });
            }
        }
        Ok(found)
    }
}

//! Lists of directories, and what is known of each: the loader asks once whether a directory is there.

use super::config::LoaderConfig;
use super::tokens::{Tokens, expand};
use std::collections::HashMap;

/// A directory in [`Directories`].
pub(super) type DirectoryId = usize;

/// Whether a directory is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Unknown,
    Existing,
    Absent,
}

/// All directories that were named so far.
#[derive(Debug)]
pub(super) struct Directories {
    names: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, DirectoryId>,
    /// What stands between a directory and a file's name: nothing last.
    subdirectories: Vec<Vec<u8>>,
    /// For each directory, of each subdirectory.
    status: Vec<Status>,
}

impl Directories {
    pub(super) fn new(config: &LoaderConfig) -> Self {
        let hwcaps = config.hwcaps.iter().map(|name| [b"glibc-hwcaps/", &name[..], b"/"].concat());
        let legacy = config.legacy_subdirectories.iter().map(|name| [name, &b"/"[..]].concat());
        let subdirectories = hwcaps.chain(legacy).chain([Vec::new()]).collect();
        Self { names: Vec::new(), ids: HashMap::new(), subdirectories, status: Vec::new() }
    }

    /// The directories of a list, each once.
    pub(super) fn split(&mut self, list: &[u8], separators: &[u8], tokens: Tokens<'_>) -> Vec<DirectoryId> {
        let mut ids = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for entry in list.split(|byte| separators.contains(byte)) {
            let name = match entry {
                // the working directory
                b"" => Vec::new(),
                _ => match expand(entry, tokens) {
                    None => continue,
                    Some(name) if name.is_empty() => continue,
                    Some(mut name) => {
                        while name.len() > 1 && name.ends_with(b"/") {
                            name.pop();
                        }
                        if !name.ends_with(b"/") {
                            name.push(b'/');
                        }
                        name
                    }
                },
            };
            let id = self.intern(name);
            if seen.insert(id) {
                ids.push(id);
            }
        }
        ids
    }

    /// A directory by its name, which ends with a slash.
    pub(super) fn intern(&mut self, name: Vec<u8>) -> DirectoryId {
        if let Some(id) = self.ids.get(&name) {
            return *id;
        }
        let id = self.names.len();
        // where the working directory will be nobody knows
        let status = if name.starts_with(b"/") { Status::Unknown } else { Status::Existing };
        self.status.extend(std::iter::repeat_n(status, self.subdirectories.len()));
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }

    /// How many places to look at a directory has.
    pub(super) fn places(&self) -> usize {
        self.subdirectories.len()
    }

    /// The path of a place, with a slash at its end, or nothing if it is known not to be there.
    pub(super) fn place(&self, directory: DirectoryId, place: usize) -> Option<Vec<u8>> {
        let status = self.status(directory, place);
        (status != Status::Absent).then(|| [&self.names[directory][..], &self.subdirectories[place]].concat())
    }

    /// What is known of a place.
    pub(super) fn status(&self, directory: DirectoryId, place: usize) -> Status {
        self.status[directory * self.subdirectories.len() + place]
    }

    /// Keeps what was found out about a place.
    pub(super) fn learn(&mut self, directory: DirectoryId, place: usize, is_there: bool) {
        let status = if is_there { Status::Existing } else { Status::Absent };
        self.status[directory * self.subdirectories.len() + place] = status;
    }

    /// The name of a directory, with a slash at its end.
    pub(super) fn name(&self, directory: DirectoryId) -> &[u8] {
        &self.names[directory]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_each_directory_once() {
        let mut directories = Directories::new(&LoaderConfig::default());
        let tokens = Tokens { origin: Some(b"/o"), lib: b"lib", platform: None };
        let list = b"/a//:$ORIGIN/x:/a/:$PLATFORM/y::b:/";
        let ids = directories.split(list, b":", tokens);
        let names: Vec<_> = ids.iter().map(|id| directories.name(*id)).collect();
        assert_eq!(names, [&b"/a/"[..], b"/o/x/", b"", b"b/", b"/"]);
        assert_eq!(directories.split(b"/b;/a", b":;", tokens)[1], ids[0]);
        directories.learn(ids[0], 0, false);
        assert_eq!((directories.place(ids[0], 0), directories.place(ids[3], 0)), (None, Some(b"b/".to_vec())));
        assert_eq!(directories.status(ids[3], 0), Status::Existing);
    }
}

//! A tree in canonical order: names sorted bytewise, every entry reached through the descriptor of its directory, no
//! symbolic link followed, so that a directory swapped for a link while we walk is an error and never a way out.
//!
//! The walk is a loop with a stack of its own, bounded by [`WalkOptions::max_depth`]; nesting cannot exhaust the
//! thread's stack.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, openat, readlinkat, statat};

use crate::FsError;
use crate::error::Context;

/// What a directory entry is. Links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, fifo or socket.
    Other,
}

impl From<FileType> for EntryKind {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

impl From<std::fs::FileType> for EntryKind {
    fn from(file_type: std::fs::FileType) -> Self {
        if file_type.is_file() {
            Self::File
        } else if file_type.is_dir() {
            Self::Directory
        } else if file_type.is_symlink() {
            Self::Symlink
        } else {
            Self::Other
        }
    }
}

/// How to walk.
#[derive(Clone, Copy, Debug)]
pub struct WalkOptions {
    /// Directories within directories that are accepted. Each level holds one descriptor open.
    pub max_depth: usize,
}

impl Default for WalkOptions {
    /// 512 levels: far beyond real trees, within the usual limit of 1024 descriptors.
    fn default() -> Self {
        Self { max_depth: 512 }
    }
}

/// One step of a walk. Name, path and contents of the entry are asked of the [`TreeWalk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A directory, before its entries. The next step goes into it unless [`TreeWalk::skip`] is called.
    Enter,
    /// A directory, after its entries.
    Leave,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A device, fifo or socket.
    Other,
}

/// A walk under way.
#[derive(Debug)]
pub struct TreeWalk {
    options: WalkOptions,
    levels: Vec<Level>,
    state: State,
    /// path of the current entry
    path: PathBuf,
    root_len: usize,
}

#[derive(Debug)]
struct Level {
    directory: OwnedFd,
    entries: std::vec::IntoIter<(CString, EntryKind)>,
    /// its own name in the level above
    name: CString,
}

#[derive(Debug)]
enum State {
    Start { root: CString, kind: EntryKind },
    At { name: CString, kind: EntryKind, descend: bool },
    Left { name: CString },
    Done,
}

impl TreeWalk {
    /// Begins at `root`, which may be any kind of file; a link at its end is not followed.
    pub fn new(root: &Path, options: WalkOptions) -> Result<Self, FsError> {
        // `components` drops a trailing slash, which would follow a link
        let path = root.components().as_path().to_owned();
        let stat = statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW).on("examine", root)?;
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| FsError::new("open", root, io::Error::from(io::ErrorKind::InvalidInput)))?;
        let kind = FileType::from_raw_mode(stat.st_mode).into();
        let root_len = path.as_os_str().len();
        Ok(Self { options, levels: Vec::new(), state: State::Start { root: name, kind }, path, root_len })
    }

    /// Goes on by one step; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results could not lend the current entry")]
    pub fn next(&mut self) -> Result<Option<Step>, FsError> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Start { root, kind } => return Ok(Some(self.arrive(root, kind))),
            State::Done => return Ok(None),
            State::At { name, kind: EntryKind::Directory, descend: true } => self.descend(name)?,
            State::At { .. } | State::Left { .. } => {
                if self.levels.is_empty() {
                    return Ok(None);
                }
                self.path.pop();
            }
        }
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        if let Some((name, kind)) = level.entries.next() {
            self.path.push(OsStr::from_bytes(name.as_bytes()));
            return Ok(Some(self.arrive(name, kind)));
        }
        let name = self.levels.pop().map(|level| level.name).unwrap_or_default();
        self.state = State::Left { name };
        Ok(Some(Step::Leave))
    }

    /// Does not go into the directory just met, nor report leaving it.
    pub fn skip(&mut self) {
        if let State::At { descend, .. } = &mut self.state {
            *descend = false;
        }
    }

    /// Full path of the current entry.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the current entry below the root; empty for the root itself.
    pub fn relative_path(&self) -> &Path {
        let bytes = self.path.as_os_str().as_bytes().get(self.root_len..).unwrap_or_default();
        Path::new(OsStr::from_bytes(bytes.strip_prefix(b"/").unwrap_or(bytes)))
    }

    /// Name of the current entry within its directory; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        if self.levels.is_empty() {
            return None;
        }
        match &self.state {
            State::At { name, .. } | State::Left { name } => Some(name.as_bytes()),
            State::Start { .. } | State::Done => None,
        }
    }

    /// Directories around the current entry, the root's own not counted.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Descriptor of the directory that holds the current entry, and the entry's name there.
    pub fn place(&self) -> (BorrowedFd<'_>, &CStr) {
        let directory = self.levels.last().map_or(CWD, |level| level.directory.as_fd());
        match &self.state {
            State::Start { root: name, .. } | State::At { name, .. } | State::Left { name } => (directory, name),
            State::Done => (directory, c""),
        }
    }

    /// Metadata of the current entry, a link not followed.
    pub fn stat(&self) -> Result<Stat, FsError> {
        let (directory, name) = self.place();
        statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).on("examine", &self.path)
    }

    /// Opens the current entry, which must still be a regular file.
    pub fn open_file(&self) -> Result<(File, Stat), FsError> {
        let (directory, name) = self.place();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(directory, name, flags, Mode::empty()).on("open", &self.path)?;
        let stat = rustix::fs::fstat(&file).on("examine", &self.path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let cause = io::Error::other("it was a regular file a moment ago and is none now");
            return Err(FsError::new("open", &self.path, cause));
        }
        Ok((File::from(file), stat))
    }

    /// Where the current entry, a symbolic link, points.
    pub fn read_link(&self) -> Result<Vec<u8>, FsError> {
        let (directory, name) = self.place();
        readlinkat(directory, name, Vec::new()).map(CString::into_bytes).on("read link", &self.path)
    }

    fn arrive(&mut self, name: CString, kind: EntryKind) -> Step {
        self.state = State::At { name, kind, descend: true };
        match kind {
            EntryKind::Directory => Step::Enter,
            EntryKind::File => Step::File,
            EntryKind::Symlink => Step::Symlink,
            EntryKind::Other => Step::Other,
        }
    }

    fn descend(&mut self, name: CString) -> Result<(), FsError> {
        if self.levels.len() >= self.options.max_depth {
            let cause = io::Error::other(format!("directories are nested deeper than {}", self.options.max_depth));
            return Err(FsError::new("walk", &self.path, cause));
        }
        let parent = self.levels.last().map_or(CWD, |level| level.directory.as_fd());
        let directory = open_directory_at(parent, &name).on("open directory", &self.path)?;
        let entries = list_directory(directory.as_fd()).on("read directory", &self.path)?.into_iter();
        self.levels.push(Level { directory, entries, name });
        Ok(())
    }
}

/// Opens a directory through its parent; a link in its place is an error.
pub(crate) fn open_directory_at(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Names and kinds in an open directory, sorted bytewise.
pub(crate) fn list_directory(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, EntryKind)>> {
    // one system call for a few hundred names
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = Vec::new();
    let mut listing = RawDir::new(directory, &mut buffer);
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        entries.push((name.to_owned(), entry.file_type()));
    }
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut known = Vec::with_capacity(entries.len());
    for (name, file_type) in entries {
        let file_type = if file_type == FileType::Unknown {
            FileType::from_raw_mode(statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
        } else {
            file_type
        };
        known.push((name, file_type.into()));
    }
    Ok(known)
}

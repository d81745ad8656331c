//! Building a tree through directory descriptors, so that nothing placed in its way redirects a write.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, mkdirat, openat, symlinkat, utimensat,
};

use crate::FsError;
use crate::error::Context;
use crate::file::parent_of;
use crate::walk::open_directory_at;

/// Which permissions and times the new files get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// As in a store: 0444 or 0555, modified one second after the epoch.
    Canonical,
    /// As an ordinary program makes them: 0644 or 0755 less the umask, modified now.
    Ordinary,
}

/// Modification time of everything in a store, in seconds since the epoch (0 would look unset to some programs).
pub const CANONICAL_MTIME_S: i64 = 1;

/// The canonical times: access time left alone, modified at [`CANONICAL_MTIME_S`].
pub(crate) const CANONICAL_TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
    last_modification: Timespec { tv_sec: CANONICAL_MTIME_S, tv_nsec: 0 },
};

/// Writes a tree from root-first events. The root must not exist beforehand.
#[derive(Debug)]
pub struct TreeWriter {
    metadata: Metadata,
    /// directory that holds the root, and its path, for messages
    parent: OwnedFd,
    root: PathBuf,
    levels: Vec<OwnedFd>,
    path: PathBuf,
    /// whether the umask leaves canonical modes as they are asked for, once known
    modes_stick: Option<bool>,
}

/// A directory of a store, in which files are made with their final names and metadata.
#[derive(Debug)]
pub struct CanonicalDirectory {
    directory: OwnedFd,
    path: PathBuf,
    /// whether the umask leaves 0444 and 0555 as they are asked for, once known
    modes_stick: [Option<bool>; 2],
}

impl CanonicalDirectory {
    /// Opens the directory.
    pub fn open(path: &Path) -> Result<Self, FsError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty()).on("open directory", path)?;
        Ok(Self { directory, path: path.to_owned(), modes_stick: [None; 2] })
    }

    /// Creates a file that must not exist, whole and with canonical metadata. If that fails otherwise than because it
    /// exists, part of it may be left.
    pub fn create_file(&mut self, name: &OsStr, executable: bool, contents: &[u8]) -> Result<(), FsError> {
        let path = || self.path.join(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if executable { 0o555 } else { 0o444 };
        let mode_of = Mode::from_raw_mode(mode);
        let mut file =
            File::from(openat(&self.directory, name, flags, mode_of).map_err(|e| fail("create", path(), e))?);
        file.write_all(contents).map_err(|e| fail("write", path(), e))?;
        let known = &mut self.modes_stick[usize::from(executable)];
        let sticks = match *known {
            Some(sticks) => sticks,
            None => fstat(&file).map_err(|e| fail("examine", self.path.join(name), e))?.st_mode & 0o7777 == mode,
        };
        *known = Some(sticks);
        if !sticks {
            fchmod(&file, mode_of).map_err(|e| fail("set permissions of", self.path.join(name), e))?;
        }
        futimens(&file, &CANONICAL_TIMES).map_err(|e| fail("set times of", self.path.join(name), e))
    }
}

fn fail(action: &'static str, path: PathBuf, cause: impl Into<io::Error>) -> FsError {
    FsError::new(action, &path, cause.into())
}

impl TreeWriter {
    /// Prepares to create the tree at `root`.
    pub fn new(root: &Path, metadata: Metadata) -> Result<Self, FsError> {
        let parent_path = parent_of(root);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat(CWD, parent_path, flags, Mode::empty()).on("open directory", parent_path)?;
        if root.file_name().is_none() {
            return Err(FsError::new("create", root, io::Error::from(io::ErrorKind::InvalidInput)));
        }
        let root = root.to_owned();
        Ok(Self { metadata, parent, path: root.clone(), root, levels: Vec::new(), modes_stick: None })
    }

    /// Creates a directory and goes into it. `name` is `None` for the root and only then.
    pub fn start_directory(&mut self, name: Option<&[u8]>) -> Result<(), FsError> {
        let name = self.push_name(name)?;
        let parent = self.current();
        mkdirat(parent, OsStr::from_bytes(&name), Mode::from_raw_mode(0o755)).on("create directory", &self.path)?;
        let c_name = std::ffi::CString::new(name).map_err(|_| self.invalid_name())?;
        let directory = open_directory_at(parent, &c_name).on("open directory", &self.path)?;
        self.levels.push(directory);
        Ok(())
    }

    /// Finishes the directory last started.
    pub fn end_directory(&mut self) -> Result<(), FsError> {
        let Some(directory) = self.levels.pop() else { return Err(self.invalid_name()) };
        if self.metadata == Metadata::Canonical {
            fchmod(&directory, Mode::from_raw_mode(0o555)).on("set permissions of", &self.path)?;
            futimens(&directory, &CANONICAL_TIMES).on("set times of", &self.path)?;
        }
        self.pop_name();
        Ok(())
    }

    /// Creates a regular file, to be written to and given back to [`TreeWriter::finish_file`].
    pub fn start_file(&mut self, name: Option<&[u8]>, executable: bool) -> Result<File, FsError> {
        let name = self.push_name(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(self.file_mode(executable));
        let file = openat(self.current(), OsStr::from_bytes(&name), flags, mode).on("create", &self.path)?;
        Ok(File::from(file))
    }

    /// Gives the file last started its final metadata.
    pub fn finish_file(&mut self, file: File, executable: bool) -> Result<(), FsError> {
        if self.metadata == Metadata::Canonical {
            self.canonicalise(&file, self.file_mode(executable))?;
        }
        self.pop_name();
        Ok(())
    }

    /// Path of the entry being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a symbolic link.
    pub fn symlink(&mut self, name: Option<&[u8]>, target: &[u8]) -> Result<(), FsError> {
        let name = self.push_name(name)?;
        let (directory, name) = (self.current(), OsStr::from_bytes(&name));
        symlinkat(OsStr::from_bytes(target), directory, name).on("create link", &self.path)?;
        if self.metadata == Metadata::Canonical {
            utimensat(directory, name, &CANONICAL_TIMES, AtFlags::SYMLINK_NOFOLLOW).on("set times of", &self.path)?;
        }
        self.pop_name();
        Ok(())
    }

    fn canonicalise(&mut self, file: &File, mode: u32) -> Result<(), FsError> {
        let stick = match self.modes_stick {
            Some(stick) => stick,
            None => {
                let stick = fstat(file).on("examine", &self.path)?.st_mode & 0o7777 == mode;
                // 0555 that sticks says all there is to know about the umask; 0444 says nothing of the x bits
                if mode == 0o555 || !stick {
                    self.modes_stick = Some(stick);
                }
                stick
            }
        };
        if !stick {
            fchmod(file, Mode::from_raw_mode(mode)).on("set permissions of", &self.path)?;
        }
        futimens(file, &CANONICAL_TIMES).on("set times of", &self.path)
    }

    fn file_mode(&self, executable: bool) -> u32 {
        match (self.metadata, executable) {
            (Metadata::Canonical, false) => 0o444,
            (Metadata::Canonical, true) => 0o555,
            (Metadata::Ordinary, false) => 0o666,
            (Metadata::Ordinary, true) => 0o777,
        }
    }

    fn current(&self) -> BorrowedFd<'_> {
        self.levels.last().unwrap_or(&self.parent).as_fd()
    }

    fn push_name(&mut self, name: Option<&[u8]>) -> Result<Vec<u8>, FsError> {
        match (name, self.levels.is_empty()) {
            (None, true) => Ok(self.root.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default()),
            (Some(name), false) => {
                let bad = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0);
                if bad {
                    return Err(self.invalid_name());
                }
                self.path.push(OsStr::from_bytes(name));
                Ok(name.to_vec())
            }
            _ => Err(self.invalid_name()),
        }
    }

    fn pop_name(&mut self) {
        if !self.levels.is_empty() {
            self.path.pop();
        }
    }

    fn invalid_name(&self) -> FsError {
        FsError::new("create an entry in", &self.path, io::Error::from(io::ErrorKind::InvalidInput))
    }
}

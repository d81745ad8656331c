//! Where a tree goes besides its hash: nowhere, memory while it is small, the disk.

use std::io::Write;
use std::path::PathBuf;

use nopal_fs::create::Metadata;
use nopal_fs::{FsError, FsFile, TreeWriter};

/// A tree is kept in memory until it is larger than this, so that one that turns out to be in the store already is
/// never written to disk.
const SPOOL_BYTES: usize = 8 * 1024 * 1024;

/// Where a tree goes besides its hash.
pub(crate) enum Spool {
    /// Nowhere.
    Discard,
    /// Memory, as long as it is small; then the file at the path.
    Memory { events: Vec<Event>, bytes: usize, destination: PathBuf },
    /// The disk.
    Disk { writer: TreeWriter, open: Option<(FsFile, bool)> },
}

/// One step of a tree kept in memory.
pub(crate) enum Event {
    StartDirectory(Option<Vec<u8>>),
    EndDirectory,
    Symlink(Option<Vec<u8>>, Vec<u8>),
    File { name: Option<Vec<u8>>, executable: bool, contents: Vec<u8> },
}

impl Spool {
    pub(crate) fn new(destination: PathBuf) -> Self {
        Self::Memory { events: Vec::new(), bytes: 0, destination }
    }

    pub(crate) fn start_directory(&mut self, name: Option<&[u8]>) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, bytes, .. } => {
                *bytes += EVENT_BYTES;
                events.push(Event::StartDirectory(name.map(<[u8]>::to_vec)));
                self.spill_if_large(0)
            }
            Self::Disk { writer, .. } => writer.start_directory(name),
        }
    }

    pub(crate) fn end_directory(&mut self) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, .. } => {
                events.push(Event::EndDirectory);
                Ok(())
            }
            Self::Disk { writer, .. } => writer.end_directory(),
        }
    }

    pub(crate) fn symlink(&mut self, name: Option<&[u8]>, target: &[u8]) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, bytes, .. } => {
                *bytes += EVENT_BYTES + target.len();
                events.push(Event::Symlink(name.map(<[u8]>::to_vec), target.to_vec()));
                self.spill_if_large(0)
            }
            Self::Disk { writer, .. } => writer.symlink(name, target),
        }
    }

    pub(crate) fn start_file(&mut self, name: Option<&[u8]>, executable: bool, size: u64) -> Result<(), FsError> {
        self.spill_if_large(size)?;
        match self {
            Self::Discard => {}
            Self::Memory { events, bytes, .. } => {
                *bytes += EVENT_BYTES + usize::try_from(size).unwrap_or(usize::MAX / 2);
                let contents = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
                events.push(Event::File { name: name.map(<[u8]>::to_vec), executable, contents });
            }
            Self::Disk { writer, open } => *open = Some((writer.start_file(name, executable)?, executable)),
        }
        Ok(())
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, .. } => {
                if let Some(Event::File { contents, .. }) = events.last_mut() {
                    contents.extend_from_slice(bytes);
                }
                Ok(())
            }
            Self::Disk { writer, open } => match open {
                Some((file, _)) => file.write_all(bytes).map_err(|e| FsError::new("write", writer.path(), e)),
                None => Ok(()),
            },
        }
    }

    pub(crate) fn end_file(&mut self) -> Result<(), FsError> {
        if let Self::Disk { writer, open } = self
            && let Some((file, executable)) = open.take()
        {
            return writer.finish_file(file, executable);
        }
        Ok(())
    }

    /// Writes to disk what is still in memory.
    pub(crate) fn spill(&mut self) -> Result<(), FsError> {
        let Self::Memory { destination, .. } = self else { return Ok(()) };
        let writer = TreeWriter::new(destination, Metadata::Canonical)?;
        let Self::Memory { events, .. } = std::mem::replace(self, Self::Disk { writer, open: None }) else {
            return Ok(());
        };
        for event in events {
            match event {
                Event::StartDirectory(name) => self.start_directory(name.as_deref())?,
                Event::EndDirectory => self.end_directory()?,
                Event::Symlink(name, target) => self.symlink(name.as_deref(), &target)?,
                Event::File { name, executable, contents } => {
                    self.start_file(name.as_deref(), executable, contents.len() as u64)?;
                    self.data(&contents)?;
                    self.end_file()?;
                }
            }
        }
        Ok(())
    }

    /// The contents, and whether they may be run, of what is a single file and still in memory.
    pub(crate) fn as_file(&self) -> Option<(&[u8], bool)> {
        let Self::Memory { events, .. } = self else { return None };
        let [Event::File { executable, contents, .. }] = events.as_slice() else { return None };
        Some((contents, *executable))
    }

    fn spill_if_large(&mut self, more: u64) -> Result<(), FsError> {
        match self {
            Self::Memory { bytes, .. } if *bytes as u64 + more > SPOOL_BYTES as u64 => self.spill(),
            _ => Ok(()),
        }
    }
}

/// What an entry costs in memory besides its contents, roughly.
const EVENT_BYTES: usize = 128;

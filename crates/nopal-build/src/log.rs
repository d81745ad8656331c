//! The log of one build: a file, an event per line, and the last lines for an error message.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use nopal_format::StorePath;
use nopal_fs::{FsError, FsFile};
use nopal_report::Running;

use crate::error::LOG_TAIL_LINES;

/// A longer line is cut into several, so that a builder that never ends its line cannot fill the memory.
const LINE_LIMIT_BYTES: usize = 64 * 1024;
/// A longer line is shortened where the last lines are shown.
const TAIL_LINE_LIMIT_BYTES: usize = 2000;

/// Takes a builder's output.
#[derive(Debug)]
pub(crate) struct BuildLog<'a> {
    path: PathBuf,
    file: FsFile,
    activity: &'a Running,
    line: Vec<u8>,
    tail: VecDeque<Vec<u8>>,
    size_bytes: u64,
}

/// Where the log of a derivation is kept: `drvs/XX/REST` below the log directory, as in Nix.
pub fn log_path(log_dir: &Path, drv_path: &StorePath) -> PathBuf {
    let base_name = drv_path.base_name();
    let (start, rest) = base_name.split_at_checked(2).unwrap_or((&base_name, ""));
    log_dir.join("drvs").join(start).join(rest)
}

impl<'a> BuildLog<'a> {
    /// Begins a new log in place of an older one.
    pub(crate) fn create(path: PathBuf, activity: &'a Running) -> Result<Self, FsError> {
        let parent = nopal_fs::parent_of(&path);
        if !nopal_fs::is_dir(parent) {
            nopal_fs::create_dir_all(parent)?;
        }
        // not truncated: somebody may be reading the old one
        nopal_fs::remove_file_if_exists(&path)?;
        let file = nopal_fs::create_file(&path)?;
        Ok(Self { path, file, activity, line: Vec::new(), tail: VecDeque::new(), size_bytes: 0 })
    }

    /// Takes bytes as they come.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), FsError> {
        self.size_bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| FsError::new("write", &self.path, error))?;
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end);
            self.line.extend_from_slice(head);
            self.end_line();
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > LINE_LIMIT_BYTES {
            self.end_line();
        }
        Ok(())
    }

    /// Bytes taken so far.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Ends the log; returns its place and its last lines.
    pub(crate) fn finish(mut self) -> (PathBuf, Vec<Vec<u8>>) {
        if !self.line.is_empty() {
            self.end_line();
        }
        (self.path, self.tail.into())
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.activity.log_line(&line);
        line.truncate(TAIL_LINE_LIMIT_BYTES);
        if self.tail.len() == LOG_TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

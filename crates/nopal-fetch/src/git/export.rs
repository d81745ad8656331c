//! Writing the tree of a commit.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nopal_fs::TreeWriter;
use nopal_fs::create::Metadata;

use super::{GitError, Repository};

/// One entry of a tree, with its path from the root.
struct Entry {
    mode: Mode,
    object: String,
    path: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    File { executable: bool },
    Symlink,
    Submodule,
}

impl Repository {
    /// Writes the tree of a commit to `destination`, which must not exist. With `export_ignore` what has that attribute
    /// is left out. A submodule becomes an empty directory.
    ///
    /// # Errors
    /// `git` fails, or a file cannot be written.
    pub fn export(&self, rev: &str, destination: &Path, export_ignore: bool) -> Result<(), GitError> {
        let mut entries = self.entries(rev)?;
        // trees may be marked as a whole by the repository's own settings, but that is rare: ask only where it is said
        if export_ignore && self.has_attributes(&entries) {
            let ignored = self.ignored(&with_directories(&entries), Some(rev))?;
            let is_ignored = |path: &[u8]| {
                let path = Path::new(std::ffi::OsStr::from_bytes(path));
                path.ancestors().any(|part| ignored.contains(part))
            };
            entries.retain(|entry| !is_ignored(&entry.path));
        }
        let mut command = self.command();
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::NoProgram)?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let malformed = || GitError::Malformed { what: format!("tree of '{rev}'"), repository: self.dir().to_owned() };
        let (Some(mut requests), Some(answers)) = (requests, answers) else { return Err(malformed()) };
        let blobs: Vec<&str> =
            entries.iter().filter(|entry| entry.mode != Mode::Submodule).map(|entry| entry.object.as_str()).collect();
        let result = std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut text = blobs.join("\n");
                text.push('\n');
                // when it ends early, the answers end early, too
                let _ = requests.write_all(text.as_bytes());
            });
            Tree { answers: BufReader::new(answers), writer: TreeWriter::new(destination, Metadata::Ordinary)? }
                .write(&entries)
                .map_err(|error| error.unwrap_or_else(malformed))
        });
        let status = child.wait().map_err(GitError::NoProgram)?;
        result?;
        if status.success() { Ok(()) } else { Err(malformed()) }
    }

    fn entries(&self, rev: &str) -> Result<Vec<Entry>, GitError> {
        let output = self.run(&["ls-tree", "-r", "-z", "--full-tree", rev], None)?;
        let malformed = || GitError::Malformed { what: format!("tree of '{rev}'"), repository: self.dir().to_owned() };
        let mut entries = Vec::new();
        for line in output.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(malformed)?;
            let head = std::str::from_utf8(&line[..tab]).map_err(|_| malformed())?;
            let mut words = head.split(' ');
            let mode = match words.next() {
                Some("100755") => Mode::File { executable: true },
                Some("100644" | "100664" | "100600") => Mode::File { executable: false },
                Some("120000") => Mode::Symlink,
                Some("160000") => Mode::Submodule,
                _ => return Err(malformed()),
            };
            let object = words.nth(1).ok_or_else(malformed)?.to_owned();
            entries.push(Entry { mode, object, path: line[tab + 1..].to_vec() });
        }
        Ok(entries)
    }

    fn has_attributes(&self, entries: &[Entry]) -> bool {
        let is_attributes = |path: &[u8]| path == b".gitattributes" || path.ends_with(b"/.gitattributes");
        let info = if self.is_cache { "info/attributes" } else { ".git/info/attributes" };
        entries.iter().any(|entry| is_attributes(&entry.path)) || nopal_fs::exists(&self.dir().join(info))
    }
}

/// The paths of entries, and those of the directories on the way to them, which end in a slash.
fn with_directories(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut paths: BTreeSet<Vec<u8>> = BTreeSet::new();
    for entry in entries {
        paths.insert(entry.path.clone());
        let slashes = entry.path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        paths.extend(slashes.map(|(at, _)| entry.path[..=at].to_vec()));
    }
    paths.into_iter().collect()
}

/// Blobs on their way from `git` into a tree.
struct Tree<R: io::Read> {
    answers: BufReader<R>,
    writer: TreeWriter,
}

/// `None` stands for something malformed.
type Written<T> = Result<T, Option<GitError>>;

impl<R: io::Read> Tree<R> {
    fn write(&mut self, entries: &[Entry]) -> Written<()> {
        let fs = |error: nopal_fs::FsError| Some(GitError::Fs(error));
        self.writer.start_directory(None).map_err(fs)?;
        let mut open: Vec<Vec<u8>> = Vec::new();
        for entry in entries {
            let mut parts: Vec<Vec<u8>> = entry.path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
            let name = parts.pop().ok_or(None)?;
            if parts.iter().chain([&name]).any(|part| matches!(part.as_slice(), b"" | b"." | b"..")) {
                return Err(None);
            }
            let common = open.iter().zip(&parts).take_while(|(one, other)| one == other).count();
            for _ in common..open.len() {
                self.writer.end_directory().map_err(fs)?;
            }
            for part in &parts[common..] {
                self.writer.start_directory(Some(part)).map_err(fs)?;
            }
            open = parts;
            match entry.mode {
                Mode::Submodule => {
                    self.writer.start_directory(Some(&name)).map_err(fs)?;
                    self.writer.end_directory().map_err(fs)?;
                }
                Mode::Symlink => {
                    let mut target = Vec::new();
                    self.blob(&entry.object, &mut target)?;
                    self.writer.symlink(Some(&name), &target).map_err(fs)?;
                }
                Mode::File { executable } => {
                    let mut file = self.writer.start_file(Some(&name), executable).map_err(fs)?;
                    let path = self.writer.path().to_owned();
                    self.blob(&entry.object, &mut file).map_err(|error| at(error, &path))?;
                    self.writer.finish_file(file, executable).map_err(fs)?;
                }
            }
        }
        for _ in 0..=open.len() {
            self.writer.end_directory().map_err(fs)?;
        }
        Ok(())
    }

    /// Copies the next blob: `<object> blob <size>`, a newline, the bytes, a newline.
    fn blob(&mut self, object: &str, out: &mut dyn io::Write) -> Written<()> {
        let mut head = String::new();
        self.answers.read_line(&mut head).map_err(|_| None)?;
        let mut words = head.trim_end().split(' ');
        if words.next() != Some(object) || words.next() != Some("blob") {
            return Err(None);
        }
        let size: u64 = words.next().and_then(|size| size.parse().ok()).ok_or(None)?;
        let copied = io::copy(&mut (&mut self.answers).take(size), out);
        let copied =
            copied.map_err(|error| Some(GitError::Fs(nopal_fs::FsError::new("write", Path::new(""), error))))?;
        let mut end = [0];
        self.answers.read_exact(&mut end).map_err(|_| None)?;
        if copied == size && end == *b"\n" { Ok(()) } else { Err(None) }
    }
}

/// Names the file that could not be written.
fn at(error: Option<GitError>, path: &Path) -> Option<GitError> {
    match error {
        Some(GitError::Fs(error)) => Some(GitError::Fs(nopal_fs::FsError::new("write", path, error.into_io()))),
        other => other,
    }
}

/// Where a submodule's files go.
pub(super) fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let is_plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_plain.then(|| root.join(path))
}

//! What a working tree has: the files that Git tracks, and whether they differ from the last commit.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{GitError, Repository, path_bytes};

/// A working tree.
#[derive(Debug, Clone, Default)]
pub struct Worktree {
    /// Tracked files that are there, relative to the root. Submodules are not among them.
    pub files: BTreeSet<PathBuf>,
    /// Tracked files that differ from the last commit, or are gone.
    pub changed: BTreeSet<PathBuf>,
    /// The last commit; `None` before the first.
    pub head: Option<String>,
    /// Whether there is a file `.gitmodules`.
    pub has_submodules: bool,
}

impl Worktree {
    /// Whether anything differs from the last commit.
    pub fn is_dirty(&self) -> bool {
        !self.changed.is_empty()
    }
}

/// Whether a file is among some files, or a directory with such a file below it.
pub fn contains(files: &BTreeSet<PathBuf>, path: &Path) -> bool {
    files.contains(path) || files.range(path.to_owned()..).next().is_some_and(|next| next.starts_with(path))
}

impl Repository {
    /// Looks at the working tree.
    ///
    /// # Errors
    /// `git` fails.
    pub fn status(&self) -> Result<Worktree, GitError> {
        let head = match self.resolve("HEAD") {
            Ok(rev) => Some(rev),
            Err(GitError::NoReference(_)) => None,
            Err(other) => return Err(other),
        };
        let mut files = BTreeSet::new();
        for line in self.run(&["ls-files", "--stage", "-z"], None)?.split(|byte| *byte == 0) {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
            let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
            let is_submodule = line.starts_with(b"160000 ");
            if !is_submodule
                && nopal_fs::symlink_metadata_if_exists(&self.dir().join(&path)).is_ok_and(|it| it.is_some())
            {
                files.insert(path);
            }
        }
        let status = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=no", "--ignore-submodules=all"];
        let changed = self.run(&status, None)?;
        let changed = changed.split(|byte| *byte == 0).filter_map(|line| line.get(3..));
        let changed = changed.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect();
        let has_submodules = nopal_fs::exists(&self.dir().join(".gitmodules"));
        Ok(Worktree { files, changed, head, has_submodules })
    }

    /// Which of some files of the working tree, or directories (ending in a slash), are not for export.
    ///
    /// # Errors
    /// `git` fails.
    pub fn export_ignored(&self, paths: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>, GitError> {
        let names: Vec<Vec<u8>> = paths.iter().map(|path| path_bytes(path).to_vec()).collect();
        self.ignored(&names, None)
    }

    /// Asks for the attribute `export-ignore` of paths, in a commit or in the working tree.
    pub(super) fn ignored(&self, paths: &[Vec<u8>], rev: Option<&str>) -> Result<BTreeSet<PathBuf>, GitError> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path);
            input.push(0);
        }
        let source = rev.map(|rev| format!("--source={rev}"));
        let mut arguments = vec!["check-attr", "--stdin", "-z"];
        arguments.extend(source.as_deref());
        arguments.push("export-ignore");
        let output = self.run(&arguments, Some(&input))?;
        let fields: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
        let ignored = fields.chunks_exact(3).filter(|fields| fields[2] == b"set");
        let path = |fields: &[&[u8]]| {
            let name = fields[0].strip_suffix(b"/").unwrap_or(fields[0]);
            PathBuf::from(OsStr::from_bytes(name))
        };
        Ok(ignored.map(path).collect())
    }
}

//! Mercurial repositories, through the program `hg`, as Nix does it (`mercurial.cc`): a copy of the repository in a cache,
//! of which commits are written out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nopal_fs::FsError;

/// What `hg archive` adds to the tree that it writes.
const ARCHIVE_NOTE: &str = ".hg_archival.txt";

/// Why Mercurial could not do it.
#[derive(Debug, thiserror::Error)]
pub enum MercurialError {
    /// The program is not there.
    #[error("executing 'hg': {0}")]
    NoProgram(std::io::Error),
    /// It failed, and said why on standard error.
    #[error("{command} {}", shown_status(*status))]
    Failed {
        /// What was run: `hg`, or a command in quotes.
        command: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// It did not answer what it was asked.
    #[error("'hg log' of the Mercurial repository '{}' cannot be read", repository.display())]
    Malformed {
        /// The repository.
        repository: PathBuf,
    },
    /// A file operation.
    #[error(transparent)]
    Fs(#[from] FsError),
}

fn shown_status(status: ExitStatus) -> String {
    status.code().map_or_else(|| format!("failed: {status}"), |code| format!("failed with exit code {code}"))
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its hash: 40 digits.
    pub node: String,
    /// Its number in the repository that was asked.
    pub number: u64,
    /// The branch that it is on.
    pub branch: String,
}

/// How to call `hg`.
#[derive(Clone, Debug)]
pub struct Mercurial {
    environment: BTreeMap<OsString, OsString>,
}

impl Mercurial {
    /// With the environment of the caller: it says where the program and the user's configuration are.
    pub fn new(environment: &BTreeMap<OsString, OsString>) -> Self {
        Self { environment: environment.clone() }
    }

    /// What it complains about users see.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("hg");
        command.env_clear().envs(&self.environment).env("HGPLAIN", "").arg(name);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    fn command_in(&self, repository: &Path, name: &str) -> Command {
        let mut command = self.command(name);
        command.arg("-R").arg(repository);
        command
    }

    /// Whether files of a working tree differ from its commit.
    ///
    /// # Errors
    /// `hg` fails.
    pub fn is_dirty(&self, worktree: &Path) -> Result<bool, MercurialError> {
        Ok(!run(self.command_in(worktree, "status").args(["--modified", "--added", "--removed"]))?.is_empty())
    }

    /// The branch of a working tree.
    ///
    /// # Errors
    /// `hg` fails.
    pub fn branch(&self, worktree: &Path) -> Result<String, MercurialError> {
        let branch = run(&mut self.command_in(worktree, "branch"))?;
        Ok(String::from_utf8_lossy(&branch).trim_end().to_owned())
    }

    /// The files of a working tree that Mercurial knows of, relative to it.
    ///
    /// # Errors
    /// `hg` fails.
    pub fn files(&self, worktree: &Path) -> Result<BTreeSet<PathBuf>, MercurialError> {
        let what = ["--clean", "--modified", "--added", "--no-status", "--print0"];
        let listed = run(self.command_in(worktree, "status").args(what))?;
        let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| PathBuf::from(OsString::from_vec(name.to_vec()))).collect())
    }

    /// Makes Mercurial know of a file, and commits it if there is a message.
    ///
    /// # Errors
    /// `hg` fails.
    pub fn put_file(&self, file: &Path, message: Option<&str>) -> Result<(), MercurialError> {
        run(self.command("add").arg(file))?;
        if let Some(message) = message {
            run(self.command("commit").arg(file).args(["-m", message]))?;
        }
        Ok(())
    }

    /// Whether a repository has a commit.
    pub fn has_commit(&self, repository: &Path, rev: &str) -> bool {
        nopal_fs::exists(repository)
            && run(self.command_in(repository, "log").args(["-r", rev, "--template", "1"]))
                .is_ok_and(|found| found == b"1")
    }

    /// Makes a copy of a repository, without files, or brings it up to date.
    ///
    /// # Errors
    /// `hg` fails.
    pub fn update_copy(&self, url: &OsStr, copy: &Path) -> Result<(), MercurialError> {
        if !nopal_fs::exists(copy) {
            return run(self.command("clone").args(["--noupdate", "--"]).arg(url).arg(copy)).map(drop);
        }
        let pull = || run(self.command_in(copy, "pull").arg("--").arg(url)).map(drop);
        match pull() {
            // it was interrupted before
            Err(MercurialError::Failed { .. }) if nopal_fs::exists(&copy.join(".hg/store/journal")) => {
                run(&mut self.command_in(copy, "recover"))?;
                pull()
            }
            Err(MercurialError::Failed { status, .. }) => Err(MercurialError::Failed { command: "'hg pull'", status }),
            other => other,
        }
    }

    /// The commit that a hash, branch or tag is.
    ///
    /// # Errors
    /// `hg` fails.
    pub fn commit(&self, repository: &Path, name: &str) -> Result<Commit, MercurialError> {
        let answer = run(self.command_in(repository, "log").args(["-r", name, "--template", "{node} {rev} {branch}"]))?;
        let answer = String::from_utf8_lossy(&answer);
        let mut words = answer.split_whitespace();
        let commit = (|| {
            let (node, number, branch) = (words.next()?, words.next()?, words.next()?);
            Some(Commit { node: node.to_owned(), number: number.parse().ok()?, branch: branch.to_owned() })
        })();
        commit.ok_or_else(|| MercurialError::Malformed { repository: repository.to_owned() })
    }

    /// Writes the tree of a commit to a directory that does not exist.
    ///
    /// # Errors
    /// `hg` fails, or a file cannot be written.
    pub fn export(&self, repository: &Path, rev: &str, destination: &Path) -> Result<(), MercurialError> {
        run(self.command_in(repository, "archive").args(["-r", rev]).arg(destination))?;
        nopal_fs::remove_tree_if_exists(&destination.join(ARCHIVE_NOTE))?;
        Ok(())
    }
}

/// Runs a command to its end and takes what it prints.
fn run(command: &mut Command) -> Result<Vec<u8>, MercurialError> {
    let output = command.output().map_err(MercurialError::NoProgram)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(MercurialError::Failed { command: "hg", status: output.status })
}

//! Git repositories, through the program `git`.
//!
//! Why the program and no library: remotes need what a user has set up for it (credentials, `insteadOf`, SSH, proxies),
//! so that Nix itself calls it to fetch; a library for the rest would bring a hundred crates for what its plumbing
//! commands print, and would have to follow every new form of repositories (hash algorithm, index, references, partial
//! clones). What is asked here costs a few processes of some milliseconds for each repository.
//!
//! Trees are written as they are in the repository: no conversion of line ends, no filters, no `export-subst`.

mod export;
mod status;
mod submodules;
#[cfg(test)]
mod tests;

pub use status::{Worktree, contains};
pub use submodules::Submodule;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nopal_fs::FsError;

/// Variables by which a caller (a hook, say) points `git` at a repository of its own.
const OTHER_REPOSITORY: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CEILING_DIRECTORIES",
];

/// The branch of a repository that we make, so that `git` does not advise about its name.
const DUMMY_BRANCH: &str = "__nopal_dummy_branch";

/// Why Git could not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is not there.
    #[error("cannot run 'git': {0}")]
    NoProgram(std::io::Error),
    /// It failed; its own words.
    #[error("'git {command}' failed: {message}")]
    Failed {
        /// The subcommand.
        command: String,
        /// What it said.
        message: String,
    },
    /// A name that means no commit; the words are those of Nix, which asks a library.
    #[error("resolving Git reference '{0}': revspec '{0}' not found (libgit2 error code = 4)")]
    NoReference(String),
    /// A commit that is not in a repository of this machine, likewise.
    #[error("getting Git object '{0}': object not found - no match for id ({0}) (libgit2 error code = 9)")]
    NoObject(String),
    /// A fetch failed.
    #[error("Failed to fetch git repository '{0}'")]
    Fetch(String),
    /// A signature is missing or by somebody else.
    #[error("{0}")]
    Signature(String),
    /// Something in a repository is not as it should be.
    #[error("{what} of the Git repository '{}' cannot be read", repository.display())]
    Malformed {
        /// What it is.
        what: String,
        /// The repository.
        repository: PathBuf,
    },
    /// A file operation.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// How to call `git`.
#[derive(Debug, Clone)]
pub struct Git {
    environment: BTreeMap<OsString, OsString>,
}

impl Git {
    /// With the environment of the caller: it says where the program and the user's configuration are.
    pub fn new(environment: &BTreeMap<OsString, OsString>) -> Self {
        let kept = environment.iter().filter(|(name, _)| !OTHER_REPOSITORY.iter().any(|other| *name == other));
        Self { environment: kept.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.env_clear().envs(&self.environment).stdin(Stdio::null());
        // neither prompts in other languages nor a monitor that the repository asks for
        command.env("LC_ALL", "C").arg("--no-optional-locks").args(["-c", "core.fsmonitor=false"]);
        command
    }

    /// Clones for a user, who sees what `git` says.
    ///
    /// # Errors
    /// It fails.
    pub fn clone(&self, url: &str, branch: Option<&str>, destination: &Path) -> Result<(), GitError> {
        let mut command = self.command();
        command.arg("clone").arg(url);
        if let Some(branch) = branch {
            command.args(["--branch", branch]);
        }
        command.arg(destination);
        let status = command.status().map_err(GitError::NoProgram)?;
        if status.success() {
            return Ok(());
        }
        Err(GitError::Failed { command: "clone".to_owned(), message: status.to_string() })
    }

    /// What `HEAD` of a remote is: the name of a branch, or a commit. `None` if it cannot be found out.
    pub fn remote_head(&self, url: &OsStr) -> Option<String> {
        let mut command = self.command();
        command.args(["ls-remote", "--symref", "--"]).arg(url).arg("HEAD");
        let output = command.stderr(Stdio::inherit()).output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (target, name) = text.lines().next()?.split_once('\t')?;
        (name == "HEAD").then(|| target.strip_prefix("ref: ").unwrap_or(target).trim().to_owned())
    }

    /// The commit that a branch or tag of a remote is.
    ///
    /// # Errors
    /// The remote does not answer.
    pub fn remote_rev(&self, url: &str, reference: &str) -> Result<Option<String>, GitError> {
        let mut command = self.command();
        command.args(["ls-remote", "--", url, reference]);
        let listed = run(&mut command, "ls-remote", None)?;
        let text = String::from_utf8_lossy(&listed).into_owned();
        Ok(text.lines().next().and_then(|line| line.split('\t').next()).map(str::to_owned))
    }

    /// Makes a repository without files for what is fetched, or opens it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn cache(&self, dir: &Path) -> Result<Repository, GitError> {
        if !nopal_fs::exists(&dir.join("HEAD")) {
            nopal_fs::create_dir_all(dir)?;
            let mut command = self.command();
            command.args(["-c", &format!("init.defaultBranch={DUMMY_BRANCH}"), "init", "--quiet", "--bare", "--"]);
            run(command.arg(dir), "init", None)?;
        }
        Ok(Repository { git: self.clone_settings(), dir: dir.to_owned(), is_cache: true })
    }

    /// A repository with files in it.
    pub fn worktree(&self, dir: &Path) -> Repository {
        Repository { git: self.clone_settings(), dir: dir.to_owned(), is_cache: false }
    }

    fn clone_settings(&self) -> Self {
        Self { environment: self.environment.clone() }
    }
}

/// Runs a command to its end and takes what it prints.
fn run(command: &mut Command, name: &str, input: Option<&[u8]>) -> Result<Vec<u8>, GitError> {
    let output = match input {
        None => command.output().map_err(GitError::NoProgram)?,
        Some(input) => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().map_err(GitError::NoProgram)?;
            let pipe = child.stdin.take();
            // written beside, because it answers while it reads
            std::thread::scope(|scope| {
                scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(input)));
                child.wait_with_output().map_err(GitError::NoProgram)
            })?
        }
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitError::Failed { command: name.to_owned(), message })
}

/// One repository.
#[derive(Debug)]
pub struct Repository {
    git: Git,
    dir: PathBuf,
    /// Whether the directory is the repository itself.
    is_cache: bool,
}

/// What a commit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// When it was committed, in seconds since 1970.
    pub time: u64,
}

impl Repository {
    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn command(&self) -> Command {
        let mut command = self.git.command();
        command.arg("-C").arg(&self.dir);
        if self.is_cache {
            command.arg("--git-dir=.");
        } else {
            command.arg("--git-dir=.git").arg("--work-tree=.");
        }
        command
    }

    fn run(&self, arguments: &[&str], input: Option<&[u8]>) -> Result<Vec<u8>, GitError> {
        run(self.command().args(arguments), arguments.first().copied().unwrap_or_default(), input)
    }

    fn line(&self, arguments: &[&str]) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.run(arguments, None)?).trim().to_owned())
    }

    /// Whether history is cut off.
    ///
    /// # Errors
    /// `git` fails.
    pub fn is_shallow(&self) -> Result<bool, GitError> {
        Ok(self.line(&["rev-parse", "--is-shallow-repository"])? == "true")
    }

    /// The branch that is checked out; `None` if a commit is.
    pub fn head_branch(&self) -> Option<String> {
        self.line(&["symbolic-ref", "--quiet", "HEAD"]).ok().filter(|name| !name.is_empty())
    }

    /// The commit that a name means.
    ///
    /// # Errors
    /// None.
    pub fn resolve(&self, reference: &str) -> Result<String, GitError> {
        let commit = format!("{reference}^{{commit}}");
        self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]).map_err(|error| match error {
            GitError::Failed { .. } => GitError::NoReference(reference.to_owned()),
            other => other,
        })
    }

    /// Whether an object is here.
    pub fn has_object(&self, rev: &str) -> bool {
        // without asking a remote for what a partial clone leaves out
        let mut command = self.command();
        command.env("GIT_NO_LAZY_FETCH", "1").args(["cat-file", "-e", rev]);
        run(&mut command, "cat-file", None).is_ok()
    }

    /// What a commit says.
    ///
    /// # Errors
    /// It is not here.
    pub fn commit(&self, rev: &str) -> Result<Commit, GitError> {
        let text = self.run(&["cat-file", "commit", rev], None)?;
        let malformed = || GitError::Malformed { what: format!("commit '{rev}'"), repository: self.dir.clone() };
        let line =
            text.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"committer ")).ok_or_else(malformed)?;
        let time = line.rsplit(|byte| *byte == b' ').nth(1).and_then(|time| std::str::from_utf8(time).ok());
        Ok(Commit { time: time.and_then(|time| time.parse().ok()).ok_or_else(malformed)? })
    }

    /// How many commits lead to a commit, itself included.
    ///
    /// # Errors
    /// History is incomplete.
    pub fn rev_count(&self, rev: &str) -> Result<u64, GitError> {
        let malformed = || GitError::Malformed { what: format!("history of '{rev}'"), repository: self.dir.clone() };
        self.line(&["rev-list", "--count", rev])?.parse().map_err(|_| malformed())
    }

    /// Fetches into a cache. The user sees what `git` says, and may be asked.
    ///
    /// # Errors
    /// It fails.
    pub fn fetch(&self, url: &str, refspec: &str, shallow: bool) -> Result<(), GitError> {
        let mut command = self.command();
        command.args(["fetch", "--quiet", "--force"]);
        if shallow {
            command.args(["--depth", "1"]);
        }
        command.args(["--", url, refspec]).stdin(Stdio::inherit()).stdout(Stdio::null());
        let status = command.status().map_err(GitError::NoProgram)?;
        if status.success() { Ok(()) } else { Err(GitError::Fetch(url.to_owned())) }
    }

    /// Remembers where a cache is fetched from: submodules are named relative to that.
    ///
    /// # Errors
    /// `git` fails.
    pub fn set_origin(&self, url: &str) -> Result<(), GitError> {
        self.run(&["config", "remote.origin.url", url], None).map(drop)
    }

    /// Where it was cloned or is fetched from.
    pub fn origin(&self) -> Option<String> {
        self.line(&["config", "--get", "remote.origin.url"]).ok().filter(|url| !url.is_empty())
    }

    /// Remembers the branch that `HEAD` of a remote is.
    ///
    /// # Errors
    /// `git` fails.
    pub fn set_head(&self, branch: &str) -> Result<(), GitError> {
        self.run(&["symbolic-ref", "--", "HEAD", branch], None).map(drop)
    }

    /// The branch that [`set_head`](Self::set_head) remembered.
    pub fn cached_head(&self) -> Option<String> {
        self.head_branch().filter(|name| name.strip_prefix("refs/heads/") != Some(DUMMY_BRANCH))
    }

    /// Whether a file would be ignored.
    pub fn is_ignored(&self, path: &str) -> bool {
        self.run(&["check-ignore", "--quiet", path], None).is_ok()
    }

    /// Tells the index of a file without its contents, so that it counts as part of the tree.
    ///
    /// # Errors
    /// `git` fails.
    pub fn intend_to_add(&self, path: &str) -> Result<(), GitError> {
        self.run(&["add", "--intent-to-add", "--", path], None).map(drop)
    }

    /// As [`intend_to_add`](Self::intend_to_add) for several files, ignored or not.
    ///
    /// # Errors
    /// `git` fails.
    pub fn intend_to_add_all(&self, paths: &[PathBuf]) -> Result<(), GitError> {
        let mut command = self.command();
        command.args(["add", "--intent-to-add", "--force", "--"]).args(paths);
        run(&mut command, "add", None).map(drop)
    }

    /// Commits one file. The user may be asked for a passphrase.
    ///
    /// # Errors
    /// `git` fails.
    pub fn commit_file(&self, path: &str, message: &str) -> Result<(), GitError> {
        self.run(&["commit", path, "-F", "-"], Some(message.as_bytes())).map(drop)
    }

    /// Checks the signature of a commit against keys: type and base 64. `signers` is a file that may be written.
    ///
    /// # Errors
    /// None of them signed it.
    pub fn verify_commit(&self, rev: &str, keys: &[(String, String)], signers: &Path) -> Result<(), GitError> {
        let mut lines = String::new();
        for (kind, key) in keys {
            lines += &format!("* {} {key}\n", ssh_type(kind)?);
        }
        nopal_fs::write(signers, lines.as_bytes())?;
        let mut command = self.command();
        command.args(["-c", &format!("gpg.ssh.allowedSignersFile={}", signers.display()), "verify-commit", rev]);
        let output = command.output().map_err(GitError::NoProgram)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // git also succeeds for other keys that it knows of; it is ours only if it names the key
        let good = |line: &str| line.starts_with("Good \"git\" signature for * with ") && line.contains(" key SHA256:");
        if output.status.success() && said.lines().any(good) {
            return Ok(());
        }
        Err(GitError::Signature(format!("Commit signature verification on commit {rev} failed: {said}")))
    }
}

const SSH_TYPES: [(&str, &str); 6] = [
    ("ssh-dsa", "ssh-dsa"),
    ("ssh-ecdsa", "ssh-ecdsa"),
    ("ssh-ecdsa-sk", "sk-ecdsa-sha2-nistp256@openssh.com"),
    ("ssh-ed25519", "ssh-ed25519"),
    ("ssh-ed25519-sk", "sk-ssh-ed25519@openssh.com"),
    ("ssh-rsa", "ssh-rsa"),
];

/// What OpenSSH calls a type of keys.
fn ssh_type(kind: &str) -> Result<&'static str, GitError> {
    let found = SSH_TYPES.iter().find(|(name, _)| *name == kind);
    found.map(|(_, name)| *name).ok_or_else(|| {
        let known: String = SSH_TYPES.iter().map(|(name, _)| format!("  {name}\n")).collect();
        GitError::Signature(format!("Invalid SSH key type '{kind}' in publicKeys.\nPlease use one of:\n{known}"))
    })
}

/// A path as an argument.
fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

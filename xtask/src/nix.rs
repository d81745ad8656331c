//! Programs under comparison: ours, built here, and any Nix, however it is started.

use crate::setup;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Something that answers to `nix-instantiate`, `nix-build` and `nix-store`.
#[derive(Clone, Debug)]
pub(crate) struct Nix {
    /// For people.
    pub(crate) name: String,
    /// Words before the name of the program, such as a command that enters a tree.
    prefix: Vec<String>,
    /// Folder that holds the programs; otherwise they are looked up in `PATH`.
    bin: Option<PathBuf>,
    /// Major and minor number of the version of Nix that it is, or that it behaves as.
    pub(crate) version: (u32, u32),
}

/// Version of Nix that ours behaves as.
const OURS_IS: (u32, u32) = (2, 34);

impl Nix {
    /// Builds ours, and links it into `folder` under Nix's names.
    pub(crate) fn ours(root: &Path, folder: &Path, build: Build<'_>) -> Result<Self, String> {
        let binary = self::build(root, build)?;
        let bin = folder.join("ours");
        fs::create_dir_all(&bin).map_err(|error| format!("cannot make {}: {error}", bin.display()))?;
        for name in ["nopal", "nix", "nix-instantiate", "nix-build", "nix-store", "patchelf"] {
            std::os::unix::fs::symlink(&binary, bin.join(name))
                .map_err(|error| format!("cannot link {name}: {error}"))?;
        }
        Ok(Self { name: "nopal".to_owned(), prefix: Vec::new(), bin: Some(bin), version: OURS_IS })
    }

    /// Ours, built already: its programs lie in a folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { name: "nopal".to_owned(), prefix: Vec::new(), bin: Some(folder.to_owned()), version: OURS_IS }
    }

    /// The Nix of this machine, if it has one.
    pub(crate) fn installed() -> Option<Self> {
        setup::find("nix-instantiate")?;
        Self::by_prefix("").ok()
    }

    /// A Nix that is started by words before its programs' names, separated by blanks. `-` is nothing.
    pub(crate) fn by_prefix(prefix: &str) -> Result<Self, String> {
        let prefix: Vec<String> = prefix.split_whitespace().map(str::to_owned).collect();
        let mut nix = Self { name: String::new(), prefix, bin: None, version: (0, 0) };
        let output = nix.command("nix-instantiate").arg("--version").output();
        let output = output.map_err(|error| format!("cannot run {:?}: {error}", nix.prefix))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let number = said.split_whitespace().last().unwrap_or_default();
        let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
        let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else {
            return Err(format!("{:?} is no Nix: it says {:?}", nix.prefix, said.trim()));
        };
        nix.version = (major, minor);
        nix.name = format!("Nix {number}");
        Ok(nix)
    }

    /// Every Nix to compare with: those named, or else the installed one.
    pub(crate) fn peers(prefixes: &[String]) -> Result<Vec<Self>, String> {
        if prefixes.is_empty() {
            return Ok(Self::installed().into_iter().collect());
        }
        prefixes.iter().map(|prefix| Self::by_prefix(prefix)).collect()
    }

    /// The folder that holds the programs, for `PATH`.
    pub(crate) fn bin(&self) -> Option<&Path> {
        self.bin.as_deref()
    }

    /// A command that runs one of its programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program =
            self.bin.as_ref().map_or_else(|| program.to_owned(), |bin| bin.join(program).display().to_string());
        let mut words = self.prefix.iter().cloned().chain([program]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }

    /// Evaluates, feeding the expression to standard input, without touching a store.
    pub(crate) fn pure(&self, flags: &[&str], expression: &[u8]) -> Result<Output, String> {
        let mut command = self.command("nix-instantiate");
        command.args(flags).arg("-").env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store");
        command.env_remove("NIX_PATH").env("NO_COLOR", "1");
        feed(command, expression)
    }
}

/// Runs a command with something on its standard input.
pub(crate) fn feed(mut command: Command, input: &[u8]) -> Result<Output, String> {
    let describe = |error: std::io::Error| format!("cannot run a command: {error}");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(describe)?;
    let mut stdin = child.stdin.take();
    // a child that does not read to the end is no failure of ours
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.take().map(|mut pipe| pipe.write_all(input)));
        child.wait_with_output().map_err(describe)
    })
}

/// How ours is built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Build<'a> {
    /// As while it is written.
    Debug,
    /// As users have it.
    Release,
    /// As users have it, but it counts what it does, into files in the first folder. It is built in the second.
    Counting(&'a Path, &'a Path),
}

impl Build<'_> {
    /// A build for users or not.
    pub(crate) fn of(release: bool) -> Self {
        if release { Self::Release } else { Self::Debug }
    }
}

/// Builds the `nopal` binary and says where it is.
pub(crate) fn build(root: &Path, build: Build<'_>) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--package", "nopal", "--message-format", "json-render-diagnostics"])
        .current_dir(root);
    match build {
        Build::Debug => {}
        Build::Release => _ = cargo.arg("--release"),
        // cargo does not know about the variable, so it must find nothing that is built already
        Build::Counting(counts, target) => {
            cargo.args(["--release", "--target-dir"]).arg(target).env("NOPAL_COUNT_INTO", counts);
        }
    }
    let output = cargo.stderr(Stdio::inherit()).output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("nopal does not build".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().filter(|path| path.ends_with("/nopal")).map(PathBuf::from)
    });
    executable.ok_or_else(|| "cargo names no executable nopal".to_owned())
}

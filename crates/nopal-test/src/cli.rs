//! Running a command for a snapshot: nothing of the machine gets in, nothing of it shows in what comes out.

use crate::OrdinaryUser;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Width that wrapped output is made for.
const COLUMNS: &str = "100";

/// A home of its own and a cleared environment for commands under test.
#[derive(Debug)]
pub struct CliEnv {
    folder: TempDir,
    variables: Vec<(String, String)>,
    filters: Vec<(String, String)>,
    user: Option<OrdinaryUser>,
}

impl CliEnv {
    /// Makes the folders.
    ///
    /// # Errors
    /// What the system says to making folders.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("nopal-test-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        for name in ["home", "work", "tmp"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let filters = vec![(folder.path().display().to_string(), "$TEST".to_owned())];
        Ok(Self { folder, variables: Vec::new(), filters, user: None })
    }

    /// Likewise, and commands run as an ordinary user even if the tests run as root.
    ///
    /// # Errors
    /// What the system says to making folders and giving them away.
    pub fn ordinary() -> io::Result<Self> {
        let user = OrdinaryUser::get();
        let made = Self { user: Some(user), ..Self::new()? };
        user.give(made.folder.path())?;
        Ok(made)
    }

    /// The folder that holds all others.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// `$HOME` of the commands; the XDG folders are those below it.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder in which commands run.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Writes a file below [`CliEnv::work`], making folders as needed, and returns its path.
    ///
    /// # Errors
    /// What the system says to writing it.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.work().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        if let Some(user) = self.user {
            user.give(&self.work())?;
        }
        Ok(path)
    }

    /// Sets a variable for all commands made from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Replaces a text in everything rendered.
    pub fn filter(&mut self, text: &str, replacement: &str) {
        self.filters.push((text.to_owned(), replacement.to_owned()));
    }

    /// A command with nothing of this machine's environment but the system's `PATH`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let home = self.home();
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.work());
        command.env("HOME", &home).env("TMPDIR", self.folder.path().join("tmp")).env("USER", "somebody");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("COLUMNS", COLUMNS);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb").env("NO_COLOR", "1").env("TZ", "UTC");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            user.apply(&mut command);
        }
        command
    }

    /// Runs a command and renders exit code, stdout and stderr.
    ///
    /// # Errors
    /// If the command cannot be started.
    pub fn run(&self, command: &mut Command) -> io::Result<String> {
        command.output().map(|output| self.render(&output))
    }

    /// Renders what a command did: exit code, stdout and stderr, with paths and hashes replaced.
    pub fn render(&self, output: &Output) -> String {
        let exit = match output.status.code() {
            Some(code) => format!("exit code: {code}"),
            None => output.status.to_string(),
        };
        let stdout = self.clean(&String::from_utf8_lossy(&output.stdout));
        let stderr = self.clean(&String::from_utf8_lossy(&output.stderr));
        format!("{exit}\n----- stdout -----\n{stdout}----- stderr -----\n{stderr}")
    }

    /// Applies the filters.
    pub fn clean(&self, text: &str) -> String {
        self.filters.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_sees_a_clean_room_and_shows_no_paths() {
        let mut env = CliEnv::new().unwrap();
        env.set("GREETING", "hi");
        env.filter("hi", "[GREETING]");
        let mut shell = env.command("/bin/sh");
        shell.args(["-c", "echo $GREETING $HOME; echo ${CARGO_MANIFEST_DIR-none} >&2; exit 3"]);
        let text = env.run(&mut shell).unwrap();
        assert_eq!(text, "exit code: 3\n----- stdout -----\n[GREETING] $TEST/home\n----- stderr -----\nnone\n");
    }
}

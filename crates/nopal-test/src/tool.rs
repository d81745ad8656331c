//! Programs that a test needs and a machine may not have.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program on this machine.
#[derive(Clone, Debug)]
pub struct Tool {
    path: PathBuf,
}

impl Tool {
    /// Finds a program: first in the variable `NOPAL_TEST_<NAME>` (capitals, `-` as `_`), then in `PATH`, then in the
    /// usual system folders. Where it is missing the test is skipped as [`skip`] does.
    ///
    /// ```no_run
    /// let Some(nix) = nopal_test::Tool::find("nix-instantiate") else { return };
    /// ```
    pub fn find(name: &str) -> Option<Self> {
        let variable = format!("NOPAL_TEST_{}", name.to_uppercase().replace('-', "_"));
        if let Some(path) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            return Some(Self { path: path.into() });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let system = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        let found = std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|p| p.is_file());
        if found.is_none() {
            skip(&format!("needs {name}, which is not installed"));
        }
        found.map(|path| Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs it.
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }
}

/// Says that the running test is skipped, and why: on stderr and in the file `NOPAL_TEST_SKIP_LOG` names.
///
/// # Panics
/// If `NOPAL_TEST_NO_SKIP` is set: where everything is installed, a skip is a hole in the tests.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("SKIPPED: {test} {why}");
    if let Some(log) = std::env::var_os("NOPAL_TEST_SKIP_LOG").filter(|value| !value.is_empty()) {
        let line = format!("{test} {why}\n");
        let written =
            OpenOptions::new().create(true).append(true).open(log).and_then(|mut f| f.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("SKIPPED: cannot write that down: {error}");
        }
    }
    let strict = std::env::var_os("NOPAL_TEST_NO_SKIP").is_some_and(|value| !value.is_empty() && value != "0");
    assert!(!strict, "{test} {why}, and NOPAL_TEST_NO_SKIP forbids skipping");
}

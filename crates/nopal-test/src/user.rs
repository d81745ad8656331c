//! Tests of what an ordinary user can do, when the tests themselves run as root.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// A user without privileges: the current one, or another one if the current one is root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrdinaryUser {
    /// User and group to change to; nothing if the current user is ordinary already.
    switch: Option<(u32, u32)>,
}

/// The ids taken when the tests run as root. Nobody needs to have them in /etc/passwd.
const ID: u32 = 1000;
/// Set in the environment of a test that was started again.
const RERUN: &str = "NOPAL_TEST_RERUN";

impl OrdinaryUser {
    /// Looks at who runs the tests.
    pub fn get() -> Self {
        let root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        Self { switch: root.then_some((ID, ID)) }
    }

    /// Makes a command run as that user, without supplementary groups.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some((uid, gid)) = self.switch {
            command.gid(gid).uid(uid);
        }
        command
    }

    /// Gives a tree to that user.
    ///
    /// # Errors
    /// What the system says to `lchown` and to listing folders.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        let Some((uid, gid)) = self.switch else { return Ok(()) };
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give(&entry?.path())?;
            }
        }
        lchown(path, Some(uid), Some(gid))
    }

    /// Runs the calling test again as that user and returns true when it is done; returns false if the caller is
    /// that user, and should go on. `test` is the test's full name, e.g. `"sandbox::network_is_away"`.
    ///
    /// # Panics
    /// If the test fails over there.
    pub fn rerun(test: &str) -> bool {
        let user = Self::get();
        if user.switch.is_none() || std::env::var_os(RERUN).is_some() {
            return false;
        }
        let run = || -> io::Result<bool> {
            let folder = tempfile::tempdir()?;
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
            // the build folder may lie where only root may look
            let program = folder.path().join("tests");
            fs::copy(std::env::current_exe()?, &program)?;
            let home = folder.path().join("home");
            fs::create_dir(&home)?;
            chown(&home, Some(ID), Some(ID))?;
            let mut command = Command::new(&program);
            command.args(["--exact", test, "--nocapture"]).env(RERUN, "1").env("HOME", &home).env("TMPDIR", &home);
            command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_DATA_HOME").current_dir(&home);
            let output = user.apply(&mut command).output()?;
            let said = String::from_utf8_lossy(&output.stdout);
            eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
            assert!(said.contains("1 passed") || !output.status.success(), "there is no test named {test}");
            Ok(output.status.success())
        };
        match run() {
            Ok(success) => assert!(success, "{test} fails as user {ID}"),
            Err(error) => panic!("cannot run {test} as user {ID}: {error}"),
        }
        true
    }
}

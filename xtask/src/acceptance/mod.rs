//! `cargo xtask acceptance`: the main job, as an ordinary user, in a root that holds nothing.
//!
//! A directory becomes the whole file system: the `nopal` binary, `/proc`, `/dev`, a home, a `resolv.conf` and a
//! keyring file. Mirror, suite and keyring are given by flags, since there is no apt. Every case runs twice over the
//! same home: first with the network, then in a network namespace of its own, from the store so filled.
//!
//! No root is needed: `unshare` gives a user namespace in which the caller keeps its id, and the hidden
//! `enter-empty-root` chore pivots into the directory and drops all capabilities before it starts `nopal`.

mod cases;
mod enter;

use std::fs;
use std::io::Error as IoError;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

pub(crate) use enter::enter;

/// The ordinary user that the cases run as when the chore is started by root.
const USER_ID: u32 = 1000;

/// What the chore is asked to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The `nopal` binary to test; a release build by default.
    #[arg(long)]
    nopal: PathBuf,
    /// Base URL of the Debian mirror.
    #[arg(long)]
    mirror: String,
    /// Suite to take packages from.
    #[arg(long, default_value = "bookworm")]
    suite: String,
    /// File with the archive's OpenPGP keys.
    #[arg(long, default_value = "/usr/share/keyrings/debian-archive-keyring.gpg")]
    keyring: PathBuf,
    /// Only the cases whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Keep the root directory here instead of removing it.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Runs every case online and offline; `Ok(false)` if one failed.
///
/// # Errors
/// The root directory cannot be laid out, or `unshare` cannot be started.
pub(crate) fn run(options: &Options) -> Result<bool, String> {
    let temporary = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let root = options.keep.clone().unwrap_or_else(|| temporary.path().join("root"));
    let room = Room::lay_out(&root, options).map_err(|error| format!("laying out {}: {error}", root.display()))?;
    let mut failures = 0_u32;
    let mut ran = 0_u32;
    for network in [Network::Online, Network::Offline] {
        for case in cases::ALL {
            if options.only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
                continue;
            }
            ran += 1;
            if !room.check(case, network)? {
                failures += 1;
            }
        }
    }
    println!("{} passed, {failures} failed", ran - failures);
    Ok(failures == 0)
}

/// Whether a case may use the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Online,
    Offline,
}

/// The laid-out root and how to start `nopal` in it.
struct Room<'a> {
    root: &'a Path,
    options: &'a Options,
}

impl<'a> Room<'a> {
    fn lay_out(root: &'a Path, options: &'a Options) -> Result<Self, IoError> {
        for directory in ["bin", "etc", "proc", "dev", "home/user", "old"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::copy(&options.nopal, root.join("bin/nopal"))?;
        fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf"))?;
        fs::copy(&options.keyring, root.join("etc/keyring.gpg"))?;
        // every directory on the way must be searchable for the ordinary user
        if let Some(parent) = root.parent() {
            fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
        }
        if rustix::process::geteuid().is_root() {
            for owned in ["", "home", "home/user", "old"] {
                std::os::unix::fs::chown(root.join(owned), Some(USER_ID), Some(USER_ID))?;
            }
        }
        Ok(Self { root, options })
    }

    /// Runs the steps of one case and tells the outcome on a line.
    fn check(&self, case: &cases::Case, network: Network) -> Result<bool, String> {
        let started = Instant::now();
        for step in case.steps {
            if let Some((name, contents)) = step.file {
                let path = self.root.join("home/user").join(name);
                fs::write(&path, contents).map_err(|error| format!("{}: {error}", path.display()))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(|error| error.to_string())?;
            }
            let output = self.start(step.arguments, network)?;
            let stdout = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() || !stdout.contains(step.expect) {
                println!("FAIL {} ({network:?}): nopal {}", case.name, step.arguments.join(" "));
                println!("  {}; expected stdout to contain {:?}", output.status, step.expect);
                println!("  stdout: {stdout}\n  stderr: {}", String::from_utf8_lossy(&output.stderr));
                return Ok(false);
            }
        }
        println!("ok   {} ({network:?}, {:.1} s)", case.name, started.elapsed().as_secs_f64());
        Ok(true)
    }

    /// `nopal ARGUMENTS` in the room, with the flags that stand in for apt's configuration.
    fn start(&self, arguments: &[&str], network: Network) -> Result<Output, String> {
        let mut command = if rustix::process::geteuid().is_root() {
            let id = USER_ID.to_string();
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", "unshare"]);
            setpriv
        } else {
            Command::new("unshare")
        };
        command.args(["--user", "--map-current-user", "--keep-caps", "--mount"]);
        if network == Network::Offline {
            command.arg("--net");
        }
        let xtask = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        command.arg("--").arg(xtask).arg("enter-empty-root").arg(self.root).arg("--").arg("/bin/nopal");
        let (name, rest) = arguments.split_first().ok_or("a step names no command")?;
        command.arg(name);
        command.args(["--mirror", &self.options.mirror, "--suite", &self.options.suite]);
        command.args(["--keyring", "/etc/keyring.gpg"]).args(rest);
        command.env_clear();
        command.env("HOME", "/home/user").env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LANG", "C.UTF-8");
        command.output().map_err(|error| format!("unshare: {error}"))
    }
}

//! `cargo xtask smoke`: the main job in one breath. An ordinary user with an empty home runs Debian's hello.

use crate::nix;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Who runs it when root starts the chore.
const USER_ID: u32 = 1000;

/// Runs hello once with the network and once without.
pub(crate) fn run(root: &Path) -> Result<bool, String> {
    if !Path::new("/etc/apt").is_dir() {
        eprintln!("smoke: SKIPPED: this machine has no apt, so nothing says where packages come from");
        return Ok(true);
    }
    let binary = nix::build(root, nix::Build::Debug)?;
    let folder = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let home = folder.path().join("home");
    let nopal = folder.path().join("nopal");
    let prepare = || {
        // the build folder may lie where only its owner may look
        fs::copy(&binary, &nopal)?;
        fs::create_dir(&home)?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
    };
    prepare().map_err(|error| format!("cannot prepare a home: {error}"))?;
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if is_root {
        chown(&home, Some(USER_ID), Some(USER_ID)).map_err(|error| format!("cannot give the home away: {error}"))?;
    }
    let mut good = true;
    for flags in [&["run", "deb:hello"][..], &["run", "--offline", "deb:hello"]] {
        let mut command = Command::new(&nopal);
        command.args(flags).env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin").current_dir(&home);
        for proxy in ["http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"] {
            if let Some(value) = std::env::var_os(proxy) {
                command.env(proxy, value);
            }
        }
        if is_root {
            command.gid(USER_ID).uid(USER_ID);
        }
        let start = Instant::now();
        let output = command.output().map_err(|error| format!("cannot run nopal: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let hello = output.status.success() && said == "Hello, world!\n";
        println!("nopal {}: {} ({} ms)", flags.join(" "), said.trim(), start.elapsed().as_millis());
        if !hello {
            eprintln!("smoke: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
            good = false;
        }
    }
    Ok(good)
}

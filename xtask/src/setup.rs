//! `cargo xtask setup`: what the tests need beside Rust, installed through apt where that is possible.

use std::path::PathBuf;
use std::process::Command;

/// A program that tests use, and the Debian package that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

const NEEDS: &[Need] = &[
    Need { program: "nix-instantiate", package: "nix-bin", why: "oracle for evaluation, derivations and stores" },
    Need { program: "busybox", package: "busybox-static", why: "shell inside of sandboxes under test" },
    Need { program: "git", package: "git", why: "fetches repositories for evaluation" },
    Need { program: "hg", package: "mercurial", why: "fetches repositories for evaluation" },
    Need { program: "gpg", package: "gnupg", why: "makes signed indexes for tests" },
    Need { program: "readelf", package: "binutils", why: "reads programs that were edited" },
    Need { program: "dpkg-deb", package: "dpkg", why: "makes packages for tests" },
];

/// Installs what is missing, or says what to install. Never fails for a missing tool: tests skip loudly.
pub(crate) fn run() -> Result<bool, String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| find(need.program).is_none()).collect();
    if missing.is_empty() {
        eprintln!("setup: everything that tests need is here");
        return Ok(true);
    }
    for need in &missing {
        eprintln!("setup: {} is missing ({})", need.program, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root || find("apt-get").is_none() {
        eprintln!(
            "setup: tests that need them will be skipped; to install them: apt-get install {}",
            packages.join(" ")
        );
        return Ok(true);
    }
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)?;
    Ok(true)
}

/// Finds a program in `PATH` or the system's folders.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    eprintln!("setup: apt-get {}", arguments.join(" "));
    let output = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .map_err(|error| format!("cannot run apt-get: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("apt-get {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

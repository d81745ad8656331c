//! `cargo xtask test`: all tests, with nextest where it is installed, and the documentation's examples.

use crate::setup;
use std::path::Path;
use std::process::Command;

/// Runs everything; true if all passed.
pub(crate) fn run(root: &Path, ci: bool) -> Result<bool, String> {
    setup::run()?;
    // documentation first: the closing line of the tests proper is the one to see last
    let mut passed = cargo(root, &["test", "--quiet", "--workspace", "--locked", "--doc"])?;
    let nextest = Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let skipped = std::env::var_os("NOPAL_TEST_SKIP_LOG");
    if let Some(log) = &skipped {
        // of an earlier run
        let _ = std::fs::remove_file(log);
    }
    passed &= if nextest {
        let profile = if ci { "ci" } else { "default" };
        cargo(root, &["nextest", "run", "--workspace", "--locked", "--profile", profile])?
    } else {
        eprintln!("test: cargo-nextest is not installed; running cargo test instead");
        cargo(root, &["test", "--workspace", "--locked", "--lib", "--bins", "--tests", "--no-fail-fast"])?
    };
    if let Some(lines) = skipped.and_then(|log| std::fs::read_to_string(log).ok()) {
        let count = lines.lines().count();
        eprintln!("test: {count} tests were skipped:\n{}", lines.trim_end());
    }
    Ok(passed)
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<bool, String> {
    eprintln!("test: cargo {}", arguments.join(" "));
    let status = Command::new("cargo").args(arguments).current_dir(root).status();
    status.map(|status| status.success()).map_err(|error| format!("cannot run cargo: {error}"))
}

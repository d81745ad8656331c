//! The cases in tests/lang. `eval-okay-NAME.nix` evaluates strictly to what `.exp` says, `eval-fail-NAME.nix` fails with
//! what `.err` says (the folder of tests written as `/pwd`); a `.flags` beside it has other flags. Under `parse/`,
//! `--parse` of standard input prints `.exp` or fails with `.err`. A first line `# features NAME…` turns experimental
//! features on; one `# since 2.N` names the version of Nix
//! that began to behave so. Of an older Nix than the one we follow, differences are counted, not judged.

use super::Tally;
use crate::nix::{Nix, feed};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The version of which error texts and printed syntax are expected byte for byte.
pub(super) const EXACT: (u32, u32) = (2, 34);

/// Holds one Nix against all expectations in `folder`, which that Nix sees as `inner`.
pub(super) fn compare(folder: &Path, inner: &Path, nix: &Nix) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for path in cases(folder)? {
        let text = read(&path)?;
        let parsing = path.parent().is_some_and(|parent| parent.ends_with("parse"));
        if since(&text).is_some_and(|version| nix.version < version) || parsing && nix.version < EXACT {
            continue;
        }
        let output = match path.strip_prefix(folder) {
            Ok(below) if !parsing => evaluate(&path, &inner.join(below), nix)?,
            _ => nix.pure(&["--parse"], &text)?,
        };
        let fault = difference(&path, inner, nix, output)?;
        if let (Some((expected, actual)), true) = (&fault, nix.version >= EXACT) {
            let [expected, actual] = [expected, actual].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            eprintln!("== {} ({})\n-- expected\n{expected}\n-- {}\n{actual}", path.display(), nix.name, nix.name);
        }
        tally.add(fault.is_none());
    }
    Ok(tally)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn evaluate(path: &Path, inner: &Path, nix: &Nix) -> Result<Output, String> {
    let mut command = nix.command("nix-instantiate");
    match fs::read_to_string(path.with_extension("flags")) {
        Ok(flags) => command.args(flags.split_whitespace()),
        Err(_) => command.args(["--eval", "--strict"]),
    };
    command.arg(inner).env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store");
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let features = text.lines().next().and_then(|line| line.strip_prefix("# features ")).unwrap_or_default();
    command.env("NIX_CONFIG", format!("experimental-features = nix-command flakes {features}"));
    command.env_remove("NIX_PATH").env("NO_COLOR", "1");
    feed(command, b"")
}

/// What was expected, and what came instead.
type Difference = (Vec<u8>, Vec<u8>);

/// What was expected and what came, where they differ.
fn difference(path: &Path, inner: &Path, nix: &Nix, output: Output) -> Result<Option<Difference>, String> {
    // as root, an old Nix complains of groups that a machine without its daemon does not have
    let said = String::from_utf8_lossy(&output.stderr);
    let outer = inner.parent().unwrap_or(inner).display().to_string();
    let stderr: String = said.split_inclusive('\n').filter(|l| !l.contains("build-users-group")).collect();
    let stderr = stderr.replace(&outer, "/pwd").into_bytes();
    let value = path.with_extension("exp");
    if value.exists() {
        let expected = read(&value)?;
        let equal = output.status.success() && output.stdout == expected;
        return Ok((!equal).then(|| (expected, if output.status.success() { output.stdout } else { stderr })));
    }
    let expected = read(&path.with_extension("err"))?;
    let equal = output.status.code() == Some(1) && (nix.version < EXACT || stderr == expected);
    Ok((!equal).then_some((expected, stderr)))
}

/// All cases below a folder, in order.
fn cases(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot list {}: {error}", folder.display()))?.path();
        if path.is_dir() {
            found.extend(cases(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "nix") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The version that a case's first line names.
fn since(text: &[u8]) -> Option<(u32, u32)> {
    let line = text.split(|&b| b == b'\n').next()?;
    let (major, minor) = std::str::from_utf8(line).ok()?.strip_prefix("# since ")?.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

//! The cases in tests/lang: `NAME.nix` and the value (`NAME.exp`) or the error (`NAME.err`) that evaluating it strictly
//! gives; under `parse/`, what `--parse` prints. A first line `# since 2.N` names the version of Nix that began to.

use super::Tally;
use crate::nix::Nix;
use std::fs;
use std::path::{Path, PathBuf};

/// The version of which error texts are expected byte for byte.
const ERRORS_OF: (u32, u32) = (2, 34);

/// Holds one Nix against all expectations.
pub(super) fn compare(folder: &Path, nix: &Nix) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for case in cases(folder)? {
        let read = |path: &Path| fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
        let text = read(&case)?;
        if since(&text).is_some_and(|version| nix.version < version) {
            continue;
        }
        let parsing = case.parent().is_some_and(|parent| parent.ends_with("parse"));
        let flags: &[&str] = if parsing { &["--parse"] } else { &["--eval", "--strict"] };
        let output = nix.pure(flags, &text)?;
        let (value, error) = (case.with_extension("exp"), case.with_extension("err"));
        let fault = if value.exists() {
            let expected = read(&value)?;
            let equal = output.status.success() && output.stdout == expected;
            (!equal).then(|| (expected, if output.status.success() { output.stdout } else { output.stderr }))
        } else {
            let expected = read(&error)?;
            let exact = nix.version >= ERRORS_OF;
            let equal = output.status.code() == Some(1) && (!exact || output.stderr == expected);
            (!equal).then_some((expected, output.stderr))
        };
        if let Some((expected, actual)) = &fault {
            let [expected, actual] = [expected, actual].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            eprintln!("== {} ({})\n-- expected\n{expected}-- {}\n{actual}", case.display(), nix.name, nix.name);
        }
        tally.add(fault.is_none());
    }
    Ok(tally)
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

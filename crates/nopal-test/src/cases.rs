//! Data-driven tests: a folder of inputs, each with its expectation beside it.
//!
//! The expectation of `NAME.nix` is `NAME.EXT`, where `EXT` is what the function under test answers with: a runner
//! may answer with `exp` for a value and `err` for an error, and a case that changes from one to the other fails.
//! A new test is a new file; run once with `NOPAL_BLESS=1`, read what was written, commit it.

use crate::{blessing, diff};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A folder of cases.
#[derive(Debug)]
pub struct Cases {
    folder: PathBuf,
    extension: &'static str,
    outcomes: &'static [&'static str],
}

/// One input.
#[derive(Debug)]
pub struct Case {
    /// Path below the folder, without extension.
    pub name: String,
    /// The input file.
    pub path: PathBuf,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// What a case came to.
#[derive(Debug)]
pub struct Outcome {
    /// Extension of the file that holds the expectation: one of those the runner was made with.
    pub extension: &'static str,
    /// What should stand there.
    pub text: String,
}

impl Outcome {
    /// An outcome; a last line without newline gets one, so that the file ends as text does.
    pub fn new(extension: &'static str, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self { extension, text }
    }
}

impl Cases {
    /// Every `*.EXTENSION` in `folder` and the folders below it. `outcomes` are all extensions an [`Outcome`] may have.
    pub fn new(folder: impl Into<PathBuf>, extension: &'static str, outcomes: &'static [&'static str]) -> Self {
        Self { folder: folder.into(), extension, outcomes }
    }

    /// Runs `function` on every case and compares. A case that panics counts as different.
    ///
    /// # Panics
    /// Once, after all cases ran, with every difference in the message; or if the folder holds no case.
    pub fn check(&self, function: impl Fn(&Case) -> Outcome) {
        let cases = self.load();
        assert!(!cases.is_empty(), "no *.{} in {}", self.extension, self.folder.display());
        let mut faults = Vec::new();
        for case in &cases {
            match catch_unwind(AssertUnwindSafe(|| function(case))) {
                Ok(outcome) => faults.extend(self.compare(case, &outcome)),
                Err(_) => faults.push(format!("== {}: panicked, see above", case.name)),
            }
        }
        if !faults.is_empty() {
            panic!(
                "{} of {} cases in {} differ (NOPAL_BLESS=1 rewrites what is expected)\n{}",
                faults.len(),
                cases.len(),
                self.folder.display(),
                faults.join("\n")
            );
        }
    }

    /// All cases in path order.
    pub fn load(&self) -> Vec<Case> {
        let mut paths = Vec::new();
        collect(&self.folder, self.extension, &mut paths);
        paths.sort();
        paths.into_iter().map(|path| self.read(path)).collect()
    }

    fn read(&self, path: PathBuf) -> Case {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let name = path.strip_prefix(&self.folder).unwrap_or(&path).with_extension("").to_string_lossy().into_owned();
        Case { name, text: String::from_utf8_lossy(&bytes).into_owned(), path }
    }

    /// Says how an outcome differs from what is expected, or writes it down when blessing.
    fn compare(&self, case: &Case, outcome: &Outcome) -> Option<String> {
        let Outcome { extension, text } = outcome;
        assert!(
            self.outcomes.contains(extension),
            "the runner of {} does not name .{extension}",
            self.folder.display()
        );
        let expectation = case.path.with_extension(extension);
        let others = self.outcomes.iter().filter(|e| *e != extension).map(|e| case.path.with_extension(e));
        if blessing() {
            for other in others.filter(|path| path.exists()) {
                let _ = fs::remove_file(other);
            }
            if fs::read_to_string(&expectation).ok().as_ref() != Some(text) {
                fs::write(&expectation, text)
                    .unwrap_or_else(|error| panic!("cannot write {}: {error}", expectation.display()));
            }
            return None;
        }
        if let Some(other) = others.into_iter().find(|path| path.exists()) {
            return Some(format!(
                "== {}: {} is expected, but it came to .{extension}:\n{text}",
                case.name,
                other.display()
            ));
        }
        match fs::read_to_string(&expectation) {
            Ok(expected) if expected == *text => None,
            Ok(expected) => Some(format!("== {}: .{extension} differs\n{}", case.name, diff(&expected, text))),
            Err(_) => Some(format!("== {}: {} is missing; it came to:\n{text}", case.name, expectation.display())),
        }
    }
}

fn collect(folder: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.is_dir() {
            collect(&path, extension, paths);
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn equal_cases_pass() {
        let folder = folder(&[("a.in", "x"), ("a.out", "X\n")]);
        Cases::new(folder.path(), "in", &["out", "err"]).check(|case| Outcome::new("out", case.text.to_uppercase()));
    }

    #[test]
    fn every_difference_is_in_one_message() {
        let folder = folder(&[("a.in", "x"), ("a.out", "y\n"), ("b.in", "x"), ("c.in", "x"), ("c.err", "x\n")]);
        let cases = Cases::new(folder.path(), "in", &["out", "err"]);
        let panic = catch_unwind(|| cases.check(|case| Outcome::new("out", case.text.clone()))).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("3 of 3") && message.contains("-y\n+x\n"), "{message}");
        assert!(message.contains("b.out is missing") && message.contains("c.err is expected"), "{message}");
    }
}

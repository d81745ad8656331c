//! Nix's own language suite, run from its source tree, with the conventions of its tests/functional/lang.sh:
//! `parse-okay` and `parse-fail` go through `--parse -`, `eval-okay` and `eval-fail` through `--eval --strict`.

use super::Tally;
use crate::nix::{Nix, feed};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Settings that the suite's own runner makes.
const NIX_CONFIG: &str =
    "experimental-features = nix-command flakes\nsubstituters =\nshow-trace = true\nsandbox = false";

/// Runs every case and prints how many are equal, by kind.
pub(super) fn run(source: &Path, ours: &Nix, verbose: bool) -> Result<(), String> {
    let functional = source.join("tests/functional");
    let functional =
        functional.canonicalize().map_err(|error| format!("cannot find {}: {error}", functional.display()))?;
    let entries = fs::read_dir(functional.join("lang")).map_err(|error| format!("cannot list the suite: {error}"))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".nix").map(str::to_owned))
        .collect();
    names.sort();
    for kind in ["parse-okay", "parse-fail", "eval-okay", "eval-fail"] {
        let mut tally = Tally::default();
        let mut different = Vec::new();
        for name in names.iter().filter(|name| name.starts_with(kind)) {
            let case = Case { folder: &functional, name, ours };
            if let Some(fault) = case.run(kind)? {
                tally.add(fault.is_empty());
                if !fault.is_empty() {
                    different.push(if verbose { format!("{name}:\n{fault}") } else { name.clone() });
                }
            }
        }
        println!("Nix's language suite, {kind}: {} of {} equal", tally.equal, tally.all);
        for name in different {
            println!("    differs: {name}");
        }
    }
    Ok(())
}

struct Case<'a> {
    folder: &'a Path,
    name: &'a str,
    ours: &'a Nix,
}

impl Case<'_> {
    /// Nothing if the case is disabled; otherwise what differs, or an empty text.
    fn run(&self, kind: &str) -> Result<Option<String>, String> {
        let relative = format!("lang/{}.nix", self.name);
        let mut command = self.command();
        if kind.starts_with("parse") {
            command.args(["--parse", "-"]);
            let input = self.expected("nix");
            let output = feed(command, &input)?;
            let exit = if kind == "parse-okay" { 0 } else { 1 };
            let stdout = if kind == "parse-okay" { Some(self.expected("exp")) } else { None };
            return Ok(Some(self.fault(&output, exit, stdout, Some(self.expected("err.exp")))));
        }
        if kind == "eval-fail" {
            command.args(
                self.flags().unwrap_or_else(|| ["--eval", "--strict", "--show-trace"].map(str::to_owned).to_vec()),
            );
            let output = feed(command_with(command, &[&relative]), b"")?;
            return Ok(Some(self.fault(&output, 1, None, Some(self.expected("err.exp")))));
        }
        if self.path("exp-disabled").exists() {
            return Ok(None);
        }
        if self.path("exp.xml").exists() {
            let command = command_with(command, &["--eval", "--xml", "--no-location", "--strict", &relative]);
            let output = feed(command, b"")?;
            return Ok(Some(self.fault(&output, 0, Some(self.expected("exp.xml")), None)));
        }
        command.env("NIX_PATH", "lang/dir3:lang/dir4").env("HOME", "/fake-home");
        command.args(self.flags().unwrap_or_default());
        let output = feed(command_with(command, &["--eval", "--strict", &relative]), b"")?;
        Ok(Some(self.fault(&output, 0, Some(self.expected("exp")), Some(self.expected("err.exp")))))
    }

    fn command(&self) -> Command {
        let mut command = self.ours.command("nix-instantiate");
        command.current_dir(self.folder).env("TEST_VAR", "foo").env("NIX_REMOTE", "dummy://").env("LANG", "C.UTF-8");
        command.env("NIX_STORE_DIR", "/nix/store").env("NIX_CONFIG", NIX_CONFIG).env_remove("NIX_PATH");
        command
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("lang/{}.{extension}", self.name))
    }

    /// What a file beside the case says; a missing one says nothing.
    fn expected(&self, extension: &str) -> Vec<u8> {
        fs::read(self.path(extension)).unwrap_or_default()
    }

    /// The flags of a case: words, `#` begins a comment.
    fn flags(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.path("flags")).ok()?;
        let words = text.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
        Some(words.map(str::to_owned).collect())
    }

    fn fault(&self, output: &Output, exit: i32, stdout: Option<Vec<u8>>, stderr: Option<Vec<u8>>) -> String {
        let mut fault = String::new();
        if output.status.code() != Some(exit) {
            fault += &format!("exit {:?}, not {exit}\n", output.status.code());
        }
        for (what, actual, expected) in [("stdout", &output.stdout, stdout), ("stderr", &output.stderr, stderr)] {
            let Some(expected) = expected else { continue };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let here = self.folder.display().to_string();
            let (mut actual, expected) = (text(actual).replace(&here, "/pwd"), text(&expected));
            if self.path("postprocess").exists() {
                actual = mask_numbers(&actual);
            }
            if actual != expected {
                fault += &format!("-- {what} expected\n{expected}\n-- {what}\n{actual}\n");
            }
        }
        fault
    }
}

fn command_with(mut command: Command, words: &[&str]) -> Command {
    command.args(words);
    command
}

/// What the suite's one post-processing script does: numbers vary, so they are masked, those in a column of eight with
/// the blanks before them.
fn mask_numbers(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let column = |at: usize| {
        (at..at + 7).all(|i| digit(i) || bytes.get(i) == Some(&b' '))
            && digit(at + 7)
            && at + 8 < bytes.len()
            && !digit(at + 8)
    };
    let mut masked = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if column(at) {
            masked.extend(b"<number>");
            at += 8;
        } else if digit(at) {
            masked.extend(b"<number>");
            at += bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        } else {
            masked.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&masked).into_owned()
}

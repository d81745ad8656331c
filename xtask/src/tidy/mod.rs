//! `cargo xtask tidy`: one pass over the tree. Every rule names the place, what is wrong, and what to do instead.

mod dependencies;
mod floors;
mod idioms;
mod modules;
mod sizes;
mod source;
mod spdx;
mod tree;

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tree::Tree;

/// Something a rule objects to.
#[derive(Debug)]
pub(crate) struct Fault {
    place: String,
    text: String,
}

impl Fault {
    /// A fault of a whole file or folder.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: path.into(), text: text.into() }
    }

    /// A fault of one line.
    pub(crate) fn line(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { place: format!("{path}:{line}"), text: text.into() }
    }
}

/// Runs every rule; true if none objects.
pub(crate) fn run(root: &Path, slow: bool) -> Result<bool, String> {
    let start = Instant::now();
    let tree = Tree::read(root).map_err(|error| format!("cannot read {}: {error}", root.display()))?;
    let mut faults = Vec::new();
    floors::check(&tree, &mut faults);
    sizes::check(&tree, &mut faults);
    idioms::check(&tree, &mut faults);
    modules::check(&tree, &mut faults);
    dependencies::check(&tree, &mut faults);
    let read_ms = start.elapsed().as_millis();
    if slow {
        dependencies::check_licences(&tree.root, &mut faults)?;
        check_format(root, &mut faults)?;
    }
    for fault in &faults {
        eprintln!("{}: {}", fault.place, fault.text);
    }
    let (files, crates) = (tree.files.len(), tree.crates.len());
    let all_ms = start.elapsed().as_millis();
    eprintln!(
        "tidy: {} faults in {files} files of {crates} crates ({read_ms} ms; {all_ms} ms with cargo)",
        faults.len()
    );
    Ok(faults.is_empty())
}

fn check_format(root: &Path, faults: &mut Vec<Fault>) -> Result<(), String> {
    let output = Command::new("cargo")
        .args(["fmt", "--all", "--", "--check", "-l"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run cargo fmt: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    let prefix = format!("{}/", root.display());
    let mut paths: Vec<&str> = listed.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line)).collect();
    paths.dedup();
    if paths.is_empty() {
        faults.push(Fault::new("cargo fmt", String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    faults.extend(paths.iter().map(|path| Fault::new(*path, "is not formatted; run cargo fmt")));
    Ok(())
}

//! The files of the repository and the manifests of its crates, read once for all rules.

use super::source::RustSource;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Everything the rules look at.
pub(crate) struct Tree {
    /// Root of the repository.
    pub(crate) root: PathBuf,
    /// Every text file, in path order.
    pub(crate) files: Vec<TextFile>,
    /// Every crate of the workspace.
    pub(crate) crates: Vec<Crate>,
}

/// A text file.
pub(crate) struct TextFile {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
    /// Taken apart, if it is Rust.
    pub(crate) rust: Option<RustSource>,
}

/// A workspace member.
pub(crate) struct Crate {
    /// Package name.
    pub(crate) name: String,
    /// Folder from the root, e.g. `crates/nopal-fs`.
    pub(crate) dir: String,
    /// Its floor.
    pub(crate) floor: Floor,
    /// The manifest.
    pub(crate) manifest: toml::Table,
}

/// Where a crate stands in the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// A numbered floor.
    Number(i64),
    /// Support for tests and chores; never shipped.
    Scaffold,
    /// The manifest does not say.
    Unknown,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        walk(root, root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let crates = files.iter().filter_map(member).collect();
        Ok(Self { root: root.to_path_buf(), files, crates })
    }

    /// All Rust files with their parts.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&TextFile, &RustSource)> {
        self.files.iter().filter_map(|file| file.rust.as_ref().map(|rust| (file, rust)))
    }

    /// The crate a path belongs to.
    pub(crate) fn crate_of(&self, path: &str) -> Option<&Crate> {
        self.crates.iter().find(|c| path.strip_prefix(c.dir.as_str()).is_some_and(|rest| rest.starts_with('/')))
    }
}

impl TextFile {
    /// Whether the whole file is test code, or code that is never shipped.
    pub(crate) fn is_test(&self) -> bool {
        let folders = ["/tests/", "/examples/", "/benches/"];
        folders.iter().any(|f| self.path.contains(f))
            || self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
    }
}

impl Crate {
    /// Names declared under `[table]`.
    pub(crate) fn declared(&self, table: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut take = |value: Option<&toml::Value>| {
            names.extend(value.and_then(toml::Value::as_table).into_iter().flat_map(|t| t.keys().cloned()));
        };
        take(self.manifest.get(table));
        if let Some(targets) = self.manifest.get("target").and_then(toml::Value::as_table) {
            for target in targets.values() {
                take(target.get(table));
            }
        }
        names
    }
}

fn member(file: &TextFile) -> Option<Crate> {
    let dir = file.path.strip_suffix("/Cargo.toml")?;
    if dir != "xtask" && dir.strip_prefix("crates/").is_none_or(|name| name.contains('/')) {
        return None;
    }
    let manifest: toml::Table = file.text.parse().ok()?;
    let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
    let floor = manifest.get("package")?.get("metadata").and_then(|m| m.get("nopal")).and_then(|n| n.get("floor"));
    let floor = match floor {
        Some(toml::Value::Integer(number)) => Floor::Number(*number),
        Some(toml::Value::String(word)) if word == "scaffold" => Floor::Scaffold,
        _ => Floor::Unknown,
    };
    Some(Crate { name, dir: dir.to_owned(), floor, manifest })
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<TextFile>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if name != ".git" && name != "target" {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() && !name.starts_with("result") {
            // what is not UTF-8 is data and no rule reads it
            if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                let rust = path.ends_with(".rs").then(|| RustSource::new(&text));
                files.push(TextFile { path, text, rust });
            }
        }
    }
    Ok(())
}

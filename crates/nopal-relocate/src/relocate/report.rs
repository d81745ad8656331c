//! What a relocated tree says of itself, for those who have to decide how to run its programs.

use super::programs::is_harmless;
use super::{RelocateError, Relocation, Verdict};
use crate::paths;
use crate::tree::FileTree;
use crate::wrap::{self, Piece, Text};
use nopal_elf::Start;
use nopal_elf::resolve::Tree as _;
use nopal_fs::FsError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where it says so, below its root.
const PLACE: &str = ".nopal/relocation.json";

/// What became of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    /// In a word.
    #[serde(default)]
    verdict: String,
    /// Why it stays as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What it names of the old place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    /// What it is told of the new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<String>,
}

/// Why nothing can be said of a tree.
#[derive(Debug, Error)]
pub enum AssessError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FsError),
    /// What it says of itself makes no sense.
    #[error("{} says nothing of what was relocated", .0.display())]
    Report(PathBuf, #[source] serde_json::Error),
}

/// Whether a program of a relocated tree can be expected to run from there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// What speaks against it: files, and what they name of the old place or why they could not be relocated.
    pub doubts: Vec<(PathBuf, String)>,
}

/// Writes it into the tree.
pub(super) fn write(relocation: &Relocation, root: &Path) -> Result<(), RelocateError> {
    let mut files = BTreeMap::<String, Entry>::new();
    let texts = |paths: &[Vec<u8>]| paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    for (path, verdict) in &relocation.files {
        let entry = files.entry(path.to_string_lossy().into_owned()).or_default();
        let word = match verdict {
            Verdict::Program { told, .. } => {
                entry.told = texts(told);
                "program"
            }
            Verdict::Library => "library",
            Verdict::Script => "script",
            Verdict::Text => "text",
            Verdict::Link => "link",
            Verdict::Stays(reason) => {
                entry.reason = Some(reason.clone());
                "stays"
            }
            Verdict::Mentions(names) => {
                entry.names = texts(names);
                continue;
            }
        };
        entry.verdict = word.to_owned();
    }
    let place = root.join(PLACE);
    nopal_fs::create_dir_all(nopal_fs::parent_of(&place))?;
    // strings and lists have a form in JSON
    let text = serde_json::to_vec_pretty(&files).unwrap_or_default();
    Ok(nopal_fs::write(&place, &text)?)
}

/// The text of a script that a launcher stands for, and the interpreter, both from the root on.
fn script(tree: &FileTree, launcher: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let launch = wrap::read(&tree.real(launcher)?).ok()?;
    let path = |text: &Text| match &text.0[..] {
        [.., Piece::Root, Piece::Literal(way)] => tree.canonical(&[paths::folder(launcher), way].concat()),
        _ => None,
    };
    Some((path(&launch.before)?, path(&launch.target)?))
}

/// Looks at a program of a relocated tree, by its path from the root on, and at all libraries it loads.
///
/// # Errors
/// The tree does not say what became of its files.
pub fn assess(root: &Path, program: &Path) -> Result<Assessment, AssessError> {
    let place = root.join(PLACE);
    let report = nopal_fs::read_file(&place)?;
    let report: BTreeMap<String, Entry> =
        serde_json::from_slice(&report).map_err(|error| AssessError::Report(place, error))?;
    let tree = FileTree::new(Some(root.to_owned()), PathBuf::new());
    let logical = paths::logical(program.strip_prefix("/").unwrap_or(program));
    let real = tree.canonical(&logical).unwrap_or(logical);
    let mut files = vec![real.clone()];
    let mut real = real;
    if let Some((script, interpreter)) = script(&tree, &real) {
        files.extend([script, interpreter.clone()]);
        real = interpreter;
    }
    if let Some(start) = tree.open(&real).ok().and_then(|opened| Start::read(&opened.file)) {
        files.extend(start.libraries.iter().filter_map(|place| start.place(&real, place)));
    }
    let entry = |path: &[u8]| report.get(&*String::from_utf8_lossy(path.strip_prefix(b"/").unwrap_or(path)));
    let told = entry(&real).map(|entry| &entry.told[..]).unwrap_or_default();
    let mut assessment = Assessment::default();
    for file in &files {
        let Some(entry) = entry(file) else { continue };
        let mut doubt = |what: &str| {
            let path = PathBuf::from(String::from_utf8_lossy(file).into_owned());
            assessment.doubts.push((path, what.to_owned()));
        };
        entry.reason.iter().for_each(|reason| doubt(reason));
        let covers = |told: &String, name: &String| name.starts_with(told) || told.starts_with(&format!("{name}/"));
        let is_doubtful = |name: &&String| !is_harmless(name) && !told.iter().any(|told| covers(told, name));
        entry.names.iter().filter(is_doubtful).for_each(|name| doubt(name));
    }
    Ok(assessment)
}

//! What a relocated tree says of itself, for those who have to decide how to run its programs.

use super::programs::{has_alias, is_harmless};
use super::{RelocateError, Relocation, Rung, Verdict};
use crate::paths;
use crate::tree::FileTree;
use nopal_elf::Start;
use nopal_elf::resolve::Tree as _;
use nopal_fs::FsError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where it says so, below its root.
const PLACE: &str = ".nopal/relocation.json";

/// The word for a script that a launcher starts.
const SCRIPT: &str = "script";

/// What became of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    /// In a word.
    #[serde(default)]
    verdict: String,
    /// How a launcher has it find its loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rung: Option<Rung>,
    /// What the launcher starts, and the libraries of that, or its interpreter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
    /// Why it stays as it was, or does not start by itself.
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
    /// How it finds its loader, or its interpreter does.
    pub rung: Rung,
    /// Why it does not start by itself, if that was tried.
    pub refusal: Option<String>,
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
            Verdict::Launched { rung, reason, files, told } => {
                (entry.rung, entry.reason) = (Some(*rung), reason.clone());
                (entry.files, entry.told) = (texts(files), texts(told));
                "launched"
            }
            Verdict::Library => "library",
            Verdict::Script { files } => {
                entry.files = texts(files);
                SCRIPT
            }
            Verdict::Text => "text",
            Verdict::ByNumber => "by-number",
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
    let entry = |path: &[u8]| report.get(&*String::from_utf8_lossy(path.strip_prefix(b"/").unwrap_or(path)));
    let files_of = |entry: &Entry| entry.files.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut files = vec![real.clone()];
    let mut real = real;
    if let Some(script) = entry(&real).filter(|entry| entry.verdict == SCRIPT) {
        files.extend(files_of(script));
        real = files.last().and_then(|interpreter| tree.canonical(interpreter)).unwrap_or(real);
        files.push(real.clone());
    }
    let mut assessment = Assessment::default();
    if let Some((entry, rung)) = entry(&real).and_then(|entry| Some((entry, entry.rung?))) {
        (assessment.rung, assessment.refusal) = (rung, entry.reason.clone());
        // that it does not start by itself is no doubt
        files.retain(|path| *path != real);
        files.extend(files_of(entry));
    } else if let Some(start) = tree.open(&real).ok().and_then(|opened| Start::read(&opened.file)) {
        files.extend(start.libraries.iter().filter_map(|place| start.place(&real, place)));
    }
    let told = entry(&real).map(|entry| &entry.told[..]).unwrap_or_default();
    let mut doubts = Vec::new();
    for file in &files {
        let Some(entry) = entry(file) else { continue };
        let doubt = |what: &String| (PathBuf::from(String::from_utf8_lossy(file).into_owned()), what.clone());
        doubts.extend(entry.reason.as_ref().map(doubt));
        let covers = |told: &String, name: &String| name.starts_with(told) || told.starts_with(&format!("{name}/"));
        // programs that stay what they were name it still, though others are told
        let stays = |name: &String| assessment.rung == Rung::ExplicitLoader && has_alias(file, name.as_bytes());
        let is_told = |name: &String| told.iter().any(|told| covers(told, name)) && !stays(name);
        let names = entry.names.iter().filter(|name| !is_harmless(name) && !is_told(name));
        doubts.extend(names.map(doubt));
    }
    Ok(Assessment { doubts, ..assessment })
}

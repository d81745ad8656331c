//! Lengths of files and functions, and the line that says what a longer file is for.

use super::Fault;
use super::tree::Tree;

/// No file is longer.
const MAX_FILE_LINES: usize = 1000;
/// Nine of ten files are shorter.
const USUAL_FILE_LINES: usize = 400;
/// Ninety-nine of a hundred functions are shorter.
const USUAL_FUNCTION_LINES: usize = 80;
/// No function is longer.
const MAX_FUNCTION_LINES: usize = 200;
/// A longer file says in its first line what it is for.
const HEADER_LINES: usize = 150;
/// Files that may be longer than [`MAX_FILE_LINES`], each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Checks lengths and headers of all Rust files.
pub(crate) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    let mut file_lengths = Vec::new();
    let mut function_lengths = Vec::new();
    for (file, rust) in tree.rust() {
        let lines = file.text.lines().count();
        file_lengths.push((lines, file.path.clone()));
        if lines > MAX_FILE_LINES && !LONG_FILES.iter().any(|(path, _)| *path == file.path) {
            faults.push(Fault::new(&file.path, format!("has {lines} lines; split it (limit {MAX_FILE_LINES})")));
        }
        let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if lines > HEADER_LINES && !first.starts_with("//!") {
            faults.push(Fault::line(&file.path, 1, "is long and does not open with `//!` that says what it is for"));
        }
        for function in &rust.functions {
            let place = format!("{}:{} ({})", file.path, function.first_line, function.name);
            if function.len() > MAX_FUNCTION_LINES {
                let text = format!("is {} lines long; split it (limit {MAX_FUNCTION_LINES})", function.len());
                faults.push(Fault::new(&place, text));
            }
            function_lengths.push((function.len(), place));
        }
    }
    share("files", USUAL_FILE_LINES, 90, file_lengths, faults);
    share("functions", USUAL_FUNCTION_LINES, 99, function_lengths, faults);
}

/// Objects if fewer than `percent` of `lengths` are below `usual`, naming the worst.
fn share(what: &str, usual: usize, percent: usize, mut lengths: Vec<(usize, String)>, faults: &mut Vec<Fault>) {
    let over = lengths.iter().filter(|(length, _)| *length >= usual).count();
    let allowed = lengths.len() * (100 - percent) / 100;
    if over <= allowed {
        return;
    }
    lengths.sort();
    let worst: Vec<String> =
        lengths.iter().rev().take(over).map(|(length, place)| format!("\n    {length} {place}")).collect();
    let all = lengths.len();
    let text =
        format!("{over} of {all} {what} have {usual} lines or more, {allowed} may; split some of{}", worst.concat());
    faults.push(Fault::new(what, text));
}

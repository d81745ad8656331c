//! Differences between two texts, for people.

use similar::{ChangeTag, TextDiff};
use std::fmt::Write as _;

/// Lines of context around each change.
const CONTEXT_LINES: usize = 3;

/// A unified diff from `expected` to `actual`, empty if they are equal.
pub fn diff(expected: &str, actual: &str) -> String {
    let changes = TextDiff::from_lines(expected, actual);
    let mut text = String::new();
    for hunk in changes.grouped_ops(CONTEXT_LINES) {
        for change in hunk.iter().flat_map(|op| changes.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let line = change.value();
            let end = if line.ends_with('\n') { "" } else { "\n\\ no newline at the end\n" };
            // writing to a string cannot fail
            let _ = write!(text, "{sign}{line}{end}");
        }
    }
    text
}

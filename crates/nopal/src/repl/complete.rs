//! What the Tab key offers: variables, attributes of what stands before a dot, files of what contains a slash.

use super::Shared;
use nopal_engine::Session;
use rustyline::completion::Completer;
use rustyline::{Context, Helper};
use std::path::Path;

/// What ends a word.
const SEPARATORS: &[char] = &[' ', '\n', '\r', '\t', '(', ')', '{', '}', '[', ']'];

/// Completes with the names of a session.
pub(super) struct Completion<'c, 's, 'e> {
    pub(super) session: &'c Shared<'s, 'e>,
}

impl Helper for Completion<'_, '_, '_> {}
impl rustyline::hint::Hinter for Completion<'_, '_, '_> {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Completion<'_, '_, '_> {}
impl rustyline::validate::Validator for Completion<'_, '_, '_> {}

impl Completer for Completion<'_, '_, '_> {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or(line);
        let start = before.rfind(SEPARATORS).map_or(0, |found| found + 1);
        // while a line is read nobody else uses the session
        let candidates = match self.session.try_borrow_mut() {
            Ok(mut session) => candidates(&mut session, &before[start..]),
            Err(_) => Vec::new(),
        };
        Ok((start, candidates))
    }
}

/// What a word may become.
fn candidates(session: &mut Session<'_>, word: &str) -> Vec<String> {
    if let Some((dir, begin)) = word.rsplit_once('/') {
        return files(dir, begin);
    }
    match word.rsplit_once('.') {
        None => session.names().into_iter().filter(|name| name.starts_with(word)).collect(),
        Some((set, begin)) => {
            let names = session.attributes(set).into_iter().filter(|name| name.starts_with(begin));
            names.map(|name| format!("{set}.{name}")).collect()
        }
    }
}

fn files(dir: &str, begin: &str) -> Vec<String> {
    let dir = if dir.is_empty() { "/" } else { dir };
    let entries = nopal_fs::read_dir(Path::new(dir)).unwrap_or_default();
    let names = entries.into_iter().map(|entry| entry.name.to_string_lossy().into_owned());
    let matching = names.filter(|name| !name.starts_with('.') && name.starts_with(begin));
    let mut paths: Vec<String> = matching.map(|name| Path::new(dir).join(name).display().to_string()).collect();
    paths.sort();
    paths
}

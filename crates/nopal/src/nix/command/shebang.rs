//! Scripts that `nix` interprets: what stands in their first lines is put before their name.

use crate::error::CliError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the lines at the beginning of a script may begin with: comments of many languages.
const COMMENT: &str = "#/\\%@*-(";

/// Puts in what the script says that is the first word, and tells where it lies: relative paths in it begin there.
/// Anything else stays as it is.
pub(super) fn expand(words: Vec<OsString>) -> Result<(Vec<OsString>, Option<PathBuf>), CliError> {
    let Some(first) = words.first() else { return Ok((words, None)) };
    let Ok(text) = nopal_fs::read_file(Path::new(first)) else { return Ok((words, None)) };
    if !text.starts_with(b"#!") {
        return Ok((words, None));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut expanded: Vec<OsString> = split(&content(&text))?.into_iter().map(OsString::from).collect();
    let folder = nopal_fs::parent_of(&nopal_fs::absolute(Path::new(first))?).to_owned();
    expanded.extend(words);
    Ok((expanded, Some(folder)))
}

/// What stands behind `#! nix` in the lines after the first.
fn content(text: &str) -> String {
    let lines = text.split('\n').skip(1);
    let lines = lines.take_while(|line| line.starts_with(|letter| COMMENT.contains(letter)));
    let mut content = String::new();
    for line in lines {
        let Some(rest) = line.strip_prefix("#!") else { continue };
        let Some(rest) = rest.trim_start().trim_end_matches(['\n', '\r', ' ', '\t']).strip_prefix("nix") else {
            continue;
        };
        // a blank belongs to the word, further ones indent
        match rest.strip_prefix(' ') {
            Some(rest) => content.push_str(rest),
            None if rest.is_empty() => {}
            None => continue,
        }
        content.push('\n');
    }
    content
}

/// Splits into words: at white space, but not between two backticks and the next two. Three or more of them between
/// those are one less.
fn split(text: &str) -> Result<Vec<String>, CliError> {
    let error = |text: String| Err(CliError::Found(text));
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            ' ' | '\n' | '\t' => words.extend(word.take()),
            '`' if word.is_none() && rest.starts_with('`') => {
                let (quoted, after) = quoted(&rest[1..])?;
                words.push(quoted);
                rest = after;
            }
            '`' => return error("single backtick is not a supported syntax in the nix shebang.".to_owned()),
            '$' | '*' | '~' | '<' | '>' | '|' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '\'' | '"' | '\\' => {
                return error(format!(
                    "unsupported unquoted character in nix shebang: {letter}. Use double backticks to escape?"
                ));
            }
            '#' if word.is_none() => {
                return error(
                    "unquoted nix shebang argument cannot start with #. Use double backticks to escape?".to_owned(),
                );
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The word up to the next two backticks, and what comes after them. A blank before them does not count.
fn quoted(text: &str) -> Result<(String, &str), CliError> {
    let mut word = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('`') {
        let (before, ticks) = rest.split_at(at);
        let after = ticks.trim_start_matches('`');
        let count = ticks.len() - after.len();
        word.push_str(before);
        if count == 2 {
            if before.ends_with(' ') {
                word.pop();
            }
            return Ok((word, after));
        }
        // one alone stands for itself
        word.extend(std::iter::repeat_n('`', if count == 1 { 1 } else { count - 1 }));
        rest = after;
    }
    Err(CliError::Found("unterminated quoted string in nix shebang".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_behind_nix() {
        let text = "#! /usr/bin/env nix\n# a comment\n#! nix shell x\n#!nix  --expr ``a\n#! nix  b`` --command ``\n\
                    #! nixx no\n#! nix ```x`` ````y`` ``\n\n#! nix not any more\n";
        assert_eq!(content(text), "shell x\n --expr ``a\n b`` --command ``\n```x`` ````y`` ``\n");
        let words = split("shell x\n --expr ``a\n b`` y#z ``q ````r`` s").unwrap();
        assert_eq!(words, ["shell", "x", "--expr", "a\n b", "y#z", "q ```r", "s"]);
        assert!(split("a *").is_err());
        assert!(split("#a").is_err());
        assert!(split("``a").is_err());
    }
}

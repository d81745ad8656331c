//! Rust source as tidy sees it: which bytes are code, which are text, where functions and test modules lie.
//!
//! A full parser would know more, but every rule here needs only four facts, all of which a scanner of one pass can
//! give in a millisecond per file: code without comments and strings, code without comments, the spans of functions,
//! and the spans of `#[cfg(test)]` items.

/// One Rust file, taken apart.
#[derive(Debug)]
pub(crate) struct RustSource {
    /// The file with comments and the contents of literals replaced by spaces; line breaks and quotes stay.
    pub(crate) code: String,
    /// The file with only comments replaced by spaces.
    pub(crate) code_and_text: String,
    /// Every function with a body.
    pub(crate) functions: Vec<Function>,
    /// Line ranges (1-based, inclusive) of items under `#[cfg(test)]`.
    tests: Vec<(usize, usize)>,
}

/// Where a function stands.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Line of the `fn` keyword, 1-based.
    pub(crate) first_line: usize,
    /// Line of the closing brace.
    pub(crate) last_line: usize,
}

impl Function {
    /// Lines from `fn` to the closing brace.
    pub(crate) fn len(&self) -> usize {
        self.last_line - self.first_line + 1
    }
}

impl RustSource {
    /// Takes a file apart.
    pub(crate) fn new(text: &str) -> Self {
        let (code, code_and_text) = mask(text);
        let functions = functions(&code);
        let tests = test_items(&code);
        Self { code, code_and_text, functions, tests }
    }

    /// Whether the line lies in an item under `#[cfg(test)]`.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.tests.iter().any(|&(first, last)| (first..=last).contains(&line))
    }

    /// The innermost function around a line.
    pub(crate) fn function_at(&self, line: usize) -> Option<&Function> {
        self.functions.iter().filter(|f| (f.first_line..=f.last_line).contains(&line)).min_by_key(|f| f.len())
    }
}

/// What the scanner is inside of.
enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text,
    RawText { hashes: usize },
}

/// Gives the code alone, and the code with its literals; both have the length and the lines of the input.
fn mask(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut both = bytes.to_vec();
    let mut state = State::Code;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let mut step = 1;
        let opens = matches!(state, State::Code);
        match state {
            State::Code => (state, step) = enter(bytes, at),
            State::LineComment => {
                if rest[0] == b'\n' {
                    state = State::Code;
                }
            }
            State::BlockComment { depth } => {
                if rest.starts_with(b"/*") {
                    (state, step) = (State::BlockComment { depth: depth + 1 }, 2);
                } else if rest.starts_with(b"*/") {
                    step = 2;
                    state = if depth == 1 { State::Code } else { State::BlockComment { depth: depth - 1 } };
                    blank(&mut code, at, 2);
                    blank(&mut both, at, 2);
                }
            }
            State::Text => match rest[0] {
                b'\\' => step = 2,
                b'"' => (state, step) = (State::Code, 1),
                _ => {}
            },
            State::RawText { hashes } => {
                if rest[0] == b'"' && rest[1..].iter().take_while(|&&b| b == b'#').count() >= hashes {
                    (state, step) = (State::Code, 1 + hashes);
                }
            }
        }
        match state {
            // a character literal: its quotes stay, what is between might be a brace
            State::Code if opens && step > 1 => blank(&mut code, at + 1, step - 2),
            State::Code => {}
            State::LineComment | State::BlockComment { .. } => {
                blank(&mut code, at, step);
                blank(&mut both, at, step);
            }
            // the opening quote stays, so that a pattern can ask for a literal argument
            State::Text | State::RawText { .. } if opens => {}
            State::Text | State::RawText { .. } => blank(&mut code, at, step),
        }
        at += step;
    }
    (lossy(code), lossy(both))
}

/// Decides what begins at `at`, and how many bytes the beginning takes.
fn enter(bytes: &[u8], at: usize) -> (State, usize) {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return (State::LineComment, 2);
    }
    if rest.starts_with(b"/*") {
        return (State::BlockComment { depth: 1 }, 2);
    }
    if rest[0] == b'"' {
        return (State::Text, 1);
    }
    if rest[0] == b'\'' {
        return (State::Code, char_literal_len(rest));
    }
    if !in_word && matches!(rest[0], b'r' | b'b' | b'c') {
        let prefix = rest.iter().take_while(|b| matches!(b, b'r' | b'b' | b'c')).count().min(2);
        let raw = rest[..prefix].contains(&b'r');
        let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
        if raw && rest.get(prefix + hashes) == Some(&b'"') {
            return (State::RawText { hashes }, prefix + hashes + 1);
        }
        if hashes == 0 && rest.get(prefix) == Some(&b'"') {
            return (State::Text, prefix + 1);
        }
    }
    (State::Code, 1)
}

/// Length of a character literal at the start of `rest`, or 1 for a lifetime.
fn char_literal_len(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\\') => 4 + rest[3.min(rest.len())..].iter().take_while(|&&b| b != b'\'').count(),
        Some(_) => {
            let width = rest[1..].iter().skip(1).take_while(|&&b| b & 0xc0 == 0x80).count() + 1;
            if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 1 }
        }
        None => 1,
    }
}

fn blank(bytes: &mut [u8], at: usize, len: usize) {
    for byte in bytes.iter_mut().skip(at).take(len) {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds every `fn name … { … }`.
fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(bytes, at) {
            found.push(Function { name, first_line: line_of(code, at), last_line: line_of(code, end) });
        }
    }
    found
}

/// Finds every item under `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    code.match_indices("#[cfg(test)]")
        .filter_map(|(at, _)| body_end(code.as_bytes(), at + 12).map(|end| (line_of(code, at), line_of(code, end))))
        .collect()
}

/// The closing brace of the first `{` after `from`; nothing if a `;` ends the item before.
fn body_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0usize;
    // a `;` inside of an array type ends nothing
    let mut nested = 0isize;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested -= 1,
            b';' if depth == 0 && nested == 0 => return None,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The 1-based line of a byte offset.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let source =
            RustSource::new("let a = \"x // y\"; // z\nlet b = r#\"q \" w\"#; let c = '\"'; /* k /* l */ m */ d\n");
        assert!(!source.code.contains('x') && !source.code.contains('z') && !source.code.contains('w'));
        assert!(source.code.contains("let c") && source.code.contains('d') && !source.code.contains('m'));
        assert!(source.code_and_text.contains("x // y") && !source.code_and_text.contains('z'));
    }

    #[test]
    fn functions_and_tests_have_their_lines() {
        let source =
            RustSource::new("fn a<'x>(v: &'x [u8; 3]) {\n  {}\n}\n#[cfg(test)]\nmod t {\n  fn b() {}\n}\nfn c();\n");
        let names: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.len())).collect();
        assert_eq!(names, [("a", 3), ("b", 1)]);
        assert!(source.is_test_line(6) && !source.is_test_line(8));
    }
}

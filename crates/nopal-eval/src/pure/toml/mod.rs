//! TOML 1.0 as `builtins.fromTOML` reads it, with the error texts of toml11, the library Nix uses.
//!
//! A reader of its own, because what is accepted must be TOML 1.0 and no later version, and because users know the
//! messages. What comes after an error is read as toml11 reads it, so that the same errors are reported.

mod number;
mod scan;
mod string;
mod table;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Toml {
    /// A string, which may contain NUL.
    String(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A truth value.
    Boolean(bool),
    /// A date, time, or both, in the notation that toml11 before 4.0 printed.
    Timestamp(String),
    /// An array.
    Array(Vec<Toml>),
    /// A table; keys are distinct.
    Table(Vec<(String, Toml)>),
}

/// A syntax error, laid out as toml11 does: the message, the line, and a mark below it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TomlError(pub String);

/// So much of a line is shown before and behind a place.
const CONTEXT_BYTES: usize = 30;

/// Depth of nested arrays and inline tables that is read.
const MAX_DEPTH: usize = 200;

/// Parses a document; the result is a table.
pub fn parse(text: &[u8]) -> Result<Toml, TomlError> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    scan::Parser::new(text).document()
}

/// One problem in the text.
#[derive(Debug, Clone)]
struct Issue {
    title: String,
    /// Start and length of the place.
    at: usize,
    length: usize,
    note: String,
    /// A second place that the problem is about.
    other: Option<(usize, usize, &'static str)>,
    /// Lines for the end.
    hints: &'static str,
    /// The text that the places are in, if it is not the document.
    text: Option<String>,
}

impl Issue {
    fn new(title: impl Into<String>, at: usize, note: impl Into<String>) -> Issue {
        Issue { title: title.into(), at, length: 1, note: note.into(), other: None, hints: "", text: None }
    }

    fn hints(mut self, hints: &'static str) -> Issue {
        self.hints = hints;
        self
    }

    fn show(&self, document: &[u8]) -> String {
        let (name, text) = match &self.text {
            Some(text) => ("internal temporary", text.as_bytes()),
            None => ("fromTOML", document),
        };
        let number = |at: usize| memchr::memchr_iter(b'\n', &text[..at.min(text.len())]).count() + 1;
        let most = self.other.map_or(0, |(at, ..)| number(at)).max(number(self.at));
        let width = most.to_string().len();
        let pad = " ".repeat(width);
        let place = |at: usize, length: usize, note: &str| {
            let at = at.min(text.len());
            let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |i| i + 1);
            let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |i| start + i);
            let shown = start.max(at.saturating_sub(CONTEXT_BYTES))..end.min(at + length.max(1) - 1 + CONTEXT_BYTES);
            let dots = |is_cut: bool, dots: &'static str| if is_cut { dots } else { "" };
            let (before, after) = (dots(start < shown.start, "... "), dots(shown.end < end, " ..."));
            let line = visible(&text[shown.clone()]);
            // in bytes, however they are shown
            let indent = " ".repeat(before.len() + at.min(shown.end) - shown.start);
            let marks = "^".repeat(length.min(end.max(at + 1) - at).max(1));
            format!(" {:>width$} | {before}{line}{after}\n {pad} | {indent}{marks}-- {note}\n", number(at))
        };
        // The arrow stands one column left of the bars.
        let mut out = format!("[error] {}\n{pad}--> {name}\n {pad} |\n", self.title);
        out.push_str(&place(self.at, self.length, &self.note));
        if let Some((at, length, note)) = self.other {
            out.push_str(&format!(" {pad} | ...\n {pad} |\n"));
            out.push_str(&place(at, length, note));
        }
        out.push_str(self.hints);
        out
    }
}

/// A line with its bytes outside of printable ASCII shown by number.
fn visible(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    for &byte in line {
        match byte {
            b'\r' => out.push_str("0x0d(CARRIAGE RETURN)"),
            b'\t' => out.push_str("0x09(TAB)"),
            0x20..0x7F => out.push(char::from(byte)),
            other => out.push_str(&format!("0x{other:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;

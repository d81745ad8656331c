//! TOML 1.0 as `builtins.fromTOML` reads it, with the error texts of toml11, the library Nix uses.
//!
//! A reader of its own, because what is accepted must be TOML 1.0 and no later version, and because users know the
//! messages. Errors in several lines are all reported, as toml11 does; its recovery within inline tables and arrays
//! is not imitated.

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

/// A syntax error, laid out as toml11 does: the message, the line, and a mark below it. Ends with a line feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TomlError(pub String);

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
    hints: &'static [&'static str],
}

impl Issue {
    fn new(title: impl Into<String>, at: usize, note: impl Into<String>) -> Issue {
        Issue { title: title.into(), at, length: 1, note: note.into(), other: None, hints: &[] }
    }

    fn hints(mut self, hints: &'static [&'static str]) -> Issue {
        self.hints = hints;
        self
    }

    fn show(&self, text: &[u8]) -> String {
        let number = |at: usize| memchr::memchr_iter(b'\n', &text[..at.min(text.len())]).count() + 1;
        let most = self.other.map_or(0, |(at, ..)| number(at)).max(number(self.at));
        let width = most.to_string().len();
        let pad = " ".repeat(width);
        let place = |at: usize, length: usize, note: &str| {
            let at = at.min(text.len());
            let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |i| i + 1);
            let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |i| start + i);
            let line = visible(&text[start..end]);
            let before = " ".repeat(visible(&text[start..at.min(end)]).len());
            let marks = "^".repeat(length.min(end.max(at + 1) - at).max(1));
            format!(" {:>width$} | {line}\n {pad} | {before}{marks}-- {note}\n", number(at))
        };
        // The arrow stands one column left of the bars.
        let mut out = format!("[error] {}\n{pad}--> fromTOML\n {pad} |\n", self.title);
        out.push_str(&place(self.at, self.length, &self.note));
        if let Some((at, length, note)) = self.other {
            out.push_str(&format!(" {pad} | ...\n {pad} |\n"));
            out.push_str(&place(at, length, note));
        }
        for hint in self.hints {
            out.push_str(&format!("Hint: {hint}\n"));
        }
        out
    }
}

/// A line with its bytes outside of printable ASCII shown by number.
fn visible(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    for &byte in line.strip_suffix(b"\r").unwrap_or(line) {
        match byte {
            b'\r' => out.push_str("0x0d(CARRIAGE RETURN)"),
            b'\t' | 0x20..0x7F => out.push(char::from(byte)),
            other => out.push_str(&format!("0x{other:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;

//! Strings, in four kinds.

use super::Issue;
use super::scan::{Parsed, Parser, fail};

fn allowed(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7F)
}

impl Parser<'_> {
    fn bad_string(&self, kind: &str, quote: &str) -> Box<Issue> {
        let title = format!("toml::parse_{kind}_string: invalid string format");
        Box::new(Issue::new(title, self.at, format!("expected {quote}")))
    }

    /// The bytes as text; at the first byte that is no UTF-8 the string ends unexpectedly.
    fn utf8(&mut self, bytes: Vec<u8>, start: usize, kind: &str, quote: &str) -> Parsed<String> {
        String::from_utf8(bytes).map_err(|error| {
            self.at = start + error.utf8_error().valid_up_to();
            self.bad_string(kind, quote)
        })
    }

    /// A string of any kind.
    pub(super) fn string(&mut self) -> Parsed<String> {
        if self.rest().starts_with(b"\"\"\"") {
            return self.whole(3, Self::ml_basic_string);
        }
        if self.rest().starts_with(b"'''") {
            return self.whole(3, Self::ml_literal_string);
        }
        self.line_string()
    }

    /// One that ends in its line.
    pub(super) fn line_string(&mut self) -> Parsed<String> {
        self.whole(1, if self.peek() == Some(b'"') { Self::basic_string } else { Self::literal_string })
    }

    /// Reads a string that ends in so many quotes. If it has not its form, it stays where it is; it has if an escape means
    /// no character.
    fn whole(&mut self, quotes: usize, read: impl FnOnce(&mut Self) -> Parsed<String>) -> Parsed<String> {
        let start = self.at;
        let text = read(self);
        let no_character = self.no_character.take();
        if text.is_err() {
            self.at = start;
            return text;
        }
        let Some((at, mut issue)) = no_character else { return text };
        issue.text = Some(String::from_utf8_lossy(&self.text[at..self.at - quotes]).into_owned());
        fail(issue)
    }

    fn literal_string(&mut self) -> Parsed<String> {
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|b| allowed(b) && b != b'\'') {
            self.at += 1;
        }
        let text = self.text[start..self.at].to_vec();
        if !self.take(b"'") {
            return Err(self.bad_string("literal", "'"));
        }
        self.utf8(text, start, "literal", "'")
    }

    fn basic_string(&mut self) -> Parsed<String> {
        self.at += 1;
        let start = self.at;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return self.utf8(out, start, "basic", "\"");
                }
                Some(b'\\') => {
                    if !self.escape(&mut out) {
                        return Err(self.bad_string("basic", "\""));
                    }
                }
                Some(byte) if allowed(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.bad_string("basic", "\"")),
            }
        }
    }

    /// An escape sequence; false (and nothing consumed) if it is none.
    fn escape(&mut self, out: &mut Vec<u8>) -> bool {
        let digits = match self.rest().get(1) {
            Some(b'u') => 4,
            Some(b'U') => 8,
            Some(&short) => {
                let byte = match short {
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'f' => 12,
                    b'r' => b'\r',
                    b'"' | b'\\' => short,
                    _ => return false,
                };
                out.push(byte);
                self.at += 2;
                return true;
            }
            None => return false,
        };
        let hex = self.rest().get(2..2 + digits).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let Some(code) = hex.and_then(|hex| u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) else {
            return false;
        };
        let Some(c) = char::from_u32(code) else {
            let title = if code < 0xE000 {
                "toml::parse_utf8_codepoint: [0xD800, 0xDFFF] is not a valid UTF-8"
            } else {
                "toml::parse_utf8_codepoint: input codepoint is too large."
            };
            let issue = Issue { length: 1 + digits, ..Issue::new(title, 1, "here") };
            self.no_character.get_or_insert((self.at, issue));
            self.at += 2 + digits;
            return true;
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += 2 + digits;
        true
    }

    /// Skips the line feed directly after the opening quotes.
    fn open_multiline(&mut self) {
        self.at += 3;
        if !self.take(b"\n") {
            self.take(b"\r\n");
        }
    }

    /// The closing quotes; up to two more quotes before them belong to the string.
    fn close_multiline(&mut self, quote: u8, out: &mut Vec<u8>) -> bool {
        let count = self.rest().iter().take(6).take_while(|&&b| b == quote).count();
        if count < 3 {
            out.extend(std::iter::repeat_n(quote, count));
            self.at += count;
            return false;
        }
        let count = count.min(5);
        out.extend(std::iter::repeat_n(quote, count - 3));
        self.at += count;
        true
    }

    fn ml_literal_string(&mut self) -> Parsed<String> {
        self.open_multiline();
        let start = self.at;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Some(b'\'') => {
                    if self.close_multiline(b'\'', &mut out) {
                        return self.utf8(out, start, "ml_literal", "'''");
                    }
                }
                Some(byte) if allowed(byte) || byte == b'\n' || self.rest().starts_with(b"\r\n") => {
                    out.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.bad_string("ml_literal", "'''")),
            }
        }
    }

    fn ml_basic_string(&mut self) -> Parsed<String> {
        self.open_multiline();
        let start = self.at;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    if self.close_multiline(b'"', &mut out) {
                        return self.utf8(out, start, "ml_basic", "\"\"\"");
                    }
                }
                Some(b'\\') => {
                    if !self.line_continuation() && !self.escape(&mut out) {
                        return Err(self.bad_string("ml_basic", "\"\"\""));
                    }
                }
                Some(byte) if allowed(byte) || byte == b'\n' || self.rest().starts_with(b"\r\n") => {
                    out.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.bad_string("ml_basic", "\"\"\"")),
            }
        }
    }

    /// A backslash at the end of a line: skipped with all white space after it.
    fn line_continuation(&mut self) -> bool {
        let rest = &self.rest()[1..];
        let blanks = rest.iter().take_while(|&&b| b == b' ' || b == b'\t').count();
        let after = &rest[blanks..];
        if !(after.starts_with(b"\n") || after.starts_with(b"\r\n")) {
            return false;
        }
        let white = rest.iter().take_while(|b| b.is_ascii_whitespace() && **b != 12).count();
        self.at += 1 + white;
        true
    }
}

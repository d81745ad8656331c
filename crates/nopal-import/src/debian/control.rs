//! Control files (deb822): stanzas of `Name: value` fields with continuation lines.

/// The stanzas of a text, separated by empty lines. Nothing is copied.
pub fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    Stanzas { rest: text }
}

struct Stanzas<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Stanza<'a>;

    fn next(&mut self) -> Option<Stanza<'a>> {
        let text = skip_blank_lines(self.rest);
        if text.is_empty() {
            return None;
        }
        let end = stanza_end(text);
        self.rest = &text[end..];
        Some(Stanza { text: &text[..end] })
    }
}

/// Skips lines that hold only white space.
fn skip_blank_lines(mut text: &str) -> &str {
    loop {
        let line_end = text.find('\n').map_or(text.len(), |at| at + 1);
        if line_end == 0 || !text[..line_end].trim().is_empty() {
            return text;
        }
        text = &text[line_end..];
    }
}

/// Where the blank line after a stanza begins, or the end of the text.
fn stanza_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(newline) = memchr::memchr(b'\n', &bytes[at..]) {
        at += newline + 1;
        match bytes.get(at) {
            Some(b'\n') | None => return at,
            // a line of blanks also separates
            Some(b' ' | b'\t' | b'\r') => {
                let line_end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
                if bytes[at..line_end].iter().all(u8::is_ascii_whitespace) {
                    return at;
                }
            }
            Some(_) => {}
        }
    }
    bytes.len()
}

/// One stanza. Fields are found by looking through it: most readers want few of them.
#[derive(Clone, Copy, Debug)]
pub struct Stanza<'a> {
    text: &'a str,
}

impl<'a> Stanza<'a> {
    /// Takes a text that is known to be one stanza.
    pub fn of(text: &'a str) -> Self {
        Self { text }
    }

    /// The whole text.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// The fields in order: name and raw value. The value keeps its continuation lines, without the white space around
    /// the whole. Comment lines (`#`) are left out.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        Fields { rest: self.text }
    }

    /// The value of a field; names are compared without regard to case.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.fields().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let bytes = self.rest.as_bytes();
            let mut end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            let first = &self.rest[..end];
            let Some((name, _)) = first.split_once(':').filter(|_| !first.starts_with(['#', ' ', '\t'])) else {
                self.rest = &self.rest[end..];
                continue;
            };
            while matches!(bytes.get(end), Some(b' ' | b'\t' | b'#')) {
                end += memchr::memchr(b'\n', &bytes[end..]).map_or(bytes.len() - end, |at| at + 1);
            }
            let value = self.rest[name.len() + 1..end].trim();
            self.rest = &self.rest[end..];
            return Some((name.trim(), value));
        }
    }
}

/// The lines of a multi-line value, trimmed, without comments, empty ones and a lone `.` (an empty line in deb822).
pub fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

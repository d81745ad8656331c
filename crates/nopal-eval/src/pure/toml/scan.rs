//! The reader: lines, keys and values.

use super::table::{Header, Node, Tree};
use super::{Issue, MAX_DEPTH, Toml, TomlError};

const KEY_TITLE: &str = "toml::parse_simple_key: invalid key: key must be \"quoted\", 'quoted-literal', or bare key.";
const KEY_HINT: &[&str] = &["non-ASCII scripts are allowed in toml v1.1.0, but not in v1.0.0."];

/// A position in the text.
pub(super) struct Parser<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    depth: usize,
}

pub(super) type Parsed<T> = Result<T, Box<Issue>>;

pub(super) fn fail<T>(issue: Issue) -> Parsed<T> {
    Err(Box::new(issue))
}

/// A dotted key and where it stands.
pub(super) struct Key {
    pub(super) parts: Vec<String>,
    pub(super) start: usize,
    pub(super) length: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Parser { text, at: 0, depth: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Consumes `token` if it comes next.
    pub(super) fn take(&mut self, token: &[u8]) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn newline(&mut self) -> bool {
        self.take(b"\n") || self.take(b"\r\n")
    }

    fn comment(&mut self) -> Parsed<()> {
        if !self.take(b"#") {
            return Ok(());
        }
        let start = self.at;
        while self.peek().is_some_and(|b| b == b'\t' || (b >= 0x20 && b != 0x7F)) {
            self.at += 1;
        }
        let ends = matches!(self.peek(), None | Some(b'\n')) || self.rest().starts_with(b"\r\n");
        if ends && std::str::from_utf8(&self.text[start..self.at]).is_ok() {
            return Ok(());
        }
        let title = "toml::parse_comment_line: newline (LF / CRLF) or EOF is expected";
        fail(
            Issue::new(title, self.at, "but got this")
                .hints(&["most of the control characters are not allowed in comments"]),
        )
    }

    /// The whole text. A line with an error is skipped, so that later ones are reported, too.
    pub(super) fn document(mut self) -> Result<Toml, TomlError> {
        let mut tree = Tree::default();
        let mut issues: Vec<Issue> = Vec::new();
        while self.at < self.text.len() {
            if let Err(issue) = self.line(&mut tree) {
                issues.push(*issue);
                self.at = memchr::memchr(b'\n', self.rest()).map_or(self.text.len(), |i| self.at + i);
            }
        }
        if issues.is_empty() {
            return Ok(tree.finish());
        }
        Err(TomlError(issues.iter().map(|issue| issue.show(self.text)).collect()))
    }

    fn line(&mut self, tree: &mut Tree) -> Parsed<()> {
        self.blanks();
        if self.peek() == Some(b'[') {
            self.header(tree)?;
            self.blanks();
            self.comment()?;
            if self.at < self.text.len() && !self.newline() {
                let title = "toml::parse_file: newline (or EOF) expected";
                return fail(Issue::new(title, self.at, "expected 0x0a(LINE FEED) or \r\n"));
            }
            return Ok(());
        }
        let blank = matches!(self.peek(), None | Some(b'#' | b'\n')) || self.rest().starts_with(b"\r\n");
        if !blank {
            let (key, value) = self.pair()?;
            tree.insert_pair(&key, value)?;
            self.blanks();
            if self.peek() == Some(b'[') {
                // toml11 lets the header of the next table follow in the same line
                return Ok(());
            }
        }
        self.comment()?;
        if self.at < self.text.len() && !self.newline() {
            let title = "toml::parse_table: newline (LF / CRLF) or EOF is expected";
            return fail(Issue::new(title, self.at, "here"));
        }
        Ok(())
    }

    fn header(&mut self, tree: &mut Tree) -> Parsed<()> {
        let start = self.at;
        let array = self.rest().starts_with(b"[[");
        self.at += if array { 2 } else { 1 };
        self.blanks();
        let (kind, close): (&str, &[u8]) = if array { ("array-table", b"]]") } else { ("table", b"]") };
        let title = format!("toml::parse_file: invalid {kind} key");
        if !self.at_key() {
            let note = "expected basic key([a-zA-Z0-9_-]) or quoted key(\" or ')";
            return fail(Issue::new(title, self.at, note));
        }
        let mut parts = vec![self.simple_key()?];
        loop {
            let before = self.at;
            self.blanks();
            let dot = self.take(b".");
            self.blanks();
            if !dot || !self.at_key() {
                if dot {
                    self.at = before;
                }
                break;
            }
            parts.push(self.simple_key()?);
        }
        if !self.take(close) {
            return fail(Issue::new(title, self.at, format!("expected {}", String::from_utf8_lossy(close))));
        }
        tree.open(&Header { parts, start, length: self.at - start, array })
    }

    fn at_key(&self) -> bool {
        self.peek().is_some_and(|b| bare(b) || b == b'"' || b == b'\'')
    }

    fn simple_key(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(b'"') => self.basic_string(),
            Some(b'\'') => self.literal_string(),
            Some(b) if bare(b) => {
                let start = self.at;
                while self.peek().is_some_and(bare) {
                    self.at += 1;
                }
                Ok(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
            }
            _ => {
                let note = "expected alpha [a-zA-Z], digit [0-9], -, or _";
                fail(Issue::new(KEY_TITLE, self.at, note).hints(KEY_HINT))
            }
        }
    }

    fn key(&mut self) -> Parsed<Key> {
        let start = self.at;
        let mut parts = vec![self.simple_key()?];
        let mut end = self.at;
        loop {
            self.blanks();
            if !self.take(b".") {
                return Ok(Key { parts, start, length: end - start });
            }
            self.blanks();
            parts.push(self.simple_key()?);
            end = self.at;
        }
    }

    fn pair(&mut self) -> Parsed<(Key, Node)> {
        let key = self.key()?;
        if !self.take(b"=") {
            let title = "toml::parse_key_value_pair: invalid key value separator `=`";
            return fail(Issue::new(title, self.at, "expected ="));
        }
        self.blanks();
        let value = self.value()?;
        Ok((key, value))
    }

    fn value(&mut self) -> Parsed<Node> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'"') if self.rest().starts_with(b"\"\"\"") => Toml::String(self.ml_basic_string()?),
            Some(b'"') => Toml::String(self.basic_string()?),
            Some(b'\'') if self.rest().starts_with(b"'''") => Toml::String(self.ml_literal_string()?),
            Some(b'\'') => Toml::String(self.literal_string()?),
            Some(b'[') => Toml::Array(self.nested(Self::array)?),
            Some(b'{') => {
                let tree = self.nested(Self::inline_table)?;
                return Ok(tree.into_inline(start, self.at - start));
            }
            Some(b't' | b'f') => Toml::Boolean(self.boolean()?),
            Some(b'T' | b'F') => {
                let word = if self.peek() == Some(b'T') { "true" } else { "false" };
                let title =
                    format!("toml::parse_value: `{word}` must be in lowercase. A string must be surrounded by quotes.");
                return fail(Issue::new(title, start, "expected true or false"));
            }
            Some(b'0'..=b'9' | b'+' | b'-' | b'_' | b'.' | b'i' | b'n' | b'I' | b'N') => self.number_or_date()?,
            _ => return fail(Issue::new("bad format: unknown value appeared", start, "here")),
        };
        Ok(Node::leaf(value, start, self.at - start))
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return fail(Issue::new("value is nested too deeply", self.at, "here"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn boolean(&mut self) -> Parsed<bool> {
        if self.take(b"true") {
            return Ok(true);
        }
        if self.take(b"false") {
            return Ok(false);
        }
        let title = "toml::parse_boolean: invalid boolean: boolean must be `true` or `false`, in lowercase. string must \
                     be surrounded by `\"`";
        fail(Issue::new(title, self.at, "expected true or false"))
    }

    fn skip_lines(&mut self) -> Parsed<()> {
        loop {
            self.blanks();
            self.comment()?;
            if !self.newline() {
                return Ok(());
            }
        }
    }

    fn array(&mut self) -> Parsed<Vec<Toml>> {
        self.at += 1;
        let mut list = Vec::new();
        loop {
            self.skip_lines()?;
            if self.take(b"]") {
                return Ok(list);
            }
            if self.at >= self.text.len() {
                let title = "toml::parse_array: missing closing bracket `]`";
                return fail(Issue::new(title, self.at, "expected `]`, reached EOF"));
            }
            list.push(self.value()?.into_value());
            self.skip_lines()?;
            if self.take(b",") || self.peek() == Some(b']') {
                continue;
            }
            if self.at >= self.text.len() {
                let title = "toml::parse_array: missing closing bracket `]`";
                return fail(Issue::new(title, self.at, "expected `]`, reached EOF"));
            }
            let title = "toml::parse_array: expected value-separator `,` or closing `]`";
            return fail(Issue::new(title, self.at, "here"));
        }
    }

    fn inline_table(&mut self) -> Parsed<Tree> {
        self.at += 1;
        let mut tree = Tree::default();
        self.blanks();
        if self.take(b"}") {
            return Ok(tree);
        }
        loop {
            let (key, value) = self.pair()?;
            tree.insert_pair(&key, value)?;
            self.blanks();
            if self.take(b"}") {
                return Ok(tree);
            }
            if !self.take(b",") {
                let title = "toml::parse_inline_table: expected value-separator `,` or closing `}`";
                return fail(Issue::new(title, self.at, "here"));
            }
            self.blanks();
            if self.peek() == Some(b'}') {
                let title = "toml::parse_inline_table: trailing comma is not allowed in TOML-v1.0.0)";
                return fail(Issue::new(title, self.at, "here"));
            }
        }
    }
}

fn bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

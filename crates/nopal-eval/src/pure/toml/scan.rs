//! The reader: lines, keys and values.

use super::table::{Header, Node, Tree};
use super::{Issue, MAX_DEPTH, Toml, TomlError};

const KEY_TITLE: &str = "toml::parse_simple_key: invalid key: key must be \"quoted\", 'quoted-literal', or bare key.";
const KEY_HINT: &str = "Hint: non-ASCII scripts are allowed in toml v1.1.0, but not in v1.0.0.\n";

/// A position in the text.
pub(super) struct Parser<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    depth: usize,
    /// What was wrong so far.
    issues: Vec<Issue>,
    /// Where the first escape of the string at hand is that means no character.
    pub(super) no_character: Option<(usize, Issue)>,
    /// The last line to whose begin [`Parser::skip_array`] went back.
    returned_to: Option<usize>,
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
        Parser { text, at: 0, depth: 0, issues: Vec::new(), no_character: None, returned_to: None }
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
                .hints("Hint: most of the control characters are not allowed in comments\n"),
        )
    }

    /// Skips space, comments and ends of lines; says whether there was one.
    fn lines(&mut self) -> bool {
        let mut found = false;
        loop {
            self.blanks();
            if let Err(issue) = self.comment() {
                self.issues.push(*issue);
                self.skip_until(b"\n");
            }
            if !self.newline() {
                return found;
            }
            found = true;
        }
    }

    /// The whole text. What is wrong is reported, and reading goes on where toml11 goes on, so that the same is reported.
    pub(super) fn document(mut self) -> Result<Toml, TomlError> {
        let mut tree = Tree::default();
        self.pairs(&mut tree);
        while self.at < self.text.len() {
            self.lines();
            match self.header_line() {
                Err(issue) => {
                    self.issues.push(*issue);
                    self.skip_until_header();
                }
                Ok(header) => match tree.open(&header) {
                    Ok(()) => self.pairs(&mut tree),
                    Err(issue) => {
                        self.issues.push(*issue);
                        self.pairs(&mut Tree::default());
                    }
                },
            }
        }
        if self.issues.is_empty() {
            return Ok(tree.finish());
        }
        Err(TomlError(self.issues.iter().map(|issue| issue.show(self.text)).collect()))
    }

    /// Keys and values, up to the next header.
    fn pairs(&mut self, tree: &mut Tree) {
        let reported = self.issues.len();
        let mut is_line_new = true;
        loop {
            let start = self.at;
            is_line_new |= self.lines();
            if self.at >= self.text.len() {
                break;
            }
            if self.peek() == Some(b'[') {
                // which may follow in the same line
                self.at = start;
                break;
            }
            if !is_line_new {
                let title = "toml::parse_table: newline (LF / CRLF) or EOF is expected";
                self.issues.push(Issue::new(title, self.at, "here"));
                break;
            }
            is_line_new = false;
            match self.pair() {
                Ok((key, value)) => {
                    let end = self.at;
                    self.blanks();
                    if self.peek() != Some(b'#') {
                        self.at = end;
                    } else if let Err(issue) = self.comment() {
                        self.issues.push(*issue);
                    } else {
                        is_line_new = self.newline();
                    }
                    if let Err(issue) = tree.insert_pair(&key, value) {
                        self.issues.push(*issue);
                    }
                }
                Err(issue) => {
                    self.issues.push(*issue);
                    self.skip_until(b"=\n");
                    if self.peek() == Some(b'=') {
                        self.skip_until(b"\n,]}");
                    }
                }
            }
        }
        if self.issues.len() > reported {
            self.skip_until_header();
        }
    }

    fn skip_until(&mut self, bytes: &[u8]) {
        while self.peek().is_some_and(|byte| !bytes.contains(&byte)) {
            self.at += 1;
        }
    }

    /// Goes on at the next line that begins with a header; one behind an empty line is passed over.
    fn skip_until_header(&mut self) {
        while self.at < self.text.len() {
            if self.take(b"\n") {
                let line = self.at;
                self.blanks();
                if self.is_at_header() {
                    self.at = line;
                    return;
                }
            }
            self.at = (self.at + 1).min(self.text.len());
        }
    }

    fn is_at_header(&self) -> bool {
        let mut ahead = Parser::new(self.text);
        ahead.at = self.at;
        ahead.peek() == Some(b'[') && ahead.header().is_ok()
    }

    /// Skips what looks like a value.
    fn skip_value(&mut self) {
        match self.peek() {
            Some(b'"' | b'\'') => self.skip_string(),
            Some(b'[') => self.skip_nested(Self::skip_array),
            Some(b'{') => self.skip_nested(Self::skip_inline_table),
            _ => self.skip_until(b"\n,]}"),
        }
    }

    fn skip_string(&mut self) {
        for quotes in [b"\"\"\"", b"'''"] {
            if self.take(quotes) {
                while self.at < self.text.len() && !self.take(quotes) {
                    self.at += 1;
                }
                return;
            }
        }
        let end = if self.peek() == Some(b'"') { b"\"\n" } else { b"'\n" };
        self.at += 1;
        self.skip_until(end);
        self.at = (self.at + 1).min(self.text.len());
    }

    fn skip_nested(&mut self, skip: impl FnOnce(&mut Self)) {
        if self.depth >= MAX_DEPTH {
            self.at = self.text.len();
            return;
        }
        self.depth += 1;
        self.at += 1;
        skip(self);
        self.depth -= 1;
    }

    fn skip_array(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'"' | b'\'' | b'{' => self.skip_value(),
                b'#' => self.skip_until(b"\n"),
                b'[' if self.is_at_header() => return,
                b'[' => self.skip_value(),
                b'=' => {
                    // A pair cannot stand in an array: its line is where the array should have ended. (toml11 may read the
                    // same line forever then.)
                    let line = memchr::memrchr(b'\n', &self.text[..self.at]).map_or(0, |at| at + 1);
                    if self.returned_to.is_none_or(|last| last < line) {
                        self.returned_to = Some(line);
                        self.at = line;
                    }
                    return;
                }
                b']' => return,
                _ => self.at += 1,
            }
        }
    }

    fn skip_inline_table(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'"' | b'\'' | b'{' => self.skip_value(),
                b'#' => return self.skip_until(b"\n"),
                b'[' if self.is_at_header() => return,
                b'[' => self.skip_value(),
                b'\n' | b'}' => return,
                _ => self.at += 1,
            }
        }
    }

    fn header_line(&mut self) -> Parsed<Header> {
        let header = self.header()?;
        self.blanks();
        self.comment()?;
        if self.at < self.text.len() && !self.newline() {
            let title = "toml::parse_file: newline (or EOF) expected";
            return fail(Issue::new(title, self.at, "expected 0x0a(LINE FEED) or \r\n"));
        }
        Ok(header)
    }

    fn header(&mut self) -> Parsed<Header> {
        let start = self.at;
        let array = self.rest().starts_with(b"[[");
        self.at += if array { 2 } else { 1 };
        self.blanks();
        let (kind, close): (&str, &[u8]) = if array { ("array-table", b"]]") } else { ("table", b"]") };
        let title = format!("toml::parse_file: invalid {kind} key");
        let first = self.at_key().then(|| self.simple_key().ok()).flatten();
        let Some(first) = first else {
            let note = "expected basic key([a-zA-Z0-9_-]) or quoted key(\" or ')";
            return fail(Issue::new(title, self.at, note));
        };
        let mut parts = vec![first];
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
        Ok(Header { parts, start, length: self.at - start, array })
    }

    fn at_key(&self) -> bool {
        self.peek().is_some_and(|b| bare(b) || b == b'"' || b == b'\'')
    }

    fn simple_key(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(b'"' | b'\'') => self.line_string(),
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
            Some(b'"' | b'\'') => Toml::String(self.string()?),
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

    fn array(&mut self) -> Parsed<Vec<Toml>> {
        self.at += 1;
        let reported = self.issues.len();
        let mut list = Vec::new();
        let mut is_comma_found = true;
        self.lines();
        while self.peek().is_some_and(|byte| byte != b']') {
            if !is_comma_found {
                let title = "toml::parse_array: expected value-separator `,` or closing `]`";
                return fail(Issue::new(title, self.at, "here"));
            }
            match self.value() {
                Ok(value) => {
                    list.push(value.into_value());
                    self.lines();
                    is_comma_found = self.take(b",");
                    self.lines();
                }
                Err(issue) => {
                    self.issues.push(*issue);
                    let before = self.at;
                    self.skip_value();
                    if self.at == before {
                        break;
                    }
                }
            }
        }
        if !self.take(b"]") {
            let title = "toml::parse_array: missing closing bracket `]`";
            return fail(Issue::new(title, self.at, "expected `]`, reached EOF"));
        }
        match self.issues.last() {
            // toml11 reports it again
            Some(last) if self.issues.len() > reported => fail(last.clone()),
            _ => Ok(list),
        }
    }

    fn inline_table(&mut self) -> Parsed<Tree> {
        self.at += 1;
        let reported = self.issues.len();
        let mut tree = Tree::default();
        let (mut is_empty, mut is_comma_found) = (true, false);
        self.blanks();
        while self.peek().is_some_and(|byte| byte != b'}') {
            if !is_comma_found && !is_empty {
                let title = "toml::parse_inline_table: expected value-separator `,` or closing `}`";
                return fail(Issue::new(title, self.at, "here"));
            }
            is_empty = false;
            match self.pair() {
                Ok((key, value)) => {
                    if let Err(issue) = tree.insert_pair(&key, value) {
                        self.issues.push(*issue);
                        self.skip_until(b",\n}");
                        is_comma_found = self.peek() == Some(b',');
                        continue;
                    }
                    self.blanks();
                    is_comma_found = self.take(b",");
                    self.blanks();
                }
                Err(issue) => {
                    self.issues.push(*issue);
                    self.skip_until(b"}\n");
                    is_comma_found = false;
                    break;
                }
            }
        }
        if is_comma_found && self.peek() == Some(b'}') {
            let title = "toml::parse_inline_table: trailing comma is not allowed in TOML-v1.0.0)";
            return fail(Issue::new(title, self.at, "here"));
        }
        if !self.take(b"}") {
            let title = "toml::parse_inline_table: missing closing bracket `}`";
            return fail(Issue::new(title, self.at, "expected `}`, reached line end"));
        }
        if self.issues.len() > reported
            && let Some(last) = self.issues.pop()
        {
            return fail(last);
        }
        Ok(tree)
    }
}

fn bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

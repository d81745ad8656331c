//! The lexer: bytes to tokens, by the rules of Nix's flex grammar (the longest match wins, then the first rule).
//!
//! It is a state machine with a stack because strings contain expressions that contain strings. It never fails loudly:
//! an error ends the stream with [`Kind::LexError`] and is kept until the parser looks at that token, because what the
//! parser has to complain about before it comes first.

use memchr::{memchr, memchr2};

use crate::ast::{Pos, Span};
use crate::diagnostic::{Diagnostic, Problem};
use crate::number;
use crate::token::{Kind, Text, Token};

const ID: u8 = 1;
const PATH: u8 = 2;
const URI: u8 = 4;
const SCHEME: u8 = 8;
const SPACE: u8 = 16;
const ALPHA: u8 = 32;
const DIGIT: u8 = 64;

/// What each byte may be part of.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "i is below 256")]
        let byte = i as u8;
        let mut class = 0;
        if byte.is_ascii_alphabetic() {
            class |= ID | PATH | URI | SCHEME | ALPHA;
        }
        if byte.is_ascii_digit() {
            class |= ID | PATH | URI | SCHEME | DIGIT;
        }
        class |= match byte {
            b'_' => ID | PATH | URI | ALPHA,
            b'\'' => ID | URI,
            b'-' => ID | PATH | URI | SCHEME,
            b'.' | b'+' => PATH | URI | SCHEME,
            b'%' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'$' | b',' | b'!' | b'~' | b'*' => URI,
            b' ' | b'\t' | b'\r' | b'\n' => SPACE,
            _ => 0,
        };
        table[i] = class;
        i += 1;
    }
    table
};

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// Whether all of these may stand in an identifier behind its first byte.
#[inline]
pub(crate) fn is_name_tail(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is(*byte, ID))
}

/// So many bytes are looked at together.
const TOGETHER: usize = 16;

/// How many bytes come before the first that may mean something in a string.
pub(crate) fn plain_len(text: &[u8]) -> usize {
    let is_special = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'$') | (byte == b'\\');
    // without a branch for each byte
    let is_plain =
        |bytes: &&[u8; TOGETHER]| bytes.iter().fold(0, |found, byte| found | u8::from(is_special(*byte))) == 0;
    let (together, _) = text.as_chunks::<TOGETHER>();
    let plain = TOGETHER * together.iter().take_while(is_plain).count();
    plain + text[plain..].iter().position(|byte| is_special(*byte)).unwrap_or(text.len() - plain)
}

/// What the bytes at hand are part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// An expression.
    Code,
    String,
    IndString,
    /// After a part of a path; the flag says that it ended in a slash.
    InPath {
        slash: bool,
    },
}

pub(crate) struct Lexer<'s> {
    src: &'s [u8],
    pos: usize,
    mode: Mode,
    stack: Vec<Mode>,
    pipe_operators: bool,
    /// Begin of the last token.
    last_start: usize,
    /// Begin of the token before it.
    previous_start: usize,
    /// Where the end of the file is reported: after the last match, except after a path, see [`Lexer::path_end`].
    eof_at: Option<u32>,
    /// No path begins before this offset: a run of path characters up to here is not followed by a slash.
    no_path_before: usize,
    /// No URI begins before this offset, likewise.
    no_uri_before: usize,
    pending_doc: Option<Span>,
    /// Doc comments by the begin of the token that follows, ascending.
    pub(crate) docs: Vec<(u32, Span)>,
    pub(crate) error: Option<Box<Diagnostic>>,
}

impl<'s> Lexer<'s> {
    /// A lexer at the begin of `src`, which is not larger than [`crate::ast::MAX_SOURCE_BYTES`].
    pub(crate) fn new(src: &'s [u8], pipe_operators: bool) -> Self {
        Self {
            src,
            pos: 0,
            mode: Mode::Code,
            stack: Vec::new(),
            pipe_operators,
            last_start: 0,
            previous_start: 0,
            eof_at: None,
            no_path_before: 0,
            no_uri_before: 0,
            pending_doc: None,
            docs: Vec::new(),
            error: None,
        }
    }

    /// The next token; after the end, the end again.
    pub(crate) fn next(&mut self) -> Token {
        if self.error.is_some() {
            return self.make(Kind::LexError, self.pos, self.pos);
        }
        match self.mode {
            Mode::Code => self.code(),
            Mode::String => self.string(),
            Mode::IndString => self.ind_string(),
            Mode::InPath { slash } => self.in_path(slash),
        }
    }

    #[inline]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.src.get(self.pos + ahead).copied()
    }

    #[expect(clippy::cast_possible_truncation, reason = "offsets are below MAX_SOURCE_BYTES")]
    #[inline]
    fn make(&self, kind: Kind, start: usize, end: usize) -> Token {
        Token { kind, text: Text::Raw, start: start as u32, end: end as u32 }
    }

    /// A token from here, `len` bytes long.
    #[inline]
    fn take(&mut self, kind: Kind, len: usize) -> Token {
        let start = self.pos;
        self.previous_start = self.last_start;
        self.last_start = start;
        self.pos += len;
        self.note_doc(start);
        self.make(kind, start, self.pos)
    }

    fn take_text(&mut self, kind: Kind, text: Text, len: usize) -> Token {
        Token { text, ..self.take(kind, len) }
    }

    #[inline]
    fn note_doc(&mut self, start: usize) {
        if let Some(span) = self.pending_doc.take() {
            self.docs.push((self.make(Kind::Eof, start, start).start, span));
        }
    }

    fn fail(&mut self, problem: Problem, at: usize) -> Token {
        let token = self.make(Kind::LexError, at, at);
        self.error = Some(Box::new(Diagnostic::new(problem, Pos::at(token.start))));
        token
    }

    fn push(&mut self, mode: Mode) {
        self.stack.push(self.mode);
        self.mode = mode;
    }

    fn pop(&mut self) {
        if let Some(mode) = self.stack.pop() {
            self.mode = mode;
        }
    }

    /// End of the file. Nix does not move its location there, so it is where the last match ended.
    fn eof(&mut self) -> Token {
        let start = self.pos;
        let end = self.eof_at.map_or(start, |at| at as usize);
        self.make(Kind::Eof, start, end)
    }

    fn code(&mut self) -> Token {
        if let Err(eof) = self.skip_space() {
            return eof;
        }
        let Some(byte) = self.peek(0) else { return self.eof() };
        match byte {
            _ if is(byte, ALPHA) => self.word(byte),
            _ if is(byte, DIGIT) => self.number(),
            b'{' => {
                self.push(Mode::Code);
                self.take(Kind::CurlyOpen, 1)
            }
            b'}' => {
                self.pop();
                self.take(Kind::CurlyClose, 1)
            }
            b'"' => {
                self.push(Mode::String);
                self.take(Kind::Quote, 1)
            }
            b'.' => self.dot(),
            b'\'' if self.peek(1) == Some(b'\'') => self.open_ind_string(),
            b'$' if self.peek(1) == Some(b'{') => {
                self.push(Mode::Code);
                self.take(Kind::DollarCurly, 2)
            }
            b'~' => self.home_path(),
            b'/' | b'+' | b'-' => self.maybe_path().unwrap_or_else(|| self.operator(byte)),
            b'<' => self.less(),
            _ => self.operator(byte),
        }
    }

    /// Skips white space and comments and remembers a doc comment.
    #[inline]
    fn skip_space(&mut self) -> Result<(), Token> {
        loop {
            match self.peek(0) {
                Some(byte) if is(byte, SPACE) => self.pos = self.scan(self.pos + 1, SPACE),
                Some(b'#') => {
                    let rest = &self.src[self.pos..];
                    self.pos += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
                Some(b'/') if self.peek(1) == Some(b'*') => {
                    if !self.comment() {
                        return Ok(());
                    }
                }
                Some(_) => return Ok(()),
                None => return Err(self.eof()),
            }
        }
    }

    /// Skips `/* … */`; false if it has no end, and then it is not a comment.
    fn comment(&mut self) -> bool {
        let mut from = self.pos + 2;
        let end = loop {
            let Some(star) = memchr(b'*', &self.src[from..]) else { return false };
            from += star + 1;
            if self.src.get(from) == Some(&b'/') {
                break from + 1;
            }
        };
        let is_doc = self.peek(2) == Some(b'*') && !matches!(self.peek(3), Some(b'*' | b'/'));
        if is_doc {
            self.pending_doc = Some(self.make(Kind::Eof, self.pos, end).span());
        }
        self.pos = end;
        true
    }

    fn scan(&self, from: usize, class: u8) -> usize {
        self.src[from..].iter().position(|byte| !is(*byte, class)).map_or(self.src.len(), |len| from + len)
    }

    /// A keyword, an identifier, or a path or URI that begins like one.
    #[inline]
    fn word(&mut self, first: u8) -> Token {
        let start = self.pos;
        let end = self.scan(start, ID);
        if let Some(next) = self.src.get(end)
            && matches!(next, b'.' | b'+' | b'/' | b':')
        {
            if let Some(path) = self.maybe_path() {
                return path;
            }
            if let Some(uri) = self.maybe_uri(first) {
                return uri;
            }
        }
        self.take(keyword(&self.src[start..end]), end - start)
    }

    fn maybe_uri(&mut self, first: u8) -> Option<Token> {
        if !first.is_ascii_alphabetic() || self.pos < self.no_uri_before {
            return None;
        }
        let colon = self.scan(self.pos, SCHEME);
        let starts = self.src.get(colon) == Some(&b':') && self.src.get(colon + 1).is_some_and(|byte| is(*byte, URI));
        if !starts {
            self.no_uri_before = colon;
            return None;
        }
        let end = self.scan(colon + 1, URI);
        Some(self.take(Kind::Uri, end - self.pos))
    }

    /// A path from here: path characters, then at least one `/` with path characters, or `/${`.
    fn maybe_path(&mut self) -> Option<Token> {
        if self.pos < self.no_path_before {
            return None;
        }
        let slash = self.scan(self.pos, PATH);
        if self.src.get(slash) != Some(&b'/') {
            self.no_path_before = slash;
            return None;
        }
        match self.src.get(slash + 1) {
            Some(byte) if is(*byte, PATH) => Some(self.path(Kind::Path, slash)),
            Some(b'$') if self.src.get(slash + 2) == Some(&b'{') => {
                Some(self.path_before_interpolation(Kind::Path, slash))
            }
            _ => None,
        }
    }

    /// Where a path ends whose first `/` with path characters behind it is at `slash`; includes a slash at the end.
    fn scan_path(&self, mut slash: usize) -> usize {
        loop {
            let end = self.scan(slash + 1, PATH);
            if self.src.get(end) != Some(&b'/') {
                return end;
            }
            if !self.src.get(end + 1).is_some_and(|byte| is(*byte, PATH)) {
                return end + 1;
            }
            slash = end;
        }
    }

    fn path(&mut self, kind: Kind, slash: usize) -> Token {
        let end = self.scan_path(slash);
        self.push(Mode::InPath { slash: self.src[end - 1] == b'/' });
        self.take(kind, end - self.pos)
    }

    fn path_before_interpolation(&mut self, kind: Kind, slash: usize) -> Token {
        // Nix matches this part twice, and the doc comment is lost on the way
        self.pending_doc = None;
        self.push(Mode::InPath { slash: true });
        self.take(kind, slash + 1 - self.pos)
    }

    fn home_path(&mut self) -> Token {
        if self.peek(1) == Some(b'/') {
            match self.peek(2) {
                Some(byte) if is(byte, PATH) => return self.path(Kind::HomePath, self.pos + 1),
                Some(b'$') if self.peek(3) == Some(b'{') => {
                    return self.path_before_interpolation(Kind::HomePath, self.pos + 1);
                }
                _ => {}
            }
        }
        self.take(Kind::Undef, 1)
    }

    fn in_path(&mut self, slash: bool) -> Token {
        let Some(byte) = self.peek(0) else {
            if slash {
                return self.fail(Problem::PathTrailingSlash, self.last_start);
            }
            return self.path_end(true);
        };
        if byte == b'$' && self.peek(1) == Some(b'{') {
            self.mode = Mode::InPath { slash: false };
            self.push(Mode::Code);
            return self.take(Kind::DollarCurly, 2);
        }
        let run = self.scan(self.pos, PATH);
        let end = match self.src.get(run) {
            Some(b'/') if self.src.get(run + 1).is_some_and(|byte| is(*byte, PATH)) => self.scan_path(run),
            Some(b'/') => run + 1,
            _ => run,
        };
        if end > self.pos {
            self.mode = Mode::InPath { slash: self.src[end - 1] == b'/' };
            return self.take(Kind::Str, end - self.pos);
        }
        if slash {
            return self.fail(Problem::PathTrailingSlash, self.pos);
        }
        self.path_end(false)
    }

    /// The end of a path. Nix gives it the location of the part before; at the end of the file it goes back one part
    /// more, and that is where it then reports an unexpected end of file.
    fn path_end(&mut self, at_eof: bool) -> Token {
        self.pop();
        let mut start = self.last_start;
        if at_eof {
            self.eof_at = Some(self.make(Kind::PathEnd, start, self.pos).start);
            start = self.previous_start;
        }
        self.make(Kind::PathEnd, start, self.pos)
    }

    /// `[0-9]+`, a float, or a path that begins with a digit.
    fn number(&mut self) -> Token {
        let start = self.pos;
        let mut end = self.scan(start, DIGIT);
        if self.src.get(end).is_some_and(|next| is(*next, PATH) || *next == b'/')
            && let Some(path) = self.maybe_path()
        {
            return path;
        }
        let leading_zero = self.src[start] == b'0';
        if self.src.get(end) == Some(&b'.') {
            let digits = self.scan(end + 1, DIGIT);
            let is_float = if leading_zero { end == start + 1 && digits > end + 1 } else { true };
            if is_float {
                end = self.exponent(digits);
                return self.float(end);
            }
        }
        if number::parse_int(&self.src[start..end]).is_none() {
            return self.fail(Problem::InvalidInteger(self.src[start..end].to_vec()), start);
        }
        self.take(Kind::Int, end - start)
    }

    /// Where the exponent at `from` ends, or `from` if there is none.
    fn exponent(&self, from: usize) -> usize {
        if !matches!(self.src.get(from), Some(b'e' | b'E')) {
            return from;
        }
        let sign = usize::from(matches!(self.src.get(from + 1), Some(b'+' | b'-')));
        let end = self.scan(from + 1 + sign, DIGIT);
        if end > from + 1 + sign { end } else { from }
    }

    fn float(&mut self, end: usize) -> Token {
        let text = &self.src[self.pos..end];
        if number::parse_float(text).is_none() {
            return self.fail(Problem::InvalidFloat(text.to_vec()), self.pos);
        }
        self.take(Kind::Float, end - self.pos)
    }

    fn dot(&mut self) -> Token {
        let next = self.peek(1);
        if next.is_none_or(|next| !is(next, PATH) && next != b'/') {
            return self.take(Kind::Dot, 1);
        }
        if let Some(path) = self.maybe_path() {
            return path;
        }
        if next.is_some_and(|next| is(next, DIGIT)) {
            let end = self.exponent(self.scan(self.pos + 1, DIGIT));
            return self.float(end);
        }
        if next == Some(b'.') && self.peek(2) == Some(b'.') {
            return self.take(Kind::Ellipsis, 3);
        }
        self.take(Kind::Dot, 1)
    }

    /// `<=`, `<|`, `<a/b>` or `<`.
    fn less(&mut self) -> Token {
        if self.peek(1).is_some_and(|next| is(next, PATH)) {
            let mut end = self.scan(self.pos + 1, PATH);
            while self.src.get(end) == Some(&b'/') && self.src.get(end + 1).is_some_and(|byte| is(*byte, PATH)) {
                end = self.scan(end + 1, PATH);
            }
            if self.src.get(end) == Some(&b'>') {
                return self.take(Kind::SearchPath, end + 1 - self.pos);
            }
        }
        self.operator(b'<')
    }

    fn operator(&mut self, byte: u8) -> Token {
        let (kind, len) = match (byte, self.peek(1)) {
            (b'=', Some(b'=')) => (Kind::Eq, 2),
            (b'!', Some(b'=')) => (Kind::Neq, 2),
            (b'<', Some(b'=')) => (Kind::Le, 2),
            (b'>', Some(b'=')) => (Kind::Ge, 2),
            (b'&', Some(b'&')) => (Kind::And, 2),
            (b'|', Some(b'|')) => (Kind::Or, 2),
            (b'-', Some(b'>')) => (Kind::Impl, 2),
            (b'/', Some(b'/')) => (Kind::Update, 2),
            (b'+', Some(b'+')) => (Kind::Concat, 2),
            (b'<', Some(b'|')) => (Kind::PipeFrom, 2),
            (b'|', Some(b'>')) => (Kind::PipeInto, 2),
            (b'<', _) => (Kind::Lt, 1),
            (b'>', _) => (Kind::Gt, 1),
            (b'+', _) => (Kind::Plus, 1),
            (b'-', _) => (Kind::Minus, 1),
            (b'*', _) => (Kind::Star, 1),
            (b'/', _) => (Kind::Slash, 1),
            (b'?', _) => (Kind::Question, 1),
            (b':', _) => (Kind::Colon, 1),
            (b'@', _) => (Kind::At, 1),
            (b';', _) => (Kind::Semicolon, 1),
            (b'!', _) => (Kind::Bang, 1),
            (b'(', _) => (Kind::ParenOpen, 1),
            (b')', _) => (Kind::ParenClose, 1),
            (b'[', _) => (Kind::SquareOpen, 1),
            (b']', _) => (Kind::SquareClose, 1),
            (b'=', _) => (Kind::Assign, 1),
            (b',', _) => (Kind::Comma, 1),
            // Nix gives its parser the byte as the token's number, and 0 is the number of the end
            (0, _) => (Kind::Eof, 1),
            _ => (Kind::Undef, 1),
        };
        if matches!(kind, Kind::PipeFrom | Kind::PipeInto) && !self.pipe_operators {
            return self.fail(Problem::PipeOperatorsDisabled, self.pos);
        }
        self.take(kind, len)
    }

    /// Text, an interpolation or the end of `"…"`.
    fn string(&mut self) -> Token {
        let start = self.pos;
        let mut at = start;
        let mut text = Text::Raw;
        let mut has_null = false;
        loop {
            at += plain_len(&self.src[at..]);
            match self.src.get(at) {
                None | Some(b'"') => break,
                Some(b'\\') => {
                    if at + 1 >= self.src.len() {
                        break;
                    }
                    text = Text::Escaped;
                    at += 2;
                }
                Some(b'$') => match self.src.get(at + 1) {
                    None | Some(b'{') => break,
                    Some(b'"') => {
                        at += 1;
                        break;
                    }
                    Some(b'\\') => {
                        if at + 2 >= self.src.len() {
                            break;
                        }
                        text = Text::Escaped;
                        at += 3;
                    }
                    Some(second) => {
                        if *second == b'\r' {
                            text = Text::Escaped;
                        }
                        has_null |= *second == 0;
                        at += 2;
                    }
                },
                Some(b'\r') => {
                    text = Text::Escaped;
                    at += 1;
                }
                Some(byte) => {
                    has_null |= *byte == 0;
                    at += 1;
                }
            }
        }
        if at > start {
            if has_null {
                let mut bytes = Vec::new();
                unescape(&self.src[start..at], &mut bytes);
                return self.fail(Problem::NullByte(bytes), start);
            }
            return self.take_text(Kind::Str, text, at - start);
        }
        match self.peek(0) {
            Some(b'"') => {
                self.pop();
                self.take(Kind::Quote, 1)
            }
            Some(b'$') if self.peek(1) == Some(b'{') => {
                self.push(Mode::Code);
                self.take(Kind::DollarCurly, 2)
            }
            None => self.eof(),
            // `$`, `\` or `$\` at the end of the file, which Nix takes for the end
            Some(_) => self.take(Kind::Eof, self.src.len() - self.pos),
        }
    }

    fn open_ind_string(&mut self) -> Token {
        self.push(Mode::IndString);
        let spaces = self.src[self.pos + 2..].iter().take_while(|byte| **byte == b' ').count();
        let newline = self.peek(2 + spaces) == Some(b'\n');
        self.take(Kind::IndOpen, if newline { 3 + spaces } else { 2 })
    }

    /// Text, an interpolation or the end of `''…''`.
    fn ind_string(&mut self) -> Token {
        let start = self.pos;
        let mut at = start;
        while let Some(offset) = memchr2(b'$', b'\'', &self.src[at..]) {
            at += offset;
            let stops = match (self.src[at], self.src.get(at + 1)) {
                (_, None) | (b'$', Some(b'{' | b'\'')) | (b'\'', Some(b'\'' | b'$')) => true,
                (_, Some(_)) => false,
            };
            if stops {
                return self.ind_text_or_mark(start, at);
            }
            at += 2;
        }
        self.ind_text_or_mark(start, self.src.len())
    }

    fn ind_text_or_mark(&mut self, start: usize, at: usize) -> Token {
        if at > start {
            let bytes = &self.src[start..at];
            if memchr(0, bytes).is_some() {
                return self.fail(Problem::NullByte(bytes.to_vec()), start);
            }
            return self.take_text(Kind::IndStr, Text::Raw, at - start);
        }
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (None, ..) => self.eof(),
            (Some(b'$'), Some(b'{'), _) => {
                self.push(Mode::Code);
                self.take(Kind::DollarCurly, 2)
            }
            (Some(b'$'), ..) => self.take_text(Kind::IndStr, Text::Dollar, 1),
            (_, Some(b'\''), Some(b'$')) => self.take_text(Kind::IndStr, Text::Dollar, 3),
            (_, Some(b'\''), Some(b'\'')) => self.take_text(Kind::IndStr, Text::TwoQuotes, 3),
            (_, Some(b'\''), Some(b'\\')) if self.peek(3).is_some() => self.take_text(Kind::IndStr, Text::IndEscape, 4),
            (_, Some(b'\''), _) => {
                self.pop();
                self.take(Kind::IndClose, 2)
            }
            _ => self.take_text(Kind::IndStr, Text::Quote, 1),
        }
    }
}

/// Appends `text` to `out` with backslash escapes replaced and line ends (CR, CR LF) made LF.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr2(b'\\', b'\r', rest) {
        out.extend_from_slice(&rest[..at]);
        if rest[at] == b'\r' {
            out.push(b'\n');
            let skip = if rest.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
            rest = &rest[at + skip..];
            continue;
        }
        match rest.get(at + 1) {
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(other) => out.push(*other),
            None => {}
        }
        rest = rest.get(at + 2..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
}

#[inline]
fn keyword(word: &[u8]) -> Kind {
    match word {
        b"if" => Kind::If,
        b"then" => Kind::Then,
        b"else" => Kind::Else,
        b"assert" => Kind::Assert,
        b"with" => Kind::With,
        b"let" => Kind::Let,
        b"in" => Kind::In,
        b"rec" => Kind::Rec,
        b"inherit" => Kind::Inherit,
        b"or" => Kind::OrKw,
        _ => Kind::Id,
    }
}

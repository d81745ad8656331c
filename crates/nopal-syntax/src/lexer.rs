//! The lexer: bytes to tokens, by the rules of Nix's flex grammar (the longest match wins, then the first rule).
//!
//! It is a state machine with a stack because strings contain expressions that contain strings. It never fails loudly:
//! an error ends the stream with [`Kind::LexError`] and is kept until the parser looks at that token, because what the
//! parser has to complain about before it comes first.

use memchr::{memchr, memchr2};

use crate::ast::{Pos, Span};
use crate::diagnostic::{Diagnostic, Problem};
use crate::number;
use crate::runs::{name_len, path_part_len, plain_len, space_len};
use crate::token::{Kind, Text, Token};

const ID: u8 = 1;
const PATH: u8 = 2;
const URI: u8 = 4;
const SCHEME: u8 = 8;
const SPACE: u8 = 16;
const ALPHA: u8 = 32;
const DIGIT: u8 = 64;
/// Begins no token but the one that it is.
const ALONE: u8 = 128;

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
        class |= match byte {
            b'*' | b'?' | b':' | b'@' | b';' | b'(' | b')' | b'[' | b']' | b',' => ALONE,
            _ => 0,
        };
        table[i] = class;
        i += 1;
    }
    table
};

/// The token that each byte is by itself.
static SINGLE: [Kind; 256] = {
    let mut table = [Kind::Undef; 256];
    let kinds = [
        // Nix gives its parser the byte as the token's number, and 0 is the number of the end
        (0, Kind::Eof),
        (b'<', Kind::Lt),
        (b'>', Kind::Gt),
        (b'+', Kind::Plus),
        (b'-', Kind::Minus),
        (b'*', Kind::Star),
        (b'/', Kind::Slash),
        (b'?', Kind::Question),
        (b':', Kind::Colon),
        (b'@', Kind::At),
        (b';', Kind::Semicolon),
        (b'!', Kind::Bang),
        (b'(', Kind::ParenOpen),
        (b')', Kind::ParenClose),
        (b'[', Kind::SquareOpen),
        (b']', Kind::SquareClose),
        (b'=', Kind::Assign),
        (b',', Kind::Comma),
    ];
    let mut i = 0;
    while i < kinds.len() {
        table[kinds[i].0 as usize] = kinds[i].1;
        i += 1;
    }
    table
};

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// What the bytes at hand are part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// An expression.
    Code,
    String,
    IndString,
    /// After a part of a path.
    InPath,
    /// After a part of a path that ended in a slash.
    InPathAfterSlash,
}

/// So many tokens are made at a time: what is made in one loop is made faster, and it stays in the cache.
const BATCH: usize = 512;

pub(crate) struct Lexer<'s> {
    /// Tokens that are made; those from `next` on are to be given out.
    tokens: Vec<Token>,
    next: usize,
    /// The last token, once it is made.
    end: Option<Token>,
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
    /// No path begins before this offset: it ends a run of path characters behind which no path goes on.
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
            tokens: Vec::new(),
            next: 0,
            end: None,
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
    #[inline]
    pub(crate) fn next(&mut self) -> Token {
        let token = self.ahead(0);
        self.next += 1;
        token
    }

    /// A token further on; the next one is 0 ahead.
    #[inline]
    pub(crate) fn ahead(&mut self, ahead: usize) -> Token {
        match self.tokens.get(self.next + ahead) {
            Some(token) => *token,
            None => self.ahead_of_batch(ahead),
        }
    }

    #[inline(never)]
    fn ahead_of_batch(&mut self, ahead: usize) -> Token {
        self.tokens.drain(..self.next);
        self.next = 0;
        self.tokens.reserve(BATCH);
        while self.tokens.len() <= ahead {
            self.make_tokens();
        }
        self.tokens[ahead]
    }

    /// Makes tokens up to the end, if it is near; behind the end, the end again.
    fn make_tokens(&mut self) {
        if let Some(end) = self.end {
            self.tokens.push(end);
        }
        while self.end.is_none() && self.tokens.len() < BATCH {
            match self.mode {
                Mode::Code => self.code(),
                Mode::String => self.string(),
                Mode::IndString => self.ind_string(),
                Mode::InPath => self.in_path(false),
                Mode::InPathAfterSlash => self.in_path(true),
            }
        }
    }

    #[inline]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.src.get(self.pos + ahead).copied()
    }

    #[inline]
    fn put(&mut self, kind: Kind, text: Text, start: usize, end: usize) {
        self.tokens.push(Token { kind, text, start: offset(start), end: offset(end) });
    }

    /// A token from here, `len` bytes long.
    #[inline]
    fn take(&mut self, kind: Kind, len: usize) {
        self.take_text(kind, Text::Raw, len);
    }

    #[inline]
    fn take_text(&mut self, kind: Kind, text: Text, len: usize) {
        let start = self.pos;
        self.previous_start = self.last_start;
        self.last_start = start;
        self.pos += len;
        if let Some(comment) = self.pending_doc {
            self.pending_doc = None;
            self.docs.push((offset(start), comment));
        }
        self.put(kind, text, start, self.pos);
    }

    #[cold]
    fn put_end(&mut self, kind: Kind, end: usize) {
        self.put(kind, Text::Raw, self.pos, end);
        self.end = self.tokens.last().copied();
    }

    fn fail(&mut self, problem: Problem, at: usize) {
        self.pos = at;
        self.put_end(Kind::LexError, at);
        self.error = Some(Box::new(Diagnostic::new(problem, Pos::at(offset(at)))));
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
    fn eof(&mut self) {
        let end = self.eof_at.map_or(self.pos, |at| at as usize);
        self.put_end(Kind::Eof, end);
    }

    fn code(&mut self) {
        self.skip_space();
        let Some(byte) = self.peek(0) else { return self.eof() };
        match byte {
            _ if is(byte, ALPHA) => self.word(byte),
            _ if is(byte, ALONE) => self.take(SINGLE[usize::from(byte)], 1),
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
            b'/' | b'+' | b'-' if self.maybe_path() => {}
            b'<' => self.less(),
            _ => self.operator(byte),
        }
    }

    /// Skips white space and comments and remembers a doc comment.
    #[inline]
    fn skip_space(&mut self) {
        loop {
            match self.peek(0) {
                Some(byte) if is(byte, SPACE) => {
                    self.pos += 1;
                    // most often it is one space
                    if self.peek(0).is_some_and(|byte| is(byte, SPACE)) {
                        self.pos += space_len(&self.src[self.pos..]);
                    }
                }
                Some(b'#') => {
                    let rest = &self.src[self.pos..];
                    self.pos += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
                Some(b'/') if self.peek(1) == Some(b'*') => {
                    if !self.comment() {
                        return;
                    }
                }
                _ => return,
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
            self.pending_doc = Some(Span { start: offset(self.pos), end: offset(end) });
        }
        self.pos = end;
        true
    }

    /// Where what may stand in a path between slashes ends.
    fn scan_path_part(&self, from: usize) -> usize {
        from + path_part_len(&self.src[from..])
    }

    fn scan(&self, from: usize, class: u8) -> usize {
        self.src[from..].iter().position(|byte| !is(*byte, class)).map_or(self.src.len(), |len| from + len)
    }

    /// A keyword, an identifier, or a path or URI that begins like one.
    #[inline]
    fn word(&mut self, first: u8) {
        let start = self.pos;
        let end = start + name_len(&self.src[start..]);
        if let Some(next) = self.src.get(end)
            && matches!(next, b'.' | b'+' | b'/' | b':')
            && (self.maybe_path() || self.maybe_uri(first))
        {
            return;
        }
        self.take(keyword(&self.src[start..end]), end - start)
    }

    /// A URI from here, if there is one. That there is no path is known.
    fn maybe_uri(&mut self, first: u8) -> bool {
        // a scheme is made of what paths are made of
        if self.src.get(self.no_path_before) != Some(&b':')
            || !first.is_ascii_alphabetic()
            || self.pos < self.no_uri_before
        {
            return false;
        }
        let colon = self.scan(self.pos, SCHEME);
        let starts = self.src.get(colon) == Some(&b':') && self.src.get(colon + 1).is_some_and(|byte| is(*byte, URI));
        if !starts {
            self.no_uri_before = colon;
            return false;
        }
        let end = self.scan(colon + 1, URI);
        self.take(Kind::Uri, end - self.pos);
        true
    }

    /// A path from here, if there is one: path characters, then at least one `/` with path characters, or `/${`.
    fn maybe_path(&mut self) -> bool {
        if self.pos < self.no_path_before {
            return false;
        }
        let slash = self.scan_path_part(self.pos);
        if self.src.get(slash) == Some(&b'/') {
            match self.src.get(slash + 1) {
                Some(byte) if is(*byte, PATH) => {
                    self.path(Kind::Path, slash);
                    return true;
                }
                Some(b'$') if self.src.get(slash + 2) == Some(&b'{') => {
                    self.path_before_interpolation(Kind::Path, slash);
                    return true;
                }
                _ => {}
            }
        }
        self.no_path_before = slash;
        false
    }

    /// Where a path ends whose first `/` with path characters behind it is at `slash`; includes a slash at the end.
    fn scan_path(&self, mut slash: usize) -> usize {
        loop {
            let end = self.scan_path_part(slash + 1);
            if self.src.get(end) != Some(&b'/') {
                return end;
            }
            if !self.src.get(end + 1).is_some_and(|byte| is(*byte, PATH)) {
                return end + 1;
            }
            slash = end;
        }
    }

    /// The mode behind a part of a path that ends there.
    fn mode_in_path(&self, end: usize) -> Mode {
        if self.src[end - 1] == b'/' { Mode::InPathAfterSlash } else { Mode::InPath }
    }

    fn path(&mut self, kind: Kind, slash: usize) {
        let end = self.scan_path(slash);
        self.push(self.mode_in_path(end));
        self.take(kind, end - self.pos)
    }

    fn path_before_interpolation(&mut self, kind: Kind, slash: usize) {
        // Nix matches this part twice, and the doc comment is lost on the way
        self.pending_doc = None;
        self.push(Mode::InPathAfterSlash);
        self.take(kind, slash + 1 - self.pos)
    }

    fn home_path(&mut self) {
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

    fn in_path(&mut self, slash: bool) {
        let Some(byte) = self.peek(0) else {
            if slash {
                return self.fail(Problem::PathTrailingSlash, self.last_start);
            }
            return self.path_end(true);
        };
        if byte == b'$' && self.peek(1) == Some(b'{') {
            self.mode = Mode::InPath;
            self.push(Mode::Code);
            return self.take(Kind::DollarCurly, 2);
        }
        let run = self.scan_path_part(self.pos);
        let end = match self.src.get(run) {
            Some(b'/') if self.src.get(run + 1).is_some_and(|byte| is(*byte, PATH)) => self.scan_path(run),
            Some(b'/') => run + 1,
            _ => run,
        };
        if end > self.pos {
            self.mode = self.mode_in_path(end);
            return self.take(Kind::Str, end - self.pos);
        }
        if slash {
            return self.fail(Problem::PathTrailingSlash, self.pos);
        }
        self.path_end(false)
    }

    /// The end of a path. Nix gives it the location of the part before; at the end of the file it goes back one part
    /// more, and that is where it then reports an unexpected end of file.
    fn path_end(&mut self, at_eof: bool) {
        self.pop();
        let mut start = self.last_start;
        if at_eof {
            self.eof_at = Some(offset(start));
            start = self.previous_start;
        }
        self.put(Kind::PathEnd, Text::Raw, start, self.pos);
    }

    /// `[0-9]+`, a float, or a path that begins with a digit.
    fn number(&mut self) {
        let start = self.pos;
        let mut end = self.scan(start, DIGIT);
        if self.src.get(end).is_some_and(|next| is(*next, PATH) || *next == b'/') && self.maybe_path() {
            return;
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

    fn float(&mut self, end: usize) {
        let text = &self.src[self.pos..end];
        if number::parse_float(text).is_none() {
            return self.fail(Problem::InvalidFloat(text.to_vec()), self.pos);
        }
        self.take(Kind::Float, end - self.pos)
    }

    fn dot(&mut self) {
        let next = self.peek(1);
        if next.is_none_or(|next| !is(next, PATH) && next != b'/') {
            return self.take(Kind::Dot, 1);
        }
        if self.maybe_path() {
            return;
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
    fn less(&mut self) {
        if self.peek(1).is_some_and(|next| is(next, PATH)) {
            let mut end = self.scan_path_part(self.pos + 1);
            while self.src.get(end) == Some(&b'/') && self.src.get(end + 1).is_some_and(|byte| is(*byte, PATH)) {
                end = self.scan_path_part(end + 1);
            }
            if self.src.get(end) == Some(&b'>') {
                return self.take(Kind::SearchPath, end + 1 - self.pos);
            }
        }
        self.operator(b'<')
    }

    fn operator(&mut self, byte: u8) {
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
            _ => (SINGLE[usize::from(byte)], 1),
        };
        if matches!(kind, Kind::PipeFrom | Kind::PipeInto) && !self.pipe_operators {
            return self.fail(Problem::PipeOperatorsDisabled, self.pos);
        }
        if kind == Kind::Eof {
            return self.put_end(kind, self.pos + len);
        }
        self.take(kind, len);
    }

    /// Text, an interpolation or the end of `"…"`.
    fn string(&mut self) {
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
            Some(_) => self.put_end(Kind::Eof, self.src.len()),
        }
    }

    fn open_ind_string(&mut self) {
        self.push(Mode::IndString);
        let spaces = self.src[self.pos + 2..].iter().take_while(|byte| **byte == b' ').count();
        let newline = self.peek(2 + spaces) == Some(b'\n');
        self.take(Kind::IndOpen, if newline { 3 + spaces } else { 2 })
    }

    /// Text, an interpolation or the end of `''…''`.
    fn ind_string(&mut self) {
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

    fn ind_text_or_mark(&mut self, start: usize, at: usize) {
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

#[expect(clippy::cast_possible_truncation, reason = "offsets are below MAX_SOURCE_BYTES")]
#[inline]
fn offset(at: usize) -> u32 {
    at as u32
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

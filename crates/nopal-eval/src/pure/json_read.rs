//! A JSON reader that accepts, rejects and words its errors as nlohmann's parser does, which Nix uses for
//! `builtins.fromJSON`.
//!
//! The reader builds values through a [`JsonBuilder`], so no document tree is made in between, and keeps its own
//! stack, so nesting is bounded by memory alone. Positions in messages follow nlohmann's lexer: the column counts the
//! bytes read on the line (the end of the input counts as one), and "last read" shows the text since the last string
//! or number began.

/// Why a JSON text was rejected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// nlohmann's own message, with its `[json.exception…]` prefix.
    #[error("{}", String::from_utf8_lossy(.0))]
    Syntax(Vec<u8>),
    /// An integer between 2⁶³ and 2⁶⁴ − 1. Greater ones become floats.
    #[error("unsigned json number {0} outside of Nix integer range")]
    IntegerRange(u64),
}

/// Makes values for the reader. `Key` is what an attribute name becomes (an interned symbol, say).
pub trait JsonBuilder {
    /// A finished value.
    type Value;
    /// A finished attribute name.
    type Key;
    /// The error of the builder; the reader's own errors are converted to it.
    type Error: From<JsonError>;

    /// `null`
    fn null(&mut self) -> Result<Self::Value, Self::Error>;
    /// `true` or `false`
    fn boolean(&mut self, value: bool) -> Result<Self::Value, Self::Error>;
    /// An integer.
    fn integer(&mut self, value: i64) -> Result<Self::Value, Self::Error>;
    /// A number with a fraction or an exponent, or an integer too large for 64 bits.
    fn float(&mut self, value: f64) -> Result<Self::Value, Self::Error>;
    /// A string; valid UTF-8, possibly with NUL bytes.
    fn string(&mut self, value: &[u8]) -> Result<Self::Value, Self::Error>;
    /// A member name; valid UTF-8, possibly with NUL bytes.
    fn key(&mut self, name: &[u8]) -> Result<Self::Key, Self::Error>;
    /// An array of the given elements; the builder may drain the vector from `start`.
    fn array(&mut self, elements: std::vec::Drain<'_, Self::Value>) -> Result<Self::Value, Self::Error>;
    /// An object; of equal keys the last one counts.
    fn object(
        &mut self,
        keys: std::vec::Drain<'_, Self::Key>,
        values: std::vec::Drain<'_, Self::Value>,
    ) -> Result<Self::Value, Self::Error>;
}

/// Parses `text` as one JSON value.
pub fn parse<B: JsonBuilder>(text: &[u8], builder: &mut B) -> Result<B::Value, B::Error> {
    let mut parser = Parser { lexer: Lexer::new(text), builder, values: Vec::new(), keys: Vec::new() };
    parser.parse()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    True,
    False,
    Null,
    String,
    Unsigned(u64),
    Integer(i64),
    Float(f64),
    ArrayBegin,
    ObjectBegin,
    ArrayEnd,
    ObjectEnd,
    Colon,
    Comma,
    Error(&'static str),
    ControlCharacter(u8),
    End,
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Token::True => "true literal",
            Token::False => "false literal",
            Token::Null => "null literal",
            Token::String => "string literal",
            Token::Unsigned(_) | Token::Integer(_) | Token::Float(_) => "number literal",
            Token::ArrayBegin => "'['",
            Token::ObjectBegin => "'{'",
            Token::ArrayEnd => "']'",
            Token::ObjectEnd => "'}'",
            Token::Colon => "':'",
            Token::Comma => "','",
            Token::Error(_) | Token::ControlCharacter(_) => "<parse error>",
            Token::End => "end of input",
        }
    }
}

const ANY_VALUE: &str = "'[', '{', or a literal";

enum Open {
    Array { values: usize },
    Object { values: usize, keys: usize },
}

struct Parser<'a, B: JsonBuilder> {
    lexer: Lexer<'a>,
    builder: &'a mut B,
    values: Vec<B::Value>,
    keys: Vec<B::Key>,
}

impl<B: JsonBuilder> Parser<'_, B> {
    fn parse(&mut self) -> Result<B::Value, B::Error> {
        let mut open: Vec<Open> = Vec::new();
        let mut token = self.lexer.scan();
        loop {
            // One value, or the start of a container.
            let value = match token {
                Token::ObjectBegin => {
                    open.push(Open::Object { values: self.values.len(), keys: self.keys.len() });
                    token = self.lexer.scan();
                    if token == Token::ObjectEnd {
                        self.close(&mut open)?
                    } else {
                        token = self.member(token)?;
                        continue;
                    }
                }
                Token::ArrayBegin => {
                    open.push(Open::Array { values: self.values.len() });
                    token = self.lexer.scan();
                    if token == Token::ArrayEnd {
                        self.close(&mut open)?
                    } else {
                        continue;
                    }
                }
                other => self.scalar(other)?,
            };
            self.values.push(value);
            // What may follow a value.
            loop {
                let Some(container) = open.last() else {
                    token = self.lexer.scan();
                    if token != Token::End {
                        return Err(self.unexpected(token, Some("end of input"), "value"));
                    }
                    return match self.values.pop() {
                        Some(value) => Ok(value),
                        None => Err(self.unexpected(token, Some(ANY_VALUE), "value")),
                    };
                };
                let is_array = matches!(container, Open::Array { .. });
                token = self.lexer.scan();
                match token {
                    Token::Comma if is_array => {
                        token = self.lexer.scan();
                        break;
                    }
                    Token::Comma => {
                        let key = self.lexer.scan();
                        token = self.member(key)?;
                        break;
                    }
                    Token::ArrayEnd if is_array => {
                        let value = self.close(&mut open)?;
                        self.values.push(value);
                    }
                    Token::ObjectEnd if !is_array => {
                        let value = self.close(&mut open)?;
                        self.values.push(value);
                    }
                    other if is_array => return Err(self.unexpected(other, Some("']'"), "array")),
                    other => return Err(self.unexpected(other, Some("'}'"), "object")),
                }
            }
        }
    }

    fn close(&mut self, open: &mut Vec<Open>) -> Result<B::Value, B::Error> {
        match open.pop() {
            Some(Open::Object { values, keys }) => {
                self.builder.object(self.keys.drain(keys..), self.values.drain(values..))
            }
            Some(Open::Array { values }) => self.builder.array(self.values.drain(values..)),
            None => self.builder.array(self.values.drain(..)),
        }
    }

    /// A member name and its colon; returns the first token of the value.
    fn member(&mut self, key: Token) -> Result<Token, B::Error> {
        if key != Token::String {
            return Err(self.unexpected(key, Some("string literal"), "object key"));
        }
        let key = self.builder.key(self.lexer.current_string())?;
        self.keys.push(key);
        let colon = self.lexer.scan();
        if colon != Token::Colon {
            return Err(self.unexpected(colon, Some("':'"), "object separator"));
        }
        Ok(self.lexer.scan())
    }

    fn scalar(&mut self, token: Token) -> Result<B::Value, B::Error> {
        match token {
            Token::Null => self.builder.null(),
            Token::True => self.builder.boolean(true),
            Token::False => self.builder.boolean(false),
            Token::String => self.builder.string(self.lexer.current_string()),
            Token::Integer(value) => self.builder.integer(value),
            Token::Unsigned(value) => match i64::try_from(value) {
                Ok(value) => self.builder.integer(value),
                Err(_) => Err(JsonError::IntegerRange(value).into()),
            },
            Token::Float(value) if value.is_finite() => self.builder.float(value),
            Token::Float(_) => {
                let text = self.lexer.last_read();
                let message = [b"[json.exception.out_of_range.406] number overflow parsing '", &text[..], b"'"];
                Err(JsonError::Syntax(message.concat()).into())
            }
            Token::Error(_) | Token::ControlCharacter(_) => Err(self.unexpected(token, None, "value")),
            Token::End if self.lexer.read == 1 => {
                let message = "attempting to parse an empty input; check that your input string or stream contains \
                               the expected JSON";
                Err(self.at_position(message.as_bytes()).into())
            }
            other => Err(self.unexpected(other, Some(ANY_VALUE), "value")),
        }
    }

    fn unexpected(&self, token: Token, expected: Option<&str>, context: &str) -> B::Error {
        let mut message = format!("syntax error while parsing {context} - ").into_bytes();
        let reason = match token {
            Token::Error(text) => text.to_owned(),
            Token::ControlCharacter(c) => format!("invalid string: {}", control_character(c)),
            other => format!("unexpected {}", other.name()),
        };
        message.extend_from_slice(reason.as_bytes());
        if let Token::Error(_) | Token::ControlCharacter(_) = token {
            message.extend_from_slice(b"; last read: '");
            message.extend_from_slice(&self.lexer.last_read());
            message.push(b'\'');
        }
        if let Some(expected) = expected {
            message.extend_from_slice(b"; expected ");
            message.extend_from_slice(expected.as_bytes());
        }
        self.at_position(&message).into()
    }

    fn at_position(&self, message: &[u8]) -> JsonError {
        let (line, column) = self.lexer.position();
        let prefix = format!("[json.exception.parse_error.101] parse error at line {line}, column {column}: ");
        JsonError::Syntax([prefix.as_bytes(), message].concat())
    }
}

fn control_character(c: u8) -> String {
    const NAMES: [&str; 32] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI", "DLE",
        "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
    ];
    let short = match c {
        8 => " or \\b",
        9 => " or \\t",
        10 => " or \\n",
        12 => " or \\f",
        13 => " or \\r",
        _ => "",
    };
    let name = NAMES.get(usize::from(c)).copied().unwrap_or("");
    format!("control character U+{c:04X} ({name}) must be escaped to \\u{c:04X}{short}")
}

/// So many digits are an integer that is in range, whatever they are.
const SURE_DIGITS: usize = 18;

/// How many bytes stand for themselves: ASCII characters but `"`, `\` and those that must be escaped.
fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = 0x80 * ONES;
    // The lowest of the bits set tells the first byte below the limit; bits above it may be wrong.
    let below = |word: u64, limit: u64| word.wrapping_sub(limit * ONES) & !word & HIGH;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (u64::from(b'"') * ONES), 1);
        let backslash = below(word ^ (u64::from(b'\\') * ONES), 1);
        let special = word & HIGH | below(word, 0x20) | quote | backslash;
        if special != 0 {
            return 8 * index + special.trailing_zeros() as usize / 8;
        }
    }
    let special = rest.iter().position(|&b| !(0x20..0x80).contains(&b) || b == b'"' || b == b'\\');
    text.len() - rest.len() + special.unwrap_or(rest.len())
}

/// Splits the text into tokens. `read` counts the bytes taken, one more at the end of the input.
struct Lexer<'a> {
    text: &'a [u8],
    read: usize,
    /// Where "last read" begins.
    mark: usize,
    /// The last byte was a line feed that was given back: the column then stays 0.
    gave_back_newline: bool,
    /// The current string, if it is not a piece of the text as it stands.
    buffer: Vec<u8>,
    /// Start and end of the current string in the text, if it has no escapes.
    plain: Option<(usize, usize)>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8]) -> Self {
        Lexer { text, read: 0, mark: 0, gave_back_newline: false, buffer: Vec::new(), plain: None }
    }

    /// The string that was scanned last.
    fn current_string(&self) -> &[u8] {
        match self.plain {
            Some((start, end)) => self.text.get(start..end).unwrap_or_default(),
            None => &self.buffer,
        }
    }

    fn get(&mut self) -> Option<u8> {
        let byte = self.text.get(self.read).copied();
        self.read += 1;
        byte
    }

    fn position(&self) -> (usize, usize) {
        let taken = &self.text[..self.read.min(self.text.len())];
        let lines = memchr::memchr_iter(b'\n', taken).count();
        let start = memchr::memrchr(b'\n', taken).map_or(0, |at| at + 1);
        let column = if self.gave_back_newline { 0 } else { self.read - start };
        (lines + 1, column)
    }

    /// The text since the last string or number began, control characters shown by code.
    fn last_read(&self) -> Vec<u8> {
        let end = self.read.min(self.text.len());
        let mut shown = Vec::new();
        for &byte in self.text.get(self.mark..end).unwrap_or_default() {
            if byte < 0x20 {
                shown.extend_from_slice(format!("<U+{byte:04X}>").as_bytes());
            } else {
                shown.push(byte);
            }
        }
        shown
    }

    fn scan(&mut self) -> Token {
        self.gave_back_newline = false;
        if self.read == 0 && self.text.first() == Some(&0xEF) {
            self.get();
            if self.get() != Some(0xBB) || self.get() != Some(0xBF) {
                return Token::Error("invalid BOM; must be 0xEF 0xBB 0xBF if given");
            }
        }
        let mut current = self.get();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = current {
            current = self.get();
        }
        match current {
            Some(b'[') => Token::ArrayBegin,
            Some(b']') => Token::ArrayEnd,
            Some(b'{') => Token::ObjectBegin,
            Some(b'}') => Token::ObjectEnd,
            Some(b':') => Token::Colon,
            Some(b',') => Token::Comma,
            Some(b't') => self.literal(b"rue", Token::True),
            Some(b'f') => self.literal(b"alse", Token::False),
            Some(b'n') => self.literal(b"ull", Token::Null),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            None | Some(0) => Token::End,
            Some(_) => Token::Error("invalid literal"),
        }
    }

    fn literal(&mut self, rest: &[u8], token: Token) -> Token {
        for &expected in rest {
            if self.get() != Some(expected) {
                return Token::Error("invalid literal");
            }
        }
        token
    }

    fn string(&mut self) -> Token {
        self.mark = self.read - 1;
        self.plain = None;
        self.buffer.clear();
        let begin = self.read;
        let rest = self.text.get(begin..).unwrap_or_default();
        let length = plain_len(rest);
        if rest.get(length) == Some(&b'"') {
            self.plain = Some((begin, begin + length));
            self.read += length + 1;
            return Token::String;
        }
        loop {
            let start = self.read;
            let rest = self.text.get(start..).unwrap_or_default();
            let plain = plain_len(rest);
            self.buffer.extend_from_slice(&rest[..plain]);
            self.read += plain;
            match self.get() {
                None => return Token::Error("invalid string: missing closing quote"),
                Some(b'"') => return Token::String,
                Some(b'\\') => {
                    if let Err(message) = self.escape() {
                        return Token::Error(message);
                    }
                }
                Some(c @ 0..=0x1F) => return Token::ControlCharacter(c),
                Some(lead) => {
                    if !self.multibyte(lead) {
                        return Token::Error("invalid string: ill-formed UTF-8 byte");
                    }
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        const NO_HEX: &str = "invalid string: '\\u' must be followed by 4 hex digits";
        const NO_LOW: &str = "invalid string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF";
        let byte = match self.get() {
            Some(c @ (b'"' | b'\\' | b'/')) => c,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let mut code = self.code_point().ok_or(NO_HEX)?;
                if (0xD800..0xDC00).contains(&code) {
                    if self.get() != Some(b'\\') || self.get() != Some(b'u') {
                        return Err(NO_LOW);
                    }
                    let low = self.code_point().ok_or(NO_HEX)?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(NO_LOW);
                    }
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                let c = char::from_u32(code)
                    .ok_or("invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF")?;
                self.buffer.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err("invalid string: forbidden character after backslash"),
        };
        self.buffer.push(byte);
        Ok(())
    }

    fn code_point(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            code = code << 4 | char::from(self.get()?).to_digit(16)?;
        }
        Some(code)
    }

    fn multibyte(&mut self, lead: u8) -> bool {
        let tail: &[(u8, u8)] = match lead {
            0xC2..=0xDF => &[(0x80, 0xBF)],
            0xE0 => &[(0xA0, 0xBF), (0x80, 0xBF)],
            0xE1..=0xEC | 0xEE | 0xEF => &[(0x80, 0xBF), (0x80, 0xBF)],
            0xED => &[(0x80, 0x9F), (0x80, 0xBF)],
            0xF0 => &[(0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
            0xF1..=0xF3 => &[(0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
            0xF4 => &[(0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)],
            // 0x7F is a plain character
            0x20..0x80 => &[],
            _ => return false,
        };
        self.buffer.push(lead);
        for &(low, high) in tail {
            match self.get() {
                Some(b) if (low..=high).contains(&b) => self.buffer.push(b),
                _ => return false,
            }
        }
        true
    }

    fn digits(&mut self) {
        while self.text.get(self.read).is_some_and(u8::is_ascii_digit) {
            self.read += 1;
        }
    }

    fn number(&mut self) -> Token {
        let start = self.read - 1;
        self.mark = start;
        let negative = self.text[start] == b'-';
        let mut first = self.text[start];
        if negative {
            match self.get() {
                Some(d @ b'0'..=b'9') => first = d,
                _ => return Token::Error("invalid number; expected digit after '-'"),
            }
        }
        if first != b'0' {
            self.digits();
        }
        let mut float = false;
        if self.text.get(self.read) == Some(&b'.') {
            float = true;
            self.read += 1;
            if !self.get().is_some_and(|d| d.is_ascii_digit()) {
                return Token::Error("invalid number; expected digit after '.'");
            }
            self.digits();
        }
        if let Some(b'e' | b'E') = self.text.get(self.read) {
            float = true;
            self.read += 1;
            match self.get() {
                Some(b'+' | b'-') => {
                    if !self.get().is_some_and(|d| d.is_ascii_digit()) {
                        return Token::Error("invalid number; expected digit after exponent sign");
                    }
                }
                Some(b'0'..=b'9') => {}
                _ => return Token::Error("invalid number; expected '+', '-', or digit after exponent"),
            }
            self.digits();
        }
        self.gave_back_newline = self.text.get(self.read) == Some(&b'\n');
        let digits = &self.text[start + usize::from(negative)..self.read];
        if !float && digits.len() <= SURE_DIGITS {
            let value = digits.iter().fold(0, |value, digit| 10 * value + u64::from(digit - b'0'));
            return if negative { Token::Integer(-value.cast_signed()) } else { Token::Unsigned(value) };
        }
        // The grammar above admits ASCII only, and a subset of what Rust parses.
        let text = std::str::from_utf8(&self.text[start..self.read]).unwrap_or("");
        if !float {
            if negative {
                if let Ok(value) = text.parse() {
                    return Token::Integer(value);
                }
            } else if let Ok(value) = text.parse() {
                return Token::Unsigned(value);
            }
        }
        Token::Float(text.parse().unwrap_or(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renders what it builds in a Nix-like notation.
    struct Show;

    impl JsonBuilder for Show {
        type Value = String;
        type Key = String;
        type Error = JsonError;

        fn null(&mut self) -> Result<String, JsonError> {
            Ok("null".into())
        }
        fn boolean(&mut self, value: bool) -> Result<String, JsonError> {
            Ok(value.to_string())
        }
        fn integer(&mut self, value: i64) -> Result<String, JsonError> {
            Ok(value.to_string())
        }
        fn float(&mut self, value: f64) -> Result<String, JsonError> {
            Ok(format!("{value:?}"))
        }
        fn string(&mut self, value: &[u8]) -> Result<String, JsonError> {
            Ok(format!("{:?}", String::from_utf8_lossy(value)))
        }
        fn key(&mut self, name: &[u8]) -> Result<String, JsonError> {
            self.string(name)
        }
        fn array(&mut self, elements: std::vec::Drain<'_, String>) -> Result<String, JsonError> {
            Ok(format!("[{}]", elements.collect::<Vec<_>>().join(" ")))
        }
        fn object(
            &mut self,
            keys: std::vec::Drain<'_, String>,
            values: std::vec::Drain<'_, String>,
        ) -> Result<String, JsonError> {
            let members: Vec<String> = keys.zip(values).map(|(k, v)| format!("{k}={v}")).collect();
            Ok(format!("{{{}}}", members.join(" ")))
        }
    }

    fn read(text: &[u8]) -> String {
        parse(text, &mut Show).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn values() {
        assert_eq!(
            read(br#" {"a": [1, -2, 3.5, 1e3, true, null, "x\u00e9\ud83d\ude00\n"], "b": {}, "c": []} "#),
            r#"{"a"=[1 -2 3.5 1000.0 true null "xé😀\n"] "b"={} "c"=[]}"#
        );
        assert_eq!(read(b"18446744073709551616"), "1.8446744073709552e19");
        assert_eq!(read(b"-9223372036854775808"), "-9223372036854775808");
        assert_eq!(
            read(b"9223372036854775808"),
            "unsigned json number 9223372036854775808 outside of Nix integer range"
        );
    }

    #[test]
    fn what_stands_for_itself() {
        for byte in 0..=255 {
            let is_plain = (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\';
            for at in 0..20 {
                let mut text = [b'a'; 20];
                text[at] = byte;
                assert_eq!(plain_len(&text), if is_plain { 20 } else { at }, "{byte} at {at}");
                // what comes behind the first one does not count
                text[at..].fill(byte);
                assert_eq!(plain_len(&text), if is_plain { 20 } else { at }, "{byte} from {at}");
            }
        }
    }

    #[test]
    fn deep_nesting_does_not_recurse() {
        let text = "[".repeat(200_000);
        assert!(read(text.as_bytes()).contains("unexpected end of input"));
    }

    /// Messages of Nix 2.34.8 without the common prefix.
    #[test]
    fn errors() {
        for (text, expected) in [
            (
                "",
                "line 1, column 1: attempting to parse an empty input; check that your input string or stream \
                 contains the expected JSON",
            ),
            ("[1,2", "line 1, column 5: syntax error while parsing array - unexpected end of input; expected ']'"),
            (
                "{\"a\" 1}",
                "line 1, column 6: syntax error while parsing object separator - unexpected number literal; \
                 expected ':'",
            ),
            (
                "{1:2}",
                "line 1, column 2: syntax error while parsing object key - unexpected number literal; expected \
                 string literal",
            ),
            ("nul", "line 1, column 4: syntax error while parsing value - invalid literal; last read: 'nul'"),
            (
                "\"a",
                "line 1, column 3: syntax error while parsing value - invalid string: missing closing quote; last \
                 read: '\"a'",
            ),
            (
                "1 2",
                "line 1, column 3: syntax error while parsing value - unexpected number literal; expected end of input",
            ),
        ] {
            assert_eq!(
                read(text.as_bytes()),
                format!("[json.exception.parse_error.101] parse error at {expected}"),
                "{text}"
            );
        }
    }
}

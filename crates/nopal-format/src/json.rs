//! JSON as Nix prints it: object keys sorted by bytes, shortest floats in the manner of its JSON library, compact or
//! with an indentation of two. Needed byte for byte, because structured attributes are part of a derivation's hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use thiserror::Error;

/// Deepest nesting that is read; derivations and listings stay far below, and the stack is safe.
pub const MAX_DEPTH: usize = 512;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number in canonical text, as [`Json::from_f64`] and integers print.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// An object; the keys are sorted by bytes.
    Object(BTreeMap<String, Json>),
}

/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// Something else was expected.
    #[error("expected {expected} at byte {position} of the JSON text")]
    Expected {
        /// What would have been right.
        expected: &'static str,
        /// Where, in bytes.
        position: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("JSON is nested deeper than {MAX_DEPTH} at byte {position}")]
    TooDeep {
        /// Where, in bytes.
        position: usize,
    },
    /// A key is missing.
    #[error("expected JSON object to contain key '{key}' but it doesn't")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A value has another type.
    #[error("expected JSON value {place} to be {expected}")]
    Type {
        /// Key or place.
        place: String,
        /// The type wanted.
        expected: &'static str,
    },
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl Json {
    /// An object from pairs.
    pub fn object<K: Into<String>, I: IntoIterator<Item = (K, Json)>>(pairs: I) -> Self {
        Self::Object(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A number from a float; not-a-number and infinities become `null`.
    pub fn from_f64(number: f64) -> Self {
        if number.is_finite() { Self::Number(format_float(number)) } else { Self::Null }
    }

    /// Compact text.
    pub fn to_compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// Text over lines, indented by two.
    pub fn to_pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    fn write(&self, out: &mut String, indent: Option<usize>) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                let items = items.iter().map(|item| (None, item));
                write_items(out, indent, ('[', ']'), items);
            }
            Self::Object(pairs) => {
                let items = pairs.iter().map(|(key, value)| (Some(key.as_str()), value));
                write_items(out, indent, ('{', '}'), items);
            }
        }
    }

    /// Reads a whole text.
    ///
    /// # Errors
    /// Anything that RFC 8259 does not allow, or nesting deeper than [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let mut parser = Parser { text, position: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.position == text.len() { Ok(value) } else { Err(parser.expected("the end")) }
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// Not an object, or no such key.
    pub fn key(&self, key: &'static str) -> Result<&Json, JsonError> {
        self.as_object("")?.get(key).ok_or(JsonError::MissingKey { key })
    }

    /// The value of a key, if this is an object that has it and it is not `null`.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(pairs) => pairs.get(key).filter(|value| **value != Self::Null),
            _ => None,
        }
    }

    /// The object; `place` is for the message.
    ///
    /// # Errors
    /// Another type.
    pub fn as_object(&self, place: &str) -> Result<&BTreeMap<String, Json>, JsonError> {
        match self {
            Self::Object(pairs) => Ok(pairs),
            _ => Err(wrong_type(place, "an object")),
        }
    }

    /// The list; `place` is for the message.
    ///
    /// # Errors
    /// Another type.
    pub fn as_array(&self, place: &str) -> Result<&[Json], JsonError> {
        match self {
            Self::Array(items) => Ok(items),
            _ => Err(wrong_type(place, "an array")),
        }
    }

    /// The string; `place` is for the message.
    ///
    /// # Errors
    /// Another type.
    pub fn as_str(&self, place: &str) -> Result<&str, JsonError> {
        match self {
            Self::String(text) => Ok(text),
            _ => Err(wrong_type(place, "a string")),
        }
    }

    /// The number, if it is a whole one below 2^64; `place` is for the message.
    ///
    /// # Errors
    /// Another type.
    pub fn as_u64(&self, place: &str) -> Result<u64, JsonError> {
        match self {
            Self::Number(text) => text.parse().map_err(|_| wrong_type(place, "an unsigned integer")),
            _ => Err(wrong_type(place, "an unsigned integer")),
        }
    }

    /// The truth value; `place` is for the message.
    ///
    /// # Errors
    /// Another type.
    pub fn as_bool(&self, place: &str) -> Result<bool, JsonError> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => Err(wrong_type(place, "a boolean")),
        }
    }
}

fn wrong_type(place: &str, expected: &'static str) -> JsonError {
    JsonError::Type { place: format!("'{place}'"), expected }
}

fn write_items<'a>(
    out: &mut String,
    indent: Option<usize>,
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Json)>,
) {
    out.push(open);
    let inner = indent.map(|columns| columns + 2);
    let is_empty = items.len() == 0;
    for (index, (key, value)) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        new_line(out, inner);
        if let Some(key) = key {
            write_string(key, out);
            out.push_str(if indent.is_some() { ": " } else { ":" });
        }
        value.write(out, inner);
    }
    if !is_empty {
        new_line(out, indent);
    }
    out.push(close);
}

fn new_line(out: &mut String, indent: Option<usize>) {
    if let Some(columns) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', columns));
    }
}

/// Appends a JSON string literal.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(position) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, special) = rest.split_at(position);
        out.push_str(plain);
        match special.as_bytes()[0] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            control => {
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        rest = &special[1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Decimal exponents inside of which a float is written without `e`.
const PLAIN_EXPONENTS: std::ops::RangeInclusive<i32> = -4..=15;

/// A finite float as Nix's JSON library prints it: shortest digits; `1.0`, `0.001`, `1e+16`, `1.5e-07`.
pub fn format_float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (sign, magnitude) = scientific.strip_prefix('-').map_or(("", scientific.as_str()), |rest| ("-", rest));
    let (mantissa, exponent) = magnitude.split_once('e').unwrap_or((magnitude, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    // The number is 0.DIGITS times ten to the power of `point`.
    let point = exponent + 1;
    let count = digits.len() as i32;
    if number == 0.0 {
        format!("{sign}0.0")
    } else if count <= point && PLAIN_EXPONENTS.contains(&point) {
        format!("{sign}{digits}{}.0", "0".repeat((point - count) as usize))
    } else if point > 0 && PLAIN_EXPONENTS.contains(&point) {
        format!("{sign}{}.{}", &digits[..point as usize], &digits[point as usize..])
    } else if point <= 0 && point > *PLAIN_EXPONENTS.start() {
        format!("{sign}0.{}{digits}", "0".repeat(-point as usize))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{first}{dot}{rest}e{exponent_sign}{:02}", exponent.unsigned_abs())
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

impl Parser<'_> {
    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Expected { expected, position: self.position }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn word(&mut self, word: &'static str, value: Json) -> Result<Json, JsonError> {
        if self.text[self.position..].starts_with(word) {
            self.position += word.len();
            Ok(value)
        } else {
            Err(self.expected(word))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep { position: self.position });
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.position += 1;
        let mut items = Vec::new();
        if self.eat(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(b']') {
                return Ok(Json::Array(items));
            }
            if !self.eat(b',') {
                return Err(self.expected("',' or ']'"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.position += 1;
        let mut pairs = BTreeMap::new();
        if self.eat(b'}') {
            return Ok(Json::Object(pairs));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key"));
            }
            let key = self.string()?;
            if !self.eat(b':') {
                return Err(self.expected("':'"));
            }
            let value = self.value(depth + 1)?;
            pairs.insert(key, value);
            if self.eat(b'}') {
                return Ok(Json::Object(pairs));
            }
            if !self.eat(b',') {
                return Err(self.expected("',' or '}'"));
            }
        }
    }

    fn digits(&mut self) -> Result<usize, JsonError> {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start { Err(self.expected("a digit")) } else { Ok(self.position - start) }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.position;
        self.position += usize::from(self.peek() == Some(b'-'));
        let leading_zero = self.peek() == Some(b'0');
        if self.digits()? > 1 && leading_zero {
            return Err(self.expected("no digit behind a leading zero"));
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
            is_integer = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            self.position += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
            is_integer = false;
        }
        let literal = &self.text[start..self.position];
        if is_integer && literal.parse::<u64>().is_ok() {
            return Ok(Json::Number(literal.to_owned()));
        }
        if is_integer && let Ok(number) = literal.parse::<i64>() {
            return Ok(Json::Number(number.to_string()));
        }
        match literal.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Json::from_f64(number)),
            _ => Err(self.expected("a number that a double can hold")),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.position += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.position..];
            let plain = rest
                .bytes()
                .position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
                .ok_or_else(|| self.expected("'\"'"))?;
            out.push_str(&rest[..plain]);
            self.position += plain;
            match rest.as_bytes()[plain] {
                b'"' => {
                    self.position += 1;
                    return Ok(out);
                }
                b'\\' => out.push(self.escape()?),
                _ => return Err(self.expected("no control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.position += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.expected("an escape")),
        };
        self.position += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let high = self.code_unit()?;
        let code = match high {
            0xd800..0xdc00 => {
                if !self.text[self.position..].starts_with("\\u") {
                    return Err(self.expected("the second half of a surrogate pair"));
                }
                self.position += 1;
                let low = self.code_unit()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(self.expected("the second half of a surrogate pair"));
                }
                0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00))
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.expected("a character that is no lone surrogate"))
    }

    /// At `u`; reads it and four hexadecimal digits.
    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.position + 1..self.position + 5);
        let unit = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.position += 5;
        Ok(unit)
    }
}

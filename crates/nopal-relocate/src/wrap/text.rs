//! Texts with variables in them, and the words that a shell would make of them.
//!
//! What is understood is what can be understood without a shell: quotes, `$NAME`, `${NAME}`, `${NAME:-word}`,
//! `${NAME-word}`, `${NAME:+word}`, `${NAME+word}`, `$0`, and these inside of each other. All else is [`Beyond`]: commands,
//! patterns that name files, braces, arithmetic, arrays, and the variables that a shell makes up itself.

use thiserror::Error;

/// A text whose pieces are put together when the wrapper runs. As a list of words, [`Piece::Break`] and what unquoted
/// variables hold divide it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Literal(Vec<u8>),
    /// The value of a variable.
    Variable {
        /// Its name.
        name: Vec<u8>,
        /// Whether spaces in it are part of a word.
        is_quoted: bool,
    },
    /// A choice by whether a variable is set.
    Choice(Choice),
    /// The end of a word.
    Break,
    /// The folder of the wrapper.
    Root,
    /// What a script that were the wrapper would have for `$0`: the path that was started.
    Called,
    /// The name that the wrapper was given.
    Name,
    /// The path of the target.
    Target,
}

/// `${NAME:-word}` and its kin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The variable.
    pub name: Vec<u8>,
    /// Whether the variable's value is taken if it is set (`-`), else nothing is taken if it is not (`+`).
    pub keeps_value: bool,
    /// Whether an empty value counts as none (`:`).
    pub empty_is_unset: bool,
    /// Whether spaces in the value are part of a word.
    pub is_quoted: bool,
    /// What is taken instead.
    pub word: Text,
}

/// What needs a shell.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} needs a shell")]
pub struct Beyond {
    /// What was found.
    pub what: String,
}

/// Deeper choices are left to a shell.
const MAX_DEPTH: usize = 16;

impl Text {
    /// Just these bytes.
    #[must_use]
    pub fn literal(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Piece::Literal(bytes.into())])
    }

    /// A path below the wrapper's folder, or the root of the tree that the program is in. It begins with a slash.
    #[must_use]
    pub fn below_root(path: impl Into<Vec<u8>>) -> Self {
        Self(vec![Piece::Root, Piece::Literal(path.into())])
    }

    /// The words that a shell makes of this text.
    ///
    /// # Errors
    /// It needs a shell.
    pub fn words(text: &[u8]) -> Result<Self, Beyond> {
        let mut reader = Reader { text, at: 0, depth: 0, origin: false };
        let pieces = reader.unquoted(false)?;
        Ok(Self(pieces))
    }

    /// What a shell makes of this text between double quotes.
    ///
    /// # Errors
    /// It needs a shell.
    pub fn quoted(text: &[u8]) -> Result<Self, Beyond> {
        let mut reader = Reader { text, at: 0, depth: 0, origin: false };
        let pieces = reader.quoted(None)?;
        Ok(Self(pieces))
    }

    /// Likewise, where `$ORIGIN` is the folder of the wrapper.
    ///
    /// # Errors
    /// It needs a shell.
    pub fn value(text: &[u8]) -> Result<Self, Beyond> {
        let mut reader = Reader { text, at: 0, depth: 0, origin: true };
        let pieces = reader.quoted(None)?;
        Ok(Self(pieces))
    }

    /// Whether it has no pieces.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// Whether `$ORIGIN` is the folder of the wrapper.
    origin: bool,
}

/// Collects bytes, so that what stands together is one literal.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
}

impl Pieces {
    fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Literal(literal)) => literal.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Literal(bytes.to_vec())),
        }
    }

    fn append(&mut self, more: Vec<Piece>) {
        for piece in more {
            match piece {
                Piece::Literal(bytes) => self.bytes(&bytes),
                piece => self.pieces.push(piece),
            }
        }
    }

    fn is_at_word_start(&self) -> bool {
        matches!(self.pieces.last(), None | Some(Piece::Break))
    }

    fn end_word(&mut self) {
        if !matches!(self.pieces.last(), Some(Piece::Break)) {
            self.pieces.push(Piece::Break);
        }
    }
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Words, up to the end or the brace that closes a choice.
    fn unquoted(&mut self, in_choice: bool) -> Result<Vec<Piece>, Beyond> {
        let mut pieces = Pieces::default();
        let mut previous = None;
        loop {
            let Some(byte) = self.next() else {
                return if in_choice { Err(beyond("a ${ without its }")) } else { Ok(pieces.pieces) };
            };
            match byte {
                b'}' if in_choice => return Ok(pieces.pieces),
                b' ' | b'\t' => pieces.end_word(),
                b'\n' if in_choice => pieces.end_word(),
                b'\n' => return Err(beyond("a line end")),
                b'\'' => self.single_quoted(&mut pieces)?,
                b'"' => {
                    let quoted = self.quoted(Some(b'"'))?;
                    // also nothing between quotes is a word
                    pieces.bytes(b"");
                    pieces.append(quoted);
                }
                b'\\' => match self.next() {
                    Some(b'\n') => {}
                    Some(byte) => pieces.byte(byte),
                    None => return Err(beyond("a \\ at the end")),
                },
                b'$' => self.dollar(false, &mut pieces)?,
                b'~' if pieces.is_at_word_start() || matches!(previous, Some(b'=' | b':')) => {
                    return Err(beyond("~"));
                }
                b'#' if pieces.is_at_word_start() => return Err(beyond("a comment")),
                b'{' if !in_choice && self.peek() != Some(b'}') => return Err(beyond("{")),
                b'`' | b';' | b'|' | b'&' | b'<' | b'>' | b'(' | b')' | b'*' | b'?' | b'[' => {
                    return Err(beyond(char::from(byte)));
                }
                byte => pieces.byte(byte),
            }
            previous = Some(byte);
        }
    }

    fn single_quoted(&mut self, pieces: &mut Pieces) -> Result<(), Beyond> {
        let rest = &self.text[self.at..];
        let end = memchr::memchr(b'\'', rest).ok_or_else(|| beyond("a ' without its end"))?;
        pieces.bytes(&rest[..end]);
        self.at += end + 1;
        Ok(())
    }

    /// What is between double quotes, up to the given end.
    fn quoted(&mut self, end: Option<u8>) -> Result<Vec<Piece>, Beyond> {
        let mut pieces = Pieces::default();
        loop {
            let Some(byte) = self.next() else {
                return match end {
                    None => Ok(pieces.pieces),
                    Some(end) => Err(beyond(format!("a text without its {}", char::from(end)))),
                };
            };
            match byte {
                byte if Some(byte) == end => return Ok(pieces.pieces),
                b'"' => return Err(beyond("\" inside of a text in \"")),
                b'`' => return Err(beyond("`")),
                b'\'' if end == Some(b'}') => self.quotes_in_choice(&mut pieces)?,
                b'$' => self.dollar(true, &mut pieces)?,
                b'\\' => match self.peek() {
                    Some(byte @ (b'$' | b'`' | b'"' | b'\\')) => {
                        self.at += 1;
                        pieces.byte(byte);
                    }
                    Some(b'}') if end == Some(b'}') => {
                        self.at += 1;
                        pieces.byte(b'}');
                    }
                    Some(b'\n') => self.at += 1,
                    _ => pieces.byte(b'\\'),
                },
                byte => pieces.byte(byte),
            }
        }
    }

    /// Single quotes in a choice between double quotes: they stay, but bash looks for the second one before all else.
    fn quotes_in_choice(&mut self, pieces: &mut Pieces) -> Result<(), Beyond> {
        let rest = &self.text[self.at..];
        let end = memchr::memchr(b'\'', rest).filter(|end| !rest[..*end].iter().any(|byte| b"}$`\"\\".contains(byte)));
        let end = end.ok_or_else(|| beyond("a ' in a choice between double quotes"))?;
        pieces.byte(b'\'');
        pieces.bytes(&rest[..=end]);
        self.at += end + 1;
        Ok(())
    }

    /// What follows a dollar sign.
    fn dollar(&mut self, is_quoted: bool, pieces: &mut Pieces) -> Result<(), Beyond> {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                let piece = self.braced(is_quoted)?;
                pieces.pieces.push(piece);
            }
            Some(b'0') if is_quoted => {
                self.at += 1;
                pieces.pieces.push(Piece::Called);
            }
            Some(byte) if is_name_start(byte) => {
                let name = self.name()?;
                pieces.pieces.push(self.variable(name, is_quoted));
            }
            Some(b'\'' | b'"') if is_quoted => pieces.byte(b'$'),
            Some(
                byte @ (b'\'' | b'"' | b'(' | b'[' | b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-'),
            ) => {
                return Err(beyond(format!("${}", char::from(byte))));
            }
            _ => pieces.byte(b'$'),
        }
        Ok(())
    }

    /// What is in `${ }`, whose brace is read.
    fn braced(&mut self, is_quoted: bool) -> Result<Piece, Beyond> {
        if is_quoted && self.text[self.at..].starts_with(b"0}") {
            self.at += 2;
            return Ok(Piece::Called);
        }
        if !self.peek().is_some_and(is_name_start) {
            return Err(beyond("${ without a name"));
        }
        let name = self.name()?;
        if self.eat(b'}') {
            return Ok(self.variable(name, is_quoted));
        }
        let empty_is_unset = self.eat(b':');
        let keeps_value = match self.next() {
            Some(b'-') => true,
            Some(b'+') => false,
            _ => return Err(beyond(format!("${{{}…}}", String::from_utf8_lossy(&name)))),
        };
        if self.depth == MAX_DEPTH {
            return Err(beyond(format!("what is {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let word = if is_quoted { self.quoted(Some(b'}'))? } else { self.unquoted(true)? };
        self.depth -= 1;
        Ok(Piece::Choice(Choice { name, keeps_value, empty_is_unset, is_quoted, word: Text(word) }))
    }

    fn variable(&self, name: Vec<u8>, is_quoted: bool) -> Piece {
        if self.origin && name == b"ORIGIN" { Piece::Root } else { Piece::Variable { name, is_quoted } }
    }

    fn name(&mut self) -> Result<Vec<u8>, Beyond> {
        let rest = &self.text[self.at..];
        let count = rest.iter().position(|byte| !is_name_part(*byte)).unwrap_or(rest.len());
        let name = &rest[..count];
        self.at += count;
        if SHELL_VARIABLES.iter().any(|own| own.as_bytes() == name)
            || name.starts_with(b"BASH")
            || name.starts_with(b"COMP_")
        {
            return Err(beyond(format!("${}", String::from_utf8_lossy(name))));
        }
        Ok(name.to_vec())
    }
}

fn beyond(what: impl ToString) -> Beyond {
    Beyond { what: what.to_string() }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a shell takes this for the name of a variable.
#[must_use]
pub fn is_name(bytes: &[u8]) -> bool {
    bytes.first().copied().is_some_and(is_name_start) && bytes.iter().copied().all(is_name_part)
}

/// Variables that bash makes up, beside those that begin with `BASH` and `COMP_`.
const SHELL_VARIABLES: &[&str] = &[
    "_",
    "COLUMNS",
    "COPROC",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "HOSTNAME",
    "HOSTTYPE",
    "IFS",
    "LINENO",
    "LINES",
    "MACHTYPE",
    "MAPFILE",
    "OLDPWD",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "OSTYPE",
    "PIPESTATUS",
    "PPID",
    "PS4",
    "PWD",
    "RANDOM",
    "READLINE_LINE",
    "REPLY",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "UID",
];

#[cfg(test)]
mod tests;

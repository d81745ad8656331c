//! A [`Launch`] as the bytes that the launcher reads.
//!
//! ```text
//! magic, 8 bytes
//! size of all, 4 bytes, lowest first
//! properties, a byte
//! target                                      a text
//! step…                                       a code, then strings and texts by the code; 0 behind the last
//! name, before, after                         texts
//! record                                      the rest
//! ```
//!
//! A string ends with a zero. A text is pieces, each a code and what belongs to it, and a 0 behind the last. The launcher
//! (stubs/src/bin/launch.rs, stubs/src/environment.rs) trusts the data as far as it is complete.

pub use crate::codes::WRAP_MAGIC as MAGIC;
use crate::codes::{MAX_DEPTH, choice, piece, property, step};

use super::text::{Choice, Piece, Text};
use super::{Join, JoinKind, Launch, Step};
use thiserror::Error;

/// The magic and the size.
const HEADER_BYTES: usize = 12;
/// Larger data make no sense: the kernel takes less for arguments and environment together.
pub const MAX_BYTES: usize = 4 << 20;

/// What is wrong with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// It begins otherwise.
    #[error("it does not begin as the data of wrappers do")]
    Magic,
    /// It ends in the middle of something.
    #[error("it ends early")]
    Short,
    /// A code means nothing.
    #[error("byte {0} means nothing")]
    Code(usize),
    /// Choices inside of choices inside …
    #[error("texts are nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A zero ends strings, so that they hold none.
    #[error("a text holds a zero")]
    Zero,
    /// There is too much.
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
}

impl Launch {
    /// The bytes for the launcher.
    ///
    /// # Errors
    /// A text holds a zero, or there is too much.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut writer = Writer { bytes: MAGIC.to_vec() };
        writer.bytes.extend_from_slice(&[0; 4]);
        writer.bytes.push(self.properties());
        writer.text(&self.target)?;
        self.steps.iter().try_for_each(|step| writer.step(step))?;
        writer.bytes.push(step::END);
        writer.text(&self.name)?;
        writer.text(&self.before)?;
        writer.text(&self.after)?;
        writer.bytes.extend_from_slice(&self.record);
        let size = u32::try_from(writer.bytes.len()).ok().filter(|size| *size as usize <= MAX_BYTES);
        let size = size.ok_or(FormatError::TooLarge)?;
        writer.bytes[MAGIC.len()..HEADER_BYTES].copy_from_slice(&size.to_le_bytes());
        Ok(writer.bytes)
    }

    /// Reads what [`Launch::encode`] wrote.
    ///
    /// # Errors
    /// It is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader { bytes, at: MAGIC.len() };
        if !bytes.starts_with(&MAGIC) {
            return Err(FormatError::Magic);
        }
        if reader.u32()? as usize != bytes.len() {
            return Err(FormatError::Short);
        }
        let mut launch = Self {
            resolves_name: reader.byte()? & property::RESOLVES_NAME != 0,
            target: reader.text(0)?,
            ..Self::default()
        };
        while let Some(step) = reader.step()? {
            launch.steps.push(step);
        }
        launch.name = reader.text(0)?;
        launch.before = reader.text(0)?;
        launch.after = reader.text(0)?;
        launch.record = bytes[reader.at..].to_vec();
        Ok(launch)
    }

    /// Whether anything is relative to the wrapper's folder.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        let values = self.steps.iter().filter_map(|step| match step {
            Step::Set(_, value)
            | Step::SetDefault(_, value)
            | Step::ChangeDirectory(value)
            | Step::Hold(_, value)
            | Step::Pass(_, value) => Some(value),
            Step::Join(join) => Some(&join.value),
            Step::Unset(_) | Step::SkipIfThere(_) => None,
        });
        [&self.target, &self.name, &self.before, &self.after].into_iter().chain(values).any(has_root)
    }

    fn properties(&self) -> u8 {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        bit(self.resolves_name, property::RESOLVES_NAME) | bit(self.is_relative(), property::IS_RELATIVE)
    }
}

/// What a program that starts by itself does first: steps, then words in front of its arguments. Nothing if it is nothing.
///
/// # Errors
/// A text holds a zero.
pub fn preparation(steps: &[Step], before: &Text) -> Result<Vec<u8>, FormatError> {
    if steps.is_empty() && before.0.is_empty() {
        return Ok(Vec::new());
    }
    let mut writer = Writer { bytes: Vec::new() };
    steps.iter().try_for_each(|step| writer.step(step))?;
    writer.bytes.push(step::END);
    writer.text(before)?;
    Ok(writer.bytes)
}

fn has_root(text: &Text) -> bool {
    text.0.iter().any(|piece| match piece {
        Piece::Root => true,
        Piece::Choice(choice) => has_root(&choice.word),
        _ => false,
    })
}

/// The data at the end of a file.
#[must_use]
pub fn find(file: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find_iter(file, &MAGIC).find_map(|begin| {
        let data = &file[begin..];
        let size = data.get(MAGIC.len()..HEADER_BYTES)?.try_into().ok().map(u32::from_le_bytes)?;
        (size as usize == data.len()).then_some(data)
    })
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn string(&mut self, string: &[u8]) -> Result<(), FormatError> {
        if string.contains(&0) {
            return Err(FormatError::Zero);
        }
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        Ok(())
    }

    fn text(&mut self, text: &Text) -> Result<(), FormatError> {
        text.0.iter().try_for_each(|piece| self.piece(piece))?;
        self.bytes.push(piece::END);
        Ok(())
    }

    fn piece(&mut self, piece: &Piece) -> Result<(), FormatError> {
        match piece {
            Piece::Literal(bytes) => self.named(piece::LITERAL, bytes),
            Piece::Variable { name, is_quoted: false } => self.named(piece::VARIABLE, name),
            Piece::Variable { name, is_quoted: true } => self.named(piece::QUOTED_VARIABLE, name),
            Piece::Choice(choice) => self.choice(choice),
            Piece::Break => self.code(piece::BREAK),
            Piece::Root => self.code(piece::ROOT),
            Piece::Called => self.code(piece::CALLED),
            Piece::Name => self.code(piece::NAME),
            Piece::Target => self.code(piece::TARGET),
        }
    }

    fn code(&mut self, code: u8) -> Result<(), FormatError> {
        self.bytes.push(code);
        Ok(())
    }

    fn named(&mut self, code: u8, name: &[u8]) -> Result<(), FormatError> {
        self.bytes.push(code);
        self.string(name)
    }

    fn numbered(&mut self, code: u8, number: u16, path: &Text) -> Result<(), FormatError> {
        self.bytes.push(code);
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self.text(path)
    }

    fn choice(&mut self, choice: &Choice) -> Result<(), FormatError> {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let bits = bit(choice.keeps_value, choice::KEEPS_VALUE)
            | bit(choice.empty_is_unset, choice::EMPTY_IS_UNSET)
            | bit(choice.is_quoted, choice::IS_QUOTED);
        self.bytes.extend_from_slice(&[piece::CHOICE, bits]);
        self.string(&choice.name)?;
        self.text(&choice.word)
    }

    fn step(&mut self, step: &Step) -> Result<(), FormatError> {
        match step {
            Step::Set(name, value) => {
                self.named(step::SET, name)?;
                self.text(value)
            }
            Step::SetDefault(name, value) => {
                self.named(step::SET_DEFAULT, name)?;
                self.text(value)
            }
            Step::Unset(name) => self.named(step::UNSET, name),
            Step::SkipIfThere(path) => self.named(step::SKIP_IF_THERE, path),
            Step::Hold(number, folder) => self.numbered(step::HOLD, *number, folder),
            Step::Pass(number, file) => self.numbered(step::PASS, *number, file),
            Step::Join(Join { name, separator, value, how }) => {
                let code = match how {
                    JoinKind::Prefix => step::PREFIX,
                    JoinKind::Suffix => step::SUFFIX,
                    JoinKind::Last => step::LAST,
                };
                self.named(code, name)?;
                self.string(separator)?;
                self.text(value)
            }
            Step::ChangeDirectory(to) => {
                self.bytes.push(step::CHANGE_DIRECTORY);
                self.text(to)
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, FormatError> {
        let byte = self.bytes.get(self.at).ok_or(FormatError::Short)?;
        self.at += 1;
        Ok(*byte)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        let mut number = [0; 4];
        for byte in &mut number {
            *byte = self.byte()?;
        }
        Ok(u32::from_le_bytes(number))
    }

    fn number(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn string(&mut self) -> Result<Vec<u8>, FormatError> {
        let rest = self.bytes.get(self.at..).ok_or(FormatError::Short)?;
        let count = memchr::memchr(0, rest).ok_or(FormatError::Short)?;
        self.at += count + 1;
        Ok(rest[..count].to_vec())
    }

    fn text(&mut self, depth: usize) -> Result<Text, FormatError> {
        if depth > MAX_DEPTH {
            return Err(FormatError::Depth);
        }
        let mut pieces = Vec::new();
        loop {
            let piece = match self.byte()? {
                piece::END => return Ok(Text(pieces)),
                piece::LITERAL => Piece::Literal(self.string()?),
                piece::VARIABLE => Piece::Variable { name: self.string()?, is_quoted: false },
                piece::QUOTED_VARIABLE => Piece::Variable { name: self.string()?, is_quoted: true },
                piece::CHOICE => {
                    let bits = self.byte()?;
                    Piece::Choice(Choice {
                        keeps_value: bits & choice::KEEPS_VALUE != 0,
                        empty_is_unset: bits & choice::EMPTY_IS_UNSET != 0,
                        is_quoted: bits & choice::IS_QUOTED != 0,
                        name: self.string()?,
                        word: self.text(depth + 1)?,
                    })
                }
                piece::BREAK => Piece::Break,
                piece::ROOT => Piece::Root,
                piece::CALLED => Piece::Called,
                piece::NAME => Piece::Name,
                piece::TARGET => Piece::Target,
                _ => return Err(FormatError::Code(self.at - 1)),
            };
            pieces.push(piece);
        }
    }

    fn join(&mut self, how: JoinKind) -> Result<Step, FormatError> {
        Ok(Step::Join(Join { name: self.string()?, separator: self.string()?, value: self.text(0)?, how }))
    }

    fn step(&mut self) -> Result<Option<Step>, FormatError> {
        Ok(Some(match self.byte()? {
            step::END => return Ok(None),
            step::SET => Step::Set(self.string()?, self.text(0)?),
            step::SET_DEFAULT => Step::SetDefault(self.string()?, self.text(0)?),
            step::UNSET => Step::Unset(self.string()?),
            step::PREFIX => self.join(JoinKind::Prefix)?,
            step::SUFFIX => self.join(JoinKind::Suffix)?,
            step::LAST => self.join(JoinKind::Last)?,
            step::SKIP_IF_THERE => Step::SkipIfThere(self.string()?),
            step::HOLD => Step::Hold(self.number()?, self.text(0)?),
            step::PASS => Step::Pass(self.number()?, self.text(0)?),
            step::CHANGE_DIRECTORY => Step::ChangeDirectory(self.text(0)?),
            _ => return Err(FormatError::Code(self.at - 1)),
        }))
    }
}

#[cfg(test)]
mod tests;

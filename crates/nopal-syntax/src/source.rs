//! Sources, and places in them: lines, columns and the names that messages give them.

use crate::ast::Pos;

/// Where a text comes from, as messages name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// Nowhere: `«none»`.
    None,
    /// Standard input: `«stdin»`.
    Stdin,
    /// An argument such as that of `--expr`: `«string»`.
    String,
    /// A file, by the path that messages show.
    Path(Vec<u8>),
}

impl Origin {
    /// The name that messages show.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::None => "«none»".as_bytes(),
            Self::Stdin => "«stdin»".as_bytes(),
            Self::String => "«string»".as_bytes(),
            Self::Path(path) => path,
        }
    }
}

/// A text with its origin.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Where it comes from.
    pub origin: &'a Origin,
    /// The text.
    pub text: &'a [u8],
}

impl Source<'_> {
    /// `ORIGIN:LINE:COLUMN` of a position.
    pub fn describe(&self, pos: Pos) -> Vec<u8> {
        let Some(offset) = pos.offset() else { return "«none»:0".into() };
        let place = line_column(self.visible_text(), offset);
        let mut out = self.origin.name().to_vec();
        out.extend_from_slice(format!(":{}:{}", place.line, place.column).as_bytes());
        out
    }

    /// The text in which Nix counts lines: of what is not a file only what comes before a null byte.
    pub(crate) fn visible_text(&self) -> &[u8] {
        match self.origin {
            Origin::Stdin | Origin::String => &self.text[..memchr::memchr(0, self.text).unwrap_or(self.text.len())],
            Origin::Path(_) | Origin::None => self.text,
        }
    }

    /// The text from `start` to `end` with every line end made LF.
    pub fn snippet(&self, start: u32, end: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let text = self.text.get(start as usize..end as usize).unwrap_or(b"");
        let mut lines = Lines { rest: text, done: false };
        if let Some(first) = lines.next() {
            out.extend_from_slice(first);
        }
        for line in lines {
            out.push(b'\n');
            out.extend_from_slice(line);
        }
        out
    }
}

/// A place as people count: both from 1. The column counts bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LineColumn {
    /// Line; 0 means that the place is unknown.
    pub line: u32,
    /// Byte in the line.
    pub column: u32,
}

/// Where the lines of a text begin, to find many places in it quickly. A line ends with LF, CR LF or CR.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// Finds the lines of `text`, which is not larger than [`crate::ast::MAX_SOURCE_BYTES`].
    pub fn new(text: &[u8]) -> Self {
        let mut starts = vec![0];
        let mut at = 0;
        while let Some(found) = memchr::memchr2(b'\n', b'\r', &text[at..]) {
            at += found + line_end_len(&text[at + found..]);
            #[expect(clippy::cast_possible_truncation, reason = "offsets are below MAX_SOURCE_BYTES")]
            starts.push(at as u32);
        }
        Self { starts }
    }

    /// The line and column of an offset.
    #[expect(clippy::cast_possible_truncation, reason = "there are at most as many lines as bytes")]
    pub fn line_column(&self, offset: u32) -> LineColumn {
        let line = self.starts.partition_point(|start| *start <= offset);
        LineColumn { line: line as u32, column: 1 + offset - self.starts[line - 1] }
    }
}

/// The line and column of one offset; for many in the same text use [`LineIndex`].
pub fn line_column(text: &[u8], offset: u32) -> LineColumn {
    let end = (offset as usize).min(text.len());
    let (mut line, mut start, mut at) = (1, 0, 0);
    while let Some(found) = memchr::memchr2(b'\n', b'\r', &text[at..]) {
        at += found + line_end_len(&text[at + found..]);
        if at > end {
            break;
        }
        line += 1;
        start = at;
    }
    #[expect(clippy::cast_possible_truncation, reason = "start is at most offset")]
    LineColumn { line, column: 1 + offset - start as u32 }
}

/// Length of the line end at the begin of `text`: LF, CR LF or CR.
fn line_end_len(text: &[u8]) -> usize {
    if text.starts_with(b"\r\n") { 2 } else { 1 }
}

/// The lines of a text. As in Nix an empty text has one line and a text that ends in a line end has one more.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) done: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.done {
            return None;
        }
        match memchr::memchr2(b'\n', b'\r', self.rest) {
            Some(end) => {
                let line = &self.rest[..end];
                self.rest = &self.rest[end + line_end_len(&self.rest[end..])..];
                Some(line)
            }
            None => {
                self.done = true;
                Some(self.rest)
            }
        }
    }
}

//! Positions: one number for a file and an offset in it.
//!
//! Every source gets a range of numbers as long as its text; a position is the begin of the range plus the offset.
//! Lines and columns are computed when an error is printed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::sync::lock;
use crate::value::Root;

/// A place in some source, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Pos(u32);

impl Pos {
    /// No position.
    pub const NONE: Pos = Pos(0);

    /// Is this [`Pos::NONE`]?
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// This position, or `other` if there is none.
    pub fn or(self, other: Pos) -> Pos {
        if self.is_none() { other } else { self }
    }

    /// The position that has this number.
    pub(crate) fn from_raw(number: u32) -> Pos {
        Pos(number)
    }

    /// The number, for storing it in a word.
    pub(crate) fn raw(self) -> u32 {
        self.0
    }
}

/// Where a source text came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A file.
    File {
        /// The tree it is read through.
        root: Root,
        /// Its path.
        path: Vec<u8>,
    },
    /// An expression given as text, such as `--expr`.
    Text,
    /// Standard input.
    Stdin,
}

/// A source and its origin.
#[derive(Debug)]
pub struct Source {
    /// Where it came from.
    pub origin: Origin,
    /// The text.
    pub text: Arc<Vec<u8>>,
    base: u32,
    /// Offsets at which lines begin, once somebody asked.
    lines: OnceLock<Box<[u32]>>,
    /// Whether anybody asked where in the text something stands.
    observed: AtomicBool,
}

impl Source {
    /// The offset of a position in this source.
    pub fn offset(&self, pos: Pos) -> u32 {
        pos.0.saturating_sub(self.base)
    }
}

/// A position resolved: source, line and column.
#[derive(Clone, Debug)]
pub struct Location<'a> {
    /// The source.
    pub source: &'a Source,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

/// All sources of an evaluation. A clone is another handle on the same sources, for another thread.
#[derive(Clone, Default, Debug)]
pub struct PosTable(Arc<Sources>);

#[derive(Default, Debug)]
struct Sources {
    /// Ascending by their bases.
    sources: boxcar::Vec<Source>,
    /// The base of the next one; whoever adds one holds it.
    next: Mutex<u32>,
}

impl PosTable {
    /// Registers a source and returns the base of its positions. When all sources together exceed 4 GiB, later ones
    /// have no positions.
    pub fn add(&self, origin: Origin, text: Arc<Vec<u8>>) -> PosBase {
        let mut unused = lock(&self.0.next);
        let base = unused.max(1);
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX - 1);
        let Some(next) = base.checked_add(len).and_then(|n| n.checked_add(1)) else {
            return PosBase(u32::MAX);
        };
        *unused = next;
        let (lines, observed) = (OnceLock::new(), AtomicBool::new(false));
        self.0.sources.push(Source { origin, text, base, lines, observed });
        PosBase(base)
    }

    /// The source a position lies in.
    pub fn source(&self, pos: Pos) -> Option<&Source> {
        let source = self.find(pos)?;
        source.observed.store(true, Ordering::Relaxed);
        Some(source)
    }

    /// Where the source came from that a position lies in. That is the same wherever in it the position lies.
    pub fn origin(&self, pos: Pos) -> Option<&Origin> {
        self.find(pos).map(|source| &source.origin)
    }

    fn find(&self, pos: Pos) -> Option<&Source> {
        if pos.is_none() {
            return None;
        }
        let sources = &self.0.sources;
        let (mut before, mut after) = (0, sources.count());
        while before < after {
            let middle = before.midpoint(after);
            match sources.get(middle) {
                Some(source) if source.base <= pos.0 => before = middle + 1,
                _ => after = middle,
            }
        }
        sources.get(before.checked_sub(1)?)
    }

    /// All sources, each with whether anybody asked where in it something stands. If nobody did, the evaluation would
    /// have been the same with the same tokens in other places.
    pub fn observations(&self) -> impl Iterator<Item = (&Source, bool)> {
        self.0.sources.iter().map(|(_, source)| (source, source.observed.load(Ordering::Relaxed)))
    }

    /// Line and column of a position.
    pub fn locate(&self, pos: Pos) -> Option<Location<'_>> {
        let source = self.source(pos)?;
        let offset = (pos.0 - source.base).min(source.text.len() as u32);
        let lines = source.lines.get_or_init(|| line_starts(&source.text));
        let line = lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).map_or(0, |before| lines[before]);
        Some(Location { source, line: line as u32, column: offset - start + 1 })
    }
}

/// Where the lines of a text start. `\r\n`, `\n` and a lone `\r` end a line.
fn line_starts(text: &[u8]) -> Box<[u32]> {
    let ends = memchr::memchr2_iter(b'\n', b'\r', text)
        .filter(|&at| text[at] == b'\n' || text.get(at + 1) != Some(&b'\n'))
        .map(|at| at as u32 + 1);
    std::iter::once(0).chain(ends).collect()
}

/// The base of one source's positions.
#[derive(Clone, Copy, Debug)]
pub struct PosBase(u32);

impl PosBase {
    /// The position of a place in that source.
    #[inline]
    pub fn at(self, pos: nopal_syntax::ast::Pos) -> Pos {
        match pos.offset() {
            Some(offset) if self.0 != u32::MAX => Pos(self.0 + offset),
            _ => Pos::NONE,
        }
    }
}

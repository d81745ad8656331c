//! Finding store paths' digests in a stream of bytes, whatever its chunks, and replacing them.
//!
//! A window of 32 bytes is looked at from its end: the first byte that is no base-32 digit lets the search jump behind
//! it, so most of a file is never looked at. Inside long runs of digits (hexadecimal dumps) a bit set over the last
//! three digits answers nearly every window, so that those run fast, too.

mod text;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use crate::hash::{Hash, HashAlgorithm, Hasher};
use crate::nix32;
use crate::store_path::{DIGEST_DIGITS, StorePath};

pub use text::TextRewriter;

/// Digits of a digest.
type Digits = [u8; DIGEST_DIGITS];

/// Bytes that may hold the beginning of a digest that ends in the next chunk.
const OVERLAP: usize = DIGEST_DIGITS - 1;
/// Three digits have this many values; the bit set takes 4 KiB and stays in the first-level cache.
const SUFFIXES: usize = 1 << 15;

/// A set of digests to look for. Cheap to clone and shared between scanners.
#[derive(Debug, Clone)]
pub struct Candidates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    indices: HashMap<Digits, usize>,
    suffixes: Box<[u64]>,
    paths: Vec<StorePath>,
}

impl FromIterator<StorePath> for Candidates {
    fn from_iter<I: IntoIterator<Item = StorePath>>(paths: I) -> Self {
        let mut inner = Inner { indices: HashMap::new(), suffixes: vec![0; SUFFIXES / 64].into(), paths: Vec::new() };
        for path in paths {
            let digits = path.digest_digits();
            if inner.indices.contains_key(&digits) {
                continue;
            }
            let suffix = digits.iter().fold(0, |sum, digit| roll(sum, *digit));
            inner.suffixes[suffix / 64] |= 1 << (suffix % 64);
            inner.indices.insert(digits, inner.paths.len());
            inner.paths.push(path);
        }
        Self(Arc::new(inner))
    }
}

impl Candidates {
    /// How many different digests.
    pub fn len(&self) -> usize {
        self.0.paths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.paths.is_empty()
    }

    /// Calls `found` with the place and the index of every digest in `data`.
    fn search(&self, data: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut start = 0;
        while let Some(window) = data.get(start..start + DIGEST_DIGITS) {
            if let Some(last_other) = window.iter().rposition(|byte| !nix32::is_digit(*byte)) {
                start += last_other + 1;
                continue;
            }
            let run = data[start..].iter().position(|byte| !nix32::is_digit(*byte)).unwrap_or(data.len() - start);
            self.search_run(&data[start..start + run], start, &mut found);
            start += run + 1;
        }
    }

    /// A run of at least 32 digits.
    fn search_run(&self, run: &[u8], offset: usize, found: &mut impl FnMut(usize, usize)) {
        let mut suffix = run[..OVERLAP].iter().fold(0, |sum, digit| roll(sum, *digit));
        for (start, window) in run.windows(DIGEST_DIGITS).enumerate() {
            suffix = roll(suffix, window[OVERLAP]);
            if self.0.suffixes[suffix / 64] >> (suffix % 64) & 1 == 1
                && let Some(index) = self.0.indices.get(window)
            {
                found(offset + start, *index);
            }
        }
    }
}

/// Shifts a digit into the number of the last three.
fn roll(suffix: usize, digit: u8) -> usize {
    (suffix << 5 | usize::from(nix32::value(digit))) & (SUFFIXES - 1)
}

/// Notes which candidates occur in the bytes written to it.
#[derive(Debug, Clone)]
pub struct ReferenceScanner {
    candidates: Candidates,
    found: Vec<bool>,
    missing: usize,
    /// The last bytes seen, at most [`OVERLAP`].
    tail: Vec<u8>,
}

impl ReferenceScanner {
    /// Nothing seen.
    pub fn new(candidates: &Candidates) -> Self {
        let count = candidates.len();
        Self { candidates: candidates.clone(), found: vec![false; count], missing: count, tail: Vec::new() }
    }

    /// Looks at the next bytes.
    pub fn scan(&mut self, data: &[u8]) {
        if self.missing == 0 || data.is_empty() {
            return;
        }
        let Self { candidates, found, missing, tail } = self;
        let mut note = |_, index: usize| {
            *missing -= usize::from(!std::mem::replace(&mut found[index], true));
        };
        // What lies across the border is in the old tail and the first bytes of the new data.
        tail.extend_from_slice(&data[..data.len().min(OVERLAP)]);
        candidates.search(tail, &mut note);
        if data.len() >= OVERLAP {
            candidates.search(data, &mut note);
            tail.clear();
            tail.extend_from_slice(&data[data.len() - OVERLAP..]);
        } else {
            let surplus = tail.len().saturating_sub(OVERLAP);
            tail.drain(..surplus);
        }
    }

    /// The candidates found.
    pub fn found(&self) -> BTreeSet<StorePath> {
        let paths = self.candidates.0.paths.iter().zip(&self.found);
        paths.filter(|(_, found)| **found).map(|(path, _)| path.clone()).collect()
    }
}

impl Write for ReferenceScanner {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.scan(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces digests in the bytes written to it, each by 32 other bytes, and passes the result on. Call
/// [`HashRewriter::finish`] at the end: the last bytes are held back until then.
#[derive(Debug)]
pub struct HashRewriter<W> {
    out: W,
    candidates: Candidates,
    replacements: Vec<Digits>,
    held: Vec<u8>,
    /// Offset of the first held byte in the whole stream.
    offset: u64,
    matches: Vec<u64>,
}

impl<W: Write> HashRewriter<W> {
    /// Replaces the digest of each first path by that of the second.
    pub fn new(out: W, rewrites: impl IntoIterator<Item = (StorePath, StorePath)>) -> Self {
        let pairs = rewrites.into_iter().map(|(from, to)| (from, to.digest_digits()));
        Self::with_bytes(out, pairs)
    }

    fn with_bytes(out: W, rewrites: impl IntoIterator<Item = (StorePath, Digits)>) -> Self {
        // A digest named twice keeps its first replacement, as the candidates keep its first place.
        let mut replacements = Vec::new();
        let mut seen = BTreeSet::new();
        let mut paths = Vec::new();
        for (from, to) in rewrites {
            if seen.insert(*from.digest()) {
                replacements.push(to);
                paths.push(from);
            }
        }
        let candidates = paths.into_iter().collect();
        Self { out, candidates, replacements, held: Vec::new(), offset: 0, matches: Vec::new() }
    }

    /// Where in the stream digests were replaced, ascending.
    pub fn matches(&self) -> &[u64] {
        &self.matches
    }

    /// Passes the last bytes on and gives the writer back.
    ///
    /// # Errors
    /// A failing writer.
    pub fn finish(mut self) -> io::Result<W> {
        let held = std::mem::take(&mut self.held);
        self.out.write_all(&held)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for HashRewriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Self { out, candidates, replacements, held, offset, matches } = self;
        held.extend_from_slice(data);
        let mut places = Vec::new();
        candidates.search(held, |place, index| places.push((place, index)));
        let mut free_from = 0;
        for (place, index) in places {
            // Digests cannot overlap in what Nix writes; where they do, the first one wins.
            if place >= free_from {
                held[place..place + DIGEST_DIGITS].copy_from_slice(&replacements[index]);
                matches.push(*offset + place as u64);
                free_from = place + DIGEST_DIGITS;
            }
        }
        let ready = held.len().saturating_sub(OVERLAP).max(free_from.min(held.len()));
        out.write_all(&held[..ready])?;
        held.drain(..ready);
        *offset += ready as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Hashes bytes with every digest of one path replaced by zeros: the hash that the path of self-referring
/// content-addressed content is made from.
#[derive(Debug)]
pub struct HashModulo {
    rewriter: HashRewriter<Hasher>,
}

impl HashModulo {
    /// Nothing hashed. `itself` is the path that the content refers to itself by.
    pub fn new(algorithm: HashAlgorithm, itself: &StorePath) -> Self {
        let zeros = [(itself.clone(), [0; DIGEST_DIGITS])];
        Self { rewriter: HashRewriter::with_bytes(Hasher::new(algorithm), zeros) }
    }

    /// The hash, and how many bytes were hashed.
    pub fn finish(self) -> (Hash, u64) {
        let Self { rewriter: HashRewriter { mut out, held, .. } } = self;
        out.update(&held);
        let length = out.length();
        (out.finish(), length)
    }
}

impl Write for HashModulo {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.rewriter.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Replacing texts of any length by others of the same length in a stream of bytes, whatever its chunks.

use std::io::{self, Write};

use memchr::memmem::Finder;

/// Replaces texts in the bytes written to it and passes the result on. Call [`TextRewriter::finish`] at the end: the
/// last bytes are held back until then.
pub struct TextRewriter<'a, W> {
    out: W,
    rewrites: Vec<(Finder<'a>, &'a [u8])>,
    /// Bytes that may hold the beginning of a text.
    overlap: usize,
    held: Vec<u8>,
}

impl<'a, W: Write> TextRewriter<'a, W> {
    /// Replaces each first text by the second, in this order. Pairs of different lengths, which would move what comes
    /// after them, are left out.
    pub fn new(out: W, rewrites: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let rewrites: Vec<(Finder<'a>, &'a [u8])> = rewrites
            .into_iter()
            .filter(|(from, to)| !from.is_empty() && from.len() == to.len())
            .map(|(from, to)| (Finder::new(from), to))
            .collect();
        let longest = rewrites.iter().map(|(_, to)| to.len()).max().unwrap_or(1);
        Self { out, rewrites, overlap: longest - 1, held: Vec::new() }
    }

    /// Passes the last bytes on and gives the writer back.
    ///
    /// # Errors
    /// A failing writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.held)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for TextRewriter<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(data);
        for (finder, to) in &self.rewrites {
            let mut from = 0;
            while let Some(at) = self.held.get(from..).and_then(|rest| finder.find(rest)) {
                let begin = from + at;
                self.held[begin..begin + to.len()].copy_from_slice(to);
                from = begin + to.len();
            }
        }
        let ready = self.held.len().saturating_sub(self.overlap);
        self.out.write_all(&self.held[..ready])?;
        self.held.drain(..ready);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_no_difference() {
        let text = b"one two onetwo on";
        let pairs: [(&[u8], &[u8]); 3] = [(b"one", b"ein"), (b"two", b"zwo"), (b"two", b"longer")];
        for size in 1..=text.len() {
            let mut rewriter = TextRewriter::new(Vec::new(), pairs);
            text.chunks(size).for_each(|chunk| rewriter.write_all(chunk).expect("a vector takes everything"));
            assert_eq!(rewriter.finish().expect("a vector takes everything"), b"ein zwo einzwo on", "{size}");
        }
    }
}

//! The `ar` archive that a .deb is.
//!
//! Fact: deb(5). A magic line, then members: a header of 60 bytes (name, time, owner, group, mode, size, magic), the
//! contents, and a newline if the size is odd.

use std::io::{self, Read};

/// What an archive begins with.
const MAGIC: &[u8; 8] = b"!<arch>\n";

/// What each header ends with.
const HEADER_END: &[u8; 2] = b"`\n";

/// Members looked at in one archive; a .deb has three or four.
const MAX_MEMBERS: usize = 64;

/// Why an archive is not read on.
#[derive(Debug, thiserror::Error)]
pub enum ArError {
    /// The file could not be read, or ends within a member.
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    /// It does not begin as an archive does.
    #[error("it is no ar archive")]
    NoArchive,
    /// A header is malformed.
    #[error("member {number} has a malformed header")]
    BadHeader {
        /// Which member, from 0.
        number: usize,
    },
    /// There are too many.
    #[error("it has more than {MAX_MEMBERS} members")]
    TooMany,
}

/// Reads the members one after the other.
#[derive(Debug)]
pub struct ArReader<R> {
    source: R,
    /// Bytes of the current member, padding included, that are still to be skipped.
    left: u64,
    number: usize,
}

impl<R: Read> ArReader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`ArError::NoArchive`] or [`ArError::Read`].
    pub fn new(mut source: R) -> Result<Self, ArError> {
        let mut magic = [0; 8];
        source.read_exact(&mut magic).map_err(|_| ArError::NoArchive)?;
        if magic != *MAGIC {
            return Err(ArError::NoArchive);
        }
        Ok(Self { source, left: 0, number: 0 })
    }

    /// The next member: its name, and its contents to read. What is not read is skipped by the next call.
    ///
    /// # Errors
    /// See [`ArError`].
    pub fn next_member(&mut self) -> Result<Option<(String, Member<'_, R>)>, ArError> {
        io::copy(&mut self.source.by_ref().take(self.left), &mut io::sink())?;
        self.left = 0;
        let mut header = [0; 60];
        match read_full(&mut self.source, &mut header)? {
            0 => return Ok(None),
            60 => {}
            _ => return Err(ArError::BadHeader { number: self.number }),
        }
        let bad = ArError::BadHeader { number: self.number };
        if header[58..] != *HEADER_END {
            return Err(bad);
        }
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).map(str::trim);
        let (Ok(name), Ok(size)) = (text(0..16), text(48..58)) else { return Err(bad) };
        let Ok(size) = size.parse::<u64>() else { return Err(bad) };
        self.number += 1;
        if self.number > MAX_MEMBERS {
            return Err(ArError::TooMany);
        }
        self.left = size + size % 2;
        // a slash after the name is the style of GNU ar
        let name = name.trim_end_matches('/').to_owned();
        Ok(Some((name, Member { source: &mut self.source, left: &mut self.left, size })))
    }
}

/// The contents of one member.
#[derive(Debug)]
pub struct Member<'a, R> {
    source: &'a mut R,
    left: &'a mut u64,
    size: u64,
}

impl<R> Member<'_, R> {
    /// Its size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let contents_left = self.left.saturating_sub(self.size % 2);
        let wanted = usize::try_from(contents_left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a member"));
        }
        *self.left -= count as u64;
        Ok(count)
    }
}

/// Reads until the buffer is full or the end; says how much.
fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(filled)
}

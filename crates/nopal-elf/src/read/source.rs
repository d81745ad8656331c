//! Reading parts of a file, each with its limit.

use super::error::ReadError;
use crate::Bytes;
use crate::raw::{PT_LOAD, Segment};
use std::cell::RefCell;

/// A file with a window on what was read last: tables that a loader wants lie side by side.
pub(crate) struct Source<'a> {
    bytes: &'a dyn Bytes,
    window: RefCell<(u64, Vec<u8>)>,
}

/// How much is read at once; small tables and strings are then found in the window.
const WINDOW_BYTES: u64 = 4096;

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a dyn Bytes) -> Self {
        Self { bytes, window: RefCell::new((0, Vec::new())) }
    }

    fn len(&self) -> u64 {
        self.bytes.len()
    }

    /// Up to `length` bytes from `offset` on, fewer where the file ends.
    fn read(&self, what: &'static str, offset: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        let length = length.min(self.len().saturating_sub(offset));
        let failed = |source| ReadError::Io { what, offset, source };
        let mut window = self.window.borrow_mut();
        let known = offset >= window.0 && offset + length <= window.0 + window.1.len() as u64;
        if !known {
            let wanted = length.max(WINDOW_BYTES).min(self.len().saturating_sub(offset));
            let mut part = vec![0; usize::try_from(wanted).map_err(|error| failed(std::io::Error::other(error)))?];
            self.bytes.read_at(offset, &mut part).map_err(failed)?;
            *window = (offset, part);
        }
        // both fit, as the window holds this part
        let begin = (offset - window.0) as usize;
        Ok(window.1.get(begin..begin + length as usize).unwrap_or_default().to_vec())
    }
}

/// All of a table, which must lie in the file and keep to its limit.
pub(crate) fn table(
    source: &Source<'_>,
    what: &'static str,
    offset: u64,
    length: u64,
    limit: u64,
) -> Result<Vec<u8>, ReadError> {
    if length > limit {
        return Err(ReadError::TooLarge { what, offset, length, limit });
    }
    if offset.checked_add(length).is_none_or(|end| end > source.len()) {
        return Err(ReadError::Outside { what, offset, length, file_bytes: source.len() });
    }
    source.read(what, offset, length)
}

/// The string that begins at `offset`, without its NUL.
pub(crate) fn string(source: &Source<'_>, what: &'static str, offset: u64, limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut text = Vec::new();
    let mut at = offset;
    loop {
        let part = source.read(what, at, 256)?;
        if let Some(end) = memchr::memchr(0, &part) {
            text.extend_from_slice(&part[..end]);
            return Ok(text);
        }
        text.extend_from_slice(&part);
        let length = text.len() as u64;
        if part.is_empty() {
            return Err(ReadError::Outside { what, offset, length: length + 1, file_bytes: source.len() });
        }
        if length > limit {
            return Err(ReadError::TooLarge { what, offset, length, limit });
        }
        at += part.len() as u64;
    }
}

/// Where in the file an address lies, and how many bytes the file has from there on in its segment.
pub(crate) fn place(segments: &[Segment], what: &'static str, address: u64) -> Result<(u64, u64), ReadError> {
    segments
        .iter()
        // what is mapped later covers what was there
        .rev()
        .filter(|segment| segment.kind == PT_LOAD)
        .find_map(|segment| {
            let within = address.checked_sub(segment.address).filter(|within| *within < segment.file_bytes)?;
            Some((segment.offset.checked_add(within)?, segment.file_bytes - within))
        })
        .ok_or(ReadError::Unmapped { what, address })
}

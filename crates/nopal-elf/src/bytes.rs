//! Where the bytes of a file come from.

/// Random access to the bytes of a file. Only what is asked for need be in memory: tables of a few kilobytes, of files of
/// hundreds of megabytes.
pub trait Bytes {
    /// How long the file is, in bytes.
    fn len(&self) -> u64;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The file ends before, or cannot be read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What comes before the first zero byte, or all.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

impl Bytes for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        let begin = usize::try_from(offset).ok();
        let part = begin.and_then(|begin| self.get(begin..begin.checked_add(into.len())?));
        match part {
            Some(part) => into.copy_from_slice(part),
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }
}

impl<T: Bytes + ?Sized> Bytes for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        (**self).read_at(offset, into)
    }
}

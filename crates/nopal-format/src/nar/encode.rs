//! Writing NARs piece by piece. Framing and small files are gathered, so that the writer behind sees few large writes.

use std::io::{Read, Write};

use super::{MAGIC, MAX_DEPTH, MAX_FILE_LEN, NarError, check_len, check_name, check_target, padding};

/// Size of the buffer in which framing and files are gathered. Large enough that a hash or a file sees few calls, small
/// enough to stay in the second-level cache.
const GATHER_LEN: usize = 128 << 10;
/// Beyond this the buffer is written out. The other half leaves room for the framing of a node (below 8 KiB, since names
/// and targets are bounded).
const FLUSH_LEN: usize = GATHER_LEN / 2;

/// Size of the buffer at first.
const FIRST_LEN: usize = 4 << 10;

/// Writes an archive: one root node without name, inside directories named nodes in ascending order.
///
/// After an error the writer refuses further use.
#[derive(Debug)]
pub struct NarWriter<W> {
    out: W,
    /// Grows up to [`GATHER_LEN`], so that a small archive costs little; it is cleared as it grows and not again.
    buffer: Vec<u8>,
    /// How much of the buffer is filled.
    filled: usize,
    /// For each open directory the name of its latest entry, empty before the first.
    open: Vec<Vec<u8>>,
    written: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Open,
    Complete,
    Failed,
}

impl<W: Write> NarWriter<W> {
    /// Begins an archive.
    pub fn new(out: W) -> Self {
        let mut writer = Self { out, buffer: Vec::new(), filled: 0, open: Vec::new(), written: 0, state: State::Empty };
        writer.push_token(MAGIC);
        writer
    }

    /// How many bytes the archive has so far.
    pub fn position(&self) -> u64 {
        self.written + self.filled as u64
    }

    /// Begins a directory.
    ///
    /// # Errors
    /// A wrong, unsorted or missing name, too deep nesting, or a failing writer.
    pub fn enter_directory(&mut self, name: Option<&[u8]>) -> Result<(), NarError> {
        self.guarded(|writer| {
            writer.begin_node(name)?;
            writer.push_token(b"directory");
            writer.open.push(Vec::new());
            Ok(())
        })
    }

    /// Ends the innermost directory.
    ///
    /// # Errors
    /// No directory is open, or a failing writer.
    pub fn leave_directory(&mut self) -> Result<(), NarError> {
        self.guarded(|writer| match writer.open.pop() {
            Some(_) => writer.end_node(),
            None => Err(NarError::Misuse { what: "no directory is open" }),
        })
    }

    /// Writes a file of `size` bytes read from `contents`. Gives where in the archive its first byte lies.
    ///
    /// Exactly `size` bytes are read; whether there would be more is not looked at.
    ///
    /// # Errors
    /// As [`NarWriter::enter_directory`]; contents that end early; a failing reader.
    pub fn file(
        &mut self,
        name: Option<&[u8]>,
        executable: bool,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<u64, NarError> {
        self.guarded(|writer| {
            let offset = writer.begin_file(name, executable, size)?;
            writer.copy(size, contents)?;
            writer.end_file(size)?;
            Ok(offset)
        })
    }

    /// Writes a file that is in memory. Gives where in the archive its first byte lies.
    ///
    /// # Errors
    /// As [`NarWriter::enter_directory`].
    pub fn file_bytes(&mut self, name: Option<&[u8]>, executable: bool, contents: &[u8]) -> Result<u64, NarError> {
        self.guarded(|writer| {
            let size = contents.len() as u64;
            let offset = writer.begin_file(name, executable, size)?;
            if contents.len() > FLUSH_LEN - writer.filled.min(FLUSH_LEN) {
                writer.flush_buffer()?;
            }
            if contents.len() > FLUSH_LEN {
                writer.write_out(contents)?;
            } else {
                writer.push(contents);
            }
            writer.end_file(size)?;
            Ok(offset)
        })
    }

    /// Writes a symbolic link.
    ///
    /// # Errors
    /// As [`NarWriter::enter_directory`]; a target that is empty, too long or holds a zero byte.
    pub fn symlink(&mut self, name: Option<&[u8]>, target: &[u8]) -> Result<(), NarError> {
        self.guarded(|writer| {
            check_target(target)?;
            writer.begin_node(name)?;
            writer.push_token(b"symlink");
            writer.push_token(b"target");
            writer.push_token(target);
            writer.end_node()
        })
    }

    /// Ends the archive and gives the writer back, with everything written to it.
    ///
    /// # Errors
    /// No root yet, open directories, an earlier error, or a failing writer.
    pub fn finish(mut self) -> Result<W, NarError> {
        match self.state {
            State::Complete => {
                self.flush_buffer()?;
                Ok(self.out)
            }
            State::Failed => Err(NarError::Misuse { what: "an earlier call failed" }),
            State::Empty => Err(NarError::Misuse { what: "the archive has no root" }),
            State::Open => Err(NarError::Misuse { what: "a directory is still open" }),
        }
    }

    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, NarError>) -> Result<T, NarError> {
        match self.state {
            State::Complete => return Err(NarError::Misuse { what: "the archive is complete" }),
            State::Failed => return Err(NarError::Misuse { what: "an earlier call failed" }),
            State::Empty | State::Open => {}
        }
        let result = step(self);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn begin_node(&mut self, name: Option<&[u8]>) -> Result<(), NarError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(NarError::Depth);
        }
        match (self.open.last_mut(), name) {
            (None, None) => self.state = State::Open,
            (None, Some(_)) => return Err(NarError::Misuse { what: "the root has no name" }),
            (Some(_), None) => return Err(NarError::Misuse { what: "an entry needs a name" }),
            (Some(previous), Some(name)) => {
                check_name(name, Some(previous.as_slice()).filter(|previous| !previous.is_empty()))?;
                previous.clear();
                previous.extend_from_slice(name);
                for token in [b"entry".as_slice(), b"(", b"name", name, b"node"] {
                    self.push_token(token);
                }
            }
        }
        self.push_token(b"(");
        self.push_token(b"type");
        Ok(())
    }

    fn end_node(&mut self) -> Result<(), NarError> {
        self.push_token(b")");
        if self.open.is_empty() {
            self.state = State::Complete;
        } else {
            self.push_token(b")");
        }
        if self.filled > FLUSH_LEN { self.flush_buffer() } else { Ok(()) }
    }

    fn begin_file(&mut self, name: Option<&[u8]>, executable: bool, size: u64) -> Result<u64, NarError> {
        check_len("file", size, MAX_FILE_LEN)?;
        self.begin_node(name)?;
        self.push_token(b"regular");
        if executable {
            self.push_token(b"executable");
            self.push_token(b"");
        }
        self.push_token(b"contents");
        self.push(&size.to_le_bytes());
        Ok(self.position())
    }

    fn end_file(&mut self, size: u64) -> Result<(), NarError> {
        self.push(&[0; 8][..padding(size)]);
        self.end_node()
    }

    /// Reads into the space behind what is gathered, so that a small file costs no write of its own.
    fn copy(&mut self, size: u64, contents: &mut dyn Read) -> Result<(), NarError> {
        let mut missing = size;
        while missing > 0 {
            if self.filled > FLUSH_LEN {
                self.flush_buffer()?;
            }
            let wanted = usize::try_from(missing).unwrap_or(usize::MAX).min(GATHER_LEN - self.filled);
            self.grow(wanted);
            match contents.read(&mut self.buffer[self.filled..][..wanted]) {
                Ok(0) => return Err(NarError::FileSize { expected: size, found: size - missing }),
                Ok(count) => {
                    self.filled += count;
                    missing -= count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(NarError::Io { position: self.position(), source }),
            }
        }
        // What follows needs room again.
        if self.filled > FLUSH_LEN { self.flush_buffer() } else { Ok(()) }
    }

    /// Makes room for so many bytes, which fit into [`GATHER_LEN`].
    #[inline]
    fn grow(&mut self, bytes: usize) {
        let needed = self.filled + bytes;
        if needed > self.buffer.len() {
            self.buffer.resize(needed.next_power_of_two().max(FIRST_LEN), 0);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        self.buffer[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    fn push_token(&mut self, bytes: &[u8]) {
        self.push(&(bytes.len() as u64).to_le_bytes());
        self.push(bytes);
        self.push(&[0; 8][..padding(bytes.len() as u64)]);
    }

    fn flush_buffer(&mut self) -> Result<(), NarError> {
        let filled = std::mem::take(&mut self.filled);
        let position = self.written;
        self.out.write_all(&self.buffer[..filled]).map_err(|source| NarError::Io { position, source })?;
        self.written += filled as u64;
        Ok(())
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<(), NarError> {
        let position = self.written;
        self.out.write_all(bytes).map_err(|source| NarError::Io { position, source })?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

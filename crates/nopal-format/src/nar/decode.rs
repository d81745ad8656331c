//! Reading NARs as events, in constant memory.

use std::fmt;
use std::io::{self, Read};

use super::{
    MAGIC, MAX_DEPTH, MAX_FILE_LEN, MAX_NAME_LEN, MAX_TAG_LEN, MAX_TARGET_LEN, NarError, check_len, check_name,
    check_target, padding,
};

/// What the reader meets, parents before children. The root has no name.
#[derive(Debug)]
pub enum NarEvent<'a> {
    /// A directory begins.
    EnterDirectory {
        /// Its name in the directory around it.
        name: Option<&'a [u8]>,
    },
    /// The innermost open directory ends.
    LeaveDirectory,
    /// A regular file.
    File {
        /// Its name in the directory around it.
        name: Option<&'a [u8]>,
        /// Whether it may be executed.
        executable: bool,
        /// Its bytes; what is not read is skipped.
        contents: FileContents<'a>,
    },
    /// A symbolic link.
    Symlink {
        /// Its name in the directory around it.
        name: Option<&'a [u8]>,
        /// Where it points.
        target: &'a [u8],
    },
}

/// The bytes of a file inside the archive, to be read once. The size is a claim of the archive: do not allocate by it.
/// An archive that ends too early makes reading fail with [`io::ErrorKind::UnexpectedEof`].
pub struct FileContents<'a> {
    reader: &'a mut dyn Read,
    remaining: &'a mut u64,
    size: u64,
    offset: u64,
}

impl FileContents<'_> {
    /// How many bytes the archive claims.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where in the archive the first byte lies.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Debug for FileContents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileContents").field("size", &self.size).field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Read for FileContents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(*self.remaining).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        match self.reader.read(&mut buffer[..wanted])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                *self.remaining -= count as u64;
                Ok(count)
            }
        }
    }
}

/// Reads one archive and stops right behind it: bytes that follow are left in the reader. Gives the archive's length.
///
/// Tokens are small: wrap files and sockets in a [`std::io::BufReader`].
///
/// # Errors
/// Anything that Nix refuses, and what `visit` returns. Events before the error have been seen by then.
pub fn decode<R: Read, E: From<NarError>>(
    reader: &mut R,
    visit: &mut dyn FnMut(NarEvent<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let mut tokens = Tokens { reader, position: 0, buffer: Vec::new() };
    tokens.magic()?;
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut depth = 0;
    tokens.node(None, &mut depth, visit)?;
    // `names` holds for each open directory the name of its latest entry, empty before the first.
    names.resize(depth, Vec::new());
    while depth > 0 {
        let previous = &mut names[depth - 1];
        if !tokens.next_entry(previous)? {
            visit(NarEvent::LeaveDirectory)?;
            depth -= 1;
            names.truncate(depth);
            if depth > 0 {
                tokens.expect(")")?;
            }
            continue;
        }
        let before = depth;
        tokens.node(Some(previous), &mut depth, visit)?;
        names.resize(depth, Vec::new());
        if depth == before {
            tokens.expect(")")?;
        }
    }
    Ok(tokens.position)
}

/// Reads one archive that must be all there is. Gives its length.
///
/// # Errors
/// As [`decode`], and [`NarError::Trailing`] when bytes follow.
pub fn decode_exact<R: Read, E: From<NarError>>(
    reader: &mut R,
    visit: &mut dyn FnMut(NarEvent<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let position = decode(reader, visit)?;
    match reader.read_exact(&mut [0]) {
        Ok(()) => Err(NarError::Trailing { position }.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(position),
        Err(source) => Err(NarError::Io { position, source }.into()),
    }
}

struct Tokens<'a, R> {
    reader: &'a mut R,
    position: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Tokens<'_, R> {
    fn failed(&self, source: io::Error) -> NarError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => NarError::UnexpectedEof { position: self.position },
            _ => NarError::Io { position: self.position, source },
        }
    }

    fn number(&mut self) -> Result<u64, NarError> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
        self.position += 8;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a token of at most `limit` bytes into the buffer, without its padding.
    fn token(&mut self, what: &'static str, limit: usize) -> Result<&[u8], NarError> {
        let len = self.number()?;
        check_len(what, len, limit as u64)?;
        let (size, zeros) = (len as usize, padding(len));
        self.buffer.resize(size + zeros, 0);
        self.reader.read_exact(&mut self.buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => NarError::UnexpectedEof { position: self.position },
            _ => NarError::Io { position: self.position, source: error },
        })?;
        self.position += (size + zeros) as u64;
        let (text, rest) = self.buffer.split_at(size);
        if rest.iter().any(|byte| *byte != 0) {
            return Err(NarError::Padding { position: self.position });
        }
        Ok(text)
    }

    fn expect(&mut self, expected: &'static str) -> Result<(), NarError> {
        let found = self.token("tag", MAX_TAG_LEN)?;
        if found == expected.as_bytes() { Ok(()) } else { Err(NarError::Tag { expected, found: found.into() }) }
    }

    fn magic(&mut self) -> Result<(), NarError> {
        match self.token("tag", MAGIC.len()) {
            Ok(MAGIC) => Ok(()),
            Err(error @ NarError::Io { .. }) => Err(error),
            _ => Err(NarError::Magic),
        }
    }

    /// Reads up to the next entry's node and stores its name; false at the end of the directory.
    fn next_entry(&mut self, name: &mut Vec<u8>) -> Result<bool, NarError> {
        match self.token("tag", MAX_TAG_LEN)? {
            b")" => return Ok(false),
            b"entry" => {}
            found => return Err(NarError::Tag { expected: "entry' or ')", found: found.into() }),
        }
        self.expect("(")?;
        self.expect("name")?;
        let found = self.token("name", MAX_NAME_LEN)?;
        check_name(found, Some(name.as_slice()).filter(|name| !name.is_empty()))?;
        name.clear();
        name.extend_from_slice(found);
        self.expect("node")?;
        Ok(true)
    }

    /// Reads a file or link as a whole, or the beginning of a directory, whose depth is then one more.
    fn node<E: From<NarError>>(
        &mut self,
        name: Option<&[u8]>,
        depth: &mut usize,
        visit: &mut dyn FnMut(NarEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if *depth >= MAX_DEPTH {
            return Err(NarError::Depth.into());
        }
        self.expect("(")?;
        self.expect("type")?;
        match self.token("tag", MAX_TAG_LEN)? {
            b"regular" => self.file(name, visit),
            b"directory" => {
                *depth += 1;
                visit(NarEvent::EnterDirectory { name })
            }
            b"symlink" => {
                self.expect("target")?;
                let target = self.token("symlink target", MAX_TARGET_LEN)?;
                check_target(target)?;
                visit(NarEvent::Symlink { name, target })?;
                Ok(self.expect(")")?)
            }
            found => Err(NarError::Type { found: found.into() }.into()),
        }
    }

    fn file<E: From<NarError>>(
        &mut self,
        name: Option<&[u8]>,
        visit: &mut dyn FnMut(NarEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tag = self.token("tag", MAX_TAG_LEN)?;
        let executable = tag == b"executable";
        if executable {
            self.token("executable marker", 0)?;
            tag = self.token("tag", MAX_TAG_LEN)?;
        }
        if tag != b"contents" {
            return Err(NarError::Tag { expected: "contents", found: tag.into() }.into());
        }
        let size = self.number()?;
        check_len("file", size, MAX_FILE_LEN)?;
        let mut remaining = size;
        let contents = FileContents { reader: self.reader, remaining: &mut remaining, size, offset: self.position };
        visit(NarEvent::File { name, executable, contents })?;
        self.position = self.position.saturating_add(size - remaining);
        self.skip(remaining)?;
        let mut zeros = [0; 8];
        let zeros = &mut zeros[..padding(size)];
        self.reader.read_exact(zeros).map_err(|error| self.failed(error))?;
        self.position += zeros.len() as u64;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(NarError::Padding { position: self.position }.into());
        }
        Ok(self.expect(")")?)
    }

    fn skip(&mut self, len: u64) -> Result<(), NarError> {
        if len == 0 {
            return Ok(());
        }
        let skipped = io::copy(&mut self.reader.by_ref().take(len), &mut io::sink());
        let skipped = skipped.map_err(|error| self.failed(error))?;
        self.position += skipped;
        if skipped == len { Ok(()) } else { Err(NarError::UnexpectedEof { position: self.position }) }
    }
}

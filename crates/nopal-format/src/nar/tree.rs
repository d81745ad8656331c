//! Small file trees in memory: for tests, for content made by the program itself, for hashing without a disk.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::{NarError, NarEvent, NarWriter, decode_exact};
use crate::bytes::ByteString;
use crate::hash::{Hash, HashAlgorithm, Hasher};

/// A file tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// A regular file.
    File {
        /// Whether it may be executed.
        executable: bool,
        /// Its bytes.
        contents: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: ByteString,
    },
    /// A directory.
    Directory(BTreeMap<ByteString, Tree>),
}

impl Tree {
    /// A file that may not be executed.
    pub fn file(contents: impl Into<Vec<u8>>) -> Self {
        Self::File { executable: false, contents: contents.into() }
    }

    /// A directory from pairs.
    pub fn directory<K: Into<ByteString>>(entries: impl IntoIterator<Item = (K, Tree)>) -> Self {
        Self::Directory(entries.into_iter().map(|(name, node)| (name.into(), node)).collect())
    }

    /// Writes the tree as a node of an archive.
    ///
    /// # Errors
    /// Names or targets that are not valid, too deep nesting, a failing writer.
    pub fn write<W: Write>(&self, name: Option<&[u8]>, writer: &mut NarWriter<W>) -> Result<(), NarError> {
        match self {
            Self::File { executable, contents } => writer.file_bytes(name, *executable, contents).map(|_| ()),
            Self::Symlink { target } => writer.symlink(name, target),
            Self::Directory(entries) => {
                writer.enter_directory(name)?;
                for (name, node) in entries {
                    node.write(Some(name), writer)?;
                }
                writer.leave_directory()
            }
        }
    }

    fn write_all<W: Write>(&self, out: W) -> Result<W, NarError> {
        let mut writer = NarWriter::new(out);
        self.write(None, &mut writer)?;
        writer.finish()
    }

    /// The archive of the tree.
    ///
    /// # Errors
    /// As [`Tree::write`].
    pub fn to_nar(&self) -> Result<Vec<u8>, NarError> {
        self.write_all(Vec::new())
    }

    /// Hash and length of the archive of the tree.
    ///
    /// # Errors
    /// As [`Tree::write`].
    pub fn nar_hash(&self, algorithm: HashAlgorithm) -> Result<(Hash, u64), NarError> {
        let hasher = self.write_all(Hasher::new(algorithm))?;
        let length = hasher.length();
        Ok((hasher.finish(), length))
    }

    /// Reads an archive that is all of the input. Memory is bounded by the input's real length.
    ///
    /// # Errors
    /// As [`decode_exact`].
    pub fn from_nar(reader: &mut impl Read) -> Result<Self, NarError> {
        let mut open: Vec<(ByteString, BTreeMap<ByteString, Tree>)> = Vec::new();
        let mut root = None;
        decode_exact(reader, &mut |event| {
            let (name, node) = match event {
                NarEvent::EnterDirectory { name } => {
                    open.push((name.unwrap_or_default().into(), BTreeMap::new()));
                    return Ok(());
                }
                NarEvent::LeaveDirectory => match open.pop() {
                    Some((name, entries)) => (name, Self::Directory(entries)),
                    None => return Err(NarError::Misuse { what: "no directory is open" }),
                },
                NarEvent::File { name, executable, mut contents } => {
                    let mut bytes = Vec::new();
                    let position = contents.offset();
                    contents.read_to_end(&mut bytes).map_err(|source| match source.kind() {
                        std::io::ErrorKind::UnexpectedEof => NarError::UnexpectedEof { position },
                        _ => NarError::Io { position, source },
                    })?;
                    (name.unwrap_or_default().into(), Self::File { executable, contents: bytes })
                }
                NarEvent::Symlink { name, target } => {
                    (name.unwrap_or_default().into(), Self::Symlink { target: target.into() })
                }
            };
            match open.last_mut() {
                Some((_, entries)) => {
                    entries.insert(name, node);
                }
                None => root = Some(node),
            }
            Ok(())
        })?;
        root.ok_or(NarError::Misuse { what: "the archive has no root" })
    }
}

/// SHA-256 and length of the archive of a file that may not be executed: what a text file in the store has.
pub fn hash_of_file(contents: &[u8]) -> (Hash, u64) {
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    for token in [super::MAGIC, b"(", b"type", b"regular", b"contents", contents, b")"] {
        hasher.update(&(token.len() as u64).to_le_bytes());
        hasher.update(token);
        hasher.update(&[0; 8][..super::padding(token.len() as u64)]);
    }
    let length = hasher.length();
    (hasher.finish(), length)
}

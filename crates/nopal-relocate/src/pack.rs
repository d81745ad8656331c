//! One file that is a program with all it needs: it unpacks itself the first time it runs.
//!
//! The file is a small executable (stubs/src/bin/unpack.rs), then a magic, the name of the folder it unpacks itself to,
//! which tells the contents, the path of the program in that, each ended by a zero, and entries in the order of the tree:
//! a kind, a path ended by a zero, and what belongs to it. Files are blocks: packed size, size, bytes; both sizes zero
//! behind the last. The same tree makes the same bytes.

use crate::codes::{BLOCK_BYTES, PACK_MAGIC as MAGIC, entry};
use crate::wrap::Architecture;
use lz4_flex::block::compress;
use nopal_format::hash::{HashAlgorithm, Hasher};
use nopal_fs::{FsError, Step, TreeWalk, WalkOptions, replace_with};
use std::io::{self, BufWriter, Read as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// So much of the hash of the contents is in the folder's name.
const HASH_DIGITS: usize = 32;
/// Names of programs in front of that.
const MAX_NAME_BYTES: usize = 64;

/// What was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// The size of all files.
    pub contents_bytes: u64,
    /// The size of the packed file.
    pub bytes: u64,
}

/// Why there is no packed file.
#[derive(Debug, Error)]
pub enum PackError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FsError),
    /// There is no such program.
    #[error("/{} is no program that can be packed", .0.display())]
    Program(PathBuf),
    /// A device, a pipe, a socket.
    #[error("{} is neither a file, a folder nor a link", .0.display())]
    Special(PathBuf),
    /// The program is for a processor without code that unpacks.
    #[error("there is no code that unpacks for the processor of /{}", .0.display())]
    Processor(PathBuf),
}

/// Packs a tree to an executable file, which becomes the program at that path below the tree.
///
/// # Errors
/// A file cannot be read or written, or there is no such program. What was at `out` is still there then.
pub fn pack(tree: &Path, program: &Path, out: &Path) -> Result<Packed, PackError> {
    let real = nopal_fs::canonicalize(&tree.join(program)).map_err(|_| PackError::Program(program.to_owned()))?;
    let root = nopal_fs::canonicalize(tree)?;
    if !real.starts_with(&root) || !nopal_fs::is_file(&real) {
        return Err(PackError::Program(program.to_owned()));
    }
    let mut head = [0; 20];
    let file = nopal_fs::RandomFile::open(&real)?;
    let architecture = (file.read_at(0, &mut head).ok()).and_then(|()| Architecture::of_file(&head));
    let unpacker = architecture.ok_or_else(|| PackError::Processor(program.to_owned()))?;
    let name = program.file_name().unwrap_or_default().as_bytes();
    let name = name[..name.len().min(MAX_NAME_BYTES)].to_vec();
    let mut packed = Packed { contents_bytes: 0, bytes: 0 };
    let mut failed = None;
    replace_with(out, 0o755, |file| {
        let written = write(tree, program, &name, unpacker, file, &mut packed);
        written.map_err(|error| match error {
            WriteError::Io(error) => error,
            WriteError::Pack(error) => {
                failed = Some(error);
                io::Error::other("")
            }
        })
    })
    .map_err(|error| failed.take().unwrap_or(error.into()))?;
    Ok(packed)
}

/// What keeps a file from being written.
enum WriteError {
    Io(io::Error),
    Pack(PackError),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FsError> for WriteError {
    fn from(error: FsError) -> Self {
        Self::Pack(error.into())
    }
}

fn write(
    tree: &Path,
    program: &Path,
    name: &[u8],
    unpacker: Architecture,
    file: &mut (impl io::Write + io::Seek),
    packed: &mut Packed,
) -> Result<(), WriteError> {
    let start = unpacker.unpacker(0).len() as u64;
    file.seek(SeekFrom::Start(start))?;
    let digits = [b'0'; HASH_DIGITS];
    let folder = [name, b"-", &digits].concat();
    let hash_at = start + (MAGIC.len() + name.len() + 1) as u64;
    let head = [&MAGIC, &folder[..], b"\0", program.as_os_str().as_bytes(), b"\0"].concat();
    let mut writer = Writer { file: BufWriter::new(file), hasher: Hasher::new(HashAlgorithm::Blake3), bytes: 0 };
    writer.put(&head)?;
    let mut walk = TreeWalk::new(tree, WalkOptions::default())?;
    while let Some(step) = walk.next()? {
        let path = walk.relative_path().as_os_str().as_bytes().to_vec();
        match step {
            Step::Leave => {}
            // the root itself
            Step::Enter if path.is_empty() => {}
            Step::Enter => writer.entry(entry::FOLDER, &path)?,
            Step::Symlink => {
                writer.entry(entry::LINK, &path)?;
                writer.put(&[&walk.read_link()?[..], b"\0"].concat())?;
            }
            Step::File => packed.contents_bytes += writer.file(walk.path(), &path)?,
            Step::Other => return Err(WriteError::Pack(PackError::Special(walk.path().to_owned()))),
        }
    }
    writer.put(&[entry::END])?;
    let (payload, hash) = (writer.bytes, writer.hasher.finish().base16());
    let file = writer.file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.seek(SeekFrom::Start(hash_at))?;
    file.write_all(&hash.as_bytes()[..HASH_DIGITS])?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&unpacker.unpacker(payload))?;
    packed.bytes = start + payload;
    Ok(())
}

/// The data of a packed file.
struct Writer<W: io::Write> {
    file: BufWriter<W>,
    hasher: Hasher,
    bytes: u64,
}

impl<W: io::Write> Writer<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn entry(&mut self, kind: u8, path: &[u8]) -> io::Result<()> {
        self.put(&[kind])?;
        self.put(path)?;
        self.put(b"\0")
    }

    /// Adds a file; its size.
    fn file(&mut self, path: &Path, below: &[u8]) -> Result<u64, WriteError> {
        let mut source = nopal_fs::open_read(path)?;
        let read = |error| FsError::new("read", path, error);
        let is_executable = nopal_fs::metadata(path)?.permissions().mode() & 0o111 != 0;
        self.entry(if is_executable { entry::PROGRAM } else { entry::FILE }, below)?;
        let mut size = 0;
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        loop {
            block.clear();
            (&mut source).take(BLOCK_BYTES as u64).read_to_end(&mut block).map_err(read)?;
            let packed = compress(&block);
            let bytes = if packed.len() < block.len() { &packed } else { &block };
            if block.is_empty() {
                self.put(&[0; 8])?;
                return Ok(size);
            }
            for number in [bytes.len(), block.len()] {
                self.put(&(number as u32).to_le_bytes())?;
            }
            self.put(bytes)?;
            size += block.len() as u64;
        }
    }
}

//! One pass over a tree: read, hash its archive, look for references, and write it elsewhere, all from one buffer.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix_archive::nar::{Encoder, ReferencePattern, ReferenceScanner};
use nopal_format::{Hash, HashAlgorithm, Hasher, StorePath};
use nopal_fs::create::Metadata;
use nopal_fs::{FsError, FsFile, Step, TreeWalk, TreeWriter, WalkOptions};

use crate::content::ContentHasher;

/// Why a tree cannot be read or written as an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The archive is malformed, or the tree cannot be put into one.
    #[error("{}: {source}", .place.as_ref().map_or_else(|| "bad archive".to_owned(), |path| format!("cannot archive '{}'", path.display())))]
    Archive {
        /// The tree, where there is one.
        place: Option<PathBuf>,
        /// What is wrong.
        source: nix_archive::nar::Error,
    },
    /// A file changed while it was read.
    #[error("'{}' changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A device, fifo or socket.
    #[error("'{}' is a device, a fifo or a socket; a store keeps only files, directories and symbolic links", path.display())]
    UnsupportedType {
        /// The entry.
        path: PathBuf,
    },
    /// The stream that an archive comes from, or goes to, failed.
    #[error("the archive's stream failed: {0}")]
    Stream(#[source] io::Error),
    /// The stream brought more than was announced.
    #[error("the archive is larger than the {limit} bytes announced")]
    TooLarge {
        /// Bytes announced.
        limit: u64,
    },
}

/// What one pass over a tree finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHash {
    /// SHA-256 of the tree's NAR.
    pub nar_hash: Hash,
    /// Bytes of the NAR.
    pub nar_size: u64,
    /// Files, directories and links, the root included.
    pub entries: u64,
}

/// Bytes read at a time: large enough that system calls do not count, small enough to stay in the cache between
/// reading, hashing and writing.
const CHUNK_BYTES: usize = 128 * 1024;

/// A tree is kept in memory until it is larger than this, so that one that turns out to be in the store already is
/// never written to disk.
const SPOOL_BYTES: usize = 8 * 1024 * 1024;

/// Takes the bytes of an archive: counts, hashes, scans, passes on.
pub(crate) struct ArchiveSink<'a> {
    buffer: Vec<u8>,
    hasher: Hasher,
    extra: Option<Hasher>,
    scanner: Option<ReferenceScanner>,
    output: Option<&'a mut dyn Write>,
}

impl<'a> ArchiveSink<'a> {
    pub(crate) fn new() -> Self {
        Self {
            buffer: Vec::with_capacity(CHUNK_BYTES),
            hasher: Hasher::new(HashAlgorithm::Sha256),
            extra: None,
            scanner: None,
            output: None,
        }
    }

    /// Hashes with a second algorithm.
    pub(crate) fn with_extra(mut self, algorithm: HashAlgorithm) -> Self {
        if algorithm != HashAlgorithm::Sha256 {
            self.extra = Some(Hasher::new(algorithm));
        }
        self
    }

    /// Looks for references.
    pub(crate) fn with_scanner(mut self, candidates: &Candidates) -> Self {
        self.scanner = candidates.scanner();
        self
    }

    /// Passes the bytes on.
    pub(crate) fn with_output(mut self, output: &'a mut dyn Write) -> Self {
        self.output = Some(output);
        self
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.take(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        if let Some(extra) = &mut self.extra {
            extra.update(bytes);
        }
        if let Some(scanner) = &mut self.scanner {
            scanner.scan(bytes);
        }
        if let Some(output) = &mut self.output {
            output.write_all(bytes)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self, candidates: &Candidates) -> io::Result<SinkResult> {
        self.flush_buffer()?;
        if let Some(output) = &mut self.output {
            output.flush()?;
        }
        let size = self.hasher.length();
        let hash = self.hasher.finish();
        Ok(SinkResult {
            nar_hash: hash,
            nar_size: size,
            extra: self.extra.map_or(hash, Hasher::finish),
            references: self.scanner.map(|scanner| candidates.found(scanner)).unwrap_or_default(),
        })
    }
}

/// What an [`ArchiveSink`] has found.
pub(crate) struct SinkResult {
    pub(crate) nar_hash: Hash,
    pub(crate) nar_size: u64,
    /// The second hash; the first where none was asked for.
    pub(crate) extra: Hash,
    pub(crate) references: Vec<StorePath>,
}

impl Write for ArchiveSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // framing comes in pieces of a few bytes, contents in whole chunks
        if self.buffer.len() + bytes.len() > CHUNK_BYTES {
            self.flush_buffer()?;
        }
        if bytes.len() >= CHUNK_BYTES / 2 {
            self.flush_buffer()?;
            self.take(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Store paths whose hash parts are looked for.
pub(crate) struct Candidates {
    paths: Vec<StorePath>,
    pattern: Option<ReferencePattern>,
}

impl Candidates {
    pub(crate) fn none() -> Self {
        Self { paths: Vec::new(), pattern: None }
    }

    pub(crate) fn new<'p>(paths: impl IntoIterator<Item = &'p StorePath>) -> Self {
        let paths: Vec<StorePath> = paths.into_iter().cloned().collect();
        // the digits of a store path are valid by construction, so a pattern can always be made
        let pattern = ReferencePattern::new(paths.iter().map(StorePath::digest_digits)).ok();
        Self { paths, pattern }
    }

    pub(crate) fn scanner(&self) -> Option<ReferenceScanner> {
        self.pattern.as_ref().filter(|pattern| !pattern.is_empty()).map(ReferencePattern::scanner)
    }

    pub(crate) fn found(&self, scanner: ReferenceScanner) -> Vec<StorePath> {
        scanner.into_matches().into_iter().filter_map(|index| self.paths.get(index).cloned()).collect()
    }
}

/// Where a tree goes besides its hash.
pub(crate) enum Spool {
    /// Nowhere.
    Discard,
    /// Memory, as long as it is small; then the file at the path.
    Memory { events: Vec<Event>, bytes: usize, destination: PathBuf },
    /// The disk.
    Disk { writer: TreeWriter, open: Option<(FsFile, bool)> },
}

/// One step of a tree kept in memory.
pub(crate) enum Event {
    StartDirectory(Option<Vec<u8>>),
    EndDirectory,
    Symlink(Option<Vec<u8>>, Vec<u8>),
    File { name: Option<Vec<u8>>, executable: bool, contents: Vec<u8> },
}

impl Spool {
    pub(crate) fn new(destination: PathBuf) -> Self {
        Self::Memory { events: Vec::new(), bytes: 0, destination }
    }

    pub(crate) fn start_directory(&mut self, name: Option<&[u8]>) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, bytes, .. } => {
                *bytes += EVENT_BYTES;
                events.push(Event::StartDirectory(name.map(<[u8]>::to_vec)));
                self.spill_if_large(0)
            }
            Self::Disk { writer, .. } => writer.start_directory(name),
        }
    }

    pub(crate) fn end_directory(&mut self) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, .. } => {
                events.push(Event::EndDirectory);
                Ok(())
            }
            Self::Disk { writer, .. } => writer.end_directory(),
        }
    }

    pub(crate) fn symlink(&mut self, name: Option<&[u8]>, target: &[u8]) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, bytes, .. } => {
                *bytes += EVENT_BYTES + target.len();
                events.push(Event::Symlink(name.map(<[u8]>::to_vec), target.to_vec()));
                self.spill_if_large(0)
            }
            Self::Disk { writer, .. } => writer.symlink(name, target),
        }
    }

    pub(crate) fn start_file(&mut self, name: Option<&[u8]>, executable: bool, size: u64) -> Result<(), FsError> {
        self.spill_if_large(size)?;
        match self {
            Self::Discard => {}
            Self::Memory { events, bytes, .. } => {
                *bytes += EVENT_BYTES + usize::try_from(size).unwrap_or(usize::MAX / 2);
                let contents = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
                events.push(Event::File { name: name.map(<[u8]>::to_vec), executable, contents });
            }
            Self::Disk { writer, open } => *open = Some((writer.start_file(name, executable)?, executable)),
        }
        Ok(())
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        match self {
            Self::Discard => Ok(()),
            Self::Memory { events, .. } => {
                if let Some(Event::File { contents, .. }) = events.last_mut() {
                    contents.extend_from_slice(bytes);
                }
                Ok(())
            }
            Self::Disk { writer, open } => match open {
                Some((file, _)) => file.write_all(bytes).map_err(|e| FsError::new("write", writer.path(), e)),
                None => Ok(()),
            },
        }
    }

    pub(crate) fn end_file(&mut self) -> Result<(), FsError> {
        if let Self::Disk { writer, open } = self
            && let Some((file, executable)) = open.take()
        {
            return writer.finish_file(file, executable);
        }
        Ok(())
    }

    /// Writes to disk what is still in memory.
    pub(crate) fn spill(&mut self) -> Result<(), FsError> {
        let Self::Memory { destination, .. } = self else { return Ok(()) };
        let writer = TreeWriter::new(destination, Metadata::Canonical)?;
        let Self::Memory { events, .. } = std::mem::replace(self, Self::Disk { writer, open: None }) else {
            return Ok(());
        };
        for event in events {
            match event {
                Event::StartDirectory(name) => self.start_directory(name.as_deref())?,
                Event::EndDirectory => self.end_directory()?,
                Event::Symlink(name, target) => self.symlink(name.as_deref(), &target)?,
                Event::File { name, executable, contents } => {
                    self.start_file(name.as_deref(), executable, contents.len() as u64)?;
                    self.data(&contents)?;
                    self.end_file()?;
                }
            }
        }
        Ok(())
    }

    fn spill_if_large(&mut self, more: u64) -> Result<(), FsError> {
        match self {
            Self::Memory { bytes, .. } if *bytes as u64 + more > SPOOL_BYTES as u64 => self.spill(),
            _ => Ok(()),
        }
    }
}

/// What an entry costs in memory besides its contents, roughly.
const EVENT_BYTES: usize = 128;

/// Whether an entry of a source tree is taken: path and kind are those of the source. The root is not asked about.
pub type EntryFilter<'f> = dyn FnMut(&Path, nopal_fs::EntryKind) -> Result<bool, Stopped> + 'f;

/// The caller's filter failed; the caller keeps the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Why a walk ended early.
pub(crate) enum WalkEnd {
    Tree(TreeError),
    Stopped(PathBuf),
}

impl<E: Into<TreeError>> From<E> for WalkEnd {
    fn from(error: E) -> Self {
        Self::Tree(error.into())
    }
}

/// Walks the tree at `root` and gives it to `sink` as a NAR and to `spool` as it is. Counts the entries.
pub(crate) fn walk_tree(
    root: &Path,
    mut filter: Option<&mut EntryFilter<'_>>,
    sink: ArchiveSink<'_>,
    content: &mut ContentHasher,
    spool: &mut Spool,
    candidates: &Candidates,
) -> Result<(SinkResult, u64), WalkEnd> {
    let archive_error = |source| archive_error(root, source);
    let mut walk = TreeWalk::new(root, WalkOptions::default())?;
    let mut encoder = Encoder::new(sink).map_err(archive_error)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut entries = 0;
    while let Some(step) = walk.next()? {
        if step != Step::Leave
            && walk.name().is_some()
            && let Some(filter) = &mut filter
            && !filter(walk.path(), kind_of(step)).map_err(|Stopped| WalkEnd::Stopped(walk.path().to_owned()))?
        {
            walk.skip();
            continue;
        }
        entries += 1;
        let name = walk.name();
        match step {
            Step::Enter => {
                encoder.start_directory(name).map_err(archive_error)?;
                content.start_directory(name);
                spool.start_directory(name)?;
            }
            Step::Leave => {
                entries -= 1;
                encoder.end_directory().map_err(archive_error)?;
                content.end_directory();
                spool.end_directory()?;
            }
            Step::Symlink => {
                let target = walk.read_link()?;
                encoder.symlink(name, &target).map_err(archive_error)?;
                content.symlink(name, &target);
                spool.symlink(name, &target)?;
            }
            Step::File => {
                let (mut file, stat) = walk.open_file()?;
                let executable = stat.st_mode & 0o100 != 0;
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                content.start_file(name, executable, size);
                spool.start_file(name, executable, size)?;
                let mut regular = encoder.start_regular(name, executable, size).map_err(archive_error)?;
                copy_exactly(&mut file, size, &mut buffer, walk.path(), |chunk| {
                    regular.write_all(chunk).map_err(TreeError::Stream)?;
                    content.data(chunk);
                    Ok(spool.data(chunk)?)
                })?;
                regular.finish().map_err(archive_error)?;
                content.end_file();
                spool.end_file()?;
            }
            Step::Other => return Err(TreeError::UnsupportedType { path: walk.path().to_owned() }.into()),
        }
    }
    let sink = encoder.finish().map_err(archive_error)?;
    Ok((sink.finish(candidates).map_err(TreeError::Stream)?, entries))
}

fn archive_error(root: &Path, source: nix_archive::nar::Error) -> TreeError {
    match source {
        nix_archive::nar::Error::Io(error) => TreeError::Stream(error),
        source => TreeError::Archive { place: Some(root.to_owned()), source },
    }
}

/// Reads exactly `size` bytes; a file that turns out shorter or longer is being changed by somebody.
fn copy_exactly(
    file: &mut FsFile,
    size: u64,
    buffer: &mut [u8],
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let mut left = size;
    // one byte more than is left: a file that has grown shows itself without a second call
    loop {
        let wanted = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(buffer.len());
        let got = match file.read(&mut buffer[..wanted]) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FsError::new("read", path, error).into()),
        };
        if got as u64 > left || (got == 0 && left > 0) {
            return Err(TreeError::Changed { path: path.to_owned() });
        }
        if got == 0 {
            return Ok(());
        }
        take(&buffer[..got])?;
        left -= got as u64;
    }
}

fn kind_of(step: Step) -> nopal_fs::EntryKind {
    match step {
        Step::Enter | Step::Leave => nopal_fs::EntryKind::Directory,
        Step::File => nopal_fs::EntryKind::File,
        Step::Symlink => nopal_fs::EntryKind::Symlink,
        Step::Other => nopal_fs::EntryKind::Other,
    }
}

/// The hash of a tree, without writing it anywhere.
pub(crate) fn hash_tree(root: &Path) -> Result<TreeHash, TreeError> {
    let none = Candidates::none();
    let walked = walk_tree(root, None, ArchiveSink::new(), &mut ContentHasher::None, &mut Spool::Discard, &none);
    let (result, entries) = without_filter(walked)?;
    Ok(TreeHash { nar_hash: result.nar_hash, nar_size: result.nar_size, entries })
}

/// Takes the filter's case out of a walk that had none.
pub(crate) fn without_filter<T>(result: Result<T, WalkEnd>) -> Result<T, TreeError> {
    result.map_err(|end| match end {
        WalkEnd::Tree(error) => error,
        WalkEnd::Stopped(path) => TreeError::Changed { path },
    })
}

/// Reads an archive and writes it as a tree. Returns the number of entries.
pub(crate) fn read_archive(reader: &mut dyn Read, spool: &mut Spool) -> Result<u64, TreeError> {
    use nix_archive::nar::{Error, Event as NarEvent, decode_events_reader};
    let mut reader = io::BufReader::with_capacity(CHUNK_BYTES, reader);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut entries = 0;
    // the decoder's error type has no room for ours: it is kept here while a stand-in passes through
    let mut failure: Option<TreeError> = None;
    let decoded = decode_events_reader(&mut reader, |event| {
        let result = match event {
            NarEvent::DirectoryStart { name } => spool.start_directory(name).map_err(TreeError::from),
            NarEvent::DirectoryEnd { .. } => {
                return spool.end_directory().map_err(|error| keep(&mut failure, error.into()));
            }
            NarEvent::Symlink { name, target } => spool.symlink(name, target).map_err(TreeError::from),
            NarEvent::Regular { name, executable, mut contents } => {
                copy_contents(name, executable, contents.size(), &mut contents, &mut buffer, spool)
            }
        };
        entries += 1;
        result.map_err(|error| keep(&mut failure, error))
    });
    match (decoded, failure) {
        (_, Some(failure)) => Err(failure),
        (Ok(()), None) => Ok(entries),
        (Err(Error::Io(error)), None) => Err(stream_error(error)),
        (Err(source), None) => Err(TreeError::Archive { place: None, source }),
    }
}

fn copy_contents(
    name: Option<&[u8]>,
    executable: bool,
    size: u64,
    contents: &mut dyn Read,
    buffer: &mut [u8],
    spool: &mut Spool,
) -> Result<(), TreeError> {
    // an announced size is only a claim: nothing large is reserved for it before the bytes come
    if size > SPOOL_BYTES as u64 {
        spool.spill()?;
    }
    spool.start_file(name, executable, size)?;
    loop {
        match contents.read(buffer) {
            Ok(0) => return Ok(spool.end_file()?),
            Ok(got) => spool.data(&buffer[..got])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(stream_error(error)),
        }
    }
}

fn keep(slot: &mut Option<TreeError>, error: TreeError) -> nix_archive::nar::Error {
    *slot = Some(error);
    nix_archive::nar::Error::Io(io::Error::other("stopped by the visitor"))
}

fn stream_error(error: io::Error) -> TreeError {
    match error.downcast::<LimitReached>() {
        Ok(LimitReached { limit }) => TreeError::TooLarge { limit },
        Err(error) => TreeError::Stream(error),
    }
}

/// Marks the error of a [`HashingReader`] that was given too much.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} bytes")]
struct LimitReached {
    limit: u64,
}

/// Hashes and scans what is read through it, up to a limit.
pub(crate) struct HashingReader<'r> {
    inner: &'r mut dyn Read,
    hasher: Hasher,
    scanner: Option<ReferenceScanner>,
    limit: u64,
}

impl<'r> HashingReader<'r> {
    pub(crate) fn new(inner: &'r mut dyn Read, candidates: &Candidates, limit: u64) -> Self {
        Self { inner, hasher: Hasher::new(HashAlgorithm::Sha256), scanner: candidates.scanner(), limit }
    }

    /// The hash and size of what was read, and the references in it.
    pub(crate) fn finish(self, candidates: &Candidates) -> (Hash, u64, Vec<StorePath>) {
        let size = self.hasher.length();
        let references = self.scanner.map(|scanner| candidates.found(scanner)).unwrap_or_default();
        (self.hasher.finish(), size, references)
    }
}

impl Read for HashingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        if self.hasher.length() + got as u64 > self.limit {
            return Err(io::Error::other(LimitReached { limit: self.limit }));
        }
        self.hasher.update(&buffer[..got]);
        if let Some(scanner) = &mut self.scanner {
            scanner.scan(&buffer[..got]);
        }
        Ok(got)
    }
}

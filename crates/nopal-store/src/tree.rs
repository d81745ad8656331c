//! One pass over a tree: read, hash its archive, look for references, and write it elsewhere, all from one buffer.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use nopal_format::nar::{NarError, NarEvent, NarWriter, decode, decode_exact};
use nopal_format::references::{Candidates, ReferenceScanner};
use nopal_format::{Hash, HashAlgorithm, Hasher, StorePath};
use nopal_fs::{FsError, FsFile, Step, TreeWalk, WalkOptions};

use crate::content::ContentHasher;
use crate::spool::Spool;

/// Why a tree cannot be read or written as an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The archive is malformed, or the tree cannot be put into one.
    #[error("{}{source}", .place.as_ref().map(|path| format!("cannot archive '{}': ", path.display())).unwrap_or_default())]
    Archive {
        /// The tree, where there is one.
        place: Option<PathBuf>,
        /// What is wrong.
        source: NarError,
    },
    /// There is something where a tree should be.
    #[error("path '{}' already exists", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// A file changed while it was read.
    #[error("'{}' changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A device, fifo or socket.
    #[error("file '{}' has an unsupported type", path.display())]
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
const CHUNK_BYTES: usize = 256 * 1024;
/// Buffers for files are multiples of this.
const PAGE_BYTES: usize = 4096;

/// Takes the bytes of an archive: counts, hashes, scans, passes on.
pub(crate) struct ArchiveSink<'a> {
    hasher: Hasher,
    extra: Option<Hasher>,
    scanner: Option<ReferenceScanner>,
    output: Option<&'a mut dyn Write>,
}

impl<'a> ArchiveSink<'a> {
    pub(crate) fn new() -> Self {
        Self { hasher: Hasher::new(HashAlgorithm::Sha256), extra: None, scanner: None, output: None }
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
        self.scanner = scanner_for(candidates);
        self
    }

    /// Passes the bytes on.
    pub(crate) fn with_output(mut self, output: &'a mut dyn Write) -> Self {
        self.output = Some(output);
        self
    }

    fn finish(mut self) -> io::Result<SinkResult> {
        if let Some(output) = &mut self.output {
            output.flush()?;
        }
        let size = self.hasher.length();
        let hash = self.hasher.finish();
        Ok(SinkResult {
            nar_hash: hash,
            nar_size: size,
            extra: self.extra.map_or(hash, Hasher::finish),
            references: self.scanner.map(|scanner| scanner.found()).unwrap_or_default(),
        })
    }
}

fn scanner_for(candidates: &Candidates) -> Option<ReferenceScanner> {
    (!candidates.is_empty()).then(|| ReferenceScanner::new(candidates))
}

/// What an [`ArchiveSink`] has found.
pub(crate) struct SinkResult {
    pub(crate) nar_hash: Hash,
    pub(crate) nar_size: u64,
    /// The second hash; the first where none was asked for.
    pub(crate) extra: Hash,
    pub(crate) references: BTreeSet<StorePath>,
}

impl Write for ArchiveSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
    filter: Option<&mut EntryFilter<'_>>,
    sink: ArchiveSink<'_>,
    content: &mut ContentHasher,
    spool: &mut Spool,
) -> Result<(SinkResult, u64), WalkEnd> {
    let mut writer = NarWriter::new(sink);
    let entries = archive_tree(root, filter, &mut writer, content, spool)?;
    let sink = writer.finish().map_err(|error| archive_error(root, error))?;
    Ok((sink.finish().map_err(TreeError::Stream)?, entries))
}

fn archive_tree<W: Write>(
    root: &Path,
    mut filter: Option<&mut EntryFilter<'_>>,
    writer: &mut NarWriter<W>,
    content: &mut ContentHasher,
    spool: &mut Spool,
) -> Result<u64, WalkEnd> {
    let mut walk = TreeWalk::new(root, WalkOptions::default())?;
    let mut buffer = Vec::new();
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
        let name = walk.name();
        let bad = |error| archive_error(walk.path(), error);
        match step {
            Step::Enter => {
                writer.enter_directory(name).map_err(bad)?;
                content.start_directory(name);
                spool.start_directory(name)?;
            }
            Step::Leave => {
                writer.leave_directory().map_err(bad)?;
                content.end_directory();
                spool.end_directory()?;
                continue;
            }
            Step::Symlink => {
                let target = walk.read_link()?;
                writer.symlink(name, &target).map_err(bad)?;
                content.symlink(name, &target);
                spool.symlink(name, &target)?;
            }
            Step::File => archive_file(&walk, writer, content, spool, &mut buffer)?,
            Step::Other => return Err(TreeError::UnsupportedType { path: walk.path().to_owned() }.into()),
        }
        entries += 1;
    }
    Ok(entries)
}

fn archive_file<W: Write>(
    walk: &TreeWalk,
    writer: &mut NarWriter<W>,
    content: &mut ContentHasher,
    spool: &mut Spool,
    buffer: &mut Vec<u8>,
) -> Result<(), TreeError> {
    let (file, stat) = walk.open_file()?;
    let executable = stat.st_mode & 0o100 != 0;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let wanted = usize::try_from(size).unwrap_or(CHUNK_BYTES).clamp(PAGE_BYTES, CHUNK_BYTES);
    if buffer.len() < wanted {
        buffer.resize(wanted.next_multiple_of(PAGE_BYTES), 0);
    }
    content.start_file(walk.name(), executable, size);
    spool.start_file(walk.name(), executable, size)?;
    let mut tee = Tee { file, path: walk.path(), content, spool, buffer, unread: 0..0, failure: None };
    let written = writer.file(walk.name(), executable, size, &mut tee);
    if let Some(failure) = tee.failure {
        return Err(failure.into());
    }
    written.map_err(|error| archive_error(walk.path(), error))?;
    // a file that has grown meanwhile is being changed by somebody, as one that has shrunk is
    let mut rest = [0];
    let grown =
        !tee.unread.is_empty() || tee.file.read(&mut rest).map_err(|e| FsError::new("read", walk.path(), e))? != 0;
    if grown {
        return Err(TreeError::Changed { path: walk.path().to_owned() });
    }
    content.end_file();
    Ok(spool.end_file()?)
}

/// Reads a file and hands what was read to all that want it. It has a buffer of its own, since the archive's is filled
/// from places that are no multiple of a page: the disk's cache takes whole, aligned pages at a fraction of the cost.
struct Tee<'a> {
    file: FsFile,
    path: &'a Path,
    content: &'a mut ContentHasher,
    spool: &'a mut Spool,
    buffer: &'a mut [u8],
    /// what of the buffer the archive has not taken yet
    unread: std::ops::Range<usize>,
    /// the error with its path, which `io::Error` has no room for
    failure: Option<FsError>,
}

impl Tee<'_> {
    fn fill(&mut self) -> io::Result<()> {
        let failed = |failure: &mut Option<FsError>, error: FsError| {
            *failure = Some(error);
            io::Error::other("stopped")
        };
        let got = match self.file.read(self.buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(failed(&mut self.failure, FsError::new("read", self.path, error)));
            }
            other => other?,
        };
        self.content.data(&self.buffer[..got]);
        if let Err(error) = self.spool.data(&self.buffer[..got]) {
            return Err(failed(&mut self.failure, error));
        }
        self.unread = 0..got;
        Ok(())
    }
}

impl Read for Tee<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.fill()?;
        }
        let got = out.len().min(self.unread.len());
        let end = self.unread.start + got;
        out[..got].copy_from_slice(&self.buffer[self.unread.start..end]);
        self.unread.start = end;
        Ok(got)
    }
}

fn archive_error(path: &Path, source: NarError) -> TreeError {
    match source {
        NarError::Io { source, .. } => TreeError::Stream(source),
        NarError::FileSize { .. } => TreeError::Changed { path: path.to_owned() },
        source => TreeError::Archive { place: Some(path.to_owned()), source },
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
    let walked = walk_tree(root, None, ArchiveSink::new(), &mut ContentHasher::None, &mut Spool::Discard);
    let (result, entries) = without_filter(walked)?;
    Ok(TreeHash { nar_hash: result.nar_hash, nar_size: result.nar_size, entries })
}

/// [`hash_tree`] with reading and hashing in two threads.
pub(crate) fn hash_tree_pipelined(root: &Path) -> Result<TreeHash, TreeError> {
    std::thread::scope(|scope| {
        let (full, blocks) = mpsc::sync_channel::<Vec<u8>>(PIPELINE_BLOCKS);
        let (recycle, empty) = mpsc::channel::<Vec<u8>>();
        let hashing = scope.spawn(move || {
            let mut hasher = Hasher::new(HashAlgorithm::Sha256);
            for block in blocks {
                hasher.update(&block);
                // the reader may have ended already
                let _ = recycle.send(block);
            }
            hasher
        });
        let mut writer = NarWriter::new(BlockSender { full, empty });
        let entries = archive_tree(root, None, &mut writer, &mut ContentHasher::None, &mut Spool::Discard);
        let finished = entries.and_then(|entries| {
            // the channel closes with the sender, and the other thread ends
            writer.finish().map_err(|error| archive_error(root, error))?;
            Ok(entries)
        });
        let hasher = hashing.join().map_err(|_| TreeError::Stream(io::Error::other("the hashing thread failed")))?;
        let entries = without_filter(finished)?;
        let nar_size = hasher.length();
        Ok(TreeHash { nar_hash: hasher.finish(), nar_size, entries })
    })
}

/// Blocks between the two threads: enough to ride out a slow read.
const PIPELINE_BLOCKS: usize = 8;

/// Hands an archive to another thread in blocks.
struct BlockSender {
    full: mpsc::SyncSender<Vec<u8>>,
    empty: mpsc::Receiver<Vec<u8>>,
}

impl Write for BlockSender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut block = self.empty.try_recv().unwrap_or_default();
        block.clear();
        block.extend_from_slice(bytes);
        self.full.send(block).map_err(|_| io::Error::other("the hashing thread has ended"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the filter's case out of a walk that had none.
pub(crate) fn without_filter<T>(result: Result<T, WalkEnd>) -> Result<T, TreeError> {
    result.map_err(|end| match end {
        WalkEnd::Tree(error) => error,
        WalkEnd::Stopped(path) => TreeError::Changed { path },
    })
}

impl From<NarError> for TreeError {
    fn from(source: NarError) -> Self {
        match source {
            NarError::Io { source, .. } => stream_error(source),
            source => Self::Archive { place: None, source },
        }
    }
}

/// Reads an archive, which must be all there is, and writes it as a tree. Returns the number of entries.
pub(crate) fn read_archive(reader: &mut dyn Read, spool: &mut Spool) -> Result<u64, TreeError> {
    let mut entries = 0;
    let mut reader = io::BufReader::with_capacity(CHUNK_BYTES, reader);
    let mut buffer = vec![0; CHUNK_BYTES];
    decode_exact(&mut reader, &mut |event| spool_event(event, spool, &mut buffer, &mut entries))?;
    Ok(entries)
}

/// Likewise, of an archive that others may follow. The reader should be buffered, since tokens are small.
pub(crate) fn read_next_archive<R: Read>(reader: &mut R, spool: &mut Spool) -> Result<u64, TreeError> {
    let mut entries = 0;
    let mut buffer = vec![0; CHUNK_BYTES];
    decode(reader, &mut |event| spool_event(event, spool, &mut buffer, &mut entries))?;
    Ok(entries)
}

fn spool_event(event: NarEvent<'_>, spool: &mut Spool, buffer: &mut [u8], entries: &mut u64) -> Result<(), TreeError> {
    match event {
        NarEvent::EnterDirectory { name } => spool.start_directory(name)?,
        NarEvent::LeaveDirectory => return Ok(spool.end_directory()?),
        NarEvent::Symlink { name, target } => spool.symlink(name, target)?,
        NarEvent::File { name, executable, mut contents } => {
            spool.start_file(name, executable, contents.size())?;
            loop {
                match contents.read(buffer) {
                    Ok(0) => break,
                    Ok(got) => spool.data(&buffer[..got])?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(stream_error(error)),
                }
            }
            spool.end_file()?;
        }
    }
    *entries += 1;
    Ok(())
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
        Self { inner, hasher: Hasher::new(HashAlgorithm::Sha256), scanner: scanner_for(candidates), limit }
    }

    /// The hash and size of what was read, and the references in it.
    pub(crate) fn finish(self) -> (Hash, u64, BTreeSet<StorePath>) {
        let size = self.hasher.length();
        let references = self.scanner.map(|scanner| scanner.found()).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::{hash_tree, hash_tree_pipelined};

    #[test]
    fn both_ways_of_hashing_agree() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..40_u8 {
            nopal_fs::write(&dir.path().join(i.to_string()), &vec![i; usize::from(i) * 20_000]).unwrap();
        }
        assert_eq!(hash_tree(dir.path()).unwrap(), hash_tree_pipelined(dir.path()).unwrap());
        let nothing = dir.path().join("nothing");
        assert!(hash_tree_pipelined(&nothing).unwrap_err().to_string().contains("nothing"));
    }
}

//! Unpacking archives that nobody vouches for, a tar stream, however compressed, or a zip archive, into a new directory.
//!
//! Nothing in an archive can make the unpacker touch a place outside the directory: members are created through
//! directory descriptors, one path component at a time, and a symbolic link is never followed. What a store cannot keep
//! (devices, owners, set-user-id bits, attributes) is left out and told of.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nopal_fs::FsError;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, linkat, mkdirat, openat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::compression::{self, Compression};
use crate::zip;

/// Limits for one archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub total_bytes: u64,
    /// Number of members.
    pub members: u64,
    /// Directories within directories. Each holds a descriptor open.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // well above the largest package of Debian (3 GB, 100,000 files), well below what fills a disk unnoticed
        Self { total_bytes: 64 << 30, members: 4_000_000, depth: 200 }
    }
}

/// What was done, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Members created.
    pub members: u64,
    /// Bytes of file contents written.
    pub bytes: u64,
    /// When the newest member was modified, in seconds since 1970.
    pub newest_s: u64,
    /// One line per thing left out: device nodes, set-user-id bits.
    pub notes: Vec<String>,
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The archive could not be read, or the compressed stream is broken.
    #[error("cannot read the archive: {0}")]
    Read(io::Error),
    /// The file system refused.
    #[error(transparent)]
    Write(#[from] FsError),
    /// A member's name leads out of the directory, or is no name.
    #[error("archive member '{name}' has an unsafe name: {reason}")]
    UnsafeName {
        /// The name, as text as good as it goes.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A member lies below something that is no directory: a symbolic link would be followed.
    #[error("archive member '{name}' lies below '{parent}', which is no directory")]
    NotADirectory {
        /// The member.
        name: String,
        /// What is in the way.
        parent: String,
    },
    /// A hard link to something that is no file of the archive.
    #[error("archive member '{name}' is a hard link to '{target}', which is no file unpacked before")]
    BadLink {
        /// The member.
        name: String,
        /// Its target.
        target: String,
    },
    /// A limit was exceeded.
    #[error("the archive has more than {limit} {what}")]
    TooMuch {
        /// The limit.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// The bytes are of no kind that is known.
    #[error("'{}' is no archive of a known kind (zip, tar, or tar compressed by gzip, bzip2, xz, lzma or zstd)", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
}

/// Unpacks an archive file, whatever its compression, into `dest`, which must not exist. An empty file is an empty archive.
///
/// # Errors
/// See [`ArchiveError`]. What was unpacked until then stays.
pub fn unpack_file(archive: &Path, dest: &Path) -> Result<Unpacked, ArchiveError> {
    let mut file = nopal_fs::open_read(archive)?;
    let mut head = vec![0; 512];
    let mut filled = 0;
    while filled < head.len() {
        match file.read(&mut head[filled..]).map_err(ArchiveError::Read)? {
            0 => break,
            count => filled += count,
        }
    }
    head.truncate(filled);
    if head.is_empty() {
        return unpack_tar(io::empty(), dest, Limits::default());
    }
    if head.starts_with(zip::MAGIC) {
        return unpack_zip(&mut file, dest, Limits::default());
    }
    let compression = compression::sniff(&head);
    let is_tar = head.get(257..262) == Some(b"ustar");
    if compression == Compression::None && !is_tar {
        return Err(ArchiveError::UnknownKind { path: archive.to_owned() });
    }
    let whole = io::Cursor::new(head).chain(file);
    unpack_tar(compression::reader(whole, compression).map_err(ArchiveError::Read)?, dest, Limits::default())
}

/// Unpacks a tar stream into `dest`, which must not exist.
///
/// # Errors
/// See [`ArchiveError`]. What was unpacked until then stays.
pub fn unpack_tar(tar: impl Read, dest: &Path, limits: Limits) -> Result<Unpacked, ArchiveError> {
    nopal_fs::create_dir(dest)?;
    let mut unpacker = Unpacker::open(dest, limits)?;
    // tar reads headers and padding in small pieces
    let mut archive = tar::Archive::new(BufReader::with_capacity(COPY_BYTES, tar));
    for entry in archive.entries().map_err(ArchiveError::Read)? {
        unpacker.member(entry.map_err(ArchiveError::Read)?)?;
    }
    Ok(unpacker.done)
}

/// Unpacks a zip archive into `dest`, which must not exist.
fn unpack_zip(archive: &mut (impl Read + io::Seek), dest: &Path, limits: Limits) -> Result<Unpacked, ArchiveError> {
    nopal_fs::create_dir(dest)?;
    let mut unpacker = Unpacker::open(dest, limits)?;
    for member in zip::members(archive)? {
        unpacker.zip_member(archive, &member)?;
    }
    Ok(unpacker.done)
}

/// Bytes copied at a time.
const COPY_BYTES: usize = 128 << 10;

/// The longest target of a symbolic link that the kernel takes.
const MAX_TARGET_BYTES: u64 = 4096;

/// How often a name in the way is removed before giving up; only a second writer could make it come back.
const CREATE_ATTEMPTS: usize = 4;

const DIRECTORY_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

struct Unpacker {
    dest: PathBuf,
    root: OwnedFd,
    /// The open directories from the root to the parent of the last member.
    levels: Vec<(Vec<u8>, OwnedFd)>,
    limits: Limits,
    done: Unpacked,
    buffer: Vec<u8>,
}

impl Unpacker {
    fn open(dest: &Path, limits: Limits) -> Result<Self, ArchiveError> {
        let root = openat(CWD, dest, DIRECTORY_FLAGS, Mode::empty())
            .map_err(|errno| FsError::new("open directory", dest, errno))?;
        Ok(Self {
            dest: dest.to_owned(),
            root,
            levels: Vec::new(),
            limits,
            done: Unpacked::default(),
            buffer: vec![0; COPY_BYTES],
        })
    }

    fn member<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let name = entry.path_bytes().into_owned();
        let parts = split_name(&name)?;
        self.count(entry.header().mtime().unwrap_or(0))?;
        let Some((last, parents)) = parts.split_last() else {
            // the root itself: it is there
            return Ok(());
        };
        let mode = entry.header().mode().unwrap_or(0o644);
        if kind.is_dir() {
            return self.enter(&name, &parts);
        }
        self.enter(&name, parents)?;
        if kind.is_symlink() {
            let target =
                entry.link_name_bytes().ok_or_else(|| unsafe_name(&name, "a link without target"))?.into_owned();
            self.create(last, &name, |directory, file| symlinkat(OsStr::from_bytes(&target), directory, file))
        } else if kind.is_hard_link() {
            let target =
                entry.link_name_bytes().ok_or_else(|| unsafe_name(&name, "a link without target"))?.into_owned();
            self.hard_link(last, &name, &target)
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            if mode & 0o6000 != 0 {
                self.done.notes.push(format!("{}: set-user-id or set-group-id bit left out", show(&name)));
            }
            self.file(last, &name, mode & 0o111 != 0, &mut entry)
        } else {
            self.done.notes.push(format!("{}: a device, fifo or unknown kind of member is left out", show(&name)));
            Ok(())
        }
    }

    fn zip_member(&mut self, archive: &mut (impl Read + io::Seek), member: &zip::Member) -> Result<(), ArchiveError> {
        let name = &member.name;
        let parts = split_name(name)?;
        self.count(member.modified_s)?;
        let Some((last, parents)) = parts.split_last() else { return Ok(()) };
        match member.kind {
            zip::Kind::Directory => self.enter(name, &parts),
            zip::Kind::File { executable } => {
                self.enter(name, parents)?;
                self.file(last, name, executable, &mut zip::contents(archive, member)?)
            }
            zip::Kind::Symlink => {
                self.enter(name, parents)?;
                let mut target = Vec::new();
                let contents = zip::contents(archive, member)?;
                contents.take(MAX_TARGET_BYTES).read_to_end(&mut target).map_err(ArchiveError::Read)?;
                self.create(last, name, |directory, file| symlinkat(OsStr::from_bytes(&target), directory, file))
            }
        }
    }

    /// Counts a member.
    fn count(&mut self, modified_s: u64) -> Result<(), ArchiveError> {
        self.done.members += 1;
        self.done.newest_s = self.done.newest_s.max(modified_s);
        if self.done.members > self.limits.members {
            return Err(ArchiveError::TooMuch { limit: self.limits.members, what: "members" });
        }
        Ok(())
    }

    /// Opens (and creates) the directories of `parts` below the root, so that the last is the current one.
    fn enter(&mut self, name: &[u8], parts: &[&[u8]]) -> Result<(), ArchiveError> {
        if parts.len() > self.limits.depth {
            return Err(ArchiveError::TooMuch { limit: self.limits.depth as u64, what: "directory levels" });
        }
        let common = self.levels.iter().zip(parts).take_while(|((open, _), part)| open == *part).count();
        self.levels.truncate(common);
        for (index, part) in parts.iter().enumerate().skip(common) {
            let directory = self.current();
            let file = OsStr::from_bytes(part);
            match mkdirat(directory, file, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.refused("create directory", name, errno)),
            }
            let opened = openat(directory, file, DIRECTORY_FLAGS, Mode::empty()).map_err(|errno| match errno {
                Errno::NOTDIR | Errno::LOOP => {
                    ArchiveError::NotADirectory { name: show(name), parent: show(&parts[..=index].join(&b'/')) }
                }
                _ => self.refused("open directory", name, errno),
            })?;
            self.levels.push((part.to_vec(), opened));
        }
        Ok(())
    }

    fn current(&self) -> &OwnedFd {
        self.levels.last().map_or(&self.root, |(_, directory)| directory)
    }

    /// Creates something in the current directory; a file or link of that name that an earlier member made goes.
    fn create<T>(
        &self,
        last: &[u8],
        name: &[u8],
        make: impl Fn(&OwnedFd, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, ArchiveError> {
        let (directory, file) = (self.current(), OsStr::from_bytes(last));
        for _ in 0..CREATE_ATTEMPTS {
            match make(directory, file) {
                Err(Errno::EXIST) => {
                    unlinkat(directory, file, AtFlags::empty()).map_err(|errno| self.refused("replace", name, errno))?
                }
                result => return result.map_err(|errno| self.refused("create", name, errno)),
            }
        }
        Err(self.refused("create", name, Errno::EXIST))
    }

    fn file(
        &mut self,
        last: &[u8],
        name: &[u8],
        executable: bool,
        contents: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.create(last, name, |directory, file| openat(directory, file, flags, mode))?;
        let mut file = nopal_fs::FsFile::from(fd);
        loop {
            let count = match contents.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(ArchiveError::Read(err)),
            };
            self.done.bytes += count as u64;
            if self.done.bytes > self.limits.total_bytes {
                return Err(ArchiveError::TooMuch { limit: self.limits.total_bytes, what: "bytes" });
            }
            file.write_all(&self.buffer[..count]).map_err(|err| FsError::new("write", &self.place(name), err))?;
        }
    }

    /// The target of a hard link is a name in the archive, not a path of the machine.
    fn hard_link(&self, last: &[u8], name: &[u8], target: &[u8]) -> Result<(), ArchiveError> {
        let bad = || ArchiveError::BadLink { name: show(name), target: show(target) };
        let parts = split_name(target)?;
        let (target_last, parents) = parts.split_last().ok_or_else(bad)?;
        let mut directory = None;
        for part in parents {
            let from = directory.as_ref().unwrap_or(&self.root);
            let next = openat(from, OsStr::from_bytes(part), DIRECTORY_FLAGS, Mode::empty()).map_err(|_| bad())?;
            directory = Some(next);
        }
        let from = directory.as_ref().unwrap_or(&self.root);
        let original = OsStr::from_bytes(target_last);
        let stat = statat(from, original, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| bad())?;
        match FileType::from_raw_mode(stat.st_mode) {
            // a member that links to itself would be removed before it is linked
            FileType::RegularFile if target != name => {}
            _ => return Err(bad()),
        }
        self.create(last, name, |directory, file| linkat(from, original, directory, file, AtFlags::empty()))
    }

    fn refused(&self, operation: &'static str, name: &[u8], errno: Errno) -> ArchiveError {
        FsError::new(operation, &self.place(name), errno).into()
    }

    fn place(&self, name: &[u8]) -> PathBuf {
        self.dest.join(OsStr::from_bytes(name.strip_prefix(b"./").unwrap_or(name)))
    }
}

/// The components of a member's name. `.` and a leading `./` mean the root; everything that could lead elsewhere is
/// refused, not repaired: no honest archive has it.
fn split_name(name: &[u8]) -> Result<Vec<&[u8]>, ArchiveError> {
    if name.starts_with(b"/") {
        return Err(unsafe_name(name, "it is absolute"));
    }
    if name.contains(&0) {
        return Err(unsafe_name(name, "it contains a zero byte"));
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(unsafe_name(name, "it contains '..'")),
            part => parts.push(part),
        }
    }
    Ok(parts)
}

fn unsafe_name(name: &[u8], reason: &'static str) -> ArchiveError {
    ArchiveError::UnsafeName { name: show(name), reason }
}

fn show(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

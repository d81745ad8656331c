//! What tells one state of a file from another without reading it.
//!
//! A change of a file's contents, type or permissions moves its change time (`ctime`), which no program can set. If the
//! change time at hand is *older* than a moment before the file was looked at, by more than the coarsest step in which
//! file systems count, every later change gives it another one: equal identities then mean equal contents. That holds
//! only where the time stamps come from the clock of this kernel, which [`has_local_clock`] tells.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, Stat, openat};
use rustix::time::{ClockId, clock_gettime};

use crate::error::Context;
use crate::{DirEntry, EntryKind, FsError};

/// Time stamps are in steps of up to two seconds (FAT), and a write sets them before it copies the bytes: so long after a
/// change nothing of it is still on its way.
const SETTLING_S: i64 = 2;

/// State of a file, directory or link, as `lstat` reports it: two equal ones, of which the first
/// [is settled](Self::is_settled), are the same state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    mode: u32,
    size_bytes: u64,
    modified: Moment,
    changed: Moment,
}

/// Seconds and nanoseconds since 1970.
type Moment = (i64, u32);

/// A moment by the clock that time stamps of files are taken from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileTime(Moment);

impl FileTime {
    /// Now. Files that are changed from now on get no older time stamp.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Self((now.tv_sec, now.tv_nsec.try_into().unwrap_or_default()))
    }
}

impl FileIdentity {
    /// Bytes of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 52;

    #[expect(clippy::unnecessary_cast, reason = "the types of these fields differ between platforms")]
    fn new(stat: &Stat) -> Self {
        let moment = |seconds: i64, nanoseconds: i64| (seconds, nanoseconds.try_into().unwrap_or_default());
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            mode: stat.st_mode as u32,
            size_bytes: stat.st_size as u64,
            modified: moment(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: moment(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// The state of `path` itself, a link at its end not followed; `None` where there is nothing.
    pub fn of(path: &Path) -> Result<Option<Self>, FsError> {
        match rustix::fs::lstat(path) {
            Ok(stat) => Ok(Some(Self::new(&stat))),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(FsError::new("examine", path, error)),
        }
    }

    /// What it is.
    pub fn kind(&self) -> EntryKind {
        FileType::from_raw_mode(self.mode).into()
    }

    /// Whether its owner may execute it.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// The device it lies on.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Whether every change after `since` shows in the identity.
    pub fn is_settled(&self, since: FileTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        (seconds.saturating_add(SETTLING_S), nanoseconds) < since.0
    }

    /// A fixed form, for comparing with what an earlier process saw.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let fields: [&[u8]; 8] = [
            &self.device.to_le_bytes(),
            &self.inode.to_le_bytes(),
            &self.size_bytes.to_le_bytes(),
            &self.modified.0.to_le_bytes(),
            &self.changed.0.to_le_bytes(),
            &self.mode.to_le_bytes(),
            &self.modified.1.to_le_bytes(),
            &self.changed.1.to_le_bytes(),
        ];
        let mut rest = &mut bytes[..];
        for field in fields {
            let (here, after) = rest.split_at_mut(field.len());
            here.copy_from_slice(field);
            rest = after;
        }
        bytes
    }
}

/// Reads a whole file together with the identity of exactly what was read: had the file been changed later, it would
/// have another.
pub fn read_file_identified(path: &Path) -> Result<(Vec<u8>, FileIdentity), FsError> {
    let mut file = crate::open_read(path)?;
    let stat = rustix::fs::fstat(&file).on("examine", path)?;
    let mut contents = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or_default().saturating_add(1));
    file.read_to_end(&mut contents).on("read", path)?;
    Ok((contents, FileIdentity::new(&stat)))
}

/// As [`read_dir`](crate::read_dir), together with the identity of the directory before it was read.
pub fn read_dir_identified(path: &Path) -> Result<(Vec<DirEntry>, FileIdentity), FsError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty()).on("read directory", path)?;
    let stat = rustix::fs::fstat(&directory).on("examine", path)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory).on("read directory", path)? {
        let entry = entry.on("read directory", path)?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match FileIdentity::of(&path.join(name))? {
                Some(found) => found.kind(),
                // gone between listing and looking: as if it had never been there
                None => continue,
            },
            known => known.into(),
        };
        entries.push(DirEntry { name: name.to_owned(), kind });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok((entries, FileIdentity::new(&stat)))
}

/// Whether time stamps on the file system of `path` are taken from this machine's clock. A server's clock, or that of
/// a program that acts as a file system, may run behind ours.
pub fn has_local_clock(path: &Path) -> bool {
    /// `f_type` of ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS, bcachefs, EROFS, SquashFS and ISO 9660.
    const LOCAL: [u32; 11] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x794c_7630,
        0x2fc1_2fc1,
        0xf2f5_2010,
        0xca45_1a4e,
        0xe0f5_e1e2,
        0x7371_7368,
        0x9660,
    ];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers have 32 bits")]
    rustix::fs::statfs(path).is_ok_and(|found| LOCAL.contains(&(found.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_just_written_is_not_settled() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "one").unwrap();
        let (contents, identity) = read_file_identified(&file).unwrap();
        assert_eq!(contents, b"one");
        assert_eq!(FileIdentity::of(&file).unwrap(), Some(identity));
        assert!(!identity.is_settled(FileTime::now()));
        let later = FileTime((identity.changed.0 + SETTLING_S, identity.changed.1 + 1));
        assert!(identity.is_settled(later));
    }

    #[test]
    fn a_replaced_file_has_another_identity_whatever_its_times_say() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("file"), dir.path().join("other"));
        fs::write(&file, "one").unwrap();
        fs::write(&other, "two").unwrap();
        let before = FileIdentity::of(&file).unwrap().unwrap();
        let times = fs::FileTimes::new().set_modified(fs::metadata(&file).unwrap().modified().unwrap());
        fs::File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
        fs::rename(&other, &file).unwrap();
        let after = FileIdentity::of(&file).unwrap().unwrap();
        assert_ne!(before.to_bytes(), after.to_bytes());
        assert_eq!(FileIdentity::of(&dir.path().join("file/below")).unwrap(), None);
    }

    #[test]
    fn listings_are_those_of_read_dir() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("c")).unwrap();
        let (entries, identity) = read_dir_identified(dir.path()).unwrap();
        assert_eq!(entries, crate::read_dir(dir.path()).unwrap());
        assert_eq!(identity.kind(), EntryKind::Directory);
        let error = read_dir_identified(&dir.path().join("b")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotADirectory);
    }
}

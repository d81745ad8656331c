//! Changing parts of a file, so that what fails leaves the whole old one.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::FsError;
use crate::copy::reflink_or_copy;
use crate::error::Context;
use crate::replace::AtomicFile;

/// A file larger than this is not copied to change some bytes of it, and not read as a whole.
const SMALL_BYTES: u64 = 64 << 10;

/// Bytes that are to stand somewhere in a file.
#[derive(Debug, Clone, Copy)]
pub struct FilePart<'a> {
    /// Where they begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A file that is looked at, and may be changed then.
#[derive(Debug)]
pub struct Patchable {
    /// Where it is; the last component is no link.
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// All of it, if it is small: system calls for its parts would cost more.
    contents: Option<Vec<u8>>,
}

impl Patchable {
    /// Opens a file, links followed. What is no file, such as a pipe, is refused.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Self, FsError> {
        let (path, file) = match crate::open_read_nofollow(path) {
            Err(error) if error.io().raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                let path = crate::canonicalize(path)?;
                let file = crate::open_read_nofollow(&path)?;
                (path, file)
            }
            file => (path.to_owned(), file?),
        };
        let metadata = file.metadata().on("examine", &path)?;
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
            return Err(FsError::new("read", &path, kind));
        }
        let mut contents = None;
        if metadata.len() <= SMALL_BYTES {
            let mut bytes = vec![0; metadata.len() as usize];
            file.read_exact_at(&mut bytes, 0).on("read", &path)?;
            contents = Some(bytes);
        }
        Ok(Self { path, file, metadata, contents })
    }

    /// How long it was when it was opened.
    pub fn size_bytes(&self) -> u64 {
        self.metadata.len()
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// It ends before, or cannot be read.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let Some(contents) = &self.contents else { return self.file.read_exact_at(into, offset) };
        let begin = usize::try_from(offset).ok();
        let part = begin.and_then(|begin| contents.get(begin..begin.checked_add(into.len())?));
        into.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Changes parts of the file, and makes it `len` bytes long.
    ///
    /// A small file, or one that gets shorter, is replaced by a changed copy. A large one, or one with several names, is
    /// changed where it is, unless it is being executed: first what lies behind its end is written, where the disk may be
    /// full, then the rest, in the order of `parts`; if something fails, all is undone. Neither waits for the disk.
    ///
    /// # Errors
    /// The file cannot be written, or there is no space left. It is as it was, then.
    pub fn patch(mut self, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
        let old_len = self.size_bytes();
        if len >= old_len && (old_len > SMALL_BYTES || self.metadata.nlink() > 1) {
            match OpenOptions::new().read(true).write(true).open(&self.path) {
                Ok(file) => return patch_in_place(&file, old_len, parts, len).on("write", &self.path),
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                Err(error) => return Err(FsError::new("open", &self.path, error)),
            }
        }
        let mode = self.metadata.permissions().mode() & 0o7777;
        match self.contents {
            // more would be a hole
            Some(contents) if len <= old_len + SMALL_BYTES => replace(&self.path, mode, |file| {
                let contents = patched(contents, parts, len);
                file.write_all(&contents)
            }),
            _ => replace_patched(&mut self.file, &self.path, mode, parts, len),
        }
    }
}

/// Changes parts of the file at `path`, links followed, and makes it `len` bytes long, as [`Patchable::patch`] does.
///
/// # Errors
/// The file cannot be read or written, or there is no space left. It is as it was, then.
pub fn patch_file(path: &Path, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    Patchable::open(path)?.patch(parts, len)
}

/// Writes a changed copy of a file to another place; what was there is replaced.
///
/// # Errors
/// As for [`patch_file`].
pub fn patch_copy(source: &Path, to: &Path, mode: u32, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    let real = crate::if_exists(crate::canonicalize(to))?;
    replace_patched(&mut crate::open_read(source)?, real.as_deref().unwrap_or(to), mode, parts, len)
}

/// Writes a changed copy of a file to what is no file: a device, a pipe.
///
/// # Errors
/// One of them cannot be read or written.
pub fn patch_stream(source: &Path, to: &Path, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    let bytes = patched(crate::read_file(source)?, parts, len);
    OpenOptions::new().write(true).open(to).and_then(|mut file| file.write_all(&bytes)).on("write", to)
}

/// Puts parts into the contents of a file.
fn patched(mut contents: Vec<u8>, parts: &[FilePart<'_>], len: u64) -> Vec<u8> {
    contents.resize(len as usize, 0);
    for part in parts {
        let begin = part.offset as usize;
        contents[begin..begin + part.bytes.len()].copy_from_slice(part.bytes);
    }
    contents
}

fn replace_patched(source: &mut File, to: &Path, mode: u32, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    replace(to, mode, |file| {
        reflink_or_copy(source, file)?;
        file.set_len(len)?;
        parts.iter().try_for_each(|part| file.write_all_at(part.bytes, part.offset))
    })
}

/// Replaces a file by what `write` writes, without waiting for the disk.
fn replace(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), FsError> {
    let mut copy = AtomicFile::create(path, 0o600)?;
    let file = copy.file();
    write(file).and_then(|()| file.set_permissions(std::fs::Permissions::from_mode(mode))).on("write", path)?;
    copy.commit_quickly()
}

fn patch_in_place(file: &File, old_len: u64, parts: &[FilePart<'_>], len: u64) -> io::Result<()> {
    // what lies in front of the old end, and behind it
    let divided = parts.iter().map(|part| {
        let (inside, behind) =
            part.bytes.split_at(old_len.saturating_sub(part.offset).min(part.bytes.len() as u64) as usize);
        let behind = FilePart { offset: part.offset + inside.len() as u64, bytes: behind };
        (FilePart { offset: part.offset, bytes: inside }, behind)
    });
    let (mut inside, mut behind): (Vec<_>, Vec<_>) = divided.unzip();
    inside.retain(|part| !part.bytes.is_empty());
    behind.retain(|part| !part.bytes.is_empty());
    let mut before = Vec::new();
    for part in &inside {
        let mut bytes = vec![0; part.bytes.len()];
        file.read_exact_at(&mut bytes, part.offset)?;
        before.push((part.offset, bytes));
    }
    let write = |part: &FilePart<'_>| file.write_all_at(part.bytes, part.offset);
    let end = behind.iter().map(|part| part.offset + part.bytes.len() as u64).max().unwrap_or(old_len);
    let result = behind
        .iter()
        .try_for_each(write)
        // what is written makes it longer by itself
        .and_then(|()| if len == end { Ok(()) } else { file.set_len(len) })
        .and_then(|()| inside.iter().try_for_each(write));
    if result.is_err() {
        // the first error is the one to report
        for (offset, bytes) in &before {
            let _ = file.write_all_at(bytes, *offset);
        }
        let _ = file.set_len(old_len);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_change_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        for size in [100, SMALL_BYTES as usize + 5] {
            let path = dir.path().join(format!("file{size}"));
            let mut bytes = vec![7; size];
            std::fs::write(&path, &bytes).unwrap();
            let parts = [FilePart { offset: 3, bytes: b"abc" }, FilePart { offset: size as u64 + 8, bytes: b"tail" }];
            patch_file(&path, &parts, size as u64 + 12).unwrap();
            bytes[3..6].copy_from_slice(b"abc");
            bytes.extend([0; 8]);
            bytes.extend(b"tail");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn parts_across_the_old_end_make_a_large_file_longer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let size = SMALL_BYTES as usize + 5;
        let mut bytes = vec![7; size];
        std::fs::write(&path, &bytes).unwrap();
        let part = FilePart { offset: size as u64 - 2, bytes: b"abcd" };
        patch_file(&path, &[part], size as u64 + 9).unwrap();
        bytes.truncate(size - 2);
        bytes.extend(b"abcd\0\0\0\0\0\0\0");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn links_stay_links_and_what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a"), dir.path().join("link"));
        std::fs::write(&path, b"old").unwrap();
        std::os::unix::fs::symlink("a", &link).unwrap();
        patch_file(&link, &[FilePart { offset: 0, bytes: b"new" }], 3).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Patchable::open(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(Patchable::open(Path::new("/dev/null")).is_err());
        assert!(Patchable::open(&dir.path().join("none")).unwrap_err().is_not_found());
    }

    #[test]
    fn other_names_see_the_change_and_modes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&path, b"old").unwrap();
        std::fs::hard_link(&path, &other).unwrap();
        patch_file(&path, &[FilePart { offset: 0, bytes: b"new" }], 3).unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"new");
        std::fs::remove_file(&other).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o555)).unwrap();
        patch_file(&path, &[FilePart { offset: 0, bytes: b"mew" }], 3).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o555);
    }
}

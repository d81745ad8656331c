//! Changing parts of a file, so that what fails leaves the whole old one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::FsError;
use crate::copy::reflink_or_copy;
use crate::error::Context;
use crate::replace::AtomicFile;

/// A file larger than this is not copied to change some bytes of it.
const IN_PLACE_BYTES: u64 = 64 << 10;

/// Bytes that are to stand somewhere in a file.
#[derive(Debug, Clone, Copy)]
pub struct FilePart<'a> {
    /// Where they begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Changes parts of the file at `path`, links followed, and makes it `len` bytes long.
///
/// A small file, or one that gets shorter, is replaced by a changed copy. A large one, or one with several names, is changed where it is, unless it is
/// being executed: first what lies behind its end is written, where the disk may be full, then the rest, in the order of
/// `parts`; if something fails, all is undone. Neither waits for the disk.
///
/// # Errors
/// The file cannot be read or written, or there is no space left. It is as it was, then.
pub fn patch_file(path: &Path, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    let path = crate::canonicalize(path)?;
    let metadata = crate::metadata(&path)?;
    if len >= metadata.len() && (metadata.len() > IN_PLACE_BYTES || metadata.nlink() > 1) {
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => return patch_in_place(&file, metadata.len(), parts, len).on("write", &path),
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
            Err(error) => return Err(FsError::new("open", &path, error)),
        }
    }
    replace_patched(&path, &path, metadata.permissions().mode() & 0o7777, parts, len)
}

/// Writes a changed copy of a file to another place; what was there is replaced.
///
/// # Errors
/// As for [`patch_file`].
pub fn patch_copy(source: &Path, to: &Path, mode: u32, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    let real = crate::if_exists(crate::canonicalize(to))?;
    replace_patched(source, real.as_deref().unwrap_or(to), mode, parts, len)
}

/// Writes a changed copy of a file to what is no file: a device, a pipe.
///
/// # Errors
/// One of them cannot be read or written.
pub fn patch_stream(source: &Path, to: &Path, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    let mut bytes = crate::read_file(source)?;
    bytes.resize(len as usize, 0);
    for part in parts {
        let begin = part.offset as usize;
        bytes[begin..begin + part.bytes.len()].copy_from_slice(part.bytes);
    }
    OpenOptions::new().write(true).open(to).and_then(|mut file| file.write_all(&bytes)).on("write", to)
}

fn replace_patched(source: &Path, to: &Path, mode: u32, parts: &[FilePart<'_>], len: u64) -> Result<(), FsError> {
    let mut source = crate::open_read(source)?;
    let mut copy = AtomicFile::create(to, 0o600)?;
    reflink_or_copy(&mut source, copy.file()).on("write", to)?;
    let write = |file: &File| {
        file.set_len(len)?;
        parts.iter().try_for_each(|part| file.write_all_at(part.bytes, part.offset))?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    };
    write(copy.file()).on("write", to)?;
    copy.commit_quickly()
}

fn patch_in_place(file: &File, old_len: u64, parts: &[FilePart<'_>], len: u64) -> io::Result<()> {
    let mut before = Vec::new();
    for part in parts.iter().filter(|part| part.offset < old_len) {
        let mut bytes = vec![0; part.bytes.len().min((old_len - part.offset) as usize)];
        file.read_exact_at(&mut bytes, part.offset)?;
        before.push((part.offset, bytes));
    }
    let write = || {
        file.set_len(len)?;
        let write = |part: &FilePart<'_>| file.write_all_at(part.bytes, part.offset);
        parts.iter().filter(|part| part.offset >= old_len).try_for_each(write)?;
        parts.iter().filter(|part| part.offset < old_len).try_for_each(write)
    };
    let result = write();
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
        for size in [100, IN_PLACE_BYTES as usize + 5] {
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

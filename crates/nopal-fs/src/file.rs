//! The thin layer over `std::fs`: the same calls, with errors that say what and where.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use std::fs::{File as FsFile, FileType, Metadata};

use rustix::fs::OFlags;

use crate::FsError;
use crate::error::Context;

/// Reads a whole file.
pub fn read_file(path: &Path) -> Result<Vec<u8>, FsError> {
    fs::read(path).on("read", path)
}

/// Reads a whole file, refusing one of more than `limit_bytes`.
pub fn read_file_limited(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, FsError> {
    let file = open_read(path)?;
    let mut bytes = Vec::new();
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).on("read", path)?;
    if bytes.len() as u64 > limit_bytes {
        let cause = std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it is larger than the limit of {limit_bytes} bytes"),
        );
        return Err(FsError::new("read", path, cause));
    }
    Ok(bytes)
}

/// Reads a whole file that must be UTF-8.
pub fn read_to_string(path: &Path) -> Result<String, FsError> {
    fs::read_to_string(path).on("read", path)
}

/// Reads a whole file, or nothing where there is none.
pub fn read_file_if_exists(path: &Path) -> Result<Option<Vec<u8>>, FsError> {
    if_exists(read_file(path))
}

/// Turns "not found" into `None`.
pub fn if_exists<T>(result: Result<T, FsError>) -> Result<Option<T>, FsError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file in place, creating or truncating it. A reader, or a crash, can see half of it: use
/// [`crate::replace()`] for anything that must be whole.
pub fn write(path: &Path, contents: &[u8]) -> Result<(), FsError> {
    fs::write(path, contents).on("write", path)
}

/// Writes a file that must not exist yet, with the given permissions (before umask).
pub fn write_new(path: &Path, contents: &[u8], mode: u32) -> Result<(), FsError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).on("create", path)?;
    file.write_all(contents).on("write", path)
}

/// Appends to a file, creating it if need be.
pub fn append(path: &Path, contents: &[u8]) -> Result<(), FsError> {
    let mut file = open_append(path)?;
    file.write_all(contents).on("write", path)
}

/// Opens a file for reading.
pub fn open_read(path: &Path) -> Result<File, FsError> {
    File::open(path).on("open", path)
}

/// Opens a regular file for reading without following a link at its end; never blocks on a fifo.
pub fn open_read_nofollow(path: &Path) -> Result<File, FsError> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path)
        .on("open", path)
}

/// Reads `len` bytes from a place in a file, into memory that is not cleared before.
pub fn read_at(file: &File, mut offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), offset) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => offset += count as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Opens a file for reading and writing, creating it if need be.
pub fn open_write(path: &Path) -> Result<File, FsError> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).on("open", path)
}

/// Opens a file for appending, creating it if need be.
pub fn open_append(path: &Path) -> Result<File, FsError> {
    OpenOptions::new().append(true).create(true).open(path).on("open", path)
}

/// Creates (or truncates) a file for writing.
pub fn create_file(path: &Path) -> Result<File, FsError> {
    File::create(path).on("create", path)
}

/// Creates a file that must not exist yet.
pub fn create_new_file(path: &Path) -> Result<File, FsError> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).on("create", path)
}

/// Creates one directory.
pub fn create_dir(path: &Path) -> Result<(), FsError> {
    fs::create_dir(path).on("create directory", path)
}

/// Creates one directory with the given permissions (before umask).
pub fn create_dir_mode(path: &Path, mode: u32) -> Result<(), FsError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(mode).create(path).on("create directory", path)
}

/// Creates a directory and all that is missing above it.
pub fn create_dir_all(path: &Path) -> Result<(), FsError> {
    fs::create_dir_all(path).on("create directory", path)
}

/// Whether anything is at `path`, a dangling link included. Errors other than "not there" count as not there; use
/// [`symlink_metadata_if_exists`] to tell them apart.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether `path` is a directory, links followed.
pub fn is_dir(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether `path` is a regular file, links followed.
pub fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Metadata of what `path` leads to, links followed.
pub fn metadata(path: &Path) -> Result<Metadata, FsError> {
    fs::metadata(path).on("examine", path)
}

/// Metadata of `path` itself, a link not followed.
pub fn symlink_metadata(path: &Path) -> Result<Metadata, FsError> {
    fs::symlink_metadata(path).on("examine", path)
}

/// Metadata of what `path` leads to, or `None` where there is nothing.
pub fn metadata_if_exists(path: &Path) -> Result<Option<Metadata>, FsError> {
    if_can_exist(metadata(path))
}

/// Metadata of `path` itself, or `None` where there is nothing.
pub fn symlink_metadata_if_exists(path: &Path) -> Result<Option<Metadata>, FsError> {
    if_can_exist(symlink_metadata(path))
}

/// As [`if_exists`]. With a file in the place of a parent directory nothing can be there, either.
fn if_can_exist<T>(result: Result<T, FsError>) -> Result<Option<T>, FsError> {
    match if_exists(result) {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
        other => other,
    }
}

/// Where a symbolic link points.
pub fn read_link(path: &Path) -> Result<PathBuf, FsError> {
    fs::read_link(path).on("read link", path)
}

/// Makes a symbolic link at `link` that points to `target`.
pub fn symlink(target: &Path, link: &Path) -> Result<(), FsError> {
    std::os::unix::fs::symlink(target, link).map_err(|cause| FsError::between("link", link, target, cause))
}

/// Makes a hard link at `link` to the file `original`, a symbolic link not followed.
pub fn hard_link(original: &Path, link: &Path) -> Result<(), FsError> {
    fs::hard_link(original, link).map_err(|cause| FsError::between("hard-link", link, original, cause))
}

/// Renames, replacing what is at `to`. Not durable before the directory is synced: see [`rename_durable`].
pub fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    fs::rename(from, to).map_err(|cause| FsError::between("rename", from, to, cause))
}

/// Renames, refusing to replace anything.
pub fn rename_noreplace(from: &Path, to: &Path) -> Result<(), FsError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        .map_err(|cause| FsError::between("rename", from, to, cause))
}

/// Swaps two paths in one step.
pub fn rename_exchange(one: &Path, other: &Path) -> Result<(), FsError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
        .map_err(|cause| FsError::between("exchange", one, other, cause))
}

/// Renames and makes the new name survive a power cut.
pub fn rename_durable(from: &Path, to: &Path) -> Result<(), FsError> {
    rename(from, to)?;
    crate::sync_directory(parent_of(to))
}

/// Removes a file or a link.
pub fn remove_file(path: &Path) -> Result<(), FsError> {
    fs::remove_file(path).on("remove", path)
}

/// Removes a file or a link if there is one; says whether there was.
pub fn remove_file_if_exists(path: &Path) -> Result<bool, FsError> {
    Ok(if_exists(remove_file(path))?.is_some())
}

/// Removes an empty directory.
pub fn remove_dir(path: &Path) -> Result<(), FsError> {
    fs::remove_dir(path).on("remove directory", path)
}

/// Makes the modification time of what `path` leads to now.
pub fn set_modified_now(path: &Path) -> Result<(), FsError> {
    let file = open_read(path)?;
    file.set_modified(std::time::SystemTime::now()).on("set times of", path)
}

/// Sets the permission bits of what `path` leads to.
pub fn set_permissions(path: &Path, mode: u32) -> Result<(), FsError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).on("set permissions of", path)
}

/// The absolute path without links, `.` and `..`.
pub fn canonicalize(path: &Path) -> Result<PathBuf, FsError> {
    fs::canonicalize(path).on("resolve", path)
}

/// The absolute path, links kept, `.` removed.
pub fn absolute(path: &Path) -> Result<PathBuf, FsError> {
    std::path::absolute(path).on("resolve", path)
}

/// The names in a directory, sorted bytewise.
pub fn read_dir_names(path: &Path) -> Result<Vec<std::ffi::OsString>, FsError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).on("read directory", path)? {
        names.push(entry.on("read directory", path)?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

/// The names in a directory with their kinds, sorted bytewise, links not followed.
pub fn read_dir(path: &Path) -> Result<Vec<DirEntry>, FsError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).on("read directory", path)? {
        let entry = entry.on("read directory", path)?;
        let file_type = match entry.file_type() {
            Ok(file_type) => file_type,
            // gone between listing and looking: as if it had never been there
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(FsError::new("examine", &entry.path(), error)),
        };
        entries.push(DirEntry { name: entry.file_name(), kind: file_type.into() });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// One name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without directory.
    pub name: std::ffi::OsString,
    /// What it is; a link is a link.
    pub kind: crate::walk::EntryKind,
}

/// Bytes that an ordinary user may still write on the file system of `path`.
pub fn disk_free_bytes(path: &Path) -> Result<u64, FsError> {
    let stat = rustix::fs::statvfs(path).on("examine file system of", path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether the file system of `path` is mounted read-only, or the user may not write to the directory.
pub fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// What a user may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See that it is there.
    Exist,
    /// Read it.
    Read,
    /// Execute it, or look into it if it is a directory.
    Search,
}

/// Whether the user may do that with what `path` leads to.
pub fn may(path: &Path, permission: Permission) -> bool {
    let access = match permission {
        Permission::Exist => rustix::fs::Access::EXISTS,
        Permission::Read => rustix::fs::Access::READ_OK,
        Permission::Search => rustix::fs::Access::EXEC_OK,
    };
    rustix::fs::access(path, access).is_ok()
}

/// Bytes of disk that the metadata's file occupies.
pub fn disk_usage_bytes(metadata: &Metadata) -> u64 {
    // st_blocks counts units of 512 bytes whatever the block size of the file system
    metadata.blocks().saturating_mul(512)
}

/// The directory that holds `path`; `.` for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Sets when a file or directory was last changed.
pub fn set_modified(path: &Path, time: std::time::SystemTime) -> Result<(), FsError> {
    File::open(path).and_then(|file| file.set_modified(time)).on("set the time of", path)
}

//! Metadata as a store keeps it: 0444 or 0555, modified one second after the epoch, no extended attributes or access
//! lists, nothing but files, directories and links. The rules are those of Nix's `canonicalisePathMetaData`.

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, utimensat};
use rustix::io::Errno;

use crate::FsError;
use crate::create::{CANONICAL_MTIME_S, CANONICAL_TIMES};
use crate::error::Context;
use crate::walk::{Step, TreeWalk, WalkOptions};

/// Why a tree cannot be canonicalised.
#[derive(Debug, thiserror::Error)]
pub enum CanonError {
    /// A device, fifo or socket.
    #[error("'{}' is a device, a fifo or a socket; a store keeps only files, directories and symbolic links", path.display())]
    UnsupportedType {
        /// The offending entry.
        path: PathBuf,
    },
    /// The file belongs to somebody else.
    #[error("'{}' belongs to user {owner}, not to user {expected}", path.display())]
    Owner {
        /// The offending entry.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        expected: u32,
    },
    /// The system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Attributes that belong to the system's security policy; Nix leaves them too.
const KEPT_ATTRIBUTES: [&[u8]; 3] = [b"security.csm", b"security.selinux", b"system.nfs4_acl"];

/// Canonicalises everything below and at `root`. Set-user-id and set-group-id bits are cleared, as Nix does.
/// All entries must belong to the calling user.
pub fn canonicalise_tree(root: &Path) -> Result<(), CanonError> {
    let user = rustix::process::geteuid().as_raw();
    let mut walk = TreeWalk::new(root, WalkOptions::default())?;
    while let Some(step) = walk.next()? {
        let stat = walk.stat()?;
        if stat.st_uid != user {
            return Err(CanonError::Owner { path: walk.path().to_owned(), owner: stat.st_uid, expected: user });
        }
        let (directory, name) = walk.place();
        match step {
            // it must be readable to be walked; its final mode comes when all below it is done
            Step::Enter => {
                if stat.st_mode & 0o500 != 0o500 {
                    chmod_nofollow(directory, name, 0o700).on("set permissions of", walk.path())?;
                }
            }
            Step::Leave => canonicalise_entry(directory, name, &stat, 0o555, walk.path())?,
            Step::File => {
                let mode = if stat.st_mode & 0o100 != 0 { 0o555 } else { 0o444 };
                canonicalise_entry(directory, name, &stat, mode, walk.path())?;
            }
            Step::Symlink => set_times(directory, name, &stat, walk.path())?,
            Step::Other => return Err(CanonError::UnsupportedType { path: walk.path().to_owned() }),
        }
    }
    Ok(())
}

fn canonicalise_entry(
    directory: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
    mode: u32,
    path: &Path,
) -> Result<(), FsError> {
    // clearing attributes first: removing an access list changes the group bits
    if stat.st_mode & 0o400 == 0 {
        chmod_nofollow(directory, name, 0o600).on("set permissions of", path)?;
    }
    let cleared = clear_attributes(directory, name).on("remove the extended attributes of", path)?;
    if cleared || stat.st_mode & 0o7777 != mode {
        chmod_nofollow(directory, name, mode).on("set permissions of", path)?;
    }
    set_times(directory, name, stat, path)
}

fn set_times(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat, path: &Path) -> Result<(), FsError> {
    if stat.st_mtime == CANONICAL_MTIME_S && stat.st_mtime_nsec == 0 {
        return Ok(());
    }
    utimensat(directory, name, &CANONICAL_TIMES, AtFlags::SYMLINK_NOFOLLOW).on("set times of", path)
}

/// Removes what extended attributes may be removed; says whether there were any.
fn clear_attributes(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = openat(directory, name, flags, Mode::empty())?;
    let mut size = flistxattr_size(&file)?;
    let mut list = Vec::new();
    while size > 0 {
        list = vec![0; size];
        match rustix::fs::flistxattr(&file, &mut list) {
            Ok(got) => {
                list.truncate(got);
                break;
            }
            // more have come since
            Err(Errno::RANGE) => size = flistxattr_size(&file)?,
            Err(error) => return Err(error.into()),
        }
    }
    let mut cleared = false;
    for attribute in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if KEPT_ATTRIBUTES.contains(&attribute) {
            continue;
        }
        match rustix::fs::fremovexattr(&file, attribute) {
            Ok(()) => cleared = true,
            // an attribute that we may not remove is one that a builder of ours could not set either
            Err(Errno::PERM | Errno::ACCESS | Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(cleared)
}

fn flistxattr_size(file: &std::os::fd::OwnedFd) -> io::Result<usize> {
    match rustix::fs::flistxattr_query(file) {
        Ok(size) => Ok(size),
        // the file system knows no attributes
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sets permission bits through a directory descriptor without following a link, on kernels with and without
/// `fchmodat2` (Linux 6.6).
pub(crate) fn chmod_nofollow(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    let handle = openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode) == FileType::Symlink {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    match fchmodat2(&handle, mode) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EPERM)) => {
            use std::os::fd::AsRawFd;
            // the magic link leads to the very file that the handle is open on
            let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
            std::fs::set_permissions(link, std::os::unix::fs::PermissionsExt::from_mode(mode))
        }
        other => other,
    }
}

fn fchmodat2(handle: &std::os::fd::OwnedFd, mode: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // asm-generic number, the same on every architecture; libc has no wrapper yet
    const SYS_FCHMODAT2: libc::c_long = 452;
    // SAFETY: a system call that reads one NUL-terminated static string and otherwise takes integers; the descriptor
    // is open for as long as the borrow of `handle` lasts.
    let result = unsafe {
        libc::syscall(SYS_FCHMODAT2, handle.as_raw_fd(), c"".as_ptr(), mode as libc::mode_t, libc::AT_EMPTY_PATH)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

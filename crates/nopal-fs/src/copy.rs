//! Copies of single files: shared extents where the file system can, bytes where it cannot.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::ioctl_ficlone;

use crate::FsError;

/// How a copy came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    /// The two files share their blocks until one is written to.
    Reflink,
    /// The bytes were copied.
    Bytes,
}

/// Copies the file `from`, a link not followed, to `to`, which must not exist; permissions are the usual ones of a
/// new file.
pub fn copy_file(from: &Path, to: &Path) -> Result<CopyKind, FsError> {
    let mut source = crate::open_read_nofollow(from)?;
    let mut destination = crate::create_new_file(to)?;
    reflink_or_copy(&mut source, &mut destination).map_err(|cause| FsError::between("copy", from, to, cause))
}

/// Fills `destination`, empty so far, with the contents of `source`.
pub fn reflink_or_copy(source: &mut File, destination: &mut File) -> io::Result<CopyKind> {
    if ioctl_ficlone(&*destination, &*source).is_ok() {
        return Ok(CopyKind::Reflink);
    }
    copy_file_contents(source, destination)?;
    Ok(CopyKind::Bytes)
}

/// Copies the rest of `source` to `destination`; the kernel moves the bytes where it can.
pub fn copy_file_contents(source: &mut File, destination: &mut File) -> io::Result<u64> {
    io::copy(source, destination)
}

/// Copies a whole tree to `to`, which must not exist, with ordinary permissions; links are copied as links.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), FsError> {
    use crate::create::{Metadata, TreeWriter};
    use crate::walk::{Step, TreeWalk, WalkOptions};
    let mut walk = TreeWalk::new(from, WalkOptions::default())?;
    let mut writer = TreeWriter::new(to, Metadata::Ordinary)?;
    while let Some(step) = walk.next()? {
        match step {
            Step::Enter => writer.start_directory(walk.name())?,
            Step::Leave => writer.end_directory()?,
            Step::Symlink => writer.symlink(walk.name(), &walk.read_link()?)?,
            Step::File => {
                let (mut source, stat) = walk.open_file()?;
                let executable = stat.st_mode & 0o100 != 0;
                let mut destination = writer.start_file(walk.name(), executable)?;
                reflink_or_copy(&mut source, &mut destination)
                    .map_err(|cause| FsError::between("copy", walk.path(), writer.path(), cause))?;
                writer.finish_file(destination, executable)?;
            }
            Step::Other => {
                let cause = io::Error::other("it is a device, a fifo or a socket");
                return Err(FsError::new("copy", walk.path(), cause));
            }
        }
    }
    Ok(())
}

//! The system calls that stubs need.

use crate::arch::{number, syscall};

/// A file or folder to start from: none, paths are relative to the working directory.
const CURRENT_DIR: usize = -100_isize as usize;
const READ_ONLY_CLOSE_ON_EXEC: usize = 0o2_000_000;

/// May be read.
pub const READ: usize = 1;
/// May be written to.
pub const WRITE: usize = 2;
/// May be executed.
pub const EXECUTE: usize = 4;
/// Of a file; changes are for this process alone.
pub const PRIVATE: usize = 2;
/// Zeros; changes are for this process alone.
pub const PRIVATE_MEMORY: usize = 0x22;
/// Exactly there, over what is there.
pub const FIXED: usize = 0x10;

/// Open until another program is executed.
pub const UNTIL_EXEC: usize = 0o2_000_000;
/// Open in other programs that are executed, too.
pub const PASSED_ON: usize = 0;

/// Nothing is there.
pub const ENOENT: isize = 2;
/// Not a program of this machine.
pub const ENOEXEC: isize = 8;
/// No memory.
pub const ENOMEM: isize = 12;

/// An open file.
#[derive(Clone, Copy)]
pub struct File(usize);

impl File {
    /// Its number in the process.
    pub fn number(self) -> usize {
        self.0
    }
}

/// Ends the process.
pub fn exit(status: usize) -> ! {
    loop {
        // SAFETY: does not come back
        unsafe { syscall(number::EXIT_GROUP, [status, 0, 0, 0, 0, 0]) };
    }
}

/// Writes to standard error, as well as can be.
///
/// # Safety
/// There are that many bytes.
pub unsafe fn complain(text: *const u8, count: usize) {
    // SAFETY: reads what the caller says
    unsafe { syscall(number::WRITE, [2, text as usize, count, 0, 0, 0]) };
}

/// Opens a file for reading, or gives the number of the error.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn open(path: *const u8) -> Result<File, isize> {
    // SAFETY: reads the path
    let file = unsafe { syscall(number::OPENAT, [CURRENT_DIR, path as usize, READ_ONLY_CLOSE_ON_EXEC, 0, 0, 0]) };
    if file < 0 { Err(-file) } else { Ok(File(file as usize)) }
}

/// Has a file under that number too: until another program is executed, or in what is executed as well ([`PASSED_ON`]).
/// Whether that could be done.
pub fn number(file: File, number: usize, lasts: usize) -> bool {
    // SAFETY: whatever had that number was not ours
    file.0 == number || unsafe { syscall(number::DUP3, [file.0, number, lasts, 0, 0, 0]) >= 0 }
}

/// Closes a file, unless that is its number.
pub fn close_unless(file: File, number: usize) {
    if file.0 != number {
        close(file);
    }
}

/// Makes a file in memory that is closed when another program is executed. Nothing if the kernel refuses.
pub fn memory_file(name: &core::ffi::CStr) -> Option<File> {
    const CLOSE_ON_EXEC: usize = 1;
    // SAFETY: reads the name
    let file = unsafe { syscall(number::MEMFD_CREATE, [name.as_ptr() as usize, CLOSE_ON_EXEC, 0, 0, 0, 0]) };
    (file >= 0).then_some(File(file as usize))
}

/// Reads from where the file is at; how many bytes, or a negative error.
pub fn read(file: File, into: &mut [u8]) -> isize {
    // SAFETY: writes to the slice
    unsafe { syscall(number::READ, [file.0, into.as_mut_ptr() as usize, into.len(), 0, 0, 0]) }
}

/// Closes a file.
pub fn close(file: File) {
    // SAFETY: nobody uses the file any more
    unsafe { syscall(number::CLOSE, [file.0, 0, 0, 0, 0, 0]) };
}

/// Reads where a link leads to; how many bytes, or a negative error.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn read_link(path: *const u8, into: &mut [u8]) -> isize {
    // SAFETY: reads the path and writes to the slice
    unsafe { syscall(number::READLINKAT, [CURRENT_DIR, path as usize, into.as_mut_ptr() as usize, into.len(), 0, 0]) }
}

/// Whether a file can be read.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn can_read(path: *const u8) -> bool {
    // SAFETY: reads the path
    unsafe { syscall(number::FACCESSAT, [CURRENT_DIR, path as usize, 4, 0, 0, 0]) == 0 }
}

/// Whether a file can be executed.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn can_execute(path: *const u8) -> bool {
    // SAFETY: reads the path
    unsafe { syscall(number::FACCESSAT, [CURRENT_DIR, path as usize, 1, 0, 0, 0]) == 0 }
}

/// Whether there is something.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn exists(path: *const u8) -> bool {
    // SAFETY: reads the path
    unsafe { syscall(number::FACCESSAT, [CURRENT_DIR, path as usize, 0, 0, 0, 0]) == 0 }
}

/// Changes the working directory; the error's number, or 0.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn change_directory(path: *const u8) -> isize {
    // SAFETY: reads the path
    unsafe { -syscall(number::CHDIR, [path as usize, 0, 0, 0, 0, 0]) }
}

/// Becomes another program. If this comes back, it gives the error's number.
///
/// # Safety
/// A zero ends the path and all strings, and a null each list.
pub unsafe fn execute(path: *const u8, arguments: *const *const u8, environment: *const *const u8) -> isize {
    // SAFETY: reads what the caller says
    unsafe { -syscall(number::EXECVE, [path as usize, arguments as usize, environment as usize, 0, 0, 0]) }
}

/// Maps memory, or a part of a file from a multiple of 4,096 bytes on. Nothing if the kernel refuses.
///
/// What is at a fixed place already is lost: the caller answers for that.
pub fn map(address: usize, bytes: usize, rights: usize, flags: usize, file: Option<(File, usize)>) -> Option<usize> {
    let (file, offset) = file.map_or((usize::MAX, 0), |(file, offset)| (file.0, offset));
    let offset = if cfg!(target_arch = "x86") { offset / 4096 } else { offset };
    // SAFETY: as the caller answers for
    let place = unsafe { syscall(number::MMAP, [address, bytes, rights, flags, file, offset]) };
    // the last page of the address space is where error numbers are
    if (-4095..0).contains(&place) { None } else { Some(place as usize) }
}

/// Gives memory back.
///
/// # Safety
/// Nobody uses it any more.
pub unsafe fn unmap(address: usize, bytes: usize) {
    // SAFETY: as the caller says
    unsafe { syscall(number::MUNMAP, [address, bytes, 0, 0, 0, 0]) };
}

/// Makes a folder; the number of the error, or 0.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn make_folder(path: *const u8, mode: usize) -> isize {
    // SAFETY: reads the path
    unsafe { -syscall(number::MKDIRAT, [CURRENT_DIR, path as usize, mode, 0, 0, 0]) }
}

/// Makes a symbolic link; the number of the error, or 0.
///
/// # Safety
/// Zeros end the paths.
pub unsafe fn make_link(target: *const u8, path: *const u8) -> isize {
    // SAFETY: reads the paths
    unsafe { -syscall(number::SYMLINKAT, [target as usize, CURRENT_DIR, path as usize, 0, 0, 0]) }
}

/// Makes a file that is not there yet, and opens it for writing.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn create(path: *const u8, mode: usize) -> Result<File, isize> {
    // write only, create, exclusive, close on exec
    const FLAGS: usize = 0o1 | 0o100 | 0o200 | 0o2_000_000;
    // SAFETY: reads the path
    let file = unsafe { syscall(number::OPENAT, [CURRENT_DIR, path as usize, FLAGS, mode, 0, 0]) };
    if file < 0 { Err(-file) } else { Ok(File(file as usize)) }
}

/// Writes all bytes to a file.
pub fn write_all(file: File, bytes: crate::heap::Bytes) -> Result<(), isize> {
    let mut rest = bytes;
    while rest.count > 0 {
        // SAFETY: reads the bytes
        let count = unsafe { syscall(number::WRITE, [file.0, rest.at as usize, rest.count, 0, 0, 0]) };
        if count < 0 {
            return Err(-count);
        }
        rest = rest.behind(count as usize);
    }
    Ok(())
}

/// Moves something to a place where nothing is; the number of the error, or 0.
///
/// # Safety
/// Zeros end the paths.
pub unsafe fn rename(from: *const u8, to: *const u8) -> isize {
    // SAFETY: reads the paths
    unsafe { -syscall(number::RENAMEAT2, [CURRENT_DIR, from as usize, CURRENT_DIR, to as usize, 0, 0]) }
}

/// Removes a file, or an empty folder.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn remove(path: *const u8, is_folder: bool) {
    let flags = if is_folder { 0x200 } else { 0 };
    // SAFETY: reads the path
    unsafe { syscall(number::UNLINKAT, [CURRENT_DIR, path as usize, flags, 0, 0, 0]) };
}

/// The user's number.
pub fn user() -> usize {
    // SAFETY: reads nothing
    unsafe { syscall(number::GETUID, [0; 6]) as usize }
}

/// The process's number.
pub fn process() -> usize {
    // SAFETY: reads nothing
    unsafe { syscall(number::GETPID, [0; 6]) as usize }
}

/// Whether a folder is one of the user's, no link, that others cannot change.
///
/// # Safety
/// A zero ends the path.
pub unsafe fn is_private(path: *const u8) -> bool {
    /// `struct statx` (linux/stat.h): 256 bytes, of which these are looked at.
    #[repr(C, align(8))]
    struct Status {
        before: [u32; 5],
        user: u32,
        group: u32,
        mode: u16,
        rest: [u8; 226],
    }
    const NO_FOLLOW: usize = 0x100;
    const TYPE_MODE_USER: usize = 0xb;
    let mut status = core::mem::MaybeUninit::<Status>::uninit();
    // SAFETY: reads the path and writes to the status
    unsafe {
        let place = status.as_mut_ptr();
        let failed =
            syscall(number::STATX, [CURRENT_DIR, path as usize, NO_FOLLOW, TYPE_MODE_USER, place as usize, 0]) != 0;
        !failed && (*place).user as usize == user() && (*place).mode & 0o170_022 == 0o040_000
    }
}

//! Where the program is that runs.

use crate::memory::{copy, strlen};
use crate::stack::{Aux, tag, value};
use crate::sys;

/// The longest path that the kernel takes, its zero included.
pub const MAX_BYTES: usize = 4096;

/// A number that no program uses: one of the last of those that a process can have unless somebody says otherwise.
const HELD: usize = 1019;
const HELD_PATH: &core::ffi::CStr = c"/proc/self/fd/1019";

/// How many links are followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// A path with a zero behind it.
pub struct PathBuf {
    bytes: [core::mem::MaybeUninit<u8>; MAX_BYTES],
    count: usize,
}

impl PathBuf {
    /// An empty one.
    #[inline(always)]
    pub fn new() -> Self {
        Self { bytes: [const { core::mem::MaybeUninit::uninit() }; MAX_BYTES], count: 0 }
    }

    /// Where it begins.
    pub fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr().cast()
    }

    /// How many bytes it has.
    pub fn count(&self) -> usize {
        self.count
    }

    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr().cast()
    }

    /// Takes the first bytes only.
    pub fn truncate(&mut self, count: usize) {
        if count < self.count {
            self.count = count;
            // SAFETY: inside
            unsafe { *self.as_mut_ptr().add(count) = 0 };
        }
    }

    /// Adds bytes; whether there was room.
    ///
    /// # Safety
    /// There are that many.
    pub unsafe fn push(&mut self, bytes: *const u8, count: usize) -> bool {
        if count >= MAX_BYTES - self.count {
            return false;
        }
        // SAFETY: there is room, for the zero as well
        unsafe {
            copy(self.as_mut_ptr().add(self.count), bytes, count);
            self.count += count;
            *self.as_mut_ptr().add(self.count) = 0;
        }
        true
    }

    /// The length of what is before the last slash.
    fn directory_bytes(&self) -> Option<usize> {
        let mut at = self.count;
        while at > 0 {
            at -= 1;
            // SAFETY: inside
            if unsafe { *self.as_ptr().add(at) } == b'/' {
                return Some(at);
            }
        }
        None
    }

    /// Removes the last component: what stays is the folder that it is in. Whether there was one.
    pub fn pop(&mut self) -> bool {
        match self.directory_bytes() {
            Some(count) => {
                self.truncate(count);
                true
            }
            None => false,
        }
    }

    /// Holds the folder open until another program is executed, and names it by the number of that: a short path. If that
    /// cannot be done, it keeps its name.
    pub fn hold(&mut self) {
        // SAFETY: a zero ends the path
        let Ok(folder) = (unsafe { sys::open(self.as_ptr()) }) else { return };
        let is_held = sys::number(folder, HELD, sys::UNTIL_EXEC);
        sys::close_unless(folder, HELD);
        if is_held {
            self.truncate(0);
            // SAFETY: there are that many
            unsafe { self.push(HELD_PATH.as_ptr().cast(), HELD_PATH.count_bytes()) };
        }
    }

    /// Reads where a link leads to, and takes that for the path. Whether it is a link.
    fn follow(&mut self, target: &mut Self) -> bool {
        // SAFETY: a zero ends the path; what is read fits with a zero
        unsafe {
            let room = core::slice::from_raw_parts_mut(target.as_mut_ptr(), MAX_BYTES - 1);
            let count = sys::read_link(self.as_ptr(), room);
            if count <= 0 {
                return false;
            }
            target.count = count as usize;
            *target.as_mut_ptr().add(target.count) = 0;
            match self.directory_bytes() {
                _ if *target.as_ptr() == b'/' => self.truncate(0),
                Some(directory) => self.truncate(directory + 1),
                None => self.truncate(0),
            }
            self.push(target.as_ptr(), target.count)
        }
    }
}

/// The path of the program that runs, without links in its last component. Empty if it cannot be told.
///
/// The kernel tells it in `/proc`; where that is not mounted, the path that was executed leads there too.
///
/// Whether it has no links at all: only the kernel's has none.
///
/// # Safety
/// The vector's last tag is `NULL`.
pub unsafe fn of_program(path: &mut PathBuf, vector: *mut Aux) -> bool {
    let mut target = PathBuf::new();
    // SAFETY: zeros end the strings of the kernel
    unsafe {
        path.push(c"/proc/self/exe".as_ptr().cast(), 14);
        if path.follow(&mut target) && *path.as_ptr() == b'/' {
            return true;
        }
        path.count = 0;
        as_executed(path, vector);
    }
    false
}

/// The path that was executed, without links in its last component. Empty if it cannot be told.
///
/// # Safety
/// The vector's last tag is `NULL`.
unsafe fn as_executed(path: &mut PathBuf, vector: *mut Aux) {
    let mut target = PathBuf::new();
    // SAFETY: zeros end the strings of the kernel
    unsafe {
        let executed = value(vector, tag::EXECFN) as *const u8;
        if executed.is_null() || !path.push(executed, strlen(executed)) {
            return;
        }
    }
    let mut links = 0;
    while links < MAX_LINKS && path.follow(&mut target) {
        links += 1;
    }
}

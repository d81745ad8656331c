//! What is said when nothing can be done. Each part by itself: a list of texts would hold addresses.

use crate::heap::Bytes;
use crate::memory::strlen;
use crate::sys;

/// Says a text of ours.
pub fn say(text: &str) {
    // SAFETY: it has that length
    unsafe { sys::complain(text.as_ptr(), text.len()) };
}

/// Says a path.
///
/// # Safety
/// A zero ends it.
pub unsafe fn say_path(path: *const u8) {
    // SAFETY: as the caller says
    unsafe { sys::complain(path, strlen(path)) };
}

/// Says bytes.
pub fn say_bytes(bytes: Bytes) {
    // SAFETY: there are that many
    unsafe { sys::complain(bytes.at, bytes.count) };
}

/// Says what an error number of the kernel means (errno.h).
pub fn say_error(number: isize) {
    let mut at = MEANINGS.as_ptr();
    // SAFETY: a zero ends each meaning, and one more the list
    unsafe {
        while *at != 0 {
            if isize::from(*at) == number {
                return say_path(at.add(1));
            }
            at = at.add(strlen(at) + 1);
        }
    }
    say("error ");
    let digits = [number / 100 % 10, number / 10 % 10, number % 10].map(|digit| b'0' + digit as u8);
    // SAFETY: it has three digits
    unsafe { sys::complain(digits.as_ptr(), 3) };
}

/// Numbers, what they mean, and a zero.
const MEANINGS: &[u8] = b"\x01operation not permitted\0\
\x02no such file or directory\0\
\x07argument list too long\0\
\x08not for this machine\0\
\x0cout of memory\0\
\x0dpermission denied\0\
\x14not a directory\0\
\x15is a directory\0\
\x18too many open files\0\
\x24name too long\0\
\x28too many symbolic links\0\0";

/// Ends with 127, as shells do for what cannot be started.
pub fn give_up() -> ! {
    say("\n");
    sys::exit(127)
}

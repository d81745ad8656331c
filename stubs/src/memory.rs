//! Copying and filling. The loops are assembly or volatile, or compilers would make them calls of libc's functions, and
//! these are reached through a table of addresses.

use core::arch::asm;

/// Copies bytes.
///
/// # Safety
/// There are that many at both places, which do not overlap.
pub unsafe fn copy(to: *mut u8, from: *const u8, count: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: copies what the caller says
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack));
    }
    #[cfg(target_arch = "x86")]
    // SAFETY: copies what the caller says; the compiler keeps esi for itself
    unsafe {
        asm!(
            "xchg esi, {from}", "rep movsb", "xchg esi, {from}",
            from = inout(reg) from => _, inout("ecx") count => _, inout("edi") to => _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: copies what the caller says
    unsafe {
        asm!(
            "cbz {count}, 3f", "2:", "ldrb {byte:w}, [{from}], #1", "strb {byte:w}, [{at}], #1",
            "subs {count}, {count}, #1", "b.ne 2b", "3:",
            count = inout(reg) count => _, from = inout(reg) from => _, at = inout(reg) to => _, byte = out(reg) _,
            options(nostack),
        );
    }
}

/// Makes bytes zeros.
///
/// # Safety
/// There are that many.
pub unsafe fn clear(to: *mut u8, count: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fills what the caller says
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") 0_u8, options(nostack));
    }
    #[cfg(target_arch = "x86")]
    // SAFETY: fills what the caller says
    unsafe {
        asm!("rep stosb", inout("ecx") count => _, inout("edi") to => _, in("al") 0_u8, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: fills what the caller says
    unsafe {
        asm!(
            "cbz {count}, 3f", "2:", "strb wzr, [{at}], #1", "subs {count}, {count}, #1", "b.ne 2b", "3:",
            count = inout(reg) count => _, at = inout(reg) to => _,
            options(nostack),
        );
    }
}

/// The length of a string in bytes, without the zero that ends it.
///
/// # Safety
/// A zero ends it.
pub unsafe fn strlen(text: *const u8) -> usize {
    let mut count = 0;
    // SAFETY: not behind the zero; volatile, or the loop would be made a call of this function
    while unsafe { text.add(count).read_volatile() } != 0 {
        count += 1;
    }
    count
}

/// Whether a string begins with these bytes.
///
/// # Safety
/// A zero ends it.
pub unsafe fn starts_with(text: *const u8, prefix: &[u8]) -> bool {
    let mut at = text;
    for byte in prefix {
        // SAFETY: not behind the zero, which no prefix has
        if unsafe { *at } != *byte {
            return false;
        }
        // SAFETY: likewise
        at = unsafe { at.add(1) };
    }
    true
}

/// Writes pieces after each other, as far as there is room.
pub fn join(into: &mut [u8], pieces: &[&[u8]]) {
    let mut at = 0;
    for piece in pieces {
        if piece.len() > into.len() - at {
            return;
        }
        // SAFETY: there is room
        unsafe { copy(into.as_mut_ptr().add(at), piece.as_ptr(), piece.len()) };
        at += piece.len();
    }
}

/// Tables in an [`Arena`] begin at multiples of this.
pub const TABLE_ALIGN: usize = 16;

/// Memory that is given out from its beginning to its end. Who asks for more than there is ends the process.
pub struct Arena {
    next: *mut u8,
    end: *mut u8,
}

impl Arena {
    /// So many bytes, from the kernel. Nothing if there are none.
    pub fn new(bytes: usize) -> Option<Self> {
        let next = crate::sys::map(0, bytes, crate::sys::READ | crate::sys::WRITE, crate::sys::PRIVATE_MEMORY, None)?;
        Some(Self { next: next as *mut u8, end: (next + bytes) as *mut u8 })
    }

    /// Room for a table.
    pub fn table<T>(&mut self, count: usize) -> *mut T {
        let padding = (self.next as usize).next_multiple_of(TABLE_ALIGN) - self.next as usize;
        let bytes = count * size_of::<T>();
        self.take(padding + bytes).wrapping_add(padding).cast()
    }

    /// Adds bytes, and says where they begin.
    ///
    /// # Safety
    /// There are that many.
    pub unsafe fn push(&mut self, bytes: *const u8, count: usize) -> *mut u8 {
        let place = self.take(count);
        // SAFETY: as the caller says, and there is room
        unsafe { copy(place, bytes, count) };
        place
    }

    fn take(&mut self, bytes: usize) -> *mut u8 {
        let place = self.next;
        if bytes > self.end as usize - place as usize {
            crate::message::say("nopal: too little memory was set aside; this is a fault of nopal");
            crate::message::give_up()
        }
        self.next = place.wrapping_add(bytes);
        place
    }
}

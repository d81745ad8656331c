//! The stack as the kernel hands it over: arguments, environment, and the auxiliary vector.

/// Tags of the auxiliary vector (elf.h).
pub mod tag {
    #![allow(missing_docs)]
    pub const NULL: usize = 0;
    pub const PHDR: usize = 3;
    pub const PHNUM: usize = 5;
    pub const PAGE_BYTES: usize = 6;
    pub const BASE: usize = 7;
    pub const ENTRY: usize = 9;
    pub const SECURE: usize = 23;
    pub const EXECFN: usize = 31;
    pub const KERNEL_LIBRARY: usize = 33;
}

/// An entry of the auxiliary vector.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Aux {
    /// What it tells.
    pub tag: usize,
    /// That.
    pub value: usize,
}

/// The initial stack.
#[derive(Clone, Copy)]
pub struct Stack {
    /// The number of arguments, then pointers to them, a zero, pointers to the environment, a zero, the auxiliary vector.
    pub begin: *mut usize,
}

impl Stack {
    /// How many arguments there are.
    pub fn argument_count(self) -> usize {
        // SAFETY: what the kernel made
        unsafe { *self.begin }
    }

    /// Pointers to the arguments, and a zero.
    pub fn arguments(self) -> *mut *const u8 {
        // SAFETY: what the kernel made
        unsafe { self.begin.add(1).cast() }
    }

    /// Pointers to the variables, and a zero.
    pub fn environment(self) -> *mut *const u8 {
        // SAFETY: what the kernel made
        unsafe { self.begin.add(self.argument_count() + 2).cast() }
    }

    /// The auxiliary vector, whose last tag is `NULL`.
    pub fn auxiliary(self) -> *mut Aux {
        let mut at = self.environment();
        // SAFETY: zeros end what the kernel made
        unsafe {
            while !(*at).is_null() {
                at = at.add(1);
            }
            at.add(1).cast()
        }
    }
}

/// Looks for an entry of the auxiliary vector.
///
/// # Safety
/// The last tag is `NULL`.
pub unsafe fn find(vector: *mut Aux, tag: usize) -> Option<*mut Aux> {
    let mut at = vector;
    // SAFETY: not behind the last
    unsafe {
        while (*at).tag != tag::NULL {
            if (*at).tag == tag {
                return Some(at);
            }
            at = at.add(1);
        }
    }
    None
}

/// How many entries there are, the last included.
///
/// # Safety
/// The last tag is `NULL`.
pub unsafe fn count(vector: *const Aux) -> usize {
    let mut count = 1;
    // SAFETY: not behind the last
    while unsafe { (*vector.add(count - 1)).tag } != tag::NULL {
        count += 1;
    }
    count
}

/// The value of an entry, 0 if there is none.
///
/// # Safety
/// The last tag is `NULL`.
pub unsafe fn value(vector: *mut Aux, tag: usize) -> usize {
    // SAFETY: as the caller says
    unsafe { find(vector, tag).map_or(0, |entry| (*entry).value) }
}

//! AArch64, after the Procedure Call Standard and include/uapi/asm-generic/unistd.h of Linux.

use core::arch::{asm, global_asm};

/// `e_machine` of the files it runs.
pub const MACHINE: u16 = 183;

/// The relocation that calls a function and writes what it gives (`R_…_IRELATIVE`).
pub const CALLED_RELOCATION: usize = 1032;

global_asm!(
    ".section .text._start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    // `bti c`, which older processors take for nothing
    "hint #34",
    "mov x29, #0",
    "mov x30, #0",
    // what a loader hands over, if there was one before
    "mov x1, x0",
    "mov x0, sp",
    "bl stub_main",
    "brk #1",
    ".text",
);

/// Numbers of system calls.
pub mod number {
    #![allow(missing_docs)]
    pub const MKDIRAT: usize = 34;
    pub const UNLINKAT: usize = 35;
    pub const RENAMEAT2: usize = 276;
    pub const SYMLINKAT: usize = 36;
    pub const GETUID: usize = 174;
    pub const GETPID: usize = 172;
    pub const STATX: usize = 291;
    pub const DUP3: usize = 24;
    pub const FCNTL: usize = 25;
    pub const FACCESSAT: usize = 48;
    pub const CHDIR: usize = 49;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const MEMFD_CREATE: usize = 279;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const READLINKAT: usize = 78;
    pub const EXIT_GROUP: usize = 94;
    pub const MUNMAP: usize = 215;
    pub const EXECVE: usize = 221;
    pub const MMAP: usize = 222;
}

/// Calls the kernel; negative results are error numbers.
///
/// # Safety
/// As of the call.
#[inline(always)]
pub unsafe fn syscall(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel changes the first register, and memory as the caller answers for
    unsafe {
        asm!(
            "svc 0",
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, in("x8") number,
            options(nostack),
        );
    }
    result
}

/// Where the image ends: what it works on.
#[inline(always)]
pub fn payload() -> *const u8 {
    let address;
    // SAFETY: computes an address
    unsafe { asm!("adr {}, __payload", out(reg) address, options(nomem, nostack, pure)) };
    address
}

/// The size of [`trampoline`].
pub const TRAMPOLINE_BYTES: usize = 32;

/// Code that calls a function with an argument, from anywhere.
pub fn trampoline(function: usize, argument: usize) -> [u8; TRAMPOLINE_BYTES] {
    let mut code = [0; TRAMPOLINE_BYTES];
    // bti c; ldr x0, argument; ldr x16, function; br x16; then the two
    let instructions: [u32; 4] = [0xd503_245f, 0x5800_0060, 0x5800_0090, 0xd61f_0200];
    let [a, b, c, d] = instructions.map(u32::to_le_bytes);
    crate::memory::join(&mut code, &[&a, &b, &c, &d, &argument.to_le_bytes(), &function.to_le_bytes()]);
    code
}

/// Goes on as if nothing had been here: a loader has started the program already, and handed that over.
///
/// # Safety
/// They are what the program expects.
pub unsafe fn go_on(stack: *const usize, entry: usize, handed: usize) -> ! {
    // SAFETY: as the caller says; the registers are as the loader left them
    unsafe {
        asm!(
            "mov sp, x1", "mov x29, #0", "mov x30, #0", "br x16",
            in("x1") stack, in("x16") entry, in("x0") handed,
            options(noreturn),
        )
    }
}

/// Goes on as if the kernel had started that entry point with that stack, to which a block of bytes is copied first. What
/// runs now may lie where the block goes.
///
/// # Safety
/// They are what a loader expects.
pub unsafe fn enter(block: *const usize, bytes: usize, stack: usize, entry: usize) -> ! {
    // SAFETY: as the caller says; the registers are as the kernel leaves them
    unsafe {
        asm!(
            "mov sp, x2",
            "cbz x1, 3f",
            "2:",
            "ldr x3, [x0], #8",
            "str x3, [x2], #8",
            "subs x1, x1, #8",
            "b.ne 2b",
            "3:",
            "mov x0, #0",
            "mov x29, #0",
            "mov x30, #0",
            // a jump through x16 is one that `bti c` allows
            "br x16",
            in("x0") block,
            in("x1") bytes,
            in("x2") stack,
            in("x16") entry,
            options(noreturn),
        )
    }
}

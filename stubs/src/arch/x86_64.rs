//! x86-64, after the System V ABI and arch/x86/entry/syscalls/syscall_64.tbl of Linux.

use core::arch::{asm, global_asm};

/// `e_machine` of the files it runs.
pub const MACHINE: u16 = 62;

/// The relocation that calls a function and writes what it gives (`R_…_IRELATIVE`).
pub const CALLED_RELOCATION: usize = 37;

global_asm!(
    ".section .text._start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "endbr64",
    "xor ebp, ebp",
    "mov rdi, rsp",
    // what a loader hands over, if there was one before
    "mov rsi, rdx",
    "and rsp, -16",
    "call stub_main",
    "ud2",
    ".text",
);

/// Numbers of system calls.
pub mod number {
    #![allow(missing_docs)]
    pub const MKDIRAT: usize = 258;
    pub const UNLINKAT: usize = 263;
    pub const RENAMEAT2: usize = 316;
    pub const SYMLINKAT: usize = 266;
    pub const GETUID: usize = 102;
    pub const GETPID: usize = 39;
    pub const STATX: usize = 332;
    pub const DUP3: usize = 292;
    pub const MEMFD_CREATE: usize = 319;
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const MUNMAP: usize = 11;
    pub const EXECVE: usize = 59;
    pub const FCNTL: usize = 72;
    pub const CHDIR: usize = 80;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const READLINKAT: usize = 267;
    pub const FACCESSAT: usize = 269;
}

/// Calls the kernel; negative results are error numbers.
///
/// # Safety
/// As of the call.
#[inline(always)]
pub unsafe fn syscall(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel changes the registers that are named, and memory as the caller answers for
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
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
    unsafe { asm!("lea {}, [rip + __payload]", out(reg) address, options(nomem, nostack, pure)) };
    address
}

/// The size of [`trampoline`].
pub const TRAMPOLINE_BYTES: usize = 32;

/// Code that calls a function with an argument, from anywhere.
pub fn trampoline(function: usize, argument: usize) -> [u8; TRAMPOLINE_BYTES] {
    let mut code = [0; TRAMPOLINE_BYTES];
    let parts: [&[u8]; 5] = [
        // endbr64; mov rdi, argument; mov rax, function; jmp rax
        &[0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0xbf],
        &argument.to_le_bytes(),
        &[0x48, 0xb8],
        &function.to_le_bytes(),
        &[0xff, 0xe0],
    ];
    crate::memory::join(&mut code, &parts);
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
            "mov rsp, rdi", "xor ebp, ebp", "jmp rax",
            in("rdi") stack, in("rax") entry, in("rdx") handed,
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
            "mov rsp, rdi",
            "rep movsb",
            "xor edx, edx",
            "xor ebp, ebp",
            "jmp rax",
            in("rsi") block,
            in("rcx") bytes,
            in("rdi") stack,
            in("rax") entry,
            options(noreturn),
        )
    }
}

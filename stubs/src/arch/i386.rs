//! i386, after the System V ABI and arch/x86/entry/syscalls/syscall_32.tbl of Linux.

use core::arch::{asm, global_asm};

/// `e_machine` of the files it runs.
pub const MACHINE: u16 = 3;

/// The relocation that calls a function and writes what it gives (`R_…_IRELATIVE`).
pub const CALLED_RELOCATION: usize = 42;

global_asm!(
    ".section .text._start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "endbr32",
    "xor ebp, ebp",
    "mov eax, esp",
    "and esp, -16",
    "sub esp, 8",
    // what a loader hands over, if there was one before
    "push edx",
    "push eax",
    "call stub_main",
    "ud2",
    // the compiler keeps registers for itself that the kernel wants
    "stub_syscall:",
    "push ebp",
    "push ebx",
    "push esi",
    "push edi",
    "mov eax, [esp + 20]",
    "mov ebx, [esp + 24]",
    "mov ecx, [esp + 28]",
    "mov edx, [esp + 32]",
    "mov esi, [esp + 36]",
    "mov edi, [esp + 40]",
    "mov ebp, [esp + 44]",
    "int 0x80",
    "pop edi",
    "pop esi",
    "pop ebx",
    "pop ebp",
    "ret",
    ".text",
);

unsafe extern "C" {
    fn stub_syscall(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;
}

/// Numbers of system calls.
pub mod number {
    #![allow(missing_docs)]
    pub const MKDIRAT: usize = 296;
    pub const UNLINKAT: usize = 301;
    pub const RENAMEAT2: usize = 353;
    pub const SYMLINKAT: usize = 304;
    pub const GETUID: usize = 199;
    pub const GETPID: usize = 20;
    pub const STATX: usize = 383;
    pub const DUP3: usize = 330;
    pub const MEMFD_CREATE: usize = 356;
    pub const READ: usize = 3;
    pub const WRITE: usize = 4;
    pub const CLOSE: usize = 6;
    /// `mmap2`, whose offsets are in units of 4,096 bytes.
    pub const MMAP: usize = 192;
    pub const MUNMAP: usize = 91;
    pub const EXECVE: usize = 11;
    pub const FCNTL: usize = 221;
    pub const CHDIR: usize = 12;
    pub const EXIT_GROUP: usize = 252;
    pub const OPENAT: usize = 295;
    pub const READLINKAT: usize = 305;
    pub const FACCESSAT: usize = 307;
}

/// Calls the kernel; negative results are error numbers.
///
/// # Safety
/// As of the call.
#[inline(always)]
pub unsafe fn syscall(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    // SAFETY: keeps what the ABI asks for, and changes memory as the caller answers for
    unsafe { stub_syscall(number, a, b, c, d, e, f) }
}

/// Where the image ends: what it works on.
#[inline(always)]
pub fn payload() -> *const u8 {
    let address;
    // SAFETY: computes an address
    unsafe { asm!("call 2f", "2:", "popl {0}", "addl $__payload - 2b, {0}", out(reg) address, options(att_syntax)) };
    address
}

/// The size of [`trampoline`].
pub const TRAMPOLINE_BYTES: usize = 24;

/// Code that calls a function with an argument, from anywhere.
pub fn trampoline(function: usize, argument: usize) -> [u8; TRAMPOLINE_BYTES] {
    let mut code = [0; TRAMPOLINE_BYTES];
    let parts: [&[u8]; 5] = [
        // endbr32; sub esp, 8; push argument; mov eax, function; call eax; add esp, 12; ret
        &[0xf3, 0x0f, 0x1e, 0xfb, 0x83, 0xec, 0x08, 0x68],
        &argument.to_le_bytes(),
        &[0xb8],
        &function.to_le_bytes(),
        &[0xff, 0xd0, 0x83, 0xc4, 0x0c, 0xc3],
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
            "mov esp, edi", "xor ebp, ebp", "jmp eax",
            in("edi") stack, in("eax") entry, in("edx") handed,
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
            "mov esp, edi",
            "mov esi, eax",
            "rep movsb",
            "xor ebp, ebp",
            "jmp edx",
            in("eax") block,
            in("ecx") bytes,
            in("edi") stack,
            in("edx") entry,
            options(noreturn),
        )
    }
}

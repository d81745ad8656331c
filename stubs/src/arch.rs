//! What differs between processors: the entry point, system calls, and the jump into a loader.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86")]
mod i386;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{CALLED_RELOCATION, MACHINE, TRAMPOLINE_BYTES, enter, go_on, number, payload, syscall, trampoline};
#[cfg(target_arch = "x86")]
pub use i386::{CALLED_RELOCATION, MACHINE, TRAMPOLINE_BYTES, enter, go_on, number, payload, syscall, trampoline};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{CALLED_RELOCATION, MACHINE, TRAMPOLINE_BYTES, enter, go_on, number, payload, syscall, trampoline};

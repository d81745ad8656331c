//! What differs between processors: the entry point, system calls, and the jump into a loader.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86")]
mod i386;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{MACHINE, enter, go_on, number, payload, syscall};
#[cfg(target_arch = "x86")]
pub use i386::{MACHINE, enter, go_on, number, payload, syscall};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{MACHINE, enter, go_on, number, payload, syscall};

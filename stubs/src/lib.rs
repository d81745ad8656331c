//! What all stubs share: system calls, the stack as the kernel hands it over, and copying of bytes.
//!
//! Nothing here may panic; see README.md.

#![no_std]

pub mod arch;
pub mod bind;
pub mod bound;
pub mod codes;
pub mod elf;
pub mod environment;
pub mod heap;
pub mod lz4;
pub mod memory;
pub mod message;
pub mod path;
pub mod stack;
pub mod sys;

/// Never called: nothing panics, which the linker script makes sure of.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(127)
}

//! What nopal and the entry code have in common about bound symbols. `nopal-elf` includes this file.

#![allow(unreachable_pub, reason = "the stubs are crates of their own")]

/// The relocations of an object are done in place of the loader.
pub const IS_TAKEN: u32 = 1;
/// So are those of its calls.
pub const CALLS_ARE_TAKEN: u32 = 2;
/// Marks a relocation that is one of the calls.
pub const IS_CALL: u32 = 1 << 31;

/// The checksum of words, with another one behind them. That of no words is 0.
#[inline]
pub const fn checksum_with(checksum: u32, word: u32) -> u32 {
    (checksum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b1)
}

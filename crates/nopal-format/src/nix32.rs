//! Nix's base 32: digits `0123456789abcdfghijklmnpqrsvwxyz` (no `e o t u`), the last byte first, no padding characters.

use thiserror::Error;

/// The 32 digits in order; their order equals ASCII order, so sorting texts sorts numbers.
pub const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut index = 0;
    while index < DIGITS.len() {
        table[DIGITS[index] as usize] = index as u8;
        index += 1;
    }
    table
};

/// Why a text is not base 32.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Nix32Error {
    /// A character outside [`DIGITS`].
    #[error("invalid character '{}' in Nix base-32 string", char::from(*.character))]
    Digit {
        /// The offending byte.
        character: u8,
        /// Its place in the text, in bytes.
        position: usize,
    },
    /// No number of bytes is written with so many digits, or the expected one is not.
    #[error("Nix base-32 string has {found} digits, expected {expected}")]
    Length {
        /// Digits found.
        found: usize,
        /// Digits that the wanted number of bytes needs.
        expected: usize,
    },
    /// The unused bits of the first digit are not zero.
    #[error("Nix base-32 string has non-zero padding bits")]
    Padding,
}

/// How many digits `len` bytes need.
pub const fn encoded_len(len: usize) -> usize {
    if len == 0 { 0 } else { (len * 8 - 1) / 5 + 1 }
}

/// Whether the byte is one of the 32 digits.
pub const fn is_digit(byte: u8) -> bool {
    VALUES[byte as usize] != NONE
}

/// The value of a digit; 255 for other bytes.
pub(crate) const fn value(byte: u8) -> u8 {
    VALUES[byte as usize]
}

/// Appends the text of `bytes` to `out`.
pub fn encode_into(bytes: &[u8], out: &mut String) {
    for position in (0..encoded_len(bytes.len())).rev() {
        out.push(char::from(digit_at(bytes, position)));
    }
}

/// The text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(encoded_len(bytes.len()));
    encode_into(bytes, &mut out);
    out
}

fn digit_at(bytes: &[u8], position: usize) -> u8 {
    let bit = position * 5;
    let (byte, shift) = (bit / 8, bit % 8);
    let low = u16::from(bytes[byte]);
    let high = bytes.get(byte + 1).map_or(0, |next| u16::from(*next));
    DIGITS[(((low | high << 8) >> shift) & 0x1f) as usize]
}

/// The text of a store path's 20-byte digest: 32 digits. Five bytes are eight digits, so groups do not overlap.
pub fn encode20(bytes: &[u8; 20]) -> [u8; 32] {
    let mut out = [0; 32];
    for (group, digits) in bytes.as_chunks::<5>().0.iter().zip(out.as_chunks_mut::<8>().0.iter_mut().rev()) {
        let [a, b, c, d, e] = *group;
        *digits = encode5(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]));
    }
    out
}

/// The eight digits of a number of 40 bits, the highest first; all at once in one word.
fn encode5(number: u64) -> [u8; 8] {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // 20 bits of each 32, then 10 of each 16, then 5 of each 8
    let number = number & 0xf_ffff | (number >> 20) << 32;
    let number = number & 0x0000_03ff_0000_03ff | (number & 0x000f_fc00_000f_fc00) << 6;
    let number = number & 0x001f_001f_001f_001f | (number & 0x03e0_03e0_03e0_03e0) << 3;
    // one in every byte that is at least so much
    let at_least = |least: u64| (number + (0x80 - least) * ONES) >> 7 & ONES;
    // behind the ten decimal digits come letters; `e`, `o`, `t` and `u` are left out
    let letters = u64::from(b'a' - b'9' - 1) * at_least(10);
    let skipped = at_least(14) + at_least(23) + 2 * at_least(27);
    (number + u64::from(b'0') * ONES + letters + skipped).to_be_bytes()
}

/// Reads exactly `out.len()` bytes.
///
/// # Errors
/// Wrong length, a character that is no digit, or padding bits that are not zero.
pub fn decode_into(text: &[u8], out: &mut [u8]) -> Result<(), Nix32Error> {
    let expected = encoded_len(out.len());
    if text.len() != expected {
        return Err(Nix32Error::Length { found: text.len(), expected });
    }
    out.fill(0);
    for (position, &character) in text.iter().rev().enumerate() {
        let value = VALUES[usize::from(character)];
        if value == NONE {
            return Err(Nix32Error::Digit { character, position: text.len() - 1 - position });
        }
        let bit = position * 5;
        let (byte, shift) = (bit / 8, bit % 8);
        let wide = u16::from(value) << shift;
        out[byte] |= (wide & 0xff) as u8;
        let carry = (wide >> 8) as u8;
        match out.get_mut(byte + 1) {
            Some(next) => *next |= carry,
            None if carry != 0 => return Err(Nix32Error::Padding),
            None => {}
        }
    }
    Ok(())
}

/// Reads a text of any length: as many whole bytes as its digits hold.
///
/// # Errors
/// As [`decode_into`]; lengths that no number of bytes has are refused.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Nix32Error> {
    let mut out = vec![0; text.len() * 5 / 8];
    decode_into(text, &mut out)?;
    Ok(out)
}

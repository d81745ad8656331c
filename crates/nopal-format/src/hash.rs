//! Cryptographic hashes: the algorithms Nix knows, every textual form it reads, every form it prints.

use std::fmt;
use std::io;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD, STANDARD as BASE64};
use digest::Digest as _;
use thiserror::Error;

use crate::nix32;

const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const LENIENT: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);

/// The algorithms of Nix 2.34 (`blake3` is behind its experimental feature `blake3-hashes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
    /// 32 bytes.
    Blake3,
}

impl HashAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Blake3, Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// The name as Nix writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// The algorithm of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().as_bytes() == name)
    }

    /// Size of a digest in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }

    const fn base16_len(self) -> usize {
        self.len() * 2
    }

    const fn nix32_len(self) -> usize {
        nix32::encoded_len(self.len())
    }

    const fn base64_len(self) -> usize {
        self.len().div_ceil(3) * 4
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashAlgorithm {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        Self::named(text.as_bytes()).ok_or_else(|| HashError::UnknownAlgorithm { name: text.to_owned() })
    }
}

/// Why a text is not a hash; the wording is Nix's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HashError {
    /// The name is none of [`HashAlgorithm::ALL`].
    #[error("unknown hash algorithm '{name}', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'")]
    UnknownAlgorithm {
        /// The name found.
        name: String,
    },
    /// A bare digest, and the caller expects no algorithm.
    #[error("hash '{text}' does not include a type, nor is the type otherwise known from context")]
    NoAlgorithm {
        /// The text found.
        text: String,
    },
    /// The text names another algorithm than the caller expects.
    #[error("hash '{text}' should have type '{expected}'")]
    OtherAlgorithm {
        /// The text found.
        text: String,
        /// The algorithm that the caller expects.
        expected: HashAlgorithm,
    },
    /// Neither base 16, Nix's base 32 nor base 64 of this algorithm has such a length.
    #[error("hash '{text}' has wrong length for hash algorithm '{algorithm}'")]
    Length {
        /// The digits without prefix.
        text: String,
        /// The algorithm whose length it should have.
        algorithm: HashAlgorithm,
    },
    /// The caller wants SRI, the text is none.
    #[error("hash '{text}' is not SRI")]
    NotSri {
        /// The text found.
        text: String,
    },
    /// A form without prefix is required.
    #[error("hash '{text}' should not have a prefix")]
    Prefixed {
        /// The text found.
        text: String,
    },
    /// The digits give fewer or more bytes than the algorithm has; none if one of them is not a digit.
    #[error("invalid {form} hash '{text}', length {length} != expected length {}", algorithm.len())]
    Digits {
        /// The form as Nix names it.
        form: &'static str,
        /// The digits without prefix.
        text: String,
        /// How many bytes they give.
        length: usize,
        /// The algorithm whose length it should be.
        algorithm: HashAlgorithm,
    },
}

/// The forms of a printed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashEncoding {
    /// Lower-case hexadecimal.
    Base16,
    /// Nix's base 32.
    Nix32,
    /// RFC 4648 base 64, padded.
    Base64,
    /// `algorithm-base64`.
    Sri,
}

impl fmt::Display for HashEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base16 => "base16",
            Self::Nix32 => "nix32",
            Self::Base64 => "base64",
            Self::Sri => "sri",
        })
    }
}

impl HashEncoding {
    /// The form of a text that was read as this hash.
    pub fn of(text: &str, hash: &Hash) -> Self {
        let digits = match text.split_once(':') {
            Some((_, digits)) => digits,
            None if text.contains('-') => return Self::Sri,
            None => text,
        };
        match digits.len() {
            length if length == hash.algorithm.base16_len() => Self::Base16,
            length if length == hash.algorithm.nix32_len() => Self::Nix32,
            _ => Self::Base64,
        }
    }
}

impl FromStr for HashEncoding {
    type Err = UnknownHashFormat;

    /// `base32` is the deprecated name of `nix32`.
    fn from_str(text: &str) -> Result<Self, UnknownHashFormat> {
        match text {
            "base16" => Ok(Self::Base16),
            "nix32" | "base32" => Ok(Self::Nix32),
            "base64" => Ok(Self::Base64),
            "sri" => Ok(Self::Sri),
            _ => Err(UnknownHashFormat { name: text.to_owned() }),
        }
    }
}

/// The name is none of the four forms.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown hash format '{name}', expect 'base16', 'base32', 'base64', or 'sri'")]
pub struct UnknownHashFormat {
    /// The name found.
    pub name: String,
}

/// A digest and the algorithm that made it. Small enough to copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash {
    algorithm: HashAlgorithm,
    // Bytes past the algorithm's length are always zero, so derived equality holds.
    bytes: [u8; 64],
}

impl PartialOrd for Hash {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Hash {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.algorithm, self.bytes()).cmp(&(other.algorithm, other.bytes()))
    }
}

impl Hash {
    /// A hash from its raw bytes; `None` when their number is not the algorithm's.
    pub fn from_bytes(algorithm: HashAlgorithm, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != algorithm.len() {
            return None;
        }
        let mut all = [0; 64];
        all[..bytes.len()].copy_from_slice(bytes);
        Some(Self { algorithm, bytes: all })
    }

    /// A SHA-256 from its 32 bytes.
    pub fn sha256(bytes: [u8; 32]) -> Self {
        let mut all = [0; 64];
        all[..32].copy_from_slice(&bytes);
        Self { algorithm: HashAlgorithm::Sha256, bytes: all }
    }

    /// The all-zero digest: what `lib.fakeHash` and an empty `hash` stand for.
    pub const fn zero(algorithm: HashAlgorithm) -> Self {
        Self { algorithm, bytes: [0; 64] }
    }

    /// The digest of `data`.
    pub fn of(algorithm: HashAlgorithm, data: &[u8]) -> Self {
        if algorithm == HashAlgorithm::Sha256 {
            return sha256(data);
        }
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    /// Which algorithm.
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The raw digest.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len()]
    }

    /// Lower-case hexadecimal, no prefix.
    pub fn base16(&self) -> String {
        hex(self.bytes())
    }

    /// Nix's base 32, no prefix.
    pub fn nix32(&self) -> String {
        nix32::encode(self.bytes())
    }

    /// Base 64, no prefix.
    pub fn base64(&self) -> String {
        BASE64.encode(self.bytes())
    }

    /// `algorithm-base64`.
    pub fn sri(&self) -> String {
        format!("{}-{}", self.algorithm, self.base64())
    }

    /// Prints in the given form, without `algorithm:` (SRI has its own prefix).
    pub fn encode(&self, encoding: HashEncoding) -> String {
        match encoding {
            HashEncoding::Base16 => self.base16(),
            HashEncoding::Nix32 => self.nix32(),
            HashEncoding::Base64 => self.base64(),
            HashEncoding::Sri => self.sri(),
        }
    }

    /// Prints `algorithm:digits` (SRI as itself).
    pub fn encode_prefixed(&self, encoding: HashEncoding) -> String {
        match encoding {
            HashEncoding::Sri => self.sri(),
            other => format!("{}:{}", self.algorithm, self.encode(other)),
        }
    }

    /// Reads any form. `expected` is the algorithm that the context gives (`outputHashAlgo`, `sha256 = …`).
    ///
    /// # Errors
    /// No algorithm in text or context, two different ones, or wrong digits.
    pub fn parse_any(text: &str, expected: Option<HashAlgorithm>) -> Result<Self, HashError> {
        let (stated, digits, is_sri) = split_prefix(text)?;
        let algorithm = match (stated, expected) {
            (None, None) => return Err(HashError::NoAlgorithm { text: digits.to_owned() }),
            (Some(stated), Some(expected)) if stated != expected => {
                return Err(HashError::OtherAlgorithm { text: text.to_owned(), expected });
            }
            (Some(algorithm), _) | (None, Some(algorithm)) => algorithm,
        };
        decode_digits(digits, algorithm, is_sri)
    }

    /// Reads a form that carries its algorithm: `algorithm:digits` or SRI.
    ///
    /// # Errors
    /// As [`Hash::parse_any`] without context.
    pub fn parse_prefixed(text: &str) -> Result<Self, HashError> {
        Self::parse_any(text, None)
    }

    /// Reads SRI only, as flake inputs' `narHash` require.
    ///
    /// # Errors
    /// [`HashError::NotSri`] when there is no `-`, and wrong digits.
    pub fn parse_sri(text: &str) -> Result<Self, HashError> {
        let Some((name, digits)) = text.split_once('-') else {
            return Err(HashError::NotSri { text: text.to_owned() });
        };
        decode_digits(digits, name.parse()?, true)
    }

    /// Reads bare digits (base 16, Nix's base 32 or base 64 by their length), as in an ATerm's output.
    ///
    /// # Errors
    /// A length that the algorithm has in none of the forms, or wrong digits.
    pub fn parse_unprefixed(digits: &str, algorithm: HashAlgorithm) -> Result<Self, HashError> {
        decode_digits(digits, algorithm, false)
    }

    /// XOR-folds the digest to 20 bytes: the digest of a store path.
    pub fn compress20(&self) -> [u8; 20] {
        let mut out = [0; 20];
        for part in self.bytes().chunks(20) {
            out.iter_mut().zip(part).for_each(|(sum, byte)| *sum ^= byte);
        }
        out
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        Self::parse_prefixed(text)
    }
}

/// `algorithm:nix32`, the form of NAR hashes in narinfo files.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.nix32())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn split_prefix(text: &str) -> Result<(Option<HashAlgorithm>, &str, bool), HashError> {
    if let Some((name, digits)) = text.split_once(':') {
        return Ok((Some(name.parse()?), digits, false));
    }
    if let Some((name, digits)) = text.split_once('-') {
        return Ok((Some(name.parse()?), digits, true));
    }
    Ok((None, text, false))
}

fn decode_digits(digits: &str, algorithm: HashAlgorithm, is_sri: bool) -> Result<Hash, HashError> {
    let mut bytes = [0; 64];
    let out = &mut bytes[..algorithm.len()];
    let wrong = |form, length| HashError::Digits { form, text: digits.to_owned(), length, algorithm };
    if !is_sri && digits.len() == algorithm.base16_len() {
        unhex(digits.as_bytes(), out).map_err(|_| wrong("base16", 0))?;
    } else if !is_sri && digits.len() == algorithm.nix32_len() {
        let all_digits = digits.bytes().all(nix32::is_digit);
        let length = if all_digits { algorithm.len() + 1 } else { 0 };
        nix32::decode_into(digits.as_bytes(), out).map_err(|_| wrong("nix32", length))?;
    } else if is_sri || digits.len() == algorithm.base64_len() {
        let decoded = decode_base64(digits).unwrap_or_default();
        if decoded.len() != out.len() {
            return Err(wrong(if is_sri { "SRI" } else { "Base64" }, decoded.len()));
        }
        out.copy_from_slice(&decoded);
    } else {
        return Err(HashError::Length { text: digits.to_owned(), algorithm });
    }
    Ok(Hash { algorithm, bytes })
}

/// Base 64 as Nix reads it: line feeds are skipped, everything from the first `=` on is ignored, padding may be missing,
/// and so may the rest of a byte.
pub(crate) fn decode_base64(digits: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let mut payload = digits.split_once('=').map_or(digits, |(payload, _)| payload).replace('\n', "");
    let half = payload.len() % 4 == 1;
    if half {
        payload.push('A');
    }
    let mut bytes = LENIENT_BASE64.decode(payload)?;
    if half {
        bytes.pop();
    }
    Ok(bytes)
}

/// Lower-case hexadecimal of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = Vec::new();
    write_hex(bytes, &mut digits);
    // the digits are ASCII
    String::from_utf8(digits).unwrap_or_default()
}

/// Appends the lower-case hexadecimal of any bytes to `out`.
pub(crate) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 * bytes.len());
    let (fours, rest) = bytes.as_chunks::<4>();
    for four in fours {
        out.extend_from_slice(&hex_digits(u32::from_be_bytes(*four)));
    }
    for byte in rest {
        out.extend_from_slice(&hex_digits(u32::from(*byte))[6..]);
    }
}

/// The eight digits of a number, the highest first; all at once in one word.
fn hex_digits(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // 16 bits of each 32, then 8 of each 16, then 4 of each 8
    let number = u64::from(number);
    let number = number & 0xffff | (number >> 16) << 32;
    let number = number & 0x0000_00ff_0000_00ff | (number & 0x0000_ff00_0000_ff00) << 8;
    let number = number & 0x000f_000f_000f_000f | (number & 0x00f0_00f0_00f0_00f0) << 4;
    let letters = (number + (0x80 - 10) * ONES) >> 7 & ONES;
    (number + u64::from(b'0') * ONES + u64::from(b'a' - b'9' - 1) * letters).to_be_bytes()
}

fn unhex(text: &[u8], out: &mut [u8]) -> Result<(), char> {
    for (pair, byte) in text.chunks_exact(2).zip(out) {
        let mut value = 0;
        for &digit in pair {
            let nibble = char::from(digit).to_digit(16).ok_or(char::from(digit))?;
            value = value << 4 | nibble as u8;
        }
        *byte = value;
    }
    Ok(())
}

/// A running hash over any algorithm. Writing to it never fails.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    length: u64,
}

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// Starts a hash.
    pub fn new(algorithm: HashAlgorithm) -> Self {
        let state = match algorithm {
            HashAlgorithm::Md5 => State::Md5(md5::Md5::new()),
            HashAlgorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            HashAlgorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            HashAlgorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            HashAlgorithm::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
        };
        Self { state, length: 0 }
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.length += data.len() as u64;
        match &mut self.state {
            State::Md5(state) => state.update(data),
            State::Sha1(state) => state.update(data),
            State::Sha256(state) => state.update(data),
            State::Sha512(state) => state.update(data),
            State::Blake3(state) => {
                state.update(data);
            }
        }
    }

    /// Bytes added so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Hash {
        let (algorithm, mut bytes) = (self.algorithm(), [0; 64]);
        let out = &mut bytes[..algorithm.len()];
        match self.state {
            State::Md5(state) => out.copy_from_slice(&state.finalize()),
            State::Sha1(state) => out.copy_from_slice(&state.finalize()),
            State::Sha256(state) => out.copy_from_slice(&state.finalize()),
            State::Sha512(state) => out.copy_from_slice(&state.finalize()),
            State::Blake3(state) => out.copy_from_slice(state.finalize().as_bytes()),
        }
        Hash { algorithm, bytes }
    }

    /// Which algorithm.
    pub fn algorithm(&self) -> HashAlgorithm {
        match self.state {
            State::Md5(_) => HashAlgorithm::Md5,
            State::Sha1(_) => HashAlgorithm::Sha1,
            State::Sha256(_) => HashAlgorithm::Sha256,
            State::Sha512(_) => HashAlgorithm::Sha512,
            State::Blake3(_) => HashAlgorithm::Blake3,
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("algorithm", &self.algorithm()).field("length", &self.length).finish()
    }
}

impl io::Write for Hasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> Hash {
    Hash::sha256(sha256_bytes(data))
}

/// The bytes of the SHA-256 of `data`.
pub(crate) fn sha256_bytes(data: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(data).into()
}

/// The same, of a text in several parts.
pub(crate) fn sha256_of_parts<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    parts.into_iter().fold(sha2::Sha256::new(), sha2::Sha256::chain_update).finalize().into()
}

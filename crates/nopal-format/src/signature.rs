//! Ed25519 keys and signatures in Nix's form `name:base64`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::hash::decode_base64;

/// Longest text of a key or signature that is read, in bytes; real ones have about 150.
pub const MAX_TEXT_LEN: usize = 4096;

/// Why a text is no key or signature. Never shows the secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Longer than [`MAX_TEXT_LEN`].
    #[error("{what} has {len} bytes, more than {MAX_TEXT_LEN}")]
    TooLong {
        /// `secret key`, `public key` or `signature`.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// No `name:`, or nothing behind it.
    #[error("{what} is corrupt: it is not of the form 'name:base64'")]
    Form {
        /// `secret key`, `public key` or `signature`.
        what: &'static str,
    },
    /// The part behind the colon is not base 64.
    #[error("{what} named '{name}' is corrupt: {source}")]
    Base64 {
        /// `secret key`, `public key` or `signature`.
        what: &'static str,
        /// The name.
        name: String,
        /// What is wrong.
        source: base64::DecodeError,
    },
    /// The wrong number of bytes, or bytes that are no key.
    #[error("{what} named '{name}' is not valid")]
    Invalid {
        /// `secret key` or `public key`.
        what: &'static str,
        /// The name.
        name: String,
    },
}

fn split(text: &str, what: &'static str) -> Result<(String, Vec<u8>), SignatureError> {
    if text.len() > MAX_TEXT_LEN {
        return Err(SignatureError::TooLong { what, len: text.len() });
    }
    let (name, encoded) =
        text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or(SignatureError::Form { what })?;
    let bytes =
        decode_base64(encoded).map_err(|source| SignatureError::Base64 { what, name: name.to_owned(), source })?;
    if bytes.is_empty() { Err(SignatureError::Form { what }) } else { Ok((name.to_owned(), bytes)) }
}

/// A signature and the name of its key. Ordered as Nix orders them. Its length is not checked before it is verified,
/// as in Nix: a cache may carry signatures of kinds not known here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// Name of the key.
    pub key_name: String,
    /// The bytes; 64 in a valid one.
    pub bytes: Vec<u8>,
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let (key_name, bytes) = split(text, "signature")?;
        Ok(Self { key_name, bytes })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key_name, BASE64.encode(&self.bytes))
    }
}

/// A key that signs. Its debug form hides the secret.
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// Makes a key from 32 random bytes, which the caller draws.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that verifies.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// Signs a text, usually a fingerprint.
    pub fn sign(&self, text: &[u8]) -> Signature {
        Signature { key_name: self.name.clone(), bytes: self.key.sign(text).to_bytes().to_vec() }
    }

    /// The form of key files, secret included.
    pub fn to_secret_text(&self) -> String {
        format!("{}:{}", self.name, BASE64.encode(self.key.to_keypair_bytes()))
    }
}

impl FromStr for SecretKey {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        const WHAT: &str = "secret key";
        let (name, bytes) = split(text, WHAT)?;
        let key =
            <&[u8; 64]>::try_from(bytes.as_slice()).ok().and_then(|pair| SigningKey::from_keypair_bytes(pair).ok());
        match key {
            Some(key) => Ok(Self { name, key }),
            None => Err(SignatureError::Invalid { what: WHAT, name }),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

impl PublicKey {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the signature names this key and is right for the text.
    pub fn verify(&self, text: &[u8], signature: &Signature) -> bool {
        self.name == signature.key_name
            && ed25519_dalek::Signature::from_slice(&signature.bytes)
                .is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

impl FromStr for PublicKey {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        const WHAT: &str = "public key";
        let (name, bytes) = split(text, WHAT)?;
        let key = <&[u8; 32]>::try_from(bytes.as_slice()).ok().and_then(|bytes| VerifyingKey::from_bytes(bytes).ok());
        match key {
            Some(key) => Ok(Self { name, key }),
            None => Err(SignatureError::Invalid { what: WHAT, name }),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.key.as_bytes()))
    }
}

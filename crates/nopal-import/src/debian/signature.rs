//! OpenPGP signatures of Release files, checked as apt does: every signature by a known key must be good, at least one
//! must be there, and keys that are revoked or expired, and digests that are broken, do not count.

use std::path::PathBuf;

use nopal_fs::FsError;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::Signature;
use pgp::types::{KeyDetails, Timestamp, VerifyingKey};

use super::sources::Keys;

/// Largest key ring that is read, in bytes; Debian's has 60 kB.
const MAX_KEYRING_BYTES: u64 = 16 << 20;

/// Signatures looked at in one file; Debian uses up to four.
const MAX_SIGNATURES: usize = 64;

/// First line of a cleartext signed message.
const MESSAGE_LINE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
/// First line of the signatures that follow the text.
const SIGNATURE_LINE: &str = "-----BEGIN PGP SIGNATURE-----";
/// Last line of those.
const END_LINE: &str = "-----END PGP SIGNATURE-----";

/// Why a file is not accepted as signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A key ring could not be read.
    #[error(transparent)]
    Read(#[from] FsError),
    /// A key ring is not understood.
    #[error("key ring {origin}: {reason}")]
    Keyring {
        /// File, or `Signed-By`.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no key at all to check with.
    #[error("no key to check the signature with{}", if files.is_empty() { String::new() } else { format!(" in {}", show(files)) })]
    NoKeys {
        /// The key rings looked at.
        files: Vec<PathBuf>,
    },
    /// The text carries no signature.
    #[error("it is not signed")]
    NotSigned,
    /// The signed message is not understood.
    #[error("malformed signed message: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// None of the signatures is by a key of the key ring.
    #[error("signed by unknown keys: {}", issuers.join(", "))]
    UnknownKey {
        /// Key identifiers as the signatures name them.
        issuers: Vec<String>,
    },
    /// A signature does not match the text: one of them was altered.
    #[error("bad signature by key {key}: the text or the signature was altered")]
    Bad {
        /// Fingerprint.
        key: String,
    },
    /// A signature cannot be accepted although it matches.
    #[error("the signature by key {key} does not count: {reason}")]
    Unusable {
        /// Fingerprint.
        key: String,
        /// Why: revoked, expired, weak digest.
        reason: String,
    },
}

fn show(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Keys to check with.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<SignedPublicKey>,
    files: Vec<PathBuf>,
}

impl KeyRing {
    /// Loads what a source trusts. Missing default key rings are no error; a key ring that the source names is.
    ///
    /// # Errors
    /// [`SignatureError::Read`], [`SignatureError::Keyring`].
    pub fn load(keys: &Keys) -> Result<Self, SignatureError> {
        let mut ring = Self { keys: Vec::new(), files: Vec::new() };
        match keys {
            Keys::Inline(text) => ring.add(text.as_bytes(), "Signed-By")?,
            Keys::Files(files) => ring.add_files(files)?,
            Keys::Fingerprints { fingerprints, files } => {
                ring.add_files(files)?;
                ring.keys.retain(|key| {
                    let of_subkeys = key.public_subkeys.iter().map(|subkey| fingerprint(&subkey.key));
                    of_subkeys.chain([fingerprint(&key.primary_key)]).any(|have| fingerprints.contains(&have))
                });
            }
        }
        Ok(ring)
    }

    fn add_files(&mut self, files: &[PathBuf]) -> Result<(), SignatureError> {
        for file in files {
            let bytes = nopal_fs::read_file_limited(file, MAX_KEYRING_BYTES)?;
            self.add(&bytes, &file.display().to_string())?;
        }
        self.files.extend_from_slice(files);
        Ok(())
    }

    fn add(&mut self, bytes: &[u8], origin: &str) -> Result<(), SignatureError> {
        let wrong =
            |err: pgp::errors::Error| SignatureError::Keyring { origin: origin.to_owned(), reason: err.to_string() };
        let before = self.keys.len();
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            let keys = SignedPublicKey::from_bytes_many(bytes).map_err(wrong)?;
            // a key of an unknown kind must not hide the others of the ring
            self.keys.extend(keys.filter_map(Result::ok));
        } else {
            // several armored blocks may follow each other
            let text = String::from_utf8_lossy(bytes);
            for block in text.split_inclusive("-----END PGP PUBLIC KEY BLOCK-----") {
                if block.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
                    let (keys, _headers) =
                        SignedPublicKey::from_armor_many(block.trim_start().as_bytes()).map_err(wrong)?;
                    self.keys.extend(keys.filter_map(Result::ok));
                }
            }
        }
        if self.keys.len() == before {
            let reason = "it holds no OpenPGP public key".to_owned();
            return Err(SignatureError::Keyring { origin: origin.to_owned(), reason });
        }
        Ok(())
    }

    /// Checks a cleartext signed message (`InRelease`) and returns exactly the text that is signed.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify_cleartext(&self, message: &str, now_s: u64) -> Result<String, SignatureError> {
        let (text, armor) = split_cleartext(message)?;
        // the signature covers the text with CR LF between lines and none after the last
        self.verify(text.replace('\n', "\r\n").as_bytes(), armor.as_bytes(), now_s)?;
        Ok(text + "\n")
    }

    /// Checks a detached signature (`Release.gpg`), armored or binary.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify_detached(&self, data: &[u8], signatures: &[u8], now_s: u64) -> Result<(), SignatureError> {
        self.verify(data, signatures, now_s)
    }

    fn verify(&self, data: &[u8], signatures: &[u8], now_s: u64) -> Result<(), SignatureError> {
        if self.keys.is_empty() {
            return Err(SignatureError::NoKeys { files: self.files.clone() });
        }
        let malformed = |err: pgp::errors::Error| SignatureError::Malformed { reason: err.to_string() };
        let (parsed, _headers) = DetachedSignature::from_reader_many(signatures).map_err(malformed)?;
        let mut good = 0_usize;
        let mut unusable = None;
        let mut issuers = Vec::new();
        for signature in parsed.take(MAX_SIGNATURES) {
            let signature = signature.map_err(malformed)?.signature;
            match self.check(&signature, data, now_s) {
                Ok(()) => good += 1,
                Err(SignatureError::UnknownKey { issuers: unknown }) => issuers.extend(unknown),
                Err(err @ SignatureError::Unusable { .. }) => unusable = Some(err),
                Err(err) => return Err(err),
            }
        }
        match (good, unusable) {
            (1.., _) => Ok(()),
            (0, Some(err)) => Err(err),
            (0, None) if issuers.is_empty() => Err(SignatureError::NotSigned),
            (0, None) => Err(SignatureError::UnknownKey { issuers }),
        }
    }

    fn check(&self, signature: &Signature, data: &[u8], now_s: u64) -> Result<(), SignatureError> {
        let mut issuers: Vec<String> =
            signature.issuer_fingerprint().into_iter().map(|print| format!("{print:X}")).collect();
        let key_ids: Vec<String> = signature.issuer_key_id().into_iter().map(hex_id).collect();
        let names = |key: &dyn KeyDetails| {
            issuers.contains(&fingerprint(key)) || key_ids.contains(&hex_id(&key.legacy_key_id()))
        };
        for key in &self.keys {
            if names(&key.primary_key) {
                let state = primary_state(key, now_s);
                return judge(signature, &key.primary_key, data, state, now_s);
            }
            if let Some(subkey) = key.public_subkeys.iter().find(|subkey| names(&subkey.key)) {
                let bound = subkey.verify_bindings(&key.primary_key).map_err(|err| err.to_string());
                let state = primary_state(key, now_s)
                    .and(bound)
                    .and_then(|()| not_expired(&subkey.key, subkey.signatures.iter(), now_s));
                return judge(signature, &subkey.key, data, state, now_s);
            }
        }
        if issuers.is_empty() {
            issuers = key_ids;
        }
        Err(SignatureError::UnknownKey { issuers })
    }
}

/// Whether one signature by a known key counts. `state` says what is wrong with the key, if anything.
fn judge<K: VerifyingKey>(
    signature: &Signature,
    key: &K,
    data: &[u8],
    state: Result<(), String>,
    now_s: u64,
) -> Result<(), SignatureError> {
    let name = fingerprint(key);
    let unusable = |reason: String| SignatureError::Unusable { key: name.clone(), reason };
    match signature.hash_alg() {
        Some(HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160) | None => {
            return Err(unusable("it uses a broken digest".to_owned()));
        }
        Some(_) => {}
    }
    signature.verify(key, data).map_err(|_| SignatureError::Bad { key: name.clone() })?;
    state.map_err(unusable)?;
    if let (Some(made), Some(lasts)) = (signature.created(), signature.signature_expiration_time())
        && lasts.as_secs() != 0
        && u64::from(made.as_secs()) + u64::from(lasts.as_secs()) < now_s
    {
        return Err(unusable("the signature has expired".to_owned()));
    }
    Ok(())
}

fn primary_state(key: &SignedPublicKey, now_s: u64) -> Result<(), String> {
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(&key.primary_key).is_ok()) {
        return Err("the key is revoked".to_owned());
    }
    let of_users = key.details.users.iter().flat_map(|user| &user.signatures);
    let own = of_users.chain(&key.details.direct_signatures).filter(|signature| {
        let ids = signature.issuer_key_id();
        ids.is_empty() || ids.contains(&&key.primary_key.legacy_key_id())
    });
    not_expired(&key.primary_key, own, now_s)
}

/// The newest self-signature decides when a key expires.
fn not_expired<'a>(
    key: &impl KeyDetails,
    signatures: impl Iterator<Item = &'a Signature>,
    now_s: u64,
) -> Result<(), String> {
    let newest = signatures.max_by_key(|signature| signature.created().map(Timestamp::as_secs));
    let lasts = newest.and_then(Signature::key_expiration_time).map_or(0, |duration| u64::from(duration.as_secs()));
    let expired = lasts != 0 && u64::from(key.created_at().as_secs()) + lasts < now_s;
    if expired { Err("the key has expired".to_owned()) } else { Ok(()) }
}

fn fingerprint(key: &(impl KeyDetails + ?Sized)) -> String {
    format!("{:X}", key.fingerprint())
}

/// Splits a cleartext signed message into its text (dashes unescaped, white space at line ends dropped, lines ended by
/// LF, none after the last) and the armored signatures. Text before, between or after is refused: a reader that took it
/// for signed would be fooled.
fn split_cleartext(message: &str) -> Result<(String, &str), SignatureError> {
    let malformed = |reason: &str| SignatureError::Malformed { reason: reason.to_owned() };
    let body = message.trim_start().strip_prefix(MESSAGE_LINE).ok_or(SignatureError::NotSigned)?;
    let armor_at = body.find(&format!("\n{SIGNATURE_LINE}")).ok_or_else(|| malformed("it has no signature"))? + 1;
    let armor = &body[armor_at..];
    let end = armor.find(END_LINE).ok_or_else(|| malformed("the signature has no end"))? + END_LINE.len();
    if !armor[end..].trim().is_empty() {
        return Err(malformed("there is text after the signature"));
    }
    let mut lines = body[..armor_at].lines();
    if lines.next().is_none_or(|rest| !rest.trim().is_empty()) {
        return Err(malformed("there is text in the first line"));
    }
    for header in lines.by_ref() {
        if header.trim().is_empty() {
            break;
        }
        if !header.starts_with("Hash: ") {
            return Err(malformed("there is an unknown header"));
        }
    }
    let mut text = String::with_capacity(armor_at);
    for (index, line) in lines.enumerate() {
        if line.starts_with('-') && !line.starts_with("- ") {
            return Err(malformed("a dash at the start of a line is not escaped"));
        }
        if index > 0 {
            text.push('\n');
        }
        text.push_str(line.strip_prefix("- ").unwrap_or(line).trim_end_matches([' ', '\t', '\r']));
    }
    Ok((text, &armor[..end]))
}

fn hex_id(id: &pgp::types::KeyId) -> String {
    nopal_format::hash::hex(id.as_ref()).to_ascii_uppercase()
}

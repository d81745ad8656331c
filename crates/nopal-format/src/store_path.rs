//! Store paths: the store directory as a value, the path itself, and how a path is computed from what it names.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::hash::{Hash, HashAlgorithm, sha256};
use crate::nix32::{self, encode20};

/// Longest name in bytes: 255 (a file name) minus the digest, the dash and `.drv.chroot`-like suffixes. Nix's number.
pub const MAX_NAME_LEN: usize = 211;
/// Digits of a store path's digest.
pub const DIGEST_DIGITS: usize = 32;
/// A guess at the size of the text that a path's digest is of, with a few references.
const PATH_TEXT_BYTES: usize = 768;
/// The suffix of a derivation's name.
pub const DRV_SUFFIX: &str = ".drv";

/// Why a name may not stand in a store path; the wording is Nix's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// No characters.
    #[error("name must not be empty")]
    Empty,
    /// Longer than [`MAX_NAME_LEN`].
    #[error("name '{name}' must be no longer than {MAX_NAME_LEN} characters")]
    TooLong {
        /// The name.
        name: String,
    },
    /// `.` or `..`.
    #[error("name '{name}' is not valid")]
    Dots {
        /// The name.
        name: String,
    },
    /// `.-…` or `..-…`.
    #[error("name '{name}' is not valid: first dash-separated component must not be '{component}'")]
    DotsComponent {
        /// The name.
        name: String,
        /// `.` or `..`.
        component: &'static str,
    },
    /// A character outside `0-9a-zA-Z+-._?=`.
    #[error("name '{name}' contains illegal character '{}'", shown(*.character))]
    Character {
        /// The name.
        name: String,
        /// The offending byte.
        character: u8,
    },
}

/// A byte as a character; what is none by itself, as the character that stands for such bytes.
fn shown(byte: u8) -> char {
    if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER }
}

/// Why a text is not a store path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StorePathError {
    /// The store directory must be an absolute, canonical path.
    #[error("store directory '{dir}' is not an absolute path without '.', '..', '//' or trailing '/'")]
    StoreDir {
        /// The directory given.
        dir: String,
    },
    /// The path lies outside the store directory, or is the directory itself.
    #[error("path '{path}' is not in the store directory '{dir}'")]
    NotInStore {
        /// The path given.
        path: String,
        /// The store directory.
        dir: StoreDir,
    },
    /// Shorter than digest, dash and one character.
    #[error("'{base_name}' is too short to be a valid store path")]
    TooShort {
        /// The base name.
        base_name: String,
    },
    /// The digest has a character that is no base-32 digit.
    #[error("store path '{base_name}' contains illegal base-32 character '{}'", .character.escape_ascii())]
    Digit {
        /// The base name.
        base_name: String,
        /// The offending byte.
        character: u8,
    },
    /// No dash behind the digest.
    #[error("store path '{base_name}' has no dash behind its digest")]
    NoDash {
        /// The base name.
        base_name: String,
    },
    /// The part behind the dash is not a valid name.
    #[error("path '{base_name}' is not a valid store path: {source}")]
    Name {
        /// The base name.
        base_name: String,
        /// What is wrong with the name.
        source: NameError,
    },
    /// References are possible only for text and recursive SHA-256 content.
    #[error("fixed output derivation '{name}' is not allowed to refer to other store paths")]
    References {
        /// The name of the path.
        name: String,
    },
    /// Git hashing knows SHA-1 and SHA-256 only, text SHA-256 only.
    #[error("content addressed by '{method}' cannot use the hash algorithm '{algorithm}'")]
    Algorithm {
        /// How the content is hashed.
        method: ContentAddressMethod,
        /// The algorithm asked for.
        algorithm: HashAlgorithm,
    },
    /// The path does not end in `.drv`.
    #[error("store path '{base_name}' is not a valid derivation path")]
    NotDerivation {
        /// The base name.
        base_name: String,
    },
}

/// Checks a name (the part behind the digest) by Nix's rules.
///
/// # Errors
/// The first rule that is broken.
pub fn check_name(name: &[u8]) -> Result<&str, NameError> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    match name {
        [] => return Err(NameError::Empty),
        _ if name.len() > MAX_NAME_LEN => return Err(NameError::TooLong { name: shown() }),
        b"." | b".." => return Err(NameError::Dots { name: shown() }),
        [b'.', b'-', ..] => return Err(NameError::DotsComponent { name: shown(), component: "." }),
        [b'.', b'.', b'-', ..] => return Err(NameError::DotsComponent { name: shown(), component: ".." }),
        _ => {}
    }
    match (name.iter().find(|c| !IS_LEGAL[usize::from(**c)]), std::str::from_utf8(name)) {
        (None, Ok(text)) => Ok(text),
        (found, _) => Err(NameError::Character { name: shown(), character: found.copied().unwrap_or_default() }),
    }
}

/// The characters of names: `0-9a-zA-Z+-._?=`.
const IS_LEGAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut c = 0_u8;
    while c < 128 {
        table[c as usize] = c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.' | b'_' | b'?' | b'=');
        c += 1;
    }
    table
};

/// The logical store directory: part of every hash, whatever the physical place. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreDir(Arc<str>);

impl StoreDir {
    /// Takes an absolute canonical path.
    ///
    /// # Errors
    /// [`StorePathError::StoreDir`] when it is not absolute, or has empty, `.` or `..` components.
    pub fn new(dir: &str) -> Result<Self, StorePathError> {
        let canonical = dir.strip_prefix('/').is_some_and(|rest| {
            !rest.is_empty() && rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        });
        if canonical && !dir.contains('\0') {
            Ok(Self(Arc::from(dir)))
        } else {
            Err(StorePathError::StoreDir { dir: dir.to_owned() })
        }
    }

    /// The directory without trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute path of a store path: `DIR/DIGEST-NAME`.
    pub fn print(&self, path: &StorePath) -> String {
        let mut out = String::with_capacity(self.0.len() + 1 + DIGEST_DIGITS + 1 + path.name.len());
        self.print_into(path, &mut out);
        out
    }

    /// Appends the absolute path to `out`.
    pub fn print_into(&self, path: &StorePath, out: &mut String) {
        out.push_str(&self.0);
        out.push('/');
        path.base_name_into(out);
    }

    /// Reads the absolute path of a store object itself, without sub path.
    ///
    /// # Errors
    /// Not in this directory, a sub path, or no valid base name.
    pub fn parse(&self, path: &str) -> Result<StorePath, StorePathError> {
        match self.split(path)? {
            (found, "") => Ok(found),
            _ => Err(self.not_in_store(path)),
        }
    }

    /// Splits an absolute path into the store path and what follows it (empty, or beginning with `/`).
    ///
    /// # Errors
    /// Not in this directory, or no valid base name.
    pub fn split<'a>(&self, path: &'a str) -> Result<(StorePath, &'a str), StorePathError> {
        let rest = path
            .strip_prefix(self.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|rest| !rest.is_empty())
            .ok_or_else(|| self.not_in_store(path))?;
        let (base_name, sub_path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Ok((StorePath::from_base_name(base_name)?, sub_path))
    }

    /// Whether the path is this directory's child or below.
    pub fn contains(&self, path: &str) -> bool {
        path.strip_prefix(self.as_str()).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
    }

    fn not_in_store(&self, path: &str) -> StorePathError {
        StorePathError::NotInStore { path: path.to_owned(), dir: self.clone() }
    }

    /// The general rule: SHA-256 of `TYPE:HASH:DIR:NAME`, folded to 20 bytes.
    ///
    /// # Errors
    /// A name that is not valid.
    pub fn make_store_path(&self, kind: &str, hash: &Hash, name: &str) -> Result<StorePath, StorePathError> {
        self.path_of_kind(self.kind_with(&[kind], []), hash, name)
    }

    /// The same; the text begins with its kind.
    fn path_of_kind(&self, mut text: String, hash: &Hash, name: &str) -> Result<StorePath, StorePathError> {
        for part in [":", hash.algorithm().name(), ":", &hash.base16(), ":", &self.0, ":", name] {
            text.push_str(part);
        }
        StorePath::new(sha256(text.as_bytes()).compress20(), name)
    }

    /// The path of an input-addressed output: `output:OUTPUT`, named `NAME` or `NAME-OUTPUT`.
    ///
    /// # Errors
    /// A name that is not valid.
    pub fn output_path(&self, output: &str, hash: &Hash, name: &str) -> Result<StorePath, StorePathError> {
        self.path_of_kind(self.kind_with(&["output:", output], []), hash, &output_path_name(name, output))
    }

    /// The path of a text file (`builtins.toFile`, `.drv` files) with its references.
    ///
    /// # Errors
    /// A name that is not valid.
    pub fn text_path(
        &self,
        name: &str,
        content: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath, StorePathError> {
        self.text_path_of(name, &sha256(content), references)
    }

    /// The same, given the hash of the content, with references in order from anywhere.
    pub(crate) fn text_path_of<'a>(
        &self,
        name: &str,
        hash: &Hash,
        references: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<StorePath, StorePathError> {
        self.path_of_kind(self.kind_with(&["text"], references), hash, name)
    }

    /// The path of a source tree with a SHA-256 NAR hash and no references (`path` values copied to the store).
    ///
    /// # Errors
    /// A name that is not valid.
    pub fn source_path(&self, name: &str, nar_sha256: &Hash) -> Result<StorePath, StorePathError> {
        let ca = ContentAddress { method: ContentAddressMethod::Nar, hash: *nar_sha256 };
        self.ca_path(name, &ca, &References::default())
    }

    /// The path of content-addressed content: fixed outputs, added files and trees, texts.
    ///
    /// # Errors
    /// A name that is not valid; references where the method allows none; an algorithm that the method cannot use.
    pub fn ca_path(
        &self,
        name: &str,
        ca: &ContentAddress,
        references: &References,
    ) -> Result<StorePath, StorePathError> {
        let algorithm = ca.hash.algorithm();
        let wrong_algorithm = || StorePathError::Algorithm { method: ca.method, algorithm };
        let no_references = || StorePathError::References { name: name.to_owned() };
        match (ca.method, algorithm) {
            (ContentAddressMethod::Text, HashAlgorithm::Sha256) if references.itself => Err(no_references()),
            (ContentAddressMethod::Text, HashAlgorithm::Sha256) => {
                self.path_of_kind(self.kind_of("text", references), &ca.hash, name)
            }
            (ContentAddressMethod::Text, _) => Err(wrong_algorithm()),
            (ContentAddressMethod::Git, HashAlgorithm::Md5 | HashAlgorithm::Sha512 | HashAlgorithm::Blake3) => {
                Err(wrong_algorithm())
            }
            (ContentAddressMethod::Nar, HashAlgorithm::Sha256) => {
                self.path_of_kind(self.kind_of("source", references), &ca.hash, name)
            }
            _ if !references.is_empty() => Err(no_references()),
            (method, _) => {
                let text = ["fixed:out:", method.prefix(), algorithm.name(), ":", &ca.hash.base16(), ":"].concat();
                self.make_store_path("output:out", &sha256(text.as_bytes()), name)
            }
        }
    }

    fn kind_of(&self, kind: &str, references: &References) -> String {
        let mut out = self.kind_with(&[kind], &references.others);
        if references.itself {
            out.push_str(":self");
        }
        out
    }

    /// The begin of the text, with room for the rest.
    fn kind_with<'a>(&self, kind: &[&str], references: impl IntoIterator<Item = &'a StorePath>) -> String {
        let mut out = String::with_capacity(PATH_TEXT_BYTES);
        kind.iter().for_each(|part| out.push_str(part));
        for path in references {
            out.push(':');
            self.print_into(path, &mut out);
        }
        out
    }
}

/// `/nix/store`: the one place where this default is decided. Every hash of a public binary cache depends on it.
impl Default for StoreDir {
    fn default() -> Self {
        Self(Arc::from("/nix/store"))
    }
}

impl FromStr for StoreDir {
    type Err = StorePathError;

    fn from_str(dir: &str) -> Result<Self, StorePathError> {
        Self::new(dir)
    }
}

impl fmt::Display for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a content-addressed path refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Other store paths.
    pub others: BTreeSet<StorePath>,
    /// Whether the content holds its own path.
    pub itself: bool,
}

impl References {
    /// No references at all.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty() && !self.itself
    }
}

/// A store path without its directory: 20-byte digest and name. Ordered as its base name is.
#[derive(Clone, PartialEq, Eq)]
pub struct StorePath {
    digest: [u8; 20],
    name: Arc<str>,
}

impl StorePath {
    /// Joins digest and name.
    ///
    /// # Errors
    /// A name that is not valid.
    pub fn new(digest: [u8; 20], name: &str) -> Result<Self, StorePathError> {
        match check_name(name.as_bytes()) {
            Ok(name) => Ok(Self { digest, name: name.into() }),
            Err(source) => {
                let base_name = format!("{}-{name}", nix32::encode(&digest));
                Err(StorePathError::Name { base_name, source })
            }
        }
    }

    /// Reads `DIGEST-NAME`.
    ///
    /// # Errors
    /// Too short, a digit that is none, no dash, or a name that is not valid.
    pub fn from_base_name(base_name: &str) -> Result<Self, StorePathError> {
        Self::from_base_name_bytes(base_name.as_bytes())
    }

    /// Reads `DIGEST-NAME` from bytes.
    ///
    /// # Errors
    /// As [`StorePath::from_base_name`].
    pub fn from_base_name_bytes(base_name: &[u8]) -> Result<Self, StorePathError> {
        let shown = || String::from_utf8_lossy(base_name).into_owned();
        if base_name.len() < DIGEST_DIGITS + 1 {
            return Err(StorePathError::TooShort { base_name: shown() });
        }
        let (digits, rest) = base_name.split_at(DIGEST_DIGITS);
        let mut digest = [0; 20];
        if nix32::decode_into(digits, &mut digest).is_err() {
            let character = digits.iter().copied().find(|c| !nix32::is_digit(*c)).unwrap_or_default();
            return Err(StorePathError::Digit { base_name: shown(), character });
        }
        // Nix looks at the name only
        match check_name(&rest[1..]) {
            Err(source) => Err(StorePathError::Name { base_name: shown(), source }),
            Ok(_) if rest[0] != b'-' => Err(StorePathError::NoDash { base_name: shown() }),
            Ok(name) => Ok(Self { digest, name: name.into() }),
        }
    }

    /// The digest's bytes.
    pub fn digest(&self) -> &[u8; 20] {
        &self.digest
    }

    /// The digest's 32 digits: what a reference scan looks for.
    pub fn digest_digits(&self) -> [u8; DIGEST_DIGITS] {
        encode20(&self.digest)
    }

    /// The digest's 32 digits as text.
    pub fn hash_part(&self) -> String {
        nix32::encode(&self.digest)
    }

    /// The part behind the dash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `DIGEST-NAME`.
    pub fn base_name(&self) -> String {
        let mut out = String::with_capacity(DIGEST_DIGITS + 1 + self.name.len());
        self.base_name_into(&mut out);
        out
    }

    /// Appends `DIGEST-NAME` to `out`.
    pub fn base_name_into(&self, out: &mut String) {
        // the digits are ASCII
        out.push_str(std::str::from_utf8(&self.digest_digits()).unwrap_or_default());
        out.push('-');
        out.push_str(&self.name);
    }

    /// Whether the name ends in `.drv`.
    pub fn is_derivation(&self) -> bool {
        self.name.ends_with(DRV_SUFFIX)
    }

    /// The name without `.drv`.
    ///
    /// # Errors
    /// [`StorePathError::NotDerivation`] when it has no such suffix.
    pub fn derivation_name(&self) -> Result<&str, StorePathError> {
        self.name.strip_suffix(DRV_SUFFIX).ok_or_else(|| StorePathError::NotDerivation { base_name: self.base_name() })
    }

    fn number(&self) -> (u128, u32) {
        let [a, b, c, d, high @ ..] = self.digest;
        (u128::from_le_bytes(high), u32::from_le_bytes([a, b, c, d]))
    }
}

/// The digest alone is distinctive enough.
impl std::hash::Hash for StorePath {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.digest;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// By the text of the base name, as Nix sorts: the digest is printed last byte first, so it compares as a
/// little-endian number.
impl Ord for StorePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number()).then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for StorePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for StorePath {
    type Err = StorePathError;

    fn from_str(base_name: &str) -> Result<Self, StorePathError> {
        Self::from_base_name(base_name)
    }
}

/// The base name.
impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.base_name())
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base_name())
    }
}

/// The name of an output's path: the derivation's name, with `-OUTPUT` unless that is `out`.
pub fn output_path_name(drv_name: &str, output: &str) -> String {
    if output == "out" { drv_name.to_owned() } else { [drv_name, "-", output].concat() }
}

/// What stands for an output's path in its own derivation: `builtins.placeholder OUTPUT`.
pub fn hash_placeholder(output: &str) -> String {
    format!("/{}", sha256(format!("nix-output:{output}").as_bytes()).nix32())
}

/// What stands for the path of another derivation's output that is known only after its build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DownstreamPlaceholder(Hash);

impl DownstreamPlaceholder {
    /// For an output of a content-addressed derivation that is known.
    ///
    /// # Errors
    /// The path is not a derivation's.
    pub fn unknown_ca_output(drv_path: &StorePath, output: &str) -> Result<Self, StorePathError> {
        let name = output_path_name(drv_path.derivation_name()?, output);
        let text = format!("nix-upstream-output:{}:{name}", drv_path.hash_part());
        Ok(Self(sha256(text.as_bytes())))
    }

    /// For an output of a derivation that is itself an output not yet known.
    pub fn unknown_derivation(&self, output: &str) -> Self {
        let text = format!("nix-computed-output:{}:{output}", nix32::encode(&self.0.compress20()));
        Self(sha256(text.as_bytes()))
    }

    /// The text that stands in strings: `/` and 52 digits.
    pub fn render(&self) -> String {
        format!("/{}", self.0.nix32())
    }
}

//! The `.narinfo` file of a binary cache.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use thiserror::Error;

use crate::content_address::{ContentAddress, ContentAddressError};
use crate::hash::{Hash, HashAlgorithm, HashError};
use crate::path_info::PathInfo;
use crate::signature::{Signature, SignatureError};
use crate::store_path::{StoreDir, StorePath, StorePathError};

/// Largest file that is read, in bytes. The largest real ones (thousands of references) have some hundred KiB.
pub const MAX_NARINFO_LEN: usize = 1 << 20;

/// How the NAR of a cache is compressed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// `xz`, what Nix writes when not told otherwise.
    Xz,
    /// `zstd`
    Zstd,
    /// `bzip2`, what a file without the field means.
    Bzip2,
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `lz4`
    Lz4,
    /// `lzip`
    Lzip,
    /// Another name.
    Other(String),
}

impl Compression {
    /// The name in the file.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Lz4 => "lz4",
            Self::Lzip => "lzip",
            Self::Other(name) => name,
        }
    }

    /// The compression of that name; an empty one is `bzip2`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "none" => Self::None,
            "xz" => Self::Xz,
            "zstd" => Self::Zstd,
            "" | "bzip2" => Self::Bzip2,
            "gzip" => Self::Gzip,
            "br" => Self::Brotli,
            "lz4" => Self::Lz4,
            "lzip" => Self::Lzip,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The ending of NAR files that Nix gives them: `.nar` and this.
    pub fn file_suffix(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Zstd => ".zst".to_owned(),
            Self::Bzip2 => ".bz2".to_owned(),
            Self::Gzip => ".gz".to_owned(),
            other => format!(".{}", other.name()),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a cache says about a path, and where its NAR is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    /// The path.
    pub info: PathInfo,
    /// Where the NAR file is, relative to the cache.
    pub url: String,
    /// How the NAR file is compressed.
    pub compression: Compression,
    /// Hash of the NAR file.
    pub file_hash: Option<Hash>,
    /// Size of the NAR file in bytes.
    pub file_size: Option<u64>,
}

/// Why a text is no narinfo. Lines count from one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NarInfoError {
    /// Larger than [`MAX_NARINFO_LEN`].
    #[error("narinfo has {len} bytes, more than {MAX_NARINFO_LEN}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Not UTF-8.
    #[error("narinfo is not UTF-8")]
    Utf8,
    /// A line without colon and space.
    #[error("narinfo is corrupt: expecting ': ' at line {line}")]
    Colon {
        /// The line.
        line: usize,
    },
    /// The last line has no end.
    #[error("narinfo is corrupt: expecting '\\n' at line {line}")]
    LineEnd {
        /// The line.
        line: usize,
    },
    /// A field twice.
    #[error("narinfo is corrupt: extra {field} at line {line}")]
    Duplicate {
        /// The field.
        field: &'static str,
        /// The line of the second.
        line: usize,
    },
    /// A number that is none.
    #[error("narinfo is corrupt: invalid {field} '{value}' at line {line}")]
    Number {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// The line.
        line: usize,
    },
    /// A hash that is none.
    #[error("narinfo is corrupt: bad hash at line {line}: {source}")]
    Hash {
        /// The line.
        line: usize,
        /// What is wrong.
        source: HashError,
    },
    /// A path that is none.
    #[error("narinfo is corrupt at line {line}: {source}")]
    StorePath {
        /// The line.
        line: usize,
        /// What is wrong.
        source: StorePathError,
    },
    /// A signature that is none.
    #[error("narinfo is corrupt at line {line}: {source}")]
    Signature {
        /// The line.
        line: usize,
        /// What is wrong.
        source: SignatureError,
    },
    /// A content address that is none.
    #[error("narinfo is corrupt at line {line}: {source}")]
    ContentAddress {
        /// The line.
        line: usize,
        /// What is wrong.
        source: ContentAddressError,
    },
    /// A field that must be there.
    #[error("narinfo is corrupt: {field} missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The hash of a NAR must be SHA-256.
    #[error("narinfo is corrupt: NarHash is {algorithm}, not sha256")]
    NarHashAlgorithm {
        /// What it is.
        algorithm: HashAlgorithm,
    },
}

#[derive(Default)]
struct Fields {
    path: Option<StorePath>,
    url: Option<String>,
    compression: Option<Compression>,
    file_hash: Option<Hash>,
    file_size: Option<u64>,
    nar_hash: Option<Hash>,
    nar_size: Option<u64>,
    references: Option<BTreeSet<StorePath>>,
    deriver: Option<Option<StorePath>>,
    signatures: BTreeSet<Signature>,
    ca: Option<ContentAddress>,
}

impl NarInfo {
    /// Reads a file. Fields that are not known are skipped.
    ///
    /// # Errors
    /// What Nix refuses; further, known fields that occur twice, and a NAR hash that is not SHA-256.
    pub fn parse(dir: &StoreDir, text: &[u8]) -> Result<Self, NarInfoError> {
        if text.len() > MAX_NARINFO_LEN {
            return Err(NarInfoError::TooLong { len: text.len() });
        }
        let text = std::str::from_utf8(text).map_err(|_| NarInfoError::Utf8)?;
        let mut fields = Fields::default();
        for (index, row) in text.split_inclusive('\n').enumerate() {
            let line = index + 1;
            let row = row.strip_suffix('\n').ok_or(NarInfoError::LineEnd { line })?;
            let (name, value) = row.split_once(": ").ok_or(NarInfoError::Colon { line })?;
            fields.read(dir, line, name, value)?;
        }
        fields.finish()
    }

    /// The text of the file, fields in Nix's order.
    pub fn print(&self, dir: &StoreDir) -> String {
        let mut out = String::with_capacity(1024);
        let mut line = |name: &str, value: &dyn fmt::Display| {
            let _ = writeln!(out, "{name}: {value}");
        };
        let info = &self.info;
        line("StorePath", &dir.print(&info.path));
        line("URL", &self.url);
        line("Compression", &self.compression);
        if let Some(hash) = &self.file_hash {
            line("FileHash", hash);
        }
        if let Some(size) = &self.file_size {
            line("FileSize", size);
        }
        line("NarHash", &info.nar_hash);
        line("NarSize", &info.nar_size);
        let references: Vec<String> = info.references.iter().map(StorePath::base_name).collect();
        line("References", &references.join(" "));
        if let Some(deriver) = &info.deriver {
            line("Deriver", deriver);
        }
        for signature in &info.signatures {
            line("Sig", signature);
        }
        if let Some(ca) = &info.ca {
            line("CA", ca);
        }
        out
    }
}

fn set<T>(slot: &mut Option<T>, value: T, field: &'static str, line: usize) -> Result<(), NarInfoError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(NarInfoError::Duplicate { field, line }),
    }
}

fn number(value: &str, field: &'static str, line: usize) -> Result<u64, NarInfoError> {
    let wrong = || NarInfoError::Number { field, value: value.to_owned(), line };
    if value.starts_with('+') { Err(wrong()) } else { value.parse().map_err(|_| wrong()) }
}

impl Fields {
    fn read(&mut self, dir: &StoreDir, line: usize, name: &str, value: &str) -> Result<(), NarInfoError> {
        let hash = || Hash::parse_prefixed(value).map_err(|source| NarInfoError::Hash { line, source });
        let base_name =
            |text: &str| StorePath::from_base_name(text).map_err(|source| NarInfoError::StorePath { line, source });
        match name {
            "StorePath" => {
                let path = dir.parse(value).map_err(|source| NarInfoError::StorePath { line, source })?;
                set(&mut self.path, path, "StorePath", line)
            }
            "URL" => set(&mut self.url, value.to_owned(), "URL", line),
            "Compression" => set(&mut self.compression, Compression::from_name(value), "Compression", line),
            "FileHash" => set(&mut self.file_hash, hash()?, "FileHash", line),
            "FileSize" => set(&mut self.file_size, number(value, "FileSize", line)?, "FileSize", line),
            "NarHash" => set(&mut self.nar_hash, hash()?, "NarHash", line),
            "NarSize" => set(&mut self.nar_size, number(value, "NarSize", line)?, "NarSize", line),
            "References" => {
                let references = value.split(' ').filter(|text| !text.is_empty()).map(base_name);
                set(&mut self.references, references.collect::<Result<_, _>>()?, "References", line)
            }
            "Deriver" => {
                let deriver = if value == "unknown-deriver" { None } else { Some(base_name(value)?) };
                set(&mut self.deriver, deriver, "Deriver", line)
            }
            "Sig" => {
                let signature = Signature::from_str(value);
                self.signatures.insert(signature.map_err(|source| NarInfoError::Signature { line, source })?);
                Ok(())
            }
            "CA" if !value.is_empty() => {
                let ca = value.parse().map_err(|source| NarInfoError::ContentAddress { line, source })?;
                set(&mut self.ca, ca, "CA", line)
            }
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<NarInfo, NarInfoError> {
        let path = self.path.ok_or(NarInfoError::Missing { field: "StorePath" })?;
        let nar_hash = self.nar_hash.ok_or(NarInfoError::Missing { field: "NarHash" })?;
        if nar_hash.algorithm() != HashAlgorithm::Sha256 {
            return Err(NarInfoError::NarHashAlgorithm { algorithm: nar_hash.algorithm() });
        }
        let url = self.url.filter(|url| !url.is_empty()).ok_or(NarInfoError::Missing { field: "URL" })?;
        let nar_size = self.nar_size.filter(|size| *size != 0).ok_or(NarInfoError::Missing { field: "NarSize" })?;
        let mut info = PathInfo::new(path, nar_hash, nar_size);
        info.references = self.references.unwrap_or_default();
        info.deriver = self.deriver.flatten();
        info.signatures = self.signatures;
        info.ca = self.ca;
        Ok(NarInfo {
            info,
            url,
            compression: self.compression.unwrap_or(Compression::Bzip2),
            file_hash: self.file_hash,
            file_size: self.file_size,
        })
    }
}

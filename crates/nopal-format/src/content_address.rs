//! Content addresses: how a store path's name follows from its content (`text:sha256:…`, `fixed:r:sha256:…`).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hash::{Hash, HashAlgorithm, HashError};
use crate::json::Json;

/// How content is turned into the bytes that are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentAddressMethod {
    /// A text file with references (`.drv` files, `builtins.toFile`).
    Text,
    /// The bytes of one regular file.
    Flat,
    /// The NAR of a tree (`recursive` in derivations).
    Nar,
    /// The git blob or tree.
    Git,
}

impl ContentAddressMethod {
    /// The prefix in an ATerm's hash algorithm: `r:`, `git:`, `text:` or nothing.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Text => "text:",
            Self::Flat => "",
            Self::Nar => "r:",
            Self::Git => "git:",
        }
    }

    /// The name in JSON and in `outputHashMode`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Flat => "flat",
            Self::Nar => "nar",
            Self::Git => "git",
        }
    }

    /// Splits the ATerm form (`r:sha256`).
    ///
    /// # Errors
    /// An algorithm that is not known.
    pub fn parse_with_algorithm(text: &str) -> Result<(Self, HashAlgorithm), HashError> {
        for method in [Self::Nar, Self::Git, Self::Text] {
            if let Some(rest) = text.strip_prefix(method.prefix()) {
                return Ok((method, rest.parse()?));
            }
        }
        Ok((Self::Flat, text.parse()?))
    }
}

impl fmt::Display for ContentAddressMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ContentAddressMethod {
    type Err = ContentAddressError;

    /// `recursive` is the old name of `nar`.
    fn from_str(text: &str) -> Result<Self, ContentAddressError> {
        match text {
            "text" => Ok(Self::Text),
            "flat" => Ok(Self::Flat),
            "nar" | "recursive" => Ok(Self::Nar),
            "git" => Ok(Self::Git),
            _ => Err(ContentAddressError::Method { name: text.to_owned() }),
        }
    }
}

/// Why a text is not a content address; the wording is Nix's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContentAddressError {
    /// No colon.
    #[error("not a content address because it is not in the form '<prefix>:<rest>': {text}")]
    Form {
        /// The text.
        text: String,
    },
    /// No colon behind the algorithm.
    #[error("content address hash must be in form '<algo>:<hash>', but found: {text}")]
    HashForm {
        /// The text.
        text: String,
    },
    /// Neither `text` nor `fixed`.
    #[error("content address prefix '{prefix}' is unrecognized. Recogonized prefixes are 'text' or 'fixed'")]
    Prefix {
        /// The prefix found.
        prefix: String,
    },
    /// No such ingestion method.
    #[error("unknown file ingestion method, expect `flat`, `nar`, or `git`: '{name}'")]
    Method {
        /// The name found.
        name: String,
    },
    /// The algorithm or the digest is wrong.
    #[error("in content address '{text}': {source}")]
    Hash {
        /// The whole text.
        text: String,
        /// What is wrong.
        source: HashError,
    },
}

/// A method and the hash of what it yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentAddress {
    /// How the content was hashed.
    pub method: ContentAddressMethod,
    /// The hash.
    pub hash: Hash,
}

impl ContentAddress {
    /// The ATerm form of method and algorithm: `r:sha256`.
    pub fn method_algorithm(&self) -> String {
        [self.method.prefix(), self.hash.algorithm().name()].concat()
    }
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, prefix) = match self.method {
            ContentAddressMethod::Text => ("text", ""),
            other => ("fixed", other.prefix()),
        };
        write!(f, "{kind}:{prefix}{}:{}", self.hash.algorithm(), self.hash.nix32())
    }
}

impl FromStr for ContentAddress {
    type Err = ContentAddressError;

    fn from_str(text: &str) -> Result<Self, ContentAddressError> {
        let wrong_hash = |source| ContentAddressError::Hash { text: text.to_owned(), source };
        let (kind, rest) = text.split_once(':').ok_or_else(|| ContentAddressError::Form { text: text.to_owned() })?;
        let (method, rest) = match kind {
            "text" => (ContentAddressMethod::Text, rest),
            "fixed" => [ContentAddressMethod::Nar, ContentAddressMethod::Git]
                .into_iter()
                .find_map(|method| rest.strip_prefix(method.prefix()).map(|rest| (method, rest)))
                .unwrap_or((ContentAddressMethod::Flat, rest)),
            _ => return Err(ContentAddressError::Prefix { prefix: kind.to_owned() }),
        };
        let (algorithm, digits) =
            rest.split_once(':').ok_or_else(|| ContentAddressError::HashForm { text: text.to_owned() })?;
        let algorithm = algorithm.parse().map_err(wrong_hash)?;
        let hash = Hash::parse_unprefixed(digits, algorithm).map_err(wrong_hash)?;
        Ok(Self { method, hash })
    }
}

impl ContentAddress {
    /// As JSON: `{"hash": SRI, "method": …}`.
    pub fn to_json(&self) -> Json {
        Json::object([("method", self.method.name().into()), ("hash", self.hash.sri().into())])
    }
}

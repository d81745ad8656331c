//! Realisations: which path an output of a derivation turned out to have; their JSON, fingerprints and signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hash::{Hash, HashError};
use crate::json::{Json, JsonError};
use crate::signature::{PublicKey, SecretKey, Signature, SignatureError};
use crate::store_path::{StorePath, StorePathError};

/// An output of a derivation, whatever the paths of its inputs: `sha256:HEX!OUTPUT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrvOutput {
    /// The hash modulo of the derivation, its own outputs masked.
    pub drv_hash: Hash,
    /// The name of the output.
    pub output: String,
}

/// What an output turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realisation {
    /// The output.
    pub id: DrvOutput,
    /// Its path.
    pub path: StorePath,
    /// Signatures over the fingerprint.
    pub signatures: BTreeSet<Signature>,
}

/// Why a text is no realisation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RealisationError {
    /// An id without `!`.
    #[error("Invalid derivation output id {id}")]
    Id {
        /// The text.
        id: String,
    },
    /// The hash in an id is wrong.
    #[error("in derivation output id '{id}': {source}")]
    Hash {
        /// The text.
        id: String,
        /// What is wrong.
        source: HashError,
    },
    /// Not JSON, or of another shape.
    #[error("while reading realisation JSON: {0}")]
    Json(#[from] JsonError),
    /// A path that is none.
    #[error("while reading realisation JSON: {0}")]
    StorePath(#[from] StorePathError),
    /// A signature that is none.
    #[error("while reading realisation JSON: {0}")]
    Signature(#[from] SignatureError),
}

impl fmt::Display for DrvOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}!{}", self.drv_hash.algorithm(), self.drv_hash.base16(), self.output)
    }
}

impl FromStr for DrvOutput {
    type Err = RealisationError;

    fn from_str(text: &str) -> Result<Self, RealisationError> {
        let Some((hash, output)) = text.split_once('!') else {
            return Err(RealisationError::Id { id: text.to_owned() });
        };
        let drv_hash =
            Hash::parse_prefixed(hash).map_err(|source| RealisationError::Hash { id: text.to_owned(), source })?;
        Ok(Self { drv_hash, output: output.to_owned() })
    }
}

impl Realisation {
    /// One without signatures.
    pub fn new(id: DrvOutput, path: StorePath) -> Self {
        Self { id, path, signatures: BTreeSet::new() }
    }

    /// As JSON.
    pub fn to_json(&self) -> Json {
        let mut json = self.unsigned();
        json.insert("signatures".to_owned(), self.signatures.iter().map(ToString::to_string).collect());
        Json::Object(json)
    }

    fn unsigned(&self) -> BTreeMap<String, Json> {
        BTreeMap::from(
            [
                // not used any more, and still part of what is signed
                ("dependentRealisations", Json::Object(BTreeMap::new())),
                ("id", self.id.to_string().into()),
                ("outPath", self.path.base_name().into()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        )
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// Another shape, or values that are not what they should be.
    pub fn from_json(json: &Json) -> Result<Self, RealisationError> {
        let mut signatures = BTreeSet::new();
        if let Some(list) = json.get("signatures") {
            for signature in list.as_array("signatures")? {
                signatures.insert(signature.as_str("signatures")?.parse()?);
            }
        }
        Ok(Self {
            id: json.key("id")?.as_str("id")?.parse()?,
            path: StorePath::from_base_name(json.key("outPath")?.as_str("outPath")?)?,
            signatures,
        })
    }

    /// The text that is signed: the JSON without signatures.
    pub fn fingerprint(&self) -> String {
        Json::Object(self.unsigned()).to_compact()
    }

    /// Adds a signature.
    pub fn sign(&mut self, key: &SecretKey) {
        self.signatures.insert(key.sign(self.fingerprint().as_bytes()));
    }

    /// How many of its signatures are by one of these keys, and right.
    pub fn count_valid_signatures(&self, keys: &[PublicKey]) -> usize {
        let fingerprint = self.fingerprint();
        let is_valid = |signature: &&Signature| keys.iter().any(|key| key.verify(fingerprint.as_bytes(), signature));
        self.signatures.iter().filter(is_valid).count()
    }
}

//! What a store knows about a valid path; its fingerprint, and its JSON as `nix path-info --json` prints it.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::content_address::{ContentAddress, ContentAddressError};
use crate::hash::{Hash, HashAlgorithm, HashError};
use crate::json::{Json, JsonError};
use crate::signature::{PublicKey, SecretKey, Signature, SignatureError};
use crate::store_path::{References, StoreDir, StorePath, StorePathError};

/// A valid path and all that is recorded about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path.
    pub path: StorePath,
    /// SHA-256 of its NAR.
    pub nar_hash: Hash,
    /// Length of its NAR in bytes.
    pub nar_size: u64,
    /// Store paths that occur in it, itself included if so.
    pub references: BTreeSet<StorePath>,
    /// The derivation that it was built from.
    pub deriver: Option<StorePath>,
    /// Signatures over the fingerprint.
    pub signatures: BTreeSet<Signature>,
    /// How its path follows from its content.
    pub ca: Option<ContentAddress>,
    /// When it was registered, in seconds since 1970; 0 when that is not known.
    pub registration_time_seconds: u64,
    /// Whether it was built here, so that no signature is needed.
    pub ultimate: bool,
}

/// The forms of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathInfoFormat {
    /// Absolute paths; what Nix prints when not asked for another form.
    V1,
    /// Base names, and a content address as an object.
    V2,
}

/// Why JSON is no path info.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathInfoJsonError {
    /// Another shape.
    #[error("while reading path info JSON: {0}")]
    Json(#[from] JsonError),
    /// A version that is not known.
    #[error("unsupported path info JSON format version {version}")]
    Version {
        /// The version found.
        version: u64,
    },
    /// A path that is none.
    #[error("while reading path info JSON: {0}")]
    StorePath(#[from] StorePathError),
    /// A hash that is none.
    #[error("while reading path info JSON: {0}")]
    Hash(#[from] HashError),
    /// A content address that is none.
    #[error("while reading path info JSON: {0}")]
    ContentAddress(#[from] ContentAddressError),
    /// A signature that is none.
    #[error("while reading path info JSON: {0}")]
    Signature(#[from] SignatureError),
}

/// Why there is nothing to sign.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FingerprintError {
    /// The size of the NAR is not known.
    #[error("cannot calculate fingerprint of path '{path}' because its size is not known")]
    NoSize {
        /// The path.
        path: StorePath,
    },
    /// The NAR's hash is of another algorithm than SHA-256.
    #[error("cannot calculate fingerprint of path '{path}' because its NAR hash is {algorithm}, not sha256")]
    Algorithm {
        /// The path.
        path: StorePath,
        /// The algorithm.
        algorithm: HashAlgorithm,
    },
}

impl PathInfo {
    /// A path of which nothing but the content is known.
    pub fn new(path: StorePath, nar_hash: Hash, nar_size: u64) -> Self {
        Self {
            path,
            nar_hash,
            nar_size,
            references: BTreeSet::new(),
            deriver: None,
            signatures: BTreeSet::new(),
            ca: None,
            registration_time_seconds: 0,
            ultimate: false,
        }
    }

    /// The text that signatures are made over: version, path, NAR hash, NAR size, references.
    ///
    /// # Errors
    /// Size not known, or a NAR hash that is not SHA-256.
    pub fn fingerprint(&self, dir: &StoreDir) -> Result<String, FingerprintError> {
        if self.nar_size == 0 {
            return Err(FingerprintError::NoSize { path: self.path.clone() });
        }
        if self.nar_hash.algorithm() != HashAlgorithm::Sha256 {
            let algorithm = self.nar_hash.algorithm();
            return Err(FingerprintError::Algorithm { path: self.path.clone(), algorithm });
        }
        let references: Vec<String> = self.references.iter().map(|path| dir.print(path)).collect();
        Ok(format!("1;{};{};{};{}", dir.print(&self.path), self.nar_hash, self.nar_size, references.join(",")))
    }

    /// Adds a signature by this key.
    ///
    /// # Errors
    /// As [`PathInfo::fingerprint`].
    pub fn sign(&mut self, dir: &StoreDir, key: &SecretKey) -> Result<(), FingerprintError> {
        let fingerprint = self.fingerprint(dir)?;
        self.signatures.insert(key.sign(fingerprint.as_bytes()));
        Ok(())
    }

    /// How many signatures are right for one of the keys.
    ///
    /// # Errors
    /// As [`PathInfo::fingerprint`].
    pub fn count_valid_signatures(&self, dir: &StoreDir, keys: &[PublicKey]) -> Result<usize, FingerprintError> {
        let fingerprint = self.fingerprint(dir)?;
        let is_valid = |signature: &&Signature| keys.iter().any(|key| key.verify(fingerprint.as_bytes(), signature));
        Ok(self.signatures.iter().filter(is_valid).count())
    }

    /// The references with the path itself told apart.
    pub fn split_references(&self) -> References {
        let mut others = self.references.clone();
        let itself = others.remove(&self.path);
        References { others, itself }
    }

    /// Whether the path is the one that its content address gives. Such a path needs no signature.
    pub fn is_content_addressed(&self, dir: &StoreDir) -> bool {
        self.ca.is_some_and(|ca| {
            dir.ca_path(self.path.name(), &ca, &self.split_references()).is_ok_and(|path| path == self.path)
        })
    }

    /// One path as JSON.
    pub fn to_json(&self, dir: &StoreDir, format: PathInfoFormat) -> Json {
        let path = |path: &StorePath| -> Json {
            match format {
                PathInfoFormat::V1 => dir.print(path).into(),
                PathInfoFormat::V2 => path.base_name().into(),
            }
        };
        let (version, ca) = match format {
            PathInfoFormat::V1 => (1_u64, self.ca.map(|ca| ca.to_string()).into()),
            PathInfoFormat::V2 => (2, self.ca.map_or(Json::Null, |ca| ca.to_json())),
        };
        let registered = Some(self.registration_time_seconds).filter(|seconds| *seconds != 0);
        Json::object([
            ("version", version.into()),
            ("storeDir", dir.as_str().into()),
            ("narHash", self.nar_hash.sri().into()),
            ("narSize", self.nar_size.into()),
            ("references", self.references.iter().map(&path).collect()),
            ("ca", ca),
            ("deriver", self.deriver.as_ref().map_or(Json::Null, path)),
            ("registrationTime", registered.into()),
            ("ultimate", self.ultimate.into()),
            ("signatures", self.signatures.iter().map(ToString::to_string).collect()),
        ])
    }

    /// Reads one path; `path` is the key under which it stood.
    ///
    /// # Errors
    /// Another version or shape, or values that are not what they should be.
    pub fn from_json(dir: &StoreDir, path: StorePath, json: &Json) -> Result<Self, PathInfoJsonError> {
        let format = match json.get("version").map(|version| version.as_u64("version")).transpose()? {
            None | Some(1) => PathInfoFormat::V1,
            Some(2) => PathInfoFormat::V2,
            Some(version) => return Err(PathInfoJsonError::Version { version }),
        };
        let read_path = |json: &Json, place: &str| -> Result<StorePath, PathInfoJsonError> {
            Ok(match format {
                PathInfoFormat::V1 => dir.parse(json.as_str(place)?)?,
                PathInfoFormat::V2 => StorePath::from_base_name(json.as_str(place)?)?,
            })
        };
        let nar_hash = Hash::parse_sri(json.key("narHash")?.as_str("narHash")?)?;
        let mut info = Self::new(path, nar_hash, json.key("narSize")?.as_u64("narSize")?);
        for reference in json.key("references")?.as_array("references")? {
            info.references.insert(read_path(reference, "references")?);
        }
        info.ca = match (json.get("ca"), format) {
            (None, _) => None,
            (Some(ca), PathInfoFormat::V1) => Some(ca.as_str("ca")?.parse()?),
            (Some(ca), PathInfoFormat::V2) => Some(ContentAddress {
                method: ca.key("method")?.as_str("method")?.parse()?,
                hash: Hash::parse_sri(ca.key("hash")?.as_str("hash")?)?,
            }),
        };
        info.deriver = json.get("deriver").map(|deriver| read_path(deriver, "deriver")).transpose()?;
        if let Some(seconds) = json.get("registrationTime") {
            info.registration_time_seconds = seconds.as_u64("registrationTime")?;
        }
        if let Some(ultimate) = json.get("ultimate") {
            info.ultimate = ultimate.as_bool("ultimate")?;
        }
        if let Some(signatures) = json.get("signatures") {
            for signature in signatures.as_array("signatures")? {
                info.signatures.insert(signature.as_str("signatures")?.parse()?);
            }
        }
        Ok(info)
    }
}

/// The whole output of `nix path-info --json` for some paths; a path that is not valid is `null`.
pub fn path_infos_to_json<'a>(
    dir: &StoreDir,
    format: PathInfoFormat,
    infos: impl IntoIterator<Item = (&'a StorePath, Option<Json>)>,
) -> Json {
    let mut all = BTreeMap::new();
    for (path, json) in infos {
        let key = match format {
            PathInfoFormat::V1 => dir.print(path),
            PathInfoFormat::V2 => path.base_name(),
        };
        all.insert(key, json.unwrap_or(Json::Null));
    }
    match format {
        PathInfoFormat::V1 => Json::Object(all),
        PathInfoFormat::V2 => {
            Json::object([("version", 2_u64.into()), ("storeDir", dir.as_str().into()), ("info", Json::Object(all))])
        }
    }
}

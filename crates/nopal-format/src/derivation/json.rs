//! Derivations as JSON: version 4 (Nix 2.34's `nix derivation show`) printed and read, version 3 (Nix 2.20 to 2.31)
//! read.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{Derivation, DerivationOutput, Environment, InputOutputs, OutputName, STRUCTURED_ATTRS_VARIABLE};
use crate::content_address::{ContentAddress, ContentAddressError, ContentAddressMethod};
use crate::hash::{Hash, HashAlgorithm, HashError};
use crate::json::{Json, JsonError};
use crate::store_path::{StoreDir, StorePath, StorePathError};

/// The version that is printed.
pub const JSON_VERSION: u64 = 4;
/// The oldest version that is read.
const OLD_JSON_VERSION: u64 = 3;
/// Deepest nesting of dynamic outputs that is read.
const MAX_DEPTH: usize = super::MAX_DYNAMIC_DEPTH;

/// Why a derivation cannot be written as JSON or read from it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DerivationJsonError {
    /// JSON strings are Unicode; Nix refuses here, too.
    #[error("{place} of derivation '{name}' is not UTF-8, which JSON cannot express")]
    Utf8 {
        /// The derivation's name.
        name: String,
        /// What is not UTF-8.
        place: String,
    },
    /// The text has another shape.
    #[error("while reading derivation JSON: {0}")]
    Json(#[from] JsonError),
    /// A version that is not known.
    #[error(
        "unsupported derivation JSON format version {version}, only format versions {OLD_JSON_VERSION} and {JSON_VERSION} are supported"
    )]
    Version {
        /// The version found.
        version: u64,
    },
    /// An output with a set of keys that means nothing.
    #[error("invalid JSON for derivation output '{output}'")]
    Output {
        /// The output.
        output: String,
    },
    /// A path that is none.
    #[error("while reading derivation JSON: {0}")]
    StorePath(#[from] StorePathError),
    /// A hash that is none.
    #[error("while reading derivation JSON: {0}")]
    Hash(#[from] HashError),
    /// A method that is none.
    #[error("while reading derivation JSON: {0}")]
    Method(#[from] ContentAddressError),
    /// Both forms of structured attributes at once.
    #[error("cannot have an environment variable named '__json': this key is reserved for encoding structured attrs")]
    ReservedVariable,
    /// Nested too deep.
    #[error("dynamic outputs are nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// The whole output of `nix derivation show` for some derivations.
///
/// # Errors
/// A string that is not UTF-8, or structured attributes that are not JSON.
pub fn show_derivations<'a>(
    derivations: impl IntoIterator<Item = (&'a StorePath, &'a Derivation)>,
) -> Result<Json, DerivationJsonError> {
    let mut all = BTreeMap::new();
    for (path, drv) in derivations {
        all.insert(path.base_name(), drv.to_json()?);
    }
    Ok(Json::object([("derivations", Json::Object(all)), ("version", JSON_VERSION.into())]))
}

impl Derivation {
    /// The derivation as JSON of version 4.
    ///
    /// # Errors
    /// A string that is not UTF-8, or structured attributes that are not JSON.
    pub fn to_json(&self) -> Result<Json, DerivationJsonError> {
        let mut env = BTreeMap::new();
        for (name, value) in &self.env {
            if name.as_bytes() != STRUCTURED_ATTRS_VARIABLE.as_bytes() {
                let place = format!("environment variable '{name}'");
                env.insert(self.text(&name, &place)?, self.text(&value, &place)?.into());
            }
        }
        let outputs = self.outputs.iter().map(|(name, output)| (name.clone(), output_to_json(output)));
        let srcs: Json = self.input_srcs.iter().map(StorePath::base_name).collect();
        let drvs = self.input_drvs.iter().map(|(path, needed)| (path.base_name(), needed_to_json(needed)));
        let mut object = BTreeMap::from(
            [
                ("name", Json::from(self.name.as_str())),
                ("version", JSON_VERSION.into()),
                ("outputs", Json::object(outputs)),
                ("inputs", Json::object([("srcs", srcs), ("drvs", Json::object(drvs))])),
                ("system", self.text(&self.system, "system")?.into()),
                ("builder", self.text(&self.builder, "builder")?.into()),
                (
                    "args",
                    self.args.iter().map(|argument| self.text(argument, "argument")).collect::<Result<Json, _>>()?,
                ),
                ("env", Json::Object(env)),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        if let Some(attrs) = self.structured_attrs() {
            object.insert("structuredAttrs".to_owned(), attrs?);
        }
        Ok(Json::Object(object))
    }

    fn text(&self, bytes: &[u8], place: &str) -> Result<String, DerivationJsonError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DerivationJsonError::Utf8 { name: self.name.clone(), place: place.to_owned() }),
        }
    }

    /// Reads one derivation of version 4, or of version 3 (absolute paths under `dir`).
    ///
    /// # Errors
    /// Another version or shape, or values that are not what they should be.
    pub fn from_json(dir: &StoreDir, json: &Json) -> Result<Self, DerivationJsonError> {
        let version = match json.key("version")?.as_u64("version")? {
            OLD_JSON_VERSION => Version::Three,
            JSON_VERSION => Version::Four,
            version => return Err(DerivationJsonError::Version { version }),
        };
        let reader = Reader { dir, version };
        let mut outputs = BTreeMap::new();
        for (name, output) in json.key("outputs")?.as_object("outputs")? {
            outputs.insert(name.clone(), reader.output(name, output)?);
        }
        let (srcs, drvs) = match version {
            Version::Three => (json.key("inputSrcs")?, json.key("inputDrvs")?),
            Version::Four => (json.key("inputs")?.key("srcs")?, json.key("inputs")?.key("drvs")?),
        };
        let input_srcs =
            srcs.as_array("srcs")?.iter().map(|path| reader.path(path)).collect::<Result<BTreeSet<_>, _>>()?;
        let mut input_drvs = BTreeMap::new();
        for (path, needed) in drvs.as_object("drvs")? {
            input_drvs.insert(reader.path_text(path)?, needed_from_json(needed, 0)?);
        }
        let mut env = Environment::new();
        for (name, value) in json.key("env")?.as_object("env")? {
            env.insert(name, value.as_str(name)?);
        }
        if let Some(attrs) = json.get("structuredAttrs")
            && env.insert(STRUCTURED_ATTRS_VARIABLE, attrs.to_compact())
        {
            return Err(DerivationJsonError::ReservedVariable);
        }
        let args = json.key("args")?.as_array("args")?.iter();
        Ok(Self {
            name: json.key("name")?.as_str("name")?.to_owned(),
            outputs,
            input_srcs,
            input_drvs,
            system: json.key("system")?.as_str("system")?.into(),
            builder: json.key("builder")?.as_str("builder")?.into(),
            args: args.map(|argument| Ok(argument.as_str("args")?.into())).collect::<Result<_, JsonError>>()?,
            env,
        })
    }
}

fn output_to_json(output: &DerivationOutput) -> Json {
    match output {
        DerivationOutput::InputAddressed { path } => Json::object([("path", path.base_name().into())]),
        DerivationOutput::Fixed { ca } => ca.to_json(),
        DerivationOutput::Floating { method, algorithm } => {
            Json::object([("method", method.name().into()), ("hashAlgo", algorithm.name().into())])
        }
        DerivationOutput::Deferred => Json::Object(BTreeMap::new()),
        DerivationOutput::Impure { method, algorithm } => Json::object([
            ("method", method.name().into()),
            ("hashAlgo", algorithm.name().into()),
            ("impure", true.into()),
        ]),
    }
}

fn needed_to_json(needed: &InputOutputs) -> Json {
    let dynamic = needed.dynamic.iter().map(|(name, inner)| (name.to_string(), needed_to_json(inner)));
    Json::object([
        ("outputs", needed.outputs.iter().map(OutputName::as_str).collect()),
        ("dynamicOutputs", Json::object(dynamic)),
    ])
}

fn needed_from_json(json: &Json, depth: usize) -> Result<InputOutputs, DerivationJsonError> {
    if depth > MAX_DEPTH {
        return Err(DerivationJsonError::TooDeep);
    }
    let names = json.key("outputs")?.as_array("outputs")?.iter().map(|name| name.as_str("outputs"));
    let mut needed: InputOutputs = names.collect::<Result<_, _>>()?;
    for (name, inner) in json.key("dynamicOutputs")?.as_object("dynamicOutputs")? {
        needed.dynamic.insert(name.into(), needed_from_json(inner, depth + 1)?);
    }
    Ok(needed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Three,
    Four,
}

struct Reader<'a> {
    dir: &'a StoreDir,
    version: Version,
}

impl Reader<'_> {
    fn path(&self, json: &Json) -> Result<StorePath, DerivationJsonError> {
        self.path_text(json.as_str("path")?)
    }

    fn path_text(&self, text: &str) -> Result<StorePath, DerivationJsonError> {
        Ok(match self.version {
            Version::Three => self.dir.parse(text)?,
            Version::Four => StorePath::from_base_name(text)?,
        })
    }

    fn output(&self, name: &str, json: &Json) -> Result<DerivationOutput, DerivationJsonError> {
        let keys: Vec<&str> = json.as_object(name)?.keys().map(String::as_str).collect();
        let algorithm = |json: &Json| -> Result<(ContentAddressMethod, HashAlgorithm), DerivationJsonError> {
            let algorithm = json.key("hashAlgo")?.as_str("hashAlgo")?;
            let method = json.key("method")?.as_str("method")?;
            Ok((method.parse()?, algorithm.parse()?))
        };
        match (self.version, keys.as_slice()) {
            (_, []) => Ok(DerivationOutput::Deferred),
            (_, ["path"]) => Ok(DerivationOutput::InputAddressed { path: self.path(json.key("path")?)? }),
            (Version::Four, ["hash", "method"]) => {
                let hash = Hash::parse_sri(json.key("hash")?.as_str("hash")?)?;
                let method = json.key("method")?.as_str("method")?.parse()?;
                Ok(DerivationOutput::Fixed { ca: ContentAddress { method, hash } })
            }
            (Version::Three, ["hash", "hashAlgo", "method"] | ["hash", "hashAlgo", "method", "path"]) => {
                let (method, algorithm) = algorithm(json)?;
                let hash = Hash::parse_any(json.key("hash")?.as_str("hash")?, Some(algorithm))?;
                Ok(DerivationOutput::Fixed { ca: ContentAddress { method, hash } })
            }
            (_, ["hashAlgo", "method"]) => {
                let (method, algorithm) = algorithm(json)?;
                Ok(DerivationOutput::Floating { method, algorithm })
            }
            (_, ["hashAlgo", "impure", "method"]) => {
                let (method, algorithm) = algorithm(json)?;
                Ok(DerivationOutput::Impure { method, algorithm })
            }
            _ => Err(DerivationJsonError::Output { output: name.to_owned() }),
        }
    }
}

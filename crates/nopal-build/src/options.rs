//! What a derivation asks of its build beside running it: attributes with a meaning of their own.

use std::collections::{BTreeMap, BTreeSet};

use nopal_format::json::{Json, JsonError};
use nopal_format::{Derivation, StoreDir, StorePath};

use crate::attrs::STRUCTURED;
use crate::error::BuildError;

/// A path that an output may or must not refer to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    /// A store path.
    Path(StorePath),
    /// An output of the same derivation.
    Output(String),
}

/// What must hold of an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputChecks {
    pub(crate) ignore_self_references: bool,
    pub(crate) max_size_bytes: Option<u64>,
    pub(crate) max_closure_size_bytes: Option<u64>,
    pub(crate) allowed_references: Option<BTreeSet<Reference>>,
    pub(crate) disallowed_references: BTreeSet<Reference>,
    pub(crate) allowed_requisites: Option<BTreeSet<Reference>>,
    pub(crate) disallowed_requisites: BTreeSet<Reference>,
}

/// Checks of all outputs or of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AllChecks {
    Same(Box<OutputChecks>),
    PerOutput(BTreeMap<String, OutputChecks>),
}

/// The attributes of a derivation that its build looks at.
#[derive(Clone, Debug)]
pub(crate) struct BuildOptions {
    /// Structured attributes, if the derivation has them.
    pub(crate) structured: Option<BTreeMap<String, Json>>,
    pub(crate) checks: AllChecks,
    pub(crate) discard_references: BTreeSet<String>,
    pub(crate) pass_as_file: BTreeSet<Vec<u8>>,
    /// File name or attribute name, and the paths whose closure goes there.
    pub(crate) export_references: BTreeMap<String, BTreeSet<StorePath>>,
    pub(crate) impure_variables: BTreeSet<Vec<u8>>,
    pub(crate) required_features: BTreeSet<String>,
    pub(crate) no_sandbox: bool,
    /// The tree shown at `/usr` and its like.
    pub(crate) fhs: Option<String>,
}

impl BuildOptions {
    /// Reads the attributes of a derivation.
    pub(crate) fn of(derivation: &Derivation, store_dir: &StoreDir) -> Result<Self, BuildError> {
        let structured = derivation.env.get(STRUCTURED).map(|text| structured_attributes(&text)).transpose()?;
        let source = Source { derivation, structured: structured.as_ref(), store_dir };
        Ok(Self {
            checks: source.checks()?,
            discard_references: source.discard_references()?,
            pass_as_file: source.pass_as_file(),
            export_references: source.export_references()?,
            impure_variables: source
                .words("impureEnvVars")?
                .unwrap_or_default()
                .into_iter()
                .map(String::into_bytes)
                .collect(),
            required_features: source.words("requiredSystemFeatures")?.unwrap_or_default(),
            no_sandbox: source.flag("__noChroot")?,
            fhs: source.text("__fhs")?.filter(|tree| !tree.is_empty()),
            structured,
        })
    }
}

fn wrong(text: impl Into<String>) -> BuildError {
    BuildError::Derivation { text: text.into() }
}

fn structured_attributes(text: &[u8]) -> Result<BTreeMap<String, Json>, BuildError> {
    let text = std::str::from_utf8(text).map_err(|_| wrong("cannot process __json attribute: it is not UTF-8"))?;
    match Json::parse(text) {
        Ok(Json::Object(attributes)) => Ok(attributes),
        Ok(_) => Err(wrong("cannot process __json attribute: it is not an object")),
        Err(error) => Err(wrong(format!("cannot process __json attribute: {error}"))),
    }
}

/// Where attributes come from.
struct Source<'a> {
    derivation: &'a Derivation,
    structured: Option<&'a BTreeMap<String, Json>>,
    store_dir: &'a StoreDir,
}

impl Source<'_> {
    fn variable(&self, name: &str) -> Option<&[u8]> {
        self.derivation.env.get(name.as_bytes()).map(|value| value.as_bytes())
    }

    fn text(&self, name: &str) -> Result<Option<String>, BuildError> {
        match self.structured {
            Some(attributes) => attributes.get(name).map(|value| Ok(value.as_str(name)?.to_owned())).transpose(),
            None => Ok(self.variable(name).map(|value| String::from_utf8_lossy(value).into_owned())),
        }
        .map_err(json_error)
    }

    fn flag(&self, name: &str) -> Result<bool, BuildError> {
        match self.structured {
            Some(attributes) => attributes.get(name).map_or(Ok(false), |value| value.as_bool(name)).map_err(json_error),
            None => Ok(self.variable(name) == Some(b"1")),
        }
    }

    fn words(&self, name: &str) -> Result<Option<BTreeSet<String>>, BuildError> {
        match self.structured {
            Some(attributes) => attributes.get(name).map(|value| strings(value, name)).transpose().map_err(json_error),
            None => Ok(self.variable(name).map(split_words)),
        }
    }

    /// A store path of ours, or else the name of an output.
    fn reference(&self, text: &str) -> Result<Reference, BuildError> {
        match self.store_dir.split(text) {
            Ok((path, _)) => Ok(Reference::Path(path)),
            Err(_) if text.starts_with('/') => Err(wrong(format!("path '{text}' is not in the Nix store"))),
            Err(_) => Ok(Reference::Output(text.to_owned())),
        }
    }

    fn references(&self, texts: Option<BTreeSet<String>>) -> Result<Option<BTreeSet<Reference>>, BuildError> {
        texts.map(|texts| texts.iter().map(|text| self.reference(text)).collect()).transpose()
    }

    fn checks(&self) -> Result<AllChecks, BuildError> {
        let Some(attributes) = self.structured else {
            let get = |name: &str| self.references(self.words(name)?);
            return Ok(AllChecks::Same(Box::new(OutputChecks {
                ignore_self_references: true,
                max_size_bytes: None,
                max_closure_size_bytes: None,
                allowed_references: get("allowedReferences")?,
                disallowed_references: get("disallowedReferences")?.unwrap_or_default(),
                allowed_requisites: get("allowedRequisites")?,
                disallowed_requisites: get("disallowedRequisites")?.unwrap_or_default(),
            })));
        };
        let mut per_output = BTreeMap::new();
        if let Some(checks) = attributes.get("outputChecks") {
            for (output, checks) in checks.as_object("outputChecks").map_err(json_error)? {
                per_output.insert(output.clone(), self.checks_of(checks)?);
            }
        }
        Ok(AllChecks::PerOutput(per_output))
    }

    fn checks_of(&self, checks: &Json) -> Result<OutputChecks, BuildError> {
        let checks = checks.as_object("outputChecks").map_err(json_error)?;
        let number = |name: &str| checks.get(name).map(|value| value.as_u64(name)).transpose().map_err(json_error);
        let get = |name: &str| {
            let texts = checks.get(name).map(|value| strings(value, name)).transpose().map_err(json_error)?;
            self.references(texts)
        };
        Ok(OutputChecks {
            ignore_self_references: false,
            max_size_bytes: number("maxSize")?,
            max_closure_size_bytes: number("maxClosureSize")?,
            allowed_references: get("allowedReferences")?,
            disallowed_references: get("disallowedReferences")?.unwrap_or_default(),
            allowed_requisites: get("allowedRequisites")?,
            disallowed_requisites: get("disallowedRequisites")?.unwrap_or_default(),
        })
    }

    fn discard_references(&self) -> Result<BTreeSet<String>, BuildError> {
        let name = "unsafeDiscardReferences";
        let Some(value) = self.structured.and_then(|attributes| attributes.get(name)) else {
            return Ok(BTreeSet::new());
        };
        let mut outputs = BTreeSet::new();
        for (output, discard) in value.as_object(name).map_err(json_error)? {
            if discard.as_bool(name).map_err(json_error)? {
                outputs.insert(output.clone());
            }
        }
        Ok(outputs)
    }

    fn pass_as_file(&self) -> BTreeSet<Vec<u8>> {
        match (self.structured, self.variable("passAsFile")) {
            (None, Some(names)) => split_words(names).into_iter().map(String::into_bytes).collect(),
            _ => BTreeSet::new(),
        }
    }

    fn export_references(&self) -> Result<BTreeMap<String, BTreeSet<StorePath>>, BuildError> {
        let name = "exportReferencesGraph";
        let path = |text: &str| {
            let (path, _) = self.store_dir.split(text).map_err(|error| wrong(error.to_string()))?;
            Ok::<_, BuildError>(path)
        };
        let mut exports = BTreeMap::new();
        match self.structured {
            Some(attributes) => {
                // as in Nix, anything but an object is ignored
                let Some(Json::Object(graphs)) = attributes.get(name) else { return Ok(exports) };
                for (key, paths) in graphs {
                    let mut texts = BTreeSet::new();
                    flatten(paths, &mut texts)?;
                    exports.insert(key.clone(), texts.iter().map(|text| path(text)).collect::<Result<_, _>>()?);
                }
            }
            None => {
                let text =
                    self.variable(name).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
                let words: Vec<&str> = text.split_ascii_whitespace().collect();
                let (pairs, []) = words.as_chunks::<2>() else {
                    return Err(wrong(format!("odd number of tokens in 'exportReferencesGraph': '{text}'")));
                };
                for [file, root] in pairs {
                    if !is_file_name(file) {
                        return Err(wrong(format!("invalid file name '{file}' in 'exportReferencesGraph'")));
                    }
                    exports.insert((*file).to_owned(), BTreeSet::from([path(root)?]));
                }
            }
        }
        Ok(exports)
    }
}

fn json_error(error: JsonError) -> BuildError {
    wrong(format!("in structured attributes: {error}"))
}

fn split_words(text: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(text)
        .split([' ', '\t', '\n', '\r'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn strings(value: &Json, name: &str) -> Result<BTreeSet<String>, JsonError> {
    value.as_array(name)?.iter().map(|item| Ok(item.as_str(name)?.to_owned())).collect()
}

fn flatten(value: &Json, texts: &mut BTreeSet<String>) -> Result<(), BuildError> {
    match value {
        Json::Array(items) => items.iter().try_for_each(|item| flatten(item, texts)),
        Json::String(text) => {
            texts.insert(text.clone());
            Ok(())
        }
        _ => Err(wrong("'exportReferencesGraph' value is not an array or a string")),
    }
}

/// `[A-Za-z_][A-Za-z0-9_.-]*`, which leaves no way out of the build directory.
fn is_file_name(name: &str) -> bool {
    let mut characters = name.bytes();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && characters.all(|other| other.is_ascii_alphanumeric() || matches!(other, b'_' | b'.' | b'-'))
}

//! Derivations: the domain type, and in the modules below its ATerm and JSON forms, its hash and its output paths.

mod aterm_parse;
mod aterm_print;
mod environment;
mod json;
mod modulo;
mod output_names;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use crate::bytes::{ByteString, ByteText};
use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::derived_path::{BuiltPath, SingleDerivedPath};
use crate::hash::HashAlgorithm;
use crate::json::{Json, JsonError};
use crate::store_path::{StoreDir, StorePath, StorePathError, output_path_name};

pub use aterm_parse::{AtermError, MAX_ATERM_LEN, MAX_DYNAMIC_DEPTH};
pub use aterm_print::{OutputMask, write_escaped};
pub use environment::Environment;
pub use json::{DerivationJsonError, JSON_VERSION, show_derivations};
pub use modulo::{DerivationError, DrvHash, DrvHashes, Instantiated, Lookup, OutputSpec, ReadDrv};
pub use output_names::{OutputName, OutputNames};

/// The environment variable that carries structured attributes as JSON.
pub const STRUCTURED_ATTRS_VARIABLE: &str = "__json";

/// A build recipe. Texts that Nix strings flow into are bytes, since those need not be UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derivation {
    /// The name, which is not in the ATerm but in the path of the `.drv` file.
    pub name: String,
    /// The outputs by name.
    pub outputs: BTreeMap<String, DerivationOutput>,
    /// Store paths that are there before any build.
    pub input_srcs: BTreeSet<StorePath>,
    /// Derivations whose outputs are needed.
    pub input_drvs: BTreeMap<StorePath, InputOutputs>,
    /// The machine type the builder runs on (`x86_64-linux`, `builtin`).
    pub system: ByteString,
    /// The program.
    pub builder: ByteString,
    /// Its arguments.
    pub args: Vec<ByteString>,
    /// Its environment. Structured attributes are the JSON text of the variable `__json`, exactly as it is hashed.
    pub env: Environment,
}

/// Where an output's path comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DerivationOutput {
    /// The path follows from the derivation.
    InputAddressed {
        /// The path.
        path: StorePath,
    },
    /// The path follows from a content hash stated beforehand.
    Fixed {
        /// The hash stated.
        ca: ContentAddress,
    },
    /// The path follows from whatever content comes out.
    Floating {
        /// How the content will be hashed.
        method: ContentAddressMethod,
        /// With which algorithm.
        algorithm: HashAlgorithm,
    },
    /// Input-addressed, but an input's path is not known yet.
    Deferred,
    /// Content-addressed and built anew each time.
    Impure {
        /// How the content will be hashed.
        method: ContentAddressMethod,
        /// With which algorithm.
        algorithm: HashAlgorithm,
    },
}

/// How a derivation is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivationForm {
    /// As `.drv` files are.
    Aterm,
    /// As `nix derivation show` prints it.
    Json,
}

/// What all outputs of a derivation have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DerivationKind {
    /// Paths follow from the derivation and are known.
    InputAddressed,
    /// Paths follow from the derivation and are not known yet.
    Deferred,
    /// The content is known.
    Fixed,
    /// The paths follow from the content.
    Floating,
    /// The paths follow from the content, which may differ each time.
    Impure,
}

/// What is needed of an input derivation: its outputs, and outputs of derivations that its outputs are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputOutputs {
    /// Names of outputs needed themselves.
    pub outputs: OutputNames,
    /// Outputs that are derivations, and what is needed of those (experimental `dynamic-derivations`).
    pub dynamic: BTreeMap<OutputName, InputOutputs>,
}

impl<S: Into<OutputName>> FromIterator<S> for InputOutputs {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self { outputs: names.into_iter().collect(), dynamic: BTreeMap::new() }
    }
}

impl InputOutputs {
    /// The needs of what `path`, a derivation, makes: those of a derivation in the store are these themselves.
    fn slot(&mut self, path: &SingleDerivedPath) -> &mut Self {
        match path {
            SingleDerivedPath::Opaque(_) => self,
            SingleDerivedPath::Built(built) => self.slot(&built.drv).dynamic.entry(built.output.clone()).or_default(),
        }
    }
}

impl DerivationOutput {
    /// The output's path if it is known before the build.
    ///
    /// # Errors
    /// A fixed output whose name or hash makes no valid path.
    pub fn path(&self, dir: &StoreDir, drv_name: &str, output: &str) -> Result<Option<StorePath>, StorePathError> {
        match self {
            Self::InputAddressed { path } => Ok(Some(path.clone())),
            Self::Fixed { ca } => dir.ca_path(&output_path_name(drv_name, output), ca, &Default::default()).map(Some),
            Self::Floating { .. } | Self::Deferred | Self::Impure { .. } => Ok(None),
        }
    }
}

impl Derivation {
    /// Makes an output of another derivation an input.
    pub fn add_input(&mut self, built: &BuiltPath) {
        let needed = self.input_drvs.entry(built.drv.base().clone()).or_default();
        needed.slot(&built.drv).outputs.insert(built.output.clone());
    }

    /// Every output of another derivation that is an input, outputs of derivations in the store before those of
    /// derivations that are built.
    pub fn inputs(&self) -> Vec<BuiltPath> {
        let mut inputs = Vec::new();
        let mut todo: Vec<(SingleDerivedPath, &InputOutputs)> =
            self.input_drvs.iter().map(|(path, needed)| (path.clone().into(), needed)).collect();
        while !todo.is_empty() {
            let mut next = Vec::new();
            for (drv, needed) in todo {
                inputs
                    .extend(needed.outputs.iter().map(|output| BuiltPath { drv: drv.clone(), output: output.clone() }));
                let dynamic = needed.dynamic.iter();
                next.extend(dynamic.map(|(output, inner)| (SingleDerivedPath::built(drv.clone(), output), inner)));
            }
            todo = next;
        }
        inputs
    }

    /// Whether an input is an output of a derivation that is built itself.
    pub fn has_dynamic_inputs(&self) -> bool {
        self.input_drvs.values().any(|needed| !needed.dynamic.is_empty())
    }

    /// The experimental features that reading it in this form needs, in the order in which Nix asks for them, each with
    /// the reason that Nix gives, which may be empty.
    pub fn required_features(&self, form: DerivationForm) -> Vec<(&'static str, String)> {
        let suffix = if form == DerivationForm::Json { " in JSON" } else { "" };
        let mut needed = Vec::new();
        let dynamic = self.input_drvs.values().find_map(|needed| needed.dynamic.keys().next());
        if form == DerivationForm::Aterm && dynamic.is_some() {
            let why = format!("derivation '{}', ATerm format version 'xp-dyn-drv'", self.name);
            needed.push(("dynamic-derivations", why));
        }
        for output in self.outputs.values() {
            let method = match output {
                DerivationOutput::InputAddressed { .. } | DerivationOutput::Deferred => continue,
                DerivationOutput::Fixed { ca } => ca.method,
                DerivationOutput::Floating { method, .. } | DerivationOutput::Impure { method, .. } => *method,
            };
            if method == ContentAddressMethod::Text {
                needed.push(("dynamic-derivations", format!("text-hashed derivation output{suffix}")));
            }
            match output {
                DerivationOutput::Floating { .. } => needed.push(("ca-derivations", String::new())),
                DerivationOutput::Impure { .. } => needed.push(("impure-derivations", String::new())),
                _ => {}
            }
        }
        if let (DerivationForm::Json, Some(output)) = (form, dynamic) {
            needed.push(("dynamic-derivations", format!("dynamic output '{output}' in JSON")));
        }
        needed
    }

    /// Whether it is a fixed-output derivation.
    pub fn is_fixed(&self) -> bool {
        matches!(self.outputs.get("out"), Some(DerivationOutput::Fixed { .. }))
    }

    /// Whether its builder may use the network and variables of the caller: its outputs are fixed or impure.
    pub fn is_networked(&self) -> bool {
        self.is_fixed() || matches!(self.outputs.values().next(), Some(DerivationOutput::Impure { .. }))
    }

    /// Whether the builder is part of the program that builds (`builtin:fetchurl`).
    pub fn is_builtin(&self) -> bool {
        self.builder.starts_with(b"builtin:")
    }

    /// The value of an environment variable.
    pub fn env_value(&self, name: &str) -> Option<ByteText<'_>> {
        self.env.get(name.as_bytes())
    }

    /// The structured attributes, if there are any.
    ///
    /// # Errors
    /// The variable `__json` is not UTF-8 or not JSON.
    pub fn structured_attrs(&self) -> Option<Result<Json, JsonError>> {
        let text = self.env_value(STRUCTURED_ATTRS_VARIABLE)?;
        Some(match text.to_str() {
            Some(text) => Json::parse(text),
            None => Err(JsonError::Expected { expected: "UTF-8", position: 0 }),
        })
    }
}

//! Derivations: the domain type, and in the modules below its ATerm and JSON forms, its hash and its output paths.

use std::collections::{BTreeMap, BTreeSet};

use crate::bytes::ByteString;
use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::hash::HashAlgorithm;
use crate::store_path::{StoreDir, StorePath, StorePathError, output_path_name};

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
    /// Its environment.
    pub env: BTreeMap<ByteString, ByteString>,
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

/// What is needed of an input derivation: its outputs, and outputs of derivations that its outputs are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputOutputs {
    /// Names of outputs needed themselves.
    pub outputs: BTreeSet<String>,
    /// Outputs that are derivations, and what is needed of those (experimental `dynamic-derivations`).
    pub dynamic: BTreeMap<String, InputOutputs>,
}

impl<S: Into<String>> FromIterator<S> for InputOutputs {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self { outputs: names.into_iter().map(Into::into).collect(), dynamic: BTreeMap::new() }
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

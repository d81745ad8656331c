//! Flakes as text: references, the inputs they mean, lock files and registries.
//!
//! Facts are those of Nix 2.34.8 (`libfetchers`, `libflake`); the texts of errors are its texts.

pub mod git;
pub mod input;
pub mod lock;
pub mod reference;
pub mod registry;
pub mod url;

pub use input::{Attr, Attrs, Input};
pub use lock::{Edge, LockFile, LockedNode, NodeId};
pub use reference::FlakeRef;
pub use registry::{Registry, RegistryEntry};
pub use url::Url;

use thiserror::Error;

/// Why a reference, an input or a lock file is refused. The text is a complete message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlakeError {
    /// It is no URL of the form that its scheme wants; a flake reference may still be a path.
    #[error("{0}")]
    BadUrl(String),
    /// Anything else.
    #[error("{0}")]
    Invalid(String),
    /// Something that only an experimental feature allows; its name.
    #[error("experimental Nix feature '{0}' is disabled; add '--extra-experimental-features {0}' to enable it")]
    Feature(&'static str),
}

impl FlakeError {
    pub(crate) fn bad_url(text: impl Into<String>) -> Self {
        Self::BadUrl(text.into())
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

/// Takes what is worth a warning while a text is read.
pub type Warn<'a> = &'a mut dyn FnMut(String);

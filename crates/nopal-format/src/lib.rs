//! Every byte format of Nix: hashes, store paths, derivations, NAR, narinfo, signatures, references.
//!
//! Nothing here reads a file, a clock or the environment. Parsers of outside bytes never panic and have named limits;
//! what Nix refuses they refuse. Printers are byte-identical to Nix 2.34.

pub mod bytes;
pub mod content_address;
pub mod derivation;
pub mod derived_path;
pub mod flake;
pub mod hash;
pub mod json;
pub mod listing;
pub mod nar;
pub mod narinfo;
pub mod nix32;
pub mod path_info;
pub mod realisation;
pub mod references;
pub mod signature;
pub mod store_path;

pub use bytes::{ByteString, ByteText};
pub use content_address::{ContentAddress, ContentAddressMethod};
pub use derivation::{Derivation, DerivationOutput, InputOutputs};
pub use derived_path::{BuiltPath, SingleDerivedPath};
pub use hash::{Hash, HashAlgorithm, HashEncoding, Hasher};
pub use path_info::PathInfo;
pub use realisation::{DrvOutput, Realisation};
pub use store_path::{StoreDir, StorePath};

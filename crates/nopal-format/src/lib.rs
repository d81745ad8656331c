//! Every byte format of Nix: hashes, store paths, derivations, NAR, narinfo, signatures, references.

pub mod bytes;
pub mod content_address;
pub mod derivation;
pub mod hash;
pub mod json;
pub mod nix32;
pub mod store_path;

pub use bytes::ByteString;
pub use content_address::{ContentAddress, ContentAddressMethod};
pub use derivation::{Derivation, DerivationOutput, InputOutputs};
pub use hash::{Hash, HashAlgorithm, HashEncoding, Hasher};
pub use store_path::{StoreDir, StorePath};

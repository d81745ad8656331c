//! Hashes of files and trees for the commands that print them.

use crate::error::CliError;
use nopal_format::content_address::ContentAddressMethod;
use nopal_format::hash::Hasher;
use nopal_format::{Hash, HashAlgorithm};
use std::io::Read as _;
use std::path::Path;

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The bytes of a file.
    Flat,
    /// The archive of a tree.
    Nar,
    /// The tree as git hashes it.
    Git,
}

/// The hash of a file or tree. A link at the end is followed only where bytes are hashed.
pub(crate) fn of_path(path: &Path, mode: Mode, algorithm: HashAlgorithm) -> Result<Hash, CliError> {
    let method = match mode {
        Mode::Flat => return of_bytes(path, algorithm),
        Mode::Nar => ContentAddressMethod::Nar,
        Mode::Git => ContentAddressMethod::Git,
    };
    Ok(nopal_store::content_hash(path, method, algorithm)?)
}

/// Pipes have no size and are read once.
fn of_bytes(path: &Path, algorithm: HashAlgorithm) -> Result<Hash, CliError> {
    let mut file = nopal_fs::open_read(path)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(|error| nopal_fs::FsError::new("read", path, error))? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

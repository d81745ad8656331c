//! `nopal.lock`: the rows of the index that were used, so that evaluation is pure and two people get the same
//! derivations. It names no mirror host: paths are `mirror://NAME/pool/…`, resolved when something is fetched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the format that is written and read.
pub const LOCK_VERSION: u32 = 1;

/// Largest lock file that is read, in bytes; a closure of a thousand packages has about half a megabyte.
pub const MAX_LOCK_BYTES: u64 = 64 << 20;

/// The contents of a lock file. Everything is sorted, so equal contents are equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`LOCK_VERSION`].
    pub version: u32,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// What was asked for, as written: `hello`, `jq=1.6-2.1`.
    pub requested: Vec<String>,
    /// The suites that were looked through. Information only: nothing is derived from it.
    pub suites: Vec<LockedSuite>,
    /// Packages that every closure contains, because Debian lets other packages rely on them without saying so.
    pub essential: Vec<String>,
    /// Where a relation left a choice (alternatives, virtual packages): the relation and the package taken.
    pub chosen: BTreeMap<String, String>,
    /// Packages of this lock that must not be joined in one tree: by name, the names they conflict with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<String, Vec<String>>,
    /// Binary packages by name.
    pub packages: BTreeMap<String, LockedPackage>,
    /// Source packages by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, LockedSource>,
}

/// A suite as it was when the lock was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSuite {
    /// Name of the mirror, see [`super::release::mirror_name`].
    pub mirror: String,
    /// Suite as configured.
    pub suite: String,
    /// The `Date` of its Release file.
    pub date: String,
}

/// One binary package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Debian version.
    pub version: String,
    /// `all` or the architecture.
    pub architecture: String,
    /// `mirror://NAME/pool/…`.
    pub url: String,
    /// SHA-256 of the .deb, hexadecimal.
    pub sha256: String,
    /// Size of the .deb in bytes.
    pub size: u64,
    /// Names of the packages that were chosen for `Pre-Depends` and `Depends` (and `Recommends` if wanted), sorted.
    pub depends: Vec<String>,
}

/// One source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// Debian version.
    pub version: String,
    /// Its files by name.
    pub files: BTreeMap<String, LockedFile>,
}

/// One file of a source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// `mirror://NAME/pool/…`.
    pub url: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is no lock file.
    #[error("the lock file is not understood: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It was written by another version of this program.
    #[error("the lock file has version {found}, this program reads version {LOCK_VERSION}")]
    Version {
        /// The version in the file.
        found: u32,
    },
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// [`LockError`] for anything that [`Lock::to_json`] would not write.
    pub fn parse(text: &[u8]) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct OnlyVersion {
            version: u32,
        }
        // the version decides before unknown fields do
        let OnlyVersion { version } = serde_json::from_slice(text)?;
        if version != LOCK_VERSION {
            return Err(LockError::Version { found: version });
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// The file's bytes: JSON with one value per line, for readable differences, and a newline at the end.
    ///
    /// # Errors
    /// Never in practice: every part can be written as JSON.
    pub fn to_json(&self) -> Result<String, LockError> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// The names of all packages that `roots` need, themselves and the essential ones included, sorted. Names that the
    /// lock does not have are left out.
    pub fn closure<'a>(&'a self, roots: &[&'a str]) -> Vec<&'a str> {
        let mut seen = std::collections::BTreeSet::new();
        let mut todo: Vec<&str> = self.essential.iter().map(String::as_str).chain(roots.iter().copied()).collect();
        while let Some(name) = todo.pop() {
            if let Some(package) = self.packages.get(name)
                && seen.insert(name)
            {
                todo.extend(package.depends.iter().map(String::as_str));
            }
        }
        seen.into_iter().collect()
    }
}

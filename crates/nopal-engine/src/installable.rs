//! What a user may name on the command line.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::flake::FlakeSource;

/// Where an expression comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `-f FILE`: a file, or a directory with a `default.nix`.
    File(PathBuf),
    /// The same, evaluated as `import` would: what fails says that it was in this file. So do the commands of `nix`.
    Import(PathBuf),
    /// `--expr EXPR`, relative to the working directory.
    Expr(String),
    /// The expression on standard input, already read.
    Stdin(Vec<u8>),
    /// A flake. It brings its own attribute path.
    Flake(Box<FlakeSource>),
}

/// Something that can be built and run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installable {
    /// An attribute path in an expression; an empty path is the expression itself.
    Attr {
        /// The expression.
        source: Source,
        /// The attribute path as the user wrote it (`-A a.b`).
        attr_path: String,
    },
    /// `deb:NAME[=VERSION]`.
    Deb {
        /// The package.
        name: String,
        /// The version, if one was asked for.
        version: Option<String>,
    },
    /// A path below the logical store directory, with `^out` or `!out` allowed behind a `.drv`.
    StorePath(String),
}

/// Why a word is no installable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InstallableParseError {
    /// `deb:` without a name, or an empty version.
    #[error("'{0}' names no Debian package")]
    EmptyDeb(String),
    /// A prefix we do not know.
    #[error("'{0}' is neither a store path nor a package such as deb:hello")]
    Unknown(String),
}

impl InstallableParseError {
    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::EmptyDeb(_) => "write deb:NAME or deb:NAME=VERSION",
            Self::Unknown(_) => "write deb:NAME, a store path, or -f FILE [-A attr]",
        }
    }
}

impl Installable {
    /// Reads one word of a command line.
    ///
    /// # Errors
    /// The word has no known form.
    pub fn parse(word: &str) -> Result<Self, InstallableParseError> {
        if let Some(rest) = word.strip_prefix("deb:") {
            let (name, version) = match rest.split_once('=') {
                Some((name, version)) => (name, Some(version)),
                None => (rest, None),
            };
            if name.is_empty() || version == Some("") {
                return Err(InstallableParseError::EmptyDeb(word.to_owned()));
            }
            return Ok(Self::Deb { name: name.to_owned(), version: version.map(str::to_owned) });
        }
        if word.starts_with('/') {
            return Ok(Self::StorePath(word.to_owned()));
        }
        Err(InstallableParseError::Unknown(word.to_owned()))
    }
}

impl fmt::Display for Installable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attr { source, attr_path } => {
                match source {
                    Source::File(path) | Source::Import(path) => write!(f, "{}", path.display())?,
                    Source::Expr(_) => f.write_str("(expression)")?,
                    Source::Stdin(_) => f.write_str("(standard input)")?,
                    Source::Flake(flake) => f.write_str(&flake.text)?,
                }
                if attr_path.is_empty() { Ok(()) } else { write!(f, " -A {attr_path}") }
            }
            Self::Deb { name, version: None } => write!(f, "deb:{name}"),
            Self::Deb { name, version: Some(version) } => write!(f, "deb:{name}={version}"),
            Self::StorePath(path) => f.write_str(path),
        }
    }
}

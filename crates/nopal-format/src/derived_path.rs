//! Deriving paths: a store path, or an output of a derivation that may itself be an output.

use std::fmt;

use crate::derivation::{MAX_DYNAMIC_DEPTH, OutputName};
use crate::store_path::{DownstreamPlaceholder, StoreDir, StorePath, StorePathError};

/// A store object that is there, or that a derivation makes. Ordered as Nix orders them: what is there comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SingleDerivedPath {
    /// A store path.
    Opaque(StorePath),
    /// One output of a derivation.
    Built(Box<BuiltPath>),
}

/// One output of a derivation, which is a store path or itself such an output (experimental `dynamic-derivations`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuiltPath {
    /// The derivation.
    pub drv: SingleDerivedPath,
    /// The name of the output.
    pub output: OutputName,
}

impl SingleDerivedPath {
    /// One output of a derivation.
    pub fn built(drv: impl Into<Self>, output: impl Into<OutputName>) -> Self {
        BuiltPath { drv: drv.into(), output: output.into() }.into()
    }

    /// The store path that everything begins with.
    pub fn base(&self) -> &StorePath {
        let mut at = self;
        loop {
            match at {
                Self::Opaque(path) => return path,
                Self::Built(built) => at = &built.drv,
            }
        }
    }

    /// The store path, if it is one.
    pub fn as_opaque(&self) -> Option<&StorePath> {
        match self {
            Self::Opaque(path) => Some(path),
            Self::Built(_) => None,
        }
    }

    /// How many derivations stand between the store path and this.
    pub fn depth(&self) -> usize {
        let (mut at, mut depth) = (self, 0);
        while let Self::Built(built) = at {
            (at, depth) = (&built.drv, depth + 1);
        }
        depth
    }

    /// As Nix writes it to users: `/nix/store/…-a.drv^out^bin`.
    pub fn display(&self, store: &StoreDir) -> String {
        match self {
            Self::Opaque(path) => store.print(path),
            Self::Built(built) => built.display(store),
        }
    }

    /// Reads `PATH`, `PATH^OUTPUT`, `PATH^OUTPUT^OUTPUT`, …
    ///
    /// # Errors
    /// The part before the first `^` is no store path, or there are more outputs than [`MAX_DYNAMIC_DEPTH`].
    pub fn parse(store: &StoreDir, text: &str) -> Result<Self, StorePathError> {
        let mut parts = text.split('^');
        let mut path = Self::Opaque(store.parse(parts.next().unwrap_or_default())?);
        for output in parts {
            if path.depth() >= MAX_DYNAMIC_DEPTH {
                // deeper than any derivation that can be read
                return store.parse(text).map(Self::Opaque);
            }
            path = Self::built(path, output);
        }
        Ok(path)
    }
}

impl BuiltPath {
    /// As Nix writes it to users: `/nix/store/…-a.drv^out`.
    pub fn display(&self, store: &StoreDir) -> String {
        format!("{}^{}", self.drv.display(store), self.output)
    }

    /// What stands for its path where that is not known.
    ///
    /// # Errors
    /// The store path at its base is not a derivation's.
    pub fn placeholder(&self) -> Result<DownstreamPlaceholder, StorePathError> {
        match &self.drv {
            SingleDerivedPath::Opaque(path) => DownstreamPlaceholder::unknown_ca_output(path, &self.output),
            SingleDerivedPath::Built(built) => Ok(built.placeholder()?.unknown_derivation(&self.output)),
        }
    }
}

impl From<StorePath> for SingleDerivedPath {
    fn from(path: StorePath) -> Self {
        Self::Opaque(path)
    }
}

impl From<BuiltPath> for SingleDerivedPath {
    fn from(built: BuiltPath) -> Self {
        Self::Built(Box::new(built))
    }
}

/// The form of string contexts, without the store directory: `out!…-a.drv`, outermost output first.
impl fmt::Display for SingleDerivedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opaque(path) => path.fmt(f),
            Self::Built(built) => built.fmt(f),
        }
    }
}

/// As [`SingleDerivedPath`].
impl fmt::Display for BuiltPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.output, self.drv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_order() {
        let store = StoreDir::default();
        let drv = StorePath::new([1; 20], "a.drv").expect("a valid name");
        let text = format!("{}^out^bin", store.print(&drv));
        let path = SingleDerivedPath::parse(&store, &text).expect("a valid path");
        assert_eq!(path, SingleDerivedPath::built(SingleDerivedPath::built(drv.clone(), "out"), "bin"));
        assert_eq!((path.display(&store), path.depth(), path.base()), (text, 2, &drv));
        assert_eq!(path.to_string(), format!("bin!out!{drv}"));
        assert!(SingleDerivedPath::Opaque(drv) < path);
        assert!(SingleDerivedPath::parse(&store, "/elsewhere^out").is_err());
        let deep = format!("{}{}", store.print(path.base()), "^out".repeat(MAX_DYNAMIC_DEPTH + 1));
        assert!(SingleDerivedPath::parse(&store, &deep).is_err());
    }
}

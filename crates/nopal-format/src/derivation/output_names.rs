//! Names of outputs.

use smallvec::SmallVec;

/// The name of an output. A derivation names one for each of its inputs; a short one is copied without memory of its own.
pub type OutputName = ecow::EcoString;

/// Names of a derivation's outputs, each of them once, ascending. Of most inputs one output is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputNames(SmallVec<[OutputName; 1]>);

impl OutputNames {
    /// These names; the first that is there twice is an error.
    pub(super) fn distinct(mut names: SmallVec<[OutputName; 1]>) -> Result<Self, OutputName> {
        names.sort_unstable();
        match names.windows(2).position(|pair| pair[0] == pair[1]) {
            Some(at) => Err(names.swap_remove(at)),
            None => Ok(Self(names)),
        }
    }

    /// Adds a name; false if it is there already.
    pub fn insert(&mut self, name: OutputName) -> bool {
        match self.0.binary_search(&name) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, name);
                true
            }
        }
    }

    /// Whether the name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names.
    pub fn iter(&self) -> std::slice::Iter<'_, OutputName> {
        self.0.iter()
    }
}

impl<S: Into<OutputName>> Extend<S> for OutputNames {
    fn extend<I: IntoIterator<Item = S>>(&mut self, names: I) {
        self.0.extend(names.into_iter().map(Into::into));
        self.0.sort_unstable();
        self.0.dedup();
    }
}

impl<S: Into<OutputName>> FromIterator<S> for OutputNames {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut all = Self::default();
        all.extend(names);
        all
    }
}

impl IntoIterator for OutputNames {
    type Item = OutputName;
    type IntoIter = smallvec::IntoIter<[OutputName; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a OutputNames {
    type Item = &'a OutputName;
    type IntoIter = std::slice::Iter<'a, OutputName>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

//! Names of outputs.

use smallvec::SmallVec;

/// Names of a derivation's outputs, each of them once, ascending. Of most inputs one output is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputNames(SmallVec<[String; 1]>);

impl OutputNames {
    /// These names; the first that is there twice is an error.
    pub(super) fn distinct(mut names: SmallVec<[String; 1]>) -> Result<Self, String> {
        names.sort_unstable();
        match names.windows(2).position(|pair| pair[0] == pair[1]) {
            Some(at) => Err(names.swap_remove(at)),
            None => Ok(Self(names)),
        }
    }

    /// Adds a name; false if it is there already.
    pub fn insert(&mut self, name: String) -> bool {
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
    pub fn iter(&self) -> std::slice::Iter<'_, String> {
        self.0.iter()
    }
}

impl<S: Into<String>> Extend<S> for OutputNames {
    fn extend<I: IntoIterator<Item = S>>(&mut self, names: I) {
        self.0.extend(names.into_iter().map(Into::into));
        self.0.sort_unstable();
        self.0.dedup();
    }
}

impl<S: Into<String>> FromIterator<S> for OutputNames {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut all = Self::default();
        all.extend(names);
        all
    }
}

impl IntoIterator for OutputNames {
    type Item = String;
    type IntoIter = smallvec::IntoIter<[String; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a OutputNames {
    type Item = &'a String;
    type IntoIter = std::slice::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

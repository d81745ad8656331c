//! The environment of a builder: a map that is mostly built in order and then read in order.

use crate::bytes::ByteString;

/// Variables by name, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(ByteString, ByteString)>);

impl Environment {
    /// No variables.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_bytes().cmp(name))
    }

    /// The value of a variable.
    pub fn get(&self, name: &[u8]) -> Option<&ByteString> {
        self.find(name).ok().map(|at| &self.0[at].1)
    }

    /// The value of a variable, to be changed.
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut ByteString> {
        self.find(name).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether there is a variable of this name.
    pub fn contains_key(&self, name: &[u8]) -> bool {
        self.find(name).is_ok()
    }

    /// Sets a variable; returns the value it had.
    pub fn insert(&mut self, name: ByteString, value: ByteString) -> Option<ByteString> {
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            self.0.push((name, value));
            return None;
        }
        match self.find(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    /// The value of a variable, which becomes the empty string if it is not set.
    pub fn or_default(&mut self, name: &[u8]) -> &mut ByteString {
        let at = self.find(name).unwrap_or_else(|at| {
            self.0.insert(at, (ByteString::from(name), ByteString::new()));
            at
        });
        &mut self.0[at].1
    }

    /// Removes a variable; returns the value it had.
    pub fn remove(&mut self, name: &[u8]) -> Option<ByteString> {
        self.find(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ByteString, &ByteString)> {
        self.into_iter()
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &ByteString> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values, by name.
    pub fn values(&self) -> impl Iterator<Item = &ByteString> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for &'a Environment {
    type Item = (&'a ByteString, &'a ByteString);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (ByteString, ByteString)>,
        fn(&'a (ByteString, ByteString)) -> (&'a ByteString, &'a ByteString),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl Extend<(ByteString, ByteString)> for Environment {
    fn extend<I: IntoIterator<Item = (ByteString, ByteString)>>(&mut self, variables: I) {
        for (name, value) in variables {
            self.insert(name, value);
        }
    }
}

impl FromIterator<(ByteString, ByteString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (ByteString, ByteString)>>(variables: I) -> Self {
        let mut environment = Self::new();
        environment.extend(variables);
        environment
    }
}

impl<const N: usize> From<[(ByteString, ByteString); N]> for Environment {
    fn from(variables: [(ByteString, ByteString); N]) -> Self {
        variables.into_iter().collect()
    }
}

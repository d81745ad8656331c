//! The environment of a builder: a map that is mostly built in order and then read in order.

use std::cmp::Ordering;

use crate::bytes::{ByteText, prefix};

/// Variables by name, in order. All texts lie in one buffer.
#[derive(Clone, Default)]
pub struct Environment {
    text: Vec<u8>,
    variables: Vec<Variable>,
}

/// Where in the buffer a name begins, with its value behind it.
#[derive(Clone, Copy)]
struct Variable {
    /// The first bytes of the name, which tell most names apart.
    prefix: u64,
    at: usize,
    name: usize,
    value: usize,
}

impl Environment {
    /// No variables.
    pub const fn new() -> Self {
        Self { text: Vec::new(), variables: Vec::new() }
    }

    /// No variables, with room for so many and for so many bytes.
    pub fn with_capacity(variables: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), variables: Vec::with_capacity(variables) }
    }

    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    fn name(&self, variable: Variable) -> ByteText<'_> {
        ByteText(&self.text[variable.at..][..variable.name])
    }

    fn value(&self, variable: Variable) -> ByteText<'_> {
        ByteText(&self.text[variable.at + variable.name..][..variable.value])
    }

    /// How many variables come before the one of this name, if there is one.
    pub(super) fn index_of(&self, name: &[u8]) -> Option<usize> {
        self.find(name).ok()
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        let prefix = prefix(name);
        self.variables.binary_search_by(|variable| self.compare(*variable, prefix, name))
    }

    /// Compares the name of a variable with one whose prefix is known.
    fn compare(&self, variable: Variable, prefix: u64, name: &[u8]) -> Ordering {
        variable.prefix.cmp(&prefix).then_with(|| self.name(variable).as_bytes().cmp(name))
    }

    /// The value of a variable.
    pub fn get(&self, name: &[u8]) -> Option<ByteText<'_>> {
        self.find(name).ok().map(|at| self.value(self.variables[at]))
    }

    /// Whether there is a variable of this name.
    pub fn contains_key(&self, name: &[u8]) -> bool {
        self.find(name).is_ok()
    }

    /// Sets a variable; returns whether it was set before.
    pub fn insert(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> bool {
        let writing = self.write(name.as_ref());
        let is_known = writing.place.is_ok();
        writing.finish_with(value.as_ref());
        is_known
    }

    /// Begins to set a variable whose value is written piece by piece.
    pub fn write(&mut self, name: &[u8]) -> Writing<'_> {
        let prefix = prefix(name);
        let is_last = self.variables.last().is_none_or(|last| self.compare(*last, prefix, name).is_lt());
        let place = if is_last { Err(self.variables.len()) } else { self.find(name) };
        self.write_at(place, prefix, name)
    }

    fn write_at(&mut self, place: Result<usize, usize>, prefix: u64, name: &[u8]) -> Writing<'_> {
        let variable = Variable { prefix, at: self.text.len(), name: name.len(), value: 0 };
        self.text.extend_from_slice(name);
        Writing { environment: self, place, variable }
    }

    /// Sets a variable that is not set, or is empty; returns the value that it has then.
    pub fn insert_if_empty(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> ByteText<'_> {
        let name = name.as_ref();
        let place = self.find(name);
        match place.ok().filter(|at| self.variables[*at].value > 0) {
            Some(at) => self.value(self.variables[at]),
            None => self.write_at(place, prefix(name), name).finish_with(value.as_ref()),
        }
    }

    /// Removes a variable; returns whether it was set.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let place = self.find(name);
        if let Ok(at) = place {
            self.variables.remove(at);
        }
        place.is_ok()
    }

    /// Names and values, by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { environment: self, variables: self.variables.iter() }
    }
}

/// A variable that is being written. Nothing is set before [`Writing::finish`].
pub struct Writing<'a> {
    environment: &'a mut Environment,
    place: Result<usize, usize>,
    variable: Variable,
}

impl<'a> Writing<'a> {
    /// What is appended here is the value.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.environment.text
    }

    fn finish_with(mut self, value: &[u8]) -> ByteText<'a> {
        self.text().extend_from_slice(value);
        self.finish()
    }

    /// Sets the variable; returns its value.
    pub fn finish(self) -> ByteText<'a> {
        let Self { environment, place, mut variable } = self;
        variable.value = environment.text.len() - variable.at - variable.name;
        match place {
            // the old text stays where it is: a value that is replaced is short
            Ok(at) => environment.variables[at] = variable,
            Err(at) => environment.variables.insert(at, variable),
        }
        environment.value(variable)
    }
}

/// See [`Environment::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    environment: &'a Environment,
    variables: std::slice::Iter<'a, Variable>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (ByteText<'a>, ByteText<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let variable = *self.variables.next()?;
        Some((self.environment.name(variable), self.environment.value(variable)))
    }
}

impl<'a> IntoIterator for &'a Environment {
    type Item = (ByteText<'a>, ByteText<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl PartialEq for Environment {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other)
    }
}

impl Eq for Environment {}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Extend<(K, V)> for Environment {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, variables: I) {
        for (name, value) in variables {
            self.insert(name, value);
        }
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let mut environment = Self::new();
        environment.extend(variables);
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_in_order_whatever_order_they_come_in() {
        let mut environment: Environment = [("b", "1"), ("a", "2"), ("c", "")].into_iter().collect();
        assert!(environment.insert("b", "other"));
        assert!(!environment.insert("ab", "3"));
        assert!(environment.remove(b"c") && !environment.remove(b"c"));
        let shown: Vec<_> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["a=2", "ab=3", "b=other"]);
        assert_eq!(environment.get(b"b"), Some(ByteText(b"other")));
        assert_eq!(environment.insert_if_empty("b", "new"), ByteText(b"other"));
        for (name, value) in [("averylongname", "4"), ("averylong", "5"), ("c", "6")] {
            assert_eq!(environment.insert_if_empty(name, value), ByteText(value.as_bytes()));
        }
        assert!(environment.remove(b"averylongname") && environment.remove(b"averylong") && environment.remove(b"c"));
        // what a replaced value has left behind does not count
        assert_eq!(environment, [("a", "2"), ("ab", "3"), ("b", "other")].into_iter().collect());
        assert_ne!(environment, [("a", "2"), ("ab", "3")].into_iter().collect());
    }
}

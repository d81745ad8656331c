//! Replacing texts in what a builder is given: output placeholders, and hashes where an output is built elsewhere.

use std::collections::BTreeMap;

/// Texts and what stands for them during a build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrites {
    by_text: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Rewrites {
    pub(crate) fn insert(&mut self, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        let (from, to) = (from.into(), to.into());
        if from != to && !from.is_empty() {
            self.by_text.insert(from, to);
        }
    }

    /// Applies all of them, in the order of the texts.
    pub(crate) fn apply(&self, text: &[u8]) -> Vec<u8> {
        self.by_text.iter().fold(text.to_vec(), |text, (from, to)| replace(text, from, to))
    }
}

fn replace(text: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let finder = memchr::memmem::Finder::new(from);
    let Some(first) = finder.find(&text) else { return text };
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    let mut next = Some(first);
    while let Some(at) = next {
        out.extend_from_slice(text.get(done..at).unwrap_or_default());
        out.extend_from_slice(to);
        done = at + from.len();
        next = finder.find(text.get(done..).unwrap_or_default()).map(|offset| done + offset);
    }
    out.extend_from_slice(text.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_is_replaced() {
        let mut rewrites = Rewrites::default();
        rewrites.insert("aa", "b");
        rewrites.insert("x", "yyy");
        assert_eq!(rewrites.apply(b"aaaa-x-a"), b"bb-yyy-a");
        assert_eq!(rewrites.apply(b""), b"");
    }
}

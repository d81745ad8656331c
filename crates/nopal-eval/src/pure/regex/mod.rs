//! POSIX extended regular expressions in the dialect of libstdc++'s `std::regex` (`extended` grammar, C locale).
//!
//! Nix evaluates `builtins.match` and `builtins.split` with that library, and its results differ from POSIX and from
//! every other engine in documented and undocumented ways: a full match takes the first alternative that succeeds, a
//! search takes the longest of the alternatives but commits to greedy repetitions, an iteration that matches nothing
//! may still reset a group, and a pattern compiles to a bounded number of automaton states. This module builds the
//! same automaton and explores it in the same order, so captures are equal; unlike the original it keeps its stack on
//! the heap and, once a budget of steps is spent, remembers which (state, position) pairs have failed, which bounds
//! the exponential cases.

mod compile;
mod exec;
mod scan;

use rustc_hash::FxHashMap;
use std::ops::Range;
use std::rc::Rc;

pub use exec::{Matches, Scratch};

/// Why a pattern was rejected or could not be run. The texts are those that Nix prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// The pattern does not conform to the grammar.
    #[error("invalid regular expression '{}'", String::from_utf8_lossy(.pattern))]
    Invalid {
        /// The pattern as given.
        pattern: Vec<u8>,
    },
    /// The automaton exceeds libstdc++'s limit of 100,000 states, or matching exceeds our own table limit.
    #[error("memory limit exceeded by regular expression '{}'", String::from_utf8_lossy(.pattern))]
    Space {
        /// The pattern as given.
        pattern: Vec<u8>,
    },
}

/// The groups of one match: index 0 is the whole match, `None` a group that did not take part.
pub type Groups = Vec<Option<Range<usize>>>;

/// A compiled pattern.
#[derive(Debug)]
pub struct Regex {
    pattern: Box<[u8]>,
    program: compile::Program,
}

impl Regex {
    /// Compiles `pattern`.
    pub fn new(pattern: &[u8]) -> Result<Regex, RegexError> {
        match compile::compile(pattern) {
            Ok(program) => Ok(Regex { pattern: pattern.into(), program }),
            Err(compile::Fault::Invalid) => Err(RegexError::Invalid { pattern: pattern.into() }),
            Err(compile::Fault::Space) => Err(RegexError::Space { pattern: pattern.into() }),
        }
    }

    /// The source text of the pattern.
    pub fn pattern(&self) -> &[u8] {
        &self.pattern
    }

    /// Number of capture groups, the whole match not counted.
    pub fn group_count(&self) -> usize {
        self.program.groups - 1
    }

    /// Matches the whole of `text`, as `std::regex_match` does.
    pub fn full_match(&self, text: &[u8], scratch: &mut Scratch) -> Result<Option<Groups>, RegexError> {
        exec::full_match(&self.program, text, scratch).map_err(|_| self.space())
    }

    /// Iterates over the non-overlapping matches in `text`, as `std::regex_iterator` does.
    pub fn matches<'a>(&'a self, text: &'a [u8]) -> Matches<'a> {
        Matches::new(self, text)
    }

    fn space(&self) -> RegexError {
        RegexError::Space { pattern: self.pattern.to_vec() }
    }
}

/// Compiled patterns by source text, with the working memory that matching reuses. Failed compilations are not kept.
#[derive(Debug, Default)]
pub struct RegexCache {
    map: FxHashMap<Box<[u8]>, Rc<Regex>>,
    /// Working memory for [`Regex::full_match`] and [`Matches::next_match`], while nobody uses it.
    pub scratch: Option<Box<Scratch>>,
}

impl RegexCache {
    /// The compiled form of `pattern`, compiling it on first use.
    pub fn get(&mut self, pattern: &[u8]) -> Result<Rc<Regex>, RegexError> {
        if let Some(found) = self.map.get(pattern) {
            return Ok(Rc::clone(found));
        }
        let regex = Rc::new(Regex::new(pattern)?);
        self.map.insert(pattern.into(), Rc::clone(&regex));
        Ok(regex)
    }
}

#[cfg(test)]
mod tests;

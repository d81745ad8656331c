//! Reading derivations from ATerms. Accepts what Nix prints and what others (Guix) print in another order; where Nix
//! is lax (missing or doubled commas, repeated entries, trailing bytes) this reader refuses.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memchr2;
use smallvec::SmallVec;
use thiserror::Error;

use super::{Derivation, DerivationOutput, Environment, InputOutputs, OutputName, OutputNames};
use crate::bytes::ByteString;
use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::hash::{Hash, HashError};
use crate::store_path::{StoreDir, StorePath, StorePathError};

/// Largest `.drv` text that is read, in bytes. The largest known (whole package sets as one derivation) have a few MiB.
pub const MAX_ATERM_LEN: usize = 256 << 20;
/// Deepest nesting of dynamic outputs; each level is a derivation that builds a derivation.
pub const MAX_DYNAMIC_DEPTH: usize = 64;

/// Why a text is not a derivation. Positions are byte offsets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AtermError {
    /// The text is longer than [`MAX_ATERM_LEN`].
    #[error("derivation has {len} bytes, more than {MAX_ATERM_LEN}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Something else was expected.
    #[error("expected string '{expected}' at byte {position} of derivation")]
    Expected {
        /// What would have been right.
        expected: &'static str,
        /// Where.
        position: usize,
    },
    /// The text begins with neither form.
    #[error("derivation does not start with 'Derive' or 'DrvWithVersion'")]
    Start,
    /// A version that is not known.
    #[error("unknown derivation ATerm format version '{version}'")]
    Version {
        /// The version found.
        version: String,
    },
    /// A string without closing quote.
    #[error("unterminated string at byte {position} of derivation")]
    Unterminated {
        /// Where the string begins.
        position: usize,
    },
    /// An output name or a hash is not UTF-8.
    #[error("string at byte {position} of derivation is not UTF-8")]
    Utf8 {
        /// Where the string ends.
        position: usize,
    },
    /// A path that is not absolute.
    #[error("bad path '{path}' in derivation")]
    BadPath {
        /// The path.
        path: String,
    },
    /// A path that is no store path.
    #[error("in derivation: {0}")]
    StorePath(#[from] StorePathError),
    /// The hash of an output is wrong.
    #[error("output '{output}' of derivation: {source}")]
    Hash {
        /// The output's name.
        output: String,
        /// What is wrong.
        source: HashError,
    },
    /// An output of this kind must not state a path.
    #[error("{kind} derivation output should not specify output path, but output '{output}' does")]
    PathStated {
        /// The output's name.
        output: String,
        /// The kind of output.
        kind: &'static str,
    },
    /// The same entry twice.
    #[error("{what} '{name}' appears twice in derivation")]
    Duplicate {
        /// `output`, `input derivation`, `input source`, `environment variable` …
        what: &'static str,
        /// Which.
        name: String,
    },
    /// Nested deeper than [`MAX_DYNAMIC_DEPTH`].
    #[error("dynamic outputs in derivation are nested deeper than {MAX_DYNAMIC_DEPTH}")]
    TooDeep,
    /// Bytes behind the closing parenthesis.
    #[error("trailing bytes at byte {position} of derivation")]
    Trailing {
        /// Where they begin.
        position: usize,
    },
}

impl Derivation {
    /// Reads the text of a `.drv` file. `name` is the name of its store path without `.drv`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse_aterm(dir: &StoreDir, text: &[u8], name: &str) -> Result<Self, AtermError> {
        if text.len() > MAX_ATERM_LEN {
            return Err(AtermError::TooLong { len: text.len() });
        }
        let mut parser = Parser { text, position: 0, dir, is_versioned: false };
        parser.start()?;
        let outputs = parser.outputs()?;
        parser.expect(",")?;
        let input_drvs = parser.input_drvs()?;
        parser.expect(",")?;
        let mut input_srcs = std::collections::BTreeSet::new();
        parser.list(|parser| {
            let path = parser.store_path()?;
            let shown = path.name().to_owned();
            if input_srcs.insert(path) { Ok(()) } else { Err(duplicate("input source", &shown)) }
        })?;
        parser.expect(",")?;
        let system = parser.bytes()?;
        parser.expect(",")?;
        let builder = parser.bytes()?;
        parser.expect(",")?;
        let mut args = Vec::new();
        parser.list(|parser| {
            args.push(parser.bytes()?);
            Ok(())
        })?;
        parser.expect(",")?;
        let env = parser.env()?;
        parser.expect(")")?;
        if parser.position != text.len() {
            return Err(AtermError::Trailing { position: parser.position });
        }
        Ok(Self { name: name.to_owned(), outputs, input_srcs, input_drvs, system, builder, args, env })
    }
}

fn duplicate(what: &'static str, name: &str) -> AtermError {
    AtermError::Duplicate { what, name: name.to_owned() }
}

struct Parser<'a> {
    text: &'a [u8],
    position: usize,
    dir: &'a StoreDir,
    is_versioned: bool,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text[self.position..]
    }

    fn eat(&mut self, token: &'static str) -> bool {
        let found = self.rest().starts_with(token.as_bytes());
        if found {
            self.position += token.len();
        }
        found
    }

    fn expect(&mut self, expected: &'static str) -> Result<(), AtermError> {
        if self.eat(expected) { Ok(()) } else { Err(AtermError::Expected { expected, position: self.position }) }
    }

    fn start(&mut self) -> Result<(), AtermError> {
        if self.eat("Derive(") {
            return Ok(());
        }
        if !self.eat("DrvWithVersion(") {
            return Err(AtermError::Start);
        }
        let version = self.text_string()?;
        if version != "xp-dyn-drv" {
            return Err(AtermError::Version { version });
        }
        self.is_versioned = true;
        self.expect(",")
    }

    /// Square brackets around items with one comma between them.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), AtermError>) -> Result<(), AtermError> {
        self.expect("[")?;
        if self.eat("]") {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.eat("]") {
                return Ok(());
            }
            self.expect(",")?;
        }
    }

    fn string(&mut self) -> Result<Cow<'a, [u8]>, AtermError> {
        self.expect("\"")?;
        let start = self.position;
        let unterminated = AtermError::Unterminated { position: start };
        let rest = self.rest();
        let Some(first) = memchr2(b'"', b'\\', rest) else { return Err(unterminated) };
        if rest[first] == b'"' {
            self.position += first + 1;
            return Ok(Cow::Borrowed(&rest[..first]));
        }
        let mut out = Vec::with_capacity(first * 2);
        let mut from = 0;
        let mut special = first;
        loop {
            out.extend_from_slice(&rest[from..special]);
            if rest[special] == b'"' {
                self.position += special + 1;
                return Ok(Cow::Owned(out));
            }
            let Some(&escaped) = rest.get(special + 1) else { return Err(unterminated) };
            out.push(match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => other,
            });
            from = special + 2;
            let Some(next) = memchr2(b'"', b'\\', &rest[from..]) else { return Err(unterminated) };
            special = from + next;
        }
    }

    fn bytes(&mut self) -> Result<ByteString, AtermError> {
        Ok(ByteString::from(self.string()?.into_owned()))
    }

    fn text_string(&mut self) -> Result<String, AtermError> {
        let bytes = self.string()?.into_owned();
        String::from_utf8(bytes).map_err(|_| AtermError::Utf8 { position: self.position })
    }

    fn output_name(&mut self) -> Result<OutputName, AtermError> {
        let bytes = self.string()?;
        std::str::from_utf8(&bytes).map(OutputName::from).map_err(|_| AtermError::Utf8 { position: self.position })
    }

    fn store_path(&mut self) -> Result<StorePath, AtermError> {
        let path = self.text_string()?;
        check_absolute(&path)?;
        Ok(self.dir.parse(&path)?)
    }

    fn outputs(&mut self) -> Result<BTreeMap<String, DerivationOutput>, AtermError> {
        let mut outputs = BTreeMap::new();
        self.list(|parser| {
            parser.expect("(")?;
            let name = parser.text_string()?;
            parser.expect(",")?;
            let path = parser.text_string()?;
            parser.expect(",")?;
            let algorithm = parser.text_string()?;
            parser.expect(",")?;
            let hash = parser.text_string()?;
            parser.expect(")")?;
            let output = read_output(parser.dir, &name, &path, &algorithm, &hash)?;
            match outputs.insert(name.clone(), output) {
                None => Ok(()),
                Some(_) => Err(duplicate("output", &name)),
            }
        })?;
        Ok(outputs)
    }

    fn input_drvs(&mut self) -> Result<BTreeMap<StorePath, InputOutputs>, AtermError> {
        let mut inputs = BTreeMap::new();
        self.list(|parser| {
            parser.expect("(")?;
            let path = parser.store_path()?;
            parser.expect(",")?;
            let needed = parser.needed(0)?;
            parser.expect(")")?;
            let shown = path.name().to_owned();
            match inputs.insert(path, needed) {
                None => Ok(()),
                Some(_) => Err(duplicate("input derivation", &shown)),
            }
        })?;
        Ok(inputs)
    }

    fn needed(&mut self, depth: usize) -> Result<InputOutputs, AtermError> {
        if depth > MAX_DYNAMIC_DEPTH {
            return Err(AtermError::TooDeep);
        }
        let is_dynamic = self.is_versioned && self.eat("(");
        let mut names = SmallVec::new();
        self.list(|parser| {
            names.push(parser.output_name()?);
            Ok(())
        })?;
        let outputs = OutputNames::distinct(names).map_err(|name| duplicate("output", &name))?;
        let mut needed = InputOutputs { outputs, dynamic: BTreeMap::new() };
        if is_dynamic {
            self.expect(",")?;
            self.list(|parser| {
                parser.expect("(")?;
                let name = parser.output_name()?;
                parser.expect(",")?;
                let inner = parser.needed(depth + 1)?;
                parser.expect(")")?;
                match needed.dynamic.insert(name.clone(), inner) {
                    None => Ok(()),
                    Some(_) => Err(duplicate("dynamic output", &name)),
                }
            })?;
            self.expect(")")?;
        }
        Ok(needed)
    }

    fn env(&mut self) -> Result<Environment, AtermError> {
        // Sorted input makes collecting a list and building the map at once cheaper than inserting one by one.
        let mut pairs = Vec::new();
        self.list(|parser| {
            parser.expect("(")?;
            let name = parser.bytes()?;
            parser.expect(",")?;
            let value = parser.bytes()?;
            parser.expect(")")?;
            pairs.push((name, value));
            Ok(())
        })?;
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(duplicate("environment variable", &pair[0].0.to_string_lossy()));
        }
        Ok(pairs.into_iter().collect())
    }
}

fn check_absolute(path: &str) -> Result<(), AtermError> {
    if path.starts_with('/') { Ok(()) } else { Err(AtermError::BadPath { path: path.to_owned() }) }
}

fn read_output(
    dir: &StoreDir,
    name: &str,
    path: &str,
    algorithm: &str,
    hash: &str,
) -> Result<DerivationOutput, AtermError> {
    if algorithm.is_empty() {
        if path.is_empty() {
            return Ok(DerivationOutput::Deferred);
        }
        check_absolute(path)?;
        return Ok(DerivationOutput::InputAddressed { path: dir.parse(path)? });
    }
    let wrong_hash = |source| AtermError::Hash { output: name.to_owned(), source };
    let no_path = |kind, output| {
        if path.is_empty() { Ok(output) } else { Err(AtermError::PathStated { output: name.to_owned(), kind }) }
    };
    let (method, algorithm) = ContentAddressMethod::parse_with_algorithm(algorithm).map_err(wrong_hash)?;
    match hash {
        "impure" => no_path("impure", DerivationOutput::Impure { method, algorithm }),
        "" => no_path("content-addressing", DerivationOutput::Floating { method, algorithm }),
        digits => {
            check_absolute(path)?;
            let hash = Hash::parse_unprefixed(digits, algorithm).map_err(wrong_hash)?;
            Ok(DerivationOutput::Fixed { ca: ContentAddress { method, hash } })
        }
    }
}

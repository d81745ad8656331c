//! The hash of a derivation modulo its fixed-output inputs, and what follows from it: output paths and the path of
//! the `.drv` file itself.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use thiserror::Error;

use super::aterm_print::{OutputMask, ReplacedInputs, write_escaped, write_replaced_inputs};
use super::{Derivation, DerivationKind, DerivationOutput, OutputName};
use crate::content_address::{ContentAddress, ContentAddressMethod};
use crate::hash::{Hash, HashAlgorithm, sha256, sha256_bytes, sha256_of_parts};
use crate::store_path::{DRV_SUFFIX, References, StoreDir, StorePath, StorePathError, hash_placeholder};

/// Why a derivation's outputs cannot be computed; the wording is Nix's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DerivationError {
    /// No output at all.
    #[error("must have at least one output")]
    NoOutputs,
    /// Outputs of different kinds.
    #[error("can't mix derivation output types")]
    MixedOutputs,
    /// More than one fixed output.
    #[error("only one fixed output is allowed for now")]
    SeveralFixed,
    /// A fixed output of another name than `out`.
    #[error("single fixed output must be named \"out\"")]
    FixedName,
    /// Floating outputs with different algorithms.
    #[error("all floating outputs must use the same hash algorithm")]
    FloatingAlgorithms,
    /// An input derivation does not have the output that is asked of it.
    #[error("no hash for output '{output}' of derivation '{name}'")]
    NoHash {
        /// The output.
        output: String,
        /// The name of the derivation that needs it.
        name: String,
    },
    /// The path stated differs from the one computed.
    #[error("derivation '{name}' has incorrect output '{found}', should be {expected}")]
    WrongOutput {
        /// The derivation's name.
        name: String,
        /// The path stated.
        found: String,
        /// The path computed, or `deferred`.
        expected: String,
    },
    /// The environment variable of an output differs from its path.
    #[error(
        "derivation '{name}' has incorrect environment variable '{output}', should be '{expected}' but is actually '{found}'"
    )]
    WrongEnv {
        /// The derivation's name.
        name: String,
        /// The output.
        output: String,
        /// The value found; empty when there is none.
        found: String,
        /// The path computed.
        expected: String,
    },
    /// Input derivations refer to each other in a circle.
    #[error("derivation '{path}' is an input of itself")]
    Cycle {
        /// One derivation of the circle.
        path: StorePath,
    },
    /// A name makes no valid store path.
    #[error(transparent)]
    StorePath(#[from] StorePathError),
}

/// What a derivation contributes to the hash of those that need it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrvHash {
    /// A SHA-256.
    hash: [u8; 32],
    outputs: Arc<[OutputName]>,
    is_deferred: bool,
}

impl DrvHash {
    /// The hash that stands for an output; all outputs have the same.
    pub fn of_output(&self, output: &str) -> Option<Hash> {
        self.index_of(output).map(|_| self.hash())
    }

    /// How many outputs come before this one.
    fn index_of(&self, output: &str) -> Option<usize> {
        self.outputs.iter().position(|name| name == output)
    }

    fn hash(&self) -> Hash {
        Hash::sha256(self.hash)
    }

    /// Whether the output paths are not known before something is built.
    pub fn is_deferred(&self) -> bool {
        self.is_deferred
    }
}

/// How outputs are declared by `derivation { … }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputSpec {
    /// Paths follow from the derivation.
    InputAddressed,
    /// The content is known beforehand (`outputHash`); the one output is `out`.
    Fixed(ContentAddress),
    /// `__contentAddressed = true`.
    Floating {
        /// How the content will be hashed.
        method: ContentAddressMethod,
        /// With which algorithm.
        algorithm: HashAlgorithm,
    },
    /// `__impure = true`.
    Impure {
        /// How the content will be hashed.
        method: ContentAddressMethod,
        /// With which algorithm.
        algorithm: HashAlgorithm,
    },
}

/// Looks up the hash of an input derivation.
pub type Lookup<'a, E> = dyn FnMut(&StorePath) -> Result<DrvHash, E> + 'a;

impl Derivation {
    /// Sets outputs and their environment variables as `derivationStrict` does before paths are computed: placeholders
    /// for floating ones, empty strings for the rest.
    ///
    /// # Errors
    /// A fixed output with another name than `out`.
    pub fn declare_outputs<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        spec: OutputSpec,
    ) -> Result<(), DerivationError> {
        for name in names {
            let (output, value) = match spec {
                OutputSpec::InputAddressed => (DerivationOutput::Deferred, String::new()),
                OutputSpec::Fixed(_) if name != "out" => return Err(DerivationError::FixedName),
                OutputSpec::Fixed(ca) => (DerivationOutput::Fixed { ca }, String::new()),
                OutputSpec::Floating { method, algorithm } => {
                    (DerivationOutput::Floating { method, algorithm }, hash_placeholder(name))
                }
                OutputSpec::Impure { method, algorithm } => {
                    (DerivationOutput::Impure { method, algorithm }, hash_placeholder(name))
                }
            };
            self.env.insert(name, value);
            self.outputs.insert(name.to_owned(), output);
        }
        Ok(())
    }

    /// The kind that all outputs have in common.
    ///
    /// # Errors
    /// No outputs, or outputs that do not go together.
    pub fn kind(&self) -> Result<DerivationKind, DerivationError> {
        let mut found: Option<(DerivationKind, Option<HashAlgorithm>)> = None;
        for (name, output) in &self.outputs {
            let (kind, algorithm) = match output {
                DerivationOutput::InputAddressed { .. } => (DerivationKind::InputAddressed, None),
                DerivationOutput::Deferred => (DerivationKind::Deferred, None),
                DerivationOutput::Fixed { .. } => (DerivationKind::Fixed, None),
                DerivationOutput::Floating { algorithm, .. } => (DerivationKind::Floating, Some(*algorithm)),
                DerivationOutput::Impure { .. } => (DerivationKind::Impure, None),
            };
            match found {
                None => found = Some((kind, algorithm)),
                Some((other, _)) if other != kind => return Err(DerivationError::MixedOutputs),
                Some((DerivationKind::Fixed, _)) => return Err(DerivationError::SeveralFixed),
                Some((_, other)) if other != algorithm => return Err(DerivationError::FloatingAlgorithms),
                Some(_) => {}
            }
            if kind == DerivationKind::Fixed && name != "out" {
                return Err(DerivationError::FixedName);
            }
        }
        found.map(|(kind, _)| kind).ok_or(DerivationError::NoOutputs)
    }

    /// The derivation's hash modulo: for fixed outputs a hash of what they are, however they are fetched; otherwise of
    /// the ATerm with input derivations replaced by their hashes. `scratch` is overwritten.
    ///
    /// # Errors
    /// Outputs that do not go together, an input without the output asked of it, and what `lookup` returns.
    pub fn hash_modulo<E: From<DerivationError>>(
        &self,
        dir: &StoreDir,
        mask: OutputMask,
        lookup: &mut Lookup<'_, E>,
        scratch: &mut Vec<u8>,
    ) -> Result<DrvHash, E> {
        let is_deferred = matches!(self.kind()?, DerivationKind::Floating | DerivationKind::Impure);
        if let Some(hash) = self.fixed_hash(dir)? {
            return Ok(hash);
        }
        let Inputs { replaced: inputs, is_deferred: inputs_deferred, .. } = self.replaced_inputs(lookup)?;
        scratch.clear();
        self.write_head(dir, &self.shown_paths(dir, mask).map_err(DerivationError::from)?, scratch);
        write_replaced_inputs(&inputs, scratch);
        self.write_tail(dir, mask, scratch, &mut Vec::new());
        Ok(self.known_by(sha256_bytes(scratch), is_deferred | inputs_deferred))
    }

    /// What others know this derivation by.
    fn known_by(&self, hash: [u8; 32], is_deferred: bool) -> DrvHash {
        let outputs = self.outputs.keys().map(OutputName::from).collect();
        DrvHash { hash, outputs, is_deferred }
    }

    /// The hash if the output is fixed.
    fn fixed_hash(&self, dir: &StoreDir) -> Result<Option<DrvHash>, DerivationError> {
        let Some(DerivationOutput::Fixed { ca }) = self.outputs.get("out") else { return Ok(None) };
        let path = dir.ca_path(&self.name, ca, &References::default())?;
        Ok(Some(self.fixed_hash_at(dir, ca, &path)))
    }

    fn fixed_hash_at(&self, dir: &StoreDir, ca: &ContentAddress, path: &StorePath) -> DrvHash {
        let text = ["fixed:out:", &ca.method_algorithm(), ":", &ca.hash.base16(), ":", &dir.print(path)].concat();
        self.known_by(sha256_bytes(text.as_bytes()), false)
    }

    /// The inputs as they are hashed.
    fn replaced_inputs<H: Borrow<DrvHash>, E: From<DerivationError>>(
        &self,
        mut lookup: impl FnMut(&StorePath) -> Result<H, E>,
    ) -> Result<Inputs<'_>, E> {
        let mut is_deferred = false;
        let mut replaced = ReplacedInputs::with_capacity(self.input_drvs.len());
        let mut needs = Some(Vec::with_capacity(self.input_drvs.len()));
        for (path, needed) in &self.input_drvs {
            let input = lookup(path)?;
            let input = input.borrow();
            is_deferred |= input.is_deferred;
            let mut outputs = Some(0).filter(|_| needed.dynamic.is_empty());
            for output in &needed.outputs {
                let Some(index) = input.index_of(output) else {
                    return Err(DerivationError::NoHash { output: output.to_string(), name: self.name.clone() }.into());
                };
                outputs = outputs.and_then(|outputs| Some(outputs | 1_u32.checked_shl(index.try_into().ok()?)?));
                // all outputs have the same
                replaced.push((input.hash, output.as_str()));
            }
            match (&mut needs, outputs) {
                (Some(needs), Some(outputs)) => needs.push(Need { digest: *path.digest(), outputs }),
                _ => needs = None,
            }
        }
        replaced.sort_unstable();
        replaced.dedup();
        Ok(Inputs { replaced, is_deferred, needs })
    }

    /// Computes what is not stated yet: paths of deferred outputs whose inputs are all known, and the environment
    /// variables of outputs that are missing or empty. What is stated is checked.
    ///
    /// # Errors
    /// A path or variable that is stated and wrong; and as [`Derivation::hash_modulo`].
    pub fn fill_output_paths<E: From<DerivationError>>(
        &mut self,
        dir: &StoreDir,
        lookup: &mut Lookup<'_, E>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), E> {
        match self.kind()? {
            DerivationKind::Floating | DerivationKind::Impure => Ok(()),
            DerivationKind::Fixed => {
                for (name, output) in self.outputs.clone() {
                    if let Some(path) = output.path(dir, &self.name, &name).map_err(DerivationError::from)? {
                        self.fill_env(dir, &name, &path)?;
                    }
                }
                Ok(())
            }
            DerivationKind::InputAddressed | DerivationKind::Deferred => {
                let hash = self.hash_modulo(dir, OutputMask::Blank, lookup, scratch)?;
                Ok(self.fill_outputs(dir, &hash.hash(), hash.is_deferred)?)
            }
        }
    }

    /// Paths of outputs that follow from this hash.
    fn fill_outputs(&mut self, dir: &StoreDir, hash: &Hash, is_deferred: bool) -> Result<(), DerivationError> {
        let mut outputs = std::mem::take(&mut self.outputs);
        let filled = outputs.iter_mut().try_for_each(|(name, output)| {
            let computed = dir.output_path(name, hash, &self.name)?;
            match output {
                DerivationOutput::InputAddressed { path } if !is_deferred && *path == computed => {}
                DerivationOutput::InputAddressed { path } => {
                    let expected =
                        if is_deferred { "deferred".to_owned() } else { format!("'{}'", dir.print(&computed)) };
                    let (name, found) = (self.name.clone(), dir.print(path));
                    return Err(DerivationError::WrongOutput { name, found, expected });
                }
                _ if is_deferred => {}
                _ => {
                    self.fill_env(dir, name, &computed)?;
                    *output = DerivationOutput::InputAddressed { path: computed };
                }
            }
            Ok(())
        });
        self.outputs = outputs;
        filled
    }

    fn fill_env(&mut self, dir: &StoreDir, output: &str, path: &StorePath) -> Result<(), DerivationError> {
        let expected = dir.print(path);
        let found = self.env.insert_if_empty(output, &expected);
        if found.as_bytes() == expected.as_bytes() {
            return Ok(());
        }
        let (name, output, found) = (self.name.clone(), output.to_owned(), found.to_string_lossy().into_owned());
        Err(DerivationError::WrongEnv { name, output, found, expected })
    }

    /// What the `.drv` file refers to: input sources and input derivations.
    pub fn references(&self) -> BTreeSet<StorePath> {
        self.input_srcs.iter().chain(self.input_drvs.keys()).cloned().collect()
    }

    /// The path of the `.drv` file, given its text.
    ///
    /// # Errors
    /// A name that makes no valid path.
    pub fn drv_path(&self, dir: &StoreDir, aterm: &[u8]) -> Result<StorePath, StorePathError> {
        self.drv_path_of(dir, &sha256(aterm))
    }

    /// The same, given the hash of the text.
    fn drv_path_of(&self, dir: &StoreDir, text_hash: &Hash) -> Result<StorePath, StorePathError> {
        let mut sources = self.input_srcs.iter().peekable();
        let mut drvs = self.input_drvs.keys().peekable();
        // both in order; what is in both is referred to once
        let references = std::iter::from_fn(|| match (sources.peek(), drvs.peek()) {
            (Some(source), Some(drv)) => match source.cmp(drv) {
                Ordering::Less => sources.next(),
                Ordering::Greater => drvs.next(),
                Ordering::Equal => {
                    sources.next();
                    drvs.next()
                }
            },
            (Some(_), None) => sources.next(),
            (None, _) => drvs.next(),
        });
        dir.text_path_of(&[&self.name, DRV_SUFFIX].concat(), text_hash, references)
    }
}

/// A derivation made ready for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instantiated<'a> {
    /// The path of the `.drv` file.
    pub path: StorePath,
    /// Its text.
    pub aterm: &'a [u8],
    /// The SHA-256 of its text.
    pub text_hash: Hash,
    /// The path of its output, if that is fixed.
    pub fixed_output: Option<StorePath>,
}

/// What [`DrvHashes::finish`] finds out.
struct Finished {
    /// Of the `.drv` file.
    path: StorePath,
    /// Of the ATerm.
    text_hash: Hash,
    /// For those that will need the derivation.
    hash: DrvHash,
    /// As in [`Instantiated`].
    fixed_output: Option<StorePath>,
}

/// The input derivations of a derivation.
struct Inputs<'a> {
    replaced: ReplacedInputs<'a>,
    /// Whether the path of one is not known yet.
    is_deferred: bool,
    /// What tells them from others that are hashed alike; none if outputs of outputs are needed, or one beyond the 32nd.
    needs: Option<Vec<Need>>,
}

/// What is needed of an input derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need {
    /// Of its path.
    digest: [u8; 20],
    /// Which of its outputs, as bits.
    outputs: u32,
}

/// A derivation that was instantiated.
#[derive(Debug, Clone)]
struct Made {
    path: StorePath,
    text_hash: Hash,
    needs: Box<[Need]>,
}

/// Hashes of derivations already seen, so that each is computed once, for one store directory.
#[derive(Debug, Clone, Default)]
pub struct DrvHashes {
    known: FxHashMap<StorePath, DrvHash>,
    /// By the hash that output paths are computed from. Package sets describe many derivations more than once; with the
    /// same inputs and name they are the same.
    made: FxHashMap<[u8; 32], Made>,
    // buffers
    scratch: Vec<u8>,
    tail: Vec<u8>,
    gaps: Vec<usize>,
    text: Vec<u8>,
}

/// The hash of an input, all of which are known by now.
fn find<'a, E: From<DerivationError>>(
    known: &'a FxHashMap<StorePath, DrvHash>,
    path: &StorePath,
) -> Result<&'a DrvHash, E> {
    known.get(path).ok_or_else(|| DerivationError::Cycle { path: path.clone() }.into())
}

/// Reads a derivation that is not known yet.
pub type ReadDrv<'a, E> = dyn FnMut(&StorePath) -> Result<Derivation, E> + 'a;

impl DrvHashes {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The hash of a derivation, if it is known.
    pub fn known(&self, path: &StorePath) -> Option<&DrvHash> {
        self.known.get(path)
    }

    /// Takes note of the hash of a derivation.
    pub fn learn(&mut self, path: &StorePath, hash: DrvHash) {
        self.known.insert(path.clone(), hash);
    }

    /// The hash of a derivation, reading it and all that it needs with `read` where they are not known. Takes no stack
    /// for deep graphs.
    ///
    /// # Errors
    /// What `read` returns, a circle, or as [`Derivation::hash_modulo`].
    pub fn get<E: From<DerivationError>>(
        &mut self,
        dir: &StoreDir,
        path: &StorePath,
        read: &mut ReadDrv<'_, E>,
    ) -> Result<DrvHash, E> {
        if let Some(hash) = self.known.get(path) {
            return Ok(hash.clone());
        }
        // Depth first with a stack of our own; a derivation stays on it until all its inputs are known.
        let mut stack = vec![(path.clone(), read(path)?)];
        let mut open = BTreeSet::from([path.clone()]);
        while let Some((_, drv)) = stack.last() {
            let missing = drv.input_drvs.keys().find(|input| !self.known.contains_key(*input)).cloned();
            if let Some(input) = missing.filter(|_| !drv.is_fixed()) {
                if !open.insert(input.clone()) {
                    return Err(DerivationError::Cycle { path: input }.into());
                }
                let drv = read(&input)?;
                stack.push((input, drv));
                continue;
            }
            let hash = self.hash_known(dir, drv, OutputMask::Show)?;
            if let Some((path, _)) = stack.pop() {
                open.remove(&path);
                self.known.insert(path, hash);
            }
        }
        match self.known.get(path) {
            Some(hash) => Ok(hash.clone()),
            None => Err(DerivationError::Cycle { path: path.clone() }.into()),
        }
    }

    /// The hash that realisations of a derivation's outputs are recorded under: as [`DrvHashes::get`], but with its
    /// own outputs masked.
    ///
    /// # Errors
    /// As [`DrvHashes::get`].
    pub fn output_hash<E: From<DerivationError>>(
        &mut self,
        dir: &StoreDir,
        drv: &Derivation,
        read: &mut ReadDrv<'_, E>,
    ) -> Result<Hash, E> {
        self.know_inputs(dir, drv, read)?;
        Ok(self.hash_known(dir, drv, OutputMask::Blank)?.hash())
    }

    /// Makes the hashes known that the one of a derivation follows from.
    fn know_inputs<E: From<DerivationError>>(
        &mut self,
        dir: &StoreDir,
        drv: &Derivation,
        read: &mut ReadDrv<'_, E>,
    ) -> Result<(), E> {
        if drv.is_fixed() {
            return Ok(());
        }
        for input in drv.input_drvs.keys() {
            if !self.known.contains_key(input) {
                self.get(dir, input, read)?;
            }
        }
        Ok(())
    }

    fn hash_known<E: From<DerivationError>>(
        &mut self,
        dir: &StoreDir,
        drv: &Derivation,
        mask: OutputMask,
    ) -> Result<DrvHash, E> {
        let known = &self.known;
        let mut lookup = |path: &StorePath| find(known, path).cloned();
        drv.hash_modulo(dir, mask, &mut lookup, &mut self.scratch)
    }

    /// Does what `derivationStrict` does at the end: fills in output paths, prints the ATerm, computes the path of the
    /// `.drv` file, and remembers its hash for those that will need it.
    ///
    /// # Errors
    /// As [`DrvHashes::get`] and [`Derivation::fill_output_paths`].
    pub fn instantiate<E: From<DerivationError>>(
        &mut self,
        dir: &StoreDir,
        drv: &mut Derivation,
        read: &mut ReadDrv<'_, E>,
    ) -> Result<Instantiated<'_>, E> {
        self.know_inputs(dir, drv, read)?;
        let Finished { path, text_hash, hash, fixed_output } = self.finish(dir, drv)?;
        self.known.insert(path.clone(), hash);
        Ok(Instantiated { path, aterm: &self.text, text_hash, fixed_output })
    }

    /// Fills in output paths and leaves the ATerm in `text`.
    ///
    /// All inputs are known. Three texts differ little (that which the output paths are computed from, that which is
    /// hashed and the ATerm), so the long part that they have in common is printed once.
    fn finish<E: From<DerivationError>>(&mut self, dir: &StoreDir, drv: &mut Derivation) -> Result<Finished, E> {
        let wrap = |error: StorePathError| E::from(DerivationError::from(error));
        let Self { known, made, scratch, tail, gaps, text } = self;
        let mut lookup = |path: &StorePath| find(known, path).cloned();
        let kind = drv.kind()?;
        let has_variables = drv.outputs.keys().all(|name| drv.env.contains_key(name.as_bytes()));
        text.clear();
        if let (DerivationKind::Fixed, Some(DerivationOutput::Fixed { ca })) = (kind, drv.outputs.get("out").cloned()) {
            let path = dir.ca_path(&drv.name, &ca, &References::default()).map_err(wrap)?;
            drv.fill_env(dir, "out", &path)?;
            let hash = drv.fixed_hash_at(dir, &ca, &path);
            let paths = [Some(path)];
            drv.write_head(dir, &paths, text);
            drv.write_inputs(dir, text);
            drv.write_tail(dir, OutputMask::Show, text, gaps);
            let ([fixed_output], text_hash) = (paths, sha256(text));
            let path = drv.drv_path_of(dir, &text_hash).map_err(wrap)?;
            return Ok(Finished { path, text_hash, hash, fixed_output });
        }
        let is_common = matches!(kind, DerivationKind::InputAddressed | DerivationKind::Deferred) && has_variables;
        if !is_common {
            drv.fill_output_paths(dir, &mut lookup, scratch)?;
            let hash = drv.hash_modulo(dir, OutputMask::Show, &mut lookup, scratch)?;
            drv.write_aterm(dir, OutputMask::Show, text).map_err(wrap)?;
            let text_hash = sha256(text);
            let path = drv.drv_path_of(dir, &text_hash).map_err(wrap)?;
            return Ok(Finished { path, text_hash, hash, fixed_output: None });
        }
        let Inputs { replaced, is_deferred, needs } = drv.replaced_inputs(|path| find(known, path))?;
        tail.clear();
        gaps.clear();
        drv.write_tail(dir, OutputMask::Blank, tail, gaps);
        scratch.clear();
        drv.write_head(dir, &[], scratch);
        let replaced_from = scratch.len();
        write_replaced_inputs(&replaced, scratch);
        let has_inputs = !drv.input_drvs.is_empty();
        let masked_hash = sha256_of_parts([scratch, tail]);
        drv.fill_outputs(dir, &Hash::sha256(masked_hash), is_deferred)?;
        drv.write_head(dir, &drv.shown_paths(dir, OutputMask::Show).map_err(wrap)?, text);
        let head = text.len();
        drv.write_inputs(dir, text);
        let begin = text.len();
        let mut from = 0;
        for (name, gap) in drv.outputs.keys().zip(&*gaps) {
            // the quotes are there
            text.extend_from_slice(&tail[from..gap - 1]);
            write_escaped(drv.env_value(name).unwrap_or_default().as_bytes(), text);
            from = gap + 1;
        }
        text.extend_from_slice(&tail[from..]);
        // what the variables of deferred outputs say does not follow from the hash
        let needs = needs.filter(|_| !is_deferred);
        if let (Some(made), Some(needs)) = (made.get(&masked_hash), &needs)
            && *made.needs == **needs
            && made.path.derivation_name() == Ok(&drv.name)
            && let Some(hash) = known.get(&made.path)
        {
            let (path, hash) = (made.path.clone(), hash.clone());
            return Ok(Finished { path, text_hash: made.text_hash, hash, fixed_output: None });
        }
        let text_hash = sha256_bytes(text);
        let hash = match has_inputs {
            true => sha256_of_parts([&text[..head], &scratch[replaced_from..], &text[begin..]]),
            false => text_hash,
        };
        let (hash, text_hash) = (drv.known_by(hash, is_deferred), Hash::sha256(text_hash));
        let path = drv.drv_path_of(dir, &text_hash).map_err(wrap)?;
        if let Some(needs) = needs {
            made.insert(masked_hash, Made { path: path.clone(), text_hash, needs: needs.into() });
        }
        Ok(Finished { path, text_hash, hash, fixed_output: None })
    }
}

//! Builders that are functions of ours: a derivation names one as `builtin:NAME`.
//!
//! Such a builder runs in this process and outside the sandbox. That is safe for as long as it does with outside bytes
//! only what this program does with outside bytes anyway, and writes nowhere but below the paths of
//! [`BuiltinContext::outputs`]. What it leaves there goes through the same checks as any builder's output.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nopal_fetch::FetchError;
use nopal_format::{Derivation, StoreDir, StorePath};
use nopal_report::Running;

use crate::CancelToken;

mod buildenv;
mod fetchurl;

use buildenv::build_environment;
pub use fetchurl::FetchUrl;

/// The prefix of a derivation's builder that asks for one of these.
pub const PREFIX: &str = "builtin:";

/// A builder that is a function.
pub trait BuiltinBuilder: Send + Sync {
    /// Produces every output of the derivation at its scratch path.
    ///
    /// # Errors
    /// Whatever keeps it from doing so; the build then fails with that text.
    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError>;
}

impl<F> BuiltinBuilder for F
where
    F: Fn(&BuiltinContext<'_>) -> Result<(), BuiltinError> + Send + Sync,
{
    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        self(context)
    }
}

/// What a builtin builder works with.
#[derive(Debug)]
#[non_exhaustive]
pub struct BuiltinContext<'a> {
    /// The derivation, as parsed: placeholders are not replaced.
    pub derivation: &'a Derivation,
    /// The logical store directory: what texts written into outputs must name.
    pub store_dir: &'a StoreDir,
    /// The directory in which the store's objects physically are; an input `P` is at `store_root/BASENAME`.
    pub physical_store: &'a Path,
    /// The closure of the inputs, all valid.
    pub inputs: &'a [StorePath],
    /// Where each output must be written: nothing is there yet, the parent directory exists, only this process may
    /// enter it, and it lies on the file system of the store.
    pub outputs: &'a BTreeMap<String, PathBuf>,
    /// The final store path of each output, where it is known beforehand.
    pub output_paths: &'a BTreeMap<String, StorePath>,
    /// An empty directory for intermediate files, on the file system of the store; removed afterwards.
    pub temp_dir: &'a Path,
    /// The activity of this build, for progress.
    pub activity: &'a Running,
    /// Ask now and then whether to stop.
    pub cancel: &'a CancelToken,
    pub(crate) log: LogLine<'a>,
}

/// Takes a line of the log.
#[derive(Clone, Copy)]
pub(crate) struct LogLine<'a>(pub(crate) &'a (dyn Fn(&str) + Sync));

impl fmt::Debug for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogLine")
    }
}

impl BuiltinContext<'_> {
    /// The physical path of a store path.
    pub fn physical(&self, path: &StorePath) -> PathBuf {
        self.physical_store.join(path.base_name())
    }

    /// The physical path of a logical path in the store, which may name something within a store object.
    ///
    /// # Errors
    /// The path is not one of [`BuiltinContext::inputs`] or within one.
    pub fn physical_input(&self, logical: &str) -> Result<PathBuf, BuiltinError> {
        let (path, rest) = self.store_dir.split(logical).map_err(BuiltinError::caused)?;
        if !self.inputs.contains(&path) {
            return Err(BuiltinError::new(format!("path '{logical}' is not among the inputs of this derivation")));
        }
        if rest.split('/').any(|part| part == "..") {
            return Err(BuiltinError::new(format!("path '{logical}' leaves its store object")));
        }
        let object = self.physical(&path);
        let below = rest.trim_matches('/');
        // joining an empty path would add a slash, which only directories have
        Ok(if below.is_empty() { object } else { object.join(below) })
    }

    /// An attribute of the derivation (a variable of its environment) as text.
    ///
    /// # Errors
    /// It is missing or not UTF-8.
    pub fn attribute(&self, name: &str) -> Result<&str, BuiltinError> {
        self.optional_attribute(name)?.ok_or_else(|| BuiltinError::new(format!("attribute '{name}' missing")))
    }

    /// An attribute of the derivation as text, if it is there.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn optional_attribute(&self, name: &str) -> Result<Option<&str>, BuiltinError> {
        let Some(value) = self.derivation.env.get(name.as_bytes()) else { return Ok(None) };
        value.to_str().map(Some).ok_or_else(|| BuiltinError::new(format!("attribute '{name}' is not UTF-8")))
    }

    /// Where the output must be written.
    ///
    /// # Errors
    /// The derivation has no output of that name.
    pub fn output(&self, name: &str) -> Result<&Path, BuiltinError> {
        self.outputs
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| BuiltinError::new(format!("'{}' requires an output '{name}'", self.builder())))
    }

    /// The name of the builder, as the derivation gives it.
    pub fn builder(&self) -> String {
        self.derivation.builder.to_string_lossy().into_owned()
    }

    /// Adds a line to the build's log.
    pub fn log(&self, line: &str) {
        (self.log.0)(line);
    }
}

/// The builders that come with this crate: `builtin:fetchurl` and `builtin:buildenv`.
pub fn standard(fetcher: Arc<nopal_fetch::Fetcher>) -> BuiltinBuilders {
    BuiltinBuilders::new().with("fetchurl", FetchUrl::new(fetcher)).with("buildenv", build_environment)
}

/// Why a builtin builder failed: a text, and what caused it.
#[derive(Debug)]
pub struct BuiltinError {
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BuiltinError {
    /// A failure with its own text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None }
    }

    /// A failure that is another error, whose text it takes.
    pub fn caused(source: impl Error + Send + Sync + 'static) -> Self {
        Self { text: source.to_string(), source: Some(Box::new(source)) }
    }

    /// A failure with its own text and what caused it.
    pub fn with_source(text: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { text: text.into(), source: Some(Box::new(source)) }
    }

    /// The failed download behind it, if there is one: of several mirrors the one that sent wrong bytes.
    pub(crate) fn fetch_error(&self) -> Option<&FetchError> {
        match self.source.as_deref()?.downcast_ref::<FetchError>()? {
            FetchError::Mirrors { tried, .. } => {
                tried.iter().find(|error| matches!(error, FetchError::HashMismatch { .. }))
            }
            other => Some(other),
        }
    }
}

impl fmt::Display for BuiltinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for BuiltinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // an error that lent its text is passed over, so that a chain of causes says nothing twice
        let source = self.source.as_deref()?;
        if source.to_string() == self.text { source.source() } else { Some(source) }
    }
}

/// The builtin builders that derivations may name. Cheap to clone.
#[derive(Clone, Default)]
pub struct BuiltinBuilders {
    by_name: BTreeMap<String, Arc<dyn BuiltinBuilder>>,
}

impl BuiltinBuilders {
    /// No builders.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the builder that derivations name `builtin:NAME`, in place of an earlier one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, builder: impl BuiltinBuilder + 'static) -> Self {
        self.by_name.insert(name.to_owned(), Arc::new(builder));
        self
    }

    /// The builder for a derivation's `builder`, which begins with [`PREFIX`].
    pub(crate) fn find(&self, builder: &str) -> Option<&dyn BuiltinBuilder> {
        self.by_name.get(builder.strip_prefix(PREFIX)?).map(AsRef::as_ref)
    }

    /// Whether there is a builder `builtin:NAME`.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

impl fmt::Debug for BuiltinBuilders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

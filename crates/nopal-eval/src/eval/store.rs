//! What evaluation asks of the store: copies of sources, and outputs that must be built before they can be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use nopal_format::{ContentAddressMethod, HashAlgorithm, StorePath};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::context::{Context, ContextElement};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::eval::access::Links;
use crate::eval::import::FileKey;
use crate::host::{AddPath, Wanted};
use crate::pos::Pos;
use crate::sync::lock;
use crate::uses::UseSet;
use crate::value::{Root, Value};

/// Paths copied to the store so far.
pub(super) type Sources = hashbrown::HashMap<FileKey, Source, FxBuildHasher>;

/// A path that was copied to the store.
#[derive(Clone)]
pub(super) struct Source {
    /// The printed store path.
    text: Arc<str>,
    context: Context,
    uses: UseSet,
}

/// What was added to the store so far by [`Evaluator::add_once`].
pub(super) type Added = FxHashMap<Addend, (StorePath, UseSet)>;

/// A path that is to be added to the store as it is, and what it becomes there.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Addend {
    pub(crate) root: Root,
    pub(crate) path: Vec<u8>,
    pub(crate) name: String,
    pub(crate) method: ContentAddressMethod,
}

/// A borrowed [`FileKey`].
#[derive(Hash)]
struct SourceRef<'a>(Root, &'a [u8]);

impl hashbrown::Equivalent<FileKey> for SourceRef<'_> {
    fn equivalent(&self, (root, path): &FileKey) -> bool {
        (self.0, self.1) == (*root, path)
    }
}

impl Evaluator {
    /// Copies a path to the store (once per evaluation) and adds it to `context`. Returns the printed store path.
    pub fn copy_path_to_store(&mut self, context: &mut Context, root: Root, path: &[u8]) -> Result<Arc<str>> {
        let known = lock(&self.common.sources).get(&SourceRef(root, path)).cloned();
        let source = match known {
            Some(source) => {
                self.uses.take(source.uses);
                source
            }
            None => {
                let used = self.uses.height();
                let store_path = self.source_to_store(root, path)?;
                let source = Source {
                    text: self.settings.store_dir.print(&store_path).into(),
                    context: self.contexts.single(ContextElement::Opaque(store_path)),
                    uses: self.uses.gather(used),
                };
                lock(&self.common.sources).insert((root, path.to_vec()), source.clone());
                source
            }
        };
        *context = self.contexts.union(*context, source.context);
        Ok(source.text)
    }

    /// Adds a path to the store, unless this evaluation did so before: a tree need not be read for each use of it.
    pub(crate) fn add_once(
        &mut self,
        addend: Addend,
        add: impl FnOnce(&mut Self) -> Result<StorePath>,
    ) -> Result<StorePath> {
        let known = lock(&self.common.added).get(&addend).cloned();
        if let Some((path, uses)) = known {
            self.uses.take(uses);
            return Ok(path);
        }
        let used = self.uses.height();
        let path = add(self)?;
        let uses = self.uses.gather(used);
        lock(&self.common.added).insert(addend, (path.clone(), uses));
        Ok(path)
    }

    fn source_to_store(&mut self, root: Root, path: &[u8]) -> Result<StorePath> {
        if path.ends_with(b".drv") {
            return Err(Error::eval("file names are not allowed to end in '.drv'"));
        }
        let resolved = self.resolve_links(root, path, Links::Ancestors)?;
        let name = String::from_utf8_lossy(crate::pure::path::base_name(path)).into_owned();
        self.require_file_type(root, &resolved)?;
        let store_path = if root == Root::INTERNAL {
            let contents = self.source_read(root, &resolved)?;
            self.host().add_text(&name, &contents, &[]).map_err(|error| self.host_error(error, Pos::NONE))?
        } else {
            let request = AddPath {
                name: &name,
                path: crate::eval::as_path(&resolved),
                method: ContentAddressMethod::Nar,
                algorithm: HashAlgorithm::Sha256,
                expected: None,
                references: &BTreeSet::new(),
            };
            self.host().add_path(&request, None).map_err(|error| self.host_error(error, Pos::NONE))?
        };
        self.allow_path(&store_path);
        Ok(store_path)
    }

    /// The string of a store path, which depends on it and may be read from now on.
    pub fn store_path_string(&mut self, path: &StorePath) -> Value {
        self.allow_path(path);
        let context = self.contexts.single(ContextElement::Opaque(path.clone()));
        let text = self.settings.store_dir.print(path);
        self.heap.string_with(text.as_bytes(), context)
    }

    /// Makes everything in a context exist. Returns what placeholders of outputs in a text stand for.
    pub fn realise_context(&mut self, context: Context, pos: Pos) -> Result<Vec<(String, String)>> {
        if context.is_empty() {
            return Ok(Vec::new());
        }
        let elements = self.contexts.get(context);
        let mut wanted = Vec::new();
        for element in elements.iter() {
            let valid = match element {
                ContextElement::Opaque(path) | ContextElement::DrvDeep(path) => path,
                ContextElement::Built(built) => {
                    wanted.push(Wanted::Output(built.clone()));
                    built.drv.base()
                }
            };
            if !self.host().ensure_path(valid).map_err(|error| self.host_error(error, pos))? {
                let message = format!("path '{}' is not valid", valid.base_name());
                return Err(Error::new(ErrorKind::InvalidPath, message));
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let first = elements.iter().find(|element| matches!(element, ContextElement::Built(_)));
        let shown = first.map(|element| element.display(&self.settings.store_dir)).unwrap_or_default();
        if self.settings.trace_import_from_derivation && self.settings.allow_import_from_derivation {
            self.warn(&format!("built '{shown}' during evaluation due to an import from derivation"))?;
        }
        if !self.settings.allow_import_from_derivation {
            let message = format!(
                "cannot build '{shown}' during evaluation because the option 'allow-import-from-derivation' is disabled"
            );
            return Err(Error::new(ErrorKind::Ifd, message));
        }
        let built = self.host().realise(&wanted).map_err(|error| self.host_error(error, pos))?;
        let mut rewrites = Vec::new();
        for (wanted, path) in wanted.iter().zip(&built) {
            let printed = self.settings.store_dir.print(path);
            self.allow_closure(path);
            if let Wanted::Output(output) = wanted
                && self.settings.has_feature("ca-derivations")
                && let Ok(placeholder) = output.placeholder()
            {
                rewrites.push((placeholder.render(), printed));
            }
        }
        Ok(rewrites)
    }

    /// The path a value stands for, with everything built that its context asks for. Links in it
    /// are followed as `links` says.
    pub fn realise_path(&mut self, value: Value, pos: Pos, links: Links) -> Result<(Root, Vec<u8>)> {
        let mut context = Context::EMPTY;
        let what = "while realising the context of a path";
        let (root, path) = self.coerce_to_path(value, Pos::NONE, &mut context, what)?;
        let frame = |error: Error, path: &[u8]| {
            let mut message = b"while realising the context of path '".to_vec();
            message.extend_from_slice(path);
            message.push(b'\'');
            error.trace(pos, message)
        };
        let mut real = path.clone();
        if !context.is_empty() && root == Root::HOST {
            let rewrites = self.realise_context(context, Pos::NONE).map_err(|error| frame(error, &path))?;
            for (from, to) in rewrites {
                if let Some(at) = memchr::memmem::find(&real, from.as_bytes()) {
                    real.splice(at..at + from.len(), to.bytes());
                }
            }
        }
        real = self.resolve_links(root, &real, links).map_err(|error| frame(error, &path))?;
        Ok((root, real))
    }
}

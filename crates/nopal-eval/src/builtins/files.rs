//! Paths, files and what goes into the store.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::{def, hash, message};
use crate::context::{Context, ContextElement};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::access::Links;
use crate::eval::coerce::Coerce;
use crate::eval::store::Addend;
use crate::host::{AddPath, FileType, HostError};
use crate::pos::Pos;
use crate::pure::path;
use crate::value::{AttrsBuilder, Root, Value};
use nopal_format::store_path::StorePathError;
use nopal_format::{ContentAddressMethod, Hash, HashAlgorithm, StorePath};
use nopal_syntax::printer::identifier;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!("toPath", ["s"], to_path, "The absolute path *s* as a string, made canonical. Deprecated."),
    def!("storePath", ["path"], store_path, "The path of an existing store object as a string that depends on it."),
    def!(
        "pathExists",
        ["path"],
        path_exists,
        "Whether a path exists; with a trailing slash, whether it is a \
        directory."
    ),
    def!(global "baseNameOf", ["x"], base_name_of, "The last component of a path or string."),
    def!(global "dirOf", ["s"], dir_of, "A path or string without its last component."),
    def!("readFile", ["path"], read_file, "The contents of a file."),
    def!("hashFile", ["type", "p"], hash_file, "The hash of a file's contents, in base 16."),
    def!(
        "readFileType",
        ["p"],
        read_file_type,
        "What a path is: `\"regular\"`, `\"directory\"`, `\"symlink\"` or \
        `\"unknown\"`."
    ),
    def!("readDir", ["path"], read_dir, "The entries of a directory as a set of names and file types."),
    def!("toFile", ["name", "s"], to_file, "Writes a string to the store and returns its path."),
    def!(
        "filterSource",
        ["e1", "e2"],
        filter_source,
        "Copies the tree *e2* to the store as far as the function *e1*, \
        called with path and type, returns true."
    ),
    def!(
        "path",
        ["args"],
        path_builtin,
        "Copies `path` to the store, under `name`, as far as `filter` admits, as a \
        tree unless `recursive` is false, checked against `sha256`."
    ),
];

fn to_path(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = Context::EMPTY;
    let what = "while evaluating the first argument passed to builtins.toPath";
    let (_, path) = ev.coerce_to_path(args[0], pos, &mut context, what)?;
    Ok(ev.heap.string_with(&path, context))
}

/// The message "path '…' …".
fn path_message(path: &[u8], rest: &[u8]) -> Vec<u8> {
    message(&[b"path '", path, b"' ", rest])
}

fn store_path(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    if ev.settings.pure_eval {
        let message = "'builtins.storePath' is not allowed in pure evaluation mode";
        return Err(Error::eval(message).at(pos));
    }
    let mut context = Context::EMPTY;
    let what = "while evaluating the first argument passed to 'builtins.storePath'";
    let (root, mut path) = ev.coerce_to_path(args[0], pos, &mut context, what)?;
    let whole = |ev: &Evaluator, path: &[u8]| {
        std::str::from_utf8(path).ok().and_then(|text| ev.settings.store_dir.parse(text).ok())
    };
    if whole(ev, &path).is_none() {
        path = ev.resolve_links(root, &path, Links::Full)?;
    }
    let object = match std::str::from_utf8(&path).map(|text| ev.settings.store_dir.split(text)) {
        Ok(Ok((object, _))) => object,
        Err(_) | Ok(Err(StorePathError::NotInStore { .. })) => {
            return Err(Error::eval(path_message(&path, b"is not in the Nix store")).at(pos));
        }
        Ok(Err(error)) => return Err(Error::eval(error.to_string())),
    };
    if !ev.settings.read_only {
        let valid = ev.host().ensure_path(&object).map_err(|error| ev.host_error(error, pos))?;
        if !valid {
            let path = ev.settings.store_dir.print(&object);
            return Err(Error::eval(format!("path '{path}' does not exist and cannot be created")));
        }
    }
    let element = ev.contexts.single(ContextElement::Opaque(object));
    let context = ev.contexts.union(context, element);
    Ok(ev.heap.string_with(&path, context))
}

fn path_exists(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let forced = ev.force(args[0], pos)?;
    let must_be_directory =
        forced.as_str().is_some_and(|s| s.as_bytes().ends_with(b"/") || s.as_bytes().ends_with(b"/."));
    let links = if must_be_directory { Links::Full } else { Links::Ancestors };
    let found = ev.realise_path(forced, pos, links).and_then(|(root, path)| ev.source_type(root, &path));
    match found {
        Ok(found) => {
            let exists = match found {
                None => false,
                Some(kind) => !must_be_directory || kind == FileType::Directory,
            };
            Ok(Value::bool(exists))
        }
        Err(error) if error.kind() == ErrorKind::Restricted => Ok(Value::FALSE),
        Err(error) => Err(error),
    }
}

fn base_name_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = Context::EMPTY;
    let what = "while evaluating the first argument passed to builtins.baseNameOf";
    let text = ev.coerce_to_string(args[0], pos, &mut context, what, Coerce::NO_COPY)?;
    Ok(ev.heap.string_with(path::base_name(&text), context))
}

fn dir_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let forced = ev.force(args[0], pos)?;
    if let Some(whole) = forced.as_path() {
        return Ok(ev.heap.path(whole.root(), path::parent(whole.as_bytes())));
    }
    let mut context = Context::EMPTY;
    let what = "while evaluating the first argument passed to 'builtins.dirOf'";
    let text = ev.coerce_to_string(forced, pos, &mut context, what, Coerce::NO_COPY)?;
    Ok(ev.heap.string_with(path::parent_of_string(&text), context))
}

fn read_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (root, path) = ev.realise_path(args[0], pos, Links::Full)?;
    let contents = ev.source_read(root, &path)?;
    if memchr::memchr(0, &contents).is_some() {
        let text = message(&[b"the contents of the file '", &path, b"' cannot be represented as a Nix string"]);
        return Err(Error::eval(text).at(pos));
    }
    let context = references_in(ev, root, &path, &contents);
    Ok(ev.heap.string_with(&contents, context))
}

/// The references of the store object a file belongs to, as far as they occur in the file.
fn references_in(ev: &mut Evaluator, root: Root, path: &[u8], contents: &[u8]) -> Context {
    let object = match std::str::from_utf8(path).ok().and_then(|text| ev.settings.store_dir.split(text).ok()) {
        Some((object, _)) if root == Root::HOST => object,
        _ => return Context::EMPTY,
    };
    // An object that is not valid has no references.
    let Ok(references) = ev.host().references(&object) else { return Context::EMPTY };
    let elements = references
        .into_iter()
        .filter(|r| memchr::memmem::find(contents, &r.digest_digits()).is_some())
        .map(ContextElement::Opaque)
        .collect();
    ev.contexts.intern(elements)
}

fn hash_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.hashFile";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let algorithm = hash::algorithm(ev, name)?;
    let (root, path) = ev.realise_path(args[1], pos, Links::Full)?;
    let contents = ev.source_read(root, &path)?;
    let hash = Hash::of(algorithm, &contents);
    Ok(ev.heap.string(hash.base16().as_bytes()))
}

fn type_value(ev: &mut Evaluator, kind: FileType) -> Value {
    let name = ev.symbols.intern(kind.name().as_bytes());
    ev.symbol_value(name)
}

fn read_file_type(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (root, path) = ev.realise_path(args[0], pos, Links::Keep)?;
    match ev.source_type(root, &path)? {
        Some(kind) => Ok(type_value(ev, kind)),
        None => Err(Error::eval(path_message(&ev.shown_path(root, &path), b"does not exist"))),
    }
}

fn read_dir(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (root, path) = ev.realise_path(args[0], pos, Links::Full)?;
    let listing = ev.source_read_dir(root, &path)?;
    if let Some((_, known)) = ev.listings.get(&listing.as_ptr()) {
        // a new set: what prints values tells sets apart
        return Ok(ev.heap.copy(*known));
    }
    let mut attrs = AttrsBuilder::with_capacity(listing.len());
    for (name, kind) in &*listing {
        let kind = type_value(ev, *kind);
        attrs.insert(ev.symbols.intern(name), kind, Pos::NONE);
    }
    let set = attrs.finish(&mut ev.heap);
    if let Some(attrs) = set.as_attrs()
        && Arc::strong_count(&listing) > 1
    {
        // the host has it still, and will answer with it again
        ev.heap.keep(set);
        ev.listings.insert(listing.as_ptr(), (listing, attrs));
    }
    Ok(set)
}

fn to_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.toFile";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let what = "while evaluating the second argument passed to builtins.toFile";
    let contents = ev.force_string(args[1], pos, what)?;
    let mut references: Vec<StorePath> = Vec::new();
    for element in ev.contexts.get(contents.context()).iter() {
        match element {
            ContextElement::Opaque(path) => references.push(path.clone()),
            other => {
                let text = message(&[
                    b"files created by builtins.toFile may not reference derivations, but ",
                    name.as_bytes(),
                    b" references ",
                    other.to_text().as_bytes(),
                ]);
                return Err(Error::eval(text).at(pos));
            }
        }
    }
    let path = ev
        .host()
        .add_text(&name.to_lossy(), contents.as_bytes(), &references)
        .map_err(|error| ev.host_error(error, pos))?;
    Ok(ev.store_path_string(&path))
}

fn filter_source(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = Context::EMPTY;
    let what = "while evaluating the second argument (the path to filter) passed to 'builtins.filterSource'";
    let (root, path) = ev.coerce_to_path(args[1], pos, &mut context, what)?;
    let what = "while evaluating the first argument passed to builtins.filterSource";
    ev.force_function(args[0], pos, what)?;
    let request = Addition {
        name: base_name(&path),
        root,
        path,
        filter: Some(args[0]),
        method: ContentAddressMethod::Nar,
        expected: None,
        context,
    };
    request.add(ev, pos)
}

/// The last component of a canonical path; of the root, Nix's name for it.
fn base_name(path: &[u8]) -> Vec<u8> {
    match path::base_name(path) {
        b"" => b"source".to_vec(),
        name => name.to_vec(),
    }
}

fn path_builtin(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(args[0], pos, "while evaluating the argument passed to 'builtins.path'")?;
    let mut source = None;
    let mut name = Vec::new();
    let mut filter = None;
    let mut method = ContentAddressMethod::Nar;
    let mut expected = None;
    let mut context = Context::EMPTY;
    for (key, value, place) in attrs.iter() {
        match ev.symbols.get(key) {
            b"path" => {
                let what = "while evaluating the 'path' attribute passed to 'builtins.path'";
                source = Some(ev.coerce_to_path(value, place, &mut context, what)?);
            }
            b"name" => {
                let what = "while evaluating the `name` attribute passed to builtins.path";
                name = ev.force_string_no_ctx(value, place, what)?.as_bytes().to_vec();
            }
            b"filter" => {
                let what = "while evaluating the `filter` parameter passed to builtins.path";
                ev.force_function(value, place, what)?;
                filter = Some(value);
            }
            b"recursive" => {
                let what = "while evaluating the `recursive` attribute passed to builtins.path";
                let recursive = ev.force_bool(value, place, what)?;
                method = if recursive { ContentAddressMethod::Nar } else { ContentAddressMethod::Flat };
            }
            b"sha256" => {
                let what = "while evaluating the `sha256` attribute passed to builtins.path";
                let text = ev.force_string_no_ctx(value, place, what)?;
                expected = Some(parse_sha256(ev, text.as_bytes())?);
            }
            other => {
                let text = message(&[b"unsupported argument '", &identifier(other), b"' to 'builtins.path'"]);
                return Err(Error::eval(text).at(place));
            }
        }
    }
    let Some((root, path)) = source else {
        let message = "missing required 'path' attribute in the first argument to 'builtins.path'";
        return Err(Error::eval(message).at(pos));
    };
    if name.is_empty() {
        name = base_name(&path);
    }
    Addition { name, root, path, filter, method, expected, context }.add(ev, pos)
}

/// A hash in any notation; the empty string stands for the all-zero hash, with a warning.
pub(super) fn parse_sha256(ev: &mut Evaluator, text: &[u8]) -> Result<Hash> {
    if text.is_empty() {
        let zero = Hash::sha256([0; 32]);
        let warning = format!("found empty hash, assuming '{}'", zero.sri());
        ev.emit(crate::host::Message::Warning(warning.into_bytes()));
        return Ok(zero);
    }
    let text = String::from_utf8_lossy(text);
    super::hash::parse(ev, &text, Some(HashAlgorithm::Sha256))
}

/// A path on its way to the store.
struct Addition {
    name: Vec<u8>,
    root: Root,
    path: Vec<u8>,
    filter: Option<Value>,
    method: ContentAddressMethod,
    expected: Option<Hash>,
    context: Context,
}

impl Addition {
    fn add(mut self, ev: &mut Evaluator, pos: Pos) -> Result<Value> {
        let shown = match self.root {
            Root::INTERNAL => ev.shown_path(self.root, &self.path),
            _ => self.path.clone(),
        };
        self.copy(ev, pos).map_err(|error| error.trace(pos, message(&[b"while adding path '", &shown, b"'"])))
    }

    fn copy(&mut self, ev: &mut Evaluator, pos: Pos) -> Result<Value> {
        if self.root == Root::HOST && !self.context.is_empty() {
            ev.realise_context(self.context, pos)?;
        }
        let name = String::from_utf8_lossy(&self.name).into_owned();
        let references = self.references(ev, pos)?;
        if let Some(expected) = self.expected
            && let Some(known) = self.known(ev, &name, expected, &references)?
        {
            return Ok(ev.store_path_string(&known));
        }
        let resolved = ev.resolve_links(self.root, &self.path, Links::Full)?;
        ev.check_access(self.root, &resolved)?;
        if self.root == Root::INTERNAL {
            ev.require_file_type(self.root, &resolved)?;
        }
        let request = AddPath {
            name: &name,
            path: as_path(&resolved),
            method: self.method,
            algorithm: HashAlgorithm::Sha256,
            expected: None,
            references: &references,
        };
        let add = |ev: &mut Evaluator| ev.host().add_path(&request, None).map_err(|error| ev.host_error(error, pos));
        let added = match self.filter {
            None if references.is_empty() => {
                let (root, path, method) = (self.root, resolved.clone(), self.method);
                ev.add_once(Addend { root, path, name: name.clone(), method }, add)?
            }
            None => add(ev)?,
            Some(function) => {
                let host = ev.host();
                let mut failure = None;
                let mut admit = |path: &Path, kind: FileType| {
                    call_filter(ev, function, path, kind, pos).map_err(|error| {
                        failure = Some(error);
                        HostError::Callback
                    })
                };
                let added = host.add_path(&request, Some(&mut admit));
                match (added, failure) {
                    (_, Some(error)) => return Err(error),
                    (Ok(added), None) => added,
                    (Err(error), None) => return Err(ev.host_error(error, pos)),
                }
            }
        };
        if let Some(expected) = self.expected
            && self.expected_path(ev, &name, expected, &references)? != added
        {
            let text = message(&[b"store path mismatch in (possibly filtered) path added from '", &self.path, b"'"]);
            return Err(Error::eval(text).at(pos));
        }
        Ok(ev.store_path_string(&added))
    }

    /// What the store object that the path lies in refers to: a copy of a part of it may refer to the same.
    fn references(&self, ev: &Evaluator, pos: Pos) -> Result<BTreeSet<StorePath>> {
        let text = String::from_utf8_lossy(&self.path);
        let Ok((object, _)) = ev.settings.store_dir.split(&text) else { return Ok(BTreeSet::new()) };
        if self.root != Root::HOST || !ev.host().ensure_path(&object).unwrap_or(false) {
            return Ok(BTreeSet::new());
        }
        Ok(ev.host().references(&object).map_err(|error| ev.host_error(error, pos))?.into_iter().collect())
    }

    fn expected_path(
        &self,
        ev: &Evaluator,
        name: &str,
        expected: Hash,
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let address = nopal_format::ContentAddress { method: self.method, hash: expected };
        let references = nopal_format::store_path::References { others: references.clone(), itself: false };
        ev.settings.store_dir.ca_path(name, &address, &references).map_err(|error| Error::eval(error.to_string()))
    }

    /// The object with the expected hash, if it is already there.
    fn known(
        &self,
        ev: &mut Evaluator,
        name: &str,
        expected: Hash,
        references: &BTreeSet<StorePath>,
    ) -> Result<Option<StorePath>> {
        let path = self.expected_path(ev, name, expected, references)?;
        let valid = ev.host().ensure_path(&path).unwrap_or(false);
        Ok(valid.then_some(path))
    }
}

fn call_filter(ev: &mut Evaluator, function: Value, path: &Path, kind: FileType, pos: Pos) -> Result<bool> {
    use std::os::unix::ffi::OsStrExt as _;
    let text = ev.heap.string(path.as_os_str().as_bytes());
    let kind = type_value(ev, kind);
    let verdict = ev.call(function, &[text, kind], pos)?;
    ev.force_bool(verdict, pos, "while evaluating the return value of the path filter function")
}

fn as_path(path: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(path))
}

//! A host in memory: a tree of files, an environment, a fixed clock, and a store that computes real store paths.
//!
//! It is complete in what it does (nothing is faked), and has no network and no builder: what would need those fails
//! as on a machine without them. Tests run on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use nopal_format::derivation::Instantiated;
use nopal_format::nar::Tree;
use nopal_format::store_path::References;
use nopal_format::{
    BuiltPath, ByteString, ContentAddress, ContentAddressMethod, Derivation, Hash, HashAlgorithm, StoreDir, StorePath,
};

use crate::host::{
    AddPath, ClosureInfo, FetchRequest, Fetched, FileType, Filter, Host, HostError, HostResult, Listing, Message,
    Wanted,
};
use crate::pure::path::{absolute, canonical};

/// Links followed before a path is called endless.
const MAX_LINKS: usize = 40;

/// The host. Everything it holds is behind one lock, so it can be filled while it is shared.
pub struct MemHost {
    store_dir: StoreDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    root: BTreeMap<ByteString, Tree>,
    env: BTreeMap<Vec<u8>, Vec<u8>>,
    now: i64,
    messages: Vec<Message>,
    references: BTreeMap<StorePath, Vec<StorePath>>,
    urls: BTreeMap<String, Tree>,
}

impl MemHost {
    /// An empty file system and store.
    pub fn new(store_dir: StoreDir) -> MemHost {
        MemHost { store_dir, state: Mutex::new(State::default()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.state)
    }

    /// Puts a file, directory or link at an absolute path; directories above it are made.
    pub fn put(&self, path: &str, tree: Tree) {
        insert(&mut self.state().root, &components(path.as_bytes()), tree);
    }

    /// Puts a regular file at an absolute path.
    pub fn put_file(&self, path: &str, contents: impl Into<Vec<u8>>) {
        self.put(path, Tree::file(contents));
    }

    /// Sets an environment variable.
    pub fn set_env(&self, name: &str, value: &str) {
        self.state().env.insert(name.as_bytes().to_vec(), value.as_bytes().to_vec());
    }

    /// Sets the clock, in seconds since 1970.
    pub fn set_now(&self, now: i64) {
        self.state().now = now;
    }

    /// Makes a URL answer with a file (or, for archives, the unpacked tree).
    pub fn put_url(&self, url: &str, tree: Tree) {
        self.state().urls.insert(url.to_owned(), tree);
    }

    /// What was shown to the user so far, which is forgotten.
    pub fn take_messages(&self) -> Vec<Message> {
        std::mem::take(&mut self.state().messages)
    }

    /// The tree at a path, with links on the way followed and, if `last` is set, also one at the end.
    fn lookup(&self, path: &Path, last: bool) -> HostResult<Option<Tree>> {
        use std::os::unix::ffi::OsStrExt as _;
        let state = self.state();
        let mut path = canonical(path.as_os_str().as_bytes());
        for _ in 0..MAX_LINKS {
            match walk(&state.root, &path, last) {
                Walk::Found(tree) => return Ok(Some(tree)),
                Walk::Missing => return Ok(None),
                Walk::Link(next) => path = next,
            }
        }
        Err(HostError::Failed(format!("infinite symlink recursion in path '{}'", String::from_utf8_lossy(&path))))
    }

    fn require(&self, path: &Path) -> HostResult<Tree> {
        self.lookup(path, true)?.ok_or_else(|| HostError::NotFound(path.to_owned()))
    }

    fn store(&self, path: &StorePath, tree: Tree, references: Vec<StorePath>) {
        let printed = self.store_dir.print(path);
        let mut state = self.state();
        insert(&mut state.root, &components(printed.as_bytes()), tree);
        state.references.insert(path.clone(), references);
    }

    fn add_tree(
        &self,
        name: &str,
        tree: Tree,
        method: ContentAddressMethod,
        algorithm: HashAlgorithm,
        expected: Option<Hash>,
        references: &BTreeSet<StorePath>,
    ) -> HostResult<StorePath> {
        let hash = match (method, &tree) {
            (ContentAddressMethod::Flat | ContentAddressMethod::Text, Tree::File { contents, .. }) => {
                Hash::of(algorithm, contents)
            }
            (ContentAddressMethod::Flat | ContentAddressMethod::Text, _) => {
                return Err(HostError::Failed(format!("'{name}' is not a regular file")));
            }
            _ => tree.nar_hash(algorithm).map_err(|error| HostError::Failed(error.to_string()))?.0,
        };
        if let Some(expected) = expected
            && expected != hash
        {
            return Err(HostError::HashMismatch(format!(
                "hash mismatch in '{name}': specified {}, got {}",
                expected.sri(),
                hash.sri()
            )));
        }
        let ca = ContentAddress { method, hash };
        let path = self
            .store_dir
            .ca_path(name, &ca, &References { others: references.clone(), itself: false })
            .map_err(|error| HostError::Failed(error.to_string()))?;
        self.store(&path, tree, references.iter().cloned().collect());
        Ok(path)
    }
}

fn components(path: &[u8]) -> Vec<ByteString> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty()).map(|name| ByteString::from(name.to_vec())).collect()
}

fn insert(directory: &mut BTreeMap<ByteString, Tree>, path: &[ByteString], tree: Tree) {
    match path {
        [] => {}
        [name] => {
            directory.insert(name.clone(), tree);
        }
        [name, rest @ ..] => {
            let child = directory.entry(name.clone()).or_insert_with(|| Tree::Directory(BTreeMap::new()));
            if !matches!(child, Tree::Directory(_)) {
                *child = Tree::Directory(BTreeMap::new());
            }
            if let Tree::Directory(entries) = child {
                insert(entries, rest, tree);
            }
        }
    }
}

enum Walk {
    Found(Tree),
    Missing,
    /// A link was met: the path to look at instead.
    Link(Vec<u8>),
}

fn walk(root: &BTreeMap<ByteString, Tree>, path: &[u8], last: bool) -> Walk {
    let names = components(path);
    let mut entries = root;
    let mut here: Vec<u8> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let is_last = index + 1 == names.len();
        match entries.get(name) {
            None => return Walk::Missing,
            Some(Tree::Symlink { target }) if !is_last || last => {
                let parent = if here.is_empty() { b"/".to_vec() } else { here };
                let mut next = absolute(&parent, target.as_bytes());
                for rest in &names[index + 1..] {
                    next.push(b'/');
                    next.extend_from_slice(rest.as_bytes());
                }
                return Walk::Link(canonical(&next));
            }
            Some(tree) if is_last => return Walk::Found(tree.clone()),
            Some(Tree::Directory(inner)) => entries = inner,
            Some(_) => return Walk::Missing,
        }
        here.push(b'/');
        here.extend_from_slice(name.as_bytes());
    }
    Walk::Found(Tree::Directory(root.clone()))
}

fn type_of(tree: &Tree) -> FileType {
    match tree {
        Tree::File { executable, .. } => FileType::Regular { executable: *executable },
        Tree::Directory(_) => FileType::Directory,
        Tree::Symlink { .. } => FileType::Symlink,
    }
}

/// The part of a tree that a filter admits.
fn filtered(path: &Path, tree: Tree, filter: &mut Filter<'_>) -> HostResult<Tree> {
    use std::os::unix::ffi::OsStrExt as _;
    let Tree::Directory(entries) = tree else { return Ok(tree) };
    let mut kept = BTreeMap::new();
    for (name, child) in entries {
        let path = path.join(std::ffi::OsStr::from_bytes(name.as_bytes()));
        if filter(&path, type_of(&child))? {
            kept.insert(name, filtered(&path, child, filter)?);
        }
    }
    Ok(Tree::Directory(kept))
}

impl Host for MemHost {
    fn file_type(&self, path: &Path) -> HostResult<Option<FileType>> {
        Ok(self.lookup(path, false)?.as_ref().map(type_of))
    }

    fn read_file(&self, path: &Path) -> HostResult<Vec<u8>> {
        match self.require(path)? {
            Tree::File { contents, .. } => Ok(contents.to_vec()),
            _ => Err(HostError::Failed(format!("path '{}' is not a regular file", path.display()))),
        }
    }

    fn read_dir(&self, path: &Path) -> HostResult<Listing> {
        match self.require(path)? {
            Tree::Directory(entries) => {
                Ok(entries.iter().map(|(name, tree)| (name.as_bytes().to_vec(), type_of(tree))).collect())
            }
            _ => Err(HostError::Failed(format!("cannot read directory \"{}\": Not a directory", path.display()))),
        }
    }

    fn read_link(&self, path: &Path) -> HostResult<Vec<u8>> {
        match self.lookup(path, false)? {
            Some(Tree::Symlink { target }) => Ok(target.as_bytes().to_vec()),
            _ => Err(HostError::Failed(format!("path '{}' is not a symbolic link", path.display()))),
        }
    }

    fn add_path(&self, request: &AddPath<'_>, filter: Option<Filter<'_>>) -> HostResult<StorePath> {
        let mut tree = self.lookup(request.path, false)?.ok_or_else(|| HostError::NotFound(request.path.to_owned()))?;
        if let Some(mut filter) = filter {
            tree = filtered(request.path, tree, &mut filter)?;
        }
        self.add_tree(request.name, tree, request.method, request.algorithm, request.expected, request.references)
    }

    fn add_text(&self, name: &str, contents: &[u8], references: &[StorePath]) -> HostResult<StorePath> {
        let set = references.iter().cloned().collect::<BTreeSet<_>>();
        let path =
            self.store_dir.text_path(name, contents, &set).map_err(|error| HostError::Failed(error.to_string()))?;
        self.store(&path, Tree::file(contents.to_vec()), set.into_iter().collect());
        Ok(path)
    }

    fn add_derivation(&self, derivation: &Derivation, made: &Instantiated<'_>) -> HostResult<()> {
        self.store(&made.path, Tree::file(made.aterm.to_vec()), derivation.references().into_iter().collect());
        Ok(())
    }

    fn read_derivation(&self, path: &StorePath) -> HostResult<Derivation> {
        let printed = self.store_dir.print(path);
        let text = self.read_file(Path::new(&printed))?;
        let name = path.derivation_name().map_err(|error| HostError::Failed(error.to_string()))?;
        Derivation::parse_aterm(&self.store_dir, &text, name).map_err(|error| HostError::Failed(error.to_string()))
    }

    fn ensure_path(&self, path: &StorePath) -> HostResult<bool> {
        Ok(self.state().references.contains_key(path))
    }

    fn references(&self, path: &StorePath) -> HostResult<Vec<StorePath>> {
        match self.state().references.get(path) {
            Some(references) => Ok(references.clone()),
            None => Err(HostError::Failed(format!("path '{}' is not valid", self.store_dir.print(path)))),
        }
    }

    fn realise(&self, wanted: &[Wanted]) -> HostResult<Vec<StorePath>> {
        let mut paths = Vec::new();
        for wanted in wanted {
            let path = match wanted {
                Wanted::Path(path) => path.clone(),
                Wanted::Output(built) => self.known_output(built)?.ok_or(HostError::Unsupported("building"))?,
            };
            if !self.ensure_path(&path)? {
                return Err(HostError::Unsupported("building"));
            }
            paths.push(path);
        }
        Ok(paths)
    }

    fn known_output(&self, built: &BuiltPath) -> HostResult<Option<StorePath>> {
        // nothing is ever built here, so outputs of outputs are not known
        let Some(drv) = built.drv.as_opaque() else { return Ok(None) };
        let derivation = self.read_derivation(drv)?;
        let spec = derivation.outputs.get(built.output.as_str()).ok_or_else(|| {
            let drv = self.store_dir.print(drv);
            HostError::Failed(format!("derivation '{drv}' does not have an output named '{}'", built.output))
        })?;
        spec.path(&self.store_dir, &derivation.name, &built.output)
            .map_err(|error| HostError::Failed(error.to_string()))
    }

    fn closure_info(&self, path: &StorePath) -> HostResult<ClosureInfo> {
        let (mut closure, mut todo) = (BTreeSet::new(), vec![path.clone()]);
        while let Some(path) = todo.pop() {
            if closure.insert(path.clone()) {
                todo.extend(self.references(&path)?);
            }
        }
        // all that is here was added by its content
        Ok(ClosureInfo { closure: closure.into_iter().collect(), is_content_addressed: true })
    }

    fn fetch(&self, request: &FetchRequest) -> HostResult<Fetched> {
        let (url, name, sha256, method) = match request {
            FetchRequest::File { url, name, sha256 } => (url, name, sha256, ContentAddressMethod::Flat),
            FetchRequest::Tarball { url, name, sha256 } => (url, name, sha256, ContentAddressMethod::Nar),
            FetchRequest::Tree(_) => return Err(HostError::Unsupported("fetching of trees")),
        };
        let tree = self.state().urls.get(url).cloned();
        let tree = tree.ok_or_else(|| HostError::Failed(format!("unable to download '{url}': not found")))?;
        let store_path = self.add_tree(name, tree, method, HashAlgorithm::Sha256, *sha256, &BTreeSet::new())?;
        Ok(Fetched { store_path, input: None, mount: None })
    }

    fn env(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.state().env.get(name).cloned()
    }

    fn now(&self) -> i64 {
        self.state().now
    }

    fn emit(&self, message: Message) {
        self.state().messages.push(message);
    }
}

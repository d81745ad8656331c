//! Joining unpacked packages to one tree: `builtin:join-trees`.
//!
//! The tree has the shape of an installed system: `/usr` with everything, `/bin`, `/lib` and `/sbin` as links into it,
//! `/etc` with the files that maintainer scripts would have made as far as programs need them (see [`super::explain`]).
//! The order of the inputs does not matter: which package wins a path is decided by what the packages declare.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nopal_fs::{FsError, Step, TreeWalk, WalkOptions};

use super::alternatives::{self, Alternative, Diversion, Parsed};
use super::control;
use super::etc;
use super::relation;
use super::script;
use super::tree::{MERGED, Node, Tree, normalise};
use super::unpack::CONTROL_DIR;
use super::version;

/// Largest control file or maintainer script that is read, in bytes.
const MAX_SCRIPT_BYTES: u64 = 16 << 20;

/// Why trees were not joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Reading an input or writing the output failed.
    #[error(transparent)]
    File(#[from] FsError),
    /// An input is no unpacked package.
    #[error("{}: it is no unpacked package: {reason}", path.display())]
    NotAPackage {
        /// The input.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An input holds something that no tree of a store holds.
    #[error("{}: it is a device, fifo or socket", path.display())]
    Special {
        /// The file.
        path: PathBuf,
    },
}

/// What was joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinReport {
    /// Files, directories and links of the tree.
    pub entries: u64,
    /// Files that share their bytes with an input.
    pub hard_links: u64,
    /// Files that had to be copied.
    pub copies: u64,
    /// Entries of the linker's cache.
    pub libraries: usize,
    /// Certificates in the CA bundle.
    pub certificates: usize,
    /// What was decided or could not be done, one line each.
    pub notes: Vec<String>,
}

/// One unpacked package.
struct Input {
    root: PathBuf,
    name: String,
    version: String,
    /// Names of packages (with versions) whose files it may replace.
    replaces: String,
    commands: Vec<script::Command>,
}

/// Joins unpacked packages to `out`, which must not exist.
///
/// # Errors
/// See [`JoinError`].
pub fn join_trees(inputs: &[PathBuf], out: &Path) -> Result<JoinReport, JoinError> {
    let mut packages = inputs.iter().map(|root| read_input(root)).collect::<Result<Vec<_>, _>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let mut report = JoinReport::default();
    let (diversions, choices) = requests(&packages, &mut report.notes);
    let mut tree = merge(&packages, &diversions, &mut report.notes)?;
    report.notes.extend(alternatives::apply(&mut tree, choices));
    report.certificates = etc::ca_bundle(&mut tree)?;
    etc::nsswitch(&mut tree);
    add_merged_links(&mut tree);
    report.libraries = etc::ld_cache(&mut tree)?;
    let written = tree.write(out)?;
    report.entries = written.entries;
    report.hard_links = written.hard_links;
    report.copies = written.copies;
    Ok(report)
}

fn read_input(root: &Path) -> Result<Input, JoinError> {
    let control_dir = root.join(CONTROL_DIR);
    let read = |name: &str| -> Result<Option<String>, FsError> {
        let bytes = nopal_fs::if_exists(nopal_fs::read_file_limited(&control_dir.join(name), MAX_SCRIPT_BYTES))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let wrong = |reason: &str| JoinError::NotAPackage { path: root.to_owned(), reason: reason.to_owned() };
    let text = read("control")?.ok_or_else(|| wrong("it has no control file"))?;
    let stanza = control::stanzas(&text).next().ok_or_else(|| wrong("its control file is empty"))?;
    let mut commands = Vec::new();
    for name in ["preinst", "postinst"] {
        if let Some(text) = read(name)? {
            commands.extend(script::commands(&text));
        }
    }
    Ok(Input {
        root: root.to_owned(),
        name: stanza.get("Package").ok_or_else(|| wrong("its control file names no package"))?.to_owned(),
        version: stanza.get("Version").unwrap_or_default().to_owned(),
        replaces: stanza.get("Replaces").unwrap_or_default().to_owned(),
        commands,
    })
}

/// Diverted paths: from → (to, the package that may keep its file at `from`).
type Diversions<'a> = BTreeMap<Vec<u8>, (Vec<u8>, &'a str)>;

/// What the scripts of all packages ask for.
fn requests<'a>(packages: &'a [Input], notes: &mut Vec<String>) -> (Diversions<'a>, Vec<Alternative>) {
    let mut diversions = Diversions::new();
    let mut choices = Vec::new();
    for package in packages {
        for command in &package.commands {
            match alternatives::parse_alternative(command) {
                Parsed::Is(alternative) => choices.push(alternative),
                Parsed::Unknown => notes.push(format!("{}: not understood: {command}", package.name)),
                Parsed::Other => {}
            }
            match alternatives::parse_diversion(command) {
                Parsed::Is(Diversion { from, to }) => {
                    if let (Some(from), Some(to)) = (normalise(from.as_bytes()), normalise(to.as_bytes())) {
                        diversions.insert(from, (to, package.name.as_str()));
                    }
                }
                Parsed::Unknown => notes.push(format!("{}: not understood: {command}", package.name)),
                Parsed::Other => {}
            }
        }
    }
    (diversions, choices)
}

/// Puts the files of all packages into one tree.
fn merge(packages: &[Input], diversions: &Diversions<'_>, notes: &mut Vec<String>) -> Result<Tree, JoinError> {
    let mut tree = Tree::default();
    let mut owners: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for (number, package) in packages.iter().enumerate() {
        for (path, node) in list(package)? {
            let Some(mut path) = normalise(&path) else { continue };
            if node == Node::Directory {
                directories.insert(path);
                continue;
            }
            if let Some((to, keeper)) = diversions.get(&path)
                && *keeper != package.name
            {
                path.clone_from(to);
            }
            if let Some(owner) = owners.get(&path).copied() {
                let old = tree.nodes.get(&path);
                if !wins(package, &packages[owner], &node, old, &path) {
                    continue;
                }
                if !may_replace(package, &packages[owner]) && !same(old, &node) {
                    notes.push(format!(
                        "{} is in {} and {}; the one of {} is taken",
                        String::from_utf8_lossy(&path),
                        packages[owner].name,
                        package.name,
                        package.name
                    ));
                }
            }
            owners.insert(path.clone(), number);
            tree.nodes.insert(path, node);
        }
    }
    redirect(&mut tree, directories);
    Ok(tree)
}

/// Lists the files of an unpacked package, its control files left out.
fn list(package: &Input) -> Result<Vec<(Vec<u8>, Node)>, JoinError> {
    use std::os::unix::ffi::OsStrExt;
    let control_top = CONTROL_DIR.split('/').next().unwrap_or(CONTROL_DIR);
    let mut entries = Vec::new();
    let mut walk = TreeWalk::new(&package.root, WalkOptions::default())?;
    while let Some(step) = walk.next()? {
        let path = walk.relative_path().as_os_str().as_bytes().to_vec();
        let node = match step {
            Step::Leave => continue,
            Step::Enter if path == control_top.as_bytes() => {
                walk.skip();
                continue;
            }
            Step::Enter if path.is_empty() => continue,
            Step::Enter => Node::Directory,
            Step::File => Node::File(walk.path().to_owned()),
            Step::Symlink => Node::Link(walk.read_link()?),
            Step::Other => return Err(JoinError::Special { path: walk.path().to_owned() }),
        };
        entries.push((path, node));
    }
    Ok(entries)
}

/// Whether the newcomer takes a path from its owner. Deterministic, whatever the order.
fn wins(newcomer: &Input, owner: &Input, node: &Node, old: Option<&Node>, path: &[u8]) -> bool {
    if may_replace(newcomer, owner) {
        return true;
    }
    if may_replace(owner, newcomer) {
        return false;
    }
    // after usr-merge a link may stand where the file it led to is now: the file is meant
    matches!(old, Some(Node::Link(target)) if matches!(node, Node::File(_)) && leads_to_itself(target, path))
}

fn leads_to_itself(target: &[u8], path: &[u8]) -> bool {
    let absolute = if target.starts_with(b"/") {
        target.to_vec()
    } else {
        let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |slash| &path[..slash]);
        [parent, b"/", target].concat()
    };
    normalise(&absolute).is_some_and(|place| place == path)
}

fn may_replace(package: &Input, other: &Input) -> bool {
    // a malformed field replaces nothing
    relation::parse(&package.replaces).unwrap_or_default().iter().flatten().any(|replaced| {
        replaced.name == other.name
            && replaced.version.is_none_or(|(operator, wanted)| operator.holds(&other.version, wanted))
    }) || (package.name == other.name && version::compare(&package.version, &other.version).is_gt())
}

fn same(old: Option<&Node>, new: &Node) -> bool {
    match (old, new) {
        (Some(Node::File(a)), Node::File(b)) => {
            matches!((nopal_fs::read_file(a), nopal_fs::read_file(b)), (Ok(a), Ok(b)) if a == b)
        }
        (Some(a), b) => a == b,
        (None, _) => false,
    }
}

/// Where one package has a link and another a directory, dpkg keeps the link if it leads to a directory, and the files
/// of the directory go where it leads.
fn redirect(tree: &mut Tree, directories: BTreeSet<Vec<u8>>) {
    for directory in &directories {
        tree.nodes.entry(directory.clone()).or_insert(Node::Directory);
    }
    let links: Vec<Vec<u8>> =
        directories.iter().filter(|path| matches!(tree.nodes.get(*path), Some(Node::Link(_)))).cloned().collect();
    for link in links {
        let target = tree.resolve(&link).filter(|target| {
            matches!(tree.nodes.get(target), Some(Node::Directory)) && !target.starts_with(&[&link[..], b"/"].concat())
        });
        let Some(target) = target else { continue };
        let moved: Vec<Vec<u8>> = tree.below(&link).map(|(path, _)| path.to_vec()).collect();
        for path in moved {
            if let Some(node) = tree.nodes.remove(&path) {
                let place = [&target[..], &path[link.len()..]].concat();
                tree.nodes.entry(place).or_insert(node);
            }
        }
    }
    tree.clear_parents();
}

/// `/bin → usr/bin` and its like, for those that have something in `/usr`.
fn add_merged_links(tree: &mut Tree) {
    for name in MERGED {
        let merged = format!("usr/{name}");
        if tree.below(merged.as_bytes()).next().is_some() {
            tree.nodes.insert(name.as_bytes().to_vec(), Node::Link(merged.into_bytes()));
        }
    }
}

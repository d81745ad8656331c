//! Copies trees that were made for one place to another, so that they run from there, and from wherever they are moved.
//!
//! The copy is a root: what was at `/a/b` is at `OUT/a/b`. Programs find their loader and all libraries from where they
//! are, libraries find theirs, links and scripts lead to each other. What still names a path of the old place is told.

mod by_number;
mod elf;
mod launched;
mod mentions;
mod programs;
mod report;
mod script;

use crate::loader::LoaderChoice;
use crate::paths;
use crate::tree::{self, FileTree};
use by_number::Folders;
use mentions::Mentions;
use nopal_elf::resolve::Tree as _;

use nopal_format::hash::{Hash, HashAlgorithm};
use nopal_fs::{FsError, Step, TempDir, TreeWalk, WalkOptions};
pub use report::{AssessError, Assessment, assess};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A tree to be taken along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where files of all trees expect it, from the root on: `/nix/store/…-hello`, `/usr`.
    pub logical: PathBuf,
    /// Where it is.
    pub physical: PathBuf,
}

/// Ways for programs to find their loader. Each asks less of the program's file than the one before, and costs more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// By code that is added to the program. The program is what is executed.
    #[default]
    Stub,
    /// A launcher opens the loader, and the program names the number of that as its interpreter.
    FdInterpreter,
    /// A launcher starts the loader, and names the program to it. The program's file stays as it was.
    ExplicitLoader,
}

impl Rung {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stub => "relocated",
            Self::FdInterpreter => "fd-interpreter",
            Self::ExplicitLoader => "explicit-loader",
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A program that finds its loader, and so many libraries, by itself.
    Program {
        /// How many libraries it opens by path.
        libraries: usize,
        /// Paths of the old place of which it is told where they are.
        told: Vec<Vec<u8>>,
    },
    /// A program that a launcher starts, which has taken its place.
    Launched {
        /// How it finds its loader.
        rung: Rung,
        /// Why it does so, if that was not asked for.
        reason: Option<String>,
        /// Where it is itself, and the libraries that it loads.
        files: Vec<Vec<u8>>,
        /// Paths of the old place of which it is told where they are.
        told: Vec<Vec<u8>>,
    },
    /// A library, or a program of no loader, that finds what it needs relative to itself.
    Library,
    /// A script that a launcher starts, which has taken its place.
    Script {
        /// Where it is itself, and its interpreter.
        files: Vec<Vec<u8>>,
    },
    /// A text of a known form, which names files relative to itself, or is changed otherwise for where it is.
    Text,
    /// It names folders by the numbers under which programs have them open.
    ByNumber,
    /// A link that was absolute.
    Link,
    /// It stays as it is, and runs where what it names is there.
    Stays(String),
    /// It names paths of the old place, at which there is something.
    Mentions(Vec<Vec<u8>>),
}

/// What became of all files.
#[derive(Debug, Default)]
pub struct Relocation {
    /// Paths below the new root, and what became of them, in order. What needed no change and names nothing is left out.
    pub files: Vec<(PathBuf, Verdict)>,
}

/// Why trees cannot be relocated. Nothing is there, then.
#[derive(Debug, Error)]
pub enum RelocateError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A launcher cannot be made.
    #[error(transparent)]
    Wrap(#[from] crate::wrap::WrapError),
    /// The place is taken.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A tree has no place.
    #[error("{} is no absolute path without dots", .0.display())]
    Logical(PathBuf),
}

/// Relocates trees to a folder that does not exist yet. Programs in these folders get links in its `bin`, unless something
/// of that name is there. Programs find their loader by the first way, from `first` on, that will do for them.
///
/// # Errors
/// A file cannot be read or written, or there is something at `out`.
pub fn relocate(
    sources: &[Source],
    programs: &[PathBuf],
    first: Rung,
    out: &Path,
) -> Result<Relocation, RelocateError> {
    if nopal_fs::symlink_metadata_if_exists(out)?.is_some() {
        return Err(RelocateError::Exists(out.to_owned()));
    }
    let staging = TempDir::new_in(nopal_fs::parent_of(out), ".relocating-")?;
    let root = staging.path().join("root");
    copy(sources, &root)?;
    link_programs(programs, &root)?;
    let mut work = Work::new(sources, first, &root)?;
    work.links()?;
    work.aliases()?;
    work.run_paths()?;
    work.texts()?;
    work.forms(&Mentions::with_roots(&names(sources)?))?;
    work.scripts()?;
    work.folders_by_number()?;
    work.starts()?;
    work.mentions()?;
    work.found.sort_by(|one, other| one.0.cmp(&other.0));
    let relocation = Relocation { files: work.found };
    report::write(&relocation, &root)?;
    keep_times(sources, &root)?;
    nopal_fs::rename_noreplace(&root, out)?;
    Ok(relocation)
}

/// Tells relocated trees apart that were made by other rules, or with other code in them.
pub fn edition() -> String {
    const DIGITS: usize = 8;
    let parts: [&[u8]; 3] = [
        programs::RULES_TEXT.as_bytes(),
        include_bytes!("../../../../stubs/prebuilt/x86_64/start"),
        include_bytes!("../../../../stubs/prebuilt/x86_64/launch"),
    ];
    Hash::of(HashAlgorithm::Blake3, &parts.concat()).base16()[..DIGITS].to_owned()
}

/// Has all files the times that they had: what was compiled from a file is as old as that, or nobody reads it.
fn keep_times(sources: &[Source], root: &Path) -> Result<(), RelocateError> {
    for source in sources {
        let to = tree::below(root, source.logical.as_os_str().as_bytes());
        let mut walk = TreeWalk::new(&source.physical, WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            // a source may be a file
            let below = walk.relative_path();
            let copy = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
            if matches!(step, Step::File | Step::Leave) && nopal_fs::symlink_metadata_if_exists(&copy)?.is_some() {
                let metadata = nopal_fs::metadata(walk.path())?;
                let time = metadata.modified().map_err(|error| FsError::new("examine", walk.path(), error))?;
                nopal_fs::set_modified(&copy, time)?;
            }
        }
    }
    Ok(())
}

/// Copies all trees below the new root, where they can be changed.
fn copy(sources: &[Source], root: &Path) -> Result<(), RelocateError> {
    // one that is the root comes first, as it makes it
    let mut sources = sources.iter().collect::<Vec<_>>();
    sources.sort_by_key(|source| source.logical.components().count());
    if sources.first().is_none_or(|first| first.logical != Path::new("/")) {
        nopal_fs::create_dir(root)?;
    }
    for source in sources {
        let logical = || RelocateError::Logical(source.logical.clone());
        let below = source.logical.strip_prefix("/").map_err(|_| logical())?;
        let is_root = below.as_os_str().is_empty();
        if below.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(logical());
        }
        let to = if is_root { root.to_owned() } else { root.join(below) };
        nopal_fs::create_dir_all(nopal_fs::parent_of(&to))?;
        nopal_fs::copy::copy_tree(&source.physical, &to)?;
    }
    Ok(())
}

/// Makes links to programs in `bin` of the new root.
fn link_programs(folders: &[PathBuf], root: &Path) -> Result<(), RelocateError> {
    let tree = FileTree::new(Some(root.to_owned()), PathBuf::new());
    // a tree that is the root may have it as a link
    let bin = tree.canonical(b"/bin").unwrap_or_else(|| b"/bin".to_vec());
    let real_bin = root.join(OsStr::from_bytes(&bin[1..]));
    for folder in folders {
        let below = folder.strip_prefix("/").unwrap_or(folder);
        for name in nopal_fs::if_exists(nopal_fs::read_dir_names(&root.join(below)))?.unwrap_or_default() {
            nopal_fs::create_dir_all(&real_bin)?;
            let link = real_bin.join(&name);
            // the first one wins, as in a search path
            if nopal_fs::symlink_metadata_if_exists(&link)?.is_none() {
                let target = paths::relative(&bin, &paths::logical(&below.join(&name)));
                nopal_fs::symlink(Path::new(OsStr::from_bytes(&target)), &link)?;
            }
        }
    }
    Ok(())
}

/// The paths that files may name: those of trees, or what is in the root if a tree is that.
fn names(sources: &[Source]) -> Result<Vec<Vec<u8>>, RelocateError> {
    let mut names = Vec::new();
    for source in sources {
        if source.logical == Path::new("/") {
            let entries = nopal_fs::read_dir_names(&source.physical)?;
            names.extend(entries.iter().map(|name| paths::logical(Path::new(name))));
        } else {
            names.push(source.logical.as_os_str().as_bytes().to_vec());
        }
    }
    Ok(names)
}

/// A file of the copy.
struct Member {
    /// Below the root.
    below: PathBuf,
    kind: Kind,
}

/// What a file is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Elf,
    Script,
    Link,
    Other,
}

/// A relocation under way.
struct Work {
    root: PathBuf,
    /// The first way for programs to find their loader that is tried.
    first: Rung,
    tree: FileTree,
    choice: LoaderChoice,
    folders: Folders,
    members: Vec<Member>,
    mentions: Mentions,
    found: Vec<(PathBuf, Verdict)>,
}

impl Work {
    fn new(sources: &[Source], first: Rung, root: &Path) -> Result<Self, RelocateError> {
        let mut members = Vec::new();
        let mut walk = TreeWalk::new(root, WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            let kind = match step {
                Step::File if script::is_launched(root, walk.relative_path()) => Kind::Other,
                Step::File => kind_of(walk.path())?,
                Step::Symlink => Kind::Link,
                Step::Enter | Step::Leave | Step::Other => continue,
            };
            members.push(Member { below: walk.relative_path().to_owned(), kind });
        }
        Ok(Self {
            root: root.to_owned(),
            first,
            tree: FileTree::new(Some(root.to_owned()), PathBuf::new()),
            choice: LoaderChoice::default(),
            folders: Folders::of(sources, root)?,
            members,
            mentions: Mentions::new(&names(sources)?),
            found: Vec::new(),
        })
    }

    fn found(&mut self, below: &Path, verdict: Verdict) {
        self.found.push((below.to_owned(), verdict));
    }

    /// Makes absolute links relative.
    fn links(&mut self) -> Result<(), RelocateError> {
        let links = self.of_kind(Kind::Link);
        for below in links {
            let path = self.root.join(&below);
            let target = nopal_fs::read_link(&path)?;
            let Ok(inside) = target.strip_prefix("/") else { continue };
            let verdict = if nopal_fs::symlink_metadata_if_exists(&self.root.join(inside))?.is_some() {
                let from = paths::logical(below.parent().unwrap_or(Path::new("")));
                // links on the way would make the dots of a relative one lead elsewhere
                let from = self.tree.canonical(&from).unwrap_or(from);
                let relative = paths::relative(&from, target.as_os_str().as_bytes());
                nopal_fs::symlink_replace(Path::new(OsStr::from_bytes(&relative)), &path)?;
                Verdict::Link
            } else {
                Verdict::Stays(format!("it leads to {}, which is not among what is relocated", target.display()))
            };
            self.found(&below, verdict);
        }
        Ok(())
    }

    /// Finds what files still say of the old place.
    fn mentions(&mut self) -> Result<(), RelocateError> {
        let mut known = BTreeMap::new();
        let mut mentioned = Vec::new();
        let told = self.found.iter().filter_map(|(path, verdict)| match verdict {
            Verdict::Program { told, .. } => Some((path, &told[..])),
            _ => None,
        });
        let told = told.collect::<BTreeMap<_, _>>();
        for member in self.members.iter().filter(|member| member.kind != Kind::Link) {
            let text = nopal_fs::read_file(&self.root.join(&member.below))?;
            // launchers read the first line
            let line = text.iter().position(|byte| *byte == b'\n').filter(|_| member.kind == Kind::Script).unwrap_or(0);
            let mut paths = self.mentions.find(&text[line..]);
            // what is in programs for them to be told, and the path of a folder that they open
            let told = told.get(&member.below).copied().unwrap_or_default();
            paths.retain(|path| !told.contains(path) && !self.folders.has_at(path));
            paths.retain(|path| {
                let is_there = || self.tree.real(path).is_some_and(|path| nopal_fs::exists(&path));
                *known.entry(path.clone()).or_insert_with(is_there)
            });
            if !paths.is_empty() {
                mentioned.push((member.below.clone(), Verdict::Mentions(paths.into_iter().collect())));
            }
        }
        self.found.extend(mentioned);
        Ok(())
    }

    fn of_kind(&self, kind: Kind) -> Vec<PathBuf> {
        let members = self.members.iter().filter(|member| member.kind == kind);
        members.map(|member| member.below.clone()).collect()
    }
}

/// What a file is by its first bytes. Programs and scripts can be executed; libraries need not be.
fn kind_of(path: &Path) -> Result<Kind, FsError> {
    let file = nopal_fs::RandomFile::open(path)?;
    let mut magic = [0; 4];
    if file.size_bytes() < 4 {
        return Ok(Kind::Other);
    }
    file.read_at(0, &mut magic).map_err(|error| FsError::new("read", path, error))?;
    Ok(match magic {
        [0x7f, b'E', b'L', b'F'] => Kind::Elf,
        [b'#', b'!', ..] if is_executable(path)? => Kind::Script,
        _ => Kind::Other,
    })
}

/// Whether anybody may execute a file.
fn is_executable(path: &Path) -> Result<bool, FsError> {
    Ok(nopal_fs::metadata(path)?.permissions().mode() & 0o111 != 0)
}

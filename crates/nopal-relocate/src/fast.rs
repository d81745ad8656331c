//! Programs that open each library at once, where it is.

use crate::bindings::Binder;
use crate::lift;
use crate::loader::LoaderChoice;
use crate::tree::{FileTree, TreeFile};
use nopal_elf::read::{Image, ReadError};
use nopal_elf::resolve::{OpenError, ResolveError, Tree as _, resolve};
use nopal_elf::{Changes, Editor, ElfError, Options, Place, Start};
use thiserror::Error;

/// What makes a file fast, or slow again.
#[derive(Debug)]
pub struct Fast {
    /// What is to be written.
    pub changes: Changes,
    /// What that does.
    pub speed: Speed,
}

/// What a file is made to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// A program that opens libraries by path.
    Started {
        /// How many it opens so.
        by_path: usize,
        /// How many it loads.
        of: usize,
        /// How many paths it opened in vain before.
        in_vain: usize,
        /// Whether symbols are bound before the loader would look for them.
        is_bound: bool,
    },
    /// A file that says where its libraries are, for loaders that read that.
    Noted,
    /// A program, with which nothing is done yet.
    Program,
    /// As it was, for this reason.
    Unchanged(&'static str),
}

/// Why a file cannot be made fast.
#[derive(Debug, Error)]
pub enum FastError {
    /// It cannot be opened.
    #[error("it cannot be opened")]
    Open,
    /// It makes no sense.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be edited.
    #[error(transparent)]
    Edit(#[from] ElfError),
    /// Its libraries cannot be looked for.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A library is missing.
    #[error("{} is not found, which {} needs", name.escape_ascii(), asking.escape_ascii())]
    Missing {
        /// The library.
        name: Vec<u8>,
        /// What needs it.
        asking: Vec<u8>,
    },
}

/// Notes in a library where what it needs is. Libraries are found as the loader would find them now; what may be elsewhere
/// tomorrow is left to it. Programs are left to [`speed`].
///
/// # Errors
/// The file makes no sense.
pub fn note(tree: &FileTree, path: &[u8]) -> Result<Fast, FastError> {
    let file = open(tree, path)?;
    let image = Image::read(&file)?;
    let mut editor = Editor::open(&file, Options::default())?;
    let speed = if image.dynamic.is_none() {
        Speed::Unchanged("it is linked statically")
    } else if editor.interpreter().is_ok() {
        Speed::Program
    } else {
        note_in(&mut editor, tree)?;
        Speed::Noted
    };
    Ok(Fast { changes: editor.finish()?, speed })
}

/// Makes a program open its libraries by path, if its loader would open others in vain, and binds their symbols; and notes
/// in it where they are. Its libraries have their notes by now: if they are changed later, their symbols are looked for
/// again.
///
/// # Errors
/// The file makes no sense, or what it needs is missing.
pub fn speed(tree: &FileTree, path: &[u8], choice: &LoaderChoice, binder: &mut Binder) -> Result<Fast, FastError> {
    let file = open(tree, path)?;
    let image = Image::read(&file)?;
    let mut editor = Editor::open(&file, Options::default())?;
    note_in(&mut editor, tree)?;
    let interpreter = editor.interpreter()?;
    let choice = LoaderChoice { interpreter: Some(interpreter.clone()), ..choice.clone() };
    let (start, speed) = start(tree, path, &choice, &image, interpreter, binder)?;
    match start {
        Some(start) => editor.set_start(&start)?,
        None => editor.remove_start()?,
    }
    Ok(Fast { changes: editor.finish()?, speed })
}

fn note_in(editor: &mut Editor<'_>, tree: &FileTree) -> Result<(), ElfError> {
    if editor.build_cache(tree).is_err() {
        // one that no longer holds
        editor.remove_cache()?;
        editor.build_cache(tree)?;
    }
    Ok(())
}

/// Undoes what [`note`] and [`speed`] do.
///
/// # Errors
/// The file makes no sense.
pub fn slow(tree: &FileTree, path: &[u8]) -> Result<Changes, FastError> {
    let file = open(tree, path)?;
    let mut editor = Editor::open(&file, Options::default())?;
    editor.remove_start()?;
    editor.remove_cache()?;
    Ok(editor.finish()?)
}

fn open(tree: &FileTree, path: &[u8]) -> Result<TreeFile, FastError> {
    tree.open(path).map(|opened| opened.file).map_err(|_: OpenError| FastError::Open)
}

/// How a program starts, if there is something to gain.
fn start(
    tree: &FileTree,
    path: &[u8],
    choice: &LoaderChoice,
    image: &Image,
    interpreter: Vec<u8>,
    binder: &mut Binder,
) -> Result<(Option<Start>, Speed), FastError> {
    let loader = choice.loader(tree, image);
    let unchanged = |reason| Ok((None, Speed::Unchanged(reason)));
    let Some(config) = loader.config else {
        return unchanged(if loader.is_there { "its loader is none of glibc's" } else { "its loader is not there" });
    };
    let resolution = resolve(tree, path, &config, &Default::default())?;
    if let Some((asking, request)) = resolution.requests().find(|(_, request)| !request.is_satisfied()) {
        let asking = resolution.objects[asking].path.clone();
        return Err(FastError::Missing { name: request.name.clone(), asking });
    }
    let in_vain = resolution.failed_opens();
    if in_vain == 0 {
        return unchanged("it opens nothing in vain");
    }
    let libraries = lift::libraries(tree, &config, &resolution, |path| Place::At(path.to_vec()));
    let bindings = binder.bindings(tree, &resolution, &libraries);
    let libraries = if bindings.is_empty() { lift::without_last_names(libraries) } else { libraries };
    if libraries.is_empty() {
        return unchanged("only its loader can tell where its libraries are");
    }
    let start = Start { depth: 0, loader: Place::At(interpreter), libraries, preparation: Vec::new(), bindings };
    let (by_path, is_bound) = (start.by_path(), !start.bindings.is_empty());
    Ok((Some(start), Speed::Started { by_path, of: resolution.scope.len().saturating_sub(1), in_vain, is_bound }))
}

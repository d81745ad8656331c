//! Looking for one library: which places, in which order.

use super::config::convention;
use super::directories::{DirectoryId, Status};
use super::outcome::{Attempt, Mismatch, Refusal, Rule};
use super::resolver::Resolver;
use super::tokens::{Tokens, expand};
use super::tree::{OpenError, Opened, Tree};
use super::{MAX_STEPS, ResolveError};
use crate::read::{Header, Hint, Image, ReadError, kind};
use std::rc::Rc;

/// What a search came to.
pub(super) enum Outcome<F> {
    /// A file that fits.
    Found { path: Vec<u8>, rule: Rule, opened: Opened<F>, header: Header },
    /// A file that ends the search, as it is not to be passed over.
    Refused { path: Vec<u8>, reason: Refusal },
    /// Nothing.
    Missing,
}

/// What opening one path came to.
enum Step<F> {
    Outcome(Outcome<F>),
    /// Go on with the next path.
    Next,
    /// Go on with the next list of directories.
    GiveUp,
}

/// Systems whose conventions the loader accepts: those of System V and of GNU.
const SYSTEMS: [u8; 2] = [0, 3];

impl<T: Tree> Resolver<'_, T> {
    /// Looks for what an object asks for.
    pub(super) fn search(
        &mut self,
        name: &[u8],
        asking: usize,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Outcome<T::File>, ResolveError> {
        if name.contains(&b'/') {
            return Ok(match self.open(name.to_vec(), Rule::Path, attempts)? {
                Step::Outcome(outcome) => outcome,
                _ => Outcome::Missing,
            });
        }
        for (rule, directories) in self.lists(asking) {
            let outcome = match rule {
                Rule::Note => self.search_note(name, asking, attempts)?,
                Rule::Cache => self.search_cache(name, asking, attempts)?,
                _ => self.search_directories(name, &directories, rule, attempts)?,
            };
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Missing)
    }

    /// The lists of directories to search for an object, in order.
    fn lists(&mut self, asking: usize) -> Vec<(Rule, Rc<[DirectoryId]>)> {
        let mut lists = Vec::new();
        let dynamic = self.dynamic(asking);
        let (has_runpath, ignores_default) = (dynamic.runpath.is_some(), dynamic.ignores_default_directories());
        if !has_runpath {
            let mut did_program = false;
            let mut next = Some(asking);
            while let Some(object) = next {
                lists.push((Rule::Rpath(object), self.rpath(object)));
                did_program |= object == 0;
                next = self.loader_of(object);
            }
            if !did_program {
                lists.push((Rule::Rpath(0), self.rpath(0)));
            }
        }
        lists.push((Rule::LibraryPath, self.library_path.clone()));
        if self.config.honours_notes {
            lists.push((Rule::Note, Rc::default()));
        }
        lists.push((Rule::Runpath, self.runpath(asking)));
        lists.push((Rule::Cache, Rc::default()));
        if !ignores_default {
            lists.push((Rule::Default, self.system_directories.clone()));
        }
        lists
    }

    /// Tries a list of directories.
    fn search_directories(
        &mut self,
        name: &[u8],
        list: &[DirectoryId],
        rule: Rule,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Option<Outcome<T::File>>, ResolveError> {
        for directory in list {
            for place in 0..self.directories.places() {
                self.step()?;
                let Some(parent) = self.directories.place(*directory, place) else { continue };
                let step = self.open([&parent, name].concat(), rule, attempts)?;
                let is_open = matches!(step, Step::Outcome(_));
                if self.directories.status(*directory, place) == Status::Unknown {
                    let is_there = is_open || self.tree.is_dir(&parent);
                    self.directories.learn(*directory, place, is_there);
                }
                match step {
                    Step::Outcome(outcome) => return Ok(Some(outcome)),
                    Step::GiveUp => return Ok(None),
                    Step::Next => {}
                }
            }
        }
        Ok(None)
    }

    /// Looks where the note of the asking object says.
    fn search_note(
        &mut self,
        name: &[u8],
        asking: usize,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Option<Outcome<T::File>>, ResolveError> {
        let notes = self.objects[asking].image.as_ref().map(|image| &image.notes);
        let cache = notes.and_then(|notes| notes.resolution_cache.as_ref());
        let hints = cache.and_then(|cache| cache.get(name)).unwrap_or_default().to_vec();
        for hint in hints {
            let outcome = match hint {
                Hint::File(path) => match self.open(path, Rule::Note, attempts)? {
                    Step::Outcome(outcome) => Some(outcome),
                    _ => None,
                },
                Hint::Directory(directory) => {
                    let list = self.split(&directory, b":", asking);
                    self.search_directories(name, &list, Rule::Note, attempts)?
                }
            };
            if outcome.is_some() {
                return Ok(outcome);
            }
        }
        Ok(None)
    }

    /// Looks where the cache says, unless that is a default directory and those are not wanted.
    fn search_cache(
        &mut self,
        name: &[u8],
        asking: usize,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Option<Outcome<T::File>>, ResolveError> {
        let header = &self.program;
        let Some(path) = self.config.cache.as_ref().and_then(|cache| cache.get(name, header, &self.config.hwcaps))
        else {
            return Ok(None);
        };
        let is_default = |directory: &DirectoryId| path.starts_with(self.directories.name(*directory));
        if self.dynamic(asking).ignores_default_directories() && self.system_directories.iter().any(is_default) {
            return Ok(None);
        }
        Ok(match self.open(path.to_vec(), Rule::Cache, attempts)? {
            Step::Outcome(outcome) => Some(outcome),
            _ => None,
        })
    }

    /// Opens a path, and looks whether the file can go with the program.
    fn open(&mut self, path: Vec<u8>, rule: Rule, attempts: &mut Vec<Attempt>) -> Result<Step<T::File>, ResolveError> {
        self.step()?;
        let mut in_vain = |path, found| {
            attempts.push(Attempt { path, found });
            Step::Next
        };
        let opened = match self.tree.open(&path) {
            Ok(opened) => opened,
            Err(error) => {
                in_vain(path, Mismatch::Nothing);
                return Ok(if error == OpenError::Failed { Step::GiveUp } else { Step::Next });
            }
        };
        let refused = |path, reason| Ok(Step::Outcome(Outcome::Refused { path, reason }));
        let header = match Header::read(&opened.file) {
            Ok(header) => header,
            Err(error) => return refused(path, error.into()),
        };
        if header.class() != self.program.class() {
            return Ok(in_vain(path, Mismatch::OtherClass));
        }
        let reason = if header.byte_order() != self.program.byte_order() {
            Some(Refusal::OtherByteOrder)
        } else if !SYSTEMS.contains(&header.os_abi) {
            Some(Refusal::OtherSystem(header.os_abi))
        } else if !header.has_clean_padding {
            Some(Refusal::Padding)
        } else {
            None
        };
        if let Some(reason) = reason {
            return refused(path, reason);
        }
        if header.machine != self.program.machine || convention(&header) != convention(&self.program) {
            return Ok(in_vain(path, Mismatch::OtherMachine));
        }
        if !matches!(header.kind, kind::EXECUTABLE | kind::SHARED) {
            let reason = Refusal::Kind(header.kind);
            return refused(path, reason);
        }
        Ok(Step::Outcome(Outcome::Found { path, rule, opened, header }))
    }

    /// Counts work, so that files of hostile make cannot make more than anybody has time for.
    pub(super) fn step(&mut self) -> Result<(), ResolveError> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(ResolveError::TooMuch { steps: MAX_STEPS }) } else { Ok(()) }
    }

    /// Directories of `DT_RPATH` of an object. A run path makes it void.
    fn rpath(&mut self, object: usize) -> Rc<[DirectoryId]> {
        match self.dynamic(object).runpath {
            Some(_) => Rc::default(),
            None => self.own_path(object),
        }
    }

    /// Directories of `DT_RUNPATH` of an object.
    fn runpath(&mut self, object: usize) -> Rc<[DirectoryId]> {
        match self.dynamic(object).runpath {
            Some(_) => self.own_path(object),
            None => Rc::default(),
        }
    }

    /// The one list of directories of an object that counts, which is split once.
    fn own_path(&mut self, object: usize) -> Rc<[DirectoryId]> {
        if let Some(list) = self.paths.get(&object) {
            return Rc::clone(list);
        }
        let dynamic = self.dynamic(object);
        let list = dynamic.runpath.as_ref().or(dynamic.rpath.as_ref()).filter(|list| !list.is_empty()).cloned();
        let list: Rc<[_]> = list.map(|list| self.split(&list, b":", object)).unwrap_or_default().into();
        self.paths.insert(object, Rc::clone(&list));
        list
    }

    /// Splits a list of directories that stands in an object.
    pub(super) fn split(&mut self, list: &[u8], separators: &[u8], object: usize) -> Vec<DirectoryId> {
        let origin = self.origin(object);
        self.directories.split(list, separators, Tokens::new(self.config, origin.as_deref()))
    }

    /// Replaces tokens in a name that stands in an object.
    pub(super) fn expand(&self, name: &[u8], object: usize) -> Option<Vec<u8>> {
        let origin = self.origin(object);
        expand(name, Tokens::new(self.config, origin.as_deref()))
    }
}

/// Reads a file that a search found, and looks whether it can be loaded beside a program.
pub(super) fn read_library<F: crate::Bytes>(header: Header, file: &F) -> Result<Image, Refusal> {
    let image = Image::read_after(header, file)?;
    if !image.has_loaded_segments() {
        return Err(Refusal::Empty);
    }
    if image.header.kind == kind::EXECUTABLE {
        return Err(Refusal::Program);
    }
    match &image.dynamic {
        None => Err(Refusal::NotDynamic),
        Some(dynamic) if dynamic.is_position_independent_program() => Err(Refusal::Program),
        Some(_) => Ok(image),
    }
}

/// Why the program itself cannot be read.
pub(super) fn unreadable(path: &[u8], source: ReadError) -> ResolveError {
    ResolveError::Unreadable { path: path.to_vec(), source }
}

//! What came of looking for libraries.

use crate::read::{DependencyKind, Image, ReadError};
use thiserror::Error;

/// What a program consists of once it is loaded.
#[derive(Debug)]
pub struct Resolution {
    /// All files in the order in which they were loaded. The first is the program, the second the loader, which is there
    /// before anything is looked for.
    pub objects: Vec<Object>,
    /// In which order symbols are looked for: numbers of objects.
    pub scope: Vec<usize>,
}

/// A loaded file.
#[derive(Debug)]
pub struct Object {
    /// By which path it was opened.
    pub path: Vec<u8>,
    /// What it says of itself; nothing if the loader could not be read.
    pub image: Option<Image>,
    /// Which object asked for it first.
    pub loader: Option<usize>,
    /// How it was found.
    pub rule: Rule,
    /// What it asks for itself, in order. Those of the program begin with what is to be loaded before everything else.
    pub requests: Vec<Request>,
}

/// A file that is asked for.
#[derive(Debug)]
pub struct Request {
    /// By which name, tokens replaced.
    pub name: Vec<u8>,
    /// In which way.
    pub kind: RequestKind,
    /// Paths that were opened in vain, in order.
    pub attempts: Vec<Attempt>,
    /// What came of it.
    pub answer: Answer,
}

/// Why a file is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    /// The dynamic section names it.
    Dependency(DependencyKind),
    /// The user asked for it to be loaded first.
    Preload,
}

/// A path that was opened in vain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The path.
    pub path: Vec<u8>,
    /// What was there.
    pub found: Mismatch,
}

/// What is at a path where a library was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// Nothing.
    Nothing,
    /// A file of the other class.
    OtherClass,
    /// A file for another machine.
    OtherMachine,
}

/// What came of a request.
#[derive(Debug)]
pub enum Answer {
    /// It was found by a rule, and loaded as this object.
    Loaded(usize),
    /// It is there already, under that name or under another.
    Known(usize),
    /// It was found nowhere.
    Missing,
    /// A file was found that cannot be loaded; the loader gives up.
    Refused {
        /// The file.
        path: Vec<u8>,
        /// Why it cannot be loaded.
        reason: Refusal,
    },
}

/// By which rule a file was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// It is the program itself.
    Program,
    /// It is the loader.
    Loader,
    /// Its name is a path.
    Path,
    /// `DT_RPATH` of this object.
    Rpath(usize),
    /// `LD_LIBRARY_PATH`.
    LibraryPath,
    /// The note of the object that asked for it.
    Note,
    /// `DT_RUNPATH` of the object that asked for it.
    Runpath,
    /// `ld.so.cache`.
    Cache,
    /// The default directories.
    Default,
}

/// Why a file cannot be loaded.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It makes no sense.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// It is for the other byte order.
    #[error("its byte order is another")]
    OtherByteOrder,
    /// It follows conventions of another system.
    #[error("it follows the conventions of system {0}")]
    OtherSystem(u8),
    /// Bytes that must be zero are not.
    #[error("padding of its identification is not zero")]
    Padding,
    /// It is neither a library nor a program.
    #[error("it is neither a library nor a program, but of type {0}")]
    Kind(u16),
    /// It is a program.
    #[error("it is a program")]
    Program,
    /// It has nothing to load.
    #[error("it has no loaded segments")]
    Empty,
    /// It has no dynamic section.
    #[error("it has no dynamic section")]
    NotDynamic,
}

impl Resolution {
    /// All requests with the object that made them.
    pub fn requests(&self) -> impl Iterator<Item = (usize, &Request)> {
        let objects = self.objects.iter().enumerate();
        objects.flat_map(|(number, object)| object.requests.iter().map(move |request| (number, request)))
    }

    /// How many paths were opened in vain.
    pub fn failed_opens(&self) -> usize {
        self.requests().map(|(_, request)| request.attempts.len()).sum()
    }

    /// Whether everything needed was found.
    pub fn is_complete(&self) -> bool {
        self.requests().all(|(_, request)| request.is_satisfied())
    }
}

impl Request {
    /// Whether the program can run with what came of this.
    pub fn is_satisfied(&self) -> bool {
        let is_optional =
            matches!(self.kind, RequestKind::Preload | RequestKind::Dependency(DependencyKind::Auxiliary));
        is_optional || self.object().is_some()
    }

    /// The object it leads to.
    pub fn object(&self) -> Option<usize> {
        match self.answer {
            Answer::Loaded(object) | Answer::Known(object) => Some(object),
            Answer::Missing | Answer::Refused { .. } => None,
        }
    }
}

//! Loading a program with all it needs, in the order in which the loader does.

use super::config::{Environment, LoaderConfig};
use super::directories::{Directories, DirectoryId};
use super::outcome::{Answer, Object, Request, RequestKind, Resolution, Rule};
use super::search::{Outcome, read_library, unreadable};
use super::tokens::directory_of;
use super::tree::Tree;
use super::{MAX_OBJECTS, ResolveError};
use crate::read::{Dependency, DependencyKind, Dynamic, Header, Image};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The state of a resolution.
pub(super) struct Resolver<'a, T: Tree> {
    pub(super) tree: &'a T,
    pub(super) config: &'a LoaderConfig,
    pub(super) directories: Directories,
    pub(super) system_directories: Rc<[DirectoryId]>,
    pub(super) library_path: Rc<[DirectoryId]>,
    /// What all files must go with.
    pub(super) program: Header,
    pub(super) objects: Vec<Object>,
    /// `DT_RPATH` or `DT_RUNPATH` of objects, split.
    pub(super) paths: HashMap<usize, Rc<[DirectoryId]>>,
    pub(super) steps: usize,
    /// Objects that have a place in the order of symbols.
    in_scope: HashSet<usize>,
    /// Which object first goes by a name.
    names: HashMap<Vec<u8>, usize>,
    identities: HashMap<(u64, u64), usize>,
    /// Stands for what objects without a dynamic section ask of the loader.
    nothing: Dynamic,
}

/// Where an object stands in the order of symbols, while it is made.
#[derive(Clone, Copy)]
struct Place {
    object: usize,
    is_done: bool,
}

/// The numbers of the program and of its loader.
const PROGRAM: usize = 0;
const LOADER: usize = 1;

impl<'a, T: Tree> Resolver<'a, T> {
    /// Begins with the program and its loader.
    pub(super) fn new(
        tree: &'a T,
        program: &[u8],
        config: &'a LoaderConfig,
        environment: &Environment,
    ) -> Result<Self, ResolveError> {
        let opened = tree.open(program).map_err(|_| ResolveError::Absent { path: program.to_vec() })?;
        let image = Image::read(&opened.file).map_err(|source| unreadable(program, source))?;
        let mut directories = Directories::new(config);
        let system = config.system_directories.iter().map(|name| match name.ends_with(b"/") {
            true => name.clone(),
            false => [name, &b"/"[..]].concat(),
        });
        let system_directories = system.map(|name| directories.intern(name)).collect();
        let interpreter = config.interpreter.clone();
        let object =
            |path: &[u8], image, rule| Object { path: path.to_vec(), image, loader: None, rule, requests: Vec::new() };
        // the loader is there already: whatever it is, nothing is looked for
        let loader = tree.open(&interpreter).ok().and_then(|opened| Image::read(&opened.file).ok());
        let mut resolver = Self {
            tree,
            config,
            directories,
            system_directories,
            library_path: Rc::default(),
            program: image.header.clone(),
            objects: vec![object(program, Some(image), Rule::Program), object(&interpreter, loader, Rule::Loader)],
            paths: HashMap::new(),
            steps: 0,
            in_scope: HashSet::from([PROGRAM]),
            names: HashMap::new(),
            identities: HashMap::new(),
            nothing: Dynamic::default(),
        };
        if let Some(soname) = resolver.dynamic(PROGRAM).soname.clone() {
            resolver.names.insert(soname, PROGRAM);
        }
        let base = interpreter.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let soname = resolver.dynamic(LOADER).soname.clone().unwrap_or(base);
        for name in [interpreter, soname] {
            resolver.names.entry(name).or_insert(LOADER);
        }
        if let Some(list) = environment.library_path.as_deref().filter(|list| !list.is_empty()) {
            resolver.library_path = resolver.split(list, b":;", PROGRAM).into();
        }
        Ok(resolver)
    }

    /// Loads everything.
    pub(super) fn run(mut self, preload: &[Vec<u8>]) -> Result<Resolution, ResolveError> {
        let mut scope = vec![Place { object: PROGRAM, is_done: false }];
        for name in preload {
            if let Some(object) = self.request(name, RequestKind::Preload, PROGRAM)?
                && self.in_scope.insert(object)
            {
                scope.push(Place { object, is_done: false });
            }
        }
        let mut at = 0;
        while let Some(place) = scope.get_mut(at) {
            if place.is_done {
                at += 1;
                continue;
            }
            place.is_done = true;
            let object = place.object;
            self.load_dependencies(object, at, &mut scope)?;
        }
        let scope = scope.into_iter().map(|place| place.object).collect();
        Ok(Resolution { objects: self.objects, scope })
    }

    /// Loads what the program itself asks for.
    pub(super) fn run_direct(mut self) -> Result<Resolution, ResolveError> {
        let mut scope = vec![Place { object: PROGRAM, is_done: true }];
        self.load_dependencies(PROGRAM, 0, &mut scope)?;
        let scope = scope.into_iter().map(|place| place.object).collect();
        Ok(Resolution { objects: self.objects, scope })
    }

    /// Loads what an object, which stands at a place of the order, asks for. Filters come to stand before it.
    fn load_dependencies(&mut self, object: usize, place: usize, scope: &mut Vec<Place>) -> Result<(), ResolveError> {
        let mut own_place = place;
        let dependencies = self.dynamic(object).dependencies.clone();
        for Dependency { kind, name } in dependencies {
            let Some(found) = self.request(&name, RequestKind::Dependency(kind), object)? else { continue };
            let is_new = self.in_scope.insert(found);
            let new = Place { object: found, is_done: false };
            if kind == DependencyKind::Needed {
                scope.extend(is_new.then_some(new));
                continue;
            }
            match scope.iter().position(|place| place.object == found) {
                Some(known) if known <= own_place => {}
                known => {
                    // what is done stays so: files that filter each other have the loader go round for ever
                    let moved = known.map_or(new, |known| scope.remove(known));
                    scope.insert(own_place, moved);
                    own_place += 1;
                }
            }
        }
        Ok(())
    }

    /// Finds what an object asks for, loads it if it is not there yet, and says which object it is.
    fn request(&mut self, name: &[u8], kind: RequestKind, asking: usize) -> Result<Option<usize>, ResolveError> {
        self.step()?;
        let mut attempts = Vec::new();
        let expanded = self.expand(name, asking).filter(|name| !name.is_empty());
        let name = expanded.clone().unwrap_or_else(|| name.to_vec());
        let answer = match expanded {
            None => Answer::Missing,
            Some(name) => match self.names.get(&name) {
                Some(object) => Answer::Known(*object),
                None => match self.search(&name, asking, &mut attempts)? {
                    Outcome::Missing => Answer::Missing,
                    Outcome::Refused { path, reason } => Answer::Refused { path, reason },
                    Outcome::Found { path, rule, opened, header } => {
                        match self.identities.get(&opened.identity).copied() {
                            Some(object) => {
                                self.names.entry(name).or_insert(object);
                                Answer::Known(object)
                            }
                            None => self.load(name, path, rule, asking, header, &opened)?,
                        }
                    }
                },
            },
        };
        let request = Request { name, kind, attempts, answer };
        let object = request.object();
        self.objects[asking].requests.push(request);
        Ok(object)
    }

    /// Takes a file in.
    fn load(
        &mut self,
        name: Vec<u8>,
        path: Vec<u8>,
        rule: Rule,
        asking: usize,
        header: Header,
        opened: &super::tree::Opened<T::File>,
    ) -> Result<Answer, ResolveError> {
        let image = match read_library(header, &opened.file) {
            Ok(image) => image,
            Err(reason) => return Ok(Answer::Refused { path, reason }),
        };
        let number = self.objects.len();
        if number >= MAX_OBJECTS {
            return Err(ResolveError::TooManyObjects { limit: MAX_OBJECTS });
        }
        for name in [Some(name), Some(path.clone()), image.soname().map(<[u8]>::to_vec)].into_iter().flatten() {
            self.names.entry(name).or_insert(number);
        }
        self.identities.insert(opened.identity, number);
        self.objects.push(Object { path, image: Some(image), loader: Some(asking), rule, requests: Vec::new() });
        Ok(Answer::Loaded(number))
    }

    /// What an object asks of the loader.
    pub(super) fn dynamic(&self, object: usize) -> &Dynamic {
        self.objects[object].image.as_ref().and_then(|image| image.dynamic.as_ref()).unwrap_or(&self.nothing)
    }

    /// Which object asked for this one first.
    pub(super) fn loader_of(&self, object: usize) -> Option<usize> {
        self.objects[object].loader
    }

    /// The directory that an object lies in: the program's without links, as the kernel tells it, those of others by the
    /// path they were opened by.
    pub(super) fn origin(&self, object: usize) -> Option<Vec<u8>> {
        let path = &self.objects[object].path;
        let path = match object {
            PROGRAM => self.tree.canonical(path)?,
            _ => self.tree.absolute(path),
        };
        directory_of(&path).map(<[u8]>::to_vec)
    }
}

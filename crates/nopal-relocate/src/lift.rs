//! Which libraries a program can open by path, in the order in which its loader would load them.

use crate::paths;
use crate::tree::FileTree;
use nopal_elf::read::DependencyKind;
use nopal_elf::resolve::{Answer, LoaderConfig, Object, RequestKind, Resolution, Rule, Tree as _, run_path};
use nopal_elf::{Directory, Place, RunPathDirectories as _};

/// The numbers of program and loader in a resolution.
pub(crate) const PROGRAM: usize = 0;
pub(crate) const LOADER: usize = 1;

/// The libraries of a program, in breadth-first order, up to the first that only the loader can find.
///
/// What is found by a run path of which every directory can be judged now has a path; what the program itself asks for
/// otherwise has its name. A library that another asks for has no name that the program could ask by, as its own run path
/// may lead elsewhere: there the list ends, and since it is the beginning of the order, the order stays what it was.
pub(crate) fn libraries(
    tree: &FileTree,
    config: &LoaderConfig,
    resolution: &Resolution,
    place: impl Fn(&[u8]) -> Place,
) -> Vec<Place> {
    let lift = Lift { tree, config, resolution };
    let filters = |object: &Object| object.requests.iter().any(|request| !is_plain(request.kind));
    // filters come to stand before what asks for them
    if resolution.objects.iter().any(filters) {
        return Vec::new();
    }
    let mut places = Vec::new();
    for number in resolution.scope.iter().copied().filter(|number| *number != PROGRAM) {
        let object = &resolution.objects[number];
        let direct = resolution.objects[PROGRAM].requests.iter().find(|request| request.object() == Some(number));
        let known = resolution.requests().map(|(_, request)| request).find(|request| request.object() == Some(number));
        if number == LOADER {
            // it is loaded: any name it goes by does
            places.extend(known.map(|request| Place::Named(request.name.clone())));
        } else if lift.is_fixed(number) {
            places.push(place(&object.path));
        } else if let Some(request) = direct.filter(|request| matches!(request.answer, Answer::Loaded(_))) {
            places.push(Place::Named(request.name.clone()));
        } else {
            break;
        }
    }
    places
}

/// Leaves out the last names, which say nothing to the loader that it would not ask for itself.
pub(crate) fn without_last_names(mut places: Vec<Place>) -> Vec<Place> {
    while matches!(places.last(), Some(Place::Named(_))) {
        places.pop();
    }
    places
}

fn is_plain(kind: RequestKind) -> bool {
    kind == RequestKind::Dependency(DependencyKind::Needed)
}

struct Lift<'a> {
    tree: &'a FileTree,
    config: &'a LoaderConfig,
    resolution: &'a Resolution,
}

impl Lift<'_> {
    /// Whether an object is found at the same path each time, whatever machine it is and whatever is installed later.
    fn is_fixed(&self, number: usize) -> bool {
        let object = &self.resolution.objects[number];
        let Some(asking) = object.loader else { return false };
        let owners = match object.rule {
            Rule::Path => return true,
            Rule::Runpath => vec![asking],
            Rule::Rpath(owner) => {
                let mut chain = vec![asking];
                while let Some(last) = chain.last().copied().filter(|last| *last != owner) {
                    match self.resolution.objects[last].loader {
                        Some(loader) => chain.push(loader),
                        None => break,
                    }
                }
                chain
            }
            _ => return false,
        };
        // relative run paths make paths with dots
        let Some(found) = self.tree.canonical(paths::folder(&object.path)) else { return false };
        let directories = owners.into_iter().flat_map(|owner| self.directories(owner));
        for directory in directories {
            let Some(directory) = directory else { return false };
            if self.tree.directory(&directory) != Directory::Searchable {
                return false;
            }
            if self.tree.canonical(&directory).as_ref() == Some(&found) {
                return true;
            }
        }
        false
    }

    /// The directories that an object has searched, none where that cannot be told.
    fn directories(&self, owner: usize) -> Vec<Option<Vec<u8>>> {
        let object = &self.resolution.objects[owner];
        let Some(dynamic) = object.image.as_ref().and_then(|image| image.dynamic.as_ref()) else { return Vec::new() };
        let entries = run_path(self.tree, &object.path, dynamic, self.config);
        let absolute = |directory: &Vec<u8>| directory.starts_with(b"/");
        entries.into_iter().map(|entry| entry.directory.filter(absolute)).collect()
    }
}

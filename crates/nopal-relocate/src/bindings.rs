//! To what the symbols of programs and libraries are bound.

use crate::lift::LOADER;
use crate::tree::FileTree;
use nopal_elf::resolve::{Resolution, Tree as _};
use nopal_elf::{Linked, Place, bindings};
use std::collections::HashMap;
use std::rc::Rc;

/// glibc's loader relocates it before all others (since 2.39).
const LIBC: &[u8] = b"libc.so.6";

/// Finds to what programs are bound. What it has read of a file it knows until the end, so files must not be changed
/// between.
#[derive(Debug, Default)]
pub struct Binder {
    /// By device and inode.
    known: HashMap<(u64, u64), Option<Rc<Linked>>>,
}

impl Binder {
    /// To what the symbols of a program and its libraries are bound, if its entry code names these libraries: empty if
    /// they are not all, or if it brings nothing.
    pub(crate) fn bindings(&mut self, tree: &FileTree, resolution: &Resolution, libraries: &[Place]) -> Vec<u8> {
        if libraries.len() + 1 != resolution.scope.len() {
            return Vec::new();
        }
        let objects = resolution.scope.iter().map(|number| self.linked(tree, resolution, *number));
        let objects = objects.collect::<Option<Vec<_>>>().unwrap_or_default();
        bindings(&objects.iter().map(|object| &**object).collect::<Vec<_>>())
    }

    fn linked(&mut self, tree: &FileTree, resolution: &Resolution, number: usize) -> Option<Rc<Linked>> {
        let object = &resolution.objects[number];
        let opened = tree.open(&object.path).ok()?;
        let read = || {
            let image = object.image.as_ref()?;
            let linked = Linked::read(&opened.file, image).ok()??;
            let is_early = number == LOADER || image.soname() == Some(LIBC);
            Some(Rc::new(if is_early { linked.left_alone() } else { linked }))
        };
        self.known.entry(opened.identity).or_insert_with(read).clone()
    }
}

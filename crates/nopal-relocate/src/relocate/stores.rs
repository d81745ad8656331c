//! Stores whose packages name each other from wherever the store is.
//!
//! Packages of a store have its path in their code, their data and their scripts. A path through the number of an open
//! folder means the same wherever the folder is, and is short: `/dev/fd/99` takes the place of `/nix/store`, byte by byte.
//! Every program of the tree opens the store under that number before it starts, and what it starts has it open too.

use super::elf::is_program_without_loader;
use super::launched::{PROGRAM_MODE, architecture, from_here, launcher};
use super::programs::{Teller, by_number};
use super::{Kind, RelocateError, Rung, Source, Verdict, Work};
use crate::paths;
use crate::wrap::{self, Launch, Piece, Step, Text};
use memchr::memmem;
use nopal_elf::Start;
use nopal_elf::read::Image;
use nopal_elf::resolve::Tree as _;
use nopal_format::store_path::{DIGEST_DIGITS, StorePath};
use nopal_fs::FilePart;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The number of the first store. Further ones have lower numbers.
const FIRST_NUMBER: u16 = 99;

/// What begins files whose contents are compressed, or have a checksum in the file.
const CHECKED: [&[u8]; 7] =
    [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\x89PNG"];

/// A store, or what is taken along of it.
pub(super) struct Store {
    /// Where its packages expect it.
    folder: Vec<u8>,
    /// By which it is open.
    number: u16,
    /// What goes through that, as long as the folder's path.
    name: Vec<u8>,
    /// Begins the names of its packages.
    digests: BTreeSet<[u8; DIGEST_DIGITS]>,
}

/// The stores of a tree.
#[derive(Default)]
pub(super) struct Stores {
    all: Vec<Store>,
    /// Files that name them by number.
    named_by: BTreeSet<Vec<u8>>,
}

impl Stores {
    /// The stores that packages among these are of.
    pub(super) fn of(sources: &[Source], root: &Path) -> Result<Self, RelocateError> {
        let mut stores = Self::default();
        for source in sources {
            for folder in [source.logical.parent(), Some(&*source.logical)].into_iter().flatten() {
                stores.add(folder, root)?;
            }
        }
        Ok(stores)
    }

    /// Whether that is where a store is.
    pub(super) fn has_at(&self, path: &[u8]) -> bool {
        self.all.iter().any(|store| store.folder == path)
    }

    /// Adds a store, if there are packages in this folder.
    fn add(&mut self, folder: &Path, root: &Path) -> Result<(), RelocateError> {
        let logical = folder.as_os_str().as_bytes();
        let inside = root.join(folder.strip_prefix("/").unwrap_or(folder));
        let names = nopal_fs::if_exists(nopal_fs::read_dir_names(&inside))?.unwrap_or_default();
        let packages = names.iter().filter_map(|name| StorePath::from_base_name_bytes(name.as_bytes()).ok());
        let digests = packages.map(|package| package.digest_digits()).collect::<BTreeSet<_>>();
        let number = FIRST_NUMBER.saturating_sub(u16::try_from(self.all.len()).unwrap_or(u16::MAX));
        // a path that is shorter has no room for another one
        if let Some(name) = by_number(number, logical.len()).filter(|_| !digests.is_empty() && !self.has_at(logical)) {
            self.all.push(Store { folder: logical.to_vec(), number, name, digests });
        }
        Ok(())
    }
}

impl Store {
    /// Where a text names packages of it.
    fn places<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        memmem::find_iter(text, &self.folder).filter(|at| {
            let rest = text[at + self.folder.len()..].strip_prefix(b"/").unwrap_or_default();
            rest.first_chunk().is_some_and(|digest| self.digests.contains(digest))
        })
    }
}

impl Work {
    /// Has files name stores by number.
    pub(super) fn stores(&mut self) -> Result<(), RelocateError> {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if self.stores.all.is_empty() || member.kind == Kind::Link {
                continue;
            }
            let below = member.below.clone();
            let path = self.root.join(&below);
            let bytes = nopal_fs::read_file(&path)?;
            let Some(kept) = self.kept(index, &bytes) else { continue };
            let mut parts = Vec::new();
            for store in &self.stores.all {
                let places = store.places(&bytes).filter(|at| !kept.contains(&(*at as u64)));
                parts.extend(places.map(|at| FilePart { offset: at as u64, bytes: &store.name }));
            }
            if parts.is_empty() {
                continue;
            }
            parts.sort_by_key(|part| part.offset);
            nopal_fs::patch_file(&path, &parts, bytes.len() as u64)?;
            self.stores.named_by.insert(paths::logical(&below));
            if self.members[index].kind != Kind::Elf {
                self.found(&below, Verdict::ByNumber);
            }
        }
        Ok(())
    }

    /// What of a file stays as it is: all if nothing is said, and what others read who have no store open.
    fn kept(&self, index: usize, bytes: &[u8]) -> Option<Range<u64>> {
        let member = &self.members[index];
        match member.kind {
            Kind::Elf => {
                let file = self.tree.open(&paths::logical(&member.below)).ok()?.file;
                let image = Image::read(&file).ok()?;
                // what starts by itself already has paths from its root
                let is_done = Start::read(&file).is_some();
                let stays = is_done || (image.interpreter.is_some() && self.stays_whole(&file));
                (!stays).then(|| image.interpreter_place().unwrap_or_default())
            }
            _ => (!CHECKED.iter().any(|magic| bytes.starts_with(magic))).then_some(0..0),
        }
    }

    /// Whether a file names stores by number.
    pub(super) fn names_stores(&self, path: &[u8]) -> bool {
        self.stores.named_by.contains(path)
    }

    /// All packages of stores.
    pub(super) fn packages(&self) -> Vec<Vec<u8>> {
        let inside = |store: &Store| {
            let folder = self.tree.real(&store.folder).unwrap_or_default();
            let mut names = nopal_fs::read_dir_names(&folder).unwrap_or_default();
            names.sort();
            let path = |name: &OsString| [&store.folder, &b"/"[..], name.as_bytes()].concat();
            names.iter().map(path).collect::<Vec<_>>()
        };
        self.stores.all.iter().flat_map(inside).collect()
    }

    /// Opens all stores.
    pub(super) fn open_stores(&self, teller: Teller) -> impl Iterator<Item = Step> + '_ {
        self.stores.all.iter().map(move |store| Step::Pass(store.number, teller.path(&store.folder)))
    }

    /// Has a launcher open the stores for a program that no loader starts; a wrapper does so itself.
    pub(super) fn open_stores_for(&mut self, index: usize) -> Result<Option<Verdict>, RelocateError> {
        let below = self.members[index].below.clone();
        let path = self.root.join(&below);
        let logical = paths::logical(&below);
        let here = paths::folder(&logical);
        let steps = self.open_stores(Teller::Launcher(paths::depth(here))).collect::<Vec<_>>();
        if steps.is_empty() {
            return Ok(None);
        }
        if let Ok(wrapper) = wrap::read(&path) {
            let data = wrapper.encode().unwrap_or_default();
            if !self.stores.all.iter().any(|store| memmem::find(&data, &store.name).is_some()) {
                return Ok(None);
            }
            wrap::rewrite(&path, &Launch { steps: [steps, wrapper.steps].concat(), ..wrapper })?;
            return Ok(Some(Verdict::ByNumber));
        }
        let Ok(opened) = self.tree.open(&logical) else { return Ok(None) };
        if !self.names_stores(&logical) || !is_program_without_loader(&path, &opened.file)? {
            return Ok(None);
        }
        let hidden = match self.hidden(&below) {
            Ok(hidden) => hidden,
            Err(reason) => return Ok(Some(Verdict::Stays(reason))),
        };
        let target = from_here(here, &paths::logical(&hidden));
        let launch = Launch { target, name: Text(vec![Piece::Name]), steps, ..Launch::default() };
        let launcher = match launcher(&launch, architecture(&opened.file)) {
            Ok(launcher) => launcher,
            Err(reason) => return Ok(Some(Verdict::Stays(reason))),
        };
        self.hide(&below, &hidden, true)?;
        nopal_fs::write_new(&path, &launcher, PROGRAM_MODE)?;
        let files = vec![paths::logical(&hidden)];
        self.members[index].below = hidden;
        let reason = Some("it names a store, and has no loader".to_owned());
        Ok(Some(Verdict::Launched { rung: Rung::Stub, reason, files, told: Vec::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_the_store_are_found() {
        let digests = BTreeSet::from([*b"0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r"]);
        let store = Store { folder: b"/nix/store".to_vec(), number: 99, name: b"/dev/fd/99".to_vec(), digests };
        for (text, places) in [
            (
                &b"-L/nix/store/0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r-a/lib:/nix/store/0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r-a"[..],
                &[2, 52][..],
            ),
            (b"/nix/store/1a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r-b", &[]),
            (b"/nix/store /nix/store/ /nix/store/0a1b", &[]),
        ] {
            assert_eq!(store.places(text).collect::<Vec<_>>(), places, "{}", text.escape_ascii());
        }
    }
}

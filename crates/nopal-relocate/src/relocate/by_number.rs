//! Folders that files of a tree name, wherever the tree is.
//!
//! Packages have paths in their code, their data and their scripts: of a store that they are in, or `/usr/share`. A path
//! through the number of an open folder means the same wherever the folder is, and is short: `/dev/fd/99` takes the place
//! of `/nix/store`, byte by byte. Every program of the tree opens the folder under that number before it starts, and what
//! it starts has it open too.

use super::elf::is_program_without_loader;
use super::launched::{architecture, from_here, launcher};
use super::programs::{Teller, by_number, is_harmless};
use super::{Kind, RelocateError, Rung, Source, Verdict, Work, mentions};
use crate::paths;
use crate::tree;
use crate::wrap::{self, Launch, Piece, Step, Text};
use memchr::memmem;
use nopal_elf::Start;
use nopal_elf::read::Image;
use nopal_elf::resolve::Tree as _;
use nopal_format::store_path::{DIGEST_DIGITS, StorePath};
use nopal_fs::FilePart;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The number of the first folder. Further ones have lower numbers.
const FIRST_NUMBER: u16 = 99;

/// Where systems have files for programs of all processors.
const SHARED: &str = "/usr/share";

/// Folders of a system with texts for people, and files of which other programs of the machine are told.
const FOR_OTHERS: [&str; 8] = [
    "usr/share/applications",
    "usr/share/bug",
    "usr/share/dbus-1",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/man",
    "var",
];

/// What stands before words in scripts.
const WORDS_FOLLOW: &[u8] = b" \t\n\"'`=:;(<>|&";

/// What begins files whose contents are compressed, or have a checksum in the file.
const CHECKED: [&[u8]; 7] =
    [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\x89PNG"];

/// A folder that files name.
struct Folder {
    /// Where they expect it.
    path: Vec<u8>,
    /// By which it is open.
    number: u16,
    /// What goes through that, as long as the path.
    name: Vec<u8>,
    contents: Contents,
}

/// By what it is told that a folder of the tree is meant.
enum Contents {
    /// By the digests of packages that are in a store.
    Packages(BTreeSet<[u8; DIGEST_DIGITS]>),
    /// By what is in it. It may be named by itself.
    Names(BTreeSet<Vec<u8>>),
}

/// The folders of a tree that are named by number.
#[derive(Default)]
pub(super) struct Folders {
    all: Vec<Folder>,
    /// Files that do so, and whether it is a store.
    named_by: BTreeMap<Vec<u8>, bool>,
}

impl Folders {
    /// The stores that packages among these are of, and what a system has for its programs.
    pub(super) fn of(sources: &[Source], root: &Path) -> Result<Self, RelocateError> {
        let mut folders = Self::default();
        let names_in = |folder: &Path| -> Result<Vec<Vec<u8>>, RelocateError> {
            let inside = tree::below(root, folder.as_os_str().as_bytes());
            // a package may be a file
            let names = if nopal_fs::is_dir(&inside) { nopal_fs::read_dir_names(&inside)? } else { Vec::new() };
            Ok(names.into_iter().map(OsString::into_encoded_bytes).collect())
        };
        for source in sources {
            for folder in [source.logical.parent(), Some(&*source.logical)].into_iter().flatten() {
                let names = names_in(folder)?;
                let packages = names.iter().filter_map(|name| StorePath::from_base_name_bytes(name).ok());
                let digests = packages.map(|package| package.digest_digits()).collect::<BTreeSet<_>>();
                if !digests.is_empty() {
                    folders.add(folder, Contents::Packages(digests));
                }
            }
        }
        let names = names_in(Path::new(SHARED))?;
        if !names.is_empty() {
            folders.add(Path::new(SHARED), Contents::Names(names.into_iter().collect()));
        }
        Ok(folders)
    }

    fn add(&mut self, folder: &Path, contents: Contents) {
        let path = folder.as_os_str().as_bytes().to_vec();
        let number = FIRST_NUMBER.saturating_sub(u16::try_from(self.all.len()).unwrap_or(u16::MAX));
        // a path that is shorter has no room for another one
        if let Some(name) = by_number(number, path.len()).filter(|_| !self.has_at(&path)) {
            self.all.push(Folder { path, number, name, contents });
        }
    }

    /// Whether that is one of them.
    pub(super) fn has_at(&self, path: &[u8]) -> bool {
        self.all.iter().any(|folder| folder.path == path)
    }
}

impl Folder {
    fn is_store(&self) -> bool {
        matches!(self.contents, Contents::Packages(_))
    }

    /// Where a text names it, or what is in it.
    fn places<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        memmem::find_iter(text, &self.path).filter(|at| {
            let rest = &text[at + self.path.len()..];
            let inside = rest.strip_prefix(b"/");
            match &self.contents {
                Contents::Packages(digests) => {
                    inside.and_then(<[u8]>::first_chunk).is_some_and(|digest| digests.contains(digest))
                }
                Contents::Names(names) => {
                    let name = mentions::name(inside.unwrap_or(rest));
                    let is_it = name.is_empty() || (inside.is_some() && names.contains(name));
                    is_it && mentions::is_path(text, *at)
                }
            }
        })
    }
}

impl Work {
    /// Has files name folders by number.
    pub(super) fn folders_by_number(&mut self) -> Result<(), RelocateError> {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if self.folders.all.is_empty() || member.kind == Kind::Link {
                continue;
            }
            let below = member.below.clone();
            let path = self.root.join(&below);
            let bytes = nopal_fs::read_file(&path)?;
            let mut places = Vec::new();
            for folder in &self.folders.all {
                places.extend(folder.places(&bytes).map(|at| (at..at + folder.path.len(), folder.name.clone())));
            }
            if member.kind == Kind::Script {
                places.extend(self.paths_in_script(&bytes));
            }
            // few files name any: only those are looked at closely
            if places.is_empty() {
                continue;
            }
            let Some(kept) = self.kept(index, &bytes) else { continue };
            places.retain(|(place, _)| !kept.contains(&(place.start as u64)));
            if places.is_empty() {
                continue;
            }
            let is_of_store = |name: &Vec<u8>| self.folders.all.iter().any(|one| one.is_store() && one.name == *name);
            let names_store = places.iter().any(|(_, name)| is_of_store(name));
            places.sort_by_key(|(place, _)| place.start);
            let mut done = 0;
            places.retain(|(place, _)| {
                let is_apart = place.start >= done;
                done = done.max(place.end);
                is_apart
            });
            replace(&path, &bytes, &places)?;
            self.folders.named_by.insert(paths::logical(&below), names_store);
            if self.members[index].kind != Kind::Elf {
                self.found(&below, Verdict::ByNumber);
            }
        }
        Ok(())
    }

    /// Files of the system that a script names elsewhere than in the shared folder, and names for them from there: those
    /// may be longer.
    fn paths_in_script(&self, text: &[u8]) -> Vec<(Range<usize>, Vec<u8>)> {
        let Some(shared) = self.folders.all.iter().find(|folder| !folder.is_store()) else { return Vec::new() };
        let first_line = memchr::memchr(b'\n', text).unwrap_or(text.len());
        let by_number = |place: Range<usize>| {
            let path = &text[place.clone()];
            // a pattern may be anything
            let is_word = place.start > first_line && WORDS_FOLLOW.contains(&text[place.start - 1]);
            if !is_word || path.starts_with(&shared.path) || is_harmless(&String::from_utf8_lossy(path)) {
                return None;
            }
            self.tree.canonical(path)?;
            let real = [&self.tree.canonical(paths::folder(path))?, &b"/"[..], paths::name(path)].concat();
            Some((place, [&shared.name, &b"/"[..], &paths::relative(&shared.path, &real)].concat()))
        };
        self.mentions.places(text).into_iter().filter_map(by_number).collect()
    }

    /// What of a file stays as it is: all if nothing is said.
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
            _ => {
                let is_for_others = FOR_OTHERS.iter().any(|folder| member.below.starts_with(folder));
                let is_checked = CHECKED.iter().any(|magic| bytes.starts_with(magic));
                (!is_for_others && !is_checked).then_some(0..0)
            }
        }
    }

    /// Whether a file names a store by number.
    pub(super) fn names_store(&self, path: &[u8]) -> bool {
        self.folders.named_by.get(path).is_some_and(|names_store| *names_store)
    }

    /// All packages of stores.
    pub(super) fn packages(&self) -> Vec<Vec<u8>> {
        let inside = |store: &Folder| {
            let folder = self.tree.real(&store.path).unwrap_or_default();
            let mut names = nopal_fs::read_dir_names(&folder).unwrap_or_default();
            names.sort();
            let path = |name: &OsString| [&store.path, &b"/"[..], name.as_bytes()].concat();
            names.iter().map(path).collect::<Vec<_>>()
        };
        self.folders.all.iter().filter(|folder| folder.is_store()).flat_map(inside).collect()
    }

    /// Opens all folders that are named by number.
    pub(super) fn open_folders(&self, teller: Teller) -> impl Iterator<Item = Step> + '_ {
        self.folders.all.iter().map(move |folder| Step::Pass(folder.number, teller.path(&folder.path)))
    }

    /// Has a launcher open the folders for a program that no loader starts; a wrapper does so itself.
    pub(super) fn open_folders_for(&mut self, index: usize) -> Result<Option<Verdict>, RelocateError> {
        let below = self.members[index].below.clone();
        let path = self.root.join(&below);
        let logical = paths::logical(&below);
        let here = paths::folder(&logical);
        let steps = self.open_folders(Teller::Launcher(paths::depth(here))).collect::<Vec<_>>();
        if steps.is_empty() {
            return Ok(None);
        }
        if let Ok(wrapper) = wrap::read(&path) {
            let data = wrapper.encode().unwrap_or_default();
            if !self.folders.all.iter().any(|folder| memmem::find(&data, &folder.name).is_some()) {
                return Ok(None);
            }
            wrap::rewrite(&path, &Launch { steps: [steps, wrapper.steps].concat(), ..wrapper })?;
            return Ok(Some(Verdict::ByNumber));
        }
        let Ok(opened) = self.tree.open(&logical) else { return Ok(None) };
        if !self.folders.named_by.contains_key(&logical) || !is_program_without_loader(&path, &opened.file)? {
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
        let files = vec![paths::logical(&hidden)];
        self.put_launcher(index, hidden, true, &launcher)?;
        let reason = Some("it names folders by number, and has no loader".to_owned());
        Ok(Some(Verdict::Launched { rung: Rung::Stub, reason, files, told: Vec::new() }))
    }
}

/// Changes places of a file, which are apart and in order.
fn replace(path: &Path, bytes: &[u8], places: &[(Range<usize>, Vec<u8>)]) -> Result<(), RelocateError> {
    if places.iter().all(|(place, name)| place.len() == name.len()) {
        let parts = places.iter().map(|(place, name)| FilePart { offset: place.start as u64, bytes: name });
        return Ok(nopal_fs::patch_file(path, &parts.collect::<Vec<_>>(), bytes.len() as u64)?);
    }
    let text = mentions::replaced(bytes, places);
    Ok(nopal_fs::patch_file(path, &[FilePart { offset: 0, bytes: &text }], text.len() as u64)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str, contents: Contents) -> Folder {
        Folder { path: path.into(), number: 99, name: b"/dev/fd/99".to_vec(), contents }
    }

    #[test]
    fn packages_of_the_store_are_found() {
        let digests = BTreeSet::from([*b"0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r"]);
        let store = folder("/nix/store", Contents::Packages(digests));
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

    #[test]
    fn what_is_shared_is_found() {
        let shared = folder("/usr/share", Contents::Names(BTreeSet::from([b"cows".to_vec()])));
        for (text, places) in [
            (&b"/usr/share/cows/a:/usr/share/cows"[..], &[0, 18][..]),
            (b"/usr/share/none /usr/shared /usr/share-x/cows /opt/usr/share/cows", &[]),
            (b"\0/usr/share\0/usr/local/share:/usr/share/%s", &[1, 29]),
        ] {
            assert_eq!(shared.places(text).collect::<Vec<_>>(), places, "{}", text.escape_ascii());
        }
    }
}

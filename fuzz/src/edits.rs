//! Edits that are made up, and what must be true of every file after them.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use nopal_elf::read::Image;
use nopal_elf::{
    CacheOutcome, Changes, Directory, Editor, ElfError, ExecStack, Options, Place, RunPath, RunPathDirectories, Start,
};

/// So many bytes at the end of an input say what is done to the file before them.
pub const PLAN_BYTES: usize = 64;

/// More edits find nothing that these do not.
const MAX_EDITS: usize = 6;

/// Nobody has the room that a lying header may ask for.
const MAX_BYTES: u64 = 64 << 20;

/// A name or a path: its length and what it is made of.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct Text(u8);

impl Text {
    fn bytes(self) -> Vec<u8> {
        let names = [&b"needle"[..], b"liba.so", b"/lib", b"/lib:$ORIGIN/../lib:/gone", b"", b"/x/libz.so"];
        match names.get(usize::from(self.0)) {
            Some(name) => name.to_vec(),
            None => [&b"/"[..], &[b'a' + self.0 % 3].repeat(usize::from(self.0))].concat(),
        }
    }
}

/// One edit.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Edit {
    Interpreter(Text),
    SetRunPath(Text),
    AddRunPath(Text),
    ForceRunPath(Text),
    RemoveRunPath,
    Soname(Text),
    AddNeeded(Text),
    RemoveNeeded(Text),
    ReplaceNeeded(Text, Text),
    NoDefaultLibraries,
    DebugTag,
    ExecStack(bool),
    OsAbi(u8),
    BuildCache,
    RemoveCache,
    Rename(Text),
    ClearVersions,
    SetStart(u8, Text),
    RemoveStart,
}

/// Every library is in `/lib`; a directory that begins with `/gone` is not there.
struct Libraries;

impl RunPathDirectories for Libraries {
    fn directory(&self, directory: &[u8]) -> Directory {
        if directory.starts_with(b"/gone") { Directory::AtRunTime } else { Directory::Searchable }
    }

    fn is_readable(&self, path: &[u8]) -> bool {
        path.starts_with(b"/lib/")
    }
}

/// The edits that the end of an input asks for.
pub fn plan(bytes: &[u8]) -> Vec<Edit> {
    let mut source = Unstructured::new(bytes);
    let edits = (0..MAX_EDITS).map_while(|_| (!source.is_empty()).then(|| source.arbitrary().ok())?);
    edits.collect()
}

/// Does edits one after the other to a file that may lie: errors or changes within the file, and no panic.
pub fn edit_any(mut bytes: Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        let Ok(changes) = apply(&bytes, edit) else { continue };
        let Some(edited) = changed(&bytes, &changes) else { return };
        bytes = edited;
        let _ = Image::read(&&bytes[..]);
    }
}

/// Does edits one after the other to a sound file: it shows each, and the same edit again changes nothing.
pub fn edit_sound(mut bytes: Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        let Ok(changes) = apply(&bytes, edit) else { continue };
        let Some(edited) = changed(&bytes, &changes) else { return };
        check(&bytes, &edited, edit);
        let is_added = matches!(
            edit,
            Edit::AddRunPath(_) | Edit::AddNeeded(_) | Edit::ReplaceNeeded(..) | Edit::Rename(_) | Edit::BuildCache
        );
        if !is_added && let Ok(changes) = apply(&edited, edit) {
            assert_eq!(changed(&edited, &changes).as_ref(), Some(&edited), "{edit:?} again");
        }
        bytes = edited;
    }
}

/// What an edit changes.
fn apply(bytes: &[u8], edit: &Edit) -> Result<Changes, ElfError> {
    let force_rpath = matches!(edit, Edit::ForceRunPath(_));
    let mut editor = Editor::open(&bytes, Options { force_rpath, ..Options::default() })?;
    let one = |text: Text| BTreeSet::from([text.bytes()]);
    match *edit {
        Edit::Interpreter(text) => editor.set_interpreter(&text.bytes())?,
        Edit::SetRunPath(text) | Edit::ForceRunPath(text) => editor.change_run_path(RunPath::Set(text.bytes()))?,
        Edit::AddRunPath(text) => editor.change_run_path(RunPath::Add(text.bytes()))?,
        Edit::RemoveRunPath => editor.change_run_path(RunPath::Remove)?,
        Edit::Soname(text) => editor.set_soname(&text.bytes())?,
        Edit::AddNeeded(text) => editor.add_needed(&one(text))?,
        Edit::RemoveNeeded(text) => editor.remove_needed(&one(text))?,
        Edit::ReplaceNeeded(old, new) => editor.replace_needed(&BTreeMap::from([(old.bytes(), new.bytes())]))?,
        Edit::NoDefaultLibraries => editor.no_default_libraries()?,
        Edit::DebugTag => editor.add_debug_tag()?,
        Edit::ExecStack(executable) => editor.set_exec_stack(executable),
        Edit::OsAbi(abi) => editor.set_os_abi(abi),
        Edit::BuildCache => drop(editor.build_cache(&Libraries)?),
        Edit::RemoveCache => editor.remove_cache()?,
        Edit::Rename(text) => editor.rename_symbols(&BTreeMap::from([(b"needle".to_vec(), text.bytes())]))?,
        Edit::ClearVersions => editor.clear_symbol_versions(&BTreeSet::from([b"needle".to_vec()]))?,
        Edit::SetStart(depth, text) => editor.set_start(&start(depth, text))?,
        Edit::RemoveStart => editor.remove_start()?,
    }
    editor.finish()
}

fn start(depth: u8, text: Text) -> Start {
    let loader = Place::FromRoot(b"lib/ld.so".to_vec());
    // two slashes would begin a path from the root
    let path = [b"/", text.bytes().strip_prefix(b"/").unwrap_or_default()].concat();
    let libraries = vec![Place::Named(b"liba.so".to_vec()), Place::At(path)];
    Start { depth: depth.into(), loader, libraries, preparation: text.bytes(), bindings: Vec::new() }
}

/// The file after changes, which lie in it one after the other. Nothing if it would be huge.
fn changed(bytes: &[u8], changes: &Changes) -> Option<Vec<u8>> {
    let mut end = 0;
    for patch in &changes.patches {
        assert!(patch.offset >= end && !patch.bytes.is_empty(), "patches overlap, or are none");
        end = patch.offset + patch.bytes.len() as u64;
    }
    assert!(end <= changes.len, "a patch lies behind the end");
    assert!(changes.patches.iter().map(|patch| patch.bytes.len() as u64).sum::<u64>() < MAX_BYTES);
    if changes.len > MAX_BYTES {
        return None;
    }
    let mut edited = bytes.to_vec();
    edited.resize(changes.len as usize, 0);
    for patch in &changes.patches {
        edited[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    Some(edited)
}

/// Checks that a file shows an edit, and no other change of what loaders want of it.
fn check(before: &[u8], after: &[u8], edit: &Edit) {
    let open = |bytes: &'static str, file| {
        Editor::open(file, Options::default()).unwrap_or_else(|error| panic!("{bytes}: {error}"))
    };
    let (old, new) = (open("before", &before), open("after", &after));
    let image = Image::read(&after).unwrap_or_else(|error| panic!("{edit:?}: {error}"));
    let dynamic = image.dynamic.as_ref();
    let mut needed = old.needed().unwrap_or_default();
    let mut run_path = old.run_path().unwrap_or_default();
    let mut soname = old.soname().unwrap_or_default();
    let mut interpreter = old.interpreter().ok();
    let mut stack = old.exec_stack();
    let mut starts = old.start();
    match *edit {
        Edit::Interpreter(text) => interpreter = Some(text.bytes()),
        Edit::SetRunPath(text) | Edit::ForceRunPath(text) => run_path = Some(text.bytes()),
        Edit::AddRunPath(text) => {
            run_path = match run_path.filter(|path| !path.is_empty()) {
                Some(path) => Some([&path[..], b":", &text.bytes()].concat()),
                None => Some(text.bytes()),
            }
        }
        Edit::RemoveRunPath => run_path = None,
        Edit::Soname(text) => soname = soname.map(|_| text.bytes()),
        Edit::AddNeeded(text) => needed.insert(0, text.bytes()),
        Edit::RemoveNeeded(text) => needed.retain(|name| *name != text.bytes()),
        Edit::ReplaceNeeded(from, to) => {
            needed.iter_mut().filter(|name| **name == from.bytes()).for_each(|name| *name = to.bytes());
        }
        Edit::ExecStack(executable) => stack = if executable { ExecStack::Yes } else { ExecStack::No },
        Edit::OsAbi(abi) => assert_eq!(new.os_abi(), abi),
        Edit::SetStart(depth, text) => starts = Some(start(depth, text)),
        Edit::RemoveStart => starts = None,
        Edit::RemoveCache => assert_eq!(image.notes.resolution_cache, None),
        Edit::BuildCache => {
            let outcome = open("after", &after).build_cache(&Libraries);
            assert!(matches!(outcome, Ok(CacheOutcome::UpToDate | CacheOutcome::Nothing(_))), "{outcome:?}");
            let is_written = matches!(outcome, Ok(CacheOutcome::UpToDate));
            assert_eq!(image.notes.resolution_cache.is_some(), is_written);
        }
        Edit::NoDefaultLibraries | Edit::DebugTag | Edit::Rename(_) | Edit::ClearVersions => {}
    }
    if soname.is_some() {
        assert_eq!(new.soname().unwrap_or_default(), soname, "{edit:?}");
    }
    assert_eq!(new.run_path().unwrap_or_default(), run_path, "{edit:?}");
    assert_eq!(new.interpreter().ok(), interpreter, "{edit:?}");
    assert_eq!(new.needed().unwrap_or_default(), needed, "{edit:?}");
    assert_eq!(new.exec_stack(), stack, "{edit:?}");
    assert_eq!(new.start(), starts, "{edit:?}");
    let by_loader = dynamic.map(|dynamic| dynamic.needed().map(<[u8]>::to_vec).collect::<Vec<_>>());
    assert_eq!(by_loader.unwrap_or_default(), needed, "{edit:?}");
}

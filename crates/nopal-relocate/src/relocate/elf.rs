//! Programs and libraries that find each other from wherever they are.

use super::programs::Teller;
use super::{Kind, RelocateError, Rung, Verdict, Work, is_executable};
use crate::bindings::Binder;
use crate::lift;
use crate::loader::Loaders;
use crate::paths;
use crate::tree::TreeFile;
use crate::wrap;
use crate::write::write;
use nopal_elf::read::Image;
use nopal_elf::resolve::{LoaderConfig, LoaderFacts, Object, Resolution, Rule, Tree as _, resolve, resolve_direct};
use nopal_elf::{Changes, Editor, ElfError, Options, Place, RunPath, Start};
use nopal_fs::{FilePart, FsError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Begins what stands for the folder of a file.
const ORIGIN: &[u8] = b"$ORIGIN";

/// Links in other folders than what they lead to, by that: their folders and names.
type Links = BTreeMap<Vec<u8>, BTreeSet<(Vec<u8>, Vec<u8>)>>;

/// What makes a program start by itself.
struct Stub {
    changes: Changes,
    verdict: Verdict,
    start: Start,
    /// What its loader loads, by which names.
    libraries: Vec<Place>,
}

/// A program that starts by itself.
struct Started {
    below: PathBuf,
    start: Start,
    resolution: Resolution,
    libraries: Vec<Place>,
}

impl Work {
    /// Has everything look for its libraries relative to itself.
    pub(super) fn run_paths(&mut self) -> Result<(), RelocateError> {
        let mut loaders = Loaders::default();
        let links = self.links_to_libraries();
        for below in self.of_kind(Kind::Elf) {
            let logical = paths::logical(&below);
            match self.run_path(&logical, &links, &mut loaders) {
                Ok(None) => {}
                Ok(Some(changes)) => {
                    write(&self.root.join(&below), &changes)?;
                    self.found(&below, Verdict::Library);
                }
                Err(reason) => self.found(&below, Verdict::Stays(reason)),
            }
        }
        Ok(())
    }

    /// Whether nothing may be added to a program.
    pub(super) fn stays_whole(&self, file: &TreeFile) -> bool {
        self.first == Rung::ExplicitLoader || has_payload(file)
    }

    /// Links to libraries, and other files. To a loader that opens a link, the library is in the link's folder.
    fn links_to_libraries(&self) -> Links {
        let mut links = Links::new();
        for link in self.of_kind(Kind::Link).iter().map(|below| paths::logical(below)) {
            let folder = self.tree.canonical(paths::folder(&link));
            if let (Some(library), Some(folder)) = (self.tree.canonical(&link), folder)
                && paths::folder(&library) != folder
            {
                links.entry(library).or_default().insert((folder, paths::name(&link).to_vec()));
            }
        }
        links
    }

    /// What a file's run path has to be, if it has to be another.
    fn run_path(&self, logical: &[u8], links: &Links, loaders: &mut Loaders) -> Result<Option<Changes>, String> {
        let Ok(opened) = self.tree.open(logical) else { return Ok(None) };
        let image = Image::read(&opened.file).map_err(|error| error.to_string())?;
        let Some(dynamic) = &image.dynamic else { return Ok(None) };
        if !is_library(&image) && self.stays_whole(&opened.file) {
            return Ok(None);
        }
        let force_rpath = dynamic.runpath.is_none() && dynamic.rpath.is_some();
        let editor = Editor::open(&opened.file, Options { force_rpath, ..Options::default() });
        let mut editor = match editor {
            Ok(editor) => editor,
            // object files, core dumps
            Err(ElfError::Kind) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut edit = |editor: &mut Editor<'_>| {
            let folder = paths::folder(logical);
            let linked = links.get(logical).into_iter().flatten().filter(|(_, name)| Some(&name[..]) == image.soname());
            let folders = std::iter::once(folder).chain(linked.map(|(folder, _)| &folder[..])).collect::<Vec<_>>();
            let old = editor.run_path()?;
            let mut entries: Vec<Vec<u8>> = Vec::new();
            for entry in old.iter().flat_map(|old| old.split(|byte| *byte == b':')) {
                let known = entries.len();
                entries.extend(folders.iter().filter_map(|folder| self.seen_from(folder, entry)));
                if entries.len() == known {
                    entries.push(entry.to_vec());
                }
            }
            // what was found without a run path has to be found by one
            if let Some(config) = loaders.config(&self.tree, &self.choice, &image)
                && let Ok(resolution) = resolve_direct(&self.tree, logical, &config)
            {
                entries.extend(folders.iter().flat_map(|folder| self.system_folders(folder, &resolution)));
            }
            let mut seen = BTreeSet::new();
            entries.retain(|entry| seen.insert(entry.clone()));
            let new = entries.join(&b':');
            if old.unwrap_or_default() != new {
                editor.change_run_path(RunPath::Set(new))?;
            }
            let needed = editor.needed()?.into_iter();
            let moved = needed.filter_map(|name| Some((name.clone(), self.seen_from(folder, &name)?)));
            editor.replace_needed(&moved.collect::<BTreeMap<_, _>>())?;
            // it names absolute paths
            editor.remove_cache()
        };
        match edit(&mut editor).and_then(|()| editor.finish()) {
            Ok(changes) => Ok(not_empty(changes)),
            // it has a dynamic section that no loader of a system reads, such as compiled Scheme
            Err(ElfError::NoSection(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// An absolute path that leads to what is relocated, as a path relative to the folder of a file.
    fn seen_from(&self, folder: &[u8], path: &[u8]) -> Option<Vec<u8>> {
        if !path.starts_with(b"/") || path.contains(&b'$') {
            return None;
        }
        let real = self.tree.canonical(path)?;
        Some([ORIGIN, b"/", &paths::relative(folder, &real)].concat())
    }

    /// Folders in which a file's libraries are found without a run path.
    fn system_folders(&self, folder: &[u8], resolution: &Resolution) -> Vec<Vec<u8>> {
        let found = resolution.objects.iter().filter(|object| matches!(object.rule, Rule::Cache | Rule::Default));
        found.filter_map(|object| self.seen_from(folder, paths::folder(&object.path))).collect()
    }

    /// Has programs start by themselves, or by a launcher.
    pub(super) fn starts(&mut self) -> Result<(), RelocateError> {
        let mut loaders = Loaders::default();
        let mut used = BTreeSet::new();
        let mut started = Vec::new();
        for index in 0..self.members.len() {
            if self.members[index].kind != Kind::Elf {
                continue;
            }
            let below = self.members[index].below.clone();
            let verdict = match self.program(paths::logical(&below), &mut loaders) {
                Ok(None) => match self.open_folders_for(index)? {
                    Some(verdict) => verdict,
                    None => continue,
                },
                Ok(Some(program)) => {
                    used.insert(program.loader.clone());
                    match self.start(index, program, &mut started)? {
                        Some(verdict) => verdict,
                        None => continue,
                    }
                }
                Err(reason) => Verdict::Stays(reason),
            };
            self.found.retain(|(known, _)| *known != below);
            self.found(&below, verdict);
        }
        used.iter().try_for_each(|loader| self.keep_inside(loader))?;
        self.bind(started)
    }

    /// Binds the symbols of programs, now that all files are what they will be.
    fn bind(&mut self, programs: Vec<Started>) -> Result<(), RelocateError> {
        let mut binder = Binder::default();
        for Started { below, start, resolution, libraries } in programs {
            let bindings = binder.bindings(&self.tree, &resolution, &libraries);
            if bindings.is_empty() {
                continue;
            }
            let start = Start { libraries, bindings, ..start };
            let edit = || {
                let opened = self.tree.open(&paths::logical(&below)).ok()?;
                let mut editor = Editor::open(&opened.file, Options::default()).ok()?;
                editor.set_start(&start).ok()?;
                editor.finish().ok()
            };
            // without, it starts as well
            if let Some(changes) = edit() {
                write(&self.root.join(&below), &changes)?;
            }
        }
        Ok(())
    }

    /// Has a program start by itself or by a launcher, which cannot take the place of what others load.
    fn start(
        &mut self,
        index: usize,
        program: Program,
        started: &mut Vec<Started>,
    ) -> Result<Option<Verdict>, RelocateError> {
        let mut reason = None;
        if program.has_payload {
            reason = Some("a payload follows it, which it may look for from the end of its file on".to_owned());
        } else if self.first == Rung::Stub {
            match self.stub(&program) {
                Ok(Stub { changes, verdict, start, libraries }) => {
                    let below = self.members[index].below.clone();
                    write(&self.root.join(&below), &changes)?;
                    let known = program.known.map(|(resolution, _)| resolution);
                    started.extend(known.map(|resolution| Started { below, start, resolution, libraries }));
                    return Ok(Some(verdict));
                }
                Err(refusal) => reason = Some(refusal),
            }
        }
        if program.is_library {
            return Ok(None);
        }
        self.launch(index, &program, reason).map(Some)
    }

    /// A program, if this is one.
    fn program(&self, logical: Vec<u8>, loaders: &mut Loaders) -> Result<Option<Program>, String> {
        let Ok(opened) = self.tree.open(&logical) else { return Ok(None) };
        let Ok(image) = Image::read(&opened.file) else { return Ok(None) };
        let Some(interpreter) = image.interpreter.clone().filter(|_| image.dynamic.is_some()) else {
            return self.started_before(&logical, &opened.file).map_or(Ok(None), Err);
        };
        // a library that can be started has its loader beside it
        let beside = || self.tree.canonical(&[paths::folder(&logical), b"/", paths::name(&interpreter)].concat());
        let loader = self.tree.canonical(&interpreter).filter(|path| self.tree.open(path).is_ok()).or_else(beside);
        let missing = || format!("its loader {} is not among what is relocated", interpreter.escape_ascii());
        let loader = loader.ok_or_else(missing)?;
        // other loaders than glibc's find libraries by the run path
        let known = match loaders.config(&self.tree, &self.choice, &image) {
            Some(config) => Some((self.resolve(&logical, &config)?, config)),
            None => None,
        };
        let is_library = is_library(&image);
        let has_payload = has_payload(&opened.file);
        Ok(Some(Program { logical, file: opened.file, interpreter, loader, known, is_library, has_payload }))
    }

    /// What makes a program start by itself.
    fn stub(&self, program: &Program) -> Result<Stub, String> {
        let from_root = |path: &[u8]| {
            let real = self.tree.canonical(path).unwrap_or_else(|| path.to_vec());
            Place::FromRoot(real.strip_prefix(b"/").unwrap_or(&real).to_vec())
        };
        let libraries = match &program.known {
            // what is missing was so before; the loader says it better
            Some((resolution, config)) if resolution.is_complete() => {
                lift::libraries(&self.tree, config, resolution, from_root)
            }
            _ => Vec::new(),
        };
        let preparation = self.preparation(&program.logical, &program.sonames(), Teller::Itself);
        let told = preparation.told;
        let preparation = wrap::format::preparation(&preparation.steps, &preparation.arguments);
        let preparation = preparation.map_err(|error| error.to_string())?;
        let depth = u32::try_from(paths::depth(&program.logical)).map_err(|error| error.to_string())?;
        let named = lift::without_last_names(libraries.clone());
        let loader = from_root(&program.loader);
        let start = Start { depth, loader, libraries: named, preparation, bindings: Vec::new() };
        let edit = || {
            let mut editor = Editor::open(&program.file, Options::default())?;
            // for debuggers, which look for a library of that name
            editor.set_interpreter(paths::name(&program.interpreter))?;
            editor.set_start(&start)?;
            editor.finish()
        };
        let changes = edit().map_err(|error| error.to_string())?;
        let verdict = Verdict::Program { libraries: start.by_path(), told };
        Ok(Stub { changes, verdict, start, libraries })
    }

    /// Why a program that starts by itself already does not start from here, if it does not.
    fn started_before(&self, logical: &[u8], file: &TreeFile) -> Option<String> {
        let start = Start::read(file)?;
        let loader = start.place(logical, &start.loader);
        let is_there = loader.is_some_and(|loader| start.depth > 0 && self.tree.open(&loader).is_ok());
        (!is_there).then(|| "it starts by itself, but not from here: relocate all of the tree that it is in".to_owned())
    }

    fn resolve(&self, logical: &[u8], config: &LoaderConfig) -> Result<Resolution, String> {
        resolve(&self.tree, logical, config, &Default::default()).map_err(|error| error.to_string())
    }

    /// Has a loader look nowhere but where it is told to: its own folders and its cache are those of another system now.
    fn keep_inside(&self, loader: &[u8]) -> Result<(), RelocateError> {
        let Some(path) = self.tree.real(loader) else { return Ok(()) };
        let bytes = nopal_fs::read_file(&path)?;
        let Some(facts) = LoaderFacts::find(&bytes) else { return Ok(()) };
        let mut parts = Vec::new();
        for name in facts.system_directories.iter().chain(&facts.cache_path) {
            let text = [&b"\0"[..], name, b"\0"].concat();
            for at in memchr::memmem::find_iter(&bytes, &text) {
                parts.push((at as u64 + 1, nowhere(name)));
            }
        }
        parts.sort();
        parts.dedup();
        let parts = parts.iter().map(|(offset, bytes)| FilePart { offset: *offset, bytes }).collect::<Vec<_>>();
        Ok(nopal_fs::patch_file(&path, &parts, bytes.len() as u64)?)
    }
}

/// A program, and what it loads.
pub(super) struct Program {
    pub(super) logical: Vec<u8>,
    pub(super) file: TreeFile,
    /// What it names as its loader.
    pub(super) interpreter: Vec<u8>,
    /// From the root on, without links.
    pub(super) loader: Vec<u8>,
    /// What a loader of glibc's makes of it.
    pub(super) known: Option<(Resolution, Rc<LoaderConfig>)>,
    /// It is there to be loaded, and can be started too.
    is_library: bool,
    /// Something follows it in its file, which has to stay as long as it is.
    pub(super) has_payload: bool,
}

impl Program {
    /// The names of its libraries, and where they are.
    pub(super) fn sonames(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let name = |object: &Object| Some((object.image.as_ref()?.soname()?.to_vec(), object.path.clone()));
        let objects = self.known.iter().flat_map(|(resolution, _)| &resolution.objects);
        objects.filter_map(name).collect()
    }
}

/// Whether others load a file, though it may name an interpreter too.
fn is_library(image: &Image) -> bool {
    image.interpreter.is_none() || image.soname().is_some()
}

/// Whether a file is a program, and nothing that others load.
pub(super) fn is_program(file: &TreeFile) -> bool {
    Image::read(file).is_ok_and(|image| !is_library(&image))
}

/// Whether a file is a program that the kernel starts by itself.
pub(super) fn is_program_without_loader(path: &Path, file: &TreeFile) -> Result<bool, FsError> {
    let is_program = |image: &Image| image.interpreter.is_none() && image.hardening().is_program;
    Ok(is_executable(path)? && Image::read(file).is_ok_and(|image| is_program(&image)))
}

fn has_payload(file: &TreeFile) -> bool {
    Editor::open(file, Options::default()).is_ok_and(|editor| editor.has_payload())
}

fn not_empty(changes: Changes) -> Option<Changes> {
    (!changes.patches.is_empty()).then_some(changes)
}

/// A path of the same length at which nothing is: a folder of the root with only dots in its name.
fn nowhere(path: &[u8]) -> Vec<u8> {
    let last = path.len() - 1;
    let dots = |(at, byte): (usize, &u8)| if at == 0 || (at == last && *byte == b'/') { b'/' } else { b'.' };
    path.iter().enumerate().map(dots).collect()
}

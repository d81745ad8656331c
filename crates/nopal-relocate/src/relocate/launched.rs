//! Programs that a launcher starts, since nothing can be added to them, or nothing shall.
//!
//! The launcher takes the program's place; the program lies in a hidden folder beside the one it was in, as scripts do.
//! It is told by the launcher what others are told by the code in them.

use super::elf::Program;
use super::programs::Teller;
use super::{RelocateError, Rung, Verdict, Work};
use crate::lift;
use crate::paths;
use crate::tree::TreeFile;
use crate::wrap::{self, Architecture, Join, JoinKind, Launch, Piece, Step, Text};
use crate::write::write;
use memchr::memmem;
use nopal_elf::resolve::{Environment, Resolution, Tree as _, resolve};
use nopal_elf::{Bytes as _, Changes, Editor, ElfError, Options};
use std::path::Path;

/// The number under which the loader of such programs is open.
const LOADER_NUMBER: u16 = 978;
/// What names it: no longer than usual loaders' paths, so that it fits where those were.
const LOADER_BY_NUMBER: &[u8] = b"/proc/self/fd/978";

/// The rights of a launcher.
pub(super) const PROGRAM_MODE: u32 = 0o755;

/// By which programs find and start themselves.
const ITSELF: &[u8] = b"/proc/self/exe";

/// Stands for the folder of a program.
const ORIGIN: &[u8] = b"$ORIGIN";

impl Work {
    /// Has a launcher start a program. `reason` is why the program does not start by itself.
    pub(super) fn launch(
        &mut self,
        index: usize,
        program: &Program,
        mut reason: Option<String>,
    ) -> Result<Verdict, RelocateError> {
        let below = self.members[index].below.clone();
        let hidden = match self.hidden(&below) {
            Ok(hidden) => hidden,
            Err(reason) => return Ok(Verdict::Stays(reason)),
        };
        let architecture = architecture(&program.file);
        let mut edited = None;
        if self.first <= Rung::FdInterpreter && architecture.is_some() {
            match interpreter_by_number(program) {
                Ok(changes) => edited = Some(changes),
                Err(refusal) => reason = Some(refusal),
            }
        }
        let launch = match &edited {
            Some(_) => self.with_loader_open(program, &hidden),
            None => self.by_loader(program, &hidden),
        };
        let mut launch = match launch {
            Ok(launch) => launch,
            Err(reason) => return Ok(Verdict::Stays(reason)),
        };
        let here = paths::folder(&program.logical);
        let preparation = self.preparation(&program.logical, &program.sonames(), Teller::Launcher(paths::depth(here)));
        launch.steps.extend(preparation.steps);
        launch.before.0.extend(preparation.arguments.0);

        let launcher = match launcher(&launch, architecture) {
            Ok(launcher) => launcher,
            Err(reason) => return Ok(Verdict::Stays(reason)),
        };
        let path = self.root.join(&below);
        if let Some(changes) = &edited {
            write(&path, changes)?;
        }
        let bytes = nopal_fs::read_file(&path)?;
        self.put_launcher(index, hidden.clone(), looks_beside(&bytes), &launcher)?;
        // by the launcher
        let told = [preparation.told, vec![program.interpreter.clone()]].concat();
        let libraries = program.known.iter().flat_map(|(resolution, _)| self.loaded(resolution));
        let files = std::iter::once(paths::logical(&hidden)).chain(libraries).collect();
        if edited.is_none() && memmem::find(&bytes, ITSELF).is_some() {
            let doubt = "it looks for itself at /proc/self/exe, where its loader is";
            self.found(&hidden, Verdict::Stays(doubt.to_owned()));
        }
        let rung = if edited.is_some() { Rung::FdInterpreter } else { Rung::ExplicitLoader };
        Ok(Verdict::Launched { rung, reason, files, told })
    }

    /// Starts a program whose interpreter is the loader's number.
    fn with_loader_open(&self, program: &Program, hidden: &Path) -> Result<Launch, String> {
        let here = paths::folder(&program.logical);
        let hidden = paths::logical(hidden);
        let mut steps = vec![Step::Pass(LOADER_NUMBER, from_here(here, &program.loader))];
        if program.has_payload {
            // its run path is what it was; in other programs the variable names folders around these, if any
            let value = Text::literal(self.library_path(program, paths::folder(&hidden))?);
            let name = b"LD_LIBRARY_PATH".to_vec();
            steps.push(Step::Join(Join { name, separator: b":".to_vec(), value, how: JoinKind::Suffix }));
        }
        Ok(Launch { target: from_here(here, &hidden), name: Text(vec![Piece::Name]), steps, ..Launch::default() })
    }

    /// Starts a program's loader, and tells it the program and where libraries are.
    fn by_loader(&self, program: &Program, hidden: &Path) -> Result<Launch, String> {
        let hidden = paths::logical(hidden);
        let here = paths::folder(&program.logical);
        let library_path = self.library_path(program, paths::folder(&hidden))?;
        let loader = self.tree.real(&program.loader).and_then(|path| nopal_fs::read_file(&path).ok());
        let mut words = vec![Text::literal("--library-path"), Text::literal(library_path)];
        // those of glibc before 2.33 give programs the name of their file
        if loader.is_some_and(|bytes| memmem::find(&bytes, b"--argv0\0").is_some()) {
            words.extend([Text::literal("--argv0"), Text(vec![Piece::Name])]);
        }
        words.push(from_here(here, &hidden));
        let target = from_here(here, &program.loader);
        let before = words.into_iter().flat_map(|word| [word.0, vec![Piece::Break]].concat()).collect();
        Ok(Launch { name: target.clone(), target, before: Text(before), ..Launch::default() })
    }

    /// The folders in which the libraries of a program are, as the loader is told them: relative to the program in that
    /// folder. It looks there first for whatever any library asks for, so it has to find the same ones.
    fn library_path(&self, program: &Program, folder: &[u8]) -> Result<Vec<u8>, String> {
        let Some((resolution, config)) = &program.known else {
            return Err("its loader, which is none of glibc's, cannot be told where libraries are".to_owned());
        };
        let loaded = self.loaded(resolution);
        let mut folders = Vec::<&[u8]>::new();
        for path in &loaded {
            let folder = paths::folder(path);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        let environment = Environment { library_path: Some(folders.join(&b':')), preload: Vec::new() };
        let found = resolve(&self.tree, &program.logical, config, &environment).map_err(|error| error.to_string())?;
        if self.loaded(&found) != loaded {
            return Err("its loader would find other libraries, if it is told where they are".to_owned());
        }
        let relative = |path: &&[u8]| [ORIGIN, b"/", &paths::relative(folder, path)].concat();
        Ok(folders.iter().map(relative).collect::<Vec<_>>().join(&b':'))
    }

    /// The libraries that a program loads, in order, without links.
    fn loaded(&self, resolution: &Resolution) -> Vec<Vec<u8>> {
        let real = |number: &usize| {
            let path = &resolution.objects[*number].path;
            self.tree.canonical(path).unwrap_or_else(|| path.clone())
        };
        let is_library = |number: &&usize| ![lift::PROGRAM, lift::LOADER].contains(number);
        resolution.scope.iter().filter(is_library).map(real).collect()
    }
}

/// The processor that a program is for, if there is a launcher for it.
pub(super) fn architecture(file: &TreeFile) -> Option<Architecture> {
    let mut head = [0; 20];
    file.read_at(0, &mut head).ok()?;
    Architecture::of_file(&head)
}

/// The file of a launcher; a script for `/bin/sh` for processors that there is none for.
pub(super) fn launcher(launch: &Launch, architecture: Option<Architecture>) -> Result<Vec<u8>, String> {
    match architecture {
        Some(architecture) => {
            let data = launch.encode().map_err(|error| error.to_string())?;
            Ok(architecture.launcher_with(&data))
        }
        None => wrap::portable::script(launch)
            .ok_or_else(|| "there is no launcher for its processor, and a shell cannot start it".to_owned()),
    }
}

/// A path from the root on as one from the folder of a launcher.
pub(super) fn from_here(here: &[u8], path: &[u8]) -> Text {
    Text::below_root([b"/", &paths::relative(here, path)[..]].concat())
}

/// Has a program name the number under which its loader is open.
fn interpreter_by_number(program: &Program) -> Result<Changes, String> {
    let edit = || {
        let mut editor = Editor::open(&program.file, Options::default())?;
        editor.set_interpreter(LOADER_BY_NUMBER)?;
        editor.finish()
    };
    let changes = edit().map_err(|error: ElfError| error.to_string())?;
    if program.has_payload && changes.len != program.file.len() {
        return Err("a payload follows it, and the name of its loader is too short for another one".to_owned());
    }
    Ok(changes)
}

/// Whether a program looks for files in the folder that it is in.
fn looks_beside(bytes: &[u8]) -> bool {
    let is_beside = |at: usize| !bytes[at + ORIGIN.len()..].starts_with(b"/..");
    memmem::find(bytes, ITSELF).is_some() || memmem::find_iter(bytes, ORIGIN).any(is_beside)
}

//! `nopal elf fast`

use super::loader::LoaderArgs;
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_fs::{Step, TreeWalk, WalkOptions};
use nopal_relocate::{Binder, Fast, FastError, FileTree, LoaderChoice, Speed, note, slow, speed, write};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make programs start without looking for their libraries
///
/// A program of glibc's loader looks for each library in one directory after the other. Here it is found out once where
/// they all are; then the program begins in a piece of code that is added to it, which hands the same loader the paths, in
/// the order in which it would have found them. LD_LIBRARY_PATH, LD_PRELOAD, LD_AUDIT and ldd work as before, as
/// does everything that is loaded later. Directories that are not there, that depend on the processor or that only
/// the loader can tell are left to it.
///
/// Where the loader would have to look for thousands of symbols, these are bound beforehand too. That holds as long as all
/// libraries are what they are now; after that, the loader looks again, until the program is made fast again.
///
/// Programs and libraries also get the note of `patchelf --build-resolution-cache`, which patched loaders read.
///
/// A second run changes nothing, unless libraries are elsewhere now.
#[derive(Args, Debug)]
pub(crate) struct FastArgs {
    /// Programs, libraries, and folders of such
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<OsString>,
    /// Make them ordinary programs and libraries again
    #[arg(long)]
    undo: bool,
    /// Say of each file what was done
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    loader: LoaderArgs,
}

/// What was done.
#[derive(Default)]
struct Tally {
    started: usize,
    noted: usize,
    unchanged: usize,
    failed: usize,
    in_vain: usize,
}

/// Runs it.
pub(super) fn run(context: &Context, args: &FastArgs) -> Result<ExitCode, CliError> {
    let tree = args.loader.tree(&context.settings.absolute(Path::new("")))?;
    let choice = args.loader.choice();
    let mut files = Vec::new();
    for path in &args.paths {
        let real = tree.real(path.as_bytes()).unwrap_or_else(|| path.into());
        if !nopal_fs::is_dir(&real) {
            files.push((path.into(), real));
            continue;
        }
        let mut walk = TreeWalk::new(&real, WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            if step == Step::File && is_elf(walk.path()) {
                files.push((Path::new(path).join(walk.relative_path()), walk.path().to_owned()));
            }
        }
    }
    let mut treatment = Treatment { args, tree, choice, tally: Tally::default() };
    if args.undo {
        treatment.each(&files, |tree, _, path| Ok(Fast { changes: slow(tree, path)?, speed: Speed::Noted }))?;
    } else {
        // of libraries, programs know what they are when they are done with
        let programs = treatment.each(&files, |tree, _, path| note(tree, path))?;
        let mut binder = Binder::default();
        treatment.each(&programs, |tree, choice, path| speed(tree, path, choice, &mut binder))?;
    }
    let tally = treatment.tally;
    let done = if args.undo {
        format!("{} files are ordinary", tally.noted)
    } else {
        format!(
            "{} programs open their libraries by path ({} paths were opened in vain), {} files have a note, {} are as they were",
            tally.started, tally.in_vain, tally.noted, tally.unchanged
        )
    };
    let failed = if tally.failed > 0 { format!(", {} failed", tally.failed) } else { String::new() };
    output::line(&format!("{done}{failed}"))?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a file begins as programs and libraries do.
fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let file = nopal_fs::RandomFile::open(path);
    file.is_ok_and(|file| file.size_bytes() > 64 && file.read_at(0, &mut magic).is_ok() && magic == *b"\x7fELF")
}

/// A run.
struct Treatment<'a> {
    args: &'a FastArgs,
    tree: FileTree,
    choice: LoaderChoice,
    tally: Tally,
}

/// A file by the path that the user knows it by, and where it is.
type Named = (PathBuf, PathBuf);

impl Treatment<'_> {
    /// Does something with each file, and says what. Those that are programs, and not done with.
    fn each(
        &mut self,
        files: &[Named],
        mut act: impl FnMut(&FileTree, &LoaderChoice, &[u8]) -> Result<Fast, FastError>,
    ) -> Result<Vec<Named>, CliError> {
        let mut programs = Vec::new();
        for (path, real) in files {
            match act(&self.tree, &self.choice, path.as_os_str().as_bytes()) {
                Ok(Fast { changes, speed }) => {
                    write(real, &changes)?;
                    if speed == Speed::Program {
                        programs.push((path.clone(), real.clone()));
                    } else {
                        self.say(real, speed)?;
                    }
                }
                Err(error) => {
                    self.tally.failed += 1;
                    output::line(&format!("{}: left as it was: {error}", real.display()))?;
                }
            }
        }
        Ok(programs)
    }

    fn say(&mut self, real: &Path, speed: Speed) -> Result<(), CliError> {
        let tally = &mut self.tally;
        let said = match speed {
            Speed::Started { by_path, of, in_vain, is_bound } => {
                tally.started += 1;
                tally.in_vain += in_vain;
                let bound = if is_bound { "; symbols are bound" } else { "" };
                format!("opens {by_path} of {of} libraries by path; {in_vain} opens in vain before{bound}")
            }
            Speed::Noted | Speed::Program => {
                tally.noted += 1;
                if self.args.undo { "an ordinary file" } else { "has a note" }.to_owned()
            }
            Speed::Unchanged(reason) => {
                tally.unchanged += 1;
                reason.to_owned()
            }
        };
        if self.args.all { output::line(&format!("{}: {said}", real.display())) } else { Ok(()) }
    }
}

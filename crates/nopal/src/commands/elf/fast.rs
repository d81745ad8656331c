//! `nopal elf fast`

use super::loader::LoaderArgs;
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_fs::{Step, TreeWalk, WalkOptions};
use nopal_relocate::{FileTree, LoaderChoice, Speed, slow, speed, write};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

/// Make programs start without looking for their libraries
///
/// A program of glibc's loader looks for each library in one directory after the other. Here it is found out once where
/// they all are; then the program begins in a piece of code that is added to it, which hands the same loader the paths, in
/// the order in which it would have found them. LD_LIBRARY_PATH, LD_PRELOAD, LD_AUDIT and ldd work as before, as
/// does everything that is loaded later. Directories that are not there, that depend on the processor or that only
/// the loader can tell are left to it.
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
    let mut tally = Tally::default();
    for path in &args.paths {
        let real = tree.real(path.as_bytes()).unwrap_or_else(|| path.into());
        if !nopal_fs::is_dir(&real) {
            treat(args, &tree, &choice, path.as_bytes(), &real, &mut tally)?;
            continue;
        }
        let mut walk = TreeWalk::new(&real, WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            if step == Step::File && is_elf(walk.path()) {
                let path = Path::new(path).join(walk.relative_path());
                treat(args, &tree, &choice, path.as_os_str().as_bytes(), walk.path(), &mut tally)?;
            }
        }
    }
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

fn treat(
    args: &FastArgs,
    tree: &FileTree,
    choice: &LoaderChoice,
    path: &[u8],
    real: &Path,
    tally: &mut Tally,
) -> Result<(), CliError> {
    let shown = real.display();
    let result = if args.undo {
        slow(tree, path).map(|changes| (changes, Speed::Noted))
    } else {
        speed(tree, path, choice).map(|fast| (fast.changes, fast.speed))
    };
    let (changes, speed) = match result {
        Ok(done) => done,
        Err(error) => {
            tally.failed += 1;
            return output::line(&format!("{shown}: left as it was: {error}"));
        }
    };
    write(real, &changes)?;
    let said = match speed {
        Speed::Started { by_path, of, in_vain } => {
            tally.started += 1;
            tally.in_vain += in_vain;
            format!("opens {by_path} of {of} libraries by path; {in_vain} opens in vain before")
        }
        Speed::Noted => {
            tally.noted += 1;
            if args.undo { "an ordinary file" } else { "has a note" }.to_owned()
        }
        Speed::Unchanged(reason) => {
            tally.unchanged += 1;
            reason.to_owned()
        }
    };
    if args.all { output::line(&format!("{shown}: {said}")) } else { Ok(()) }
}

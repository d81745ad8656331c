//! Whether what is relocated can run here.

use crate::loader::LoaderChoice;
use crate::relocate::{Rung, Source, Verdict, relocate};
use crate::tree::{FileTree, below};
use crate::wrap::Architecture;
use nopal_elf::read::Image;
use nopal_elf::resolve::{Tree as _, resolve};
use nopal_fs::TempDir;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A small program that nearly all machines have.
const SHELL: &[u8] = b"/bin/sh";
/// What it is told to do, and the exit code by which it is known that it did.
const ARGUMENTS: [&str; 2] = ["-c", "exit 42"];
const EXIT_CODE: i32 = 42;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// It works.
    Works,
    /// It does not, for this reason.
    Fails(String),
    /// There is nothing to try it with, for this reason.
    Untried(String),
}

/// Relocates the machine's shell in each way, to a folder below this one, and runs it from there.
#[must_use]
pub fn try_rungs(folder: &Path) -> Vec<(Rung, Trial)> {
    const RUNGS: [Rung; 3] = [Rung::Stub, Rung::FdInterpreter, Rung::ExplicitLoader];
    let all = |trial: &Trial| RUNGS.map(|rung| (rung, trial.clone())).to_vec();
    if let Err(reason) = launchers_start(folder) {
        return all(&Trial::Fails(reason));
    }
    let place = match TempDir::new_in(folder, "probe-") {
        Ok(place) => place,
        Err(error) => return all(&Trial::Fails(error.to_string())),
    };
    let source = Source { logical: PathBuf::from("/"), physical: place.path().join("tree") };
    if let Err(reason) = gather_shell(&source.physical) {
        return all(&Trial::Untried(reason));
    }
    RUNGS.map(|rung| (rung, try_rung(rung, &source, &place.path().join(rung.name())))).to_vec()
}

/// Starts a launcher, if there are any for this machine, to see whether the kernel lets it: file systems can be mounted so
/// that it does not.
fn launchers_start(folder: &Path) -> Result<(), String> {
    let Some(architecture) = Architecture::from_name(std::env::consts::ARCH) else { return Ok(()) };
    let place = TempDir::new_in(folder, "probe-").map_err(|error| error.to_string())?;
    let program = place.path().join("program");
    // it has nothing to unpack, says so and ends
    nopal_fs::write_new(&program, &architecture.unpacker(0), 0o700).map_err(|error| error.to_string())?;
    run(&program, &[]).map(|_| ())
}

/// Copies the shell and all it loads to where they are, below another root.
fn gather_shell(root: &Path) -> Result<(), String> {
    let shell = String::from_utf8_lossy(SHELL);
    let machine = FileTree::of_machine();
    let opened = machine.open(SHELL).map_err(|_| format!("there is no {shell}"))?;
    let image = Image::read(&opened.file).map_err(|_| format!("{shell} is no program"))?;
    let config = LoaderChoice::default().loader(&machine, &image).config;
    let config = config.filter(|_| image.interpreter.is_some());
    let config = config.ok_or_else(|| format!("{shell} has no loader of glibc's"))?;
    let resolution = resolve(&machine, SHELL, &config, &Default::default()).map_err(|error| error.to_string())?;
    for object in &resolution.objects {
        let path = machine.absolute(&object.path);
        let (from, to) = (machine.real(&path).unwrap_or_default(), below(root, &path));
        let copy = || {
            nopal_fs::create_dir_all(nopal_fs::parent_of(&to))?;
            nopal_fs::write_new(&to, &nopal_fs::read_file(&from)?, 0o755)
        };
        copy().map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn try_rung(rung: Rung, source: &Source, out: &Path) -> Trial {
    let shell = Path::new("bin/sh");
    let relocation = match relocate(std::slice::from_ref(source), &[], rung, out) {
        Ok(relocation) => relocation,
        Err(error) => return Trial::Fails(error.to_string()),
    };
    let refusal = relocation.files.iter().filter(|(path, _)| path == shell).find_map(|(_, verdict)| match verdict {
        Verdict::Launched { rung: taken, reason, .. } if rung != *taken => reason.clone(),
        Verdict::Stays(reason) => Some(reason.clone()),
        _ => None,
    });
    if let Some(reason) = refusal {
        return Trial::Fails(reason);
    }
    match run(&out.join(shell), &ARGUMENTS) {
        Ok(status) if status.code() == Some(EXIT_CODE) => Trial::Works,
        Ok(status) => Trial::Fails(format!("/{} ends with {status}", shell.display())),
        Err(reason) => Trial::Fails(reason),
    }
}

fn run(program: &Path, arguments: &[&str]) -> Result<ExitStatus, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map_err(|error| error.to_string())
}

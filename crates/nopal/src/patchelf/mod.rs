//! `patchelf`: the flags, outputs, messages and exit codes of NixOS' program of this name, as scripts rely on them. Also
//! `nopal elf patch`.

mod file;
mod flags;
mod shrink;

use crate::error::CliError;
use crate::output;
use file::PatchedFile;
use flags::{Flags, Task};
use nopal_elf::{CacheOutcome, Changes, Editor, ElfError, ExecStack, RunPath};
use nopal_relocate::{FileTree, parts};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

/// The version whose behaviour this has.
const VERSION: &str = "0.19.1";

/// The permissions of a file that is made.
const NEW_MODE: u32 = 0o755;

/// What went wrong, as patchelf tells it; empty if there is nobody to tell.
type Failure = String;

/// Runs it with the words after its name, which is `patchelf` or `nopal elf patch`.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    if words.is_empty() {
        tell(&flags::help());
        return ExitCode::FAILURE;
    }
    match run(words) {
        Ok(()) => ExitCode::SUCCESS,
        // the reader of our output went away: no reason to say anything
        Err(failure) if failure.is_empty() => ExitCode::FAILURE,
        Err(failure) => {
            tell(&format!("patchelf: {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard error.
fn tell(text: &str) {
    // nobody is left to tell if it is closed
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let flags = match flags::parse(words)? {
        Task::Help => {
            tell(&flags::help());
            return Ok(());
        }
        Task::Version => return print(format!("patchelf {VERSION}\n").as_bytes()),
        Task::Patch(flags) => flags,
    };
    flags.files.iter().try_for_each(|file| patch(&flags, Path::new(file)))
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    output::data(bytes).map_err(|error: CliError| match error {
        CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Failure::new(),
        error => error.to_string(),
    })
}

fn print_line(text: &[u8]) -> Result<(), Failure> {
    print(&[text, b"\n"].concat())
}

/// An error of the system, in the form in which C programs tell it.
fn with_cause(what: &str, error: &io::Error) -> Failure {
    format!("{what}: {}", nopal_fs::words(error))
}

fn elf(error: ElfError) -> Failure {
    error.to_string()
}

fn patch(flags: &Flags, path: &Path) -> Result<(), Failure> {
    let file = PatchedFile::open(path)?;
    let editor = Editor::open(&file, flags.options).map_err(elf)?;
    let changes = edit(editor, flags)?;
    changes.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}\n")));
    write(flags, path, file, &changes)
}

/// Prints and changes what the flags say, in the order in which patchelf does.
fn edit(mut editor: Editor<'_>, flags: &Flags) -> Result<Changes, Failure> {
    if flags.print_interpreter {
        print_line(&editor.interpreter().map_err(elf)?)?;
    }
    if flags.print_os_abi {
        print_line(flags::os_abi_name(editor.os_abi()).as_bytes())?;
    }
    if let Some(abi) = flags.os_abi {
        editor.set_os_abi(abi);
    }
    if flags.print_soname
        && let Some(name) = editor.soname().map_err(elf)?.filter(|name| !name.is_empty())
    {
        print_line(&name)?;
    }
    if let Some(name) = &flags.soname {
        editor.set_soname(name).map_err(elf)?;
    }
    if let Some(interpreter) = flags.interpreter.as_ref().filter(|interpreter| !interpreter.is_empty()) {
        editor.set_interpreter(interpreter).map_err(elf)?;
    }
    if flags.print_rpath && !editor.is_debug_information() {
        print_line(&editor.run_path().map_err(elf)?.unwrap_or_default())?;
    }
    if flags.print_exec_stack {
        let shown = match editor.exec_stack() {
            ExecStack::Yes => 'X',
            ExecStack::No => '-',
            ExecStack::Unsaid => '?',
        };
        print_line(format!("execstack: {shown}").as_bytes())?;
    } else if let Some(executable) = flags.exec_stack {
        editor.set_exec_stack(executable);
    }
    change_run_path(&mut editor, flags)?;
    if flags.print_needed {
        editor.needed().map_err(elf)?.iter().try_for_each(|name| print_line(name))?;
    }
    editor.remove_needed(&flags.remove_needed).map_err(elf)?;
    editor.replace_needed(&flags.replace_needed).map_err(elf)?;
    editor.add_needed(&flags.add_needed).map_err(elf)?;
    editor.clear_symbol_versions(&flags.clear_versions).map_err(elf)?;
    if flags.no_default_lib {
        editor.no_default_libraries().map_err(elf)?;
    }
    if flags.add_debug_tag {
        editor.add_debug_tag().map_err(elf)?;
    }
    if flags.build_cache
        && let CacheOutcome::Nothing(reason) = editor.build_cache(&FileTree::of_machine()).map_err(elf)?
    {
        tell(&format!("warning: --build-resolution-cache: {reason}; no cache written\n"));
    }
    if let Some(renames) = &flags.renames {
        editor.rename_symbols(renames).map_err(elf)?;
    }
    editor.finish().map_err(elf)
}

fn change_run_path(editor: &mut Editor<'_>, flags: &Flags) -> Result<(), Failure> {
    if editor.is_debug_information() {
        return Ok(());
    }
    let change = if flags.shrink_rpath {
        match editor.run_path().map_err(elf)? {
            None => return editor.remove_cache().map_err(elf),
            Some(path) => {
                let needed = editor.needed().map_err(elf)?;
                RunPath::Set(shrink::shrink(&path, &needed, editor.machine(), &flags.allowed_prefixes)?)
            }
        }
    } else if flags.remove_rpath {
        RunPath::Remove
    } else if let Some(path) = &flags.set_rpath {
        RunPath::Set(path.clone())
    } else if let Some(path) = &flags.add_rpath {
        RunPath::Add(path.clone())
    } else {
        return Ok(());
    };
    editor.change_run_path(change).map_err(elf)
}

fn write(flags: &Flags, path: &Path, file: PatchedFile, changes: &Changes) -> Result<(), Failure> {
    let parts = parts(changes);
    let result = match &flags.output {
        Some(output) => {
            let output = Path::new(std::ffi::OsStr::from_bytes(output));
            match nopal_fs::metadata(output) {
                // a device, a pipe
                Ok(metadata) if !metadata.is_file() => nopal_fs::patch_stream(path, output, &parts, changes.len),
                // a file that is there keeps its mode, a new one may be executed
                Ok(metadata) => {
                    let mode = metadata.permissions().mode() & 0o7777;
                    nopal_fs::patch_copy(path, output, mode, &parts, changes.len)
                }
                Err(_) => nopal_fs::patch_copy(path, output, NEW_MODE, &parts, changes.len),
            }
        }
        None if parts.is_empty() => return Ok(()),
        None => file.patch(&parts, changes.len),
    };
    result.map_err(|error| with_cause("open", error.io()))
}

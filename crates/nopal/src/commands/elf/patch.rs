//! `nopal elf patch`: what `patchelf` does.

use crate::patchelf;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;

/// Change interpreter, run path, libraries and more of programs and libraries, as patchelf does
///
/// Takes the flags of patchelf 0.19.1, which `nopal elf patch -- --help` lists, prints what it prints, and ends as it ends.
/// A link to this program called `patchelf` does the same.
///
/// What grows gets a place behind the end of the file, and nothing that has an address is moved. If something fails, the
/// file is as it was.
#[derive(Args, Debug)]
pub(crate) struct PatchArgs {
    /// Flags of patchelf, and files
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    words: Vec<OsString>,
}

/// Runs it.
pub(crate) fn run(args: &PatchArgs) -> ExitCode {
    patchelf::main(args.words.clone())
}

//! `nopal pack`

use super::relocate::WhatArgs;
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_fs::TempDir;
use nopal_relocate::{Rung, pack, relocate};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make one file of a program and all it needs
///
/// The file runs on any machine with such a processor and a Linux kernel: nothing has to be installed there, not even a
/// shell. The first time it runs it unpacks itself to a folder of the user, below NOPAL_PACK_DIR, XDG_CACHE_HOME,
/// HOME or another in which programs may be executed; then it becomes the program. The same packages make the same bytes.
///
///     nopal pack deb:hello --out hello.pack && ./hello.pack
#[derive(Args, Debug)]
pub(crate) struct PackArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// File to make; what is there is replaced
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// The program that it is: a name, or a path from the root on. Default: the one of the first package's name
    #[arg(long, short, value_name = "NAME")]
    program: Option<String>,
}

/// Runs it.
pub(crate) fn run(mut context: Context, args: &PackArgs) -> Result<ExitCode, CliError> {
    let out = context.settings.absolute(&args.out);
    let (sources, programs) = args.what.gather(&mut context)?;
    let name = args.program.as_deref().or(args.what.name());
    let name = name
        .ok_or_else(|| CliError::usage_hint("which program the file is to be is not said", "name it by --program"))?;
    let staging = TempDir::new_in(nopal_fs::parent_of(&out), ".packing-")?;
    let tree = staging.path().join("tree");
    relocate(&sources, &programs, Rung::default(), &tree)?;
    let program = match name.strip_prefix('/') {
        Some(path) => PathBuf::from(path),
        None => Path::new("bin").join(name),
    };
    let packed = pack(&tree, &program, &out)?;
    const MEGABYTE: f64 = 1e6;
    output::line(&format!(
        "{}: {:.1} MB, of {:.1} MB",
        args.out.display(),
        packed.bytes as f64 / MEGABYTE,
        packed.contents_bytes as f64 / MEGABYTE
    ))?;
    Ok(ExitCode::SUCCESS)
}

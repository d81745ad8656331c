//! `nopal man`

use crate::cli;
use crate::error::CliError;
use crate::manual;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the manual pages into a folder
///
/// One page for the program and one for each command, in the form that `man` reads.
///
///     nopal man ~/.local/share/man/man1
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Where to write them; the folder is made if it is missing
    folder: PathBuf,
    /// Write the pages as Markdown, as they stand in docs/manual
    #[arg(long, hide = true)]
    markdown: bool,
}

/// Runs it.
pub(crate) fn run(args: &ManArgs) -> Result<ExitCode, CliError> {
    nopal_fs::create_dir_all(&args.folder)?;
    let pages = if args.markdown { manual::markdown(cli::whole()) } else { manual::man(cli::whole())? };
    for page in pages {
        nopal_fs::replace(&args.folder.join(page.name), &page.text)?;
    }
    Ok(ExitCode::SUCCESS)
}

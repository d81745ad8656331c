//! `nopal relocate`

use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::Args;
use nopal_relocate::{Relocation, Source, Verdict, relocate};
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy programs with all they need to a folder that can be moved anywhere
#[derive(Args, Debug)]
pub(crate) struct RelocateArgs {
    /// Folder to make
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Take along a tree, which other files expect where it is: `PATH`, or `PATH=DIR` if it is in DIR now
    #[arg(long, value_name = "PATH[=DIR]", required = true)]
    tree: Vec<String>,
    /// Say of each file what was done, and what stays absolute
    #[arg(long)]
    explain: bool,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &RelocateArgs) -> Result<ExitCode, CliError> {
    let sources = args.tree.iter().map(|tree| {
        let (logical, physical) = tree.split_once('=').unwrap_or((tree, tree));
        Source { logical: logical.into(), physical: context.settings.absolute(physical.as_ref()) }
    });
    let out = context.settings.absolute(&args.out);
    let relocation = relocate(&sources.collect::<Vec<_>>(), &out)?;
    if args.explain {
        for (path, verdict) in &relocation.files {
            output::line(&format!("{}: {}", path.display(), describe(verdict)))?;
        }
    }
    output::line(&summary(&relocation))?;
    Ok(ExitCode::SUCCESS)
}

fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Program { libraries } => format!("program; {libraries} libraries by path"),
        Verdict::Library => "finds its libraries relative to itself".to_owned(),
        Verdict::Script => "script with a relative interpreter".to_owned(),
        Verdict::Link => "relative link".to_owned(),
        Verdict::Stays(reason) => format!("as it was: {reason}"),
        Verdict::Mentions(count) => format!("names the old place {count} times"),
    }
}

fn summary(relocation: &Relocation) -> String {
    let count = |is: fn(&Verdict) -> bool| relocation.files.iter().filter(|(_, verdict)| is(verdict)).count();
    format!(
        "{} programs, {} libraries, {} scripts and {} links run from anywhere; {} files stay as they were, {} name the old place",
        count(|verdict| matches!(verdict, Verdict::Program { .. })),
        count(|verdict| matches!(verdict, Verdict::Library)),
        count(|verdict| matches!(verdict, Verdict::Script)),
        count(|verdict| matches!(verdict, Verdict::Link)),
        count(|verdict| matches!(verdict, Verdict::Stays(_))),
        count(|verdict| matches!(verdict, Verdict::Mentions(_))),
    )
}

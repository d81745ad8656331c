//! `nopal relocate`

use super::installables;
use crate::args::{BuildArgs, DebianArgs, EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use crate::settings::auto_args;
use clap::{Args, ValueEnum};
use nopal_relocate::{Relocation, Rung, Source, Verdict, relocate};
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy programs with all they need to a folder that can be moved anywhere
///
/// What is named comes into the store if it is not there yet. The folder gets it and all it needs, and can then be moved
/// or copied to any place of any machine with such a processor: programs find their loader and libraries from where they
/// are, scripts their interpreters. No namespace, no root, no fixed path is needed to run them.
///
///     nopal relocate deb:hello --out hello && hello/bin/hello
///     nopal relocate -f default.nix -A hello --out hello
///     nopal relocate --tree /opt/app --out app
#[derive(Args, Debug)]
pub(crate) struct RelocateArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// Folder to make
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// How programs find their loader: the first way, from this one on, that will do for each
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    rung: ProgramRung,
    /// Say of each file what was done, and what stays absolute
    #[arg(long)]
    explain: bool,
}

/// Ways for relocated programs to find their loader, the ones that cost less first
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgramRung {
    /// By code that is added to each program
    #[default]
    Relocated,
    /// A launcher opens the loader; all that is changed in a program is the name of that
    FdInterpreter,
    /// A launcher starts the loader; programs stay byte for byte what they were
    ExplicitLoader,
}

impl From<ProgramRung> for Rung {
    fn from(rung: ProgramRung) -> Self {
        match rung {
            ProgramRung::Relocated => Self::Stub,
            ProgramRung::FdInterpreter => Self::FdInterpreter,
            ProgramRung::ExplicitLoader => Self::ExplicitLoader,
        }
    }
}

/// What is relocated
#[derive(Args, Debug)]
pub(crate) struct WhatArgs {
    /// Packages or store paths, such as `deb:hello`
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// Take along a tree, which other files expect where it is: `PATH`, or `PATH=DIR` if it is in DIR now
    #[arg(long, value_name = "PATH[=DIR]")]
    tree: Vec<String>,
    #[command(flatten)]
    eval: EvalArgs,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    debian: DebianArgs,
}

impl WhatArgs {
    /// The name of the first package, without its universe and version.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.packages.first()?.rsplit(['/', ':']).next()?;
        name.split('=').next()
    }

    /// Brings all into the store: trees, and folders of the programs that were asked for.
    pub(super) fn gather(&self, context: &mut Context) -> Result<(Vec<Source>, Vec<PathBuf>), CliError> {
        let mut sources = Vec::new();
        for tree in &self.tree {
            let (logical, physical) = tree.split_once('=').unwrap_or((tree, tree));
            let logical = context.settings.absolute(logical.as_ref());
            sources.push(Source { logical, physical: context.settings.absolute(physical.as_ref()) });
        }
        let names_something =
            !self.packages.is_empty() || self.source.file.is_some() || self.source.expr.is_some() || sources.is_empty();
        if !names_something {
            return Ok((sources, Vec::new()));
        }
        let named = installables::all(&self.source, &self.packages)?;
        context.style.build_logs = self.build.print_build_logs;
        let settings =
            context.settings.clone().with_eval(&self.eval)?.with_build(&self.build)?.with_debian(&self.debian);
        let parcel = settings.open(context.style)?.parcel(&named, &auto_args(&self.eval))?;
        sources.extend(parcel.sources);
        Ok((sources, parcel.programs))
    }
}

/// Runs it.
pub(crate) fn run(mut context: Context, args: &RelocateArgs) -> Result<ExitCode, CliError> {
    let out = context.settings.absolute(&args.out);
    let (sources, programs) = args.what.gather(&mut context)?;
    let relocation = relocate(&sources, &programs, args.rung.into(), &out)?;
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
        Verdict::Program { libraries, .. } => format!("program; {libraries} libraries by path"),
        Verdict::Launched { rung, reason, .. } => {
            let reason = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            format!("program, started by a launcher ({}){reason}", rung.name())
        }
        Verdict::Library => "finds its libraries relative to itself".to_owned(),
        Verdict::Script { .. } => "script with a relative interpreter".to_owned(),
        Verdict::Text => "adapted text".to_owned(),
        Verdict::ByNumber => "names folders by number".to_owned(),
        Verdict::Link => "relative link".to_owned(),
        Verdict::Stays(reason) => format!("as it was: {reason}"),
        Verdict::Mentions(names) => {
            let names = names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>();
            format!("names {}", names.join(" "))
        }
    }
}

fn summary(relocation: &Relocation) -> String {
    let count = |is: fn(&Verdict) -> bool| relocation.files.iter().filter(|(_, verdict)| is(verdict)).count();
    format!(
        "{} programs, {} libraries, {} scripts and {} links run from anywhere; {} files stay as they were, {} name the old place",
        count(|verdict| matches!(verdict, Verdict::Program { .. } | Verdict::Launched { .. })),
        count(|verdict| matches!(verdict, Verdict::Library)),
        count(|verdict| matches!(verdict, Verdict::Script { .. })),
        count(|verdict| matches!(verdict, Verdict::Link)),
        count(|verdict| matches!(verdict, Verdict::Stays(_))),
        count(|verdict| matches!(verdict, Verdict::Mentions(_))),
    )
}

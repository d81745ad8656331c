//! `nopal run`

use super::installables;
use crate::args::{BuildArgs, DebianArgs, EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::settings::auto_args;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;

/// Run a program of a package
///
/// The package and all it needs come into the store if they are not there yet; then the program takes the place of
/// this one, in a namespace that shows it the store and, for packages of a distribution, their tree at `/usr`. It has
/// the terminal, the working directory, the home and the network of its caller; its exit code is the caller's.
///
///     nopal run deb:hello
///     nopal run deb:python3 -- -c 'print(1)'
///     nopal run -f default.nix -A hello -- --greeting hi
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The package or store path, such as `deb:hello`
    #[arg(value_name = "PACKAGE")]
    package: Option<String>,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
    #[command(flatten)]
    source: SourceArgs,
    /// Run this program of the package; default: the one of the package's name, or its only one
    #[arg(long, short, value_name = "NAME")]
    program: Option<String>,
    /// Show the program this package, too; repeat it for more
    #[arg(long, value_name = "PACKAGE")]
    with: Vec<String>,
    #[command(flatten)]
    eval: EvalArgs,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    debian: DebianArgs,
}

/// Runs it. Returns only on failure: the program takes this one's place.
pub(crate) fn run(mut context: Context, args: RunArgs) -> Result<ExitCode, CliError> {
    let words: Vec<String> = args.package.iter().cloned().collect();
    let mut named = installables::all(&args.source, &words)?;
    if named.len() > 1 {
        return Err(CliError::usage_hint("more than one thing to run is named", "name one; show it others by --with"));
    }
    let what = named.remove(0);
    let with = args.with.iter().map(|word| nopal_engine::Installable::parse(word)).collect::<Result<Vec<_>, _>>()?;
    context.style.build_logs = args.build.print_build_logs;
    let settings = context.settings.with_eval(&args.eval)?.with_build(&args.build)?.with_debian(&args.debian);
    let engine = settings.open(context.style)?;
    let plan = engine.prepare_run(&what, &with, &auto_args(&args.eval), args.program.as_deref())?;
    let never = engine.run(plan, args.arguments)?;
    match never {}
}

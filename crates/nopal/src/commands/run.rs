//! `nopal run`

use super::installables;
use crate::args::{BuildArgs, DebianArgs, EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use crate::settings::auto_args;
use clap::{Args, ValueEnum};
use nopal_engine::{Engine, Relocated, RunPlan};
use nopal_relocate::{Assessment, Rung as ProgramRung};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run a program of a package
///
/// The package and all it needs come into the store if they are not there yet; then the program takes the place of
/// this one. It has the terminal, the working directory, the home and the network of its caller; its exit code is the
/// caller's.
///
/// Programs of a distribution run from a relocated copy of their tree, which is kept in the cache, if all that they and
/// their libraries name is found from there; else, as programs of the store do, in a namespace that shows them the store
/// and their tree at `/usr`.
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
    /// How to run it
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    rung: Rung,
    /// Say how it would be run, and why, and do not run it
    #[arg(long)]
    explain: bool,
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
    let choice = choose(args.rung, &engine, &plan)?;
    if args.explain {
        output::line(&choice.why)?;
        return Ok(ExitCode::SUCCESS);
    }
    let never = match choice.relocated {
        Some(relocated) => engine.run_relocated(&plan, &relocated, args.arguments)?,
        None => engine.run(plan, args.arguments)?,
    };
    match never {}
}

/// Ways to run a program that expects its files at places of its own, the ones that cost less first
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Rung {
    /// The first one that will do
    #[default]
    Auto,
    /// From a relocated copy of its tree, by code that is added to programs: needs nothing of the machine
    Relocated,
    /// Likewise, by a launcher that opens the loader; programs name its number as their interpreter
    FdInterpreter,
    /// Likewise, by a launcher that starts the loader; programs stay what they were
    ExplicitLoader,
    /// In a namespace that shows it the tree where it expects it
    Namespace,
}

impl Rung {
    /// The first way for programs of a relocated tree to find their loader that may be taken.
    fn of_programs(self) -> ProgramRung {
        match self {
            Self::FdInterpreter => ProgramRung::FdInterpreter,
            Self::ExplicitLoader => ProgramRung::ExplicitLoader,
            Self::Auto | Self::Relocated | Self::Namespace => ProgramRung::Stub,
        }
    }
}

/// What a way costs, and what goes wrong by it.
fn price(rung: ProgramRung) -> &'static [&'static str] {
    match rung {
        ProgramRung::Stub => &[],
        ProgramRung::FdInterpreter => &[
            "a launcher opens its loader and starts it: one start more, and /proc has to be mounted",
            "it starts itself by /proc/self/exe as long as it leaves the number of its loader open",
        ],
        ProgramRung::ExplicitLoader => &[
            "a launcher starts its loader, which starts it: one start more",
            "/proc/self/exe is the loader: by that it neither starts itself nor finds files beside itself",
        ],
    }
}

/// How a program is run, and why so.
struct Choice {
    /// From here; in a namespace if from nowhere.
    relocated: Option<Relocated>,
    why: String,
}

impl Choice {
    fn namespace(why: &str) -> Self {
        Self { relocated: None, why: format!("namespace: {why}") }
    }

    fn relocated(relocated: Relocated, why: &str) -> Self {
        let Assessment { rung, refusal, .. } = &relocated.assessment;
        let mut text = format!("{}: {why}", rung.name());
        let refusal = refusal.as_ref().map(|reason| format!("nothing can be added to the program: {reason}"));
        let lines = refusal.iter().map(String::as_str).chain(price(*rung).iter().copied());
        let root = relocated.root.display().to_string();
        for line in lines.chain([&root[..]]) {
            text.push_str(&format!("\n  {line}"));
        }
        Self { why: text, relocated: Some(relocated) }
    }
}

/// The shell that libc starts, wherever it is itself.
const SHELL: &str = "/bin/sh";

/// So many doubts are told.
const MAX_DOUBTS: usize = 8;

fn choose(rung: Rung, engine: &Engine, plan: &RunPlan) -> Result<Choice, CliError> {
    if rung == Rung::Namespace {
        return Ok(Choice::namespace("it was asked for"));
    }
    let is_of_store = plan.tree.as_ref() != Some(&plan.store_path);
    if rung == Rung::Auto && is_of_store {
        if plan.tree.is_none() && engine.store_is_in_place()? {
            return Ok(Choice {
                relocated: None,
                why: "in place: the store is where its programs expect it".to_owned(),
            });
        }
        if nopal_build::probe::user_namespaces_work() {
            return Ok(Choice::namespace(
                "the program expects the store at its place, where it can be shown without a copy",
            ));
        }
    }
    let mut relocated = engine.relocated(plan, rung.of_programs())?;
    if !nopal_fs::exists(Path::new(SHELL)) {
        let doubt = format!("{SHELL}, if it starts commands: this machine has none");
        relocated.assessment.doubts.push((plan.program.clone(), doubt));
    }
    let told = tell(&relocated.assessment.doubts);
    Ok(match (rung, told) {
        (Rung::Auto, None) => Choice::relocated(relocated, "it names nothing that is elsewhere"),
        (Rung::Auto, Some(told)) if nopal_build::probe::user_namespaces_work() => {
            Choice::namespace(&format!("relocated it might not find{told}"))
        }
        (Rung::Auto, Some(told)) => {
            Choice::relocated(relocated, &format!("there are no user namespaces, though it may not find{told}"))
        }
        (_, None) => Choice::relocated(relocated, "it was asked for; it names nothing that is elsewhere"),
        (_, Some(told)) => Choice::relocated(relocated, &format!("it was asked for, though it may not find{told}")),
    })
}

/// The first doubts, a line each; nothing if there are none.
fn tell(doubts: &[(PathBuf, String)]) -> Option<String> {
    let mut told = doubts.iter().take(MAX_DOUBTS).fold(String::new(), |mut told, (file, doubt)| {
        told.push_str(&format!("\n  {}: {doubt}", file.display()));
        told
    });
    if doubts.len() > MAX_DOUBTS {
        told.push_str(&format!("\n  and {} more", doubts.len() - MAX_DOUBTS));
    }
    (!told.is_empty()).then_some(told)
}

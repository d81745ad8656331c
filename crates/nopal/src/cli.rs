//! The command line: the program, its commands, and what they share.

use crate::args::{Colour, GlobalArgs};
use crate::commands::{
    build, completions, derivation, doctor, elf, eval, flake, import, instantiate, log, man, pack, relocate, repl, run,
    store, wrap,
};
use crate::error::CliError;
use crate::settings::Settings;
use crate::{env_vars, ui};
use clap::{Args as _, FromArgMatches as _, Parser, Subcommand};
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Build software and run it: without root, without a fixed prefix, without a server
///
/// A package is named by where it comes from: `deb:hello` is Debian's hello; `-f FILE -A attr` is an attribute of a
/// Nix expression; a path below the store directory is itself.
#[derive(Debug, Parser)]
#[command(name = "nopal", bin_name = "nopal", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Build(build::BuildCommandArgs),
    Eval(eval::EvalCommandArgs),
    Flake(flake::FlakeArgs),
    Repl(repl::ReplArgs),
    Instantiate(instantiate::InstantiateArgs),
    Derivation(derivation::DerivationArgs),
    Store(store::StoreArgs),
    Elf(elf::ElfArgs),
    Relocate(relocate::RelocateArgs),
    Pack(pack::PackArgs),
    Wrap(wrap::WrapArgs),
    Import(import::ImportArgs),
    Log(log::LogArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// What every command gets: settings from the environment and the flags that all commands have.
#[derive(Debug)]
pub(crate) struct Context {
    /// Settings so far; a command adds its own flags.
    pub(crate) settings: Settings,
    /// How to tell what happens.
    pub(crate) style: ui::Style,
}

impl Context {
    /// Puts environment and global flags together.
    pub(crate) fn new(global: &GlobalArgs) -> Result<Self, CliError> {
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => ui::Verbosity::Quiet,
            (false, 0) => ui::Verbosity::Usual,
            (false, _) => ui::Verbosity::Verbose,
        };
        let style =
            ui::Style { verbosity, build_logs: false, colour: has_colour(global.color), manner: ui::Manner::Ours };
        Ok(Self { settings: Settings::from_environment(global)?, style })
    }
}

/// Whether stderr may have colour.
fn has_colour(wish: Colour) -> bool {
    match wish {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => env_vars::NO_COLOR.get().is_none() && std::io::stderr().is_terminal(),
    }
}

/// Runs the command line of `nopal`.
pub(crate) fn main() -> Result<ExitCode, CliError> {
    if std::env::args_os().nth(1).is_some_and(|word| word == "wrap") {
        return wrap::run(wrap_args());
    }
    let cli = Cli::parse();
    let context = Context::new(&cli.global)?;
    match cli.command {
        Command::Run(args) => run::run(context, args),
        Command::Build(args) => build::run(context, args),
        Command::Eval(args) => eval::run(context, args),
        Command::Flake(args) => flake::run(cli.global, args),
        Command::Repl(args) => repl::run(context, args),
        Command::Instantiate(args) => instantiate::run(context, args),
        Command::Derivation(args) => derivation::run(context, args),
        Command::Store(args) => store::run(context, args),
        Command::Elf(args) => elf::run(&context, &args),
        Command::Pack(args) => pack::run(context, &args),
        Command::Relocate(args) => relocate::run(context, &args),
        Command::Wrap(args) => wrap::run(args),
        Command::Import(args) => import::run(context, args),
        Command::Log(args) => log::run(context, &args),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// The flags of `nopal wrap`, without those of all other commands: builds call it by the hundreds, and to set up all takes
/// as long as to make a wrapper.
fn wrap_args() -> wrap::WrapArgs {
    let command = clap::Command::new("nopal wrap").bin_name("nopal wrap").max_term_width(100);
    let command = wrap::WrapArgs::augment_args(command);
    let about = command.get_about().cloned().unwrap_or_default();
    let long_about = command.get_long_about().cloned().unwrap_or_default();
    // which would make their own description that of the command
    let command = GlobalArgs::augment_args(command).about(about).long_about(long_about);
    let matches = command.get_matches_from(std::env::args_os().skip(1));
    wrap::WrapArgs::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

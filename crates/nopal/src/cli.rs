//! The command line: the program, its commands, and what they share.

use crate::args::{Colour, GlobalArgs};
use crate::commands::{
    build, completions, derivation, doctor, elf, eval, flake, import, instantiate, log, man, pack, relocate, repl, run,
    store, wrap,
};
use crate::error::CliError;
use crate::settings::Settings;
use crate::{env_vars, ui};
use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Build software and run it: without root, without a fixed prefix, without a server
///
/// A package is named by where it comes from: `deb:hello` is Debian's hello; `-f FILE -A attr` is an attribute of a
/// Nix expression; a path below the store directory is itself.
#[derive(Debug, Parser)]
#[command(name = "nopal", bin_name = "nopal", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(arg_required_else_help = true, subcommand_required = true)]
struct Program {
    #[command(flatten)]
    global: GlobalArgs,
}

/// Defines the commands, all together and each by itself.
macro_rules! commands {
    ($($name:literal = $variant:ident($args:ty),)*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $(#[command(name = $name)] $variant($args),)*
        }

        impl Command {
            /// One command and its flags.
            fn alone(name: &OsStr) -> Option<clap::Command> {
                match name.to_str()? {
                    $($name => Some(<$args>::augment_args(clap::Command::new($name))),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    "run" = Run(run::RunArgs),
    "build" = Build(build::BuildCommandArgs),
    "eval" = Eval(eval::EvalCommandArgs),
    "flake" = Flake(flake::FlakeArgs),
    "repl" = Repl(repl::ReplArgs),
    "instantiate" = Instantiate(instantiate::InstantiateArgs),
    "derivation" = Derivation(derivation::DerivationArgs),
    "store" = Store(store::StoreArgs),
    "elf" = Elf(elf::ElfArgs),
    "relocate" = Relocate(relocate::RelocateArgs),
    "pack" = Pack(pack::PackArgs),
    "wrap" = Wrap(wrap::WrapArgs),
    "import" = Import(import::ImportArgs),
    "log" = Log(log::LogArgs),
    "doctor" = Doctor(doctor::DoctorArgs),
    "completions" = Completions(completions::CompletionsArgs),
    "man" = Man(man::ManArgs),
}

/// All commands and their flags.
pub(crate) fn whole() -> clap::Command {
    Command::augment_subcommands(Program::command())
}

/// What the first word needs: to set up all commands takes longer than many of them run.
fn needed(first: &OsStr) -> clap::Command {
    match Command::alone(first) {
        Some(command) => Program::command().subcommand(command),
        None => whole(),
    }
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
    let matches = needed(&std::env::args_os().nth(1).unwrap_or_default()).get_matches();
    let (global, command) = match (Program::from_arg_matches(&matches), Command::from_arg_matches(&matches)) {
        (Ok(program), Ok(command)) => (program.global, command),
        (Err(error), _) | (_, Err(error)) => error.exit(),
    };
    let context = || Context::new(&global);
    match command {
        Command::Run(args) => run::run(context()?, args),
        Command::Build(args) => build::run(context()?, args),
        Command::Eval(args) => eval::run(context()?, args),
        Command::Flake(args) => flake::run(global, args),
        Command::Repl(args) => repl::run(context()?, args),
        Command::Instantiate(args) => instantiate::run(context()?, args),
        Command::Derivation(args) => derivation::run(context()?, args),
        Command::Store(args) => store::run(context()?, args),
        Command::Elf(args) => elf::run(&context()?, &args),
        Command::Pack(args) => pack::run(context()?, &args),
        Command::Relocate(args) => relocate::run(context()?, &args),
        Command::Wrap(args) => wrap::run(args),
        Command::Import(args) => import::run(context()?, args),
        Command::Log(args) => log::run(context()?, &args),
        Command::Doctor(args) => doctor::run(context()?, &args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_the_same_by_itself() {
        let help = |mut grammar: clap::Command| {
            grammar.build();
            let help =
                |command: &mut clap::Command| (command.get_name().to_owned(), command.render_long_help().to_string());
            grammar.get_subcommands_mut().map(help).collect::<Vec<_>>()
        };
        for (name, text) in help(whole()) {
            assert_eq!(help(needed(name.as_ref())), [(name, text)]);
        }
    }
}

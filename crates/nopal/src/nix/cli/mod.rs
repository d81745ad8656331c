//! The command line of `nix`: commands within commands, each a table of its flags and arguments.
//!
//! A command says what it takes; parsing, unknown flags, completion and help follow from that in one place.

mod complete;
mod flags;
mod help;
mod line;
mod parse;

pub(crate) use flags::*;
pub(crate) use help::text as help_text;
pub(crate) use line::Line;
pub(crate) use parse::{Outcome, parse};

use crate::error::CliError;
use std::process::ExitCode;

/// A flag.
#[derive(Debug)]
pub(crate) struct Flag {
    /// Its name without the two dashes.
    pub(crate) long: &'static str,
    /// Its letter.
    pub(crate) short: Option<char>,
    /// Other names.
    pub(crate) aliases: &'static [&'static str],
    /// What its values are called: as many as it takes.
    pub(crate) labels: &'static [&'static str],
    /// What all words after it are called, if it takes them all.
    pub(crate) rest: Option<&'static str>,
    /// What it does.
    pub(crate) about: &'static str,
    /// How its last value is completed.
    pub(crate) complete: Complete,
    /// How its first value is completed, if it has several and that is another way.
    pub(crate) first: Option<Complete>,
}

impl Flag {
    /// A flag without value.
    pub(crate) const fn new(long: &'static str, about: &'static str) -> Self {
        Self {
            long,
            short: None,
            aliases: &[],
            labels: &[],
            rest: None,
            about,
            complete: Complete::Nothing,
            first: None,
        }
    }

    /// With a letter.
    pub(crate) const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// With values.
    pub(crate) const fn takes(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// With all words that follow, up to the end of the line.
    pub(crate) const fn takes_all(self, label: &'static str) -> Self {
        Self { rest: Some(label), ..self }
    }

    /// With other names.
    pub(crate) const fn also(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// With a way to complete the first of its values.
    pub(crate) const fn first(self, complete: Complete) -> Self {
        Self { first: Some(complete), ..self }
    }

    /// With a way to complete its value.
    pub(crate) const fn completed(self, complete: Complete) -> Self {
        Self { complete, ..self }
    }
}

/// What a word on the command line is completed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    /// To nothing.
    Nothing,
    /// To names of files.
    Path,
    /// To names of folders.
    Folder,
    /// To attributes of the file or expression, or of a flake.
    Installable,
    /// To flakes.
    FlakeRef,
    /// To the inputs of the flake.
    FlakeInput,
    /// To settings.
    Setting,
    /// To names of hash algorithms.
    HashAlgorithm,
    /// To forms of hashes.
    HashFormat,
}

/// Arguments that are no flags.
#[derive(Debug)]
pub(crate) struct Arg {
    /// What they are called.
    pub(crate) label: &'static str,
    /// Whether it is one, or all that are left.
    pub(crate) many: bool,
    /// Whether it may be left out.
    pub(crate) optional: bool,
    /// How it is completed.
    pub(crate) complete: Complete,
}

impl Arg {
    /// One that must be there.
    pub(crate) const fn one(label: &'static str, complete: Complete) -> Self {
        Self { label, many: false, optional: false, complete }
    }

    /// One that may be left out.
    pub(crate) const fn optional(label: &'static str, complete: Complete) -> Self {
        Self { label, many: false, optional: true, complete }
    }

    /// All that are left, perhaps none.
    pub(crate) const fn rest(label: &'static str, complete: Complete) -> Self {
        Self { label, many: true, optional: true, complete }
    }
}

/// A command of `nix`.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// The experimental feature that it needs.
    pub(crate) feature: Option<&'static str>,
    /// Groups of flags.
    pub(crate) flags: &'static [&'static [Flag]],
    /// Arguments.
    pub(crate) args: &'static [Arg],
    /// What it does.
    pub(crate) action: Action,
}

/// What a command does.
#[derive(Debug)]
pub(crate) enum Action {
    /// It has commands of its own.
    Group(&'static [Command]),
    /// It runs.
    Run(fn(Line) -> Result<ExitCode, CliError>),
}

impl Command {
    /// A command behind the feature `nix-command`.
    pub(crate) const fn new(
        name: &'static str,
        about: &'static str,
        flags: &'static [&'static [Flag]],
        args: &'static [Arg],
        run: fn(Line) -> Result<ExitCode, CliError>,
    ) -> Self {
        Self { name, about, feature: Some("nix-command"), flags, args, action: Action::Run(run) }
    }

    /// A command of commands.
    pub(crate) const fn group(name: &'static str, about: &'static str, commands: &'static [Command]) -> Self {
        Self { name, about, feature: Some("nix-command"), flags: &[], args: &[], action: Action::Group(commands) }
    }

    /// Behind another feature, or none.
    pub(crate) const fn behind(self, feature: Option<&'static str>) -> Self {
        Self { feature, ..self }
    }

    /// The flag that a word names, in the long form with two dashes or the short one with one.
    pub(crate) fn flag(&self, word: &str) -> Option<&'static Flag> {
        let all = self.flags.iter().flat_map(|group| group.iter());
        all.into_iter().find(|flag| flag.is(word))
    }

    /// The commands in it.
    pub(crate) fn commands(&self) -> &'static [Command] {
        match self.action {
            Action::Group(commands) => commands,
            Action::Run(_) => &[],
        }
    }
}

impl Flag {
    /// Whether a word of the command line is this flag.
    fn is(&self, word: &str) -> bool {
        match word.strip_prefix("--") {
            Some(long) => self.long == long || self.aliases.contains(&long),
            None => self.short.is_some_and(|short| word.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
        }
    }
}

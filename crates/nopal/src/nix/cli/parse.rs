//! From words to a command with its flags and arguments.

use super::complete::{Cursor, completions};
use super::{Action, Arg, Command, GLOBAL, Line};
use crate::error::CliError;
use crate::nix::flags::{Word, Words, missing_values};
use nopal_engine::suggest;
use std::ffi::OsString;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Run a command.
    Run(&'static Command, Line),
    /// Show what the command takes.
    Help(Vec<&'static Command>, Line),
    /// Show the version.
    Version,
    /// Print completions: lines.
    Completions(Vec<String>),
}

/// An alias: one word for a command, and whether it is no longer to be used.
pub(crate) type Alias = (&'static str, &'static [&'static str], bool);

/// The state of parsing.
struct Parser {
    words: Words,
    line: Line,
    /// The commands named so far, the program first.
    path: Vec<&'static Command>,
    aliases: &'static [Alias],
    alias_used: bool,
    /// Arguments that wait for the end, since all that are left belong together.
    rest: Vec<String>,
    /// How many of the command's arguments are filled.
    filled: usize,
    help: bool,
    version: bool,
    cursor: Option<Cursor>,
}

/// Parses the words after the program's name. `complete` is the number of the word that is to be completed, from 1.
pub(crate) fn parse(
    root: &'static Command,
    aliases: &'static [Alias],
    mut words: Vec<OsString>,
    complete: Option<usize>,
) -> Result<Outcome, CliError> {
    let cursor = complete.and_then(|number| Cursor::mark(&mut words, number));
    let mut parser = Parser {
        words: Words::new(words),
        line: Line::default(),
        path: vec![root],
        aliases,
        alias_used: false,
        rest: Vec::new(),
        filled: 0,
        help: false,
        version: false,
        cursor,
    };
    let parsed = parser.run();
    if let Some(cursor) = parser.cursor.take() {
        let rest = std::mem::take(&mut parser.rest);
        parser.line.args.extend(rest);
        parser.line.args.retain(|word| !cursor.is_at(word));
        return Ok(Outcome::Completions(completions(cursor, &parser.path, parser.line)));
    }
    if parser.help {
        return Ok(Outcome::Help(parser.path, parser.line));
    }
    parsed?;
    if parser.version {
        return Ok(Outcome::Version);
    }
    match parser.path[..] {
        [_] => Err(CliError::usage("no subcommand specified")),
        [.., last] => {
            parser.line.commands = parser.path[1..].iter().map(|command| command.name).collect();
            Ok(Outcome::Run(last, parser.line))
        }
        [] => Err(CliError::usage("no subcommand specified")),
    }
}

impl Parser {
    fn run(&mut self) -> Result<(), CliError> {
        while let Some(word) = self.words.next()? {
            match word {
                Word::Flag(word) => self.flag(&word)?,
                Word::Operand(word) => self.operand(word)?,
            }
        }
        if let Some(Action::Group(commands)) = self.path.last().map(|command| &command.action)
            && self.path.len() > 1
        {
            return Err(needs_a_command(&self.path, commands));
        }
        let command = self.command();
        if command.args.get(self.filled).is_some_and(|arg| arg.many) {
            self.line.args.append(&mut self.rest);
            self.filled += 1;
        }
        match command.args.get(self.filled) {
            Some(Arg { optional: false, .. }) => Err(CliError::usage("more arguments are required")),
            _ => Ok(()),
        }
    }

    fn command(&self) -> &'static Command {
        self.path[self.path.len() - 1]
    }

    fn flag(&mut self, word: &str) -> Result<(), CliError> {
        if let Some(cursor) = &mut self.cursor
            && cursor.is_at(word)
        {
            cursor.flag(word);
            return Err(unknown(word));
        }
        let global = GLOBAL.iter().find(|flag| flag.is(word));
        let own = || self.path.iter().find_map(|command| command.flag(word));
        let Some(flag) = global.or_else(own) else {
            // settings are flags of the program
            return if self.line.common.take_setting(word, &mut self.words)? { Ok(()) } else { Err(unknown(word)) };
        };
        let mut values = Vec::with_capacity(flag.labels.len());
        for number in 0..flag.labels.len() {
            let value = match self.words.value(word) {
                Ok(value) => value,
                Err(_) if self.cursor.as_ref().is_some_and(Cursor::is_set) => break,
                Err(_) => return Err(missing_values(word, flag.labels.len(), number)),
            };
            if let Some(cursor) = &mut self.cursor
                && cursor.is_at(&value)
            {
                // the first of two values is completed in its own way
                let first = flag.first.filter(|_| number == 0);
                cursor.value(&value, first.unwrap_or(flag.complete), number);
            }
            values.push(value);
        }
        if flag.rest.is_some() {
            values = self.words.take_rest()?;
        }
        if self.cursor.as_ref().is_some_and(|cursor| values.iter().any(|value| cursor.is_at(value))) {
            return Ok(());
        }
        match flag.long {
            "help" => self.help = true,
            "version" => self.version = true,
            long => self.line.take(long, values)?,
        }
        Ok(())
    }

    fn operand(&mut self, word: String) -> Result<(), CliError> {
        if let Action::Group(commands) = self.command().action {
            if let Some(cursor) = &mut self.cursor
                && cursor.is_at(&word)
            {
                cursor.command(&word, commands);
                return Ok(());
            }
            return self.subcommand(&word, commands);
        }
        let Some(arg) = self.command().args.get(self.filled) else {
            return Err(CliError::usage(format!("unexpected argument '{word}'")));
        };
        if let Some(cursor) = &mut self.cursor
            && cursor.is_at(&word)
        {
            cursor.value(&word, arg.complete, self.rest.len());
        }
        if arg.many {
            self.rest.push(word);
        } else {
            self.line.args.push(word);
            self.filled += 1;
        }
        Ok(())
    }

    fn subcommand(&mut self, word: &str, commands: &'static [Command]) -> Result<(), CliError> {
        let names: Vec<&str> = self.path[1..].iter().map(|command| command.name).chain([word]).collect();
        let full = names.join(" ");
        if !self.alias_used
            && let Some((_, replacement, deprecated)) = self.aliases.iter().find(|(name, ..)| *name == full)
        {
            self.alias_used = true;
            if *deprecated && self.cursor.is_none() {
                let text = format!("'{word}' is a deprecated alias for '{}'", replacement.join(" "));
                self.line.common.warn(text);
            }
            self.words.put_back(replacement);
            return Ok(());
        }
        let Some(command) = commands.iter().find(|command| command.name == word) else {
            let known = commands.iter().map(|command| command.name.as_bytes());
            let near = suggest::best(word.as_bytes(), known);
            let mut message = format!("'{word}' is not a recognised command");
            if !near.is_empty() {
                message += &format!("\nDid you mean {}?", String::from_utf8_lossy(&suggest::phrase(&near)));
            }
            return Err(CliError::usage(message));
        };
        self.path.push(command);
        Ok(())
    }
}

fn unknown(word: &str) -> CliError {
    CliError::usage(format!("unrecognised flag '{word}'"))
}

fn needs_a_command(path: &[&'static Command], commands: &[Command]) -> CliError {
    let names: Vec<&str> = path.iter().map(|command| command.name).collect();
    let mut known: Vec<&str> = commands.iter().map(|command| command.name).collect();
    // a name comes after those that go on from it with a dash
    known.sort_unstable_by_key(|name| format!("{name}~"));
    let list: String = known.iter().map(|name| format!("\n  · {name}")).collect();
    CliError::usage(format!("{} requires a sub-command. Available sub-commands:\n{list}", names.join(" ")))
}

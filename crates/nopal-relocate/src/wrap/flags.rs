//! The flags of makeWrapper and makeBinaryWrapper.
//!
//! Both have the same flags, but for a few that only makeWrapper has, and mean other things by some: see [`Manner`].

use super::record;
use super::shell::{Script, ScriptError};
use super::text::{Beyond, Text};
use super::{Join, JoinKind, Launch, Piece, Step};
use nopal_fs::FsError;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Which of the two is followed where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// makeWrapper, whose wrappers are scripts of bash. The values of `--prefix` and `--suffix` are lists, added element by
    /// element. The text of `--add-flags` and `--append-flags` is what bash would read, and that of `--argv0` what it would
    /// read between double quotes. `--inherit-argv0` is the path that was started.
    #[default]
    Shell,
    /// makeBinaryWrapper, whose wrappers are compiled C. Values are added as a whole. Flags are divided at spaces. Names
    /// are taken as they are.
    Binary,
}

/// How flags are to be read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// As which of the two.
    pub manner: Manner,
    /// Whether the values of variables, and folders, are texts with variables in them too.
    pub expands_values: bool,
    /// The bash for what needs one.
    pub shell: Option<PathBuf>,
}

/// Why flags make no wrapper.
#[derive(Debug, Error)]
pub enum FlagError {
    /// Neither of the two has it.
    #[error("there is no flag {0} for wrappers")]
    Unknown(String),
    /// Too few values follow.
    #[error("{flag} takes {}: {values}", count(.values))]
    Arity {
        /// The flag.
        flag: &'static str,
        /// What it takes.
        values: &'static str,
    },
    /// No variable can have that name.
    #[error("{flag} is given '{name}' for a variable, whose name is not empty and has no =")]
    Name {
        /// The flag.
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// It cannot be done without a shell.
    #[error("{flag} is given '{text}', where {beyond}")]
    Beyond {
        /// The flag.
        flag: &'static str,
        /// Its value.
        text: String,
        /// What needs a shell.
        beyond: Beyond,
    },
    /// A file whose contents are wanted cannot be read.
    #[error("{flag} wants what is in a file")]
    Contents {
        /// The flag.
        flag: &'static str,
        /// Why not.
        #[source]
        source: FsError,
    },
    /// What is left to the shell cannot be said to it.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

impl FlagError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Beyond { .. } => {
                Some("name a bash by --shell PATH in front of the flags, or quote what is not meant for it")
            }
            Self::Unknown(_) => Some("our own flags stand in front of the program"),
            _ => None,
        }
    }
}

fn count(values: &str) -> String {
    match values.split(' ').count() {
        1 => "a value".to_owned(),
        count => format!("{count} values"),
    }
}

/// A flag, and what it takes.
const FLAGS: &[(&str, &str)] = &[
    ("--set", "VAR VALUE"),
    ("--set-default", "VAR VALUE"),
    ("--unset", "VAR"),
    ("--prefix", "VAR SEPARATOR VALUE"),
    ("--suffix", "VAR SEPARATOR VALUE"),
    ("--prefix-each", "VAR SEPARATOR VALUES"),
    ("--suffix-each", "VAR SEPARATOR VALUES"),
    ("--prefix-contents", "VAR SEPARATOR FILES"),
    ("--suffix-contents", "VAR SEPARATOR FILES"),
    ("--chdir", "DIRECTORY"),
    ("--run", "COMMAND"),
    ("--add-flag", "FLAG"),
    ("--append-flag", "FLAG"),
    ("--add-flags", "FLAGS"),
    ("--append-flags", "FLAGS"),
    ("--argv0", "NAME"),
    ("--inherit-argv0", ""),
    ("--resolve-argv0", ""),
];

/// A flag with its values.
pub(super) struct Flag<'a> {
    pub(super) name: &'static str,
    pub(super) values: &'a [Vec<u8>],
}

/// Divides a command line into flags.
fn divide<'a>(words: &'a [Vec<u8>]) -> Result<Vec<Flag<'a>>, FlagError> {
    let mut flags = Vec::new();
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first() {
        let (name, takes) = FLAGS
            .iter()
            .find(|(name, _)| name.as_bytes() == word)
            .ok_or_else(|| FlagError::Unknown(String::from_utf8_lossy(word).into_owned()))?;
        let arity = takes.split_terminator(' ').count();
        let (values, behind) = behind.split_at_checked(arity).ok_or(FlagError::Arity { flag: name, values: takes })?;
        flags.push(Flag { name, values });
        rest = behind;
    }
    Ok(flags)
}

/// What flags make of the start of a target.
///
/// # Errors
/// They are no flags for wrappers, or need a shell and there is none.
pub fn parse(target: Text, words: &[Vec<u8>], options: &Options) -> Result<Launch, FlagError> {
    let flags = divide(words)?;
    let mut reader = Reader {
        options,
        launch: Launch { name: Text(vec![Piece::Target]), target, ..Launch::default() },
        script: Script::default(),
    };
    for flag in &flags {
        reader.read(flag)?;
    }
    reader.launch.record = record::of(&reader.launch.target, &flags, options.manner);
    reader.finish()
}

struct Reader<'a> {
    options: &'a Options,
    launch: Launch,
    script: Script,
}

impl Reader<'_> {
    fn read(&mut self, flag: &Flag<'_>) -> Result<(), FlagError> {
        let name = flag.name;
        match (name, flag.values) {
            ("--set", [variable, value]) => {
                let step = Step::Set(valid(name, variable)?, self.value(name, value)?);
                self.step(step)
            }
            ("--set-default", [variable, value]) => {
                let step = Step::SetDefault(valid(name, variable)?, self.value(name, value)?);
                self.step(step)
            }
            ("--unset", [variable]) => self.step(Step::Unset(valid(name, variable)?)),
            ("--prefix" | "--suffix", [variable, separator, value]) => {
                self.join(name, &valid(name, variable)?, separator, value)
            }
            ("--prefix-each" | "--suffix-each", [variable, separator, values]) => {
                let variable = valid(name, variable)?;
                words(values).try_for_each(|value| self.join(name, &variable, separator, value))
            }
            ("--prefix-contents" | "--suffix-contents", [variable, separator, files]) => {
                let variable = valid(name, variable)?;
                words(files).try_for_each(|file| {
                    let value = contents(name, file)?;
                    self.join(name, &variable, separator, &value)
                })
            }
            ("--chdir", [directory]) => {
                let step = Step::ChangeDirectory(self.value(name, directory)?);
                self.step(step)
            }
            ("--run", [command]) => {
                self.script.run(command);
                Ok(())
            }
            ("--add-flag", [flag]) => {
                add(&mut self.launch.before, Text::literal(flag.clone()));
                self.script.before(&record::quote(flag));
                Ok(())
            }
            ("--append-flag", [flag]) => {
                add(&mut self.launch.after, Text::literal(flag.clone()));
                self.script.after(&record::quote(flag));
                Ok(())
            }
            ("--add-flags", [flags]) => {
                let text = self.flags(name, flags)?;
                self.script.before(&self.flags_for_bash(flags, &text));
                add(&mut self.launch.before, text);
                Ok(())
            }
            ("--append-flags", [flags]) => {
                let text = self.flags(name, flags)?;
                self.script.after(&self.flags_for_bash(flags, &text));
                add(&mut self.launch.after, text);
                Ok(())
            }
            ("--argv0", [own]) => self.argv0(name, own),
            ("--inherit-argv0", _) => {
                self.script.name = b"\"$0\"".to_vec();
                self.launch.name = Text(vec![match self.options.manner {
                    Manner::Shell => Piece::Called,
                    Manner::Binary => Piece::Name,
                }]);
                Ok(())
            }
            ("--resolve-argv0", _) => {
                // a script has a path for its name anyway
                self.launch.resolves_name = self.options.manner == Manner::Binary;
                Ok(())
            }
            _ => Err(FlagError::Unknown(name.to_owned())),
        }
    }

    /// Does a step, or leaves it to the script, if that has begun.
    fn step(&mut self, step: Step) -> Result<(), FlagError> {
        if self.script.has_commands() {
            self.script.step(&step)?;
        } else {
            self.launch.steps.push(step);
        }
        Ok(())
    }

    fn join(&mut self, flag: &'static str, name: &[u8], separator: &[u8], value: &[u8]) -> Result<(), FlagError> {
        let is_prefix = flag.starts_with("--prefix");
        let (how, elements) = match (self.options.manner, is_prefix) {
            _ if value.is_empty() => return Ok(()),
            (Manner::Binary, true) => (JoinKind::Prefix, vec![value.to_vec()]),
            (Manner::Binary, false) => (JoinKind::Last, vec![value.to_vec()]),
            (Manner::Shell, true) => (JoinKind::Prefix, reversed(value, separator)),
            (Manner::Shell, false) => (JoinKind::Suffix, elements(value, separator)),
        };
        for element in elements {
            let value = self.value(flag, &element)?;
            let (name, separator) = (name.to_vec(), separator.to_vec());
            self.step(Step::Join(Join { name, separator, value, how }))?;
        }
        Ok(())
    }

    fn argv0(&mut self, flag: &'static str, own: &[u8]) -> Result<(), FlagError> {
        if own.is_empty() {
            self.script.name = Vec::new();
            self.launch.name = Text(vec![Piece::Target]);
            return Ok(());
        }
        self.script.name = match self.options.manner {
            Manner::Shell => [b"\"", own, b"\""].concat(),
            Manner::Binary => record::quote(own),
        };
        self.launch.name = match self.options.manner {
            Manner::Shell => self.unless_beyond(flag, own, Text::quoted(own))?,
            Manner::Binary => Text::literal(own),
        };
        Ok(())
    }

    /// A value, whose variables stand for themselves unless that is wished otherwise.
    fn value(&self, flag: &'static str, value: &[u8]) -> Result<Text, FlagError> {
        if !self.options.expands_values {
            return Ok(Text::literal(value));
        }
        Text::value(value).map_err(|beyond| needs_shell(flag, value, beyond))
    }

    /// Flags in one text.
    fn flags(&mut self, flag: &'static str, text: &[u8]) -> Result<Text, FlagError> {
        match self.options.manner {
            Manner::Shell => self.unless_beyond(flag, text, Text::words(text)),
            Manner::Binary => {
                let mut divided = Text::default();
                // as bash reads a line: what follows it does not count
                let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
                words(line).for_each(|word| add(&mut divided, Text::literal(word)));
                Ok(divided)
            }
        }
    }

    /// Flags in one text, as bash is to read them.
    fn flags_for_bash(&self, flags: &[u8], text: &Text) -> Vec<u8> {
        match self.options.manner {
            Manner::Shell => flags.to_vec(),
            Manner::Binary => record::source(text),
        }
    }

    /// What was read; what needs a shell is left to one, if there is one.
    fn unless_beyond(
        &mut self,
        flag: &'static str,
        text: &[u8],
        read: Result<Text, Beyond>,
    ) -> Result<Text, FlagError> {
        match read {
            Ok(read) => Ok(read),
            Err(_) if self.options.shell.is_some() => {
                self.script.require();
                Ok(Text::default())
            }
            Err(beyond) => Err(needs_shell(flag, text, beyond)),
        }
    }

    fn finish(self) -> Result<Launch, FlagError> {
        if !self.script.is_required() {
            return Ok(self.launch);
        }
        let Some(shell) = &self.options.shell else {
            let command = self.script.first_command().to_vec();
            return Err(needs_shell("--run", &command, Beyond { what: "every command".to_owned() }));
        };
        Ok(self.script.launch(self.launch, shell)?)
    }
}

fn needs_shell(flag: &'static str, text: &[u8], beyond: Beyond) -> FlagError {
    FlagError::Beyond { flag, text: String::from_utf8_lossy(text).into_owned(), beyond }
}

/// Adds words behind words.
fn add(words: &mut Text, more: Text) {
    if !words.is_empty() {
        words.0.push(Piece::Break);
    }
    words.0.extend(more.0);
}

fn valid(flag: &'static str, name: &[u8]) -> Result<Vec<u8>, FlagError> {
    if name.is_empty() || name.contains(&b'=') {
        return Err(FlagError::Name { flag, name: String::from_utf8_lossy(name).into_owned() });
    }
    Ok(name.to_vec())
}

/// What is divided by spaces, tabs and line ends.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

/// What `$(cat file)` is in a shell: without the line ends at the end, and without zeros.
fn contents(flag: &'static str, file: &[u8]) -> Result<Vec<u8>, FlagError> {
    let path = Path::new(OsStr::from_bytes(file));
    let mut contents = nopal_fs::read_file(path).map_err(|source| FlagError::Contents { flag, source })?;
    contents.retain(|byte| *byte != 0);
    while contents.last() == Some(&b'\n') {
        contents.pop();
    }
    Ok(contents)
}

/// The elements of a list as bash divides it where `IFS` is the separator: each of its bytes divides, spaces in a row
/// divide once, and nothing follows a divider at the end.
fn elements(list: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
    let divides = |byte: u8| separator.contains(&byte);
    let divides_softly = |byte: u8| divides(byte) && is_space(byte);
    let skip = |at: usize| at + list[at..].iter().take_while(|byte| divides_softly(**byte)).count();
    let mut elements = Vec::new();
    let mut at = skip(0);
    while at < list.len() {
        let end = list[at..].iter().position(|byte| divides(*byte)).map_or(list.len(), |count| at + count);
        elements.push(list[at..end].to_vec());
        at = skip(end);
        if at < list.len() && divides(list[at]) {
            at = skip(at + 1);
        }
    }
    elements
}

/// The elements in the order in which they have to be put in front, one by one.
///
/// makeWrapper joins them in reverse and divides the result again, so that empty ones at the end are lost.
fn reversed(list: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
    let mut joined = Vec::new();
    for element in elements(list, separator) {
        let behind = if joined.is_empty() { Vec::new() } else { [separator, &joined].concat() };
        joined = [element, behind].concat();
    }
    elements(&joined, separator)
}

/// Words of a command line as bytes.
#[must_use]
pub fn as_bytes(words: Vec<std::ffi::OsString>) -> Vec<Vec<u8>> {
    words.into_iter().map(std::ffi::OsString::into_vec).collect()
}

#[cfg(test)]
mod tests;

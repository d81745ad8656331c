//! The flags that all of Nix's commands have: settings, verbosity, arguments of functions, the search path.

use crate::args::{EvalArgs, GlobalArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::nix_conf::{BOOLEANS, VALUES};
use std::ffi::OsString;
use std::path::PathBuf;
use std::vec::IntoIter;

/// The words of a command line, taken one by one.
#[derive(Debug)]
pub(crate) struct Words {
    rest: IntoIter<OsString>,
    /// A word put back, or split off from a cluster of short flags.
    pending: Vec<String>,
    /// Whether `--` was seen: all that follows is no flag.
    only_operands: bool,
}

/// One word, by what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// `-x` or `--long`.
    Flag(String),
    /// Anything else, `-` included.
    Operand(String),
}

impl Words {
    /// All words of a command line.
    pub(crate) fn new(words: Vec<OsString>) -> Self {
        Self { rest: words.into_iter(), pending: Vec::new(), only_operands: false }
    }

    /// The next word. A cluster such as `-j4` or `-vv` comes apart as Nix takes it apart.
    pub(crate) fn next(&mut self) -> Result<Option<Word>, CliError> {
        let Some(word) = self.raw()? else { return Ok(None) };
        if self.only_operands || !word.starts_with('-') || word == "-" {
            return Ok(Some(Word::Operand(word)));
        }
        if word == "--" {
            self.only_operands = true;
            return self.next();
        }
        if word.starts_with("--") {
            return Ok(Some(Word::Flag(word)));
        }
        let split: Vec<String> = split_cluster(&word);
        self.pending.extend(split.into_iter().rev());
        Ok(self.pending.pop().map(Word::Flag))
    }

    /// The value of a flag.
    pub(crate) fn value(&mut self, flag: &str) -> Result<String, CliError> {
        self.raw()?.ok_or_else(|| CliError::usage(format!("flag '{flag}' requires more arguments")))
    }

    fn raw(&mut self) -> Result<Option<String>, CliError> {
        if let Some(word) = self.pending.pop() {
            return Ok(Some(word));
        }
        let Some(word) = self.rest.next() else { return Ok(None) };
        let text = word.into_string();
        text.map(Some).map_err(|word| CliError::usage(format!("'{}' is not UTF-8", word.display())))
    }
}

/// Takes `-qlf` apart into `-q -l -f`, and `-j3` into `-j 3`: letters are flags, anything else is a value.
fn split_cluster(word: &str) -> Vec<String> {
    let mut split = Vec::new();
    for (at, letter) in word.char_indices().skip(1) {
        if at > 1 && !letter.is_ascii_alphabetic() {
            split.push(word[at..].to_owned());
            break;
        }
        split.push(format!("-{letter}"));
    }
    split
}

/// What the common flags said.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// Flags of evaluation, as clap would have given them.
    pub(crate) eval: EvalArgs,
    global: GlobalArgs,
    settings: Vec<(String, String)>,
    build_logs: bool,
}

impl Common {
    /// Takes a flag if it is one of these.
    pub(crate) fn take(&mut self, flag: &str, words: &mut Words) -> Result<bool, CliError> {
        match flag {
            "--arg" => self.eval.arg.extend([words.value(flag)?, words.value(flag)?]),
            "--argstr" => self.eval.argstr.extend([words.value(flag)?, words.value(flag)?]),
            "-I" | "--include" => self.eval.include.push(words.value(flag)?),
            "--option" => self.settings.push((words.value(flag)?, words.value(flag)?)),
            "--show-trace" => self.eval.show_trace = true,
            "--impure" => self.set("pure-eval", "false"),
            "-v" | "--verbose" => self.global.verbose += 1,
            "--quiet" => self.global.quiet = true,
            "-Q" | "--no-build-output" => self.build_logs = false,
            "-L" | "--print-build-logs" => self.build_logs = true,
            "-j" => {
                let jobs = words.value(flag)?;
                self.set("max-jobs", &jobs);
            }
            "-k" => self.set("keep-going", "true"),
            "-K" => self.set("keep-failed", "true"),
            "--store" => self.global.store = Some(PathBuf::from(words.value(flag)?)),
            "--offline" => self.global.offline = true,
            "--log-format" | "--eval-store" => drop(words.value(flag)?),
            "--fallback" | "--readonly-mode" | "--repair" => {}
            _ => return self.take_setting(flag, words),
        }
        Ok(true)
    }

    /// Takes `--NAME VALUE`, `--NAME` and `--no-NAME` of the settings we know.
    fn take_setting(&mut self, flag: &str, words: &mut Words) -> Result<bool, CliError> {
        let Some(name) = flag.strip_prefix("--") else { return Ok(false) };
        if BOOLEANS.contains(&name) {
            self.set(name, "true");
        } else if let Some(negated) = name.strip_prefix("no-").filter(|name| BOOLEANS.contains(name)) {
            self.set(negated, "false");
        } else if VALUES.contains(&name) {
            let value = words.value(flag)?;
            self.set(name, &value);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Sets a setting by its name, after those set before.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Shows what builders print, as Nix's old commands do by default.
    pub(crate) fn show_build_logs(&mut self) {
        self.build_logs = true;
    }

    /// Puts everything together.
    pub(crate) fn context(&self) -> Result<Context, CliError> {
        let mut context = Context::new(&self.global)?;
        context.style.build_logs = self.build_logs;
        context.settings = context.settings.under_nix_name()?.with_eval(&self.eval)?;
        for (name, value) in &self.settings {
            context.settings.set(name, value)?;
        }
        Ok(context)
    }
}

/// The error for a flag that nothing takes, in Nix's words.
pub(crate) fn unknown_flag(flag: &str) -> CliError {
    CliError::usage(format!("unrecognised flag '{flag}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_come_apart() {
        let mut words = Words::new(["-vv", "-j4", "-", "--", "-x"].map(OsString::from).to_vec());
        let mut flags = Vec::new();
        while let Some(word) = words.next().unwrap() {
            if word == Word::Flag("-j".to_owned()) {
                assert_eq!(words.value("-j").unwrap(), "4");
            }
            flags.push(word);
        }
        let flag = |text: &str| Word::Flag(text.to_owned());
        let operand = |text: &str| Word::Operand(text.to_owned());
        assert_eq!(flags, [flag("-v"), flag("-v"), flag("-j"), operand("-"), operand("-x")]);
    }
}

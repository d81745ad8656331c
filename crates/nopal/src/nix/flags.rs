//! The flags that all of Nix's commands have: settings, verbosity, arguments of functions, the search path.

use crate::args::{EvalArgs, GlobalArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::nix::failures::Teller;
use crate::nix_conf::{NixConf, SettingFlag};
use crate::ui;
use nopal_engine::AutoArg;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// What `--debug` adds to the usual verbosity.
const DEBUG: i32 = 2;

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
        if !word[1..].starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            return Ok(Some(Word::Flag(word)));
        }
        let split: Vec<String> = split_cluster(&word);
        self.pending.extend(split.into_iter().rev());
        Ok(self.pending.pop().map(Word::Flag))
    }

    /// The next flag. Words before it that are none go to `operands`.
    pub(crate) fn next_flag(&mut self, operands: &mut Vec<String>) -> Result<Option<String>, CliError> {
        loop {
            match self.next()? {
                Some(Word::Operand(operand)) => operands.push(operand),
                Some(Word::Flag(flag)) => return Ok(Some(flag)),
                None => return Ok(None),
            }
        }
    }

    /// The value of a flag that one command has.
    pub(crate) fn value(&mut self, flag: &str) -> Result<String, CliError> {
        self.raw()?.ok_or_else(|| CliError::usage(format!("'{flag}' requires an argument")))
    }

    /// The values of a flag that several commands have, of which Nix speaks in other words.
    fn values<const N: usize>(&mut self, flag: &str) -> Result<[String; N], CliError> {
        let mut values = [const { String::new() }; N];
        for (given, value) in values.iter_mut().enumerate() {
            *value = self.raw()?.ok_or_else(|| missing_values(flag, N, given))?;
        }
        Ok(values)
    }

    /// All words that are left.
    pub(crate) fn take_rest(&mut self) -> Result<Vec<String>, CliError> {
        std::iter::from_fn(|| self.raw().transpose()).collect()
    }

    /// Puts words in the place of the one taken last.
    pub(crate) fn put_back(&mut self, words: &[&str]) {
        self.pending.extend(words.iter().rev().map(|word| (*word).to_owned()));
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

/// The error for a flag that has fewer values than it takes.
pub(crate) fn missing_values(flag: &str, wanted: usize, given: usize) -> CliError {
    CliError::usage(format!("flag '{flag}' requires {wanted} argument(s), but only {given} were given"))
}

/// Takes `-qlf` apart into `-q -l -f`, and `-j3` into `-j 3`: letters are flags, anything else is a value. The first must be
/// a letter.
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
    args: Vec<AutoArg>,
    global: GlobalArgs,
    defaults: Vec<(String, String)>,
    settings: Vec<(String, String)>,
    build_logs: bool,
    /// Whether the command is one of `nix`.
    of_nix: bool,
    /// Whether it is one of nopal's own.
    native: bool,
    /// How much more than usual is told.
    verbosity: i32,
    eval_store: Option<String>,
    flake_overrides: Vec<(String, String)>,
    warnings: Vec<String>,
    /// Whether the warnings were told.
    told: Cell<bool>,
    read_only: bool,
    /// Whether what has changed in the store is built again.
    pub(crate) repair: bool,
    /// Where relative paths begin, if that is not the working directory.
    base: Option<PathBuf>,
    /// Experimental features that the flags need.
    features: BTreeSet<&'static str>,
}

impl Common {
    /// Takes a flag if it is one of these.
    pub(crate) fn take(&mut self, flag: &str, words: &mut Words) -> Result<bool, CliError> {
        match flag {
            "--arg" | "--argstr" => {
                let values = words.values(flag)?;
                self.take_arg(flag, values)?;
            }
            "-I" | "--include" => self.eval.include.extend(words.values::<1>(flag)?),
            "--option" => {
                let [name, value] = words.values(flag)?;
                self.option(name, value);
            }
            "--impure" => self.set("pure-eval", "false"),
            "-v" | "--verbose" => self.verbosity += 1,
            "--quiet" => self.verbosity -= 1,
            "--debug" => self.verbosity = DEBUG,
            "-Q" | "--no-build-output" => self.build_logs = false,
            "-L" | "--print-build-logs" => self.build_logs = true,
            "-j" => {
                let [jobs] = words.values(flag)?;
                self.set("max-jobs", &jobs);
            }
            "-k" => self.set("keep-going", "true"),
            "-K" => self.set("keep-failed", "true"),
            "--offline" => self.global.offline = true,
            "--eval-store" => [self.eval_store] = words.values(flag)?.map(Some),
            "--log-format" => drop(words.values::<1>(flag)?),
            "--readonly-mode" => self.read_only = true,
            "--repair" => self.repair = true,
            _ => return self.take_setting(flag, words),
        }
        Ok(true)
    }

    /// Gives functions an argument, as the flag of this name says.
    pub(crate) fn take_arg(&mut self, flag: &str, [name, value]: [String; 2]) -> Result<(), CliError> {
        self.args.retain(|arg| match arg {
            AutoArg::Expr { name: other, .. } | AutoArg::Str { name: other, .. } => *other != name,
        });
        self.args.push(match flag {
            "--arg" => AutoArg::Expr { name, text: value },
            "--arg-from-file" => {
                let text = nopal_fs::read_file(Path::new(&value))?;
                AutoArg::Str { name, value: String::from_utf8_lossy(&text).into_owned() }
            }
            _ => AutoArg::Str { name, value },
        });
        Ok(())
    }

    /// The arguments for functions on the way.
    pub(crate) fn auto_args(&self) -> Vec<AutoArg> {
        self.args.clone()
    }

    /// Takes `--NAME VALUE`, `--NAME` and `--no-NAME` of the settings we know.
    pub(crate) fn take_setting(&mut self, flag: &str, words: &mut Words) -> Result<bool, CliError> {
        let setting = match flag.strip_prefix("--").and_then(SettingFlag::find) {
            None => return Ok(false),
            Some(SettingFlag::Fixed(setting, value)) => {
                self.set(setting.name, value);
                setting
            }
            Some(SettingFlag::Valued(setting, append)) => {
                let [value] = words.values(flag)?;
                let name = if append { format!("extra-{}", setting.name) } else { setting.name.to_owned() };
                self.set(&name, &value);
                setting
            }
        };
        self.features.extend(setting.feature);
        Ok(true)
    }

    /// Sets a setting by its name, after those set before. A value that is wrong is an error.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a setting as `--option` does: a value that is wrong is warned of.
    pub(crate) fn option(&mut self, name: String, value: String) {
        let mut trial = NixConf::default();
        match trial.set(&name, &value) {
            Ok(()) => self.settings.push((name, value)),
            Err(error) => self.warnings.push(error.to_string()),
        }
    }

    /// Makes the command fail unless an experimental feature is on.
    pub(crate) fn need(&mut self, feature: &'static str) {
        self.features.insert(feature);
    }

    /// Something to warn of once there is somebody to tell it.
    pub(crate) fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    /// Whether what was downloaded earlier is not to be used.
    pub(crate) fn set_refresh(&mut self) {
        self.set("tarball-ttl", "0");
    }

    /// Lets relative paths begin in a folder.
    pub(crate) fn set_base(&mut self, folder: Option<PathBuf>) {
        self.base = folder;
    }

    /// Uses no network.
    pub(crate) fn set_offline(&mut self) {
        self.global.offline = true;
    }

    /// The store for derivations, if it is another one.
    pub(crate) fn set_eval_store(&mut self, store: String) {
        self.eval_store = Some(store);
    }

    /// Lets a flake stand for another.
    pub(crate) fn override_flake(&mut self, from: String, to: String) {
        self.flake_overrides.push((from, to));
    }

    /// Tells more, or less.
    pub(crate) fn tell(&mut self, more: i32) {
        self.verbosity += more;
    }

    /// Whether more than usual is told.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity > 0
    }

    /// Shows what builders print, as Nix's old commands do by default.
    pub(crate) fn show_build_logs(&mut self) {
        self.build_logs = true;
    }

    /// Tells of builds as the commands of `nix` do.
    pub(crate) fn speak_as_nix(&mut self) {
        self.of_nix = true;
    }

    /// Works on nopal's own store, as its own commands do.
    pub(crate) fn be_native(&mut self, global: GlobalArgs) {
        self.global = GlobalArgs { offline: global.offline || self.global.offline, ..global };
        self.native = true;
    }

    /// Who tells of builds that fail.
    pub(crate) fn teller(&self) -> Teller {
        let logs = self.build_logs;
        if self.of_nix { Teller::New { logs } } else { Teller::Old { logs } }
    }

    /// Settings that stand before all others, as a command has them by default.
    pub(crate) fn set_default(&mut self, name: &str, value: &str) {
        self.defaults.push((name.to_owned(), value.to_owned()));
    }

    /// What a flag or option set this setting to.
    pub(crate) fn sets(&self, name: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    /// Puts everything together.
    pub(crate) fn context(&self) -> Result<Context, CliError> {
        let mut context = Context::new(&self.global)?;
        context.style.build_logs = self.build_logs;
        context.style.manner = if self.of_nix { ui::Manner::Nix } else { ui::Manner::OldNix };
        let told = if self.native { context.style.verbosity as i32 - 1 + self.verbosity } else { self.verbosity };
        context.style.verbosity = match told {
            ..0 => ui::Verbosity::Quiet,
            0 => ui::Verbosity::Usual,
            1.. => ui::Verbosity::Verbose,
        };
        let mut settings = context.settings;
        if self.native {
            settings.set("extra-experimental-features", "nix-command flakes")?;
        } else {
            settings = settings.under_nix_name()?;
        }
        settings = settings.with_eval(&self.eval)?;
        for (name, value) in self.defaults.iter().chain(&self.settings) {
            settings.set(name, value)?;
        }
        for feature in &self.features {
            settings.require(feature)?;
        }
        settings.override_flakes(&self.flake_overrides);
        if !self.native {
            settings.place()?;
        }
        if let Some(uri) = &self.eval_store {
            settings.set_eval_store(uri)?;
        }
        if let Some(folder) = &self.base {
            settings.set_base(folder.clone());
        }
        settings.evaluate_read_only(self.read_only);
        let notes = settings.take_notes();
        if !self.told.replace(true) {
            let reporter = ui::reporter(context.style);
            for text in self.warnings.iter().chain(&notes) {
                reporter.warn(text.clone());
            }
        }
        context.settings = settings;
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

//! Completion of command lines for shells: `NIX_GET_COMPLETIONS=N nix WORDS...` prints what word N may become.

use super::{Command, Complete, GLOBAL, Line};
use crate::env_vars;
use crate::nix_conf::SETTINGS;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

/// Marks the end of the word that is to be completed; nothing that anybody types.
const MARK: &str = "\u{1}complete\u{1}";

/// The word that is to be completed, and what it turned out to be.
#[derive(Debug)]
pub(super) struct Cursor {
    found: Option<Found>,
}

/// What the word is.
#[derive(Debug)]
enum Found {
    /// A flag that begins with this.
    Flag(String),
    /// A command that begins with this.
    Command(String, &'static [Command]),
    /// A value.
    Value { prefix: String, kind: Complete, number: usize },
}

impl Cursor {
    /// Marks a word, numbered from 1.
    pub(super) fn mark(words: &mut [OsString], number: usize) -> Option<Self> {
        words.get_mut(number.checked_sub(1)?)?.push(MARK);
        Some(Self { found: None })
    }

    /// Whether this is the word.
    pub(super) fn is_at(&self, word: &str) -> bool {
        word.contains(MARK)
    }

    /// Whether the word was met.
    pub(super) fn is_set(&self) -> bool {
        self.found.is_some()
    }

    /// It is a flag.
    pub(super) fn flag(&mut self, word: &str) {
        self.found = Some(Found::Flag(bare(word)));
    }

    /// It is a command.
    pub(super) fn command(&mut self, word: &str, commands: &'static [Command]) {
        self.found = Some(Found::Command(bare(word), commands));
    }

    /// It is a value, the `number`th of its flag or command.
    pub(super) fn value(&mut self, word: &str, kind: Complete, number: usize) {
        self.found = Some(Found::Value { prefix: bare(word), kind, number });
    }
}

fn bare(word: &str) -> String {
    word.split(MARK).next().unwrap_or_default().to_owned()
}

/// The lines to print: what kind of completions they are, then each with what it does.
pub(super) fn completions(cursor: Cursor, path: &[&'static Command], mut line: Line) -> Vec<String> {
    let mut kind = "normal";
    let mut found: BTreeSet<(String, &'static str)> = BTreeSet::new();
    match cursor.found {
        None => {}
        Some(Found::Flag(prefix)) => {
            let own = path.iter().flat_map(|command| command.flags.iter());
            for flag in own.flat_map(|group| group.iter()).chain(GLOBAL) {
                let names = [flag.long].into_iter().chain(flag.aliases.iter().copied()).map(|name| format!("--{name}"));
                let short = flag.short.map(|letter| format!("-{letter}")).filter(|_| prefix == "-");
                found
                    .extend(names.chain(short).filter(|name| name.starts_with(&prefix)).map(|name| (name, flag.about)));
            }
        }
        Some(Found::Command(prefix, commands)) => {
            let names = commands.iter().map(|command| command.name).filter(|name| name.starts_with(&prefix));
            found.extend(names.map(|name| (name.to_owned(), "")));
        }
        Some(Found::Value { prefix, kind: wanted, number }) => match wanted {
            Complete::Path | Complete::Folder => {
                kind = "filenames";
                found.extend(files(&prefix, wanted == Complete::Folder));
            }
            Complete::Installable => {
                // attributes can be completed where the expression or flake is known; anything else is a file
                line.common.set_default("pure-eval", "true");
                let attrs = line.lookup().ok().and_then(|lookup| lookup.complete(&line, &prefix));
                match attrs {
                    Some(attrs) => {
                        kind = "attrs";
                        found.extend(attrs.into_iter().map(|attr| (attr, "")));
                    }
                    None => {
                        kind = "filenames";
                        found.extend(files(&prefix, true));
                    }
                }
            }
            Complete::FlakeRef => {
                kind = "filenames";
                found.extend(files(&prefix, true));
            }
            Complete::Setting if number == 0 => {
                let names = SETTINGS.iter().map(|setting| setting.name).filter(|name| name.starts_with(&prefix));
                found.extend(names.map(|name| (name.to_owned(), "")));
            }
            Complete::HashAlgorithm => found.extend(among(&prefix, &["blake3", "md5", "sha1", "sha256", "sha512"])),
            Complete::HashFormat => found.extend(among(&prefix, &["base16", "base64", "nix32", "sri"])),
            Complete::FlakeInput => found.extend(inputs(&line, &prefix).into_iter().map(|name| (name, ""))),
            Complete::Setting | Complete::Nothing => {}
        },
    }
    let lines = found.into_iter().map(|(text, about)| format!("{text}\t{about}"));
    [kind.to_owned()].into_iter().chain(lines).collect()
}

/// Inputs of the flakes that the line names.
fn inputs(line: &Line, prefix: &str) -> Vec<String> {
    let Ok(engine) = line.engine() else { return Vec::new() };
    let named = match line.value("flake") {
        Some(flake) => vec![flake.to_owned()],
        None => line.args.clone(),
    };
    let here = [".".to_owned()];
    let mut found = BTreeSet::new();
    for word in if named.is_empty() { &here[..] } else { &named } {
        let word = match (word.strip_prefix("~/"), env_vars::HOME.text()) {
            (Some(rest), Some(home)) => format!("{home}/{rest}"),
            _ => word.clone(),
        };
        found.extend(engine.flake_inputs(&word).unwrap_or_default());
    }
    found.into_iter().filter(|name| name.starts_with(prefix)).collect()
}

fn among(prefix: &str, words: &[&str]) -> Vec<(String, &'static str)> {
    words.iter().filter(|word| word.starts_with(prefix)).map(|word| ((*word).to_owned(), "")).collect()
}

/// Files whose paths begin with a text.
fn files(prefix: &str, only_folders: bool) -> Vec<(String, &'static str)> {
    let (folder, name) = prefix.rsplit_once('/').map_or(("", prefix), |(folder, name)| (folder, name));
    let shown = &prefix[..prefix.len() - name.len()];
    let place = if shown.is_empty() {
        "."
    } else if folder.is_empty() {
        "/"
    } else {
        folder
    };
    let Ok(entries) = nopal_fs::read_dir_names(Path::new(place)) else { return Vec::new() };
    let names = entries.into_iter().filter_map(|entry| entry.into_string().ok());
    let hidden_wanted = name.starts_with('.');
    let wanted = names.filter(|entry| entry.starts_with(name) && (hidden_wanted || !entry.starts_with('.')));
    let paths = wanted.map(|entry| format!("{shown}{entry}"));
    paths.filter(|path| !only_folders || nopal_fs::is_dir(Path::new(path))).map(|path| (path, "")).collect()
}

//! Settings by their names in nix.conf: from files, `NIX_CONFIG`, `--option` and the flags that Nix makes of them.

mod file;
mod table;

use crate::error::CliError;
use nopal_engine::Lint;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use table::SETTINGS;

/// A setting of Nix.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) name: &'static str,
    /// What its values are.
    pub(crate) kind: Kind,
    /// Its value if nobody sets it.
    pub(crate) default: &'static str,
    /// Other names for it.
    pub(crate) aliases: &'static [&'static str],
    /// The experimental feature that it needs.
    pub(crate) feature: Option<&'static str>,
}

/// What the values of a setting are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`. Nix makes flags `--NAME` and `--no-NAME` of it.
    Flag,
    /// As a flag, or `relaxed`.
    Sandbox,
    /// A number, perhaps with a unit.
    Number,
    /// A number, or `auto` for the processors of the machine.
    Processors,
    /// A string.
    Text,
    /// A string or nothing.
    Optional,
    /// Words in order.
    Words,
    /// Words, sorted, each once.
    Set,
    /// Words `name=value`.
    Map,
    /// `ignore`, `warn` or `fatal`.
    Lint,
    /// `disabled` or `flamegraph`.
    Profiler,
}

impl Kind {
    /// Whether `extra-NAME` adds to the value.
    pub(crate) fn is_appendable(self) -> bool {
        matches!(self, Self::Words | Self::Set | Self::Map)
    }
}

/// The experimental features of Nix 2.34.
const FEATURES: &[&str] = &[
    "auto-allocate-uids",
    "blake3-hashes",
    "ca-derivations",
    "cgroups",
    "configurable-impure-env",
    "daemon-trust-override",
    "dynamic-derivations",
    "external-builders",
    "fetch-closure",
    "fetch-tree",
    "flakes",
    "git-hashing",
    "impure-derivations",
    "local-overlay-store",
    "mounted-ssh-store",
    "nix-command",
    "parse-toml-timestamps",
    "pipe-operators",
    "read-only-local-store",
    "recursive-nix",
    "verified-fetches",
];

/// The values of settings, each absent until somebody sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NixConf {
    /// By name, as Nix prints them.
    values: BTreeMap<&'static str, String>,
    /// What is to be warned of: settings that do not exist, features that are off.
    pub(crate) warnings: Vec<String>,
}

/// The setting of a name, and whether it is `extra-` and adds to the value.
fn find(name: &str) -> Option<(&'static Setting, bool)> {
    let named = |name: &str| SETTINGS.iter().find(|setting| setting.name == name || setting.aliases.contains(&name));
    if let Some(setting) = named(name) {
        return Some((setting, false));
    }
    let setting = named(name.strip_prefix("extra-")?)?;
    setting.kind.is_appendable().then_some((setting, true))
}

/// A flag that Nix makes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingFlag {
    /// Sets the setting to this.
    Fixed(&'static Setting, &'static str),
    /// Takes a value; adds it if this says so.
    Valued(&'static Setting, bool),
}

impl SettingFlag {
    /// The flag of this name, given without its two dashes.
    pub(crate) fn find(name: &str) -> Option<Self> {
        if let Some((setting, append)) = find(name) {
            return Some(match setting.kind {
                Kind::Flag | Kind::Sandbox => Self::Fixed(setting, "true"),
                _ => Self::Valued(setting, append),
            });
        }
        if name == "relaxed-sandbox" {
            return find("sandbox").map(|(setting, _)| Self::Fixed(setting, "relaxed"));
        }
        let (setting, _) = find(name.strip_prefix("no-")?)?;
        matches!(setting.kind, Kind::Flag | Kind::Sandbox).then_some(Self::Fixed(setting, "false"))
    }
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Setting {}

impl NixConf {
    /// Sets one setting. One that does not exist, or needs a feature that is off, is noted among the warnings.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), CliError> {
        let Some((setting, append)) = find(name) else {
            self.warnings.push(format!("unknown setting '{name}'"));
            return Ok(());
        };
        if let Some(feature) = setting.feature.filter(|feature| !self.has_feature(feature)) {
            let name = setting.name;
            self.warnings
                .push(format!("Ignoring setting '{name}' because experimental feature '{feature}' is not enabled"));
            return Ok(());
        }
        let before = if append { self.text(setting.name).to_owned() } else { String::new() };
        let value = self.canonical(setting, name, value, &before)?;
        self.values.insert(setting.name, value);
        Ok(())
    }

    /// The value in the form that Nix prints it.
    fn canonical(&mut self, setting: &Setting, name: &str, value: &str, before: &str) -> Result<String, CliError> {
        let invalid = || CliError::usage(format!("setting '{name}' has invalid value '{value}'"));
        Ok(match setting.kind {
            Kind::Sandbox if value == "relaxed" => value.to_owned(),
            Kind::Flag | Kind::Sandbox => boolean(setting.name, value)?.to_string(),
            Kind::Processors if value == "auto" => processors().to_string(),
            Kind::Number | Kind::Processors => number(value).ok_or_else(invalid)?.to_string(),
            Kind::Text | Kind::Optional => value.to_owned(),
            Kind::Lint if matches!(value, "ignore" | "warn" | "fatal") => value.to_owned(),
            Kind::Lint => return Err(invalid()),
            Kind::Profiler if matches!(value, "disabled" | "flamegraph") => value.to_owned(),
            Kind::Profiler => {
                return Err(CliError::usage(format!("option '{name}' has invalid value '{value}'")));
            }
            Kind::Words => join(before.split_whitespace().chain(value.split_whitespace())),
            Kind::Set | Kind::Map => {
                let mut all: Vec<&str> = before.split_whitespace().collect();
                for word in value.split_whitespace() {
                    if setting.name != "experimental-features" || self.is_feature(word) {
                        all.push(word);
                    }
                    if setting.name == "experimental-features" && word == "flakes" {
                        all.push("fetch-tree");
                    }
                }
                all.sort_unstable();
                all.dedup();
                join(all)
            }
        })
    }

    fn is_feature(&mut self, word: &str) -> bool {
        let known = FEATURES.contains(&word);
        if word == "no-url-literals" {
            self.warnings.push(format!(
                "experimental feature '{word}' has been stabilized and renamed; use 'lint-url-literals = fatal' \
                 setting instead"
            ));
        } else if !known {
            self.warnings.push(format!("unknown experimental feature '{word}'"));
        }
        known
    }

    /// Whether an experimental feature is on.
    pub(crate) fn has_feature(&self, feature: &str) -> bool {
        self.text("experimental-features").split_whitespace().any(|word| word == feature)
    }

    /// The value of a setting as text, or its default.
    pub(crate) fn text(&self, name: &'static str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => find(name).map_or("", |(setting, _)| setting.default),
        }
    }

    /// The value that somebody has set.
    pub(crate) fn get(&self, name: &'static str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a setting that is `true` or `false` is on; its default if nobody has set it.
    pub(crate) fn flag(&self, name: &'static str) -> bool {
        self.text(name) == "true"
    }

    /// The value of a setting that is a number; `None` where nobody has set it.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &'static str) -> Option<T> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    /// The words of a setting.
    pub(crate) fn words(&self, name: &'static str) -> Vec<String> {
        self.text(name).split_whitespace().map(str::to_owned).collect()
    }

    /// A limit of time; zero is none.
    pub(crate) fn seconds(&self, name: &'static str) -> Option<Duration> {
        self.number(name).filter(|seconds| *seconds != 0).map(Duration::from_secs)
    }

    /// A setting that says what is done about a kind of literal.
    pub(crate) fn lint(&self, name: &'static str) -> Lint {
        match self.text(name) {
            // the old name of this setting's value
            "ignore"
                if name == "lint-short-path-literals"
                    && self.get(name).is_none()
                    && self.flag("warn-short-path-literals") =>
            {
                Lint::Warn
            }
            "warn" => Lint::Warn,
            "fatal" => Lint::Fatal,
            _ => Lint::Ignore,
        }
    }
}

/// Processors of this machine that may be used.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(" ")
}

fn boolean(name: &str, value: &str) -> Result<bool, CliError> {
    match value {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(CliError::usage(format!("Boolean setting '{name}' has invalid value '{value}'"))),
    }
}

/// A number with an optional unit of powers of 1024.
pub(crate) fn number(value: &str) -> Option<u64> {
    let shift = match value.bytes().next_back()?.to_ascii_uppercase() {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => return value.parse().ok(),
    };
    value[..value.len() - 1].parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_added_up() {
        let mut conf = NixConf::default();
        conf.set("experimental-features", "nix-command flakes").unwrap();
        conf.set("extra-experimental-features", "pipe-operators nix-command").unwrap();
        assert_eq!(conf.text("experimental-features"), "fetch-tree flakes nix-command pipe-operators");
        conf.set("build-cores", "3").unwrap();
        assert_eq!(conf.number("cores"), Some(3));
        conf.set("min-free", "2K").unwrap();
        assert_eq!(conf.text("min-free"), "2048");
        assert!(conf.warnings.is_empty());
        conf.set("no-such-setting", "true").unwrap();
        conf.set("experimental-features", "no-such-feature").unwrap();
        assert_eq!(
            conf.warnings,
            ["unknown setting 'no-such-setting'", "unknown experimental feature 'no-such-feature'"]
        );
        assert!(conf.set("show-trace", "perhaps").is_err());
    }

    #[test]
    fn settings_are_sorted_and_make_flags() {
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
        let value_of = |flag| match SettingFlag::find(flag) {
            Some(SettingFlag::Fixed(_, value)) => value,
            _ => "",
        };
        assert_eq!(
            (value_of("keep-going"), value_of("no-keep-going"), value_of("relaxed-sandbox")),
            ("true", "false", "relaxed")
        );
        assert!(matches!(SettingFlag::find("extra-substituters"), Some(SettingFlag::Valued(_, true))));
        assert_eq!(SettingFlag::find("extra-system"), None);
    }
}

//! Settings by their names in nix.conf: from `NIX_CONFIG`, `--option` and the flags that Nix makes of them.

use crate::error::CliError;
use nopal_engine::Lint;
use std::time::Duration;

/// The settings that nopal has, each unset until somebody sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NixConf {
    /// `abort-on-warn`
    pub(crate) abort_on_warn: Option<bool>,
    /// `allow-import-from-derivation`
    pub(crate) allow_import_from_derivation: Option<bool>,
    /// `allowed-uris`
    pub(crate) allowed_uris: Vec<String>,
    /// `cores`
    pub(crate) cores: Option<usize>,
    /// `experimental-features` and `extra-experimental-features`
    pub(crate) experimental_features: Vec<String>,
    /// `keep-failed`
    pub(crate) keep_failed: Option<bool>,
    /// `keep-going`
    pub(crate) keep_going: Option<bool>,
    /// `lint-absolute-path-literals`
    pub(crate) lint_absolute_path_literals: Option<Lint>,
    /// `lint-short-path-literals`
    pub(crate) lint_short_path_literals: Option<Lint>,
    /// `lint-url-literals`
    pub(crate) lint_url_literals: Option<Lint>,
    /// `max-call-depth`
    pub(crate) max_call_depth: Option<u32>,
    /// `max-jobs`; `auto` is one for each processor
    pub(crate) max_jobs: Option<usize>,
    /// `max-silent-time`; zero is none
    pub(crate) max_silent_time: Option<Duration>,
    /// `nix-path`
    pub(crate) nix_path: Option<Vec<String>>,
    /// `pure-eval`
    pub(crate) pure_eval: Option<bool>,
    /// `restrict-eval`
    pub(crate) restrict_eval: Option<bool>,
    /// `sandbox`
    pub(crate) sandbox: Option<bool>,
    /// `show-trace`
    pub(crate) show_trace: Option<bool>,
    /// `system`
    pub(crate) system: Option<String>,
    /// `timeout`; zero is none
    pub(crate) timeout: Option<Duration>,
    /// `trace-verbose`
    pub(crate) trace_verbose: Option<bool>,
}

/// Whether a setting is one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is, and was taken.
    Yes,
    /// It is not. Nix has more settings than nopal has uses for.
    No,
}

impl NixConf {
    /// Reads the lines of a configuration. Settings that are not ours are passed over; wrong values are errors.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), CliError> {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some((name, value)) = line.split_once('=') {
                self.set(name.trim(), value.trim())?;
            }
        }
        Ok(())
    }

    /// Sets one setting.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<Known, CliError> {
        match name {
            "abort-on-warn" => self.abort_on_warn = Some(boolean(name, value)?),
            "allow-import-from-derivation" => self.allow_import_from_derivation = Some(boolean(name, value)?),
            "allowed-uris" => self.allowed_uris = words(value),
            "extra-allowed-uris" => self.allowed_uris.extend(words(value)),
            "cores" | "build-cores" => self.cores = Some(number(name, value)?),
            "experimental-features" => self.experimental_features = words(value),
            "extra-experimental-features" => self.experimental_features.extend(words(value)),
            "keep-failed" => self.keep_failed = Some(boolean(name, value)?),
            "keep-going" => self.keep_going = Some(boolean(name, value)?),
            "lint-absolute-path-literals" => self.lint_absolute_path_literals = Some(lint(name, value)?),
            "lint-short-path-literals" => self.lint_short_path_literals = Some(lint(name, value)?),
            "lint-url-literals" => self.lint_url_literals = Some(lint(name, value)?),
            "max-call-depth" => self.max_call_depth = Some(number(name, value)?),
            "max-jobs" | "build-max-jobs" => {
                self.max_jobs = Some(if value == "auto" { processors() } else { number(name, value)? });
            }
            "max-silent-time" => self.max_silent_time = Some(Duration::from_secs(number(name, value)?)),
            "nix-path" => self.nix_path = Some(words(value)),
            "pure-eval" => self.pure_eval = Some(boolean(name, value)?),
            "restrict-eval" => self.restrict_eval = Some(boolean(name, value)?),
            "sandbox" => self.sandbox = Some(value == "relaxed" || boolean(name, value)?),
            "show-trace" => self.show_trace = Some(boolean(name, value)?),
            "system" => self.system = Some(value.to_owned()),
            "timeout" | "build-timeout" => self.timeout = Some(Duration::from_secs(number(name, value)?)),
            "trace-verbose" => self.trace_verbose = Some(boolean(name, value)?),
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }
}

/// The settings that take `true` or `false`: Nix makes flags `--NAME` and `--no-NAME` of them.
pub(crate) const BOOLEANS: &[&str] = &[
    "abort-on-warn",
    "allow-import-from-derivation",
    "keep-failed",
    "keep-going",
    "pure-eval",
    "restrict-eval",
    "sandbox",
    "show-trace",
    "trace-verbose",
];
/// The settings that take a value: Nix makes a flag `--NAME VALUE` of them.
pub(crate) const VALUES: &[&str] = &[
    "allowed-uris",
    "extra-allowed-uris",
    "cores",
    "experimental-features",
    "extra-experimental-features",
    "lint-absolute-path-literals",
    "lint-short-path-literals",
    "lint-url-literals",
    "max-call-depth",
    "max-jobs",
    "max-silent-time",
    "nix-path",
    "system",
    "timeout",
];

/// Processors of this machine that may be used.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn words(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

fn boolean(name: &str, value: &str) -> Result<bool, CliError> {
    match value {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(CliError::usage(format!("Boolean setting '{name}' has invalid value '{value}'"))),
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, CliError> {
    value.parse().map_err(|_| CliError::usage(format!("setting '{name}' has invalid value '{value}'")))
}

fn lint(name: &str, value: &str) -> Result<Lint, CliError> {
    match value {
        "ignore" => Ok(Lint::Ignore),
        "warn" => Ok(Lint::Warn),
        "fatal" => Ok(Lint::Fatal),
        _ => Err(CliError::usage(format!("setting '{name}' has invalid value '{value}'; it is ignore, warn or fatal"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_extra_values() {
        let mut conf = NixConf::default();
        conf.read("# c\nexperimental-features = nix-command flakes\nmax-jobs = 3 # three\nsubstituters =\n").unwrap();
        conf.set("extra-experimental-features", "pipe-operators").unwrap();
        assert_eq!(conf.experimental_features, ["nix-command", "flakes", "pipe-operators"]);
        assert_eq!(conf.max_jobs, Some(3));
        assert_eq!(conf.set("http2", "true").unwrap(), Known::No);
        assert!(conf.set("show-trace", "perhaps").is_err());
    }
}

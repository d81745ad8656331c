//! `nixConfig`: settings that a flake asks for. Harmless ones are taken, others only from flakes that the user trusts.

use std::sync::PoisonError;

use nopal_eval::Error;

use super::{Flake, Flakes};

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConfigValue {
    /// A string, a number or a truth value, as text.
    Text(String),
    /// A list.
    Words(Vec<String>),
}

/// Settings that do no harm.
const HARMLESS: [&str; 6] = [
    "bash-prompt",
    "bash-prompt-prefix",
    "bash-prompt-suffix",
    "flake-registry",
    "commit-lock-file-summary",
    "commit-lockfile-summary",
];

impl Flakes<'_> {
    /// Applies what a flake asks for. Of the settings some of evaluation have an effect, and
    /// the program that is run after builds.
    pub(super) fn apply_config(&mut self, flake: &Flake) -> Result<(), Error> {
        for (name, value) in &flake.config {
            let base = name.strip_prefix("extra-").unwrap_or(name);
            if !HARMLESS.contains(&base) && !self.shared.config.flakes.accept_config {
                self.warn(format!(
                    "ignoring untrusted flake configuration setting '{name}'.\nPass '--accept-flake-config' to trust it"
                ));
                continue;
            }
            let text = match value {
                ConfigValue::Text(text) => text.clone(),
                ConfigValue::Words(words) => words.join(" "),
            };
            let mut known = self.shared.flake_settings.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(name.clone(), text.clone());
            drop(known);
            let settings = &mut self.ev.settings;
            let flag = text == "true";
            match name.as_str() {
                "allow-import-from-derivation" => settings.allow_import_from_derivation = flag,
                "trace-verbose" => settings.trace_verbose = flag,
                "max-call-depth" => settings.max_call_depth = text.parse().unwrap_or(settings.max_call_depth),
                _ => {}
            }
        }
        Ok(())
    }
}

//! The environment of a program that is started: `--ignore-env`, `--keep-env-var`, `--set-env-var`, `--unset-env-var`.

use crate::error::CliError;
use crate::nix::cli::Line;
use crate::settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// Changes the environment as the flags say.
pub(super) fn apply(line: &Line, settings: &mut Settings) -> Result<(), CliError> {
    let environment = changed(line, std::env::vars_os().collect())?;
    settings.set_environment(environment);
    Ok(())
}

/// An environment changed as the flags say.
pub(super) fn changed(
    line: &Line,
    mut environment: BTreeMap<OsString, OsString>,
) -> Result<BTreeMap<OsString, OsString>, CliError> {
    let names = |flag: &str| -> BTreeSet<OsString> {
        line.values(flag).filter_map(|values| values.first()).map(OsString::from).collect()
    };
    let kept = names("keep-env-var");
    let mut set: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut unset: BTreeSet<OsString> = BTreeSet::new();
    for (flag, values) in &line.flags {
        match (*flag, &values[..]) {
            ("unset-env-var", [name]) => {
                if set.contains_key(OsStr::new(name)) {
                    let message =
                        format!("Cannot unset environment variable '{name}' that is set with '--set-env-var'");
                    return Err(CliError::usage(message));
                }
                unset.insert(name.into());
            }
            ("set-env-var", [name, value]) => {
                if unset.contains(OsStr::new(name)) {
                    let message =
                        format!("Cannot set environment variable '{name}' that is unset with '--unset-env-var'");
                    return Err(CliError::usage(message));
                }
                if set.insert(name.into(), value.into()).is_some() {
                    let message = format!(
                        "Duplicate definition of environment variable '{name}' with '--set-env-var' is ambiguous"
                    );
                    return Err(CliError::usage(message));
                }
            }
            _ => {}
        }
    }
    if line.has("ignore-env") {
        if !unset.is_empty() {
            return Err(CliError::usage("--unset-env-var does not make sense with --ignore-env"));
        }
        environment.retain(|name, _| kept.contains(name));
    } else if !kept.is_empty() {
        return Err(CliError::usage("--keep-env-var does not make sense without --ignore-env"));
    }
    environment.retain(|name, _| !unset.contains(name));
    environment.extend(set);
    Ok(environment)
}

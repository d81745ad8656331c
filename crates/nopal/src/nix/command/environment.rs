//! The environment of a program that is started: `--ignore-env`, `--keep-env-var`, `--set-env-var`, `--unset-env-var`.

use crate::error::CliError;
use crate::nix::cli::Line;
use crate::settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

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
    let (kept, unset) = (names("keep-env-var"), names("unset-env-var"));
    if line.has("ignore-env") {
        if !unset.is_empty() {
            return Err(CliError::usage("--unset-env-var does not make sense with --ignore-env"));
        }
        environment.retain(|name, _| kept.contains(name));
    } else if !kept.is_empty() {
        return Err(CliError::usage("--keep-env-var does not make sense without --ignore-env"));
    }
    environment.retain(|name, _| !unset.contains(name));
    for pair in line.values("set-env-var") {
        let [name, value] = pair else { continue };
        if unset.contains(&OsString::from(name)) {
            return Err(CliError::usage(format!("Cannot set environment variable '{name}' that is unset")));
        }
        environment.insert(name.into(), value.into());
    }
    Ok(environment)
}

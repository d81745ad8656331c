//! Looking short names up: in what flags say, in the user's registry, in the system's and in the global one.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use nopal_eval::host::{HostError, HostResult};
use nopal_format::flake::{FlakeRef, Input, Registry, RegistryEntry};

use super::{invalid, warn};
use crate::engine::Shared;
use crate::fetch::Fetch;
use crate::host::failed;

/// Names may stand for other names so many times.
const MAX_STEPS: usize = 100;

/// Which registries are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// None: a short name is an error.
    No,
    /// What flags say and the global one, as for inputs of flakes.
    Limited,
    /// All, as for what a user types.
    All,
}

/// The registries, each read when first needed.
#[derive(Debug, Default)]
pub(crate) struct Registries {
    flags: OnceLock<Registry>,
    user: OnceLock<Registry>,
    system: OnceLock<Registry>,
    global: OnceLock<Registry>,
    /// Inputs of flakes that flags name.
    inputs: Mutex<Vec<RegistryEntry>>,
}

impl Registries {
    /// Lets the inputs of a flake count as entries that flags name.
    pub(crate) fn add_inputs(&self, entries: Vec<RegistryEntry>) {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
    }
}

/// What a name stands for.
pub(crate) struct Resolved {
    /// The input.
    pub(crate) input: Input,
    /// The directory of the flake, if the registry says so.
    pub(crate) dir: Option<String>,
}

/// What a name stands for; anything else stands for itself unless a registry says otherwise.
pub(crate) fn resolve(shared: &Shared, input: &Input, which: Use) -> HostResult<Resolved> {
    let mut found = Resolved { input: input.clone(), dir: None };
    if which == Use::No {
        return Ok(found);
    }
    for _ in 0..MAX_STEPS {
        match lookup(shared, &found.input, which)? {
            Some(entry) => {
                found.input = Registry::apply(&entry, &found.input).map_err(invalid)?;
                found.dir = entry.dir().map(str::to_owned);
            }
            None if found.input.is_direct() => return Ok(found),
            None => {
                let shown = found.input.to_text().map_err(invalid)?;
                return Err(HostError::Failed(format!("cannot find flake '{shown}' in the flake registries")));
            }
        }
    }
    let shown = found.input.to_text().map_err(invalid)?;
    Err(HostError::Failed(format!("cycle detected in flake registry for '{shown}'")))
}

/// As [`resolve`] for `fetchTree`, which looks up short names only, and not in pure evaluation.
pub(super) fn resolve_for_fetch(shared: &Shared, input: &Input) -> HostResult<Input> {
    let has_flakes = shared.config.experimental_features.iter().any(|feature| feature == "flakes");
    if input.is_direct() || shared.config.pure_eval || !has_flakes {
        return Ok(input.clone());
    }
    Ok(resolve(shared, input, Use::Limited)?.input)
}

fn lookup(shared: &Shared, input: &Input, which: Use) -> HostResult<Option<RegistryEntry>> {
    let (config, all) = (&shared.config.flakes, &shared.registries);
    if all.flags.get().is_none() {
        let flags = from_flags(&config.overrides)?;
        let _ = all.flags.set(flags);
    }
    let inputs = Registry { entries: all.inputs.lock().unwrap_or_else(PoisonError::into_inner).clone() };
    let files = [(&all.user, &config.user_registry), (&all.system, &config.system_registry)];
    let mut asked = vec![all.flags.get_or_init(Registry::default), &inputs];
    if which == Use::All {
        asked.extend(
            files.map(|(cell, path)| {
                cell.get_or_init(|| path.as_ref().map(|path| read(shared, path)).unwrap_or_default())
            }),
        );
    }
    if let Some(entry) = asked.into_iter().find_map(|registry| registry.find(input)) {
        return Ok(Some(entry.clone()));
    }
    // last, because it may have to be downloaded
    Ok(global(shared)?.find(input).cloned())
}

/// All registries, in the order in which they are asked.
pub(crate) fn all(shared: &Shared) -> HostResult<Vec<(&'static str, Registry)>> {
    let config = &shared.config.flakes;
    let from_file = |path: &Option<PathBuf>| path.as_ref().map(|path| read(shared, path)).unwrap_or_default();
    Ok(vec![
        ("flags", from_flags(&config.overrides)?),
        ("user", from_file(&config.user_registry)),
        ("system", from_file(&config.system_registry)),
        ("global", global(shared)?.clone()),
    ])
}

fn global(shared: &Shared) -> HostResult<&Registry> {
    if let Some(known) = shared.registries.global.get() {
        return Ok(known);
    }
    let place = shared.config.flakes.global_registry.as_str();
    let registry = match place {
        "" => Registry::default(),
        path if path.starts_with('/') => read(shared, Path::new(path)),
        url => read(shared, &Fetch { shared }.download(url, None)?),
    };
    Ok(shared.registries.global.get_or_init(|| registry))
}

/// A registry out of a file. One that cannot be read is told of and counts as empty.
pub(crate) fn read(shared: &Shared, path: &Path) -> Registry {
    let text = match nopal_fs::read_file_if_exists(path).map_err(failed) {
        Ok(None) => return Registry::default(),
        Ok(Some(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    let shown = path.display().to_string();
    let parsed = text.and_then(|text| Registry::parse(&text, &shown).map_err(|error| error.to_string()));
    parsed.unwrap_or_else(|error| {
        warn(shared, format!("cannot read flake registry '{shown}': {error}"));
        Registry::default()
    })
}

fn from_flags(overrides: &[(String, String)]) -> HostResult<Registry> {
    let entry = |(from, to): &(String, String)| {
        let parse = |text: &str| FlakeRef::parse(text, true, false, &mut |_| {}).map_err(invalid);
        let to = parse(to)?;
        let dir = (!to.subdir.is_empty()).then(|| ("dir".to_owned(), to.subdir.clone().into()));
        let extra = dir.into_iter().collect();
        Ok(RegistryEntry { from: parse(from)?.input, to: to.input, extra, exact: false })
    };
    Ok(Registry { entries: overrides.iter().map(entry).collect::<HostResult<_>>()? })
}

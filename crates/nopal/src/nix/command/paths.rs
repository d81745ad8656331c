//! From what words name to store paths: built, or looked up.

use super::source::{Target, targets};
use crate::error::CliError;
use crate::nix::cli::Line;
use crate::nix::{failures, missing};
use nopal_engine::{Engine, EngineError, Item, RealiseOptions, Wanted};
use nopal_format::StorePath;
use nopal_store::Direction;
use std::collections::{BTreeMap, BTreeSet};

/// What became of something that a word named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A store path that is meant itself.
    Path(StorePath),
    /// Outputs of a derivation; a path is not known before a content-addressed derivation is built.
    Built {
        /// The derivation.
        drv: StorePath,
        /// Its outputs that are meant.
        outputs: BTreeMap<String, Option<StorePath>>,
    },
}

impl Resolved {
    /// The paths.
    pub(crate) fn paths(&self) -> Vec<StorePath> {
        match self {
            Self::Path(path) => vec![path.clone()],
            Self::Built { outputs, .. } => outputs.values().flatten().cloned().collect(),
        }
    }

    /// The path of an output.
    pub(crate) fn output(&self, name: &str) -> Option<StorePath> {
        match self {
            Self::Path(path) => Some(path.clone()),
            Self::Built { outputs, .. } => outputs.get(name).cloned().flatten(),
        }
    }
}

/// Builds what targets name.
pub(crate) fn build(
    engine: &Engine,
    line: &Line,
    targets: &[Target],
    options: &RealiseOptions,
) -> Result<Vec<Resolved>, CliError> {
    let mut items = Vec::new();
    for target in targets {
        items.extend(target.items(engine, line)?);
    }
    build_items(engine, line, items, options)
}

/// Builds what a value stands for.
pub(crate) fn realise_items(engine: &Engine, line: &Line, items: Vec<Item>) -> Result<Vec<Resolved>, CliError> {
    build_items(engine, line, items, &RealiseOptions::default())
}

fn build_items(
    engine: &Engine,
    line: &Line,
    named: Vec<Item>,
    options: &RealiseOptions,
) -> Result<Vec<Resolved>, CliError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut items: Vec<Result<usize, StorePath>> = Vec::new();
    for item in named {
        match item {
            Item::Path(path) => {
                if !engine.substitute_path(&path)? {
                    return Err(missing::unknown(engine, &path));
                }
                items.push(Err(path));
            }
            Item::Outputs(one) => {
                items.push(Ok(wanted.len()));
                wanted.push(one);
            }
        }
    }
    missing::print(engine, &wanted)?;
    let built = failures::realise(engine, &wanted, options, line.common.teller())?;
    Ok(items
        .into_iter()
        .map(|item| match item {
            Err(path) => Resolved::Path(path),
            Ok(index) => Resolved::Built {
                drv: built[index].drv_path.clone(),
                outputs: built[index].outputs.iter().map(|(name, path)| (name.clone(), Some(path.clone()))).collect(),
            },
        })
        .collect())
}

/// Looks up what targets name, without building anything; tells what is not there, as Nix does.
pub(crate) fn look_up(engine: &Engine, line: &Line, targets: &[Target]) -> Result<Vec<Resolved>, CliError> {
    let mut found = Vec::new();
    let mut not_built = Vec::new();
    let mut unknown = Vec::new();
    for target in targets {
        for item in target.items(engine, line)? {
            let wanted = match item {
                Item::Path(path) => {
                    if !engine.store()?.is_valid(&path)? {
                        unknown.push(path.clone());
                    }
                    found.push(Resolved::Path(path));
                    continue;
                }
                Item::Outputs(wanted) => wanted,
            };
            let mut outputs = engine.output_paths(&wanted.drv_path)?;
            for name in &wanted.outputs {
                if !outputs.contains_key(name) {
                    let drv = engine.config().store_dir.print(&wanted.drv_path);
                    return Err(CliError::Found(format!("derivation '{drv}' does not have output '{name}'")));
                }
            }
            if !wanted.outputs.is_empty() {
                outputs.retain(|name, _| wanted.outputs.contains(name));
            }
            found.push(Resolved::Built { drv: wanted.drv_path.clone(), outputs });
            not_built.push(wanted);
        }
    }
    missing::print(engine, &not_built)?;
    for path in &unknown {
        missing::tell_unknown(engine, path);
    }
    Ok(found)
}

/// The derivations that targets name; of a store path, the one that made it.
pub(crate) fn derivations(engine: &Engine, line: &Line, targets: &[Target]) -> Result<BTreeSet<StorePath>, CliError> {
    let mut found = BTreeSet::new();
    for target in targets {
        for item in target.items(engine, line)? {
            found.insert(match item {
                Item::Outputs(wanted) => wanted.drv_path,
                Item::Path(path) if path.is_derivation() => {
                    if matches!(engine.derivation(&path), Err(EngineError::NotValid { .. })) {
                        let printed = engine.config().store_dir.print(&path);
                        return Err(CliError::Found(format!("path '{printed}' is not a valid store path")));
                    }
                    path
                }
                Item::Path(path) => {
                    let first = engine.store()?.valid_derivers(&path)?.into_iter().next();
                    let message = || CliError::Found(format!("'{}' does not have a known deriver", target.word));
                    first.ok_or_else(message)?
                }
            });
        }
    }
    Ok(found)
}

/// Whether outputs are to be built first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realise {
    /// They are.
    Outputs,
    /// They are only looked up.
    Nothing,
}

/// The store paths that a command works on, as `--all`, `--recursive` and `--derivation` say: what is referred to comes
/// before what refers to it.
pub(crate) fn store_paths(
    engine: &Engine,
    line: &Line,
    targets: &[Target],
    realise: Realise,
) -> Result<Vec<StorePath>, CliError> {
    let paths = named_paths(engine, line, targets, realise)?;
    let store = engine.store()?;
    let valid: Vec<StorePath> = store.valid_of(&paths)?.into_iter().collect();
    store.add_temp_roots(&valid)?;
    Ok(paths)
}

/// As [`store_paths`], for a command that may remove them: they are not protected.
pub(crate) fn named_paths(
    engine: &Engine,
    line: &Line,
    targets: &[Target],
    realise: Realise,
) -> Result<Vec<StorePath>, CliError> {
    let store = engine.store()?;
    if line.has("all") {
        if !line.args.is_empty() {
            return Err(CliError::usage("'--all' does not expect arguments"));
        }
        let all: Vec<StorePath> = store.all_valid_paths()?.into_iter().collect();
        return Ok(store.closure(&all, Direction::References)?);
    }
    let mut paths: BTreeSet<StorePath> = if line.has("derivation") {
        derivations(engine, line, targets)?
    } else {
        let resolved = match realise {
            Realise::Outputs => build(engine, line, targets, &RealiseOptions::default())?,
            Realise::Nothing => look_up(engine, line, targets)?,
        };
        resolved.iter().flat_map(Resolved::paths).collect()
    };
    let valid: Vec<StorePath> = store.valid_of(&paths)?.into_iter().collect();
    let mut order = store.closure(&valid, Direction::References)?;
    if line.has("recursive") {
        if let Some(path) = paths.iter().find(|path| !valid.contains(path)) {
            store.path_info(path)?;
        }
        return Ok(order);
    }
    order.retain(|path| paths.remove(path));
    order.extend(paths);
    Ok(order)
}

/// The targets and engine of a command that takes any number of installables.
pub(crate) fn open(line: &mut Line) -> Result<(Engine, Vec<Target>), CliError> {
    let lookup = line.lookup()?;
    let engine = line.engine()?;
    let targets = targets(line, &lookup, &engine)?;
    Ok((engine, targets))
}

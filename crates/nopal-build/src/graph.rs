//! `exportReferencesGraph`: closures written down for a builder.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use nopal_format::json::Json;
use nopal_format::{Derivation, PathInfo, StorePath};
use nopal_store::{Direction, Store};

use crate::environment::{AttrsFiles, ExportedGraphs};
use crate::error::BuildError;
use crate::options::BuildOptions;
use crate::outputs::store_error;
use crate::scheduler::read_derivation;

/// Makes the graphs that the derivation asks for.
pub(crate) fn exported_graphs(
    store: &Store,
    options: &BuildOptions,
    inputs: &BTreeSet<StorePath>,
) -> Result<ExportedGraphs, BuildError> {
    if options.structured.is_some() {
        let mut values = BTreeMap::new();
        for (name, roots) in &options.export_references {
            values.insert(name.clone(), closure_json(store, &exported_closure(store, roots, inputs)?)?);
        }
        return Ok(ExportedGraphs::Attributes(values));
    }
    let mut files = BTreeMap::new();
    for (name, roots) in &options.export_references {
        let text = registration(store, &exported_closure(store, roots, inputs)?);
        files.insert(name.clone(), text.into_bytes());
    }
    Ok(ExportedGraphs::Files(files))
}

/// The files of a derivation's structured attributes as its builder finds them, with placeholders for its outputs; `None`
/// if it has no such attributes. `inputs` are the outputs that it needs.
///
/// # Errors
/// The attributes make no sense, or the store fails.
pub fn attrs_files(
    store: &Store,
    derivation: &Derivation,
    inputs: &[StorePath],
) -> Result<Option<AttrsFiles>, BuildError> {
    let options = BuildOptions::of(derivation, store.store_dir())?;
    let Some(attributes) = &options.structured else { return Ok(None) };
    let direct: Vec<StorePath> = derivation.input_srcs.iter().chain(inputs).cloned().collect();
    let closure = store.closure(&direct, Direction::References).map_err(store_error)?;
    let graphs = exported_graphs(store, &options, &closure.into_iter().collect())?;
    Ok(Some(crate::environment::attrs_files(derivation, attributes, &graphs)))
}

/// The closure of the roots; where that contains derivations, also of their valid outputs.
fn exported_closure(
    store: &Store,
    roots: &BTreeSet<StorePath>,
    inputs: &BTreeSet<StorePath>,
) -> Result<BTreeMap<StorePath, PathInfo>, BuildError> {
    let mut all = BTreeSet::new();
    for root in roots {
        if !inputs.contains(root) {
            return Err(BuildError::Derivation {
                text: format!(
                    "cannot export references of path '{}' because it is not in the input closure of the derivation",
                    store.print(root)
                ),
            });
        }
        all.insert(root.clone());
    }
    let closure = |paths: &BTreeSet<StorePath>| {
        let paths: Vec<StorePath> = paths.iter().cloned().collect();
        store.closure(&paths, Direction::References).map_err(store_error)
    };
    all.extend(closure(&all)?);
    let derivations: Vec<StorePath> = all.iter().filter(|path| path.is_derivation()).cloned().collect();
    for drv_path in derivations {
        let derivation = read_derivation(store, &drv_path)?;
        for (name, output) in &derivation.outputs {
            let path = output.path(store.store_dir(), &derivation.name, name).ok().flatten();
            if let Some(path) = path
                && store.is_valid(&path).map_err(store_error)?
            {
                all.extend(closure(&BTreeSet::from([path]))?);
            }
        }
    }
    let paths: Vec<StorePath> = all.into_iter().collect();
    let infos = store.closure_infos(&paths).map_err(store_error)?;
    Ok(infos.into_iter().map(|info| (info.path.clone(), info)).collect())
}

/// Nix's registration format without hashes and derivers: path, empty line, number of references, references.
fn registration(store: &Store, infos: &BTreeMap<StorePath, PathInfo>) -> String {
    let mut text = String::new();
    for info in infos.values() {
        // writing to a string does not fail
        let _ = write!(text, "{}\n\n{}\n", store.print(&info.path), info.references.len());
        for reference in &info.references {
            let _ = writeln!(text, "{}", store.print(reference));
        }
    }
    text
}

/// The form for structured attributes, which Nix keeps stable.
fn closure_json(store: &Store, infos: &BTreeMap<StorePath, PathInfo>) -> Result<Json, BuildError> {
    let number = |number: u64| Json::Number(number.to_string());
    let mut list = Vec::new();
    for info in infos.values() {
        let closure = store.closure_infos(std::slice::from_ref(&info.path)).map_err(store_error)?;
        let references = info.references.iter().map(|path| Json::String(store.print(path))).collect();
        let mut object = vec![
            ("closureSize", number(closure.iter().map(|info| info.nar_size).sum())),
            ("narHash", Json::String(format!("{}:{}", info.nar_hash.algorithm(), info.nar_hash.nix32()))),
            ("narSize", number(info.nar_size)),
            ("path", Json::String(store.print(&info.path))),
            ("references", Json::Array(references)),
            ("valid", Json::Bool(true)),
        ];
        if let Some(ca) = &info.ca {
            object.push(("ca", Json::String(ca.to_string())));
        }
        list.push(Json::object(object));
    }
    Ok(Json::Array(list))
}

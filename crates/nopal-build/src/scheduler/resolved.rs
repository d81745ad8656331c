//! One step of the schedule: a derivation as it is, or resolved first, so that what equal inputs made is found again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use nopal_format::derivation::{DerivationKind, DrvHashes};
use nopal_format::{BuiltPath, Derivation, StorePath};
use nopal_report::Level;

use super::derivation_error;
use super::workers::Site;
use crate::cancel::CancelToken;
use crate::job::{Done, Job, JobFailure, Outcome};
use crate::outputs::store_error;

/// A derivation whose inputs are all there.
pub(super) struct Task {
    pub(super) drv_path: StorePath,
    pub(super) derivation: Arc<Derivation>,
    /// Paths of its outputs, as far as they are known.
    pub(super) outputs: BTreeMap<String, Option<StorePath>>,
    pub(super) wanted: BTreeSet<String>,
    pub(super) check: bool,
    /// Inputs that are outputs of derivations.
    pub(super) inputs: Vec<(BuiltPath, StorePath)>,
}

/// Builds it, or finds out that there is nothing to build.
pub(super) fn build(
    site: &Site<'_>,
    cancel: &CancelToken,
    hashes: &Mutex<DrvHashes>,
    task: &Task,
) -> Result<Done, Box<JobFailure>> {
    let Site { store, config, builds_dir } = *site;
    let wrong = |error| derivation_error(store, &task.drv_path, error);
    let inputs: Vec<StorePath> = task.inputs.iter().map(|(_, path)| path.clone()).collect();
    let job = |drv_path, derivation, outputs, text| Job {
        store,
        config,
        cancel,
        drv_path,
        derivation,
        outputs,
        inputs: &inputs,
        text,
        hashes,
        check: task.check,
        builds_dir,
    };
    if !task.derivation.should_resolve(config.has_feature("ca-derivations")).map_err(wrong)? {
        return job(&task.drv_path, &task.derivation, &task.outputs, None).run();
    }
    let resolved = task.derivation.resolve(store.store_dir(), &task.inputs).map_err(wrong)?;
    let text = resolved.to_aterm(store.store_dir()).map_err(|error| wrong(error.into()))?;
    let path = resolved.drv_path(store.store_dir(), &text).map_err(|error| wrong(error.into()))?;
    let said = format!("resolved derivation: '{}' -> '{}'", store.print(&task.drv_path), store.print(&path));
    config.reporter.message(Level::Info, said);
    let is_impure = resolved.kind().map_err(wrong)? == DerivationKind::Impure;
    let known = match is_impure {
        true => resolved.outputs.keys().map(|name| (name.clone(), None)).collect(),
        // it has no input derivations, so nothing is read for its hash
        false => store.known_outputs(&resolved, &mut DrvHashes::new()).map_err(store_error)?,
    };
    let done = match valid_already(site, task, &known)? {
        Some(outputs) if !task.check => Done { outcome: Outcome::WasValid, outputs },
        _ => job(&path, &resolved, &known, Some(&text)).run().map_err(|mut failure| {
            failure.resolved = Some(path.clone());
            failure
        })?,
    };
    if !is_impure && !task.check {
        job(&task.drv_path, &task.derivation, &task.outputs, None).record(&done.outputs)?;
    }
    Ok(done)
}

/// The known outputs, if those that are wanted are among them and valid.
fn valid_already(
    site: &Site<'_>,
    task: &Task,
    known: &BTreeMap<String, Option<StorePath>>,
) -> Result<Option<BTreeMap<String, StorePath>>, Box<JobFailure>> {
    let paths: Vec<StorePath> = known.values().flatten().cloned().collect();
    site.store.add_temp_roots(&paths).map_err(store_error)?;
    let valid = site.store.valid_of(&paths).map_err(store_error)?;
    let outputs: BTreeMap<String, StorePath> = known
        .iter()
        .filter_map(|(name, path)| Some((name.clone(), path.clone().filter(|path| valid.contains(path))?)))
        .collect();
    Ok(task.wanted.iter().all(|name| outputs.contains_key(name)).then_some(outputs))
}

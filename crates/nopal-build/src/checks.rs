//! What must hold of outputs before they are registered: references allowed and forbidden, sizes.

use std::collections::{BTreeMap, BTreeSet};

use nopal_format::{Derivation, DerivationOutput, PathInfo, StorePath};
use nopal_store::Store;

use crate::error::BuildError;
use crate::options::{AllChecks, OutputChecks, Reference};
use crate::outputs::store_error;

/// The outputs of one build, by name, as they are about to be registered.
pub(crate) struct Checker<'a> {
    pub(crate) store: &'a Store,
    pub(crate) drv_path: &'a StorePath,
    pub(crate) derivation: &'a Derivation,
    pub(crate) infos: &'a BTreeMap<String, PathInfo>,
}

impl Checker<'_> {
    /// Applies all checks to all outputs.
    pub(crate) fn check(&self, checks: &AllChecks) -> Result<(), BuildError> {
        for (name, info) in self.infos {
            if let Some(DerivationOutput::Fixed { .. }) = self.derivation.outputs.get(name)
                && let Some(example) = info.references.first()
            {
                return Err(BuildError::FixedOutputReferences {
                    drv_path: self.store.print(self.drv_path),
                    count: info.references.len(),
                    example: self.store.print(example),
                });
            }
            match checks {
                AllChecks::Same(checks) => self.check_output(name, info, checks)?,
                AllChecks::PerOutput(checks) => {
                    if let Some(checks) = checks.get(name) {
                        self.check_output(name, info, checks)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_output(&self, name: &str, info: &PathInfo, checks: &OutputChecks) -> Result<(), BuildError> {
        if let Some(limit_bytes) = checks.max_size_bytes.filter(|limit| info.nar_size > *limit) {
            let path = self.store.print(&info.path);
            return Err(BuildError::OutputTooLarge { path, size_bytes: info.nar_size, limit_bytes });
        }
        if let Some(limit_bytes) = checks.max_closure_size_bytes {
            let (_, size_bytes) = self.closure(info)?;
            if size_bytes > limit_bytes {
                let path = self.store.print(&info.path);
                return Err(BuildError::ClosureTooLarge { path, size_bytes, limit_bytes });
            }
        }
        if let Some(allowed) = &checks.allowed_references {
            self.references(name, info, allowed, |listed| !listed, &info.references)?;
        }
        if let Some(allowed) = &checks.allowed_requisites {
            self.references(name, info, allowed, |listed| !listed, &self.requisites(info, checks)?)?;
        }
        if !checks.disallowed_references.is_empty() {
            self.references(name, info, &checks.disallowed_references, |listed| listed, &info.references)?;
        }
        if !checks.disallowed_requisites.is_empty() {
            let requisites = self.requisites(info, checks)?;
            self.references(name, info, &checks.disallowed_requisites, |listed| listed, &requisites)?;
        }
        Ok(())
    }

    /// Fails if among `used` there is a path that is `bad`, given whether it is listed.
    fn references(
        &self,
        name: &str,
        info: &PathInfo,
        list: &BTreeSet<Reference>,
        bad: impl Fn(bool) -> bool,
        used: &BTreeSet<StorePath>,
    ) -> Result<(), BuildError> {
        let listed: BTreeSet<&StorePath> =
            list.iter().map(|reference| self.resolve(name, reference)).collect::<Result<_, _>>()?;
        let bad: Vec<String> =
            used.iter().filter(|path| bad(listed.contains(path))).map(|path| self.store.print(path)).collect();
        if bad.is_empty() {
            return Ok(());
        }
        Err(BuildError::ForbiddenReferences { path: self.store.print(&info.path), bad })
    }

    fn resolve<'r>(&'r self, name: &str, reference: &'r Reference) -> Result<&'r StorePath, BuildError> {
        match reference {
            Reference::Path(path) => Ok(path),
            Reference::Output(output) => self.infos.get(output).map(|info| &info.path).ok_or_else(|| {
                let valid: Vec<&str> = self.infos.keys().map(String::as_str).collect();
                BuildError::Derivation {
                    text: format!(
                        "derivation '{}' output check for '{name}' contains output name '{output}', but this is not \
                         a valid output of this derivation. (Valid outputs are [{}].)",
                        self.store.print(self.drv_path),
                        valid.join(", "),
                    ),
                }
            }),
        }
    }

    fn requisites(&self, info: &PathInfo, checks: &OutputChecks) -> Result<BTreeSet<StorePath>, BuildError> {
        let (mut paths, _) = self.closure(info)?;
        if checks.ignore_self_references {
            paths.remove(&info.path);
        }
        Ok(paths)
    }

    /// The closure of an output that is not valid yet, and its size as NARs.
    fn closure(&self, info: &PathInfo) -> Result<(BTreeSet<StorePath>, u64), BuildError> {
        let ours: BTreeMap<&StorePath, &PathInfo> = self.infos.values().map(|info| (&info.path, info)).collect();
        let (mut paths, mut size_bytes) = (BTreeSet::new(), 0);
        let (mut left, mut outside) = (vec![&info.path], Vec::new());
        while let Some(path) = left.pop() {
            if !paths.insert(path.clone()) {
                continue;
            }
            match ours.get(path) {
                Some(info) => {
                    size_bytes += info.nar_size;
                    left.extend(&info.references);
                }
                None => outside.push(path.clone()),
            }
        }
        for other in self.store.closure_infos(&outside).map_err(store_error)? {
            size_bytes += other.nar_size;
            paths.insert(other.path);
        }
        Ok((paths, size_bytes))
    }
}

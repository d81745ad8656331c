//! Resolved derivations: inputs replaced by what they turned out to be, so that equal inputs make equal derivations.

use std::collections::BTreeMap;

use super::{
    Derivation, DerivationError, DerivationKind, DerivationOutput, DrvHash, OutputMask, STRUCTURED_ATTRS_VARIABLE,
};
use crate::bytes::ByteString;
use crate::derived_path::BuiltPath;
use crate::json::Json;
use crate::store_path::{StoreDir, StorePath};

impl Derivation {
    /// Whether a build of it must be one of its resolved form. `resolve_fixed` says so for fixed outputs, where it only
    /// avoids builds.
    ///
    /// # Errors
    /// Outputs that do not go together.
    pub fn should_resolve(&self, resolve_fixed: bool) -> Result<bool, DerivationError> {
        if self.input_drvs.is_empty() {
            return Ok(false);
        }
        let by_kind = match self.kind()? {
            DerivationKind::InputAddressed => false,
            DerivationKind::Fixed => resolve_fixed,
            DerivationKind::Deferred | DerivationKind::Floating | DerivationKind::Impure => true,
        };
        Ok(by_kind || self.has_dynamic_inputs())
    }

    /// The derivation with input derivations replaced by their outputs, whose paths are `paths`. Placeholders become
    /// paths, and outputs that were deferred get theirs.
    ///
    /// # Errors
    /// Names that make no valid paths.
    pub fn resolve(&self, dir: &StoreDir, paths: &[(BuiltPath, StorePath)]) -> Result<Self, DerivationError> {
        let mut resolved = Self { input_drvs: BTreeMap::new(), ..self.clone() };
        let mut rewrites = BTreeMap::new();
        for (built, path) in paths {
            rewrites.insert(built.placeholder()?.render(), dir.print(path));
            resolved.input_srcs.insert(path.clone());
        }
        resolved.rewrite(&rewrites);
        let mut no_inputs = |path: &StorePath| -> Result<DrvHash, DerivationError> {
            // there are none, so nobody asks
            Err(DerivationError::Cycle { path: path.clone() })
        };
        let hash = resolved.hash_modulo(dir, OutputMask::Blank, &mut no_inputs, &mut Vec::new())?;
        for (name, output) in &mut resolved.outputs {
            if let (DerivationOutput::Deferred, Some(hash)) = (&*output, hash.of_output(name)) {
                let path = dir.output_path(name, &hash, &self.name)?;
                resolved.env.insert(name, dir.print(&path));
                *output = DerivationOutput::InputAddressed { path };
            }
        }
        Ok(resolved)
    }

    fn rewrite(&mut self, rewrites: &BTreeMap<String, String>) {
        if rewrites.is_empty() {
            return;
        }
        let apply = |text: &[u8]| ByteString::from(replace_all(text, rewrites));
        self.builder = apply(&self.builder);
        self.args.iter_mut().for_each(|argument| *argument = apply(argument));
        self.env = self.env.iter().map(|(name, value)| (apply(&name), apply(&value))).collect();
        if let Some(text) = self.env.get(STRUCTURED_ATTRS_VARIABLE.as_bytes())
            && let Some(json) = text.to_str().and_then(|text| Json::parse(text).ok())
        {
            // names of attributes may have been replaced, too, and are sorted
            self.env.insert(STRUCTURED_ATTRS_VARIABLE, json.to_compact());
        }
    }
}

fn replace_all(text: &[u8], rewrites: &BTreeMap<String, String>) -> Vec<u8> {
    let mut text = text.to_vec();
    for (from, to) in rewrites {
        let mut begin = 0;
        while let Some(at) = memchr::memmem::find(&text[begin..], from.as_bytes()) {
            let at = begin + at;
            text.splice(at..at + from.len(), to.bytes());
            begin = at + to.len();
        }
    }
    text
}

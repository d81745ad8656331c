//! Outputs of derivations as strings: paths where they are known, placeholders where they are not.

use nopal_format::derivation::{DerivationForm, DerivationOutput};
use nopal_format::{BuiltPath, Derivation, SingleDerivedPath, StorePath};

use crate::context::ContextElement;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::host::Wanted;
use crate::pos::Pos;
use crate::value::Value;

impl Evaluator {
    /// Fails unless an experimental feature is on. `why` says what needs it; it may be empty.
    pub(crate) fn require_feature(&self, feature: &str, why: &str) -> Result<()> {
        if self.settings.has_feature(feature) {
            return Ok(());
        }
        let reason = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let message = format!(
            "experimental Nix feature '{feature}' is disabled{reason}; add '--extra-experimental-features {feature}' to \
             enable it"
        );
        Err(Error::new(ErrorKind::Eval, message))
    }

    /// Reads a derivation; one of an experimental kind only where that is on.
    pub(crate) fn read_derivation(&self, path: &StorePath) -> Result<Derivation> {
        let drv = self.host().read_derivation(path).map_err(|error| self.host_error(error, Pos::NONE))?;
        self.check_derivation_features(&drv)?;
        Ok(drv)
    }

    /// Fails if a derivation is of a kind that is experimental and not on.
    pub(crate) fn check_derivation_features(&self, drv: &Derivation) -> Result<()> {
        let needed = drv.required_features(DerivationForm::Aterm);
        needed.iter().try_for_each(|(feature, why)| self.require_feature(feature, why))
    }

    /// The string for an output of a derivation: its path, or a placeholder where that is not known yet.
    pub(crate) fn output_string(
        &mut self,
        drv: &StorePath,
        drv_name: &str,
        output: &str,
        spec: &DerivationOutput,
    ) -> Result<Value> {
        let built = BuiltPath { drv: drv.clone().into(), output: output.into() };
        let known =
            spec.path(&self.settings.store_dir, drv_name, output).map_err(|error| Error::eval(error.to_string()))?;
        let text = self.output_text(&built, known)?;
        let context = self.contexts.single(ContextElement::Built(built));
        Ok(self.heap.string_with(text.as_bytes(), context))
    }

    /// The string of an output whose path is known, with the context that says so.
    pub(crate) fn known_output_string(&mut self, drv: &StorePath, output: &str, path: &[u8]) -> Value {
        let built = BuiltPath { drv: drv.clone().into(), output: output.into() };
        let context = self.contexts.single(ContextElement::Built(built));
        self.heap.string_with(path, context)
    }

    fn output_text(&self, built: &BuiltPath, known: Option<StorePath>) -> Result<String> {
        if let Some(path) = known {
            return Ok(self.settings.store_dir.print(&path));
        }
        self.require_feature("ca-derivations", "")?;
        let mut at = built;
        let mut nested = Vec::new();
        while let SingleDerivedPath::Built(inner) = &at.drv {
            nested.push(&at.output);
            at = inner;
        }
        for output in nested.iter().rev() {
            let why = format!("placeholder for unknown derivation output '{output}'");
            self.require_feature("dynamic-derivations", &why)?;
        }
        let placeholder = built.placeholder().map_err(|error| Error::eval(error.to_string()))?;
        Ok(placeholder.render())
    }

    /// The string that stands for a deriving path.
    fn derived_path_text(&self, path: &SingleDerivedPath) -> Result<String> {
        let built = match path {
            SingleDerivedPath::Opaque(path) => return Ok(self.settings.store_dir.print(path)),
            SingleDerivedPath::Built(built) => built,
        };
        let known = match &built.drv {
            SingleDerivedPath::Opaque(path) => {
                let drv = self.read_derivation(path)?;
                let Some(spec) = drv.outputs.get(built.output.as_str()) else {
                    let drv = self.settings.store_dir.print(path);
                    let message = format!("derivation '{drv}' does not have output '{}'", built.output);
                    return Err(Error::eval(message));
                };
                spec.path(&self.settings.store_dir, &drv.name, &built.output)
                    .map_err(|error| Error::eval(error.to_string()))?
            }
            SingleDerivedPath::Built(_) => None,
        };
        self.output_text(built, known)
    }

    /// The string for a deriving path, which depends on it.
    pub(crate) fn derived_path_string(&mut self, path: SingleDerivedPath) -> Result<Value> {
        let text = self.derived_path_text(&path)?;
        let element = match path {
            SingleDerivedPath::Opaque(path) => ContextElement::Opaque(path),
            SingleDerivedPath::Built(built) => ContextElement::Built(*built),
        };
        let context = self.contexts.single(element);
        Ok(self.heap.string_with(text.as_bytes(), context))
    }

    /// The deriving path that a string is: what its context says, if the text agrees with that.
    pub(crate) fn coerce_to_derived_path(&mut self, value: Value, pos: Pos, what: &str) -> Result<SingleDerivedPath> {
        let string = self.force_string(value, pos, what)?;
        let text = string.to_lossy().into_owned();
        let elements = self.contexts.get(string.context());
        let mut iter = elements.iter();
        let (Some(element), None) = (iter.next(), iter.next()) else {
            let message = format!(
                "string '{text}' has {} entries in its context. It should only have exactly one entry",
                elements.len()
            );
            return Err(Error::eval(message).trace(pos, what));
        };
        let path = match element {
            ContextElement::Opaque(path) => SingleDerivedPath::Opaque(path.clone()),
            ContextElement::Built(built) => built.clone().into(),
            ContextElement::DrvDeep(_) => {
                let message = format!(
                    "string '{text}' has a context which refers to a complete source and binary closure. This is not \
                     supported at this time"
                );
                return Err(Error::eval(message).trace(pos, what));
            }
        };
        let expected = self.derived_path_text(&path)?;
        if string.as_bytes() == expected.as_bytes() {
            return Ok(path);
        }
        let message = match &path {
            SingleDerivedPath::Opaque(_) => {
                format!("path string '{text}' has context with the different path '{expected}'")
            }
            SingleDerivedPath::Built(built) => format!(
                "string '{text}' has context with the output '{}' from derivation '{}', but the string is not the right \
                 placeholder for this derivation output. It should be '{expected}'",
                built.output,
                built.drv.display(&self.settings.store_dir)
            ),
        };
        Err(Error::eval(message).trace(pos, what))
    }

    /// The store path of a derivation, which is built first if it is an output.
    pub fn obtain_derivation(&self, path: &SingleDerivedPath) -> Result<StorePath> {
        let built = match path {
            SingleDerivedPath::Opaque(path) => return Ok(path.clone()),
            SingleDerivedPath::Built(built) => built,
        };
        let failed = |reason: String| {
            let what = format!("failed to obtain derivation of '{}'", built.display(&self.settings.store_dir));
            Error::new(ErrorKind::Host, format!("{what}\n{reason}").trim_end().to_owned())
        };
        let found = self.host().realise(&[Wanted::Output((**built).clone())]);
        let mut found = found.map_err(|error| failed(error.to_string()))?;
        found.pop().ok_or_else(|| failed(String::new()))
    }

    /// The store path that a deriving path has turned out to be.
    pub(crate) fn resolve_derived_path(&self, path: &SingleDerivedPath, pos: Pos) -> Result<StorePath> {
        let built = match path {
            SingleDerivedPath::Opaque(path) => return Ok(path.clone()),
            SingleDerivedPath::Built(built) => built,
        };
        // from the inside out, for it is the first step that cannot be taken that is reported
        let drv = self.resolve_derived_path(&built.drv, pos)?;
        let host_error = |error| self.host_error(error, pos);
        if !self.host().ensure_path(&drv).map_err(host_error)? {
            let message = format!("path '{}' is not valid", self.settings.store_dir.print(&drv));
            return Err(Error::new(ErrorKind::InvalidPath, message));
        }
        let step = BuiltPath { drv: drv.into(), output: built.output.clone() };
        match self.host().known_output(&step).map_err(host_error)? {
            Some(path) => Ok(path),
            None => Err(Error::eval(format!(
                "cannot operate on output '{}' of the unbuilt derivation '{}'",
                built.output,
                built.drv.display(&self.settings.store_dir)
            ))),
        }
    }
}

//! The environment that a derivation's builder has, for a shell: what `nix develop` and `nix print-dev-env` are made of.
//!
//! A derivation with the same dependencies and variables is built, whose builder writes down what the standard
//! environment sets up. Its output is JSON with the keys of Nix's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use nopal_build::AttrsFiles;
use nopal_format::derivation::DerivationOutput;
use nopal_format::derivation::{DrvHashes, STRUCTURED_ATTRS_VARIABLE};
use nopal_format::json::{Json, JsonError};
use nopal_format::{ByteString, Derivation, StorePath};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::realise::Wanted;

/// The builder's script.
const SCRIPT: &str = include_str!("environment.sh");
/// What it is called in the store.
pub(crate) const SCRIPT_NAME: &str = "get-env.sh";
/// What the name of such a derivation ends in.
const SUFFIX: &str = "-env";

/// Variables with which a derivation checks its outputs.
const CHECKS: [&str; 4] = ["allowedReferences", "allowedRequisites", "disallowedReferences", "disallowedRequisites"];

/// A variable of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellVariable {
    /// A string.
    Text {
        /// Its value.
        value: String,
        /// Whether programs see it.
        exported: bool,
    },
    /// A list.
    Array(Vec<String>),
    /// A table.
    Associative(BTreeMap<String, String>),
}

/// Variables and functions of a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellEnvironment {
    /// Variables by name.
    pub variables: BTreeMap<String, ShellVariable>,
    /// Bodies of functions by name.
    pub functions: BTreeMap<String, String>,
    /// Structured attributes, if the derivation has them.
    pub attrs: Option<AttrsFiles>,
}

impl Engine {
    /// The files of a derivation's structured attributes, if it has them. What it needs was built.
    ///
    /// # Errors
    /// The attributes make no sense.
    pub fn attrs_files(
        &self,
        derivation: &Derivation,
        inputs: &[StorePath],
    ) -> Result<Option<AttrsFiles>, EngineError> {
        nopal_build::attrs_files(self.store()?, derivation, inputs)
            .map_err(|error| nopal_build::RealiseError::Machine(error).into())
    }

    /// Whether a store path is an environment that was built before.
    pub fn is_environment(&self, path: &StorePath) -> bool {
        path.name().ends_with(SUFFIX)
    }

    /// Adds the derivation that builds the environment of another.
    ///
    /// # Errors
    /// The other is not valid, or has another builder than bash.
    pub fn environment_derivation(&self, drv: &StorePath) -> Result<Wanted, EngineError> {
        let mut derivation = self.shared.read_derivation(drv)?;
        let builder = derivation.builder.to_string_lossy().into_owned();
        if builder.rsplit('/').next() != Some("bash") {
            return Err(EngineError::NotBash);
        }
        let store = self.shared.source_store()?;
        let script = store.add_text(SCRIPT_NAME, SCRIPT.as_bytes(), &BTreeSet::new())?;
        derivation.args = vec![ByteString::from(store.print(&script))];
        derivation.input_srcs.insert(script);
        match derivation.structured_attrs() {
            Some(attrs) => {
                let mut attrs = attrs.map_err(nopal_format::derivation::DerivationJsonError::from)?;
                if let Json::Object(attrs) = &mut attrs {
                    attrs.remove("outputChecks");
                }
                derivation.env.insert(STRUCTURED_ATTRS_VARIABLE, attrs.to_compact());
            }
            None => CHECKS.iter().for_each(|check| _ = derivation.env.remove(check.as_bytes())),
        }
        derivation.name += SUFFIX;
        derivation.env.insert("name", &derivation.name);
        for (name, output) in &mut derivation.outputs {
            if matches!(output, DerivationOutput::InputAddressed { .. } | DerivationOutput::Fixed { .. }) {
                *output = DerivationOutput::Deferred;
                derivation.env.insert(name, "");
            }
        }
        let drv_path = self.write_derivation(&mut derivation)?;
        Ok(Wanted { drv_path, outputs: Vec::new(), output: String::new(), attr: String::new() })
    }

    /// Fills in the paths of a derivation's outputs and adds it to the store.
    fn write_derivation(&self, derivation: &mut Derivation) -> Result<StorePath, EngineError> {
        let mut read = |path: &StorePath| self.shared.read_derivation(path);
        let mut hashes = DrvHashes::new();
        let made = hashes.instantiate(&self.config().store_dir, derivation, &mut read)?;
        Ok(self.shared.source_store()?.add_text(made.path.name(), made.aterm, &derivation.references())?)
    }

    /// The output of an environment's derivation that holds the environment.
    ///
    /// # Errors
    /// There is none.
    pub fn environment_output(&self, outputs: &[StorePath]) -> Result<StorePath, EngineError> {
        let store = self.store()?;
        for path in outputs {
            let metadata = nopal_fs::symlink_metadata(&store.physical_path(path))?;
            if metadata.is_file() && metadata.len() > 0 {
                return Ok(path.clone());
            }
        }
        Err(EngineError::NoEnvironment)
    }

    /// Reads an environment.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read_environment(&self, path: &StorePath) -> Result<ShellEnvironment, EngineError> {
        let text = nopal_fs::read_file(&self.store()?.physical_path(path))?;
        let text = String::from_utf8_lossy(&text);
        let wrong = |source: JsonError| EngineError::Environment { path: self.config().store_dir.print(path), source };
        ShellEnvironment::parse(&text).map_err(wrong)
    }
}

impl ShellEnvironment {
    fn parse(text: &str) -> Result<Self, JsonError> {
        let json = Json::parse(text)?;
        let mut environment = Self::default();
        for (name, info) in json.key("variables")?.as_object("variables")? {
            let value = || info.key("value");
            let variable = match info.key("type")?.as_str("type")? {
                kind @ ("var" | "exported") => {
                    ShellVariable::Text { value: value()?.as_str("value")?.to_owned(), exported: kind == "exported" }
                }
                "array" => {
                    let items = value()?.as_array("value")?.iter().map(|item| item.as_str("value").map(str::to_owned));
                    ShellVariable::Array(items.collect::<Result<_, _>>()?)
                }
                "associative" => ShellVariable::Associative(texts(value()?)?),
                _ => continue,
            };
            environment.variables.insert(name.clone(), variable);
        }
        environment.functions = texts(json.key("bashFunctions")?)?;
        if let Some(files) = json.get("structuredAttrs") {
            let text = |name| files.key(name).and_then(|file| file.as_str(name)).map(str::to_owned);
            environment.attrs = Some(AttrsFiles { json: text(".attrs.json")?, shell: text(".attrs.sh")? });
        }
        Ok(environment)
    }

    /// The environment as `nix print-dev-env --json` prints it.
    pub fn to_json(&self) -> Json {
        let strings = |pairs: &BTreeMap<String, String>| {
            Json::object(pairs.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))))
        };
        let variables = self.variables.iter().map(|(name, variable)| {
            let (kind, value) = match variable {
                ShellVariable::Text { value, exported: true } => ("exported", Json::from(value.as_str())),
                ShellVariable::Text { value, exported: false } => ("var", Json::from(value.as_str())),
                ShellVariable::Array(items) => {
                    ("array", Json::Array(items.iter().map(|item| Json::from(item.as_str())).collect()))
                }
                ShellVariable::Associative(pairs) => ("associative", strings(pairs)),
            };
            (name.clone(), Json::object([("type", Json::from(kind)), ("value", value)]))
        });
        let mut all = BTreeMap::from([
            ("bashFunctions".to_owned(), strings(&self.functions)),
            ("variables".to_owned(), Json::object(variables)),
        ]);
        if let Some(files) = &self.attrs {
            let files = [(".attrs.json", Json::from(files.json.as_str())), (".attrs.sh", files.shell.as_str().into())];
            all.insert("structuredAttrs".to_owned(), Json::object(files));
        }
        Json::Object(all)
    }

    /// What makes this the environment of a bash, but for the variables in `ignored`.
    pub fn to_bash(&self, ignored: &[&str]) -> String {
        let mut out = String::new();
        for (name, variable) in &self.variables {
            if ignored.contains(&name.as_str()) {
                continue;
            }
            let _ = match variable {
                ShellVariable::Text { value, exported: false } => writeln!(out, "{name}={}", word(value)),
                ShellVariable::Text { value, exported: true } => {
                    writeln!(out, "{name}={}\nexport {name}", word(value))
                }
                ShellVariable::Array(items) => {
                    let items: String = items.iter().map(|item| word(item) + " ").collect();
                    writeln!(out, "declare -a {name}=({items})")
                }
                ShellVariable::Associative(pairs) => {
                    let pairs: String =
                        pairs.iter().map(|(key, value)| format!("[{}]={} ", word(key), word(value))).collect();
                    writeln!(out, "declare -A {name}=({pairs})")
                }
            };
        }
        for (name, body) in &self.functions {
            let _ = writeln!(out, "{name} ()\n{{\n{body}}}");
        }
        out
    }

    /// The paths of the outputs by name.
    pub fn outputs(&self) -> BTreeMap<String, String> {
        let names: Vec<&str> = match self.variables.get("outputs") {
            Some(ShellVariable::Associative(pairs)) => return pairs.clone(),
            Some(ShellVariable::Text { value, .. }) => value.split_whitespace().collect(),
            Some(ShellVariable::Array(items)) => items.iter().map(String::as_str).collect(),
            None => Vec::new(),
        };
        let path = |name: &str| Some((name.to_owned(), self.text(name)?.to_owned()));
        names.into_iter().filter_map(path).collect()
    }

    /// The value of a variable that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.variables.get(name)? {
            ShellVariable::Text { value, .. } => Some(value),
            _ => None,
        }
    }
}

/// An object of strings.
fn texts(json: &Json) -> Result<BTreeMap<String, String>, JsonError> {
    let pairs = json.as_object("value")?.iter();
    pairs.map(|(name, value)| Ok((name.clone(), value.as_str(name)?.to_owned()))).collect()
}

/// A word of the shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_become_bash_and_json() {
        let text = r#"{"bashFunctions":{"f":" \n    echo\n"},"variables":{"a":{"type":"exported","value":"it's"},
            "b":{"type":"array","value":["1","2 3"]},"c":{"type":"associative","value":{"k":"v"}},
            "n":{"type":"unknown"},"out":{"type":"var","value":"/o"},"outputs":{"type":"var","value":"out"}}}"#;
        let environment = ShellEnvironment::parse(text).unwrap();
        let bash = "a='it'\\''s'\nexport a\ndeclare -a b=('1' '2 3' )\ndeclare -A c=(['k']='v' )\nout='/o'\n\
                    f ()\n{\n \n    echo\n}\n";
        assert_eq!(environment.to_bash(&["outputs"]), bash);
        assert_eq!(environment.outputs(), BTreeMap::from([("out".to_owned(), "/o".to_owned())]));
        let again = ShellEnvironment::parse(&environment.to_json().to_compact()).unwrap();
        assert_eq!(again, environment);
    }
}

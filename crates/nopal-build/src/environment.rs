//! What a builder finds in its environment and in its build directory.

use std::collections::BTreeMap;

use nopal_format::Derivation;
use nopal_format::hash::sha256;
use nopal_format::json::Json;
use nopal_format::store_path::hash_placeholder;

use crate::attrs::shell_declarations;
use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::options::BuildOptions;
use crate::rewrite::Rewrites;

/// Variables that name the build directory.
const BUILD_DIR_VARIABLES: [&str; 6] = ["NIX_BUILD_TOP", "PWD", "TEMP", "TEMPDIR", "TMP", "TMPDIR"];

/// Variables, and files in the build directory.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) variables: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Closures that were asked for with `exportReferencesGraph`.
pub(crate) enum ExportedGraphs {
    /// Files in Nix's registration format, by file name.
    Files(BTreeMap<String, Vec<u8>>),
    /// Values for structured attributes, by attribute name.
    Attributes(BTreeMap<String, Json>),
}

/// What goes into an environment.
pub(crate) struct EnvironmentSource<'a> {
    pub(crate) derivation: &'a Derivation,
    pub(crate) options: &'a BuildOptions,
    pub(crate) graphs: ExportedGraphs,
    pub(crate) config: &'a BuildConfig,
    /// The logical store directory.
    pub(crate) store_dir: &'a str,
    /// The build directory as the builder sees it.
    pub(crate) build_dir: &'a str,
    pub(crate) rewrites: &'a Rewrites,
}

impl EnvironmentSource<'_> {
    /// Makes variables and files, with everything rewritten.
    pub(crate) fn make(self) -> Result<Environment, BuildError> {
        let Self { derivation, options, config, rewrites, .. } = self;
        let mut environment = Environment::default();
        let mut set = |name: &str, value: &str| {
            environment.variables.insert(name.as_bytes().to_vec(), value.as_bytes().to_vec());
        };
        // shells have a default of their own for a PATH that is not set
        set("PATH", "/path-not-set");
        // programs look into /etc/passwd if HOME is not set
        set("HOME", "/homeless-shelter");
        set("NIX_STORE", self.store_dir);
        set("NIX_BUILD_CORES", &cores(config).to_string());
        self.add_attributes(&mut environment)?;
        let mut set = |name: &str, value: &[u8]| {
            environment.variables.insert(name.as_bytes().to_vec(), value.to_vec());
        };
        for name in BUILD_DIR_VARIABLES {
            set(name, self.build_dir.as_bytes());
        }
        if derivation.is_fixed() {
            set("NIX_OUTPUT_CHECKED", b"1");
        }
        if derivation.is_networked() {
            for name in &options.impure_variables {
                let value = config.environment.get(name.as_slice()).map(|value| value.as_bytes()).unwrap_or_default();
                environment.variables.insert(name.clone(), value.to_vec());
            }
        }
        environment.variables.insert(b"NIX_LOG_FD".to_vec(), b"2".to_vec());
        environment.variables.insert(b"TERM".to_vec(), b"xterm-256color".to_vec());
        Ok(Environment {
            variables: environment
                .variables
                .iter()
                .map(|(name, value)| (rewrites.apply(name), rewrites.apply(value)))
                .collect(),
            files: environment.files.into_iter().map(|(name, data)| (name, rewrites.apply(&data))).collect(),
        })
    }

    fn add_attributes(&self, environment: &mut Environment) -> Result<(), BuildError> {
        let mut add_file = |variable: Vec<u8>, file: String, data: Vec<u8>| {
            environment.variables.insert(variable, format!("{}/{file}", self.build_dir).into_bytes());
            environment.files.insert(file, data);
        };
        if let Some(attributes) = &self.options.structured {
            let files = attrs_files(self.derivation, attributes, &self.graphs);
            add_file(b"NIX_ATTRS_SH_FILE".to_vec(), ".attrs.sh".to_owned(), files.shell.into_bytes());
            add_file(b"NIX_ATTRS_JSON_FILE".to_vec(), ".attrs.json".to_owned(), files.json.into_bytes());
            return Ok(());
        }
        for (name, value) in &self.derivation.env {
            if self.options.pass_as_file.contains(name.as_bytes()) {
                let file = format!(".attr-{}", sha256(name.as_bytes()).nix32());
                let variable = [name.as_bytes(), b"Path"].concat();
                environment.variables.insert(variable, format!("{}/{file}", self.build_dir).into_bytes());
                environment.files.insert(file, value.as_bytes().to_vec());
            } else {
                environment.variables.insert(name.as_bytes().to_vec(), value.as_bytes().to_vec());
            }
        }
        if let ExportedGraphs::Files(graphs) = &self.graphs {
            environment.files.extend(graphs.clone());
        }
        Ok(())
    }
}

/// Structured attributes as files of a builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrsFiles {
    /// `.attrs.json`.
    pub json: String,
    /// `.attrs.sh`.
    pub shell: String,
}

/// The files of structured attributes, with placeholders for the outputs.
pub(crate) fn attrs_files(
    derivation: &Derivation,
    attributes: &BTreeMap<String, Json>,
    graphs: &ExportedGraphs,
) -> AttrsFiles {
    let mut attributes = attributes.clone();
    let outputs = derivation.outputs.keys().map(|name| (name.clone(), Json::String(hash_placeholder(name))));
    attributes.insert("outputs".to_owned(), Json::object(outputs));
    if let ExportedGraphs::Attributes(graphs) = graphs {
        attributes.extend(graphs.clone());
    }
    AttrsFiles { shell: shell_declarations(&attributes), json: Json::Object(attributes).to_compact() }
}

/// What builders read in `NIX_BUILD_CORES`.
fn cores(config: &BuildConfig) -> usize {
    match config.cores {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        cores => cores,
    }
}

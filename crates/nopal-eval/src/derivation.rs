//! `derivationStrict`: from an attribute set to a derivation in the store.

use std::collections::{BTreeMap, BTreeSet};

use nopal_format::derivation::{
    DerivationError, DerivationOutput, Environment, InputOutputs, OutputName, OutputNames, OutputSpec,
    STRUCTURED_ATTRS_VARIABLE,
};
use nopal_format::json::Json;
use nopal_format::store_path::check_name;
use nopal_format::{ByteString, ContentAddress, ContentAddressMethod, Derivation, Hash, HashAlgorithm, StorePath};
use nopal_syntax::Symbol;
use nopal_syntax::interner::sym;

use crate::Evaluator;
use crate::builtin::{BuiltinDef, Scope};
use crate::builtins::hash::known_algorithm;
use crate::context::{Context, ContextElement, Gathered};
use crate::error::{Error, Result};
use crate::eval::coerce::Coerce;
use crate::pos::Pos;
use crate::value::{Attrs, AttrsBuilder, NixStr, Value};

/// The Nix text of the function `derivation`.
pub(crate) const WRAPPER: &str = include_str!("derivation.nix");

/// A guess at the size of an environment.
const ENVIRONMENT_BYTES: usize = 2048;

/// What positions in that text are said to be in.
pub(crate) const INTERNAL_PATH: &[u8] = b"/derivation-internal.nix";

pub(crate) const DEFS: &[BuiltinDef] = &[BuiltinDef {
    name: "derivationStrict",
    args: &["attrs"],
    doc: "Makes a derivation from its attributes and returns its path and those of its outputs.",
    scope: Scope::Global,
    feature: None,
    trace: true,
    fun: derivation_strict,
    first: None,
}];

fn derivation_strict(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(args[0], pos, "while evaluating the argument passed to builtins.derivationStrict")?;
    let what = "in the attrset passed as argument to builtins.derivationStrict";
    let name_value = ev.require_attr(attrs, sym::NAME, what)?;
    let name_pos = attrs.get_with_pos(sym::NAME).map_or(Pos::NONE, |(_, pos)| pos);
    let what = "while evaluating the `name` attribute passed to builtins.derivationStrict";
    let name = ev
        .force_string_no_ctx(name_value, pos, what)
        .map_err(|error| error.trace(name_pos, "while evaluating the derivation attribute 'name'"))?;
    let name = name.to_lossy().into_owned();
    make(ev, &name, attrs).map_err(|error| {
        let place = ev.show_pos(name_pos);
        let message = format!("while evaluating derivation '{name}'\n  whose name attribute is located at {place}");
        error.trace(Pos::NONE, message)
    })
}

/// What the attributes said, before it becomes a derivation.
struct Draft<'a> {
    name: &'a str,
    drv: Derivation,
    contexts: Gathered,
    /// Structured attributes so far, as members of a JSON object.
    structured: Option<Vec<u8>>,
    content_addressed: bool,
    impure: bool,
    output_hash: Option<Vec<u8>>,
    output_hash_algo: Option<HashAlgorithm>,
    method: Option<ContentAddressMethod>,
    outputs: OutputNames,
}

/// A failure while a derivation's hash is computed.
struct HashFailure(Error);

impl From<DerivationError> for HashFailure {
    fn from(error: DerivationError) -> HashFailure {
        HashFailure(Error::eval(error.to_string()))
    }
}

fn make(ev: &mut Evaluator, name: &str, attrs: Attrs) -> Result<Value> {
    if let Err(problem) = check_name(name.as_bytes()) {
        let message = format!("invalid derivation name: {problem}. Please pass a different 'name'.");
        return Err(Error::eval(message));
    }
    let mut flag = |symbol: Symbol, what: &str| match attrs.get(symbol) {
        Some(value) => ev.force_bool(value, Pos::NONE, what),
        None => Ok(false),
    };
    let structured = flag(
        sym::STRUCTURED_ATTRS,
        "while evaluating the `__structuredAttrs` attribute passed to builtins.derivationStrict",
    )?;
    let ignore_nulls =
        flag(sym::IGNORE_NULLS, "while evaluating the `__ignoreNulls` attribute passed to builtins.derivationStrict")?;
    let mut draft = Draft {
        name,
        drv: Derivation {
            name: name.to_owned(),
            env: Environment::with_capacity(attrs.len() + 1, ENVIRONMENT_BYTES),
            ..Derivation::default()
        },
        contexts: Gathered::default(),
        structured: structured.then(Vec::new),
        content_addressed: false,
        impure: false,
        output_hash: None,
        output_hash_algo: None,
        method: None,
        outputs: ["out"].into_iter().collect(),
    };
    let all = attrs.sorted(&ev.symbols);
    let ahead = if structured { crate::builtins::json::copying_ahead } else { crate::eval::coerce::derivation_ahead };
    ev.each(
        all.len(),
        |index| all[index].2,
        ahead,
        |ev, index| {
            let (key, pos, value) = all[index];
            if key == sym::IGNORE_NULLS {
                return Ok(());
            }
            draft.attribute(ev, key, value, ignore_nulls).map_err(|error| {
                let message = format!("while evaluating attribute '{}' of derivation '{name}'", ev.shown(key));
                error.trace(pos, message)
            })
        },
    )?;
    draft.finish(ev)
}

impl Draft<'_> {
    fn attribute(&mut self, ev: &mut Evaluator, key: Symbol, value: Value, ignore_nulls: bool) -> Result<()> {
        if ignore_nulls && ev.force(value, Pos::NONE)? == Value::NULL {
            return Ok(());
        }
        match key {
            sym::CONTENT_ADDRESSED => {
                if ev.force_bool(value, Pos::NONE, "")? {
                    self.content_addressed = true;
                    ev.require_feature("ca-derivations", "")?;
                }
            }
            sym::IMPURE => {
                if ev.force_bool(value, Pos::NONE, "")? {
                    self.impure = true;
                    ev.require_feature("impure-derivations", "")?;
                }
            }
            sym::ARGS => {
                let args = ev.force_list(value, Pos::NONE, "")?;
                self.drv.args.reserve(args.len());
                for arg in args.iter() {
                    let what = "while evaluating an element of the argument list";
                    let mut context = Context::EMPTY;
                    let arg = ev.coerce_to_string(arg, Pos::NONE, &mut context, what, Coerce::DERIVATION)?;
                    self.contexts.add(context);
                    self.drv.args.push(ByteString::from(arg));
                }
            }
            sym::STRUCTURED_ATTRS if self.structured.is_some() => {}
            _ if self.structured.is_some() => self.structured_attribute(ev, key, value)?,
            _ => self.plain_attribute(ev, key, value)?,
        }
        Ok(())
    }

    fn plain_attribute(&mut self, ev: &mut Evaluator, key: Symbol, value: Value) -> Result<()> {
        let mut context = Context::EMPTY;
        let mut writing = self.drv.env.write(ev.symbols.get(key));
        ev.coerce_into(value, Pos::NONE, &mut context, "", Coerce::DERIVATION, writing.text())?;
        let text = writing.finish();
        self.contexts.add(context);
        if key == sym::JSON {
            ev.warn(&format!(
                "In derivation '{}': setting structured attributes via '__json' is deprecated, and may be disallowed \
                 in future versions of Nix. Set '__structuredAttrs = true' instead.",
                self.name
            ))?;
            let parsed = text.to_str().and_then(|text| Json::parse(text).ok());
            let Some(json) = parsed else {
                return Err(Error::eval("cannot process __json attribute: it is not valid JSON"));
            };
            self.drv.env.insert(STRUCTURED_ATTRS_VARIABLE, json.to_compact());
            return Ok(());
        }
        match key {
            sym::BUILDER => self.drv.builder = ByteString::from(&*text),
            sym::SYSTEM => self.drv.system = ByteString::from(&*text),
            sym::OUTPUT_HASH => self.output_hash = Some(text.to_vec()),
            sym::OUTPUT_HASH_ALGO => self.output_hash_algo = known_algorithm(ev, &text)?,
            sym::OUTPUT_HASH_MODE => self.method = Some(hash_mode(ev, self.name, &text)?),
            sym::OUTPUTS => {
                self.outputs = output_names(text.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty()))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn structured_attribute(&mut self, ev: &mut Evaluator, key: Symbol, value: Value) -> Result<()> {
        let json = crate::builtins::json::value_to_json(ev, value, Pos::NONE, &mut self.contexts, true)?;
        if let Some(members) = &mut self.structured {
            if !members.is_empty() {
                members.push(b',');
            }
            let mut name = String::new();
            nopal_format::json::write_string(&ev.symbol_name(key), &mut name);
            members.extend_from_slice(name.as_bytes());
            members.push(b':');
            members.extend_from_slice(&json);
        }
        match key {
            sym::BUILDER => {
                let builder = ev.force_string(value, Pos::NONE, "")?;
                self.contexts.add(builder.context());
                self.drv.builder = ByteString::from(builder.as_bytes().to_vec());
            }
            sym::SYSTEM => {
                let system = ev.force_string_no_ctx(value, Pos::NONE, "")?;
                self.drv.system = ByteString::from(system.as_bytes().to_vec());
            }
            sym::OUTPUT_HASH => {
                self.output_hash = Some(ev.force_string_no_ctx(value, Pos::NONE, "")?.as_bytes().to_vec());
            }
            sym::OUTPUT_HASH_ALGO => {
                let name = ev.force_string_no_ctx(value, Pos::NONE, "")?;
                self.output_hash_algo = known_algorithm(ev, name.as_bytes())?;
            }
            sym::OUTPUT_HASH_MODE => {
                let mode = ev.force_string_no_ctx(value, Pos::NONE, "")?;
                self.method = Some(hash_mode(ev, self.name, mode.as_bytes())?);
            }
            sym::OUTPUTS => {
                let mut names = Vec::new();
                for name in ev.force_list(value, Pos::NONE, "")?.iter() {
                    names.push(ev.force_string_no_ctx(name, Pos::NONE, "")?);
                }
                self.outputs = output_names(names.iter().map(NixStr::as_bytes))?;
            }
            sym::ALLOWED_REFERENCES
            | sym::ALLOWED_REQUISITES
            | sym::DISALLOWED_REFERENCES
            | sym::DISALLOWED_REQUISITES
            | sym::MAX_SIZE
            | sym::MAX_CLOSURE_SIZE => {
                let attribute = ev.symbol_name(key).into_owned();
                ev.warn(&format!(
                    "In a derivation named '{}', 'structuredAttrs' disables the effect of the derivation attribute \
                     '{attribute}'; use 'outputChecks.<output>.{attribute}' instead",
                    self.name
                ))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self, ev: &mut Evaluator) -> Result<Value> {
        if let Some(members) = self.structured.take() {
            self.drv.env.insert(STRUCTURED_ATTRS_VARIABLE, [b"{", members.as_slice(), b"}"].concat());
        }
        self.add_inputs(ev)?;
        if self.drv.builder.as_bytes().is_empty() {
            return Err(Error::eval("required attribute 'builder' missing"));
        }
        if self.drv.system.as_bytes().is_empty() {
            return Err(Error::eval("required attribute 'system' missing"));
        }
        let only_out = self.outputs.len() == 1 && self.outputs.contains("out");
        let makes_drv = self.method == Some(ContentAddressMethod::Text) && only_out;
        if self.name.ends_with(".drv") && !makes_drv {
            return Err(Error::eval(
                "derivation names are allowed to end in '.drv' only if they produce a single derivation file",
            ));
        }
        let spec = self.output_spec(ev, only_out)?;
        self.drv
            .declare_outputs(self.outputs.iter().map(OutputName::as_str), spec)
            .map_err(|error| Error::eval(error.to_string()))?;
        self.instantiate(ev)
    }

    fn output_spec(&self, ev: &Evaluator, only_out: bool) -> Result<OutputSpec> {
        let algorithm = self.output_hash_algo.unwrap_or(HashAlgorithm::Sha256);
        let method = self.method.unwrap_or(ContentAddressMethod::Nar);
        if let Some(text) = &self.output_hash {
            if !only_out {
                return Err(Error::eval("multiple outputs are not supported in fixed-output derivations"));
            }
            let hash = self.fixed_hash(ev, &String::from_utf8_lossy(text))?;
            let method = self.method.unwrap_or(ContentAddressMethod::Flat);
            return Ok(OutputSpec::Fixed(ContentAddress { method, hash }));
        }
        match (self.content_addressed, self.impure) {
            (true, true) => Err(Error::eval("derivation cannot be both content-addressed and impure")),
            (true, false) => Ok(OutputSpec::Floating { method, algorithm }),
            (false, true) => Ok(OutputSpec::Impure { method, algorithm }),
            (false, false) => Ok(OutputSpec::InputAddressed),
        }
    }

    fn fixed_hash(&self, ev: &Evaluator, text: &str) -> Result<Hash> {
        if !text.is_empty() {
            return crate::builtins::hash::parse(ev, text, self.output_hash_algo);
        }
        let Some(algorithm) = self.output_hash_algo else {
            return Err(Error::eval("empty hash requires explicit hash algorithm"));
        };
        let zeros = vec![0; Hash::of(algorithm, b"").bytes().len()];
        match Hash::from_bytes(algorithm, &zeros) {
            Some(hash) => {
                ev.warn(&format!("found empty hash, assuming '{}'", hash.sri()))?;
                Ok(hash)
            }
            None => Err(Error::eval("empty hash requires explicit hash algorithm")),
        }
    }

    /// Everything that the strings depend on becomes an input.
    fn add_inputs(&mut self, ev: &mut Evaluator) -> Result<()> {
        let mut deep = Vec::new();
        for element in self.contexts.elements(&ev.contexts) {
            match element {
                ContextElement::Opaque(path) => {
                    self.drv.input_srcs.insert(path.clone());
                }
                ContextElement::Built(built) => self.drv.add_input(built),
                ContextElement::DrvDeep(path) => deep.push(path),
            }
        }
        // the first one that is not there is reported
        deep.sort_unstable();
        deep.into_iter().try_for_each(|path| self.add_closure(ev, path))
    }

    /// The derivation itself and everything it takes to build it, including all outputs of all derivations.
    fn add_closure(&mut self, ev: &Evaluator, root: &StorePath) -> Result<()> {
        let host = ev.host();
        let mut todo = vec![root.clone()];
        let mut seen = BTreeSet::new();
        let mut needed: BTreeMap<StorePath, InputOutputs> = BTreeMap::new();
        while let Some(path) = todo.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            todo.extend(host.references(&path).map_err(|error| ev.host_error(error, Pos::NONE))?);
            if path.is_derivation() {
                let drv = ev.read_derivation(&path)?;
                needed.insert(path, drv.outputs.keys().cloned().collect());
            }
        }
        self.drv.input_srcs.extend(seen);
        for (path, outputs) in needed {
            self.drv.input_drvs.entry(path).or_default().outputs.extend(outputs.outputs);
        }
        Ok(())
    }

    fn instantiate(mut self, ev: &mut Evaluator) -> Result<Value> {
        let store_dir = ev.settings.store_dir.clone();
        let host = ev.host();
        // the table cannot be part of the evaluator while derivations are read for it
        let mut hashes = std::mem::take(&mut ev.drv_hashes);
        ev.learn_hashes(&self.drv, &mut hashes);
        let mut read = |path: &StorePath| ev.read_derivation(path).map_err(HashFailure);
        let made = hashes.instantiate(&store_dir, &mut self.drv, &mut read).map_err(|HashFailure(error)| error);
        let path = made.and_then(|made| {
            if !ev.settings.read_only {
                let added = host.add_derivation(&self.drv, &made);
                added.map_err(|error| ev.host_error(error, Pos::NONE))?;
            }
            Ok(made.path)
        });
        ev.drv_hashes = hashes;
        let path = path?;
        ev.share_hash(&path);
        let mut result = AttrsBuilder::with_capacity(1 + self.drv.outputs.len());
        let printed = store_dir.print(&path);
        let context = ev.contexts.single(ContextElement::DrvDeep(path.clone()));
        result.insert(sym::DRV_PATH, ev.heap.string_with(printed.as_bytes(), context), Pos::NONE);
        for (output, spec) in &self.drv.outputs {
            let known = match spec {
                DerivationOutput::InputAddressed { .. } | DerivationOutput::Fixed { .. } => self.drv.env_value(output),
                _ => None,
            };
            let value = match known {
                Some(text) => ev.known_output_string(&path, output, text.as_bytes()),
                None => ev.output_string(&path, &self.drv.name, output, spec)?,
            };
            result.insert(ev.symbols.intern(output.as_bytes()), value, Pos::NONE);
        }
        Ok(result.finish(&mut ev.heap))
    }
}

/// How the content of the derivation `name` is hashed.
fn hash_mode(ev: &Evaluator, name: &str, text: &[u8]) -> Result<ContentAddressMethod> {
    match text {
        b"recursive" | b"nar" => Ok(ContentAddressMethod::Nar),
        b"flat" => Ok(ContentAddressMethod::Flat),
        b"text" => {
            let why = format!("text-hashed derivation '{name}', outputHashMode = \"text\"");
            ev.require_feature("dynamic-derivations", &why)?;
            Ok(ContentAddressMethod::Text)
        }
        b"git" => {
            ev.require_feature("git-hashing", "")?;
            Ok(ContentAddressMethod::Git)
        }
        other => {
            let shown = String::from_utf8_lossy(other);
            Err(Error::eval(format!("invalid value '{shown}' for 'outputHashMode' attribute")))
        }
    }
}

/// The set of these names, if they may be outputs.
fn output_names<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Result<OutputNames> {
    let mut outputs = OutputNames::default();
    for (at, name) in names.clone().enumerate() {
        // what is no text makes no path either, which is found out later
        let shown = String::from_utf8_lossy(name);
        if outputs.contains(&shown) && names.clone().take(at).any(|other| other == name) {
            return Err(Error::eval(format!("duplicate derivation output '{shown}'")));
        }
        if name == b"drvPath" {
            return Err(Error::eval("invalid derivation output name 'drvPath'"));
        }
        outputs.insert(shown.into());
    }
    if outputs.is_empty() {
        return Err(Error::eval("derivation cannot have an empty set of outputs"));
    }
    Ok(outputs)
}

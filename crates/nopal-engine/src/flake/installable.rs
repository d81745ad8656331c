//! Flakes on the command line: `FLAKE#ATTRIBUTE`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nopal_eval::{Error, Pos, Value, View};

use super::{Flakes, LockFlags};
use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::items::{Item, single};
use crate::packages::installed;
use crate::realise::Wanted;

/// A flake as the source of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlakeSource {
    /// What the user typed before `^`: a reference and perhaps a fragment.
    pub text: String,
    /// What may be done about the lock file.
    pub lock: LockFlags,
    /// The attributes that are looked for without a fragment.
    pub defaults: Vec<String>,
    /// What is tried before a fragment.
    pub prefixes: Vec<String>,
}

/// What a command looks for in a flake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Something to build.
    Package,
    /// A program to run.
    App,
    /// An environment to work in.
    Shell,
    /// A function that makes bundles.
    Bundler,
    /// All there is.
    Everything,
}

impl FlakeSource {
    /// The source for a command with this purpose on this system: where a word is looked for, in order.
    pub fn new(purpose: Purpose, text: &str, system: &str, lock: LockFlags) -> Self {
        let mut source = Self::packages(text, system, lock);
        let at = |name: &str| format!("{name}.{system}.");
        match purpose {
            Purpose::Package => {}
            Purpose::App => {
                source.defaults.splice(0..0, [format!("apps.{system}.default"), format!("defaultApp.{system}")]);
                source.prefixes.insert(0, at("apps"));
            }
            Purpose::Shell => {
                source.defaults.splice(0..0, [format!("devShells.{system}.default"), format!("devShell.{system}")]);
                source.prefixes.insert(0, at("devShells"));
            }
            Purpose::Bundler => {
                source.defaults = vec![format!("bundlers.{system}.default"), format!("defaultBundler.{system}")];
                source.prefixes = vec![at("bundlers")];
            }
            Purpose::Everything => source.defaults = vec![String::new()],
        }
        source
    }

    /// The source for commands that build: `packages` and `legacyPackages` of a system.
    pub fn packages(text: &str, system: &str, lock: LockFlags) -> Self {
        Self {
            text: text.to_owned(),
            lock,
            defaults: vec![format!("packages.{system}.default"), format!("defaultPackage.{system}")],
            prefixes: vec![format!("packages.{system}."), format!("legacyPackages.{system}.")],
        }
    }
}

/// The value that a word names, and the attribute path where it was found.
pub(crate) fn select(
    ev: &mut nopal_eval::Evaluator,
    shared: &Shared,
    source: &FlakeSource,
) -> Result<(Value, String), Error> {
    let mut flakes = Flakes { ev, shared };
    let (reference, fragment) = flakes.parse_typed(&source.text, false)?;
    let locked = flakes.lock(&reference, &source.lock)?;
    flakes.apply_config(&locked.flake)?;
    let flake = flakes.call(&locked)?;
    let outputs = flakes.outputs(flake)?;
    let mut paths = Vec::new();
    if let Some(path) = fragment.strip_prefix('.') {
        // the path as it stands
        paths.push(path.to_owned());
    } else if fragment.is_empty() {
        paths.extend(source.defaults.iter().cloned());
    } else {
        paths.extend(source.prefixes.iter().map(|prefix| format!("{prefix}{fragment}")));
        paths.push(fragment);
    }
    let mut suggestions = Vec::new();
    for path in &paths {
        match flakes.ev.find_along(path, outputs)? {
            Ok((value, pos)) => return Ok((flakes.ev.force(value, pos)?, path.clone())),
            Err(near) => suggestions.extend(near),
        }
    }
    suggestions.sort();
    suggestions.dedup();
    let shown: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    let shown = match shown.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => shown.concat(),
    };
    let message = format!("flake '{reference}' does not provide attribute {shown}");
    Err(Error::eval(message).suggest(suggestions))
}

/// How Nix calls what a word names: the flake and the first attribute path that is looked for.
pub(crate) fn shown(ev: &mut nopal_eval::Evaluator, shared: &Shared, source: &FlakeSource) -> Result<String, Error> {
    let (reference, fragment) = Flakes { ev, shared }.parse_typed(&source.text, false)?;
    let first = match (fragment.strip_prefix('.'), fragment.is_empty()) {
        (Some(path), _) => path.to_owned(),
        (None, true) => source.defaults.first().cloned().unwrap_or_default(),
        (None, false) => format!("{}{fragment}", source.prefixes.first().map_or("", String::as_str)),
    };
    Ok(format!("{reference}#{first}"))
}

/// The value of a flake for the REPL.
pub(crate) fn load(ev: &mut nopal_eval::Evaluator, shared: &Shared, text: &str) -> Result<Value, Error> {
    let is_pure = ev.settings.pure_eval;
    let mut flakes = Flakes { ev, shared };
    flakes.require_feature()?;
    let reference = flakes.parse_plain(text, true)?;
    if is_pure && !reference.input.is_locked().map_err(super::refused)? {
        // Nix says "locked" here, too
        return Err(Error::eval(format!(
            "cannot use ':load-flake' on locked flake reference '{text}' (use --impure to override)"
        )));
    }
    let flags = LockFlags {
        may_change: false,
        write: false,
        use_registries: Some(!is_pure),
        allow_unlocked: !is_pure,
        ..LockFlags::default()
    };
    let locked = flakes.lock(&reference, &flags)?;
    flakes.call(&locked)
}

/// What a word stands for: a derivation with the outputs that it is installed with, or a store path.
pub(crate) fn items(ev: &mut nopal_eval::Evaluator, shared: &Shared, source: &FlakeSource) -> Result<Vec<Item>, Error> {
    let (value, path) = select(ev, shared, source)?;
    if let Some(attrs) = value.as_attrs()
        && ev.is_derivation(attrs)?
    {
        let mut found = installed(ev, attrs, &path)?;
        found.outputs = outputs(ev, attrs)?;
        return Ok(vec![Item::Outputs(found)]);
    }
    let frame = format!("while evaluating the flake output attribute '{path}'");
    if let Some(item) = single(ev, value, Pos::NONE, &frame)? {
        return Ok(vec![item]);
    }
    let (kind, shown) = (ev.show_type(value), String::from_utf8_lossy(&ev.show_error_value(value)).into_owned());
    Err(Error::eval(format!(
        "expected flake output attribute '{path}' to be a derivation or path but found {kind}: {shown}"
    )))
}

/// The derivation that a word names.
pub(crate) fn derivation(
    ev: &mut nopal_eval::Evaluator,
    shared: &Shared,
    source: &FlakeSource,
) -> Result<Vec<Wanted>, Error> {
    let wanted = |item| match item {
        Item::Outputs(wanted) => Ok(wanted),
        Item::Path(_) => Err(Error::eval(format!("'{}' does not evaluate to a derivation", source.text))),
    };
    items(ev, shared, source)?.into_iter().map(wanted).collect()
}

/// The outputs that a derivation is installed with. Unlike elsewhere, a name nobody chose does not count.
fn outputs(ev: &mut nopal_eval::Evaluator, attrs: nopal_eval::value::Attrs) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let [specified, output, meta, install] =
        ["outputSpecified", "outputName", "meta", "outputsToInstall"].map(|name| ev.symbols.intern(name.as_bytes()));
    let what = "while evaluating the outputs of a derivation";
    if let Some(value) = attrs.get(specified) {
        let is_chosen = ev.force_bool(value, Pos::NONE, what)?;
        if let Some(name) = attrs.get(output).filter(|_| is_chosen) {
            names.push(ev.force_string(name, Pos::NONE, what)?.to_lossy().into_owned());
        }
    } else if let Some(meta) = attrs.get(meta) {
        let meta = ev.force_attrs(meta, Pos::NONE, what)?;
        if let Some(list) = meta.get(install) {
            for name in ev.force_list(list, Pos::NONE, what)?.iter() {
                names.push(ev.force_string(name, Pos::NONE, what)?.to_lossy().into_owned());
            }
        }
    }
    if names.is_empty() {
        names.push("out".to_owned());
    }
    Ok(names)
}

impl Engine {
    /// The locked reference of an input of the flake that a word names; `None` if it has no such input.
    ///
    /// # Errors
    /// The flake cannot be fetched or locked.
    pub fn flake_input(&self, source: &FlakeSource, input: &str) -> Result<Option<String>, EngineError> {
        self.with_flakes(|flakes| {
            let (reference, _) = flakes.parse_typed(&source.text, false)?;
            let locked = flakes.lock(&reference, &source.lock)?;
            let node = locked.lock_file.find(&[input.to_owned()]).map_err(super::refused)?;
            Ok(node.and_then(|node| locked.lock_file.locked(node)).map(|known| known.locked.to_string()))
        })
    }

    /// The names of a flake's inputs.
    ///
    /// # Errors
    /// It cannot be fetched or read.
    pub fn flake_inputs(&self, text: &str) -> Result<Vec<String>, EngineError> {
        self.with_flakes(|flakes| {
            let (reference, _) = flakes.parse_typed(text, false)?;
            let flake = flakes.get(&reference, crate::inputs::registry::Use::All, &[])?;
            Ok(flake.inputs.into_keys().collect())
        })
    }

    /// The names of attributes that begin with a fragment, where a word with that fragment is looked for.
    ///
    /// # Errors
    /// The flake cannot be fetched or evaluated.
    pub fn flake_attr_names(&self, source: &FlakeSource, fragment: &str) -> Result<Vec<String>, EngineError> {
        self.with_flakes(|flakes| {
            let (reference, _) = flakes.parse_typed(&source.text, false)?;
            let locked = flakes.lock(&reference, &source.lock)?;
            let flake = flakes.call(&locked)?;
            let outputs = flakes.outputs(flake)?;
            let (parent, name) = fragment.rsplit_once('.').map_or(("", fragment), |(parent, name)| (parent, name));
            let begin = if parent.is_empty() { String::new() } else { format!("{parent}.") };
            let mut found = BTreeSet::new();
            for prefix in source.prefixes.iter().map(String::as_str).chain([""]) {
                let path = format!("{prefix}{begin}");
                let Ok(Ok((value, pos))) = flakes.ev.find_along(path.trim_end_matches('.'), outputs) else { continue };
                let View::Attrs(attrs) = flakes.ev.force(value, pos)?.view() else { continue };
                let names = attrs.iter().map(|(symbol, ..)| flakes.ev.symbol_name(symbol).into_owned());
                found.extend(names.filter(|found| found.starts_with(name)).map(|name| format!("{begin}{name}")));
            }
            Ok(found.into_iter().collect())
        })
    }

    /// The working tree that a word names, if its flake is one on this machine.
    ///
    /// # Errors
    /// The reference is malformed.
    pub fn flake_folder(&self, source: &FlakeSource) -> Result<Option<PathBuf>, EngineError> {
        self.with_flakes(|flakes| {
            let (reference, _) = flakes.parse_typed(&source.text, false)?;
            let found = crate::inputs::source_path(flakes.shared, &reference.input);
            found.map_err(|error| flakes.ev.host_error(error, Pos::NONE))
        })
    }
}

impl Flakes<'_> {
    /// The set `outputs` of a flake's value.
    pub(super) fn outputs(&mut self, flake: Value) -> Result<Value, Error> {
        let flake = self.ev.force_attrs(flake, Pos::NONE, "while parsing cached flake data")?;
        let name = self.ev.symbols.intern(b"outputs");
        self.ev.require_attr(flake, name, "while evaluating a flake")
    }
}

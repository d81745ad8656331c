//! Flakes on the command line: `FLAKE#ATTRIBUTE`.

use nopal_eval::{Error, Pos, Value};

use super::{Flakes, LockFlags};
use crate::engine::Shared;
use crate::items::{Item, single};
use crate::packages::wanted;
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

impl FlakeSource {
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

/// What a word stands for: a derivation with the outputs that it is installed with, or a store path.
pub(crate) fn items(ev: &mut nopal_eval::Evaluator, shared: &Shared, source: &FlakeSource) -> Result<Vec<Item>, Error> {
    let (value, path) = select(ev, shared, source)?;
    if let Some(attrs) = value.as_attrs()
        && ev.is_derivation(attrs)?
    {
        let mut found = wanted(ev, attrs, &path)?;
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
            for name in ev.force_list(list, Pos::NONE, what)?.as_slice() {
                names.push(ev.force_string(*name, Pos::NONE, what)?.to_lossy().into_owned());
            }
        }
    }
    if names.is_empty() {
        names.push("out".to_owned());
    }
    Ok(names)
}

impl Flakes<'_> {
    /// The set `outputs` of a flake's value.
    pub(super) fn outputs(&mut self, flake: Value) -> Result<Value, Error> {
        let flake = self.ev.force_attrs(flake, Pos::NONE, "while parsing cached flake data")?;
        let name = self.ev.symbols.intern(b"outputs");
        self.ev.require_attr(flake, name, "while evaluating a flake")
    }
}

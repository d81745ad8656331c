//! String contexts.

use std::collections::{BTreeMap, BTreeSet};

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::{def, message};
use crate::context::{Context, ContextElement};
use crate::error::{Error, Result};
use crate::eval::coerce::Coerce;
use crate::pos::Pos;
use crate::value::ValueVec;
use crate::value::{Attrs, AttrsBuilder, Value};
use nopal_format::derivation::OutputName;
use nopal_format::{BuiltPath, StorePath};
use nopal_syntax::interner::sym;
use nopal_syntax::printer::identifier;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!("unsafeDiscardStringContext", ["s"], discard, "The string without its context."),
    def!("hasContext", ["s"], has_context, "Whether a string has a context."),
    def!(
        "unsafeDiscardOutputDependency",
        ["s"],
        discard_outputs,
        "The string with every dependency on all outputs of \
        a derivation reduced to one on the derivation file."
    ),
    def!(
        "addDrvOutputDependencies",
        ["s"],
        add_outputs,
        "The string, whose context must be one derivation file, with \
        a dependency on all outputs of that derivation."
    ),
    def!("getContext", ["s"], get_context, "The context of a string as a set: by store path, what of it is meant."),
    def!(
        "appendContext",
        ["s", "context"],
        append_context,
        "The string with more context, in the form that \
        `getContext` returns."
    ),
];

fn discard(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let forced = ev.force(args[0], pos)?;
    if let Some(string) = forced.as_str() {
        return Ok(if string.context().is_empty() { forced } else { ev.heap.string(string.as_bytes()) });
    }
    let what = "while evaluating the argument passed to builtins.unsafeDiscardStringContext";
    let mut context = Context::EMPTY;
    let text = ev.coerce_to_string(forced, pos, &mut context, what, Coerce::STRING)?;
    Ok(ev.heap.string(&text))
}

fn has_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.hasContext";
    let string = ev.force_string(args[0], pos, what)?;
    Ok(Value::bool(!string.context().is_empty()))
}

fn discard_outputs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.unsafeDiscardOutputDependency";
    let mut context = Context::EMPTY;
    let text = ev.coerce_to_string(args[0], pos, &mut context, what, Coerce::STRING)?;
    let elements = ev.contexts.get(context);
    let reduced = elements.iter().map(|element| match element {
        ContextElement::DrvDeep(path) => ContextElement::Opaque(path.clone()),
        other => other.clone(),
    });
    let context = ev.contexts.intern(reduced.collect());
    Ok(ev.heap.string_with(&text, context))
}

fn add_outputs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.addDrvOutputDependencies";
    let mut context = Context::EMPTY;
    let text = ev.coerce_to_string(args[0], pos, &mut context, what, Coerce::STRING)?;
    let elements = ev.contexts.get(context);
    let mut iter = elements.iter();
    let (Some(element), None) = (iter.next(), iter.next()) else {
        let count = elements.len().to_string();
        let text =
            message(&[b"context of string '", &text, b"' must have exactly one element, but has ", count.as_bytes()]);
        return Err(Error::eval(text).at(pos));
    };
    let path = match element {
        ContextElement::Opaque(path) if path.is_derivation() => path,
        ContextElement::Opaque(path) => {
            let path = ev.settings.store_dir.print(path);
            return Err(Error::eval(format!("path '{path}' is not a derivation")).at(pos));
        }
        ContextElement::DrvDeep(path) => path,
        ContextElement::Built(BuiltPath { output, .. }) => {
            let message = format!(
                "`addDrvOutputDependencies` can only act on derivations, not on a derivation output such as '{output}'"
            );
            return Err(Error::eval(message).at(pos));
        }
    };
    let context = ev.contexts.single(ContextElement::DrvDeep(path.clone()));
    Ok(ev.heap.string_with(&text, context))
}

#[derive(Default)]
struct Entry {
    path: bool,
    all_outputs: bool,
    outputs: Vec<OutputName>,
}

fn get_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.getContext";
    let string = ev.force_string(args[0], pos, what)?;
    let mut entries: BTreeMap<StorePath, Entry> = BTreeMap::new();
    for element in ev.contexts.get(string.context()).iter() {
        match element.clone() {
            ContextElement::Opaque(path) => entries.entry(path).or_default().path = true,
            ContextElement::DrvDeep(path) => entries.entry(path).or_default().all_outputs = true,
            ContextElement::Built(built) => {
                let drv = ev.resolve_derived_path(&built.drv, pos)?;
                entries.entry(drv).or_default().outputs.push(built.output);
            }
        }
    }
    let (path_name, all_name) = (ev.symbols.intern(b"path"), ev.symbols.intern(b"allOutputs"));
    let mut attrs = AttrsBuilder::with_capacity(entries.len());
    for (path, entry) in entries {
        let mut info = AttrsBuilder::with_capacity(3);
        if entry.path {
            info.insert(path_name, Value::TRUE, Pos::NONE);
        }
        if entry.all_outputs {
            info.insert(all_name, Value::TRUE, Pos::NONE);
        }
        if !entry.outputs.is_empty() {
            let outputs: ValueVec = entry.outputs.iter().map(|o| ev.heap.string(o.as_bytes())).collect();
            let outputs = ev.heap.list(&outputs);
            info.insert(sym::OUTPUTS, outputs, Pos::NONE);
        }
        let info = info.finish(&mut ev.heap);
        let name = ev.settings.store_dir.print(&path);
        attrs.insert(ev.symbols.intern(name.as_bytes()), info, Pos::NONE);
    }
    Ok(attrs.finish(&mut ev.heap))
}

fn append_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.appendContext";
    let string = ev.force_string(args[0], Pos::NONE, what)?;
    let what = "while evaluating the second argument passed to builtins.appendContext";
    let attrs = ev.force_attrs(args[1], pos, what)?;
    let mut elements: BTreeSet<ContextElement> = ev.contexts.get(string.context());
    for (name, value, place) in attrs.iter() {
        let name = ev.symbols.get(name).to_vec();
        let parsed = std::str::from_utf8(&name).ok().and_then(|text| ev.settings.store_dir.parse(text).ok());
        let Some(path) = parsed else {
            let shown = identifier(&name);
            return Err(Error::eval(message(&[b"context key '", &shown, b"' is not a store path"])).at(place));
        };
        if !ev.settings.read_only {
            let host = ev.host();
            let valid = host.ensure_path(&path).map_err(|error| ev.host_error(error, pos))?;
            if !valid {
                return Err(Error::eval(message(&[b"path '", &name, b"' does not exist in the store"])));
            }
        }
        let info = ev.force_attrs(value, place, "while evaluating the value of a string context")?;
        append_entry(ev, info, path, &name, place, &mut elements)?;
    }
    let context = ev.contexts.intern(elements);
    Ok(ev.heap.string_with(string.as_bytes(), context))
}

fn append_entry(
    ev: &mut Evaluator,
    info: Attrs,
    path: StorePath,
    name: &[u8],
    place: Pos,
    elements: &mut BTreeSet<ContextElement>,
) -> Result<()> {
    let (path_name, all_name) = (ev.symbols.intern(b"path"), ev.symbols.intern(b"allOutputs"));
    if let Some((value, at)) = info.get_with_pos(path_name)
        && ev.force_bool(value, at, "while evaluating the `path` attribute of a string context")?
    {
        elements.insert(ContextElement::Opaque(path.clone()));
    }
    let not_derivation = |kind: &[u8]| {
        let shown = identifier(name);
        let text =
            message(&[b"tried to add ", kind, b" context of ", &shown, b", which is not a derivation, to a string"]);
        Error::eval(text).at(place)
    };
    if let Some((value, at)) = info.get_with_pos(all_name)
        && ev.force_bool(value, at, "while evaluating the `allOutputs` attribute of a string context")?
    {
        if !path.is_derivation() {
            return Err(not_derivation(b"all-outputs"));
        }
        elements.insert(ContextElement::DrvDeep(path.clone()));
    }
    if let Some((value, at)) = info.get_with_pos(sym::OUTPUTS) {
        let what = "while evaluating the `outputs` attribute of a string context";
        let list = ev.force_list(value, at, what)?;
        if !list.is_empty() && !path.is_derivation() {
            return Err(not_derivation(b"derivation output"));
        }
        for output in list.iter() {
            let what = "while evaluating an output name within a string context";
            let output = ev.force_string_no_ctx(output, at, what)?;
            let output = output.to_lossy().into();
            elements.insert(ContextElement::Built(BuiltPath { drv: path.clone().into(), output }));
        }
    }
    Ok(())
}

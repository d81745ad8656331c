//! Flake references, and `getFlake`.

use nopal_format::flake::{Attr, Attrs, FlakeError, FlakeRef, Input};

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::error::{Error, Result};
use crate::host::Message;
use crate::pos::Pos;
use crate::value::{AttrsBuilder, Value, View};

// They are there without the experimental feature; references of most schemes need it.
pub(super) const DEFS: &[BuiltinDef] = &[
    def!("getFlake", ["args"], get_flake, "The outputs of the flake that a reference means."),
    def!(
        "parseFlakeRef",
        ["flake-ref"],
        parse_flake_ref,
        "The attributes that a flake reference \
        means."
    ),
    def!(
        "flakeRefToString",
        ["attrs"],
        flake_ref_to_string,
        "The flake reference that a set of \
        attributes means."
    ),
];

fn get_flake(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.getFlake";
    let reference = ev.force_string_no_ctx(args[0], pos, what)?.to_lossy().into_owned();
    ev.host().get_flake(ev, &reference, pos)
}

/// Runs a reader of references, and shows what it warns of.
pub(super) fn reading<T>(
    ev: &Evaluator,
    read: impl FnOnce(&mut dyn FnMut(String)) -> std::result::Result<T, FlakeError>,
) -> Result<T> {
    read(&mut |warning| ev.emit(Message::Warning(warning.into_bytes()))).map_err(|error| Error::eval(error.to_string()))
}

/// Fails if the scheme of an input needs an experimental feature that is off.
pub(super) fn check_feature(ev: &Evaluator, input: &Input) -> Result<()> {
    require(ev, input.feature())
}

/// The same of attributes, before anything else is asked of them.
pub(super) fn check_kind(ev: &Evaluator, attrs: &Attrs) -> Result<()> {
    match attrs.get("type") {
        Some(Attr::Str(kind)) => require(ev, Input::feature_of_kind(kind)),
        _ => Ok(()),
    }
}

fn require(ev: &Evaluator, feature: Option<&'static str>) -> Result<()> {
    match feature.filter(|feature| !ev.settings.has_feature(feature)) {
        None => Ok(()),
        Some(feature) => Err(Error::eval(FlakeError::Feature(feature).to_string())),
    }
}

fn parse_flake_ref(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.parseFlakeRef";
    let text = ev.force_string_no_ctx(args[0], pos, what)?.to_lossy().into_owned();
    let reference = reading(ev, |warn| FlakeRef::parse(&text, true, false, warn))?;
    check_feature(ev, &reference.input)?;
    let parsed = reference.to_attrs();
    let mut attrs = AttrsBuilder::with_capacity(parsed.len());
    for (key, value) in parsed {
        let value = match value {
            Attr::Str(text) => ev.heap.string(text.as_bytes()),
            Attr::Int(number) => ev.heap.int(i64::try_from(number).unwrap_or(i64::MAX)),
            Attr::Bool(flag) => Value::bool(flag),
        };
        attrs.insert(ev.symbols.intern(key.as_bytes()), value, Pos::NONE);
    }
    Ok(attrs.finish(&mut ev.heap))
}

fn flake_ref_to_string(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.flakeRefToString";
    let attrs = ev.force_attrs(args[0], Pos::NONE, what)?;
    let mut list = Attrs::new();
    for (key, value, place) in attrs.iter() {
        let forced = ev.force(value, place)?;
        let name = ev.symbol_name(key).into_owned();
        let value = match forced.view() {
            View::Int(number) => match u64::try_from(number) {
                Ok(number) => Attr::Int(number),
                Err(_) => {
                    let message = format!("negative value given for flake ref attr {}: {number}", ev.shown(key));
                    return Err(Error::eval(message).at(pos));
                }
            },
            View::Bool(flag) => Attr::Bool(flag),
            View::Str(text) => Attr::Str(text.to_lossy().into_owned()),
            _ => {
                let (name, found) = (ev.shown(key), ev.show_type(forced));
                return Err(Error::eval(format!(
                    "flake reference attribute sets may only contain integers, Booleans, and strings, but attribute \
                     '{name}' is {found}"
                )));
            }
        };
        list.insert(name, value);
    }
    check_kind(ev, &list)?;
    let reference = reading(ev, |warn| FlakeRef::from_attrs(list, warn))?;
    check_feature(ev, &reference.input)?;
    let text = reference.to_text().map_err(|error| Error::eval(error.to_string()))?;
    Ok(ev.heap.string(text.as_bytes()))
}

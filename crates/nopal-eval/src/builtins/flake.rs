//! Flake references, and `getFlake`.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::error::{Error, Result};
use crate::pos::Pos;
use crate::pure::flakeref::{self, Attr};
use crate::value::{AttrsBuilder, Value, View};

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(feature "flakes", "getFlake", ["args"], get_flake, "The outputs of the flake that a reference means."),
    def!(feature "flakes", "parseFlakeRef", ["flake-ref"], parse_flake_ref, "The attributes that a flake reference \
        means."),
    def!(feature "flakes", "flakeRefToString", ["attrs"], flake_ref_to_string, "The flake reference that a set of \
        attributes means."),
];

fn get_flake(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.getFlake";
    let reference = ev.force_string_no_ctx(args[0], pos, what)?.to_lossy().into_owned();
    let message = format!("cannot load flake '{reference}': nopal does not evaluate flakes yet");
    Err(Error::eval(message).at(pos))
}

fn parse_flake_ref(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.parseFlakeRef";
    let text = ev.force_string_no_ctx(args[0], pos, what)?.to_lossy().into_owned();
    let parsed = flakeref::parse(&text).map_err(Error::eval)?;
    let mut attrs = AttrsBuilder::with_capacity(parsed.len());
    for (key, value) in parsed {
        let value = match value {
            Attr::Text(text) => ev.heap.string(text.as_bytes()),
            Attr::Number(number) => ev.heap.int(i64::try_from(number).unwrap_or(i64::MAX)),
            Attr::Flag(flag) => Value::bool(flag),
        };
        attrs.insert(ev.symbols.intern(key.as_bytes()), value, Pos::NONE);
    }
    Ok(attrs.finish(&mut ev.heap))
}

fn flake_ref_to_string(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.flakeRefToString";
    let attrs = ev.force_attrs(args[0], Pos::NONE, what)?;
    let mut list = Vec::with_capacity(attrs.len());
    for (key, value, place) in attrs.iter() {
        let forced = ev.force(value, place)?;
        let name = ev.symbol_name(key).into_owned();
        let value = match forced.view() {
            View::Int(number) => match u64::try_from(number) {
                Ok(number) => Attr::Number(number),
                Err(_) => {
                    let message = format!("negative value given for flake ref attr {name}: {number}");
                    return Err(Error::eval(message).at(pos));
                }
            },
            View::Bool(flag) => Attr::Flag(flag),
            View::Str(text) => Attr::Text(text.to_lossy().into_owned()),
            _ => {
                let found = ev.show_type(forced);
                return Err(Error::eval(format!(
                    "flake reference attribute sets may only contain integers, Booleans, and strings, but attribute \
                     '{name}' is {found}"
                )));
            }
        };
        list.push((name, value));
    }
    let text = flakeref::to_text(&list).map_err(Error::eval)?;
    Ok(ev.heap.string(text.as_bytes()))
}

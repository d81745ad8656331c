//! TOML: `fromTOML`.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::builtins::json::check_nul;
use crate::error::{Error, Result};
use crate::pos::Pos;
use crate::pure::toml::{self, Toml};
use crate::value::{AttrsBuilder, Value, ValueVec};
use nopal_syntax::interner::sym;

pub(super) const DEFS: &[BuiltinDef] =
    &[def!(global "fromTOML", ["e"], from_toml, "The value that a TOML text describes.")];

fn from_toml(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.fromTOML";
    let text = ev.force_string_no_ctx(args[0], pos, what)?;
    // Nix colours the inserted text; the reset at its end keeps the line feed before it from being trimmed.
    let wrap = |message: String| Error::eval(format!("while parsing TOML: {message}\x1b[0m")).at(pos);
    let document = toml::parse(text.as_bytes()).map_err(|error| wrap(error.0))?;
    convert(ev, document).map_err(wrap)
}

/// Makes a value of a document; the error is a message.
fn convert(ev: &mut Evaluator, value: Toml) -> std::result::Result<Value, String> {
    Ok(match value {
        Toml::String(text) => {
            nul_free(&text)?;
            ev.heap.string(text.as_bytes())
        }
        Toml::Integer(i) => ev.heap.int(i),
        Toml::Float(f) => ev.heap.float(f),
        Toml::Boolean(b) => Value::bool(b),
        Toml::Array(elements) => {
            let mut list = ValueVec::with_capacity(elements.len());
            for element in elements {
                list.push(convert(ev, element)?);
            }
            ev.heap.list(&list)
        }
        Toml::Table(table) => {
            let mut attrs = AttrsBuilder::with_capacity(table.len());
            for (key, value) in table {
                nul_free(&key)?;
                let value = convert(ev, value)?;
                attrs.insert(ev.symbols.intern(key.as_bytes()), value, Pos::NONE);
            }
            attrs.finish(&mut ev.heap)
        }
        Toml::Timestamp(text) => {
            if !ev.settings.has_feature("parse-toml-timestamps") {
                return Err("Dates and times are not supported".to_owned());
            }
            let kind = ev.heap.string(b"timestamp");
            let text = ev.heap.string(text.as_bytes());
            let mut attrs = AttrsBuilder::with_capacity(2);
            attrs.insert(ev.symbols.intern(b"_type"), kind, Pos::NONE);
            attrs.insert(sym::VALUE, text, Pos::NONE);
            attrs.finish(&mut ev.heap)
        }
    })
}

fn nul_free(text: &str) -> std::result::Result<(), String> {
    check_nul(text.as_bytes()).map_err(|error| format!("error: {error}"))
}

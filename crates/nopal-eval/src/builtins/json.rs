//! JSON: `toJSON`, `fromJSON`, and the writer that structured attributes and the command line use.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::{def, message};
use crate::context::{Context, Gathered};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::coerce::Coerce;
use crate::eval::parallel::Ahead;
use crate::pos::Pos;
use crate::pure::json_read::{self, JsonBuilder, JsonError};
use crate::pure::json_write::{self, InvalidUtf8};
use crate::pure::number;
use crate::pure::text::show_nul;
use crate::uses::Parts;
use crate::value::{AttrsBuilder, Value, View};
use nopal_syntax::Symbol;
use nopal_syntax::interner::sym;
use nopal_syntax::printer::identifier;
use std::vec::Drain;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(
        "toJSON",
        ["e"],
        to_json,
        "A JSON text for *e*. A set with `__toString` or `outPath` becomes a string; \
        paths are copied to the store."
    ),
    def!("fromJSON", ["e"], from_json, "The value that a JSON text describes."),
];

fn to_json(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut contexts = Gathered::default();
    let text = value_to_json(ev, args[0], pos, &mut contexts, true)?;
    let context = contexts.union(&mut ev.contexts);
    Ok(ev.heap.string_with(&text, context))
}

/// Evaluates `value` deeply and writes it as JSON; `copy_to_store` says what a path becomes.
pub(crate) fn value_to_json(
    ev: &mut Evaluator,
    value: Value,
    pos: Pos,
    contexts: &mut Gathered,
    copy_to_store: bool,
) -> Result<Vec<u8>> {
    write(ev, value, pos, Writer { out: Vec::new(), invalid: None, contexts, copy_to_store, strict: true, parts: None })
}

/// Writes `value` as the JSON that the evaluator is made for, in parts if somebody wants to know them: the attributes of a
/// set, or the elements of a list. It is evaluated deeply if that is `strict`; else it fails on what nobody has asked for.
pub(crate) fn answer_to_json(
    ev: &mut Evaluator,
    value: Value,
    pos: Pos,
    copy_to_store: bool,
    strict: bool,
) -> Result<Vec<u8>> {
    let mut parts = ev.parts.take();
    let contexts = &mut Gathered::default();
    let writer = Writer { out: Vec::new(), invalid: None, contexts, copy_to_store, strict, parts: parts.as_mut() };
    let text = write(ev, value, pos, writer);
    ev.parts = parts;
    text
}

fn write(ev: &mut Evaluator, value: Value, pos: Pos, mut writer: Writer<'_>) -> Result<Vec<u8>> {
    writer.value(ev, value, pos)?;
    match writer.invalid {
        None => Ok(writer.out),
        Some(invalid) => Err(Error::new(ErrorKind::Eval, format!("JSON serialization error: {invalid}"))),
    }
}

struct Writer<'a> {
    out: Vec<u8>,
    /// The first string that is no UTF-8. Reported when everything is evaluated: other errors come first.
    invalid: Option<InvalidUtf8>,
    contexts: &'a mut Gathered,
    copy_to_store: bool,
    strict: bool,
    /// The parts, until they are begun.
    parts: Option<&'a mut Parts>,
}

/// Writing a value for another thread, which copies paths to the store.
pub(crate) fn copying_ahead(ev: &mut Evaluator, value: Value) -> Result<()> {
    value_to_json(ev, value, Pos::NONE, &mut Gathered::default(), true).map(drop)
}

/// Writing a value for another thread.
fn plain_ahead(ev: &mut Evaluator, value: Value) -> Result<()> {
    value_to_json(ev, value, Pos::NONE, &mut Gathered::default(), false).map(drop)
}

impl<'a> Writer<'a> {
    fn ahead(&self) -> Ahead {
        match (self.strict, self.copy_to_store) {
            (false, _) => |_, _| Ok(()),
            (true, true) => copying_ahead,
            (true, false) => plain_ahead,
        }
    }

    fn string(&mut self, text: &[u8]) {
        if let Err(error) = json_write::string(&mut self.out, text)
            && self.invalid.is_none()
        {
            self.invalid = Some(error);
        }
    }

    /// The parts, if what is about to be written is made of them.
    fn begin_parts(&mut self, ev: &Evaluator, count: usize) -> Option<&'a mut Parts> {
        let parts = self.parts.take()?;
        parts.begin(count, &ev.uses);
        Some(parts)
    }

    fn part(
        &mut self,
        ev: &mut Evaluator,
        parts: &mut Option<&mut Parts>,
        name: impl FnOnce(&Evaluator) -> Vec<u8>,
        (value, pos): (Value, Pos),
    ) -> Result<()> {
        let Some(parts) = parts else { return self.value(ev, value, pos) };
        let name = name(ev);
        if let Some(known) = parts.next_known(&name) {
            self.out.extend_from_slice(known);
            return Ok(());
        }
        let (begin, used) = (self.out.len(), ev.uses.height());
        self.value(ev, value, pos)?;
        parts.add(name, &self.out[begin..], &ev.uses, used);
        Ok(())
    }

    fn value(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        ev.check_stack()?;
        ev.check_text(self.out.len())?;
        ev.enter(pos)?;
        let result = self.level(ev, value, pos);
        ev.leave();
        result
    }

    fn level(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        let forced = if self.strict { ev.force(value, pos)? } else { ev.with_time(value)?.forced() };
        match forced.view() {
            View::Int(i) => number::write_int(i, &mut self.out),
            View::Bool(b) => self.out.extend_from_slice(if b { b"true" } else { b"false" }),
            View::Null => self.out.extend_from_slice(b"null"),
            View::Float(f) => json_write::float(&mut self.out, f),
            View::Str(string) => {
                self.contexts.add(string.context());
                self.string(string.as_bytes());
            }
            View::Path(path) if self.copy_to_store => {
                let mut context = Context::EMPTY;
                let text = ev.copy_path_to_store(&mut context, path.root(), path.as_bytes())?;
                self.contexts.add(context);
                self.string(text.as_bytes());
            }
            View::Path(path) => self.string(path.as_bytes()),
            View::Attrs(_) => return self.attrs(ev, forced, pos),
            View::List(list) => {
                self.out.push(b'[');
                let mut parts = self.begin_parts(ev, list.len());
                ev.each(
                    list.len(),
                    |i| list.at(i),
                    self.ahead(),
                    |ev, i| {
                        if i > 0 {
                            self.out.push(b',');
                        }
                        let result = self.part(ev, &mut parts, |_| i.to_string().into_bytes(), (list.at(i), pos));
                        result.map_err(|error| error.trace(pos, format!("while evaluating list element at index {i}")))
                    },
                )?;
                self.out.push(b']');
            }
            View::Closure(_) | View::Builtin(_) | View::PartialApp(_) | View::Thunk => {
                let message = format!("cannot convert {} to JSON", ev.show_type(forced));
                return Err(Error::type_error(message).at(ev.determine_pos_or(forced, pos)));
            }
        }
        Ok(())
    }

    fn attrs(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        let Some(attrs) = value.as_attrs() else { return Ok(()) };
        if let Some(function) = attrs.get(sym::TO_STRING) {
            let result = ev.call_one(function, value, pos)?;
            let what = "while evaluating the result of the `__toString` attribute";
            let mut context = Context::EMPTY;
            let text = ev.coerce_to_string(result, pos, &mut context, what, Coerce::NO_COPY)?;
            self.contexts.add(context);
            self.string(&text);
            return Ok(());
        }
        if let Some((path, place)) = attrs.get_with_pos(sym::OUTPATH) {
            return self.value(ev, path, place);
        }
        self.out.push(b'{');
        let all = attrs.sorted(&ev.symbols);
        let mut parts = self.begin_parts(ev, all.len());
        ev.each(
            all.len(),
            |i| all[i].2,
            self.ahead(),
            |ev, i| {
                let (name, place, inner) = all[i];
                if i > 0 {
                    self.out.push(b',');
                }
                self.string(ev.symbols.get(name));
                self.out.push(b':');
                let text = |ev: &Evaluator| ev.symbols.get(name).to_vec();
                self.part(ev, &mut parts, text, (inner, place)).map_err(|error| {
                    let what = message(&[b"while evaluating attribute '", &identifier(ev.symbols.get(name)), b"'"]);
                    error.trace(place, what)
                })
            },
        )?;
        self.out.push(b'}');
        Ok(())
    }
}

fn from_json(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.fromJSON";
    let text = ev.force_string_no_ctx(args[0], pos, what)?;
    // the reader keeps unfinished values to itself
    ev.heap.hold();
    let result = json_read::parse(text.as_bytes(), &mut ValueBuilder(ev));
    ev.heap.release();
    result
}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Error {
        let range = error.to_string();
        match error {
            JsonError::Syntax(text) => Error::eval(text).trace(Pos::NONE, "while decoding a JSON string"),
            JsonError::IntegerRange(_) => Error::eval(range),
        }
    }
}

/// The error for a text that cannot be a Nix string.
pub(super) fn check_nul(text: &[u8]) -> Result<()> {
    // most are short
    if !text.contains(&0) {
        return Ok(());
    }
    let shown = show_nul(text);
    Err(Error::eval(message(&[
        b"input string '",
        &shown,
        b"' cannot be represented as Nix string because it contains null bytes",
    ])))
}

struct ValueBuilder<'a>(&'a mut Evaluator);

impl JsonBuilder for ValueBuilder<'_> {
    type Value = Value;
    type Key = Symbol;
    type Error = Error;

    fn null(&mut self) -> Result<Value> {
        Ok(Value::NULL)
    }

    fn boolean(&mut self, value: bool) -> Result<Value> {
        Ok(Value::bool(value))
    }

    fn integer(&mut self, value: i64) -> Result<Value> {
        Ok(self.0.heap.int(value))
    }

    fn float(&mut self, value: f64) -> Result<Value> {
        Ok(self.0.heap.float(value))
    }

    fn string(&mut self, value: &[u8]) -> Result<Value> {
        check_nul(value)?;
        Ok(self.0.heap.string(value))
    }

    fn key(&mut self, name: &[u8]) -> Result<Symbol> {
        check_nul(name)?;
        Ok(self.0.symbols.intern(name))
    }

    fn array(&mut self, elements: Drain<'_, Value>) -> Result<Value> {
        Ok(self.0.heap.list(elements.as_slice()))
    }

    fn object(&mut self, keys: Drain<'_, Symbol>, values: Drain<'_, Value>) -> Result<Value> {
        // the same names in the same order are the rule, and they were numbered in it
        if keys.as_slice().is_sorted_by(|a, b| a < b) {
            return Ok(self.0.heap.attrs_from_columns(keys.as_slice(), values.as_slice()));
        }
        let mut attrs = AttrsBuilder::with_capacity(keys.len());
        for (key, value) in keys.zip(values).rev() {
            attrs.insert(key, value, Pos::NONE);
        }
        Ok(attrs.finish_first_wins(&mut self.0.heap))
    }
}

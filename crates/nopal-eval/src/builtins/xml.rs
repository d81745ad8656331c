//! XML: `toXML`, and the writer that the command line uses.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::context::Gathered;
use crate::error::Result;
use crate::pos::{Origin, Pos};
use crate::pure::number;
use crate::pure::xml::{Document, XmlWriter};
use crate::value::{Attrs, Closure, Value, View};
use nopal_syntax::interner::sym;
use rustc_hash::FxHashSet;

pub(super) const DEFS: &[BuiltinDef] = &[def!("toXML", ["e"], to_xml, "An XML text for *e*, evaluated deeply.")];

fn to_xml(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut contexts = Gathered::default();
    let (document, written) = value_to_xml(ev, args[0], true, false, &mut contexts, pos);
    written?;
    let text = laid_out(ev, &document)?;
    let context = contexts.union(&mut ev.contexts);
    Ok(ev.heap.string_with(&text, context))
}

/// Writes `value` as XML; `strict` evaluates it deeply, `location` adds source positions. If that fails, the document ends
/// before what failed.
pub(crate) fn value_to_xml(
    ev: &mut Evaluator,
    value: Value,
    strict: bool,
    location: bool,
    contexts: &mut Gathered,
    pos: Pos,
) -> (Document, Result<()>) {
    let mut writer = Writer { xml: XmlWriter::new(), strict, location, contexts, seen: FxHashSet::default() };
    writer.xml.open("expr", &[]);
    let written = writer.value(ev, value, pos);
    (writer.xml.finish(), written)
}

/// The text of a document, if there is room for it.
pub(crate) fn laid_out(ev: &mut Evaluator, document: &Document) -> Result<Vec<u8>> {
    ev.check_text(document.size_bytes())?;
    Ok(document.to_bytes())
}

struct Writer<'a> {
    xml: XmlWriter,
    strict: bool,
    location: bool,
    contexts: &'a mut Gathered,
    /// Derivations already written, by path.
    seen: FxHashSet<Vec<u8>>,
}

/// Line, column and path of a position, as attribute texts.
struct Place {
    line: String,
    column: String,
    path: Option<Vec<u8>>,
}

impl Place {
    fn of(ev: &Evaluator, pos: Pos) -> Place {
        match ev.positions.locate(pos) {
            None => Place { line: "0".into(), column: "0".into(), path: None },
            Some(location) => Place {
                line: location.line.to_string(),
                column: location.column.to_string(),
                path: match &location.source.origin {
                    Origin::File { path, .. } => Some(path.clone()),
                    Origin::Text | Origin::Stdin => None,
                },
            },
        }
    }

    /// Attributes in order of their names, with `name` after `line`.
    fn attributes<'a>(&'a self, name: Option<&'a [u8]>) -> Vec<(&'static str, &'a [u8])> {
        let mut list = vec![("column", self.column.as_bytes()), ("line", self.line.as_bytes())];
        list.extend(name.map(|n| ("name", n)));
        list.extend(self.path.as_deref().map(|p| ("path", p)));
        list
    }
}

impl Writer<'_> {
    fn value(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        ev.check_stack()?;
        ev.check_text(self.xml.written_bytes())?;
        ev.enter(pos)?;
        let result = self.level(ev, value, pos);
        ev.leave();
        result
    }

    fn level(&mut self, ev: &mut Evaluator, value: Value, pos: Pos) -> Result<()> {
        let value = if self.strict { ev.force(value, pos)? } else { ev.with_time(value)? };
        match value.view() {
            View::Int(i) => self.xml.empty("int", &[("value", i.to_string().as_bytes())]),
            View::Bool(b) => self.xml.empty("bool", &[("value", if b { b"true" } else { b"false" })]),
            View::Null => self.xml.empty("null", &[]),
            View::Float(f) => self.xml.empty("float", &[("value", number::general(f).as_bytes())]),
            View::Path(path) => self.xml.empty("path", &[("value", &ev.printed_path(path))]),
            View::Str(string) => {
                self.contexts.add(string.context());
                self.xml.empty("string", &[("value", string.as_bytes())]);
            }
            View::Attrs(attrs) => return self.set(ev, attrs),
            View::List(list) => {
                self.xml.open("list", &[]);
                for element in list.iter() {
                    self.value(ev, element, pos)?;
                }
                self.xml.close();
            }
            View::Closure(closure) => self.function(ev, closure)?,
            View::Builtin(_) | View::PartialApp(_) | View::Thunk => self.xml.empty("unevaluated", &[]),
        }
        Ok(())
    }

    /// The text of an attribute that is a string when it is evaluated.
    fn string_attr(&mut self, ev: &mut Evaluator, attrs: Attrs, name: nopal_syntax::Symbol) -> Result<Option<Vec<u8>>> {
        let Some((value, pos)) = attrs.get_with_pos(name) else { return Ok(None) };
        let value = if self.strict { ev.force(value, pos)? } else { value.forced() };
        Ok(value.as_str().map(|s| s.as_bytes().to_vec()))
    }

    fn set(&mut self, ev: &mut Evaluator, attrs: Attrs) -> Result<()> {
        if !is_derivation(ev, attrs)? {
            self.xml.open("attrs", &[]);
            self.members(ev, attrs)?;
            self.xml.close();
            return Ok(());
        }
        let drv_path = self.string_attr(ev, attrs, sym::DRV_PATH)?;
        let out_path = self.string_attr(ev, attrs, sym::OUTPATH)?;
        let mut list: Vec<(&str, &[u8])> = Vec::new();
        list.extend(drv_path.as_deref().map(|p| ("drvPath", p)));
        list.extend(out_path.as_deref().map(|p| ("outPath", p)));
        self.xml.open("derivation", &list);
        match drv_path {
            Some(path) if !path.is_empty() && self.seen.insert(path.clone()) => self.members(ev, attrs)?,
            _ => self.xml.empty("repeated", &[]),
        }
        self.xml.close();
        Ok(())
    }

    fn members(&mut self, ev: &mut Evaluator, attrs: Attrs) -> Result<()> {
        for &(name, pos, value) in attrs.sorted(&ev.symbols).iter() {
            let text = ev.symbols.get(name);
            if self.location && !pos.is_none() {
                let place = Place::of(ev, pos);
                self.xml.open("attr", &place.attributes(Some(text)));
            } else {
                self.xml.open("attr", &[("name", text)]);
            }
            self.value(ev, value, pos)?;
            self.xml.close();
        }
        Ok(())
    }

    fn function(&mut self, ev: &mut Evaluator, closure: Closure) -> Result<()> {
        let lambda = closure.lambda();
        if self.location {
            let place = Place::of(ev, lambda.pos);
            self.xml.open("function", &place.attributes(None));
        } else {
            self.xml.open("function", &[]);
        }
        let function = ev.function(lambda)?;
        let argument = lambda.arg.map(|name| ev.symbols.get(name));
        match &function.formals {
            Some(formals) => {
                let mut list: Vec<(&str, &[u8])> = Vec::new();
                if formals.ellipsis {
                    list.push(("ellipsis", b"1"));
                }
                list.extend(argument.map(|name| ("name", name)));
                self.xml.open("attrspat", &list);
                let mut names: Vec<&[u8]> = formals.list.iter().map(|f| ev.symbols.get(f.name)).collect();
                names.sort_unstable();
                for name in names {
                    self.xml.empty("attr", &[("name", name)]);
                }
                self.xml.close();
            }
            None => self.xml.empty("varpat", &[("name", argument.unwrap_or_default())]),
        }
        self.xml.close();
        Ok(())
    }
}

/// Whether a set has `type = "derivation"`.
fn is_derivation(ev: &mut Evaluator, attrs: Attrs) -> Result<bool> {
    let Some((kind, pos)) = attrs.get_with_pos(sym::TYPE) else { return Ok(false) };
    let kind = ev.force(kind, pos)?;
    Ok(kind.as_str().is_some_and(|s| s.as_bytes() == b"derivation"))
}

//! Attribute sets.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::error::Result;
use crate::pos::Pos;
use crate::value::{AttrsBuilder, Value, ValueVec};
use nopal_syntax::Symbol;
use nopal_syntax::interner::sym;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!("attrNames", ["set"], attr_names, "The names of the attributes of a set, sorted.").needs(0),
    def!("attrValues", ["set"], attr_values, "The values of the attributes of a set, in the order of their names.")
        .needs(0),
    def!("getAttr", ["s", "set"], get_attr, "The attribute of *set* named *s*; an error if there is none."),
    def!("hasAttr", ["s", "set"], has_attr, "Whether *set* has an attribute named *s*."),
    def!(global "removeAttrs", ["set", "list"], remove_attrs, "The set without the attributes named in *list*."),
    def!(
        "listToAttrs",
        ["e"],
        list_to_attrs,
        "Makes a set from a list of `{ name = …; value = …; }`; of equal names \
        the first one counts."
    ),
    def!("intersectAttrs", ["e1", "e2"], intersect_attrs, "The attributes of *e2* whose names also occur in *e1*."),
    def!("catAttrs", ["attr", "list"], cat_attrs, "The attribute *attr* of every set in the list that has it."),
    def!(
        "mapAttrs",
        ["f", "attrset"],
        map_attrs,
        "Applies *f* to name and value of every attribute; each application \
        is evaluated when needed."
    ),
    def!(
        "zipAttrsWith",
        ["f", "list"],
        zip_attrs_with,
        "Merges a list of sets: *f* gets each name and the list of \
        its values."
    ),
];

fn attr_names(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(args[0], pos, "while evaluating the argument passed to builtins.attrNames")?;
    let mut list = ev.heap.list_builder(attrs.len());
    let mut add = |ev: &mut Evaluator, (i, name): (usize, Symbol)| {
        let name = ev.symbol_value(name);
        list.set(i, name);
    };
    match attrs.flat_shape() {
        Some(shape) => shape.sorted_keys(&ev.symbols).enumerate().for_each(|name| add(ev, name)),
        None => attrs.sorted(&ev.symbols).iter().map(|(name, ..)| *name).enumerate().for_each(|name| add(ev, name)),
    }
    Ok(list.finish())
}

fn attr_values(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(args[0], pos, "while evaluating the argument passed to builtins.attrValues")?;
    let sorted = attrs.sorted(&ev.symbols);
    let mut list = ev.heap.list_builder(sorted.len());
    for (i, &(.., value)) in sorted.iter().enumerate() {
        list.set(i, value);
    }
    Ok(list.finish())
}

fn get_attr(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.getAttr";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let attrs = ev.force_attrs(args[1], pos, "while evaluating the second argument passed to builtins.getAttr")?;
    let name = ev.symbol_of(name);
    let value = ev.require_attr(attrs, name, "in the attribute set under consideration")?;
    ev.force(value, pos)
}

fn has_attr(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.hasAttr";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let attrs = ev.force_attrs(args[1], pos, "while evaluating the second argument passed to builtins.hasAttr")?;
    Ok(Value::bool(attrs.contains(ev.symbol_of(name))))
}

fn remove_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(args[0], pos, "while evaluating the first argument passed to builtins.removeAttrs")?;
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.removeAttrs")?;
    let mut names: SmallVec<[Symbol; 32]> = SmallVec::with_capacity(list.len());
    for name in list.iter() {
        let what = "while evaluating the values of the second argument passed to builtins.removeAttrs";
        let name = ev.force_string_no_ctx(name, pos, what)?;
        names.push(ev.symbol_of(name));
    }
    names.sort_unstable();
    // a new set even if nothing goes: what prints values tells sets apart
    Ok(ev.heap.without(attrs, &names))
}

fn list_to_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    const PAIR: &str = "in a {name=...; value=...;} pair";
    let list = ev.force_list(args[0], pos, "while evaluating the argument passed to builtins.listToAttrs")?;
    let mut pairs = Vec::with_capacity(list.len());
    for (i, element) in list.iter().enumerate() {
        let what = "while evaluating an element of the list passed to builtins.listToAttrs";
        let pair = ev.force_attrs(element, pos, what)?;
        let (name, place) = match pair.get_with_pos(sym::NAME) {
            Some(found) => found,
            None => (ev.require_attr(pair, sym::NAME, PAIR)?, pos),
        };
        let what = "while evaluating the `name` attribute of an element of the list passed to builtins.listToAttrs";
        let name = ev.force_string_no_ctx(name, place, what)?;
        pairs.push((ev.symbol_of(name), i));
    }
    pairs.sort_unstable();
    pairs.dedup_by_key(|(name, _)| *name);
    let mut result = AttrsBuilder::with_capacity(pairs.len());
    for (name, i) in pairs {
        let Some(pair) = list.get(i).and_then(|element| element.forced().as_attrs()) else { continue };
        let (value, place) = match pair.get_with_pos(sym::VALUE) {
            Some(found) => found,
            None => (ev.require_attr(pair, sym::VALUE, PAIR)?, pos),
        };
        result.insert(name, value, place);
    }
    Ok(result.finish(&mut ev.heap))
}

fn intersect_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.intersectAttrs";
    let left = ev.force_attrs(args[0], pos, what)?;
    let what = "while evaluating the second argument passed to builtins.intersectAttrs";
    let right = ev.force_attrs(args[1], pos, what)?;
    let mut result = AttrsBuilder::with_capacity(left.len().min(right.len()));
    if left.len() < right.len() {
        for (name, ..) in left.iter() {
            if let Some((value, place)) = right.get_with_pos(name) {
                result.insert(name, value, place);
            }
        }
    } else {
        for (name, value, place) in right.iter() {
            if left.contains(name) {
                result.insert(name, value, place);
            }
        }
        if result.len() == right.len() {
            return Ok(right.value());
        }
    }
    Ok(result.finish(&mut ev.heap))
}

fn cat_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.catAttrs";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let name = ev.symbol_of(name);
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.catAttrs")?;
    let mut found = ValueVec::with_capacity(list.len());
    for element in list.iter() {
        let what = "while evaluating an element in the list passed as second argument to builtins.catAttrs";
        if let Some(value) = ev.force_attrs(element, pos, what)?.get(name) {
            found.push(value);
        }
    }
    Ok(ev.heap.list(&found))
}

fn map_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(args[1], pos, "while evaluating the second argument passed to builtins.mapAttrs")?;
    let map = |ev: &mut Evaluator, name: Symbol, value: Value| {
        let text = ev.symbol_value(name);
        ev.call_later(args[0], text, value)
    };
    if let Some(shape) = attrs.flat_shape()
        && !attrs.is_empty()
    {
        let shape = ev.heap.shape_without_positions(shape);
        let mapped = ev.heap.attrs_to_fill(shape);
        for index in 0..attrs.len() {
            let application = map(ev, shape.keys()[index], attrs.flat_value(index));
            mapped.set_attr(index, application);
        }
        return Ok(mapped);
    }
    let mut result = AttrsBuilder::with_capacity(attrs.len());
    for (name, value, _) in attrs.iter() {
        let application = map(ev, name, value);
        result.insert(name, application, Pos::NONE);
    }
    Ok(result.finish(&mut ev.heap))
}

fn zip_attrs_with(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.zipAttrsWith")?;
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.zipAttrsWith")?;
    let mut index: FxHashMap<Symbol, usize> = FxHashMap::default();
    let mut groups: Vec<(Symbol, ValueVec)> = Vec::new();
    for element in list.iter() {
        let what = "while evaluating a value of the list passed as second argument to builtins.zipAttrsWith";
        let attrs = ev.force_attrs(element, Pos::NONE, what)?;
        for (name, value, _) in attrs.iter() {
            let at = *index.entry(name).or_insert_with(|| {
                groups.push((name, ValueVec::new()));
                groups.len() - 1
            });
            groups[at].1.push(value);
        }
    }
    let mut result = AttrsBuilder::with_capacity(groups.len());
    for (name, values) in groups {
        let text = ev.symbol_value(name);
        let values = ev.heap.list(&values);
        let application = ev.call_later(f, text, values);
        result.insert(name, application, Pos::NONE);
    }
    Ok(result.finish(&mut ev.heap))
}

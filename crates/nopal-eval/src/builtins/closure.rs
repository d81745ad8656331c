//! `genericClosure`.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::{def, message};
use crate::error::{Error, Result};
use crate::pos::Pos;
use crate::pure::tree::Tree;
use crate::value::{Attrs, Value, ValueVec};
use nopal_syntax::interner::sym;
use rustc_hash::FxHashSet;

pub(super) const DEFS: &[BuiltinDef] = &[def!(
    "genericClosure",
    ["attrset"],
    generic_closure,
    "The sets reachable from `startSet` by `operator`, each once: two sets are the same if their `key` is."
)];

/// The keys seen so far. Keys of one simple type are hashed; anything else goes into the same search tree that Nix
/// uses, so that the same keys are compared.
#[derive(Default)]
struct Seen {
    integers: FxHashSet<i64>,
    strings: FxHashSet<Vec<u8>>,
    /// Once keys of another type occur: every accepted element is in the tree.
    tree: Option<Tree>,
    /// Accepted elements and their keys, in order.
    elements: ValueVec,
    keys: ValueVec,
}

impl Seen {
    /// Remembers a key (evaluated); false if it is already known.
    fn insert(&mut self, ev: &mut Evaluator, key: Value, element: Value) -> Result<bool> {
        if self.tree.is_none() {
            let simple = if let Some(i) = key.as_int()
                && self.strings.is_empty()
            {
                Some(self.integers.insert(i))
            } else if let Some(s) = key.as_str()
                && self.integers.is_empty()
            {
                let known = self.strings.contains(s.as_bytes());
                Some(!known && self.strings.insert(s.as_bytes().to_vec()))
            } else {
                None
            };
            if let Some(new) = simple {
                if new {
                    self.accept(key, element);
                }
                return Ok(new);
            }
            let mut tree = Tree::default();
            for i in 0..self.keys.len() {
                self.insert_in(&mut tree, ev, i, self.keys[i])?;
            }
            self.tree = Some(tree);
        }
        let Some(mut tree) = self.tree.take() else { return Ok(false) };
        let result = self.insert_in(&mut tree, ev, self.keys.len(), key);
        self.tree = Some(tree);
        let new = result?;
        if new {
            self.accept(key, element);
        }
        Ok(new)
    }

    fn accept(&mut self, key: Value, element: Value) {
        self.keys.push(key);
        self.elements.push(element);
    }

    fn insert_in(&self, tree: &mut Tree, ev: &mut Evaluator, index: usize, key: Value) -> Result<bool> {
        let key_of = |i: u32| self.keys.get(i as usize).copied().unwrap_or(key);
        tree.insert(index as u32, |a, b| ev.less_than(key_of(a), key_of(b), Pos::NONE, ""))
    }

    /// The first element, in the order of keys, whose key cannot be compared with `key`.
    fn culprit(&self, ev: &mut Evaluator, key: Value) -> Option<Value> {
        let order = self.tree.as_ref().map(Tree::in_order)?;
        order.into_iter().map(|i| i as usize).find_map(|i| {
            let fails = ev.less_than(key, self.keys[i], Pos::NONE, "").is_err();
            fails.then(|| self.elements[i])
        })
    }
}

fn generic_closure(ev: &mut Evaluator, args: &[Value], _: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.genericClosure";
    let attrs = ev.force_attrs(args[0], Pos::NONE, what)?;
    let missing = "in the attrset passed as argument to builtins.genericClosure";
    let start = ev.require_attr(attrs, sym::START_SET, missing)?;
    let what = "while evaluating the 'startSet' attribute passed as argument to builtins.genericClosure";
    let start = ev.force_list(start, Pos::NONE, what)?;
    if start.is_empty() {
        return Ok(start.value());
    }
    let operator = ev.require_attr(attrs, sym::OPERATOR, missing)?;
    let what = "while evaluating the 'operator' attribute passed as argument to builtins.genericClosure";
    let operator = ev.force_function(operator, Pos::NONE, what)?;
    let mut work: ValueVec = start.iter().collect();
    let mut next = 0;
    let mut seen = Seen::default();
    while let Some(&element) = work.get(next) {
        next += 1;
        let key = element_key(ev, element)?;
        let key = ev.force(key, Pos::NONE)?;
        match seen.insert(ev, key, element) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(error) => return Err(blame(ev, error, &seen, key, element)),
        }
        if let Err(error) = successors(ev, operator, element, &mut work) {
            let shown = ev.show_error_value(element);
            let what = message(&[b"while calling operator on genericClosure element ", &shown]);
            return Err(error.trace(Pos::NONE, what));
        }
    }
    Ok(ev.heap.list(&seen.elements))
}

fn element_key(ev: &mut Evaluator, element: Value) -> Result<Value> {
    let key = ev.force_attrs(element, Pos::NONE, "").and_then(|set: Attrs| ev.require_attr(set, sym::KEY, ""));
    key.map_err(|error| {
        let shown = ev.show_error_value(element);
        error.trace(Pos::NONE, message(&[b"in genericClosure element ", &shown]))
    })
}

fn successors(ev: &mut Evaluator, operator: Value, element: Value, work: &mut ValueVec) -> Result<()> {
    let result = ev.call_one(operator, element, Pos::NONE)?;
    let what = "while evaluating the return value of the `operator` passed to builtins.genericClosure";
    let list = ev.force_list(result, Pos::NONE, what)?;
    for new in list.iter() {
        ev.force(new, Pos::NONE)?;
        work.push(new);
    }
    Ok(())
}

#[cold]
fn blame(ev: &mut Evaluator, error: Error, seen: &Seen, key: Value, element: Value) -> Error {
    let other = seen.culprit(ev, key);
    let shown = ev.show_error_value(element);
    match other {
        Some(other) => {
            let other = ev.show_error_value(other);
            error
                .trace(Pos::NONE, message(&[b"with element ", &other]))
                .trace(Pos::NONE, message(&[b"while comparing element ", &shown]))
        }
        None => error.trace(Pos::NONE, message(&[b"while checking key of element ", &shown])),
    }
}

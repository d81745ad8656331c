//! String contexts: which store objects a string depends on.
//!
//! A context is a set of elements, interned: equal sets have equal numbers, and unions are remembered.

use std::collections::BTreeSet;
use std::rc::Rc;

use nopal_format::{BuiltPath, StoreDir, StorePath};
use rustc_hash::FxHashMap;

/// The number of an interned context; [`Contexts`] has the elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Context(u32);

impl Context {
    /// The empty context, which almost all strings have.
    pub const EMPTY: Context = Context(0);

    /// Does a string with this context depend on nothing?
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn from_raw(raw: u32) -> Context {
        Context(raw)
    }

    pub(crate) fn raw(self) -> u32 {
        self.0
    }
}

/// One element of a context. The order is Nix's: by variant, then by path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ContextElement {
    /// A store path that must exist; printed `<path>`.
    Opaque(StorePath),
    /// A derivation, all its outputs and its whole closure; printed `=<path>`.
    DrvDeep(StorePath),
    /// One output of a derivation; printed `!<output>!<path>`, with more outputs before a derivation that is built.
    Built(BuiltPath),
}

impl ContextElement {
    /// The text form without the store directory, as Nix prints it in messages and stores it in caches.
    pub fn to_text(&self) -> String {
        match self {
            ContextElement::Opaque(path) => path.base_name(),
            ContextElement::DrvDeep(path) => format!("={}", path.base_name()),
            ContextElement::Built(built) => format!("!{built}"),
        }
    }

    /// What the user knows the element as.
    pub fn display(&self, store: &StoreDir) -> String {
        match self {
            ContextElement::Opaque(path) => store.print(path),
            ContextElement::DrvDeep(path) => format!("{} (deep)", store.print(path)),
            ContextElement::Built(built) => built.display(store),
        }
    }
}

/// The table of contexts.
///
/// Elements are numbered, and a context is a set of numbers: a union is a merge of two short arrays.
#[derive(Debug)]
pub struct Contexts {
    elements: Vec<ContextElement>,
    numbers: FxHashMap<ContextElement, u32>,
    /// The numbers of the elements of each context, ascending.
    sets: Vec<Rc<[u32]>>,
    ids: FxHashMap<Rc<[u32]>, Context>,
    unions: FxHashMap<(Context, Context), Context>,
}

impl Default for Contexts {
    fn default() -> Contexts {
        let empty: Rc<[u32]> = Rc::new([]);
        let mut ids = FxHashMap::default();
        ids.insert(empty.clone(), Context::EMPTY);
        Contexts {
            elements: Vec::new(),
            numbers: FxHashMap::default(),
            sets: vec![empty],
            ids,
            unions: FxHashMap::default(),
        }
    }
}

impl Contexts {
    /// The elements of a context, in order.
    pub fn get(&self, context: Context) -> BTreeSet<ContextElement> {
        self.iter(context).cloned().collect()
    }

    /// The elements of a context, in no particular order.
    pub fn iter(&self, context: Context) -> impl Iterator<Item = &ContextElement> {
        self.sets[context.0 as usize].iter().map(|number| &self.elements[*number as usize])
    }

    fn number(&mut self, element: ContextElement) -> u32 {
        if let Some(known) = self.numbers.get(&element) {
            return *known;
        }
        let number = self.elements.len() as u32;
        self.elements.push(element.clone());
        self.numbers.insert(element, number);
        number
    }

    fn intern_numbers(&mut self, numbers: &[u32]) -> Context {
        if let Some(known) = self.ids.get(numbers) {
            return *known;
        }
        let context = Context(self.sets.len() as u32);
        let set: Rc<[u32]> = numbers.into();
        self.sets.push(set.clone());
        self.ids.insert(set, context);
        context
    }

    /// The context with exactly these elements.
    pub fn intern(&mut self, elements: BTreeSet<ContextElement>) -> Context {
        let mut numbers = elements.into_iter().map(|element| self.number(element)).collect::<Vec<_>>();
        numbers.sort_unstable();
        self.intern_numbers(&numbers)
    }

    /// The context of one element.
    pub fn single(&mut self, element: ContextElement) -> Context {
        let number = self.number(element);
        self.intern_numbers(&[number])
    }

    /// The union of two contexts.
    #[inline]
    pub fn union(&mut self, a: Context, b: Context) -> Context {
        if a == b || b.is_empty() {
            return a;
        }
        if a.is_empty() {
            return b;
        }
        self.union_slow(a, b)
    }

    fn union_slow(&mut self, a: Context, b: Context) -> Context {
        let key = if a.0 < b.0 { (a, b) } else { (b, a) };
        if let Some(known) = self.unions.get(&key) {
            return *known;
        }
        let (x, y) = (&self.sets[a.0 as usize], &self.sets[b.0 as usize]);
        let mut merged = Vec::with_capacity(x.len() + y.len());
        let (mut i, mut j) = (0, 0);
        while i < x.len() && j < y.len() {
            merged.push(x[i].min(y[j]));
            let (left, right) = (x[i], y[j]);
            i += usize::from(left <= right);
            j += usize::from(right <= left);
        }
        merged.extend_from_slice(&x[i..]);
        merged.extend_from_slice(&y[j..]);
        let union = self.intern_numbers(&merged);
        self.unions.insert(key, union);
        union
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(name: &str) -> ContextElement {
        ContextElement::Opaque(StorePath::new([0; 20], name).expect("a valid name"))
    }

    #[test]
    fn unions_are_sets() {
        let mut contexts = Contexts::default();
        let (a, b, c) = (element("a"), element("b"), element("c"));
        let ab = contexts.intern([a.clone(), b.clone()].into());
        let bc = contexts.intern([c.clone(), b.clone()].into());
        let all = contexts.union(ab, bc);
        assert_eq!(contexts.get(all), [a.clone(), b, c].into());
        assert_eq!(contexts.union(bc, ab), all);
        assert_eq!(contexts.union(all, ab), all);
        let one = contexts.single(a.clone());
        assert_eq!(contexts.intern([a].into()), one);
        assert_eq!(contexts.union(one, all), all);
        assert_eq!(contexts.intern(BTreeSet::new()), Context::EMPTY);
    }
}

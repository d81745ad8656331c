//! String contexts: which store objects a string depends on.
//!
//! A context is a set of elements, interned: equal sets have equal numbers, and unions are remembered. Most have one
//! element, and need no set.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash};
use std::hint::black_box;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use hashbrown::HashTable;
use nopal_format::{BuiltPath, StoreDir, StorePath};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::sync::lock;

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

    /// The context of one element is the number of the element and this.
    const SINGLE: u32 = 1 << 31;

    fn single(number: u32) -> Context {
        Context(number | Self::SINGLE)
    }

    fn as_single(self) -> Option<u32> {
        (self.0 & Self::SINGLE != 0).then_some(self.0 & !Self::SINGLE)
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

    /// The store path that it begins with.
    fn base(&self) -> &StorePath {
        match self {
            ContextElement::Opaque(path) | ContextElement::DrvDeep(path) => path,
            ContextElement::Built(built) => built.drv.base(),
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
/// Elements are numbered, and a context is a set of numbers: a union is a merge of two short arrays. A clone is another
/// handle on the same table, for another thread.
#[derive(Clone, Debug)]
pub struct Contexts {
    table: Arc<Table>,
    /// The unions that this handle made.
    unions: FxHashMap<(Context, Context), Context>,
}

#[derive(Debug)]
struct Table {
    elements: boxcar::Vec<ContextElement>,
    /// The numbers of the elements of each context but those of one, ascending.
    sets: boxcar::Vec<Box<[u32]>>,
    /// What is needed to find what is there; whoever adds something holds it.
    index: Mutex<Index>,
}

#[derive(Default, Debug)]
struct Index {
    elements: Numbers,
    sets: Numbers,
}

/// Numbers of things, by the hash of these: a part of it is kept, so that nothing is hashed again.
#[derive(Default, Debug)]
struct Numbers(HashTable<(u32, u32)>);

impl Numbers {
    /// The number of a thing; if it has none, the one that `add` gives it.
    fn get_or_add<T: Hash>(&mut self, thing: T, is_it: impl Fn(&T, u32) -> bool, add: impl FnOnce(T) -> u32) -> u32 {
        let part = (FxBuildHasher.hash_one(&thing) >> 32) as u32;
        let whole = |part: u32| u64::from(part) << 32 | u64::from(part);
        if let Some((_, number)) = self.0.find(whole(part), |known| known.0 == part && is_it(&thing, known.1)) {
            return *number;
        }
        let number = add(thing);
        self.0.insert_unique(whole(part), (part, number), |known| whole(known.0));
        number
    }
}

/// So many contexts are looked through for equal ones.
const MANY: usize = 64;

/// Contexts whose union is wanted when all are known: those on the way to it need no numbers.
#[derive(Clone, Default, Debug)]
pub struct Gathered(Vec<Context>);

impl Gathered {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, context: Context) {
        if !context.is_empty() && self.0.last() != Some(&context) {
            self.0.push(context);
            if self.0.len() >= MANY && self.0.len().is_power_of_two() {
                self.settle();
            }
        }
    }

    /// Forgets what is there several times.
    fn settle(&mut self) {
        self.0.sort_unstable_by_key(|context| context.0);
        self.0.dedup();
    }

    /// The union of all of them.
    pub fn union(&mut self, contexts: &mut Contexts) -> Context {
        match self.0.as_slice() {
            [] => Context::EMPTY,
            [one] => *one,
            [one, other] => contexts.union(*one, *other),
            _ => {
                let numbers = self.numbers(contexts);
                contexts.table.intern_numbers(&numbers)
            }
        }
    }

    /// The elements of all of them, each once.
    pub fn elements<'a>(&mut self, contexts: &'a Contexts) -> Vec<&'a ContextElement> {
        let numbers = self.numbers(contexts);
        let get = |number| contexts.table.elements.get(number as usize);
        let elements = numbers.into_iter().filter_map(get).collect::<Vec<_>>();
        // Whoever copies paths counts references to their names, and each time waits for all memory that is under way.
        // So they are fetched together before.
        elements.iter().for_each(|element| _ = black_box(element.base().name().as_bytes().first().copied()));
        elements
    }

    fn numbers(&mut self, contexts: &Contexts) -> Vec<u32> {
        self.settle();
        let mut numbers = Vec::with_capacity(self.0.len());
        for context in &self.0 {
            numbers.extend_from_slice(&contexts.table.set(*context));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

impl Default for Contexts {
    fn default() -> Contexts {
        let table = Table { elements: boxcar::Vec::new(), sets: boxcar::Vec::new(), index: Mutex::default() };
        table.intern_numbers(&[]);
        Contexts { table: Arc::new(table), unions: FxHashMap::default() }
    }
}

impl Table {
    fn number(&self, element: ContextElement) -> u32 {
        let is_it = |element: &ContextElement, number| self.elements[number as usize] == *element;
        lock(&self.index).elements.get_or_add(element, is_it, |element| self.elements.push(element) as u32)
    }

    fn intern_numbers(&self, numbers: &[u32]) -> Context {
        if let &[number] = numbers {
            return Context::single(number);
        }
        let is_it = |numbers: &&[u32], number| *self.sets[number as usize] == **numbers;
        Context(lock(&self.index).sets.get_or_add(numbers, is_it, |numbers| self.sets.push(numbers.into()) as u32))
    }

    /// The numbers of the elements of a context.
    fn set(&self, context: Context) -> Set<'_> {
        match context.as_single() {
            Some(number) => Set::Single([number]),
            None => Set::Many(self.sets.get(context.0 as usize).map_or(&[], |set| set)),
        }
    }
}

/// The numbers of elements, ascending.
enum Set<'a> {
    Single([u32; 1]),
    Many(&'a [u32]),
}

impl Deref for Set<'_> {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Set::Single(number) => number,
            Set::Many(numbers) => numbers,
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
        let numbers = self.table.set(context);
        (0..numbers.len()).filter_map(move |index| self.table.elements.get(numbers[index] as usize))
    }

    /// The context with exactly these elements.
    pub fn intern(&mut self, elements: BTreeSet<ContextElement>) -> Context {
        let mut numbers = elements.into_iter().map(|element| self.table.number(element)).collect::<Vec<_>>();
        numbers.sort_unstable();
        self.table.intern_numbers(&numbers)
    }

    /// The context of one element.
    pub fn single(&mut self, element: ContextElement) -> Context {
        Context::single(self.table.number(element))
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
        let (x, y) = (self.table.set(a), self.table.set(b));
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
        let union = self.table.intern_numbers(&merged);
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
        let mut gathered = Gathered::default();
        assert_eq!(gathered.union(&mut contexts), Context::EMPTY);
        for (context, union) in [(bc, bc), (Context::EMPTY, bc), (ab, all), (bc, all), (ab, all)] {
            gathered.add(context);
            assert_eq!(gathered.union(&mut contexts), union);
        }
        assert_eq!(gathered.elements(&contexts).len(), 3);
        let one = contexts.single(a.clone());
        assert_eq!(contexts.intern([a].into()), one);
        assert_eq!(contexts.union(one, all), all);
        assert_eq!(contexts.intern(BTreeSet::new()), Context::EMPTY);
    }
}

//! String contexts: which store objects a string depends on.
//!
//! A context is a set of elements, interned: equal sets have equal numbers, and unions are remembered.

use std::collections::BTreeSet;
use std::rc::Rc;

use nopal_format::{StoreDir, StorePath};
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
    /// One output of a derivation; printed `!<output>!<path>`.
    Built {
        /// The derivation.
        drv: StorePath,
        /// The name of the output.
        output: String,
    },
}

impl ContextElement {
    /// The text form without the store directory, as Nix prints it in messages and stores it in caches.
    pub fn to_text(&self) -> String {
        match self {
            ContextElement::Opaque(path) => path.base_name(),
            ContextElement::DrvDeep(path) => format!("={}", path.base_name()),
            ContextElement::Built { drv, output } => format!("!{output}!{}", drv.base_name()),
        }
    }

    /// What the user knows the element as.
    pub fn display(&self, store: &StoreDir) -> String {
        match self {
            ContextElement::Opaque(path) | ContextElement::DrvDeep(path) => store.print(path),
            ContextElement::Built { drv, output } => format!("{}^{output}", store.print(drv)),
        }
    }
}

/// The table of contexts.
#[derive(Debug)]
pub struct Contexts {
    sets: Vec<Rc<BTreeSet<ContextElement>>>,
    ids: FxHashMap<Rc<BTreeSet<ContextElement>>, Context>,
    unions: FxHashMap<(Context, Context), Context>,
    singles: FxHashMap<ContextElement, Context>,
}

impl Default for Contexts {
    fn default() -> Contexts {
        let empty = Rc::new(BTreeSet::new());
        let mut ids = FxHashMap::default();
        ids.insert(empty.clone(), Context::EMPTY);
        Contexts { sets: vec![empty], ids, unions: FxHashMap::default(), singles: FxHashMap::default() }
    }
}

impl Contexts {
    /// The elements of a context, in order.
    pub fn get(&self, context: Context) -> Rc<BTreeSet<ContextElement>> {
        self.sets[context.0 as usize].clone()
    }

    /// The context with exactly these elements.
    pub fn intern(&mut self, mut elements: BTreeSet<ContextElement>) -> Context {
        if elements.is_empty() {
            return Context::EMPTY;
        }
        if elements.len() == 1
            && let Some(element) = elements.pop_first()
        {
            return self.single(element);
        }
        if let Some(known) = self.ids.get(&elements) {
            return *known;
        }
        let context = Context(self.sets.len() as u32);
        let set = Rc::new(elements);
        self.sets.push(set.clone());
        self.ids.insert(set, context);
        context
    }

    /// The context of one element.
    pub fn single(&mut self, element: ContextElement) -> Context {
        if let Some(known) = self.singles.get(&element) {
            return *known;
        }
        // Sets of one element are found here and nowhere else, so the larger table need not know them.
        let context = Context(self.sets.len() as u32);
        self.sets.push(Rc::new(BTreeSet::from([element.clone()])));
        self.singles.insert(element, context);
        context
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
        let mut elements = (*self.sets[a.0 as usize]).clone();
        elements.extend(self.sets[b.0 as usize].iter().cloned());
        let union = self.intern(elements);
        self.unions.insert(key, union);
        union
    }
}

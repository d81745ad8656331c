//! `a // b`: layers over large sets, remembered plans for shared shapes, plain merges for the rest.

use std::hash::BuildHasher as _;

use nopal_syntax::Symbol;
use rustc_hash::FxBuildHasher;

use super::attrs::{Attrs, MAX_LAYERS, Shape};
use super::heap::Heap;
use super::word::{Kind, Value, words_of};
use crate::pos::Pos;

/// A set of at most this many attributes is cheaper to copy than to layer.
const LAYER_THRESHOLD: usize = 24;

/// A layer is so many times smaller than what is below it when it is laid.
const LAYER_RATIO: usize = 8;

/// After so many steps of a merge in one operand the rest is searched instead.
const GALLOP: usize = 8;

/// Most words in remembered merge plans, over all plans: a bound on memory, far above what real inputs reach.
const MAX_MERGE_ENTRIES: usize = 1 << 20;

/// How two shapes merge: the resulting shape, and for each of its keys where the value comes from (`index << 1`, with
/// the lowest bit set for the right operand).
#[derive(Clone, Copy)]
pub(super) struct MergePlan {
    shape: Shape,
    sources: &'static [u32],
}

/// What is known of a pair of shapes that was merged.
#[derive(Clone, Copy)]
pub(super) enum Merged {
    /// It was merged once. Most pairs that sets made at run time lead to are never seen again.
    Once,
    Planned(MergePlan),
    /// The second was laid over the first, with so many keys in common.
    Layered(usize),
}

/// Two shapes that meet, by what addresses of objects have: 31 bits that count.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Pair(u64);

impl Pair {
    fn of(a: Shape, b: Shape) -> Pair {
        Pair((a.id() as u64 >> 3) << 32 | b.id() as u64 >> 3)
    }
}

/// Plans that were followed lately, by the hashes of their pairs: in a package set 97 of 100 are among them, and the table of
/// all merges is not in the cache.
#[derive(Default)]
pub(super) struct RecentPlans(Vec<Option<(Pair, MergePlan)>>);

impl RecentPlans {
    const LEN: usize = 4096;

    fn slot(pair: Pair) -> usize {
        (FxBuildHasher.hash_one(pair) >> (u64::BITS - Self::LEN.ilog2())) as usize
    }

    #[inline(always)]
    fn get(&self, pair: Pair) -> Option<MergePlan> {
        let (known, plan) = self.0.get(Self::slot(pair))?.as_ref()?;
        (*known == pair).then_some(*plan)
    }

    fn set(&mut self, pair: Pair, plan: MergePlan) {
        self.0.resize(Self::LEN, None);
        self.0[Self::slot(pair)] = Some((pair, plan));
    }
}

/// A removal of these names from sets of one shape.
pub(super) struct Removal {
    names: Box<[Symbol]>,
    plan: MergePlan,
}

/// Attributes that lie in a row in the result of a merge as in one of the operands.
#[derive(Clone, Copy)]
struct Piece {
    from_right: bool,
    start: u32,
    len: u32,
}

/// Memory for merges.
#[derive(Default)]
pub(super) struct MergeMemory {
    pieces: Vec<Piece>,
    keys: Vec<Symbol>,
    positions: Vec<Pos>,
}

/// How many of `keys`, which ascend, come before `key`.
#[inline(always)]
fn count_before(keys: &[Symbol], key: Symbol) -> usize {
    match keys.iter().take(GALLOP).position(|known| *known >= key) {
        Some(count) => count,
        None if keys.len() <= GALLOP => keys.len(),
        None => GALLOP + keys[GALLOP..].partition_point(|known| *known < key),
    }
}

impl MergeMemory {
    fn clear(&mut self) {
        self.pieces.clear();
        self.keys.clear();
        self.positions.clear();
    }

    /// Adds a piece of an operand, which has this shape.
    fn add(&mut self, shape: Shape, from_right: bool, start: usize, len: usize) {
        if len == 0 {
            return;
        }
        self.keys.extend_from_slice(&shape.keys()[start..start + len]);
        self.positions.extend_from_slice(&shape.positions()[start..start + len]);
        self.pieces.push(Piece { from_right, start: start as u32, len: len as u32 });
    }

    /// Finds the pieces of the union of two shapes, where `b` wins, and its keys and positions.
    fn join(&mut self, a: Shape, b: Shape) {
        self.clear();
        let (keys_a, keys_b) = (a.keys(), b.keys());
        let mut add = |from_right, start, len| self.add(if from_right { b } else { a }, from_right, start, len);
        let (mut i, mut j) = (0, 0);
        while i < keys_a.len() && j < keys_b.len() {
            let before = count_before(&keys_a[i..], keys_b[j]);
            add(false, i, before);
            i += before;
            let Some(next) = keys_a.get(i).copied() else { break };
            let before = count_before(&keys_b[j..], next);
            if keys_b.get(j + before) == Some(&next) {
                add(true, j, before + 1);
                j += before + 1;
                i += 1;
            } else {
                add(true, j, before);
                j += before;
            }
        }
        add(false, i, keys_a.len() - i);
        add(true, j, keys_b.len() - j);
    }

    /// Finds the pieces of a shape that are left without some names, which ascend, and their keys and positions.
    fn cut(&mut self, shape: Shape, names: &[Symbol]) {
        self.clear();
        let mut start = 0;
        for name in names {
            // of equal names the others are not found any more
            let Ok(ahead) = shape.keys()[start..].binary_search(name) else { continue };
            self.add(shape, false, start, ahead);
            start += ahead + 1;
        }
        self.add(shape, false, start, shape.len() - start);
    }
}

impl Heap {
    /// `left // right`
    pub fn update(&mut self, left: Attrs, right: Attrs) -> Value {
        if right.is_empty() {
            return left.0;
        }
        if left.is_empty() {
            return right.0;
        }
        if left.len() > LAYER_THRESHOLD && right.len() * LAYER_RATIO <= left.len() && !right.is_layered() {
            if left.depth() < MAX_LAYERS {
                return self.layer(left, right);
            }
            // The base, which is by far the largest, is copied only when the layers above it have grown, too.
            let (upper, base) = self.split(left);
            let upper = Attrs(self.merge(upper, right));
            if upper.len() * LAYER_RATIO <= base.len() {
                return self.layer(base, upper);
            }
            return self.merge(base, upper);
        }
        self.union(left, right)
    }

    /// The same as a set without layers.
    pub(crate) fn union(&mut self, left: Attrs, right: Attrs) -> Value {
        let (left, right) = (self.flat(left), self.flat(right));
        match (left.is_empty(), right.is_empty()) {
            (_, true) => left.0,
            (true, _) => right.0,
            _ => self.merge(left, right),
        }
    }

    /// The union of sets without layers.
    fn merge(&mut self, left: Attrs, right: Attrs) -> Value {
        let (a, b) = (left.shape(), right.shape());
        let plan = self.recent_plans.get(Pair::of(a, b)).or_else(|| self.merge_plan(a, b));
        match plan {
            Some(plan) => self.merge_planned(left, right, plan),
            None => self.merge_once(left, right, a, b),
        }
    }

    /// How two shapes merge, unless they meet for the first time.
    fn merge_plan(&mut self, a: Shape, b: Shape) -> Option<MergePlan> {
        if !a.is_shared() || !b.is_shared() || self.merge_entries >= MAX_MERGE_ENTRIES {
            return None;
        }
        let pair = Pair::of(a, b);
        let plan = match self.merges.get(&pair) {
            Some(Merged::Planned(plan)) => *plan,
            Some(Merged::Once | Merged::Layered(_)) => self.plan_merge(a, b),
            None => {
                self.merge_entries += 1;
                self.merges.insert(pair, Merged::Once);
                return None;
            }
        };
        self.recent_plans.set(pair, plan);
        Some(plan)
    }

    /// A set without some of its attributes, as a new set. `names` ascend; others may be among them.
    pub(crate) fn without(&mut self, set: Attrs, names: &[Symbol]) -> Value {
        let set = self.flat(set);
        let shape = set.shape();
        if names.is_empty() {
            return self.copy(set);
        }
        if !shape.is_shared() || self.merge_entries >= MAX_MERGE_ENTRIES {
            return self.without_once(set, names);
        }
        let key = (shape.id(), FxBuildHasher.hash_one(names));
        match self.removals.get(&key).copied() {
            Some(Some(removal)) if *removal.names == *names => self.merge_planned(set, set, removal.plan),
            // other names
            Some(Some(_)) => self.without_once(set, names),
            Some(None) => {
                let removal = self.plan_removal(shape, names);
                self.removals.insert(key, Some(removal));
                self.merge_planned(set, set, removal.plan)
            }
            // as for merges, most are never seen again
            None => {
                self.merge_entries += 1;
                self.removals.insert(key, None);
                self.without_once(set, names)
            }
        }
    }

    #[cold]
    fn plan_removal(&mut self, shape: Shape, names: &[Symbol]) -> &'static Removal {
        let mut memory = std::mem::take(&mut self.merge_memory);
        memory.cut(shape, names);
        let plan = self.plan(&memory);
        self.merge_memory = memory;
        self.merge_entries += names.len();
        Box::leak(Box::new(Removal { names: names.into(), plan }))
    }

    /// The same flat set once more.
    pub(crate) fn copy(&mut self, set: Attrs) -> Value {
        let shape = set.shape();
        if shape.is_empty() {
            return self.empty_attrs();
        }
        let copy = self.attrs_to_fill(shape);
        copy.copy_attrs(0, set, 0, shape.len());
        copy
    }

    fn without_once(&mut self, set: Attrs, names: &[Symbol]) -> Value {
        let mut memory = std::mem::take(&mut self.merge_memory);
        memory.cut(set.shape(), names);
        let result = if memory.keys.is_empty() { self.empty_attrs() } else { self.put_together(&memory, set, set) };
        self.merge_memory = memory;
        result
    }

    /// The same set without layers. The layers are small, and joined before they meet the base.
    fn flat(&mut self, set: Attrs) -> Attrs {
        if !set.is_layered() {
            return set;
        }
        let (upper, base) = self.split(set);
        Attrs(self.merge(base, upper))
    }

    /// The layers of a layered set as one, and its base.
    fn split(&mut self, set: Attrs) -> (Attrs, Attrs) {
        let (mut upper, mut base) = set.layers();
        while base.is_layered() {
            let (lower, below) = base.layers();
            upper = Attrs(self.merge(lower, upper));
            base = below;
        }
        (upper, base)
    }

    fn layer(&mut self, base: Attrs, top: Attrs) -> Value {
        let common = self.common_keys(base, top);
        let value = self.new_object(Kind::Layered, base.len() + top.len() - common, words_of(2));
        // SAFETY: the object has two slots after its header.
        unsafe { value.set_slots(0, &[top.0, base.0]) };
        value
    }

    /// How many keys of a flat set are in another one.
    fn common_keys(&mut self, base: Attrs, top: Attrs) -> usize {
        let count = || top.shape().keys().iter().filter(|key| base.contains(**key)).count();
        let Some(shape) = base.flat_shape().filter(|shape| shape.is_shared() && top.shape().is_shared()) else {
            return count();
        };
        let pair = Pair::of(shape, top.shape());
        match self.merges.get(&pair) {
            Some(Merged::Layered(common)) => *common,
            None if self.merge_entries < MAX_MERGE_ENTRIES => {
                let common = count();
                self.merge_entries += 1;
                self.merges.insert(pair, Merged::Layered(common));
                common
            }
            _ => count(),
        }
    }

    fn merge_planned(&mut self, left: Attrs, right: Attrs, plan: MergePlan) -> Value {
        if plan.sources.is_empty() {
            return self.empty_attrs();
        }
        let value = self.attrs_of_len(plan.shape, plan.sources.len());
        for (index, source) in plan.sources.iter().enumerate() {
            let from = if source & 1 == 1 { right } else { left };
            value.set_attr(index, from.flat_value((source >> 1) as usize));
        }
        value
    }

    #[cold]
    fn plan_merge(&mut self, a: Shape, b: Shape) -> MergePlan {
        let mut memory = std::mem::take(&mut self.merge_memory);
        memory.join(a, b);
        let plan = self.plan(&memory);
        self.merge_memory = memory;
        self.merges.insert(Pair::of(a, b), Merged::Planned(plan));
        plan
    }

    /// How a set is put together from these pieces.
    fn plan(&mut self, memory: &MergeMemory) -> MergePlan {
        let shape = self.shape_of(&memory.keys, &memory.positions);
        if !shape.is_shared() {
            self.keep(Value::from_object(shape.address()));
        }
        let mut sources = Vec::with_capacity(memory.keys.len());
        for piece in &memory.pieces {
            sources
                .extend((piece.start..piece.start + piece.len).map(|index| index << 1 | u32::from(piece.from_right)));
        }
        self.merge_entries += sources.len() + 8;
        MergePlan { shape, sources: sources.leak() }
    }

    fn merge_once(&mut self, left: Attrs, right: Attrs, a: Shape, b: Shape) -> Value {
        let mut memory = std::mem::take(&mut self.merge_memory);
        memory.join(a, b);
        let value = self.put_together(&memory, left, right);
        self.merge_memory = memory;
        value
    }

    /// The set made of pieces of two others.
    fn put_together(&mut self, memory: &MergeMemory, left: Attrs, right: Attrs) -> Value {
        let shape = self.shape_of(&memory.keys, &memory.positions);
        let value = self.attrs_to_fill(shape);
        let mut at = 0;
        for piece in &memory.pieces {
            let from = if piece.from_right { right } else { left };
            value.copy_attrs(at, from, piece.start as usize, piece.len as usize);
            at += piece.len as usize;
        }
        value
    }
}

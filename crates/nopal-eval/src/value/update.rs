//! `a // b`: layers over large sets, remembered plans for shared shapes, plain merges for the rest.

use super::attrs::{Attrs, MAX_LAYERS, Shape};
use nopal_syntax::Symbol;

use super::heap::Heap;
use super::roots::RootVec;
use super::word::{Kind, Value};
use crate::pos::Pos;

/// A set of at most this many attributes is cheaper to copy than to layer.
const LAYER_THRESHOLD: usize = 24;

/// Most words in remembered merge plans, over all plans: a bound on memory, far above what real inputs reach.
const MAX_MERGE_ENTRIES: usize = 1 << 20;

/// How two shapes merge: the resulting shape, and for each of its keys where the value comes from (`index << 1`, with
/// the lowest bit set for the right operand).
pub(super) struct MergePlan {
    pub(super) shape: Shape,
    sources: Box<[u32]>,
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
        if left.len() > LAYER_THRESHOLD
            && right.len() * 8 <= left.len()
            && !right.is_layered()
            && left.depth() < MAX_LAYERS
        {
            return self.layer(left, right);
        }
        let (left, right) = (self.flat(left), self.flat(right));
        self.merge(left, right)
    }

    /// The union of sets without layers.
    fn merge(&mut self, left: Attrs, right: Attrs) -> Value {
        let (a, b) = (left.shape(), right.shape());
        if a.is_shared() && b.is_shared() && self.merge_entries < MAX_MERGE_ENTRIES {
            return self.merge_planned(left, right, a, b);
        }
        self.merge_flat(left, right)
    }

    /// The same set without layers. The layers are small, and joined before they meet the base.
    fn flat(&mut self, set: Attrs) -> Attrs {
        if !set.is_layered() {
            return set;
        }
        let (mut upper, mut base) = set.layers();
        while base.is_layered() {
            let (lower, below) = base.layers();
            upper = Attrs(self.merge(lower, upper));
            base = below;
        }
        Attrs(self.merge(base, upper))
    }

    fn layer(&mut self, base: Attrs, top: Attrs) -> Value {
        let common = top.shape().keys().iter().filter(|key| base.contains(**key)).count();
        let value = self.new_object(Kind::Layered, base.len() + top.len() - common, 2);
        // SAFETY: the object has two words after its header.
        unsafe {
            *value.object().add(1).cast::<Value>() = top.0;
            *value.object().add(2).cast::<Value>() = base.0;
        }
        value
    }

    fn merge_planned(&mut self, left: Attrs, right: Attrs, a: Shape, b: Shape) -> Value {
        let plan = match self.merges.get(&(a.id(), b.id())) {
            Some(plan) => *plan,
            None => self.plan_merge(a, b),
        };
        let value = self.attrs_object(plan.shape);
        for (index, source) in plan.sources.iter().enumerate() {
            let from = if source & 1 == 1 { right } else { left };
            value.set_attr(index, from.flat_value((source >> 1) as usize));
        }
        value
    }

    #[cold]
    fn plan_merge(&mut self, a: Shape, b: Shape) -> &'static MergePlan {
        let (keys_a, keys_b) = (a.keys(), b.keys());
        let (mut i, mut j) = (0, 0);
        let (mut keys, mut positions, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        while i < keys_a.len() || j < keys_b.len() {
            let from_b = j < keys_b.len() && (i >= keys_a.len() || keys_b[j] <= keys_a[i]);
            if from_b {
                if i < keys_a.len() && keys_a[i] == keys_b[j] {
                    i += 1;
                }
                keys.push(keys_b[j]);
                positions.push(b.positions()[j]);
                sources.push((j as u32) << 1 | 1);
                j += 1;
            } else {
                keys.push(keys_a[i]);
                positions.push(a.positions()[i]);
                sources.push((i as u32) << 1);
                i += 1;
            }
        }
        let shape = self.shape_of(keys.len(), |index| (keys[index], positions[index]));
        self.merge_entries += sources.len() + 8;
        let plan: &'static MergePlan = Box::leak(Box::new(MergePlan { shape, sources: sources.into_boxed_slice() }));
        if !plan.shape.is_shared() {
            self.keep(Value::from_object(plan.shape.address()));
        }
        self.merges.insert((a.id(), b.id()), plan);
        plan
    }

    fn merge_flat(&mut self, left: Attrs, right: Attrs) -> Value {
        let mut entries = RootVec::with_capacity(left.len() + right.len());
        let entry = |(key, value, pos): (Symbol, Value, Pos)| (key, pos, value);
        let (mut a, mut b) = (left.iter().map(entry).peekable(), right.iter().map(entry).peekable());
        loop {
            match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => {
                    if x.0 < y.0 {
                        entries.extend(a.next());
                    } else {
                        if x.0 == y.0 {
                            a.next();
                        }
                        entries.extend(b.next());
                    }
                }
                (Some(_), None) => entries.extend(a.next()),
                (None, Some(_)) => entries.extend(b.next()),
                (None, None) => break,
            }
        }
        self.attrs_from_sorted(&entries)
    }
}

//! Attribute sets.
//!
//! A *shape* holds the keys (sorted by symbol) and their positions; it is immutable and shared by all sets made by the
//! same literal, and by results of `//` of the same operands. A *flat* set is a shape and one slot per attribute. A
//! *layered* set is a small set over a large one: `big // small` costs the size of `small`.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use nopal_syntax::{Interner, Symbol};
use rustc_hash::FxHasher;

use super::heap::Heap;
use super::roots::RootVec;
use super::word::{Kind, SHARED_FLAG, Slot, Value, header_address, header_len, words_of};
use crate::code::ir::Cache;
use crate::pos::Pos;
use crate::pure::sort::{Order, order_of_texts};

/// Most layers a set may have; one more and `//` makes a flat set.
pub(super) const MAX_LAYERS: usize = 8;

/// Shapes that a thread finds without asking others: one for each of so many hashes.
pub(super) const RECENT_SHAPES: usize = 1024;

/// Keys and positions of attribute sets. A heap object: header, cached name order, position of the literal, keys,
/// positions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape(*mut u64);

impl Shape {
    pub(super) fn dangling() -> Shape {
        Shape(std::ptr::null_mut())
    }

    /// How many keys.
    #[inline(always)]
    pub fn len(self) -> usize {
        // SAFETY: a shape points to its header.
        header_len(unsafe { *self.0 })
    }

    /// Has it no key?
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Its address, which identifies it.
    #[inline(always)]
    pub(crate) fn id(self) -> usize {
        self.0 as usize
    }

    /// The position of the literal that makes sets of this shape; none for other shapes.
    pub(crate) fn pos(self) -> Pos {
        // SAFETY: the third word of a shape is a position (u32, transparent).
        unsafe { *(self.0.add(2) as *const Pos) }
    }

    /// The shape in the header of a flat set.
    #[inline(always)]
    pub(super) fn of_header(header: u64) -> Shape {
        Shape(header_address::<u64>(header).cast_mut())
    }

    pub(super) fn address(self) -> *mut u64 {
        self.0
    }

    pub(super) fn is_shared(self) -> bool {
        // SAFETY: a shape points to its header.
        unsafe { *self.0 & SHARED_FLAG != 0 }
    }

    /// The keys, ascending.
    #[inline(always)]
    pub fn keys(&self) -> &[Symbol] {
        // SAFETY: `len` symbols (u32, transparent) follow header, order word and literal word.
        unsafe { std::slice::from_raw_parts(self.0.add(3) as *const Symbol, self.len()) }
    }

    /// The positions, in the order of [`Shape::keys`].
    #[inline(always)]
    pub fn positions(&self) -> &[Pos] {
        let len = self.len();
        // SAFETY: `len` positions (u32, transparent) follow the keys, which take a whole number of words.
        unsafe { std::slice::from_raw_parts(self.0.add(3 + len.div_ceil(2)) as *const Pos, len) }
    }

    /// Index of a key.
    #[inline(always)]
    pub fn find(self, key: Symbol) -> Option<usize> {
        let keys = self.keys();
        // they ascend, so that not more come before it than there are lesser names
        let keys = &keys[..keys.len().min(key.index() + 1)];
        if keys.len() <= 8 {
            return keys.iter().position(|k| *k == key);
        }
        keys.binary_search(&key).ok()
    }

    /// Is this the key at an index?
    #[inline(always)]
    pub(crate) fn has_at(self, index: u32, key: Symbol) -> bool {
        self.keys().get(index as usize) == Some(&key)
    }

    /// The keys in the order of their names.
    pub(crate) fn sorted_keys(self, symbols: &Interner) -> impl Iterator<Item = Symbol> + use<> {
        self.name_order(symbols).iter().map(move |index| self.keys()[*index as usize])
    }

    /// Indices of the keys in the order of their names; computed once per shape.
    fn name_order(self, symbols: &Interner) -> &'static [u32] {
        // SAFETY: the second word of a shape is null or points to a leaked slice of `len` indices; threads that make it at
        // the same time make the same.
        let word = unsafe { AtomicU64::from_ptr(self.0.add(1)) };
        let cached = word.load(Ordering::Acquire) as *const u32;
        let pointer = if cached.is_null() {
            let keys = self.keys();
            let order = order_of_texts(keys.len(), |index| symbols.get(keys[index]), Order::Ascending);
            let order = order.into_iter().map(|index| index as u32).collect::<Box<[u32]>>();
            let leaked = Box::leak(order).as_ptr();
            word.store(leaked as u64, Ordering::Release);
            leaked
        } else {
            cached
        };
        // SAFETY: see above.
        unsafe { std::slice::from_raw_parts(pointer, self.len()) }
    }
}

/// An attribute set.
#[derive(Clone, Copy)]
pub struct Attrs(pub(super) Value);

impl Attrs {
    /// The value this handle was made from.
    #[inline(always)]
    pub fn value(self) -> Value {
        self.0
    }

    /// How many attributes.
    #[inline(always)]
    pub fn len(self) -> usize {
        if self.is_layered() { header_len(self.0.header()) } else { self.shape().len() }
    }

    /// Has it no attribute?
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    pub(super) fn is_layered(self) -> bool {
        self.0.header() as u8 == Kind::Layered as u8
    }

    /// The shape of a flat set.
    #[inline(always)]
    pub(crate) fn flat_shape(self) -> Option<Shape> {
        if self.is_layered() { None } else { Some(self.shape()) }
    }

    #[inline(always)]
    pub(super) fn shape(self) -> Shape {
        Shape::of_header(self.0.header())
    }

    /// The value at `index` of a flat set; the index must come from its shape.
    #[inline(always)]
    pub(crate) fn flat_value(self, index: usize) -> Value {
        debug_assert!(!self.is_layered() && index < self.len());
        // SAFETY: a flat set has one slot per key after its header.
        unsafe { *self.0.slots().add(index) }.value()
    }

    /// Top and base of a layered set.
    #[inline(always)]
    pub(super) fn layers(self) -> (Attrs, Attrs) {
        // SAFETY: the two slots of a layered set are sets.
        unsafe { (Attrs((*self.0.slots()).value()), Attrs((*self.0.slots().add(1)).value())) }
    }

    pub(super) fn depth(self) -> usize {
        let mut depth = 1;
        let mut set = self;
        while set.is_layered() {
            depth += 1;
            set = set.layers().1;
        }
        depth
    }

    /// The value of an attribute, evaluated or not.
    #[inline(always)]
    pub fn get(self, key: Symbol) -> Option<Value> {
        self.find(key).map(Found::value)
    }

    /// The value and the position of an attribute.
    pub fn get_with_pos(self, key: Symbol) -> Option<(Value, Pos)> {
        self.find(key).map(|found| (found.value(), found.pos()))
    }

    /// Where an attribute is.
    #[inline(always)]
    pub(crate) fn find(self, key: Symbol) -> Option<Found> {
        let mut set = self;
        while set.is_layered() {
            let (top, base) = set.layers();
            if let Some(index) = top.shape().find(key) {
                return Some(Found { set: top, index });
            }
            set = base;
        }
        set.shape().find(key).map(|index| Found { set, index })
    }

    /// Where an attribute of a set with this shape is, if the look-up before says where to look.
    #[inline(always)]
    pub(crate) fn find_where(self, shape: Shape, key: Symbol, cache: &Cache) -> Option<Found> {
        let index = cache.find(shape, key)??;
        Some(Found { set: self, index: index as usize })
    }

    /// Where an attribute is; what is found in a shared shape is remembered.
    #[inline(always)]
    pub(crate) fn find_cached(self, key: Symbol, cache: &Cache) -> Option<Found> {
        let mut set = self;
        while set.is_layered() {
            let (top, base) = set.layers();
            if let Some(index) = top.shape().find(key) {
                return Some(Found { set: top, index });
            }
            set = base;
        }
        let shape = set.shape();
        let index = match cache.find(shape, key) {
            Some(index) => index,
            None => set.find_and_remember(key, cache),
        };
        Some(Found { set, index: index? as usize })
    }

    /// The index of a key in a flat set.
    #[inline(never)]
    fn find_and_remember(self, key: Symbol, cache: &Cache) -> Option<u32> {
        let shape = self.shape();
        let index = shape.find(key).map(|index| index as u32);
        if shape.is_shared() {
            cache.remember(shape, index);
        }
        index
    }

    /// Looks up ascending keys one after the other.
    #[inline(always)]
    pub(crate) fn walk(self) -> Walk {
        Walk { attrs: self, next: 0 }
    }

    /// Whether it has the attribute.
    pub fn contains(self, key: Symbol) -> bool {
        self.get(key).is_some()
    }

    /// The attributes in the order of their symbols, which is the order Nix evaluates and compares them in.
    pub fn iter(self) -> Iter {
        let mut upper = Vec::new();
        let mut set = self;
        while set.is_layered() {
            let (top, base) = set.layers();
            upper.push(Layer { set: top, next: 0, len: top.len() });
            set = base;
        }
        Iter { upper, base: Layer { set, next: 0, len: set.len() }, len: self.len(), _whole: self }
    }

    /// The attributes in the order of their names (as bytes).
    pub fn sorted(self, symbols: &Interner) -> RootVec<(Symbol, Pos, Value)> {
        if self.is_layered() {
            let (upper, base) = self.layers();
            return merge_sorted(&upper.sorted(symbols), &base.sorted(symbols), symbols);
        }
        let shape = self.shape();
        let (keys, positions) = (shape.keys(), shape.positions());
        shape
            .name_order(symbols)
            .iter()
            .map(|index| {
                let index = *index as usize;
                (keys[index], positions[index], self.flat_value(index))
            })
            .collect()
    }
}

/// Attributes of both in the order of their names; of two with the same name the upper.
fn merge_sorted(
    mut upper: &[(Symbol, Pos, Value)],
    mut base: &[(Symbol, Pos, Value)],
    symbols: &Interner,
) -> RootVec<(Symbol, Pos, Value)> {
    let mut all = RootVec::with_capacity(upper.len() + base.len());
    while let ([first, later @ ..], [below, lower @ ..]) = (upper, base) {
        let order = symbols.get(first.0).cmp(symbols.get(below.0));
        all.push(if order.is_gt() { *below } else { *first });
        if order.is_le() {
            upper = later;
        }
        if order.is_ge() {
            base = lower;
        }
    }
    all.extend(upper.iter().chain(base).copied());
    all
}

/// An attribute that was found. Its position is looked up when it is asked for: it is in another place than the value.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    set: Attrs,
    index: usize,
}

impl Found {
    /// The value, evaluated or not.
    #[inline(always)]
    pub(crate) fn value(self) -> Value {
        self.set.flat_value(self.index)
    }

    /// The position.
    pub(crate) fn pos(self) -> Pos {
        self.set.shape().positions()[self.index]
    }
}

/// See [`Attrs::walk`].
pub(crate) struct Walk {
    attrs: Attrs,
    /// In a flat set: the first index that was not looked at.
    next: usize,
}

/// From a set with more than this many attributes per step, it is quicker to search than to walk.
const WALK_STEPS: usize = 16;

impl Walk {
    /// The value of an attribute whose name comes after those asked for before.
    #[inline(always)]
    pub(crate) fn next_of(&mut self, key: Symbol) -> Option<Value> {
        let shape = match self.attrs.flat_shape() {
            Some(shape) => shape,
            None => return self.attrs.get(key),
        };
        let keys = &shape.keys()[self.next..];
        let found = match keys.iter().take(WALK_STEPS).position(|known| *known >= key) {
            Some(ahead) => ahead,
            None if keys.len() <= WALK_STEPS => keys.len(),
            None => keys.partition_point(|known| *known < key),
        };
        self.next += found;
        if keys.get(found) == Some(&key) { Some(self.attrs.flat_value(self.next)) } else { None }
    }
}

#[derive(Clone, Copy)]
struct Layer {
    set: Attrs,
    next: usize,
    len: usize,
}

impl Layer {
    #[inline(always)]
    fn key(&self) -> Option<Symbol> {
        self.set.shape().keys().get(self.next).copied()
    }

    #[inline(always)]
    fn take(&mut self) -> (Symbol, Value, Pos) {
        let (shape, index) = (self.set.shape(), self.next);
        self.next += 1;
        (shape.keys()[index], self.set.flat_value(index), shape.positions()[index])
    }
}

/// Iterator over the attributes of a set; see [`Attrs::iter`].
pub struct Iter {
    /// The layers above the base, uppermost first.
    upper: Vec<Layer>,
    base: Layer,
    len: usize,
    /// Keeps the layers.
    _whole: Attrs,
}

impl Iterator for Iter {
    type Item = (Symbol, Value, Pos);

    #[inline]
    fn next(&mut self) -> Option<(Symbol, Value, Pos)> {
        if !self.upper.is_empty() {
            return self.next_of_layers();
        }
        if self.base.next < self.base.len { Some(self.base.take()) } else { None }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.len))
    }
}

impl Iter {
    /// The smallest key that is left; of equal keys the one of the uppermost layer, and the others are skipped.
    fn next_of_layers(&mut self) -> Option<(Symbol, Value, Pos)> {
        let keys = self.upper.iter().chain([&self.base]).filter_map(Layer::key);
        let least = keys.min()?;
        let mut found = None;
        for layer in self.upper.iter_mut().chain([&mut self.base]) {
            if layer.key() == Some(least) {
                let attribute = layer.take();
                found = found.or(Some(attribute));
            }
        }
        found
    }
}

/// A set under construction: insert in any order, then [`AttrsBuilder::finish`].
#[derive(Default)]
pub struct AttrsBuilder {
    entries: RootVec<(Symbol, Pos, Value)>,
    sorted: bool,
}

impl AttrsBuilder {
    /// An empty set with room for `capacity` attributes.
    pub fn with_capacity(capacity: usize) -> AttrsBuilder {
        AttrsBuilder { entries: RootVec::with_capacity(capacity), sorted: true }
    }

    /// Adds an attribute. Names must be distinct unless [`AttrsBuilder::finish_first_wins`] finishes the set.
    #[inline]
    pub fn insert(&mut self, key: Symbol, value: Value, pos: Pos) {
        if let Some((last, ..)) = self.entries.last()
            && *last >= key
        {
            self.sorted = false;
        }
        self.entries.push((key, pos, value));
    }

    /// The position of an attribute that was inserted.
    pub(crate) fn position_of(&self, name: Symbol) -> Option<Pos> {
        self.entries.iter().find(|(key, ..)| *key == name).map(|(_, pos, _)| *pos)
    }

    /// How many attributes were inserted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Was nothing inserted?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The finished set.
    pub fn finish(mut self, heap: &mut Heap) -> Value {
        if !self.sorted {
            self.entries.sort_by_key(|(key, ..)| *key);
        }
        heap.attrs_from_sorted(&self.entries)
    }

    /// The finished set, where of equal names the first one inserted counts.
    pub fn finish_first_wins(mut self, heap: &mut Heap) -> Value {
        self.entries.sort_by_key(|(key, ..)| *key);
        self.entries.dedup_by_key(|(key, ..)| *key);
        heap.attrs_from_sorted(&self.entries)
    }
}

impl Heap {
    pub(super) fn new_shape(&mut self, keys: &[Symbol], positions: &[Pos], shared: bool) -> Shape {
        let len = keys.len();
        let half = len.div_ceil(2);
        let value = self.new_object(Kind::Shape, len, 2 + 2 * half);
        let object = value.object();
        // SAFETY: the object has two words and twice `half` words for keys and positions, which are u32s.
        unsafe {
            if shared {
                *object |= SHARED_FLAG;
            }
            std::ptr::copy_nonoverlapping(keys.as_ptr(), object.add(3).cast::<Symbol>(), len);
            std::ptr::copy_nonoverlapping(positions.as_ptr(), object.add(3 + half).cast::<Pos>(), len);
        }
        Shape(object)
    }

    /// The shape of a literal: shared by all sets the literal makes.
    pub(crate) fn literal_shape(&mut self, keys: &[Symbol], positions: &[Pos], pos: Pos) -> Shape {
        if keys.is_empty() {
            return self.empty_shape();
        }
        let shape = self.new_shape(keys, positions, true);
        self.keep(Value::from_object(shape.0));
        // SAFETY: the third word of a shape is its position.
        unsafe { *shape.0.add(2).cast::<Pos>() = pos };
        shape
    }

    /// A flat set of this shape whose values are all to be filled by [`Value::set_attr`].
    #[inline(always)]
    pub(crate) fn attrs_object(&mut self, shape: Shape) -> Value {
        let len = shape.len();
        let value = self.described_object(Kind::Attrs, shape.0, words_of(len));
        for index in 0..len {
            // SAFETY: the object has one slot per key after its header.
            unsafe { *value.slots().add(index) = Slot::UNSET };
        }
        value
    }

    /// A set of this shape with these values, in the order of the shape's keys.
    pub fn attrs_with_shape(&mut self, shape: Shape, values: &[Value]) -> Value {
        assert_eq!(shape.len(), values.len(), "one value per key");
        let value = self.attrs_to_fill(shape);
        // SAFETY: the object has one slot per key, as many as `values`.
        unsafe { value.set_slots(0, values) };
        value
    }

    /// As [`Heap::attrs_object`], without values: all must be set before anything else is done with it. It may be
    /// collected meanwhile.
    #[inline(always)]
    pub(crate) fn attrs_to_fill(&mut self, shape: Shape) -> Value {
        self.attrs_of_len(shape, shape.len())
    }

    /// The same where the length is at hand, so that the shape need not be fetched.
    #[inline(always)]
    pub(super) fn attrs_of_len(&mut self, shape: Shape, len: usize) -> Value {
        debug_assert_eq!(shape.len(), len);
        self.described_object(Kind::Attrs, shape.0, words_of(len))
    }

    pub(super) fn attrs_from_sorted(&mut self, entries: &[(Symbol, Pos, Value)]) -> Value {
        if entries.is_empty() {
            return self.empty_attrs();
        }
        let mut keys = std::mem::take(&mut self.keys);
        let mut positions = std::mem::take(&mut self.positions);
        keys.clear();
        positions.clear();
        keys.extend(entries.iter().map(|entry| entry.0));
        positions.extend(entries.iter().map(|entry| entry.1));
        let shape = self.shape_of(&keys, &positions);
        (self.keys, self.positions) = (keys, positions);
        let value = self.attrs_to_fill(shape);
        for (index, entry) in entries.iter().enumerate() {
            value.set_attr(index, entry.2);
        }
        value
    }

    /// The shape of the same keys without positions.
    pub(crate) fn shape_without_positions(&mut self, shape: Shape) -> Shape {
        if let Some((known, bare)) = self.bare
            && known == shape
        {
            return bare;
        }
        let bare = self.shape_of_keys(shape.keys());
        if shape.is_shared() && bare.is_shared() {
            self.bare = Some((shape, bare));
        }
        bare
    }

    /// The shape of these keys, ascending, without positions.
    fn shape_of_keys(&mut self, keys: &[Symbol]) -> Shape {
        let mut positions = std::mem::take(&mut self.positions);
        positions.clear();
        positions.resize(keys.len(), Pos::NONE);
        let shape = self.shape_of(keys, &positions);
        self.positions = positions;
        shape
    }

    /// The set of these keys, ascending, and their values, without positions.
    pub(crate) fn attrs_from_columns(&mut self, keys: &[Symbol], values: &[Value]) -> Value {
        if keys.is_empty() {
            return self.empty_attrs();
        }
        debug_assert!(keys.is_sorted_by(|a, b| a < b) && keys.len() == values.len());
        let shape = self.shape_of_keys(keys);
        let attrs = self.attrs_to_fill(shape);
        for (index, value) in values.iter().enumerate() {
            attrs.set_attr(index, *value);
        }
        attrs
    }

    /// A set of one attribute.
    pub(crate) fn single_attr(&mut self, key: Symbol, value: Value, pos: Pos) -> Value {
        let shape = self.shape_of(&[key], &[pos]);
        let set = self.attrs_to_fill(shape);
        set.set_attr(0, value);
        set
    }

    /// The shape of these keys, ascending, at these positions: one that is known, if there is room to know it.
    pub(super) fn shape_of(&mut self, keys: &[Symbol], positions: &[Pos]) -> Shape {
        let mut hasher = FxHasher::default();
        for (key, pos) in keys.iter().zip(positions) {
            hasher.write_u64((key.index() as u64) << 32 | u64::from(pos.raw()));
        }
        let hash = hasher.finish();
        let same = |(of, shape): &(u64, Shape)| *of == hash && shape.keys() == keys && shape.positions() == positions;
        let recent = hash as usize % RECENT_SHAPES;
        if let Some(known) = self.recent_shapes[recent].filter(same) {
            return known.1;
        }
        let shapes = self.world.shapes();
        let (known, has_room) = (shapes.find(hash, same), shapes.has_room(keys.len()));
        drop(shapes);
        let shape = match known {
            Some(known) => known,
            None if !has_room => return self.new_shape(keys, positions, false),
            None => {
                let shape = self.new_shape(keys, positions, true);
                let mut shapes = self.world.shapes();
                // another thread may have been quicker
                let known = if self.is_shared { shapes.find(hash, same) } else { None };
                known.unwrap_or_else(|| shapes.add(hash, shape))
            }
        };
        self.recent_shapes[recent] = Some((hash, shape));
        shape
    }
}

impl Value {
    /// Sets one value of a flat set that is being built.
    #[inline(always)]
    pub(crate) fn set_attr(self, index: usize, value: Value) {
        // SAFETY: a flat set has one slot per key after its header; callers take the index from the shape.
        unsafe { self.set_slot(index, value) };
    }

    /// Sets some values of a flat set that is being built, from `index` on, to those of another one from `start` on.
    #[inline(always)]
    pub(super) fn copy_attrs(self, index: usize, from: Attrs, start: usize, len: usize) {
        // SAFETY: a flat set has one slot per key after its header; callers take the index from the shape. Nobody else has
        // this set yet, so that the values lie elsewhere.
        unsafe {
            let values = &from.0.slots_from(0, from.len())[start..][..len];
            let to = self.slots().add(index);
            if values.len() < 8 {
                for (offset, value) in values.iter().enumerate() {
                    *to.add(offset) = *value;
                }
            } else {
                std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
            }
        }
    }
}

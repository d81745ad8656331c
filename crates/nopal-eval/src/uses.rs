//! What of the world values were made from, so that an evaluation can be answered in parts (`docs/design/incremental.md`).
//!
//! A host that takes notes numbers its answers, and tells [`Uses::add`] whenever it gives one. They lie on a stack: what a
//! thunk used is what lies above the height at which it began. When it has its value, [`Uses::gather`] makes them one set,
//! which the thunk keeps, and everybody who takes the value from there uses it, too ([`Uses::take`]).
//!
//! Sets are interned, so that they are small numbers to the evaluator. A set of one answer is the number of that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;

use crate::sync::lock;

/// A set of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UseSet(u32);

impl UseSet {
    /// No answer.
    pub const EMPTY: UseSet = UseSet(0);

    /// The set of one answer is its number and this.
    const SINGLE: u32 = 1 << 31;

    fn single(answer: u32) -> UseSet {
        UseSet(answer | Self::SINGLE)
    }

    fn as_single(self) -> Option<u32> {
        (self.0 & Self::SINGLE != 0).then_some(self.0 & !Self::SINGLE)
    }

    /// The set that has this number.
    pub(crate) fn from_raw(number: u32) -> UseSet {
        UseSet(number)
    }

    /// The number, for storing it in a slot.
    pub(crate) fn raw(self) -> u32 {
        self.0
    }
}

/// The answers that the evaluation at hand uses. Only for evaluations by one thread.
#[derive(Debug, Default)]
pub struct Uses {
    is_on: AtomicBool,
    /// Whether the first part is being evaluated, of so many that what it uses is not kept.
    is_first: AtomicBool,
    height: AtomicUsize,
    table: Mutex<Table>,
}

/// An answer as its parts, each of which has a name.
#[derive(Debug, Default)]
pub struct Parts {
    /// Parts that need not be evaluated.
    pub known: BTreeMap<Vec<u8>, Vec<u8>>,
    /// All parts in their order.
    pub found: Vec<Part>,
}

/// A part of an answer.
#[derive(Debug)]
pub struct Part {
    /// An attribute's name or an element's index.
    pub name: Vec<u8>,
    /// If it was evaluated, what it came to, and what that was made from.
    pub evaluated: Option<(Vec<u8>, UseSet)>,
}

/// Of so many parts, most need what the first one needs.
const MANY: usize = 64;

impl Parts {
    /// So many parts are about to be evaluated. What is used from now on is kept; of many parts from the second on, so that
    /// less has to be.
    pub fn begin(&self, count: usize, uses: &Uses) {
        match count < MANY || !self.known.is_empty() {
            true => uses.begin(),
            false => uses.is_first.store(true, Ordering::Relaxed),
        }
    }

    /// What is known of the part with this name, which comes next.
    pub fn next_known(&mut self, name: &[u8]) -> Option<&[u8]> {
        let known = self.known.get(name)?;
        self.found.push(Part { name: name.to_vec(), evaluated: None });
        Some(known)
    }

    /// Takes the answer of the part with this name, which comes next and was begun at the height `used`.
    /// Returns what it was made from.
    pub fn add(&mut self, name: Vec<u8>, answer: &[u8], uses: &Uses, used: usize) -> UseSet {
        let set = uses.gather(used);
        self.found.push(Part { name, evaluated: Some((answer.to_vec(), set)) });
        uses.begin();
        set
    }
}

#[derive(Debug)]
struct Table {
    /// What is used by what is being evaluated: innermost last.
    stack: Vec<UseSet>,
    /// The sets but those of one answer, as bitmaps.
    sets: Vec<Arc<[u64]>>,
    ids: FxHashMap<Arc<[u64]>, UseSet>,
    unions: FxHashMap<(UseSet, UseSet), UseSet>,
}

impl Default for Table {
    fn default() -> Table {
        let empty: Arc<[u64]> = Arc::from([]);
        Table {
            stack: Vec::new(),
            sets: vec![empty.clone()],
            ids: FxHashMap::from_iter([(empty, UseSet::EMPTY)]),
            unions: FxHashMap::default(),
        }
    }
}

impl Uses {
    /// From now on, what is used is kept.
    pub fn begin(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// A message is about to be shown: by a part, unless it is before the first one.
    pub fn begin_with_message(&self) {
        if self.is_first.load(Ordering::Relaxed) {
            self.begin();
        }
    }

    /// Whether what is used is kept.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// What is being evaluated uses an answer of the host.
    pub fn add(&self, answer: u32) {
        if self.is_on() {
            self.push(&mut lock(&self.table), UseSet::single(answer));
        }
    }

    /// What is being evaluated uses a value that was made from this.
    pub fn take(&self, set: UseSet) {
        if set != UseSet::EMPTY {
            self.push(&mut lock(&self.table), set);
        }
    }

    /// To be given to [`Uses::gather`].
    #[inline(always)]
    pub fn height(&self) -> usize {
        self.height.load(Ordering::Relaxed)
    }

    /// What was used since the height was this; who asked for it uses it, too.
    pub fn gather(&self, height: usize) -> UseSet {
        if self.height() == height {
            return UseSet::EMPTY;
        }
        let mut table = lock(&self.table);
        let set = table.union_above(height);
        table.stack.truncate(height);
        self.push(&mut table, set);
        set
    }

    /// The numbers of the answers in a set, ascending.
    pub fn answers(&self, set: UseSet) -> Vec<u32> {
        if let Some(answer) = set.as_single() {
            return vec![answer];
        }
        let bits = lock(&self.table).sets[set.0 as usize].clone();
        let numbers = |(word, base): (&u64, u32)| {
            let word = *word;
            (0..u64::BITS).filter(move |bit| word >> bit & 1 != 0).map(move |bit| base + bit)
        };
        bits.iter().zip((0..).step_by(u64::BITS as usize)).flat_map(numbers).collect()
    }

    fn push(&self, table: &mut Table, set: UseSet) {
        table.stack.push(set);
        self.height.store(table.stack.len(), Ordering::Relaxed);
    }
}

impl Table {
    /// Adds a set to a bitmap.
    fn add_to(&self, bits: &mut Vec<u64>, set: UseSet) {
        if let Some(answer) = set.as_single() {
            let word = (answer / u64::BITS) as usize;
            bits.resize(bits.len().max(word + 1), 0);
            bits[word] |= 1 << (answer % u64::BITS);
            return;
        }
        let more = &self.sets[set.0 as usize];
        bits.resize(bits.len().max(more.len()), 0);
        bits.iter_mut().zip(&**more).for_each(|(bits, more)| *bits |= more);
    }

    fn union_above(&mut self, height: usize) -> UseSet {
        let mut union = UseSet::EMPTY;
        for at in height..self.stack.len() {
            union = self.union(union, self.stack[at]);
        }
        union
    }

    fn union(&mut self, a: UseSet, b: UseSet) -> UseSet {
        if a == b || b == UseSet::EMPTY {
            return a;
        }
        if a == UseSet::EMPTY {
            return b;
        }
        let pair = if a.0 < b.0 { (a, b) } else { (b, a) };
        if let Some(known) = self.unions.get(&pair) {
            return *known;
        }
        let mut bits = Vec::new();
        self.add_to(&mut bits, a);
        self.add_to(&mut bits, b);
        let union = self.intern(&bits);
        self.unions.insert(pair, union);
        union
    }

    fn intern(&mut self, bits: &[u64]) -> UseSet {
        if let Some(known) = self.ids.get(bits) {
            return *known;
        }
        let set = UseSet(self.sets.len() as u32);
        let bits: Arc<[u64]> = bits.into();
        self.sets.push(bits.clone());
        self.ids.insert(bits, set);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_inside_is_used_outside() {
        let uses = Uses::default();
        uses.add(1);
        assert_eq!(uses.height(), 0, "not yet");
        uses.begin();
        let outer = uses.height();
        uses.add(200);
        let inner = uses.height();
        assert_eq!(uses.gather(inner), UseSet::EMPTY);
        uses.add(3);
        uses.add(3);
        uses.add(70);
        let set = uses.gather(inner);
        assert_eq!(uses.answers(set), [3, 70]);
        uses.take(set);
        uses.add(3);
        let all = uses.gather(outer);
        assert_eq!(uses.answers(all), [3, 70, 200]);
        assert_eq!(uses.answers(UseSet::EMPTY), [0; 0]);
    }
}

//! Attribute sets against a simple model: whatever sequence of `//` made a set, lookups, order and positions agree with
//! a sorted map.

use std::collections::BTreeMap;

use nopal_eval::value::{Attrs, AttrsBuilder, Heap};
use nopal_eval::{Pos, Value};
use nopal_syntax::{Interner, Symbol};
use proptest::prelude::*;

type Model = BTreeMap<Symbol, i64>;

fn build(heap: &mut Heap, model: &Model) -> Attrs {
    let mut builder = AttrsBuilder::with_capacity(model.len());
    // out of order on purpose
    for (name, number) in model.iter().rev() {
        let value = heap.int(*number);
        builder.insert(*name, value, Pos::NONE);
    }
    let Some(attrs) = builder.finish(heap).as_attrs() else { panic!("a builder of sets makes sets") };
    attrs
}

fn check(symbols: &Interner, names: &[Symbol], set: Attrs, model: &Model) {
    assert_eq!(set.len(), model.len());
    for name in names {
        assert_eq!(set.get(*name).and_then(Value::as_int), model.get(name).copied());
        assert_eq!(set.get_with_pos(*name).is_some(), model.contains_key(name));
    }
    let by_symbol = set.iter().map(|(name, value, _)| (name, value.as_int())).collect::<Vec<_>>();
    assert_eq!(by_symbol, model.iter().map(|(name, number)| (*name, Some(*number))).collect::<Vec<_>>());
    let mut by_name = model.keys().map(|name| symbols.get(*name)).collect::<Vec<_>>();
    by_name.sort();
    let sorted = set.sorted(symbols);
    assert_eq!(sorted.iter().map(|(name, ..)| symbols.get(*name)).collect::<Vec<_>>(), by_name);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn updates_agree_with_a_map(
        steps in prop::collection::vec((prop::collection::vec(0usize..120, 0..60), any::<bool>()), 1..14)
    ) {
        let mut symbols = Interner::new();
        let names = (0..120).map(|i| symbols.intern(format!("n{}", i * 7919 % 120).as_bytes())).collect::<Vec<_>>();
        let mut heap = Heap::new(64 << 20, None);
        let (mut set, mut model) = (build(&mut heap, &Model::new()), Model::new());
        for (step, (indices, left)) in steps.iter().enumerate() {
            let other = indices.iter().map(|i| (names[*i], step as i64)).collect::<Model>();
            let operand = build(&mut heap, &other);
            let result = if *left { heap.update(operand, set) } else { heap.update(set, operand) };
            set = result.as_attrs().expect("a set");
            if *left {
                let mut merged = other;
                merged.extend(model);
                model = merged;
            } else {
                model.extend(other);
            }
            check(&symbols, &names, set, &model);
        }
    }
}

#[test]
fn small_updates_of_a_large_set_share_it() {
    let mut symbols = Interner::new();
    let mut heap = Heap::new(64 << 20, None);
    let large = (0..10_000).map(|i| (symbols.intern(format!("n{i}").as_bytes()), i)).collect::<Model>();
    let base = build(&mut heap, &large);
    let before = heap.allocated_bytes();
    for round in 0..1_000 {
        let top = build(&mut heap, &[(symbols.intern(b"n5"), round)].into());
        let result = heap.update(base, top).as_attrs().expect("a set");
        assert_eq!(result.len(), 10_000);
        assert_eq!(result.get(symbols.intern(b"n5")).and_then(Value::as_int), Some(round));
    }
    assert!(heap.allocated_bytes() - before < 1 << 20, "1000 updates of a set of 10000 take less than 1 MiB");
}

#[test]
fn numbers_keep_their_value() {
    let mut heap = Heap::new(64 << 20, None);
    for i in [0, 1, -1, i64::MAX, i64::MIN, (1 << 61) - 1, 1 << 61, -(1 << 61), -(1 << 61) - 1] {
        assert_eq!(heap.int(i).as_int(), Some(i));
    }
    for f in [0.0, -0.0, 1.5, f64::INFINITY, f64::MIN_POSITIVE] {
        assert_eq!(heap.float(f).as_float().map(f64::to_bits), Some(f.to_bits()));
    }
}

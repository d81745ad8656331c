//! Queries.

use std::collections::{BTreeMap, BTreeSet};

use nopal_format::signature::SecretKey;
use nopal_format::{DrvOutput, Realisation};
use nopal_store::{Direction, RegistrationSource, StoreError};

use crate::support::{Scratch, parse};

#[test]
fn closures_are_in_topological_order() {
    let scratch = Scratch::new();
    let a = scratch.text("a", "a", &[]);
    let b = scratch.text("b", "b", &[&a]);
    let c = scratch.text("c", "c", &[&a]);
    let d = scratch.text("d", "d", &[&b, &c]);
    let other = scratch.text("other", "o", &[]);
    let position = |order: &[_], path| order.iter().position(|p| p == path).unwrap();
    for (start, direction) in [(&d, Direction::References), (&a, Direction::Referrers)] {
        let order = scratch.store.closure(std::slice::from_ref(start), direction).unwrap();
        assert_eq!(order.len(), 4);
        assert!(position(&order, &a) < position(&order, &b) && position(&order, &b) < position(&order, &d));
        assert!(position(&order, &a) < position(&order, &c) && position(&order, &c) < position(&order, &d));
    }
    let both = scratch.store.closure(&[b.clone(), other.clone(), a.clone()], Direction::References).unwrap();
    assert_eq!(both.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&a, &b, &other]));
    assert_eq!(scratch.store.referrers(&a).unwrap(), BTreeSet::from([b, c]));
    let nowhere = parse("/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    assert!(matches!(scratch.store.closure(&[nowhere], Direction::References), Err(StoreError::NotValid { .. })));
}

/// A chain as long as no real one: the walk must not use the thread's stack.
#[test]
fn closures_may_be_deep() {
    let scratch = Scratch::new();
    let mut texts = Vec::new();
    let mut last: Option<nopal_format::StorePath> = None;
    for i in 0..3000 {
        let references: BTreeSet<_> = last.iter().cloned().collect();
        let contents = i.to_string().into_bytes();
        last = Some(scratch.store.store_dir().text_path("chain", &contents, &references).unwrap());
        texts.push(nopal_store::TextToAdd { name: "chain".into(), contents: contents.into(), references });
    }
    scratch.store.add_texts(&texts).unwrap();
    let last = last.unwrap();
    assert_eq!(scratch.store.closure(&[last], Direction::References).unwrap().len(), 3000);
}

#[test]
fn prefixes_and_hash_parts_find_paths() {
    let scratch = Scratch::new();
    let path = scratch.text("foo", "bar", &[]);
    assert_eq!(scratch.store.path_from_hash_part("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0").unwrap(), Some(path.clone()));
    assert_eq!(scratch.store.path_from_hash_part("vxjiwkjkn7x4079qvh1jkl5pn05j2aw1").unwrap(), None);
    assert_eq!(scratch.store.path_from_hash_part("vxji").unwrap(), None);
    assert_eq!(scratch.store.paths_with_prefix("vxji", 5).unwrap(), [path]);
    assert!(scratch.store.paths_with_prefix("vxjj", 5).unwrap().is_empty());
}

#[test]
fn a_derivation_may_be_registered_twice_at_once() {
    let out = "/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo";
    let aterm = format!(r#"Derive([("out","{out}","","")],[],[],"system","builder",[],[("out","{out}")])"#);
    let from = Scratch::new();
    let drv = from.text("foo.drv", &aterm, &[]);
    let lines = from.store.registration(std::slice::from_ref(&drv)).unwrap();
    let to = Scratch::new();
    std::fs::write(to.store.physical_path(&drv), aterm).unwrap();
    let source = RegistrationSource { hash_given: true, again: false, canonicalise: true };
    to.store.register(&lines.repeat(2), source).unwrap();
    assert_eq!(to.store.derivation_outputs(&drv).unwrap()["out"], parse(out));
}

#[test]
fn derivers_outputs_and_realisations() {
    let scratch = Scratch::new();
    let drv = scratch.text("thing.drv", "Derive", &[]);
    let out = scratch.text("thing", "out", &[]);
    scratch.store.set_derivation_outputs(&drv, &BTreeMap::from([("out".to_owned(), out.clone())])).unwrap();
    assert_eq!(scratch.store.derivation_outputs(&drv).unwrap()["out"], out);
    assert_eq!(scratch.store.valid_derivers(&out).unwrap(), BTreeSet::from([drv]));
    let id: DrvOutput = format!("sha256:{}!out", "0".repeat(64)).parse().unwrap();
    let realisation = Realisation::new(id.clone(), out.clone());
    scratch.store.register_realisations(std::slice::from_ref(&realisation)).unwrap();
    assert_eq!(scratch.store.realisation(&id).unwrap(), Some(realisation.clone()));
    assert_eq!(scratch.store.realisations_of(&out).unwrap(), std::slice::from_ref(&realisation));
    let other = DrvOutput { output: "dev".to_owned(), ..id.clone() };
    assert_eq!(scratch.store.realisation(&other).unwrap(), None);
    // signatures come together; another path is refused
    let mut signed = realisation.clone();
    signed.sign(&SecretKey::from_seed("key", &[7; 32]));
    scratch.store.register_realisations(&[signed.clone(), realisation]).unwrap();
    assert_eq!(scratch.store.realisation(&id).unwrap(), Some(signed));
    let elsewhere = scratch.text("thing", "other", &[]);
    let error = scratch.store.register_realisations(&[Realisation::new(id.clone(), elsewhere)]).unwrap_err();
    assert!(error.to_string().starts_with(&format!("Trying to register a realisation of '{id}', but")), "{error}");
    let nowhere = parse("/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    assert!(scratch.store.register_realisations(&[Realisation::new(other, nowhere)]).is_err());
}

#[test]
fn what_is_not_valid_is_said_so() {
    let scratch = Scratch::new();
    let nowhere = parse("/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    assert_eq!(scratch.store.find_path_info(&nowhere).unwrap(), None);
    let error = scratch.store.path_info(&nowhere).unwrap_err();
    assert_eq!(error.to_string(), "path '/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo' is not valid");
    assert!(scratch.store.references(&nowhere).is_err());
    assert!(scratch.store.referrers(&nowhere).unwrap().is_empty());
}

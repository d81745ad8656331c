//! Additions that are written beside the caller's work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nopal_format::derivation::DrvHashes;
use nopal_format::{Derivation, StorePath};
use nopal_store::{AddOptions, Additions, StoreError, path_of_source};

use crate::support::{Scratch, open, sample_tree};

/// More than are written at once.
const MANY: usize = 5000;

fn text(additions: &Additions, scratch: &Scratch, contents: &str, references: &BTreeSet<StorePath>) -> StorePath {
    let path = scratch.store.store_dir().text_path("text", contents.as_bytes(), references).unwrap();
    additions.text(&path, contents.as_bytes().into(), references.clone()).unwrap();
    path
}

#[test]
fn many_become_valid_together() {
    let scratch = Scratch::new();
    let additions = Additions::new(scratch.store.clone());
    let mut paths = Vec::new();
    for i in 0..MANY {
        // each refers to what was given just before, which another batch may have
        let references = paths.last().cloned().into_iter().collect();
        paths.push(text(&additions, &scratch, &i.to_string(), &references));
    }
    additions.finish().unwrap();
    assert!(!additions.is_pending(&paths[MANY - 1]));
    assert_eq!(scratch.store.all_valid_paths().unwrap().len(), MANY);
    assert_eq!(scratch.objects_on_disk(), MANY);
    for (i, path) in paths.iter().enumerate() {
        let references = if i == 0 { BTreeSet::new() } else { BTreeSet::from([paths[i - 1].clone()]) };
        assert_eq!(scratch.store.references(path).unwrap(), references);
        let file = scratch.store.physical_path(path);
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (0o444, 1));
        assert_eq!(fs::read_to_string(file).unwrap(), i.to_string());
    }
    assert!(scratch.store.verify(&Default::default()).unwrap().is_clean());
}

/// Others can add paths while an evaluation makes nothing for a while, and see what it has made.
#[test]
fn what_was_given_does_not_wait_for_more() {
    let scratch = Scratch::new();
    let additions = Additions::new(scratch.store.clone());
    let given: Vec<_> = (0..100).map(|i| text(&additions, &scratch, &i.to_string(), &BTreeSet::new())).collect();
    while additions.is_pending(&given[0]) {
        std::thread::yield_now();
    }
    assert!(scratch.store.is_valid(&given[0]).unwrap());
    let other = Additions::new(scratch.store.clone());
    let path = text(&other, &scratch, "more", &BTreeSet::from([given[0].clone()]));
    other.finish().unwrap();
    assert!(scratch.store.is_valid(&path).unwrap());
}

#[test]
fn trees_files_and_derivations_are_added() {
    let scratch = Scratch::new();
    let tree = scratch.path("tree");
    sample_tree(&tree);
    let additions = Additions::new(scratch.store.clone());
    let mut sources = Vec::new();
    for name in ["a", "run", "sub", "."] {
        let source = tree.join(name);
        let options = AddOptions::source("source");
        let info = additions.path(&source, &options, None).unwrap();
        assert_eq!(info.path, path_of_source(scratch.store.store_dir(), &source, &options, None).unwrap().path);
        sources.push(info.path);
    }
    let text = format!(
        r#"Derive([("out","","","")],[],["{}"],"x86_64-linux","/bin/sh",[],[("name","a"),("out","")])"#,
        scratch.store.print(&sources[0])
    );
    let mut derivation = Derivation::parse_aterm(scratch.store.store_dir(), text.as_bytes(), "a").unwrap();
    let mut read = |_: &StorePath| -> Result<Derivation, StoreError> { unreachable!("it has no inputs") };
    let mut hashes = DrvHashes::new();
    let made = hashes.instantiate(scratch.store.store_dir(), &mut derivation, &mut read).unwrap();
    additions.derivation(&derivation, &made).unwrap();
    assert!(additions.is_pending(&made.path));
    assert!(!scratch.store.is_valid(&made.path).unwrap());
    additions.finish().unwrap();
    let store = &scratch.store;
    assert_eq!(fs::read(store.physical_path(&made.path)).unwrap(), made.aterm);
    assert_eq!(store.references(&made.path).unwrap(), BTreeSet::from([sources[0].clone()]));
    let out = derivation.outputs["out"].path(store.store_dir(), "a", "out").unwrap().unwrap();
    assert_eq!(store.derivation_outputs(&made.path).unwrap(), BTreeMap::from([("out".to_owned(), out)]));
    let mode = |path| fs::metadata(store.physical_path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(sources.iter().map(mode).collect::<Vec<_>>(), [0o444, 0o555, 0o555, 0o555]);
    assert!(store.verify(&Default::default()).unwrap().is_clean());
    // nothing is written a second time
    let before = fs::metadata(store.physical_path(&made.path)).unwrap().ino();
    additions.derivation(&derivation, &made).unwrap();
    additions.finish().unwrap();
    assert_eq!(fs::metadata(store.physical_path(&made.path)).unwrap().ino(), before);
}

#[test]
fn what_fails_is_told_once() {
    let scratch = Scratch::new();
    let additions = Additions::new(scratch.store.clone());
    let missing = scratch.store.store_dir().text_path("missing", b"", &BTreeSet::new()).unwrap();
    let failing = text(&additions, &scratch, "a", &BTreeSet::from([missing]));
    assert!(matches!(additions.finish(), Err(StoreError::ReferenceNotValid { .. })));
    assert!(!scratch.store.is_valid(&failing).unwrap());
    assert_eq!(scratch.objects_on_disk(), 0);
    let good = text(&additions, &scratch, "b", &BTreeSet::new());
    additions.finish().unwrap();
    assert!(scratch.store.is_valid(&good).unwrap());
}

/// What a killed process has left lies under a path's name, whatever it is.
#[test]
fn litter_is_replaced() {
    let scratch = Scratch::new();
    let additions = Additions::new(scratch.store.clone());
    for (name, is_directory) in [("one", false), ("two", true)] {
        let path = scratch.store.store_dir().text_path("text", name.as_bytes(), &BTreeSet::new()).unwrap();
        let place = scratch.store.physical_path(&path);
        if is_directory {
            fs::create_dir(&place).unwrap()
        } else {
            fs::write(&place, "half").unwrap()
        }
        text(&additions, &scratch, name, &BTreeSet::new());
        additions.finish().unwrap();
        assert_eq!(fs::read_to_string(place).unwrap(), name);
    }
}

#[test]
fn the_same_may_be_added_by_several() {
    let scratch = Scratch::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let other = open(&scratch.path("nopal"));
                let additions = Additions::new(other.clone());
                for i in 0..MANY / 2 {
                    text(&additions, &scratch, &i.to_string(), &BTreeSet::new());
                    if i % 700 == 0 {
                        additions.finish().unwrap();
                    }
                }
                additions.finish().unwrap();
                assert_eq!(other.all_valid_paths().unwrap().len(), MANY / 2);
            });
        }
    });
    assert!(scratch.store.verify(&Default::default()).unwrap().is_clean());
}

/// Nobody waits for what was not asked to be finished.
#[test]
fn what_is_not_finished_may_be_dropped() {
    let scratch = Scratch::new();
    let additions = Additions::new(scratch.store.clone());
    for i in 0..MANY {
        text(&additions, &scratch, &i.to_string(), &BTreeSet::new());
    }
    drop(additions);
    assert!(scratch.store.verify(&Default::default()).unwrap().is_clean());
}

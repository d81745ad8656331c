//! Roots and garbage collection.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use nopal_store::{GcOptions, GcScope, RootReason, StoreError};

use crate::support::{Scratch, open};

#[test]
fn what_no_root_needs_goes() {
    let scratch = Scratch::new();
    let base = scratch.text("base", "base", &[]);
    let kept = scratch.text("kept", "kept", &[&base]);
    let dead = scratch.text("dead", "dead", &[&base]);
    let deader = scratch.text("deader", "deader", &[&dead]);
    scratch.store.add_root(&scratch.path("result"), &kept).unwrap();
    let scratch = scratch.reopen();
    let dry = scratch.store.collect_garbage(&GcOptions { dry_run: true, ..GcOptions::default() }).unwrap();
    assert_eq!(dry.deleted, [deader.clone(), dead.clone()], "referrers first");
    assert_eq!(scratch.store.all_valid_paths().unwrap().len(), 4);
    let report = scratch.store.collect_garbage(&GcOptions::default()).unwrap();
    assert_eq!(report.deleted, [deader, dead.clone()]);
    assert!(report.freed_bytes > 0);
    assert_eq!(report.live, 2);
    assert_eq!(scratch.store.all_valid_paths().unwrap(), BTreeSet::from([base, kept]));
    assert!(!scratch.store.physical_path(&dead).exists());
    fs::remove_file(scratch.path("result")).unwrap();
    let report = scratch.store.collect_garbage(&GcOptions::default()).unwrap();
    assert_eq!(report.deleted.len(), 2);
    assert_eq!(fs::read_dir(scratch.store.config().indirect_roots_dir()).unwrap().count(), 0, "stale link removed");
    assert_eq!(scratch.objects_on_disk(), 0);
}

#[test]
fn open_stores_protect_what_they_use() {
    let scratch = Scratch::new();
    let path = scratch.text("used", "used", &[]);
    let other = open(&scratch.path("nopal"));
    assert!(other.collect_garbage(&GcOptions::default()).unwrap().deleted.is_empty());
    let roots = other.roots().unwrap();
    assert!(roots.iter().any(|root| root.path == path && matches!(root.reason, RootReason::OpenStore(_))));
    let Scratch { store, dir } = scratch;
    drop(store);
    assert_eq!(other.collect_garbage(&GcOptions::default()).unwrap().deleted, [path]);
    drop(dir);
}

#[test]
fn running_processes_protect_what_they_use() {
    let scratch = Scratch::new();
    let path = scratch.text("in-environment", "e", &[]);
    let logical = scratch.store.print(&path);
    let scratch = scratch.reopen();
    let mut child = Command::new("sleep").arg("60").env("PROGRAM", format!("{logical}/bin/x")).spawn().unwrap();
    // between fork and exec the child still has our environment
    let environment = format!("/proc/{}/environ", child.id());
    while !String::from_utf8_lossy(&fs::read(&environment).unwrap()).contains(&logical) {
        std::thread::yield_now();
    }
    let report = scratch.store.collect_garbage(&GcOptions::default()).unwrap();
    let roots = scratch.store.roots().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(report.deleted.is_empty());
    assert!(roots.iter().any(|root| root.reason.to_string() == format!("/proc/{}/environ", child.id())), "{roots:?}");
    assert_eq!(scratch.store.collect_garbage(&GcOptions::default()).unwrap().deleted, [path]);
}

#[test]
fn chosen_paths_go_unless_they_are_needed() {
    let scratch = Scratch::new();
    let a = scratch.text("a", "a", &[]);
    let b = scratch.text("b", "b", &[&a]);
    let only = |paths: &[&nopal_format::StorePath]| GcOptions {
        scope: GcScope::Only(paths.iter().map(|path| (*path).clone()).collect()),
        ..GcOptions::default()
    };
    let scratch = scratch.reopen();
    let error = scratch.store.collect_garbage(&only(&[&a])).unwrap_err();
    assert!(matches!(&error, StoreError::InUse { reasons, .. } if reasons[0].contains("-b' refers to it")), "{error}");
    scratch.store.add_root(&scratch.path("root"), &b).unwrap();
    let scratch = scratch.reopen();
    let error = scratch.store.collect_garbage(&only(&[&a, &b])).unwrap_err();
    assert!(error.to_string().contains("root"), "{error}");
    assert!(scratch.store.remove_root(&scratch.path("root")).unwrap());
    assert_eq!(scratch.store.collect_garbage(&only(&[&a, &b])).unwrap().deleted, [b, a]);
}

#[test]
fn litter_of_killed_processes_goes() {
    let scratch = Scratch::new();
    let kept = scratch.text("kept", "kept", &[]);
    let store = scratch.store.physical_dir().to_owned();
    // a tree in the making whose owner is gone, one whose owner lives, a renamed one, an invalid one, a stranger
    fs::create_dir(store.join(".tmp-p-1-2-3-0")).unwrap();
    fs::write(store.join(".tmp-p-1-2-3-0/file"), "x").unwrap();
    let ours = scratch.store.temp_path().unwrap();
    fs::write(&ours, "mine").unwrap();
    fs::create_dir(store.join(".gc-1-2-3")).unwrap();
    fs::create_dir(store.join("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo")).unwrap();
    fs::write(store.join("stranger"), "").unwrap();
    fs::write(scratch.store.config().state_dir.join("locks/x.lock"), "").unwrap();
    let report = scratch.store.collect_garbage(&GcOptions::default()).unwrap();
    assert_eq!(report.litter, 3);
    assert_eq!(report.unknown, [store.join("stranger")]);
    let left: BTreeSet<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path()).collect();
    let expected = [store.join(".links"), store.join("stranger"), ours, scratch.store.physical_path(&kept)];
    assert_eq!(left, BTreeSet::from(expected));
    assert_eq!(fs::read_dir(scratch.store.config().state_dir.join("locks")).unwrap().count(), 0);
}

#[test]
fn collection_stops_when_enough_is_free() {
    let scratch = Scratch::new();
    for i in 0..20 {
        scratch.text("big", &format!("{i}{}", "x".repeat(50_000)), &[]);
    }
    let scratch = scratch.reopen();
    let options = GcOptions { max_freed_bytes: Some(120_000), ..GcOptions::default() };
    let report = scratch.store.collect_garbage(&options).unwrap();
    assert!(report.stopped_early);
    assert!(report.freed_bytes >= 120_000 && report.deleted.len() < 5, "{report:?}");
    assert_eq!(report.live, 20 - report.deleted.len());
}

#[test]
fn derivations_of_live_paths_stay() {
    let scratch = Scratch::new();
    let drv = scratch.text("thing.drv", "Derive", &[]);
    let out = scratch.text("thing", "out", &[]);
    let info = nopal_format::PathInfo { deriver: Some(drv.clone()), ..scratch.store.path_info(&out).unwrap() };
    let tree = scratch.store.temp_path().unwrap();
    fs::write(&tree, "out").unwrap();
    scratch.store.register_outputs(vec![nopal_store::BuiltOutput { info, tree, entries: 1 }]).unwrap();
    scratch.store.add_root(&scratch.path("root"), &out).unwrap();
    let scratch = scratch.reopen();
    assert!(scratch.store.collect_garbage(&GcOptions::default()).unwrap().deleted.is_empty());
    let without = GcOptions { keep_derivations: false, ..GcOptions::default() };
    assert_eq!(scratch.store.collect_garbage(&without).unwrap().deleted, [drv]);
}

#[test]
fn roots_of_every_kind_are_listed() {
    let scratch = Scratch::new();
    let a = scratch.text("a", "a", &[]);
    let b = scratch.text("b", "b", &[]);
    scratch.store.add_root(&scratch.path("deep/er/result"), &a).unwrap();
    // a link by its logical name, as Nix makes them
    symlink(scratch.store.print(&b), scratch.store.config().roots_dir().join("direct")).unwrap();
    symlink("/nowhere", scratch.store.config().roots_dir().join("dangling")).unwrap();
    let scratch = scratch.reopen();
    let roots = scratch.store.roots().unwrap();
    let links: Vec<_> = roots
        .iter()
        .filter_map(|root| match &root.reason {
            RootReason::Link(link) => Some((root.path.name().to_owned(), link.clone())),
            _ => None,
        })
        .collect();
    assert!(links.contains(&("a".to_owned(), scratch.path("deep/er/result"))), "{links:?}");
    assert!(links.contains(&("b".to_owned(), scratch.store.config().roots_dir().join("direct"))), "{links:?}");
    let error = scratch.store.add_root(&scratch.path("nopal"), &a).unwrap_err();
    assert!(error.to_string().contains("no link"), "a directory is not replaced: {error}");
}

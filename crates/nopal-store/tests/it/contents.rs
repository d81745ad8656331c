//! Archives, files and listings of valid paths.

use std::fs;
use std::path::Path;

use nopal_format::listing::Listing;
use nopal_store::{AddOptions, StoreError, TreeError, restore_tree};

use crate::support::{Scratch, sample_tree};

#[test]
fn dump_and_restore_are_inverse() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    let info = scratch.store.add_path(&tree, &AddOptions::source("dir"), None).unwrap();
    let mut nar = Vec::new();
    let hash = scratch.store.dump(&info.path, &mut nar).unwrap();
    assert_eq!((hash.nar_hash, hash.nar_size), (info.nar_hash, info.nar_size));
    assert_eq!(hash.entries, 10);
    let copy = scratch.path("copy");
    restore_tree(&mut nar.as_slice(), &copy).unwrap();
    let again = scratch.store.add_path(&copy, &AddOptions::source("dir"), None).unwrap();
    assert_eq!(again.path, info.path);
    // what is there is left alone, what fails leaves nothing
    assert!(restore_tree(&mut nar.as_slice(), &copy).unwrap_err().to_string().contains("exists"));
    let half = scratch.path("half");
    let error = restore_tree(&mut &nar[..nar.len() / 2], &half).unwrap_err();
    assert!(matches!(error, TreeError::Archive { .. }), "{error}");
    assert!(!half.exists());
}

#[test]
fn links_lead_nowhere() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    std::os::unix::fs::symlink("/etc", tree.join("etc")).unwrap();
    let path = scratch.store.add_path(&tree, &AddOptions::source("dir"), None).unwrap().path;
    let cat = |inner: &str| {
        let mut out = Vec::new();
        scratch.store.cat(&path, Path::new(inner), &mut out).map(|_| out)
    };
    assert_eq!(cat("a").unwrap(), b"hello\n");
    assert_eq!(cat("/a-dir/./x").unwrap(), b"x");
    for inner in ["etc/passwd", "nothing", "../x", "a/b"] {
        let error = cat(inner).unwrap_err();
        assert!(matches!(error, StoreError::NoSuchEntry { .. }), "{inner}: {error}");
    }
    for inner in ["sub/link", "sub", "etc"] {
        assert!(matches!(cat(inner), Err(StoreError::NotAFile { .. })), "{inner}");
    }
    let Listing::Directory(entries) = scratch.store.list(&path, Path::new(""), false).unwrap() else {
        panic!("no directory")
    };
    assert_eq!(entries.len(), 8);
    assert!(matches!(&entries[b"a-dir".as_slice()], Listing::Directory(below) if below.is_empty()));
    assert!(matches!(&entries[b"run".as_slice()], Listing::File { executable: true, size: 10, .. }));
    let whole = scratch.store.list(&path, Path::new(""), true).unwrap();
    assert!(whole.lookup(b"a-dir/x").is_some());
    let file = scratch.store.list(&path, Path::new("a"), true).unwrap();
    assert!(matches!(file, Listing::File { size: 6, .. }));
    assert!(fs::metadata(scratch.path("dir")).is_ok());
}

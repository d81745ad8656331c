//! Verification.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nopal_store::{AddOptions, Problem, VerifyOptions};

use crate::support::{Scratch, sample_tree};

#[test]
fn damage_is_found() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    let add = |name: &str| scratch.store.add_path(&tree, &AddOptions::source(name), None).unwrap().path;
    let (good, changed, missing, longer) = (add("good"), add("changed"), add("missing"), add("longer"));
    assert!(scratch.store.verify(&VerifyOptions::default()).unwrap().is_clean());
    let overwrite = |path: &std::path::Path, contents: &str| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path, contents).unwrap();
    };
    overwrite(&scratch.store.physical_path(&changed).join("a"), "hellO\n");
    overwrite(&scratch.store.physical_path(&longer).join("a"), "hello\nand more");
    nopal_fs::remove_tree(&scratch.store.physical_path(&missing)).unwrap();
    let report = scratch.store.verify(&VerifyOptions::default()).unwrap();
    assert_eq!(report.paths, 4);
    assert!(report.database.is_empty());
    assert_eq!(report.problems.len(), 3);
    for problem in &report.problems {
        match &problem.problem {
            Problem::Missing => assert_eq!(problem.path, missing),
            Problem::HashMismatch { .. } => assert!(problem.path == changed || problem.path == longer),
            other => panic!("{other}"),
        }
        assert_ne!(problem.path, good);
    }
    let quick = scratch.store.verify(&VerifyOptions { contents: false, ..VerifyOptions::default() }).unwrap();
    assert_eq!(quick.problems.len(), 1, "without contents only the missing one shows");
    let only = VerifyOptions { only: Some([good].into()), ..VerifyOptions::default() };
    assert!(scratch.store.verify(&only).unwrap().is_clean());
}

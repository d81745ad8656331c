//! Additions: the paths that Nix computes, what is on disk afterwards, what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nopal_format::nar::Tree;
use nopal_format::{ContentAddressMethod, Hash, HashAlgorithm, PathInfo};
use nopal_store::{AddOptions, EntryKind, NarChecks, Stopped, StoreError, TextToAdd, TreeError, path_of_source};

use crate::support::{Scratch, parse, sample_tree};

/// Asked of Nix 2.34.8: `nix-store --add`, `--add-fixed [--recursive]`, `nix store add --mode`.
const PATHS: &[(ContentAddressMethod, HashAlgorithm, &str, &str)] = &[
    (ContentAddressMethod::Nar, HashAlgorithm::Sha256, "", "/nix/store/sgdwdgx5cw5zzvrzc940bcdv2nzliz87-dir"),
    (ContentAddressMethod::Flat, HashAlgorithm::Sha256, "a", "/nix/store/dsnln8dzp7a38dkfhk9p6pldgsb5jpr5-a"),
    (ContentAddressMethod::Nar, HashAlgorithm::Sha1, "", "/nix/store/4sb6cv1c985i2khhim7rycwxrhkjkqx7-dir"),
    (ContentAddressMethod::Nar, HashAlgorithm::Sha512, "", "/nix/store/rqfbg0dsn3l0czikf3y276zkbr9c1iv6-dir"),
    (ContentAddressMethod::Git, HashAlgorithm::Sha1, "", "/nix/store/m2pvahzyly88xgy5pndhfk8nkhxvd1b6-dir"),
    (ContentAddressMethod::Git, HashAlgorithm::Sha256, "", "/nix/store/90abxsdyk3kgp936ig5z5d3shdjw83jc-dir"),
    (ContentAddressMethod::Text, HashAlgorithm::Sha256, "a", "/nix/store/8hb1zapwkfr1j7zmxj7s7wj2pgci7zjm-a.txt"),
];

#[test]
fn paths_are_those_of_nix() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    for (method, algorithm, inner, expected) in PATHS {
        let expected = parse(expected);
        let source = if inner.is_empty() { tree.clone() } else { tree.join(inner) };
        let options = AddOptions {
            name: expected.name().to_owned(),
            method: *method,
            algorithm: *algorithm,
            references: BTreeSet::new(),
        };
        let computed = path_of_source(scratch.store.store_dir(), &source, &options, None).unwrap();
        let added = scratch.store.add_path(&source, &options, None).unwrap();
        assert_eq!(added.path, expected, "{method} {algorithm}");
        assert_eq!(computed.path, added.path);
        assert!(added.is_content_addressed(scratch.store.store_dir()));
        assert!(scratch.store.is_valid(&expected).unwrap());
    }
    let info = scratch.store.path_info(&parse(PATHS[0].3)).unwrap();
    assert_eq!(info.nar_hash.sri(), "sha256-L8aQIUpYtFLlWNpYSyqhmDPD8ri1wEPn/C03kjMSiKY=");
    assert_eq!(info.nar_size, 1784);
}

#[test]
fn trees_on_disk_are_canonical() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    let info = scratch.store.add_path(&tree, &AddOptions::source("dir"), None).unwrap();
    let root = scratch.store.physical_path(&info.path);
    for (inner, mode) in [("", 0o555), ("a", 0o444), ("run", 0o555), ("sub", 0o555), ("a-dir/x", 0o444)] {
        let metadata = fs::metadata(root.join(inner)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{inner}");
        assert_eq!(metadata.mtime(), 1, "{inner}");
    }
    assert_eq!(fs::symlink_metadata(root.join("sub/link")).unwrap().mtime(), 1);
    assert_eq!(fs::read_link(root.join("sub/link")).unwrap().to_str(), Some("../a"));
}

/// A tree too large to be kept in memory goes another way, to the same result.
#[test]
fn large_trees_are_spooled_to_disk() {
    let scratch = Scratch::new();
    let tree = scratch.path("large");
    sample_tree(&tree);
    let block: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(tree.join("block"), &block).unwrap();
    fs::write(tree.join("z"), "after").unwrap();
    let computed = path_of_source(scratch.store.store_dir(), &tree, &AddOptions::source("large"), None).unwrap();
    let info = scratch.store.add_path(&tree, &AddOptions::source("large"), None).unwrap();
    assert_eq!(info.path, computed.path);
    let root = scratch.store.physical_path(&info.path);
    assert_eq!(fs::read(root.join("block")).unwrap(), block);
    assert_eq!(fs::read(root.join("a-dir/x")).unwrap(), b"x");
    assert!(scratch.store.verify(&Default::default()).unwrap().is_clean());
    assert_eq!(scratch.objects_on_disk(), 1, "no temporary tree stays");
}

#[test]
fn filters_choose_and_stop() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    let mut asked = Vec::new();
    let mut filter = |path: &std::path::Path, kind: EntryKind| {
        asked.push((path.strip_prefix(&tree).unwrap().to_str().unwrap().to_owned(), kind));
        Ok(!path.ends_with("sub") && !path.ends_with("a"))
    };
    let info = scratch.store.add_path(&tree, &AddOptions::source("dir"), Some(&mut filter)).unwrap();
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "a-dir", "a-dir/x", "a.b", "empty", "run", "sub", "zero"]);
    assert_eq!(asked[6].1, EntryKind::Directory);
    let root = scratch.store.physical_path(&info.path);
    assert!(!root.join("a").exists() && !root.join("sub").exists() && root.join("a-dir/x").exists());
    let mut stop = |_: &std::path::Path, _| Err(Stopped);
    let stopped = scratch.store.add_path(&tree, &AddOptions::source("dir"), Some(&mut stop));
    assert!(matches!(stopped, Err(StoreError::Stopped { .. })), "{stopped:?}");
}

#[test]
fn texts_refer_to_each_other() {
    let scratch = Scratch::new();
    let bar = scratch.text("foo", "bar", &[]);
    assert_eq!(scratch.store.print(&bar), "/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    let first = TextToAdd { name: "first".into(), contents: b"1".as_slice().into(), references: BTreeSet::new() };
    let first_path = scratch.store.store_dir().text_path("first", b"1", &BTreeSet::new()).unwrap();
    let second = TextToAdd {
        name: "second".into(),
        contents: b"2".as_slice().into(),
        references: BTreeSet::from([first_path.clone(), bar.clone()]),
    };
    // the referrer first: order does not matter within a batch
    let paths = scratch.store.add_texts(&[second, first]).unwrap();
    assert_eq!(paths[1], first_path);
    assert_eq!(scratch.store.references(&paths[0]).unwrap(), BTreeSet::from([first_path, bar]));
    assert!(scratch.store.verify(&Default::default()).unwrap().is_clean());
}

#[test]
fn references_must_be_valid() {
    let scratch = Scratch::new();
    let nowhere = parse("/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    let error = scratch.store.add_text("t", b"x", &BTreeSet::from([nowhere])).unwrap_err();
    assert!(matches!(error, StoreError::ReferenceNotValid { .. }), "{error}");
    assert!(scratch.store.all_valid_paths().unwrap().is_empty());
    assert_eq!(scratch.objects_on_disk(), 0);
}

#[test]
fn what_a_store_cannot_keep_is_refused() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    let socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    let error = scratch.store.add_path(&tree, &AddOptions::source("dir"), None).unwrap_err();
    assert!(matches!(error, StoreError::Tree(TreeError::UnsupportedType { .. })), "{error}");
    drop(socket);
    let flat = AddOptions { method: ContentAddressMethod::Flat, ..AddOptions::source("dir") };
    let error = scratch.store.add_path(&tree.join("sub"), &flat, None).unwrap_err();
    assert!(matches!(error, StoreError::NotAFile { .. }), "{error}");
    let error = scratch.store.add_path(&tree.join("nothing"), &AddOptions::source("n"), None).unwrap_err();
    assert!(error.to_string().contains("nothing") && error.to_string().contains("No such file"), "{error}");
    let error = scratch.store.add_path(&tree.join("a"), &AddOptions::source("b@d"), None).unwrap_err();
    assert!(matches!(error, StoreError::Path(_)), "{error}");
}

fn nar_info(name: &str, nar: &[u8]) -> PathInfo {
    let path = nopal_format::StoreDir::default()
        .make_store_path("output:out", &Hash::of(HashAlgorithm::Sha256, name.as_bytes()), name)
        .unwrap();
    PathInfo::new(path, Hash::of(HashAlgorithm::Sha256, nar), nar.len() as u64)
}

#[test]
fn archives_are_checked_while_they_stream() {
    let scratch = Scratch::new();
    let nar = Tree::directory([("a", Tree::file("one")), ("b", Tree::file(vec![7; 100_000]))]).to_nar().unwrap();
    let add = |info: &PathInfo, mut nar: &[u8]| scratch.store.add_nar(info, &mut nar, &NarChecks::default());
    let good = nar_info("good", &nar);
    add(&good, &nar).unwrap();
    assert_eq!(scratch.store.path_info(&good.path).unwrap().nar_hash, good.nar_hash);

    let wrong_hash = PathInfo { nar_hash: Hash::zero(HashAlgorithm::Sha256), ..nar_info("hash", &nar) };
    assert!(matches!(add(&wrong_hash, &nar), Err(StoreError::HashMismatch { .. })));
    let too_small = PathInfo { nar_size: 1000, ..nar_info("small", &nar) };
    assert!(matches!(add(&too_small, &nar), Err(StoreError::SizeMismatch { .. })));
    let too_large = PathInfo { nar_size: 1_000_000, ..nar_info("large", &nar) };
    assert!(matches!(add(&too_large, &nar), Err(StoreError::SizeMismatch { .. })));
    let truncated = nar_info("truncated", &nar[..nar.len() - 8]);
    assert!(matches!(add(&truncated, &nar[..nar.len() - 8]), Err(StoreError::Tree(TreeError::Archive { .. }))));
    let mut trailing = nar.clone();
    trailing.extend_from_slice(&[0; 8]);
    let info = nar_info("trailing", &trailing);
    assert!(matches!(add(&info, &trailing), Err(StoreError::Tree(TreeError::Archive { .. }))));
    // a claim about content is recomputed
    let mut lying = nar_info("lying", &nar);
    lying.ca = Some(nopal_format::ContentAddress { method: ContentAddressMethod::Nar, hash: good.nar_hash });
    assert!(matches!(add(&lying, &nar), Err(StoreError::ContentAddressMismatch { .. })));

    assert_eq!(scratch.store.all_valid_paths().unwrap().len(), 1);
    assert_eq!(scratch.objects_on_disk(), 1, "nothing of them stays");
}

#[test]
fn undeclared_references_are_found() {
    let scratch = Scratch::new();
    let secret = scratch.text("secret", "s", &[]);
    let nar = Tree::file(format!("see {}", scratch.store.print(&secret))).to_nar().unwrap();
    let info = nar_info("teller", &nar);
    let checks = NarChecks { undeclared_among: BTreeSet::from([secret.clone()]) };
    let error = scratch.store.add_nar(&info, &mut nar.as_slice(), &checks).unwrap_err();
    assert!(matches!(error, StoreError::UndeclaredReference { .. }), "{error}");
    let info = PathInfo { references: BTreeSet::from([secret]), ..info };
    scratch.store.add_nar(&info, &mut nar.as_slice(), &checks).unwrap();
}

/// Many threads, each with a store handle of its own, add the same things at once.
#[test]
fn the_same_path_may_be_added_at_once() {
    let scratch = Scratch::new();
    let tree = scratch.path("dir");
    sample_tree(&tree);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = crate::support::open(&scratch.path("nopal"));
                for name in ["one", "two", "three"] {
                    store.add_path(&tree, &AddOptions::source(name), None).unwrap();
                    store.add_text(name, b"text", &BTreeSet::new()).unwrap();
                }
            });
        }
    });
    assert_eq!(scratch.store.all_valid_paths().unwrap().len(), 6);
    assert_eq!(scratch.objects_on_disk(), 6);
    assert!(scratch.store.verify(&Default::default()).unwrap().is_clean());
}

/// A store that is not there yet is made by one of those who want it, while the others wait.
#[test]
fn a_store_may_be_made_at_once() {
    let scratch = Scratch::new();
    for round in 0..20 {
        let root = scratch.path(&format!("new-{round}"));
        let start = std::sync::Barrier::new(6);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    start.wait();
                    crate::support::open(&root).add_text("one", b"text", &BTreeSet::new()).unwrap();
                });
            }
        });
    }
}

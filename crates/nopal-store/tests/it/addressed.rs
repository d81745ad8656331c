//! Content addresses for paths that had none, and caches that know what outputs turned out to be.

use std::fs;

use nopal_format::signature::SecretKey;
use nopal_format::{DrvOutput, PathInfo, Realisation, StorePath};
use nopal_store::{BuiltOutput, CacheOptions, CacheSource, scan_tree};

use crate::support::{Scratch, parse};

/// A tree that refers to a text and to itself, under a path that is no content address.
fn input_addressed(scratch: &Scratch) -> (StorePath, StorePath) {
    let used = parse("/nix/store/sgdwdgx5cw5zzvrzc940bcdv2nzliz87-used");
    let path = parse("/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-thing");
    for (path, text) in [
        (&used, "used".to_owned()),
        (&path, format!("{} {} {}", scratch.store.print(&used), used.hash_part(), scratch.store.print(&path))),
    ] {
        let tree = scratch.path(path.name());
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), text).unwrap();
        nopal_fs::canonicalise_tree(&tree).unwrap();
        let scan = scan_tree(&tree, &[used.clone(), path.clone()].into()).unwrap();
        let mut info = PathInfo::new(path.clone(), scan.nar_hash, scan.nar_size);
        info.references = scan.references;
        scratch.store.register_outputs(vec![BuiltOutput { info, tree, entries: scan.entries }]).unwrap();
    }
    (used, path)
}

#[test]
fn a_closure_gets_content_addresses() {
    let scratch = Scratch::new();
    let (used, path) = input_addressed(&scratch);
    let renamed = scratch.store.make_content_addressed(&scratch.store, std::slice::from_ref(&path)).unwrap();
    assert_eq!(renamed.len(), 2);
    let (new_used, new_path) = (&renamed[&used], &renamed[&path]);
    for path in [new_used, new_path] {
        let info = scratch.store.path_info(path).unwrap();
        assert!(info.is_content_addressed(scratch.store.store_dir()), "{path}");
    }
    let references = scratch.store.references(new_path).unwrap();
    assert_eq!(references, [new_used.clone(), new_path.clone()].into());
    // a hash without its store directory is no reference to another path, as Nix has it
    let text = fs::read_to_string(scratch.store.physical_path(new_path).join("file")).unwrap();
    let print = |path| scratch.store.print(path);
    assert_eq!(text, format!("{} {} {}", print(new_used), used.hash_part(), print(new_path)));
    // what has a content address keeps it
    let again = scratch.store.make_content_addressed(&scratch.store, std::slice::from_ref(new_path)).unwrap();
    assert_eq!(again[new_path], *new_path);
    // from a cache it is the same, and the paths as they were do not become valid
    let cache = scratch.path("cache");
    scratch.store.export_to_cache(&cache, std::slice::from_ref(&path), &CacheOptions::default()).unwrap();
    let other = Scratch::new();
    let source = CacheSource { store: &other.store, directory: &cache };
    assert_eq!(other.store.make_content_addressed(&source, std::slice::from_ref(&path)).unwrap(), renamed);
    assert!(!other.store.is_valid(&path).unwrap() && other.store.is_valid(new_path).unwrap());
    assert!(
        other.store.verify(&nopal_store::VerifyOptions { contents: true, ..Default::default() }).unwrap().is_clean()
    );
}

#[test]
fn caches_keep_realisations() {
    let scratch = Scratch::new();
    let path = scratch.text("thing", "out", &[]);
    let id: DrvOutput = format!("sha256:{}!out", "1".repeat(64)).parse().unwrap();
    let mut realisation = Realisation::new(id.clone(), path);
    realisation.sign(&SecretKey::from_seed("key", &[1; 32]));
    let cache = scratch.path("cache");
    scratch.store.export_realisations(&cache, std::slice::from_ref(&realisation)).unwrap();
    assert!(cache.join(format!("realisations/{id}.doi")).is_file());
    assert_eq!(scratch.store.cached_realisation(&cache, &id).unwrap(), Some(realisation));
    let other = DrvOutput { output: "dev".to_owned(), ..id.clone() };
    assert_eq!(scratch.store.cached_realisation(&cache, &other).unwrap(), None);
    fs::rename(cache.join(format!("realisations/{id}.doi")), cache.join(format!("realisations/{other}.doi"))).unwrap();
    assert!(scratch.store.cached_realisation(&cache, &other).is_err());
}

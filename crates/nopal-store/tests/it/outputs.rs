//! Registering what builders made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use nopal_format::store_path::References;
use nopal_format::{ContentAddress, ContentAddressMethod, HashAlgorithm, PathInfo};
use nopal_store::{BuiltOutput, rewrite_tree, scan_tree, scan_tree_modulo};

use crate::support::{Scratch, parse};

#[test]
fn outputs_are_scanned_and_registered_together() {
    let scratch = Scratch::new();
    let used = scratch.text("used", "used", &[]);
    let unused = scratch.text("unused", "unused", &[]);
    let out = parse("/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-thing");
    let lib = parse("/nix/store/sgdwdgx5cw5zzvrzc940bcdv2nzliz87-thing-lib");
    let build = scratch.path("build");
    let (out_tree, lib_tree) = (build.join("out"), build.join("lib"));
    fs::create_dir_all(out_tree.join("bin")).unwrap();
    fs::create_dir_all(&lib_tree).unwrap();
    fs::write(out_tree.join("bin/run"), format!("{}/x {}", lib, used.hash_part())).unwrap();
    fs::set_permissions(out_tree.join("bin/run"), fs::Permissions::from_mode(0o700)).unwrap();
    // the outputs refer to each other and to themselves
    fs::write(lib_tree.join("config"), format!("self={lib}")).unwrap();
    let candidates = BTreeSet::from([used.clone(), unused, out.clone(), lib.clone()]);
    let mut outputs = Vec::new();
    for (path, tree) in [(&out, out_tree), (&lib, lib_tree)] {
        nopal_fs::canonicalise_tree(&tree).unwrap();
        let scan = scan_tree(&tree, &candidates).unwrap();
        let mut info = PathInfo::new(path.clone(), scan.nar_hash, scan.nar_size);
        info.references = scan.references;
        info.ultimate = true;
        outputs.push(BuiltOutput { info, tree, entries: scan.entries });
    }
    scratch.store.register_outputs(outputs).unwrap();
    assert_eq!(scratch.store.references(&out).unwrap(), BTreeSet::from([used, lib.clone()]));
    assert_eq!(scratch.store.references(&lib).unwrap(), BTreeSet::from([lib.clone()]));
    let program = scratch.store.physical_path(&out).join("bin/run");
    assert_eq!(fs::metadata(program).unwrap().permissions().mode() & 0o7777, 0o555);
    assert_eq!(fs::metadata(scratch.store.physical_path(&lib)).unwrap().permissions().mode() & 0o7777, 0o555);
    assert!(scratch.store.verify(&Default::default()).unwrap().is_clean());
    assert!(scratch.store.path_info(&out).unwrap().ultimate);
    // a path that refers to itself can be deleted
    let scratch = scratch.reopen();
    assert_eq!(scratch.store.collect_garbage(&Default::default()).unwrap().deleted.len(), 4);
}

#[test]
fn self_references_are_rewritten() {
    let scratch = Scratch::new();
    let built_as = parse("/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-thing");
    let tree = scratch.path("built");
    fs::create_dir_all(&tree).unwrap();
    let long = "x".repeat(200_000);
    fs::write(tree.join("file"), format!("{long}{built_as}{long}{built_as}")).unwrap();
    std::os::unix::fs::symlink(format!("/nix/store/{built_as}/file"), tree.join("link")).unwrap();
    let hash = scan_tree_modulo(&tree, HashAlgorithm::Sha256, &built_as).unwrap();
    let ca = ContentAddress { method: ContentAddressMethod::Nar, hash };
    let references = References { others: BTreeSet::new(), itself: true };
    let path = scratch.store.store_dir().ca_path("thing", &ca, &references).unwrap();
    let moved = scratch.store.temp_path().unwrap();
    rewrite_tree(&tree, &moved, &BTreeMap::from([(built_as.clone(), path.clone())])).unwrap();
    let text = fs::read_to_string(moved.join("file")).unwrap();
    assert!(!text.contains(&built_as.hash_part()));
    assert_eq!(text.matches(&path.hash_part()).count(), 2);
    assert!(fs::read_link(moved.join("link")).unwrap().to_str().unwrap().contains(&path.hash_part()));
    // the hash does not depend on the path it was built as
    assert_eq!(scan_tree_modulo(&moved, HashAlgorithm::Sha256, &path).unwrap(), hash);
    let scan = scan_tree(&moved, &BTreeSet::from([path.clone(), built_as])).unwrap();
    assert_eq!(scan.references, BTreeSet::from([path.clone()]));
    let mut info = PathInfo::new(path.clone(), scan.nar_hash, scan.nar_size);
    info.references = scan.references;
    info.ca = Some(ca);
    assert!(info.is_content_addressed(scratch.store.store_dir()));
    // such a path can be exchanged: the claim is recomputed on arrival
    let mut nar = Vec::new();
    nopal_store::dump_tree(&moved, &mut nar).unwrap();
    scratch.store.add_nar(&info, &mut nar.as_slice(), &Default::default()).unwrap();
    assert!(scratch.store.is_valid(&path).unwrap());
}

//! Stores that something is wrong with: each a clear error, nothing lost, nothing half-valid.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nopal_format::StoreDir;
use nopal_report::Reporter;
use nopal_store::{AddOptions, GcOptions, Store, StoreConfig, StoreError};
use nopal_test::OrdinaryUser;

use crate::support::{Scratch, config, objects_on_disk, open, sample_tree};

fn try_open(config: StoreConfig) -> StoreError {
    Store::open(config, Reporter::silent()).map(drop).unwrap_err()
}

#[test]
fn a_corrupt_database_is_reported() {
    let scratch = Scratch::new();
    for i in 0..200 {
        scratch.text("t", &i.to_string(), &[]);
    }
    let root = scratch.path("nopal");
    let database = scratch.store.config().database_file();
    let Scratch { store, dir } = scratch;
    drop(store);
    let good = fs::read(&database).unwrap();
    assert!(good.len() > 40_000, "the log has been written back on closing");
    // the pages behind the first are overwritten
    let mut bytes = good.clone();
    bytes[8192..].fill(0xaa);
    fs::write(&database, &bytes).unwrap();
    let broken = Store::open(config(&root), Reporter::silent());
    let error = match broken {
        Err(error) => error,
        Ok(store) => store.all_path_infos().map(drop).unwrap_err(),
    };
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("db.sqlite") && error.hint().is_some());
    // something else altogether
    fs::write(&database, vec![b'x'; 8192]).unwrap();
    let error = try_open(config(&root));
    assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
    // cut off
    fs::write(&database, &good[..good.len() / 2]).unwrap();
    let result = Store::open(config(&root), Reporter::silent());
    let noticed = match result {
        Err(_) => true,
        Ok(store) => store.verify(&Default::default()).map_or(true, |report| !report.is_clean()),
    };
    assert!(noticed);
    // restored, all is as it was: nothing above has touched the trees
    fs::write(&database, &good).unwrap();
    assert!(open(&root).verify(&Default::default()).unwrap().is_clean());
    drop(dir);
}

#[test]
fn databases_of_others_are_left_alone() {
    let scratch = Scratch::new();
    let root = scratch.path("nopal");
    let database = scratch.store.config().database_file();
    drop(scratch.store);
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = try_open(config(&root));
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
    fs::remove_file(&database).unwrap();
    rusqlite::Connection::open(&database).unwrap().execute_batch("create table Mine (x)").unwrap();
    let error = try_open(config(&root));
    assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
}

#[test]
fn one_store_has_one_store_directory() {
    let scratch = Scratch::new();
    let root = scratch.path("nopal");
    drop(scratch.store);
    let other = StoreConfig { store_dir: StoreDir::new("/other/store").unwrap(), ..config(&root) };
    let error = try_open(other);
    assert!(matches!(&error, StoreError::OtherStoreDir { .. }) && error.to_string().contains("/other"), "{error}");
}

#[test]
fn reading_needs_no_writing() {
    let scratch = Scratch::new();
    let path = scratch.text("t", "text", &[]);
    let root = scratch.path("nopal");
    let read_only = StoreConfig { read_only: true, ..config(&root) };
    // beside a writer
    let reader = Store::open(read_only.clone(), Reporter::silent()).unwrap();
    assert!(reader.is_valid(&path).unwrap());
    let later = scratch.text("t", "later", &[]);
    assert!(reader.is_valid(&later).unwrap(), "readers see what is committed");
    for error in [
        reader.add_text("t", b"new", &BTreeSet::new()).map(drop).unwrap_err(),
        reader.collect_garbage(&GcOptions::default()).map(drop).unwrap_err(),
        reader.add_path(&root, &AddOptions::source("x"), None).map(drop).unwrap_err(),
        reader.add_root(&scratch.path("r"), &path).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
    reader.add_text("t", b"text", &BTreeSet::new()).expect("what is valid needs no adding");
    let nothing = StoreConfig { read_only: true, ..config(&scratch.path("nothing")) };
    assert!(matches!(try_open(nothing), StoreError::NoStore { .. }));
    assert!(!scratch.path("nothing").exists());
}

#[test]
fn foreign_directories_are_refused() {
    if OrdinaryUser::rerun("bad_input::foreign_directories_are_refused") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("nopal");
    drop(open(&root));
    fs::set_permissions(root.join("var"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(root.join("store"), fs::Permissions::from_mode(0o555)).unwrap();
    let error = match Store::open(config(&root), Reporter::silent()) {
        Err(error) => error,
        Ok(store) => store.add_text("t", b"t", &BTreeSet::new()).map(drop).unwrap_err(),
    };
    assert!(error.is_read_only(), "{error}");
    // for reading it serves, without files beside the database too
    let store = Store::open(StoreConfig { read_only: true, ..config(&root) }, Reporter::silent()).unwrap();
    assert!(store.all_valid_paths().unwrap().is_empty());
    for name in ["var", "store"] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Directory that a child in a mount namespace of its own works in.
const MOUNTED: &str = "NOPAL_STORE_MOUNTED";

/// Runs a test of this program again with a small tmpfs mounted at the directory that it gets. Skips where that cannot
/// be.
fn with_small_disk(test: &str, size: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size} small '{dir}' || exit 77\n\
         '{program}' --exact {test} --nocapture",
        dir = dir.path().display(),
        program = std::env::current_exe().unwrap().display(),
    );
    // root needs no user namespace, and may not get one in a container
    let flags = if nopal_fs::is_writable(Path::new("/proc/1/oom_score_adj")) { "-m" } else { "-Urm" };
    let output = Command::new("unshare").args([flags, "sh", "-c", &script]).env(MOUNTED, dir.path()).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return nopal_test::skip(&format!("needs unshare: {error}")),
    };
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(77) || said.contains("unshare failed") || said.contains("unshare: ") {
        return nopal_test::skip(&format!("cannot mount in a namespace: {said}"));
    }
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn mounted() -> Option<PathBuf> {
    std::env::var_os(MOUNTED).map(PathBuf::from)
}

#[test]
fn a_full_disk_loses_nothing() {
    if mounted().is_none() {
        with_small_disk("bad_input::full_disk_child", "12m");
    }
}

#[test]
fn full_disk_child() {
    let Some(dir) = mounted() else { return };
    let store = Store::open(StoreConfig::at(&dir.join("nopal"), StoreDir::default()), Reporter::silent()).unwrap();
    let mut added = Vec::new();
    let error = loop {
        let text = format!("{}{}", added.len(), "x".repeat(300_000));
        match store.add_text("big", text.as_bytes(), &BTreeSet::new()) {
            Ok(path) => added.push(path),
            Err(error) => break error,
        }
        assert!(added.len() < 100);
    };
    assert!(error.hint().is_some_and(|hint| hint.contains("free")), "{error}: {:?}", error.hint());
    assert!(added.len() > 10, "{error}");
    // trees too, some of which fail half written
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    for i in 0..200 {
        if fs::write(tree.join(i.to_string()), vec![1; 10_000]).is_err() {
            break;
        }
    }
    assert!(store.add_path(&tree, &AddOptions::source("tree"), None).is_err());
    let report = store.verify(&Default::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(store.all_valid_paths().unwrap(), added.iter().cloned().collect());
    let left = objects_on_disk(&store);
    assert_eq!(left, added.len(), "nothing half written stays");
    // and garbage can be collected, full as it is
    drop(store);
    let store = Store::open(StoreConfig::at(&dir.join("nopal"), StoreDir::default()), Reporter::silent()).unwrap();
    let report = store.collect_garbage(&GcOptions::default()).unwrap();
    assert_eq!(report.deleted.len(), added.len());
    fs::remove_dir_all(&tree).unwrap();
    store.add_text("again", b"works", &BTreeSet::new()).unwrap();
}

#[test]
fn a_read_only_mount_can_be_read() {
    if mounted().is_none() {
        with_small_disk("bad_input::read_only_child", "12m");
    }
}

#[test]
fn read_only_child() {
    let Some(dir) = mounted() else { return };
    let root = dir.join("nopal");
    let tree = dir.join("tree");
    sample_tree(&tree);
    let store = open(&root);
    let path = store.add_path(&tree, &AddOptions::source("tree"), None).unwrap().path;
    drop(store);
    let remounted = Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&dir).status().unwrap();
    assert!(remounted.success());
    let error = try_open(config(&root));
    assert!(error.is_read_only(), "{error}");
    let store = Store::open(StoreConfig { read_only: true, ..config(&root) }, Reporter::silent()).unwrap();
    assert!(store.is_valid(&path).unwrap());
    assert!(store.verify(&Default::default()).unwrap().is_clean());
    assert!(store.roots().unwrap().is_empty());
    let dry = store.collect_garbage(&GcOptions { dry_run: true, ..GcOptions::default() }).unwrap();
    assert_eq!(dry.deleted, [path]);
}

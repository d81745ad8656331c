//! Tests of the file-system layer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use nopal_fs::{CanonError, CanonicalDirectory, LockFile, NumberLocks, PathLock, Step, TreeWalk, WalkOptions};
use nopal_test::OrdinaryUser;
use tempfile::tempdir;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn errors_name_operation_and_path() {
    let error = nopal_fs::read_file(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read '/nowhere/at/all': No such file or directory");
    assert!(error.is_not_found());
    let error = nopal_fs::rename(Path::new("/nowhere/a"), Path::new("/nowhere/b")).unwrap_err();
    assert_eq!(error.to_string(), "cannot rename '/nowhere/a' to '/nowhere/b': No such file or directory");
    assert_eq!(nopal_fs::read_file_if_exists(Path::new("/nowhere/at/all")).unwrap(), None);
}

#[test]
fn replacement_is_whole_or_nothing() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    nopal_fs::replace(&file, b"one").unwrap();
    nopal_fs::replace(&file, b"two").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
    let failed = nopal_fs::replace_with(&file, 0o600, |_| Err(std::io::Error::other("no")));
    assert!(failed.unwrap_err().to_string().contains("no"));
    assert_eq!(fs::read(&file).unwrap(), b"two");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside it stays");
    let link = dir.path().join("link");
    nopal_fs::symlink_replace(Path::new("a"), &link).unwrap();
    nopal_fs::symlink_replace(Path::new("b"), &link).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("b"));
}

#[test]
fn locks_exclude_each_other() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("lock");
    let open = || LockFile::open(&path).unwrap();
    let shared = open().shared().unwrap();
    let also = open().try_shared().unwrap().unwrap();
    assert!(open().try_exclusive().unwrap().is_err());
    drop(also);
    drop(shared);
    let exclusive = open().try_exclusive().unwrap().unwrap();
    assert!(open().try_shared().unwrap().is_err());
    let shared = exclusive.downgrade().unwrap();
    assert!(open().try_shared().unwrap().is_ok());
    drop(shared);
    assert!(open().try_exclusive().unwrap().is_ok());
}

/// A lock file that goes away with its lock: never two holders, and no file at the end.
#[test]
fn path_locks_have_one_holder() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("x.lock");
    let counter = dir.path().join("counter");
    fs::write(&counter, "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let lock = PathLock::acquire(&path).unwrap();
                    let value: u32 = fs::read_to_string(&counter).unwrap().parse().unwrap();
                    fs::write(&counter, (value + 1).to_string()).unwrap();
                    drop(lock);
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(&counter).unwrap(), "400");
    assert!(!path.exists());
    let held = PathLock::try_acquire(&path).unwrap().unwrap();
    assert!(PathLock::try_acquire(&path).unwrap().is_none());
    drop(held);
}

/// Overlapping sets of numbers exclude each other, whether few or many are asked for; others do not.
#[test]
fn numbers_have_one_holder() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("numbers");
    let counter = dir.path().join("counter");
    fs::write(&counter, "0").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u16 {
            let (path, counter) = (&path, &counter);
            scope.spawn(move || {
                for turn in 0..50 {
                    let numbers = if turn % 2 == 0 { 7..=7 + thread } else { thread..=thread + 30 };
                    let lock = match turn % 5 {
                        0 => NumberLocks::acquire_all(path),
                        _ => NumberLocks::acquire(path, &numbers.collect()),
                    };
                    let lock = lock.unwrap();
                    let value: u32 = fs::read_to_string(counter).unwrap().parse().unwrap();
                    fs::write(counter, (value + 1).to_string()).unwrap();
                    drop(lock);
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(&counter).unwrap(), "400");
    let held = NumberLocks::acquire(&path, &BTreeSet::from([1, 3])).unwrap();
    drop(NumberLocks::acquire(&path, &BTreeSet::from([2, u16::MAX])).unwrap());
    drop(held);
}

#[test]
fn files_are_made_with_their_final_metadata() {
    let dir = tempdir().unwrap();
    let mut directory = CanonicalDirectory::open(dir.path()).unwrap();
    for (name, executable, mode) in [("a", false, 0o444), ("b", true, 0o555), ("c", false, 0o444)] {
        directory.create_file(name.as_ref(), executable, name.as_bytes()).unwrap();
        let metadata = fs::metadata(dir.path().join(name)).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime(), metadata.mtime_nsec()), (mode, 1, 0));
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), name);
    }
    let error = directory.create_file("a".as_ref(), false, b"other").unwrap_err();
    assert!(error.is_already_exists());
    assert_eq!(error.path(), dir.path().join("a"));
    assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "a");
}

fn steps(root: &Path) -> Vec<String> {
    let mut walk = TreeWalk::new(root, WalkOptions::default()).unwrap();
    let mut seen = Vec::new();
    while let Some(step) = walk.next().unwrap() {
        seen.push(format!("{step:?} {}", walk.relative_path().display()));
        if walk.name().is_some_and(|name| name == b"skipped") {
            walk.skip();
        }
    }
    seen
}

#[test]
fn walks_are_bytewise_and_follow_nothing() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir_all(root.join("skipped/inner")).unwrap();
    fs::write(root.join("a-"), "").unwrap();
    fs::write(root.join("a/B"), "").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    symlink("/etc", root.join("link")).unwrap();
    let expected = [
        "Enter ",
        "Enter a",
        "File a/B",
        "Enter a/b",
        "Leave a/b",
        "Leave a",
        "File a-",
        "Symlink link",
        "Enter skipped",
        "File \u{fffd}",
        "Leave ",
    ];
    assert_eq!(steps(&root), expected);
    // the root itself may be anything; a slash at its end does not make a link be followed
    assert_eq!(steps(&root.join("a-")), ["File "]);
    assert_eq!(steps(&root.join("link/")), ["Symlink "]);
    let walk = TreeWalk::new(&root.join("a"), WalkOptions { max_depth: 1 });
    let mut walk = walk.unwrap();
    let error = loop {
        match walk.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("too deep a tree was walked"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("deeper"), "{error}");
}

/// A directory swapped for a link after it was listed must not lead outside.
#[test]
fn a_swapped_directory_is_an_error() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("a")).unwrap();
    fs::create_dir_all(root.join("b")).unwrap();
    let mut walk = TreeWalk::new(&root, WalkOptions::default()).unwrap();
    assert_eq!(walk.next().unwrap(), Some(Step::Enter));
    assert_eq!(walk.next().unwrap(), Some(Step::Enter));
    fs::remove_dir(root.join("a")).unwrap();
    symlink("/etc", root.join("a")).unwrap();
    assert!(walk.next().is_err());
}

#[test]
fn deep_and_locked_trees_are_removed() {
    if OrdinaryUser::rerun("deep_and_locked_trees_are_removed") {
        return;
    }
    let dir = tempdir().unwrap();
    let root = dir.path().join("root");
    let mut deep = root.clone();
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), vec![0; 8192]).unwrap();
    fs::create_dir_all(root.join("locked/inner")).unwrap();
    fs::write(root.join("locked/inner/file"), "x").unwrap();
    symlink(dir.path(), root.join("link")).unwrap();
    fs::write(dir.path().join("outside"), "stays").unwrap();
    fs::set_permissions(root.join("locked/inner"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let removed = nopal_fs::remove_tree(&root).unwrap();
    assert!(removed.entries >= 306, "{removed:?}");
    assert!(!root.exists() && dir.path().join("outside").exists());
    assert!(nopal_fs::remove_tree(&root).unwrap_err().is_not_found());
    assert_eq!(nopal_fs::remove_tree_if_exists(&root).unwrap().entries, 0);
}

#[test]
fn metadata_becomes_canonical() {
    if OrdinaryUser::rerun("metadata_becomes_canonical") {
        return;
    }
    let dir = tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("secret")).unwrap();
    fs::write(root.join("secret/file"), "x").unwrap();
    fs::write(root.join("program"), "x").unwrap();
    symlink("nowhere", root.join("link")).unwrap();
    fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o4710)).unwrap();
    fs::set_permissions(root.join("secret/file"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(root.join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    nopal_fs::canonicalise_tree(&root).unwrap();
    assert_eq!(mode(&root), 0o555);
    assert_eq!(mode(&root.join("program")), 0o555, "no set-user-id bit stays");
    assert_eq!(mode(&root.join("secret")), 0o555);
    assert_eq!(mode(&root.join("secret/file")), 0o444);
    for inner in ["", "program", "secret", "secret/file", "link"] {
        assert_eq!(fs::symlink_metadata(root.join(inner)).unwrap().mtime(), 1, "{inner}");
    }
    nopal_fs::canonicalise_tree(&root).unwrap();
    // a fifo is none of a store's things
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
    assert!(made.success());
    let error = nopal_fs::canonicalise_tree(&root).unwrap_err();
    assert!(matches!(&error, CanonError::UnsupportedType { path } if path.ends_with("fifo")), "{error}");
    nopal_fs::remove_tree(&root).unwrap();
}

#[test]
fn extended_attributes_go() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    if rustix::fs::setxattr(&file, "user.note", b"n", rustix::fs::XattrFlags::empty()).is_err() {
        return nopal_test::skip("needs a file system with extended attributes");
    }
    nopal_fs::canonicalise_tree(&file).unwrap();
    let mut names = [0_u8; 256];
    assert_eq!(rustix::fs::listxattr(&file, &mut names).unwrap(), 0);
    assert_eq!(mode(&file), 0o444);
}

#[test]
fn trees_are_copied() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("a")).unwrap();
    fs::write(root.join("a/file"), "contents").unwrap();
    symlink("a/file", root.join("link")).unwrap();
    nopal_fs::copy::copy_tree(&root, &dir.path().join("copy")).unwrap();
    assert_eq!(fs::read(dir.path().join("copy/a/file")).unwrap(), b"contents");
    assert_eq!(fs::read_link(dir.path().join("copy/link")).unwrap(), Path::new("a/file"));
    assert!(nopal_fs::copy_file(&root.join("a/file"), &dir.path().join("copy/a/file")).is_err());
}

#[test]
fn temporary_directories_vanish() {
    let dir = tempdir().unwrap();
    let temp = nopal_fs::TempDir::new_in(dir.path(), "t").unwrap();
    fs::write(temp.path().join("file"), "x").unwrap();
    let locked = nopal_fs::LockedTempDir::new_in(dir.path(), "l").unwrap();
    assert!(LockFile::open_existing(locked.path()).unwrap().try_exclusive().unwrap().is_err());
    drop((temp, locked));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn processes_are_looked_into() {
    let me = std::process::id();
    let exe = std::env::current_exe().unwrap();
    let mut found = false;
    nopal_fs::proc::visit_process_strings(&mut |pid, usage, bytes| {
        found |= pid == me && usage == nopal_fs::proc::ProcessUse::Executable && bytes == exe.as_os_str().as_bytes();
    });
    assert!(found);
}

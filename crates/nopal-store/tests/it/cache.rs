//! Binary caches in a directory, with our own reader and with Nix's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nopal_format::signature::SecretKey;
use nopal_format::{Hash, HashAlgorithm, PathInfo, StorePath};
use nopal_store::{AddOptions, BuiltOutput, CacheCompression, CacheImport, CacheOptions, StoreError, scan_tree};
use nopal_test::Tool;

use crate::support::{Scratch, open, sample_tree};

fn key() -> SecretKey {
    SecretKey::from_seed("test-1", &[7; 32])
}

/// A store with a closure of four: a text, a source that is large enough to compress in blocks, an output that refers to
/// both and to itself, and a second output on top of it.
fn filled() -> (Scratch, StorePath) {
    let scratch = Scratch::new();
    let text = scratch.text("text", "hello", &[]);
    let tree = scratch.path("dir");
    sample_tree(&tree);
    fs::write(tree.join("block"), (0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let source = scratch.store.add_path(&tree, &AddOptions::source("source"), None).unwrap().path;
    let out = register(&scratch, "out", &[&text, &source]);
    let top = register(&scratch, "top", &[&out]);
    (scratch, top)
}

fn register(scratch: &Scratch, name: &str, uses: &[&StorePath]) -> StorePath {
    let hash = Hash::of(HashAlgorithm::Sha256, name.as_bytes());
    let path = scratch.store.store_dir().make_store_path("output:out", &hash, name).unwrap();
    let tree = scratch.store.temp_path().unwrap();
    let mut contents = format!("I am {}\n", scratch.store.print(&path));
    for used in uses {
        contents.push_str(&scratch.store.print(used));
    }
    fs::write(&tree, contents).unwrap();
    nopal_fs::canonicalise_tree(&tree).unwrap();
    let candidates: BTreeSet<StorePath> = uses.iter().map(|path| (*path).clone()).chain([path.clone()]).collect();
    let scan = scan_tree(&tree, &candidates).unwrap();
    let info = PathInfo { references: scan.references, ..PathInfo::new(path.clone(), scan.nar_hash, scan.nar_size) };
    scratch.store.register_outputs(vec![BuiltOutput { info, tree, entries: 1 }]).unwrap();
    path
}

#[test]
fn caches_are_read_back() {
    let (scratch, top) = filled();
    for compression in [CacheCompression::None, CacheCompression::Zstd, CacheCompression::Xz] {
        let cache = scratch.path(&format!("cache-{compression:?}"));
        let options = CacheOptions { compression, level: None, secret_key: Some(key()), skip_existing: false };
        assert_eq!(scratch.store.export_to_cache(&cache, std::slice::from_ref(&top), &options).unwrap(), 4);
        assert!(scratch.store.missing_from_cache(&cache, std::slice::from_ref(&top)).unwrap().is_empty());
        let target = open(&scratch.path(&format!("target-{compression:?}")));
        let trust = CacheImport { trusted_keys: vec![key().public_key()], accept_unsigned: false };
        assert_eq!(target.import_from_cache(&cache, std::slice::from_ref(&top), &trust).unwrap(), 4);
        assert_eq!(target.all_valid_paths().unwrap(), scratch.store.all_valid_paths().unwrap());
        assert_eq!(target.references(&top).unwrap(), scratch.store.references(&top).unwrap());
        assert!(target.verify(&Default::default()).unwrap().is_clean());
    }
}

#[test]
fn bad_caches_are_refused() {
    let (scratch, top) = filled();
    let cache = scratch.path("cache");
    let options = CacheOptions { compression: CacheCompression::None, ..CacheOptions::default() };
    scratch.store.export_to_cache(&cache, std::slice::from_ref(&top), &options).unwrap();
    let again = CacheOptions { skip_existing: true, compression: CacheCompression::None, ..CacheOptions::default() };
    assert_eq!(scratch.store.export_to_cache(&cache, std::slice::from_ref(&top), &again).unwrap(), 0);
    let target = open(&scratch.path("target"));
    let lenient = CacheImport { trusted_keys: vec![], accept_unsigned: true };
    let import = |trust: &CacheImport| target.import_from_cache(&cache, std::slice::from_ref(&top), trust);
    let refused = |result: Result<usize, StoreError>, word: &str| {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(!target.is_valid(&top).unwrap());
    };
    refused(import(&CacheImport::default()), "lacks a signature by a trusted key");
    let stranger = SecretKey::from_seed("test-1", &[8; 32]).public_key();
    refused(
        import(&CacheImport { trusted_keys: vec![stranger], accept_unsigned: false }),
        "lacks a signature by a trusted key",
    );

    let narinfo = cache.join(format!("{}.narinfo", top.hash_part()));
    let good = fs::read_to_string(&narinfo).unwrap();
    let outside = good.lines().map(|line| if line.starts_with("URL: ") { "URL: ../x.nar" } else { line });
    fs::write(&narinfo, outside.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    refused(import(&lenient), "outside");
    fs::write(&narinfo, good.replace("-top", "-pot")).unwrap();
    refused(import(&lenient), "describes");
    fs::write(&narinfo, "StorePath\n").unwrap();
    refused(import(&lenient), "narinfo");
    fs::write(&narinfo, &good).unwrap();
    let archive = cache.join(good.lines().find_map(|line| line.strip_prefix("URL: ")).unwrap());
    let mut bytes = fs::read(&archive).unwrap();
    let last = bytes.len() / 2;
    bytes[last] ^= 1;
    fs::write(&archive, bytes).unwrap();
    assert!(import(&lenient).is_err());
    fs::write(cache.join("nix-cache-info"), "StoreDir: /other/store\n").unwrap();
    refused(import(&lenient), "/other/store");
    assert!(target.verify(&Default::default()).unwrap().is_clean());
}

/// Nix copies from a cache that we wrote, checks our signatures, and finds nothing wrong with its store afterwards.
#[test]
fn nix_copies_from_our_caches() {
    let Some(nix) = Tool::find("nix") else { return };
    let version = nix.command().arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !recent_enough(&version) {
        nopal_test::skip(&format!("needs Nix 2.8 or newer, not {version}"));
        return;
    }
    let (scratch, top) = filled();
    for (compression, trusted) in [
        (CacheCompression::None, true),
        (CacheCompression::Zstd, true),
        (CacheCompression::Xz, true),
        (CacheCompression::Zstd, false),
    ] {
        let name = format!("{compression:?}-{trusted}");
        let cache = scratch.path(&format!("cache-{name}"));
        let options = CacheOptions { compression, level: None, secret_key: Some(key()), skip_existing: false };
        scratch.store.export_to_cache(&cache, std::slice::from_ref(&top), &options).unwrap();
        let target = scratch.path(&format!("nix-{name}"));
        let trusted_key = if trusted { key() } else { SecretKey::from_seed("test-1", &[8; 32]) };
        let run = |command: &mut Command| -> Output {
            command.env("NIX_CONFIG", "experimental-features = nix-command\nbuild-users-group =\nsubstituters =");
            command.env("HOME", scratch.dir.path()).output().unwrap()
        };
        let copied = run(nix
            .command()
            .arg("copy")
            .args(["--option", "trusted-public-keys", &trusted_key.public_key().to_string()])
            .arg("--from")
            .arg(format!("file://{}", cache.display()))
            .arg("--to")
            .arg(&target)
            .arg(scratch.store.print(&top)));
        let said = String::from_utf8_lossy(&copied.stderr).into_owned();
        assert_eq!(copied.status.success(), trusted, "{name}: {said}");
        if !trusted {
            assert!(said.contains("signature"), "{said}");
            continue;
        }
        let Some(nix_store) = Tool::find("nix-store") else { return };
        let verified = run(nix_store.command().args(["--verify", "--check-contents", "--store"]).arg(&target));
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && !said.contains("was modified"), "{name}: {said}");
        let asked = run(nix_store.command().args(["-qR", "--store"]).arg(&target).arg(scratch.store.print(&top)));
        assert_eq!(String::from_utf8_lossy(&asked.stdout).lines().count(), 4);
        assert!(Path::new(&target).exists());
    }
}

fn recent_enough(version: &str) -> bool {
    let number = version.rsplit(' ').next().unwrap_or_default();
    let mut parts = number.trim().split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= (2, 8)
}

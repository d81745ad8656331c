//! The Nix expression: the copy in `examples` is the one that is written out, and real Nix evaluates it.

use std::fs;
use std::process::Command;

use nopal_import::debian::expression;

#[test]
fn the_copy_in_examples_is_the_same() {
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/debian.nix");
    assert_eq!(fs::read_to_string(copy).unwrap(), expression(), "copy src/debian/debian.nix to examples");
}

const LOCK: &str = r#"{ "version": 1, "architecture": "amd64", "requested": [], "suites": [], "chosen": {},
  "essential": [ "base" ], "conflicts": { "a": [ "z" ] },
  "packages": {
    "a": { "version": "1:2~rc1-1", "architecture": "amd64", "url": "mirror://debian/pool/a_2~rc1-1_amd64.deb", "sha256": "SUM", "size": 1, "depends": [ "b" ] },
    "b": { "version": "1", "architecture": "amd64", "url": "mirror://debian/pool/b_1_amd64.deb", "sha256": "SUM", "size": 1, "depends": [ "a" ] },
    "base": { "version": "1", "architecture": "all", "url": "mirror://debian/pool/base_1_all.deb", "sha256": "SUM", "size": 1, "depends": [ ] },
    "z": { "version": "1", "architecture": "all", "url": "mirror://debian/pool/z_1_all.deb", "sha256": "SUM", "size": 1, "depends": [ ] }
  },
  "sources": { "a": { "version": "1", "files": { "a_1.orig.tar.gz": { "url": "mirror://debian/pool/a_1.orig.tar.gz", "sha256": "SUM", "size": 1 } } } } }"#;

#[test]
fn nix_evaluates_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("debian.nix"), expression()).unwrap();
    fs::write(dir.path().join("nopal.lock"), LOCK.replace("SUM", &"0".repeat(64))).unwrap();
    let evaluate = |code: &str| {
        Command::new("nix-instantiate")
            .args(["--eval", "--strict", "--json", "-E", &format!("let debian = import ./debian.nix {{ }}; in {code}")])
            .current_dir(dir.path())
            .env("NIX_REMOTE", "dummy://")
            .output()
    };
    let Ok(output) = evaluate(
        "[ (debian.closure \"a\") debian.packages.a.name (debian.tree [ \"a\" ]).name (debian.source \"a\").name (debian.packages.a.deb.name) ]",
    ) else {
        eprintln!("SKIPPED: no nix-instantiate on this machine");
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = r#"[["a","b","base"],"a-1-2-rc1-1","a-1-2-rc1-1-tree","a_1.orig.tar.gz","a_2-rc1-1_amd64.deb"]"#;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{errors}");
    for (code, message) in [
        ("(debian.tree [ \"a\" \"z\" ]).name", "a and z conflict and cannot be in one tree"),
        ("debian.closure \"nothing\"", "nopal.lock has no package 'nothing'"),
    ] {
        let output = evaluate(code).unwrap();
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(message),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

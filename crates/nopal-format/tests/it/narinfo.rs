use nopal_format::json::Json;
use nopal_format::narinfo::{Compression, NarInfo, NarInfoError};
use nopal_format::path_info::{PathInfo, PathInfoFormat, path_infos_to_json};
use nopal_format::signature::{PublicKey, SecretKey, Signature};
use nopal_format::store_path::{StoreDir, StorePath};

use crate::data;

fn narinfos() -> Vec<(String, NarInfo)> {
    let dir = StoreDir::default();
    let parse = |text: &str| {
        let text = format!("{}\n", text.trim_end_matches('\n'));
        let info = NarInfo::parse(&dir, text.as_bytes()).unwrap();
        (text, info)
    };
    data("narinfos.txt").split("\n\n").filter(|text| !text.trim().is_empty()).map(parse).collect()
}

#[test]
fn prints_what_it_reads() {
    let all = narinfos();
    assert_eq!(all.len(), 5);
    for (text, info) in all {
        assert_eq!(info.print(&StoreDir::default()), text);
    }
}

#[test]
fn signs_as_nix_and_verifies() {
    let dir = StoreDir::default();
    let secret: SecretKey = data("secret-key").trim().parse().unwrap();
    let public: PublicKey = data("public-key").trim().parse().unwrap();
    assert_eq!(secret.public_key(), public);
    assert_eq!(secret.to_secret_text(), data("secret-key").trim());
    assert_eq!(public.to_string(), data("public-key").trim());
    for (_, NarInfo { mut info, .. }) in narinfos() {
        let signatures = std::mem::take(&mut info.signatures);
        info.sign(&dir, &secret).unwrap();
        assert_eq!(info.signatures, signatures);
        assert_eq!(info.count_valid_signatures(&dir, std::slice::from_ref(&public)), Ok(1));
        info.nar_size += 1;
        assert_eq!(info.count_valid_signatures(&dir, std::slice::from_ref(&public)), Ok(0));
        info.nar_size = 0;
        assert!(info.fingerprint(&dir).is_err());
    }
    let other = SecretKey::from_seed("test-1", &[7; 32]);
    assert!(!public.verify(b"text", &other.sign(b"text")));
    assert!(other.public_key().verify(b"text", &other.sign(b"text")));
    assert!(!format!("{other:?}").contains("seed"));
}

#[test]
fn refuses_keys_and_signatures_that_are_none() {
    let long = format!("a:{}", "A".repeat(5000));
    for text in ["", ":", "a:", ":AAAA", "a:?", "nocolon", &long] {
        assert!(text.parse::<Signature>().is_err(), "{text}");
        assert!(text.parse::<PublicKey>().is_err(), "{text}");
        assert!(text.parse::<SecretKey>().is_err(), "{text}");
    }
    let short: Signature = "test-1:AAAA".parse().unwrap();
    let public: PublicKey = data("public-key").trim().parse().unwrap();
    assert!(!public.verify(b"", &short));
    assert!("a:AAAA".parse::<PublicKey>().is_err());
}

#[test]
fn content_addressed_paths_are_recognised() {
    let dir = StoreDir::default();
    for (_, NarInfo { info, .. }) in narinfos() {
        assert_eq!(info.is_content_addressed(&dir), info.ca.is_some(), "{}", info.path);
        let mut moved = info.clone();
        moved.path = StorePath::new([0; 20], info.path.name()).unwrap();
        assert!(!moved.is_content_addressed(&dir));
    }
}

#[test]
fn path_info_json_is_nix_s() {
    let dir = StoreDir::default();
    for (format, file) in [(PathInfoFormat::V1, "path-info-1.json"), (PathInfoFormat::V2, "path-info-2.json")] {
        let text = data(file);
        let json = Json::parse(&text).unwrap();
        let entries = match format {
            PathInfoFormat::V1 => &json,
            PathInfoFormat::V2 => json.key("info").unwrap(),
        };
        let mut infos = Vec::new();
        for (key, json) in entries.as_object("").unwrap() {
            let path = match format {
                PathInfoFormat::V1 => dir.parse(key).unwrap(),
                PathInfoFormat::V2 => key.parse().unwrap(),
            };
            infos.push(PathInfo::from_json(&dir, path, json).unwrap());
        }
        let shown = infos.iter().map(|info| (&info.path, Some(info.to_json(&dir, format))));
        assert_eq!(path_infos_to_json(&dir, format, shown).to_compact(), text.trim_end());
    }
}

#[test]
fn refuses_what_is_no_narinfo() {
    let dir = StoreDir::default();
    let good = narinfos().remove(1).0;
    let parse = |text: &str| NarInfo::parse(&dir, text.as_bytes());
    assert!(parse(&good).is_ok());
    for field in ["StorePath", "URL", "NarHash", "NarSize"] {
        let without: String =
            good.lines().filter(|line| !line.starts_with(field)).map(|line| format!("{line}\n")).collect();
        assert!(matches!(parse(&without), Err(NarInfoError::Missing { .. })), "{field}");
    }
    for field in ["StorePath", "URL", "NarHash", "NarSize", "References", "Deriver", "FileHash"] {
        let line = good.lines().find(|line| line.starts_with(field)).unwrap();
        let twice = format!("{good}{line}\n");
        assert!(matches!(parse(&twice), Err(NarInfoError::Duplicate { .. })), "{field}");
    }
    for (from, to) in [
        ("NarSize: ", "NarSize: -"),
        ("NarSize: ", "NarSize: +"),
        ("NarSize: ", "NarSize:"),
        ("NarHash: sha256:", "NarHash: sha256:0"),
        ("NarHash: sha256:", "NarHash: "),
        ("StorePath: /nix/", "StorePath: /other/"),
        ("References: ", "References: x"),
        ("Deriver: ", "Deriver: ."),
        ("Sig: ", "Sig: :"),
        ("URL: ", "URL "),
    ] {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good);
        assert!(parse(&wrong).is_err(), "{to}");
    }
    assert!(matches!(parse(good.trim_end()), Err(NarInfoError::LineEnd { .. })));
    assert!(matches!(parse(&"x".repeat(2 << 20)), Err(NarInfoError::TooLong { .. })));
    let extra = format!("{good}Unknown: field\nCA: \n");
    assert_eq!(parse(&extra), parse(&good));
    let unknown = parse(&good.replace("48ixv5d4si4r4sp3z3qgbdax8lvws7rw-dep.drv", "unknown-deriver")).unwrap();
    assert_eq!(unknown.info.deriver, None);
    let bare: String = good.lines().filter(|line| !line.starts_with("Compression")).map(|l| format!("{l}\n")).collect();
    assert_eq!(parse(&bare).unwrap().compression, Compression::Bzip2);
}

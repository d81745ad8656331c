use std::collections::BTreeSet;

use nopal_format::content_address::{ContentAddress, ContentAddressMethod};
use nopal_format::hash::{Hash, HashAlgorithm, sha256};
use nopal_format::store_path::{
    DownstreamPlaceholder, NameError, References, StoreDir, StorePath, StorePathError, check_name, hash_placeholder,
};

use crate::{data, data_bytes};

const DIGEST: &str = "63mqpsqf74mgbqqva1s3mmlns5i29pax";

#[test]
fn accepts_the_names_that_nix_accepts() {
    for row in data("names.tsv").lines() {
        let (name, verdict) = row.split_once('\t').unwrap();
        assert_eq!(check_name(name.as_bytes()).is_ok(), verdict == "accept", "{row}");
    }
    assert_eq!(check_name(b""), Err(NameError::Empty));
}

#[test]
fn computes_the_paths_that_nix_computes() {
    let dir = StoreDir::default();
    let nar = data_bytes("tree.nar");
    let file = b"#!/bin/sh\necho hi\n";
    let mut count = 0;
    for row in data("paths.tsv").lines() {
        let columns: Vec<&str> = row.split('\t').collect();
        let [kind, name, expected] = columns[..] else { panic!("{row}") };
        let (method, algorithm) = kind.split_once('-').unwrap_or((kind, ""));
        let with = |content: &[u8], method| {
            let hash = Hash::of(algorithm.parse().unwrap(), content);
            dir.print(&dir.ca_path(name, &ContentAddress { method, hash }, &References::default()).unwrap())
        };
        let found = match method {
            "source" => dir.print(&dir.source_path(name, &sha256(&nar)).unwrap()),
            "nar" => with(&nar, ContentAddressMethod::Nar),
            "flat" => with(file, ContentAddressMethod::Flat),
            "text" => with(file, ContentAddressMethod::Text),
            "placeholder" => hash_placeholder(name),
            // The hash of a git tree is made elsewhere; the path's rule is covered by fixed-output derivations.
            "git" => continue,
            other => panic!("unknown kind {other}"),
        };
        assert_eq!(found, expected, "{row}");
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn text_paths_depend_on_references() {
    let dir = StoreDir::default();
    let plain = dir.text_path("text", b"plain", &BTreeSet::new()).unwrap();
    assert_eq!(dir.print(&plain), "/nix/store/y1pvvvs54r17imdd4r1jhj5hzyw34099-text");
    let content = format!("see {}", dir.print(&plain));
    let linked = dir.text_path("linked", content.as_bytes(), &BTreeSet::from([plain])).unwrap();
    assert_eq!(dir.print(&linked), "/nix/store/01zb67mskwvvygkwsd38m1xgsnj9csyd-linked");
}

#[test]
fn splits_absolute_paths() {
    let dir = StoreDir::default();
    let base_name = format!("{DIGEST}-tree");
    let path = StorePath::from_base_name(&base_name).unwrap();
    assert_eq!((path.hash_part().as_str(), path.name()), (DIGEST, "tree"));
    assert_eq!(path.to_string(), base_name);
    assert_eq!(dir.parse(&format!("/nix/store/{base_name}")), Ok(path.clone()));
    assert_eq!(dir.split(&format!("/nix/store/{base_name}/bin/x")), Ok((path.clone(), "/bin/x")));
    for outside in ["", "/", "/nix/store", "/nix/store/", "/nix/storex/a", "nix/store/a", "/etc/passwd"] {
        assert!(matches!(dir.parse(outside), Err(StorePathError::NotInStore { .. })), "{outside}");
    }
    assert!(dir.parse(&format!("/nix/store/{base_name}/bin")).is_err());
    let other = StoreDir::new("/data/store").unwrap();
    assert!(other.parse(&format!("/nix/store/{base_name}")).is_err());
    assert_eq!(other.print(&path), format!("/data/store/{base_name}"));
    for wrong in ["", "/", "store", "/a/../b", "/a//b", "/a/", "/a/."] {
        assert!(StoreDir::new(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn refuses_base_names_that_are_none() {
    let parse = StorePath::from_base_name;
    assert!(matches!(parse("short"), Err(StorePathError::TooShort { .. })));
    assert!(matches!(parse(DIGEST), Err(StorePathError::TooShort { .. })));
    assert!(matches!(parse(&format!("{DIGEST}-")), Err(StorePathError::Name { .. })));
    assert!(matches!(parse(&format!("{DIGEST}_")), Err(StorePathError::Name { .. })));
    assert!(matches!(parse(&format!("{DIGEST}_a")), Err(StorePathError::NoDash { .. })));
    assert!(matches!(parse(&format!("e{}-a", &DIGEST[1..])), Err(StorePathError::Digit { character: b'e', .. })));
    assert!(StorePath::from_base_name_bytes(b"63mqpsqf74mgbqqva1s3mmlns5i29pax-\xff").is_err());
}

#[test]
fn sorts_paths_as_their_texts() {
    let mut texts: Vec<String> = (0..200_u32)
        .map(|number| StorePath::new(sha256(&number.to_le_bytes()).compress20(), "n").unwrap().base_name())
        .chain(["b", "a", "-", "A"].map(|name| format!("{DIGEST}-{name}")))
        .collect();
    let mut paths: Vec<StorePath> = texts.iter().map(|text| text.parse().unwrap()).collect();
    texts.sort();
    paths.sort();
    assert_eq!(paths.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
}

#[test]
fn content_addresses_round_trip_and_refuse() {
    for text in [
        "text:sha256:1zq9h397g16xsr5wsg4z2s997x6g2svd02vxrfmnj5h8br5zq1sk",
        "fixed:r:sha256:0j4hbkk2q8ccidhvadgidm5znalkcdk3nsvvlb4kq1bd8khm9aw3",
        "fixed:sha1:kpcd173cq987hw957sx6m0868wv3x6d9",
        "fixed:git:sha1:kpcd173cq987hw957sx6m0868wv3x6d9",
    ] {
        assert_eq!(text.parse::<ContentAddress>().unwrap().to_string(), text);
    }
    for text in ["", "text", "text:", "fixed:sha256", "fixed:r:", "source:sha256:aa", "text:sha256:", "text:sha9:00"] {
        assert!(text.parse::<ContentAddress>().is_err(), "{text}");
    }
    let dir = StoreDir::default();
    let ca = |method, algorithm| ContentAddress { method, hash: Hash::zero(algorithm) };
    let none = References::default();
    let itself = References { itself: true, ..References::default() };
    assert!(dir.ca_path("x", &ca(ContentAddressMethod::Git, HashAlgorithm::Md5), &none).is_err());
    assert!(dir.ca_path("x", &ca(ContentAddressMethod::Text, HashAlgorithm::Sha1), &none).is_err());
    assert!(dir.ca_path("x", &ca(ContentAddressMethod::Text, HashAlgorithm::Sha256), &itself).is_err());
    assert!(dir.ca_path("x", &ca(ContentAddressMethod::Flat, HashAlgorithm::Sha256), &itself).is_err());
    assert!(dir.ca_path("x", &ca(ContentAddressMethod::Nar, HashAlgorithm::Sha256), &itself).is_ok());
}

#[test]
fn placeholders_need_a_derivation() {
    let path: StorePath = format!("{DIGEST}-tree").parse().unwrap();
    assert!(DownstreamPlaceholder::unknown_ca_output(&path, "out").is_err());
}

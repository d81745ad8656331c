use std::collections::BTreeSet;
use std::io::Write;

use nopal_format::content_address::{ContentAddress, ContentAddressMethod};
use nopal_format::hash::{HashAlgorithm, sha256};
use nopal_format::json::Json;
use nopal_format::nar::Tree;
use nopal_format::references::{Candidates, HashModulo, HashRewriter, ReferenceScanner};
use nopal_format::store_path::{References, StoreDir, StorePath};

use crate::data;

fn path(number: u32) -> StorePath {
    StorePath::new(sha256(&number.to_le_bytes()).compress20(), "x").unwrap()
}

fn scan(candidates: &Candidates, pieces: &[&[u8]]) -> BTreeSet<StorePath> {
    let mut scanner = ReferenceScanner::new(candidates);
    pieces.iter().for_each(|piece| scanner.scan(piece));
    scanner.found()
}

#[test]
fn finds_digests_across_every_border() {
    let candidates: Candidates = [path(1), path(2), path(3)].into_iter().collect();
    let text = format!("--{}0{}zz", path(1).hash_part(), path(2).hash_part());
    let expected = BTreeSet::from([path(1), path(2)]);
    for first in 0..=text.len() {
        let (head, tail) = text.as_bytes().split_at(first);
        assert_eq!(scan(&candidates, &[head, tail]), expected, "{first}");
    }
    for size in 1..70 {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        assert_eq!(scan(&candidates, &pieces), expected, "{size}");
    }
}

#[test]
fn finds_digests_inside_runs_of_digits() {
    let candidates: Candidates = [path(1), path(2)].into_iter().collect();
    for before in 0..70 {
        let text = format!("{}{}{}", "a".repeat(before), path(2).hash_part(), "b".repeat(100 - before));
        assert_eq!(scan(&candidates, &[text.as_bytes()]), BTreeSet::from([path(2)]), "{before}");
    }
    let nearly = path(1).hash_part();
    assert!(scan(&candidates, &[&nearly.as_bytes()[1..], b"-"]).is_empty());
    assert!(scan(&candidates, &[nearly.to_uppercase().as_bytes()]).is_empty());
    assert!(scan(&[].into_iter().collect(), &[nearly.as_bytes()]).is_empty());
}

#[test]
fn rewrites_across_every_border() {
    let text = format!("--{}0{}{}tail", path(1).hash_part(), path(2).hash_part(), path(1).hash_part());
    let expected = format!("--{}0{}{}tail", path(5).hash_part(), path(6).hash_part(), path(5).hash_part());
    for size in 1..120 {
        let mut rewriter = HashRewriter::new(Vec::new(), [(path(1), path(5)), (path(2), path(6))]);
        for piece in text.as_bytes().chunks(size) {
            rewriter.write_all(piece).unwrap();
        }
        assert_eq!(rewriter.matches(), [2, 35, 67], "{size}");
        assert_eq!(String::from_utf8(rewriter.finish().unwrap()).unwrap(), expected, "{size}");
    }
}

/// Nix made a path with a reference to itself content-addressed; its new name must follow from its content.
#[test]
fn hashes_modulo_self_references_as_nix() {
    let dir = StoreDir::default();
    let closure: Vec<StorePath> = data("closure.txt").lines().map(|line| dir.parse(line).unwrap()).collect();
    let [dep, itself] = &closure[..] else { panic!("{closure:?}") };
    let json = Json::parse(&data("content-addressed.json")).unwrap();
    let rewrites = json.key("rewrites").unwrap().as_object("").unwrap();
    let expected = rewrites[&dir.print(itself)].as_str("").unwrap();

    // What it refers to was made content-addressed before it.
    let ca = |nar_hash| ContentAddress { method: ContentAddressMethod::Nar, hash: nar_hash };
    let dep_nar = Tree::file("dependency\n").to_nar().unwrap();
    let new_dep = dir.ca_path("dep", &ca(sha256(&dep_nar)), &References::default()).unwrap();

    let text = format!("{0} {0}\n{1}\n", dir.print(itself), dir.print(dep));
    let nar = Tree::file(text).to_nar().unwrap();
    let modulo = HashModulo::new(HashAlgorithm::Sha256, itself);
    let mut rewriter = HashRewriter::new(modulo, [(dep.clone(), new_dep.clone())]);
    nar.chunks(50).for_each(|piece| rewriter.write_all(piece).unwrap());
    let (nar_hash, length) = rewriter.finish().unwrap().finish();
    assert_eq!(length, nar.len() as u64);
    let references = References { others: BTreeSet::from([new_dep]), itself: true };
    assert_eq!(dir.print(&dir.ca_path("itself", &ca(nar_hash), &references).unwrap()), expected);
}

//! The same inputs given to other implementations of the formats.

use nopal_format::derivation::Derivation;
use nopal_format::hash::hex;
use nopal_format::nar::{NarError, NarEvent, decode_exact};
use nopal_format::narinfo::NarInfo;
use nopal_format::references::{Candidates, ReferenceScanner};
use nopal_format::{StoreDir, StorePath};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{data, data_bytes};

/// One line for each event.
fn shown<C>(event: &nix_archive::nar::Event<'_, C>) -> String {
    use nix_archive::nar::Event;
    let name = |name: &Option<&[u8]>| name.unwrap_or_default().escape_ascii().to_string();
    match event {
        Event::DirectoryStart { name: n } => format!("enter {}", name(n)),
        Event::DirectoryEnd { .. } => "leave".to_owned(),
        Event::Regular { name: n, executable, .. } => format!("file {} {executable}", name(n)),
        Event::Symlink { name: n, target } => format!("link {} {}", name(n), target.escape_ascii()),
    }
}

#[test]
fn archives_are_read_alike() {
    let nar = data_bytes("tree.nar");
    let mut theirs = Vec::new();
    nix_archive::nar::decode_events(&nar, |event| {
        theirs.push(shown(&event));
        Ok(())
    })
    .unwrap();
    let mut ours = Vec::new();
    let name = |name: Option<&[u8]>| name.unwrap_or_default().escape_ascii().to_string();
    decode_exact(&mut nar.as_slice(), &mut |event| {
        ours.push(match event {
            NarEvent::EnterDirectory { name: n } => format!("enter {}", name(n)),
            NarEvent::LeaveDirectory => "leave".to_owned(),
            NarEvent::File { name: n, executable, .. } => format!("file {} {executable}", name(n)),
            NarEvent::Symlink { name: n, target } => format!("link {} {}", name(n), target.escape_ascii()),
        });
        Ok::<(), NarError>(())
    })
    .unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn derivations_are_read_alike() {
    let dir = StoreDir::default();
    for row in data("derivations-2.8.txt").lines() {
        let (path, aterm) = row.split_once('\t').unwrap();
        let path: StorePath = path.parse().unwrap();
        let name = path.derivation_name().unwrap();
        let ours = Derivation::parse_aterm(&dir, aterm.as_bytes(), name).unwrap();
        let theirs = nix_derivation::Derivation::from_aterm_bytes(aterm.as_bytes(), name).unwrap();
        assert_eq!(theirs.to_aterm_bytes(), ours.to_aterm(&dir).unwrap());
    }
}

#[test]
fn narinfos_have_the_same_fingerprint() {
    let dir = StoreDir::default();
    let their_dir = nix_derivation::StoreDir::default();
    for text in data("narinfos.txt").split("\n\n").filter(|text| !text.trim().is_empty()) {
        let text = format!("{}\n", text.trim_end_matches('\n'));
        let ours = NarInfo::parse(&dir, text.as_bytes()).unwrap();
        let theirs = nix_narinfo::NarInfo::parse_in(&their_dir, text.as_bytes()).unwrap();
        assert_eq!(theirs.fingerprint(&their_dir), ours.info.fingerprint(&dir).unwrap());
        assert_eq!(hex(&theirs.to_canonical_bytes()), hex(ours.print(&dir).as_bytes()));
    }
}

proptest! {
    /// Bytes that are mostly digits, with a few digests strewn in, cut at random.
    #[test]
    fn scanners_find_the_same(
        filler in vec("[0-9a-z]{0,50}[ .A-Z]?", 1..6),
        present in vec(any::<bool>(), 4),
        size in 1_usize..200,
    ) {
        let paths: Vec<StorePath> = (0..4_u8).map(|number| StorePath::new([number * 61 + 3; 20], "x").unwrap()).collect();
        let mut text = Vec::new();
        for (index, piece) in filler.iter().enumerate() {
            text.extend_from_slice(piece.as_bytes());
            if present[index % 4] {
                text.extend_from_slice(&paths[index % 4].digest_digits());
            }
        }
        let candidates: Candidates = paths.iter().cloned().collect();
        let mut ours = ReferenceScanner::new(&candidates);
        let pattern = nix_archive::nar::ReferencePattern::new(paths.iter().map(StorePath::hash_part)).unwrap();
        let mut theirs = pattern.scanner();
        for piece in text.chunks(size) {
            ours.scan(piece);
            theirs.scan(piece);
        }
        let theirs = theirs.matches().map(|index| paths[index].clone()).collect();
        prop_assert_eq!(ours.found(), theirs);
    }
}

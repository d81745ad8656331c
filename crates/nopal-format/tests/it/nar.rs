//! Archives: expectations of real Nix, hostile input with its verdicts, streaming.

use std::io::{self, Read};

use nopal_format::hash::{HashAlgorithm, sha256};
use nopal_format::json::Json;
use nopal_format::listing::Listing;
use nopal_format::nar::{NarError, NarEvent, NarWriter, Tree, decode, hash_of_file};

use crate::{data, data_bytes};

fn example() -> Tree {
    let link = |target: &str| Tree::Symlink { target: target.into() };
    let run = Tree::File { executable: true, contents: b"#!/bin/sh\necho hi\n".to_vec() };
    let doc = Tree::directory([("a~b c", Tree::file("text\n"))]);
    let share =
        [("doc", doc), ("empty", Tree::file("")), ("eight", Tree::file("12345678")), ("link", link("../bin/hi"))];
    Tree::directory([
        ("bin", Tree::directory([("hi", run)])),
        ("empty", Tree::directory::<&str>([])),
        ("share", Tree::directory(share)),
        ("absolute", link("/absent")),
        ("Z", Tree::file("x")),
        ("a.b", Tree::file("y")),
        ("a", Tree::file("z")),
    ])
}

#[test]
fn writes_and_reads_the_archive_that_nix_writes() {
    let nar = data_bytes("tree.nar");
    assert_eq!(example().to_nar().unwrap(), nar);
    assert_eq!(Tree::from_nar(&mut nar.as_slice()).unwrap(), example());
    assert_eq!(example().nar_hash(HashAlgorithm::Sha256).unwrap(), (sha256(&nar), nar.len() as u64));
}

#[test]
fn lists_as_nix() {
    let nar = data_bytes("tree.nar");
    let listing = Listing::from_nar(&mut nar.as_slice()).unwrap();
    let text = data("tree.ls");
    assert_eq!(listing.to_json().unwrap().to_compact(), text.trim_end());
    assert_eq!(Listing::from_json(&Json::parse(&text).unwrap()).unwrap(), listing);
    let Some(Listing::File { executable: true, size: 18, nar_offset: Some(offset) }) = listing.lookup(b"/bin//hi")
    else {
        panic!("{:?}", listing.lookup(b"bin/hi"));
    };
    assert!(nar[*offset as usize..].starts_with(b"#!/bin/sh\n"));
    assert!(listing.lookup(b"bin/absent").is_none());
    assert!(listing.lookup(b"bin/hi/x").is_none());
    assert_eq!(listing.lookup(b""), Some(&listing));
}

#[test]
fn hashes_one_file_without_building_its_archive() {
    for contents in [&b""[..], b"1234567", b"12345678", b"see"] {
        let tree = Tree::file(contents);
        assert_eq!(hash_of_file(contents), tree.nar_hash(HashAlgorithm::Sha256).unwrap());
    }
}

/// Gives one byte at a time, and an interruption now and then.
struct Trickle<'a>(&'a [u8], u32);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(7) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = self.0.len().min(buffer.len()).min(1);
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn reads_byte_by_byte() {
    let nar = data_bytes("tree.nar");
    assert_eq!(Tree::from_nar(&mut Trickle(&nar, 0)).unwrap(), example());
}

#[test]
fn every_truncation_is_an_error() {
    let nar = data_bytes("tree.nar");
    for end in 0..nar.len() {
        let error = Tree::from_nar(&mut &nar[..end]).unwrap_err();
        assert!(matches!(error, NarError::UnexpectedEof { .. } | NarError::Magic), "{end}: {error}");
    }
}

#[test]
fn stops_behind_the_archive_and_skips_what_is_not_read() {
    let mut stream = data_bytes("tree.nar");
    let len = stream.len() as u64;
    stream.extend_from_slice(b"next");
    let mut reader = stream.as_slice();
    let mut files = 0;
    let read = decode(&mut reader, &mut |event| {
        files += u32::from(matches!(event, NarEvent::File { .. }));
        Ok::<(), NarError>(())
    });
    assert_eq!((read.unwrap(), files, reader), (len, 7, &b"next"[..]));
    assert!(matches!(Tree::from_nar(&mut stream.as_slice()), Err(NarError::Trailing { .. })));
}

#[test]
fn large_files_pass_through() {
    let contents: Vec<u8> = (0..1_000_003_u32).map(|number| (number >> 3) as u8).collect();
    let mut writer = NarWriter::new(Vec::new());
    writer.enter_directory(None).unwrap();
    let offset = writer.file(Some(b"a"), false, contents.len() as u64, &mut Trickle(&contents, 0)).unwrap();
    writer.file_bytes(Some(b"b"), true, &contents).unwrap();
    writer.leave_directory().unwrap();
    let position = writer.position();
    let nar = writer.finish().unwrap();
    assert_eq!(position, nar.len() as u64);
    assert_eq!(nar[offset as usize..][..contents.len()], contents);
    let tree = Tree::directory([("a", Tree::file(contents.clone())), ("b", Tree::File { executable: true, contents })]);
    assert_eq!(tree.to_nar().unwrap(), nar);
}

#[test]
fn the_writer_keeps_the_rules() {
    let dir = || {
        let mut writer = NarWriter::new(Vec::new());
        writer.enter_directory(None).unwrap();
        writer
    };
    let long = vec![b'n'; 256];
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &long] {
        let mut writer = dir();
        assert!(writer.file_bytes(Some(name), false, b"").is_err());
        assert!(matches!(writer.leave_directory(), Err(NarError::Misuse { .. })), "used after an error");
    }
    let mut writer = dir();
    writer.symlink(Some(b"b"), b"t").unwrap();
    assert!(matches!(writer.symlink(Some(b"b"), b"t"), Err(NarError::Unsorted { .. })));
    assert!(matches!(dir().symlink(Some(b"b"), b""), Err(NarError::Target)));
    assert!(matches!(dir().symlink(Some(b"b"), &[b't'; 4096]), Err(NarError::TooLong { .. })));
    assert!(dir().finish().is_err());
    assert!(dir().symlink(None, b"x").is_err());
    assert!(NarWriter::new(Vec::new()).finish().is_err());
    assert!(NarWriter::new(Vec::new()).leave_directory().is_err());
    assert!(NarWriter::new(Vec::new()).symlink(Some(b"x"), b"x").is_err());
    let mut short = NarWriter::new(Vec::new());
    let error = short.file(None, false, 10, &mut &b"123"[..]).unwrap_err();
    assert!(matches!(error, NarError::FileSize { expected: 10, found: 3 }));
    let nested = |depth| (0..depth).fold(Tree::directory::<&str>([]), |tree, _| Tree::directory([("d", tree)]));
    assert!(nested(63).to_nar().is_ok());
    assert!(matches!(nested(64).to_nar(), Err(NarError::Depth)));
}

#[test]
fn listings_refuse() {
    for text in [
        "{}",
        r#"{"version":2,"root":{"type":"directory","entries":{}}}"#,
        r#"{"version":1,"root":{"type":"fifo"}}"#,
        r#"{"version":1,"root":{"type":"symlink"}}"#,
        r#"{"version":1,"root":{"type":"regular","size":-1}}"#,
    ] {
        assert!(Listing::from_json(&Json::parse(text).unwrap()).is_err(), "{text}");
    }
    let odd = Tree::directory([(&b"\xff"[..], Tree::file(""))]).to_nar().unwrap();
    assert!(Listing::from_nar(&mut odd.as_slice()).unwrap().to_json().is_err());
}

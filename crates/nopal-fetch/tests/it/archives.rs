//! Archives that are whole, broken or hostile.

use std::io::Write;
use std::path::Path;

use nopal_fetch::archive::{ArchiveError, Limits, unpack_file, unpack_tar};

/// A member with a name that the tar crate would refuse to write.
fn raw(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, link: &str, mode: u32, contents: &[u8]) {
    let mut header = tar::Header::new_ustar();
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(contents.len() as u64);
    header.set_cksum();
    builder.append(&header, contents).unwrap();
}

fn tar_of(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    fill(&mut builder);
    builder.into_inner().unwrap()
}

fn unpack(tar: &[u8], dest: &Path) -> Result<nopal_fetch::archive::Unpacked, ArchiveError> {
    unpack_tar(tar, dest, Limits::default())
}

use tar::EntryType::{Block, Directory, Link, Regular, Symlink};

#[test]
fn what_is_packed_comes_out() {
    let tar = tar_of(|b| {
        raw(b, Directory, "./", "", 0o755, b"");
        raw(b, Directory, "./usr/bin/", "", 0o755, b"");
        raw(b, Regular, "./usr/bin/tool", "", 0o4755, b"#!/bin/sh\n");
        raw(b, Regular, "./usr/share/doc/deep", "", 0o600, b"text");
        raw(b, Symlink, "./usr/bin/alias", "tool", 0o777, b"");
        raw(b, Link, "./usr/bin/same", "./usr/bin/tool", 0o755, b"");
        raw(b, Symlink, "./etc/out", "/etc/passwd", 0o777, b"");
        raw(b, Block, "./dev/disk", "", 0o600, b"");
        raw(b, Regular, "./usr/share/doc/deep", "", 0o644, b"again");
        let long = "x/".repeat(80) + "file";
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        b.append_data(&mut header, &long, &b"1"[..]).unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("out");
    let done = unpack(&tar, &dest).unwrap();
    let read = |path: &str| std::fs::read_to_string(dest.join(path)).unwrap();
    assert_eq!(read("usr/bin/tool"), "#!/bin/sh\n");
    assert_eq!(read("usr/bin/alias"), "#!/bin/sh\n");
    assert_eq!(read("usr/bin/same"), "#!/bin/sh\n");
    assert_eq!(read("usr/share/doc/deep"), "again");
    assert_eq!(read(&("x/".repeat(80) + "file")), "1");
    assert_eq!(std::fs::read_link(dest.join("etc/out")).unwrap(), Path::new("/etc/passwd"));
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &str| std::fs::metadata(dest.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("usr/bin/tool") & 0o7111, 0o111);
    assert_eq!(mode("usr/share/doc/deep") & 0o7111, 0);
    assert!(!dest.join("dev/disk").exists());
    assert_eq!(done.notes.len(), 2, "{:?}", done.notes);
}

/// Each attack must fail, and nothing outside the directory may change.
#[test]
fn attacks_fail_and_touch_nothing_outside() {
    type Attack = (&'static str, fn(&mut tar::Builder<Vec<u8>>));
    let attacks: [Attack; 8] = [
        ("dotdot", |b| raw(b, Regular, "../victim/file", "", 0o644, b"owned")),
        ("dotdot inside", |b| raw(b, Regular, "a/../../victim/file", "", 0o644, b"owned")),
        ("absolute", |b| raw(b, Regular, "/tmp/nopal-absolute-member", "", 0o644, b"owned")),
        ("through a link", |b| {
            raw(b, Symlink, "a", "../victim", 0o777, b"");
            raw(b, Regular, "a/file", "", 0o644, b"owned");
        }),
        ("directory over a link", |b| {
            raw(b, Symlink, "a", "../victim", 0o777, b"");
            raw(b, Directory, "a/", "", 0o755, b"");
            raw(b, Regular, "a/file", "", 0o644, b"owned");
        }),
        ("hard link out", |b| raw(b, Link, "mine", "../victim/file", 0o644, b"")),
        ("hard link through a link", |b| {
            raw(b, Symlink, "a", "../victim", 0o777, b"");
            raw(b, Link, "mine", "a/file", 0o644, b"");
            raw(b, Regular, "mine", "", 0o644, b"owned");
        }),
        ("hard link to a link", |b| {
            raw(b, Symlink, "a", "../victim/file", 0o777, b"");
            raw(b, Link, "mine", "a", 0o644, b"");
        }),
    ];
    for (name, fill) in attacks {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::create_dir(&victim).unwrap();
        std::fs::write(victim.join("file"), "safe").unwrap();
        let result = unpack(&tar_of(fill), &dir.path().join("out"));
        assert!(result.is_err(), "{name}");
        assert_eq!(std::fs::read_to_string(victim.join("file")).unwrap(), "safe", "{name}");
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1, "{name}");
        assert!(!Path::new("/tmp/nopal-absolute-member").exists());
    }
}

#[test]
fn a_file_takes_the_place_of_a_link_without_following_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("victim"), "safe").unwrap();
    let tar = tar_of(|b| {
        raw(b, Symlink, "a", "../victim", 0o777, b"");
        raw(b, Regular, "a", "", 0o644, b"new");
    });
    unpack(&tar, &dir.path().join("out")).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("victim")).unwrap(), "safe");
    assert_eq!(std::fs::read_to_string(dir.path().join("out/a")).unwrap(), "new");
}

#[test]
fn limits_hold() {
    let tar = tar_of(|b| {
        for number in 0..20 {
            raw(b, Regular, &format!("file{number}"), "", 0o644, &[0; 1000]);
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { total_bytes: 5000, ..Limits::default() };
    let err = unpack_tar(tar.as_slice(), &dir.path().join("a"), limits).unwrap_err();
    assert!(matches!(err, ArchiveError::TooMuch { limit: 5000, .. }), "{err}");
    let err =
        unpack_tar(tar.as_slice(), &dir.path().join("b"), Limits { members: 5, ..Limits::default() }).unwrap_err();
    assert!(matches!(err, ArchiveError::TooMuch { limit: 5, .. }), "{err}");
}

#[test]
fn every_compression_is_recognised_and_broken_streams_are_errors() {
    let tar = tar_of(|b| raw(b, Regular, "file", "", 0o644, b"text"));
    let gzip = {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(&tar).unwrap();
        writer.finish().unwrap()
    };
    let bzip2 = {
        let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        writer.write_all(&tar).unwrap();
        writer.finish().unwrap()
    };
    let xz = liblzma::encode_all(tar.as_slice(), 1).unwrap();
    let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("plain", tar), ("gz", gzip), ("bz2", bzip2), ("xz", xz), ("zst", zstd)] {
        // no extension: the contents decide
        let file = dir.path().join(format!("archive-{name}"));
        std::fs::write(&file, &bytes).unwrap();
        let dest = dir.path().join(format!("out-{name}"));
        unpack_file(&file, &dest).unwrap();
        assert_eq!(std::fs::read_to_string(dest.join("file")).unwrap(), "text", "{name}");
        if name != "plain" {
            std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
            let err = unpack_file(&file, &dir.path().join(format!("half-{name}"))).unwrap_err();
            assert!(matches!(err, ArchiveError::Read(_) | ArchiveError::UnknownKind { .. }), "{name}: {err}");
        }
    }
    std::fs::write(dir.path().join("text"), "no archive").unwrap();
    let err = unpack_file(&dir.path().join("text"), &dir.path().join("out-text")).unwrap_err();
    assert!(matches!(err, ArchiveError::UnknownKind { .. }), "{err}");
}

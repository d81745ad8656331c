//! What is read of samples, whole and damaged.

use super::*;
use crate::sample::{RPATH, RUNPATH, Sample};

fn read(file: &[u8]) -> Result<Image, ReadError> {
    Image::read(&file)
}

#[test]
fn everything_that_a_loader_wants() {
    let sample = Sample::program().needs(&["liba.so", "libb.so"]).with(RPATH, "/r").with(RUNPATH, "/x:$ORIGIN");
    let image = read(&Sample { flags_1: 0x0800_0001, ..sample }.build()).unwrap();
    let dynamic = image.dynamic.as_ref().unwrap();
    assert_eq!(dynamic.needed().collect::<Vec<_>>(), [b"liba.so", b"libb.so"]);
    assert_eq!((dynamic.rpath.as_deref(), dynamic.runpath.as_deref()), (Some(&b"/r"[..]), Some(&b"/x:$ORIGIN"[..])));
    assert_eq!((image.interpreter.as_deref(), image.soname()), (Some(&b"/lib/ld.so"[..]), None));
    assert!(dynamic.binds_now() && !dynamic.ignores_default_directories());
    let hardening = image.hardening();
    assert!(hardening.is_program && hardening.is_position_independent && !hardening.has_executable_stack);
    assert_eq!(hardening.relro, Relro::None);
    assert!(!image.has_sections());
}

#[test]
fn errors_name_the_place() {
    let file = Sample::library("liba.so").build();
    let message = |file: &[u8]| read(file).unwrap_err().to_string();
    assert_eq!(message(b"#!/bin/sh\n"), "not an ELF file: it does not begin with \\x7fELF");
    assert!(message(&file[..40]).starts_with("the header at byte 0 (64 bytes) is not in the file, which has 40"));
    assert!(message(&file[..70]).starts_with("the table of segments at byte 64"));
    let mut other = file.clone();
    other[4] = 7;
    assert_eq!(message(&other), "cannot read class 7 (byte 4)");
    other.clone_from(&file);
    other[54] = 57;
    assert_eq!(message(&other), "cannot read length of a segment's entry 57 (byte 54)");
}

#[test]
fn damage_never_panics() {
    let sample = Sample::program().needs(&["liba.so"]).with(RUNPATH, "/x");
    let note = [&b"\x06\0\0\0\x0b\0\0\0\xb6\x6c\xa8\x63NixOS\0\0\0"[..], b"a\0=/lib/a\0\0"].concat();
    let file = Sample { note, ..sample }.build();
    assert!(read(&file).unwrap().notes.resolution_cache.is_some());
    for end in 0..file.len() {
        let _ = read(&file[..end]);
    }
    for at in 0..file.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = file.clone();
            damaged[at] = value;
            if let Ok(image) = read(&damaged) {
                let _ = SymbolChecks::read(&image, &&damaged[..]);
            }
            // eight bytes at once: an offset or a length
            damaged[at..(at + 8).min(file.len())].fill(value);
            let _ = read(&damaged);
        }
    }
}

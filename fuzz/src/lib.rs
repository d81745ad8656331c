//! What fuzz targets share: made-up files to begin with, and edits with what must be true afterwards.

pub mod edits;

// made for the tests of nopal-elf, whose second maker names its own crate's `read`
#[path = "../../crates/nopal-elf/tests/it/sample.rs"]
mod editable;
#[path = "../../crates/nopal-elf/src/sample.rs"]
mod readable;
use nopal_elf::read;

/// How many files [`editable`] can make.
pub const EDITABLE: usize = 512;

/// Where headers name the machine.
const MACHINE: usize = 18;

/// A small program or library with all that edits change, of either class and byte order.
pub fn editable(number: usize) -> Vec<u8> {
    let is = |bit: usize| number >> bit & 1 == 1;
    let sample = editable::Sample {
        is_64: !is(0),
        is_big_endian: is(1),
        is_fixed: is(2),
        starts: is(2) || is(3),
        has_sections: !is(4),
        spare: if is(5) { 3 } else { 0 },
        cleared: if is(6) { 8 } else { 0 },
        gap: if is(7) { 700 } else { 0 },
        payload: if is(8) { 50 } else { 0 },
    };
    let mut bytes = sample.bytes();
    if !sample.is_64 && !sample.is_big_endian {
        // for which there is code to start programs, as for the other one
        bytes[MACHINE] = read::machine::I386 as u8;
    }
    bytes
}

/// Programs and libraries that ask for others in all the ways there are.
pub fn readable() -> Vec<Vec<u8>> {
    let program = || readable::Sample::program().needs(&["liba.so", "/lib/libb.so"]);
    let note = [&b"\x06\0\0\0\x16\0\0\0\xb6\x6c\xa8\x63NixOS\0\0\0"[..], b"liba.so\0=/x/a:?$LIB/y\0\0\0\0"].concat();
    let narrow = readable::Sample { class: read::Class::Elf32, order: read::ByteOrder::Big, ..program() };
    let samples = [
        program().with(readable::RPATH, "$ORIGIN/../lib:${LIB}"),
        program().with(readable::RUNPATH, "/x:$ORIGIN:$PLATFORM/y"),
        readable::Sample { note, ..program().with(readable::RUNPATH, "/x") },
        narrow.with(readable::RUNPATH, "/lib"),
        readable::Sample::library("liba.so").needs(&["libb.so"]).with(readable::FILTER, "libb.so"),
        readable::Sample::library("libb.so").with(readable::AUXILIARY, "liba.so"),
    ];
    samples.iter().map(readable::Sample::build).collect()
}

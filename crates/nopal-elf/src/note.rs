//! The note in which an object says where its libraries are: the resolution cache of `patchelf --build-resolution-cache`,
//! which a patched glibc reads (nixpkgs, `pkgs/development/libraries/glibc/ldcache.patch`).
//!
//! Its descriptor has, for each needed library by name, the name and a list of places joined by `:`, both ended by a zero
//! byte; `=` begins a path, `?` a directory that the loader has to look into itself. One more zero byte ends it.

use std::collections::BTreeMap;

use crate::raw::Format;

/// The name of the section.
pub(crate) const CACHE_SECTION: &[u8] = b".note.nixos.ldcache";

/// Whose note it is.
pub(crate) const OWNER: &[u8] = b"NixOS\0";
pub(crate) const CACHE_TYPE: u32 = 0x63a8_6cb6;

/// Sizes of the numbers that a note begins with.
const NOTE_HEADER_BYTES: usize = 12;

/// The descriptor that says this of the places of libraries.
pub(crate) fn descriptor(places: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let mut descriptor = Vec::new();
    for (name, list) in places {
        for text in [name, list] {
            descriptor.extend_from_slice(text);
            descriptor.push(0);
        }
    }
    descriptor.push(0);
    descriptor
}

/// A whole note around a descriptor.
pub(crate) fn cache_note(format: Format, descriptor: &[u8]) -> Vec<u8> {
    let mut note = vec![0; NOTE_HEADER_BYTES];
    format.put(&mut note, 0, 4, OWNER.len() as u64);
    format.put(&mut note, 4, 4, descriptor.len() as u64);
    format.put(&mut note, 8, 4, u64::from(CACHE_TYPE));
    for part in [OWNER, descriptor] {
        note.extend_from_slice(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

/// The descriptor of a note that is a resolution cache, and else nothing.
pub(crate) fn cache_of(format: Format, note: &[u8]) -> Option<&[u8]> {
    if note.len() < NOTE_HEADER_BYTES || format.u32(note, 8) != CACHE_TYPE {
        return None;
    }
    let name = format.u32(note, 0) as usize;
    let size = format.u32(note, 4) as usize;
    let begin = NOTE_HEADER_BYTES.checked_add(name.checked_next_multiple_of(4)?)?;
    let owner = note.get(NOTE_HEADER_BYTES..NOTE_HEADER_BYTES.checked_add(name)?)?;
    if owner != OWNER {
        return None;
    }
    note.get(begin..begin.checked_add(size)?)
}

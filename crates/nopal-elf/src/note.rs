//! The note in which an object says where its libraries are: the resolution cache of `patchelf --build-resolution-cache`,
//! which a patched glibc reads (nixpkgs, `pkgs/development/libraries/glibc/ldcache.patch`).
//!
//! Its descriptor has, for each needed library by name, the name and a list of places joined by `:`, both ended by a zero
//! byte; `=` begins a path, `?` a directory that the loader has to look into itself. One more zero byte ends it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::raw::Format;
use crate::read::ByteOrder;

/// The name of the section.
pub(crate) const CACHE_SECTION: &[u8] = b".note.nixos.ldcache";

/// Whose note it is.
const OWNER: &[u8] = b"NixOS\0";
pub(crate) const CACHE_TYPE: u32 = 0x63a8_6cb6;

pub(crate) const NT_GNU_BUILD_ID: u32 = 3;

/// The alignment of this note and of its segment.
pub(crate) const NOTE_ALIGN: u64 = 4;

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
        note.resize(note.len().next_multiple_of(NOTE_ALIGN as usize), 0);
    }
    note
}

/// One record of a segment of notes.
pub(crate) struct Record<'a> {
    /// Where it stands among the notes, padding included.
    pub(crate) place: Range<usize>,
    pub(crate) owner: &'a [u8],
    pub(crate) kind: u32,
    pub(crate) descriptor: &'a [u8],
}

impl Record<'_> {
    /// Whether it is what the linker made of the contents, by which debug files are found.
    pub(crate) fn is_build_id(&self) -> bool {
        self.owner == b"GNU\0" && self.kind == NT_GNU_BUILD_ID
    }

    /// Whether it is a resolution cache.
    pub(crate) fn is_cache(&self) -> bool {
        self.owner == OWNER && self.kind == CACHE_TYPE
    }
}

/// The records of a segment of notes with that alignment. Where they make no sense, the rest is passed over, as the
/// loader does.
pub(crate) fn records(order: ByteOrder, notes: &[u8], align: u64) -> impl Iterator<Item = Record<'_>> {
    // eight only where the segment says so; all smaller numbers mean four
    let align = if align == 8 { 8 } else { 4 };
    let mut begin = 0_usize;
    std::iter::from_fn(move || {
        let (head, _) = notes.get(begin..)?.split_first_chunk::<NOTE_HEADER_BYTES>()?;
        let word = |at: usize| order.number(&head[at..at + 4]) as usize;
        let name = begin + NOTE_HEADER_BYTES;
        let owner = name..name.checked_add(word(0))?;
        // what follows is padded from the note's beginning on, whose twelve bytes are no multiple of eight
        let up = |end: usize| (end - begin).checked_next_multiple_of(align)?.checked_add(begin);
        let descriptor = up(owner.end)?;
        let descriptor = descriptor..descriptor.checked_add(word(4))?;
        let end = up(descriptor.end)?.min(notes.len());
        let record = Record {
            place: begin..end,
            owner: notes.get(owner)?,
            kind: word(8) as u32,
            descriptor: notes.get(descriptor)?,
        };
        begin = end;
        Some(record)
    })
}

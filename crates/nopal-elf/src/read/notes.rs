//! Notes: small records that tools leave in a file.

use super::layout::Layout;
use crate::note::records;

/// What notes say that is of use here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notes {
    /// What the linker made of the contents, by which debug files are found.
    pub build_id: Option<Vec<u8>>,
    /// Where libraries are, so that nothing need be searched.
    pub resolution_cache: Option<ResolutionCache>,
}

/// Where the libraries that a file needs are, as `patchelf --build-resolution-cache` writes it down.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResolutionCache {
    /// For each soname, where to look, in order.
    pub entries: Vec<(Vec<u8>, Vec<Hint>)>,
}

/// Where to look for a library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hint {
    /// It is this file.
    File(Vec<u8>),
    /// It may be in this directory, which must be searched when the program starts.
    Directory(Vec<u8>),
}

impl Notes {
    /// Takes in what the notes of a segment say. Where they make no sense, the rest is passed over, as the loader does.
    pub(crate) fn take(&mut self, layout: Layout, segment: &[u8], align: u64) {
        for note in records(layout.order, segment, align) {
            if note.is_build_id() {
                self.build_id = Some(note.descriptor.to_vec());
            } else if note.is_cache() && self.resolution_cache.is_none() {
                self.resolution_cache = ResolutionCache::parse(note.descriptor);
            }
        }
    }
}

impl ResolutionCache {
    /// Reads the note's contents. Nothing if they are not what a loader would accept.
    pub fn parse(desc: &[u8]) -> Option<Self> {
        // one NUL ends the last string, one more the list
        let mut rest = desc.strip_suffix(b"\0").filter(|rest| rest.len() > 1 && rest.ends_with(b"\0"))?;
        let mut entries = Vec::new();
        let mut next = || {
            let end = memchr::memchr(0, rest)?;
            let (text, more) = (&rest[..end], &rest[end + 1..]);
            rest = more;
            Some(text)
        };
        while let Some(soname) = next() {
            let hints = next()?.split(|byte| *byte == b':').filter_map(Hint::parse).collect();
            entries.push((soname.to_vec(), hints));
        }
        Some(Self { entries })
    }

    /// Where to look for a library; nothing if the note does not tell.
    pub fn get(&self, soname: &[u8]) -> Option<&[Hint]> {
        self.entries.iter().find(|(name, _)| name == soname).map(|(_, hints)| &hints[..])
    }
}

impl Hint {
    fn parse(text: &[u8]) -> Option<Self> {
        let (mark, path) = text.split_first()?;
        match mark {
            b'=' => Some(Self::File(path.to_vec())),
            b'?' => Some(Self::Directory(path.to_vec())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{ByteOrder, Class};
    use super::*;
    use crate::note::{CACHE_TYPE, NT_GNU_BUILD_ID};

    #[test]
    fn note_of_two_libraries() {
        let cache = ResolutionCache::parse(b"liba.so\0=/x/liba.so:?$ORIGIN/../lib\0libb.so\0?/y\0\0").unwrap();
        let hints = [Hint::File(b"/x/liba.so".to_vec()), Hint::Directory(b"$ORIGIN/../lib".to_vec())];
        assert_eq!(cache.get(b"liba.so").unwrap(), hints);
        assert_eq!(cache.get(b"libb.so").unwrap(), [Hint::Directory(b"/y".to_vec())]);
        assert_eq!(cache.get(b"libc.so"), None);
        for bad in [&b""[..], b"\0\0", b"liba.so\0\0", b"liba.so\0=/x/liba.so\0", b"a\0=/a\0b\0\0\0"] {
            assert!(ResolutionCache::parse(bad).is_none_or(|cache| cache.get(b"liba.so").is_none_or(<[_]>::is_empty)));
        }
    }

    #[test]
    fn notes_after_each_other() {
        let note = |name: &[u8], kind: u32, desc: &[u8]| {
            let mut note = Vec::new();
            note.extend((name.len() as u32).to_be_bytes());
            note.extend((desc.len() as u32).to_be_bytes());
            note.extend(kind.to_be_bytes());
            note.extend(name);
            note.resize(note.len().next_multiple_of(4), 0);
            note.extend(desc);
            note.resize(note.len().next_multiple_of(4), 0);
            note
        };
        let layout = Layout { class: Class::Elf32, order: ByteOrder::Big };
        let segment = [
            note(b"NixOS\0", CACHE_TYPE, b"a\0=/lib/a\0\0"),
            note(b"Other\0", 3, b"what"),
            note(b"GNU\0", NT_GNU_BUILD_ID, &[1, 2, 3]),
        ];
        let mut notes = Notes::default();
        notes.take(layout, &segment.concat(), 4);
        assert_eq!(notes.build_id, Some(vec![1, 2, 3]));
        assert_eq!(notes.resolution_cache.unwrap().get(b"a").unwrap(), [Hint::File(b"/lib/a".to_vec())]);
        let mut notes = Notes::default();
        notes.take(layout, &[0xff; 40], 4);
        notes.take(layout, &[0; 40], 1);
        assert_eq!(notes, Notes::default());
    }
}

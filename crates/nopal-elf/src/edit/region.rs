//! What is written: bytes over those of the file, and a region behind its end.

use std::collections::BTreeMap;

/// What is written behind the end of the file.
pub(super) struct Region {
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) bytes: Vec<u8>,
    /// The segment that is made longer, if one is.
    pub(super) extended: Option<usize>,
}

impl Region {
    /// Makes room for `size` bytes; their offset and address.
    pub(super) fn reserve(&mut self, size: usize, align: u64) -> (u64, u64) {
        let address = (self.address + self.bytes.len() as u64).next_multiple_of(align);
        self.bytes.resize((address - self.address) as usize + size, 0);
        (self.offset + (address - self.address), address)
    }

    /// What follows does not begin before that offset.
    pub(super) fn skip_to(&mut self, offset: u64) {
        let skipped = offset.saturating_sub(self.offset) as usize;
        self.bytes.resize(self.bytes.len().max(skipped), 0);
    }

    pub(super) fn fill(&mut self, offset: u64, bytes: &[u8]) {
        let begin = (offset - self.offset) as usize;
        self.bytes[begin..begin + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn push(&mut self, bytes: &[u8], align: u64) -> (u64, u64) {
        let place = self.reserve(bytes.len(), align);
        self.fill(place.0, bytes);
        place
    }
}

/// Bytes over those of the file: later ones win.
#[derive(Default)]
pub(super) struct Overlay(pub(super) BTreeMap<u64, Vec<u8>>);

impl Overlay {
    pub(super) fn write(&mut self, offset: u64, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        let touched = self.0.range(..end).rev().map(|(begin, old)| (*begin, *begin + old.len() as u64));
        let touched = touched.take_while(|(_, old_end)| *old_end > offset).map(|(begin, _)| begin).collect::<Vec<_>>();
        for begin in touched {
            let Some(old) = self.0.remove(&begin) else { continue };
            if let Some(after) = (begin + old.len() as u64).checked_sub(end).filter(|after| *after > 0) {
                self.0.insert(end, old[old.len() - after as usize..].to_vec());
            }
            if begin < offset {
                self.0.insert(begin, old[..(offset - begin) as usize].to_vec());
            }
        }
        self.0.insert(offset, bytes);
    }

    /// Bytes of the file with those over them.
    pub(super) fn apply(&self, offset: u64, bytes: &mut [u8]) {
        let end = offset + bytes.len() as u64;
        for (begin, over) in self.0.range(..end).rev() {
            let over_end = begin + over.len() as u64;
            if over_end <= offset {
                break;
            }
            let (from, to) = (offset.max(*begin), end.min(over_end));
            let new = &over[(from - begin) as usize..(to - begin) as usize];
            bytes[(from - offset) as usize..(to - offset) as usize].copy_from_slice(new);
        }
    }
}

//! Blocks in the format of LZ4 (lz4_Block_format.md of lz4/lz4).

use crate::heap::Bytes;
use crate::memory::copy;

/// Copies shorter than this are not written down.
const MIN_MATCH: usize = 4;

/// Unpacks a block; how many bytes there are then, nothing if it is none or they do not fit.
///
/// # Safety
/// There is room for that many bytes.
pub unsafe fn unpack(block: Bytes, into: *mut u8, room: usize) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while from < block.count {
        let token = block.byte(from);
        from += 1;
        let literals = length(block, &mut from, usize::from(token >> 4))?;
        if literals > block.count - from || literals > room - to {
            return None;
        }
        // SAFETY: both were checked
        unsafe { copy(into.add(to), block.at.add(from), literals) };
        from += literals;
        to += literals;
        if from == block.count {
            break;
        }
        let offset = usize::from(block.byte(from)) | usize::from(block.byte(from + 1)) << 8;
        from += 2;
        let count = length(block, &mut from, usize::from(token & 15))?.checked_add(MIN_MATCH)?;
        if offset == 0 || offset > to || count > room - to {
            return None;
        }
        let mut left = count;
        // what is copied may be what was just written
        while left > 0 {
            let part = left.min(offset);
            // SAFETY: both were checked; the parts do not overlap
            unsafe { copy(into.add(to), into.add(to - offset), part) };
            to += part;
            left -= part;
        }
    }
    Some(to)
}

/// A length of which the first four bits are known.
fn length(block: Bytes, from: &mut usize, bits: usize) -> Option<usize> {
    let mut length = bits;
    if bits == 15 {
        loop {
            if *from >= block.count {
                return None;
            }
            let byte = block.byte(*from);
            *from += 1;
            length = length.checked_add(usize::from(byte))?;
            if byte != 255 {
                break;
            }
        }
    }
    Some(length)
}

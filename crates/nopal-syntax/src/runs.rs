//! Runs of bytes of one kind, of which sixteen are looked at together.

use wide::u8x16;

/// How many bytes are white space.
#[inline]
pub(crate) fn space_len(text: &[u8]) -> usize {
    run_len(text, |bytes| is(bytes, b' ') | is(bytes, b'\n') | is(bytes, b'\t') | is(bytes, b'\r'))
}

/// How many bytes may stand in an identifier behind its first.
#[inline]
pub(crate) fn name_len(text: &[u8]) -> usize {
    run_len(text, |bytes| is_word(bytes) | is(bytes, b'\''))
}

/// How many bytes may stand in a path between slashes.
#[inline]
pub(crate) fn path_part_len(text: &[u8]) -> usize {
    run_len(text, |bytes| is_word(bytes) | is(bytes, b'.') | is(bytes, b'+'))
}

/// How many bytes come before the first that may mean something in a string: a control character, `"`, `$` or `\`.
#[inline]
pub(crate) fn plain_len(text: &[u8]) -> usize {
    run_len(text, |bytes| !(is_within(bytes, 0, 0x1f) | is(bytes, b'"') | is(bytes, b'$') | is(bytes, b'\\')))
}

/// How many bytes are of the kind that `is_inside` sets the lanes of.
#[inline(always)]
fn run_len(text: &[u8], is_inside: impl Fn(u8x16) -> u8x16) -> usize {
    let outside = |bytes| (!is_inside(u8x16::new(bytes))).to_bitmask();
    let (together, rest) = text.as_chunks();
    let mut len = 0;
    for bytes in together {
        let outside = outside(*bytes);
        if outside != 0 {
            return len + outside.trailing_zeros() as usize;
        }
        len += bytes.len();
    }
    let mut bytes = [0; _];
    bytes[..rest.len()].copy_from_slice(rest);
    len + (outside(bytes).trailing_zeros() as usize).min(rest.len())
}

/// ASCII letters and digits, `_` and `-`.
#[inline(always)]
fn is_word(bytes: u8x16) -> u8x16 {
    let is_letter = is_within(bytes | u8x16::splat(0x20), b'a', b'z');
    is_letter | is_within(bytes, b'0', b'9') | is(bytes, b'_') | is(bytes, b'-')
}

#[inline(always)]
fn is(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

#[inline(always)]
fn is_within(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    let above_first = bytes - u8x16::splat(first);
    above_first.min(u8x16::splat(last - first)).simd_eq(above_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    // each run, a byte that may be in it, and which others may
    #[test]
    fn a_run_ends_at_the_first_byte_of_another_kind() {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        type Run = (fn(&[u8]) -> usize, u8, Box<dyn Fn(u8) -> bool>);
        let runs: [Run; 4] = [
            (space_len, b' ', Box::new(|byte| b" \n\t\r".contains(&byte))),
            (name_len, b'a', Box::new(move |byte| word(byte) || byte == b'\'')),
            (path_part_len, b'a', Box::new(move |byte| word(byte) || b".+".contains(&byte))),
            (plain_len, b'a', Box::new(|byte| byte >= b' ' && !b"\"$\\".contains(&byte))),
        ];
        for (run_len, inside, is_inside) in runs {
            for byte in 0..=u8::MAX {
                for at in 0..40 {
                    let mut text = [inside; 40];
                    text[at] = byte;
                    let expected = if is_inside(byte) { text.len() } else { at };
                    assert_eq!(run_len(&text), expected, "byte {byte} at {at}");
                    assert_eq!(run_len(&text[..at]), at, "before {at}");
                }
            }
        }
    }
}

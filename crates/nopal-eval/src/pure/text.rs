//! Operations on byte strings behind `replaceStrings`, `substring` and their kin.

/// Replaces, at every position, the first of `from` that matches there. `to(i)` appends the replacement of `from[i]`
/// and is asked only for those that occur. An empty pattern matches between all bytes and at both ends.
pub fn replace<E>(
    text: &[u8],
    from: &[&[u8]],
    mut to: impl FnMut(usize, &mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let mut starts = [false; 256];
    let mut any_empty = false;
    for pattern in from {
        match pattern.first() {
            Some(&byte) => starts[usize::from(byte)] = true,
            None => any_empty = true,
        }
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at <= text.len() {
        if !any_empty {
            let rest = &text[at..];
            let skip = rest.iter().position(|&b| starts[usize::from(b)]).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..skip]);
            at += skip;
        }
        // patterns are short, and most differ soon
        let rest = &text[at..];
        let found = from.iter().position(|pattern| {
            pattern.len() <= rest.len() && pattern.iter().zip(rest).all(|(byte, other)| byte == other)
        });
        if let Some(index) = found {
            to(index, &mut out)?;
            if !from[index].is_empty() {
                at += from[index].len();
                continue;
            }
        }
        out.extend(text.get(at));
        at += 1;
    }
    Ok(out)
}

/// `builtins.substring` for a non-negative start: a negative length means the rest.
pub fn substring(text: &[u8], start: u64, length: i64) -> &[u8] {
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(text.len());
    let rest = &text[start..];
    match usize::try_from(length) {
        Ok(length) => &rest[..length.min(rest.len())],
        Err(_) if length < 0 => rest,
        Err(_) => rest,
    }
}

/// Shows NUL bytes as the symbol that Nix prints for them in "contains null bytes" messages.
pub fn show_nul(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if byte == 0 {
            out.extend_from_slice("\u{2400}".as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
        let from: Vec<&[u8]> = pairs.iter().map(|p| p.0.as_bytes()).collect();
        let out = replace(text.as_bytes(), &from, |i, out| {
            out.extend_from_slice(pairs[i].1.as_bytes());
            Ok::<_, std::convert::Infallible>(())
        });
        String::from_utf8(out.unwrap()).unwrap()
    }

    #[test]
    fn replacing() {
        assert_eq!(replaced("foobar", &[("oo", "a"), ("a", "i")]), "fabir");
        assert_eq!(replaced("abc", &[("", "X")]), "XaXbXcX");
        assert_eq!(replaced("abc", &[("b", "Y"), ("", "X")]), "XaYXcX");
        assert_eq!(replaced("aaa", &[("aa", "b"), ("a", "c")]), "bc");
        assert_eq!(replaced("", &[("a", "b")]), "");
        assert_eq!(replaced("", &[("", "b")]), "b");
    }

    #[test]
    fn substrings() {
        assert_eq!(substring(b"hello", 1, 3), b"ell");
        assert_eq!(substring(b"hello", 10, 3), b"");
        assert_eq!(substring(b"hello", 2, -1), b"llo");
        assert_eq!(substring(b"hello", 2, i64::MAX), b"llo");
    }
}

//! Versions and package names, as `builtins.compareVersions`, `splitVersion` and `parseDrvName` read them.

use super::number::int32;
use std::cmp::Ordering;

/// The components of a version: runs of digits, and runs of other characters between `.` and `-`.
#[derive(Debug, Clone)]
pub struct Components<'a> {
    rest: &'a [u8],
}

/// Splits a version into components.
pub fn components(version: &[u8]) -> Components<'_> {
    Components { rest: version }
}

fn separator(byte: u8) -> bool {
    byte == b'.' || byte == b'-'
}

impl<'a> Iterator for Components<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|&b| !separator(b))?;
        let rest = &self.rest[start..];
        let digits = rest[0].is_ascii_digit();
        let end = rest
            .iter()
            .position(|&b| if digits { !b.is_ascii_digit() } else { b.is_ascii_digit() || separator(b) })
            .unwrap_or(rest.len());
        let (component, rest) = rest.split_at(end);
        self.rest = rest;
        Some(component)
    }
}

/// Compares two versions; a missing component counts as empty.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (components(a), components(b));
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            return Ordering::Equal;
        }
        let (x, y) = (x.unwrap_or_default(), y.unwrap_or_default());
        if less(x, y) {
            return Ordering::Less;
        }
        if less(y, x) {
            return Ordering::Greater;
        }
    }
}

/// Numbers by value, the empty component before numbers, `pre` before everything else, words before numbers.
fn less(a: &[u8], b: &[u8]) -> bool {
    let (m, n) = (int32(a), int32(b));
    match (m, n) {
        (Some(m), Some(n)) => m < n,
        (None, Some(_)) if a.is_empty() => true,
        _ if a == b"pre" && b != b"pre" => true,
        _ if b == b"pre" => false,
        (_, Some(_)) => true,
        (Some(_), _) => false,
        (None, None) => a < b,
    }
}

/// Splits a package name at the first dash that is followed by something other than a letter.
pub fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    let at = name.windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    match at {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison() {
        use Ordering::*;
        for (a, b, expected) in [
            ("1.0", "2.3", Less),
            ("2.1", "2.3", Less),
            ("2.3", "2.3", Equal),
            ("2.5", "2.3", Greater),
            ("3.1", "2.3", Greater),
            ("2.3.1", "2.3", Greater),
            ("2.3.1", "2.3a", Greater),
            ("2.3pre1", "2.3", Less),
            ("2.3pre3", "2.3pre12", Less),
            ("2.3a", "2.3c", Less),
            ("2.3pre1", "2.3c", Less),
            ("2.3pre1", "2.3q", Less),
            ("", "", Equal),
            ("99999999999", "1", Less),
        ] {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
    }

    #[test]
    fn splitting() {
        let parts: Vec<_> = components(b"1.2.3pre-x--.4").map(|c| std::str::from_utf8(c).unwrap()).collect();
        assert_eq!(parts, ["1", "2", "3", "pre", "x", "4"]);
        assert_eq!(split_name(b"apache-httpd-2.0.48"), (&b"apache-httpd"[..], &b"2.0.48"[..]));
        assert_eq!(split_name(b"hello-"), (&b"hello-"[..], &b""[..]));
        assert_eq!(split_name(b"a--b"), (&b"a"[..], &b"-b"[..]));
    }
}

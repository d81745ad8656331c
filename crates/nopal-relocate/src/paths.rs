//! Paths as bytes, from the root on and relative to each other.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A path below the root, from the root on.
pub(crate) fn logical(below: &Path) -> Vec<u8> {
    [b"/", below.as_os_str().as_bytes()].concat()
}

/// The folder of a path.
pub(crate) fn folder(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &path[..slash]
}

/// The last part of a path.
pub(crate) fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The way from a folder to a path, both from the root on and without dots; `.` from a folder to itself.
pub(crate) fn relative(folder: &[u8], path: &[u8]) -> Vec<u8> {
    let (from, to) = (components(folder), components(path));
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n(&b".."[..], from.len() - common);
    let way = up.chain(to[common..].iter().copied()).collect::<Vec<_>>().join(&b'/');
    if way.is_empty() { b".".to_vec() } else { way }
}

/// How many parts a path has.
pub(crate) fn depth(path: &[u8]) -> usize {
    components(path).len()
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_lead_up_and_down() {
        for (from, to, way) in [
            ("/a/bin", "/b/lib", "../../b/lib"),
            ("/a/bin", "/a/bin", "."),
            ("/a", "/a/lib/x", "lib/x"),
            ("", "/a", "a"),
            ("/a/b", "/", "../.."),
        ] {
            assert_eq!(relative(from.as_bytes(), to.as_bytes()), way.as_bytes(), "{from} {to}");
        }
    }
}

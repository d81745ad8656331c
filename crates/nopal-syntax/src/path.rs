//! Path literals: from the text to an absolute path, without asking the file system.

use crate::ast::PathKind;

/// The absolute path that a literal stands for, in a file of directory `base_dir` and for the home directory `home`.
///
/// Absolute and relative paths lose `.`, `..` and doubled slashes by their text alone, as in Nix; home paths do not. A
/// slash at the end stays: it is there only in front of an interpolation.
pub fn resolve(kind: PathKind, text: &[u8], base_dir: &[u8], home: &[u8]) -> Vec<u8> {
    let mut path = match kind {
        PathKind::Home => return [home, &text[1..]].concat(),
        PathKind::Absolute => canonical(text),
        PathKind::Relative => canonical(&[base_dir, b"/", text].concat()),
    };
    if text.len() > 1 && text.ends_with(b"/") {
        path.push(b'/');
    }
    path
}

/// The path without `.`, `..` and empty components; relative to the root.
pub fn canonical(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_by_their_text() {
        let cases: [(PathKind, &str, &str); 8] = [
            (PathKind::Relative, "./a", "/base/dir/a"),
            (PathKind::Relative, "../a/./b", "/base/a/b"),
            (PathKind::Relative, "../../../../a", "/a"),
            (PathKind::Relative, "./", "/base/dir/"),
            (PathKind::Relative, "a/", "/base/dir/a/"),
            (PathKind::Absolute, "/a/../../b", "/b"),
            (PathKind::Absolute, "/", "/"),
            (PathKind::Home, "~/a/../b", "/home/me/a/../b"),
        ];
        for (kind, text, expected) in cases {
            let path = resolve(kind, text.as_bytes(), b"/base/dir", b"/home/me");
            assert_eq!(String::from_utf8_lossy(&path), expected);
        }
    }
}

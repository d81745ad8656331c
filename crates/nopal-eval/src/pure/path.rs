//! Lexical path operations. Paths are bytes; nothing here looks at a file system.

/// The last component in the way of `builtins.baseNameOf`: one trailing slash is ignored.
pub fn base_name(path: &[u8]) -> &[u8] {
    let Some(mut last) = path.len().checked_sub(1) else { return b"" };
    if path[last] == b'/' && last > 0 {
        last -= 1;
    }
    let start = memchr::memrchr(b'/', &path[..=last]).map_or(0, |at| at + 1);
    path.get(start..=last).unwrap_or_default()
}

/// Everything before the last slash, as `builtins.dirOf` gives it for a string.
pub fn parent_of_string(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        None => b".",
        Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

/// The parent of a canonical absolute path; the root is its own.
pub fn parent(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        None | Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

/// Makes an absolute path canonical: no empty, `.` or `..` components and no trailing slash. `..` above the root stays
/// at the root; symbolic links are not considered.
pub fn canonical(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    push_components(&mut out, path);
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// Appends `relative` to a canonical path and makes the result canonical; an absolute `relative` replaces it.
pub fn absolute(base: &[u8], relative: &[u8]) -> Vec<u8> {
    if relative.first() == Some(&b'/') {
        return canonical(relative);
    }
    let mut out = if base == b"/" { Vec::new() } else { base.to_vec() };
    push_components(&mut out, relative);
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

fn push_components(out: &mut Vec<u8>, path: &[u8]) {
    for component in path.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => out.truncate(memchr::memrchr(b'/', out).unwrap_or(0)),
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
}

/// Whether `path` is `directory` or below it; both canonical.
pub fn is_within(path: &[u8], directory: &[u8]) -> bool {
    directory == b"/" || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_names() {
        for (path, expected) in
            [("", ""), ("/", ""), ("a", "a"), ("a/", "a"), ("a//", ""), ("/a/b", "b"), ("/a/b/", "b"), ("//", "")]
        {
            assert_eq!(base_name(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn canonical_paths() {
        for (path, expected) in
            [("/", "/"), ("/a//b/./c/../d/", "/a/b/d"), ("/../..", "/"), ("/a/..", "/"), ("/..a/.b", "/..a/.b")]
        {
            assert_eq!(canonical(path.as_bytes()), expected.as_bytes(), "{path}");
        }
        assert_eq!(absolute(b"/a/b", b"../c"), b"/a/c");
        assert_eq!(absolute(b"/", b"x"), b"/x");
        assert!(is_within(b"/a/b", b"/a") && !is_within(b"/ab", b"/a") && is_within(b"/x", b"/"));
    }

    #[test]
    fn parents() {
        assert_eq!(parent_of_string(b"a/b/"), b"a/b");
        assert_eq!(parent_of_string(b"a"), b".");
        assert_eq!(parent_of_string(b"/a"), b"/");
        assert_eq!(parent(b"/a/b"), b"/a");
    }
}

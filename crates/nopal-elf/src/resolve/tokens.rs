//! `$ORIGIN`, `$LIB` and `$PLATFORM` in paths.

use super::config::LoaderConfig;

/// What tokens stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    /// The directory of the file that the path stands in.
    pub(super) origin: Option<&'a [u8]>,
    /// The name of the directory of libraries.
    pub(super) lib: &'a [u8],
    /// The kernel's name of the processor.
    pub(super) platform: Option<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    /// What they stand for in a file of that directory.
    pub(super) fn new(config: &'a LoaderConfig, origin: Option<&'a [u8]>) -> Self {
        Tokens { origin, lib: &config.lib, platform: config.platform.as_deref() }
    }
}

/// The directory of a file, by its path from the root on.
pub(super) fn directory_of(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().rposition(|byte| *byte == b'/')?;
    Some(&path[..end.max(1)])
}

/// Replaces tokens. Nothing if one of them stands for nothing that is known; a `$` before anything else stands for
/// itself.
pub(super) fn expand(path: &[u8], tokens: Tokens<'_>) -> Option<Vec<u8>> {
    let mut parts = path.split(|byte| *byte == b'$');
    let mut expanded = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let known: [(&[u8], _); 3] =
            [(b"ORIGIN", tokens.origin), (b"PLATFORM", tokens.platform), (b"LIB", Some(tokens.lib))];
        let found = known.into_iter().find_map(|(name, value)| Some((strip(part, name)?, value)));
        match found {
            Some((rest, value)) => {
                expanded.extend_from_slice(value?);
                expanded.extend_from_slice(rest);
            }
            None => {
                expanded.push(b'$');
                expanded.extend_from_slice(part);
            }
        }
    }
    Some(expanded)
}

/// What follows the name of a token, if it is that token: nothing that could go on a name may follow, not even a brace.
fn strip<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (text, is_braced) = match text.strip_prefix(b"{") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let rest = text.strip_prefix(name)?;
    let goes_on = rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match is_braced {
        true => rest.strip_prefix(b"}"),
        false => Some(rest).filter(|_| !goes_on),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_in_paths() {
        let tokens = Tokens { origin: Some(b"/opt/x/bin"), lib: b"lib64", platform: None };
        for (path, expanded) in [
            ("/lib", Some("/lib")),
            ("", Some("")),
            ("$ORIGIN", Some("/opt/x/bin")),
            ("${ORIGIN}/../$LIB", Some("/opt/x/bin/../lib64")),
            ("/a/${LIB}x", Some("/a/lib64x")),
            ("$LIBx/$LIB_", Some("$LIBx/$LIB_")),
            ("${LIB", Some("${LIB")),
            ("$HOME/lib", Some("$HOME/lib")),
            ("$$LIB$", Some("$lib64$")),
            ("/usr/$PLATFORM", None),
        ] {
            let found = expand(path.as_bytes(), tokens).map(|path| String::from_utf8(path).unwrap());
            assert_eq!(found.as_deref(), expanded, "{path}");
        }
        assert_eq!(expand(b"$ORIGIN", Tokens { origin: None, ..tokens }), None);
    }
}

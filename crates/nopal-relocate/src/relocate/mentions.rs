//! Paths of the old place in the bytes of files.

use memchr::memmem;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What is looked for: names below folders.
pub(super) struct Mentions {
    /// Folders with a slash at the end, and the names in them.
    folders: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// In the root itself are names that many texts have: only paths into them count.
const ROOT: &[u8] = b"/";

impl Mentions {
    /// Looks for these paths, and what is below them; of what is in the root only for what is below it.
    pub(super) fn new(paths: &[Vec<u8>]) -> Self {
        Self::of(paths, true)
    }

    /// Looks for these paths too that are in the root, in texts in which they are nothing else.
    pub(super) fn with_roots(paths: &[Vec<u8>]) -> Self {
        Self::of(paths, false)
    }

    fn of(paths: &[Vec<u8>], skips_roots: bool) -> Self {
        let mut folders = BTreeMap::<Vec<u8>, Vec<Vec<u8>>>::new();
        for path in paths {
            let slash = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let (folder, name) = path.split_at(slash);
            if folder == ROOT && skips_roots {
                folders.entry([path, &b"/"[..]].concat()).or_default();
            } else {
                folders.entry(folder.to_vec()).or_default().push(name.to_vec());
            }
        }
        Self { folders }
    }

    /// The paths in a text that are these, or below them.
    pub(super) fn find(&self, text: &[u8]) -> BTreeSet<Vec<u8>> {
        self.places(text).into_iter().map(|place| text[place].to_vec()).collect()
    }

    /// Where in a text they are, in order.
    pub(super) fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        for (folder, names) in &self.folders {
            for at in memmem::find_iter(text, folder) {
                let rest = &text[at + folder.len()..];
                let begins = |name: &Vec<u8>| rest.starts_with(name) && !rest.get(name.len()).is_some_and(goes_on);
                if is_path(text, at) && (names.is_empty() || names.iter().any(begins)) {
                    let count = rest.iter().take_while(|byte| goes_on(byte) || **byte == b'/').count();
                    let path = &text[at..at + folder.len() + count];
                    let end = path.iter().rposition(|byte| !b"/.".contains(byte)).map_or(0, |last| last + 1);
                    places.push(at..at + end);
                }
            }
        }
        places.sort_by_key(|place| place.start);
        places
    }
}

/// A text in which places, apart and in order, hold something else.
pub(super) fn replaced(text: &[u8], places: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let (mut new, mut done) = (Vec::new(), 0);
    for (place, name) in places {
        new.extend([&text[done..place.start], name].concat());
        done = place.end;
    }
    new.extend(&text[done..]);
    new
}

/// Whether a path may begin there in a text.
pub(super) fn is_path(text: &[u8], at: usize) -> bool {
    FLAGS.iter().any(|flag| text[..at].ends_with(flag)) || !text[..at].last().is_some_and(is_joined)
}

/// The name that a text begins with; nothing if it begins otherwise.
pub(super) fn name(text: &[u8]) -> &[u8] {
    &text[..text.iter().take_while(|byte| goes_on(byte)).count()]
}

/// Flags that are joined to a path.
const FLAGS: [&[u8]; 4] = [b" -I", b" -L", b"=-I", b"=-L"];

/// Whether what follows this byte is the rest of a path, or follows a variable.
fn is_joined(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._/})".contains(byte)
}

/// Whether a name goes on with this byte.
fn goes_on(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._?=".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_they_end() {
        let mentions = Mentions::new(&[b"/nix/store/abc-hello".to_vec(), b"/usr".to_vec()]);
        for (text, paths) in [
            (&b"exec /nix/store/abc-hello/bin/hello"[..], &["/nix/store/abc-hello/bin/hello"][..]),
            (b"/nix/store/abc-hello-doc /nix/store/abc-hello", &["/nix/store/abc-hello"]),
            (b"PATH=/usr/bin:/usr/sbin/.", &["/usr/bin", "/usr/sbin"]),
            (b"/opt/usr/bin and /usr", &[]),
            (b"Cflags: -I/usr/include x-I/usr/lib", &["/usr/include"]),
        ] {
            let found = mentions.find(text);
            let expected = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            assert_eq!(found, expected, "{}", text.escape_ascii());
        }
    }
}

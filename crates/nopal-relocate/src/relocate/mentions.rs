//! Paths of the old place in the bytes of files.

use memchr::memmem;
use std::collections::{BTreeMap, BTreeSet};

/// What is looked for: names below folders.
pub(super) struct Mentions {
    /// Folders with a slash at the end, and the names in them.
    folders: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// In the root itself are names that many texts have: only paths into them count.
const ROOT: &[u8] = b"/";

impl Mentions {
    /// Looks for these paths, and what is below them.
    pub(super) fn new(paths: &[Vec<u8>]) -> Self {
        let mut folders = BTreeMap::<Vec<u8>, Vec<Vec<u8>>>::new();
        for path in paths {
            let slash = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let (folder, name) = path.split_at(slash);
            if folder == ROOT {
                folders.entry([path, &b"/"[..]].concat()).or_default();
            } else {
                folders.entry(folder.to_vec()).or_default().push(name.to_vec());
            }
        }
        Self { folders }
    }

    /// The paths in a text that are these, or below them.
    pub(super) fn find(&self, text: &[u8]) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::new();
        for (folder, names) in &self.folders {
            for at in memmem::find_iter(text, folder) {
                let rest = &text[at + folder.len()..];
                let begins = |name: &Vec<u8>| rest.starts_with(name) && !rest.get(name.len()).is_some_and(goes_on);
                let before = at.checked_sub(1).and_then(|before| text.get(before));
                let is_path = !before.is_some_and(is_joined);
                if is_path && (names.is_empty() || names.iter().any(begins)) {
                    let count = rest.iter().take_while(|byte| goes_on(byte) || **byte == b'/').count();
                    let path = text[at..at + folder.len() + count].to_vec();
                    let end = path.iter().rposition(|byte| !b"/.".contains(byte)).map_or(0, |last| last + 1);
                    found.insert(path[..end].to_vec());
                }
            }
        }
        found
    }
}

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
        ] {
            let found = mentions.find(text);
            let expected = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            assert_eq!(found, expected, "{}", text.escape_ascii());
        }
    }
}

//! Paths of the old place in the bytes of files.

use memchr::memmem;
use std::collections::BTreeMap;

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

    /// How often a text names one.
    pub(super) fn count(&self, text: &[u8]) -> usize {
        let hits = |(folder, names): (&Vec<u8>, &Vec<Vec<u8>>)| {
            let places = memmem::find_iter(text, folder);
            let is_one = |at: &usize| {
                let rest = &text[at + folder.len()..];
                let begins = |name: &Vec<u8>| rest.starts_with(name) && !rest.get(name.len()).is_some_and(goes_on);
                let before = at.checked_sub(1).and_then(|before| text.get(before));
                let is_path = !before.is_some_and(|byte| goes_on(byte) || *byte == b'/');
                is_path && (names.is_empty() || names.iter().any(begins))
            };
            places.filter(is_one).count()
        };
        self.folders.iter().map(hits).sum()
    }
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
        for (text, count) in [
            (&b"exec /nix/store/abc-hello/bin/hello"[..], 1),
            (b"/nix/store/abc-hello-doc /nix/store/abc-hello", 1),
            (b"PATH=/usr/bin:/usr/sbin", 2),
            (b"/opt/usr/bin and /usr", 0),
        ] {
            assert_eq!(mentions.count(text), count, "{}", text.escape_ascii());
        }
    }
}

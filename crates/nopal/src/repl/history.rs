//! The lines of earlier loops: a file with one line for each, the oldest first.

use std::path::Path;

/// Lines that are kept.
pub(super) const MAX_LINES: usize = 1000;

/// The lines of the file; none if it cannot be read.
pub(super) fn read(path: &Path) -> Vec<String> {
    let contents = nopal_fs::read_file_if_exists(path).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&contents).lines().map(str::to_owned).collect()
}

/// Writes the lines. That a loop cannot be remembered is no reason to fail.
pub(super) fn write<'a>(path: &Path, lines: impl Iterator<Item = &'a String>) {
    let mut contents = String::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        contents.push_str(line);
        contents.push('\n');
    }
    let _ =
        nopal_fs::create_dir_all(nopal_fs::parent_of(path)).and_then(|()| nopal_fs::replace(path, contents.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back() {
        let dir = nopal_fs::TempDir::new_in(&std::env::temp_dir(), "history").unwrap();
        let path = dir.path().join("below/history");
        assert!(read(&path).is_empty());
        let lines = ["a = 1".to_owned(), "  ".to_owned(), "a".to_owned()];
        write(&path, lines.iter());
        assert_eq!(read(&path), ["a = 1", "a"]);
    }
}

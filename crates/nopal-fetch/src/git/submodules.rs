//! Submodules: `.gitmodules`, and where their repositories are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{GitError, Repository};

/// A repository within a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Where it is in the tree.
    pub path: String,
    /// Where to fetch it, as `.gitmodules` says.
    pub url: String,
    /// Its branch; may be empty, or `.` for that of the outer repository.
    pub branch: String,
    /// The commit; `None` in a working tree, which has one of its own.
    pub rev: Option<String>,
}

impl Repository {
    /// The submodules of a commit.
    ///
    /// # Errors
    /// `.gitmodules` cannot be read.
    pub fn submodules(&self, rev: &str) -> Result<Vec<Submodule>, GitError> {
        let blob = format!("{rev}:.gitmodules");
        if !self.has_object(&blob) {
            return Ok(Vec::new());
        }
        let listed = self.run(&["config", "--blob", &blob, "-z", "--list"], None)?;
        let mut found = Vec::new();
        for mut submodule in parse(&listed) {
            let line = self.run(&["ls-tree", "-z", "--full-tree", rev, "--", &submodule.path], None)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            // what is no submodule in the tree does not count
            let Some(rest) = line.strip_prefix("160000 commit ") else { continue };
            submodule.rev = rest.split('\t').next().map(str::to_owned);
            found.push(submodule);
        }
        Ok(found)
    }

    /// The submodules of the working tree.
    ///
    /// # Errors
    /// `.gitmodules` cannot be read.
    pub fn worktree_submodules(&self) -> Result<Vec<Submodule>, GitError> {
        if !nopal_fs::exists(&self.dir().join(".gitmodules")) {
            return Ok(Vec::new());
        }
        Ok(parse(&self.run(&["config", "--file", ".gitmodules", "-z", "--list"], None)?))
    }

    /// The URL of a submodule; one that begins with a dot is relative to where this repository comes from.
    pub fn submodule_url(&self, url: &str) -> String {
        if !url.starts_with("./") && !url.starts_with("../") {
            return url.to_owned();
        }
        let mut base = self.origin().unwrap_or_else(|| self.dir().display().to_string());
        while base.ends_with('/') {
            base.pop();
        }
        for part in url.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    let up = base.rfind(['/', ':']).unwrap_or(0);
                    base.truncate(up);
                }
                name => {
                    base.push('/');
                    base.push_str(name);
                }
            }
        }
        base
    }

    /// Where a submodule of the working tree is.
    pub fn submodule_dir(&self, submodule: &Submodule) -> Option<PathBuf> {
        super::export::below(self.dir(), &submodule.path)
    }
}

impl Submodule {
    /// Where its files go below the tree of the outer repository.
    pub fn destination(&self, root: &Path) -> Option<PathBuf> {
        super::export::below(root, &self.path)
    }
}

/// Reads `submodule.NAME.KEY` newline `VALUE`, each ending in a zero byte.
fn parse(listed: &[u8]) -> Vec<Submodule> {
    let mut sections: BTreeMap<String, Submodule> = BTreeMap::new();
    for item in listed.split(|byte| *byte == 0) {
        let item = String::from_utf8_lossy(item);
        let Some((key, value)) = item.split_once('\n') else { continue };
        let Some((name, key)) = key.strip_prefix("submodule.").and_then(|key| key.rsplit_once('.')) else { continue };
        let empty = || Submodule { path: String::new(), url: String::new(), branch: String::new(), rev: None };
        let section = sections.entry(name.to_owned()).or_insert_with(empty);
        match key {
            "path" => value.trim_end_matches('/').clone_into(&mut section.path),
            "url" => value.clone_into(&mut section.url),
            "branch" => value.clone_into(&mut section.branch),
            _ => {}
        }
    }
    sections.into_values().filter(|submodule| !submodule.path.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_gitmodules() {
        let listed = b"submodule.a.b.path\nlib/a/\0submodule.a.b.url\n../a\0submodule.x.url\nonly\0core.bare\nfalse\0";
        let found = parse(listed);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].url.as_str(), found[0].branch.as_str()), ("lib/a", "../a", ""));
    }
}

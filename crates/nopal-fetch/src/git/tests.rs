//! A repository is made with `git` itself and looked at through our eyes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Git;

/// The environment of a user without configuration, at a fixed time.
fn environment(home: &Path) -> BTreeMap<OsString, OsString> {
    let mut all =
        BTreeMap::from([("PATH".into(), std::env::var_os("PATH").unwrap_or_default()), ("HOME".into(), home.into())]);
    for who in ["AUTHOR", "COMMITTER"] {
        all.insert(format!("GIT_{who}_NAME").into(), "somebody".into());
        all.insert(format!("GIT_{who}_EMAIL").into(), "somebody@example.org".into());
        all.insert(format!("GIT_{who}_DATE").into(), "1700000000 +0100".into());
    }
    all
}

fn repository(tool: &nopal_test::Tool, home: &Path, dir: &Path) {
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("file"), "contents\n").unwrap();
    std::fs::write(dir.join("sub/secret"), "hidden").unwrap();
    std::fs::write(dir.join(".gitattributes"), "sub export-ignore\n").unwrap();
    std::os::unix::fs::symlink("file", dir.join("link")).unwrap();
    for arguments in
        [&["init", "--quiet", "--initial-branch=main"][..], &["add", "."], &["commit", "--quiet", "-m", "one"]]
    {
        let mut command = tool.command();
        command.env_clear().envs(environment(home)).current_dir(dir).args(arguments);
        assert!(command.status().unwrap().success());
    }
}

#[test]
fn a_repository_is_read() {
    let Some(tool) = nopal_test::Tool::find("git") else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("repo");
    repository(&tool, temp.path(), &dir);
    let git = Git::new(&environment(temp.path()));
    let repo = git.worktree(&dir);
    let rev = repo.resolve("main").unwrap();
    assert_eq!(repo.head_branch().as_deref(), Some("refs/heads/main"));
    assert_eq!((repo.commit(&rev).unwrap().time, repo.rev_count(&rev).unwrap()), (1_700_000_000, 1));
    assert!(!repo.is_shallow().unwrap() && repo.has_object(&rev));
    assert!(repo.resolve("nowhere").unwrap_err().to_string().starts_with("resolving Git reference 'nowhere'"));

    repo.export(&rev, &temp.path().join("all"), false).unwrap();
    assert_eq!(std::fs::read_to_string(temp.path().join("all/link")).unwrap(), "contents\n");
    assert!(temp.path().join("all/sub/secret").exists());
    repo.export(&rev, &temp.path().join("some"), true).unwrap();
    assert!(temp.path().join("some/file").exists() && !temp.path().join("some/sub").exists());
}

#[test]
fn a_working_tree_is_compared() {
    let Some(tool) = nopal_test::Tool::find("git") else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("repo");
    repository(&tool, temp.path(), &dir);
    let repo = Git::new(&environment(temp.path())).worktree(&dir);
    std::fs::write(dir.join("untracked"), "").unwrap();
    let clean = repo.status().unwrap();
    assert!(!clean.is_dirty() && !clean.files.contains(Path::new("untracked")));
    std::fs::write(dir.join("file"), "other").unwrap();
    std::fs::remove_file(dir.join("link")).unwrap();
    let dirty = repo.status().unwrap();
    assert_eq!(dirty.changed.iter().collect::<Vec<_>>(), [&PathBuf::from("file"), &PathBuf::from("link")]);
    assert!(dirty.files.contains(Path::new("file")) && !dirty.files.contains(Path::new("link")));
    repo.intend_to_add("untracked").unwrap();
    assert!(repo.status().unwrap().files.contains(Path::new("untracked")));
}

#[test]
fn a_remote_is_fetched() {
    let Some(tool) = nopal_test::Tool::find("git") else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("repo");
    repository(&tool, temp.path(), &dir);
    let git = Git::new(&environment(temp.path()));
    let url = format!("file://{}", dir.display());
    assert_eq!(git.remote_head(url.as_ref()).as_deref(), Some("refs/heads/main"));
    let cache = git.cache(&temp.path().join("cache")).unwrap();
    assert_eq!(cache.cached_head(), None);
    cache.fetch(&url, "refs/heads/main:refs/heads/main", true).unwrap();
    cache.set_head("refs/heads/main").unwrap();
    assert_eq!(cache.cached_head().as_deref(), Some("refs/heads/main"));
    assert_eq!(cache.resolve("main").unwrap(), git.worktree(&dir).resolve("HEAD").unwrap());
    assert!(cache.fetch("file:///nowhere", "main", false).is_err());
}

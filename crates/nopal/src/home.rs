//! Where the user's home is.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::env_vars;

/// The user's home.
#[derive(Debug)]
pub(crate) struct Home {
    /// Where it is, if that is known.
    pub(crate) path: Option<PathBuf>,
    /// What to warn of.
    pub(crate) note: Option<String>,
}

/// The user's home, as Nix finds it (`getHome` in its `users.cc`): what `HOME` says, unless that is somebody else's
/// directory; then, and without `HOME`, what the `passwd` file says. A user whom that does not know, as in many containers,
/// has the directory all the same.
pub(crate) fn home() -> &'static Home {
    static FOUND: OnceLock<Home> = OnceLock::new();
    FOUND.get_or_init(|| {
        let user = rustix::process::geteuid().as_raw();
        let known = || in_passwd(&nopal_fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default(), user);
        find(env_vars::HOME.get().map(PathBuf::from), user, known)
    })
}

fn find(set: Option<PathBuf>, user: u32, known: impl FnOnce() -> Option<PathBuf>) -> Home {
    let Some(set) = set else { return Home { path: known(), note: None } };
    let found = match nopal_fs::metadata_if_exists(&set) {
        Ok(Some(metadata)) if metadata.uid() != user => Ok(()),
        Ok(_) => return Home { path: Some(set), note: None },
        Err(error) => Err(error),
    };
    let Some(known) = known() else { return Home { path: Some(set), note: None } };
    let (shown, instead) = (set.display(), known.display());
    let note = match found {
        Ok(()) if known == set => None,
        Ok(()) => Some(format!(
            "$HOME ('{shown}') is not owned by you, falling back to the one defined in the 'passwd' file ('{instead}')"
        )),
        Err(error) => Some(format!(
            "couldn't stat $HOME ('{shown}') for reason other than not existing, falling back to the one defined in the \
             'passwd' file: error: getting status of \"{shown}\": {}",
            nopal_fs::words(error.io())
        )),
    };
    Home { path: Some(known), note }
}

/// The home of a user in a `passwd` file.
fn in_passwd(text: &str, user: u32) -> Option<PathBuf> {
    text.lines().find_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
        [_, _, id, _, _, home, ..] if id.parse() == Ok(user) => Some(home.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_elses_directory_is_no_home() {
        let text = "root:x:0:0:root:/root:/bin/sh\n+\nme:x:1000:100::/home/me:/bin/sh\n";
        let dir = tempfile::tempdir().unwrap();
        let owner = std::fs::metadata(dir.path()).unwrap().uid();
        let home = |set: Option<&Path>, user| {
            let Home { path, note } = find(set.map(PathBuf::from), user, || in_passwd(text, 1000));
            (path.unwrap(), note.is_some())
        };
        let mine = PathBuf::from("/home/me");
        assert_eq!(home(None, owner), (mine.clone(), false));
        assert_eq!(home(Some(dir.path()), owner), (dir.path().to_owned(), false));
        assert_eq!(home(Some(dir.path()), owner + 1), (mine.clone(), true));
        assert_eq!(home(Some(&dir.path().join("missing")), owner + 1), (dir.path().join("missing"), false));
        assert_eq!(in_passwd(text, 1), None);
        assert_eq!(home(Some(Path::new("/dev/null/home")), owner), ("/dev/null/home".into(), false));
        assert_eq!(home(Some(&dir.path().join("n".repeat(300))), owner), (mine, true));
        let unknown = find(Some(dir.path().to_owned()), owner + 1, || None);
        assert_eq!((unknown.path, unknown.note), (Some(dir.path().to_owned()), None));
    }
}

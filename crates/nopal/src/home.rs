//! Where the user's home is.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::env_vars;

/// The user's home.
#[derive(Debug, Default)]
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

fn find(set: Option<PathBuf>, user: u32, known: impl Fn() -> Option<PathBuf>) -> Home {
    let Some(set) = set else { return Home { path: known(), note: None } };
    let why = match nopal_fs::metadata(&set) {
        Ok(metadata) if metadata.uid() == user => None,
        Ok(_) => Some("is not owned by you".to_owned()),
        Err(error) if error.is_not_found() => None,
        Err(error) => Some(format!("cannot be examined: {}", nopal_fs::words(error.io()))),
    };
    match why.and_then(|why| Some((why, known().filter(|known| *known != set)?))) {
        None => Home { path: Some(set), note: None },
        Some((why, known)) => {
            let (from, to) = (set.display(), known.display());
            let note = format!("$HOME ('{from}') {why}, falling back to the one defined in the 'passwd' file ('{to}')");
            Home { path: Some(known), note: Some(note) }
        }
    }
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
        let unknown = find(Some(dir.path().to_owned()), owner + 1, || None);
        assert_eq!((unknown.path, unknown.note), (Some(dir.path().to_owned()), None));
    }
}

//! `/etc` of a program that sees an FHS tree: the tree's, with what only the machine can know laid over it.

use std::path::{Path, PathBuf};

use nopal_fs::FsError;

/// Files that come from the machine where it has them: who and where the user is, and how names are resolved.
pub(super) const FROM_MACHINE: [&str; 9] =
    ["group", "host.conf", "hostname", "hosts", "localtime", "machine-id", "nsswitch.conf", "passwd", "resolv.conf"];

/// Names of the files in `/etc` that come from the machine where it has them.
pub fn overlaid_files() -> &'static [&'static str] {
    &FROM_MACHINE
}

/// A file of the machine, with links followed, since what they lead through may not be visible inside.
pub(super) fn machine_file(name: &str) -> Option<PathBuf> {
    nopal_fs::canonicalize(&Path::new("/etc").join(name)).ok().filter(|path| nopal_fs::is_file(path))
}

/// What a file that the machine does not have is made of: the tree's, and what programs cannot do without.
pub(super) fn made_up(name: &str, tree_etc: Option<&Path>, home: &Path) -> Result<Option<Vec<u8>>, FsError> {
    let of_tree = match tree_etc {
        Some(etc) => nopal_fs::read_file_if_exists(&etc.join(name))?,
        None => None,
    };
    let mut text = String::from_utf8_lossy(&of_tree.clone().unwrap_or_default()).into_owned();
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    match name {
        "passwd" => {
            add_line(&mut text, 0, "root:x:0:0:root:/root:/bin/sh");
            add_line(&mut text, uid, &format!("user:x:{uid}:{gid}:user:{}:/bin/sh", home.display()));
        }
        "group" => {
            add_line(&mut text, 0, "root:x:0:");
            add_line(&mut text, gid, &format!("user:x:{gid}:"));
        }
        "hosts" if of_tree.is_none() => text.push_str("127.0.0.1 localhost\n::1 localhost\n"),
        "nsswitch.conf" if of_tree.is_none() => {
            text.push_str("passwd: files\ngroup: files\nhosts: files dns\nservices: files\n");
        }
        _ => return Ok(of_tree),
    }
    Ok(Some(text.into_bytes()))
}

/// Adds a line about an id to a table that has none about it.
fn add_line(table: &mut String, id: u32, line: &str) {
    let id = id.to_string();
    if table.lines().any(|line| line.split(':').nth(2) == Some(id.as_str())) {
        return;
    }
    if !table.is_empty() && !table.ends_with('\n') {
        table.push('\n');
    }
    table.push_str(line);
    table.push('\n');
}

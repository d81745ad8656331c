//! What a program sees that is started with `nopal run`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use nopal_build::run::{self, RunSpec, StoreView};
use nopal_format::StoreDir;
use nopal_test::OrdinaryUser;

use crate::child;
use crate::fixture::Site;

/// In the other process: becomes the shell. `ROOT SHELL TREE SCRIPT`, separated by line feeds.
pub(crate) fn enter_argument(argument: &str) {
    let mut words = argument.splitn(4, '\n');
    let root = PathBuf::from(words.next().unwrap());
    let shell = words.next().unwrap();
    let tree = Some(words.next().unwrap()).filter(|tree| !tree.is_empty()).map(PathBuf::from);
    let script = words.next().unwrap();
    let physical = root.join("store");
    let spec = RunSpec {
        store: StoreView { physical: physical.clone(), logical: StoreDir::new("/nix/store").unwrap() },
        fhs: tree,
        mount_point: physical,
        cwd: root.clone(),
        home: "/home/nobody".into(),
        program: format!("/nix/store/{shell}/bin/sh").into(),
        name: None,
        arguments: ["-c", script].map(OsString::from).into(),
        environment: vec![("PATH".into(), format!("/nix/store/{shell}/bin").into()), ("MARK".into(), "here".into())],
    };
    become_alone(|| {
        let Err(error) = run::enter(&spec);
        eprintln!("{error}");
        std::process::exit(99);
    });
}

/// Goes on in a child, which has one thread, and ends as that does.
fn become_alone(go_on: impl FnOnce()) {
    use std::io::Write;
    std::io::stdout().flush().unwrap();
    // SAFETY: the child calls nothing that waits for a thread of the parent; memory allocation is safe after `fork`.
    match unsafe { libc::fork() } {
        0 => go_on(),
        pid => {
            let mut status = 0;
            // SAFETY: `status` is ours; the child exists.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
            if libc::WIFSIGNALED(status) {
                // SAFETY: a signal to ourselves.
                unsafe { libc::raise(libc::WTERMSIG(status)) };
            }
            std::process::exit(libc::WEXITSTATUS(status));
        }
    }
}

fn run(site: &Site, tree: Option<&Path>, script: &str) -> Output {
    let tree = tree.map(|tree| tree.display().to_string()).unwrap_or_default();
    let argument = format!("{}\n{}\n{tree}\n{script}", site.root().display(), site.shell);
    child::command("runs", &argument).stdin(Stdio::null()).output().unwrap()
}

/// What the script said, without the test program's own first lines.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let text = text.split_once("test child::runs ... ").map_or(&*text, |(_, rest)| rest);
    text.to_owned()
}

#[test]
fn the_store_is_at_its_logical_place() {
    if OrdinaryUser::rerun("run::the_store_is_at_its_logical_place") {
        return;
    }
    let Some(site) = Site::new() else { return };
    let script = format!(
        "echo $MARK; ls /nix/store/{}/bin/sh; pwd; id -u; touch /nix/store/x 2>/dev/null || echo read-only; \
         [ -d /usr ] && [ -e /proc/self ] && [ -c /dev/null ] && echo machine; exit 42",
        site.shell
    );
    let output = run(&site, None, &script);
    let uid = std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me)).unwrap();
    let expected =
        format!("here\n/nix/store/{}/bin/sh\n{}\n{uid}\nread-only\nmachine\n", site.shell, site.root().display());
    assert_eq!(said(&output), expected, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(42));
}

#[test]
fn signals_are_the_programs_own() {
    use std::os::unix::process::ExitStatusExt;
    let Some(site) = Site::new() else { return };
    assert_eq!(run(&site, None, "kill -TERM $$").status.signal(), Some(15));
}

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for directory in ["usr/bin", "usr/lib", "usr/share/doc", "etc/ssl"] {
        std::fs::create_dir_all(tree.path().join(directory)).unwrap();
    }
    std::fs::write(tree.path().join("usr/bin/only-here"), "").unwrap();
    std::fs::write(tree.path().join("etc/ssl/conf"), "of the tree").unwrap();
    std::fs::write(tree.path().join("etc/debian_version"), "12\n").unwrap();
    std::os::unix::fs::symlink("usr/bin", tree.path().join("bin")).unwrap();
    tree
}

fn a_tree_takes_the_place_of_usr() {
    let Some(site) = Site::new() else { return };
    let tree = tree();
    let script = "ls /usr/bin /bin/; ls -d /lib /lib64 /sbin 2>/dev/null; cat /etc/ssl/conf; echo; \
                  [ -s /etc/passwd ] && grep -q . /etc/nsswitch.conf && echo etc; [ -d /tmp ] && [ -d /sys ] && echo machine; \
                  touch /usr/x 2>/dev/null || echo read-only; touch /x 2>/dev/null || echo root read-only";
    let output = run(&site, Some(tree.path()), script);
    let expected = "/bin/:\nonly-here\n\n/usr/bin:\nonly-here\nof the tree\netc\nmachine\nread-only\nroot read-only\n";
    assert_eq!(said(&output), expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_tree_takes_the_place_of_usr_as_root() {
    a_tree_takes_the_place_of_usr();
}

#[test]
fn a_tree_takes_the_place_of_usr_for_users() {
    if !OrdinaryUser::rerun("run::a_tree_takes_the_place_of_usr_for_users") {
        a_tree_takes_the_place_of_usr();
    }
}

#[test]
fn errors_say_what_is_missing() {
    let Some(site) = Site::new() else { return };
    let argument = format!("{}\n{}\n\n:", site.root().display(), "00000000000000000000000000000000-none");
    let output = child::command("runs", &argument).output().unwrap();
    assert_eq!(output.status.code(), Some(99));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("cannot execute '/nix/store/00000000000000000000000000000000-none/bin/sh'"), "{text}");
}

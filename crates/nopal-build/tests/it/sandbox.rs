//! What a builder sees and may do.

use nopal_format::derivation::OutputSpec;
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm};
use nopal_store::AddOptions;
use nopal_test::OrdinaryUser;

use crate::child;
use crate::fixture::Site;

fn fixed(content: &str) -> OutputSpec {
    let hash = Hash::of(HashAlgorithm::Sha256, content.as_bytes());
    OutputSpec::Fixed(ContentAddress { method: ContentAddressMethod::Flat, hash })
}

/// Lists everything outside of /proc, /dev and the shell itself.
const LIST: &str = r#"cd /; find . -path ./proc -prune -o -path "./nix/store/*/bin/*" -o -print | sort > $out"#;

fn what_a_builder_sees() {
    let Some(site) = Site::new() else { return };
    let shell = site.shell.base_name();
    let expected = format!(
        ".\n./build\n./dev\n./dev/fd\n./dev/full\n./dev/null\n./dev/ptmx\n./dev/pts\n./dev/pts/ptmx\n./dev/random\n\
         ./dev/shm\n./dev/stderr\n./dev/stdin\n./dev/stdout\n./dev/tty\n./dev/urandom\n./dev/zero\n./etc\n./etc/group\n\
         ./etc/hosts\n./etc/passwd\n./nix\n./nix/store\n./nix/store/{shell}\n./nix/store/{shell}/bin\n./tmp\n"
    );
    // the output is opened by the redirection before the listing, and so is in it
    let seen = site.build_text(site.recipe("list", LIST));
    let seen: Vec<&str> = seen.lines().filter(|line| !line.ends_with("-list")).collect();
    assert_eq!(seen, expected.lines().collect::<Vec<_>>());
    site.assert_clean();
}

#[test]
fn a_builder_sees_its_inputs_and_nothing_else() {
    if !OrdinaryUser::rerun("sandbox::a_builder_sees_its_inputs_and_nothing_else") {
        what_a_builder_sees();
    }
}

#[test]
fn a_builder_sees_its_inputs_and_nothing_else_as_root() {
    what_a_builder_sees();
}

#[test]
fn no_path_of_the_machine_shows_through() {
    let Some(site) = Site::new() else { return };
    // mount information is where host paths like to show: of the store's file system, only the part within it
    let script =
        "cat /proc/self/mountinfo /proc/self/environ /proc/self/maps /proc/mounts > $out; ls -l /proc/self/ >> $out";
    let seen = site.build_text(site.recipe("leaks", script));
    assert!(!seen.contains("/home/"), "{seen}");
    assert!(seen.lines().all(|line| !line.contains(" /old") && !line.contains(".store")), "{seen}");
}

#[test]
fn identity_and_names() {
    let Some(site) = Site::new() else { return };
    let script = "{ id -u; id -g; whoami; hostname; pwd; echo $$; umask; tty < /dev/stdin || true; ulimit -c; } > $out";
    let expected = "1000\n100\nnixbld\nlocalhost\n/build\n1\n0022\nnot a tty\n0\n";
    assert_eq!(site.build_text(site.recipe("identity", script)), expected);
}

#[test]
fn there_is_no_network() {
    let Some(site) = Site::new() else { return };
    let script = "ip link | grep -c '^[0-9]' > $out; ip addr | grep -c 127.0.0.1 >> $out; \
                  if wget -T 2 -q -O - http://1.1.1.1/; then echo reached >> $out; fi";
    assert_eq!(site.build_text(site.recipe("network", script)), "1\n1\n");
}

#[test]
fn fixed_outputs_share_the_network() {
    let Some(site) = Site::new() else { return };
    let script = "readlink /proc/self/ns/net >&2; ls /etc >&2; printf x > $out; cat /etc/nsswitch.conf >&2";
    let out = site.build(site.recipe("fixed", script).spec(fixed("x")));
    assert_eq!(std::fs::read_to_string(out).unwrap(), "x");
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    let logs = site.root().join("var/log/drvs");
    let log = walk(&logs).into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>();
    assert!(log.starts_with(&format!("{}\n", ours.display())), "{log}");
    assert!(log.contains("hosts: files dns"), "{log}");
}

fn walk(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn inputs_and_root_are_read_only() {
    let Some(site) = Site::new() else { return };
    let shell = site.store.print(&site.shell);
    let script = format!(
        "no() {{ if \"$@\" 2>/dev/null; then echo \"allowed: $*\" >> $out; fi; }}\n: > $out\n\
         no chmod 0755 {shell}; no chmod 0755 {shell}/bin; no touch {shell}/bin/x; no rm {shell}/bin/ls; no rm -r {shell}\n\
         no mkdir /x; no touch /etc/x; no touch /dev/x; no chmod 0777 /etc; no mv {shell} {shell}-moved\n\
         touch /tmp/x /build/x /dev/shm/x; mkdir /nix/store/scratch; rmdir /nix/store/scratch 2>/dev/null || true\n\
         no mount -t tmpfs none /tmp; no mknod /tmp/null c 1 3; no chown 0 /tmp/x\n"
    );
    assert_eq!(site.build_text(site.recipe("readonly", &script)), "");
}

#[test]
fn set_user_id_and_attributes_are_refused() {
    if OrdinaryUser::rerun("sandbox::set_user_id_and_attributes_are_refused") {
        return;
    }
    let Some(site) = Site::new() else { return };
    let script = "touch f; mkdir d; for mode in 4755 2755 6755 u+s g+s; do \
                  if chmod $mode f 2>/dev/null; then echo $mode; fi; done > $out; chmod 1777 d; chmod 0755 f";
    assert_eq!(site.build_text(site.recipe("setuid", script)), "");
    assert_eq!(child::in_sandbox(&site, "syscalls"), child::SYSCALLS);
}

#[test]
fn a_tree_of_the_file_hierarchy_standard() {
    let Some(site) = Site::new() else { return };
    let tree = tempfile::tempdir().unwrap();
    let path = |name: &str| tree.path().join(name);
    for directory in ["usr/bin", "usr/lib", "etc/ssl", "etc/alternatives"] {
        std::fs::create_dir_all(path(directory)).unwrap();
    }
    std::fs::write(path("usr/lib/libx.so"), "x").unwrap();
    std::fs::write(path("etc/ssl/openssl.cnf"), "conf").unwrap();
    std::fs::write(path("etc/passwd"), "theirs").unwrap();
    std::fs::write(path("etc/ld.so.conf"), "conf").unwrap();
    std::os::unix::fs::symlink("usr/bin", path("bin")).unwrap();
    std::os::unix::fs::symlink("usr/lib", path("lib")).unwrap();
    std::os::unix::fs::symlink("/usr/lib/libx.so", path("etc/alternatives/x")).unwrap();
    std::os::unix::fs::symlink(format!("{}/bin/busybox", site.store.print(&site.shell)), path("usr/bin/sh")).unwrap();
    let tree = site.store.add_path(tree.path(), &AddOptions::source("tree"), None).unwrap().path;
    let script = "ls -d /usr /lib /bin /sbin 2>/dev/null > $out || true; readlink /bin >> $out; ls /etc >> $out; \
                  head -n 1 /etc/passwd >> $out; cat /etc/alternatives/x >> $out; echo >> $out; \
                  /bin/sh -c 'echo a shell' >> $out; if touch /usr/lib/y 2>/dev/null; then echo writable; fi >> $out";
    let recipe = site.recipe("fhs", script).source(&tree).env("__fhs", &site.store.print(&tree));
    let expected = "/bin\n/lib\n/usr\nusr/bin\nalternatives\ngroup\nhosts\nld.so.conf\npasswd\nssl\n\
                    root:x:0:0:Nix build user:/build:/noshell\nx\na shell\n";
    assert_eq!(site.build_text(recipe), expected);
    let outside = site.recipe("fhs", script).env("__fhs", &site.store.print(&tree));
    let (_, text) = site.fail(outside);
    assert!(text.contains("is not among the inputs"), "{text}");
}

#[test]
fn a_probe_agrees_with_the_builds() {
    if OrdinaryUser::rerun("sandbox::a_probe_agrees_with_the_builds") {
        return;
    }
    let Some(site) = Site::new() else { return };
    let probe = nopal_build::probe::probe(site.root());
    println!("{probe:#?}");
    // the other tests could not build otherwise
    assert!(probe.sandbox_works() && probe.run_works(), "{probe:#?}");
    assert!(!probe.kernel.is_empty());
}

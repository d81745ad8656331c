//! Unpacking .debs made here, joining them, and what is made of their scripts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nopal_import::debian::lock::LOCK_VERSION;
use nopal_import::debian::unpack::CONTROL_DIR;
use nopal_import::debian::{
    Explanation, Lock, LockedPackage, UnpackError, Verdict, explain, join_trees, unpack_deb, x509,
};

/// What one member of the data archive is.
enum Member<'a> {
    File(&'a str, &'a [u8]),
    Link(&'a str, &'a str),
    Dir(&'a str),
}
use Member::{Dir, File, Link};

fn tar_of(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(0);
        match member {
            File(name, contents) => {
                header.set_size(contents.len() as u64);
                builder.append_data(&mut header, name, *contents).unwrap();
            }
            Link(name, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, name, target).unwrap();
            }
            Dir(name) => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, name, &b""[..]).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn ar_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, contents) in members {
        out.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, contents.len()).bytes());
        out.extend(contents);
        out.extend(vec![b'\n'; contents.len() % 2]);
    }
    out
}

/// A place where packages are made and unpacked.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn deb(&self, name: &str, fields: &str, scripts: &[(&str, &str)], data: &[Member<'_>]) -> PathBuf {
        let control = format!("Package: {name}\nVersion: 1\nArchitecture: amd64\n{fields}");
        let mut members = vec![File("control", control.as_bytes())];
        members.extend(scripts.iter().map(|(name, text)| File(name, text.as_bytes())));
        let bytes = ar_of(&[
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar", tar_of(&members)),
            ("data.tar", tar_of(data)),
        ]);
        let deb = self.0.path().join(format!("{name}.deb"));
        fs::write(&deb, bytes).unwrap();
        deb
    }

    fn package(&self, name: &str, fields: &str, scripts: &[(&str, &str)], data: &[Member<'_>]) -> PathBuf {
        let out = self.0.path().join(name);
        unpack_deb(&self.deb(name, fields, scripts, data), &out).unwrap();
        out
    }

    fn join(&self, inputs: &[PathBuf]) -> (PathBuf, Vec<String>) {
        let out = self.0.path().join(format!("tree{}", fs::read_dir(self.0.path()).unwrap().count()));
        let report = join_trees(inputs, &out).unwrap();
        (out, report.notes)
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn target(path: &Path) -> String {
    fs::read_link(path).unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_package_is_unpacked_with_its_control_files_aside() {
    let place = Place::new();
    let out = place.package(
        "a",
        "",
        &[("postinst", "#!/bin/sh\n")],
        &[Dir("./"), File("./usr/bin/a", b"a"), Link("./bin", "usr/bin")],
    );
    assert_eq!(text(&out.join("usr/bin/a")), "a");
    assert_eq!(text(&out.join(CONTROL_DIR).join("postinst")), "#!/bin/sh\n");
    assert!(text(&out.join(CONTROL_DIR).join("control")).starts_with("Package: a\n"));
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".deb", "bin", "usr"]);
}

#[test]
fn what_is_no_package_is_a_clear_error() {
    let place = Place::new();
    let good = fs::read(place.deb("a", "", &[], &[File("./x", b"x")])).unwrap();
    let unpack = |name: &str, bytes: &[u8]| {
        let file = place.0.path().join(name);
        fs::write(&file, bytes).unwrap();
        unpack_deb(&file, &place.0.path().join(format!("{name}.out"))).unwrap_err()
    };
    assert!(matches!(unpack("empty", b""), UnpackError::NotADeb { .. }));
    assert!(matches!(unpack("text", b"no package at all"), UnpackError::NotADeb { .. }));
    assert!(matches!(
        unpack("future", &ar_of(&[("debian-binary", b"3.0\n".to_vec())])),
        UnpackError::UnknownFormat { .. }
    ));
    assert!(matches!(
        unpack("other", &ar_of(&[("x", b"2.0\n".to_vec())])),
        UnpackError::Missing { what: "debian-binary", .. }
    ));
    let no_data = ar_of(&[("debian-binary", b"2.0\n".to_vec()), ("control.tar", tar_of(&[]))]);
    assert!(matches!(unpack("nodata", &no_data), UnpackError::Missing { what: "data.tar", .. }));
    // whatever is cut off, it is an error and no panic
    for end in (0..good.len() - 1024).step_by(97) {
        let out = place.0.path().join("cut.out");
        let file = place.0.path().join("cut");
        fs::write(&file, &good[..end]).unwrap();
        assert!(unpack_deb(&file, &out).is_err(), "{end}");
        let _ = fs::remove_dir_all(&out);
    }
    // control files cannot be smuggled in as data
    let smuggled = place.deb("b", "", &[], &[File("./.deb/control/postinst", b"evil")]);
    assert!(unpack_deb(&smuggled, &place.0.path().join("b.out")).is_err());
}

#[test]
fn usr_is_merged_and_files_share_their_bytes() {
    let place = Place::new();
    let inputs = [
        place.package(
            "libc",
            "",
            &[],
            &[File("./lib/x/libc.so", b"c"), Link("./lib64/ld.so", "/lib/x/ld.so"), File("./lib/x/ld.so", b"ld")],
        ),
        place.package(
            "tool",
            "",
            &[],
            &[File("./bin/tool", b"t"), File("./usr/bin/other", b"o"), Link("./usr/bin/tool", "/bin/tool")],
        ),
    ];
    let (tree, notes) = place.join(&inputs);
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(target(&tree.join("bin")), "usr/bin");
    assert_eq!(target(&tree.join("lib64")), "usr/lib64");
    assert_eq!(text(&tree.join("bin/tool")), "t");
    assert_eq!(text(&tree.join("usr/bin/other")), "o");
    assert_eq!(text(&tree.join("usr/lib/x/libc.so")), "c");
    assert!(!tree.join("sbin").exists() && !tree.join(".deb").exists());
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(tree.join("usr/bin/tool")), inode(inputs[1].join("bin/tool")));
}

#[test]
fn conflicts_follow_replaces_and_do_not_depend_on_the_order() {
    let place = Place::new();
    let old = place.package("z-old", "", &[], &[File("./usr/share/x", b"old")]);
    let new = place.package("new", "Replaces: z-old (<< 2)\n", &[], &[File("./usr/share/x", b"new")]);
    let plain = place.package("plain", "", &[], &[File("./usr/share/y", b"plain")]);
    let rival = place.package("rival", "", &[], &[File("./usr/share/y", b"rival")]);
    for inputs in [[old.clone(), new.clone(), plain.clone(), rival.clone()], [rival, plain, new, old]] {
        let (tree, _) = place.join(&inputs);
        assert_eq!(text(&tree.join("usr/share/x")), "new");
        assert_eq!(text(&tree.join("usr/share/y")), "plain");
    }
}

#[test]
fn a_link_to_a_directory_and_a_directory_become_one() {
    let place = Place::new();
    let inputs = [
        place.package("a", "", &[], &[Link("./usr/share/doc/a", "b"), File("./usr/share/doc/b/one", b"1")]),
        place.package("b", "", &[], &[Dir("./usr/share/doc/a"), File("./usr/share/doc/a/two", b"2")]),
    ];
    let (tree, _) = place.join(&inputs);
    assert_eq!(target(&tree.join("usr/share/doc/a")), "b");
    assert_eq!(text(&tree.join("usr/share/doc/a/one")), "1");
    assert_eq!(text(&tree.join("usr/share/doc/b/two")), "2");
}

#[test]
fn alternatives_and_diversions_are_done_as_data() {
    let place = Place::new();
    let install = |path: &str, priority: u32| {
        format!(
            "#!/bin/sh\nif [ \"$1\" = configure ]; then\n update-alternatives --install /usr/bin/awk awk {path} {priority} \\\n  --slave /usr/share/awk.1 awk.1 {path}.1\nfi\n"
        )
    };
    let gawk = install("/usr/bin/gawk", 10);
    let mawk = install("/bin/mawk", 5);
    let absent = install("/usr/bin/absent", 99);
    let divert = "dpkg-divert --package wrapper --add --rename --divert /usr/bin/tool.real /usr/bin/tool\n";
    let inputs = [
        place.package("gawk", "", &[("postinst", &gawk)], &[File("./usr/bin/gawk", b"g"), File("./usr/bin/gawk.1", b"man")]),
        place.package("mawk", "", &[("postinst", &mawk)], &[File("./usr/bin/mawk", b"m")]),
        place.package("absent", "", &[("postinst", &absent)], &[]),
        place.package("tool", "", &[], &[File("./usr/bin/tool", b"original")]),
        place.package("wrapper", "", &[("preinst", divert)], &[File("./usr/bin/tool", b"wrapper")]),
        place.package("odd", "", &[("postinst", "update-alternatives --install /usr/bin/odd odd $(find) 5\nupdate-alternatives --install /usr/bin/x ../../x /usr/bin/gawk 5\n")], &[]),
    ];
    let (tree, notes) = place.join(&inputs);
    assert_eq!(target(&tree.join("usr/bin/awk")), "/etc/alternatives/awk");
    assert_eq!(target(&tree.join("etc/alternatives/awk")), "/usr/bin/gawk");
    assert_eq!(target(&tree.join("etc/alternatives/awk.1")), "/usr/bin/gawk.1");
    assert_eq!(text(&tree.join("usr/bin/tool")), "wrapper");
    assert_eq!(text(&tree.join("usr/bin/tool.real")), "original");
    assert!(notes.iter().any(|note| note.starts_with("odd: not understood")), "{notes:?}");
    assert!(!tree.join("x").exists());
}

#[test]
fn the_linkers_cache_is_what_ldconfig_reads() {
    let place = Place::new();
    // this test program's own libraries serve as input; a static one has none
    let candidates =
        ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libc.so.6"];
    let Some(library) = candidates.iter().find_map(|path| fs::read(path).ok()) else {
        eprintln!("SKIPPED: no C library at a known place");
        return;
    };
    let inputs = [place.package(
        "libc6",
        "",
        &[],
        &[
            File("./etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n"),
            File("./etc/ld.so.conf.d/one.conf", b"# first\n/lib/first\n"),
            File("./lib/first/libfoo.so.10.1", &library),
            Link("./lib/first/libfoo.so.9", "libfoo.so.10.1"),
            File("./usr/lib/libnot.so.1", b"text"),
            Link("./usr/lib/libdangling.so.1", "nowhere"),
            File("./usr/lib/private/libprivate.so.1", &library),
        ],
    )];
    let (tree, _) = place.join(&inputs);
    let soname_links: Vec<_> = fs::read_dir(tree.join("usr/lib/first"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        soname_links.iter().any(|name| name == "libc.so.6" || name == "libm.so.6"),
        "the link ldconfig would make: {soname_links:?}"
    );
    let Ok(output) = Command::new("/sbin/ldconfig").args(["-p", "-C"]).arg(tree.join("etc/ld.so.cache")).output()
    else {
        eprintln!("SKIPPED: no ldconfig");
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = shown.lines().skip(1).filter(|line| line.contains("=>")).map(|line| line.trim()).collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(
        lines[0].starts_with("libfoo.so.10.1 (libc6,") && lines[0].ends_with("=> /usr/lib/first/libfoo.so.10.1"),
        "{shown}"
    );
    assert!(lines[1].starts_with("libfoo.so.9 "), "digits compare as numbers: {shown}");
}

/// A certificate made by `openssl req -x509 -newkey ed25519 -subj "/C=DE/O=Nopal  Test/CN=Ünïcode CA"`; its hash is what
/// `openssl x509 -subject_hash` says.
const CERTIFICATE: &str = include_str!("../certificate.pem");
const CERTIFICATE_HASH: &str = include_str!("../certificate.hash");

#[test]
fn certificates_become_a_bundle_with_hash_links() {
    let place = Place::new();
    let inputs = [place.package(
        "ca-certificates",
        "",
        &[],
        &[
            File("./usr/share/ca-certificates/mozilla/A_(1).crt", CERTIFICATE.as_bytes()),
            File("./usr/share/ca-certificates/mozilla/B.crt", b"no certificate"),
        ],
    )];
    let (tree, _) = place.join(&inputs);
    let certs = tree.join("etc/ssl/certs");
    assert_eq!(text(&certs.join("ca-certificates.crt")), format!("{CERTIFICATE}no certificate\n"));
    assert_eq!(target(&certs.join("A_=1=.pem")), "/usr/share/ca-certificates/mozilla/A_(1).crt");
    assert_eq!(target(&certs.join(format!("{}.0", CERTIFICATE_HASH.trim()))), "A_=1=.pem");
}

#[test]
fn broken_certificates_have_no_hash() {
    let der = x509::pem_certificate(CERTIFICATE).unwrap();
    for end in 0..der.len() {
        let _ = x509::subject_hash(&der[..end]);
    }
    assert!(x509::subject_hash(b"").is_none());
}

#[test]
fn an_explanation_tells_done_from_not_done() {
    let place = Place::new();
    let script = "#!/bin/sh\nset -e\nldconfig\nupdate-alternatives --install /usr/bin/a a /usr/bin/b 1\nglib-compile-schemas /usr/share/x\nadduser --system x\nmystery 1\n";
    let root = place.package(
        "a",
        "",
        &[("postinst", script), ("triggers", "activate-noawait ldconfig\ninterest /usr/share/y\n")],
        &[],
    );
    let package = |depends: &[&str]| LockedPackage {
        version: "1".to_owned(),
        architecture: "amd64".to_owned(),
        url: String::new(),
        sha256: String::new(),
        size: 0,
        depends: depends.iter().map(|name| (*name).to_owned()).collect(),
    };
    let lock = Lock {
        version: LOCK_VERSION,
        architecture: "amd64".to_owned(),
        requested: Vec::new(),
        suites: Vec::new(),
        essential: Vec::new(),
        chosen: BTreeMap::new(),
        conflicts: BTreeMap::new(),
        packages: BTreeMap::from([("a".to_owned(), package(&["b"])), ("b".to_owned(), package(&["a"]))]),
        sources: BTreeMap::new(),
    };
    let explanation: Explanation = explain(&lock, "a", &BTreeMap::from([("a".to_owned(), root)])).unwrap();
    let found: Vec<(String, Verdict)> = explanation
        .effects
        .iter()
        .map(|effect| (effect.command.split(' ').next().unwrap_or_default().to_owned(), effect.verdict))
        .collect();
    let expected = [
        ("ldconfig", Verdict::Done),
        ("update-alternatives", Verdict::Done),
        ("glib-compile-schemas", Verdict::NotDone),
        ("adduser", Verdict::NotNeeded),
        ("mystery", Verdict::NotDone),
        ("activate-noawait", Verdict::Done),
        ("interest", Verdict::NotDone),
    ];
    assert_eq!(found, expected.map(|(command, verdict)| (command.to_owned(), verdict)));
    assert!(explanation.to_string().contains("Not done:\n  a\n    postinst: glib-compile-schemas"));
    assert!(explain(&lock, "missing", &BTreeMap::new()).is_err());
}

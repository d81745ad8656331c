//! Archives made by hand, good and hostile, with the verdict of Nix 2.34.8 on each. Ours must be the same, except that
//! bytes behind the archive, which Nix leaves unread, are refused where the archive must be all there is.

use nopal_format::nar::{NarError, NarEvent, Tree, decode};

fn token(bytes: &[u8]) -> Vec<u8> {
    padded(bytes, 0)
}

fn padded(bytes: &[u8], pad: u8) -> Vec<u8> {
    let mut out = (bytes.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(8), pad);
    out
}

/// Tokens separated by spaces; `_` is the empty one.
fn tokens(text: &str) -> Vec<u8> {
    text.split(' ').flat_map(|word| token(if word == "_" { b"" } else { word.as_bytes() })).collect()
}

fn regular(contents: &[u8]) -> Vec<u8> {
    [tokens("( type regular contents"), token(contents), tokens(")")].concat()
}

fn symlink(target: &[u8]) -> Vec<u8> {
    [tokens("( type symlink target"), token(target), tokens(")")].concat()
}

fn directory(entries: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let mut out = tokens("( type directory");
    for (name, node) in entries {
        out.extend([tokens("entry ( name"), token(name), tokens("node"), node.clone(), tokens(")")].concat());
    }
    out.extend(tokens(")"));
    out
}

fn deep(levels: usize) -> Vec<u8> {
    (0..levels).fold(directory(&[]), |inner, _| directory(&[(b"d", inner)]))
}

fn archive(root: Vec<u8>) -> Vec<u8> {
    [tokens("nix-archive-1"), root].concat()
}

fn accepted() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("ok-dir", archive(directory(&[(b"a", regular(b"x")), (b"b", symlink(b"a"))]))),
        ("ok-empty-file", archive(regular(b""))),
        ("ok-exec", archive(tokens("( type regular executable _ contents #! )"))),
        ("ok-dangling-abs-symlink", archive(directory(&[(b"l", symlink(b"/etc/passwd"))]))),
        ("ok-nonutf8-name", archive(directory(&[(b"\xff\xfe", regular(b"x"))]))),
        ("ok-empty-dir", archive(directory(&[]))),
        ("ok-name-255", archive(directory(&[(&[b'n'; 255], regular(b"x"))]))),
        ("ok-depth-60", archive(deep(60))),
        ("case-collide", archive(directory(&[(b"A", regular(b"x")), (b"a", regular(b"x"))]))),
        ("case-hack-suffix", archive(directory(&[(b"a~nix~case~hack~1", regular(b"x"))]))),
    ]
}

fn trailing() -> Vec<(&'static str, Vec<u8>)> {
    let one = archive(regular(b"x"));
    vec![
        ("trailing-garbage", [one.clone(), b"JUNK".to_vec()].concat()),
        ("trailing-second-nar", [one.clone(), one].concat()),
    ]
}

fn bad_names() -> Vec<(&'static str, Vec<u8>)> {
    let named = |name: &[u8]| archive(directory(&[(name, regular(b"x"))]));
    let x = || regular(b"x");
    vec![
        ("dup-entry", archive(directory(&[(b"a", x()), (b"a", regular(b"y"))]))),
        ("symlink-then-dir", archive(directory(&[(b"a", symlink(b"/tmp")), (b"a", directory(&[(b"pwn", x())]))]))),
        ("unsorted", archive(directory(&[(b"b", x()), (b"a", x())]))),
        ("dotdot", named(b"..")),
        ("dot", named(b".")),
        ("slash", named(b"a/b")),
        ("abs", named(b"/x")),
        ("empty-name", named(b"")),
        ("nul-name", named(b"a\0b")),
        ("name-256", named(&[b'n'; 256])),
        ("symlink-empty", archive(symlink(b""))),
        ("symlink-nul", archive(symlink(b"a\0b"))),
        ("symlink-4096", archive(symlink(&[b't'; 4096]))),
        ("depth-100", archive(deep(100))),
        ("depth-5000", archive(deep(5000))),
    ]
}

fn bad_framing() -> Vec<(&'static str, Vec<u8>)> {
    let contents = tokens("( type regular contents");
    let long = archive(regular(&[b'y'; 100]));
    vec![
        ("nonzero-pad", archive([contents.clone(), padded(b"x", 1), tokens(")")].concat())),
        ("nonzero-pad-tag", [padded(b"nix-archive-1", 1), regular(b"x")].concat()),
        ("truncated", long[..long.len() - 30].to_vec()),
        ("huge-tag", (1_u64 << 40).to_le_bytes().to_vec()),
        ("huge-contents", archive([contents.clone(), (1_u64 << 62).to_le_bytes().to_vec()].concat())),
        ("huge-contents-63", archive([contents, u64::MAX.to_le_bytes().to_vec()].concat())),
        ("bad-magic", [tokens("nix-archive-2"), regular(b"x")].concat()),
        ("exec-nonempty", archive(tokens("( type regular executable yes contents x )"))),
        ("dup-type", archive(tokens("( type regular type symlink target x )"))),
        ("contents-on-dir", archive(tokens("( type directory contents x )"))),
        ("no-type", archive(tokens("( )"))),
        ("unknown-type", archive(tokens("( type fifo )"))),
        ("regular-no-contents", archive(tokens("( type regular )"))),
        ("exec-after-contents", archive(tokens("( type regular contents x executable _ )"))),
        ("entry-no-node", archive(tokens("( type directory entry ( name a ) )"))),
        (
            "entry-node-before-name",
            archive([tokens("( type directory entry ( node"), regular(b"x"), tokens("name a ) )")].concat()),
        ),
        ("two-contents", archive(tokens("( type regular contents x contents y )"))),
    ]
}

#[test]
fn accepts_what_nix_accepts() {
    for (name, nar) in accepted() {
        let tree = Tree::from_nar(&mut nar.as_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tree.to_nar().unwrap(), nar, "{name}");
    }
}

#[test]
fn leaves_trailing_bytes_or_refuses_them() {
    for (name, nar) in trailing() {
        let mut visit = |_: NarEvent<'_>| Ok::<(), NarError>(());
        assert!(decode(&mut nar.as_slice(), &mut visit).is_ok(), "{name}");
        let error = Tree::from_nar(&mut nar.as_slice()).unwrap_err();
        assert!(matches!(error, NarError::Trailing { .. }), "{name}: {error}");
    }
}

#[test]
fn refuses_what_nix_refuses() {
    for (name, nar) in bad_names().into_iter().chain(bad_framing()) {
        assert!(Tree::from_nar(&mut nar.as_slice()).is_err(), "{name}");
        let mut visit = |_: NarEvent<'_>| Ok::<(), NarError>(());
        assert!(decode(&mut nar.as_slice(), &mut visit).is_err(), "{name}, contents skipped");
    }
}

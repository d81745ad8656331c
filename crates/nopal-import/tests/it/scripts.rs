//! What is understood of maintainer scripts.

use nopal_import::debian::alternatives::{Parsed, parse_alternative, parse_diversion};
use nopal_import::debian::script::commands;

/// The commands as text; `…` is a word that cannot be known.
fn read(script: &str) -> Vec<String> {
    commands(script).iter().map(ToString::to_string).collect()
}

#[test]
fn words_quotes_and_continuations() {
    let script = "#!/bin/sh\nset -e # comment\nfoo 'a b' \"c d\" e\\ f \\\n  g\nbar; baz && qux | quux\n(sub shell)\n";
    assert_eq!(read(script), ["set -e", "foo a b c d e f g", "bar", "baz", "qux", "quux", "sub shell"]);
}

#[test]
fn variables_with_one_literal_value_are_known() {
    assert_eq!(
        read("P=/usr/bin\nN=\"x$P\"\nfoo $P/a ${N} \"$P/b\" $1 $(cmd a b) `cmd` ${P%x}\n"),
        ["foo /usr/bin/a x/usr/bin /usr/bin/b … … … …"]
    );
    assert_eq!(read("P=a\nP=b\nfoo $P\n"), ["foo …"], "two values: only running it could tell");
    assert_eq!(read("L='a b'\nfoo $L \"$L\"\n"), ["foo a b a b"]);
}

#[test]
fn loops_over_literals_unfold() {
    let script = "for s in a b; do\n  for n in 1 2; do ln $s $n; done\ndone\nfor f in $(ls); do rm $f; done\nend\n";
    assert_eq!(read(script), ["ln a 1", "ln a 2", "ln b 1", "ln b 2", "rm …", "end"]);
}

#[test]
fn branches_and_functions_are_read_through() {
    let script = "case \"$1\" in\n  configure|abort) foo ;;\n  *) bar\n  ;;\nesac\nif [ \"$1\" = x ]; then baz; else qux; fi\nf() {\n  inner\n}\n";
    assert_eq!(read(script), ["foo", "bar", "[ … = x ]", "baz", "qux", "inner"]);
}

#[test]
fn redirections_and_here_documents_are_no_words() {
    assert_eq!(
        read("foo 2>/dev/null >&2 <in arg\ncat <<EOF >out\nnot a command\nEOF\nend\n"),
        ["foo arg", "cat", "end"]
    );
}

#[test]
fn hostile_scripts_end() {
    let deep = "for a in 1 2 3 4 5 6 7 8 9 0; do ".repeat(30) + "x; " + &"done; ".repeat(30);
    assert!(commands(&deep).len() <= 20_000);
    commands(&("for a in 1 2; do ".repeat(20_000)));
    for text in [
        "'",
        "\"",
        "$(",
        "${",
        "`",
        "<<",
        "<<EOF",
        "\\",
        "for",
        "for x in",
        "case",
        "case x in",
        "a()",
        "$",
        "done)",
        "((((",
        "}",
    ] {
        commands(text);
    }
}

#[test]
fn alternatives_are_read_with_their_slaves() {
    let script = "update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n  --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz\n\
                  update-alternatives --install /usr/bin/x x $(which y) 5\nupdate-alternatives --remove x /y\n";
    let parsed: Vec<_> = commands(script).iter().map(parse_alternative).collect();
    let Parsed::Is(awk) = &parsed[0] else { panic!("{parsed:?}") };
    assert_eq!(
        (awk.link.as_str(), awk.name.as_str(), awk.path.as_str(), awk.priority),
        ("/usr/bin/awk", "awk", "/usr/bin/mawk", 5)
    );
    assert_eq!(awk.slaves[0].1, "awk.1.gz");
    assert_eq!(parsed[1..], [Parsed::Unknown, Parsed::Other]);
}

#[test]
fn diversions_are_read_in_their_forms() {
    let parsed = |script: &str| parse_diversion(&commands(script)[0]);
    for script in [
        "dpkg-divert --package p --add --rename --divert /usr/bin/x.distrib /usr/bin/x",
        "dpkg-divert --add --package p --rename --divert=/usr/bin/x.distrib /usr/bin/x",
        "dpkg-divert /usr/bin/x",
    ] {
        let Parsed::Is(diversion) = parsed(script) else { panic!("{script}") };
        assert_eq!((diversion.from.as_str(), diversion.to.as_str()), ("/usr/bin/x", "/usr/bin/x.distrib"), "{script}");
    }
    assert_eq!(parsed("dpkg-divert --package p --remove /usr/bin/x"), Parsed::Other);
    assert_eq!(parsed("dpkg-divert --add $FILE"), Parsed::Unknown);
}

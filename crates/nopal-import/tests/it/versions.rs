//! The order of versions, as a table and against dpkg itself.

use std::cmp::Ordering;
use std::process::Command;

use nopal_import::debian::version::{Version, compare};

/// Each line is one class of equal versions; later lines are greater.
const ASCENDING: &str = "
0~~
0~~a
0~
0 0-0 0:0 00
0-0+b1
0a
0+
0.1
1.0~rc1
1.0~rc1-1
1.0 1.0-0 01.0
1.0-0.1
1.0-1~bpo1
1.0-1
1.0-1+b1
1.0-1+deb12u1
1.0-10
1.0a
1.0+dfsg
1.0.1
1.2.3
1.02.4
1.10
2-1-1
10
1:0
1:1.0
2:0.1
";

#[test]
fn the_table_is_in_order() {
    let classes: Vec<Vec<&str>> = ASCENDING.trim().lines().map(|line| line.split(' ').collect()).collect();
    for (i, left) in classes.iter().enumerate() {
        for (j, right) in classes.iter().enumerate() {
            for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} and {b}");
            }
        }
    }
}

#[test]
fn dpkg_agrees() {
    if Command::new("dpkg").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no dpkg on this machine");
        return;
    }
    let versions: Vec<&str> = ASCENDING.split_whitespace().collect();
    for (index, a) in versions.iter().enumerate() {
        // neighbours and a few far ones: each question is a process
        for b in [versions.get(index + 1), versions.get(index + 7)].into_iter().flatten() {
            let relation = match compare(a, b) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            let status = Command::new("dpkg").args(["--compare-versions", a, relation, b]).status().unwrap();
            assert!(status.success(), "dpkg says otherwise: {a} {relation} {b}");
        }
    }
}

#[test]
fn invalid_versions_are_refused() {
    for text in ["", ":1", "a:1", "1:", "1-", "-1", "1 2", "1_2", "1-a_b", "99999999999:1", "1:2\u{e4}"] {
        assert!(Version::parse(text).is_err(), "{text}");
    }
    for text in ["1", "1:1-1", "2.0-1-1", "1.0~rc1+dfsg-3+b2", "1:2:3-1"] {
        assert!(Version::parse(text).is_ok(), "{text}");
    }
}

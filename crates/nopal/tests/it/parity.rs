//! PARITY.md names every builtin there is.

use nopal_test::CliEnv;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn builtins_are_those_listed() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../PARITY.md")).unwrap();
    let section = page.split("## Builtins").nth(1).unwrap().split("\n## ").next().unwrap();
    let name = |line: &str| line.split('`').nth(1).unwrap_or_default().to_owned();
    let listed: BTreeSet<String> = section.lines().filter(|line| line.starts_with("- [")).map(name).collect();
    let ticked: BTreeSet<String> = section.lines().filter(|line| line.starts_with("- [x]")).map(name).collect();
    let env = CliEnv::new().unwrap();
    let features = "flakes fetch-tree fetch-closure dynamic-derivations";
    let mut nopal = env.command(env!("CARGO_BIN_EXE_nopal"));
    nopal.args(["eval", "--json", "--option", "experimental-features", features]);
    let output = nopal.args(["--expr", "builtins.attrNames builtins"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let known: BTreeSet<String> =
        text.trim().trim_matches(['[', ']']).split(',').map(|n| n.trim_matches('"').to_owned()).collect();
    let unlisted: Vec<_> = known.difference(&listed).collect();
    let absent: Vec<_> = ticked.difference(&known).collect();
    assert!(unlisted.is_empty() && absent.is_empty(), "not listed: {unlisted:?}; ticked and not there: {absent:?}");
}

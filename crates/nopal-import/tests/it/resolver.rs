//! Resolver cases as data: each file of `tests/resolve` is an index, a line `====`, and questions with answers.

use std::fs;
use std::path::Path;

use nopal_import::debian::sources::Repository;
use nopal_import::debian::{Keys, PackageSpec, Release, ResolveOptions, Suite, Universe, resolve};

/// Stanzas in a case may be as short as `Package` and `Version`: the rest is filled in.
fn universe(index: &str) -> Universe {
    let release = Release::parse("Label: Test\nSHA256:\n").unwrap();
    let repository = Repository {
        uri: "http://test.invalid".to_owned(),
        suite: "stable".to_owned(),
        components: vec!["main".to_owned()],
        keys: Keys::Files(Vec::new()),
        trusted: false,
        check_valid_until: true,
        origin: "test".to_owned(),
    };
    let suite = Suite { repository, release, fingerprint: String::new() };
    let text: String = index
        .split("\n\n")
        .map(str::trim)
        .filter(|stanza| !stanza.is_empty())
        .map(|stanza| {
            let version = if stanza.contains("Version:") { "" } else { "\nVersion: 1" };
            let architecture = if stanza.contains("Architecture:") { "" } else { "\nArchitecture: amd64" };
            format!("{stanza}{version}{architecture}\n\n")
        })
        .collect();
    Universe::from_texts("amd64".to_owned(), vec![suite], vec![(0, text)]).unwrap()
}

/// The answer to one `request:` line, in the form the case files have.
fn answer(universe: &Universe, request: &str) -> String {
    let (names, flags) = request.split_once('[').unwrap_or((request, ""));
    let options = ResolveOptions { essential: flags.contains("essential"), recommends: flags.contains("recommends") };
    let specs: Result<Vec<PackageSpec>, _> = names.split_whitespace().map(PackageSpec::parse).collect();
    match specs.and_then(|specs| resolve(universe, &specs, options)) {
        Ok(resolution) => {
            let packages: Vec<String> =
                resolution.packages.values().map(|package| format!("{}={}", package.name, package.version)).collect();
            let mut text = format!("result: {}", packages.join(" "));
            for (relation, name) in &resolution.chosen {
                text += &format!("\nchosen: {relation} -> {name}");
            }
            for (one, other, relation) in &resolution.conflicts {
                text += &format!("\nconflict: {one} {other} ({relation})");
            }
            text
        }
        Err(err) => {
            let hint = err.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            format!("error: {err}{hint}")
        }
    }
}

#[test]
fn every_case_gives_its_answer() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resolve");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "the cases are gone");
    let mut wrong = String::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (index, questions) = text.split_once("\n====\n").expect("a case has a line ====");
        let universe = universe(index);
        for block in questions.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
            let (request, expected) = block.split_once('\n').expect("a request and an answer");
            let request = request.strip_prefix("request: ").expect("a block begins with request:");
            let got = answer(&universe, request);
            if got != expected {
                wrong += &format!("\n{}: {request}\nexpected:\n{expected}\ngot:\n{got}\n", file.display());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

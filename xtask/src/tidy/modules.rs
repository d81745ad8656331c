//! Files that no module tree reaches, and test cases that no runner names.

use super::Fault;
use super::tree::{Crate, Tree};
use std::collections::BTreeSet;

/// Checks every crate's module tree and its test data.
pub(crate) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    for member in &tree.crates {
        let mut reached = BTreeSet::new();
        for root in roots(tree, member) {
            follow(tree, &root, true, &mut reached);
        }
        let prefix = format!("{}/", member.dir);
        for (file, _) in tree.rust().filter(|(file, _)| file.path.starts_with(&prefix)) {
            if !reached.contains(&file.path) {
                faults
                    .push(Fault::new(&file.path, "is reached by no module tree; declare it with `mod`, or delete it"));
            }
        }
        check_test_binaries(tree, member, faults);
        check_case_folders(tree, &format!("{prefix}tests/"), &prefix, faults);
    }
    check_case_folders(tree, "tests/", "", faults);
}

/// Files that cargo itself compiles.
fn roots(tree: &Tree, member: &Crate) -> Vec<String> {
    let dir = &member.dir;
    let is_root = |path: &str| {
        let Some(rest) = path.strip_prefix(dir.as_str()).and_then(|p| p.strip_prefix('/')) else { return false };
        let parts: Vec<&str> = rest.split('/').collect();
        matches!(
            parts.as_slice(),
            ["build.rs"]
                | ["src", "lib.rs" | "main.rs"]
                | ["src", "bin", _]
                | ["src", "bin", _, "main.rs"]
                | ["tests" | "benches" | "examples", _]
                | ["tests" | "benches" | "examples", _, "main.rs"]
        )
    };
    tree.rust().map(|(file, _)| file.path.clone()).filter(|path| is_root(path)).collect()
}

/// Marks a file and everything it declares as modules or includes.
fn follow(tree: &Tree, path: &str, is_crate_root: bool, reached: &mut BTreeSet<String>) {
    let Some(file) = tree.files.iter().find(|file| file.path == path) else { return };
    let Some(rust) = &file.rust else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.trim_end_matches(".rs");
    let home = if is_crate_root || stem == "mod" { dir.to_owned() } else { format!("{dir}/{stem}") };
    // nested inline modules, innermost last, with the brace depth at which each ends
    let mut inline: Vec<(String, isize)> = Vec::new();
    let mut depth = 0isize;
    let text_lines: Vec<&str> = rust.code_and_text.lines().collect();
    for (number, line) in rust.code.lines().enumerate() {
        if let Some((name, inlined)) = module_of(line) {
            let folder: String = inline.iter().fold(home.clone(), |folder, (name, _)| format!("{folder}/{name}"));
            if inlined {
                inline.push((name, depth));
            } else if let Some(other) = attribute_path(&text_lines, number) {
                follow(tree, &format!("{dir}/{other}"), true, reached);
            } else {
                follow(tree, &format!("{folder}/{name}.rs"), false, reached);
                follow(tree, &format!("{folder}/{name}/mod.rs"), false, reached);
            }
        }
        depth += line.matches('{').count() as isize - line.matches('}').count() as isize;
        inline.retain(|(_, opened_at)| depth > *opened_at);
        if line.contains("include!(")
            && let Some(other) = text_lines[number].split('"').nth(1)
        {
            follow(tree, &format!("{dir}/{other}"), true, reached);
        }
    }
}

/// The module a line declares, and whether its body is inline.
fn module_of(line: &str) -> Option<(String, bool)> {
    let line = line.trim();
    let rest = line.strip_prefix("mod ").or_else(|| {
        line.strip_prefix("pub")?.split_once("mod ").filter(|(vis, _)| vis.len() < 24).map(|(_, rest)| rest)
    })?;
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let after = rest[name.len()..].trim();
    (!name.is_empty() && (after.starts_with(';') || after.starts_with('{'))).then(|| (name, after.starts_with('{')))
}

/// The value of `#[path = "…"]` on the line before, if there is one.
fn attribute_path<'a>(lines: &[&'a str], number: usize) -> Option<&'a str> {
    let before = lines.get(number.checked_sub(1)?)?.trim();
    before.strip_prefix("#[path = \"")?.strip_suffix("\"]")
}

/// One integration test binary per crate: linking is what tests wait for.
fn check_test_binaries(tree: &Tree, member: &Crate, faults: &mut Vec<Fault>) {
    let prefix = format!("{}/tests/", member.dir);
    for (file, _) in tree.rust() {
        let Some(rest) = file.path.strip_prefix(&prefix) else { continue };
        let is_binary = !rest.contains('/') || rest.ends_with("/main.rs") && rest.matches('/').count() == 1;
        if is_binary && rest != "it/main.rs" {
            faults.push(Fault::new(&file.path, "is a test binary of its own; make it a module of tests/it/main.rs"));
        }
    }
}

/// Every folder of test data directly under `folder` is named by some Rust file of the crate at `prefix`.
fn check_case_folders(tree: &Tree, folder: &str, prefix: &str, faults: &mut Vec<Fault>) {
    let names: BTreeSet<&str> = tree
        .files
        .iter()
        .filter_map(|file| file.path.strip_prefix(folder)?.split_once('/').map(|(name, _)| name))
        .filter(|name| *name != "it")
        .collect();
    for name in names {
        let named = tree.rust().any(|(file, rust)| {
            file.path.starts_with(prefix)
                && [format!("{name}\""), format!("{name}/")].iter().any(|n| rust.code_and_text.contains(n))
        });
        if !named {
            faults.push(Fault::new(format!("{folder}{name}"), "holds test cases that no runner names"));
        }
    }
}

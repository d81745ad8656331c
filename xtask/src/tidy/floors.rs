//! Arrows between crates go strictly down, and every crate carries the workspace's lints.

use super::Fault;
use super::tree::{Crate, Floor, Tree};

/// Checks floors and inherited lints.
pub(crate) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    for member in &tree.crates {
        let manifest = format!("{}/Cargo.toml", member.dir);
        if member.floor == Floor::Unknown {
            faults.push(Fault::new(&manifest, "states no floor; add `[package.metadata.nopal] floor = N`"));
        }
        if !member.dir.ends_with(&member.name) {
            faults.push(Fault::new(&manifest, format!("is named {}; name crate and folder alike", member.name)));
        }
        let inherits = member.manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            faults.push(Fault::new(&manifest, "does not inherit the lints; add `[lints] workspace = true`"));
        }
        for table in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for name in member.declared(table) {
                if let Some(target) = tree.crates.iter().find(|c| c.name == name)
                    && let Some(why) = wrong_arrow(member, target, table)
                {
                    faults.push(Fault::new(&manifest, why));
                }
            }
        }
        if member.manifest.get("features").and_then(toml::Value::as_table).is_some_and(|t| !t.is_empty()) {
            faults.push(Fault::new(&manifest, "has Cargo features; pass a value at run time instead"));
        }
    }
}

/// Says why `from` may not name `to` in `table`, if it may not.
fn wrong_arrow(from: &Crate, to: &Crate, table: &str) -> Option<String> {
    let (from_name, to_name) = (&from.name, &to.name);
    match (from.floor, to.floor) {
        (_, Floor::Scaffold) if table == "dev-dependencies" => None,
        (_, Floor::Scaffold) => Some(format!("depends on {to_name}; tests may, under dev-dependencies")),
        (Floor::Number(from), Floor::Number(to)) if from > to => None,
        (Floor::Scaffold, Floor::Number(0)) => None,
        (Floor::Number(from), Floor::Number(to)) => Some(format!(
            "{from_name} (floor {from}) depends on {to_name} (floor {to}); arrows go strictly down: move the shared \
             part to a lower floor, or pass it in as a value"
        )),
        _ => Some(format!("{from_name} may not depend on {to_name}; scaffolds stand on floor 0 only")),
    }
}

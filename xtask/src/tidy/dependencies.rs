//! What stands in the manifests: used, free to use, and not one of the crates that bring a C library we avoid.

use super::Fault;
use super::spdx::is_allowed;
use super::tree::{Crate, Tree};
use std::path::Path;
use std::process::Command;

/// Packages that may not be locked, and what to use.
const BANNED_PACKAGES: &[(&str, &str)] = &[
    ("aws-lc-rs", "rustls with ring"),
    ("aws-lc-sys", "rustls with ring"),
    ("openssl", "rustls with ring"),
    ("openssl-sys", "rustls with ring"),
    ("native-tls", "rustls with ring"),
    ("anyhow", "a thiserror enum beside the operation"),
    ("eyre", "a thiserror enum beside the operation"),
    ("lazy_static", "std::sync::LazyLock"),
    ("once_cell", "std::sync::LazyLock"),
];
/// The banned packages that may be locked because others need them; ours may still not name them.
const TOLERATED_BEHIND_OTHERS: &[&str] = &["anyhow", "eyre", "lazy_static", "once_cell"];
/// More locked packages than this need a talk.
const MAX_LOCKED: usize = 600;

/// Checks declared and locked packages.
pub(crate) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    for member in &tree.crates {
        check_use(tree, member, faults);
    }
    let Some(lock) = tree.files.iter().find(|file| file.path == "Cargo.lock") else { return };
    let names: Vec<&str> = lock.text.lines().filter_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    for (banned, instead) in BANNED_PACKAGES {
        if names.contains(banned) && !TOLERATED_BEHIND_OTHERS.contains(banned) {
            faults.push(Fault::new("Cargo.lock", format!("locks {banned}; use {instead}")));
        }
    }
    if names.len() > MAX_LOCKED {
        faults
            .push(Fault::new("Cargo.lock", format!("locks {} packages; drop some (limit {MAX_LOCKED})", names.len())));
    }
}

fn check_use(tree: &Tree, member: &Crate, faults: &mut Vec<Fault>) {
    let manifest = format!("{}/Cargo.toml", member.dir);
    for table in ["dependencies", "build-dependencies", "dev-dependencies"] {
        for name in member.declared(table) {
            if let Some((_, instead)) = BANNED_PACKAGES.iter().find(|(banned, _)| *banned == name) {
                faults.push(Fault::new(&manifest, format!("names {name}; use {instead}")));
            }
            // the one package here of which the library is not named like the package
            let identifier = if name == "md-5" { "md5".to_owned() } else { name.replace('-', "_") };
            let used = tree.rust().any(|(file, rust)| {
                let Some(rest) = file.path.strip_prefix(&member.dir) else { return false };
                let in_reach = table == "dev-dependencies" || rest.starts_with("/src/") || rest == "/build.rs";
                in_reach && names_crate(&rust.code, &identifier)
            });
            if !used {
                faults
                    .push(Fault::new(&manifest, format!("declares {name} under {table} and never uses it; remove it")));
            }
        }
    }
}

/// Whether code names a crate by its identifier.
fn names_crate(code: &str, identifier: &str) -> bool {
    code.match_indices(identifier).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + identifier.len()..];
        let starts = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        starts && (after.starts_with("::") || after.starts_with(';') || after.starts_with(" as "))
    })
}

/// Checks the licence of every locked package through `cargo metadata`.
pub(crate) fn check_licences(root: &Path, faults: &mut Vec<Fault>) -> Result<(), String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        faults.push(Fault::new("Cargo.lock", format!("does not fit the manifests; run cargo check: {text}")));
        return Ok(());
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cannot read cargo metadata: {error}"))?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence) {
            faults
                .push(Fault::new("Cargo.lock", format!("locks {name} under licence `{licence}`; find another crate")));
        }
    }
    Ok(())
}

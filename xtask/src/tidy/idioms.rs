//! Words that may not stand where they stand, each with what to write instead.

use super::Fault;
use super::source::{RustSource, line_of};
use super::tree::{Floor, TextFile, Tree};

/// A pattern in code, where it may stand, and what to write elsewhere.
struct Idiom {
    patterns: &'static [&'static str],
    /// Packages that may use it.
    allowed: &'static [&'static str],
    /// Whether tests may use it.
    in_tests: bool,
    instead: &'static str,
}

const IDIOMS: &[Idiom] = &[
    Idiom {
        patterns: &[
            "std::fs::",
            "std::fs;",
            "std::fs as",
            "std::{fs",
            "use std::fs",
            ".symlink_metadata()",
            ".read_dir()",
        ],
        allowed: &["nopal-fs", "nopal-test", "xtask"],
        in_tests: true,
        instead: "nopal_fs, whose errors carry the path",
    },
    Idiom {
        patterns: &["println!(", "print!(", "eprintln!(", "eprint!("],
        allowed: &["nopal", "nopal-test", "xtask", "stubs"],
        in_tests: true,
        instead: "an event (nopal_report::Reporter) or a return value",
    },
    Idiom {
        patterns: &["process::exit(", "process::abort("],
        allowed: &["nopal", "xtask"],
        in_tests: true,
        instead: "an error that the roof turns into an exit code",
    },
    Idiom {
        patterns: &[
            "env::var(",
            "env::var_os(",
            "env::vars(",
            "env::vars_os(",
            "env::current_dir(",
            "env::set_var(",
            "env::temp_dir(",
        ],
        allowed: &["nopal", "nopal-test", "xtask", "stubs"],
        in_tests: true,
        instead: "a parameter that the roof fills in (crates/nopal/src/settings.rs)",
    },
    Idiom { patterns: &["allow(dead_code"], allowed: &[], in_tests: false, instead: "no code that nobody calls" },
    Idiom {
        patterns: &["allow(clippy::unwrap_used", "allow(clippy::expect_used"],
        allowed: &[],
        in_tests: true,
        instead: "#[expect(clippy::…, reason = \"…\")]",
    },
    Idiom {
        patterns: &["todo!(", "unimplemented!(", "dbg!("],
        allowed: &[],
        in_tests: false,
        instead: "the finished thing, or a line in SHORTCOMINGS.md and an error that says so",
    },
    Idiom {
        patterns: &["anyhow::", "eyre::"],
        allowed: &[],
        in_tests: false,
        instead: "a thiserror enum beside the operation",
    },
    Idiom {
        patterns: &["static mut "],
        allowed: &[],
        in_tests: false,
        instead: "an atomic, a OnceLock or a value passed along",
    },
    Idiom {
        patterns: &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"],
        allowed: &["nopal-build", "nopal-fs", "nopal-eval", "stubs"],
        in_tests: false,
        instead: "rustix, or a safe function of nopal-fs or nopal-build",
    },
    Idiom {
        patterns: &["reqwest::"],
        allowed: &["nopal-fetch"],
        in_tests: false,
        instead: "nopal_fetch, the only HTTP client",
    },
    Idiom {
        patterns: &["rusqlite::"],
        allowed: &["nopal-store"],
        in_tests: true,
        instead: "nopal_store, the only writer of the database",
    },
];

/// What floor 0 (nopal-fs aside) and the evaluator may not reach for.
const IMPURE: &[&str] = &[
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "std::env::",
    "tokio::",
    "async fn",
];

/// Host names of mirrors and registries, in two parts so that this table does not find itself.
const HOSTS: &[(&str, &str)] = &[
    ("deb.", "debian.org"),
    ("ftp.", "debian.org"),
    ("http.", "debian.net"),
    ("security.", "debian.org"),
    ("snapshot.", "debian.org"),
    ("archive.", "ubuntu.com"),
    ("static.", "crates.io"),
    ("index.", "crates.io"),
    ("proxy.", "golang.org"),
];
/// Folders that exist on a maker's machine only, in two parts likewise.
const MACHINE_PATHS: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/")];
/// Files of which the content is made by others.
const FOREIGN: &[&str] = &["Cargo.lock", "LICENSE-APACHE"];

/// Checks every file.
pub(crate) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    for (file, rust) in tree.rust() {
        check_code(tree, file, rust, faults);
        check_store_dir(tree, file, rust, faults);
        check_reasons(file, rust, faults);
        check_purity(tree, file, rust, faults);
    }
    for file in tree.files.iter().filter(|file| !FOREIGN.contains(&file.path.as_str())) {
        check_text(file, faults);
    }
}

fn check_code(tree: &Tree, file: &TextFile, rust: &RustSource, faults: &mut Vec<Fault>) {
    // what stands in `stubs` is no member of the workspace
    let package = if file.path.starts_with("stubs/") { Some("stubs") } else { None };
    let package = package.or_else(|| Some(tree.crate_of(&file.path)?.name.as_str())).unwrap_or_default();
    for idiom in IDIOMS.iter().filter(|idiom| !idiom.allowed.contains(&package)) {
        for pattern in idiom.patterns {
            for line in hits(&rust.code, pattern) {
                if !(idiom.in_tests && is_test(file, rust, line)) {
                    let pattern = pattern.trim_end_matches(['(', '{', ' ']);
                    faults.push(Fault::line(
                        &file.path,
                        line,
                        format!("`{pattern}` has no place here; use {}", idiom.instead),
                    ));
                }
            }
        }
    }
}

/// The default store directory is decided in one place.
fn check_store_dir(tree: &Tree, file: &TextFile, rust: &RustSource, faults: &mut Vec<Fault>) {
    let package = tree.crate_of(&file.path).map(|c| c.name.as_str()).unwrap_or_default();
    if package == "nopal-format" || package == "xtask" {
        return;
    }
    for line in hits(&rust.code_and_text, "/nix/store") {
        if !is_test(file, rust, line) {
            faults.push(Fault::line(&file.path, line, "writes `/nix/store`; take a StoreDir (nopal_format::StoreDir)"));
        }
    }
}

/// A panic on purpose says why it cannot happen.
fn check_reasons(file: &TextFile, rust: &RustSource, faults: &mut Vec<Fault>) {
    let lines: Vec<&str> = rust.code.lines().collect();
    // `.expect(` is left to clippy: parsers have a method of that name, and clippy knows types
    for pattern in [".unwrap()", ".unwrap_err()", ".unwrap_unchecked("] {
        for line in hits(&rust.code, pattern) {
            if is_test(file, rust, line) {
                continue;
            }
            // the attribute stands on the statement, or on the function around it
            let from = rust.function_at(line).map_or(line, |f| f.first_line).saturating_sub(6);
            let reasoned = lines[from.min(line - 1)..line].iter().any(|l| l.contains("reason = \""))
                || lines.iter().any(|l| l.starts_with("#![expect(clippy::"));
            if !reasoned {
                let text = format!("`{pattern}` without a reason; return an error, or #[expect(…, reason = \"…\")]");
                faults.push(Fault::line(&file.path, line, text));
            }
        }
    }
}

/// The ground does no I/O and the evaluator goes through its host.
fn check_purity(tree: &Tree, file: &TextFile, rust: &RustSource, faults: &mut Vec<Fault>) {
    let Some(member) = tree.crate_of(&file.path) else { return };
    let ground = member.floor == Floor::Number(0) && member.name != "nopal-fs";
    if !ground && member.name != "nopal-eval" {
        return;
    }
    for pattern in IMPURE {
        // the evaluator may make threads of its own; what it may not do is reach outside
        if member.name == "nopal-eval" && matches!(*pattern, "std::thread" | "Instant::now") {
            continue;
        }
        for line in hits(&rust.code, pattern) {
            if !is_test(file, rust, line) {
                let text = format!("`{pattern}` in {}; let the caller pass it in (trait Host)", member.name);
                faults.push(Fault::line(&file.path, line, text));
            }
        }
    }
}

fn check_text(file: &TextFile, faults: &mut Vec<Fault>) {
    for (what, table) in [("host", HOSTS), ("machine path", MACHINE_PATHS)] {
        for (head, tail) in table {
            let name = format!("{head}{tail}");
            for (at, _) in file.text.match_indices(&name) {
                // `/homework/` is no machine path: the name must begin where a path begins
                let glued = file.text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '}');
                if !glued {
                    let line = line_of(&file.text, at);
                    faults.push(Fault::line(
                        &file.path,
                        line,
                        format!("names the {what} {name}; take it from the user"),
                    ));
                }
            }
        }
    }
    for (number, line) in file.text.lines().enumerate() {
        if file.path.ends_with(".rs") && line.ends_with([' ', '\t']) {
            faults.push(Fault::line(&file.path, number + 1, "ends in a blank; run cargo fmt"));
        }
    }
}

fn is_test(file: &TextFile, rust: &RustSource, line: usize) -> bool {
    file.is_test() || rust.is_test_line(line)
}

/// Lines in which a pattern stands, not as the tail of a longer word.
fn hits(text: &str, pattern: &str) -> Vec<usize> {
    let word = pattern.starts_with(|c: char| c.is_alphanumeric());
    text.match_indices(pattern)
        .filter(|(at, _)| !word || !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '\''))
        .map(|(at, _)| line_of(text, at))
        .collect()
}

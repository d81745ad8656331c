//! The manual cannot rot: what stands in docs/manual is what the program says of itself.

use nopal_test::{CliEnv, blessing, diff};
use std::fs;
use std::path::Path;

#[test]
fn pages_are_what_the_program_says() {
    let env = CliEnv::new().unwrap();
    let folder = env.work().join("manual");
    let mut nopal = env.command(env!("CARGO_BIN_EXE_nopal"));
    assert!(nopal.args(["man", "--markdown"]).arg(&folder).status().unwrap().success());
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual");
    for name in ["commands.md", "environment.md"] {
        let made = fs::read_to_string(folder.join(name)).unwrap();
        let page = pages.join(name);
        let written = fs::read_to_string(&page).unwrap_or_default();
        if blessing() {
            fs::write(&page, made).unwrap();
        } else {
            assert!(made == written, "{name} is stale (NOPAL_BLESS=1 rewrites it)\n{}", diff(&written, &made));
        }
    }
}

#[test]
fn manual_pages_and_completions_are_made() {
    let env = CliEnv::new().unwrap();
    let folder = env.work().join("man1");
    let made = env.command(env!("CARGO_BIN_EXE_nopal")).arg("man").arg(&folder).status().unwrap();
    assert!(made.success());
    for name in ["nopal.1", "nopal-run.1", "nopal-store-gc.1"] {
        let page = fs::read_to_string(folder.join(name)).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH NAME"), "{name} is no manual page");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = env.command(env!("CARGO_BIN_EXE_nopal")).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("path-info"), "{shell}");
    }
}

#[test]
fn every_flag_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual/commands.md");
    for line in fs::read_to_string(page).unwrap().lines().filter(|line| line.starts_with("- `")) {
        let (_, help) = line.split_once("`: ").unwrap_or((line, ""));
        assert!(help.len() > 3, "no explanation: {line}");
    }
}

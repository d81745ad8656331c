//! Runs the `console` blocks of a Markdown file and compares what commands print.
//!
//! In a block, `$ ` begins a command, `> ` goes on with it, and the lines up to the next command are what it prints,
//! stdout and stderr together; `[exit code N]` stands last unless it is 0. `...` in a line stands for anything, a line of
//! `...` alone for any lines. The commands of a file share a home and a working folder. A block marked `network` runs
//! only where `NOPAL_TEST_NETWORK` is set, one marked `needs=TOOL` only where there is such a program.

use nopal_test::{CliEnv, Tool, blessing, diff, skip};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A command and what it should print.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// Runs all blocks of a file. With `NOPAL_BLESS=1`, writes what was printed instead of comparing.
pub(crate) fn check(path: &Path) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let env = environment();
    let mut blessed = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        blessed += &format!("{line}\n");
        let Some(marks) = line.strip_prefix("```console") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let mut tools = marks.split(' ').filter_map(|mark| mark.strip_prefix("needs="));
        let has_tools = tools.all(|tool| Tool::find(tool).is_some());
        let has_network = !marks.contains("network") || std::env::var_os("NOPAL_TEST_NETWORK").is_some();
        if !has_network {
            skip("needs a Debian mirror; set NOPAL_TEST_NETWORK=1");
        }
        if !has_tools || !has_network {
            blessed += &block.iter().map(|line| format!("{line}\n")).collect::<String>();
        } else {
            for step in steps(&block) {
                let printed = run(&env, &step.command);
                let expected: String = step.expected.iter().map(|line| format!("{line}\n")).collect();
                let actual: Vec<&str> = printed.lines().collect();
                let expected_lines: Vec<&str> = step.expected.iter().map(String::as_str).collect();
                let same = matches(&expected_lines, &actual);
                let prompt = step.command.replace('\n', "\n> ");
                assert!(
                    same || blessing(),
                    "{}: `{}` prints something else (NOPAL_BLESS=1 rewrites what is expected)\n{}",
                    path.display(),
                    step.command,
                    diff(&expected, &printed)
                );
                let _ = write!(blessed, "$ {prompt}\n{}", if same { expected } else { printed });
            }
        }
        blessed += "```\n";
    }
    if blessing() && blessed != text {
        fs::write(path, blessed).unwrap();
    }
}

/// A clean room for an ordinary user, with `nopal` in `PATH`.
pub(crate) fn environment() -> CliEnv {
    let mut env = CliEnv::ordinary().unwrap();
    let bin = env.root().join("bin");
    fs::create_dir(&bin).unwrap();
    let nopal = bin.join("nopal");
    // where it was built, only its builder may be allowed to look
    let built = env!("CARGO_BIN_EXE_nopal");
    if fs::hard_link(built, &nopal).is_err() {
        fs::copy(built, &nopal).unwrap();
    }
    for name in [
        "nix",
        "nix-build",
        "nix-collect-garbage",
        "nix-env",
        "nix-hash",
        "nix-instantiate",
        "nix-shell",
        "nix-store",
        "patchelf",
    ] {
        std::os::unix::fs::symlink("nopal", bin.join(name)).unwrap();
    }
    env.set("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
    for proxy in ["http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"] {
        if let Ok(value) = std::env::var(proxy) {
            env.set(proxy, &value);
        }
    }
    env
}

fn run(env: &CliEnv, command: &str) -> String {
    let output = env.command("/bin/sh").arg("-c").arg(format!("exec 2>&1\n{command}")).output().unwrap();
    let mut printed = env.clean(&String::from_utf8_lossy(&output.stdout));
    if !printed.is_empty() && !printed.ends_with('\n') {
        printed.push('\n');
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => printed += &format!("[exit code {code}]\n"),
        None => printed += &format!("[{}]\n", output.status),
    }
    printed
}

fn steps(block: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), expected: Vec::new() });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("a block begins with a command, not with {line:?}"));
        match line.strip_prefix('>').filter(|_| step.expected.is_empty()) {
            Some(more) => step.command += &format!("\n{}", more.strip_prefix(' ').unwrap_or(more)),
            None => step.expected.push((*line).to_owned()),
        }
    }
    steps
}

/// Whether lines are as expected.
fn matches(expected: &[&str], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((&"...", rest)) => (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..])),
        Some((line, rest)) => {
            actual.split_first().is_some_and(|(first, others)| line_matches(line, first) && matches(rest, others))
        }
    }
}

fn line_matches(expected: &str, actual: &str) -> bool {
    let Some((head, tail)) = expected.split_once("...") else { return expected == actual };
    let Some(rest) = actual.strip_prefix(head) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_matches(tail, &rest[at..]))
}

#[test]
fn dots_stand_for_anything() {
    assert!(matches(&["a", "...", "d"], &["a", "b", "c", "d"]) && matches(&["..."], &[]));
    assert!(line_matches("/nix/store/...-x", "/nix/store/abc-x") && !line_matches("a...b", "a-c"));
}

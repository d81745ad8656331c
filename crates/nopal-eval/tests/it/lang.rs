//! `tests/lang`: programs with the values and errors that Nix 2.34.8 gives for them, run on the host in memory.
//!
//! `eval-okay-NAME.nix` is evaluated strictly and printed, `NAME.exp` is the output. `eval-fail-NAME.nix` must fail,
//! `NAME.err` is the report without `--show-trace`. Programs see the folder as `/pwd/lang`. A new case is a new file;
//! `cargo xtask oracle` compares the expectations with the real Nix. A first line `# features NAME…` turns experimental
//! features on.

use std::path::Path;
use std::sync::Arc;

use nopal_eval::host::Message;
use nopal_eval::value::Root;
use nopal_eval::{Evaluator, Host, MemHost, Settings};
use nopal_format::StoreDir;
use nopal_test::{Case, Cases, diff};

enum Ended {
    Value(Vec<u8>),
    Error(Vec<u8>),
}

fn run(case: &Case, collect_after_bytes: usize) -> Ended {
    let text = case.text.clone();
    let name = case.name.clone();
    nopal_eval::with_stack(move || {
        let mut settings = Settings::new("x86_64-linux", StoreDir::default());
        settings.collect_after_bytes = collect_after_bytes;
        settings.experimental_features.extend(["nix-command".to_owned(), "flakes".to_owned()]);
        let features = text.lines().next().and_then(|line| line.strip_prefix("# features "));
        settings.experimental_features.extend(features.unwrap_or_default().split_whitespace().map(str::to_owned));
        let host = Arc::new(MemHost::new(StoreDir::default()));
        let path = format!("/pwd/lang/{name}.nix");
        host.put_file(&path, text);
        let mut ev = Evaluator::new(settings, Arc::clone(&host) as Arc<dyn Host>);
        let printed = ev.eval_main_file(Root::HOST, path.as_bytes()).and_then(|value| {
            ev.force_deep(value)?;
            ev.print_ambiguous(value)
        });
        match printed {
            Ok(mut out) => {
                out.push(b'\n');
                Ended::Value(out)
            }
            Err(error) => {
                let mut out = Vec::new();
                for message in host.take_messages() {
                    let (Message::Trace(line) | Message::Warning(line) | Message::Report(line)) = message;
                    out.extend_from_slice(&line);
                    out.push(b'\n');
                }
                out.extend(ev.render_error(&error));
                Ended::Error(out)
            }
        }
    })
}

/// More than any of the programs allocates.
const NEVER: usize = usize::MAX;

fn check(prefix: &str, extension: &str, collect_after_bytes: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lang");
    let cases = Cases::new(&folder, "nix", &["exp", "err"]).load();
    let mut faults = Vec::new();
    let mut count = 0;
    for case in cases.iter().filter(|case| case.name.starts_with(prefix)) {
        count += 1;
        let (kind, got) = match run(case, collect_after_bytes) {
            Ended::Value(text) => ("exp", text),
            Ended::Error(text) => ("err", text),
        };
        let got = String::from_utf8_lossy(&got).into_owned();
        let expected = std::fs::read(case.path.with_extension(extension)).unwrap_or_default();
        let expected = String::from_utf8_lossy(&expected).into_owned();
        if kind != extension || got.trim_end() != expected.trim_end() {
            faults.push(format!("== {} came to .{kind}\n{}", case.name, diff(&expected, &got)));
        }
    }
    assert!(count > 0, "no {prefix}*.nix in {}", folder.display());
    assert!(faults.is_empty(), "{} of {count} cases differ\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn programs_that_have_a_value() {
    check("eval-okay-", "exp", NEVER);
}

#[test]
fn programs_that_fail() {
    check("eval-fail-", "err", NEVER);
}

/// Whatever a builtin forgets to show to the collector is gone at once.
#[test]
fn programs_while_memory_is_always_collected() {
    check("eval-okay-", "exp", 0);
}

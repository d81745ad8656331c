//! Evaluation: the microbenchmarks in bench/eval, start-up, and nixpkgs' library tests.

use super::Bench;
use super::measure::{Row, median, run as measure};
use crate::nix::Nix;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs all of it.
pub(super) fn run(bench: &Bench<'_>) -> Result<(), String> {
    let mut inputs = micro(bench)?;
    let (start, _) = bench.write("start.nix", b"1")?;
    inputs.insert(0, ("start-up".to_owned(), start));
    if let Some(only) = &bench.options.only {
        inputs.retain(|(name, _)| name.contains(only));
    }
    if bench.options.callgrind {
        return inputs.iter().try_for_each(|(name, path)| count_instructions(bench, name, path));
    }
    let mut ratios = Vec::new();
    for (name, path) in &inputs {
        let row = Row::measure(
            name,
            bench.options.rounds,
            |_| measure(&evaluate(&bench.ours), Some(path), &bench.folder),
            bench.peer.as_ref().map(|peer| |_| measure(&evaluate(peer), Some(path), &bench.folder)),
        )?;
        row.print();
        ratios.extend(row.ratio());
    }
    if !ratios.is_empty() {
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        println!("{:<28} {mean:>48.2} (median {:.2})", "geometric mean of ratios", median(ratios));
    }
    match &bench.options.nixpkgs_lib {
        Some(checkout) if bench.options.only.is_none() => library(bench, checkout),
        _ => Ok(()),
    }
}

fn micro(bench: &Bench<'_>) -> Result<Vec<(String, PathBuf)>, String> {
    let folder = bench.root.join("bench/eval");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".nix")?.to_owned();
            Some((name, path))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Evaluates standard input without a store.
fn evaluate(nix: &Nix) -> Command {
    let mut command = nix.command("nix-instantiate");
    command.args(["--eval", "--strict", "-"]).env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store");
    command
}

/// lib/tests/misc.nix: a real file of hundreds of tests of nixpkgs' library.
fn library(bench: &Bench<'_>, checkout: &Path) -> Result<(), String> {
    let tests = "lib/tests/misc.nix";
    // the peer may live in a tree of its own: copy what it reads to where it can see it
    let copied = Command::new("cp").arg("-r").arg(checkout).arg(bench.folder.join("nixpkgs")).status();
    if !copied.is_ok_and(|status| status.success()) {
        return Err(format!("cannot copy {}", checkout.display()));
    }
    let command = |nix: &Nix, folder: &Path| {
        let mut command = nix.command("nix-instantiate");
        command.args(["--eval", "--strict"]).arg(folder.join("nixpkgs").join(tests));
        command.env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store");
        command
    };
    let row = Row::measure(
        "nixpkgs lib/tests/misc.nix",
        bench.options.rounds,
        |_| measure(&command(&bench.ours, &bench.folder), None, &bench.folder),
        bench.peer.as_ref().map(|peer| |_| measure(&command(peer, &bench.peer_folder), None, &bench.folder)),
    )?;
    row.print();
    Ok(())
}

fn count_instructions(bench: &Bench<'_>, name: &str, path: &Path) -> Result<(), String> {
    let ours = evaluate(&bench.ours);
    let mut valgrind = Command::new("valgrind");
    let out = bench.folder.join(format!("callgrind.{name}"));
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(ours.get_program()).args(ours.get_args());
    valgrind.env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store");
    let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let output = crate::nix::feed(valgrind, &text)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split("Collected :").nth(1));
    let collected = collected.ok_or_else(|| format!("callgrind says nothing of {name}:\n{said}"))?;
    println!("{name:<28} {:>16} instructions", collected.trim());
    Ok(())
}

//! nixpkgs' library tests, run from a checkout: lib/tests/misc.nix gives `[ ]`, and modules.sh counts its checks.

use crate::nix::Nix;
use std::path::Path;

/// Runs both and prints what they say.
pub(super) fn run(checkout: &Path, ours: &Nix) -> Result<(), String> {
    let tests = checkout.join("lib/tests");
    let tests = tests.canonicalize().map_err(|error| format!("cannot find {}: {error}", tests.display()))?;
    let mut misc = ours.command("nix-instantiate");
    misc.args(["--eval", "--strict"]).arg(tests.join("misc.nix"));
    let output = misc.output().map_err(|error| format!("cannot evaluate misc.nix: {error}"))?;
    let value = String::from_utf8_lossy(&output.stdout);
    println!("nixpkgs lib/tests/misc.nix: {}", value.trim());
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    let bin = ours.bin().map(|bin| bin.display().to_string()).unwrap_or_default();
    let mut modules = std::process::Command::new("bash");
    modules.arg(tests.join("modules.sh")).env("PATH", format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    let output = modules.output().map_err(|error| format!("cannot run modules.sh: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last: Vec<&str> = said.lines().rev().filter(|line| !line.is_empty()).take(2).collect();
    println!("nixpkgs lib/tests/modules.sh: {}", last.into_iter().rev().collect::<Vec<_>>().join("; "));
    Ok(())
}

//! Trivial builds: what a build costs beside its builder.

use super::Bench;
use super::measure::{Row, run as measure};
use crate::nix::Nix;
use crate::setup;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Builds many derivations, each of which writes one small file, into an empty store each round.
pub(super) fn run(bench: &Bench<'_>) -> Result<(), String> {
    let busybox =
        setup::find("busybox").ok_or("busybox is not installed; it is the builder (apt-get install busybox-static)")?;
    let bytes = std::fs::read(&busybox).map_err(|error| format!("cannot read {}: {error}", busybox.display()))?;
    let (tool, _) = bench.write("builds/tools/busybox", &bytes)?;
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("chmod: {error}"))?;
    let count = bench.options.builds;
    let expression = format!(
        "map (i: derivation {{ name = \"trivial-${{toString i}}\"; system = builtins.currentSystem; \
         builder = \"${{./tools}}/busybox\"; args = [ \"sh\" \"-c\" \"echo ${{toString i}} > $out\" ]; }}) \
         (builtins.genList (i: i) {count})\n"
    );
    let (ours_at, peer_at) = bench.write("builds/default.nix", expression.as_bytes())?;
    let rounds = bench.options.rounds.min(3);
    let row = Row::measure(
        &format!("{count} sandboxed builds"),
        rounds..=rounds,
        |round| {
            let store = bench.empty_store(format!("build-ours-{round}"));
            measure(&command(&bench.ours, &ours_at, &bench.folder.join(store)), None, &bench.folder)
        },
        bench.peer.as_ref().map(|peer| {
            |round| {
                let store = bench.empty_store(format!("build-peer-{round}"));
                measure(&command(peer, &peer_at, &bench.peer_folder.join(store)), None, &bench.folder)
            }
        }),
    )?;
    bench.remove_stores()?;
    row.print();
    let each = |cpu_s: f64| cpu_s * 1000.0 / count.max(1) as f64;
    let peer = row.peer.map(|peer| format!(", peer {:.1} ms", each(peer.cpu_s))).unwrap_or_default();
    println!("{:<28} {:.1} ms CPU each{peer}", "", each(row.ours.cpu_s));
    Ok(())
}

fn command(nix: &Nix, expression: &Path, store: &Path) -> Command {
    let mut command = nix.command("nix-build");
    command.args(["-j1", "--no-out-link", "--store"]).arg(store).arg(expression);
    command.args(["--option", "sandbox", "true", "--option", "substituters", "", "--option", "build-users-group", ""]);
    command
}

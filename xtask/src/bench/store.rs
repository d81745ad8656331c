//! A large tree: added to an empty store, then the store verified with contents.

use super::Bench;
use super::measure::{Cost, Row, run as measure};
use crate::nix::Nix;
use crate::random::Random;
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;

/// Adds and verifies.
pub(super) fn run(bench: &Bench<'_>) -> Result<(), String> {
    let bytes = grow(&bench.folder.join("tree"), bench.options.tree_mb * 1_000_000)?;
    let gigabytes = bytes as f64 / 1e9;
    let verified: [RefCell<Vec<Cost>>; 2] = Default::default();
    // verification needs what was added: both are measured in one go, and the second row is put together after
    let add_and_verify = |nix: &Nix, folder: &Path, index: usize, store: &str| {
        let store_dir = folder.join(store);
        let cost = measure(&add(nix, &folder.join("tree"), &store_dir), None, &bench.folder)?;
        verified[index].borrow_mut().push(measure(&verify(nix, &store_dir), None, &bench.folder)?);
        bench.remove(store)?;
        Ok(cost)
    };
    let rounds = bench.options.rounds.min(3);
    let row = Row::measure(
        &format!("add {gigabytes:.2} GB"),
        rounds..=rounds,
        |round| add_and_verify(&bench.ours, &bench.folder, 0, &format!("add-ours-{round}")),
        bench.peer.as_ref().map(|peer| {
            let add_and_verify = &add_and_verify;
            move |round| add_and_verify(peer, &bench.peer_folder, 1, &format!("add-peer-{round}"))
        }),
    )?;
    row.print();
    println!("{:<28} {:.2} CPU s a GB", "", row.ours.cpu_s / gigabytes);
    let [ours, peer] = verified.map(RefCell::into_inner);
    let peer = (!peer.is_empty()).then_some(|round: usize| Ok(peer[round]));
    let row = Row::measure(&format!("verify {gigabytes:.2} GB"), rounds..=rounds, |round| Ok(ours[round]), peer)?;
    row.print();
    println!("{:<28} {:.2} GB a CPU s", "", gigabytes / row.ours.cpu_s.max(0.001));
    Ok(())
}

fn add(nix: &Nix, tree: &Path, store: &Path) -> Command {
    let mut command = nix.command("nix-store");
    command.arg("--store").arg(store).arg("--add").arg(tree);
    command
}

fn verify(nix: &Nix, store: &Path) -> Command {
    let mut command = nix.command("nix-store");
    command.arg("--store").arg(store).args(["--verify", "--check-contents"]);
    command
}

/// Makes a tree of `bytes` bytes, the same each time: many small files, some large ones, folders of folders, links.
fn grow(tree: &Path, bytes: u64) -> Result<u64, String> {
    let mut random = Random::new(7);
    let mut left = bytes;
    let mut number = 0;
    let fail = |error: std::io::Error| format!("cannot grow {}: {error}", tree.display());
    while left > 0 {
        let folder = tree.join(format!("d{}/d{}", number / 400, number / 20 % 20));
        std::fs::create_dir_all(&folder).map_err(fail)?;
        // most files of real packages are small, most bytes are in large ones
        let size = match random.below(100) {
            0..70 => random.below(16_000),
            70..97 => random.below(200_000),
            _ => random.below(5_000_000),
        };
        let size = size.min(left);
        let mut contents = vec![0; size as usize];
        random.fill(&mut contents);
        std::fs::write(folder.join(format!("f{number}")), &contents).map_err(fail)?;
        if random.one_in(30) {
            std::os::unix::fs::symlink(format!("f{number}"), folder.join(format!("l{number}"))).map_err(fail)?;
        }
        left -= size;
        number += 1;
    }
    Ok(bytes)
}

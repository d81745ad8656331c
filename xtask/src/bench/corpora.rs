//! Real programs to evaluate, in checkouts that the caller names.

use super::Bench;
use super::eval::{Again, Input, parsed};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Checkouts.
#[derive(Debug, clap::Args)]
pub(super) struct Corpora {
    /// Checkout of nixpkgs, or of its library, for lib/tests/misc.nix.
    #[arg(long, value_name = "DIR")]
    nixpkgs_lib: Option<PathBuf>,
    /// Checkout of corepkgs: its stdenv, its system, all its derivations, and its syntax.
    #[arg(long, value_name = "DIR")]
    corepkgs: Option<PathBuf>,
    /// Checkout of nix-effects, for two of its workloads; these need `--nixpkgs-lib`.
    #[arg(long, value_name = "DIR")]
    nix_effects: Option<PathBuf>,
}

/// A function that gives the paths of all derivations of a package set.
const ALL: &str = include_str!("../../../bench/all.nix");

/// What there is to evaluate. What is missing is said.
pub(super) fn inputs(bench: &Bench<'_>) -> Result<Vec<Input>, String> {
    let Corpora { nixpkgs_lib, corepkgs, nix_effects } = &bench.options.corpora;
    let mut found = Vec::new();
    let lib = lay(bench, "nixpkgs", "nixpkgs-lib", nixpkgs_lib.as_deref())?;
    if lib {
        found.push(input(bench, "nixpkgs lib/tests/misc.nix", |base| {
            format!("import {base}/nixpkgs/lib/tests/misc.nix")
        })?);
    }
    if lay(bench, "corepkgs", "corepkgs", corepkgs.as_deref())? {
        found.push(input(bench, "corepkgs stdenv", |base| format!("(import {base}/corepkgs {{ }}).stdenv.drvPath"))?);
        let system = |base: &str| format!("(import {base}/corepkgs/ekaos {{ }}).toplevel.drvPath");
        found.push(input(bench, "corepkgs system", system)?);
        let again = Some(Again::Nothing);
        found.push(Input { again, ..input(bench, "corepkgs system, unchanged", system)? });
        let all = |base: &str| format!("({ALL}) (import {base}/corepkgs {{ config.allowUnfree = true; }})");
        found.push(Input { threads: true, ..input(bench, "corepkgs all", all)? });
        let file = bench.folder.join("corepkgs/pkgs/age/default.nix");
        let edit = Again::Edit { file, from: "version = \"", more: "9" };
        for (what, again) in [("unchanged", Again::Nothing), ("a leaf edited", edit)] {
            found.push(Input { again: Some(again), ..input(bench, &format!("corepkgs all, {what}"), all)? });
        }
        // both sides promise the same: the contents of a path are on disk before the database says that it is valid, or not
        for (what, synced) in [("written, synced", "true"), ("written", "false")] {
            let mut written = input(bench, &format!("corepkgs all, {what}"), all)?;
            for arguments in &mut written.arguments {
                let more = ["--read-write-mode", "--option", "fsync-store-paths", synced].map(OsString::from);
                arguments.splice(..0, more);
            }
            written.writes = true;
            found.push(written);
        }
        let arguments = parsed(bench, "corepkgs")?;
        found.push(Input::new("corepkgs --parse", arguments, None));
    }
    if lay(bench, "nix-effects", "nix-effects", nix_effects.as_deref())? {
        if !lib {
            eprintln!("bench: nix-effects is left out, for it needs --nixpkgs-lib");
            return Ok(found);
        }
        let lib = "lib = import ./nixpkgs/lib;";
        found.push(input(bench, "nix-effects leDiag50", |base| {
            let lib = lib.replace("./", &format!("{base}/"));
            format!("(import {base}/nix-effects/bench {{ pkgs = {{ }}; {lib} }}).workloads.tc.decidable.leDiag50")
        })?);
        found.push(input(bench, "nix-effects tc.conv", |base| {
            let lib = lib.replace("./", &format!("{base}/"));
            format!("(import {base}/nix-effects {{ {lib} }}).tests.nix-unit.inline.tc.conv")
        })?);
    }
    Ok(found)
}

/// Copies a checkout to where both sides can see it: the peer may live in a tree of its own. False if it is not given.
fn lay(bench: &Bench<'_>, name: &str, flag: &str, checkout: Option<&Path>) -> Result<bool, String> {
    let Some(checkout) = checkout else {
        eprintln!("bench: {name} is left out; --{flag} names a checkout");
        return Ok(false);
    };
    let copied = Command::new("cp").arg("-r").arg(checkout).arg(bench.folder.join(name)).status();
    match copied {
        Ok(status) if status.success() => Ok(true),
        _ => Err(format!("cannot copy {}", checkout.display())),
    }
}

/// An expression that depends on where its files are.
fn input(bench: &Bench<'_>, name: &str, expression: impl Fn(&str) -> String) -> Result<Input, String> {
    let files = [("ours", &bench.folder), ("peer", &bench.peer_folder)].map(|(side, base)| {
        let file = format!("{side}-{}.nix", name.replace(['/', ' '], "-"));
        bench.write(&file, expression(&base.display().to_string()).as_bytes()).map(|(path, _)| path)
    });
    let [ours, peer] = files;
    Ok(Input::expression(name, [ours?, peer?]))
}

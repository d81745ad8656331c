//! Large real inputs from checkouts that the caller names, evaluated and printed by ours and by a Nix: what they say on
//! standard output must be equal byte for byte.

use super::Tally;
use crate::files;
use crate::nix::Nix;
use std::path::{Path, PathBuf};

/// Files that one process prints; a process ends at the first that does not parse.
const AT_ONCE: usize = 100;

/// The system, the tests and the package set of corepkgs.
pub(super) fn corepkgs(checkout: &Path) -> Vec<String> {
    let dir = checkout.display();
    let drv_paths = "builtins.mapAttrs (name: value: let tried = builtins.tryEval (value.drvPath or null); in \
                     if tried.success then tried.value else false)";
    vec![
        format!("(import {dir}/ekaos {{ }}).toplevel.drvPath"),
        format!(
            "({drv_paths} (removeAttrs (import {dir} {{ }}).integrationTests.runit [ \"recurseForDerivations\" ]))"
        ),
        format!("(import {dir} {{ }}).stdenv.drvPath"),
    ]
}

/// Every derivation of guixpkgs that needs neither Git nor a flake; they import each other.
pub(super) fn guixpkgs(checkout: &Path) -> Vec<String> {
    let dir = checkout.join("pkgs/store");
    let expression = r#"
        let
          dir = @DIR@;
          files = builtins.attrNames (builtins.readDir dir);
          has = word: text: builtins.length (builtins.split word text) > 1;
          used = text: builtins.concatMap (x: if builtins.isList x then x else [ ])
            (builtins.split "store/([^ );]+\.nix)" text);
          fetches = builtins.listToAttrs (map (name: {
            inherit name;
            value = let text = builtins.readFile (dir + "/${name}"); in
              has "fetchGit|fetchTree|getFlake|fetch-git" text
              || builtins.any (other: fetches.${other} or true) (used text);
          }) files);
        in
        map (name: (import (dir + "/${name}")).drvPath) (builtins.filter (name: !fetches.${name}) files)
    "#;
    vec![expression.replace("@DIR@", &dir.display().to_string())]
}

/// Evaluates expressions with both.
pub(super) fn evaluate(expressions: &[String], ours: &Nix, peer: &Nix) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for expression in expressions {
        let [our, their] = [ours, peer].map(|nix| nix.pure(&["--eval", "--strict", "--json"], expression.as_bytes()));
        let (our, their) = (our?, their?);
        let equal = our.status == their.status && our.stdout == their.stdout;
        if !equal {
            let said = |stderr: &[u8]| String::from_utf8_lossy(stderr).trim().to_owned();
            eprintln!("== {expression}\n-- {}\n{}", ours.name, said(&our.stderr));
            eprintln!("-- {}\n{}", peer.name, said(&their.stderr));
        }
        tally.add(equal);
    }
    Ok(tally)
}

/// Prints the syntax of every Nix file below a folder with both.
pub(super) fn print(folder: &Path, ours: &Nix, peer: &Nix) -> Result<Tally, String> {
    let files = files::nix_below(folder)?.into_iter().filter(|(_, metadata)| metadata.is_file());
    let files: Vec<PathBuf> = files.map(|(path, _)| path).collect();
    let mut tally = Tally::default();
    for lot in files.chunks(AT_ONCE) {
        let (our, their) = (printed(lot, ours)?, printed(lot, peer)?);
        for ((file, our), their) in lot.iter().zip(our).zip(their) {
            if our != their {
                eprintln!("== {} is not printed alike", file.display());
            }
            tally.add(our == their);
        }
    }
    Ok(tally)
}

/// What `--parse` prints for each of some files; nothing for those that fail.
fn printed(files: &[PathBuf], nix: &Nix) -> Result<Vec<Option<Vec<u8>>>, String> {
    let mut found: Vec<Option<Vec<u8>>> = Vec::new();
    while found.len() < files.len() {
        let mut command = nix.command("nix-instantiate");
        command.arg("--parse").args(&files[found.len()..]);
        let output = command.output().map_err(|error| format!("cannot run {}: {error}", nix.name))?;
        // each file gives one line: line breaks in strings are escaped
        found.extend(output.stdout.split_inclusive(|&b| b == b'\n').map(|line| Some(line.to_vec())));
        if found.len() < files.len() {
            found.push(None);
        }
    }
    Ok(found)
}

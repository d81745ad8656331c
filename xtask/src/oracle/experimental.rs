//! Derivations of experimental kinds, made up from a seed: floating, deferred, impure, text-hashed and dynamic. Ours and
//! Nix's must name the same paths and placeholders, write the same files, and refuse the same with the same words.

use super::Tally;
use super::derivations::hex;
use crate::nix::{Nix, feed};
use crate::random::Random;
use std::path::Path;

const FEATURES: &str = "ca-derivations dynamic-derivations impure-derivations git-hashing";
/// What may be left on. The last is everything.
const SUBSETS: &[&str] = &["", "ca-derivations", "impure-derivations", "dynamic-derivations", FEATURES];
/// Derivations per expression: one that fails hides the others.
const GROUP: usize = 4;

/// Some derivations that use each other, and the features that are on.
#[derive(Debug)]
struct Case {
    text: String,
    features: &'static str,
}

/// Makes up expressions and compares what both say about each. `folder` is for stores; the peer sees it as `inner`.
pub(super) fn compare(
    (count, seed): (usize, u64),
    (ours, peer): (&Nix, &Nix),
    (folder, inner): (&Path, &Path),
) -> Result<Tally, String> {
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    for _ in 0..count.div_ceil(GROUP) {
        let case = make_up(&mut random);
        let [our, their] =
            [(ours, folder.join("ours")), (peer, inner.join("peer"))].map(|(nix, store)| evaluate(&case, nix, &store));
        let (our, their) = (our?, their?);
        if our != their {
            eprintln!("== {} (with {:?})\n-- ours\n{our}\n-- {}\n{their}", case.text, case.features, peer.name);
        }
        tally.add(our == their);
    }
    Ok(tally)
}

/// What is printed; of a failure the last line, for positions in a made-up text are no news.
fn evaluate(case: &Case, nix: &Nix, store: &Path) -> Result<String, String> {
    let mut command = nix.command("nix-instantiate");
    command.args(["--eval", "--strict", "--json", "--read-write-mode", "--store"]).arg(store).arg("-");
    command.env("NIX_CONFIG", format!("build-users-group =\nexperimental-features = {}", case.features));
    command.env_remove("NIX_PATH").env_remove("NIX_REMOTE").env("NO_COLOR", "1");
    let output = feed(command, case.text.as_bytes())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().rev().find(|line| line.trim_start().starts_with("error:"));
    Ok(error.unwrap_or(&said).trim().to_owned())
}

fn make_up(random: &mut Random) -> Case {
    let mut text = String::from("let\n");
    for number in 0..GROUP {
        text += &format!("  d{number} = {};\n", derivation(random, number));
    }
    text += "  show = d: [ d.drvPath (map (o: o.outPath) d.all) (builtins.readFile d.drvPath) ];\n";
    text += "in [";
    for number in 0..GROUP {
        text += &format!(" (show d{number})");
    }
    let last = reference(random, GROUP);
    text += &format!(" (builtins.getContext \"${{{last}}}\") {last} ]\n");
    // most with everything on: refusals are few
    let features = if random.one_in(4) { *random.pick(SUBSETS) } else { FEATURES };
    Case { text, features }
}

fn derivation(random: &mut Random, number: usize) -> String {
    let kind = random.below(8);
    // what is to be a derivation itself ends so
    let suffix = if kind == 3 && !random.one_in(6) { ".drv" } else { "" };
    let mut attributes = vec![format!("name = \"n{number}{suffix}\"; system = \"x\"; builder = \"/bin/sh\"")];
    let mode = random.pick(&["flat", "recursive", "nar", "git", "text"]);
    let algorithm = random.pick(&["sha1", "sha256", "sha512", "md5"]);
    match kind {
        0 => attributes.push(format!("__contentAddressed = true; outputHashMode = \"{mode}\"")),
        1 => attributes.push(format!("__contentAddressed = true; outputHashAlgo = \"{algorithm}\"")),
        2 => attributes.push("__contentAddressed = true; outputs = [ \"out\" \"dev\" ]".to_owned()),
        3 => attributes.push("__contentAddressed = true; outputHashMode = \"text\"".to_owned()),
        4 => attributes.push(format!("__impure = true; outputHashMode = \"{mode}\"; outputs = [ \"lib\" \"out\" ]")),
        5 => attributes.push(format!("outputHashMode = \"text\"; outputHash = \"sha256:{}\"", hex(random, 32))),
        6 if random.one_in(3) => attributes.push("__impure = true; __contentAddressed = true".to_owned()),
        _ => attributes.push(format!("outputs = [ {} ]", random.pick(&["\"out\"", "\"out\" \"doc\""]))),
    }
    if random.one_in(4) {
        attributes.push("__structuredAttrs = true".to_owned());
    }
    for variable in 0..random.below(4) {
        attributes.push(format!("v{variable} = {}", reference(random, number)));
    }
    if random.one_in(4) {
        attributes.push(format!("args = [ {} (builtins.placeholder \"out\") ]", reference(random, number)));
    }
    format!("derivation {{ {}; }}", attributes.join("; "))
}

/// A string that may depend on a derivation before this one, or on what that makes.
fn reference(random: &mut Random, number: usize) -> String {
    if number == 0 || random.one_in(6) {
        return "\"plain\"".to_owned();
    }
    let other = format!("d{}", random.below(number as u64));
    let path = format!("(builtins.unsafeDiscardOutputDependency {other}.drvPath)");
    let output = random.pick(&["\"out\"", "\"out\"", "\"out\"", "\"dev\""]);
    match random.below(8) {
        0 => format!("\"${{{other}}} and ${{{path}}}\""),
        1 => path,
        2 => format!("(builtins.outputOf {path} {output})"),
        3 | 4 => format!("(builtins.outputOf {other}.outPath {output})"),
        5 => format!("(builtins.outputOf (builtins.outputOf {other}.outPath \"out\") {output})"),
        6 => format!("(builtins.addDrvOutputDependencies {path})"),
        _ => other,
    }
}

//! Derivations made up from a seed: ours and Nix's must name the same store paths.

use super::Tally;
use crate::nix::Nix;
use crate::random::Random;
use std::fmt::Write as _;

/// Writes an expression: a list of name and paths of `count` derivations, some of which use others. Floats are left out
/// of structured attributes unless `floats`: an old Nix prints them with other digits.
pub(super) fn make_up(count: usize, seed: u64, floats: bool) -> String {
    let mut random = Random::new(seed);
    let mut text = String::from("let\n");
    for number in 0..count {
        let _ = writeln!(text, "  d{number} = {};", one(&mut random, number, floats));
    }
    text.push_str("in map (d: [ d.name d.drvPath ] ++ map (o: o.outPath) d.all) [");
    for number in 0..count {
        let _ = write!(text, " d{number}");
    }
    text.push_str(" ]\n");
    text
}

/// Words with everything that printing and hashing could trip over.
const WORDS: &[&str] = &[
    "",
    "a",
    "-O2 -g",
    "two\\nlines",
    "tab\\tbed",
    "quo\\\"ted",
    "back\\\\slash",
    "carriage\\rreturn",
    "$out",
    "\\${not}",
    "ümläut",
    "日本",
    "/nix/store",
    "x=y",
    "null",
    "[ ]",
    "'",
];
const NAMES: &[&str] = &["hello-2.12", "a", "lib+x_y.z", "foo-1.0?", "x86=64", "UPPER", "0digit", "gcc-12.2.0-src.tar"];
const SYSTEMS: &[&str] = &["x86_64-linux", "aarch64-linux", "builtin", "i686-linux"];

fn one(random: &mut Random, number: usize, floats: bool) -> String {
    let name = format!("{}-{number}", random.pick(NAMES).trim_end_matches('?'));
    let mut attributes = vec![
        format!("name = \"{name}\""),
        format!("system = \"{}\"", random.pick(SYSTEMS)),
        format!("builder = {}", builder(random, number)),
    ];
    if random.one_in(2) {
        let args: Vec<String> = (0..random.below(4)).map(|_| value(random, number, 1)).collect();
        attributes.push(format!("args = [ {} ]", args.join(" ")));
    }
    match random.below(6) {
        0 => attributes.extend(fixed_output(random)),
        1 => attributes.push("outputs = [ \"out\" \"dev\" \"doc\" ]".to_owned()),
        2 => attributes.push("outputs = [ \"bin\" \"out\" ]".to_owned()),
        3 => attributes.push("outputs = [ \"lib\" ]".to_owned()),
        _ => {}
    }
    let structured = random.one_in(6);
    if structured {
        attributes.push("__structuredAttrs = true".to_owned());
    }
    if random.one_in(8) {
        attributes.push("__ignoreNulls = true; gone = null".to_owned());
    }
    if random.one_in(8) && !structured {
        attributes.push(format!("passAsFile = [ \"v0\" ]; allowedReferences = [ {} ]", value(random, number, 0)));
    }
    for variable in 0..random.below(5) {
        let value = if structured { nested(random, number, 2, floats) } else { value(random, number, 1) };
        attributes.push(format!("v{variable} = {value}"));
    }
    format!("derivation {{ {}; }}", attributes.join("; "))
}

fn builder(random: &mut Random, number: usize) -> String {
    if number > 0 && random.one_in(3) {
        return format!("\"${{d{}}}/bin/sh\"", random.below(number as u64));
    }
    random.pick(&["\"/bin/sh\"", "\"/usr/bin/env\"", "(builtins.toFile \"builder.sh\" \"echo hi > $out\")"]).to_string()
}

fn fixed_output(random: &mut Random) -> Vec<String> {
    let mode = random.pick(&["flat", "recursive"]);
    let hash = match random.below(4) {
        0 => format!("outputHashAlgo = \"sha256\"; outputHash = \"{}\"", hex(random, 32)),
        1 => format!("outputHashAlgo = \"sha1\"; outputHash = \"{}\"", hex(random, 20)),
        2 => format!("outputHashAlgo = \"md5\"; outputHash = \"{}\"", hex(random, 16)),
        _ => format!("outputHashAlgo = \"sha512\"; outputHash = \"{}\"", hex(random, 64)),
    };
    vec![format!("outputHashMode = \"{mode}\"; {hash}")]
}

pub(super) fn hex(random: &mut Random, bytes: usize) -> String {
    (0..bytes).fold(String::new(), |text, _| text + &format!("{:02x}", random.below(256)))
}

/// Something that a plain derivation can have as a variable.
fn value(random: &mut Random, number: usize, depth: u32) -> String {
    match random.below(if depth > 0 { 10 } else { 8 }) {
        0 if number > 0 => format!("d{}", random.below(number as u64)),
        1 if number > 0 => format!("\"pre ${{d{}}} post\"", random.below(number as u64)),
        2 => format!("({})", (random.next() as i64 >> random.below(40)).to_string().replace('-', "0 - ")),
        3 => random.pick(&["true", "false", "null"]).to_string(),
        4 => format!("(builtins.toFile \"f{}\" \"{}\")", random.below(5), random.pick(WORDS)),
        5 => format!("(builtins.placeholder \"{}\")", random.pick(&["out", "dev"])),
        8 | 9 => {
            let items: Vec<String> = (0..random.below(4)).map(|_| value(random, number, depth - 1)).collect();
            format!("[ {} ]", items.join(" "))
        }
        _ => format!("\"{}\"", random.pick(WORDS)),
    }
}

/// Something that a derivation with structured attributes can have.
fn nested(random: &mut Random, number: usize, depth: u32, floats: bool) -> String {
    match random.below(5) {
        0 if depth > 0 => {
            format!(
                "{{ b = {}; a = {}; }}",
                nested(random, number, depth - 1, floats),
                nested(random, number, depth - 1, floats)
            )
        }
        1 if depth > 0 => {
            format!("[ {} {} ]", nested(random, number, depth - 1, floats), nested(random, number, depth - 1, floats))
        }
        2 if floats => format!("({})", random.pick(&["1.5", "0.1", "1.0e10", "12345678901.25", "-0.0"])),
        _ => value(random, number, 0),
    }
}

/// Compares the paths that ours and a Nix give, one derivation at a time.
pub(super) fn compare(expression: &str, ours: &Nix, peer: &Nix) -> Result<Tally, String> {
    let [ours, theirs] = [ours, peer].map(|nix| paths(nix, expression));
    let (ours, theirs) = (ours?, theirs?);
    let mut tally = Tally::default();
    // the first line is `let`; each derivation has one
    for ((our, their), text) in ours.iter().zip(&theirs).zip(expression.lines().skip(1)) {
        if our != their {
            eprintln!("== {}\n-- ours\n{our:#}\n-- {}\n{their:#}", text.trim(), peer.name);
        }
        tally.add(our == their);
    }
    if ours.len() != theirs.len() {
        return Err(format!("{} derivations of ours, {} of {}", ours.len(), theirs.len(), peer.name));
    }
    Ok(tally)
}

fn paths(nix: &Nix, expression: &str) -> Result<Vec<serde_json::Value>, String> {
    let output = nix.pure(&["--eval", "--strict", "--json"], expression.as_bytes())?;
    if !output.status.success() {
        return Err(format!("{} fails: {}", nix.name, String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{} prints no JSON: {error}", nix.name))
}

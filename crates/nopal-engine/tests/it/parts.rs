//! Answers in parts: made-up programs whose attributes share values in all ways, of which some depend on what is changed.

use std::fmt::Write as _;

use crate::dice::Dice;
use crate::world::{Answered, World, write};
use nopal_engine::Source;

/// Files of each kind.
const FILES: usize = 6;
/// Values that others use.
const VALUES: usize = 40;
/// Attributes of the answer; sometimes so many that it is kept otherwise.
const PARTS: [usize; 6] = [14, 14, 14, 14, 2, 70];

/// What all values may use.
const PRELUDE: &str = r#"
let
  inherit (builtins) elemAt sort lessThan listToAttrs attrNames tryEval length stringLength concatStringsSep readFile
    foldl' genericClosure pathExists getEnv substring toJSON filter map match readDir hashString toFile fromJSON trace seq;
  caught = v: let r = tryEval v; in if r.success then r.value else 99;
  least = x: y: if x < y then x else y;
  number = s: stringLength s + (if match "[1-9][0-9]?" s == null then 0 else fromJSON s);
  set = x: y: { a = x; b = y; rest = { inherit x; }; } // (if x > y then { c = x; } else { });
"#;

/// An expression that is an integer (or fails), from two values, a file, and the number of a text.
const FORMS: &[&str] = &[
    "import ./code@F.nix",
    "import ./code@F.nix + @A",
    "@A + @B",
    "@A - @B",
    "number (readFile ./text@F)",
    "number \"${toString @A}-${s@B}\"",
    "foldl' (x: y: x + y) 0 [ @A @B 1 ]",
    "elemAt (sort lessThan [ @A @B 3 ]) 1",
    "length (attrNames (listToAttrs [ { name = \"x${toString @A}\"; value = @B; } { name = \"x1\"; value = @A; } ]))",
    "(listToAttrs [ l@A { name = \"y\"; value = @B; } ]).y",
    "caught (if @A > 5 then throw \"x\" else @B)",
    "caught fails@F",
    "(caught fails@F) * 2",
    "least (caught fails@F) 50",
    "number (concatStringsSep \"\" [ s@A ])",
    "least (@A - 1) 50",
    "least set@A.a 50",
    "(x: x + 1) (@A * 2)",
    "(x: x + 1) set@A.b",
    "caught (seq fails@F @A)",
    "number (concatStringsSep \",\" [ s@A s@B (toString @A) ])",
    "if @A == @B then 1 else 2",
    "if [ @A [ @B ] ] == [ @B [ @A ] ] then @A else 2",
    "if { x = @A; } == { x = @B; } then 1 else @B",
    "least @A @B",
    "partial@A @B",
    "(set @A @B).c or 7",
    "set@A.rest.x",
    "(set@A // { b = @B; }).b",
    "(import ./set@F.nix).x or @A",
    "(import ./set@F.nix // set@A).x or 1",
    "length (genericClosure { startSet = [ { key = @A; } ]; operator = e: if e.key > 0 && e.key < 5 then [ { key = e.key + 1; } ] else [ ]; })",
    "if pathExists ./maybe@F then @A else @B",
    "number (getEnv \"V@F\")",
    "number (substring 0 (if @A > 3 then 2 else 1) (toJSON [ @A ]))",
    "length (filter (x: x > 2) (map (x: x + @A) [ 1 @B ]))",
    "length (attrNames (readDir ./folder@F))",
    "caught (assert @A > @B; @A)",
    "if number (hashString \"sha256\" \"${./text@F}\") == 64 then @A else 0",
    "number \"${toFile \"note\" s@A}\"",
    "fromJSON (readFile ./json@F)",
    "let inherit (set@A) rest; in rest.x",
    "with set@A; a",
    "(x: y: x) @A @B",
    "({ p, q ? @B }: p + q) { p = @A; }",
    "({ p, q ? @B, ... }@all: q + all.b) (set@A // { p = @A; })",
];

/// Forms that show something.
const SHOWING: &[&str] =
    &["trace \"@A of @F\" @B", "trace \"@F: ${s@A}\" @A", "caught (trace \"first\" (throw \"x\"))"];

fn fill(form: &str, dice: &mut Dice, below: usize) -> String {
    let mut value = |names: &str| {
        let index = dice.roll(below);
        (format!("{names}{index}"), index)
    };
    let ((_, a), (_, b)) = (value("v"), value("v"));
    let file = dice.roll(FILES);
    let mut text = form.to_owned();
    // a value by itself, or something that was made of it
    for (mark, index) in [("@A", a), ("@B", b)] {
        for made in ["s", "l", "set", "partial"] {
            text = text.replace(&format!("{made}{mark}"), &format!("{made}{index}"));
        }
        text = text.replace(mark, &format!("v{index}"));
    }
    text.replace("@F", &file.to_string())
}

/// What a program is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Parts that are data.
    Data,
    /// The same; some show something.
    Showing,
    /// Derivations, in the attribute `drv`.
    Derivations,
}

/// A program whose value is a set or a list of parts.
fn program(dice: &mut Dice, kind: Kind) -> String {
    let mut text = PRELUDE.to_owned();
    for index in 0..VALUES {
        let form = match index < FILES {
            true => "import ./code@F.nix",
            false if kind == Kind::Showing && dice.roll(8) == 0 => *dice.pick(SHOWING),
            false => *dice.pick(FORMS),
        };
        let value = fill(form, dice, index.max(1));
        writeln!(text, "  v{index} = {value};").unwrap();
        writeln!(text, "  s{index} = toString v{index};").unwrap();
        writeln!(text, "  l{index} = {{ name = \"n${{s{index}}}\"; value = v{index}; }};").unwrap();
        writeln!(text, "  set{index} = set v{index} v{};", dice.roll(index.max(1))).unwrap();
        writeln!(text, "  partial{index} = least v{index};").unwrap();
        let other = dice.roll(index.max(1));
        let dependency = if index > 0 { format!("dependency = d{other};") } else { String::new() };
        let attributes = format!("name = \"d{other}\"; system = \"x\"; builder = s{index}; {dependency}");
        writeln!(text, "  d{index} = derivation {{ {attributes} }};").unwrap();
    }
    for index in 0..FILES {
        writeln!(text, "  fails{index} = if v{} > 2 then throw \"no\" else v{};", dice.roll(FILES), dice.roll(FILES))
            .unwrap();
    }
    text.push_str("  shown = trace \"by two\" v9;\n");
    let is_list = dice.roll(3) == 0;
    text.push_str("in ");
    if kind == Kind::Derivations {
        text.push_str("{ drv = ");
    }
    text.push_str(if is_list { "[\n" } else { "{\n" });
    for index in 0..*dice.pick(&PARTS) {
        let derivation = format!("d{}", dice.roll(VALUES));
        let value = match dice.roll(5) {
            0 if kind == Kind::Derivations => format!("{{ recurseForDerivations = true; a = {derivation}; b = d1; }}"),
            1 if kind == Kind::Derivations => format!("{{ flag ? 1 }}: {derivation}"),
            2 if kind == Kind::Derivations => format!("if v{} > 3 then {derivation} else d2", dice.roll(VALUES)),
            _ if kind == Kind::Derivations => derivation,
            0 => format!("[ v{} \"${{./text{}}}\" ]", dice.roll(VALUES), dice.roll(FILES)),
            1 => format!("set{}", dice.roll(VALUES)),
            2 => format!("{{ inherit v{} s{}; }}", dice.roll(VALUES), dice.roll(VALUES)),
            _ if kind == Kind::Showing && index == 0 => "trace \"at first\" shown".to_owned(),
            3 if kind == Kind::Showing => "shown".to_owned(),
            _ => format!("v{}", dice.roll(VALUES)),
        };
        match is_list {
            true => writeln!(text, "  ({value})").unwrap(),
            false => writeln!(text, "  part{index} = {value};").unwrap(),
        }
    }
    text.push_str(if is_list { "]" } else { "}" });
    text.push_str(if kind == Kind::Derivations { "; }\n" } else { "\n" });
    text
}

/// Changes something; tells what.
fn edit(world: &mut World, dice: &mut Dice) -> String {
    let file = dice.roll(FILES);
    let number = dice.roll(10);
    let (name, text) = match dice.roll(10) {
        0..=3 => (format!("code{file}.nix"), number.to_string()),
        4 => (format!("text{file}"), "x".repeat(number)),
        5 => (format!("json{file}"), number.to_string()),
        6 => (format!("set{file}.nix"), (*dice.pick(&["{ }", "{ x = 1; }", "{ x = import ./code1.nix; }"])).to_owned()),
        7 => (format!("folder{file}/{number}"), String::new()),
        8 => {
            let maybe = world.path(&format!("maybe{file}"));
            if std::fs::remove_file(&maybe).is_err() {
                write(&maybe, "");
            }
            return format!("turned maybe{file}");
        }
        _ => {
            world.environment.insert(format!("V{file}"), "v".repeat(number));
            return format!("set V{file} to {number}");
        }
    };
    // rarely one that fails, or shows something
    let text = match dice.roll(20) {
        0 if name.starts_with("code") => "throw \"broken\"".to_owned(),
        1 if name.starts_with("code") => format!("builtins.trace \"code\" {number}"),
        2 if name.starts_with("code") => format!("{number} # with a note"),
        _ => text,
    };
    write(&world.path(&name), &text);
    format!("wrote {text:?} to {name}")
}

/// How many answers of so many edits came from records in part.
fn edits(seed: u64, steps: usize, kind: Kind) -> usize {
    let mut dice = Dice(seed);
    let mut world = World::new();
    world.always_collect = seed.is_multiple_of(6);
    for file in 0..FILES {
        write(&world.path(&format!("code{file}.nix")), &file.to_string());
        write(&world.path(&format!("text{file}")), "text");
        write(&world.path(&format!("json{file}")), "3");
        write(&world.path(&format!("set{file}.nix")), "{ x = 1; }");
        write(&world.path(&format!("folder{file}/0")), "");
    }
    let program = program(&mut dice, kind);
    write(&world.path("main.nix"), &program);
    let main = Source::File(world.path("main.nix"));
    let mut in_part = 0;
    let mut history = Vec::new();
    for step in 0..steps {
        history.push(edit(&mut world, &mut dice));
        let what = format!("seed {seed}, step {step}: {history:#?}\n{program}");
        in_part += usize::from(world.compared(kind != Kind::Derivations, &main, &what) == Answered::InPart);
    }
    in_part
}

#[test]
fn parts_that_do_not_change_are_kept() {
    let in_part: usize = (1..=PROGRAMS).map(|seed| edits(seed * 0x9e37_79b9, 12, Kind::Data)).sum();
    assert!(in_part > 2 * PROGRAMS as usize, "{in_part} answers were made in part");
}

#[test]
fn parts_that_show_something_are_kept() {
    let in_part: usize = (1..=PROGRAMS).map(|seed| edits(seed * 0x85eb_ca6b, 12, Kind::Showing)).sum();
    assert!(in_part > 2 * PROGRAMS as usize, "{in_part} answers were made in part");
}

#[test]
fn derivations_that_do_not_change_are_kept() {
    let in_part: usize = (1..=PROGRAMS).map(|seed| edits(seed * 0xc2b2_ae35, 12, Kind::Derivations)).sum();
    assert!(in_part > PROGRAMS as usize, "{in_part} answers were made in part");
}

/// Programs of each kind.
const PROGRAMS: u64 = 24;

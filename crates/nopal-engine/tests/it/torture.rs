//! Whatever happens to files, links, folders, environment, arguments, store and records: an engine with records says
//! what one without says.

use std::path::Path;
use std::time::Duration;

use crate::dice::Dice;
use crate::world::{Meanwhile, World, write};
use nopal_engine::Source;

/// Longer than it takes until identities of files are trusted.
const SETTLED: Duration = Duration::from_millis(2_100);

/// Depends on everything in the folder, in every way.
const MAIN: &str = r#"
{ flag ? "unset" }:
let
  inherit (builtins) pathExists readFile readFileType readDir trace getEnv tryEval hashFile;
  kind = p: if pathExists p then readFileType p else "absent";
  text = p: if kind p == "regular" then readFile p else "none";
  list = p: if kind p == "directory" then readDir p else { };
  show = v: if builtins.isInt v || builtins.isString v then toString v else "other";
  names = [ "a" "b" "link" "dir" "dir/x" "link/x" "no/where" ];
  searched = tryEval (toString <search/b>);
  notSkip = p: t: baseNameOf p != "skip" && t != "unknown";
  answer = {
    inherit flag;
    kinds = map (n: kind (./data + "/${n}")) names;
    slash = pathExists "${toString ./data}/link/";
    first = trace "a: ${text ./data/a}" (text ./data/a);
    variable = getEnv "TORTURE" + getEnv "OTHER";
    leaf = if kind ./leaf.nix == "regular" then show (import ./leaf.nix) else "no leaf";
    listing = list ./data;
    below = list ./data/dir;
    hash = if kind ./data/b == "regular" then hashFile "sha256" ./data/b else null;
    searched = if searched.success then searched.value else "not found";
    tree = if kind ./tree == "absent" then "" else "${./tree}";
    file = if kind ./data/a == "regular" then "${./data/a}" else "";
    filtered = if kind ./tree == "absent" then "" else
      builtins.path { name = "filtered"; path = ./tree; filter = notSkip; };
    note = builtins.toFile "note" (text ./data/b);
    again = text ./data/a;
  };
in
answer // {
  drv = derivation {
    name = "torture";
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ (builtins.toJSON answer) ];
    dependency = derivation { name = "inner"; system = "x86_64-linux"; builder = text ./data/b; };
  };
}
"#;

const FILES: &[&str] = &["data/a", "data/b", "data/dir/x", "data/dir/y", "tree/one", "tree/sub/two", "tree/skip"];
const DIRECTORIES: &[&str] = &["data/dir", "tree/sub", "tree", "data/dir/deep"];
const LEAVES: &[&str] = &[
    "1",
    "2",
    "2 # with a note",
    "builtins.trace \"leaf\" 3",
    "builtins.warn \"careful\" 3",
    "import ./data/a",
    "throw \"thrown\"",
    "{",
    "__curPos.line",
    "\n__curPos.line",
];

fn begin() -> World {
    let world = World::new();
    write(&world.path("main.nix"), MAIN);
    for file in FILES {
        write(&world.path(file), "111");
    }
    write(&world.path("leaf.nix"), LEAVES[0]);
    std::os::unix::fs::symlink("a", world.path("data/link")).unwrap();
    world
}

/// Replaces a file by another of the same size and modification time.
fn replace_unnoticed(path: &Path, text: &str) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return };
    let other = path.with_extension("new");
    write(&other, text);
    if let (Ok(file), Ok(time)) = (std::fs::File::options().write(true).open(&other), metadata.modified()) {
        let _ = file.set_modified(time);
    }
    let _ = std::fs::rename(&other, path);
}

fn swap(world: &World, one: &str, other: &str) {
    let (one, other, aside) = (world.path(one), world.path(other), world.path("aside"));
    if std::fs::rename(&one, &aside).is_ok() {
        let _ = std::fs::rename(&other, &one);
        let _ = std::fs::rename(&aside, &other);
    }
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir_all(path);
}

/// Does something to the world; tells what.
fn edit(world: &mut World, dice: &mut Dice) -> String {
    let file = *dice.pick(FILES);
    let directory = *dice.pick(DIRECTORIES);
    // all of one size, so that sizes give nothing away
    let text = *dice.pick(&["111", "222", "333"]);
    let path = world.path(file);
    match dice.roll(14) {
        0 | 1 => {
            write(&path, text);
            format!("wrote {text} to {file}")
        }
        2 => {
            replace_unnoticed(&path, text);
            format!("replaced {file} by {text}, keeping its time")
        }
        3 => {
            remove(&path);
            format!("removed {file}")
        }
        4 => {
            remove(&world.path(directory));
            format!("removed {directory}")
        }
        5 => {
            let _ = std::fs::create_dir_all(world.path(directory));
            format!("made {directory}")
        }
        6 => {
            let link = world.path("data/link");
            remove(&link);
            let target = *dice.pick(&["a", "dir", "../tree", "link", "nowhere"]);
            let _ = std::os::unix::fs::symlink(target, link);
            format!("pointed data/link to {target}")
        }
        7 => {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = *dice.pick(&[0o644, 0o755]);
            let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
            format!("gave {file} the mode {mode:o}")
        }
        8 => {
            swap(world, "data/dir", "tree/sub");
            "swapped data/dir and tree/sub".to_owned()
        }
        9 => {
            let value = *dice.pick(&["", "one", "two"]);
            world.environment.insert("TORTURE".to_owned(), value.to_owned());
            format!("set TORTURE to {value:?}")
        }
        10 => {
            world.flag = (*dice.pick(&["none", "some"])).to_owned();
            format!("gave the argument {}", world.flag)
        }
        11 | 12 => {
            let leaf = *dice.pick(LEAVES);
            remove(&world.path("leaf.nix"));
            write(&world.path("leaf.nix"), leaf);
            format!("made the leaf {leaf}")
        }
        _ => {
            damage_records(world, dice);
            "damaged the records".to_owned()
        }
    }
}

fn damage_records(world: &World, dice: &mut Dice) {
    let Ok(records) = std::fs::read_dir(world.records()) else { return };
    for record in records {
        let path = record.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = dice.roll(bytes.len());
        match dice.roll(3) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << dice.roll(8),
            _ => bytes.push(0),
        }
        std::fs::write(&path, bytes).unwrap();
    }
}

fn torture(seed: u64, steps: usize, read_only: bool) {
    let mut dice = Dice(seed);
    let mut world = begin();
    let main = Source::File(world.path("main.nix"));
    let text = Source::Expr("(import ./main.nix { flag = \"given\"; }).answer or import ./main.nix { }".to_owned());
    let piped = Source::Stdin(b"import ./main.nix { }".to_vec());
    let mut history = Vec::new();
    let mut hits = 0;
    for step in 0..steps {
        history.push(edit(&mut world, &mut dice));
        // rarely, so that most edits fall into the same tick of the clock and some are of files that have settled
        if step % 25 == 24 {
            std::thread::sleep(SETTLED);
            history.push("waited".to_owned());
        }
        let source = match dice.roll(4) {
            0 => &text,
            1 => &piped,
            _ => &main,
        };
        if dice.roll(5) == 0 {
            let file = *dice.pick(FILES);
            let path = world.path(file);
            let change = *dice.pick(&["111", "222", "333"]);
            history.push(format!("while it was evaluated, wrote {change} to {}", path.display()));
            let meanwhile: Meanwhile = Box::new(move || write(&path, change));
            world.evaluate(true, read_only, source, Some(meanwhile));
        }
        let what = format!("seed {seed}, step {step}: {history:#?}");
        world.compare(read_only, source, &what);
        hits += usize::from(world.compare(read_only, source, &format!("once more, {what}")));
        if !read_only && dice.roll(6) == 0 {
            for recorded in [true, false] {
                let engine = world.engine(recorded, read_only, nopal_report::Reporter::silent());
                engine.store().unwrap().collect_garbage(&nopal_store::GcOptions::default()).unwrap();
            }
            history.push("collected garbage".to_owned());
            world.compare(read_only, source, &format!("without garbage, {what}"));
        }
    }
    assert!(hits > steps / 10, "{hits} of {steps} repeated evaluations were answered from records");
}

#[test]
fn read_only_evaluations() {
    for seed in [0x5eed, 0xfeed_beef, 77] {
        torture(seed, 60, true);
    }
}

#[test]
fn evaluations_that_write() {
    torture(0xdead_10cc, 40, false);
}

/// What is kept is used: after a while, by identities alone.
#[test]
fn unchanged_is_answered_from_records() {
    let world = begin();
    let main = Source::File(world.path("main.nix"));
    std::thread::sleep(SETTLED);
    assert!(!world.compare(true, &main, "first"));
    assert!(world.compare(true, &main, "second"));
    // the same contents in a new file: read again, and found the same
    let leaf = world.path("leaf.nix");
    std::fs::remove_file(&leaf).unwrap();
    write(&leaf, LEAVES[0]);
    assert!(world.compare(true, &main, "rewritten"));
    write(&leaf, LEAVES[1]);
    assert!(!world.compare(true, &main, "changed"));
    assert!(world.compare(true, &main, "after the change"));
}

/// The clock has another answer each time; a failure may be over the next time.
#[test]
fn what_depends_on_the_time_or_fails_is_not_kept() {
    let world = begin();
    for text in ["builtins.seq builtins.currentTime 1", "{ flag }: throw flag", "builtins.seq __currentTime 1"] {
        let source = Source::Expr(text.to_owned());
        for round in 0..2 {
            assert!(!world.compare(true, &source, text), "round {round} of {text} was answered from a record");
        }
    }
    let source = Source::Expr("builtins.attrNames builtins".to_owned());
    world.compare(true, &source, "names");
    assert!(world.compare(true, &source, "names"), "the clock is only named");
}

/// Import from derivation is answered from a record as long as the output is valid.
#[test]
fn imports_from_derivations() {
    let world = begin();
    let text = r#"
      let drv = derivation {
        name = "imported"; system = "builtin"; builder = "builtin:fetchurl";
        url = "file://${toString ./leaf.nix}";
        outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = builtins.hashFile "sha256" ./leaf.nix;
      }; in { drv = derivation { name = "x-${toString (import drv)}"; system = "x"; builder = "b"; }; }"#;
    let source = Source::Expr(text.to_owned());
    for engine in 0..2 {
        assert!(!world.compare(false, &source, "first") || engine > 0);
    }
    assert!(world.compare(false, &source, "again"));
    write(&world.path("leaf.nix"), "22");
    assert!(!world.compare(false, &source, "changed"));
    assert!(world.compare(false, &source, "after the change"));
    let engine = world.engine(true, false, nopal_report::Reporter::silent());
    engine.store().unwrap().collect_garbage(&nopal_store::GcOptions::default()).unwrap();
    assert!(!world.compare(false, &source, "after garbage was collected"));
}

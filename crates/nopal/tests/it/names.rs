//! Beside the real Nix, where it is installed: the same words give the same output.

use crate::console::environment;
use nopal_test::Tool;
use std::process::Output;

/// Words that both understand, and text for standard input.
const SAME: &[(&[&str], &str)] = &[
    (&["--eval", "-"], "{ a = 1; b = [ 1 2 ]; d = \"s\"; }"),
    (&["--eval", "--strict", "-"], "{ a = 1 + 1; b = map (x: x * 2) [ 1 2 ]; }"),
    (&["--eval", "--strict", "--json", "-"], "{ a = 1.5; b = null; c = \"ü\"; }"),
    (&["--eval", "--strict", "--xml", "--no-location", "-"], "{ a = 1; f = { x, y ? 2 }: x; }"),
    (&["--eval", "-E", "{ x, y ? 3 }: x + y", "--arg", "x", "1"], ""),
    (&["--eval", "-E", "{ name }: name", "--argstr", "name", "n"], ""),
    (&["--eval", "-A", "a.b", "-"], "{ a.b = 7; }"),
    (&["--parse", "-"], "{ a ? 1, ... }@args: let b = a; in b.c or rec { x = 1; }"),
    (
        &["--eval", "--strict", "-"],
        "builtins.toString (derivation { name = \"n\"; system = \"s\"; builder = \"b\"; }).drvPath",
    ),
];

fn printed(output: &Output) -> (Option<i32>, String) {
    // an old Nix ends JSON without a line end
    (output.status.code(), String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[test]
fn nix_instantiate_prints_what_nix_prints() {
    let Some(nix) = Tool::find("nix-instantiate") else { return };
    let env = environment();
    for (words, input) in SAME {
        let file = env.write("input.nix", input).unwrap();
        let run = |program: &std::path::Path| {
            let mut command = env.command(program);
            command.args(*words).env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store");
            printed(&command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap())
        };
        let (ours, theirs) = (run(&env.root().join("bin/nix-instantiate")), run(nix.path()));
        assert_eq!(ours, theirs, "{words:?} of {input:?}");
    }
}

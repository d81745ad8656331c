//! Wrappers against nixpkgs' makeWrapper and makeBinaryWrapper: tests/wrap has a case a line, of flags, an environment,
//! arguments, and what a program that was wrapped so by one of them printed.

use nopal_relocate::wrap::flags::{Options, parse};
use nopal_relocate::wrap::{Layout, Manner, Place, Text, make};
use nopal_test::{Tool, skip};
use serde_json::Value;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::Command;

/// Prints its folder, environment and arguments, each with a letter in front and a zero behind.
const SHOW: &str = r#"
#include <stdio.h>
#include <unistd.h>
static void show(char kind, char *text) { printf("%c%s%c", kind, text, 0); }
int main(int count, char **arguments, char **environment) {
    char folder[4096];
    if (!getcwd(folder, sizeof folder)) return 1;
    show('D', folder);
    while (*environment) show('E', *environment++);
    for (int i = 0; i < count; i++) show('A', arguments[i]);
}
"#;

fn strings(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().as_bytes().to_vec()).collect()
}

/// What the wrapper of a case prints: folder and arguments in order, the environment sorted.
fn run(case: &Value, folder: &Path, place: Place) -> Vec<String> {
    let (target, wrapper) = (folder.join("show"), folder.join("w"));
    let manner = if case["manner"] == "binary" { Manner::Binary } else { Manner::Shell };
    let options = Options { manner, shell: Tool::find("bash").map(|bash| bash.path().into()), expands_values: false };
    let launch = parse(Text::literal(target.as_os_str().as_bytes()), &strings(&case["flags"]), &options).unwrap();
    make(&launch, &target, &wrapper, &Layout { place, ..Layout::default() }).unwrap();
    let mut command = Command::new("./w");
    command.current_dir(folder).env_clear();
    let text = case["environment"].to_string().replace('@', &folder.to_string_lossy());
    for variable in strings(&serde_json::from_str(&text).unwrap()) {
        let equals = variable.iter().position(|byte| *byte == b'=').unwrap();
        let part = |bytes: &[u8]| std::ffi::OsString::from_vec(bytes.to_vec());
        command.env(part(&variable[..equals]), part(&variable[equals + 1..]));
    }
    command.args(strings(&case["arguments"]).into_iter().map(std::ffi::OsString::from_vec));
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap().replace(&*folder.to_string_lossy(), "@");
    // what bash sets itself
    let ignored = ["E_=", "ESHLVL=", "EPWD=", "EOLDPWD="];
    let lines = printed.split_terminator('\0').filter(|line| !ignored.iter().any(|name| line.starts_with(name)));
    let (mut environment, mut rest): (Vec<_>, Vec<_>) =
        lines.map(str::to_owned).partition(|line| line.starts_with('E'));
    environment.sort();
    rest.append(&mut environment);
    rest
}

#[test]
fn wrappers_do_what_those_of_nixpkgs_do() {
    let (Some(_), Some(_)) = (Tool::find("cc"), Tool::find("bash")) else {
        return skip("needs cc and bash");
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    fs::write(folder.join("show.c"), SHOW).unwrap();
    assert!(Command::new("cc").args(["-o", "show", "show.c"]).current_dir(&folder).status().unwrap().success());
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wrap");
    let mut count = 0;
    for name in ["golden", "made-up-shell", "made-up-binary"] {
        let path = data.join(name).with_extension("jsonl");
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let case: Value = serde_json::from_str(line).unwrap();
            let expected: Vec<String> =
                strings(&case["prints"]).into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
            for place in [Place::Beside, Place::Inside] {
                assert_eq!(run(&case, &folder, place), expected, "{}:{}: {line}", path.display(), index + 1);
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} cases");
}

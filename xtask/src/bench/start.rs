//! Starting programs: as they are, with libraries opened by path and symbols bound beforehand, and relocated. Making and
//! starting wrappers.
//!
//! The programs are looked for below `--elf-files`. That is best a folder with one per package, whose files find each
//! other by run paths: a Nix store, or unpacked packages of Debian that were given such run paths.

use super::Bench;
use super::measure::{median, run as measure};
use crate::{files, setup};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program to start.
struct Program {
    /// The first file that has one of these names.
    names: &'static [&'static str],
    /// What makes it end soon.
    argument: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { names: &["hello"], argument: "--version" },
    Program { names: &["magick", "magick-im7.q16"], argument: "--version" },
    Program { names: &["emacs", "emacs-gtk"], argument: "--version" },
    Program { names: &["ffmpeg"], argument: "-version" },
];

/// How often something is started in a round: it is short, and machines are not quiet.
const STARTS: usize = 10;

/// Programs with so many libraries are to gain by what we do; those with so few are not to lose.
const MANY_LIBRARIES: usize = 100;
const FEW_LIBRARIES: usize = 10;

/// The ways of starting a program.
const WAYS: [&str; 3] = ["as it is", "made fast", "relocated"];

/// What a start costs where strace can tell it.
struct Traced {
    /// How many libraries were looked for where they are not.
    in_vain: usize,
    /// How long it takes if each call with a path takes half a millisecond more, as on file systems that are far away.
    slow_s: f64,
}

/// Measures starts of the programs that are there, then wrappers of one.
pub(super) fn run(bench: &Bench<'_>, folder: &Path) -> Result<(), String> {
    let has_name = |path: &Path, program: &Program| program.names.iter().any(|name| path.ends_with(name));
    let found = files::below(folder, &|path, metadata| {
        let is_one = PROGRAMS.iter().any(|program| has_name(path, program));
        is_one && metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 && super::elf::is_elf(path)
    })?;
    println!(
        "{:<28} {:>8} {:>6} {:>7} {:>8} {:>8} {:>6}",
        "", "CPU ms", "ratio", "more ms", "in vain", "slow s", "ratio"
    );
    for program in PROGRAMS {
        match found.iter().find(|(path, _)| has_name(path, program)) {
            Some((path, _)) => start(bench, path, program)?,
            None => eprintln!("bench: no {} in {}", program.names.join(" or "), folder.display()),
        }
    }
    wrappers(bench)
}

/// Starts a program in all ways.
fn start(bench: &Bench<'_>, path: &Path, program: &Program) -> Result<(), String> {
    let [name, ..] = program.names else { return Ok(()) };
    let stock = place(path, &bench.folder.join("stock").join(name))?;
    let fast = place(path, &bench.folder.join("fast").join(name))?;
    nopal(bench, &["elf", "fast"], &[&fast])?;
    let files = loaded_files(&stock)?;
    let [closure, relocated] = ["closure", "relocated"].map(|name| bench.folder.join(name));
    for file in files.iter().chain([&stock]) {
        place(file, &below(&closure, file))?;
    }
    nopal(bench, &["relocate", "--tree", &format!("/={}", closure.display()), "--out"], &[&relocated])?;
    let ways = [stock.clone(), fast, below(&relocated, &stock)].map(|way| command(&way, &[program.argument]));
    let costs_ms = cpu_ms(bench, &ways)?;
    // the loader is among them
    let libraries = files.len().saturating_sub(1);
    println!("start {name}, {libraries} libraries");
    let mut first = None;
    for (way, (label, cost_ms)) in ways.iter().zip(WAYS.iter().zip(&costs_ms)) {
        let traced = setup::find("strace").map(|strace| trace(bench, &strace, way)).transpose()?;
        let (first_ms, first_s) = *first.get_or_insert((*cost_ms, traced.as_ref().map_or(0.0, |traced| traced.slow_s)));
        print!("  {label:<26} {cost_ms:>8.3} {:>6.2} {:>+7.3}", cost_ms / first_ms, cost_ms - first_ms);
        if let Some(Traced { in_vain, slow_s }) = traced {
            print!(" {in_vain:>8} {slow_s:>8.3} {:>6.2}", slow_s / first_s);
        }
        println!("{}", goal(label, libraries));
    }
    bench.remove("closure")?;
    bench.remove("relocated")
}

fn goal(way: &str, libraries: usize) -> &'static str {
    match (way, libraries) {
        ("made fast", MANY_LIBRARIES..) => "  goal: 0.67 of the CPU, none in vain, 0.22 of the time where it is slow",
        ("made fast", ..FEW_LIBRARIES) => "  goal: 0.05 ms more",
        ("relocated", ..FEW_LIBRARIES) => "  goal: 0.10 ms more",
        _ => "",
    }
}

/// Makes a wrapper, and starts it: ours beside one in C, as makeBinaryWrapper of nixpkgs compiles it.
fn wrappers(bench: &Bench<'_>) -> Result<(), String> {
    let Some(target) = setup::find("true") else { return Ok(()) };
    let folder = bench.folder.join("wrappers");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let [ours, theirs] = ["ours", "theirs"].map(|name| folder.join(name));
    let mut make_ours = bench.ours.command("nopal");
    make_ours.arg("wrap").arg("--from").arg(&target).arg("--to").arg(&ours).args(["--set", "COLOUR", "always"]);
    let (mut makes, mut starts) = (vec![make_ours], vec![command(&target, &[]), command(&ours, &[])]);
    if let Some(cc) = setup::find("cc") {
        let source = format!(
            "#include <stdlib.h>\n#include <unistd.h>\nint main(int argc, char **argv) {{\n  (void)argc;\n  \
             setenv(\"COLOUR\", \"always\", 1);\n  argv[0] = \"{target}\";\n  return execv(\"{target}\", argv);\n}}\n",
            target = target.display()
        );
        let (source, _) = bench.write("wrappers/theirs.c", source.as_bytes())?;
        let mut make_theirs = command(&cc, &["-Os", "-o"]);
        make_theirs.arg(&theirs).arg(source);
        makes.push(make_theirs);
        starts.push(command(&theirs, &[]));
    }
    println!("wrappers");
    let row = |label: &str, cost_ms: f64, base_ms: f64, goal: &str| {
        println!("  {label:<26} {cost_ms:>8.3} {:>6.2} {:>+7.3}{goal}", cost_ms / base_ms, cost_ms - base_ms);
    };
    let made_ms = cpu_ms(bench, &makes)?;
    let base_ms = made_ms.last().copied().unwrap_or_default();
    for (index, (cost_ms, label)) in made_ms.iter().zip(["make one", "compile one in C"]).enumerate() {
        row(label, *cost_ms, base_ms, if index == 0 { "  goal: 2 ms" } else { "" });
    }
    let started_ms = cpu_ms(bench, &starts)?;
    for (index, (cost_ms, label)) in started_ms.iter().zip(["start true", "through ours", "through C"]).enumerate() {
        row(label, *cost_ms, started_ms[0], if index == 1 { "  goal: 0.10 ms more" } else { "" });
    }
    Ok(())
}

/// The CPU time of each command, in turns: what nine of ten runs are above, for others on the machine only add to it.
fn cpu_ms(bench: &Bench<'_>, commands: &[Command]) -> Result<Vec<f64>, String> {
    let mut costs_ms = vec![Vec::new(); commands.len()];
    for _ in 0..bench.options.rounds * STARTS {
        for (command, costs_ms) in commands.iter().zip(&mut costs_ms) {
            costs_ms.push(measure(command, None, &bench.folder)?.cpu_s * 1000.0);
        }
    }
    let lowest = |mut costs_ms: Vec<f64>| {
        costs_ms.sort_by(f64::total_cmp);
        costs_ms.get(costs_ms.len() / 10).copied().unwrap_or_default()
    };
    Ok(costs_ms.into_iter().map(lowest).collect())
}

fn trace(bench: &Bench<'_>, strace: &Path, start: &Command) -> Result<Traced, String> {
    let log = bench.folder.join("trace");
    let traced = |arguments: &[&str], log: &Path| {
        let mut traced = command(strace, arguments);
        traced.arg("-o").arg(log).arg(start.get_program()).args(start.get_args());
        measure(&traced, None, &bench.folder)
    };
    traced(&["-e", "trace=open,openat"], &log)?;
    let lines = fs::read(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))?;
    let lines = String::from_utf8_lossy(&lines);
    let in_vain = lines.lines().filter(|line| line.contains(".so") && line.contains("ENOENT")).count();
    let slow = ["-f", "-e", "trace=openat,newfstatat,access,faccessat,readlink", "-e"];
    let slow = [&slow[..], &["inject=openat,newfstatat,access:delay_enter=500"]].concat();
    let times_s = (0..bench.options.rounds).map(|_| Ok(traced(&slow, Path::new("/dev/null"))?.wall_s));
    Ok(Traced { in_vain, slow_s: median(times_s.collect::<Result<_, String>>()?) })
}

/// The loader and the libraries that a program is started with, as its loader tells.
fn loaded_files(program: &Path) -> Result<Vec<PathBuf>, String> {
    let output = command(program, &[]).env("LD_TRACE_LOADED_OBJECTS", "1").output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let path = |line: &str| {
        let (named, _) = line.trim().rsplit_once(" (0x")?;
        let path = named.rsplit(" => ").next().unwrap_or(named);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    Ok(text.lines().filter_map(path).collect())
}

/// A command in the environment that it would have without cargo, which sets the path of libraries for what it runs, and
/// dozens of variables that each start has to copy.
fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("LD_LIBRARY_PATH");
    let of_cargo = |name: &OsString| name.as_encoded_bytes().starts_with(b"CARGO_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_cargo(name)) {
        command.env_remove(name);
    }
    command
}

fn nopal(bench: &Bench<'_>, arguments: &[&str], paths: &[&Path]) -> Result<(), String> {
    let mut command = bench.ours.command("nopal");
    measure(command.args(arguments).args(paths), None, &bench.folder).map(|_| ())
}

/// Where an absolute path is below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Copies a file to where it can be changed.
fn place(from: &Path, to: &Path) -> Result<PathBuf, String> {
    let copy = || {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))
    };
    copy().map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))?;
    Ok(to.to_owned())
}

//! Evaluation: start-up, the microbenchmarks in bench/eval, and real programs in checkouts that the caller names.

use super::Bench;
use super::corpora;
use super::measure::{Row, median, run as measure};
use crate::nix::Nix;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many times as often the short ones are measured, at most: on a machine that others use they differ most.
const MORE_ROUNDS: usize = 5;

/// How many times as often two threads are measured: they need both processors at once.
const THREADS_ROUNDS: usize = 3;

/// Something to evaluate.
pub(super) struct Input {
    pub(super) name: String,
    /// Arguments of `nix-instantiate` on our side and on the peer's.
    pub(super) arguments: [Vec<OsString>; 2],
    /// Files for standard input, for us and for the peer; both are opened on our side.
    pub(super) stdin: Option<[PathBuf; 2]>,
    /// Derivations are written, into an empty store each time.
    pub(super) writes: bool,
    /// It has been evaluated before, and that may be made use of.
    pub(super) again: Option<Again>,
    /// How much faster two threads are is measured, too.
    pub(super) threads: bool,
}

/// What happened since something was evaluated before.
pub(super) enum Again {
    Nothing,
    /// In this file, the first `from` got `more` behind it, once more each time.
    Edit {
        file: PathBuf,
        from: &'static str,
        more: &'static str,
    },
}

impl Again {
    fn happen(&self) -> Result<(), String> {
        let Again::Edit { file, from, more } = self else { return Ok(()) };
        let edit = std::fs::read_to_string(file).and_then(|text| {
            let edited = text.replacen(from, &format!("{from}{more}"), 1);
            if edited == text {
                Err(std::io::Error::other("there is nothing to edit"))
            } else {
                std::fs::write(file, edited)
            }
        });
        edit.map_err(|error| format!("cannot edit {}: {error}", file.display()))
    }
}

impl Input {
    /// An expression in a file, evaluated without a store.
    pub(super) fn expression(name: &str, files: [PathBuf; 2]) -> Self {
        let arguments = ["--eval", "--strict", "--json", "-"].map(OsString::from).to_vec();
        let arguments = [arguments.clone(), arguments];
        Self::new(name, arguments, Some(files))
    }

    /// Something that is evaluated anew, each time, and not written.
    pub(super) fn new(name: &str, arguments: [Vec<OsString>; 2], stdin: Option<[PathBuf; 2]>) -> Self {
        Self { name: name.to_owned(), arguments, stdin, writes: false, again: None, threads: false }
    }
}

/// Runs all of it.
pub(super) fn run(bench: &Bench<'_>) -> Result<(), String> {
    let (start, _) = bench.write("start.nix", b"1")?;
    let small = [("start-up".to_owned(), start)].into_iter().chain(micro(bench)?);
    let mut small: Vec<Input> = small.map(|(name, path)| Input::expression(&name, [path.clone(), path])).collect();
    let mut large = corpora::inputs(bench)?;
    if let Some(only) = &bench.options.only {
        small.retain(|input| input.name.contains(only));
        large.retain(|input| input.name.contains(only));
    }
    if bench.options.callgrind {
        return small.iter().try_for_each(|input| count_instructions(bench, input));
    }
    let mut ratios = Vec::new();
    for (number, input) in small.iter().chain(&large).enumerate() {
        let row = row(bench, input)?;
        row.print();
        ratios.extend(row.ratio().filter(|_| number < small.len()));
        if input.threads {
            compare_threads(bench, input)?;
        }
    }
    if !ratios.is_empty() {
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        println!(
            "of the first {}, the geometric mean of user times is {mean:.3}, the median {:.3}",
            ratios.len(),
            median(ratios.clone())
        );
    }
    Ok(())
}

fn row(bench: &Bench<'_>, input: &Input) -> Result<Row, String> {
    let cost = |nix: &Nix, side: usize, round: usize| {
        let mut command = nix.command("nix-instantiate");
        if input.writes {
            let folder = [&bench.folder, &bench.peer_folder][side];
            command.arg("--store").arg(folder.join(bench.empty_store(format!("eval-store-{side}-{round}"))));
        }
        prepare(&mut command).args(&input.arguments[side]);
        let stdin = input.stdin.as_ref().map(|files| files[side].as_path());
        if let (Some(again), 0) = (&input.again, side) {
            command.env_remove("NOPAL_NO_EVAL_CACHE").env("XDG_CACHE_HOME", bench.folder.join("cache"));
            if round == 0 {
                measure(&command, stdin, &bench.folder)?;
            }
            again.happen()?;
        }
        measure(&command, stdin, &bench.folder)
    };
    // a profile is made of each as often
    let more = if bench.peer.is_some() { MORE_ROUNDS } else { 1 };
    let row = Row::measure(
        &input.name,
        bench.options.rounds..=more * bench.options.rounds,
        |round| cost(&bench.ours, 0, round),
        bench.peer.as_ref().map(|peer| |round| cost(peer, 1, round)),
    )?;
    bench.remove_stores()?;
    Ok(row)
}

/// Prints how much faster ours is with two threads than with one, beside what the machine has for two processes that
/// share nothing: its cores may be less than two.
fn compare_threads(bench: &Bench<'_>, input: &Input) -> Result<(), String> {
    let stdin = input.stdin.as_ref().map(|[ours, _]| ours.as_path());
    let ours = |threads: &str| {
        let mut command = bench.ours.command("nix-instantiate");
        prepare(&mut command).args(&input.arguments[0]).env("NOPAL_EVAL_CORES", threads);
        command
    };
    let [left, right] = ["left", "right"].map(|name| bench.folder.join(name));
    for folder in [&left, &right] {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let wall_s = |command: &Command, folder: &Path| measure(command, stdin, folder).map(|cost| cost.wall_s);
    let (mut one, mut two, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..THREADS_ROUNDS * bench.options.rounds {
        one.push(wall_s(&ours("1"), &left)?);
        two.push(wall_s(&ours("2"), &left)?);
        let processes = [ours("1"), ours("1")];
        let (here, there) = std::thread::scope(|scope| {
            let there = scope.spawn(|| wall_s(&processes[1], &right));
            (wall_s(&processes[0], &left), there.join())
        });
        let there = there.map_err(|_| "a thread of the bench panics".to_owned())?;
        both.push(here?.max(there?));
    }
    let [one, two, both] = [one, two, both].map(median);
    println!(
        "{}: with two threads {:.2} times as fast as with one ({two:.3} and {one:.3} s of wall time); two processes at \
         once do {:.2} times as much as one",
        input.name,
        one / two,
        2.0 * one / both
    );
    Ok(())
}

fn micro(bench: &Bench<'_>) -> Result<Vec<(String, PathBuf)>, String> {
    let found = crate::files::nix_below(&bench.root.join("bench/eval"))?;
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(found.into_iter().map(|(path, _)| (name(&path), path)).collect())
}

/// The surroundings of a measurement: no store, unless one is named, and nothing remembered.
fn prepare(command: &mut Command) -> &mut Command {
    command.env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store").env("NOPAL_NO_EVAL_CACHE", "1")
}

fn count_instructions(bench: &Bench<'_>, input: &Input) -> Result<(), String> {
    let (name, Some([path, _])) = (&input.name, &input.stdin) else { return Ok(()) };
    let mut ours = bench.ours.command("nix-instantiate");
    ours.args(&input.arguments[0]);
    let mut valgrind = Command::new("valgrind");
    let out = bench.folder.join(format!("callgrind.{name}"));
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    prepare(valgrind.arg(ours.get_program()).args(ours.get_args()));
    let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let output = crate::nix::feed(valgrind, &text)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split("Collected :").nth(1));
    let collected = collected.ok_or_else(|| format!("callgrind says nothing of {name}:\n{said}"))?;
    println!("{name:<28} {:>16} instructions", collected.trim());
    Ok(())
}

/// The files of a folder that `--parse` prints, as both sides see them.
pub(super) fn parsed(bench: &Bench<'_>, folder: &str) -> Result<[Vec<OsString>; 2], String> {
    let ours = bench.folder.join(folder);
    let mut files: Vec<PathBuf> =
        crate::files::nix_below(&ours)?.into_iter().filter(|(_, file)| file.is_file()).map(|(path, _)| path).collect();
    let mut good = 0;
    while good < files.len() {
        let mut command = bench.ours.command("nix-instantiate");
        prepare(&mut command).arg("--parse").args(&files[good..]);
        let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
        good += output.stdout.iter().filter(|&&byte| byte == b'\n').count();
        if good < files.len() {
            // a process ends at the first that does not parse
            eprintln!("bench: {} is left out, for it does not parse", files.remove(good).display());
        }
    }
    let seen_in = |base: &Path| {
        let inside = files.iter().filter_map(|file| file.strip_prefix(&bench.folder).ok());
        [OsString::from("--parse")].into_iter().chain(inside.map(|path| base.join(path).into_os_string())).collect()
    };
    Ok([seen_in(&bench.folder), seen_in(&bench.peer_folder)])
}

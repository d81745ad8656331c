//! Many programs in few processes. Starting Nix takes longer than most programs do, and `nix-instantiate` ends at the
//! first that fails; `nix eval` prints an error in place of an element of a list and goes on. So of a batch, one process
//! of each side finds out which fail and how, and a second one prints the values of the others. A program that fails on
//! one side only gets a process of its own, and so do all of a batch if one of them takes too long.

use crate::nix::Nix;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// What is asked of every program of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `--eval --strict`
    Value,
    /// `--eval`: shows what is still to be evaluated.
    Lazy,
    /// `--eval --strict --json`
    Json,
    /// `--eval --strict --xml`
    Xml,
    /// `--parse`
    Parse,
}

/// What came of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was printed.
    Value(Vec<u8>),
    /// It failed with status 1 and these words on standard error, or at least the last error among them.
    Fails(String),
    /// Out of time.
    Endless,
    /// Ended by a signal, or with another status.
    Crash(String),
}

/// How ours differs from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Both give a value, but not the same.
    Value,
    /// One fails where the other does not.
    Status,
    /// Both fail, with other words.
    Message,
}

/// The time that a process may take for a batch, and for one program alone.
const PATIENCE: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(10)];
/// Numbers between the elements of the list that `nix eval` prints.
const MARK: usize = 7_310_000;
const MARK_END: usize = MARK + 1000;
/// Stands before the text of a program that is only parsed, so that importing it evaluates nothing.
pub(super) const PARSED: &str = "_: ";

/// Where programs lie that both sides can see.
pub(super) struct Place {
    folder: PathBuf,
}

impl Place {
    /// Makes the folder, with the files that programs use. It is deep, so that `../..` leads to nothing large.
    pub(super) fn new(share: &Path) -> Result<Self, String> {
        let folder = share.join("1/2/3/4/batch");
        let describe = |error: std::io::Error| format!("cannot fill {}: {error}", folder.display());
        fs::create_dir_all(folder.join("dir/sub")).map_err(describe)?;
        for (name, text) in [
            ("dir/text.txt", "line one\nline two\n"),
            ("dir/identity.nix", "x: x\n"),
            ("dir/x.nix", "x\n"),
            ("dir/default.nix", "{ a = 1; b.c = ./text.txt; f = { a, b ? 2 }: a + b; }\n"),
            ("dir/a", ""),
            ("dir/sub/b", "b"),
        ] {
            fs::write(folder.join(name), text).map_err(describe)?;
        }
        Ok(Self { folder })
    }

    /// Writes programs, and gives their paths.
    fn lay(&self, programs: &[String]) -> Result<Vec<PathBuf>, String> {
        let path = |number| self.folder.join(format!("p{number:03}.nix"));
        let paths: Vec<PathBuf> = (0..programs.len()).map(path).collect();
        for (path, program) in paths.iter().zip(programs) {
            fs::write(path, program).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(paths)
    }
}

/// Runs a batch on both sides: what came of each program, of ours and of the peer's.
pub(super) fn run(
    place: &Place,
    question: Question,
    programs: &[String],
    ours: &Nix,
    peer: &Nix,
) -> Result<Vec<(Outcome, Outcome)>, String> {
    let paths = place.lay(programs)?;
    let one_by_one = |path: &PathBuf| Ok((alone(question, ours, path)?, alone(question, peer, path)?));
    let (Some(our_errors), Some(their_errors)) = both(
        || survey(&place.folder.join("index-ours.nix"), question, ours, &paths),
        || survey(&place.folder.join("index.nix"), question, peer, &paths),
    )?
    else {
        return paths.iter().map(one_by_one).collect();
    };
    let mut pairs: Vec<(Option<Outcome>, Option<Outcome>)> = our_errors.into_iter().zip(their_errors).collect();
    let good: Vec<usize> = (0..paths.len()).filter(|&number| matches!(pairs[number], (None, None))).collect();
    let good_paths: Vec<&Path> = good.iter().map(|&number| paths[number].as_path()).collect();
    let (our_values, their_values) =
        both(|| sequence(question, ours, &good_paths), || sequence(question, peer, &good_paths))?;
    for ((number, our), their) in good.into_iter().zip(our_values).zip(their_values) {
        pairs[number] = (Some(our), Some(their));
    }
    let outcomes = pairs.into_iter().zip(&paths).map(|(pair, path)| match pair {
        (Some(our), Some(their)) => Ok((our, their)),
        _ => one_by_one(path),
    });
    outcomes.collect()
}

/// Does two things at the same time.
fn both<T: Send>(
    first: impl FnOnce() -> Result<T, String> + Send,
    second: impl FnOnce() -> Result<T, String>,
) -> Result<(T, T), String> {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second()?;
        Ok((first.join().map_err(|_| "a thread panicked")??, second))
    })
}

/// Runs one program alone on both sides; failures come with all of standard error.
pub(super) fn run_one(
    place: &Place,
    question: Question,
    program: &str,
    ours: &Nix,
    peer: &Nix,
) -> Result<(Outcome, Outcome), String> {
    let paths = place.lay(&[program.to_owned()])?;
    Ok((alone(question, ours, &paths[0])?, alone(question, peer, &paths[0])?))
}

/// How two outcomes differ. Of failures, the last error is compared.
pub(super) fn fault(ours: &Outcome, theirs: &Outcome) -> Option<Fault> {
    match (ours, theirs) {
        (Outcome::Value(our), Outcome::Value(their)) => (comparable(our) != comparable(their)).then_some(Fault::Value),
        (Outcome::Fails(our), Outcome::Fails(their)) => {
            let last = |text: &str| text.rfind("error: ").map_or(0, |at| at);
            let (our, their) = (flat(our), flat(their));
            let their = their[last(&their)..].lines().next().unwrap_or_default();
            (!our.contains(their)).then_some(Fault::Message)
        }
        // a stack that overflows natively is the peer's misfortune, and time is no result
        (_, Outcome::Crash(_) | Outcome::Endless) => None,
        _ => Some(Fault::Status),
    }
}

/// A value without what cannot be equal: the time, and the digest of a copy of a file whose text is Nix's own.
fn comparable(value: &[u8]) -> String {
    const COPY: &str = "-fetchurl.nix";
    const DIGEST_CHARS: usize = 32;
    let text = timeless(String::from_utf8_lossy(value).into_owned());
    let mut pieces: Vec<&str> = text.split(COPY).collect();
    let copies = pieces.len() - 1;
    for before in &mut pieces[..copies] {
        *before = before.char_indices().nth_back(DIGEST_CHARS - 1).map_or("", |(at, _)| &before[..at]);
    }
    pieces.join(COPY)
}

/// A value in which `builtins.currentTime` is the same at any time.
fn timeless(text: String) -> String {
    const DIGITS: usize = 10;
    let Some((before, after)) = text.split_once("currentTime") else { return text };
    let Some(at) = after.find(|c: char| c.is_ascii_digit()) else { return text };
    let rest = after.get(at + DIGITS..).unwrap_or_default();
    format!("{before}currentTime{}{rest}", &after[..at])
}

/// A text without indentation and blank lines.
fn flat(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Which programs fail, and with which error; nothing for those that do not, or of which this cannot be told. Nothing at
/// all if one of them takes too long.
fn survey(
    index: &Path,
    question: Question,
    nix: &Nix,
    paths: &[PathBuf],
) -> Result<Option<Vec<Option<Outcome>>>, String> {
    let mut outcomes = vec![None; paths.len()];
    let mut left: Vec<usize> = (0..paths.len()).collect();
    while !left.is_empty() {
        let output = look_over(index, question, nix, paths, &left)?;
        if let Some(found) = errors(&String::from_utf8_lossy(&output.stdout), &left) {
            for (number, error) in left.drain(..).zip(found) {
                outcomes[number] = error.map(|error| Outcome::Fails(format!("error: {error}")));
            }
        } else {
            // a few errors, such as an overflow of the stack, end the process; the trace names the file
            let said = String::from_utf8_lossy(&output.stderr);
            let named = said.rsplit("/p").find_map(|rest| rest.get(..3)?.parse().ok());
            let Some(culprit) = named.and_then(|number: usize| left.iter().position(|&other| other == number)) else {
                return Ok(None);
            };
            left.remove(culprit);
        }
    }
    Ok(Some(outcomes))
}

/// Has `nix eval` print a list with an element for each of some programs, between numbers.
fn look_over(
    index: &Path,
    question: Question,
    nix: &Nix,
    paths: &[PathBuf],
    numbers: &[usize],
) -> Result<Output, String> {
    let mut list = "[\n".to_owned();
    for &number in numbers {
        let path = paths[number].display();
        let tried = match question {
            Question::Value => format!("builtins.deepSeq (import {path}) null"),
            Question::Json => format!("builtins.seq (builtins.toJSON (import {path})) null"),
            Question::Xml => format!("builtins.seq (builtins.toXML (import {path})) null"),
            Question::Lazy | Question::Parse => format!("builtins.seq (import {path}) null"),
        };
        list += &format!("{} ({tried})\n", MARK + number);
    }
    list += &format!("{MARK_END} ]\n");
    fs::write(index, list).map_err(|error| format!("cannot write {}: {error}", index.display()))?;
    let mut command = prepared(nix, "nix");
    command.args(["eval", "--read-only", "--impure", "--file"]).arg(index);
    finish(command, PATIENCE[0])
}

/// The errors among the elements of the list, if all of it was printed.
fn errors(said: &str, numbers: &[usize]) -> Option<Vec<Option<String>>> {
    let mark = |at: usize| format!(" {} ", numbers.get(at).map_or(MARK_END, |number| MARK + number));
    let (_, mut rest) = said.split_once(&mark(0))?;
    let mut found = Vec::new();
    for at in 1..=numbers.len() {
        let (element, after) = rest.split_once(&mark(at))?;
        let error = element.strip_prefix("«error: ").and_then(|error| error.strip_suffix('»'));
        found.push(error.map(str::to_owned));
        rest = after;
    }
    Some(found)
}

/// Runs programs in one process as long as none fails, and goes on behind the one that did.
fn sequence(question: Question, nix: &Nix, paths: &[&Path]) -> Result<Vec<Outcome>, String> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    while outcomes.len() < paths.len() {
        let mut command = prepared(nix, "nix-instantiate");
        command.args(flags(question)).args(&paths[outcomes.len()..]);
        let output = finish(command, PATIENCE[0])?;
        let values = split(question, &output.stdout);
        let room = paths.len() - outcomes.len();
        outcomes.extend(values.into_iter().take(room).map(|value| Outcome::Value(value.to_vec())));
        if outcomes.len() < paths.len() {
            outcomes.push(alone(question, nix, paths[outcomes.len()])?);
        }
    }
    Ok(outcomes)
}

/// Runs one program in a process of its own.
fn alone(question: Question, nix: &Nix, path: &Path) -> Result<Outcome, String> {
    let mut command = prepared(nix, "nix-instantiate");
    command.args(flags(question)).arg(path);
    let output = finish(command, PATIENCE[1])?;
    Ok(outcome(output))
}

fn outcome(output: Output) -> Outcome {
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Outcome::Value(output.stdout),
        Some(1) => Outcome::Fails(said.into_owned()),
        None if output.status.signal() == Some(KILLED) => Outcome::Endless,
        _ => Outcome::Crash(said.into_owned()),
    }
}

fn flags(question: Question) -> &'static [&'static str] {
    match question {
        Question::Value => &["--eval", "--strict"],
        Question::Lazy => &["--eval"],
        Question::Json => &["--eval", "--strict", "--json"],
        Question::Xml => &["--eval", "--strict", "--xml"],
        Question::Parse => &["--parse"],
    }
}

/// The values that one process printed.
fn split(question: Question, stdout: &[u8]) -> Vec<&[u8]> {
    if question != Question::Xml {
        return stdout.split_inclusive(|&b| b == b'\n').collect();
    }
    const BEGIN: &[u8] = b"<?xml version";
    let mut begins: Vec<usize> = (0..stdout.len())
        .filter(|&at| stdout[at..].starts_with(BEGIN) && (at == 0 || stdout[at - 1] == b'\n'))
        .collect();
    begins.push(stdout.len());
    begins.windows(2).map(|pair| &stdout[pair[0]..pair[1]]).filter(|text| text.ends_with(b"</expr>\n")).collect()
}

/// A command of one side, with the same surroundings on both.
fn prepared(nix: &Nix, program: &str) -> Command {
    let mut command = nix.command(program);
    command.env("NIX_REMOTE", "dummy://").env("NIX_STORE_DIR", "/nix/store");
    command.env("NIX_CONFIG", "experimental-features = nix-command flakes\nsubstituters =");
    command.env_remove("NIX_PATH").env("NO_COLOR", "1");
    command
}

/// The signal that ends what takes too long.
const KILLED: i32 = 9;

/// What a command says beyond is not kept: `--xml` of `builtins` is nine gigabytes, which end in an error.
const LONGEST_BYTES: u64 = 64 << 20;

/// Runs a command, and kills it after some time.
fn finish(mut command: Command, patience: Duration) -> Result<Output, String> {
    let describe = |error: std::io::Error| format!("cannot run a command: {error}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(describe)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        let mut text = Vec::new();
        // what a killed process did not say is no failure of ours
        let _ = pipe.map(|mut pipe| {
            pipe.by_ref().take(LONGEST_BYTES).read_to_end(&mut text)?;
            std::io::copy(&mut pipe, &mut std::io::sink())
        });
        text
    };
    std::thread::scope(|scope| {
        let errors = scope.spawn(|| read(stderr.map(|pipe| Box::new(pipe) as _)));
        let values = scope.spawn(|| read(stdout.map(|pipe| Box::new(pipe) as _)));
        let status = wait(&mut child, patience).map_err(describe)?;
        let panicked = |_| "a thread panicked".to_owned();
        Ok(Output { status, stdout: values.join().map_err(panicked)?, stderr: errors.join().map_err(panicked)? })
    })
}

fn wait(child: &mut std::process::Child, patience: Duration) -> std::io::Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let waited = start.elapsed();
        if waited > patience {
            child.kill()?;
        }
        std::thread::sleep((waited / 8).clamp(Duration::from_micros(200), Duration::from_millis(20)));
    }
}

//! `cargo xtask fuzz-eval`: programs made up from a grammar, and real ones changed, evaluated by ours and by a real Nix.
//! Values, exit statuses and error messages must be equal; what differs is made smaller and shown. Not compared are the time
//! and the digest of a copy of `<nix/fetchurl.nix>`, whose text is Nix's own.

mod batch;
mod generate;
mod grammar;
mod mutate;
mod shrink;

use crate::nix::{Build, Nix};
use batch::{Fault, Outcome, Place, Question};
use generate::Generator;
use mutate::Corpus;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What to compare with, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Words that start a Nix of 2.20 or later, before `nix`. Default: the Nix in PATH.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    cmd: Option<String>,
    /// Folder that this Nix sees under the same name; the programs are put there. Default: a temporary one.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Programs to try.
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// Seed of what is made up.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Programs of one process.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=999))]
    batch: u32,
    /// Folder with Nix files to change; repeat it for several. Default: tests/lang.
    #[arg(long, value_name = "DIR")]
    corpus: Vec<PathBuf>,
    /// Differences to make smaller and show; others are counted.
    #[arg(long, default_value_t = 10)]
    show: usize,
    /// Of the programs that fail, compare one in this many by all of standard error.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    whole: u32,
    /// Take differences of error messages for differences, too.
    #[arg(long)]
    messages: bool,
    /// Folder with our nix and nix-instantiate, instead of building them.
    #[arg(long, value_name = "DIR")]
    ours: Option<PathBuf>,
    /// Build and run the release build.
    #[arg(long)]
    release: bool,
}

/// How long a program is made smaller.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Count {
    programs: usize,
    values: usize,
    failures: usize,
    /// The peer crashed or took too long.
    skipped: usize,
    faults: usize,
    messages: usize,
    whole: usize,
    whole_differ: usize,
}

/// Runs it; true if nothing differs.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool, String> {
    let temporary = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let ours = match &options.ours {
        Some(folder) => Nix::in_folder(folder),
        None => Nix::ours(root, temporary.path(), Build::of(options.release))?,
    };
    let peer = match &options.cmd {
        Some(words) => Nix::by_prefix(words)?,
        None => Nix::installed().ok_or("no Nix is installed, and none is named by --cmd")?,
    };
    if peer.version < (2, 20) {
        return Err(format!("{} does not print errors inside of values; 2.20 or later is needed", peer.name));
    }
    let grammar = grammar::Grammar::read()?;
    let default = [root.join("tests/lang")];
    let folders = if options.corpus.is_empty() { &default[..] } else { &options.corpus };
    let mut fuzz = Fuzz {
        place: Place::new(options.share.as_deref().unwrap_or(temporary.path()))?,
        generator: Generator::new(&grammar, options.seed)?,
        corpus: Corpus::read(folders, options.seed)?,
        ours,
        peer,
        options,
        count: Count::default(),
        shown: Vec::new(),
        kinds: BTreeMap::new(),
    };
    let start = Instant::now();
    let mut number = 0_usize;
    while fuzz.count.programs < options.count {
        fuzz.batch(number)?;
        number += 1;
        if number.is_multiple_of(20) {
            eprintln!("fuzz-eval: {:?}", fuzz.count);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let count = &fuzz.count;
    println!(
        "{} programs beside {} in {seconds:.0} s: {} give values, {} fail, {} ended Nix or took too long\n\
         {} differ in value or status, {} in the message; of {} compared, standard error as a whole differs in {}",
        count.programs,
        fuzz.peer.name,
        count.values,
        count.failures,
        count.skipped,
        count.faults,
        count.messages,
        count.whole,
        count.whole_differ
    );
    let mut kinds: Vec<_> = fuzz.kinds.iter().collect();
    kinds.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    for ([our, their], times) in kinds {
        println!("{times:6} times\n  {our}\n  {their}");
    }
    Ok(count.faults == 0 && (count.messages == 0 || !options.messages))
}

struct Fuzz<'a> {
    place: Place,
    generator: Generator<'a>,
    corpus: Corpus,
    ours: Nix,
    peer: Nix,
    options: &'a Options,
    count: Count,
    /// Small programs that were shown already.
    shown: Vec<String>,
    /// How often messages of two kinds stand beside each other.
    kinds: BTreeMap<[String; 2], usize>,
}

impl Fuzz<'_> {
    /// Makes up a batch and compares it.
    fn batch(&mut self, number: usize) -> Result<(), String> {
        let question = match number % 10 {
            3 => Question::Json,
            6 => Question::Xml,
            8 => Question::Lazy,
            9 => Question::Parse,
            _ => Question::Value,
        };
        let programs: Vec<String> = (0..self.options.batch).map(|at| self.program(question, at)).collect();
        let outcomes = batch::run(&self.place, question, &programs, &self.ours, &self.peer)?;
        for (program, (our, their)) in programs.into_iter().zip(outcomes) {
            self.count.programs += 1;
            match their {
                Outcome::Value(_) => self.count.values += 1,
                Outcome::Fails(_) => self.count.failures += 1,
                Outcome::Endless | Outcome::Crash(_) => self.count.skipped += 1,
            }
            let failed = matches!((&our, &their), (Outcome::Fails(_), Outcome::Fails(_)));
            if failed && self.count.failures.is_multiple_of(self.options.whole as usize) {
                self.whole(question, &program)?;
            }
            if batch::fault(&our, &their).is_some() {
                self.difference(question, program)?;
            }
        }
        Ok(())
    }

    fn program(&mut self, question: Question, at: u32) -> String {
        let made_up = !at.is_multiple_of(6);
        let text = if made_up { self.generator.program() } else { self.corpus.program(&mut self.generator) };
        if question == Question::Parse { format!("{}{text}", batch::PARSED) } else { text }
    }

    /// Compares all that both say about a failure.
    fn whole(&mut self, question: Question, program: &str) -> Result<(), String> {
        let (our, their) = batch::run_one(&self.place, question, program, &self.ours, &self.peer)?;
        self.count.whole += 1;
        if our != their {
            self.count.whole_differ += 1;
            if self.options.messages && self.shown.len() < self.options.show {
                self.shown.push(String::new());
                self.print("standard error", program, &our, &their);
            }
        }
        Ok(())
    }

    /// Looks at a difference again, each side in a process of its own, makes it smaller, and shows it.
    fn difference(&mut self, question: Question, program: String) -> Result<(), String> {
        let (our, their) = batch::run_one(&self.place, question, &program, &self.ours, &self.peer)?;
        let Some(fault) = batch::fault(&our, &their) else { return Ok(()) };
        if fault == Fault::Message {
            self.count.messages += 1;
            let times = self.kinds.entry([kind(&our), kind(&their)]).or_default();
            *times += 1;
            if !self.options.messages || *times > 1 {
                return Ok(());
            }
        } else {
            self.count.faults += 1;
        }
        if self.shown.len() >= self.options.show {
            return Ok(());
        }
        let (place, ours, peer) = (&self.place, &self.ours, &self.peer);
        let start = Instant::now();
        let small = shrink::shrink(program, |lot| {
            if start.elapsed() > PATIENCE {
                return Ok(vec![false; lot.len()]);
            }
            let outcomes = batch::run(place, question, lot, ours, peer)?;
            let mut verdicts = Vec::new();
            for (program, (our, their)) in lot.iter().zip(outcomes) {
                // seen in a batch, it must be so alone
                let again = batch::fault(&our, &their) == Some(fault) && !verdicts.contains(&true);
                let again = again && {
                    let (our, their) = batch::run_one(place, question, program, ours, peer)?;
                    batch::fault(&our, &their) == Some(fault)
                };
                verdicts.push(again);
            }
            Ok(verdicts)
        })?;
        if self.shown.contains(&small) {
            return Ok(());
        }
        let (our, their) = batch::run_one(&self.place, question, &small, &self.ours, &self.peer)?;
        self.print(&format!("{fault:?} by {question:?}"), &small, &our, &their);
        self.shown.push(small);
        Ok(())
    }

    fn print(&self, what: &str, program: &str, our: &Outcome, their: &Outcome) {
        println!("== {what}\n{program}");
        for (name, outcome) in [(&self.ours.name, our), (&self.peer.name, their)] {
            let text = match outcome {
                Outcome::Value(value) => String::from_utf8_lossy(value).into_owned(),
                Outcome::Fails(said) => said.clone(),
                Outcome::Endless => "takes too long".to_owned(),
                Outcome::Crash(said) => format!("crashes: {said}"),
            };
            println!("-- {name}\n{}", text.trim_end());
        }
    }
}

/// The last error of a failure without what is quoted in it, so that errors of one kind are equal.
fn kind(outcome: &Outcome) -> String {
    let Outcome::Fails(said) = outcome else { return String::new() };
    let error = said.rfind("error: ").map_or(&**said, |at| &said[at..]);
    let error = error.lines().next().unwrap_or(error);
    let outside = error.split('\'').step_by(2).collect::<Vec<_>>().join("'…'");
    outside.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("0")
}

//! `nix why-depends`: the way from one path to another.

use super::paths::{Realise, derivations, look_up};
use super::source::{Lookup, Target};
use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, Line, SOURCE};
use crate::output;
use nopal_engine::{Engine, RealiseOptions};
use nopal_format::StorePath;
use nopal_store::Direction;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

/// `nix why-depends`.
pub(super) const COMMAND: Command = Command::new(
    "why-depends",
    "show why a package needs another",
    &[OWN, SOURCE, EVAL, FLAKE],
    &[Arg::one("package", Complete::Installable), Arg::one("dependency", Complete::Installable)],
    run,
);

const OWN: &[Flag] = &[
    Flag::new("all", "Show every way, not the shortest only").short('a'),
    Flag::new("derivation", "Take the derivations instead of what they build"),
    Flag::new("precise", "Show the files that refer to the dependency"),
];

const GREY: &str = "\u{1b}[38;5;244m";
const NORMAL: &str = "\u{1b}[0m";

fn run(mut line: Line) -> Result<ExitCode, CliError> {
    let lookup = line.lookup()?;
    let engine = line.engine()?;
    let (package, dependency) = (target(&lookup, &engine, &line, 0)?, target(&lookup, &engine, &line, 1)?);
    let from = one_path(&engine, &line, &package, Realise::Outputs)?;
    let from = from.ok_or_else(|| not_one(&package))?;
    // what has no path yet is no dependency of anything that is built
    let to = one_path(&engine, &line, &dependency, Realise::Nothing)?;
    let store = engine.store()?;
    store.add_temp_root(&from)?;
    let closure: BTreeSet<StorePath> =
        store.closure(std::slice::from_ref(&from), Direction::References)?.into_iter().collect();
    let Some(to) = to.filter(|to| closure.contains(to)) else {
        eprintln!("'{}' does not depend on '{}'", package.word, dependency.word);
        return Ok(ExitCode::SUCCESS);
    };
    let mut nodes = BTreeMap::new();
    for path in &closure {
        nodes.insert(path.clone(), store.references(path)?);
    }
    let mut ways = Ways {
        engine: &engine,
        distance: distances(&nodes, &to),
        nodes,
        from: from.clone(),
        to,
        all: line.has("all"),
        precise: line.has("precise"),
        visited: BTreeSet::new(),
        text: String::new(),
    };
    if !ways.precise {
        let _ = writeln!(ways.text, "{}", store.print(&from));
    }
    ways.print(&from, "")?;
    output::data(ways.text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn target(lookup: &Lookup, engine: &Engine, line: &Line, index: usize) -> Result<Target, CliError> {
    lookup.target(engine, line.arg(index).unwrap_or_default())
}

/// The one store path that a word stands for; `None` if it is not known yet.
fn one_path(engine: &Engine, line: &Line, target: &Target, realise: Realise) -> Result<Option<StorePath>, CliError> {
    let targets = std::slice::from_ref(target);
    let paths: BTreeSet<StorePath> = if line.has("derivation") {
        derivations(engine, line, targets)?
    } else {
        let resolved = match realise {
            Realise::Outputs => super::paths::build(engine, line, targets, &RealiseOptions::default())?,
            Realise::Nothing => look_up(engine, line, targets)?,
        };
        resolved.iter().flat_map(super::paths::Resolved::paths).collect()
    };
    if paths.len() > 1 {
        return Err(not_one(target));
    }
    Ok(paths.into_iter().next())
}

fn not_one(target: &Target) -> CliError {
    CliError::Found(format!("argument '{}' should evaluate to one store path", target.word))
}

/// How many references lead from each path to `to`.
fn distances(nodes: &BTreeMap<StorePath, BTreeSet<StorePath>>, to: &StorePath) -> BTreeMap<StorePath, usize> {
    let mut referrers: BTreeMap<&StorePath, Vec<&StorePath>> = BTreeMap::new();
    for (path, references) in nodes {
        for reference in references {
            referrers.entry(reference).or_default().push(path);
        }
    }
    let mut distance = BTreeMap::from([(to.clone(), 0)]);
    let mut edge = vec![to];
    for steps in 1.. {
        let mut next = Vec::new();
        for path in edge.drain(..).flat_map(|path| referrers.get(path).into_iter().flatten()) {
            if !distance.contains_key(*path) {
                distance.insert((*path).clone(), steps);
                next.push(*path);
            }
        }
        if next.is_empty() {
            break;
        }
        edge = next;
    }
    distance
}

struct Ways<'a> {
    engine: &'a Engine,
    nodes: BTreeMap<StorePath, BTreeSet<StorePath>>,
    distance: BTreeMap<StorePath, usize>,
    from: StorePath,
    to: StorePath,
    all: bool,
    precise: bool,
    visited: BTreeSet<StorePath>,
    text: String,
}

impl Ways<'_> {
    /// Prints what is below a path; says whether the end was reached and nothing more is to be shown.
    fn print(&mut self, path: &StorePath, pad: &str) -> Result<bool, CliError> {
        let shown = self.engine.config().store_dir.print(path);
        let seen = self.visited.contains(path);
        if self.precise {
            let (grey, arrow) = (if seen { GREY } else { "" }, if pad.is_empty() { "" } else { "→ " });
            let _ = writeln!(self.text, "{pad}{grey}{arrow}{shown}{NORMAL}");
        }
        if *path == self.to && !self.all && self.from != self.to {
            return Ok(true);
        }
        if seen {
            return Ok(false);
        }
        if self.precise {
            self.visited.insert(path.clone());
        }
        let mut references: Vec<(usize, StorePath)> = self.nodes[path]
            .iter()
            .filter(|reference| *reference != path || self.from == self.to)
            .filter_map(|reference| Some((*self.distance.get(reference)?, reference.clone())))
            .collect();
        references.sort();
        let hits = if self.precise { self.hits(path, &references)? } else { BTreeMap::new() };
        let count = references.len();
        for (index, (_, reference)) in references.iter().enumerate() {
            let last = !self.all || index + 1 == count;
            let (branch, below) = if last { ("└───", "    ") } else { ("├───", "│   ") };
            let found = hits.get(reference).map(Vec::as_slice).unwrap_or_default();
            for (number, hit) in found.iter().enumerate() {
                let _ = writeln!(self.text, "{pad}{}{hit}", if number == 0 { branch } else { below });
                if !self.all {
                    break;
                }
            }
            if !self.precise {
                let grey = if self.visited.contains(reference) { GREY } else { "" };
                let shown = self.engine.config().store_dir.print(reference);
                let _ = writeln!(self.text, "{pad}{grey}{branch}{shown}{NORMAL}");
                self.visited.insert(path.clone());
            }
            if self.print(reference, &format!("{pad}{below}"))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The places in a store path where others are named.
    fn hits(
        &self,
        path: &StorePath,
        references: &[(usize, StorePath)],
    ) -> Result<BTreeMap<StorePath, Vec<String>>, CliError> {
        let mut hits: BTreeMap<StorePath, Vec<String>> = BTreeMap::new();
        let wanted: BTreeSet<StorePath> = references.iter().map(|(_, path)| path.clone()).collect();
        for mention in self.engine.store()?.mentions(path, &wanted)? {
            let colour = if mention.reference == self.to { "\u{1b}[32;1m" } else { "\u{1b}[34;1m" };
            let hash = mention.reference.hash_part();
            let before = printable(&mention.before);
            let after = printable(&mention.after);
            let place = mention.place.display();
            let text = match mention.in_link {
                true => format!("{place} -> {before}{colour}{hash}{NORMAL}{after}"),
                false => format!("{place}: …{before}{colour}{hash}{NORMAL}{after}…"),
            };
            hits.entry(mention.reference).or_default().push(text);
        }
        Ok(hits)
    }
}

fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect()
}

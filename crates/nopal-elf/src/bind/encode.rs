//! What objects are bound to, as the entry code reads it: `stubs/src/bind.rs` has the layout.

use super::linked::{Check, Kind, Linked, Relocation};
use super::lookup::{Scope, Target};
use crate::bound::{CALLS_ARE_TAKEN, IS_CALL, IS_TAKEN};
use std::collections::HashMap;

/// In how many tables the loader would have to look for symbols at least, or the program starts no faster.
const MIN_LOOKS: usize = 5_000;

/// How many words come first, and how many tell of an object.
const HEAD_WORDS: usize = 4;
const OBJECT_WORDS: usize = 13;

/// Finds to what a program and its libraries are bound, in the order in which symbols are looked for: the program first. What
/// it gives is for [`crate::Start::bindings`]; empty if there is little to gain, or if something is too large for it.
pub fn bindings(objects: &[&Linked]) -> Vec<u8> {
    let scope = Scope::new(objects);
    let mut targets = Targets::default();
    let taken = (0..objects.len()).map(|number| take(&scope, number, &mut targets)).collect::<Vec<_>>();
    if taken.iter().flatten().map(|taken| taken.looks).sum::<usize>() < MIN_LOOKS {
        return Vec::new();
    }
    let (targets, numbers) = targets.sort();
    let mut words = Vec::new();
    let mut stream = Vec::new();
    for (number, (object, taken)) in objects.iter().zip(&taken).enumerate() {
        let Check { address, bytes, hash } = object.check;
        let Some(address) = narrow(address) else { return Vec::new() };
        // the program need not be checked: this is in it
        words.extend(if number == 0 { [0; 3] } else { [address, bytes as u32, hash] });
        words.push(targets.partition_point(|target| target.object.is_some_and(|object| object <= number)) as u32);
        let (Some(taken), Some(relocations)) = (taken, &object.relocations) else {
            words.extend([0; OBJECT_WORDS - 4]);
            continue;
        };
        let size = |entries: &[Relocation]| (entries.len() * object.relocation_bytes) as u32;
        let begin = stream.len() as u32;
        stream.extend(&taken.left);
        let runs = add_runs(&mut stream, &taken.places, &numbers, object.format.word_bytes() as u32);
        words.extend([
            IS_TAKEN | if taken.takes_calls { CALLS_ARE_TAKEN } else { 0 },
            relocations.address as u32,
            size(&relocations.entries),
            taken.relative as u32,
            relocations.calls_address as u32,
            size(&relocations.calls),
            taken.left.len() as u32,
            runs,
            begin,
        ]);
    }
    let begin = HEAD_WORDS + words.len();
    let head = [objects.len(), targets.len(), begin, begin + targets.len()].map(|count| count as u32);
    let values = targets.iter().map(|target| target.value as u32);
    head.into_iter().chain(words).chain(values).chain(stream).flat_map(u32::to_le_bytes).collect()
}

/// Each target once.
#[derive(Default)]
struct Targets {
    list: Vec<Target>,
    known: HashMap<Target, u16>,
}

impl Targets {
    /// The number of a target; nothing if there are too many, or if its address is too high.
    fn number(&mut self, target: Target) -> Option<u16> {
        narrow(target.value)?;
        if let Some(number) = self.known.get(&target) {
            return Some(*number);
        }
        let number = u16::try_from(self.list.len()).ok()?;
        self.list.push(target);
        self.known.insert(target, number);
        Some(number)
    }

    /// All in the order of their objects, those of no object last; and the new numbers by the old ones.
    fn sort(self) -> (Vec<Target>, Vec<u16>) {
        let mut order = (0..self.list.len()).collect::<Vec<_>>();
        order.sort_by_key(|number| {
            let Target { object, value } = self.list[*number];
            (object.is_none(), object, value)
        });
        let mut numbers = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            numbers[*old] = new as u16;
        }
        (order.iter().map(|old| self.list[*old]).collect(), numbers)
    }
}

/// What is done for an object in place of the loader.
struct Taken {
    /// How many of the first relocations only add where the object is.
    relative: usize,
    /// In how many tables the loader need not look for symbols any more before the program runs.
    looks: usize,
    takes_calls: bool,
    /// Numbers of relocations that are left to the loader.
    left: Vec<u32>,
    /// Where something is written to, in order, and the number of what.
    places: Vec<(u32, u16)>,
}

/// Divides the relocations of an object. Nothing if there is nothing to gain, or addresses are too high.
fn take(scope: &Scope<'_>, number: usize, targets: &mut Targets) -> Option<Taken> {
    let object = scope.objects[number];
    let relocations = object.relocations.as_ref()?;
    let entries = &relocations.entries;
    narrow(relocations.address.max(relocations.calls_address))?;
    let relative = entries.iter().take_while(|entry| entry.kind == Kind::Relative).count();
    let (mut looks, mut left, mut places) = (0, Vec::new(), Vec::new());
    let count = |target: Target| target.object.unwrap_or(scope.objects.len()) + 1;
    for (index, entry) in entries.iter().enumerate().skip(relative) {
        let target = scope.target(number, entry);
        match target.and_then(|target| place(entry, target, targets)) {
            Some(place) => {
                places.push(place);
                looks += target.map_or(0, count);
            }
            None => left.push(index as u32),
        }
    }
    // what else stands among them, such as functions that choose others, the loader has to find there
    let takes_calls = relocations.calls.iter().all(|entry| entry.kind == Kind::Call);
    for (index, entry) in relocations.calls.iter().enumerate().filter(|_| takes_calls) {
        let target = scope.target(number, entry);
        looks += target.filter(|_| object.binds_now).map_or(0, count);
        let target = target.and_then(|target| place(entry, target, targets));
        // what the loader does before the first call: adds where the object is
        let mut lazy = || place(entry, Target { object: Some(number), value: entry.content }, targets);
        match target.or_else(|| if object.binds_now { None } else { lazy() }) {
            Some(place) => places.push(place),
            None if object.binds_now => left.push(index as u32 | IS_CALL),
            None => return None,
        }
    }
    places.sort_unstable();
    // the order of what is written to one place matters
    let is_written_twice = places.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let has_no_table = entries.is_empty() && !left.is_empty();
    if places.is_empty() || is_written_twice || has_no_table {
        return None;
    }
    Some(Taken { relative, looks, takes_calls, left, places })
}

/// Where a relocation writes to, and the number of what.
fn place(entry: &Relocation, target: Target, targets: &mut Targets) -> Option<(u32, u16)> {
    Some((narrow(entry.offset)?, targets.number(target)?))
}

/// Adds runs of places that follow each other: the first, how many, and the new numbers of their targets. How many runs.
fn add_runs(stream: &mut Vec<u32>, places: &[(u32, u16)], numbers: &[u16], word_bytes: u32) -> u32 {
    let mut count = 0;
    for run in places.chunk_by(|(one, _), (next, _)| next - one == word_bytes) {
        count += 1;
        stream.extend([run[0].0, run.len() as u32]);
        let number = |(_, target): &(u32, u16)| u32::from(numbers[usize::from(*target)]);
        stream.extend(run.chunks(2).map(|pair| number(&pair[0]) | pair.get(1).map_or(0, number) << 16));
    }
    count
}

fn narrow(address: u64) -> Option<u32> {
    u32::try_from(address).ok()
}

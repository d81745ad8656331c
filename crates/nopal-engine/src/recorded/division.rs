//! Answers in parts: which of the facts of a record each part depends on, so that the others are still good when a fact is
//! no longer true.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use nopal_eval::host::Message;
use nopal_format::StorePath;

use super::record::{Digest, Facts, PathFacts, Record};

/// A question. Facts are numbered by the order of their questions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Asked {
    /// What is at a path.
    Kind(Vec<u8>),
    /// What the file contains, which names the directory has, where the link points.
    Data(Vec<u8>),
    /// A variable of the environment.
    Environment(Vec<u8>),
    /// What a tree becomes in the store.
    Tree(Digest),
    /// What a store object contains.
    Object(StorePath),
    /// What a store object refers to.
    References(StorePath),
    /// No question: that a message is shown, by its number. It happens once, whoever needs the value that comes with it.
    Message(u32),
}

/// How an answer is made of parts. What they depend on are numbers of facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Division {
    /// What all parts depend on, ascending.
    pub(super) base: Vec<u32>,
    /// The parts, in their order.
    pub(super) parts: Vec<Part>,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// An attribute's name or an element's index.
    pub(super) name: Vec<u8>,
    pub(super) answer: Vec<u8>,
    /// What it depends on besides what all do, ascending.
    pub(super) uses: Vec<u32>,
}

impl Division {
    /// Everything that anything depends on.
    pub(super) fn used(&self) -> HashSet<u32> {
        self.parts.iter().flat_map(|part| &part.uses).chain(&self.base).copied().collect()
    }

    /// With other numbers; what has none there holds whatever happens.
    pub(super) fn renumber(&mut self, number: impl Fn(u32) -> Option<u32>) {
        for uses in self.parts.iter_mut().map(|part| &mut part.uses).chain([&mut self.base]) {
            *uses = uses.iter().filter_map(|old| number(*old)).collect();
            uses.sort_unstable();
        }
    }

    /// The messages among what it depends on, in the order in which they were shown, or would have been if all parts had
    /// been evaluated: a message belongs to the first part that depends on it. `message` tells which it is.
    pub(super) fn messages(&self, message: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
        let mut shown = BTreeSet::new();
        let mut order = Vec::new();
        for uses in [&self.base].into_iter().chain(self.parts.iter().map(|part| &part.uses)) {
            let begin = order.len();
            order.extend(uses.iter().filter_map(|number| message(*number)).filter(|message| shown.insert(*message)));
            order[begin..].sort_unstable();
        }
        order
    }
}

/// What is left of a record of which some facts are no longer true.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What still holds.
    pub(super) facts: Facts,
    /// What was shown.
    pub(super) messages: Vec<Message>,
    /// The numbers that the facts had.
    pub(super) numbers: Numbers,
    /// What all parts depend on.
    pub(super) base: BTreeSet<u32>,
    /// The parts that are still good, by name.
    pub(super) parts: BTreeMap<Vec<u8>, Part>,
}

impl Record {
    /// The questions; their order gives the facts their numbers.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let mut asked = self.facts.asked();
        asked.extend((0..self.messages.len() as u32).map(Asked::Message));
        asked
    }

    /// What is left without the facts that are no longer true; `None` if no part is.
    pub(super) fn without(mut self, untrue: &BTreeSet<Asked>) -> Option<Rest> {
        let division = self.division.take()?;
        let numbers = Numbers::of_list(self.asked());
        let used = division.used();
        // what nobody says to depend on may have to do with anything
        if !untrue.iter().all(|asked| numbers.known(asked).is_some_and(|number| used.contains(&number))) {
            return None;
        }
        let Division { base, mut parts } = division;
        // by number: whether a fact is no longer true, or a message that is to be shown by another part
        let mut gone: Vec<bool> = numbers.list.iter().map(|asked| untrue.contains(asked)).collect();
        let is_gone =
            |gone: &[bool], uses: &[u32]| uses.iter().any(|number| *gone.get(*number as usize).unwrap_or(&true));
        if is_gone(&gone, &base) {
            return None;
        }
        // All parts that have a message which one shows that is evaluated again are evaluated again.
        loop {
            let (lost, kept) = parts.into_iter().partition::<Vec<_>, _>(|part| is_gone(&gone, &part.uses));
            parts = kept;
            if lost.is_empty() {
                break;
            }
            for number in lost.into_iter().flat_map(|part| part.uses) {
                if let Some(Asked::Message(_)) = numbers.list.get(number as usize) {
                    gone[number as usize] = true;
                }
            }
        }
        untrue.iter().for_each(|asked| self.facts.remove(asked));
        // what was shown before the first part is shown again
        let base = base.into_iter().filter(|number| numbers.message(*number).is_none()).collect();
        let parts: BTreeMap<_, _> = parts.into_iter().map(|part| (part.name.clone(), part)).collect();
        let rest = Rest { facts: self.facts, messages: self.messages, numbers, base, parts };
        (!rest.parts.is_empty()).then_some(rest)
    }
}

/// Questions and their numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By number.
    pub(super) list: Vec<Asked>,
    numbers: HashMap<Asked, u32>,
}

impl Numbers {
    fn of_list(list: Vec<Asked>) -> Numbers {
        Numbers { numbers: list.iter().cloned().zip(0..).collect(), list }
    }

    /// The number of a question; a new one if it has none.
    pub(super) fn of(&mut self, asked: &Asked) -> u32 {
        if let Some(number) = self.known(asked) {
            return number;
        }
        let number = self.list.len() as u32;
        self.list.push(asked.clone());
        self.numbers.insert(asked.clone(), number);
        number
    }

    /// The number of a question, if it has one.
    pub(super) fn known(&self, asked: &Asked) -> Option<u32> {
        self.numbers.get(asked).copied()
    }

    /// The message that has this number.
    pub(super) fn message(&self, number: u32) -> Option<u32> {
        match self.list.get(number as usize) {
            Some(Asked::Message(message)) => Some(*message),
            _ => None,
        }
    }
}

impl Facts {
    /// The questions; their order gives the facts their numbers.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let paths = self.paths.iter().flat_map(|(path, facts)| {
            let kind = facts.kind.map(|_| Asked::Kind(path.clone()));
            kind.into_iter().chain(facts.has_data().then(|| Asked::Data(path.clone())))
        });
        let environment = self.environment.keys().cloned().map(Asked::Environment);
        let trees = self.trees.keys().copied().map(Asked::Tree);
        let objects = self.objects.keys().cloned().map(Asked::Object);
        let references = self.references.keys().cloned().map(Asked::References);
        paths.chain(environment).chain(trees).chain(objects).chain(references).collect()
    }

    /// Leaves out facts.
    pub(super) fn remove(&mut self, asked: &Asked) {
        match asked {
            Asked::Kind(path) => self.remove_of_path(path, |facts| facts.kind = None),
            Asked::Data(path) => {
                self.remove_of_path(path, |facts| *facts = PathFacts { kind: facts.kind, ..PathFacts::default() });
                self.downloads.remove(path);
            }
            Asked::Environment(name) => _ = self.environment.remove(name),
            Asked::Tree(digest) => _ = self.trees.remove(digest),
            Asked::Object(path) => _ = self.objects.remove(path),
            Asked::References(path) => _ = self.references.remove(path),
            Asked::Message(_) => {}
        }
    }

    fn remove_of_path(&mut self, path: &[u8], remove: impl FnOnce(&mut PathFacts)) {
        if let Some(facts) = self.paths.get_mut(path) {
            remove(facts);
            if *facts == PathFacts::default() {
                self.paths.remove(path);
            }
        }
    }
}

impl PathFacts {
    fn has_data(&self) -> bool {
        [self.contents, self.listing, self.target].iter().any(Option::is_some)
    }
}

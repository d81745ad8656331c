//! The backtracking executor: explores the automaton in the order of libstdc++'s depth-first `_Executor`.
//!
//! Rules of that order, in the terms used below. A sub-search answers whether it found *any* solution. A repetition
//! tries its body first and goes on only if that found nothing. An alternative always tries both branches. A solution
//! replaces the recorded one only if it ends later. Hence a full match, where every solution ends at the end of the
//! text, keeps the first one; a search keeps the first of the longest.
//!
//! The answer of a sub-search depends only on the step, the position and the visit counts of repetitions whose body
//! can be empty; a second visit therefore cannot find a better solution than the first did. Once a search has taken
//! more steps than [`BUDGET`] allows, answers are remembered under that key.

use super::compile::{Op, Program};
use super::{Groups, Regex, RegexError};
use rustc_hash::FxHashMap;

/// Steps after which answers are remembered, plus four per byte of text.
const BUDGET: usize = 4096;

/// Remembered answers after which matching is given up.
const MEMO_LIMIT: usize = 1 << 25;

/// The table of remembered answers outgrew [`MEMO_LIMIT`].
pub(super) struct TooLarge;

type Key = (u32, usize, u64);

#[derive(Debug)]
enum Frame {
    Repeat { next: u32, pos: usize, slot: Option<u32>, saved: (usize, u8) },
    Second { next: u32, pos: usize },
    Either(bool),
    Run { step: u32, least: usize, at: usize },
    Group { group: u32, saved: Span },
    Memo(Key),
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: usize,
    end: usize,
    matched: bool,
}

/// Working memory of the executor, kept between matches to save allocations.
#[derive(Debug, Default)]
pub struct Scratch {
    stack: Vec<Frame>,
    current: Vec<Span>,
    best: Vec<Span>,
    visits: Vec<(usize, u8)>,
    memo: FxHashMap<Key, bool>,
    counts: FxHashMap<Box<[u8]>, u64>,
    /// Steps taken since the last reset, over all starts of one search.
    steps: usize,
    memoise: bool,
}

impl Scratch {
    fn reset(&mut self) {
        self.memo.clear();
        self.counts.clear();
        self.steps = 0;
        self.memoise = false;
    }
}

/// How far a solution must reach and from where the search starts.
#[derive(Clone, Copy)]
struct Goal {
    begin: usize,
    /// The solution must end at the end of the text.
    exact: bool,
    /// The solution must not be empty.
    not_empty: bool,
    /// `^` matches at `begin`.
    line_begin: bool,
}

struct Search<'a> {
    program: &'a Program,
    text: &'a [u8],
    scratch: &'a mut Scratch,
    goal: Goal,
    best_end: Option<usize>,
}

/// `std::regex_match`.
pub(super) fn full_match(program: &Program, text: &[u8], scratch: &mut Scratch) -> Result<Option<Groups>, TooLarge> {
    if let (Some(first), Some(&byte)) = (&program.first, text.first())
        && !first.contains(byte)
    {
        return Ok(None);
    }
    let goal = Goal { begin: 0, exact: true, not_empty: false, line_begin: true };
    scratch.reset();
    search(program, text, scratch, goal)
}

/// One exploration from `goal.begin`; the scratch is the caller's to reset.
fn search(program: &Program, text: &[u8], scratch: &mut Scratch, goal: Goal) -> Result<Option<Groups>, TooLarge> {
    let mut s = Search { program, text, scratch, goal, best_end: None };
    let found = match s.run() {
        Some(found) => found,
        None => {
            s.scratch.memoise = true;
            s.run().ok_or(TooLarge)?
        }
    };
    if !found {
        return Ok(None);
    }
    Ok(Some(s.scratch.best.iter().map(|g| g.matched.then_some(g.start..g.end)).collect()))
}

impl Search<'_> {
    /// Explores from the first step. `None`: the budget is spent (not remembering), or the memo is full.
    fn run(&mut self) -> Option<bool> {
        let budget = BUDGET + 4 * self.text.len();
        self.best_end = None;
        self.scratch.stack.clear();
        self.scratch.current.clear();
        self.scratch.current.resize(self.program.groups, Span::default());
        self.scratch.visits.clear();
        self.scratch.visits.resize(self.program.slots, (usize::MAX, 0));
        let (mut step, mut pos) = (0, self.goal.begin);
        loop {
            let found = self.descend(step, pos);
            if self.scratch.memoise {
                if self.scratch.memo.len() > MEMO_LIMIT {
                    return None;
                }
            } else if self.scratch.steps > budget {
                return None;
            }
            if found && self.finished() {
                return Some(true);
            }
            match self.ascend(found) {
                Ok((s, p)) => (step, pos) = (s, p),
                Err(found) => return Some(found),
            }
        }
    }

    /// No later solution can replace the recorded one.
    fn finished(&self) -> bool {
        self.best_end == Some(self.text.len())
    }

    /// Follows steps until a sub-search has its answer.
    fn descend(&mut self, mut step: u32, mut pos: usize) -> bool {
        loop {
            self.scratch.steps += 1;
            match self.program.ops[step as usize] {
                Op::Byte(byte, next) => {
                    if self.text.get(pos) != Some(&byte) {
                        return false;
                    }
                    pos += 1;
                    step = next;
                }
                Op::Set(set, next) => {
                    if !self.text.get(pos).is_some_and(|&b| self.program.sets[set as usize].contains(b)) {
                        return false;
                    }
                    pos += 1;
                    step = next;
                }
                Op::Run { set, next } => {
                    if let Some(answer) = self.recall(step, pos) {
                        return answer;
                    }
                    match self.consume_run(step, set, pos) {
                        Ok(at) => {
                            self.scratch.stack.push(Frame::Run { step, least: pos, at });
                            pos = at;
                            step = next;
                        }
                        Err(answer) => return answer,
                    }
                }
                Op::Alternative { first, second } => {
                    if let Some(answer) = self.recall(step, pos) {
                        return answer;
                    }
                    self.scratch.stack.push(Frame::Second { next: second, pos });
                    step = first;
                }
                Op::Repeat { body, next, slot } => {
                    if let Some(answer) = self.recall(step, pos) {
                        return answer;
                    }
                    step = self.repeat(body, next, slot, pos);
                }
                Op::Open(group, next) => {
                    let span = &mut self.scratch.current[group as usize];
                    let saved = *span;
                    span.start = pos;
                    self.scratch.stack.push(Frame::Group { group, saved });
                    step = next;
                }
                Op::Close(group, next) => {
                    let span = &mut self.scratch.current[group as usize];
                    let saved = *span;
                    span.end = pos;
                    span.matched = true;
                    self.scratch.stack.push(Frame::Group { group, saved });
                    step = next;
                }
                Op::Begin(next) => {
                    if !(self.goal.line_begin && pos == self.goal.begin) {
                        return false;
                    }
                    step = next;
                }
                Op::End(next) => {
                    if pos != self.text.len() {
                        return false;
                    }
                    step = next;
                }
                Op::Accept => return self.accept(pos),
            }
        }
    }

    fn accept(&mut self, pos: usize) -> bool {
        if (self.goal.exact && pos != self.text.len()) || (self.goal.not_empty && pos == self.goal.begin) {
            return false;
        }
        if self.best_end.is_none_or(|end| end < pos) {
            self.best_end = Some(pos);
            let Scratch { best, current, .. } = self.scratch;
            best.clone_from(current);
        }
        true
    }

    /// Enters a repetition: the step to go to, with the way out on the stack.
    fn repeat(&mut self, body: u32, next: u32, slot: Option<u32>, pos: usize) -> u32 {
        let Some(index) = slot else {
            self.scratch.stack.push(Frame::Repeat { next, pos, slot, saved: (0, 0) });
            return body;
        };
        let visits = &mut self.scratch.visits[index as usize];
        let saved = *visits;
        if saved.0 != pos || saved.1 == 0 {
            *visits = (pos, 1);
        } else if saved.1 < 2 {
            visits.1 += 1;
        } else {
            return next;
        }
        self.scratch.stack.push(Frame::Repeat { next, pos, slot, saved });
        body
    }

    /// The furthest position a run can reach from `pos`, or the answer if it is already known.
    fn consume_run(&mut self, step: u32, set: u32, pos: usize) -> Result<usize, bool> {
        let set = &self.program.sets[set as usize];
        let rest = &self.text[pos..];
        if !self.scratch.memoise {
            let length = rest.iter().position(|&b| !set.contains(b)).unwrap_or(rest.len());
            self.scratch.steps += length / 8;
            return Ok(pos + length);
        }
        let mut length = 0;
        while rest.get(length).is_some_and(|&b| set.contains(b)) {
            // A later start of the same run that is known to fail covers every exit behind it.
            match self.scratch.memo.get(&(step, pos + length + 1, 0)) {
                Some(true) => return Err(true),
                Some(false) => break,
                None => length += 1,
            }
        }
        Ok(pos + length)
    }

    /// Looks an answer up; if it is unknown, arranges for it to be remembered.
    fn recall(&mut self, step: u32, pos: usize) -> Option<bool> {
        if !self.scratch.memoise {
            return None;
        }
        let key = (step, pos, self.visit_key(pos));
        if let Some(&answer) = self.scratch.memo.get(&key) {
            return Some(answer);
        }
        self.scratch.stack.push(Frame::Memo(key));
        None
    }

    /// The visit counts at this position as a number; zero if there are none.
    fn visit_key(&mut self, pos: usize) -> u64 {
        let Scratch { visits, counts, .. } = self.scratch;
        let mut packed = 0u64;
        for (i, visit) in visits.iter().enumerate().filter(|(_, v)| v.0 == pos) {
            if i >= 31 {
                let full: Box<[u8]> = visits.iter().map(|v| if v.0 == pos { v.1 } else { 0 }).collect();
                let fresh = counts.len() as u64 | 1 << 63;
                return *counts.entry(full).or_insert(fresh);
            }
            packed |= u64::from(visit.1) << (2 * i);
        }
        packed
    }

    /// Hands an answer to the frames until one has something left to try.
    fn ascend(&mut self, mut found: bool) -> Result<(u32, usize), bool> {
        while let Some(frame) = self.scratch.stack.pop() {
            match frame {
                Frame::Repeat { next, pos, slot, saved } => {
                    if let Some(slot) = slot {
                        self.scratch.visits[slot as usize] = saved;
                    }
                    if !found {
                        return Ok((next, pos));
                    }
                }
                Frame::Second { next, pos } => {
                    self.scratch.stack.push(Frame::Either(found));
                    return Ok((next, pos));
                }
                Frame::Either(before) => found |= before,
                Frame::Run { step, least, at } => {
                    if !found && at > least {
                        let Op::Run { next, .. } = self.program.ops[step as usize] else { continue };
                        let mut back = Some(at - 1);
                        if let Op::Byte(byte, _) = self.program.ops[next as usize] {
                            // Only an exit before that byte can lead anywhere.
                            back = memchr::memrchr(byte, &self.text[least..at]).map(|offset| least + offset);
                        }
                        if self.scratch.memoise && back.is_none_or(|back| back == least) {
                            // All exits behind the first one failed; they do not depend on visit counts.
                            self.scratch.memo.insert((step, least + 1, 0), false);
                        }
                        if let Some(back) = back {
                            self.scratch.stack.push(Frame::Run { step, least, at: back });
                            return Ok((next, back));
                        }
                    }
                }
                Frame::Group { group, saved } => self.scratch.current[group as usize] = saved,
                Frame::Memo(key) => {
                    self.scratch.memo.insert(key, found);
                }
            }
        }
        Err(found)
    }
}

/// The matches of a pattern in a text, one after the other, as `std::regex_iterator` finds them.
#[derive(Debug)]
pub struct Matches<'a> {
    regex: &'a Regex,
    text: &'a [u8],
    last: Option<std::ops::Range<usize>>,
    previous_available: bool,
    done: bool,
}

impl<'a> Matches<'a> {
    pub(super) fn new(regex: &'a Regex, text: &'a [u8]) -> Self {
        Matches { regex, text, last: None, previous_available: false, done: false }
    }

    /// The groups of the next match.
    pub fn next_match(&mut self, scratch: &mut Scratch) -> Result<Option<Groups>, RegexError> {
        if self.done {
            return Ok(None);
        }
        let found = self.advance(scratch).map_err(|_| self.regex.space())?;
        match found.as_ref().and_then(|groups| groups.first().cloned().flatten()) {
            Some(whole) => self.last = Some(whole),
            None => self.done = true,
        }
        Ok(found)
    }

    fn advance(&mut self, scratch: &mut Scratch) -> Result<Option<Groups>, TooLarge> {
        let Some(last) = self.last.clone() else { return self.search_from(0, scratch) };
        let mut start = last.end;
        if last.is_empty() {
            if start == self.text.len() {
                return Ok(None);
            }
            let goal = Goal { begin: start, exact: false, not_empty: true, line_begin: !self.previous_available };
            scratch.reset();
            let found = search(&self.regex.program, self.text, scratch, goal)?;
            if found.is_some() {
                return Ok(found);
            }
            start += 1;
        }
        self.previous_available = true;
        self.search_from(start, scratch)
    }

    fn search_from(&self, from: usize, scratch: &mut Scratch) -> Result<Option<Groups>, TooLarge> {
        let program = &self.regex.program;
        scratch.reset();
        let mut line_begin = !self.previous_available;
        let mut begin = from;
        loop {
            if let Some(first) = &program.first {
                let rest = &self.text[begin..];
                let Some(skip) = rest.iter().position(|&b| first.contains(b)) else { return Ok(None) };
                line_begin &= skip == 0;
                begin += skip;
            }
            // Answers remembered from earlier starts stay true: all of them are failures, and `^` fails there as here.
            let goal = Goal { begin, exact: false, not_empty: false, line_begin };
            if line_begin {
                scratch.memo.clear();
            }
            let found = search(program, self.text, scratch, goal)?;
            if found.is_some() || begin == self.text.len() {
                return Ok(found);
            }
            if line_begin {
                scratch.memo.clear();
            }
            line_begin = false;
            begin += 1;
        }
    }
}

//! From tokens to an automaton, with the states that libstdc++'s `_Compiler` would create, in number and in order of
//! exploration.

use super::scan::{Bad, Scanner, Token};
use rustc_hash::FxHashMap;

/// libstdc++'s `_GLIBCXX_REGEX_STATE_LIMIT`.
const STATE_LIMIT: usize = 100_000;

const NONE: u32 = u32::MAX;

/// Why compilation failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Syntax error.
    Invalid,
    /// More than [`STATE_LIMIT`] states.
    Space,
}

impl From<Bad> for Fault {
    fn from(_: Bad) -> Self {
        Fault::Invalid
    }
}

/// A set of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    pub(super) fn union(&mut self, other: &ByteSet) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a |= b;
        }
    }

    fn negate(&mut self) {
        for word in &mut self.0 {
            *word = !*word;
        }
    }

    fn one(byte: u8) -> ByteSet {
        let mut set = ByteSet::default();
        set.insert(byte);
        set
    }

    /// The only byte of the set, if there is exactly one.
    pub(super) fn single(&self) -> Option<u8> {
        let mut members = (0..=255).filter(|&b| self.contains(b));
        match (members.next(), members.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Match(u32),
    Alternative,
    Repeat,
    Open(u32),
    Close(u32),
    Begin,
    End,
    Accept,
    Dummy,
}

#[derive(Debug, Clone, Copy)]
struct State {
    kind: Kind,
    next: u32,
    alt: u32,
}

/// A part of the automaton with one entry and one exit.
#[derive(Debug, Clone, Copy)]
struct Seq {
    start: u32,
    end: u32,
}

/// One step of the finished automaton; numbers are indices of steps.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    /// Consume this byte.
    Byte(u8, u32),
    /// Consume a byte of this set.
    Set(u32, u32),
    /// Try the first, then also the second.
    Alternative { first: u32, second: u32 },
    /// Once more if possible, otherwise go on. `slot` counts visits when the body can match nothing.
    Repeat { body: u32, next: u32, slot: Option<u32> },
    /// A repetition of one set: consume greedily, then give back.
    Run { set: u32, next: u32 },
    /// Start of a group.
    Open(u32, u32),
    /// End of a group.
    Close(u32, u32),
    /// `^`
    Begin(u32),
    /// `$`
    End(u32),
    /// The pattern matched.
    Accept,
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    pub(super) sets: Vec<ByteSet>,
    /// Number of groups with the whole match.
    pub(super) groups: usize,
    /// Number of repetitions that need a visit count.
    pub(super) slots: usize,
    /// Bytes a match can start with; `None` if it can be empty.
    pub(super) first: Option<ByteSet>,
}

struct Frame {
    open: Seq,
    group: u32,
    pending: Option<Seq>,
    terms: Vec<Seq>,
}

struct Compiler<'a> {
    scanner: Scanner<'a>,
    states: Vec<State>,
    sets: Vec<ByteSet>,
    groups: u32,
}

/// Compiles a pattern.
pub(super) fn compile(pattern: &[u8]) -> Result<Program, Fault> {
    let mut c = Compiler { scanner: Scanner::new(pattern)?, states: Vec::new(), sets: Vec::new(), groups: 0 };
    c.pattern()?;
    Ok(c.finish())
}

impl Compiler<'_> {
    fn insert(&mut self, kind: Kind, next: u32, alt: u32) -> Result<u32, Fault> {
        self.states.push(State { kind, next, alt });
        if self.states.len() > STATE_LIMIT {
            return Err(Fault::Space);
        }
        Ok((self.states.len() - 1) as u32)
    }

    fn single(&mut self, kind: Kind) -> Result<Seq, Fault> {
        let id = self.insert(kind, NONE, NONE)?;
        Ok(Seq { start: id, end: id })
    }

    fn append(&mut self, seq: &mut Seq, other: Seq) {
        self.states[seq.end as usize].next = other.start;
        seq.end = other.end;
    }

    fn take(&mut self, token: &Token) -> Result<bool, Fault> {
        if self.scanner.token != *token {
            return Ok(false);
        }
        self.scanner.advance()?;
        Ok(true)
    }

    fn open_frame(&mut self) -> Result<Frame, Fault> {
        let group = self.groups;
        self.groups += 1;
        let open = self.single(Kind::Open(group))?;
        Ok(Frame { open, group, pending: None, terms: Vec::new() })
    }

    fn pattern(&mut self) -> Result<(), Fault> {
        let mut stack = Vec::new();
        let mut frame = self.open_frame()?;
        loop {
            if self.term(&mut frame)? {
                continue;
            }
            if self.take(&Token::Open)? {
                let inner = self.open_frame()?;
                stack.push(std::mem::replace(&mut frame, inner));
                continue;
            }
            let body = self.alternative(&mut frame)?;
            if self.take(&Token::Or)? {
                frame.pending = Some(body);
                continue;
            }
            let Some(outer) = stack.pop() else {
                if self.scanner.token != Token::End {
                    return Err(Fault::Invalid);
                }
                let mut whole = frame.open;
                self.append(&mut whole, body);
                let close = self.single(Kind::Close(frame.group))?;
                self.append(&mut whole, close);
                let accept = self.single(Kind::Accept)?;
                self.append(&mut whole, accept);
                return Ok(());
            };
            if !self.take(&Token::Close)? {
                return Err(Fault::Invalid);
            }
            let mut group = frame.open;
            self.append(&mut group, body);
            let close = self.single(Kind::Close(frame.group))?;
            self.append(&mut group, close);
            frame = outer;
            let group = self.quantified(group)?;
            frame.terms.push(group);
        }
    }

    /// Ends the current alternative and joins it with the one before `|`, if any.
    fn alternative(&mut self, frame: &mut Frame) -> Result<Seq, Fault> {
        let mut seq = self.single(Kind::Dummy)?;
        for mut term in frame.terms.drain(..).rev() {
            self.append(&mut term, seq);
            seq = term;
        }
        let Some(mut left) = frame.pending.take() else { return Ok(seq) };
        let end = self.single(Kind::Dummy)?;
        self.append(&mut left, end);
        self.append(&mut seq, end);
        let alt = self.insert(Kind::Alternative, seq.start, left.start)?;
        Ok(Seq { start: alt, end: end.end })
    }

    /// Parses an anchor or a one-byte atom with its quantifiers; false if the token is neither.
    fn term(&mut self, frame: &mut Frame) -> Result<bool, Fault> {
        let set = match self.scanner.token.clone() {
            Token::LineBegin | Token::LineEnd => {
                let kind = if self.scanner.token == Token::LineBegin { Kind::Begin } else { Kind::End };
                self.scanner.advance()?;
                let seq = self.single(kind)?;
                frame.terms.push(seq);
                return Ok(true);
            }
            Token::Any => {
                self.scanner.advance()?;
                let mut set = ByteSet::one(0);
                set.negate();
                set
            }
            Token::Char(c) => {
                self.scanner.advance()?;
                ByteSet::one(c)
            }
            Token::Bracket(negated) => {
                self.scanner.advance()?;
                self.bracket(negated)?
            }
            _ => return Ok(false),
        };
        let index = match self.sets.iter().rposition(|s| *s == set) {
            Some(index) => index,
            None => {
                self.sets.push(set);
                self.sets.len() - 1
            }
        };
        let atom = self.single(Kind::Match(index as u32))?;
        let seq = self.quantified(atom)?;
        frame.terms.push(seq);
        Ok(true)
    }

    fn quantified(&mut self, mut e: Seq) -> Result<Seq, Fault> {
        loop {
            if self.take(&Token::Star)? {
                let repeat = self.insert(Kind::Repeat, NONE, e.start)?;
                let r = Seq { start: repeat, end: repeat };
                self.append(&mut e, r);
                e = r;
            } else if self.take(&Token::Plus)? {
                let repeat = self.insert(Kind::Repeat, NONE, e.start)?;
                self.append(&mut e, Seq { start: repeat, end: repeat });
            } else if self.take(&Token::Opt)? {
                let end = self.single(Kind::Dummy)?;
                let repeat = self.insert(Kind::Repeat, NONE, e.start)?;
                let mut r = Seq { start: repeat, end: repeat };
                self.append(&mut e, end);
                self.append(&mut r, end);
                e = r;
            } else if self.take(&Token::BraceOpen)? {
                e = self.interval(e)?;
            } else {
                return Ok(e);
            }
        }
    }

    fn count(&mut self) -> Result<Option<i64>, Fault> {
        let Token::Count(digits) = &self.scanner.token else { return Ok(None) };
        let mut value = 0i32;
        for digit in digits {
            value = value.checked_mul(10).and_then(|v| v.checked_add(i32::from(digit - b'0'))).ok_or(Fault::Invalid)?;
        }
        self.scanner.advance()?;
        Ok(Some(i64::from(value)))
    }

    fn interval(&mut self, body: Seq) -> Result<Seq, Fault> {
        let digits = matches!(self.scanner.token, Token::Count(_));
        if !digits {
            return Err(Fault::Invalid);
        }
        let mut whole = self.single(Kind::Dummy)?;
        let least = self.count()?.unwrap_or(0);
        let mut most = Some(least);
        if self.take(&Token::Comma)? {
            most = self.count()?;
        }
        if !self.take(&Token::BraceClose)? {
            return Err(Fault::Invalid);
        }
        for _ in 0..least {
            let copy = self.clone_seq(body)?;
            self.append(&mut whole, copy);
        }
        let Some(most) = most else {
            let mut copy = self.clone_seq(body)?;
            let repeat = self.insert(Kind::Repeat, NONE, copy.start)?;
            let repeat = Seq { start: repeat, end: repeat };
            self.append(&mut copy, repeat);
            self.append(&mut whole, repeat);
            return Ok(whole);
        };
        if most < least {
            return Err(Fault::Invalid);
        }
        let end = self.single(Kind::Dummy)?;
        let mut repeats = Vec::new();
        for _ in least..most {
            let copy = self.clone_seq(body)?;
            // The links are the other way round until the end is known, because `append` sets `next`.
            let repeat = self.insert(Kind::Repeat, copy.start, end.start)?;
            repeats.push(repeat);
            self.append(&mut whole, Seq { start: repeat, end: copy.end });
        }
        self.append(&mut whole, end);
        for repeat in repeats {
            let state = &mut self.states[repeat as usize];
            std::mem::swap(&mut state.next, &mut state.alt);
        }
        Ok(whole)
    }

    /// Copies a part of the automaton. States that are pushed twice before they are visited are copied twice, as in
    /// the original: they count towards the limit.
    fn clone_seq(&mut self, seq: Seq) -> Result<Seq, Fault> {
        let mut map: FxHashMap<u32, u32> = FxHashMap::default();
        let mut stack = vec![seq.start];
        while let Some(id) = stack.pop() {
            let state = self.states[id as usize];
            let copy = self.insert(state.kind, state.next, state.alt)?;
            map.insert(id, copy);
            if state.alt != NONE && !map.contains_key(&state.alt) {
                stack.push(state.alt);
            }
            if id != seq.end && state.next != NONE && !map.contains_key(&state.next) {
                stack.push(state.next);
            }
        }
        for &copy in map.values() {
            let state = &mut self.states[copy as usize];
            state.next = map.get(&state.next).copied().unwrap_or(NONE);
            state.alt = map.get(&state.alt).copied().unwrap_or(NONE);
        }
        let at = |id: u32| map.get(&id).copied().unwrap_or(NONE);
        Ok(Seq { start: at(seq.start), end: at(seq.end) })
    }

    fn bracket(&mut self, negated: bool) -> Result<ByteSet, Fault> {
        let mut set = ByteSet::default();
        let mut last = Last::Nothing;
        match self.scanner.token {
            Token::Char(c) => {
                self.scanner.advance()?;
                last = Last::Char(c);
            }
            Token::Dash => {
                self.scanner.advance()?;
                last = Last::Char(b'-');
            }
            _ => {}
        }
        loop {
            let token = self.scanner.token.clone();
            if token == Token::End {
                return Err(Fault::Invalid);
            }
            self.scanner.advance()?;
            match token {
                Token::BracketEnd => break,
                Token::Char(c) => last.push(&mut set, Last::Char(c)),
                Token::Collating(name) => last.push(&mut set, Last::Char(collating(&name).ok_or(Fault::Invalid)?)),
                Token::Equivalence(name) => {
                    last.push(&mut set, Last::Class);
                    let c = collating(&name).ok_or(Fault::Invalid)?;
                    set.insert(c.to_ascii_lowercase());
                    set.insert(c.to_ascii_uppercase());
                }
                Token::Class(name) => {
                    last.push(&mut set, Last::Class);
                    let member = class(&name).ok_or(Fault::Invalid)?;
                    (0..=255).filter(|&b| member(b)).for_each(|b| set.insert(b));
                }
                Token::Dash => {
                    if self.take(&Token::BracketEnd)? {
                        last.push(&mut set, Last::Char(b'-'));
                        break;
                    }
                    let Last::Char(from) = last else { return Err(Fault::Invalid) };
                    let to = match self.scanner.token {
                        Token::Char(c) => c,
                        Token::Dash => b'-',
                        _ => return Err(Fault::Invalid),
                    };
                    self.scanner.advance()?;
                    // Bytes compare as signed characters.
                    let (from, to) = (from as i8, to as i8);
                    if from > to {
                        return Err(Fault::Invalid);
                    }
                    (from..=to).for_each(|b| set.insert(b as u8));
                    last = Last::Nothing;
                }
                _ => return Err(Fault::Invalid),
            }
        }
        last.push(&mut set, Last::Nothing);
        if negated {
            set.negate();
        }
        Ok(set)
    }

    fn resolve(&self, mut id: u32) -> u32 {
        while id != NONE && matches!(self.states[id as usize].kind, Kind::Dummy) {
            id = self.states[id as usize].next;
        }
        id
    }

    /// Removes dummies, recognises one-set repetitions and finds which repetitions need a visit count.
    fn finish(self) -> Program {
        let mut ops = Vec::with_capacity(self.states.len());
        for (id, state) in self.states.iter().enumerate() {
            let next = self.resolve(state.next);
            ops.push(match state.kind {
                Kind::Match(set) => match self.sets[set as usize].single() {
                    Some(byte) => Op::Byte(byte, next),
                    None => Op::Set(set, next),
                },
                Kind::Alternative => Op::Alternative { first: self.resolve(state.alt), second: next },
                Kind::Repeat => {
                    let body = self.resolve(state.alt);
                    match self.states.get(body as usize) {
                        Some(State { kind: Kind::Match(set), next: back, .. }) if self.resolve(*back) == id as u32 => {
                            Op::Run { set: *set, next }
                        }
                        _ => Op::Repeat { body, next, slot: None },
                    }
                }
                Kind::Open(group) => Op::Open(group, next),
                Kind::Close(group) => Op::Close(group, next),
                Kind::Begin => Op::Begin(next),
                Kind::End => Op::End(next),
                // A dummy is never reached; any step will do.
                Kind::Accept | Kind::Dummy => Op::Accept,
            });
        }
        let slots = number_slots(&mut ops);
        let first = first_bytes(&ops, &self.sets);
        Program { ops, sets: self.sets, groups: self.groups as usize, slots, first }
    }
}

/// Steps reachable from `from` without consuming a byte.
fn silent(ops: &[Op], from: u32, mut visit: impl FnMut(u32)) {
    let mut seen = rustc_hash::FxHashSet::default();
    let mut stack = vec![from];
    while let Some(id) = stack.pop() {
        if !seen.insert(id) {
            continue;
        }
        visit(id);
        match ops[id as usize] {
            Op::Alternative { first, second } => stack.extend([first, second]),
            Op::Repeat { body, next, .. } => stack.extend([body, next]),
            Op::Run { next, .. } | Op::Open(_, next) | Op::Close(_, next) | Op::Begin(next) | Op::End(next) => {
                stack.push(next);
            }
            Op::Byte(..) | Op::Set(..) | Op::Accept => {}
        }
    }
}

/// Gives a slot to every repetition that can come back to itself without consuming a byte: only there does the
/// original's rule "at most twice at the same position" matter. To stay linear, strongly connected components of the
/// silent graph decide.
fn number_slots(ops: &mut [Op]) -> usize {
    let component = silent_components(ops);
    let mut slots = 0u32;
    for id in 0..ops.len() {
        let Op::Repeat { body, .. } = ops[id] else { continue };
        if component[body as usize] == component[id]
            && let Op::Repeat { slot, .. } = &mut ops[id]
        {
            *slot = Some(slots);
            slots += 1;
        }
    }
    slots as usize
}

fn silent_edges(op: &Op) -> [Option<u32>; 2] {
    match *op {
        Op::Alternative { first, second } => [Some(first), Some(second)],
        Op::Repeat { body, next, .. } => [Some(body), Some(next)],
        Op::Run { next, .. } | Op::Open(_, next) | Op::Close(_, next) | Op::Begin(next) | Op::End(next) => {
            [Some(next), None]
        }
        Op::Byte(..) | Op::Set(..) | Op::Accept => [None, None],
    }
}

/// Tarjan's algorithm with an explicit stack; equal numbers are in one component.
fn silent_components(ops: &[Op]) -> Vec<u32> {
    const UNSEEN: u32 = u32::MAX;
    let n = ops.len();
    let (mut index, mut low, mut component) = (vec![UNSEEN; n], vec![0u32; n], vec![UNSEEN; n]);
    let (mut counter, mut components) = (0u32, 0u32);
    let mut open: Vec<u32> = Vec::new();
    let mut work: Vec<(u32, usize)> = Vec::new();
    for root in 0..n as u32 {
        if index[root as usize] != UNSEEN {
            continue;
        }
        work.push((root, 0));
        while let Some(&mut (id, ref mut edge)) = work.last_mut() {
            let at = id as usize;
            if *edge == 0 {
                index[at] = counter;
                low[at] = counter;
                counter += 1;
                open.push(id);
            }
            let edges = silent_edges(&ops[at]);
            if let Some(target) = edges.get(*edge).copied().flatten() {
                *edge += 1;
                let t = target as usize;
                if t >= n {
                    // copies that were made twice are linked to nothing
                    continue;
                }
                if index[t] == UNSEEN {
                    work.push((target, 0));
                } else if component[t] == UNSEEN {
                    low[at] = low[at].min(index[t]);
                }
                continue;
            }
            work.pop();
            if let Some(&(parent, _)) = work.last() {
                low[parent as usize] = low[parent as usize].min(low[at]);
            }
            if low[at] == index[at] {
                while let Some(member) = open.pop() {
                    component[member as usize] = components;
                    if member == id {
                        break;
                    }
                }
                components += 1;
            }
        }
    }
    component
}

fn first_bytes(ops: &[Op], sets: &[ByteSet]) -> Option<ByteSet> {
    let mut first = ByteSet::default();
    let mut empty = false;
    silent(ops, 0, |id| match ops[id as usize] {
        Op::Byte(byte, _) => first.insert(byte),
        Op::Set(set, _) | Op::Run { set, .. } => first.union(&sets[set as usize]),
        Op::Accept => empty = true,
        _ => {}
    });
    (!empty).then_some(first)
}

/// The last thing read within brackets: a character may still become the start of a range.
#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Char(u8),
    Class,
}

impl Last {
    fn push(&mut self, set: &mut ByteSet, new: Last) {
        if let Last::Char(c) = *self {
            set.insert(c);
        }
        *self = new;
    }
}

/// Membership in a named class of the C locale; names are compared without case.
fn class(name: &[u8]) -> Option<fn(u8) -> bool> {
    Some(match name.to_ascii_lowercase().as_slice() {
        b"d" | b"digit" => |b| b.is_ascii_digit(),
        b"w" => |b| b.is_ascii_alphanumeric() || b == b'_',
        b"s" | b"space" => |b| matches!(b, b' ' | 9..=13),
        b"alnum" => |b| b.is_ascii_alphanumeric(),
        b"alpha" => |b| b.is_ascii_alphabetic(),
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"cntrl" => |b| b.is_ascii_control(),
        b"graph" => |b| b.is_ascii_graphic(),
        b"lower" => |b| b.is_ascii_lowercase(),
        b"print" => |b| b.is_ascii_graphic() || b == b' ',
        b"punct" => |b| b.is_ascii_punctuation(),
        b"upper" => |b| b.is_ascii_uppercase(),
        b"xdigit" => |b| b.is_ascii_hexdigit(),
        _ => return None,
    })
}

/// POSIX names of the ASCII characters that are not letters, by code.
const COLLATING_NAMES: [(&str, u8); 3] = [
    (
        "NUL SOH STX ETX EOT ENQ ACK alert backspace tab newline vertical-tab form-feed carriage-return SO SI DLE DC1 \
         DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC IS4 IS3 IS2 IS1 space exclamation-mark quotation-mark number-sign \
         dollar-sign percent-sign ampersand apostrophe left-parenthesis right-parenthesis asterisk plus-sign comma \
         hyphen period slash zero one two three four five six seven eight nine colon semicolon less-than-sign \
         equals-sign greater-than-sign question-mark commercial-at",
        0,
    ),
    ("left-square-bracket backslash right-square-bracket circumflex underscore grave-accent", 91),
    ("left-curly-bracket vertical-line right-curly-bracket tilde DEL", 123),
];

fn collating(name: &[u8]) -> Option<u8> {
    if let [letter] = name
        && letter.is_ascii_alphabetic()
    {
        return Some(*letter);
    }
    COLLATING_NAMES
        .iter()
        .find_map(|(names, base)| names.split_ascii_whitespace().zip(*base..).find(|(n, _)| n.as_bytes() == name))
        .map(|(_, code)| code)
}

//! Nix's LALR(1) automaton, built only when there is a syntax error to put into words.
//!
//! Nix's parser is made by bison, and its errors list the tokens for which the state at the error has an action of its
//! own. Such a state is reached after "default reductions" that bison does without looking at the token. Nothing but the
//! same automaton gives the same words, so this module computes it from [`crate::grammar`] the way bison does: LR(0)
//! states, lookaheads by DeRemer and Pennello, conflicts by precedence, the most frequent reduction as the default.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::ast::Pos;
use crate::diagnostic::{Diagnostic, Problem};
use crate::grammar::{PRECEDENCE, RULES, Side};
use crate::lexer::Lexer;
use crate::token::{Kind, Token};

/// A terminal (its number as a [`Kind`]) or, from `FIRST_NONTERMINAL`, a nonterminal.
type Sym = usize;

const FIRST_NONTERMINAL: Sym = Kind::ALL.len();

/// Made at the first syntax error: a checker of many files has more than one.
static AUTOMATON: LazyLock<Automaton> = LazyLock::new(Automaton::new);

/// Bison lists at most this many expected tokens, and none if there are more.
const MAX_EXPECTED: usize = 4;

/// The error for a text that the parser has rejected; `found` is the token at which it did.
///
/// The same text read by the automaton gives the error, which may be one of the lexer.
#[cold]
pub(crate) fn explain(text: &[u8], pipe_operators: bool, found: Token) -> Box<Diagnostic> {
    let automaton = &*AUTOMATON;
    let mut lexer = Lexer::new(text, pipe_operators);
    match automaton.run(|| lexer.next()) {
        Outcome::Rejected { token, state } => {
            if let Some(error) = lexer.error.take().filter(|_| token.kind == Kind::LexError) {
                return error;
            }
            unexpected(token, automaton.expected(state))
        }
        Outcome::Accepted => unexpected(found, Vec::new()),
    }
}

fn unexpected(token: Token, expected: Vec<&'static str>) -> Box<Diagnostic> {
    // an unexpected end is reported where it is, other tokens where they begin
    let at = if token.kind == Kind::Eof { token.end } else { token.start };
    Box::new(Diagnostic::new(Problem::Unexpected { found: token.kind.describe(), expected }, Pos::at(at)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Shift(usize),
    Reduce(usize),
    /// An operator that does not group with itself.
    Fail,
}

enum Outcome {
    Accepted,
    Rejected { token: Token, state: usize },
}

struct State {
    /// Actions that are not the default, by terminal.
    actions: BTreeMap<Sym, Action>,
    default: Option<usize>,
    gotos: BTreeMap<Sym, usize>,
}

struct Automaton {
    rules: Vec<Rule>,
    states: Vec<State>,
}

impl Automaton {
    fn new() -> Self {
        let grammar = Grammar::read();
        let graph = Graph::new(&grammar);
        let lookaheads = lookaheads(&grammar, &graph);
        let states = (0..graph.items.len()).map(|state| graph.state(state, &grammar, &lookaheads)).collect();
        Self { rules: grammar.rules, states }
    }

    /// Reads tokens until they are a source or cannot be one.
    fn run(&self, mut next: impl FnMut() -> Token) -> Outcome {
        let mut stack = vec![0];
        let mut lookahead = None;
        while let Some(&state) = stack.last() {
            let node = &self.states[state];
            let mut action = node.default.map(Action::Reduce);
            if !node.actions.is_empty() || node.default.is_none() {
                let token = *lookahead.get_or_insert_with(&mut next);
                if token.kind == Kind::LexError {
                    return Outcome::Rejected { token, state };
                }
                action = node.actions.get(&(token.kind as Sym)).copied().or(action);
            }
            match (action, lookahead) {
                (Some(Action::Shift(to)), Some(token)) => {
                    if token.kind == Kind::Eof {
                        return Outcome::Accepted;
                    }
                    stack.push(to);
                    lookahead = None;
                }
                (Some(Action::Reduce(rule)), _) => {
                    let rule = &self.rules[rule];
                    stack.truncate(stack.len() - rule.rhs.len());
                    let from = stack.last().copied().unwrap_or(0);
                    stack.push(self.states[from].gotos[&rule.lhs]);
                }
                (_, Some(token)) => return Outcome::Rejected { token, state },
                (_, None) => break,
            }
        }
        Outcome::Accepted
    }

    /// The tokens for which the state has an action of its own, unless there are too many to list.
    fn expected(&self, state: usize) -> Vec<&'static str> {
        let actions = self.states[state].actions.iter().filter(|(_, action)| **action != Action::Fail);
        let names: Vec<_> = actions.map(|(terminal, _)| Kind::ALL[*terminal].describe()).collect();
        if names.len() > MAX_EXPECTED { Vec::new() } else { names }
    }
}

struct Rule {
    lhs: Sym,
    rhs: Vec<Sym>,
    /// Level of its precedence.
    prec: Option<usize>,
}

/// The grammar with its names resolved.
struct Grammar {
    rules: Vec<Rule>,
    /// The rules that make each symbol.
    by_lhs: Vec<Vec<usize>>,
    /// Whether each symbol can be empty.
    nullable: Vec<bool>,
    /// Level and side of each terminal that is an operator.
    precedence: BTreeMap<Sym, (usize, Side)>,
}

impl Grammar {
    fn read() -> Self {
        let mut numbers: BTreeMap<String, Sym> =
            Kind::ALL.iter().enumerate().map(|(number, kind)| (format!("{kind:?}"), number)).collect();
        for rule in RULES {
            let next = numbers.len();
            numbers.entry(rule.lhs.to_owned()).or_insert(next);
        }
        let mut precedence = BTreeMap::new();
        for (level, (side, names)) in PRECEDENCE.iter().enumerate() {
            for name in names.split_whitespace() {
                precedence.insert(numbers[name], (level, *side));
            }
        }
        let rules: Vec<Rule> = RULES
            .iter()
            .map(|rule| {
                let rhs: Vec<Sym> = rule.rhs.split_whitespace().map(|name| numbers[name]).collect();
                let last_terminal = rhs.iter().rev().find(|symbol| **symbol < FIRST_NONTERMINAL).copied();
                let prec = rule.prec.map(|name| numbers[name]).or(last_terminal);
                let prec = prec.and_then(|terminal| precedence.get(&terminal)).map(|(level, _)| *level);
                Rule { lhs: numbers[rule.lhs], rhs, prec }
            })
            .collect();
        let mut by_lhs = vec![Vec::new(); numbers.len()];
        for (number, rule) in rules.iter().enumerate() {
            by_lhs[rule.lhs].push(number);
        }
        let mut nullable = vec![false; numbers.len()];
        settle(|| {
            let mut changed = false;
            for rule in &rules {
                if !nullable[rule.lhs] && rule.rhs.iter().all(|symbol| nullable[*symbol]) {
                    nullable[rule.lhs] = true;
                    changed = true;
                }
            }
            changed
        });
        Self { rules, by_lhs, nullable, precedence }
    }

    /// What to do where both a shift of `terminal` and a reduction by `rule` are possible.
    fn resolve(&self, shift: Action, rule: usize, terminal: Sym) -> Action {
        let (Some(loose), Some((level, side))) = (self.rules[rule].prec, self.precedence.get(&terminal)) else {
            return shift;
        };
        match (level.cmp(&loose), side) {
            (Ordering::Greater, _) | (Ordering::Equal, Side::Right) => shift,
            (Ordering::Less, _) | (Ordering::Equal, Side::Left) => Action::Reduce(rule),
            (Ordering::Equal, Side::Neither) => Action::Fail,
        }
    }

    /// All items of the state with these.
    fn closure(&self, kernel: &[Item]) -> Vec<Item> {
        let mut items = kernel.to_vec();
        let mut seen = vec![false; self.by_lhs.len()];
        let mut at = 0;
        while let Some(&(rule, dot)) = items.get(at) {
            if let Some(&symbol) = self.rules[rule].rhs.get(dot)
                && !std::mem::replace(&mut seen[symbol], true)
            {
                items.extend(self.by_lhs[symbol].iter().map(|rule| (*rule, 0)));
            }
            at += 1;
        }
        items
    }
}

/// Repeats a step until it changes nothing.
fn settle(mut step: impl FnMut() -> bool) {
    while step() {}
}

/// A rule with a dot in its right side.
type Item = (usize, usize);

/// The LR(0) automaton.
struct Graph {
    /// All items of each state.
    items: Vec<Vec<Item>>,
    transitions: Vec<BTreeMap<Sym, usize>>,
}

impl Graph {
    fn new(grammar: &Grammar) -> Self {
        let mut numbers = BTreeMap::from([(vec![(0, 0)], 0)]);
        let mut kernels = vec![vec![(0, 0)]];
        let mut graph = Self { items: Vec::new(), transitions: Vec::new() };
        while let Some(kernel) = kernels.get(graph.items.len()) {
            let items = grammar.closure(kernel);
            let mut steps: BTreeMap<Sym, Vec<Item>> = BTreeMap::new();
            for (rule, dot) in &items {
                if let Some(symbol) = grammar.rules[*rule].rhs.get(*dot) {
                    steps.entry(*symbol).or_default().push((*rule, dot + 1));
                }
            }
            let mut transitions = BTreeMap::new();
            for (symbol, mut kernel) in steps {
                kernel.sort_unstable();
                let next = kernels.len();
                let number = *numbers.entry(kernel.clone()).or_insert(next);
                if number == next {
                    kernels.push(kernel);
                }
                transitions.insert(symbol, number);
            }
            graph.items.push(items);
            graph.transitions.push(transitions);
        }
        graph
    }

    /// The actions of a state after conflicts are resolved and the default is chosen.
    fn state(&self, state: usize, grammar: &Grammar, lookaheads: &BTreeMap<(usize, usize), u128>) -> State {
        let mut actions = BTreeMap::new();
        let mut gotos = BTreeMap::new();
        for (symbol, to) in &self.transitions[state] {
            if *symbol < FIRST_NONTERMINAL {
                actions.insert(*symbol, Action::Shift(*to));
            } else {
                gotos.insert(*symbol, *to);
            }
        }
        let mut reductions: Vec<usize> = self.items[state]
            .iter()
            .filter(|(rule, dot)| grammar.rules[*rule].rhs.len() == *dot)
            .map(|(rule, _)| *rule)
            .collect();
        reductions.sort_unstable();
        for rule in &reductions {
            let set = lookaheads.get(&(state, *rule)).copied().unwrap_or(0);
            for terminal in (0..FIRST_NONTERMINAL).filter(|terminal| set >> terminal & 1 == 1) {
                let action = match actions.get(&terminal) {
                    Some(shift @ Action::Shift(_)) => grammar.resolve(*shift, *rule, terminal),
                    Some(other) => *other,
                    None => Action::Reduce(*rule),
                };
                actions.insert(terminal, action);
            }
        }
        let count = |rule: usize| actions.values().filter(|action| **action == Action::Reduce(rule)).count();
        // the most frequent, and of several the first
        let default = reductions.iter().copied().rev().max_by_key(|rule| count(*rule));
        actions.retain(|_, action| match default {
            Some(rule) => *action != Action::Reduce(rule),
            None => *action != Action::Fail,
        });
        State { actions, default, gotos }
    }
}

/// For each reduction in each state, the terminals that may follow it, as a set of bits.
fn lookaheads(grammar: &Grammar, graph: &Graph) -> BTreeMap<(usize, usize), u128> {
    // every transition by a nonterminal: from which state, by which symbol
    let mut numbers: BTreeMap<(usize, Sym), usize> = BTreeMap::new();
    for (state, transitions) in graph.transitions.iter().enumerate() {
        for symbol in transitions.range(FIRST_NONTERMINAL..).map(|(symbol, _)| *symbol) {
            let next = numbers.len();
            numbers.insert((state, symbol), next);
        }
    }
    // what can be read directly after it, also past symbols that are empty
    let mut follow = vec![0; numbers.len()];
    let mut edges = Vec::new();
    for (&(state, symbol), &number) in &numbers {
        let to = graph.transitions[state][&symbol];
        for next in graph.transitions[to].keys() {
            if *next < FIRST_NONTERMINAL {
                follow[number] |= 1 << next;
            } else if grammar.nullable[*next] {
                edges.push((number, numbers[&(to, *next)]));
            }
        }
    }
    spread(&mut follow, &edges);
    // what follows the left side of a rule follows its last symbol, and decides about its reduction
    edges.clear();
    let mut reductions = Vec::new();
    for (&(state, symbol), &number) in &numbers {
        for &rule in &grammar.by_lhs[symbol] {
            let rhs = &grammar.rules[rule].rhs;
            let mut at = state;
            for (index, step) in rhs.iter().enumerate() {
                if *step >= FIRST_NONTERMINAL && rhs[index + 1..].iter().all(|rest| grammar.nullable[*rest]) {
                    edges.push((numbers[&(at, *step)], number));
                }
                at = graph.transitions[at][step];
            }
            reductions.push(((at, rule), number));
        }
    }
    spread(&mut follow, &edges);
    let mut lookaheads = BTreeMap::new();
    for (reduction, number) in reductions {
        *lookaheads.entry(reduction).or_default() |= follow[number];
    }
    lookaheads
}

/// Adds to the set on the left of each edge the one on its right, until nothing changes.
fn spread(sets: &mut [u128], edges: &[(usize, usize)]) {
    settle(|| {
        let mut changed = false;
        for &(to, from) in edges {
            let set = sets[to] | sets[from];
            changed |= set != sets[to];
            sets[to] = set;
        }
        changed
    });
}

//! Programs made up from the grammar and a seed.

use super::grammar::{Grammar, Holds, Hole, Part, SectionId};
use crate::random::Random;

/// How deep expressions nest at most.
const DEPTH: u32 = 9;

/// Writes programs.
pub(super) struct Generator<'a> {
    grammar: &'a Grammar,
    random: Random,
    /// `x`, `any`, and the kinds of values, which replace each other now and then.
    anything: SectionId,
    ways: SectionId,
    kinds: Vec<SectionId>,
    /// Variables, innermost last.
    scope: Vec<(String, SectionId)>,
    /// Expressions that may still be deep.
    fuel: u32,
}

/// A piece of a program, and whether it can stand anywhere without parentheses.
struct Piece {
    text: String,
    word: bool,
}

impl<'a> Generator<'a> {
    /// A generator; equal seeds give equal programs.
    pub(super) fn new(grammar: &'a Grammar, seed: u64) -> Result<Self, String> {
        let kinds = ["int", "float", "bool", "null", "str", "path", "list", "set", "fun", "drv"];
        let kinds = kinds.iter().map(|name| grammar.section(name)).collect::<Result<_, _>>()?;
        let (anything, ways) = (grammar.section("x")?, grammar.section("any")?);
        Ok(Self { grammar, random: Random::new(seed), anything, ways, kinds, scope: Vec::new(), fuel: 0 })
    }

    /// The next program.
    pub(super) fn program(&mut self) -> String {
        let size = [4, 8, 12, 20, 30, 60];
        self.fuel = *self.random.pick(&size);
        self.scope.clear();
        self.expr(self.anything, DEPTH).text
    }

    fn expr(&mut self, kind: SectionId, depth: u32) -> Piece {
        let kind = if self.random.one_in(150) { *self.random.pick(&self.kinds) } else { kind };
        let ending = self.fuel == 0 || depth == 0;
        if let Some(variable) = self.variable(kind, if ending { 2 } else { 4 }) {
            return Piece { text: variable, word: true };
        }
        self.fuel = self.fuel.saturating_sub(1);
        let is_kind = self.kinds.contains(&kind);
        let from = if is_kind && !ending && self.random.one_in(4) { self.ways } else { kind };
        self.expand(from, kind, depth.saturating_sub(1), ending)
    }

    /// A variable of this kind, once in `times` if there is one.
    fn variable(&mut self, kind: SectionId, times: u64) -> Option<String> {
        if self.scope.is_empty() || !self.random.one_in(times) {
            return None;
        }
        let visible = self.scope.iter().enumerate().filter(|(at, (name, of))| {
            (*of == kind || kind == self.anything || *of == self.anything)
                && !self.scope[at + 1..].iter().any(|(other, _)| other == name)
        });
        let names: Vec<String> = visible.map(|(_, (name, _))| name.clone()).collect();
        if names.is_empty() { None } else { Some(self.random.pick(&names).clone()) }
    }

    fn expand(&mut self, section: SectionId, same: SectionId, depth: u32, ending: bool) -> Piece {
        let section = &self.grammar.sections[section];
        let template = &section.templates[*self.random.pick(section.choices(ending))];
        let mut text = String::new();
        let mut nothing_else = false;
        for part in &template.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Hole(hole) => {
                    let piece = self.fill(hole, section.holds, same, depth);
                    nothing_else = piece.word && template.parts.len() == 1;
                    text.push_str(&piece.text);
                }
            }
        }
        let word = nothing_else || template.enclosed || is_word(&text);
        Piece { text, word }
    }

    fn fill(&mut self, hole: &Hole, within: Holds, same: SectionId, depth: u32) -> Piece {
        let section = hole.section.unwrap_or(same);
        let holds = self.grammar.sections[section].holds;
        if holds != Holds::Expr {
            let ending = depth == 0;
            let piece = self.expand(section, same, depth.saturating_sub(1), ending);
            return match (within, holds) {
                (Holds::Expr, Holds::Text) => Piece { text: self.quote(&piece.text), word: true },
                _ => Piece { text: piece.text, word: true },
            };
        }
        let outer = self.scope.len();
        for (name, kind) in &hole.binds {
            self.scope.push((name.clone(), kind.unwrap_or(same)));
        }
        let piece = self.expr(section, depth);
        self.scope.truncate(outer);
        let bare = piece.word || self.random.one_in(80) || hole.open && !self.random.one_in(8);
        if bare { piece } else { Piece { text: format!("({})", piece.text), word: true } }
    }

    /// A string literal of one of the two forms.
    fn quote(&mut self, text: &str) -> String {
        let indentable = text.lines().count() > 1 && !text.contains('\t') && !text.starts_with([' ', '\n']);
        if indentable && self.random.one_in(2) {
            let lines: Vec<String> = text.split('\n').map(|line| format!("  {line}")).collect();
            return format!("''\n{}''", lines.join("\n").replace("''", "'''").replace("${", "''${"));
        }
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
        format!("\"{}\"", escaped.replace('\n', "\\n").replace('\t', "\\t"))
    }
}

/// Whether a text is one token, or names joined by dots.
fn is_word(text: &str) -> bool {
    !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.'/".contains(c))
        || text.starts_with("''") && text.ends_with("''") && text.matches("''").count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 2000;

    fn programs(seed: u64) -> Vec<String> {
        let grammar = Grammar::read().unwrap();
        let mut generator = Generator::new(&grammar, seed).unwrap();
        (0..MANY).map(|_| generator.program()).collect()
    }

    #[test]
    fn equal_seeds_give_equal_programs() {
        assert_eq!(programs(1), programs(1));
        assert_ne!(programs(1), programs(2));
    }

    #[test]
    fn most_programs_parse() {
        let good = programs(3).into_iter().filter(|program| {
            let mut symbols = nopal_syntax::Interner::new();
            nopal_syntax::parse(program.as_bytes(), &mut symbols, &nopal_syntax::parser::Options::default()).is_ok()
        });
        let share = good.count() * 100 / MANY;
        assert!((90..100).contains(&share), "{share} % of the programs parse");
    }

    #[test]
    fn every_deterministic_builtin_is_called() {
        // what depends on the machine or on the network, or has not to do with values
        let left_out =
            ["break", "currentTime", "exec", "fetch", "getFlake", "outputOf", "false", "true", "builtins", "null"];
        let parity = include_str!("../../../PARITY.md");
        let names =
            parity.lines().skip_while(|line| *line != "## Builtins").skip(1).take_while(|l| !l.starts_with("##"));
        let names = names.filter_map(|line| line.split('`').nth(1));
        let text = programs(4).join("\n") + &programs(5).join("\n");
        let missing: Vec<&str> = names
            .filter(|name| !left_out.iter().any(|other| name.starts_with(other)))
            .filter(|name| !text.contains(*name))
            .collect();
        assert!(missing.is_empty(), "never used: {missing:?}");
    }
}

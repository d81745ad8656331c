//! The grammar that programs are written from, as data: grammar.txt says how it is written.

use std::collections::HashMap;

const TEXT: &str = include_str!("grammar.txt");

/// What the lines of a section are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nix, in parentheses where needed.
    Expr,
    /// Any text; a string literal where Nix uses it.
    Text,
    /// Put down as it stands.
    Word,
}

/// Number of a section.
pub(super) type SectionId = usize;

#[derive(Debug)]
pub(super) struct Section {
    pub(super) holds: Holds,
    pub(super) templates: Vec<Template>,
    /// The templates without holes for expressions, each as often as it weighs.
    leaves: Vec<usize>,
    /// All templates, each as often as it weighs.
    all: Vec<usize>,
}

impl Section {
    /// The templates to choose from: those that end, if there are any and one of those is wanted, or all.
    pub(super) fn choices(&self, ending: bool) -> &[usize] {
        if ending && !self.leaves.is_empty() { &self.leaves } else { &self.all }
    }
}

/// One way to write something.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
    /// Whether brackets or quotes hold all of it together.
    pub(super) enclosed: bool,
}

#[derive(Debug)]
pub(super) enum Part {
    Literal(String),
    Hole(Hole),
}

#[derive(Debug)]
pub(super) struct Hole {
    /// What belongs here; nothing means the kind that was asked for.
    pub(super) section: Option<SectionId>,
    /// Variables that it may use, with their kinds.
    pub(super) binds: Vec<(String, Option<SectionId>)>,
    /// Whether what stands around it needs no parentheses.
    pub(super) open: bool,
}

#[derive(Debug)]
pub(super) struct Grammar {
    pub(super) sections: Vec<Section>,
    numbers: HashMap<String, SectionId>,
}

impl Grammar {
    /// Reads grammar.txt.
    pub(super) fn read() -> Result<Self, String> {
        let mut grammar = Self { sections: Vec::new(), numbers: HashMap::new() };
        let lines = || TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines().filter(|line| !line.starts_with(' ')) {
            let (name, holds) = line.split_once(' ').ok_or_else(|| format!("grammar: what does `{line}` hold?"))?;
            let holds = match holds {
                "expr" => Holds::Expr,
                "text" => Holds::Text,
                "word" => Holds::Word,
                _ => return Err(format!("grammar: unknown kind of section: {line}")),
            };
            let section = Section { holds, templates: Vec::new(), leaves: Vec::new(), all: Vec::new() };
            grammar.numbers.insert(name.to_owned(), grammar.sections.len());
            grammar.sections.push(section);
        }
        let mut number = 0;
        let mut begun = false;
        for line in lines() {
            let Some(text) = line.strip_prefix("  ") else {
                number += usize::from(begun);
                begun = true;
                continue;
            };
            let (weight, text) = match text.split_once("* ") {
                Some((weight, rest)) if weight.bytes().all(|b| b.is_ascii_digit()) => {
                    (weight.parse().unwrap_or(1), rest)
                }
                _ => (1, text),
            };
            let template = grammar.template(text, grammar.sections[number].holds)?;
            let ends = !template.parts.iter().any(|part| grammar.is_deep(part));
            let section = &mut grammar.sections[number];
            let at = section.templates.len();
            section.templates.push(template);
            section.all.extend(std::iter::repeat_n(at, weight));
            if ends {
                section.leaves.extend(std::iter::repeat_n(at, weight));
            }
        }
        Ok(grammar)
    }

    /// The number of a section.
    pub(super) fn section(&self, name: &str) -> Result<SectionId, String> {
        self.numbers.get(name).copied().ok_or_else(|| format!("grammar: no section {name}"))
    }

    /// Whether a part leads to another expression, or to a text that holds itself.
    fn is_deep(&self, part: &Part) -> bool {
        match part {
            Part::Literal(_) => false,
            Part::Hole(Hole { section: None, .. }) => true,
            Part::Hole(Hole { section: Some(id), .. }) => {
                self.sections[*id].holds == Holds::Expr
                    || ["json", "tomlvalue", "regex"].iter().any(|name| self.numbers.get(*name) == Some(id))
            }
        }
    }

    fn template(&self, text: &str, holds: Holds) -> Result<Template, String> {
        let text = match holds {
            Holds::Expr => text.to_owned(),
            Holds::Word => text.replace('⏎', "\n").replace('⇥', "\t"),
            Holds::Text => unescape(text),
        };
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find('%') {
            let name = &rest[at + 1..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            let (name, mut after) = name.split_at(end);
            let mut binds = Vec::new();
            if let Some((inner, behind)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')'))
                && inner.contains(':')
            {
                for bind in inner.split(' ') {
                    let (variable, kind) = bind.split_once(':').ok_or_else(|| format!("grammar: {text}"))?;
                    binds.push((variable.to_owned(), self.kind(kind)?));
                }
                after = behind;
            }
            let open = is_open(&rest[..at], after, parts.is_empty());
            if at > 0 {
                parts.push(Part::Literal(rest[..at].to_owned()));
            }
            parts.push(Part::Hole(Hole { section: self.kind(name)?, binds, open }));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let enclosed = is_enclosed(&parts);
        Ok(Template { parts, enclosed })
    }

    fn kind(&self, name: &str) -> Result<Option<SectionId>, String> {
        if name == "_" { Ok(None) } else { self.section(name).map(Some) }
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(c),
        }
    }
    out
}

/// Whether an expression between these two texts can stand without parentheses.
fn is_open(before: &str, after: &str, first: bool) -> bool {
    let begins = if before.is_empty() { first } else { false };
    let begins = begins
        || ["= ", ": ", "; ", "in ", "then ", "else ", "if ", "assert ", "with ", "(", "${"]
            .iter()
            .any(|end| before.ends_with(end));
    let ends =
        after.is_empty() || [";", " in ", " then ", " else ", ")", "}"].iter().any(|start| after.starts_with(start));
    begins && ends
}

/// Whether the first character opens a bracket or a string that the last one closes.
fn is_enclosed(parts: &[Part]) -> bool {
    let (Some(Part::Literal(first)), Some(Part::Literal(last))) = (parts.first(), parts.last()) else { return false };
    let pair = (first.chars().next(), last.chars().next_back());
    let literals = parts.iter().filter_map(|part| match part {
        Part::Literal(text) => Some(text.as_str()),
        Part::Hole(_) => None,
    });
    let text: String = literals.collect::<Vec<_>>().join("_");
    if pair == (Some('"'), Some('"')) {
        return text.len() > 1 && text.matches('"').count() == 2;
    }
    if !matches!(pair, (Some('['), Some(']')) | (Some('{'), Some('}')) | (Some('('), Some(')'))) {
        return false;
    }
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && at + c.len_utf8() < text.len() {
            return false;
        }
    }
    depth == 0
}

//! Maintainer scripts read as data: which commands they contain, with words that can be known without running them.
//!
//! This is no shell. It splits a script into simple commands, resolves quotes, variables that are assigned a literal
//! once, and `for` loops over literal lists; every branch counts, taken or not. A word that depends on anything else
//! stays unknown, and the caller says so instead of guessing.

use std::collections::BTreeMap;

/// Deepest nesting of loops that is unfolded, most commands that one script may unfold into, and most steps of
/// reading it: a script that exceeds these was not written to be read.
const MAX_LOOP_DEPTH: usize = 8;
const MAX_COMMANDS: usize = 20_000;
const MAX_STEPS: usize = 50_000;

/// Longest head of a loop or `case`, in words: further on it is taken for no head at all.
const MAX_HEAD_TOKENS: usize = 4096;

/// One simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its words; `None` for one that cannot be known.
    pub words: Vec<Option<String>>,
    /// Line of its first word, from 1.
    pub line: usize,
}

impl Command {
    /// The name of the program without its directory, if it is known.
    pub fn name(&self) -> Option<&str> {
        let word = self.words.first()?.as_deref()?;
        Some(word.rsplit('/').next().unwrap_or(word))
    }

    /// All words, if every one is known.
    pub fn literal(&self) -> Option<Vec<&str>> {
        self.words.iter().map(Option::as_deref).collect()
    }
}

/// The command as text, with `…` for unknown words.
impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", word.as_deref().unwrap_or("…"))?;
        }
        Ok(())
    }
}

/// The simple commands of a script, in order, loops unfolded.
pub fn commands(script: &str) -> Vec<Command> {
    let tokens = tokenize(script);
    let loop_ends = loop_ends(&tokens);
    let mut reader = Reader { out: Vec::new(), variables: BTreeMap::new(), steps: 0, loop_ends };
    reader.block(&tokens, 0, tokens.len(), 0);
    reader.out
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word {
        pieces: Vec<Piece>,
        quoted: bool,
        line: usize,
    },
    /// `;`, `&`, `|`, newline and their doubles, parentheses.
    Operator(&'static str),
}

impl Token {
    /// An unquoted literal word, as keywords are.
    fn keyword(&self) -> Option<&str> {
        match self {
            Self::Word { pieces, quoted: false, .. } => match pieces.as_slice() {
                [Piece::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

fn tokenize(script: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: script.chars().collect(), at: 0, line: 1, tokens: Vec::new(), heredocs: Vec::new() };
    lexer.run();
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    /// Delimiters of here-documents that begin after this line.
    heredocs: Vec<String>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn run(&mut self) {
        while let Some(next) = self.peek(0) {
            match next {
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.peek(1) == Some('\n') => {
                    self.at += 2;
                    self.line += 1;
                }
                '#' => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                '\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.tokens.push(Token::Operator("\n"));
                    self.skip_heredocs();
                }
                ';' => self.operator(&[";;", ";"]),
                '&' => self.operator(&["&&", "&"]),
                '|' => self.operator(&["||", "|"]),
                '(' => self.operator(&["("]),
                ')' => self.operator(&[")"]),
                '<' | '>' => self.redirection(),
                _ => self.word(),
            }
        }
    }

    fn operator(&mut self, forms: &[&'static str]) {
        let form = forms.iter().find(|form| form.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c)));
        if let Some(form) = form {
            self.at += form.len();
            self.tokens.push(Token::Operator(form));
        } else {
            self.at += 1;
        }
    }

    /// Redirections change no word: they are dropped with their target. `2>` leaves a word `2`, dropped too.
    fn redirection(&mut self) {
        if let Some(Token::Word { pieces, quoted: false, .. }) = self.tokens.last()
            && matches!(pieces.as_slice(), [Piece::Text(text)] if text.len() == 1 && text.chars().all(|c| c.is_ascii_digit()))
            && self.at > 0
            && self.chars[self.at - 1].is_ascii_digit()
        {
            self.tokens.pop();
        }
        let heredoc = self.peek(0) == Some('<') && self.peek(1) == Some('<');
        while matches!(self.peek(0), Some('<' | '>' | '&' | '|' | '-')) {
            self.at += 1;
        }
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
        if self.peek(0).is_some_and(|c| !c.is_whitespace() && !";|&()".contains(c)) {
            let before = self.tokens.len();
            self.word();
            if let Some(Token::Word { pieces, .. }) = self.tokens.get(before)
                && heredoc
            {
                let text = pieces.iter().map(|piece| if let Piece::Text(text) = piece { text.as_str() } else { "" });
                self.heredocs.push(text.collect());
            }
            self.tokens.truncate(before);
        }
    }

    fn skip_heredocs(&mut self) {
        for delimiter in std::mem::take(&mut self.heredocs) {
            loop {
                let end = (self.at..self.chars.len()).find(|at| self.chars[*at] == '\n').unwrap_or(self.chars.len());
                let line: String = self.chars[self.at..end].iter().collect();
                let finished = end >= self.chars.len();
                self.at = (end + 1).min(self.chars.len());
                self.line += 1;
                if line.trim_start_matches('\t') == delimiter || finished {
                    break;
                }
            }
        }
    }

    fn word(&mut self) {
        let line = self.line;
        let mut pieces = Vec::new();
        let mut quoted = false;
        while let Some(next) = self.peek(0) {
            match next {
                c if c.is_whitespace() || ";|&()<>".contains(c) => break,
                '\\' => {
                    if self.peek(1) == Some('\n') {
                        self.line += 1;
                    } else if let Some(escaped) = self.peek(1) {
                        push_text(&mut pieces, escaped);
                        quoted = true;
                    }
                    self.at += 2;
                }
                '\'' => {
                    quoted = true;
                    self.at += 1;
                    pieces.push(Piece::Text(String::new()));
                    while let Some(c) = self.peek(0).filter(|c| *c != '\'') {
                        self.line += usize::from(c == '\n');
                        push_text(&mut pieces, c);
                        self.at += 1;
                    }
                    self.at += 1;
                }
                '"' => {
                    quoted = true;
                    self.double_quoted(&mut pieces);
                }
                '$' | '`' => self.expansion(&mut pieces),
                // a glob depends on the file system, a tilde on the user
                '*' | '?' | '[' if !self.alone() => {
                    pieces.push(Piece::Unknown);
                    self.at += 1;
                }
                c => {
                    push_text(&mut pieces, c);
                    self.at += 1;
                }
            }
        }
        self.tokens.push(Token::Word { pieces, quoted, line });
    }

    /// Whether the next character is a word of its own, as `[` in a test.
    fn alone(&self) -> bool {
        self.peek(1).is_none_or(char::is_whitespace) && (self.at == 0 || self.chars[self.at - 1].is_whitespace())
    }

    fn double_quoted(&mut self, pieces: &mut Vec<Piece>) {
        self.at += 1;
        pieces.push(Piece::Text(String::new()));
        while let Some(next) = self.peek(0) {
            match next {
                '"' => break,
                '\\' => {
                    match self.peek(1) {
                        Some('\n') => self.line += 1,
                        Some(c) => {
                            if !"$`\"\\".contains(c) {
                                push_text(pieces, '\\');
                            }
                            push_text(pieces, c);
                        }
                        None => {}
                    }
                    self.at += 2;
                }
                '$' | '`' => self.expansion(pieces),
                c => {
                    self.line += usize::from(c == '\n');
                    push_text(pieces, c);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
    }

    fn expansion(&mut self, pieces: &mut Vec<Piece>) {
        if self.peek(0) == Some('`') {
            self.at += 1;
            while let Some(c) = self.peek(0).filter(|c| *c != '`') {
                self.line += usize::from(c == '\n');
                self.at += 1;
            }
            self.at += 1;
            pieces.push(Piece::Unknown);
            return;
        }
        match self.peek(1) {
            Some('(') => {
                self.at += 1;
                self.skip_nested('(', ')');
                pieces.push(Piece::Unknown);
            }
            Some('{') => {
                let start = self.at + 2;
                self.at += 1;
                self.skip_nested('{', '}');
                let end = self.at.saturating_sub(1).max(start).min(self.chars.len());
                let name: String = self.chars[start.min(end)..end].iter().collect();
                let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                pieces.push(if plain { Piece::Variable(name) } else { Piece::Unknown });
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                self.at += 1;
                let mut name = String::new();
                while let Some(c) = self.peek(0).filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.at += 1;
                }
                pieces.push(Piece::Variable(name));
            }
            Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => {
                self.at += 2;
                pieces.push(Piece::Unknown);
            }
            _ => {
                push_text(pieces, '$');
                self.at += 1;
            }
        }
    }

    /// Skips to after the bracket that closes the one at the current place.
    fn skip_nested(&mut self, open: char, close: char) {
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            self.line += usize::from(c == '\n');
            if c == open {
                depth += 1;
            } else if c == close {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, c: char) {
    if let Some(Piece::Text(text)) = pieces.last_mut() {
        text.push(c);
    } else {
        pieces.push(Piece::Text(c.to_string()));
    }
}

struct Reader {
    out: Vec<Command>,
    /// `None`: assigned something that is not known.
    variables: BTreeMap<String, Option<String>>,
    /// Commands and keywords read so far, those of every round of a loop counted.
    steps: usize,
    /// For each `do`, where its `done` is.
    loop_ends: BTreeMap<usize, usize>,
}

/// Pairs every `do` with its `done`; one that is never closed ends with the script.
fn loop_ends(tokens: &[Token]) -> BTreeMap<usize, usize> {
    let mut ends = BTreeMap::new();
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.keyword() {
            Some("do") => open.push(at),
            Some("done") => {
                if let Some(start) = open.pop() {
                    ends.insert(start, at);
                }
            }
            _ => {}
        }
    }
    ends.extend(open.into_iter().map(|start| (start, tokens.len())));
    ends
}

/// Words that begin or continue a compound command and are followed by a command.
const LEADING: [&str; 11] = ["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec"];
/// Words that end one.
const ENDING: [&str; 4] = ["fi", "done", "}", "esac"];

impl Reader {
    fn block(&mut self, all: &[Token], start: usize, end: usize, depth: usize) {
        let tokens = &all[..end.min(all.len())];
        let mut at = start;
        while at < tokens.len() && self.out.len() < MAX_COMMANDS && self.steps < MAX_STEPS {
            self.steps += 1;
            match tokens[at].keyword() {
                Some("for") => at = self.for_loop(tokens, at, depth),
                Some("case") => at = self.case_head(tokens, at),
                Some(word) if LEADING.contains(&word) || ENDING.contains(&word) => at += 1,
                _ => at = self.simple(tokens, at),
            }
        }
    }

    /// Reads up to the end of a simple command and returns where the next begins.
    fn simple(&mut self, tokens: &[Token], start: usize) -> usize {
        let end = (start..tokens.len()).find(|at| matches!(tokens[*at], Token::Operator(_))).unwrap_or(tokens.len());
        // `name()` defines a function: its body is read as if it were called once
        if tokens.get(end) == Some(&Token::Operator("(")) && tokens.get(end + 1) == Some(&Token::Operator(")")) {
            return end + 2;
        }
        if let Some(Token::Operator(";;")) = tokens.get(end) {
            self.command(&tokens[start..end]);
            return skip_pattern(tokens, end + 1);
        }
        self.command(&tokens[start..end]);
        end + 1
    }

    fn command(&mut self, tokens: &[Token]) {
        let mut words = Vec::new();
        let mut first_line = 0;
        for token in tokens {
            let Token::Word { pieces, quoted, line } = token else { continue };
            if words.is_empty() {
                if let Some((name, value)) = assignment(pieces) {
                    let value = self.resolve(&value);
                    self.assign(name, value);
                    continue;
                }
                first_line = *line;
            }
            match self.resolve(pieces) {
                // an unquoted variable splits into words, and an empty one into none
                Some(text) if !*quoted && pieces.iter().any(|piece| matches!(piece, Piece::Variable(_))) => {
                    words.extend(text.split_whitespace().map(|word| Some(word.to_owned())));
                }
                word => words.push(word),
            }
        }
        if !words.is_empty() {
            self.out.push(Command { words, line: first_line });
        }
    }

    /// A variable that is assigned different values in different places is not known.
    fn assign(&mut self, name: String, value: Option<String>) {
        match self.variables.get(&name) {
            Some(old) if *old != value => self.variables.insert(name, None),
            _ => self.variables.insert(name, value),
        };
    }

    fn resolve(&self, pieces: &[Piece]) -> Option<String> {
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.clone()),
                Piece::Variable(name) => self.variables.get(name).cloned().flatten(),
                Piece::Unknown => None,
            })
            .collect()
    }

    /// `for NAME in WORDS; do BODY; done`: the body once per word. Returns where the rest begins.
    fn for_loop(&mut self, tokens: &[Token], start: usize, depth: usize) -> usize {
        let name = tokens.get(start + 1).and_then(Token::keyword);
        let has_list = tokens.get(start + 2).and_then(Token::keyword) == Some("in");
        let head_end = tokens.len().min(start + MAX_HEAD_TOKENS);
        let body_start = (start..head_end).find(|at| tokens[*at].keyword() == Some("do"));
        let (Some(name), Some(body_start)) = (name, body_start) else { return start + 1 };
        let end = self.loop_ends.get(&body_start).copied().unwrap_or(tokens.len()).min(tokens.len());
        let mut values = Vec::new();
        let list = if has_list { tokens.get(start + 3..body_start).unwrap_or_default() } else { &[] };
        for token in list {
            if let Token::Word { pieces, quoted, .. } = token {
                match self.resolve(pieces) {
                    Some(text) if !*quoted => values.extend(text.split_whitespace().map(|word| Some(word.to_owned()))),
                    value => values.push(value),
                }
            }
        }
        if depth >= MAX_LOOP_DEPTH {
            // read on inside the body as if it were no loop: deeper nesting must not cost stack
            self.variables.insert(name.to_owned(), None);
            return body_start + 1;
        }
        if !has_list {
            values = vec![None];
        }
        for value in values {
            self.variables.insert(name.to_owned(), value);
            self.block(tokens, body_start + 1, end, depth + 1);
        }
        end + 1
    }

    /// `case WORD in PATTERN)`: skipped up to the first branch.
    fn case_head(&mut self, tokens: &[Token], start: usize) -> usize {
        let head_end = tokens.len().min(start + MAX_HEAD_TOKENS);
        let Some(at) = (start..head_end).find(|at| tokens[*at].keyword() == Some("in")) else { return start + 1 };
        skip_pattern(tokens, at + 1)
    }
}

/// Skips the pattern of a case branch; stops at `esac`.
fn skip_pattern(tokens: &[Token], start: usize) -> usize {
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token {
            Token::Operator(")") => return at + 1,
            Token::Operator(_) => {}
            token => {
                if token.keyword() == Some("esac") {
                    return at;
                }
            }
        }
    }
    tokens.len()
}

/// Splits `NAME=VALUE`.
fn assignment(pieces: &[Piece]) -> Option<(String, Vec<Piece>)> {
    let Some(Piece::Text(first)) = pieces.first() else { return None };
    let (name, value) = first.split_once('=')?;
    let valid = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then(|| {
        let rest = [Piece::Text(value.to_owned())].into_iter().chain(pieces[1..].iter().cloned());
        (name.to_owned(), rest.collect())
    })
}

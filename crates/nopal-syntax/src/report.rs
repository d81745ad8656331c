//! Errors as users see them: message, place, excerpt, trace. Byte for byte what Nix 2.34 writes without colours.

use std::collections::BTreeSet;

use crate::ast::Pos;
use crate::diagnostic::{Diagnostic, Problem};
use crate::source::{LineColumn, Lines, Origin, Source, line_column};

/// Traces that Nix shows before it cuts them off without `--show-trace`; one with a place counts twice.
const MAX_TRACES: usize = 3;
/// Repeated frames up to this number are printed rather than counted.
const MAX_REPEATED: usize = 5;
/// Suggestions in "Did you mean …?", and how many edits away they may be.
const MAX_SUGGESTIONS: usize = 3;
const MAX_DISTANCE: usize = 2;

/// The word that a report begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// `error:`
    Error,
    /// `warning:`
    Warning,
    /// `evaluation warning:`, from `builtins.warn`
    EvaluationWarning,
    /// `warning:` before a text whose further lines Nix leaves where they are
    TextWarning,
}

impl Level {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Error => b"error: ",
            Self::Warning | Self::TextWarning => b"warning: ",
            Self::EvaluationWarning => b"evaluation warning: ",
        }
    }
}

/// A place with the text around it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Location {
    /// Line and column.
    pub place: LineColumn,
    /// The source's name.
    pub origin: Origin,
    /// The line itself, with the one before and the one after it where they exist; none if the text is not at hand.
    pub lines: Option<[Option<Vec<u8>>; 3]>,
}

impl Location {
    /// The location of `pos` in `source`; none if it has no position.
    pub fn new(source: &Source<'_>, pos: Pos) -> Option<Self> {
        let place = line_column(source.visible_text(), pos.offset()?);
        Some(Self { place, origin: source.origin.clone(), lines: Some(excerpt(source.visible_text(), place.line)) })
    }

    fn print(&self, indent: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(indent);
        out.extend_from_slice(b"at ");
        out.extend_from_slice(self.origin.name());
        out.extend_from_slice(format!(":{}:{}:", self.place.line, self.place.column).as_bytes());
        let Some([before, line, after]) = &self.lines else { return };
        let number = self.place.line;
        if let Some(text) = before {
            print_line(number - 1, text, out);
        }
        if let Some(text) = line {
            print_line(number, text, out);
            out.extend_from_slice(b"\n      |");
            out.resize(out.len() + self.place.column as usize, b' ');
            out.push(b'^');
        }
        if let Some(text) = after {
            print_line(number + 1, text, out);
        }
        out.push(b'\n');
    }
}

fn print_line(number: u32, text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\n {number:5}| ").as_bytes());
    out.extend_from_slice(text);
}

/// The line with this number, with its neighbours.
fn excerpt(text: &[u8], line: u32) -> [Option<Vec<u8>>; 3] {
    if text.is_empty() {
        return [None, None, None];
    }
    let mut lines = Lines { rest: text, done: false };
    let before = match line {
        0 | 1 => None,
        line => lines.nth(line as usize - 2),
    };
    [before, lines.next(), lines.next()].map(|line| line.map(<[u8]>::to_vec))
}

/// One step of the way to an error.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Trace {
    /// Where.
    pub at: Option<Location>,
    /// What was being done; a frame with no text is not shown.
    pub hint: Vec<u8>,
    /// Whether the frame is shown even where others are cut off.
    pub always: bool,
}

/// A message with everything that Nix prints around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub message: Vec<u8>,
    /// Where.
    pub at: Option<Location>,
    /// How evaluation came there, outermost first.
    pub traces: Vec<Trace>,
    /// Names that may have been meant, best first; see [`suggestions`].
    pub suggestions: Vec<Vec<u8>>,
}

impl Report {
    /// An error with only a message.
    pub fn error(message: impl Into<Vec<u8>>) -> Self {
        Self { level: Level::Error, message: message.into(), at: None, traces: Vec::new(), suggestions: Vec::new() }
    }

    /// The report of a diagnostic about `source`.
    pub fn new(level: Level, diagnostic: &Diagnostic, source: &Source<'_>) -> Self {
        let at = Location::new(source, diagnostic.pos);
        Self { level, at, ..Self::error(diagnostic.message(source)) }
    }

    /// The report of a warning of the parser about `source`.
    pub fn of_warning(warning: &Diagnostic, source: &Source<'_>) -> Self {
        match (&warning.problem, warning.pos.offset()) {
            // Nix puts the place of this one into the text
            (Problem::OrAsIdentifier { end }, Some(start)) => {
                Self { level: Level::TextWarning, ..Self::error(or_as_identifier(source, start, *end)) }
            }
            _ => Self::new(Level::Warning, warning, source),
        }
    }

    /// The text for standard error, with a line end. All traces are shown if `show_trace`.
    pub fn render(&self, show_trace: bool) -> Vec<u8> {
        let prefix = self.level.prefix();
        let mut body = Vec::new();
        if !self.traces.is_empty() {
            self.render_traces(show_trace, &mut body);
            body.push(b'\n');
            body.extend_from_slice(prefix);
        }
        body.extend_from_slice(&self.message);
        body.push(b'\n');
        if let Some(at) = &self.at {
            at.print(b"", &mut body);
        }
        if !self.suggestions.is_empty() {
            body.extend_from_slice(b"Did you mean ");
            body.extend_from_slice(&join_suggestions(&self.suggestions));
            body.extend_from_slice(b"?\n");
        }
        let mut out = Vec::new();
        if self.level == Level::TextWarning {
            out.extend_from_slice(prefix);
            out.extend_from_slice(trim_end(&body));
        } else {
            indent(prefix, trim_end(&body), &mut out);
        }
        out.push(b'\n');
        plain(&out)
    }

    fn render_traces(&self, show_trace: bool, out: &mut Vec<u8>) {
        let mut frames = Frames { seen: BTreeSet::new(), skipped: Vec::new(), count: 0 };
        let mut truncate = false;
        for trace in self.traces.iter().filter(|trace| !trace.hint.is_empty()) {
            truncate |= !show_trace && frames.count > MAX_TRACES;
            if truncate && !trace.always {
                continue;
            }
            if frames.seen.contains(trace) {
                frames.skipped.push(trace);
                continue;
            }
            frames.seen.insert(trace);
            frames.print_skipped(out);
            frames.count += 1;
            frames.print(trace, out);
        }
        frames.print_skipped(out);
        if truncate {
            out.extend_from_slice(b"\n(stack trace truncated; use '--show-trace' to show the full, detailed trace)\n");
        }
    }
}

/// The frames of one trace while it is printed.
struct Frames<'a> {
    seen: BTreeSet<&'a Trace>,
    /// Frames in a row that were all seen before.
    skipped: Vec<&'a Trace>,
    count: usize,
}

impl Frames<'_> {
    fn print(&mut self, trace: &Trace, out: &mut Vec<u8>) {
        out.extend_from_slice("\n… ".as_bytes());
        out.extend_from_slice(&trace.hint);
        out.push(b'\n');
        if let Some(at) = &trace.at {
            at.print(b"  ", out);
            self.count += 1;
        }
    }

    fn print_skipped(&mut self, out: &mut Vec<u8>) {
        let skipped = std::mem::take(&mut self.skipped);
        if skipped.len() > MAX_REPEATED {
            out.extend_from_slice(format!("\n({} duplicate frames omitted)\n", skipped.len()).as_bytes());
            // Nix means to forget the frames here but forgets a copy of its list
        } else {
            for trace in skipped {
                self.print(trace, out);
            }
        }
    }
}

fn or_as_identifier(source: &Source<'_>, start: u32, end: u32) -> Vec<u8> {
    let mut out = b"at ".to_vec();
    out.extend_from_slice(&source.describe(Pos::at(start)));
    out.extend_from_slice(
        b": This expression uses `or` as an identifier in a way that will change in a future Nix release.\n\
          Wrap this entire expression in parentheses to preserve its current meaning:\n    (",
    );
    out.extend_from_slice(&source.snippet(start, end));
    out.extend_from_slice(b")\nGive feedback at https://github.com/NixOS/nix/pull/11121");
    out
}

/// The names closest to `wanted`, at most as many as Nix suggests and close enough for it, best first.
pub fn suggestions<'a>(wanted: &[u8], names: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut found: Vec<(usize, &[u8])> = names
        .into_iter()
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name.to_vec()).collect()
}

/// Names as Nix joins them. Each is coloured, which keeps the space before one that begins with a line end.
fn join_suggestions(names: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    if names.len() > 1 {
        out.extend_from_slice(b"one of ");
    }
    for (number, name) in names.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(if number + 1 == names.len() { b" or " } else { b", " });
        }
        out.extend([b"\x1b[35;1m", name.as_slice(), b"\x1b[0m"].concat());
    }
    out
}

/// Levenshtein's distance in bytes.
fn distance(first: &[u8], second: &[u8]) -> usize {
    let mut previous: Vec<usize> = (0..=second.len()).collect();
    let mut current = vec![0; second.len() + 1];
    for (i, a) in first.iter().enumerate() {
        current[0] = i + 1;
        for (j, b) in second.iter().enumerate() {
            let replaced = previous[j] + usize::from(a != b);
            current[j + 1] = replaced.min(previous[j + 1] + 1).min(current[j] + 1);
        }
        std::mem::swap(&mut previous, &mut current);
    }
    previous[second.len()]
}

/// Puts `prefix` before the first line and as many spaces before the others; cuts white space at the end of lines.
fn indent(prefix: &[u8], text: &[u8], out: &mut Vec<u8>) {
    let spaces = vec![b' '; prefix.len()];
    let mut lines = text.split(|byte| *byte == b'\n').peekable();
    let mut first = true;
    while let Some(line) = lines.next() {
        // a line end at the very end begins no line
        if lines.peek().is_none() && line.is_empty() {
            break;
        }
        if !first {
            out.push(b'\n');
        }
        let whole = [if first { prefix } else { &spaces }, line].concat();
        out.extend_from_slice(trim_end(&whole));
        first = false;
    }
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
    &text[..end.map_or(0, |end| end + 1)]
}

/// The text as Nix sends it to something that is not a terminal: escape sequences, carriage returns and bells cut,
/// tabs made spaces up to a multiple of eight columns. The column counts from the begin of the whole text.
pub fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut column = 0;
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        match byte {
            0x1b => {
                rest = &rest[escape_len(rest)..];
                continue;
            }
            b'\t' => {
                let width = 8 - column % 8;
                out.resize(out.len() + width, b' ');
                column += width;
            }
            b'\r' | 0x07 => {}
            _ => {
                let (width, len) = char_width(rest);
                column += width;
                out.extend_from_slice(&rest[..len]);
                rest = &rest[len..];
                continue;
            }
        }
        rest = &rest[1..];
    }
    out
}

/// Length of the terminal escape sequence at the begin of `text`.
fn escape_len(text: &[u8]) -> usize {
    let run = |from: usize, low: u8, high: u8| {
        text[from..].iter().take_while(|byte| (low..=high).contains(*byte)).count() + from
    };
    match text.get(1) {
        Some(b'[') => {
            let end = run(run(2, 0x30, 0x3f), 0x20, 0x2f);
            end + usize::from(text.get(end).is_some_and(|byte| (0x40..=0x7e).contains(byte)))
        }
        Some(b']') => {
            let mut end = 2 + text[2..].iter().take_while(|byte| !matches!(byte, 0x1b | 0x07)).count();
            if let Some(&last) = text.get(end) {
                end += 1;
                end += usize::from(last == 0x1b && text.get(end) == Some(&b'\\'));
            }
            end
        }
        Some(0x40..=0x5f) => 2,
        _ => 1,
    }
}

/// Columns and bytes of the character at the begin of `text`. Bytes that are not UTF-8 count as one column each.
fn char_width(text: &[u8]) -> (usize, usize) {
    let len = match text[0] {
        0..=0x7f => return (usize::from(text[0] >= 0x20), 1),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return (1, 1),
    };
    let valid = text[1..text.len().min(len)].iter().take_while(|byte| **byte & 0xc0 == 0x80).count() + 1;
    if valid < len {
        return (valid, valid);
    }
    let wide = std::str::from_utf8(&text[..len]).ok().and_then(|text| text.chars().next()).is_some_and(is_wide);
    (if wide { 2 } else { 1 }, len)
}

/// Characters of two columns: the blocks of East Asian scripts and of emoji. It only moves tabs in excerpts.
fn is_wide(character: char) -> bool {
    matches!(u32::from(character),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0x33ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xa000..=0xa4cf
        | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f | 0x1f900..=0x1f9ff | 0x20000..=0x3fffd)
}

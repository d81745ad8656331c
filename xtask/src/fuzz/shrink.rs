//! Makes a program smaller as long as it keeps a property: parts are replaced by what they contain or by constants, and
//! elements and definitions are taken out.

use nopal_syntax::{ExprId, Interner, parser};
use std::ops::Range;

/// Smaller programs that are tried at once.
pub(super) const AT_ONCE: usize = 150;
/// Rounds after which a program is small enough.
const ROUNDS: usize = 60;
const CONSTANTS: &[&str] = &["1", "\"\"", "{ }", "[ ]", "null", "x: x", "true"];

/// Where the expressions of a program stand; nothing if it does not parse.
pub(super) fn spans(text: &str) -> Vec<Range<usize>> {
    let mut symbols = Interner::new();
    let Ok(parsed) = nopal_syntax::parse(text.as_bytes(), &mut symbols, &parser::Options::default()) else {
        return Vec::new();
    };
    let all = (0..parsed.ast.len()).map(|number| parsed.ast.span(ExprId(number as u32)));
    let mut spans: Vec<Range<usize>> = all.map(|span| span.start as usize..span.end as usize).collect();
    spans.retain(|span| span.start < span.end && text.get(span.clone()).is_some());
    spans.sort_by_key(|span| (span.start, span.end));
    spans.dedup();
    spans
}

/// The smallest program found that still `differs`, which says of some programs which of them do.
pub(super) fn shrink(
    program: String,
    mut differs: impl FnMut(&[String]) -> Result<Vec<bool>, String>,
) -> Result<String, String> {
    let mut best = program;
    'rounds: for _ in 0..ROUNDS {
        for lot in candidates(&best).chunks(AT_ONCE) {
            let verdicts = differs(lot)?;
            if let Some(at) = verdicts.iter().position(|&differs| differs) {
                best = lot[at].clone();
                continue 'rounds;
            }
        }
        break;
    }
    Ok(best)
}

/// Smaller programs, the smallest first.
fn candidates(text: &str) -> Vec<String> {
    let spans = spans(text);
    let mut found = Vec::new();
    let mut replace = |range: Range<usize>, new: &str| {
        let bare = format!("{}{new}{}", &text[..range.start], &text[range.end..]);
        found.push(format!("{}({new}){}", &text[..range.start], &text[range.end..]));
        found.push(bare);
    };
    for outer in &spans {
        for inner in
            spans.iter().filter(|inner| outer.start <= inner.start && inner.end <= outer.end && *inner != outer)
        {
            replace(outer.clone(), &text[inner.clone()]);
        }
        for constant in CONSTANTS {
            replace(outer.clone(), constant);
        }
        let wide = with_brackets(text, outer);
        replace(wide.clone(), &text[outer.clone()]);
        replace(wide.clone(), "");
        replace(definition(text, &wide), "");
    }
    for cut in cuts(text, spans.is_empty()) {
        replace(cut, "");
    }
    found.retain(|candidate| candidate.len() < text.len() && (spans.is_empty() || !self::spans(candidate).is_empty()));
    found.sort_by_key(|candidate| candidate.len());
    found.dedup();
    found
}

/// A span with the parentheses around it.
fn with_brackets(text: &str, span: &Range<usize>) -> Range<usize> {
    let (before, after) = (text[..span.start].trim_end(), text[span.end..].trim_start());
    match (before.strip_suffix('('), after.strip_prefix(')')) {
        (Some(before), Some(after)) => with_brackets(text, &(before.len()..text.len() - after.len())),
        _ => span.clone(),
    }
}

/// The definition whose value this span is, roughly: from the last semicolon or bracket to the next semicolon.
fn definition(text: &str, value: &Range<usize>) -> Range<usize> {
    let start = text[..value.start].rfind([';', '{', '[', '(', ',']).map_or(value.start, |at| at + 1);
    let rest = &text[value.end..];
    let end = value.end
        + if rest.trim_start().starts_with([';', ',']) { rest.find([';', ',']).map_or(0, |at| at + 1) } else { 0 };
    start..end
}

/// Stretches to take out of literals, or of anything if `everywhere`.
fn cuts(text: &str, everywhere: bool) -> Vec<Range<usize>> {
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut cuts = Vec::new();
    let mut length = ends.len().saturating_sub(1) / 2;
    while length > 0 {
        for start in (0..ends.len() - length).step_by(length.div_ceil(2)) {
            cuts.push(ends[start]..ends[start + length]);
        }
        length = if everywhere { length / 2 } else { length.min(8) / 2 };
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(word: &str, program: &str) -> String {
        shrink(program.to_owned(), |lot| Ok(lot.iter().map(|program| program.contains(word)).collect())).unwrap()
    }

    #[test]
    fn keeps_the_part_that_matters() {
        assert_eq!(with("map", "let x = [ 1 2 (map f { a = 3; }) ]; in if true then x else \"no\""), "map");
        assert_eq!(with("throw", "{ a = 1; b = { c = (1 + throw \"x\"); d = 2; }; }"), "throw");
    }

    #[test]
    fn shrinks_what_does_not_parse() {
        assert_eq!(with("; ;", "{ a = 1; ; b = 2; }"), "; ;");
    }
}

//! What is said about functions and attributes where they are defined.

use nopal_syntax::Symbol;
use nopal_syntax::interner::sym;

use crate::code::ir::{Expr, Rare};
use crate::error::Result;
use crate::eval::Evaluator;
use crate::pos::{Origin, Pos};
use crate::value::{Value, View};

/// What something is, where it is defined, and what its author says about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Documentation {
    /// A builtin function.
    Builtin {
        /// Its name.
        name: &'static str,
        /// The names of its arguments.
        args: &'static [&'static str],
        /// Its description, in Markdown.
        text: &'static str,
    },
    /// A function written in Nix.
    Function {
        /// The attribute it was bound to.
        name: Option<String>,
        /// `file:line:column`.
        place: String,
        /// Its doc comment, without markers and common indentation.
        comment: Option<String>,
    },
    /// An attribute whose value is no function.
    Attribute {
        /// Its name.
        name: String,
        /// `file:line:column`.
        place: String,
        /// Its doc comment, without markers and common indentation.
        comment: Option<String>,
    },
}

/// What a doc comment begins and ends with.
const OPEN: &str = "/**";
const CLOSE: &str = "*/";

impl Evaluator {
    /// What is known about the function or attribute that an expression of the loop names; `None` if that is nothing.
    ///
    /// # Errors
    /// Evaluation fails.
    pub fn document(&mut self, text: &[u8], dir: &[u8]) -> Result<Option<Documentation>> {
        let code = self.compile_interactive(text, dir)?;
        let mut attribute = None;
        let body = match &self.body(code)?.expr {
            Expr::Rare(Rare::Observed(observed)) => &observed.inner,
            body => body,
        };
        if let Expr::Select(select) = body {
            attribute = self.with_frame(code, |evaluator, env| {
                let (set, name) = evaluator.select_without_last(select, env)?;
                let what = "while evaluating an attribute set to look for documentation";
                let attrs = evaluator.force_attrs(set, Pos::NONE, what)?;
                // a missing one fails below
                Ok(attrs.get_with_pos(name).map(|(_, pos)| (name, pos)))
            })?;
        }
        let value = self.run(code)?;
        let documented = self.document_value(value)?;
        Ok(documented.or_else(|| {
            let (name, pos) = attribute.filter(|(_, pos)| !pos.is_none())?;
            Some(self.document_attribute(name, pos))
        }))
    }

    fn document_value(&mut self, value: Value) -> Result<Option<Documentation>> {
        match value.view() {
            View::Builtin(def) if !def.doc.is_empty() => {
                Ok(Some(Documentation::Builtin { name: def.name, args: def.args, text: def.doc }))
            }
            View::Closure(closure) => {
                let lambda = closure.lambda();
                let name = lambda.name.get().map(|name| self.symbol_name(name).into_owned());
                let comment = lambda.doc.and_then(|(begin, len)| {
                    let source = self.positions.source(begin)?;
                    let start = source.offset(begin) as usize;
                    Some(inner_text(source.text.get(start..start + len as usize)?))
                });
                let comment = comment.filter(|text| !text.is_empty());
                Ok(Some(Documentation::Function { name, place: self.show_pos(lambda.pos), comment }))
            }
            View::Attrs(attrs) => {
                let Some(functor) = attrs.get(sym::FUNCTOR) else { return Ok(None) };
                let inner = self.call(functor, &[value], Pos::NONE).and_then(|function| {
                    self.enter(Pos::NONE)?;
                    let inner = self.document_value(function);
                    self.leave();
                    inner
                });
                let what = "while partially calling '__functor' to retrieve documentation";
                inner.map_err(|error| error.trace(Pos::NONE, what))
            }
            _ => Ok(None),
        }
    }

    fn document_attribute(&mut self, name: Symbol, pos: Pos) -> Documentation {
        Documentation::Attribute {
            name: self.symbol_name(name).into_owned(),
            place: self.show_pos(pos),
            comment: self.comment_at(pos).filter(|text| !text.is_empty()),
        }
    }

    /// The doc comment before a place in a file.
    fn comment_at(&mut self, pos: Pos) -> Option<String> {
        let source = self.positions.source(pos)?;
        if !matches!(source.origin, Origin::File { .. }) {
            return None;
        }
        let (text, offset) = (source.text.clone(), source.offset(pos));
        let options = self.parser_options();
        let parsed = nopal_syntax::parse(&text, &mut self.symbols, &options).ok()?;
        let span = parsed.ast.doc_comment_at(offset)?;
        Some(inner_text(text.get(span.start as usize..span.end as usize)?))
    }
}

/// The text of a doc comment, without what marks it and without common indentation.
fn inner_text(comment: &[u8]) -> String {
    let text = String::from_utf8_lossy(comment);
    let text = text.strip_prefix(OPEN).unwrap_or(&text);
    let text = text.strip_suffix(CLOSE).unwrap_or(text);
    if text.is_empty() {
        return String::new();
    }
    // the first line is as far in as the others
    strip_indentation(&format!("{}{}", " ".repeat(OPEN.len()), text.replace("\r\n", "\n")))
}

/// Removes the indentation that all lines have, in Nix's way: a line of spaces alone can make it larger.
fn strip_indentation(text: &str) -> String {
    let mut common: Option<usize> = None;
    let mut lines: Vec<&str> = text.split('\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let ends_line = text.ends_with('\n');
    for (number, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let blank = indent == line.len();
        common = match common {
            None if blank => None,
            None => Some(indent),
            // the last line counts only if it is finished
            Some(common) if blank && (ends_line || number + 1 < lines.len()) => Some(common.max(indent)),
            Some(common) if blank => Some(common),
            Some(common) => Some(common.min(indent)),
        };
    }
    let mut stripped = String::with_capacity(text.len());
    for line in lines {
        stripped.push_str(common.and_then(|common| line.get(common..)).unwrap_or_default());
        stripped.push('\n');
    }
    stripped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_lose_their_marks_and_indentation() {
        assert_eq!(inner_text(b"/** one\n      two\n    three */"), "one\n  two\nthree \n");
        assert_eq!(inner_text(b"/***/"), "");
        assert_eq!(strip_indentation("  a\n    b\n\n  c\n"), "a\n  b\n\nc\n");
    }
}

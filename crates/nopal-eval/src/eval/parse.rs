//! Sources as `--parse` prints them.

use nopal_syntax::Diagnostic;
use nopal_syntax::parser::Parsed;
use nopal_syntax::report::Report;
use nopal_syntax::source::Source;

use crate::error::Result;
use crate::eval::Evaluator;
use crate::eval::import::syntax_error;
use crate::host::Message;
use crate::pos::Origin;

/// What the parser warned of, whether or not it failed.
pub(super) fn warnings_of(parsed: &std::result::Result<Parsed, Box<Diagnostic>>) -> &[Diagnostic] {
    match parsed {
        Ok(parsed) => &parsed.warnings,
        Err(problem) => &problem.warnings,
    }
}

impl Evaluator {
    /// Parses a source, looks for unbound variables, and prints the tree as `--parse` does.
    pub fn parse_to_text(&mut self, text: &[u8], origin: Origin, dir: &[u8]) -> Result<Vec<u8>> {
        let options = self.parser_options();
        let parsed = nopal_syntax::parse(text, &mut self.symbols, &options);
        self.show_warnings(warnings_of(&parsed), &Source { origin: &self.syntax_origin(&origin), text });
        let checked = parsed.and_then(|parsed| {
            self.scopes.check(&parsed.ast, &self.symbols, |name| self.globals.contains_key(&name))?;
            Ok(parsed)
        });
        match checked {
            Ok(parsed) => {
                let home = self.settings.home.as_deref().unwrap_or_default();
                let context = nopal_syntax::printer::Context { symbols: &self.symbols, base_dir: dir, home };
                Ok(nopal_syntax::printer::print(&parsed.ast, &context))
            }
            Err(problem) => {
                // only an error quotes the text
                let base = self.positions.add(origin.clone(), text.to_vec().into());
                Err(syntax_error(&problem, &self.syntax_origin(&origin), text, base))
            }
        }
    }

    /// Shows what the parser warned of in a source.
    pub(super) fn show_warnings(&self, warnings: &[Diagnostic], source: &Source<'_>) {
        for warning in warnings {
            self.emit(Message::Report(Report::of_warning(warning, source).render(false)));
        }
    }
}

//! Errors as users see them: excerpts, traces, suggestions, in Nix's form.

use nopal_syntax::report::{Level, Location, Report, Trace};
use nopal_syntax::source::Source;

use crate::builtins::xml;
use crate::context::Gathered;
use crate::error::{Error, ErrorData, Result};
use crate::eval::Evaluator;
use crate::pos::Pos;
use crate::pure::xml::Document;
use crate::value::Value;

impl Evaluator {
    /// The text of an error for standard error, as Nix prints it without colours, with a line end.
    pub fn render_error(&self, error: &Error) -> Vec<u8> {
        let whole = self.report(&error.data()).render(self.settings.show_trace);
        nopal_syntax::report::plain(&whole)
    }

    fn report(&self, data: &ErrorData) -> Report {
        let traces = data
            .traces
            .iter()
            .rev()
            .map(|trace| Trace { at: self.location(trace.pos), hint: trace.message.clone(), always: trace.always })
            .collect();
        Report {
            level: Level::Error,
            message: data.message.clone(),
            at: self.location(data.pos),
            traces,
            suggestions: data.suggestions.iter().map(|name| name.clone().into_bytes()).collect(),
        }
    }

    fn location(&self, pos: Pos) -> Option<Location> {
        let source = self.positions.source(pos)?;
        let origin = self.syntax_origin(&source.origin);
        let offset = source.offset(pos);
        Location::new(&Source { origin: &origin, text: &source.text }, nopal_syntax::ast::Pos::at(offset))
    }
}

impl Evaluator {
    /// A value as JSON, as `nix-instantiate --json` prints it; forces everything in it if `strict`, else fails on what has
    /// no value yet.
    pub fn print_json(&mut self, value: Value, strict: bool) -> Result<Vec<u8>> {
        let pos = self.determine_pos(value);
        crate::builtins::json::answer_to_json(self, value, pos, true, strict)
    }

    /// As [`Self::print_json`], as `nix eval` does: all is forced, paths are not copied to the store, and what is wrong with
    /// the value as a whole has no place.
    pub fn print_json_in_place(&mut self, value: Value) -> Result<Vec<u8>> {
        crate::builtins::json::answer_to_json(self, value, Pos::NONE, false, true)
    }

    /// A value as XML, as `--xml` prints it; `strict` forces everything in it, `location` adds positions. If that fails,
    /// [`Evaluator::begun_answer`] is what came before.
    pub fn print_xml(&mut self, value: Value, strict: bool, location: bool) -> Result<Vec<u8>> {
        let contexts = &mut Gathered::default();
        let (document, written) = xml::value_to_xml(self, value, strict, location, contexts, Pos::NONE);
        if let Err(error) = written {
            self.begun_answer = document;
            return Err(error);
        }
        xml::laid_out(self, &document)
    }

    /// What Nix has printed of an answer by the time that it fails.
    pub fn begun_answer(&self) -> &Document {
        &self.begun_answer
    }
}

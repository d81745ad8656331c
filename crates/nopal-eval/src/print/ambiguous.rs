//! The form of `nix-instantiate --eval`: ambiguous (names are not quoted), but what scripts expect.

use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::print::literal_string;
use crate::pure::number::general;
use crate::value::{Value, View};

impl Evaluator {
    /// Prints a value as `nix-instantiate --eval` does. Forces nothing.
    pub fn print_ambiguous(&mut self, value: Value) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut seen = rustc_hash::FxHashSet::default();
        self.ambiguous(value, &mut out, &mut seen, 0)?;
        Ok(out)
    }

    fn ambiguous(
        &mut self,
        value: Value,
        out: &mut Vec<u8>,
        seen: &mut rustc_hash::FxHashSet<u64>,
        depth: usize,
    ) -> Result<()> {
        self.check_stack()?;
        if depth > self.settings.max_call_depth {
            let pos = self.determine_pos(value);
            return Err(Error::new(ErrorKind::StackOverflow, "stack overflow; max-call-depth exceeded").at(pos));
        }
        let value = self.with_time(value)?;
        match value.view() {
            View::Null => out.extend_from_slice(b"null"),
            View::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            View::Int(i) => out.extend_from_slice(i.to_string().as_bytes()),
            View::Float(f) => out.extend_from_slice(general(f).as_bytes()),
            View::Str(s) => literal_string(out, s.as_bytes(), usize::MAX),
            View::Path(path) => out.extend_from_slice(&self.printed_path(path)),
            View::Attrs(attrs) => {
                if !attrs.is_empty() && !seen.insert(attrs.value().bits()) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"{ ");
                for &(name, _, inner) in attrs.sorted(&self.symbols).iter() {
                    out.extend_from_slice(&nopal_syntax::printer::identifier(self.symbols.get(name)));
                    out.extend_from_slice(b" = ");
                    self.ambiguous(inner, out, seen, depth + 1)?;
                    out.extend_from_slice(b"; ");
                }
                out.push(b'}');
            }
            View::List(list) => {
                if !list.is_empty() && !seen.insert(value.bits()) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"[ ");
                for inner in list.iter() {
                    self.ambiguous(inner, out, seen, depth + 1)?;
                    out.push(b' ');
                }
                out.push(b']');
            }
            View::Closure(_) => out.extend_from_slice(b"<LAMBDA>"),
            View::Builtin(_) => out.extend_from_slice(b"<PRIMOP>"),
            View::PartialApp(_) => out.extend_from_slice(b"<PRIMOP-APP>"),
            View::Thunk if value.is_blackhole() => {
                out.extend_from_slice("«potential infinite recursion»".as_bytes());
            }
            View::Thunk => out.extend_from_slice(b"<CODE>"),
        }
        Ok(())
    }
}

//! Coercion to strings and paths.

use nopal_format::StorePath;
use nopal_syntax::interner::sym;

use crate::context::{Context, Gathered};
use crate::error::{Error, Result};
use crate::eval::Evaluator;
use crate::pos::Pos;
use crate::value::{Attrs, List, Root, Value, View};

/// What coercion to a string does beyond strings, paths and derivations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coerce {
    /// Whether numbers, Booleans, null and lists become strings, too.
    pub more: bool,
    /// Whether a path is copied to the store and becomes its store path.
    pub copy_to_store: bool,
    /// Whether a path's text is made canonical (otherwise a trailing slash stays).
    pub canonicalise: bool,
}

impl Coerce {
    /// String interpolation and most builtins.
    pub const STRING: Coerce = Coerce { more: false, copy_to_store: true, canonicalise: true };
    /// Paths stay paths.
    pub const NO_COPY: Coerce = Coerce { more: false, copy_to_store: false, canonicalise: true };
    /// `builtins.toString`.
    pub const MORE: Coerce = Coerce { more: true, copy_to_store: false, canonicalise: true };
    /// Attributes of derivations.
    pub const DERIVATION: Coerce = Coerce { more: true, copy_to_store: true, canonicalise: true };
}

/// Coercion of an attribute of a derivation for another thread.
pub(crate) fn derivation_ahead(ev: &mut Evaluator, value: Value) -> Result<()> {
    ev.coerce_to_string(value, Pos::NONE, &mut { Context::EMPTY }, "", Coerce::DERIVATION).map(drop)
}

/// Forcing for another thread.
fn force_ahead(ev: &mut Evaluator, value: Value) -> Result<()> {
    ev.force(value, Pos::NONE).map(drop)
}

impl Evaluator {
    /// The string a value stands for; its context is added to `context`. `what` is the frame of a type error.
    pub fn coerce_to_string(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut Context,
        what: &str,
        mode: Coerce,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.coerce_into(value, pos, context, what, mode, &mut out)?;
        Ok(out)
    }

    /// As [`Evaluator::coerce_to_string`], appending to `out`.
    pub fn coerce_into(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut Context,
        what: &str,
        mode: Coerce,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.check_stack()?;
        self.enter(pos)?;
        let result = self.coerce_level(value, pos, context, what, mode, out);
        self.leave();
        result
    }

    fn coerce_level(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut Context,
        what: &str,
        mode: Coerce,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let forced = self.force(value, pos)?;
        if let Some(s) = forced.as_str() {
            *context = self.contexts.union(*context, s.context());
            self.check_text(out.len() + s.as_bytes().len())?;
            out.extend_from_slice(s.as_bytes());
            return Ok(());
        }
        match forced.view() {
            View::Path(path) => {
                if mode.copy_to_store {
                    let text = self.copy_path_to_store(context, path.root(), path.as_bytes())?;
                    out.extend_from_slice(text.as_bytes());
                } else {
                    out.extend_from_slice(path.as_bytes());
                }
                return Ok(());
            }
            View::Attrs(attrs) => return self.coerce_attrs(forced, attrs, pos, context, what, mode, out),
            _ => {}
        }
        if mode.more {
            match forced.view() {
                View::Bool(b) => {
                    if b {
                        out.push(b'1');
                    }
                    return Ok(());
                }
                View::Null => return Ok(()),
                View::Int(i) => {
                    crate::pure::number::write_int(i, out);
                    return Ok(());
                }
                View::Float(f) => {
                    out.extend_from_slice(crate::pure::number::fixed(f).as_bytes());
                    return Ok(());
                }
                View::List(list) => return self.coerce_list(list, pos, context, what, mode, out),
                _ => {}
            }
        }
        Err(self.cannot_coerce(value).trace(pos, what))
    }

    #[cold]
    fn cannot_coerce(&mut self, value: Value) -> Error {
        let mut message = format!("cannot coerce {} to a string: ", self.show_type(value)).into_bytes();
        message.extend(self.show_error_value(value));
        Error::type_error(message)
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one recursive walk")]
    fn coerce_attrs(
        &mut self,
        value: Value,
        attrs: Attrs,
        pos: Pos,
        context: &mut Context,
        what: &str,
        mode: Coerce,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if let Some(function) = attrs.get(sym::TO_STRING) {
            let result = self.call(function, &[value], pos)?;
            let what = "while evaluating the result of the `__toString` attribute";
            return self.coerce_into(result, pos, context, what, Coerce { canonicalise: true, ..mode }, out);
        }
        match attrs.get(sym::OUTPATH) {
            Some(path) => self.coerce_into(path, pos, context, what, mode, out),
            None => Err(self.cannot_coerce(value).trace(pos, what)),
        }
    }

    fn coerce_list(
        &mut self,
        list: List,
        pos: Pos,
        context: &mut Context,
        what: &str,
        mode: Coerce,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let ahead = if mode == Coerce::DERIVATION { derivation_ahead } else { force_ahead };
        let mut gathered = Gathered::default();
        gathered.add(*context);
        self.each(
            list.len(),
            |index| list.at(index),
            ahead,
            |ev, index| {
                let element = list.at(index);
                let inner = "while evaluating one element of the list";
                let mut context = Context::EMPTY;
                ev.coerce_into(element, pos, &mut context, inner, mode, out).map_err(|error| error.trace(pos, what))?;
                gathered.add(context);
                let is_empty_list = element.forced().as_list().is_some_and(List::is_empty);
                if index + 1 < list.len() && !is_empty_list {
                    out.push(b' ');
                }
                Ok(())
            },
        )?;
        *context = gathered.union(&mut self.contexts);
        Ok(())
    }

    /// The path a value stands for: a path, or an absolute path as a string.
    pub fn coerce_to_path(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut Context,
        what: &str,
    ) -> Result<(Root, Vec<u8>)> {
        let forced = self.force(value, pos).map_err(|error| error.trace(pos, what))?;
        if let Some(path) = forced.as_path() {
            return Ok((path.root(), path.as_bytes().to_vec()));
        }
        if let Some(function) = forced.as_attrs().and_then(|attrs| attrs.get(sym::TO_STRING)) {
            let result = self.call(function, &[forced], pos)?;
            return self.coerce_to_path(result, pos, context, what);
        }
        let text = self.coerce_to_string(value, pos, context, what, Coerce::NO_COPY)?;
        if text.first() != Some(&b'/') {
            let mut message = b"string '".to_vec();
            message.extend_from_slice(&text);
            message.extend_from_slice(b"' doesn't represent an absolute path");
            return Err(Error::eval(message).trace(pos, what));
        }
        Ok((Root::HOST, crate::pure::path::canonical(&text)))
    }

    /// The store path that a value names.
    pub fn coerce_to_store_path(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut Context,
        what: &str,
    ) -> Result<StorePath> {
        let text = self.coerce_to_string(value, pos, context, what, Coerce::NO_COPY)?;
        let parsed = std::str::from_utf8(&text).ok().and_then(|t| self.settings.store_dir.parse(t).ok());
        parsed.ok_or_else(|| {
            let mut message = b"path '".to_vec();
            message.extend_from_slice(&text);
            message.extend_from_slice(b"' is not in the Nix store");
            Error::eval(message).trace(pos, what)
        })
    }
}

//! Printing values: for error messages, for `--eval`, for a person.

use nopal_syntax::interner::sym;
use nopal_syntax::printer::{escape_string, print_identifier};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::pos::{Origin, Pos};
use crate::value::word::Kind;
use crate::value::{Attrs, List, Value, View};

mod ambiguous;

/// What to do with an error while a value is forced for printing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnError {
    /// Print `«error: …»` in its place.
    Print,
    /// Fail.
    Throw,
    /// Fail if it is the value itself, print inside of it.
    ThrowTopLevel,
}

/// How a value is printed.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions {
    /// Whether thunks are forced.
    pub force: bool,
    /// Whether a derivation is printed as `«derivation /nix/store/…»`.
    pub derivation_paths: bool,
    /// Whether something printed before is printed as `«repeated»`.
    pub track_repeated: bool,
    /// Deeper sets and lists are `{ ... }` and `[ ... ]`.
    pub max_depth: usize,
    /// More attributes than this, altogether, are elided.
    pub max_attrs: usize,
    /// More elements than this, altogether, are elided.
    pub max_list_items: usize,
    /// More bytes of a string than this are elided.
    pub max_string_length: usize,
    /// Spaces of indentation; 0 prints on one line.
    pub pretty_indent: usize,
    /// Errors while forcing.
    pub errors: OnError,
    /// Whether values have colours, as escape sequences of terminals.
    pub colours: bool,
}

/// The colours of values.
mod colour {
    pub(super) const NUMBER: &str = "\x1b[36;1m";
    pub(super) const TEXT: &str = "\x1b[35;1m";
    pub(super) const PATH: &str = "\x1b[32;1m";
    pub(super) const FUNCTION: &str = "\x1b[34;1m";
    pub(super) const ERROR: &str = "\x1b[31;1m";
    pub(super) const FAINT: &str = "\x1b[2m";
    pub(super) const END: &str = "\x1b[0m";
}

/// Takes what has been printed so far, before a value is forced: what that shows comes after it.
pub type Flush<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

impl PrintOptions {
    /// Everything on one line, nothing forced.
    pub const PLAIN: PrintOptions = PrintOptions {
        force: false,
        derivation_paths: false,
        track_repeated: true,
        max_depth: usize::MAX,
        max_attrs: usize::MAX,
        max_list_items: usize::MAX,
        max_string_length: usize::MAX,
        pretty_indent: 0,
        errors: OnError::Print,
        colours: false,
    };

    /// As values appear in error messages.
    pub const ERROR: PrintOptions = PrintOptions {
        max_depth: 10,
        max_attrs: 10,
        max_list_items: 10,
        max_string_length: 1024,
        ..PrintOptions::PLAIN
    };

    /// As `nix eval` prints.
    pub const EVAL: PrintOptions = PrintOptions { force: true, derivation_paths: true, ..PrintOptions::PLAIN };

    /// As the REPL prints, `max_depth` aside.
    pub const INTERACTIVE: PrintOptions =
        PrintOptions { errors: OnError::ThrowTopLevel, colours: true, pretty_indent: 2, ..PrintOptions::EVAL };
}

impl Evaluator {
    /// A number per type, to compare types.
    pub(crate) fn type_tag(&self, value: Value) -> u8 {
        match value.view() {
            View::Null => 0,
            View::Bool(_) => 1,
            View::Int(_) => 2,
            View::Float(_) => 3,
            View::Str(_) => 4,
            View::Path(_) => 5,
            View::List(_) => 6,
            View::Attrs(_) => 7,
            View::Closure(_) | View::Builtin(_) | View::PartialApp(_) => 8,
            View::Thunk => 9,
        }
    }

    /// The type of a value in words: `a string`, `the built-in function 'map'`.
    pub fn show_type(&self, value: Value) -> String {
        match value.view() {
            View::Null => "null".to_owned(),
            View::Bool(_) => "a Boolean".to_owned(),
            View::Int(_) => "an integer".to_owned(),
            View::Float(_) => "a float".to_owned(),
            View::Str(s) if s.context().is_empty() => "a string".to_owned(),
            View::Str(_) => "a string with context".to_owned(),
            View::Path(_) => "a path".to_owned(),
            View::List(_) => "a list".to_owned(),
            View::Attrs(_) => "a set".to_owned(),
            View::Closure(_) => "a function".to_owned(),
            View::Builtin(def) => format!("the built-in function '{}'", def.name),
            View::PartialApp(partial) => {
                format!("the partially applied built-in function '{}'", partial.builtin().name)
            }
            View::Thunk => match value.kind() {
                Some(Kind::Blackhole) if value.is_blackhole() => "a black hole".to_owned(),
                Some(Kind::App | Kind::Blackhole) => "a function application".to_owned(),
                _ => "a thunk".to_owned(),
            },
        }
    }

    /// A value as it appears in error messages. Forces nothing.
    pub fn show_error_value(&mut self, value: Value) -> Vec<u8> {
        self.print(value, PrintOptions::ERROR).unwrap_or_default()
    }

    /// A value on one line, as `builtins.trace` shows it. Forces nothing.
    pub fn show_value(&mut self, value: Value) -> Vec<u8> {
        self.print(value, PrintOptions::PLAIN).unwrap_or_default()
    }

    /// A position as `file:line:column`, or `«none»:0`.
    pub fn show_pos(&self, pos: Pos) -> String {
        let Some(location) = self.positions.locate(pos) else { return "«none»:0".to_owned() };
        let origin: std::borrow::Cow<'_, str> = match &location.source.origin {
            Origin::File { root, path } => String::from_utf8_lossy(&self.shown_path(*root, path)).into_owned().into(),
            Origin::Text => "«string»".into(),
            Origin::Stdin => "«stdin»".into(),
        };
        format!("{origin}:{}:{}", location.line, location.column)
    }

    /// Prints a value.
    pub fn print(&mut self, value: Value, options: PrintOptions) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.print_to(value, options, &mut out, &mut |_| {})?;
        Ok(out)
    }

    /// Prints a value piece by piece. After an error `out` holds what was printed and not flushed.
    ///
    /// # Errors
    /// Forcing the value fails, in a way that `options` do not admit.
    pub fn print_to(&mut self, value: Value, options: PrintOptions, out: &mut Vec<u8>, flush: Flush<'_>) -> Result<()> {
        let mut printer = Printer {
            ev: self,
            options,
            out,
            flush,
            seen: rustc_hash::FxHashSet::default(),
            attrs_printed: 0,
            items_printed: 0,
            indent: 0,
        };
        printer.print(value, 0)
    }
}

struct Printer<'a> {
    ev: &'a mut Evaluator,
    options: PrintOptions,
    out: &'a mut Vec<u8>,
    flush: Flush<'a>,
    seen: rustc_hash::FxHashSet<u64>,
    attrs_printed: usize,
    items_printed: usize,
    indent: usize,
}

impl Printer<'_> {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn coloured(&mut self, colour: &str, text: &str) {
        self.begin(colour);
        self.text(text);
        self.end();
    }

    fn begin(&mut self, colour: &str) {
        if self.options.colours {
            self.text(colour);
        }
    }

    fn end(&mut self) {
        self.begin(colour::END);
    }

    fn print(&mut self, value: Value, depth: usize) -> Result<()> {
        (self.flush)(self.out);
        self.ev.check_stack()?;
        if depth > self.ev.settings.max_call_depth {
            let pos = self.ev.determine_pos(value);
            return Err(Error::new(ErrorKind::StackOverflow, "stack overflow; max-call-depth exceeded").at(pos));
        }
        match self.print_level(value, depth) {
            Err(error) if matches!(error.kind(), ErrorKind::StackOverflow | ErrorKind::OutOfMemory) => Err(error),
            Err(error) => match self.options.errors {
                OnError::Throw => Err(error),
                OnError::ThrowTopLevel if depth == 0 => Err(error),
                _ => {
                    self.begin(colour::ERROR);
                    self.text("«error: ");
                    let message = error.data().message.clone();
                    self.out.extend_from_slice(&message);
                    self.text("»");
                    self.end();
                    Ok(())
                }
            },
            done => done,
        }
    }

    fn print_level(&mut self, value: Value, depth: usize) -> Result<()> {
        let mut forced = self.ev.with_time(value)?;
        if self.options.force {
            let pos = self.ev.determine_pos(value);
            forced = self.ev.force(value, pos)?;
        }
        match forced.view() {
            View::Null => self.coloured(colour::NUMBER, "null"),
            View::Bool(b) => self.coloured(colour::NUMBER, if b { "true" } else { "false" }),
            View::Int(i) => self.coloured(colour::NUMBER, &i.to_string()),
            View::Float(f) => self.coloured(colour::NUMBER, &crate::pure::number::general(f)),
            View::Str(s) => self.string(s.as_bytes()),
            View::Path(path) => {
                self.begin(colour::PATH);
                let shown = self.ev.printed_path(path);
                self.out.extend_from_slice(&shown);
                self.end();
            }
            View::List(list) => return self.list(value, list, depth),
            View::Attrs(attrs) => return self.attrs(attrs, depth),
            View::Closure(closure) => {
                let lambda = closure.lambda();
                let place = self.ev.show_pos(lambda.pos);
                self.begin(colour::FUNCTION);
                self.text("«lambda");
                if let Some(name) = lambda.name.get() {
                    self.text(" ");
                    print_identifier(self.ev.symbols.get(name), self.out);
                }
                self.text(&format!(" @ {place}»"));
                self.end();
            }
            View::Builtin(def) => self.coloured(colour::FUNCTION, &format!("«primop {}»", def.name)),
            View::PartialApp(partial) => {
                let text = format!("«partially applied primop {}»", partial.builtin().name);
                self.coloured(colour::FUNCTION, &text);
            }
            View::Thunk if value.is_blackhole() => {
                self.coloured(colour::ERROR, "«potential infinite recursion»");
            }
            View::Thunk => self.coloured(colour::TEXT, "«thunk»"),
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.begin(colour::TEXT);
        let max = self.options.max_string_length;
        literal_prefix(self.out, text, max);
        match text.len().checked_sub(max).filter(|left| *left > 0) {
            Some(left) => {
                self.text(" ");
                self.elided(left, "byte");
            }
            None => self.end(),
        }
    }

    fn elided(&mut self, count: usize, noun: &str) {
        self.begin(colour::FAINT);
        elided(self.out, count, noun);
        self.end();
    }

    fn space(&mut self, pretty: bool) {
        if pretty {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.indent, b' ');
        } else {
            self.out.push(b' ');
        }
    }

    /// Is a single element worth a line of its own? It may be forced, since it will be printed.
    fn is_nested(&mut self, item: Value) -> Result<bool> {
        let pos = self.ev.determine_pos(item);
        let forced = self.ev.force(item, pos)?;
        Ok(matches!(forced.view(), View::List(_) | View::Attrs(_) | View::Thunk))
    }

    fn list(&mut self, value: Value, list: List, depth: usize) -> Result<()> {
        if self.options.track_repeated && !list.is_empty() && !self.seen.insert(value.bits()) {
            self.coloured(colour::TEXT, "«repeated»");
            return Ok(());
        }
        if depth >= self.options.max_depth {
            self.text("[ ... ]");
            return Ok(());
        }
        self.indent += self.options.pretty_indent;
        self.text("[");
        let pretty = self.options.pretty_indent > 0
            && match list.get(0) {
                None => false,
                Some(only) if list.len() == 1 => self.is_nested(only)?,
                Some(_) => true,
            };
        for (index, item) in list.iter().enumerate() {
            self.space(pretty);
            if self.items_printed >= self.options.max_list_items {
                self.elided(list.len() - index, "item");
                break;
            }
            self.print(item, depth + 1)?;
            self.items_printed += 1;
        }
        self.indent -= self.options.pretty_indent;
        self.space(pretty);
        self.text("]");
        Ok(())
    }

    fn attrs(&mut self, attrs: Attrs, depth: usize) -> Result<()> {
        if self.options.track_repeated && !self.seen.insert(attrs.value().bits()) {
            self.coloured(colour::TEXT, "«repeated»");
            return Ok(());
        }
        if self.options.force && self.options.derivation_paths && self.ev.is_derivation(attrs)? {
            return self.derivation(attrs);
        }
        if depth >= self.options.max_depth {
            self.text("{ ... }");
            return Ok(());
        }
        self.indent += self.options.pretty_indent;
        self.text("{");
        let mut sorted = attrs.sorted(&self.ev.symbols);
        if self.options.max_attrs != usize::MAX {
            sorted.sort_by_key(|(name, ..)| !matches!(self.ev.symbols.get(*name), b"type" | b"_type"));
        }
        let pretty = self.options.pretty_indent > 0
            && match &*sorted {
                [] => false,
                [(.., only)] => self.is_nested(*only)?,
                _ => true,
            };
        for (index, (name, _, value)) in sorted.iter().enumerate() {
            self.space(pretty);
            if self.attrs_printed >= self.options.max_attrs {
                self.elided(sorted.len() - index, "attribute");
                break;
            }
            print_identifier(self.ev.symbols.get(*name), self.out);
            self.text(" = ");
            self.print(*value, depth + 1)?;
            self.text(";");
            self.attrs_printed += 1;
        }
        self.indent -= self.options.pretty_indent;
        self.space(pretty);
        self.text("}");
        Ok(())
    }

    fn derivation(&mut self, attrs: Attrs) -> Result<()> {
        let mut place = String::new();
        if let Some((path, pos)) = attrs.get_with_pos(sym::DRV_PATH) {
            let what = "while evaluating the drvPath of a derivation";
            let path = self.ev.coerce_to_store_path(path, pos, &mut Context::EMPTY.clone(), what)?;
            place = format!(" {}", self.ev.settings.store_dir.print(&path));
        }
        self.coloured(colour::PATH, &format!("«derivation{place}»"));
        Ok(())
    }
}

fn elided(out: &mut Vec<u8>, count: usize, noun: &str) {
    let plural = if count == 1 { "" } else { "s" };
    out.extend_from_slice(format!("«{count} {noun}{plural} elided»").as_bytes());
}

/// A string as a literal, of which at most `max` bytes are shown.
pub fn literal_string(out: &mut Vec<u8>, text: &[u8], max: usize) {
    literal_prefix(out, text, max);
    if let Some(left) = text.len().checked_sub(max).filter(|left| *left > 0) {
        out.push(b' ');
        elided(out, left, "byte");
    }
}

fn literal_prefix(out: &mut Vec<u8>, text: &[u8], max: usize) {
    out.push(b'"');
    escape_string(text, max, out);
    out.push(b'"');
}

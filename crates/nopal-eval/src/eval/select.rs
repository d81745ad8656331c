//! Attribute paths given on the command line (`-A`).

use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::pos::Pos;
use crate::value::{Attrs, Value, View};

impl Evaluator {
    /// The value at an attribute path such as `a.b."c.d".0`, calling functions on the way with `args`. Returns the
    /// value, not forced, and the position of the last attribute.
    pub fn select_path(&mut self, path: &str, args: Attrs, root: Value) -> Result<(Value, Pos)> {
        let mut value = root;
        let mut pos = Pos::NONE;
        for name in parse_attr_path(path)? {
            let called = self.auto_call(value, args)?;
            value = self.force(called, Pos::NONE)?;
            if let Ok(index) = name.parse::<u32>() {
                let View::List(list) = value.view() else { return Err(self.not_selectable(path, "a list", value)) };
                let Some(element) = list.get(index as usize) else {
                    let message = format!("list index {index} in selection path '{path}' is out of range");
                    return Err(Error::new(ErrorKind::AttrPath, message));
                };
                (value, pos) = (element, Pos::NONE);
                continue;
            }
            let View::Attrs(attrs) = value.view() else { return Err(self.not_selectable(path, "a set", value)) };
            if name.is_empty() {
                let message = format!("empty attribute name in selection path '{path}'");
                return Err(Error::new(ErrorKind::AttrPath, message));
            }
            let symbol = self.symbols.intern(name.as_bytes());
            match attrs.get_with_pos(symbol) {
                Some((found, at)) => (value, pos) = (found, at),
                None => {
                    let message = format!("attribute '{name}' in selection path '{path}' not found");
                    let suggestions = self.suggestions(attrs.iter().map(|(name, ..)| name), symbol);
                    return Err(Error::new(ErrorKind::AttrPath, message).suggest(suggestions));
                }
            }
        }
        Ok((value, pos))
    }

    /// The value at an attribute path as flakes have them: sets only, no functions are called. `Err` within are names
    /// that are like one that is missing.
    pub fn find_along(&mut self, path: &str, root: Value) -> Result<std::result::Result<(Value, Pos), Vec<String>>> {
        let (mut value, mut pos) = (root, Pos::NONE);
        let names = parse_attr_path(path)?;
        for (index, name) in names.iter().enumerate() {
            let View::Attrs(attrs) = self.force(value, pos)?.view() else {
                return Err(Error::type_error(format!("'{}' is not an attribute set", names[..index].join("."))));
            };
            let symbol = self.symbols.intern(name.as_bytes());
            match attrs.get_with_pos(symbol) {
                Some(found) => (value, pos) = found,
                None => return Ok(Err(self.suggestions(attrs.iter().map(|(name, ..)| name), symbol))),
            }
        }
        Ok(Ok((value, pos)))
    }

    fn not_selectable(&self, path: &str, wanted: &str, value: Value) -> Error {
        let found = self.show_type(value);
        let message =
            format!("the expression selected by the selection path '{path}' should be {wanted} but is {found}");
        Error::type_error(message)
    }
}

/// The names in an attribute path: separated by dots, quoted where they contain one.
fn parse_attr_path(path: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut current = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => names.push(std::mem::take(&mut current)),
            '"' => loop {
                match chars.next() {
                    Some('"') => break,
                    Some(c) => current.push(c),
                    None => {
                        let message = format!("missing closing quote in selection path '{path}'");
                        return Err(Error::new(ErrorKind::Parse, message));
                    }
                }
            },
            c => current.push(c),
        }
    }
    if !current.is_empty() {
        names.push(current);
    }
    Ok(names)
}

//! Equality, and the assertion that says how two values differ.

use nopal_syntax::interner::sym;

use crate::code::ir::Comparand;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::pos::Pos;
use crate::value::word::Kind;
use crate::value::{Attrs, List, Value, View};

/// Whether two values are equal, if they are evaluated and a look at them tells: strings, integers, Booleans, null.
#[inline(always)]
fn plainly_equal(a: Value, b: Value) -> Option<bool> {
    let ((a, kind_a), (b, kind_b)) = (a.follow_kind(), b.follow_kind());
    match (kind_a, kind_b) {
        (None, None) => Some(a == b),
        (Some(kind), None) | (None, Some(kind)) if kind >= Kind::Str => Some(false),
        _ => match (a.str_of_kind(kind_a), b.str_of_kind(kind_b)) {
            (Some(a), Some(b)) => Some(a.has_bytes_of(b)),
            _ => None,
        },
    }
}

/// The same for an evaluated value and a constant.
#[inline(always)]
pub(super) fn equals_constant(value: Value, constant: Value, comparand: Comparand) -> Option<bool> {
    match comparand {
        Comparand::UniqueString if value == constant => Some(true),
        Comparand::UniqueString if !value.is_object() || value.is_unique_string() => Some(false),
        Comparand::Immediate if !value.is_object() => Some(value == constant),
        Comparand::UniqueString | Comparand::Immediate => plainly_equal(value, constant),
        Comparand::Any => None,
    }
}

/// Whether two evaluated values are equal that are not both sets or both lists.
#[inline(never)]
fn equal_plain(x: Value, y: Value) -> bool {
    match (x.view(), y.view()) {
        (View::Int(i), View::Int(j)) => i == j,
        (View::Int(i), View::Float(j)) => i as f64 == j,
        (View::Float(i), View::Int(j)) => i == j as f64,
        (View::Float(i), View::Float(j)) => i == j,
        (View::Bool(i), View::Bool(j)) => i == j,
        (View::Null, View::Null) => true,
        (View::Str(i), View::Str(j)) => i.has_bytes_of(j),
        (View::Path(i), View::Path(j)) => i.root() == j.root() && i.as_bytes() == j.as_bytes(),
        _ => false,
    }
}

/// Have all attributes values without parts?
fn is_plain(attrs: Attrs) -> bool {
    attrs.iter().all(|(_, value, _)| !matches!(value.forced().view(), View::Thunk | View::List(_) | View::Attrs(_)))
}

impl Evaluator {
    /// The language's `==` of two values that have a place of their own (elements, attributes, arguments): values that
    /// are the same object are equal, even if they are functions.
    #[inline]
    pub fn equal(&mut self, a: Value, b: Value, pos: Pos, context: &str) -> Result<bool> {
        self.equal_places(a, b, pos, context).map(|equal| equal == Value::TRUE)
    }

    /// As [`Evaluator::equal`]; a result that fits registers.
    #[inline(always)]
    fn equal_places(&mut self, a: Value, b: Value, pos: Pos, context: &str) -> Result<Value> {
        if let Some(equal) = plainly_equal(a, b)
            && self.may_enter()
        {
            return Ok(Value::bool(equal));
        }
        self.enter(pos)?;
        let result = self.equal_level(a, b, pos, context, true);
        self.leave();
        result
    }

    /// The language's `==` of two results of expressions: functions are never equal.
    #[inline]
    pub(crate) fn equal_operands(&mut self, a: Value, b: Value, pos: Pos) -> Result<Value> {
        if let Some(equal) = plainly_equal(a, b)
            && self.may_enter()
        {
            return Ok(Value::bool(equal));
        }
        self.enter(pos)?;
        let result = self.equal_level(a, b, pos, "while testing two values for equality", false);
        self.leave();
        result
    }

    #[inline(never)]
    fn equal_level(&mut self, a: Value, b: Value, pos: Pos, context: &str, identity: bool) -> Result<Value> {
        self.check_stack()?;
        let x = self.force(a, pos)?;
        let y = self.force(b, pos)?;
        if identity && a == b {
            return Ok(Value::TRUE);
        }
        if let (Some(i), Some(j)) = (x.as_attrs(), y.as_attrs()) {
            return self.equal_attrs(i, j, pos, context);
        }
        if let (Some(i), Some(j)) = (x.as_list(), y.as_list()) {
            return self.equal_lists(i, j, pos, context);
        }
        Ok(Value::bool(equal_plain(x, y)))
    }

    fn equal_lists(&mut self, x: List, y: List, pos: Pos, context: &str) -> Result<Value> {
        if x.len() != y.len() {
            return Ok(Value::FALSE);
        }
        for (a, b) in x.iter().zip(y.iter()) {
            if self.equal_places(a, b, pos, context)? == Value::FALSE {
                return Ok(Value::FALSE);
            }
        }
        Ok(Value::TRUE)
    }

    fn equal_attrs(&mut self, x: Attrs, y: Attrs, pos: Pos, context: &str) -> Result<Value> {
        if !x.value().same_flat_shape(y.value()) || x.contains(sym::TYPE) {
            if self.is_derivation(x)?
                && self.is_derivation(y)?
                && let (Some(a), Some(b)) = (x.get(sym::OUTPATH), y.get(sym::OUTPATH))
            {
                return self.equal_places(a, b, pos, context);
            }
            if x.len() != y.len() {
                return Ok(Value::FALSE);
            }
        }
        // in another order, what was not looked at might have failed
        let depends = |equal: &Value| *equal == Value::FALSE && !(is_plain(x) && is_plain(y));
        self.in_order(&[x, y], depends, |ev, _| ev.equal_in_order(x, y, pos, context))
    }

    fn equal_in_order(&mut self, x: Attrs, y: Attrs, pos: Pos, context: &str) -> Result<Value> {
        if let (Some(shape), Some(other)) = (x.flat_shape(), y.flat_shape()) {
            for index in 0..shape.len().min(other.len()) {
                let same_name = shape == other || shape.keys()[index] == other.keys()[index];
                let (a, b) = (x.flat_value(index), y.flat_value(index));
                if !same_name || self.equal_places(a, b, pos, context)? == Value::FALSE {
                    return Ok(Value::FALSE);
                }
            }
            return Ok(Value::TRUE);
        }
        for ((name_a, a, _), (name_b, b, _)) in x.iter().zip(y.iter()) {
            if name_a != name_b || self.equal_places(a, b, pos, context)? == Value::FALSE {
                return Ok(Value::FALSE);
            }
        }
        Ok(Value::TRUE)
    }

    /// Does the set say `type = "derivation"`?
    #[inline]
    pub fn is_derivation(&mut self, attrs: Attrs) -> Result<bool> {
        let Some(found) = attrs.find(sym::TYPE) else { return Ok(false) };
        let value = match found.value().at_hand() {
            Some(value) => value,
            None => self.force(found.value(), found.pos())?,
        };
        Ok(value.as_str().is_some_and(|s| s.as_bytes() == b"derivation"))
    }

    /// Fails with a message that says how two values, which are known to differ, differ.
    pub(crate) fn assert_equal(&mut self, a: Value, b: Value, context: &str, identity: bool) -> Result<()> {
        self.enter(Pos::NONE)?;
        let result = self.assert_equal_level(a, b, context, identity);
        self.leave();
        result
    }

    fn assert_equal_level(&mut self, a: Value, b: Value, context: &str, identity: bool) -> Result<()> {
        self.check_stack()?;
        let x = self.force(a, Pos::NONE)?;
        let y = self.force(b, Pos::NONE)?;
        if identity && a == b {
            return Ok(());
        }
        let numbers = |v: View| matches!(v, View::Int(_) | View::Float(_));
        if numbers(x.view()) && numbers(y.view()) {
            if self.equal(x, y, Pos::NONE, context)? {
                return Ok(());
            }
            return Err(self.differ(x, y, "with value"));
        }
        if self.type_tag(x) != self.type_tag(y) {
            return Err(self.differ(a, b, "of value"));
        }
        match (x.view(), y.view()) {
            (View::Bool(i), View::Bool(j)) if i != j => Err(self.differ_plain("boolean", x, y, "")),
            (View::Str(i), View::Str(j)) if i.as_bytes() != j.as_bytes() => Err(self.differ_plain("string", x, y, "")),
            (View::Path(i), View::Path(j)) if i.root() != j.root() => {
                Err(self.differ_plain("path", x, y, " because their accessors are different"))
            }
            (View::Path(i), View::Path(j)) if i.as_bytes() != j.as_bytes() => Err(self.differ_plain("path", x, y, "")),
            (View::List(i), View::List(j)) if i.len() != j.len() => Err(self.lengths_differ(a, b, i.len(), j.len())),
            (View::List(i), View::List(j)) => self.assert_equal_lists(i, j, context),
            (View::Attrs(i), View::Attrs(j)) => self.assert_equal_attrs(i, j, context),
            (View::Closure(_) | View::Builtin(_) | View::PartialApp(_), _) => Err(Error::new(
                ErrorKind::Assertion,
                "distinct functions and immediate comparisons of identical functions compare as unequal",
            )),
            _ => Ok(()),
        }
    }

    fn differ(&mut self, x: Value, y: Value, relation: &str) -> Error {
        let mut message = format!("{} {relation} '", self.show_type(x)).into_bytes();
        message.extend(self.show_error_value(x));
        message.extend_from_slice(format!("' is not equal to {} {relation} '", self.show_type(y)).as_bytes());
        message.extend(self.show_error_value(y));
        message.push(b'\'');
        Error::new(ErrorKind::Assertion, message)
    }

    fn differ_plain(&mut self, noun: &str, x: Value, y: Value, why: &str) -> Error {
        let mut message = format!("{noun} '").into_bytes();
        message.extend(self.show_error_value(x));
        message.extend_from_slice(format!("' is not equal to {noun} '").as_bytes());
        message.extend(self.show_error_value(y));
        message.push(b'\'');
        message.extend_from_slice(why.as_bytes());
        Error::new(ErrorKind::Assertion, message)
    }

    fn lengths_differ(&mut self, x: Value, y: Value, len_x: usize, len_y: usize) -> Error {
        let sizes = format!("list of size '{len_x}' is not equal to list of size '{len_y}'");
        let mut message = format!("{sizes}, left hand side is '").into_bytes();
        message.extend(self.show_error_value(x));
        message.extend_from_slice(b"', right hand side is '");
        message.extend(self.show_error_value(y));
        message.push(b'\'');
        Error::new(ErrorKind::Assertion, message)
    }

    fn assert_equal_lists(&mut self, x: List, y: List, context: &str) -> Result<()> {
        for (index, (a, b)) in x.iter().zip(y.iter()).enumerate() {
            self.assert_equal(a, b, context, true)
                .map_err(|error| error.trace(Pos::NONE, format!("while comparing list element {index}")))?;
        }
        Ok(())
    }

    fn assert_equal_attrs(&mut self, x: Attrs, y: Attrs, context: &str) -> Result<()> {
        if self.is_derivation(x)?
            && self.is_derivation(y)?
            && let (Some(a), Some(b)) = (x.get(sym::OUTPATH), y.get(sym::OUTPATH))
        {
            let frame = "while comparing a derivation by its 'outPath' attribute";
            return self.assert_equal(a, b, context, true).map_err(|error| error.trace(Pos::NONE, frame));
        }
        if x.len() != y.len() {
            let mut message = b"attribute names of attribute set '".to_vec();
            message.extend(self.show_error_value(x.value()));
            message.extend_from_slice(b"' differs from attribute set '");
            message.extend(self.show_error_value(y.value()));
            message.push(b'\'');
            return Err(Error::new(ErrorKind::Assertion, message));
        }
        for ((name_a, a, pos_a), (name_b, b, pos_b)) in x.iter().zip(y.iter()) {
            if name_a != name_b {
                return Err(self.names_differ(x, y, name_a, name_b));
            }
            if let Err(error) = self.assert_equal(a, b, context, true) {
                let error = if pos_b.is_none() { error } else { error.trace(pos_b, "where right hand side is") };
                let error = if pos_a.is_none() { error } else { error.trace(pos_a, "where left hand side is") };
                let name = self.shown(name_a);
                return Err(error.trace(Pos::NONE, format!("while comparing attribute '{name}'")));
            }
        }
        Ok(())
    }

    fn names_differ(&mut self, x: Attrs, y: Attrs, a: nopal_syntax::Symbol, b: nopal_syntax::Symbol) -> Error {
        let (name, middle) = if y.contains(a) { (b, "missing") } else { (a, "contained") };
        let name = self.shown(name);
        let mut message = format!("attribute name '{name}' is {middle} in '").into_bytes();
        message.extend(self.show_error_value(x.value()));
        message.extend_from_slice(if middle == "missing" { b"', but is contained in '" } else { b"', but not in '" });
        message.extend(self.show_error_value(y.value()));
        message.push(b'\'');
        Error::new(ErrorKind::Assertion, message)
    }
}

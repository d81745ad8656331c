//! Operators: arithmetic, comparison, logic, `//`, `++`, `+` and interpolation.

use std::cmp::Ordering;

use crate::code::ir::{Binary, ConcatStrings, Expr, Op};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::eval::Evaluator;
use crate::eval::coerce::Coerce;
use crate::eval::expr::{Env, cell, misplaced};
use crate::pos::Pos;
use crate::value::{Attrs, List, Root, Value, View};

/// A buffer for texts that is larger than this is not kept.
const MAX_BUFFER: usize = 64 << 10;

/// At most so many strings are joined without a buffer.
const MAX_PARTS: usize = 8;

/// How Nix words the errors of one arithmetic builtin.
struct Arithmetic {
    builtin: &'static str,
    first: &'static str,
    /// The same where one of the operands is a float, of which Nix has another wording once.
    first_float: &'static str,
    second: &'static str,
    overflow: &'static str,
    sign: char,
    ints: fn(i64, i64) -> Option<i64>,
    floats: fn(f64, f64) -> f64,
}

const ADD: Arithmetic = Arithmetic {
    builtin: "add",
    first: "while evaluating the first argument of the addition",
    first_float: "while evaluating the first argument of the addition",
    second: "while evaluating the second argument of the addition",
    overflow: "adding",
    sign: '+',
    ints: i64::checked_add,
    floats: |a, b| a + b,
};

const SUB: Arithmetic = Arithmetic {
    builtin: "sub",
    first: "while evaluating the first argument of the subtraction",
    first_float: "while evaluating the first argument of the subtraction",
    second: "while evaluating the second argument of the subtraction",
    overflow: "subtracting",
    sign: '-',
    ints: i64::checked_sub,
    floats: |a, b| a - b,
};

const MUL: Arithmetic = Arithmetic {
    builtin: "mul",
    first: "while evaluating the first argument of the multiplication",
    first_float: "while evaluating the first of the multiplication",
    second: "while evaluating the second argument of the multiplication",
    overflow: "multiplying",
    sign: '*',
    ints: i64::checked_mul,
    floats: |a, b| a * b,
};

const DIV: Arithmetic = Arithmetic {
    builtin: "div",
    first: "while evaluating the first operand of the division",
    first_float: "while evaluating the first operand of the division",
    second: "while evaluating the second operand of the division",
    overflow: "dividing",
    sign: '/',
    ints: i64::checked_div,
    floats: |a, b| a / b,
};

/// The number that an expression is, or that a variable has, if it is evaluated.
#[inline(always)]
pub(super) fn number_at(expr: &Expr, env: Env) -> Option<i64> {
    match expr {
        Expr::Const(value) => value.as_small_int(),
        Expr::Local(slot, _) => env.frame.get(*slot).follow().as_small_int(),
        Expr::Captured(index, _) => env.captures.get(*index).follow().as_small_int(),
        _ => None,
    }
}

impl Evaluator {
    /// Numbers that are at hand need no more than is here.
    #[inline(never)]
    pub(crate) fn eval_binary(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Binary(binary) = expr else { return misplaced() };
        if binary.op >= Op::Sub
            && let (Some(a), Some(b)) = (number_at(&binary.lhs, env), number_at(&binary.rhs, env))
            && self.may_enter()
        {
            let result = match binary.op {
                Op::Sub => a.checked_sub(b).and_then(Value::small_int),
                Op::Less => Some(Value::bool(a < b)),
                Op::LessEq => Some(Value::bool(a <= b)),
                Op::Greater => Some(Value::bool(a > b)),
                Op::GreaterEq => Some(Value::bool(a >= b)),
                _ => None,
            };
            if let Some(result) = result {
                return Ok(result);
            }
        }
        self.eval_operator(binary, env)
    }

    #[inline(never)]
    fn eval_operator(&mut self, binary: &'static Binary, env: Env) -> Result<Value> {
        let pos = binary.pos;
        match binary.op {
            Op::Sub => self.eval_arithmetic(binary, env, &SUB),
            Op::Mul => self.eval_arithmetic(binary, env, &MUL),
            Op::Div => self.eval_arithmetic(binary, env, &DIV),
            Op::Less => self.eval_less(&binary.lhs, &binary.rhs, env, pos),
            Op::Greater => self.eval_less(&binary.rhs, &binary.lhs, env, pos),
            Op::LessEq => not(self.eval_less(&binary.rhs, &binary.lhs, env, pos), pos),
            Op::GreaterEq => not(self.eval_less(&binary.lhs, &binary.rhs, env, pos), pos),
            // its own node
            Op::Eq | Op::Neq => misplaced(),
            Op::And => {
                let left = "in the left operand of the AND (&&) operator";
                let right = "in the right operand of the AND (&&) operator";
                Ok(Value::bool(
                    self.eval_bool(&binary.lhs, env, pos, left)? && self.eval_bool(&binary.rhs, env, pos, right)?,
                ))
            }
            Op::Or => {
                let left = "in the left operand of the OR (||) operator";
                let right = "in the right operand of the OR (||) operator";
                Ok(Value::bool(
                    self.eval_bool(&binary.lhs, env, pos, left)? || self.eval_bool(&binary.rhs, env, pos, right)?,
                ))
            }
            Op::Impl => {
                let left = "in the left operand of the IMPL (->) operator";
                let right = "in the right operand of the IMPL (->) operator";
                Ok(Value::bool(
                    !self.eval_bool(&binary.lhs, env, pos, left)? || self.eval_bool(&binary.rhs, env, pos, right)?,
                ))
            }
            Op::Update => self.eval_update(binary, env),
            Op::Concat => {
                let a = self.eval_leaf(&binary.lhs, env)?;
                let b = self.eval_leaf(&binary.rhs, env)?;
                if let (Some(left), Some(right)) = (a.as_list(), b.as_list()) {
                    return self.concat_two_lists(left, right);
                }
                self.concat_lists(&[a, b], pos, "while evaluating one of the elements to concatenate")
            }
        }
    }

    /// `a // b`. As in Nix the right operand is evaluated first, and a chain from right to left.
    fn eval_update(&mut self, binary: &'static Binary, env: Env) -> Result<Value> {
        let right = self.eval_update_operand(&binary.rhs, env, "in the right operand of the update (//) operator")?;
        let left = self.eval_update_operand(&binary.lhs, env, "in the left operand of the update (//) operator")?;
        Ok(self.heap.update(left, right))
    }

    fn eval_update_operand(&mut self, expr: &'static Expr, env: Env, context: &str) -> Result<Attrs> {
        if let Expr::Binary(inner) = expr
            && inner.op == Op::Update
        {
            let value = self.eval_update(inner, env)?;
            return self.force_attrs(value, Pos::NONE, context);
        }
        let pos = expr.pos();
        let value = match self.eval(expr, env) {
            Ok(value) => value,
            Err(error) => return Err(error.trace(pos, context)),
        };
        match value.as_attrs() {
            Some(attrs) => Ok(attrs),
            None => Err(self.type_mismatch(value, "a set").trace(pos, context)),
        }
    }

    fn concat_two_lists(&mut self, left: List, right: List) -> Result<Value> {
        if right.is_empty() {
            return Ok(left.value());
        }
        if left.is_empty() {
            return Ok(right.value());
        }
        let len = left.len() + right.len();
        self.check_list(len)?;
        let mut out = self.heap.list_builder(len);
        for (index, element) in left.iter().chain(right.iter()).enumerate() {
            out.set(index, element);
        }
        Ok(out.finish())
    }

    /// Concatenates lists; a list that is the only one with elements is returned as it is.
    pub fn concat_lists(&mut self, lists: &[Value], pos: Pos, context: &str) -> Result<Value> {
        let mut handles: Vec<List> = Vec::with_capacity(lists.len());
        let mut len = 0;
        for list in lists {
            let list = self.force_list(*list, pos, context)?;
            len += list.len();
            if !list.is_empty() {
                handles.push(list);
            }
        }
        match handles.as_slice() {
            [] => Ok(self.heap.empty_list()),
            [only] => Ok(only.value()),
            _ => {
                self.check_list(len)?;
                let mut out = self.heap.list_builder(len);
                let mut index = 0;
                for list in &handles {
                    for element in list.iter() {
                        out.set(index, element);
                        index += 1;
                    }
                }
                Ok(out.finish())
            }
        }
    }

    #[inline]
    fn eval_arithmetic(&mut self, binary: &'static Binary, env: Env, how: &Arithmetic) -> Result<Value> {
        self.enter(binary.pos)?;
        let result = self.eval_arithmetic_level(binary, env, how);
        self.leave();
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(error.trace(binary.pos, format!("while calling the '{}' builtin", how.builtin))),
        }
    }

    /// An operand of an operator that is a call of a builtin to Nix: variables are its arguments as they are, and no place
    /// is told if one needs itself.
    #[inline(always)]
    fn eval_argument(&mut self, operand: &'static Expr, env: Env) -> Result<Value> {
        match operand {
            Expr::Local(slot, _) => self.force(env.frame.get(*slot), Pos::NONE),
            Expr::Captured(index, _) => self.force(env.captures.get(*index), Pos::NONE),
            _ => self.eval_leaf(operand, env),
        }
    }

    #[inline]
    fn eval_arithmetic_level(&mut self, binary: &'static Binary, env: Env, how: &Arithmetic) -> Result<Value> {
        let a = self.eval_argument(&binary.lhs, env)?;
        let b = self.eval_argument(&binary.rhs, env)?;
        if let (Some(x), Some(y)) = (a.as_small_int(), b.as_small_int())
            && how.sign != '/'
            && let Some(result) = (how.ints)(x, y)
        {
            return Ok(self.heap.int(result));
        }
        self.arithmetic(cell(&binary.lhs, env).unwrap_or(a), cell(&binary.rhs, env).unwrap_or(b), how)
    }

    #[inline(never)]
    fn arithmetic(&mut self, a: Value, b: Value, how: &Arithmetic) -> Result<Value> {
        if how.sign == '/' && self.force_float(b, Pos::NONE, how.second)? == 0.0 {
            return Err(Error::eval("division by zero"));
        }
        if a.forced().as_float().is_some() || b.forced().as_float().is_some() {
            let x = self.force_float(a, Pos::NONE, how.first_float)?;
            let y = self.force_float(b, Pos::NONE, how.second)?;
            return Ok(self.heap.float((how.floats)(x, y)));
        }
        let x = self.force_int(a, Pos::NONE, how.first)?;
        let y = self.force_int(b, Pos::NONE, how.second)?;
        match (how.ints)(x, y) {
            Some(result) => Ok(self.heap.int(result)),
            None => Err(Error::eval(format!("integer overflow in {} {x} {} {y}", how.overflow, how.sign))),
        }
    }

    fn arithmetic_of_args(&mut self, a: Value, b: Value, how: &Arithmetic) -> Result<Value> {
        self.force(a, Pos::NONE)?;
        self.force(b, Pos::NONE)?;
        self.arithmetic(a, b, how)
    }

    /// `builtins.add`
    pub fn add(&mut self, a: Value, b: Value) -> Result<Value> {
        self.arithmetic_of_args(a, b, &ADD)
    }

    /// `builtins.sub`
    pub fn sub(&mut self, a: Value, b: Value) -> Result<Value> {
        self.arithmetic_of_args(a, b, &SUB)
    }

    /// `builtins.mul`
    pub fn mul(&mut self, a: Value, b: Value) -> Result<Value> {
        self.arithmetic_of_args(a, b, &MUL)
    }

    /// `builtins.div`
    pub fn div(&mut self, a: Value, b: Value) -> Result<Value> {
        self.arithmetic_of_args(a, b, &DIV)
    }

    #[inline(never)]
    fn eval_less(&mut self, a: &'static Expr, b: &'static Expr, env: Env, pos: Pos) -> Result<Value> {
        self.enter(pos)?;
        let result = self.eval_less_level(a, b, env);
        self.leave();
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(error.trace(pos, "while calling the 'lessThan' builtin")),
        }
    }

    #[inline(always)]
    fn eval_less_level(&mut self, a: &'static Expr, b: &'static Expr, env: Env) -> Result<Value> {
        let x = self.eval_argument(a, env)?;
        let y = self.eval_argument(b, env)?;
        if let (Some(x), Some(y)) = (x.as_small_int(), y.as_small_int()) {
            return Ok(Value::bool(x < y));
        }
        if let (Some(x), Some(y)) = (x.as_str(), y.as_str()) {
            return Ok(Value::bool(x.is_before(y)));
        }
        self.less_than(cell(a, env).unwrap_or(x), cell(b, env).unwrap_or(y), Pos::NONE, "").map(Value::bool)
    }

    /// Nix's order of numbers, strings, paths and lists of these; both values must be forced. `context` is the frame
    /// of an error, unless it is empty.
    pub fn less_than(&mut self, a: Value, b: Value, pos: Pos, context: &str) -> Result<bool> {
        let result = self.less_than_level(a, b, pos, context);
        if context.is_empty() { result } else { result.map_err(|error| error.trace(Pos::NONE, context)) }
    }

    fn less_than_level(&mut self, a: Value, b: Value, pos: Pos, context: &str) -> Result<bool> {
        match (a.view(), b.view()) {
            (View::Int(x), View::Int(y)) => Ok(x < y),
            (View::Float(x), View::Float(y)) => Ok(x < y),
            (View::Float(x), View::Int(y)) => Ok(x < y as f64),
            (View::Int(x), View::Float(y)) => Ok((x as f64) < y),
            (View::Str(x), View::Str(y)) => Ok(x.is_before(y)),
            (View::Path(x), View::Path(y)) => Ok(x.as_bytes().cmp(y.as_bytes()) == Ordering::Less),
            (View::List(x), View::List(y)) => self.less_than_lists(x, y, pos, context),
            _ => Err(self.incomparable(a, b)),
        }
    }

    fn less_than_lists(&mut self, x: List, y: List, pos: Pos, context: &str) -> Result<bool> {
        self.check_stack()?;
        let mut index = 0;
        loop {
            let Some(right) = y.get(index) else { return Ok(false) };
            let Some(left) = x.get(index) else { return Ok(true) };
            if !self.equal(left, right, pos, context)? {
                return self.less_than(left, right, pos, "while comparing two list elements");
            }
            index += 1;
        }
    }

    #[cold]
    fn incomparable(&mut self, a: Value, b: Value) -> Error {
        let (type_a, type_b) = (self.show_type(a), self.show_type(b));
        let same_type = self.type_tag(a) == self.type_tag(b);
        let mut message = if same_type {
            format!("cannot compare {type_a} with {type_b}; values of that type are incomparable (values are ")
        } else {
            format!("cannot compare {type_a} with {type_b}; values are ")
        }
        .into_bytes();
        message.extend(self.show_error_value(a));
        message.extend_from_slice(b" and ");
        message.extend(self.show_error_value(b));
        if same_type {
            message.push(b')');
        }
        Error::eval(message)
    }

    /// `a + b`, or an interpolation. Numbers that are at hand need no more than is here.
    #[inline(never)]
    pub(crate) fn eval_plus(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::ConcatStrings(concat) = expr else { return misplaced() };
        if !concat.force_string
            && let [(_, a), (_, b)] = concat.parts
            && let (Some(a), Some(b)) = (number_at(a, env), number_at(b, env))
            && let Some(sum) = Value::small_int(a + b)
        {
            return Ok(sum);
        }
        self.eval_concat(concat, env)
    }

    /// The parts, put together by the type of the first.
    #[inline(never)]
    fn eval_concat(&mut self, concat: &'static ConcatStrings, env: Env) -> Result<Value> {
        let Some(((first_pos, first_expr), rest)) = concat.parts.split_first() else {
            return Ok(self.heap.string(b""));
        };
        let first = self.eval_leaf(first_expr, env)?;
        if !concat.force_string {
            if let (Some(a), [(pos, second_expr)]) = (first.as_small_int(), rest) {
                let second = self.eval_leaf(second_expr, env)?;
                if let Some(b) = second.as_small_int() {
                    return Ok(self.heap.int(a + b));
                }
                let sum = self.add_number(Number::Int(a), second, *pos)?;
                return Ok(self.number(sum));
            }
            match first.view() {
                View::Int(i) => return self.add_parts(Number::Int(i), rest, env),
                View::Float(f) => return self.add_parts(Number::Float(f), rest, env),
                View::Path(path) => {
                    let (root, bytes) = (path.root(), path.as_bytes().to_vec());
                    return self.extend_path(concat, root, bytes, rest, env);
                }
                _ => {}
            }
        }
        if let Some(a) = first.as_str()
            && rest.len() < MAX_PARTS
        {
            let mut parts = [a; MAX_PARTS];
            let mut context = a.context();
            for (index, (_, expr)) in rest.iter().enumerate() {
                let value = self.eval_leaf(expr, env)?;
                let Some(part) = value.as_str() else {
                    let known = parts[1..=index].iter().map(|part| part.value()).chain([value]);
                    return self.concat_parts(concat, *first_pos, first, rest, known, env);
                };
                context = self.contexts.union(context, part.context());
                parts[index + 1] = part;
            }
            let parts = &parts[..=rest.len()];
            self.check_room(parts.iter().map(|part| part.as_bytes().len()).sum())?;
            return Ok(self.heap.string_concat(parts, context));
        }
        self.concat_parts(concat, *first_pos, first, rest, [], env)
    }

    /// `known` are the values of the first of `rest`.
    #[inline(never)]
    fn concat_parts(
        &mut self,
        concat: &'static ConcatStrings,
        first_pos: Pos,
        first: Value,
        rest: &'static [(Pos, Expr)],
        known: impl IntoIterator<Item = Value>,
        env: Env,
    ) -> Result<Value> {
        let what = "while evaluating a path segment";
        let mut context = Context::EMPTY;
        // the parts may contain such texts, too: then these have buffers of their own
        let mut out = std::mem::take(&mut self.text);
        out.clear();
        // paths that come after something else than a string stay where they are, and `[ ] + ./x` fails on its first part
        let mode = Coerce { copy_to_store: concat.force_string || first.as_str().is_some(), ..Coerce::STRING };
        let first_mode = Coerce { canonicalise: concat.force_string, ..mode };
        self.append_part(first, first_pos, &mut context, what, first_mode, &mut out)?;
        let mut known = known.into_iter();
        for (pos, expr) in rest {
            let value = match known.next() {
                Some(value) => value,
                None => self.eval(expr, env)?,
            };
            self.append_part(value, *pos, &mut context, what, mode, &mut out)?;
        }
        let text = self.heap.string_with(&out, context);
        if out.capacity() > self.text.capacity() && out.capacity() <= MAX_BUFFER {
            self.text = out;
        }
        Ok(text)
    }

    #[inline]
    fn append_part(
        &mut self,
        value: Value,
        pos: Pos,
        context: &mut Context,
        what: &str,
        mode: Coerce,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if let Some(s) = value.as_str() {
            *context = self.contexts.union(*context, s.context());
            self.check_text(out.len() + s.as_bytes().len())?;
            out.extend_from_slice(s.as_bytes());
            return Ok(());
        }
        self.coerce_into(value, pos, context, what, mode, out)
    }

    fn extend_path(
        &mut self,
        concat: &'static ConcatStrings,
        root: Root,
        mut path: Vec<u8>,
        rest: &'static [(Pos, Expr)],
        env: Env,
    ) -> Result<Value> {
        let mut context = Context::EMPTY;
        for (pos, expr) in rest {
            let value = self.eval(expr, env)?;
            let what = "while evaluating a path segment";
            self.append_part(value, *pos, &mut context, what, Coerce::NO_COPY, &mut path)?;
        }
        if !context.is_empty() {
            let message = "a string that refers to a store path cannot be appended to a path";
            return Err(Error::eval(message).at(concat.pos));
        }
        let path = crate::pure::path::canonical(&path);
        Ok(self.heap.path(root, &path))
    }

    fn add_parts(&mut self, first: Number, rest: &'static [(Pos, Expr)], env: Env) -> Result<Value> {
        let mut sum = first;
        for (pos, expr) in rest {
            let value = self.eval_leaf(expr, env)?;
            sum = self.add_number(sum, value, *pos)?;
        }
        Ok(self.number(sum))
    }

    fn add_number(&mut self, sum: Number, value: Value, pos: Pos) -> Result<Number> {
        Ok(match (sum, value.view()) {
            (Number::Int(a), View::Int(b)) => match a.checked_add(b) {
                Some(sum) => Number::Int(sum),
                None => return Err(Error::eval(format!("integer overflow in adding {a} + {b}")).at(pos)),
            },
            (Number::Int(a), View::Float(b)) => Number::Float(a as f64 + b),
            (Number::Float(a), View::Int(b)) => Number::Float(a + b as f64),
            (Number::Float(a), View::Float(b)) => Number::Float(a + b),
            (Number::Int(_), _) => {
                return Err(Error::eval(format!("cannot add {} to an integer", self.show_type(value))).at(pos));
            }
            (Number::Float(_), _) => {
                return Err(Error::eval(format!("cannot add {} to a float", self.show_type(value))).at(pos));
            }
        })
    }

    fn number(&mut self, number: Number) -> Value {
        match number {
            Number::Int(i) => self.heap.int(i),
            Number::Float(f) => self.heap.float(f),
        }
    }
}

/// The negation of a comparison.
#[inline(always)]
fn not(result: Result<Value>, pos: Pos) -> Result<Value> {
    match result {
        Ok(value) => Ok(Value::bool(value == Value::FALSE)),
        Err(error) => Err(error.trace(pos, "in the argument of the not operator")),
    }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

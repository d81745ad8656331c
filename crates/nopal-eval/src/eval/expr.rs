//! Evaluation of code.

use nopal_syntax::Symbol;
use nopal_syntax::interner::sym;

use crate::builtin::BuiltinDef;
use crate::code::ir::{
    Assert, AttrsLit, Binary, Call, Delayed, DynamicAttr, Expr, Function, Group, Lambda, Name, Op, Overrides, Rare,
    Ref, Select,
};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::eval::call::{fill_delayed, restore_arguments};
use crate::eval::equal::equals_constant;
use crate::pos::{Origin, Pos};
use crate::value::attrs::Found;
use crate::value::stack::{Captures, Frame, variable};
use crate::value::word::Kind;
use crate::value::{Attrs, AttrsBuilder, Closure, Value};

/// Where the variables of running code are.
#[derive(Clone, Copy)]
pub(crate) struct Env {
    pub(crate) frame: Frame,
    pub(crate) captures: Captures,
}

impl Env {
    #[inline(always)]
    pub(crate) fn get(self, var: Ref) -> Value {
        variable(self.frame, self.captures, var)
    }
}

const BRANCH_CONDITION: &str = "while evaluating a branch condition";

/// Calls of what is not a curried function with at most this many arguments need no vector.
const INLINE_ARGS: usize = 4;

/// The attribute that a step of a path names.
#[inline(always)]
fn lookup(attrs: Attrs, name: Symbol, step: &'static Name) -> Option<Found> {
    match step {
        Name::Static(_, cache) => attrs.find_cached(name, cache),
        Name::Dynamic(..) => attrs.find(name),
    }
}

/// A function for one kind of node has got one of another kind.
///
/// That this is an error in any case is hidden from the compiler: where it knows, it puts that together with what other
/// functions return, and leaves none of them by a jump any more.
#[cold]
#[inline(never)]
pub(super) fn misplaced() -> Result<Value> {
    std::hint::black_box(Err(Error::eval("code of another kind was expected")))
}

/// The position of what was found.
fn pos_of(found: Option<Found>) -> Pos {
    found.map_or(Pos::NONE, Found::pos)
}

/// The cell of a variable: what it holds is shown as this in messages.
#[cold]
pub(super) fn cell(expr: &Expr, env: Env) -> Option<Value> {
    match expr {
        Expr::Local(slot, _) => Some(env.frame.get(*slot)),
        Expr::Captured(index, _) => Some(env.captures.get(*index)),
        Expr::Rare(Rare::Cell(var, _)) => Some(env.get(*var).in_cell()),
        Expr::Rare(Rare::Given(value, _)) => Some(*value),
        _ => None,
    }
}

impl Evaluator {
    /// Evaluates code to weak head normal form. Every kind of node has a function of its own: none pays for registers that
    /// another one needs. It is found in a table, here and wherever else something is evaluated, so that the processor
    /// learns for each place what comes next.
    #[inline(always)]
    pub(crate) fn eval(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let run: fn(&mut Evaluator, &'static Expr, Env) -> Result<Value> = match expr {
            Expr::Const(_) => Evaluator::eval_const,
            Expr::Local(..) => Evaluator::eval_local,
            Expr::Captured(..) => Evaluator::eval_captured,
            Expr::Select(_) => Evaluator::eval_select,
            Expr::HasAttr(_) => Evaluator::eval_has_attr,
            Expr::Call(_) => Evaluator::eval_call,
            Expr::Lambda(_) => Evaluator::eval_lambda,
            Expr::Let(_) => Evaluator::eval_let,
            Expr::With(_) => Evaluator::eval_with,
            Expr::WithVar(_) => Evaluator::eval_with_var,
            Expr::If(_) => Evaluator::eval_if,
            Expr::Switch(_) => Evaluator::eval_switch,
            Expr::Assert(_) => Evaluator::eval_assert,
            Expr::Not(_) => Evaluator::eval_not,
            Expr::Equal(_) => Evaluator::eval_equal,
            Expr::Binary(_) => Evaluator::eval_binary,
            Expr::ConcatStrings(_) => Evaluator::eval_plus,
            Expr::List(_) => Evaluator::eval_list,
            Expr::Attrs(_) => Evaluator::eval_attrs_literal,
            Expr::Rare(_) => Evaluator::eval_rare,
        };
        run(self, expr, env)
    }

    fn eval_const(&mut self, expr: &'static Expr, _env: Env) -> Result<Value> {
        let Expr::Const(value) = expr else { return misplaced() };
        self.force(*value, Pos::NONE)
    }

    fn eval_local(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Local(slot, pos) = expr else { return misplaced() };
        self.force(env.frame.get(*slot), *pos)
    }

    fn eval_captured(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Captured(index, pos) = expr else { return misplaced() };
        self.force(env.captures.get(*index), *pos)
    }

    /// As [`Evaluator::eval`], without a call where a variable has its value already.
    #[inline(always)]
    pub(crate) fn eval_leaf(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        match expr {
            Expr::Local(slot, pos) => self.force(env.frame.get(*slot), *pos),
            Expr::Captured(index, pos) => self.force(env.captures.get(*index), *pos),
            Expr::Const(value) => self.force(*value, Pos::NONE),
            _ => self.eval(expr, env),
        }
    }

    #[inline(never)]
    fn eval_lambda(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Lambda(lambda) = expr else { return misplaced() };
        let value = self.heap.closure(lambda, lambda.captures.len());
        for (index, from) in lambda.captures.iter().enumerate() {
            value.set_captured(index, env.get(*from));
        }
        Ok(value)
    }

    #[inline(never)]
    fn eval_let(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Let(binding) = expr else { return misplaced() };
        self.fill_group(&binding.group, env);
        self.eval(&binding.body, env)
    }

    #[inline(never)]
    fn eval_with(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::With(with) = expr else { return misplaced() };
        let set = self.delay(&with.set, env);
        env.frame.set(with.slot, set);
        self.eval(&with.body, env)
    }

    #[inline(never)]
    fn eval_if(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::If(branch) = expr else { return misplaced() };
        let mut branch = branch;
        loop {
            let cond = self.eval_bool(&branch.cond, env, branch.pos, BRANCH_CONDITION)?;
            match if cond { &branch.yes } else { &branch.no } {
                // a long chain takes no more stack than a short one
                Expr::If(next) => branch = next,
                chosen => return self.eval(chosen, env),
            }
        }
    }

    #[inline(never)]
    fn eval_assert(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Assert(assert) = expr else { return misplaced() };
        match self.eval_bool(&assert.cond, env, assert.pos, "in the condition of the assert statement") {
            Ok(true) => self.eval(&assert.body, env),
            Ok(false) => Err(self.assertion_failed(assert, env)),
            Err(error) => Err(error),
        }
    }

    #[inline(never)]
    fn eval_not(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Not(operand) = expr else { return misplaced() };
        let operand = self.eval_bool(operand, env, operand.pos(), "in the argument of the not operator")?;
        Ok(Value::bool(!operand))
    }

    #[inline(never)]
    fn eval_list(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::List(elements) = expr else { return misplaced() };
        let list = self.heap.list_to_fill(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let value = self.delay(element, env);
            list.set_element(index, value);
        }
        Ok(list)
    }

    /// Fills slots. Where values may refer to later ones: first all objects, then what they capture.
    #[inline(never)]
    fn fill_group(&mut self, group: &'static Group, env: Env) {
        if !group.is_circular {
            for (slot, delayed) in group.bindings {
                let value = self.delay(delayed, env);
                env.frame.set(*slot, value);
            }
            return;
        }
        for (slot, delayed) in group.bindings {
            let value = self.allocate_delayed(delayed, env);
            env.frame.set(*slot, value);
        }
        for (slot, delayed) in group.bindings {
            fill_delayed(delayed, env.frame.get(*slot), env);
        }
    }

    #[inline(always)]
    pub(crate) fn eval_bool(&mut self, expr: &'static Expr, env: Env, pos: Pos, context: &str) -> Result<bool> {
        let result = match expr {
            Expr::Equal(_) => self.eval_equal(expr, env),
            _ => self.eval_leaf(expr, env),
        };
        match result {
            Ok(Value::TRUE) => Ok(true),
            Ok(Value::FALSE) => Ok(false),
            other => Err(self.not_a_bool(other, pos, context)),
        }
    }

    #[cold]
    #[inline(never)]
    fn not_a_bool(&mut self, result: Result<Value>, pos: Pos, context: &str) -> Error {
        let error = match result {
            Ok(value) => self.type_mismatch(value, "a Boolean").at(pos),
            Err(error) => error,
        };
        error.trace(pos, context)
    }

    /// `a == b` and `a != b`
    #[inline(never)]
    pub(super) fn eval_equal(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Equal(binary) = expr else { return misplaced() };
        let a = match &binary.lhs {
            lhs @ Expr::Select(_) => self.eval_select(lhs, env)?,
            lhs => self.eval_leaf(lhs, env)?,
        };
        if let Expr::Const(b) = &binary.rhs
            && let Some(equal) = equals_constant(a, *b, binary.comparand)
            && self.may_enter()
        {
            return Ok(Value::bool(equal == (binary.op == Op::Eq)));
        }
        self.eval_equal_to(a, binary, env)
    }

    /// The same, where the first operand is evaluated.
    #[inline(never)]
    fn eval_equal_to(&mut self, a: Value, binary: &'static Binary, env: Env) -> Result<Value> {
        let b = self.eval_leaf(&binary.rhs, env)?;
        match (self.equal_operands(a, b, binary.pos), binary.op) {
            (Ok(equal), Op::Neq) => Ok(Value::bool(equal == Value::FALSE)),
            (result, _) => result,
        }
    }

    #[inline(never)]
    fn eval_switch(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Switch(switch) = expr else { return misplaced() };
        let subject = match self.eval_leaf(&switch.subject, env) {
            Ok(value) => value,
            Err(error) => return Err(error.trace(switch.pos, BRANCH_CONDITION)),
        };
        let chosen = match subject.as_str() {
            Some(subject) if self.may_enter() => switch.choose(subject),
            _ => &switch.branches,
        };
        self.eval(chosen, env)
    }

    #[inline(never)]
    fn eval_call(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Call(call) = expr else { return misplaced() };
        let function = match &call.function {
            Expr::Const(value) => *value,
            Expr::Local(slot, _) => env.frame.get(*slot),
            Expr::Captured(index, _) => env.captures.get(*index),
            _ => return self.eval_function_and_call(call, env),
        };
        match function.at_hand() {
            Some(function) => self.call_with(function, call, env),
            None => self.eval_function_and_call(call, env),
        }
    }

    #[inline(never)]
    fn eval_function_and_call(&mut self, call: &'static Call, env: Env) -> Result<Value> {
        let function = self.eval_leaf(&call.function, env)?;
        self.call_with(function, call, env)
    }

    /// Evaluates a call of this function.
    #[inline(always)]
    fn call_with(&mut self, function: Value, call: &'static Call, env: Env) -> Result<Value> {
        match (function.as_closure(), call.args) {
            (Some(closure), [arg]) => self.call_closure(closure, call, arg, env),
            (Some(closure), _) => self.call_closure_with_all(closure, call, env),
            (None, _) => self.call_other(function, call, env),
        }
    }

    #[inline(never)]
    fn call_closure(
        &mut self,
        closure: Closure,
        call: &'static Call,
        arg: &'static Delayed,
        env: Env,
    ) -> Result<Value> {
        let lambda = closure.lambda();
        let code = self.function(lambda)?;
        self.enter(call.pos)?;
        let arg = match code.strict.of(1) {
            0 => self.argument_now(arg, lambda.arg.is_some(), env),
            _ => self.delay(arg, env),
        };
        let result = self.call_function(closure, code, arg, call.pos);
        self.leave();
        result
    }

    /// A call of a function with several arguments: if they are all it takes, they go to their slots at once.
    #[inline(never)]
    fn call_closure_with_all(&mut self, closure: Closure, call: &'static Call, env: Env) -> Result<Value> {
        let code = self.function(closure.lambda())?;
        let (Some(last), Some((last_arg, earlier))) = (code.last, call.args.split_last()) else {
            return self.call_other(closure.value(), call, env);
        };
        let count = call.args.len();
        if code.curried as usize != count {
            return self.call_other(closure.value(), call, env);
        }
        let strict = code.strict.of(count);
        if strict < count && count <= INLINE_ARGS {
            return self.call_closure_with_strict(closure, strict, call, env);
        }
        self.check_stack()?;
        let function = self.function(last)?;
        let height = self.heap.stack.height();
        let Some(frame) = self.heap.stack.push(function.slots) else { return Err(self.stack_overflow()) };
        let inner = Env { frame, captures: closure.value().captures() };
        let slot = restore_arguments(closure.lambda(), function, earlier.len(), inner);
        for (slot, arg) in (slot..).zip(earlier) {
            frame.set(slot, self.delay(arg, env));
        }
        frame.set(0, self.delay(last_arg, env));
        let result = self.run_with_all(last, function, inner, call.pos);
        self.heap.stack.reset(height);
        result
    }

    #[inline(always)]
    fn run_with_all(
        &mut self,
        last: &'static Lambda,
        function: &'static Function,
        env: Env,
        pos: Pos,
    ) -> Result<Value> {
        self.enter(pos)?;
        let result = self.run_function(last, function, env, env.frame.get(0), pos);
        self.leave();
        result
    }

    /// A call of a curried function with all its arguments, one of which is evaluated first.
    #[inline(never)]
    fn call_closure_with_strict(
        &mut self,
        closure: Closure,
        strict: usize,
        call: &'static Call,
        env: Env,
    ) -> Result<Value> {
        self.enter(call.pos)?;
        let mut args = [Value::NULL; INLINE_ARGS];
        self.gather(&mut args, call, strict, env);
        let result = self.call_curried(closure, &args[..call.args.len()], call.pos);
        self.leave();
        result
    }

    /// A call of something else.
    #[inline(never)]
    fn call_other(&mut self, function: Value, call: &'static Call, env: Env) -> Result<Value> {
        if call.args.len() > INLINE_ARGS {
            return self.call_with_many(function, call, env);
        }
        if function.kind() == Some(Kind::Builtin)
            && let def = function.builtin()
            && def.arity() == call.args.len()
        {
            return self.call_builtin_with_all(def, call, env);
        }
        let mut args = [Value::NULL; INLINE_ARGS];
        for (slot, arg) in args.iter_mut().zip(call.args) {
            *slot = self.delay(arg, env);
        }
        self.call(function, &args[..call.args.len()], call.pos)
    }

    #[cold]
    #[inline(never)]
    fn call_with_many(&mut self, function: Value, call: &'static Call, env: Env) -> Result<Value> {
        let mut args = crate::value::ValueVec::with_capacity(call.args.len());
        for arg in call.args {
            args.push(self.delay(arg, env));
        }
        self.call(function, &args, call.pos)
    }

    /// A call of a builtin with all its arguments.
    #[inline(never)]
    fn call_builtin_with_all(&mut self, def: &'static BuiltinDef, call: &'static Call, env: Env) -> Result<Value> {
        self.enter(call.pos)?;
        let mut args = [Value::NULL; INLINE_ARGS];
        self.gather(&mut args, call, def.strict_of(call.args.len()), env);
        let result = self.call_builtin(def, &args[..call.args.len()], call.pos);
        self.leave();
        result
    }

    /// Gathers the arguments of a call that has few, of which the one with this index is evaluated at once.
    #[inline(always)]
    fn gather(&mut self, args: &mut [Value; INLINE_ARGS], call: &'static Call, strict: usize, env: Env) {
        for (index, (slot, arg)) in args.iter_mut().zip(call.args).enumerate() {
            *slot = if index == strict { self.argument_now(arg, true, env) } else { self.delay(arg, env) };
        }
    }

    /// The name of a step of an attribute path.
    #[inline(always)]
    fn eval_name(&mut self, name: &'static Name, env: Env) -> Result<Symbol> {
        match name {
            Name::Static(symbol, _) => Ok(*symbol),
            Name::Dynamic(expr, _) => self.eval_dynamic_name(expr, env),
        }
    }

    #[inline(never)]
    fn eval_dynamic_name(&mut self, expr: &'static Expr, env: Env) -> Result<Symbol> {
        let value = self.eval(expr, env)?;
        let string = self.force_string_no_ctx(value, expr.pos(), "while evaluating an attribute name")?;
        Ok(self.symbol_of(string))
    }

    /// An attribute that is found where the look-up before says takes no more than a few instructions.
    #[inline(never)]
    fn eval_select(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Select(select) = expr else { return misplaced() };
        let base = match &select.base {
            Expr::Local(slot, _) => env.frame.get(*slot),
            Expr::Captured(index, _) => env.captures.get(*index),
            _ => return self.eval_select_from(select, env),
        };
        if let [Name::Static(name, cache)] = select.path
            && let Some((attrs, shape)) = base.flat_attrs_at_hand()
            && let Some(found) = attrs.find_where(shape, *name, cache)
        {
            return self.found(found, select, env);
        }
        match base.at_hand() {
            Some(base) => self.select_elsewhere(select, base, env),
            None => self.eval_select_from(select, env),
        }
    }

    #[inline(never)]
    fn eval_select_from(&mut self, select: &'static Select, env: Env) -> Result<Value> {
        let base = self.eval_leaf(&select.base, env)?;
        if let [Name::Static(name, cache)] = select.path
            && let Some((attrs, shape)) = base.flat_attrs_at_hand()
            && let Some(found) = attrs.find_where(shape, *name, cache)
        {
            return self.found(found, select, env);
        }
        self.select_elsewhere(select, base, env)
    }

    /// What is not where the look-up before says, or farther away.
    #[inline(never)]
    fn select_elsewhere(&mut self, select: &'static Select, base: Value, env: Env) -> Result<Value> {
        if let ([Name::Static(name, cache)], Some(attrs)) = (select.path, base.as_attrs()) {
            match (attrs.find_cached(*name, cache), &select.default) {
                (Some(found), _) => return self.found(found, select, env),
                (None, Some(default)) => return self.eval(default, env),
                (None, None) => {}
            }
        }
        self.select_along(select, base, env)
    }

    /// The value of the attribute that was selected.
    #[inline(always)]
    fn found(&mut self, found: Found, select: &'static Select, env: Env) -> Result<Value> {
        match found.value().at_hand() {
            Some(value) => Ok(value),
            None => self.force_found(found, select, env),
        }
    }

    #[inline(never)]
    fn force_found(&mut self, found: Found, select: &'static Select, env: Env) -> Result<Value> {
        // only who describes a failure reads them: they need no registers
        let selected = (found, select, env);
        match self.force_here(found.value(), || found.pos().or(select.pos)) {
            Ok(value) => Ok(value),
            Err(error) => Err(self.selected_frame(error, &selected)),
        }
    }

    #[cold]
    #[inline(never)]
    fn selected_frame(&mut self, error: Error, selected: &(Found, &'static Select, Env)) -> Error {
        let (found, select, env) = selected;
        self.select_frame(error, select, *env, found.pos())
    }

    /// Goes along a path from an evaluated value.
    #[inline(never)]
    pub(super) fn select_along(&mut self, select: &'static Select, base: Value, env: Env) -> Result<Value> {
        let (mut value, mut last) = (base, None);
        for step in select.path {
            let found = match step {
                Name::Static(name, cache) if !self.is_observed() => {
                    value.flat_attrs_at_hand().and_then(|(attrs, shape)| attrs.find_where(shape, *name, cache))
                }
                _ => None,
            };
            let found = match found {
                Some(found) => found,
                None => match self.select_step(select, step, value, env) {
                    Ok(Some(found)) => found,
                    Ok(None) => return self.select_default(select, last, env),
                    Err(error) => return Err(self.select_frame(error, select, env, pos_of(last))),
                },
            };
            last = Some(found);
            value = found.value();
        }
        match last {
            Some(found) => self.found(found, select, env),
            None => Ok(value),
        }
    }

    /// Where a step leads to; nowhere if the default is to be used.
    #[inline(never)]
    fn select_step(
        &mut self,
        select: &'static Select,
        step: &'static Name,
        value: Value,
        env: Env,
    ) -> Result<Option<Found>> {
        if self.is_observed() {
            self.looked_up();
        }
        let name = self.eval_name(step, env)?;
        let missing = match self.force(value, select.pos)?.as_attrs() {
            Some(attrs) => match lookup(attrs, name, step) {
                Some(found) => return Ok(Some(found)),
                None => Some(attrs),
            },
            None => None,
        };
        match (&select.default, missing) {
            (Some(_), _) => Ok(None),
            (None, Some(attrs)) => Err(self.missing_attribute(attrs, name).at(select.pos)),
            (None, None) => Err(self.type_mismatch(value, "a set").trace(select.pos, "while selecting an attribute")),
        }
    }

    #[inline(never)]
    fn select_default(&mut self, select: &'static Select, last: Option<Found>, env: Env) -> Result<Value> {
        let Some(default) = &select.default else { return Err(Error::eval("attribute missing").at(select.pos)) };
        // Nix says of the default, too, that it is the attribute
        self.eval(default, env).map_err(|error| self.select_frame(error, select, env, pos_of(last)))
    }

    #[cold]
    #[inline(never)]
    fn eval_rare(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Rare(rare) = expr else { return misplaced() };
        match rare {
            Rare::CurPos(pos) => Ok(self.pos_value(*pos)),
            Rare::Cell(var, pos) => self.force(env.get(*var).in_cell(), *pos),
            Rare::Given(value, pos) => self.force(*value, *pos),
            Rare::Placed(expr, _) => self.eval(expr, env),
            Rare::Raised => Err(self.raised(env)),
            Rare::Observed(observed) => self.eval_observed(observed, env),
        }
    }

    /// The value that the last step of a selection is taken from, and that step.
    #[cold]
    pub(super) fn select_without_last(&mut self, select: &'static Select, env: Env) -> Result<(Value, Symbol)> {
        let Some((last, path)) = select.path.split_last() else { return Ok((Value::NULL, sym::WITH)) };
        let last = self.eval_name(last, env)?;
        let mut value = self.eval(&select.base, env)?;
        for name in path {
            let name = self.eval_name(name, env)?;
            let attrs = self.force_attrs(value, select.pos, "while selecting an attribute")?;
            let Some(found) = attrs.get(name) else { return Err(self.missing_attribute(attrs, name).at(select.pos)) };
            value = found;
        }
        Ok((value, last))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn missing_attribute(&mut self, attrs: Attrs, name: Symbol) -> Error {
        let message = format!("attribute '{}' missing", self.shown(name));
        Error::eval(message).suggest(self.suggestions(attrs.iter().map(|(name, ..)| name), name))
    }

    #[cold]
    #[inline(never)]
    fn select_frame(&mut self, error: Error, select: &'static Select, env: Env, pos: Pos) -> Error {
        if pos.is_none() || self.is_derivation_internal(pos) {
            return error;
        }
        let mut path = b"while evaluating the attribute '".to_vec();
        for (index, name) in select.path.iter().enumerate() {
            if index > 0 {
                path.push(b'.');
            }
            match (self.eval_name(name, env), name) {
                (Ok(symbol), _) => path.extend_from_slice(self.shown(symbol).as_bytes()),
                (Err(_), Name::Dynamic(_, text)) => path.extend([b"\"${", &**text, b"}\""].concat()),
                (Err(_), Name::Static(..)) => {}
            }
        }
        path.push(b'\'');
        error.trace(pos, path)
    }

    /// Does this position lie in the Nix text of `derivation`? Nix hides frames from there.
    fn is_derivation_internal(&self, pos: Pos) -> bool {
        match self.positions.origin(pos) {
            Some(Origin::File { path, root }) => {
                *root == crate::value::Root::INTERNAL && path == crate::derivation::INTERNAL_PATH
            }
            _ => false,
        }
    }

    #[inline(never)]
    fn eval_has_attr(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::HasAttr(has) = expr else { return misplaced() };
        let mut current = self.eval_leaf(&has.base, env)?;
        for step in has.path {
            current = self.force(current, has.pos)?;
            let name = self.eval_name(step, env)?;
            match current.as_attrs().and_then(|attrs| lookup(attrs, name, step)) {
                Some(found) => current = found.value(),
                None => return Ok(Value::FALSE),
            }
        }
        Ok(Value::TRUE)
    }

    #[inline(never)]
    fn eval_with_var(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::WithVar(var) = expr else { return misplaced() };
        for scope in var.scopes {
            let context = "while evaluating the first subexpression of a with expression";
            let attrs = self.force_attrs(env.get(scope.set), scope.pos, context)?;
            if let Some(found) = attrs.find_cached(var.name, &scope.cache) {
                return self.force(found.value(), var.pos);
            }
        }
        let message = format!("undefined variable '{}'", self.shown(var.name));
        Err(Error::new(ErrorKind::Undefined, message).at(var.pos))
    }

    #[cold]
    #[inline(never)]
    fn assertion_failed(&mut self, assert: &'static Assert, env: Env) -> Error {
        let text = self.assert_text(assert);
        if let Some((lhs, rhs)) = &assert.equality {
            let outcome = self.eval(lhs, env).and_then(|a| {
                let b = self.eval(rhs, env)?;
                self.assert_equal(a, b, "in an equality assertion", false)
            });
            if let Err(error) = outcome {
                if matches!(error.kind(), ErrorKind::Assertion | ErrorKind::Throw) {
                    let mut message = b"while evaluating the condition of the assertion '".to_vec();
                    message.extend_from_slice(&text);
                    message.push(b'\'');
                    return error.trace(assert.pos, message);
                }
                return error;
            }
        }
        let mut message = b"assertion '".to_vec();
        message.extend_from_slice(&text);
        message.extend_from_slice(b"' failed");
        Error::new(ErrorKind::Assertion, message).at(assert.pos)
    }

    /// The condition as Nix prints expressions: parsed again from its text.
    #[cold]
    fn assert_text(&mut self, assert: &'static Assert) -> Vec<u8> {
        let (begin, len) = assert.text;
        let Some(source) = self.positions.source(begin) else { return Vec::new() };
        let offset = source.offset(begin) as usize;
        let dir = match &source.origin {
            Origin::File { path, .. } => crate::pure::path::parent(path).to_vec(),
            Origin::Text | Origin::Stdin => b"/".to_vec(),
        };
        let whole = source.text.clone();
        let Some(text) = whole.get(offset..offset + len as usize) else { return Vec::new() };
        self.reprint(text, &dir).unwrap_or_else(|| text.to_vec())
    }

    #[inline(never)]
    fn eval_attrs_literal(&mut self, expr: &'static Expr, env: Env) -> Result<Value> {
        let Expr::Attrs(literal) = expr else { return misplaced() };
        if !literal.group.bindings.is_empty() {
            self.fill_group(&literal.group, env);
        }
        let set = self.heap.attrs_to_fill(literal.shape);
        for (index, delayed) in literal.values.iter().enumerate() {
            let value = self.delay(delayed, env);
            set.set_attr(index, value);
        }
        if literal.overrides.is_none() && literal.dynamic.is_empty() {
            return Ok(set);
        }
        self.finish_attrs_literal(literal, set, env)
    }

    fn finish_attrs_literal(&mut self, literal: &'static AttrsLit, set: Value, env: Env) -> Result<Value> {
        let mut set = set;
        if let Some(overrides) = &literal.overrides {
            set = self.apply_overrides(literal, overrides, set, env)?;
        }
        if literal.dynamic.is_empty() {
            return Ok(set);
        }
        let Some(attrs) = set.as_attrs() else { return Ok(set) };
        if let ([dynamic], true, false) = (literal.dynamic, attrs.is_empty(), self.is_observed()) {
            return Ok(match self.dynamic_name(dynamic, env)? {
                Some(name) => {
                    let value = self.dynamic_value(dynamic, name, env);
                    self.heap.single_attr(name, value, dynamic.pos)
                }
                None => set,
            });
        }
        // most are often left out
        let mut named = AttrsBuilder::with_capacity(0);
        for dynamic in literal.dynamic {
            if let Some(name) = self.dynamic_name(dynamic, env)? {
                if let Some(before) = attrs.find(name).map(|found| found.pos()).or_else(|| named.position_of(name)) {
                    let place = self.show_pos(before);
                    let message = format!("dynamic attribute '{}' already defined at {place}", self.shown(name));
                    return Err(Error::eval(message).at(dynamic.pos));
                }
                if self.is_observed() {
                    self.observe_delayed(&dynamic.value);
                }
                let value = self.dynamic_value(dynamic, name, env);
                named.insert(name, value, dynamic.pos);
            }
        }
        let named = named.finish(&mut self.heap).as_attrs();
        Ok(named.map_or(set, |named| self.heap.union(attrs, named)))
    }

    /// The value of a dynamic attribute; if it is a function, that is called as the attribute.
    fn dynamic_value(&mut self, dynamic: &'static DynamicAttr, name: Symbol, env: Env) -> Value {
        if let Delayed::Lambda(lambda) = &dynamic.value {
            // those inside have names when it is compiled; what fails there, fails when it is called
            let _ = self.function(lambda);
            lambda.bind(name);
        }
        self.delay(&dynamic.value, env)
    }

    /// The name of a dynamic attribute; `None` when it is null and the attribute is left out.
    fn dynamic_name(&mut self, dynamic: &'static DynamicAttr, env: Env) -> Result<Option<Symbol>> {
        let value = self.eval(&dynamic.name, env)?;
        if value == Value::NULL {
            return Ok(None);
        }
        let context = "while evaluating the name of a dynamic attribute";
        let name = self.force_string_no_ctx(value, dynamic.pos, context)?;
        Ok(Some(self.symbol_of(name)))
    }

    fn apply_overrides(
        &mut self,
        literal: &'static AttrsLit,
        overrides: &'static Overrides,
        set: Value,
        env: Env,
    ) -> Result<Value> {
        let Some(attrs) = set.as_attrs() else { return Ok(set) };
        let value = attrs.flat_value(overrides.index);
        let pos = self.determine_pos(value);
        // another thread must not see an attribute before or after it is overridden if this one would not
        let over = self.alone(|ev| ev.force_attrs(value, pos, "while evaluating the `__overrides` attribute"))?;
        for (key, slot) in literal.shape.keys().iter().zip(overrides.cells) {
            if let Some(value) = over.get(*key) {
                self.heap.set_cell(env.frame.get(*slot), value);
            }
        }
        Ok(self.heap.update(attrs, over))
    }
}

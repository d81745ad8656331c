//! Calls: functions written in Nix, builtins, partial applications, functors.

use nopal_syntax::Symbol;
use nopal_syntax::interner::sym;

use crate::builtin::BuiltinDef;
use crate::code::compile::MAX_CHEAP_DEPTH;
use crate::code::ir::{Delayed, Expr, Formals, Function, Lambda, Name, Op, Ref, ThunkCode};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::eval::expr::Env;
use crate::eval::ops::number_at;
use crate::pos::Pos;
use crate::value::word::Kind;
use crate::value::{Attrs, AttrsBuilder, Closure, PartialApp, Value, View};

/// More arguments than any builtin takes.
pub(super) const MAX_ARITY: usize = 8;

/// Stores values in the first places of an array, which has enough, and returns these.
#[inline(always)]
pub(super) fn fill(array: &mut [Value], values: impl Iterator<Item = Value>) -> &[Value] {
    let mut len = 0;
    for value in values {
        array[len] = value;
        len += 1;
    }
    &array[..len]
}

impl Evaluator {
    /// Calls a function with arguments (evaluated or not) and returns the value in weak head normal form.
    pub fn call(&mut self, function: Value, args: &[Value], pos: Pos) -> Result<Value> {
        self.enter(pos)?;
        let result = match self.is_observed() {
            false => self.call_level(function, args, pos),
            true => self.call_observed(function, args, pos),
        };
        self.leave();
        result
    }

    /// [`Evaluator::call`] with one argument.
    #[inline(never)]
    pub(crate) fn call_one(&mut self, function: Value, arg: Value, pos: Pos) -> Result<Value> {
        self.call_one_here(function, arg, pos)
    }

    /// The same, in the frame of the caller. Mostly the function is one written in Nix.
    #[inline(always)]
    pub(super) fn call_one_here(&mut self, function: Value, arg: Value, pos: Pos) -> Result<Value> {
        if let Some(closure) = function.as_closure()
            && let Some(function) = closure.lambda().function.get()
            && function.curried == 1
            && !self.is_observed()
        {
            self.enter(pos)?;
            let result = self.call_function(closure, function, arg, pos);
            self.leave();
            return result;
        }
        self.call(function, &[arg], pos)
    }

    #[inline(never)]
    pub(super) fn call_level(&mut self, function: Value, args: &[Value], pos: Pos) -> Result<Value> {
        let mut current = self.force(function, pos)?;
        let mut args = args;
        while let Some((first, rest)) = args.split_first() {
            if let Some(closure) = current.as_closure() {
                let function = self.function(closure.lambda())?;
                let count = args.len().min(function.curried as usize);
                if count == 1 {
                    current = self.call_function(closure, function, *first, pos)?;
                    args = rest;
                } else {
                    current = self.call_curried(closure, &args[..count], pos)?;
                    args = &args[count..];
                }
                continue;
            }
            if current.kind() == Some(Kind::Builtin)
                && let def = current.builtin()
                && args.len() == def.arity()
            {
                return self.call_builtin(def, args, pos);
            }
            match current.view() {
                View::Builtin(def) => {
                    let arity = def.arity();
                    if args.len() < arity {
                        return Ok(self.heap.partial_app(def, args));
                    }
                    current = self.call_builtin(def, &args[..arity], pos)?;
                    args = &args[arity..];
                }
                View::PartialApp(partial) => {
                    let missing = partial.builtin().arity() - partial.args().len();
                    if args.len() < missing {
                        let mut all = [Value::NULL; MAX_ARITY];
                        let all = fill(&mut all, partial.args().chain(args.iter().copied()));
                        return Ok(self.heap.partial_app(partial.builtin(), all));
                    }
                    current = self.call_partial(partial, &args[..missing], pos)?;
                    args = &args[missing..];
                }
                View::Attrs(attrs) if attrs.contains(sym::FUNCTOR) => {
                    current = self.call_functor(current, attrs, *first, pos)?;
                    args = rest;
                }
                _ => return Err(self.not_a_function(current).at(pos)),
            }
        }
        Ok(current)
    }

    #[cold]
    fn not_a_function(&mut self, value: Value) -> Error {
        let found = self.show_type(value);
        let mut message = format!("attempt to call something which is not a function but {found}: ").into_bytes();
        message.extend(self.show_error_value(value));
        Error::type_error(message)
    }

    fn call_functor(&mut self, set: Value, attrs: Attrs, arg: Value, pos: Pos) -> Result<Value> {
        let Some((functor, functor_pos)) = attrs.get_with_pos(sym::FUNCTOR) else { return Ok(set) };
        self.check_stack()?;
        self.call(functor, &[set, arg], functor_pos).map_err(|error| {
            error.trace(pos, "while calling a functor (an attribute set with a '__functor' attribute)")
        })
    }

    /// Calls a builtin with exactly its arguments.
    #[inline]
    pub(crate) fn call_builtin(&mut self, def: &'static BuiltinDef, args: &[Value], pos: Pos) -> Result<Value> {
        self.check_stack()?;
        let result = (def.fun)(self, args, Pos::NONE);
        let result = match result {
            Ok(value) => self.force(value, Pos::NONE),
            Err(error) => Err(error),
        };
        if self.is_observed() {
            self.called_builtin(def, args, &result);
        }
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(builtin_frame(error, def, pos)),
        }
    }

    fn call_partial(&mut self, partial: PartialApp, more: &[Value], pos: Pos) -> Result<Value> {
        let mut all = [Value::NULL; MAX_ARITY];
        let all = fill(&mut all, partial.args().chain(more.iter().copied()));
        self.call_builtin(partial.builtin(), all, pos)
    }

    /// Calls a function written in Nix, which is `function` in compiled form, with one argument.
    #[inline(always)]
    pub(super) fn call_function(
        &mut self,
        closure: Closure,
        function: &'static Function,
        arg: Value,
        pos: Pos,
    ) -> Result<Value> {
        self.check_stack()?;
        let height = self.heap.stack.height();
        let Some(frame) = self.heap.stack.push(function.slots) else { return Err(self.stack_overflow()) };
        let env = Env { frame, captures: closure.value().captures() };
        frame.set(0, arg);
        let lambda = closure.lambda();
        restore_arguments(lambda, function, 0, env);
        let result = self.run_function(lambda, function, env, arg, pos);
        self.heap.stack.reset(height);
        result
    }

    /// Calls a curried function with several arguments, at most as many as it takes. What it returns in between is not made.
    #[inline(never)]
    pub(super) fn call_curried(&mut self, closure: Closure, args: &[Value], pos: Pos) -> Result<Value> {
        self.check_stack()?;
        let first = closure.lambda();
        let function = self.function(first)?;
        let (Some(last), Some((arg, earlier))) = (function.last, args.split_last()) else { return Ok(closure.value()) };
        if args.len() < function.curried as usize {
            return self.apply_some(closure, args);
        }
        let function = self.function(last)?;
        let height = self.heap.stack.height();
        let Some(frame) = self.heap.stack.push(function.slots) else { return Err(self.stack_overflow()) };
        let env = Env { frame, captures: closure.value().captures() };
        frame.set(0, *arg);
        let slot = restore_arguments(first, function, earlier.len(), env);
        for (slot, arg) in (slot..).zip(earlier) {
            frame.set(slot, *arg);
        }
        let result = self.run_function(last, function, env, *arg, pos);
        self.heap.stack.reset(height);
        result
    }

    /// A curried function with some more of its arguments.
    fn apply_some(&mut self, closure: Closure, args: &[Value]) -> Result<Value> {
        let mut lambda = closure.lambda();
        let known = lambda.captures.len();
        for _ in args {
            let Expr::Lambda(inner) = &self.function(lambda)?.body else { break };
            lambda = inner;
        }
        let applied = self.heap.closure(lambda, lambda.captures.len());
        let captures = closure.value().captures();
        for index in 0..known {
            applied.set_captured(index, captures.get(index as u32));
        }
        for (index, arg) in (known..).zip(args) {
            applied.set_captured(index, *arg);
        }
        Ok(applied)
    }

    /// Runs a function in the frame that was made for it and holds its argument.
    #[inline(always)]
    pub(super) fn run_function(
        &mut self,
        lambda: &'static Lambda,
        function: &'static Function,
        env: Env,
        arg: Value,
        pos: Pos,
    ) -> Result<Value> {
        if let Some(formals) = &function.formals {
            self.bind_formals(lambda, formals, env, arg, pos)?;
        }
        self.eval(&function.body, env).map_err(|error| self.call_frames(error, lambda, pos))
    }

    #[cold]
    #[inline(never)]
    fn call_frames(&mut self, error: Error, lambda: &Lambda, pos: Pos) -> Error {
        if !self.settings.show_trace {
            return error;
        }
        let name = match lambda.name.get() {
            Some(name) => format!("while calling '{}'", self.symbol_name(name)),
            None => "while calling anonymous lambda".to_owned(),
        };
        let error = error.trace(lambda.pos, name);
        if pos.is_none() { error } else { error.trace(pos, "from call site") }
    }

    fn bind_formals(
        &mut self,
        lambda: &'static Lambda,
        formals: &'static Formals,
        env: Env,
        arg: Value,
        pos: Pos,
    ) -> Result<()> {
        let context = "while evaluating the value passed for the lambda argument";
        let attrs = match self.force_attrs(arg, lambda.pos, context) {
            Ok(attrs) => attrs,
            Err(error) if pos.is_none() => return Err(error),
            Err(error) => return Err(error.trace(pos, "from call site")),
        };
        let mut used = 0;
        let mut defaults = std::mem::take(&mut self.defaults);
        defaults.clear();
        let mut walk = attrs.walk();
        for (formal, slot) in formals.list.iter().zip(1..) {
            match walk.next_of(formal.name) {
                Some(value) => {
                    used += 1;
                    env.frame.set(slot, value);
                }
                None => match &formal.default {
                    Some(default) => {
                        env.frame.set(slot, self.allocate_delayed(default, env));
                        defaults.push((default, slot));
                    }
                    None => return Err(self.missing_argument(lambda, formal.name, pos)),
                },
            }
        }
        for (default, slot) in defaults.drain(..) {
            fill_delayed(default, env.frame.get(slot), env);
        }
        self.defaults = defaults;
        if !formals.ellipsis && used != attrs.len() {
            return Err(self.unexpected_argument(lambda, formals, attrs, pos));
        }
        Ok(())
    }

    fn lambda_name(&self, lambda: &Lambda) -> String {
        match lambda.name.get() {
            Some(name) => self.symbol_name(name).into_owned(),
            None => "anonymous lambda".to_owned(),
        }
    }

    #[cold]
    fn missing_argument(&mut self, lambda: &Lambda, name: Symbol, pos: Pos) -> Error {
        let function = self.lambda_name(lambda);
        let message = format!("function '{function}' called without required argument '{}'", self.shown(name));
        Error::type_error(message).at(lambda.pos).trace(pos, "from call site")
    }

    #[cold]
    fn unexpected_argument(&mut self, lambda: &Lambda, formals: &Formals, attrs: Attrs, pos: Pos) -> Error {
        let known = |name: Symbol| formals.list.iter().any(|formal| formal.name == name);
        let Some((name, ..)) = attrs.iter().find(|(name, ..)| !known(*name)) else {
            return Error::type_error("function called with an unexpected argument").at(lambda.pos);
        };
        let function = self.lambda_name(lambda);
        let message = format!("function '{function}' called with unexpected argument '{}'", self.shown(name));
        let known = formals.list.iter().map(|formal| formal.name);
        Error::type_error(message).at(lambda.pos).trace(pos, "from call site").suggest(self.suggestions(known, name))
    }

    /// Calls a function with the arguments given on the command line, if it has a set pattern.
    pub fn auto_call(&mut self, function: Value, args: Attrs) -> Result<Value> {
        let pos = self.determine_pos(function);
        let forced = self.force(function, pos)?;
        if let Some(functor) = forced.as_attrs().and_then(|attrs| attrs.get(sym::FUNCTOR)) {
            let result = self.call(functor, &[forced], pos)?;
            return self.auto_call(result, args);
        }
        let Some(closure) = forced.as_closure() else { return Ok(forced) };
        let Some(formals) = &self.function(closure.lambda())?.formals else { return Ok(forced) };
        let mut actual = AttrsBuilder::with_capacity(formals.list.len());
        if formals.ellipsis {
            for (name, value, pos) in args.iter() {
                actual.insert(name, value, pos);
            }
        } else {
            for formal in formals.list {
                match args.get_with_pos(formal.name) {
                    Some((value, pos)) => actual.insert(formal.name, value, pos),
                    None if formal.default.is_some() => {}
                    None => return Err(self.argument_without_value(formal.name, formal.pos)),
                }
            }
        }
        let actual = actual.finish(&mut self.heap);
        self.call(forced, &[actual], pos)
    }

    #[cold]
    fn argument_without_value(&self, name: Symbol, pos: Pos) -> Error {
        let message = format!(
            "cannot evaluate a function that has an argument without a value ('{}')\n\
             Nix attempted to evaluate a function as a top level expression; in\n\
             this case it must have its arguments supplied either by default\n\
             values, or passed explicitly with '--arg' or '--argstr'. See\n\
             https://nix.dev/manual/nix/stable/language/syntax.html#functions.",
            self.shown(name)
        );
        Error::new(ErrorKind::MissingArgument, message).at(pos)
    }

    /// The value of a cheap expression, if what it needs is evaluated and nothing can go wrong. Numbers, and what a
    /// selection finds if it has no parts: other values have an identity, which a thunk of their own would give them.
    #[inline]
    fn try_now(&mut self, expr: &'static Expr, env: Env) -> Option<Value> {
        match expr {
            Expr::Select(select) => {
                let [Name::Static(name, cache)] = select.path else { return None };
                let base = match &select.base {
                    Expr::Local(slot, _) => env.frame.get(*slot),
                    Expr::Captured(index, _) => env.captures.get(*index),
                    _ => return None,
                };
                let value = base.follow().as_attrs()?.find_cached(*name, cache)?.value().follow();
                value.is_plain().then_some(value)
            }
            // each operator is a call, which may be too deep
            _ if !self.may_enter_deeper(MAX_CHEAP_DEPTH as usize) => None,
            _ => number_now(expr, env).map(|number| self.heap.int(number)),
        }
    }

    /// The value of an expression that is not evaluated now.
    #[inline(always)]
    pub(crate) fn delay(&mut self, delayed: &'static Delayed, env: Env) -> Value {
        match delayed {
            Delayed::Const(value) => *value,
            Delayed::Var(var) => env.get(*var),
            Delayed::Cell(var) => env.get(*var).in_cell(),
            Delayed::Lambda(lambda) => self.make_pending(lambda, env),
            Delayed::Thunk(code) => self.make_thunk(code, env),
            Delayed::Cheap(cheap) => self.make_thunk(cheap.later, env),
        }
    }

    #[inline(never)]
    fn make_thunk(&mut self, code: &'static ThunkCode, env: Env) -> Value {
        match self.heap.thunk_at_once(code, code.captures.len()) {
            Some(thunk) => {
                capture(thunk, code.captures, env);
                thunk
            }
            None => self.make_thunk_elsewhere(code, env),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_thunk_elsewhere(&mut self, code: &'static ThunkCode, env: Env) -> Value {
        let thunk = self.heap.thunk(code, code.captures.len());
        capture(thunk, code.captures, env);
        thunk
    }

    #[inline(never)]
    fn make_pending(&mut self, lambda: &'static Lambda, env: Env) -> Value {
        let closure = self.heap.pending_closure(lambda, lambda.captures.len());
        capture(closure, lambda.captures, env);
        closure
    }

    /// The value of an argument that the function evaluates before anything else: it is computed now, without a thunk,
    /// and nobody can see the difference. `is_shared` tells whether the function can pass it on as it is.
    #[inline(always)]
    pub(crate) fn argument_now(&mut self, delayed: &'static Delayed, is_shared: bool, env: Env) -> Value {
        match delayed {
            Delayed::Thunk(code) => self.value_now(code, is_shared, env),
            Delayed::Cheap(cheap) => match self.try_now(&cheap.now, env) {
                Some(value) => value,
                None => self.value_now(cheap.later, is_shared, env),
            },
            Delayed::Const(_) | Delayed::Var(_) | Delayed::Cell(_) | Delayed::Lambda(_) => self.delay(delayed, env),
        }
    }

    #[inline(never)]
    fn value_now(&mut self, code: &'static ThunkCode, is_shared: bool, env: Env) -> Value {
        match self.run_now(code, env) {
            Ok(value) => {
                // What the thunk would have evaluated to has a cell of its own only if it was made there; else it needs
                // one here, since Nix can tell cells apart.
                let is_new = code.body.get().is_some_and(|body| matches!(body.expr, Expr::Attrs(_) | Expr::List(_)));
                if !is_shared || is_new || value.is_plain() {
                    return value;
                }
                let cell = self.heap.app(Value::NULL, &[]);
                self.heap.set_indirection(cell, value);
                cell
            }
            Err(error) => self.raise_later(error),
        }
    }

    /// Runs the code of a thunk that is not made: its captured words are on the stack.
    fn run_now(&mut self, code: &'static ThunkCode, env: Env) -> Result<Value> {
        self.check_stack()?;
        let body = self.body(code)?;
        let height = self.heap.stack.height();
        let captured = code.captures.len() as u32;
        let Some(frame) = self.heap.stack.push(captured + body.slots) else { return Err(self.stack_overflow()) };
        for (slot, from) in (0..).zip(code.captures) {
            frame.set(slot, env.get(*from));
        }
        let inner = Env { frame: frame.behind(captured), captures: frame.as_captures() };
        let result = self.eval(&body.expr, inner);
        self.heap.stack.reset(height);
        result
    }

    /// A thunk that fails: an argument that has failed, but whose frames are those of the function that needs it.
    #[cold]
    #[inline(never)]
    fn raise_later(&mut self, error: Error) -> Value {
        let code = *self.raise_code.get_or_insert_with(crate::code::compile::raise);
        let number = self.heap.int(self.raised.len() as i64);
        self.raised.push(Some(error));
        let thunk = self.heap.thunk(code, 1);
        thunk.set_captured(0, number);
        thunk
    }

    /// The error that such a thunk was made for.
    pub(super) fn raised(&mut self, env: Env) -> Error {
        let number = env.captures.get(0).as_small_int().and_then(|number| usize::try_from(number).ok());
        let error = number.and_then(|number| self.raised.get_mut(number)).and_then(Option::take);
        while self.raised.last().is_some_and(Option::is_none) {
            self.raised.pop();
        }
        // a thunk is run once
        error.unwrap_or_else(|| Error::eval("infinite recursion encountered"))
    }

    /// The first half of [`Evaluator::delay`]: what it captures may not exist yet and is filled in later.
    #[inline(always)]
    pub(crate) fn allocate_delayed(&mut self, delayed: &'static Delayed, env: Env) -> Value {
        match delayed {
            Delayed::Const(value) => *value,
            Delayed::Var(var) => env.get(*var),
            Delayed::Cell(var) => env.get(*var).in_cell(),
            Delayed::Lambda(lambda) => self.heap.pending_closure(lambda, lambda.captures.len()),
            Delayed::Thunk(code) => self.heap.thunk(code, code.captures.len()),
            Delayed::Cheap(cheap) => self.heap.thunk(cheap.later, cheap.later.captures.len()),
        }
    }
}

/// Copies the arguments before the last `given` ones and the last one, which a function captured, to their slots. Returns the
/// slot after them.
#[inline(always)]
pub(super) fn restore_arguments(lambda: &Lambda, function: &Function, given: usize, env: Env) -> u32 {
    let count = function.before.count - given as u32;
    let first = function.before.slot;
    if count != 0 {
        let known = lambda.captures.len() as u32 - count;
        for index in 0..count {
            env.frame.set(first + index, env.captures.get(known + index));
        }
    }
    first + count
}

/// The result of a little arithmetic, if all numbers are at hand.
fn number_now(expr: &Expr, env: Env) -> Option<i64> {
    let number = |expr| match number_at(expr, env) {
        Some(number) => Some(number),
        None => number_now(expr, env),
    };
    match expr {
        Expr::Binary(binary) => {
            let (a, b) = (number(&binary.lhs)?, number(&binary.rhs)?);
            match binary.op {
                Op::Sub => a.checked_sub(b),
                Op::Mul => a.checked_mul(b),
                _ => None,
            }
        }
        Expr::ConcatStrings(concat) if !concat.force_string => {
            let mut sum = 0i64;
            for (_, part) in concat.parts {
                sum = sum.checked_add(number(part)?)?;
            }
            Some(sum)
        }
        _ => None,
    }
}

/// The second half of [`Evaluator::delay`].
#[inline(always)]
pub(crate) fn fill_delayed(delayed: &'static Delayed, value: Value, env: Env) {
    let captures = delayed.captures();
    if !captures.is_empty() {
        capture(value, captures, env);
    }
}

/// Copies variables into a thunk or function.
#[inline(always)]
fn capture(object: Value, variables: &'static [Ref], env: Env) {
    let mut index = 0;
    while index < variables.len() {
        object.set_captured(index, env.get(variables[index]));
        index += 1;
    }
}

#[cold]
#[inline(never)]
fn builtin_frame(error: Error, def: &BuiltinDef, pos: Pos) -> Error {
    if def.trace { error.trace(pos, format!("while calling the '{}' builtin", def.name)) } else { error }
}

//! Forcing: from a thunk to a value, and to a value of a type that is wanted.

use crate::code::ir::ThunkCode;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::eval::call::{MAX_ARITY, fill};
use crate::eval::expr::Env;
use crate::pos::Pos;
use crate::value::objects::App;
use crate::value::stack::Captures;
use crate::value::word::{Kind, Slot, owner};
use crate::value::{Attrs, List, NixStr, RootVec, Value, View};

use nopal_syntax::interner::sym;

/// [`Evaluator::force_deep`] for another thread.
fn deep_ahead(ev: &mut Evaluator, value: Value) -> Result<()> {
    ev.force_deep(value).map(drop)
}

/// What takes so many bytes together may find no room where smaller things do.
const GIANT_BYTES: usize = 256 << 20;

impl Evaluator {
    /// The value in weak head normal form.
    #[inline(always)]
    pub fn force(&mut self, value: Value, pos: Pos) -> Result<Value> {
        match value.at_hand() {
            Some(value) => Ok(value),
            None => self.force_thunk(value, pos),
        }
    }

    #[inline(never)]
    fn force_thunk(&mut self, value: Value, pos: Pos) -> Result<Value> {
        self.force_here(value, || pos)
    }

    /// As [`Evaluator::force`], of what is not at hand, in the frame of the caller: where evaluation goes deep, returning
    /// from a frame costs more than most that is done in it. Only what is no thunk, or not any more, needs the position.
    #[inline(always)]
    pub(crate) fn force_here(&mut self, value: Value, pos: impl FnOnce() -> Pos) -> Result<Value> {
        let header = value.header();
        if Kind::from_header(header) != Kind::Thunk || !self.claim(value, header) {
            return self.force_other(value, pos());
        }
        let used = self.uses.height();
        match self.run_thunk(ThunkCode::of_header(header), value.captures()) {
            Ok(result) => self.finish_thunk(value, result, used),
            Err(error) => Err(self.fail_thunk(value, error, used)),
        }
    }

    /// Forces what was no thunk, or that another thread changed.
    #[inline(never)]
    fn force_other(&mut self, value: Value, pos: Pos) -> Result<Value> {
        let header = value.header();
        match Kind::from_header(header) {
            Kind::Pending => {
                value.set_closure(header);
                Ok(value)
            }
            Kind::App => self.force_app(value, header, pos),
            Kind::Noted => {
                let (value, set) = value.noted();
                self.uses.take(set);
                Ok(value)
            }
            Kind::Blackhole => self.force_claimed(value, pos),
            // what this thread runs ahead for meets the failure again
            Kind::Failed if self.is_ahead() => Err(self.give_up()),
            Kind::Failed => match self.heap.failure(value) {
                Some((error, set)) => {
                    self.uses.take(set);
                    Err(error.detached())
                }
                None => Ok(value),
            },
            _ => self.force_again(value, pos),
        }
    }

    /// Forces what was a suspended application when it had this header.
    #[inline(never)]
    fn force_app(&mut self, value: Value, header: u64, pos: Pos) -> Result<Value> {
        if !self.claim(value, header) {
            return self.force_again(value, pos);
        }
        let used = self.uses.height();
        match self.call_app(value.claimed_app(), pos) {
            Ok(result) => self.finish_thunk(value, result, used),
            Err(error) => Err(self.fail_thunk(value, error, used)),
        }
    }

    #[inline(always)]
    fn call_app(&mut self, app: App, pos: Pos) -> Result<Value> {
        match app.only_arg() {
            Some(arg) => self.call_one_here(app.function(), arg, pos),
            None => self.call_app_with_all(app, pos),
        }
    }

    #[inline(never)]
    fn call_app_with_all(&mut self, app: App, pos: Pos) -> Result<Value> {
        let mut args = [Value::NULL; MAX_ARITY];
        let args = fill(&mut args, app.args());
        self.call(app.function(), args, pos)
    }

    /// After another thread did something to a thunk.
    #[cold]
    fn force_again(&mut self, value: Value, pos: Pos) -> Result<Value> {
        self.force(value, pos)
    }

    /// Marks a thunk as being evaluated by this thread; no if another one changed it.
    #[inline(always)]
    fn claim(&mut self, value: Value, header: u64) -> bool {
        if self.heap.is_shared() {
            return value.claim(header, self.heap.thread());
        }
        value.set_blackhole(header);
        true
    }

    /// Forces a thunk that is being evaluated.
    #[cold]
    fn force_claimed(&mut self, value: Value, pos: Pos) -> Result<Value> {
        let header = value.header();
        if Kind::from_header(header) != Kind::Blackhole {
            return self.force(value, pos);
        }
        let owner = owner(header);
        if owner != self.heap.thread() {
            value.set_awaited(owner);
            self.wait_for(owner, || value.is_claimed_by(owner))?;
            return self.force(value, pos);
        }
        if self.is_ahead() {
            return Err(self.give_up());
        }
        if value.is_claimed_app() {
            // Nix does not mark a suspended application while it is evaluated: if it needs itself, the call depth ends it
            return self.call_app(value.claimed_app(), pos);
        }
        // whoever evaluates it marks it as failed, when what it captured is no longer needed
        Err(Error::new(ErrorKind::InfiniteRecursion, "infinite recursion encountered").at(pos))
    }

    /// Gives a thunk that this thread claimed its value, which was made from what was used above the height `used`.
    #[inline(always)]
    fn finish_thunk(&mut self, thunk: Value, result: Value, used: usize) -> Result<Value> {
        if self.heap.is_shared() {
            return self.finish_shared(thunk, result);
        }
        if self.uses.height() != used {
            return self.finish_noted(thunk, result, used);
        }
        self.heap.set_indirection(thunk, result);
        Ok(result)
    }

    #[cold]
    #[inline(never)]
    fn finish_noted(&mut self, thunk: Value, result: Value, used: usize) -> Result<Value> {
        let set = self.uses.gather(used);
        self.heap.set_noted(thunk, result, set);
        Ok(result)
    }

    #[inline(never)]
    fn finish_shared(&mut self, thunk: Value, result: Value) -> Result<Value> {
        if self.is_tainted() {
            thunk.unclaim();
            return Err(self.give_up());
        }
        if self.heap.set_indirection(thunk, result) {
            self.wake_others();
        }
        Ok(result)
    }

    #[cold]
    #[inline(never)]
    fn fail_thunk(&mut self, thunk: Value, error: Error, used: usize) -> Error {
        if self.is_ahead() || error.kind() == ErrorKind::OutOfMemory {
            thunk.unclaim();
        } else if thunk.kind() != Some(Kind::Failed) {
            self.heap.set_failed(thunk, error.clone(), self.uses.gather(used));
        }
        if self.heap.is_shared() {
            self.wake_others();
        }
        error
    }

    #[inline(always)]
    fn run_thunk(&mut self, code: &'static ThunkCode, captures: Captures) -> Result<Value> {
        self.check_stack()?;
        let body = self.body(code)?;
        let height = self.heap.stack.height();
        let Some(frame) = self.heap.stack.push(body.slots) else { return Err(self.stack_overflow()) };
        let result = self.eval(&body.expr, Env { frame, captures });
        self.heap.stack.reset(height);
        result
    }

    /// Fails when the native stack is nearly used up.
    #[inline(always)]
    pub(crate) fn check_stack(&self) -> Result<()> {
        let marker = std::mem::MaybeUninit::<u8>::uninit();
        if (&raw const marker as usize) < self.heap.stack_limit() { Err(self.stack_overflow()) } else { Ok(()) }
    }

    #[cold]
    pub(crate) fn stack_overflow(&self) -> Error {
        if let Some(bytes) = self.heap.exceeded_limit() {
            return Error::memory_limit(bytes);
        }
        Error::new(ErrorKind::StackOverflow, "stack overflow (possible infinite recursion)")
    }

    /// Fails before something is made that there is no room for. What is no giant finds room in any case, since evaluation
    /// ends while there is some left.
    #[inline(always)]
    pub(crate) fn check_room(&mut self, bytes: usize) -> Result<()> {
        if bytes < GIANT_BYTES { Ok(()) } else { self.check_room_for_giant(bytes) }
    }

    /// The same, for a text that is made beside the values: room for twice as much is taken when it grows, and there is a
    /// copy of it when it becomes a value or is printed.
    #[inline(always)]
    pub(crate) fn check_text(&mut self, bytes: usize) -> Result<()> {
        self.check_room(4 * bytes)
    }

    /// The same, for a list of so many elements.
    #[inline(always)]
    pub(crate) fn check_list(&mut self, len: usize) -> Result<()> {
        self.check_room(len * size_of::<Slot>())
    }

    #[cold]
    fn check_room_for_giant(&mut self, bytes: usize) -> Result<()> {
        if self.heap.make_room(bytes) {
            return Ok(());
        }
        Err(match self.heap.memory_limit() {
            Some(bytes) => Error::memory_limit(bytes),
            None => Error::new(ErrorKind::OutOfMemory, "out of memory"),
        })
    }

    /// Enters a level of recursion that `max-call-depth` counts; every success is paired with [`Evaluator::leave`].
    #[inline(always)]
    pub fn enter(&mut self, pos: Pos) -> Result<()> {
        if self.depth > self.settings.max_call_depth {
            return Err(self.depth_exceeded(pos));
        }
        self.depth += 1;
        Ok(())
    }

    /// Whether [`Evaluator::enter`] would succeed.
    #[inline(always)]
    pub(crate) fn may_enter(&self) -> bool {
        self.depth <= self.settings.max_call_depth
    }

    /// Whether so many levels could be entered, one in the other.
    #[inline(always)]
    pub(crate) fn may_enter_deeper(&self, levels: usize) -> bool {
        self.depth + levels <= self.settings.max_call_depth
    }

    /// Leaves a level entered by [`Evaluator::enter`].
    #[inline(always)]
    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    #[cold]
    fn depth_exceeded(&self, pos: Pos) -> Error {
        Error::new(ErrorKind::StackOverflow, "stack overflow; max-call-depth exceeded").at(pos)
    }

    /// Forces a value and everything in it.
    pub fn force_deep(&mut self, value: Value) -> Result<Value> {
        let mut seen = rustc_hash::FxHashSet::default();
        self.force_deep_inner(value, &mut seen)
    }

    fn force_deep_inner(&mut self, value: Value, seen: &mut rustc_hash::FxHashSet<Value>) -> Result<Value> {
        self.check_stack()?;
        let pos = self.determine_pos(value);
        self.enter(pos)?;
        let result = self.force_deep_level(value, pos, seen);
        self.leave();
        result
    }

    fn force_deep_level(&mut self, value: Value, pos: Pos, seen: &mut rustc_hash::FxHashSet<Value>) -> Result<Value> {
        let forced = self.force(value, pos)?;
        // Lists and sets stay where they are; the thunk that led to one may be gone before the end of this.
        let has_parts = matches!(forced.view(), View::Attrs(_) | View::List(_));
        if has_parts && !seen.insert(forced) {
            return Ok(forced);
        }
        match forced.view() {
            View::Attrs(attrs) => {
                let all = attrs.iter().map(|(name, value, pos)| (name, pos, value)).collect::<RootVec<_>>();
                let value_of = |index: usize| all[index].2;
                let work = |ev: &mut Self, in_doubt| {
                    ev.each(all.len(), value_of, deep_ahead, |ev, index| {
                        let (name, pos, inner) = all[index];
                        ev.comes_to(index, in_doubt);
                        ev.force_deep_inner(inner, seen).map(drop).map_err(|error| {
                            let name = ev.shown(name);
                            error.trace(pos, format!("while evaluating the attribute '{name}'"))
                        })
                    })
                };
                self.in_order(&[attrs], |()| false, work)?;
            }
            View::List(list) => {
                self.each(
                    list.len(),
                    |index| list.at(index),
                    deep_ahead,
                    |ev, index| {
                        ev.force_deep_inner(list.at(index), seen).map(drop).map_err(|error| {
                            error.trace(Pos::NONE, format!("while evaluating list element at index {index}"))
                        })
                    },
                )?;
            }
            _ => {}
        }
        Ok(forced)
    }

    /// The position that belongs to a value: of a function its definition, of a set the literal.
    pub fn determine_pos(&self, value: Value) -> Pos {
        self.determine_pos_or(value, Pos::NONE)
    }

    /// The same, where a value that is neither function nor set has the position `other`. A set that no literal made has
    /// none.
    pub fn determine_pos_or(&self, value: Value, other: Pos) -> Pos {
        let mut value = value.forced();
        while let Some(app) = value.as_app() {
            value = app.function().forced();
        }
        match (value.as_closure(), value.as_attrs()) {
            (Some(closure), _) => closure.lambda().pos,
            (None, Some(attrs)) => attrs.flat_shape().map_or(Pos::NONE, |shape| shape.pos()),
            (None, None) => other,
        }
    }

    /// The error for a value of another type. It is shown as the cell that it is in, not as what that holds: a list that
    /// contains itself is repeated where it says so.
    #[cold]
    #[inline(never)]
    fn unexpected(&mut self, value: Value, wanted: &str) -> Error {
        let found = self.show_type(value);
        let mut message = format!("expected {wanted} but found {found}: ").into_bytes();
        message.extend(self.show_error_value(value));
        Error::type_error(message)
    }

    /// Forces a value that must be an integer. `context` is the trace frame of a failure.
    pub fn force_int(&mut self, value: Value, pos: Pos, context: &str) -> Result<i64> {
        let forced = self.force(value, pos).map_err(|error| error.trace(pos, context))?;
        match forced.as_int() {
            Some(i) => Ok(i),
            None => Err(self.unexpected(value, "an integer").at(pos).trace(pos, context)),
        }
    }

    /// Forces a value that must be a number.
    pub fn force_float(&mut self, value: Value, pos: Pos, context: &str) -> Result<f64> {
        let forced = self.force(value, pos).map_err(|error| error.trace(pos, context))?;
        match forced.view() {
            View::Int(i) => Ok(i as f64),
            View::Float(f) => Ok(f),
            _ => Err(self.unexpected(value, "a float").at(pos).trace(pos, context)),
        }
    }

    /// Forces a value that must be a Boolean.
    pub fn force_bool(&mut self, value: Value, pos: Pos, context: &str) -> Result<bool> {
        let forced = self.force(value, pos).map_err(|error| error.trace(pos, context))?;
        match forced.as_bool() {
            Some(b) => Ok(b),
            None => Err(self.unexpected(value, "a Boolean").at(pos).trace(pos, context)),
        }
    }

    /// Forces a value that must be a string; its context is kept in the handle.
    pub fn force_string(&mut self, value: Value, pos: Pos, context: &str) -> Result<NixStr> {
        let forced = self.force(value, pos).map_err(|error| error.trace(pos, context))?;
        match forced.as_str() {
            Some(s) => Ok(s),
            None => Err(self.unexpected(value, "a string").at(pos).trace(pos, context)),
        }
    }

    /// Forces a value that must be a string without context.
    pub fn force_string_no_ctx(&mut self, value: Value, pos: Pos, context: &str) -> Result<NixStr> {
        let string = self.force_string(value, pos, context)?;
        if string.context().is_empty() {
            return Ok(string);
        }
        let elements = self.contexts.get(string.context());
        let example = elements.iter().next().map(|e| e.display(&self.settings.store_dir)).unwrap_or_default();
        let mut message = b"the string '".to_vec();
        message.extend_from_slice(string.as_bytes());
        message
            .extend_from_slice(format!("' is not allowed to refer to a store path (such as '{example}')").as_bytes());
        Err(Error::eval(message).trace(pos, context))
    }

    /// Forces a value that must be a list. As in Nix, an error of the value itself gets no frame here.
    #[inline]
    pub fn force_list(&mut self, value: Value, pos: Pos, context: &str) -> Result<List> {
        let forced = self.force(value, pos)?;
        match forced.as_list() {
            Some(list) => Ok(list),
            None => Err(self.unexpected(value, "a list").trace(pos, context)),
        }
    }

    /// Forces a value that must be a set. As in Nix, an error of the value itself gets no frame here.
    #[inline]
    pub fn force_attrs(&mut self, value: Value, pos: Pos, context: &str) -> Result<Attrs> {
        let forced = self.force(value, pos)?;
        match forced.as_attrs() {
            Some(attrs) => Ok(attrs),
            None => Err(self.unexpected(value, "a set").trace(pos, context)),
        }
    }

    /// Forces a value that must be a function or a set with `__functor`.
    pub fn force_function(&mut self, value: Value, pos: Pos, context: &str) -> Result<Value> {
        let forced = self.force(value, pos).map_err(|error| error.trace(pos, context))?;
        if forced.is_function() || forced.as_attrs().is_some_and(|attrs| attrs.contains(sym::FUNCTOR)) {
            return Ok(forced);
        }
        Err(self.unexpected(value, "a function").at(pos).trace(pos, context))
    }

    /// The type error of `eval_bool` and `eval_attrs`: without the frame.
    #[cold]
    pub(crate) fn type_mismatch(&mut self, value: Value, wanted: &str) -> Error {
        self.unexpected(value, wanted)
    }

    /// The attribute of a set that must have it.
    pub fn require_attr(&mut self, attrs: Attrs, name: nopal_syntax::Symbol, context: &str) -> Result<Value> {
        match attrs.get(name) {
            Some(value) => Ok(value),
            None => {
                let message = format!("attribute '{}' missing", self.shown(name));
                Err(Error::type_error(message).trace(Pos::NONE, context))
            }
        }
    }
}

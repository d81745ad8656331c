//! Observing an evaluation: counters, calls, traces of calls, profiles. What is observed runs other code (see
//! [`crate::code::observed`]); an evaluation that is not observed pays one test where a builtin calls or is called.

mod profile;
mod statistics;

use nopal_syntax::ast::{self, Ast};
use rustc_hash::FxHashMap;

use crate::builtin::BuiltinDef;
use crate::code::ir::{Binary, Call, Delayed, Expr, Select};
use crate::code::observed::{Counts, Function, Observed, Operand, What};
use crate::error::Result;
use crate::eval::Evaluator;
use crate::eval::expr::Env;
use crate::host::Message;
use crate::pos::Pos;
use crate::value::{Attrs, Value, ValueVec};

pub use statistics::{FunctionCalls, Statistics};

use profile::Profile;

/// What is observed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Observe {
    /// Counters, for [`Evaluator::statistics`].
    pub counters: bool,
    /// `trace-function-calls`: every call is told when it begins and ends.
    pub trace_calls: bool,
    /// `eval-profiler = flamegraph`: the stack is sampled at this frequency in hertz; 0 is at every call.
    pub profile_hz: Option<u32>,
}

impl Observe {
    fn is_on(self) -> bool {
        self != Observe::default()
    }
}

/// The right operand of `//` may have this many attributes for Nix to lay it over the left one.
const LAYER_LIMIT: usize = 16;
/// Nix lays so many sets over each other.
const MAX_LAYERS: u8 = 8;

/// What was observed.
#[derive(Default)]
pub(super) struct Observer {
    counts: Counts,
    function_calls: u64,
    builtin_calls: u64,
    lookups: u64,
    updates: u64,
    values_copied: u64,
    exprs: u64,
    /// The functions that were called.
    functions: Vec<&'static Function>,
    builtins: FxHashMap<&'static str, u64>,
    /// How many layers Nix's representation of a set has, where that is more than one.
    layers: FxHashMap<Value, u8>,
    trace_calls: bool,
    profile: Option<Profile>,
}

impl Observer {
    pub(super) fn new(observe: Observe, now_ns: u64) -> Option<Box<Observer>> {
        observe.is_on().then(|| {
            let profile = observe.profile_hz.map(|hz| Profile::new(hz, now_ns));
            Box::new(Observer { trace_calls: observe.trace_calls, profile, ..Observer::default() })
        })
    }

    /// Counts the nodes of a source as Nix has them: operators that are calls take more than one.
    pub(super) fn parsed(&mut self, ast: &Ast) {
        let nodes = ast.exprs().map(|expr| match expr {
            ast::Expr::SearchPath(_) => 4,
            ast::Expr::Negate(_) => 3,
            ast::Expr::Binary { op, .. } => op.desugar().map_or(1, |call| 2 + u64::from(call.negated)),
            _ => 1,
        });
        self.exprs += nodes.sum::<u64>();
    }

    /// Counts `left // right` as Nix does it.
    fn updated(&mut self, left: Attrs, right: Attrs, result: Value) {
        self.updates += 1;
        if left.is_empty() || right.is_empty() {
            return;
        }
        let below = self.layers.get(&left.value()).copied().unwrap_or(1);
        self.counts.sets += 1;
        if below < MAX_LAYERS && right.len() <= LAYER_LIMIT {
            self.values_copied += right.len() as u64;
            self.counts.attrs += right.len() as u64;
            self.layers.insert(result, below + 1);
        } else {
            self.values_copied += result.as_attrs().map_or(0, |attrs| attrs.len() as u64);
            self.counts.attrs += (left.len() + right.len()) as u64;
        }
    }
}

impl Evaluator {
    /// Is the evaluation observed?
    #[inline(always)]
    pub(super) fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    fn count(&mut self, counts: &Counts) {
        if let Some(observer) = &mut self.observer {
            observer.counts.add(counts);
        }
    }

    /// Counts an expression whose value is not needed now, where that is not known when it is compiled.
    #[cold]
    #[inline(never)]
    pub(super) fn observe_delayed(&mut self, delayed: &Delayed) {
        if let Some(observer) = &mut self.observer {
            observer.counts.delay(delayed);
        }
    }

    /// Evaluates a node that tells what it does.
    #[cold]
    #[inline(never)]
    pub(super) fn eval_observed(&mut self, observed: &'static Observed, env: Env) -> Result<Value> {
        match (&observed.what, &observed.inner) {
            (What::Call, Expr::Call(call)) => self.eval_observed_call(call, &observed.counts, env),
            (What::Select, Expr::Select(select)) => self.eval_observed_select(select, env),
            (What::Concat, Expr::Binary(binary)) => self.eval_observed_concat(binary, env),
            (What::Update(operands), _) => self.eval_observed_update(operands, env),
            (What::Body(function), _) => {
                self.count(&observed.counts);
                self.count_function(function, env);
                self.eval(&observed.inner, env)
            }
            _ => {
                self.count(&observed.counts);
                self.eval(&observed.inner, env)
            }
        }
    }

    fn eval_observed_call(&mut self, call: &'static Call, counts: &Counts, env: Env) -> Result<Value> {
        let function = self.eval(&call.function, env)?;
        self.count(counts);
        let mut args = ValueVec::with_capacity(call.args.len());
        for arg in call.args {
            let value = self.delay(arg, env);
            args.push(value);
        }
        self.call(function, &args, call.pos)
    }

    fn eval_observed_select(&mut self, select: &'static Select, env: Env) -> Result<Value> {
        let base = self.eval(&select.base, env)?;
        self.select_along(select, base, env)
    }

    /// A call with two arguments that is made when its value is needed. For Nix it is two calls, one in the other.
    pub(crate) fn call_later(&mut self, function: Value, first: Value, second: Value) -> Value {
        if self.is_observed() {
            let inner = self.heap.app(function, &[first]);
            return self.heap.app(inner, &[second]);
        }
        self.heap.app(function, &[first, second])
    }

    /// Counts a step of a selection.
    #[cold]
    #[inline(never)]
    pub(super) fn looked_up(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.lookups += 1;
        }
    }

    fn eval_observed_concat(&mut self, binary: &'static Binary, env: Env) -> Result<Value> {
        let lists = [self.eval(&binary.lhs, env)?, self.eval(&binary.rhs, env)?];
        let what = "while evaluating one of the elements to concatenate";
        let concatenated = self.concat_lists(&lists, binary.pos, what)?;
        self.count(&statistics::concatenated(lists.into_iter()));
        Ok(concatenated)
    }

    /// Sets are merged from the left, beginning with an empty one.
    fn eval_observed_update(&mut self, operands: &'static [Operand], env: Env) -> Result<Value> {
        let mut sets = ValueVec::with_capacity(operands.len());
        for operand in operands {
            let pos = operand.expr.pos();
            let value = self.eval(operand.expr, env).map_err(|error| error.trace(pos, operand.context))?;
            if value.as_attrs().is_none() {
                return Err(self.type_mismatch(value, "a set").trace(pos, operand.context));
            }
            sets.push(value);
        }
        let mut merged = self.heap.empty_attrs();
        for set in sets.iter().rev() {
            let (Some(left), Some(right)) = (merged.as_attrs(), set.as_attrs()) else { continue };
            merged = self.heap.update(left, right);
            if let Some(observer) = &mut self.observer {
                observer.updated(left, right, merged);
            }
        }
        Ok(merged)
    }

    fn count_function(&mut self, function: &'static Function, env: Env) {
        let Some(observer) = &mut self.observer else { return };
        observer.function_calls += 1;
        if function.calls.get() == 0 {
            observer.functions.push(function);
        }
        function.calls.set(function.calls.get() + 1);
        if let Some(attrs) = env.frame.get(0).follow().as_attrs() {
            for (_, takes_thunk) in function.defaults.iter().filter(|(name, _)| !attrs.contains(*name)) {
                observer.counts.thunks += u64::from(*takes_thunk);
                observer.counts.avoided += u64::from(!*takes_thunk);
            }
        }
    }

    /// Counts a call of a builtin that has all its arguments, and what Nix makes for its result.
    #[cold]
    #[inline(never)]
    pub(super) fn called_builtin(&mut self, def: &'static BuiltinDef, args: &[Value], result: &Result<Value>) {
        let made = result.as_ref().map_or(Counts::default(), |result| statistics::made_by(def.name, args, *result));
        if let Some(observer) = &mut self.observer {
            observer.builtin_calls += 1;
            *observer.builtins.entry(def.name).or_default() += 1;
            observer.counts.add(&made);
        }
    }

    /// A call that is told when it begins and when it ends, however it does.
    #[cold]
    #[inline(never)]
    pub(super) fn call_observed(&mut self, function: Value, args: &[Value], pos: Pos) -> Result<Value> {
        self.trace_call("entered", pos);
        self.profile_call(function, args, pos);
        let result = self.call_level(function, args, pos);
        if let Some(profile) = self.observer.as_mut().and_then(|observer| observer.profile.as_mut()) {
            profile.leave();
        }
        self.trace_call("exited", pos);
        result
    }

    fn trace_call(&self, what: &str, pos: Pos) {
        if self.observer.as_ref().is_some_and(|observer| observer.trace_calls) {
            let (place, now) = (self.show_pos(pos), self.host().now_ns());
            self.emit(Message::Trace(format!("function-trace {what} {place} at {now}").into_bytes()));
        }
    }
}

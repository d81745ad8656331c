//! Errors, traces and the environment.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::coerce::Coerce;
use crate::host::Message;
use crate::pos::Pos;
use crate::value::Value;
use nopal_syntax::report::{Level, Report, plain};

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(global "abort", ["s"], abort, "Ends the evaluation with the message *s*. `tryEval` does not catch it."),
    def!(global "throw", ["s"], throw, "Raises an error with the message *s*, which `tryEval` catches."),
    // An error of the value itself is none of `break`: no frame.
    BuiltinDef { trace: false, ..def!(global "break", ["v"], break_, "Returns *v*. A debugger would stop here.") },
    def!("trace", ["e1", "e2"], trace, "Prints *e1* to the standard error and returns *e2*."),
    def!("traceVerbose", ["e1", "e2"], trace_verbose, "As `trace`, but prints only if `trace-verbose` is set."),
    def!("warn", ["e1", "e2"], warn, "Prints the string *e1* as a warning and returns *e2*."),
    def!(
        "getEnv",
        ["s"],
        get_env,
        "The value of an environment variable; empty if it is not set, and in pure or \
        restricted evaluation."
    ),
];

fn abort(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = Context::EMPTY;
    let what = "while evaluating the error message passed to builtins.abort";
    let text = ev.coerce_to_string(args[0], pos, &mut context, what, Coerce::STRING)?;
    let mut message = b"evaluation aborted with the following error message: '".to_vec();
    message.extend_from_slice(&text);
    message.push(b'\'');
    Err(Error::new(ErrorKind::Abort, message).from_expr())
}

fn throw(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = Context::EMPTY;
    let what = "while evaluating the error message passed to builtin.throw";
    let text = ev.coerce_to_string(args[0], pos, &mut context, what, Coerce::STRING)?;
    Err(Error::new(ErrorKind::Throw, text).from_expr())
}

fn break_(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    ev.force(args[0], pos)
}

fn trace(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let forced = ev.force(args[0], pos)?;
    let mut line = b"trace: ".to_vec();
    match forced.as_str() {
        Some(string) => line.extend_from_slice(string.as_bytes()),
        None => line.extend(ev.show_value(args[0])),
    }
    ev.emit(Message::Trace(plain(&line)));
    ev.force(args[1], pos)
}

fn trace_verbose(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    if ev.settings.trace_verbose { trace(ev, args, pos) } else { ev.force(args[1], pos) }
}

fn warn(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument; the message passed to builtins.warn";
    let message = ev.force_string(args[0], pos, what)?;
    let report = Report { level: Level::EvaluationWarning, ..Report::error(message.as_bytes()) };
    ev.emit(Message::Report(report.render(false)));
    if ev.settings.abort_on_warn {
        let message = "aborting to reveal stack trace of warning, as abort-on-warn is set";
        return Err(Error::eval(message).from_expr());
    }
    ev.force(args[1], pos)
}

fn get_env(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.getEnv";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let hidden = ev.settings.pure_eval || ev.settings.restrict_eval;
    let value = if hidden { None } else { ev.host().env(name.as_bytes()) };
    Ok(ev.heap.string(&value.unwrap_or_default()))
}

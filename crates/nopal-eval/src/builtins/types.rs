//! Types of values, and what can be asked about functions.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::error::{Error, Result};
use crate::pos::Pos;
use crate::value::{AttrsBuilder, Value, View};

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(
        "typeOf",
        ["e"],
        type_of,
        "The name of the type of *e*: `\"int\"`, `\"bool\"`, `\"string\"`, `\"path\"`, \
        `\"null\"`, `\"set\"`, `\"list\"`, `\"lambda\"` or `\"float\"`."
    )
    .needs(0),
    def!(global "isNull", ["e"], is_null, "Whether *e* is `null`. Prefer `e == null`.").needs(0),
    def!("isFunction", ["e"], is_function, "Whether *e* is a function.").needs(0),
    def!("isInt", ["e"], is_int, "Whether *e* is an integer.").needs(0),
    def!("isFloat", ["e"], is_float, "Whether *e* is a floating point number.").needs(0),
    def!("isString", ["e"], is_string, "Whether *e* is a string.").needs(0),
    def!("isBool", ["e"], is_bool, "Whether *e* is a Boolean.").needs(0),
    def!("isPath", ["e"], is_path, "Whether *e* is a path.").needs(0),
    def!("isAttrs", ["e"], is_attrs, "Whether *e* is an attribute set.").needs(0),
    def!("isList", ["e"], is_list, "Whether *e* is a list.").needs(0),
    def!(
        "functionArgs",
        ["f"],
        function_args,
        "The formal arguments of *f* as a set: each name is true if the \
        argument has a default value. Empty if *f* takes a plain argument."
    )
    .needs(0),
];

fn type_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let name = match ev.force(args[0], pos)?.view() {
        View::Int(_) => "int",
        View::Bool(_) => "bool",
        View::Str(_) => "string",
        View::Path(_) => "path",
        View::Null => "null",
        View::Attrs(_) => "set",
        View::List(_) => "list",
        View::Float(_) => "float",
        View::Closure(_) | View::Builtin(_) | View::PartialApp(_) | View::Thunk => "lambda",
    };
    let name = ev.symbols.intern(name.as_bytes());
    Ok(ev.symbol_value(name))
}

macro_rules! type_test {
    ($($name:ident(|$value:ident| $test:expr))*) => {
        $(fn $name(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
            let $value = ev.force(args[0], pos)?;
            Ok(Value::bool($test))
        })*
    };
}

type_test! {
    is_null(|value| value == Value::NULL)
    is_function(|value| value.is_function())
    is_int(|value| value.as_int().is_some())
    is_float(|value| value.as_float().is_some())
    is_string(|value| value.as_str().is_some())
    is_bool(|value| value.as_bool().is_some())
    is_path(|value| value.as_path().is_some())
    is_attrs(|value| value.as_attrs().is_some())
    is_list(|value| value.as_list().is_some())
}

fn function_args(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let closure = match ev.force(args[0], pos)?.view() {
        View::Builtin(_) | View::PartialApp(_) => return Ok(ev.heap.empty_attrs()),
        View::Closure(closure) => closure,
        _ => return Err(Error::type_error("'functionArgs' requires a function").at(pos)),
    };
    let Some(formals) = &ev.function(closure.lambda())?.formals else { return Ok(ev.heap.empty_attrs()) };
    let mut attrs = AttrsBuilder::with_capacity(formals.list.len());
    for formal in formals.list {
        attrs.insert(formal.name, Value::bool(formal.default.is_some()), formal.pos);
    }
    Ok(attrs.finish(&mut ev.heap))
}

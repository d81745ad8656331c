//! Lists.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::code::ir::{Binary, Expr, Op};
use crate::error::{Error, Result};
use crate::pos::Pos;
use crate::pure::sort::{self, Order};
use crate::value::{AttrsBuilder, Closure, List, NixStr, Value, ValueVec, View};
use nopal_syntax::interner::sym;
use rustc_hash::FxHashMap;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!("elemAt", ["xs", "n"], elem_at, "Element *n* of the list *xs*, counted from zero.").needs(1),
    def!("head", ["list"], head, "The first element of a list.").needs(0),
    def!("tail", ["list"], tail, "The list without its first element.").needs(0),
    def!(global "map", ["f", "list"], map, "Applies *f* to every element; each application is evaluated when needed.")
        .needs(1),
    def!("filter", ["f", "list"], filter, "The elements for which *f* returns true.").needs(1),
    def!("elem", ["x", "xs"], elem, "Whether some element of *xs* equals *x*.").needs(1),
    def!("concatLists", ["lists"], concat_lists, "Joins a list of lists."),
    def!("length", ["e"], length, "The number of elements of a list.").needs(0),
    def!(
        "foldl'",
        ["op", "nul", "list"],
        foldl,
        "Combines the elements from the left with *op*, starting from *nul*; \
        every intermediate result is evaluated."
    ),
    def!("any", ["pred", "list"], any, "Whether *pred* returns true for at least one element."),
    def!("all", ["pred", "list"], all, "Whether *pred* returns true for every element."),
    def!(
        "genList",
        ["generator", "length"],
        gen_list,
        "The list of *generator* applied to 0, 1, … *length* - 1; each \
        application is evaluated when needed."
    )
    .needs(1),
    def!(
        "sort",
        ["comparator", "list"],
        sort_list,
        "Sorts a list stably; *comparator* says whether its first argument \
        belongs before its second."
    ),
    def!(
        "partition",
        ["pred", "list"],
        partition,
        "Splits a list: `right` has the elements for which *pred* returns \
        true, `wrong` the others."
    ),
    def!("groupBy", ["f", "list"], group_by, "Groups the elements by the string that *f* returns for each."),
    def!(
        "concatMap",
        ["f", "list"],
        concat_map,
        "Applies *f*, which returns lists, to every element and joins the \
        results."
    ),
];

fn elem_at(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let n = ev.force_int(args[1], pos, "while evaluating the second argument passed to 'builtins.elemAt'")?;
    let list = ev.force_list(args[0], pos, "while evaluating the first argument passed to 'builtins.elemAt'")?;
    match usize::try_from(n).ok().and_then(|n| list.get(n)) {
        Some(element) => ev.force(element, pos),
        None => {
            let size = list.len();
            let message = format!("'builtins.elemAt' called with index {n} on a list of size {size}");
            Err(Error::eval(message).at(pos))
        }
    }
}

fn head(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[0], pos, "while evaluating the first argument passed to 'builtins.head'")?;
    match list.get(0) {
        Some(first) => ev.force(first, pos),
        None => Err(Error::eval("'builtins.head' called on an empty list").at(pos)),
    }
}

fn tail(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[0], pos, "while evaluating the first argument passed to 'builtins.tail'")?;
    if list.is_empty() {
        return Err(Error::eval("'builtins.tail' called on an empty list").at(pos));
    }
    Ok(ev.heap.list_without_first(list, 1))
}

fn map(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.map")?;
    if list.is_empty() {
        return Ok(list.value());
    }
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.map")?;
    let mut result = ev.heap.list_builder(list.len());
    for (i, element) in list.iter().enumerate() {
        let application = ev.heap.app(f, &[element]);
        result.set(i, application);
    }
    Ok(result.finish())
}

fn filter(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.filter")?;
    if list.is_empty() {
        return Ok(list.value());
    }
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.filter")?;
    let mut kept = ValueVec::with_capacity(list.len());
    for element in list.iter() {
        let verdict = ev.call_one(f, element, Pos::NONE)?;
        let what = "while evaluating the return value of the filtering function passed to builtins.filter";
        if ev.force_bool(verdict, pos, what)? {
            kept.push(element);
        }
    }
    if kept.len() == list.len() {
        return Ok(list.value());
    }
    Ok(ev.heap.list(&kept))
}

fn elem(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.elem")?;
    for element in list.iter() {
        let what = "while searching for the presence of the given element in the list";
        if ev.equal(args[0], element, pos, what)? {
            return Ok(Value::TRUE);
        }
    }
    Ok(Value::FALSE)
}

fn concat_lists(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let lists = ev.force_list(args[0], pos, "while evaluating the first argument passed to builtins.concatLists")?;
    let mut parts = ValueVec::with_capacity(lists.len());
    for list in lists.iter() {
        let what = "while evaluating a value of the list passed to builtins.concatLists";
        parts.push(ev.force_list(list, pos, what)?.value());
    }
    join(ev, &parts)
}

/// Joins evaluated lists; if only one has elements, that list itself.
fn join(ev: &mut Evaluator, parts: &[Value]) -> Result<Value> {
    let lists = || parts.iter().filter_map(|p| p.as_list());
    let total = lists().map(List::len).sum::<usize>();
    if let Some(only) = lists().find(|l| !l.is_empty() && l.len() == total) {
        return Ok(only.value());
    }
    ev.check_list(total)?;
    let mut result = ev.heap.list_builder(total);
    let mut at = 0;
    for list in lists() {
        for element in list.iter() {
            result.set(at, element);
            at += 1;
        }
    }
    Ok(result.finish())
}

fn length(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[0], pos, "while evaluating the first argument passed to builtins.length")?;
    Ok(ev.heap.int(list.len() as i64))
}

fn foldl(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.foldlStrict")?;
    let list = ev.force_list(args[2], pos, "while evaluating the third argument passed to builtins.foldlStrict")?;
    let mut current = args[1];
    for element in list.iter() {
        current = ev.call(f, &[current, element], pos)?;
    }
    ev.force(current, pos)
}

fn any(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.any")?;
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.any")?;
    for element in list.iter() {
        let verdict = ev.call_one(f, element, pos)?;
        if ev.force_bool(verdict, pos, "while evaluating the return value of the function passed to builtins.any")? {
            return Ok(Value::TRUE);
        }
    }
    Ok(Value::FALSE)
}

fn all(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.all")?;
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.all")?;
    for element in list.iter() {
        let verdict = ev.call_one(f, element, pos)?;
        if !ev.force_bool(verdict, pos, "while evaluating the return value of the function passed to builtins.all")? {
            return Ok(Value::FALSE);
        }
    }
    Ok(Value::TRUE)
}

/// What an element that is not evaluated yet takes at least: a slot, and an application of one argument.
const GENERATED_BYTES: usize = 4 + 16;

fn gen_list(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let length = ev.force_int(args[1], pos, "while evaluating the second argument passed to builtins.genList")?;
    let impossible = || Err(Error::eval(format!("cannot create list of size {length}")).at(pos));
    if length < 0 {
        return impossible();
    }
    let what = "while evaluating the first argument passed to builtins.genList";
    let f = ev.force_function(args[0], Pos::NONE, what)?;
    // An object's length has 32 bits; a list that long would not fit the memory either.
    let Ok(count) = u32::try_from(length) else { return impossible() };
    ev.check_room(count as usize * GENERATED_BYTES)?;
    let mut result = ev.heap.list_builder(count as usize);
    for i in 0..count {
        let index = ev.heap.int(i64::from(i));
        let application = ev.heap.app(f, &[index]);
        result.set(i as usize, application);
    }
    Ok(result.finish())
}

fn sort_list(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.sort")?;
    if list.is_empty() {
        return Ok(list.value());
    }
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.sort")?;
    let mut items = ValueVec::with_capacity(list.len());
    for element in list.iter() {
        ev.force(element, pos)?;
        items.push(element);
    }
    let natural = matches!(f.view(), View::Builtin(def) if def.name == "lessThan");
    let order = match f.as_closure() {
        None if natural => Some(Order::Ascending),
        // the calls must not be so deep that they would fail
        Some(closure) if ev.depth + 2 < ev.settings.max_call_depth => order_of(ev, closure)?,
        _ => None,
    };
    if order.is_some_and(|order| sort_uniform(&mut items, order)) {
        return Ok(ev.heap.list(&items));
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    sort::sort(&mut order, |a, b| {
        let (a, b) = (items[*a], items[*b]);
        if natural {
            let what = "while evaluating the ordering function passed to builtins.sort";
            return ev.less_than(a, b, Pos::NONE, what);
        }
        let verdict = ev.call(f, &[a, b], Pos::NONE)?;
        let what = "while evaluating the return value of the sorting function passed to builtins.sort";
        ev.force_bool(verdict, pos, what)
    })?;
    let sorted: ValueVec = order.into_iter().map(|index| items[index]).collect();
    Ok(ev.heap.list(&sorted))
}

/// The order of a comparator that is `a: b: a < b` or the like.
fn order_of(ev: &mut Evaluator, closure: Closure) -> Result<Option<Order>> {
    let function = ev.function(closure.lambda())?;
    let (Some(last), 2) = (function.last, function.curried) else { return Ok(None) };
    let function = ev.function(last)?;
    let Expr::Binary(Binary { op, lhs, rhs, .. }) = &function.body else { return Ok(None) };
    if function.formals.is_some() {
        return Ok(None);
    }
    let parameter = |expr: &Expr| match expr {
        Expr::Local(slot, _) => function.before.parameter_in(*slot, 2),
        _ => None,
    };
    Ok(match (op, parameter(lhs), parameter(rhs)) {
        (Op::Less, Some(0), Some(1)) | (Op::Greater, Some(1), Some(0)) => Some(Order::Ascending),
        (Op::Less, Some(1), Some(0)) | (Op::Greater, Some(0), Some(1)) => Some(Order::Descending),
        _ => None,
    })
}

/// Sorts evaluated values that are all integers or all strings; their order is total, so every stable sort gives the
/// same result. False if they are neither.
fn sort_uniform(items: &mut [Value], order: Order) -> bool {
    let numbers: Option<Vec<i64>> = items.iter().map(|item| item.forced().as_int()).collect();
    let places = if let Some(numbers) = numbers {
        sort::order_of_numbers(&numbers, order)
    } else {
        let strings: Option<Vec<NixStr>> = items.iter().map(|item| item.forced().as_str()).collect();
        let Some(strings) = strings else { return false };
        sort::order_of_texts(strings.len(), |place| strings[place].as_bytes(), order)
    };
    let sorted: Vec<Value> = places.into_iter().map(|place| items[place]).collect();
    items.copy_from_slice(&sorted);
    true
}

fn partition(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.partition")?;
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.partition")?;
    let (mut right, mut wrong) = (ValueVec::new(), ValueVec::new());
    for element in list.iter() {
        ev.force(element, pos)?;
        let verdict = ev.call_one(f, element, pos)?;
        let what = "while evaluating the return value of the partition function passed to builtins.partition";
        let side = if ev.force_bool(verdict, pos, what)? { &mut right } else { &mut wrong };
        side.push(element);
    }
    let (right, wrong) = (ev.heap.list(&right), ev.heap.list(&wrong));
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.insert(sym::RIGHT, right, Pos::NONE);
    attrs.insert(sym::WRONG, wrong, Pos::NONE);
    Ok(attrs.finish(&mut ev.heap))
}

fn group_by(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.groupBy")?;
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.groupBy")?;
    let mut index = FxHashMap::default();
    let mut groups: Vec<ValueVec> = Vec::new();
    for element in list.iter() {
        let name = ev.call_one(f, element, pos)?;
        let what = "while evaluating the return value of the grouping function passed to builtins.groupBy";
        let name = ev.force_string_no_ctx(name, pos, what)?;
        let name = ev.symbol_of(name);
        let at = *index.entry(name).or_insert_with(|| {
            groups.push(ValueVec::new());
            groups.len() - 1
        });
        groups[at].push(element);
    }
    let mut attrs = AttrsBuilder::with_capacity(groups.len());
    for (name, at) in index {
        let group = ev.heap.list(&groups[at]);
        attrs.insert(name, group, Pos::NONE);
    }
    Ok(attrs.finish(&mut ev.heap))
}

fn concat_map(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let f = ev.force_function(args[0], pos, "while evaluating the first argument passed to builtins.concatMap")?;
    let list = ev.force_list(args[1], pos, "while evaluating the second argument passed to builtins.concatMap")?;
    let mut parts = ValueVec::with_capacity(list.len());
    for element in list.iter() {
        let part = ev.call_one(f, element, pos)?;
        let place = ev.determine_pos_or(part, ev.determine_pos_or(f, pos));
        let what = "while evaluating the return value of the function passed to builtins.concatMap";
        parts.push(ev.force_list(part, place, what)?.value());
    }
    join(ev, &parts)
}

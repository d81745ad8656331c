//! Regular expressions: `match` and `split`.

use std::cell::RefCell;
use std::rc::Rc;

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::{def, message};
use crate::error::{Error, Result};
use crate::pos::Pos;
use crate::pure::regex::{Groups, Regex, RegexCache, RegexError, Scratch};
use crate::value::{Value, ValueVec};

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(
        "match",
        ["regex", "str"],
        match_whole,
        "The groups of the POSIX extended regular expression *regex* if it \
        matches the whole of *str*, otherwise `null`."
    ),
    def!(
        "split",
        ["regex", "str"],
        split,
        "Splits *str* at the matches of *regex*: strings between matches \
        alternate with lists of groups."
    ),
];

thread_local! {
    // Compiled patterns hold no values of any evaluator, so one table per thread serves all of them.
    static CACHE: RefCell<RegexCache> = RefCell::new(RegexCache::default());
}

fn compiled(pattern: &[u8]) -> std::result::Result<(Rc<Regex>, Box<Scratch>), RegexError> {
    CACHE.with_borrow_mut(|cache| {
        let regex = cache.get(pattern)?;
        Ok((regex, cache.scratch.take().unwrap_or_default()))
    })
}

fn give_back(scratch: Box<Scratch>) {
    CACHE.with_borrow_mut(|cache| cache.scratch = Some(scratch));
}

#[cold]
fn regex_error(error: &RegexError, pos: Pos) -> Error {
    let text = match error {
        RegexError::Invalid { pattern } => message(&[b"invalid regular expression '", pattern, b"'"]),
        RegexError::Space { pattern } => message(&[b"memory limit exceeded by regular expression '", pattern, b"'"]),
    };
    Error::eval(text).at(pos)
}

fn groups_list(ev: &mut Evaluator, groups: &Groups, text: &[u8]) -> Value {
    let groups = groups.get(1..).unwrap_or_default();
    let mut list = ev.heap.list_builder(groups.len());
    for (i, group) in groups.iter().enumerate() {
        let value = match group {
            Some(range) => ev.heap.string(&text[range.clone()]),
            None => Value::NULL,
        };
        list.set(i, value);
    }
    list.finish()
}

fn match_whole(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.match";
    let pattern = ev.force_string_no_ctx(args[0], pos, what)?;
    // A bad pattern is reported before the string is evaluated.
    let (regex, mut scratch) = compiled(pattern.as_bytes()).map_err(|e| regex_error(&e, pos))?;
    let what = "while evaluating the second argument passed to builtins.match";
    let string = ev.force_string(args[1], pos, what)?;
    let found = regex.full_match(string.as_bytes(), &mut scratch);
    give_back(scratch);
    match found.map_err(|e| regex_error(&e, pos))? {
        None => Ok(Value::NULL),
        Some(groups) => Ok(groups_list(ev, &groups, string.as_bytes())),
    }
}

fn split(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.split";
    let pattern = ev.force_string_no_ctx(args[0], pos, what)?;
    let (regex, mut scratch) = compiled(pattern.as_bytes()).map_err(|e| regex_error(&e, pos))?;
    let what = "while evaluating the second argument passed to builtins.split";
    let string = ev.force_string(args[1], pos, what)?;
    let text = string.as_bytes();
    let mut parts = ValueVec::new();
    let mut at = 0;
    let mut matches = regex.matches(text);
    loop {
        let groups = match matches.next_match(&mut scratch) {
            Ok(Some(groups)) => groups,
            Ok(None) => break,
            Err(error) => return Err(regex_error(&error, pos)),
        };
        let Some(whole) = groups.first().cloned().flatten() else { break };
        let before = ev.heap.string(&text[at..whole.start]);
        parts.push(before);
        let groups = groups_list(ev, &groups, text);
        parts.push(groups);
        at = whole.end;
    }
    give_back(scratch);
    if parts.is_empty() {
        // The string itself, with its context.
        return Ok(ev.heap.list(&[args[1]]));
    }
    let rest = ev.heap.string(&text[at..]);
    parts.push(rest);
    Ok(ev.heap.list(&parts))
}

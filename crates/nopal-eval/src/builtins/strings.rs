//! Strings.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::def;
use crate::context::{Context, Gathered};
use crate::error::{Error, Result};
use crate::eval::coerce::Coerce;
use crate::pos::Pos;
use crate::pure::{text, version};
use crate::value::ValueVec;
use crate::value::{AttrsBuilder, Value};
use nopal_format::hash::sha256;
use nopal_syntax::interner::sym;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(global "toString", ["e"], to_string, "The string that *e* stands for; numbers, Booleans, null and lists, \
        too.")
    .needs(0),
    def!(
        "substring",
        ["start", "len", "s"],
        substring,
        "At most *len* bytes of *s* from byte *start* on; all of the \
        rest if *len* is negative."
    ),
    def!("stringLength", ["e"], string_length, "The number of bytes of a string."),
    def!("concatStringsSep", ["separator", "list"], concat_strings_sep, "Joins strings with a separator."),
    def!(
        "replaceStrings",
        ["from", "to", "s"],
        replace_strings,
        "Replaces every occurrence of a string in *from* by \
        its counterpart in *to*; where several match, the first one counts."
    ),
    def!("splitVersion", ["s"], split_version, "The components of a version."),
    def!(
        "parseDrvName",
        ["s"],
        parse_drv_name,
        "Splits a package name into `name` and `version` at the first dash \
        that is not followed by a letter."
    ),
    def!(global "placeholder", ["output"], placeholder, "The text that stands for the path of an output in the \
        attributes of its own derivation."),
];

fn to_string(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let forced = ev.force(args[0], pos)?;
    if forced.as_str().is_some() {
        return Ok(forced);
    }
    if let Some(i) = forced.as_small_int()
        && ev.may_enter()
    {
        return Ok(ev.heap.string(itoa::Buffer::new().format(i).as_bytes()));
    }
    let mut context = Context::EMPTY;
    let what = "while evaluating the first argument passed to builtins.toString";
    let text = ev.coerce_to_string(forced, pos, &mut context, what, Coerce::MORE)?;
    Ok(ev.heap.string_with(&text, context))
}

fn substring(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument (the start offset) passed to builtins.substring";
    let start = ev.force_int(args[0], pos, what)?;
    let Ok(start) = u64::try_from(start) else {
        return Err(Error::eval("negative start position in 'substring'").at(pos));
    };
    let what = "while evaluating the second argument (the substring length) passed to builtins.substring";
    let length = ev.force_int(args[1], pos, what)?;
    let forced = ev.force(args[2], pos);
    if length == 0
        && let Ok(Some(string)) = forced.as_ref().map(|v| v.as_str())
    {
        return Ok(ev.heap.string_with(b"", string.context()));
    }
    let what = "while evaluating the third argument (the string) passed to builtins.substring";
    if let Ok(Some(string)) = forced.as_ref().map(|v| v.as_str()) {
        let part = text::substring(string.as_bytes(), start, length);
        return Ok(ev.heap.string_with(part, string.context()));
    }
    let mut context = Context::EMPTY;
    forced?;
    let string = ev.coerce_to_string(args[2], pos, &mut context, what, Coerce::STRING)?;
    Ok(ev.heap.string_with(text::substring(&string, start, length), context))
}

fn string_length(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let forced = ev.force(args[0], pos)?;
    if let Some(string) = forced.as_str() {
        return Ok(ev.heap.int(string.as_bytes().len() as i64));
    }
    let what = "while evaluating the argument passed to builtins.stringLength";
    let mut context = Context::EMPTY;
    let string = ev.coerce_to_string(args[0], pos, &mut context, what, Coerce::STRING)?;
    Ok(ev.heap.int(string.len() as i64))
}

fn concat_strings_sep(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument (the separator string) passed to builtins.concatStringsSep";
    let separator = ev.force_string(args[0], pos, what)?;
    let what = "while evaluating the second argument (the list of strings to concat) passed to \
                builtins.concatStringsSep";
    let list = ev.force_list(args[1], pos, what)?;
    let mut contexts = Gathered::default();
    contexts.add(separator.context());
    let mut out = Vec::new();
    for (i, element) in list.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(separator.as_bytes());
        }
        let what = "while evaluating one element of the list of strings to concat passed to builtins.concatStringsSep";
        if let Some(string) = element.follow().as_str() {
            contexts.add(string.context());
            ev.check_text(out.len() + string.as_bytes().len())?;
            out.extend_from_slice(string.as_bytes());
        } else {
            let mut context = Context::EMPTY;
            ev.coerce_into(element, pos, &mut context, what, Coerce::STRING, &mut out)?;
            contexts.add(context);
        }
    }
    let context = contexts.union(&mut ev.contexts);
    Ok(ev.heap.string_with(&out, context))
}

fn replace_strings(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.replaceStrings";
    let from = ev.force_list(args[0], pos, what)?;
    let what = "while evaluating the second argument passed to builtins.replaceStrings";
    let to = ev.force_list(args[1], pos, what)?;
    if from.len() != to.len() {
        let message = "'from' and 'to' arguments passed to builtins.replaceStrings have different lengths";
        return Err(Error::eval(message).at(pos));
    }
    let mut patterns = Vec::with_capacity(from.len());
    for pattern in from.iter() {
        let what = "while evaluating one of the strings to replace passed to builtins.replaceStrings";
        patterns.push(ev.force_string(pattern, pos, what)?);
    }
    let what = "while evaluating the third argument passed to builtins.replaceStrings";
    let string = ev.force_string(args[2], pos, what)?;
    let mut context = string.context();
    let patterns: Vec<&[u8]> = patterns.iter().map(|p| p.as_bytes()).collect();
    let mut forced = vec![None; to.len()];
    let out = text::replace(string.as_bytes(), &patterns, |i, out| {
        let replacement = match forced[i] {
            Some(replacement) => replacement,
            None => {
                let what = "while evaluating one of the replacement strings passed to builtins.replaceStrings";
                let replacement = ev.force_string(to.at(i), pos, what)?;
                context = ev.contexts.union(context, replacement.context());
                forced[i] = Some(replacement);
                replacement
            }
        };
        ev.check_text(out.len() + replacement.as_bytes().len())?;
        out.extend_from_slice(replacement.as_bytes());
        Ok::<_, Error>(())
    })?;
    Ok(ev.heap.string_with(&out, context))
}

fn split_version(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.splitVersion";
    let string = ev.force_string_no_ctx(args[0], pos, what)?;
    let parts: ValueVec = version::components(string.as_bytes()).map(|c| ev.heap.string(c)).collect();
    Ok(ev.heap.list(&parts))
}

fn parse_drv_name(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.parseDrvName";
    let string = ev.force_string_no_ctx(args[0], pos, what)?;
    let (name, version) = version::split_name(string.as_bytes());
    let (name, version) = (ev.heap.string(name), ev.heap.string(version));
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.insert(sym::NAME, name, Pos::NONE);
    attrs.insert(ev.symbols.intern(b"version"), version, Pos::NONE);
    Ok(attrs.finish(&mut ev.heap))
}

fn placeholder(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.placeholder";
    let output = ev.force_string_no_ctx(args[0], pos, what)?;
    // As `hash_placeholder`, for output names that need not be UTF-8.
    let hash = sha256(&[b"nix-output:", output.as_bytes()].concat());
    Ok(ev.heap.string(format!("/{}", hash.nix32()).as_bytes()))
}

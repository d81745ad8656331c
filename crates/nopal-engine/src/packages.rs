//! The derivations that a value stands for: itself, or those in it. Follows Nix in what is looked into, in what order, and
//! in what an error says.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use nopal_eval::context::Context;
use nopal_eval::uses::{Parts, UseSet};
use nopal_eval::value::Attrs;
use nopal_eval::{Error, Evaluator, Pos, Value, View};
use nopal_format::StorePath;

use crate::realise::Wanted;
use crate::recorded::Answer;

/// Which outputs are wanted of a derivation that a value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// The one that the value itself is, as `nix-build` and `nix-instantiate` take it.
    Chosen,
    /// Those that the derivation is installed with.
    Installed,
}

/// The derivations that a value stands for, each once, in order of attribute names. If one of them fails, `made` gets
/// those before it.
pub(crate) fn derivations(
    evaluator: &mut Evaluator,
    value: Value,
    args: Attrs,
    attr: &str,
    outputs: Outputs,
    made: &mut Vec<Wanted>,
) -> Result<Vec<Wanted>, Error> {
    let parts = evaluator.parts.take();
    let (found, done, sets, known) = Default::default();
    let mut search = Search { args, outputs, found, late: None, done, parts, sets, known };
    let result = search.all(evaluator, value, attr);
    evaluator.parts = search.parts;
    result?;
    match search.late {
        None => Ok(search.found),
        Some(error) => {
            *made = search.found;
            Err(error)
        }
    }
}

struct Search {
    args: Attrs,
    outputs: Outputs,
    found: Vec<Wanted>,
    /// What is wrong with the first derivation that has a name and nothing else. Nix looks for all derivations before it
    /// evaluates the first: what fails when the others are looked for is reported before this, and this without the way
    /// to it.
    late: Option<Error>,
    /// Sets that were taken, by their words, and the parts in which they were.
    done: BTreeMap<u64, usize>,
    /// The parts of the answer, if somebody wants to know them.
    parts: Option<Parts>,
    /// What each part uses that was evaluated.
    sets: Vec<UseSet>,
    /// Derivations of parts that were not.
    known: BTreeSet<StorePath>,
}

impl Search {
    fn all(&mut self, evaluator: &mut Evaluator, value: Value, attr: &str) -> Result<(), Error> {
        let pos = evaluator.determine_pos(value);
        evaluator.enter(pos)?;
        let result = self.all_level(evaluator, value, attr);
        evaluator.leave();
        result
    }

    fn all_level(&mut self, evaluator: &mut Evaluator, value: Value, attr: &str) -> Result<(), Error> {
        let called = evaluator.auto_call(value, self.args)?;
        let value = evaluator.force(called, Pos::NONE)?;
        if self.one(evaluator, value, attr)? {
            return Ok(());
        }
        match value.view() {
            View::Attrs(attrs) => {
                let combine = evaluator.symbols.intern(b"_combineChannels");
                let combine = attrs.get(combine).is_some();
                let members = attrs.sorted(&evaluator.symbols);
                let mut parts = self.begin_parts(evaluator, members.len());
                for (name, pos, member) in members.iter().copied() {
                    let name = evaluator.symbols.get(name);
                    if !is_path_component(name) {
                        continue;
                    }
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.part(evaluator, &mut parts, &name, |search, evaluator| {
                        search.member(evaluator, member, &join(attr, &name), combine)
                    })
                    .map_err(|error| error.trace(pos, format!("while evaluating the attribute '{name}'")))?;
                }
                self.parts = parts;
                Ok(())
            }
            View::List(list) => {
                let mut parts = self.begin_parts(evaluator, list.len());
                for (index, member) in list.iter().enumerate() {
                    let index = index.to_string();
                    self.part(evaluator, &mut parts, &index, |search, evaluator| {
                        let path = join(attr, &index);
                        match search.one(evaluator, member, &path)? {
                            true => Ok(()),
                            false => search.all(evaluator, member, &path),
                        }
                    })?;
                }
                self.parts = parts;
                Ok(())
            }
            _ => {
                let message = "expression does not evaluate to a derivation (or a set or list of those)";
                Err(Error::type_error(message))
            }
        }
    }

    /// The parts, if the members of what is looked at are those.
    fn begin_parts(&mut self, evaluator: &Evaluator, count: usize) -> Option<Parts> {
        let parts = self.parts.take()?;
        parts.begin(count, &evaluator.uses);
        let known = parts.known.values().filter_map(|known| Vec::<Wanted>::from_record(known)).flatten();
        self.known = known.map(|wanted| wanted.drv_path).collect();
        Some(parts)
    }

    /// Takes the derivations of a member, which is perhaps a part of the answer.
    fn part(
        &mut self,
        evaluator: &mut Evaluator,
        parts: &mut Option<Parts>,
        name: &str,
        take: impl FnOnce(&mut Self, &mut Evaluator) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(parts) = parts else { return take(self, evaluator) };
        if let Some(known) = parts.next_known(name.as_bytes()) {
            let known = Vec::<Wanted>::from_record(known).ok_or_else(|| Error::eval("a record was damaged"))?;
            self.found.extend(known);
            self.sets.push(UseSet::EMPTY);
            return Ok(());
        }
        let (begin, used) = (self.found.len(), evaluator.uses.height());
        take(self, evaluator)?;
        let found = self.found[begin..].to_vec();
        self.sets.push(parts.add(name.as_bytes().to_vec(), &found.to_record(), &evaluator.uses, used));
        Ok(())
    }

    /// A member counts if it is a derivation, or a set that asks for it with `recurseForDerivations`.
    fn member(&mut self, evaluator: &mut Evaluator, value: Value, attr: &str, combine: bool) -> Result<(), Error> {
        if combine {
            return self.all(evaluator, value, attr);
        }
        if self.one(evaluator, value, attr)? {
            return Ok(());
        }
        let View::Attrs(attrs) = evaluator.force(value, Pos::NONE)?.view() else { return Ok(()) };
        let name = evaluator.symbols.intern(b"recurseForDerivations");
        let Some((recurse, pos)) = attrs.get_with_pos(name) else { return Ok(()) };
        let what = "while evaluating the attribute `recurseForDerivations`";
        match evaluator.force_bool(recurse, pos, what)? {
            true => self.all(evaluator, value, attr),
            false => Ok(()),
        }
    }

    /// Takes a value if it is a derivation, and says whether it is one.
    fn one(&mut self, evaluator: &mut Evaluator, value: Value, attr: &str) -> Result<bool, Error> {
        let pos = evaluator.determine_pos(value);
        let value = evaluator.force(value, pos)?;
        let View::Attrs(attrs) = value.view() else { return Ok(false) };
        if !evaluator.is_derivation(attrs)? {
            return Ok(false);
        }
        match self.done.entry(attrs.value().bits()) {
            Entry::Occupied(before) => {
                // that it is left out here depends on what is there
                if let Some(set) = self.sets.get(*before.get()) {
                    evaluator.uses.take(*set);
                }
            }
            Entry::Vacant(place) => {
                place.insert(self.sets.len());
                // or another one might come to lie in its place
                evaluator.heap.keep(attrs.value());
                check_name(evaluator, attrs)?;
                if self.late.is_some() {
                    return Ok(true);
                }
                let wanted = match wanted(evaluator, attrs, attr, self.outputs) {
                    Ok(wanted) => wanted,
                    Err(error) => {
                        self.late = Some(error);
                        return Ok(true);
                    }
                };
                if self.known.contains(&wanted.drv_path) {
                    // it may be the very set of a part that was not evaluated, and then is to be left out
                    return Err(Error::eval("a derivation may have been taken before"));
                }
                self.found.push(wanted);
            }
        }
        Ok(true)
    }
}

/// Whether an attribute's name can stand in a path without quotes.
fn is_path_component(name: &[u8]) -> bool {
    let Some((first, rest)) = name.split_first() else { return false };
    (first.is_ascii_alphabetic() || *first == b'_')
        && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+'))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn check_name(evaluator: &mut Evaluator, attrs: Attrs) -> Result<(), Error> {
    let name = evaluator.symbols.intern(b"name");
    let Some(name) = attrs.get(name) else {
        return Err(Error::type_error("derivation name missing"));
    };
    let what = "while evaluating the 'name' attribute of a derivation";
    evaluator.force_string_no_ctx(name, Pos::NONE, what).map(drop)
}

/// Derivation and outputs that a derivation value stands for.
pub(crate) fn installed(evaluator: &mut Evaluator, attrs: Attrs, attr: &str) -> Result<Wanted, Error> {
    check_name(evaluator, attrs)?;
    wanted(evaluator, attrs, attr, Outputs::Installed)
}

fn wanted(evaluator: &mut Evaluator, attrs: Attrs, attr: &str, outputs: Outputs) -> Result<Wanted, Error> {
    let what = "while evaluating the 'drvPath' attribute of a derivation";
    let name = evaluator.symbols.intern(b"drvPath");
    let Some((value, pos)) = attrs.get_with_pos(name) else {
        return Err(Error::eval("derivation does not contain a 'drvPath' attribute"));
    };
    let mut context = Context::EMPTY;
    let drv_path = evaluator.coerce_to_store_path(value, pos, &mut context, what)?;
    if !drv_path.is_derivation() {
        let message = format!("store path '{}' is not a valid derivation path", drv_path.base_name());
        return Err(Error::eval(message).trace(pos, what));
    }
    let name = evaluator.symbols.intern(b"outputName");
    let output = match attrs.get(name) {
        Some(value) => {
            let what = "while evaluating the output name of a derivation";
            evaluator.force_string_no_ctx(value, Pos::NONE, what)?.to_lossy().into_owned()
        }
        None => String::new(),
    };
    let outputs = match outputs {
        Outputs::Chosen => vec![output.clone()],
        Outputs::Installed => outputs_to_install(evaluator, attrs, &output)?,
    };
    Ok(Wanted { drv_path, outputs, output, attr: attr.to_owned() })
}

/// The outputs that the derivation is installed with: the one that was chosen, those of `meta.outputsToInstall`, or all.
fn outputs_to_install(evaluator: &mut Evaluator, attrs: Attrs, chosen: &str) -> Result<Vec<String>, Error> {
    let all = output_names(evaluator, attrs)?;
    let name = evaluator.symbols.intern(b"outputSpecified");
    if let Some((value, pos)) = attrs.get_with_pos(name) {
        let what = "while evaluating the 'outputSpecified' attribute of a derivation";
        if evaluator.force_bool(value, pos, what)? {
            if !all.contains(chosen) {
                return Err(Error::eval(format!("derivation does not have output '{chosen}'")));
            }
            return Ok(vec![chosen.to_owned()]);
        }
    }
    let everything = || all.iter().cloned().collect();
    let (meta, names) = (evaluator.symbols.intern(b"meta"), evaluator.symbols.intern(b"outputsToInstall"));
    let Some((meta, pos)) = attrs.get_with_pos(meta) else { return Ok(everything()) };
    let meta = evaluator.force_attrs(meta, pos, "while evaluating the 'meta' attribute of a derivation")?;
    let Some(names) = meta.get(names) else { return Ok(everything()) };
    let bad = || Error::eval("this derivation has bad 'meta.outputsToInstall'");
    let View::List(list) = evaluator.force(names, Pos::NONE)?.view() else { return Err(bad()) };
    let mut wanted = BTreeSet::new();
    for name in list.iter() {
        let View::Str(name) = evaluator.force(name, Pos::NONE)?.view() else { return Err(bad()) };
        let name = name.to_lossy().into_owned();
        if !all.contains(&name) {
            return Err(bad());
        }
        wanted.insert(name);
    }
    Ok(wanted.into_iter().collect())
}

/// The names in the attribute `outputs`.
fn output_names(evaluator: &mut Evaluator, attrs: Attrs) -> Result<BTreeSet<String>, Error> {
    let name = evaluator.symbols.intern(b"outputs");
    let Some((value, pos)) = attrs.get_with_pos(name) else { return Ok(BTreeSet::from(["out".to_owned()])) };
    let list = evaluator.force_list(value, pos, "while evaluating the 'outputs' attribute of a derivation")?;
    let mut names = BTreeSet::new();
    for name in list.iter() {
        let what = "while evaluating the name of an output of a derivation";
        names.insert(evaluator.force_string_no_ctx(name, pos, what)?.to_lossy().into_owned());
    }
    Ok(names)
}

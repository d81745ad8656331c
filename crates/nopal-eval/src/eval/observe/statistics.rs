//! The counters of an observed evaluation, and what of them is Nix's and what is ours.

use nopal_syntax::Symbol;

use crate::code::observed::Counts;
use crate::eval::Evaluator;
use crate::pos::{Origin, Pos};
use crate::value::{List, Value, View};

/// Room in the set `builtins` as Nix makes it, and in the environment of the builtins.
const BASE_SIZE: u64 = 128;

/// How often a function was called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionCalls {
    /// The attribute it was bound to.
    pub name: Option<String>,
    /// The file it is in; none if it is in none.
    pub file: Option<String>,
    /// Line and column, from 1.
    pub line: u32,
    /// See `line`.
    pub column: u32,
    /// Calls.
    pub count: u64,
}

/// Counters of an evaluation. Those of calls, lookups, updates, concatenations, thunks and environments count what Nix's
/// evaluator does for the same program, whether or not ours does the same. Sizes and bytes are those of ours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Calls of functions written in Nix.
    pub function_calls: u64,
    /// Calls of builtins, operators included.
    pub builtin_calls: u64,
    /// Steps of selections.
    pub lookups: u64,
    /// Sets merged by `//`.
    pub updates: u64,
    /// Attributes that Nix copies for that.
    pub values_copied: u64,
    /// Thunks made.
    pub thunks: u64,
    /// Thunks that were not needed.
    pub avoided: u64,
    /// Environments.
    pub envs: u64,
    /// Variables in environments.
    pub env_values: u64,
    /// Sets made.
    pub sets: u64,
    /// Attributes there was room for in them.
    pub attrs: u64,
    /// Elements of lists made.
    pub elements: u64,
    /// Concatenations of lists.
    pub concats: u64,
    /// Nodes of syntax trees, as our parser makes them.
    pub exprs: u64,
    /// Names, ours.
    pub symbols: u64,
    /// Bytes of names.
    pub symbol_bytes: u64,
    /// Bytes of values.
    pub value_bytes: u64,
    /// How often the collector ran.
    pub collections: u64,
    /// The functions that were called, by place.
    pub functions: Vec<FunctionCalls>,
    /// The builtins that were called, by name.
    pub builtins: Vec<(String, u64)>,
}

impl Evaluator {
    /// The counters so far; `None` if the evaluation is not observed.
    pub fn statistics(&self) -> Option<Statistics> {
        let observer = self.observer.as_ref()?;
        let mut functions: Vec<_> = observer.functions.iter().map(|f| (f.pos, f.name, f.calls.get())).collect();
        functions.sort_by_key(|(pos, ..)| *pos);
        let functions = functions.into_iter().map(|(pos, name, count)| {
            let name = name.map(|name| self.symbol_name(name).into_owned());
            self.function_calls(name, pos, count)
        });
        let mut builtins: Vec<(String, u64)> =
            observer.builtins.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        builtins.sort();
        let counts = &observer.counts;
        let entries = self.settings.nix_path.len() as u64;
        Some(Statistics {
            function_calls: observer.function_calls,
            builtin_calls: observer.builtin_calls,
            lookups: observer.lookups,
            updates: observer.updates,
            values_copied: observer.values_copied,
            thunks: counts.thunks,
            avoided: counts.avoided,
            envs: counts.envs + 1,
            env_values: counts.env_values + BASE_SIZE,
            // `builtins`, and in it the search path, a list of pairs
            sets: counts.sets + 1 + entries,
            attrs: counts.attrs + BASE_SIZE + 2 * entries,
            elements: counts.elements + entries,
            concats: counts.concats,
            exprs: observer.exprs,
            symbols: self.symbols.len() as u64,
            symbol_bytes: self.symbols.bytes() as u64,
            value_bytes: self.heap.allocated_bytes(),
            collections: self.heap.collections(),
            functions: functions.collect(),
            builtins,
        })
    }

    /// All names that there are, in the order of their symbols.
    pub fn all_names(&self) -> Vec<String> {
        let names = (0..self.symbols.len()).map(Symbol::from_index);
        names.map(|name| self.symbol_name(name).into_owned()).collect()
    }

    fn function_calls(&self, name: Option<String>, pos: Pos, count: u64) -> FunctionCalls {
        let Some(location) = self.positions.locate(pos) else {
            return FunctionCalls { name, file: None, line: 0, column: 0, count };
        };
        let file = match &location.source.origin {
            Origin::File { root, path } => Some(String::from_utf8_lossy(&self.shown_path(*root, path)).into_owned()),
            Origin::Text | Origin::Stdin => None,
        };
        FunctionCalls { name, file, line: location.line, column: location.column, count }
    }
}

/// The sets and lists that Nix makes in a builtin that has returned `result`.
pub(super) fn made_by(name: &str, args: &[Value], result: Value) -> Counts {
    let mut made = Counts::default();
    let size = |value: Option<&Value>| match value.map(|value| value.follow().view()) {
        Some(View::Attrs(attrs)) => attrs.len() as u64,
        Some(View::List(list)) => list.len() as u64,
        _ => 0,
    };
    let mut set = |room: u64| {
        if room > 0 {
            made.sets += 1;
            made.attrs += room;
        }
    };
    match name {
        "mapAttrs" | "functionArgs" | "tryEval" | "parseDrvName" | "readDir" | "derivationStrict"
        | "unsafeGetAttrPos" => {
            set(size(Some(&result)));
        }
        "zipAttrsWith" => {
            set(size(Some(&result)));
            if let Some(View::List(sets)) = args.get(1).map(|list| list.follow().view()) {
                made.elements += sets.iter().map(|set| size(Some(&set))).sum::<u64>();
            }
        }
        "fromJSON" | "fromTOML" => made = made_whole(result),
        "removeAttrs" => set(size(args.first())),
        "listToAttrs" => set(size(args.first())),
        "intersectAttrs" => set(size(args.first()).min(size(args.get(1)))),
        "groupBy" | "partition" => {
            set(size(Some(&result)));
            if let View::Attrs(attrs) = result.follow().view() {
                made.elements += attrs.iter().map(|(_, list, _)| size(Some(&list))).sum::<u64>();
            }
        }
        "concatLists" => {
            if let Some(View::List(lists)) = args.first().map(|list| list.follow().view()) {
                made.add(&concatenated(lists.iter()));
            }
        }
        "filter" if size(args.get(1)) == size(Some(&result)) => {}
        "split" => made = made_whole(result),
        "map" | "filter" | "genList" | "attrNames" | "attrValues" | "sort" | "concatMap" | "tail" | "match"
        | "splitVersion" | "catAttrs" | "genericClosure" => made.elements += size(Some(&result)),
        _ => {}
    }
    made
}

/// What Nix makes when it concatenates lists: nothing if only one has elements.
pub(super) fn concatenated(lists: impl Iterator<Item = Value>) -> Counts {
    let mut sizes: Vec<usize> = lists.filter_map(|list| list.follow().as_list()).map(List::len).collect();
    sizes.retain(|size| *size > 0);
    let elements = if sizes.len() > 1 { sizes.iter().sum::<usize>() as u64 } else { 0 };
    Counts { concats: 1, elements, ..Counts::default() }
}

/// A value made with everything in it.
fn made_whole(value: Value) -> Counts {
    let mut made = Counts::default();
    match value.follow().view() {
        View::Attrs(attrs) if !attrs.is_empty() => {
            (made.sets, made.attrs) = (1, attrs.len() as u64);
            attrs.iter().for_each(|(_, inner, _)| made.add(&made_whole(inner)));
        }
        View::List(list) => {
            made.elements = list.len() as u64;
            list.iter().for_each(|inner| made.add(&made_whole(inner)));
        }
        _ => {}
    }
    made
}

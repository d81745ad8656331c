//! Store objects that evaluation does not make: outputs of derivations by reference, and closures from binary caches.

use nopal_format::{SingleDerivedPath, StorePath};

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::{def, message};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::host::ClosureRequest;
use crate::pos::Pos;
use crate::value::{Attrs, Value};

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(feature "dynamic-derivations", "outputOf", ["derivation-reference", "output-name"], output_of, "The path of an \
        output of a derivation, or what stands for it. The derivation may itself be an output."),
    def!(feature "fetch-closure", "fetchClosure", ["args"], fetch_closure, "A store path with its closure, copied from \
        a binary cache."),
];

fn output_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument to builtins.outputOf";
    let drv = ev.coerce_to_derived_path(args[0], pos, what)?;
    let what = "while evaluating the second argument to builtins.outputOf";
    let output = ev.force_string_no_ctx(args[1], pos, what)?.to_lossy().into_owned();
    ev.derived_path_string(SingleDerivedPath::built(drv, output))
}

/// What `fetchClosure` was given.
#[derive(Default)]
struct Arguments {
    from_store: Option<String>,
    from_path: Option<StorePath>,
    /// Present and empty: the path is asked for.
    to_path: Option<Option<StorePath>>,
    input_addressed: bool,
}

fn arguments(ev: &mut Evaluator, attrs: Attrs, pos: Pos) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    for (key, value, place) in attrs.iter() {
        let mut context = Context::EMPTY;
        let name = ev.symbols.get(key).to_vec();
        let what = format!(
            "while evaluating the attribute '{}' passed to builtins.fetchClosure",
            String::from_utf8_lossy(&name)
        );
        match name.as_slice() {
            b"fromPath" => {
                arguments.from_path = Some(ev.coerce_to_store_path(value, place, &mut context, &what)?);
            }
            b"toPath" => {
                let forced = ev.force(value, place)?;
                let is_empty = forced.as_str().is_some_and(|text| text.as_bytes().is_empty());
                arguments.to_path = Some(match is_empty {
                    true => None,
                    false => Some(ev.coerce_to_store_path(value, place, &mut context, &what)?),
                });
            }
            b"fromStore" => {
                arguments.from_store = Some(ev.force_string_no_ctx(value, place, &what)?.to_lossy().into_owned());
            }
            b"inputAddressed" => arguments.input_addressed = ev.force_bool(value, place, &what)?,
            _ => {
                let text = message(&[b"attribute '", &name, b"' isn't supported in call to 'fetchClosure'"]);
                return Err(Error::eval(text).at(pos));
            }
        }
    }
    Ok(arguments)
}

fn missing(name: &str, pos: Pos) -> Error {
    Error::eval(format!("attribute '{name}' is missing in call to 'fetchClosure'")).at(pos)
}

/// Fails unless a store's address may be used.
fn check_store(ev: &Evaluator, address: &str, pos: Pos) -> Result<()> {
    let (without_query, query) = address.split_once('?').unwrap_or((address, ""));
    let scheme = without_query.split_once("://").map(|(scheme, _)| scheme);
    // Nix's own tests have no web server
    let in_test = || ev.host().env(b"_NIX_IN_TEST").is_some();
    let is_allowed = matches!(scheme, Some("http" | "https")) || scheme == Some("file") && in_test();
    if !is_allowed {
        return Err(Error::eval("'fetchClosure' only supports http:// and https:// stores").at(pos));
    }
    if query.is_empty() {
        return Ok(());
    }
    let text = format!("'fetchClosure' does not support URL query parameters (in '{address}')");
    Err(Error::eval(text).at(pos))
}

fn fetch_closure(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.fetchClosure";
    let attrs = ev.force_attrs(args[0], pos, what)?;
    let arguments = arguments(ev, attrs, pos)?;
    let from_path = arguments.from_path.ok_or_else(|| missing("fromPath", pos))?;
    if arguments.input_addressed && arguments.to_path.is_some() {
        let text = "attribute 'inputAddressed' is set to true, but 'toPath' is also set. Please remove one of them";
        return Err(Error::eval(text).at(pos));
    }
    let store = arguments.from_store.ok_or_else(|| missing("fromStore", pos))?;
    check_store(ev, &store, pos)?;
    let fetch = Fetch { store: &store, from: &from_path, pos };
    let path = match arguments.to_path {
        Some(to) => fetch.rewritten(ev, to)?,
        None => fetch.as_it_is(ev, arguments.input_addressed)?,
    };
    Ok(ev.store_path_string(&path))
}

struct Fetch<'a> {
    store: &'a str,
    from: &'a StorePath,
    pos: Pos,
}

impl Fetch<'_> {
    fn failed(&self, text: String) -> Error {
        Error::eval(text).at(self.pos)
    }

    fn is_valid(&self, ev: &Evaluator, path: &StorePath) -> Result<bool> {
        ev.host().ensure_path(path).map_err(|error| ev.host_error(error, Pos::NONE))
    }

    fn copy(&self, ev: &Evaluator, rewrite: bool) -> Result<StorePath> {
        let request = ClosureRequest { store: self.store, path: self.from, rewrite };
        ev.host().fetch_closure(&request).map_err(|error| ev.host_error(error, Pos::NONE))
    }

    /// Lets the closure be read; says whether the path is content-addressed.
    fn admit(&self, ev: &mut Evaluator, path: &StorePath) -> Result<bool> {
        let host = ev.host();
        let info = host.closure_info(path).map_err(|error| ev.host_error(error, Pos::NONE))?;
        ev.allow_closure(path);
        Ok(info.is_content_addressed)
    }

    /// The closure with content addresses.
    fn rewritten(&self, ev: &mut Evaluator, to: Option<StorePath>) -> Result<StorePath> {
        let print = |ev: &Evaluator, path: &StorePath| ev.settings.store_dir.print(path);
        let known = match &to {
            Some(to) => self.is_valid(ev, to)?,
            None => false,
        };
        let path = match (to, known) {
            (Some(to), true) => to,
            (to, _) => {
                let rewritten = self.copy(ev, true)?;
                let (from, got) = (print(ev, self.from), print(ev, &rewritten));
                match to {
                    Some(to) if to == rewritten => to,
                    Some(to) => {
                        let expected = print(ev, &to);
                        return Err(self.failed(format!(
                            "rewriting '{from}' to content-addressed form yielded '{got}', while '{expected}' was \
                             expected"
                        )));
                    }
                    None => {
                        return Err(self.failed(format!(
                            "rewriting '{from}' to content-addressed form yielded '{got}'\nUse this value for the \
                             'toPath' attribute passed to 'fetchClosure'"
                        )));
                    }
                }
            }
        };
        if !self.admit(ev, &path)? {
            return Err(self.failed(format!(
                "The 'toPath' value '{}' is input-addressed, so it can't possibly be the result of rewriting to a \
                 content-addressed path.\n\nSet 'toPath' to an empty string to make Nix report the correct \
                 content-addressed path.",
                print(ev, &path)
            )));
        }
        Ok(path)
    }

    /// The closure as it is in the cache.
    fn as_it_is(&self, ev: &mut Evaluator, input_addressed: bool) -> Result<StorePath> {
        if !self.is_valid(ev, self.from)? {
            self.copy(ev, false)?;
        }
        let is_content_addressed = self.admit(ev, self.from)?;
        let printed = ev.settings.store_dir.print(self.from);
        match (is_content_addressed, input_addressed) {
            (true, true) => Err(self.failed(format!(
                "The store object referred to by 'fromPath' at '{printed}' is not input-addressed, but \
                 'inputAddressed' is set to 'true'.\n\nRemove the 'inputAddressed' attribute (it defaults to 'false') \
                 to expect 'fromPath' to be content-addressed"
            ))),
            (false, false) => Err(self.failed(format!(
                "The 'fromPath' value '{printed}' is input-addressed, but 'inputAddressed' is set to 'false' \
                 (default).\n\nIf you do intend to fetch an input-addressed store path, add\n\n    inputAddressed = \
                 true;\n\nto the 'fetchClosure' arguments.\n\nNote that to ensure authenticity input-addressed store \
                 paths, users must configure a trusted binary cache public key on their systems. This is not needed for \
                 content-addressed paths."
            ))),
            _ => Ok(self.from.clone()),
        }
    }
}

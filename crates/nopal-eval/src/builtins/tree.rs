//! `fetchTree` and `fetchGit`: trees of all schemes that inputs of flakes have.

use nopal_format::flake::git::fix_git_url;
use nopal_format::flake::input::FINAL;
use nopal_format::flake::{Attr, Attrs as InputAttrs, Input, Url};
use nopal_syntax::interner::sym;

use crate::Evaluator;
use crate::builtin::{BuiltinDef, Scope};
use crate::builtins::flake::{check_feature, check_kind, reading};
use crate::builtins::{def, json};
use crate::context::{Context, Gathered};
use crate::error::{Error, Result};
use crate::eval::coerce::Coerce;
use crate::host::{FetchRequest, Fetched, HostError};
use crate::pos::Pos;
use crate::pure::date;
use crate::value::{Attrs, AttrsBuilder, Value, View};
use nopal_syntax::printer::identifier;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(global "fetchGit", ["args"], fetch_git, "Fetches a revision of a Git repository; returns its store path and \
        what is known about the revision."),
    def!(feature "fetch-tree", global "fetchTree", ["input"], fetch_tree, "Fetches a tree or file described by a set \
        with `type` and further attributes, or by a URL."),
];

/// Fetches what a lock file says, whose attributes are complete. No program can name it.
const FETCH_FINAL: BuiltinDef = BuiltinDef {
    name: "fetchFinalTree",
    args: &["input"],
    doc: "",
    scope: Scope::Builtins,
    feature: None,
    trace: true,
    fun: fetch_final,
    first: None,
};

/// Which of the three it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Face {
    Git,
    Tree,
    Final,
}

fn fetch_git(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    fetch_input(ev, args[0], pos, Face::Git)
}

fn fetch_tree(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    fetch_input(ev, args[0], pos, Face::Tree)
}

fn fetch_final(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    fetch_input(ev, args[0], pos, Face::Final)
}

impl Evaluator {
    /// The function that fetches what a lock file says.
    pub fn final_fetcher(&mut self) -> Value {
        self.heap.builtin(&FETCH_FINAL)
    }

    /// Fetches a tree, lets it be read, and has messages name it as it should be.
    ///
    /// # Errors
    /// It cannot be fetched, or is not what it should be.
    pub fn fetch_tree(&mut self, input: &Input) -> Result<Fetched> {
        let request = FetchRequest::Tree(input.clone());
        let fetched = self.host().fetch(&request).map_err(|error| {
            // names are looked up before, and the hash of most trees is compared when they are in the store
            let is_of_fetch = match input.kind() {
                "indirect" => false,
                "tarball" | "file" => true,
                _ => !matches!(error, HostError::HashMismatch(_)),
            };
            let error = self.host_error(error, Pos::NONE);
            if is_of_fetch { of_input(error, &input.to_text().unwrap_or_default()) } else { error }
        })?;
        self.allow_path(&fetched.store_path);
        self.mount(&fetched.store_path, fetched.mount.clone());
        Ok(fetched)
    }

    /// What a fetched tree is to a program. With `no_rev` something without a revision has one of zeros, as `fetchGit`
    /// always had; with `dirty` it has none, whatever the input says.
    pub fn tree_value(&mut self, fetched: &Fetched, no_rev: bool, dirty: bool) -> Result<Value> {
        const NO_REV: &str = "0000000000000000000000000000000000000000";
        let malformed = |error: nopal_format::flake::FlakeError| Error::eval(error.to_string());
        let mut out = AttrsBuilder::with_capacity(10);
        let path = self.store_path_string(&fetched.store_path);
        out.insert(sym::OUTPATH, path, Pos::NONE);
        let Some(input) = &fetched.input else { return Ok(out.finish(&mut self.heap)) };
        let mut add = |ev: &mut Evaluator, key: &str, value: Value| {
            let key = ev.symbols.intern(key.as_bytes());
            out.insert(key, value, Pos::NONE);
        };
        if let Some(hash) = input.nar_hash().map_err(malformed)? {
            let value = self.heap.string(hash.sri().as_bytes());
            add(self, "narHash", value);
        }
        if input.kind() == "git" {
            add(self, "submodules", Value::bool(input.flag("submodules").map_err(malformed)?));
        }
        if !dirty {
            let rev = input.rev().map_err(malformed)?.or_else(|| no_rev.then(|| NO_REV.to_owned()));
            if let Some(rev) = rev {
                let short = rev.get(..7).unwrap_or(&rev);
                let (short, rev) = (self.heap.string(short.as_bytes()), self.heap.string(rev.as_bytes()));
                add(self, "rev", rev);
                add(self, "shortRev", short);
            }
            if let Some(count) = input.int("revCount").map_err(malformed)?.or(no_rev.then_some(0)) {
                let count = self.heap.int(i64::try_from(count).unwrap_or(i64::MAX));
                add(self, "revCount", count);
            }
        }
        for key in ["dirtyRev", "dirtyShortRev"] {
            if let Some(text) = input.text(key).map_err(malformed)? {
                let value = self.heap.string(text.as_bytes());
                add(self, key, value);
            }
        }
        if let Some(seconds) = input.int("lastModified").map_err(malformed)? {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            let text = self.heap.string(date::compact(seconds).as_bytes());
            let seconds = self.heap.int(seconds);
            add(self, "lastModified", seconds);
            add(self, "lastModifiedDate", text);
        }
        Ok(out.finish(&mut self.heap))
    }
}

/// An error of fetching an input.
pub(super) fn of_input(error: Error, shown: &str) -> Error {
    error.trace(Pos::NONE, format!("while fetching the input '{shown}'"))
}

fn fetch_input(ev: &mut Evaluator, value: Value, pos: Pos, face: Face) -> Result<Value> {
    let who = if face == Face::Git { "fetchGit" } else { "fetchTree" };
    let forced = ev.force(value, pos)?;
    let mut input = match forced.as_attrs() {
        Some(set) => {
            let attrs = input_attrs(ev, set, pos, face, who)?;
            check_kind(ev, &attrs)?;
            reading(ev, |warn| Input::from_attrs(attrs, warn))?
        }
        None => from_text(ev, forced, pos, face, who)?,
    };
    check_feature(ev, &input)?;
    let malformed = |error: nopal_format::flake::FlakeError| Error::eval(error.to_string());
    if ev.settings.pure_eval && !input.is_locked().map_err(malformed)? {
        let shown = input.to_text().map_err(malformed)?;
        if input.nar_hash().map_err(malformed)?.is_some() {
            ev.warn(&format!(
                "Input '{shown}' is unlocked (e.g. lacks a Git revision) but is checked by NAR hash. This is not \
                 reproducible and will break after garbage collection or when shared."
            ))?;
        } else {
            let message = format!("in pure evaluation mode, '{who}' doesn't fetch unlocked input '{shown}'");
            return Err(Error::eval(message).at(pos));
        }
    }
    let shown = input.to_text().map_err(malformed)?;
    ev.check_uri(&shown)?;
    if face == Face::Final {
        input.set(FINAL, Attr::Bool(true));
    } else if input.is_final() {
        return Err(Error::eval(format!("input '{shown}' is not allowed to use the '__final' attribute")));
    }
    let url = input.text("url").map_err(malformed)?.unwrap_or_default();
    let kind = input.kind();
    if (kind == "tarball" || kind == "file") && relative_file(url) {
        let message =
            format!("{kind} '{url}' must use an absolute path. The 'file' scheme does not support relative paths.");
        return Err(of_input(Error::eval(message), &shown));
    }
    let fetched = ev.fetch_tree(&input)?;
    ev.unmount_if_impure(&fetched.store_path);
    ev.tree_value(&fetched, face == Face::Git, false)
}

/// An input given as a text: a URL, or for `fetchGit` all that Git takes for a remote.
fn from_text(ev: &mut Evaluator, value: Value, pos: Pos, face: Face, who: &str) -> Result<Input> {
    let mut context = Context::EMPTY;
    let what = format!("while evaluating the first argument passed to '{who}'");
    let url = ev.coerce_to_string(value, pos, &mut context, &what, Coerce::NO_COPY)?;
    let url = String::from_utf8_lossy(&url).into_owned();
    if face == Face::Git {
        let url = reading(ev, |warn| fix_git_url(&url, warn))?.to_string();
        let attrs = [("type", Attr::from("git")), ("url", Attr::Str(url)), ("exportIgnore", Attr::Bool(true))];
        let attrs = attrs.map(|(key, value)| (key.to_owned(), value));
        return reading(ev, |warn| Input::from_attrs(attrs.into(), warn));
    }
    if !ev.settings.has_feature("flakes") {
        let message = format!("passing a string argument to '{who}' requires the 'flakes' experimental feature");
        return Err(Error::eval(message).at(pos));
    }
    reading(ev, |warn| Input::from_url(&Url::parse(&url, warn)?, true, warn))
}

/// A `file:` URL whose path is not absolute.
fn relative_file(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("file:") else { return false };
    !rest.strip_prefix("//").unwrap_or(rest).starts_with('/')
}

fn input_attrs(ev: &mut Evaluator, set: Attrs, pos: Pos, face: Face, who: &str) -> Result<InputAttrs> {
    let git = face == Face::Git;
    let kind = match set.get_with_pos(sym::TYPE) {
        Some(_) if git => return Err(Error::eval("unexpected argument 'type'").at(pos)),
        Some((value, place)) => {
            let what = format!("while evaluating the `type` argument passed to '{who}'");
            ev.force_string_no_ctx(value, place, &what)?.to_lossy().into_owned()
        }
        None if git => "git".to_owned(),
        None => return Err(Error::eval(format!("argument 'type' is missing in call to '{who}'")).at(pos)),
    };
    let mut attrs = InputAttrs::new();
    for (key, value, place) in set.iter() {
        if key == sym::TYPE {
            continue;
        }
        let name = ev.symbol_name(key).into_owned();
        let value = input_attr(ev, &name, value, (pos, place), git, who)?;
        attrs.insert(name, value);
    }
    let has_submodules = attrs.get("submodules") == Some(&Attr::Bool(true));
    if git && !attrs.contains_key("exportIgnore") && !has_submodules {
        attrs.insert("exportIgnore".to_owned(), Attr::Bool(true));
    }
    if kind == "git" && !git && !attrs.contains_key("shallow") {
        attrs.insert("shallow".to_owned(), Attr::Bool(true));
    }
    attrs.insert("type".to_owned(), Attr::Str(kind));
    if !git && attrs.contains_key("name") {
        return Err(Error::eval(format!("argument 'name' isn’t supported in call to '{who}'")).at(pos));
    }
    Ok(attrs)
}

fn input_attr(
    ev: &mut Evaluator,
    name: &str,
    value: Value,
    (pos, place): (Pos, Pos),
    git: bool,
    who: &str,
) -> Result<Attr> {
    let forced = ev.force(value, place)?;
    let shown = || String::from_utf8_lossy(&identifier(name.as_bytes())).into_owned();
    Ok(match forced.view() {
        View::Path(_) | View::Str(_) => {
            let mut context = Context::EMPTY;
            let text = ev.coerce_to_string(forced, place, &mut context, "", Coerce::NO_COPY)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            match git && name == "url" {
                true => Attr::Str(reading(ev, |warn| fix_git_url(&text, warn))?.to_string()),
                false => Attr::Str(text),
            }
        }
        View::Bool(flag) => Attr::Bool(flag),
        View::Int(number) => match u64::try_from(number) {
            Ok(number) => Attr::Int(number),
            Err(_) => {
                let message = format!("negative value given for '{who}' argument '{}': {number}", shown());
                return Err(Error::eval(message).at(pos));
            }
        },
        _ if name == "publicKeys" => {
            if !ev.settings.has_feature("verified-fetches") {
                let error = nopal_format::flake::FlakeError::Feature("verified-fetches");
                return Err(Error::eval(error.to_string()));
            }
            let text = json::value_to_json(ev, forced, pos, &mut Gathered::default(), true)?;
            Attr::Str(String::from_utf8_lossy(&text).into_owned())
        }
        _ => {
            let found = ev.show_type(forced);
            let name = shown();
            return Err(Error::type_error(format!(
                "argument '{name}' to '{who}' is {found} while a string, Boolean or integer is expected"
            )));
        }
    })
}

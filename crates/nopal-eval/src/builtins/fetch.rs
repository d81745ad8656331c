//! Fetchers. What they may fetch is decided here; fetching is the host's.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::files::parse_sha256;
use crate::builtins::{def, json, message, shown_name};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::eval::coerce::Coerce;
use crate::host::{FetchAttr, FetchRequest, Fetched};
use crate::pos::Pos;
use crate::pure::{date, path};
use crate::value::{Attrs, AttrsBuilder, Value, View};
use nopal_format::store_path::{References, check_name};
use nopal_format::{ContentAddress, ContentAddressMethod, Hash};
use nopal_syntax::interner::sym;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!("fetchurl", ["arg"], fetchurl, "Downloads a file and returns its store path."),
    def!(global "fetchTarball", ["args"], fetch_tarball, "Downloads and unpacks an archive and returns the store path \
        of the tree."),
    def!(global "fetchGit", ["args"], fetch_git, "Fetches a revision of a Git repository; returns its store path and \
        what is known about the revision."),
    def!(global "fetchMercurial", ["args"], fetch_mercurial, "Fetches a revision of a Mercurial repository."),
    def!(feature "fetch-tree", global "fetchTree", ["input"], fetch_tree, "Fetches a tree or file described by a set \
        with `type` and further attributes, or by a URL."),
];

/// The two fetchers of plain URLs.
struct Plain {
    who: &'static str,
    unpack: bool,
    name: &'static str,
}

fn fetchurl(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    fetch_plain(ev, args[0], pos, &Plain { who: "fetchurl", unpack: false, name: "" })
}

fn fetch_tarball(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    fetch_plain(ev, args[0], pos, &Plain { who: "fetchTarball", unpack: true, name: "source" })
}

#[derive(Default)]
struct PlainArgs {
    url: Option<Vec<u8>>,
    sha256: Option<Hash>,
    name: Option<Vec<u8>>,
    is_set: bool,
}

fn plain_args(ev: &mut Evaluator, value: Value, pos: Pos, who: &str) -> Result<PlainArgs> {
    let forced = ev.force(value, pos)?;
    let mut found = PlainArgs::default();
    let Some(attrs) = forced.as_attrs() else {
        let url = ev.force_string_no_ctx(forced, pos, "while evaluating the url we should fetch")?;
        found.url = Some(url.as_bytes().to_vec());
        return Ok(found);
    };
    found.is_set = true;
    for (key, value, place) in attrs.iter() {
        match ev.symbols.get(key) {
            b"url" => {
                let url = ev.force_string_no_ctx(value, place, "while evaluating the url we should fetch")?;
                found.url = Some(url.as_bytes().to_vec());
            }
            b"sha256" => {
                let what = "while evaluating the sha256 of the content we should fetch";
                let text = ev.force_string_no_ctx(value, place, what)?;
                found.sha256 = Some(parse_sha256(ev, text.as_bytes())?);
            }
            b"name" => {
                let what = "while evaluating the name of the content we should fetch";
                let name = ev.force_string_no_ctx(value, place, what)?;
                found.name = Some(name.as_bytes().to_vec());
            }
            other => {
                let text = message(&[b"unsupported argument '", other, b"' to '", who.as_bytes(), b"'"]);
                return Err(Error::eval(text).at(pos));
            }
        }
    }
    if found.url.is_none() {
        return Err(Error::eval("'url' argument required").at(pos));
    }
    Ok(found)
}

fn fetch_plain(ev: &mut Evaluator, value: Value, pos: Pos, plain: &Plain) -> Result<Value> {
    let who = plain.who;
    let found = plain_args(ev, value, pos, who)?;
    let mut url = String::from_utf8_lossy(found.url.as_deref().unwrap_or_default()).into_owned();
    if plain.unpack
        && let Some(channel) = url.strip_prefix("channel:")
    {
        url = format!("https://channels.nixos.org/{channel}/nixexprs.tar.xz");
    }
    ev.check_uri(&url)?;
    let mut name = found.name.clone().unwrap_or_else(|| plain.name.as_bytes().to_vec());
    if name.is_empty() {
        name = path::base_name(url.as_bytes()).to_vec();
    }
    if let Err(error) = check_name(&name) {
        let advice = if found.name.is_some() {
            format!(
                "Please change the value for the 'name' attribute passed to '{who}', so that it can create a valid \
                     store path."
            )
        } else if found.is_set {
            format!(
                "Please add a valid 'name' attribute to the argument for '{who}', so that it can create a valid \
                     store path."
            )
        } else {
            format!(
                "Please pass an attribute set with 'url' and 'name' attributes to '{who}',  so that it can create \
                     a valid store path."
            )
        };
        let message = format!("invalid store path name when fetching URL '{url}': {error}. {advice}");
        return Err(Error::eval(message).at(pos));
    }
    if ev.settings.pure_eval && found.sha256.is_none() {
        let message = format!("in pure evaluation mode, '{who}' requires a 'sha256' argument");
        return Err(Error::eval(message).at(pos));
    }
    let name = String::from_utf8_lossy(&name).into_owned();
    if let Some(hash) = found.sha256 {
        let method = if plain.unpack { ContentAddressMethod::Nar } else { ContentAddressMethod::Flat };
        let address = ContentAddress { method, hash };
        let expected = ev
            .settings
            .store_dir
            .ca_path(&name, &address, &References::default())
            .map_err(|error| Error::eval(error.to_string()))?;
        // A pinned object that exists (or can be substituted) is not fetched again.
        if ev.host().ensure_path(&expected).unwrap_or(false) {
            return Ok(ev.store_path_string(&expected));
        }
    }
    let sha256 = found.sha256;
    let request = if plain.unpack {
        FetchRequest::Tarball { url, name, sha256 }
    } else {
        FetchRequest::File { url, name, sha256 }
    };
    let fetched = ev.host().fetch(&request).map_err(|error| ev.host_error(error, pos))?;
    Ok(ev.store_path_string(&fetched.store_path))
}

fn fetch_git(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    fetch_input(ev, args[0], pos, true)
}

fn fetch_tree(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    fetch_input(ev, args[0], pos, false)
}

/// `fetchTree`, and `fetchGit` with its fixed type and its own defaults.
fn fetch_input(ev: &mut Evaluator, value: Value, pos: Pos, git: bool) -> Result<Value> {
    let who = if git { "fetchGit" } else { "fetchTree" };
    let forced = ev.force(value, pos)?;
    let mut attrs: Vec<(String, FetchAttr)> = match forced.as_attrs() {
        Some(set) => input_attrs(ev, set, pos, git, who)?,
        None => {
            let mut context = Context::EMPTY;
            let what = format!("while evaluating the first argument passed to '{who}'");
            let url = ev.coerce_to_string(forced, pos, &mut context, &what, Coerce::NO_COPY)?;
            let url = String::from_utf8_lossy(&url).into_owned();
            if git {
                vec![str_attr("type", "git"), str_attr("url", &git_url(&url))]
            } else if ev.settings.has_feature("flakes") {
                crate::pure::flakeref::parse_input(&url)
                    .map_err(Error::eval)?
                    .into_iter()
                    .map(|(key, value)| (key, fetch_attr(value)))
                    .collect()
            } else {
                let message =
                    format!("passing a string argument to '{who}' requires the 'flakes' experimental feature");
                return Err(Error::eval(message).at(pos));
            }
        }
    };
    if git
        && !attrs.iter().any(|(key, _)| key == "exportIgnore")
        && !attrs.iter().any(|(key, value)| key == "submodules" && *value == FetchAttr::Bool(true))
    {
        attrs.push(("exportIgnore".to_owned(), FetchAttr::Bool(true)));
    }
    let name = match attrs.iter().position(|(key, _)| key == "name") {
        None => None,
        Some(_) if !git => {
            let message = format!("argument 'name' isn’t supported in call to '{who}'");
            return Err(Error::eval(message).at(pos));
        }
        Some(at) => match attrs.remove(at).1 {
            FetchAttr::Str(name) => Some(name),
            FetchAttr::Int(_) | FetchAttr::Bool(_) => None,
        },
    };
    let locked = attrs.iter().any(|(key, _)| key == "rev" || key == "narHash");
    let shown = describe(&attrs).map_err(Error::eval)?;
    if ev.settings.pure_eval && !locked {
        let message = format!("in pure evaluation mode, '{who}' doesn't fetch unlocked input '{shown}'");
        return Err(Error::eval(message).at(pos));
    }
    ev.check_uri(&shown)?;
    let kind = text_attr(&attrs, "type").unwrap_or_default().to_owned();
    let submodules = attrs.iter().any(|(key, value)| key == "submodules" && *value == FetchAttr::Bool(true));
    let url = text_attr(&attrs, "url").unwrap_or_default().to_owned();
    let fetched = if (kind == "tarball" || kind == "file") && relative_file(&url) {
        Err(Error::eval(format!(
            "{kind} '{url}' must use an absolute path. The 'file' scheme does not support relative paths."
        )))
    } else {
        let request = FetchRequest::Tree { attrs, name };
        ev.host().fetch(&request).map_err(|error| ev.host_error(error, pos))
    };
    let fetched = fetched.map_err(|error| error.trace(Pos::NONE, format!("while fetching the input '{shown}'")))?;
    Ok(tree_attrs(ev, &fetched, &kind, submodules, git))
}

/// A `file:` URL whose path is not absolute.
fn relative_file(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("file:") else { return false };
    !rest.strip_prefix("//").unwrap_or(rest).starts_with('/')
}

fn str_attr(key: &str, value: &str) -> (String, FetchAttr) {
    (key.to_owned(), FetchAttr::Str(value.to_owned()))
}

fn fetch_attr(value: crate::pure::flakeref::Attr) -> FetchAttr {
    use crate::pure::flakeref::Attr;
    match value {
        Attr::Text(text) => FetchAttr::Str(text),
        Attr::Number(number) => FetchAttr::Int(number),
        Attr::Flag(flag) => FetchAttr::Bool(flag),
    }
}

fn text_attr<'a>(attrs: &'a [(String, FetchAttr)], key: &str) -> Option<&'a str> {
    attrs.iter().find_map(|(name, value)| match value {
        FetchAttr::Str(text) if name == key => Some(text.as_str()),
        _ => None,
    })
}

/// The input as a URL, for messages and for the check of allowed URIs; an error is a message.
fn describe(attrs: &[(String, FetchAttr)]) -> std::result::Result<String, String> {
    use crate::pure::flakeref::{self, Attr};
    let plain: Vec<(String, Attr)> = attrs
        .iter()
        .map(|(key, value)| {
            let value = match value {
                FetchAttr::Str(text) => Attr::Text(text.clone()),
                FetchAttr::Int(number) => Attr::Number(*number),
                FetchAttr::Bool(flag) => Attr::Flag(*flag),
            };
            (key.clone(), value)
        })
        .collect();
    flakeref::to_text(&plain)
}

/// A Git remote in the notation of `scp` as a URL; a bare path as a `file:` URL.
fn git_url(url: &str) -> String {
    if let Some((host, rest)) = url.split_once(':')
        && !url.contains("://")
        && !host.contains('/')
        && !url.starts_with('/')
    {
        return format!("ssh://{host}/{}", rest.trim_start_matches('/'));
    }
    if url.starts_with('/') { format!("file://{url}") } else { url.to_owned() }
}

fn input_attrs(ev: &mut Evaluator, set: Attrs, pos: Pos, git: bool, who: &str) -> Result<Vec<(String, FetchAttr)>> {
    let kind = match set.get_with_pos(sym::TYPE) {
        Some(_) if git => return Err(Error::eval("unexpected argument 'type'").at(pos)),
        Some((value, place)) => {
            let what = format!("while evaluating the `type` argument passed to '{who}'");
            ev.force_string_no_ctx(value, place, &what)?.to_lossy().into_owned()
        }
        None if git => "git".to_owned(),
        None => {
            return Err(Error::eval(format!("argument 'type' is missing in call to '{who}'")).at(pos));
        }
    };
    let mut attrs = vec![str_attr("type", &kind)];
    for (key, value, place) in set.iter() {
        if key == sym::TYPE {
            continue;
        }
        let name = ev.symbol_name(key).into_owned();
        let forced = ev.force(value, place)?;
        let value = match forced.view() {
            View::Path(_) | View::Str(_) => {
                let mut context = Context::EMPTY;
                let text = ev.coerce_to_string(forced, place, &mut context, "", Coerce::NO_COPY)?;
                let text = String::from_utf8_lossy(&text).into_owned();
                FetchAttr::Str(if git && name == "url" { git_url(&text) } else { text })
            }
            View::Bool(flag) => FetchAttr::Bool(flag),
            View::Int(number) => match u64::try_from(number) {
                Ok(number) => FetchAttr::Int(number),
                Err(_) => {
                    let message = format!("negative value given for '{who}' argument '{name}': {number}");
                    return Err(Error::eval(message).at(pos));
                }
            },
            _ if name == "publicKeys" => {
                if !ev.settings.has_feature("verified-fetches") {
                    return Err(Error::eval(
                        "experimental Nix feature 'verified-fetches' is disabled; add '--extra-experimental-features \
                         verified-fetches' to enable it",
                    ));
                }
                let mut context = Context::EMPTY;
                let text = json::value_to_json(ev, forced, pos, &mut context, true)?;
                FetchAttr::Str(String::from_utf8_lossy(&text).into_owned())
            }
            _ => {
                let found = ev.show_type(forced);
                let name = String::from_utf8_lossy(&shown_name(name.as_bytes())).into_owned();
                return Err(Error::type_error(format!(
                    "argument '{name}' to '{who}' is {found} while a string, Boolean or integer is expected"
                )));
            }
        };
        attrs.push((name, value));
    }
    Ok(attrs)
}

/// The result of `fetchTree` and `fetchGit`. A work tree with changes has no revision; `fetchGit` then gives zeros.
fn tree_attrs(ev: &mut Evaluator, fetched: &Fetched, kind: &str, submodules: bool, git: bool) -> Value {
    const NO_REV: &str = "0000000000000000000000000000000000000000";
    let mut out = AttrsBuilder::with_capacity(10);
    let path = ev.store_path_string(&fetched.store_path);
    out.insert(sym::OUTPATH, path, Pos::NONE);
    let mut add = |ev: &mut Evaluator, key: &str, value: Value| {
        let key = ev.symbols.intern(key.as_bytes());
        out.insert(key, value, Pos::NONE);
    };
    let find = |key: &str| fetched.attrs.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    for key in ["narHash", "dirtyRev", "dirtyShortRev"] {
        if let Some(FetchAttr::Str(text)) = find(key) {
            let value = ev.heap.string(text.as_bytes());
            add(ev, key, value);
        }
    }
    if kind == "git" {
        add(ev, "submodules", Value::bool(submodules));
    }
    let rev = match find("rev") {
        Some(FetchAttr::Str(rev)) => Some(rev.as_str()),
        _ if git => Some(NO_REV),
        _ => None,
    };
    if let Some(rev) = rev {
        let short = rev.get(..7).unwrap_or(rev);
        let (rev, short) = (ev.heap.string(rev.as_bytes()), ev.heap.string(short.as_bytes()));
        add(ev, "rev", rev);
        add(ev, "shortRev", short);
    }
    match find("revCount") {
        Some(FetchAttr::Int(count)) => {
            let count = ev.heap.int(i64::try_from(*count).unwrap_or(i64::MAX));
            add(ev, "revCount", count);
        }
        _ if git => {
            let count = ev.heap.int(0);
            add(ev, "revCount", count);
        }
        _ => {}
    }
    if let Some(FetchAttr::Int(seconds)) = find("lastModified") {
        let seconds = i64::try_from(*seconds).unwrap_or(i64::MAX);
        let text = ev.heap.string(date::compact(seconds).as_bytes());
        let seconds = ev.heap.int(seconds);
        add(ev, "lastModified", seconds);
        add(ev, "lastModifiedDate", text);
    }
    out.finish(&mut ev.heap)
}

fn fetch_mercurial(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let forced = ev.force(args[0], pos)?;
    let mut context = Context::EMPTY;
    let (mut url, mut rev, mut reference, mut name) = (Vec::new(), None, None, "source".to_owned());
    match forced.as_attrs() {
        None => {
            let what = "while evaluating the first argument passed to builtins.fetchMercurial";
            url = ev.coerce_to_string(forced, pos, &mut context, what, Coerce::NO_COPY)?;
        }
        Some(attrs) => {
            for (key, value, place) in attrs.iter() {
                match ev.symbols.get(key) {
                    b"url" => {
                        let what = "while evaluating the `url` attribute passed to builtins.fetchMercurial";
                        url = ev.coerce_to_string(value, place, &mut context, what, Coerce::NO_COPY)?;
                    }
                    b"rev" => {
                        let what = "while evaluating the `rev` attribute passed to builtins.fetchMercurial";
                        let text = ev.force_string_no_ctx(value, place, what)?.to_lossy().into_owned();
                        let is_hash = text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
                        *(if is_hash { &mut rev } else { &mut reference }) = Some(text);
                    }
                    b"name" => {
                        let what = "while evaluating the `name` attribute passed to builtins.fetchMercurial";
                        name = ev.force_string_no_ctx(value, place, what)?.to_lossy().into_owned();
                    }
                    other => {
                        let text = message(&[b"unsupported argument '", other, b"' to 'fetchMercurial'"]);
                        return Err(Error::eval(text).at(place));
                    }
                }
            }
            if url.is_empty() {
                return Err(Error::eval("'url' argument required").at(pos));
            }
        }
    }
    let url = String::from_utf8_lossy(&url).into_owned();
    ev.check_uri(&url)?;
    if ev.settings.pure_eval && rev.is_none() {
        return Err(Error::eval("in pure evaluation mode, 'fetchMercurial' requires a Mercurial revision"));
    }
    let url = if url.contains("://") { url } else { format!("file://{url}") };
    let mut attrs = vec![str_attr("type", "hg"), str_attr("url", &url)];
    attrs.extend(reference.map(|r| str_attr("ref", &r)));
    attrs.extend(rev.map(|r| str_attr("rev", &r)));
    let request = FetchRequest::Tree { attrs, name: Some(name) };
    let fetched = ev.host().fetch(&request).map_err(|error| ev.host_error(error, pos))?;
    let mut out = AttrsBuilder::with_capacity(5);
    let path = ev.store_path_string(&fetched.store_path);
    out.insert(sym::OUTPATH, path, Pos::NONE);
    let mut rev = "0".repeat(40);
    for (key, value) in &fetched.attrs {
        match (key.as_str(), value) {
            ("rev", FetchAttr::Str(text)) => rev.clone_from(text),
            ("ref", FetchAttr::Str(text)) => {
                let text = ev.heap.string(text.as_bytes());
                out.insert(ev.symbols.intern(b"branch"), text, Pos::NONE);
            }
            ("revCount", FetchAttr::Int(count)) => {
                let count = ev.heap.int(i64::try_from(*count).unwrap_or(i64::MAX));
                out.insert(ev.symbols.intern(b"revCount"), count, Pos::NONE);
            }
            _ => {}
        }
    }
    let short = ev.heap.string(rev.get(..12).unwrap_or(&rev).as_bytes());
    let rev = ev.heap.string(rev.as_bytes());
    out.insert(ev.symbols.intern(b"rev"), rev, Pos::NONE);
    out.insert(ev.symbols.intern(b"shortRev"), short, Pos::NONE);
    Ok(out.finish(&mut ev.heap))
}

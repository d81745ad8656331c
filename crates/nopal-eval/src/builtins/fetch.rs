//! Fetchers. What they may fetch is decided here; fetching is the host's.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::files::parse_sha256;
use crate::builtins::flake::reading;
use crate::builtins::tree::of_input;
use crate::builtins::{def, message};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::eval::coerce::Coerce;
use crate::host::{FetchRequest, HostError};
use crate::pos::Pos;
use crate::pure::path;
use crate::value::{AttrsBuilder, Value};
use nopal_format::flake::{Attr, Attrs, Input, Url};
use nopal_format::store_path::{References, check_name};
use nopal_format::{ContentAddress, ContentAddressMethod, Hash};
use nopal_syntax::interner::sym;

pub(super) const DEFS: &[BuiltinDef] = &[
    def!("fetchurl", ["arg"], fetchurl, "Downloads a file and returns its store path."),
    def!(global "fetchTarball", ["args"], fetch_tarball, "Downloads and unpacks an archive and returns the store path \
        of the tree."),
    def!(global "fetchMercurial", ["args"], fetch_mercurial, "Fetches a revision of a Mercurial repository."),
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
        name = path::base_name(url.trim_end_matches('/').as_bytes()).to_vec();
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
        Url::parse(&url, &mut |_| {}).map_err(|error| Error::eval(error.to_string()))?;
        FetchRequest::Tarball { url: url.clone(), name, sha256 }
    } else {
        FetchRequest::File { url: url.clone(), name, sha256 }
    };
    let fetched = ev.host().fetch(&request).map_err(|error| {
        let is_of_input = plain.unpack && !matches!(error, HostError::HashMismatch(_));
        let error = ev.host_error(error, pos);
        if is_of_input { of_input(error, &url) } else { error }
    })?;
    Ok(ev.store_path_string(&fetched.store_path))
}

impl Evaluator {
    /// The store path of what an archive contains that the command line or the search path names.
    ///
    /// # Errors
    /// It cannot be downloaded or unpacked.
    pub fn unpack_url(&mut self, url: &str) -> Result<Vec<u8>> {
        let request = FetchRequest::Tarball { url: url.to_owned(), name: "source".to_owned(), sha256: None };
        let fetched = self.host().fetch(&request).map_err(|error| of_input(self.host_error(error, Pos::NONE), url))?;
        Ok(self.settings.store_dir.print(&fetched.store_path).into_bytes())
    }
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
    let mut attrs = Attrs::from([("type".to_owned(), Attr::from("hg")), ("url".to_owned(), url.into())]);
    attrs.insert("name".to_owned(), name.into());
    attrs.extend(reference.map(|name| ("ref".to_owned(), name.into())));
    attrs.extend(rev.map(|rev| ("rev".to_owned(), rev.into())));
    let input = reading(ev, |warn| Input::from_attrs(attrs, warn))?;
    let shown = input.to_text().unwrap_or_default();
    let fetched =
        ev.host().fetch(&FetchRequest::Tree(input)).map_err(|error| of_input(ev.host_error(error, pos), &shown))?;
    ev.allow_path(&fetched.store_path);
    let mut out = AttrsBuilder::with_capacity(5);
    let path = ev.store_path_string(&fetched.store_path);
    out.insert(sym::OUTPATH, path, Pos::NONE);
    let found = fetched.input.as_ref();
    let rev = found.and_then(|input| input.rev().ok()?).unwrap_or_else(|| "0".repeat(40));
    if let Some(branch) = found.and_then(|input| input.text("ref").ok()?) {
        let branch = ev.heap.string(branch.as_bytes());
        out.insert(ev.symbols.intern(b"branch"), branch, Pos::NONE);
    }
    if let Some(count) = found.and_then(|input| input.int("revCount").ok()?) {
        let count = ev.heap.int(i64::try_from(count).unwrap_or(i64::MAX));
        out.insert(ev.symbols.intern(b"revCount"), count, Pos::NONE);
    }
    let short = ev.heap.string(rev.get(..12).unwrap_or(&rev).as_bytes());
    let rev = ev.heap.string(rev.as_bytes());
    out.insert(ev.symbols.intern(b"rev"), rev, Pos::NONE);
    out.insert(ev.symbols.intern(b"shortRev"), short, Pos::NONE);
    Ok(out.finish(&mut ev.heap))
}

//! Inputs: sets of attributes that say what to fetch, and by which scheme.

use std::collections::BTreeMap;

use super::git::{fix_git_url, is_legal_ref};
use super::url::{Query, Url};
use super::{FlakeError, Warn};
use crate::json::Json;
use crate::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm, StoreDir, StorePath};

/// The value of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attr {
    /// A string.
    Str(String),
    /// A number (`lastModified`, `revCount`).
    Int(u64),
    /// A truth value (`shallow`, `submodules`).
    Bool(bool),
}

impl From<&str> for Attr {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Attr {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<&Attr> for Json {
    fn from(attr: &Attr) -> Self {
        match attr {
            Attr::Str(text) => Json::from(text.as_str()),
            Attr::Int(number) => Json::from(*number),
            Attr::Bool(flag) => Json::from(*flag),
        }
    }
}

/// Attributes by name.
pub type Attrs = BTreeMap<String, Attr>;

/// What lock files do not write: that an input's attributes are complete.
pub const FINAL: &str = "__final";

/// The attributes as a JSON object; without any, `null`, as Nix has it.
pub fn attrs_to_json(attrs: &Attrs) -> Json {
    if attrs.is_empty() {
        return Json::Null;
    }
    Json::object(attrs.iter().map(|(key, value)| (key.clone(), Json::from(value))))
}

/// Attributes out of a lock file or registry.
///
/// # Errors
/// No object, or a value of another type.
pub fn attrs_from_json(json: &Json) -> Result<Attrs, FlakeError> {
    let Json::Object(pairs) = json else {
        return Err(FlakeError::invalid("expected a JSON object of input attributes"));
    };
    let attr = |(key, value): (&String, &Json)| {
        let value = match value {
            Json::String(text) => Attr::Str(text.clone()),
            Json::Bool(flag) => Attr::Bool(*flag),
            Json::Number(text) => Attr::Int(text.parse().unwrap_or_default()),
            _ => return Err(FlakeError::invalid("unsupported input attribute type in lock file")),
        };
        Ok((key.clone(), value))
    };
    pairs.iter().map(attr).collect()
}

/// What can be fetched: checked attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    attrs: Attrs,
}

/// The schemes that put a repository's archive behind a short name.
const FORGES: [&str; 3] = ["github", "gitlab", "sourcehut"];

/// The attributes that a scheme takes; `None` if there is no such scheme.
fn allowed_attrs(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "git" => &[
            "url",
            "ref",
            "rev",
            "shallow",
            "submodules",
            "lfs",
            "exportIgnore",
            "revCount",
            "lastModified",
            "name",
            "narHash",
            "allRefs",
            "dirtyRev",
            "dirtyShortRev",
            "verifyCommit",
            "keytype",
            "publicKey",
            "publicKeys",
        ],
        "hg" => &["url", "ref", "rev", "revCount", "narHash", "name"],
        "path" => &["path", "rev", "revCount", "lastModified", "narHash"],
        "tarball" | "file" => &["url", "narHash", "name", "unpack", "rev", "revCount", "lastModified"],
        "github" | "gitlab" | "sourcehut" => {
            &["owner", "repo", "ref", "rev", "narHash", "lastModified", "host", "treeHash"]
        }
        "indirect" => &["id", "ref", "rev", "narHash"],
        _ => return None,
    })
}

impl Input {
    /// The input that attributes mean. Those of an unknown type are taken as they are; they cannot be fetched.
    ///
    /// # Errors
    /// A missing or unknown attribute, or one of the wrong form.
    pub fn from_attrs(attrs: Attrs, warn: Warn<'_>) -> Result<Self, FlakeError> {
        let input = Self { attrs };
        let missing = "'type' attribute to specify input scheme is required but not provided";
        let kind = input.text("type")?.ok_or_else(|| FlakeError::invalid(missing))?.to_owned();
        if let Some(allowed) = allowed_attrs(&kind) {
            let known = |name: &str| name == "type" || name == FINAL || allowed.contains(&name);
            if let Some(name) = input.attrs.keys().find(|name| !known(name)) {
                return Err(FlakeError::invalid(format!("input attribute '{name}' not supported by scheme '{kind}'")));
            }
        }
        input.checked(&kind, warn)
    }

    /// Checks what the scheme and what all schemes want.
    fn checked(mut self, kind: &str, warn: Warn<'_>) -> Result<Self, FlakeError> {
        match kind {
            "git" => {
                if let Some(name) = self.text("ref")?.filter(|name| !is_legal_ref(name)) {
                    return Err(FlakeError::bad_url(format!("invalid Git branch/tag name '{name}'")));
                }
                let url = fix_git_url(self.need("url")?, warn)?.to_string();
                self.set("url", url);
                for flag in ["shallow", "submodules", "allRefs", "verifyCommit"] {
                    self.flag(flag)?;
                }
            }
            "hg" => {
                Url::parse(self.need("url")?, warn)?;
                if let Some(name) = self.text("ref")?.filter(|name| !super::reference::is_ref(name)) {
                    return Err(FlakeError::bad_url(format!("invalid Mercurial branch/tag name '{name}'")));
                }
            }
            "indirect" => {
                let id = self.need("id")?;
                if !super::reference::is_id(id) {
                    return Err(FlakeError::bad_url(format!("'{id}' is not a valid flake ID")));
                }
            }
            "path" => drop(self.need("path")?),
            _ if FORGES.contains(&kind) => self.check_forge()?,
            _ => {}
        }
        self.text("ref")?;
        self.int("revCount")?;
        self.int("lastModified")?;
        Ok(self)
    }

    fn check_forge(&self) -> Result<(), FlakeError> {
        self.need("owner")?;
        self.need("repo")?;
        let shown = || attrs_to_json(&self.attrs).to_compact();
        let (reference, rev) = (self.text("ref")?, self.text("rev")?);
        if let (Some(reference), Some(rev)) = (reference, rev) {
            return Err(FlakeError::bad_url(format!(
                "input {} contains both a commit hash ('{rev}') and a branch/tag name ('{reference}')",
                shown()
            )));
        }
        self.rev()?;
        if reference.is_some_and(|name| !is_legal_ref(name)) {
            return Err(FlakeError::bad_url(format!("input {} contains an invalid branch/tag name", shown())));
        }
        let is_host = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        if self.text("host")?.is_some_and(|host| !is_host(host)) {
            return Err(FlakeError::bad_url(format!("input {} contains an invalid instance host", shown())));
        }
        Ok(())
    }

    /// The input that a URL means. `is_tree` says whether a URL without a known ending is an archive or a file.
    ///
    /// # Errors
    /// No scheme takes it, or its scheme refuses it.
    pub fn from_url(url: &Url, is_tree: bool, warn: Warn<'_>) -> Result<Self, FlakeError> {
        let scheme = url.scheme.as_str();
        let (application, transport) = (Url::application_of(scheme), Url::transport_of(scheme));
        let attrs = match application {
            _ if ["file", "http", "https"].contains(&transport) && is_archive(url, application, is_tree).is_some() => {
                archive(url, is_archive(url, application, is_tree).unwrap_or_default())
            }
            _ if scheme == "git" || application == Some("git") => repository(url, "git"),
            Some("hg") if ["http", "https", "ssh", "file"].contains(&transport) => repository(url, "hg"),
            _ if FORGES.contains(&scheme) => forge(url)?,
            _ if scheme == "flake" => indirect(url)?,
            _ if scheme == "path" => path(url)?,
            Some("file") if transport == "git" => {
                return Err(FlakeError::invalid(format!(
                    "input '{url}' is unsupported; did you mean 'git+file' instead of 'file+git'?"
                )));
            }
            _ => return Err(FlakeError::invalid(format!("input '{url}' is unsupported"))),
        };
        let kind = match attrs.get("type") {
            Some(Attr::Str(kind)) => kind.clone(),
            _ => String::new(),
        };
        Self { attrs }.checked(&kind, warn)
    }

    /// The attributes.
    pub fn attrs(&self) -> &Attrs {
        &self.attrs
    }

    /// Sets an attribute, unchecked: for what a fetch has found out.
    pub fn set(&mut self, key: &str, value: impl Into<Attr>) {
        self.attrs.insert(key.to_owned(), value.into());
    }

    /// Removes an attribute.
    pub fn remove(&mut self, key: &str) {
        self.attrs.remove(key);
    }

    /// The type, such as `git`.
    pub fn kind(&self) -> &str {
        match self.attrs.get("type") {
            Some(Attr::Str(kind)) => kind,
            _ => "",
        }
    }

    /// Whether there is a scheme for the type.
    pub fn is_supported(&self) -> bool {
        allowed_attrs(self.kind()).is_some()
    }

    /// The experimental feature that the scheme needs.
    pub fn feature(&self) -> Option<&'static str> {
        let kind = self.kind();
        let signed = ["verifyCommit", "keytype", "publicKey", "publicKeys"];
        if kind == "git" && signed.iter().any(|name| self.attrs.contains_key(*name)) {
            return Some("verified-fetches");
        }
        Self::feature_of_kind(kind)
    }

    /// The experimental feature that inputs of a kind need, whatever their other attributes.
    pub fn feature_of_kind(kind: &str) -> Option<&'static str> {
        (kind == "path" || kind == "indirect" || FORGES.contains(&kind)).then_some("flakes")
    }

    /// A string attribute.
    ///
    /// # Errors
    /// It is there and no string.
    pub fn text(&self, key: &str) -> Result<Option<&str>, FlakeError> {
        match self.attrs.get(key) {
            None => Ok(None),
            Some(Attr::Str(text)) => Ok(Some(text)),
            Some(_) => Err(FlakeError::invalid(format!(
                "input attribute '{key}' is not a string {}",
                attrs_to_json(&self.attrs).to_compact()
            ))),
        }
    }

    /// A string attribute that must be there.
    ///
    /// # Errors
    /// It is missing or no string.
    pub fn need(&self, key: &str) -> Result<&str, FlakeError> {
        self.text(key)?.ok_or_else(|| FlakeError::invalid(format!("input attribute '{key}' is missing")))
    }

    /// A number.
    ///
    /// # Errors
    /// It is there and no number.
    pub fn int(&self, key: &str) -> Result<Option<u64>, FlakeError> {
        match self.attrs.get(key) {
            None => Ok(None),
            Some(Attr::Int(number)) => Ok(Some(*number)),
            Some(_) => Err(FlakeError::invalid(format!("input attribute '{key}' is not an integer"))),
        }
    }

    /// A truth value; `false` if it is missing.
    ///
    /// # Errors
    /// It is there and no truth value.
    pub fn flag(&self, key: &str) -> Result<bool, FlakeError> {
        match self.attrs.get(key) {
            None => Ok(false),
            Some(Attr::Bool(flag)) => Ok(*flag),
            Some(_) => Err(FlakeError::invalid(format!("input attribute '{key}' is not a Boolean"))),
        }
    }

    /// The hash of the tree.
    ///
    /// # Errors
    /// It is no SHA-256.
    pub fn nar_hash(&self) -> Result<Option<Hash>, FlakeError> {
        let Some(text) = self.text("narHash")? else { return Ok(None) };
        if text.is_empty() {
            return Ok(Some(Hash::sha256([0; 32])));
        }
        let hash = Hash::parse_sri(text).map_err(|error| FlakeError::invalid(error.to_string()))?;
        if hash.algorithm() != HashAlgorithm::Sha256 {
            return Err(FlakeError::invalid("narHash must use SHA-256"));
        }
        Ok(Some(hash))
    }

    /// The commit, in lower-case hexadecimal digits.
    ///
    /// # Errors
    /// It is no hash.
    pub fn rev(&self) -> Result<Option<String>, FlakeError> {
        let Some(text) = self.text("rev")? else { return Ok(None) };
        let hash = match Hash::parse_any(text, None) {
            Ok(hash) => hash,
            // without the name of an algorithm it is SHA-1
            Err(_) => Hash::parse_any(text, Some(HashAlgorithm::Sha1))
                .map_err(|error| FlakeError::invalid(error.to_string()))?,
        };
        Ok(Some(hash.base16()))
    }

    /// Whether it can be fetched as it is, without a registry.
    pub fn is_direct(&self) -> bool {
        self.kind() != "indirect"
    }

    /// Whether a lock has filled it in, so that nothing may be added.
    pub fn is_final(&self) -> bool {
        self.attrs.get(FINAL) == Some(&Attr::Bool(true))
    }

    /// Whether it always means the same tree.
    ///
    /// # Errors
    /// An attribute is malformed.
    pub fn is_locked(&self) -> Result<bool, FlakeError> {
        Ok(match self.kind() {
            "git" => self.rev()?.is_some_and(|rev| rev.bytes().any(|digit| digit != b'0')),
            "hg" => self.rev()?.is_some(),
            "path" | "tarball" | "file" => self.nar_hash()?.is_some(),
            // with `trust-tarballs-from-git-forges`, which is on by default
            kind if FORGES.contains(&kind) => self.rev()?.is_some(),
            _ => false,
        })
    }

    /// The path, if it is a relative one.
    pub fn relative_path(&self) -> Option<&str> {
        match self.attrs.get("path") {
            Some(Attr::Str(path)) if self.kind() == "path" && !path.starts_with('/') => Some(path),
            _ => None,
        }
    }

    /// The name of the store object.
    pub fn name(&self) -> &str {
        match self.attrs.get("name") {
            Some(Attr::Str(name)) => name,
            _ => "source",
        }
    }

    /// The store path that the hash of the tree gives; `None` without a hash.
    ///
    /// # Errors
    /// The hash or the name is malformed.
    pub fn store_path(&self, store_dir: &StoreDir) -> Result<Option<StorePath>, FlakeError> {
        let Some(hash) = self.nar_hash()? else { return Ok(None) };
        let address = ContentAddress { method: ContentAddressMethod::Nar, hash };
        let path = store_dir.ca_path(self.name(), &address, &Default::default());
        path.map(Some).map_err(|error| FlakeError::invalid(error.to_string()))
    }

    /// Puts another branch or commit in the place of what there is, as references through a registry do.
    ///
    /// # Errors
    /// The scheme has none.
    pub fn with_overrides(&self, reference: Option<&str>, rev: Option<&str>) -> Result<Self, FlakeError> {
        let mut input = self.clone();
        let kind = self.kind();
        if FORGES.contains(&kind) {
            if let (Some(rev), Some(reference)) = (rev, reference) {
                return Err(FlakeError::bad_url(format!(
                    "cannot apply both a commit hash ({rev}) and a branch/tag name ('{reference}') to input '{}'",
                    self.to_text()?
                )));
            }
            for (value, key, other) in [(rev, "rev", "ref"), (reference, "ref", "rev")] {
                if let Some(value) = value {
                    input.set(key, value);
                    input.remove(other);
                }
            }
            return Ok(input);
        }
        if !["git", "hg", "indirect"].contains(&kind) && self.is_supported() {
            if let Some(reference) = reference {
                return Err(FlakeError::invalid(format!(
                    "don't know how to set branch/tag name of input '{}' to '{reference}'",
                    self.to_text()?
                )));
            }
            if let Some(rev) = rev {
                return Err(FlakeError::invalid(format!(
                    "don't know how to set revision of input '{}' to '{rev}'",
                    self.to_text()?
                )));
            }
        }
        for (value, key) in [(rev, "rev"), (reference, "ref")] {
            if let Some(value) = value {
                input.set(key, value);
            }
        }
        if kind == "git" && input.text("ref")?.is_none() && input.text("rev")?.is_some() {
            let text = input.to_text()?;
            return Err(FlakeError::invalid(format!("Git input '{text}' has a commit hash but no branch/tag name")));
        }
        Ok(input)
    }

    /// Whether `other` is this, or this with a branch or commit.
    pub fn contains(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let mut bare = other.clone();
        bare.remove("ref");
        bare.remove("rev");
        *self == bare
    }

    /// The input as a URL.
    ///
    /// # Errors
    /// It has no scheme, or an attribute is malformed.
    pub fn to_url(&self) -> Result<Url, FlakeError> {
        let kind = self.kind();
        if !self.is_supported() {
            let shown = attrs_to_json(&self.attrs).to_compact();
            return Err(FlakeError::invalid(format!("cannot show unsupported input '{shown}'")));
        }
        let mut url = match kind {
            "indirect" => {
                let parts = [Some(self.need("id")?.to_owned()), self.text("ref")?.map(str::to_owned), self.rev()?];
                Url::new("flake", None, parts.into_iter().flatten().collect())
            }
            "path" => {
                let path = self.need("path")?.split('/').map(str::to_owned).collect();
                let mut url = Url::new("path", None, path);
                url.query = self.as_query();
                return Ok(url);
            }
            _ if FORGES.contains(&kind) => {
                let parts = [
                    Some(self.need("owner")?.to_owned()),
                    Some(self.need("repo")?.to_owned()),
                    self.text("ref")?.map(str::to_owned),
                    self.rev()?,
                ];
                let mut url = Url::new(kind, None, parts.into_iter().flatten().collect());
                url.query.extend(self.text("host")?.map(|host| ("host".to_owned(), host.to_owned())));
                url
            }
            _ => Url::parse(self.need("url")?, &mut |_| {})?,
        };
        match kind {
            "git" => self.add_git_query(&mut url)?,
            "hg" => {
                url.scheme = format!("hg+{}", url.scheme);
                url.query.extend(self.rev()?.map(|rev| ("rev".to_owned(), rev)));
                url.query.extend(self.text("ref")?.map(|name| ("ref".to_owned(), name.to_owned())));
            }
            "indirect" => {}
            _ => url.query.extend(self.nar_hash()?.map(|hash| ("narHash".to_owned(), hash.sri()))),
        }
        Ok(url)
    }

    fn add_git_query(&self, url: &mut Url) -> Result<(), FlakeError> {
        if url.scheme != "git" {
            url.scheme = format!("git+{}", url.scheme);
        }
        url.query.extend(self.rev()?.map(|rev| ("rev".to_owned(), rev)));
        url.query.extend(self.text("ref")?.map(|name| ("ref".to_owned(), name.to_owned())));
        for flag in ["shallow", "lfs", "submodules", "exportIgnore", "verifyCommit"] {
            if self.flag(flag)? {
                url.query.insert(flag.to_owned(), "1".to_owned());
            }
        }
        for key in ["keytype", "publicKey", "publicKeys"] {
            url.query.extend(self.text(key)?.map(|value| (key.to_owned(), value.to_owned())));
        }
        Ok(())
    }

    /// All attributes but type, path and `__final`.
    fn as_query(&self) -> Query {
        let shown = self.attrs.iter().filter(|(key, _)| !["path", "type", FINAL].contains(&key.as_str()));
        shown
            .map(|(key, value)| {
                let value = match value {
                    Attr::Str(text) => text.clone(),
                    Attr::Int(number) => number.to_string(),
                    Attr::Bool(flag) => u8::from(*flag).to_string(),
                };
                (key.clone(), value)
            })
            .collect()
    }

    /// The text of the URL.
    ///
    /// # Errors
    /// As for [`to_url`](Self::to_url).
    pub fn to_text(&self) -> Result<String, FlakeError> {
        Ok(self.to_url()?.to_string())
    }
}

fn entry(key: &str, value: impl Into<Attr>) -> (String, Attr) {
    (key.to_owned(), value.into())
}

/// Which of `file` and `tarball` takes the URL.
fn is_archive(url: &Url, application: Option<&str>, is_tree: bool) -> Option<&'static str> {
    const ENDINGS: [&str; 7] = [".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"];
    match application {
        Some("file") => Some("file"),
        Some("tarball") => Some("tarball"),
        Some(_) => None,
        None => {
            let last = url.path.last().map(String::as_str).unwrap_or_default();
            let is_tree = is_tree || ENDINGS.iter().any(|ending| last.ends_with(ending));
            Some(if is_tree { "tarball" } else { "file" })
        }
    }
}

fn archive(url: &Url, kind: &str) -> Attrs {
    let mut attrs = Attrs::from([entry("type", kind)]);
    for key in ["narHash", "rev"] {
        attrs.extend(url.query.get(key).map(|value| entry(key, value.as_str())));
    }
    for key in ["revCount", "lastModified"] {
        let number = url.query.get(key).and_then(|value| value.parse().ok());
        attrs.extend(number.map(|number| (key.to_owned(), Attr::Int(number))));
    }
    let mut url = url.clone();
    url.scheme = Url::transport_of(&url.scheme).to_owned();
    // what is meant for us is not for the server
    for key in allowed_attrs(kind).unwrap_or_default() {
        url.query.remove(*key);
    }
    attrs.extend([entry("url", url.to_string())]);
    attrs
}

fn repository(url: &Url, kind: &str) -> Attrs {
    let mut attrs = Attrs::from([entry("type", kind)]);
    let (texts, flags): (&[&str], &[&str]) = match kind {
        "git" => (
            &["rev", "ref", "keytype", "publicKey", "publicKeys"],
            &["shallow", "submodules", "lfs", "exportIgnore", "allRefs", "verifyCommit"],
        ),
        _ => (&["rev", "ref"], &[]),
    };
    let mut plain = url.clone();
    plain.query.clear();
    for (key, value) in &url.query {
        if texts.contains(&key.as_str()) {
            attrs.extend([entry(key, value.as_str())]);
        } else if flags.contains(&key.as_str()) {
            attrs.insert(key.clone(), Attr::Bool(value == "1"));
        } else {
            plain.query.insert(key.clone(), value.clone());
        }
    }
    if kind == "hg" {
        plain.scheme = Url::transport_of(&plain.scheme).to_owned();
    }
    attrs.extend([entry("url", plain.to_string())]);
    attrs
}

fn is_rev(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn forge(url: &Url) -> Result<Attrs, FlakeError> {
    let segments = url.segments();
    let [owner, repo, rest @ ..] = segments.as_slice() else {
        return Err(FlakeError::bad_url(format!("URL '{url}' is invalid")));
    };
    let (mut reference, mut rev) = (None, None);
    match rest {
        [] => {}
        [one] if is_rev(one) => rev = Some((*one).to_owned()),
        many => reference = Some(many.join("/")),
    }
    // in the order of their names
    if let Some(value) = url.query.get("ref")
        && reference.replace(value.clone()).is_some()
    {
        return Err(FlakeError::bad_url(format!("URL '{url}' contains multiple branch/tag names")));
    }
    if let Some(value) = url.query.get("rev")
        && rev.replace(value.clone()).is_some()
    {
        return Err(FlakeError::bad_url(format!("URL '{url}' contains multiple commit hashes")));
    }
    let mut attrs = Attrs::from([entry("type", url.scheme.as_str()), entry("owner", *owner), entry("repo", *repo)]);
    attrs.extend(reference.map(|name| entry("ref", name)));
    attrs.extend(rev.map(|rev| entry("rev", rev)));
    for key in ["host", "narHash"] {
        attrs.extend(url.query.get(key).map(|value| entry(key, value.as_str())));
    }
    Ok(attrs)
}

fn indirect(url: &Url) -> Result<Attrs, FlakeError> {
    let segments = url.segments();
    let (reference, rev) = match segments.as_slice() {
        [_] => (None, None),
        [_, one] if is_rev(one) => (None, Some(*one)),
        [_, one] if is_legal_ref(one) => (Some(*one), None),
        [_, one] => {
            return Err(FlakeError::bad_url(format!(
                "in flake URL '{url}', '{one}' is not a commit hash or branch/tag name"
            )));
        }
        [_, name, _] if !is_legal_ref(name) => {
            return Err(FlakeError::bad_url(format!("in flake URL '{url}', '{name}' is not a branch/tag name")));
        }
        [_, _, rev] if !is_rev(rev) => {
            return Err(FlakeError::bad_url(format!("in flake URL '{url}', '{rev}' is not a commit hash")));
        }
        [_, name, rev] => (Some(*name), Some(*rev)),
        _ => return Err(FlakeError::bad_url(format!("GitHub URL '{url}' is invalid"))),
    };
    let mut attrs = Attrs::from([entry("type", "indirect"), entry("id", segments[0])]);
    attrs.extend(reference.map(|name| entry("ref", name)));
    attrs.extend(rev.map(|rev| entry("rev", rev.to_ascii_lowercase())));
    Ok(attrs)
}

fn path(url: &Url) -> Result<Attrs, FlakeError> {
    if let Some(authority) = url.authority.as_ref().filter(|authority| !authority.host.is_empty()) {
        return Err(FlakeError::invalid(format!("path URL '{url}' should not have an authority ('{authority}')")));
    }
    let mut attrs = Attrs::from([entry("type", "path"), entry("path", url.file_path()?)]);
    for (key, value) in &url.query {
        let value = match key.as_str() {
            "rev" | "narHash" => Attr::Str(value.clone()),
            "revCount" | "lastModified" => match value.parse() {
                Ok(number) => Attr::Int(number),
                Err(_) => {
                    return Err(FlakeError::invalid(format!("path URL '{url}' has invalid parameter '{key}'")));
                }
            },
            _ => return Err(FlakeError::invalid(format!("path URL '{url}' has unsupported parameter '{key}'"))),
        };
        attrs.insert(key.clone(), value);
    }
    Ok(attrs)
}

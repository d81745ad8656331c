//! Flake references: an input and a directory in it.

use std::fmt;

use super::input::Input;
use super::url::{Authority, Query, Url, decode_query, percent_decode};
use super::{Attr, Attrs, FlakeError, Warn};

/// What a flake reference means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlakeRef {
    /// What is fetched.
    pub input: Input,
    /// The directory with the `flake.nix`; empty for the root of the tree.
    pub subdir: String,
}

/// The parts of a reference that is a path: `PATH?QUERY#FRAGMENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRef {
    /// The path, as it was written.
    pub path: String,
    /// The query.
    pub query: Query,
    /// The fragment, decoded.
    pub fragment: String,
}

/// What a text may turn out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A reference and its fragment.
    Ref(FlakeRef, String),
    /// A path: which flake it means, only the file system knows.
    Path(PathRef),
}

/// Whether a text is a name that registries may have.
pub fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Reads a reference. `is_tree` is false for inputs that are no flakes; `base_dir` is what relative paths in `path:` and
/// `git+file:` URLs start from, if they may.
///
/// # Errors
/// Its scheme refuses it.
pub fn parse(text: &str, is_tree: bool, base_dir: Option<&str>, warn: Warn<'_>) -> Result<Parsed, FlakeError> {
    if let Some((url, fragment)) = id_url(text)? {
        return Ok(Parsed::Ref(
            FlakeRef { input: Input::from_url(&url, is_tree, warn)?, subdir: String::new() },
            fragment,
        ));
    }
    match parse_url(text, is_tree, base_dir, warn) {
        Ok((reference, fragment)) => return Ok(Parsed::Ref(reference, fragment)),
        Err(FlakeError::BadUrl(_)) => {}
        Err(other) => return Err(other),
    }
    let (body, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (path, query) = body.split_once('?').unwrap_or((body, ""));
    let query = decode_query(query, warn)?;
    Ok(Parsed::Path(PathRef { path: path.to_owned(), query, fragment: percent_decode(fragment)? }))
}

/// Whether this is the name of a branch or tag where Git is not asked (`refRegex` of Nix).
pub(super) fn is_ref(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./@+-".contains(&byte))
}

/// `ID`, `ID/REF`, `ID/REV` or `ID/REF/REV`, and a fragment.
fn id_url(text: &str) -> Result<Option<(Url, String)>, FlakeError> {
    let (body, fragment) = text.split_once('#').unwrap_or((text, ""));
    let id_end = body.find('/').unwrap_or(body.len());
    let rest = body[id_end..].strip_prefix('/');
    let in_fragment = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'\"()*+,;=:@/? ^%".contains(&byte);
    if !is_id(&body[..id_end]) || !rest.is_none_or(is_ref) || !fragment.bytes().all(in_fragment) {
        return Ok(None);
    }
    let url = Url::new("flake", None, body.split('/').map(str::to_owned).collect());
    Ok(Some((url, percent_decode(fragment)?)))
}

fn parse_url(
    text: &str,
    is_tree: bool,
    base_dir: Option<&str>,
    warn: Warn<'_>,
) -> Result<(FlakeRef, String), FlakeError> {
    let mut url = Url::parse(text, warn)?;
    if let Some(base) = base_dir
        && (url.scheme == "path" || url.scheme == "git+file")
    {
        let path = url.file_path()?;
        if !path.starts_with('/') {
            url.path = Url::path_segments(&absolute(base, &path));
        }
    }
    FlakeRef::from_url(url, is_tree, warn)
}

/// `path` from `base`, without `.` and `..`.
pub fn absolute(base: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

impl PathRef {
    /// The reference to the path itself: `path:…`.
    ///
    /// # Errors
    /// The query has something that paths do not take.
    pub fn to_path(&self, path: &str, is_tree: bool, warn: Warn<'_>) -> Result<(FlakeRef, String), FlakeError> {
        let authority = path.starts_with('/').then(Authority::default);
        let url = Url {
            query: self.query.clone(),
            fragment: self.fragment.clone(),
            ..Url::new("path", authority, Url::path_segments(path))
        };
        FlakeRef::from_url(url, is_tree, warn)
    }
}

impl FlakeRef {
    /// Reads a reference that needs no file system: no fragment, no path but an absolute one. With `keep_relative` a
    /// relative path is taken, too; it stays relative.
    ///
    /// # Errors
    /// Anything else, or what its scheme refuses.
    pub fn parse(text: &str, is_tree: bool, keep_relative: bool, warn: Warn<'_>) -> Result<Self, FlakeError> {
        let (reference, fragment) = match parse(text, is_tree, None, warn)? {
            Parsed::Ref(reference, fragment) => (reference, fragment),
            Parsed::Path(parts) => {
                if !keep_relative && !parts.path.starts_with('/') {
                    return Err(FlakeError::bad_url(format!("flake reference '{text}' is not an absolute path")));
                }
                parts.to_path(&parts.path, is_tree, warn)?
            }
        };
        if fragment.is_empty() {
            return Ok(reference);
        }
        Err(FlakeError::invalid(format!("unexpected fragment '{fragment}' in flake reference '{text}'")))
    }

    /// The reference that a URL means, and its fragment.
    ///
    /// # Errors
    /// Its scheme refuses it.
    pub fn from_url(mut url: Url, is_tree: bool, warn: Warn<'_>) -> Result<(Self, String), FlakeError> {
        let subdir = url.query.remove("dir").unwrap_or_default();
        let fragment = std::mem::take(&mut url.fragment);
        Ok((Self { input: Input::from_url(&url, is_tree, warn)?, subdir }, fragment))
    }

    /// The reference that attributes mean.
    ///
    /// # Errors
    /// As for [`Input::from_attrs`].
    pub fn from_attrs(mut attrs: Attrs, warn: Warn<'_>) -> Result<Self, FlakeError> {
        let subdir = match attrs.remove("dir") {
            None => String::new(),
            Some(Attr::Str(dir)) => dir,
            Some(other) => {
                attrs.insert("dir".to_owned(), other);
                let shown = super::input::attrs_to_json(&attrs).to_compact();
                return Err(FlakeError::invalid(format!("input attribute 'dir' is not a string {shown}")));
            }
        };
        Ok(Self { input: Input::from_attrs(attrs, warn)?, subdir })
    }

    /// A name to look up in registries.
    ///
    /// # Errors
    /// It is none.
    pub fn indirect(id: &str) -> Result<Self, FlakeError> {
        let attrs = [("type".to_owned(), Attr::from("indirect")), ("id".to_owned(), Attr::from(id))];
        Self::from_attrs(attrs.into(), &mut |_| {})
    }

    /// Its attributes.
    pub fn to_attrs(&self) -> Attrs {
        let mut attrs = self.input.attrs().clone();
        if !self.subdir.is_empty() {
            attrs.entry("dir".to_owned()).or_insert_with(|| Attr::Str(self.subdir.clone()));
        }
        attrs
    }

    /// The reference as a URL.
    ///
    /// # Errors
    /// The input has no scheme.
    pub fn to_text(&self) -> Result<String, FlakeError> {
        let mut url = self.input.to_url()?;
        if !self.subdir.is_empty() {
            url.query.entry("dir".to_owned()).or_insert_with(|| self.subdir.clone());
        }
        Ok(url.to_string())
    }

    /// The reference without a `dir` in its URL that the directory repeats: old lock files have both.
    pub fn canonical(&self) -> Self {
        let mut reference = self.clone();
        if let Ok(Some(text)) = self.input.text("url")
            && let Ok(mut url) = Url::parse(text, &mut |_| {})
        {
            if !self.subdir.is_empty() && url.query.get("dir") == Some(&self.subdir) {
                url.query.remove("dir");
            }
            reference.input.set("url", url.to_string());
        }
        reference
    }
}

impl fmt::Display for FlakeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_text() {
            Ok(text) => f.write_str(&text),
            Err(_) => f.write_str(&super::input::attrs_to_json(&self.to_attrs()).to_compact()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match FlakeRef::parse(text, true, false, &mut |_| {}) {
            Err(error) => error.to_string(),
            Ok(reference) => super::super::input::attrs_to_json(&reference.to_attrs()).to_compact(),
        }
    }

    #[test]
    fn references_round_trip() {
        for (text, attrs) in [
            (
                "github:NixOS/nixpkgs/23.05?dir=lib",
                r#"{"dir":"lib","owner":"NixOS","ref":"23.05","repo":"nixpkgs","type":"github"}"#,
            ),
            ("flake:nixpkgs/release", r#"{"id":"nixpkgs","ref":"release","type":"indirect"}"#),
            (
                "git+https://example.org/a?ref=main&shallow=1",
                r#"{"ref":"main","shallow":true,"type":"git","url":"https://example.org/a"}"#,
            ),
            ("path:/a/b?lastModified=3", r#"{"lastModified":3,"path":"/a/b","type":"path"}"#),
            ("https://example.org/a.tar.gz", r#"{"type":"tarball","url":"https://example.org/a.tar.gz"}"#),
            ("gitlab:a%2Fb/c/d", r#"{"owner":"a/b","ref":"d","repo":"c","type":"gitlab"}"#),
        ] {
            assert_eq!(shown(text), attrs, "{text}");
            let reference = FlakeRef::parse(text, true, false, &mut |_| {}).unwrap();
            let back = FlakeRef::parse(&reference.to_text().unwrap(), true, false, &mut |_| {}).unwrap();
            assert_eq!(back, reference);
        }
    }

    #[test]
    fn other_forms() {
        assert_eq!(shown("nixpkgs"), r#"{"id":"nixpkgs","type":"indirect"}"#);
        assert_eq!(shown("/a/b"), r#"{"path":"/a/b","type":"path"}"#);
        // shown as a URL, this one loses its prefix, as in Nix
        assert_eq!(
            shown("file+https://example.org/a.tar.gz"),
            r#"{"type":"file","url":"https://example.org/a.tar.gz"}"#
        );
        assert_eq!(shown("./x"), "flake reference './x' is not an absolute path");
        assert_eq!(shown("foo:bar"), "input 'foo:bar' is unsupported");
        assert_eq!(shown("github:x"), "flake reference 'github:x' is not an absolute path");
        assert_eq!(shown("nixpkgs#x"), "unexpected fragment 'x' in flake reference 'nixpkgs#x'");
        assert_eq!(absolute("/a/b", "../c/./d"), "/a/c/d");
    }
}

//! Flake references: URLs, registry names and paths that mean a source tree, and their form as attributes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The value of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attr {
    /// A string.
    Text(String),
    /// A number (`lastModified`, `revCount`).
    Number(u64),
    /// A truth value (`shallow`, `submodules`).
    Flag(bool),
}

type Query = BTreeMap<String, String>;

const FLAGS: [&str; 6] = ["shallow", "submodules", "lfs", "exportIgnore", "allRefs", "verifyCommit"];
const FORGES: [&str; 3] = ["github", "gitlab", "sourcehut"];

struct Url<'a> {
    scheme: &'a str,
    /// `Some` if there is a `//`.
    authority: Option<&'a str>,
    /// As it stands, with its escapes.
    path: &'a str,
    query: Query,
}

impl Url<'_> {
    fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|s| !s.is_empty()).map(decode).collect()
    }
}

/// Attributes by name, or a message.
type Attrs = Result<Vec<(String, Attr)>, String>;

/// The attributes that a flake reference means. A URL that its scheme does not allow is taken for a path, as in Nix.
pub fn parse(text: &str) -> Attrs {
    let (body, fragment) = text.split_once('#').unwrap_or((text, ""));
    if !fragment.is_empty() {
        return Err(format!("unexpected fragment '{fragment}' in flake reference '{text}'"));
    }
    let id = body.split('/').next().unwrap_or_default();
    if is_id(id) && !body.contains([':', '?']) {
        let segments: Vec<String> = body.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        return indirect(text, &segments).map(sorted);
    }
    match parse_url(body) {
        Some(url) if !known_scheme(url.scheme) => Err(unsupported(text)),
        Some(url) => from_url(text, url).or_else(|_| from_path(body)).map(sorted),
        None => from_path(body).map(sorted),
    }
}

/// The attributes of an input given as a URL (`fetchTree`).
pub fn parse_input(text: &str) -> Attrs {
    let url = parse_url(text).ok_or_else(|| format!("'{text}' doesn't have a scheme"))?;
    from_url(text, url).map(sorted)
}

fn sorted(mut attrs: Vec<(String, Attr)>) -> Vec<(String, Attr)> {
    attrs.sort_by(|a, b| a.0.cmp(&b.0));
    attrs
}

fn unsupported(text: &str) -> String {
    format!("input '{text}' is unsupported")
}

fn known_scheme(scheme: &str) -> bool {
    let (application, transport) = scheme.split_once('+').unwrap_or(("", scheme));
    match application {
        "" => FORGES.contains(&scheme) || ["flake", "path", "git", "http", "https", "file", "ftp"].contains(&scheme),
        "git" | "hg" => ["http", "https", "ssh", "file"].contains(&transport),
        "tarball" | "file" => ["http", "https", "file"].contains(&transport),
        _ => false,
    }
}

fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_rev(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A subset of git's rules for reference names.
fn is_ref(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['/', '.', '-'])
        && !text.ends_with(['/', '.'])
        && !text.ends_with(".lock")
        && !text.contains("..")
        && !text.contains("//")
        && !text.contains("@{")
        && text != "@"
        && !text.bytes().any(|b| b < 0x21 || b == 0x7F || b"~^:?*[\\".contains(&b))
}

fn text_attr(key: &str, value: impl Into<String>) -> (String, Attr) {
    (key.to_owned(), Attr::Text(value.into()))
}

fn parse_url(text: &str) -> Option<Url<'_>> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    if !valid {
        return None;
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        None => (None, rest),
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(host), path)
        }
    };
    let pairs = query.split('&').filter(|p| !p.is_empty()).filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(key, value)| (decode(key), decode(value))).collect();
    Some(Url { scheme, authority, path, query })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match pair.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn indirect(text: &str, segments: &[String]) -> Attrs {
    let (id, rest) = segments.split_first().ok_or_else(|| format!("'{text}' is not a valid flake ID"))?;
    if !is_id(id) {
        return Err(format!("'{id}' is not a valid flake ID"));
    }
    let mut attrs = vec![text_attr("type", "indirect"), text_attr("id", id)];
    match rest {
        [] => {}
        [one] if is_rev(one) => attrs.push(text_attr("rev", one)),
        [one] if is_ref(one) => attrs.push(text_attr("ref", one)),
        [one] => {
            return Err(format!("in flake URL '{text}', '{one}' is not a commit hash or branch/tag name"));
        }
        [name, rev] => {
            if !is_ref(name) {
                return Err(format!("in flake URL '{text}', '{name}' is not a branch/tag name"));
            }
            if !is_rev(rev) {
                return Err(format!("in flake URL '{text}', '{rev}' is not a commit hash"));
            }
            attrs.extend([text_attr("ref", name), text_attr("rev", rev)]);
        }
        _ => return Err(format!("GitHub URL '{text}' is invalid")),
    }
    Ok(attrs)
}

fn from_path(text: &str) -> Attrs {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if !path.starts_with('/') {
        return Err(format!("flake reference '{text}' is not an absolute path"));
    }
    let canonical = super::path::canonical(decode(path).as_bytes());
    let mut attrs = vec![text_attr("type", "path"), text_attr("path", String::from_utf8_lossy(&canonical))];
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        attrs.push(text_attr(&decode(key), decode(value)));
    }
    Ok(attrs)
}

fn from_url(text: &str, mut url: Url<'_>) -> Attrs {
    let dir = url.query.remove("dir").filter(|dir| !dir.is_empty());
    let transport = url.scheme.rsplit('+').next().unwrap_or_default().to_owned();
    let mut attrs = match url.scheme {
        "flake" => indirect(text, &url.segments())?,
        scheme if FORGES.contains(&scheme) => forge(text, &url)?,
        "path" => path_url(text, &url)?,
        "git" | "git+http" | "git+https" | "git+ssh" | "git+file" => vcs(url, "git", &transport),
        "hg+http" | "hg+https" | "hg+ssh" | "hg+file" => vcs(url, "hg", &transport),
        "http" | "https" | "file" | "ftp" | "tarball+http" | "tarball+https" | "tarball+file" => {
            archive(url, "tarball", &transport)
        }
        "file+http" | "file+https" | "file+file" => archive(url, "file", &transport),
        _ => return Err(unsupported(text)),
    };
    attrs.extend(dir.map(|dir| text_attr("dir", dir)));
    Ok(attrs)
}

fn forge(text: &str, url: &Url<'_>) -> Attrs {
    let segments = url.segments();
    let [owner, repo, rest @ ..] = segments.as_slice() else {
        return Err(format!("URL '{text}' is invalid"));
    };
    let (mut reference, mut rev) = (None, None);
    match rest {
        [] => {}
        [one] if is_rev(one) => rev = Some(one.clone()),
        many => reference = Some(many.join("/")),
    }
    if let Some(value) = url.query.get("rev")
        && rev.replace(value.clone()).is_some()
    {
        return Err(format!("URL '{text}' contains multiple commit hashes"));
    }
    if let Some(value) = url.query.get("ref")
        && reference.replace(value.clone()).is_some()
    {
        return Err(format!("URL '{text}' contains multiple branch/tag names"));
    }
    let mut attrs = vec![text_attr("type", url.scheme), text_attr("owner", owner), text_attr("repo", repo)];
    if let (Some(reference), Some(rev)) = (&reference, &rev) {
        return Err(format!(
            "URL '{text}' contains both a commit hash ('{rev}') and a branch/tag name ('{reference}')"
        ));
    }
    attrs.extend(reference.map(|r| text_attr("ref", r)));
    attrs.extend(rev.map(|r| text_attr("rev", r)));
    for key in ["host", "narHash"] {
        attrs.extend(url.query.get(key).map(|value| text_attr(key, value)));
    }
    Ok(attrs)
}

fn path_url(text: &str, url: &Url<'_>) -> Attrs {
    if url.authority.is_some_and(|host| !host.is_empty()) {
        let host = url.authority.unwrap_or_default();
        return Err(format!("path URL '{text}' should not have an authority ('{host}')"));
    }
    let mut attrs = vec![text_attr("type", "path"), text_attr("path", decode(url.path))];
    for (key, value) in &url.query {
        attrs.push(match key.as_str() {
            "rev" | "narHash" => text_attr(key, value),
            "revCount" | "lastModified" => {
                let number = value.parse().map_err(|_| format!("path URL '{text}' has invalid parameter '{value}'"))?;
                (key.clone(), Attr::Number(number))
            }
            _ => return Err(format!("path URL '{text}' has unsupported parameter '{key}'")),
        });
    }
    Ok(attrs)
}

fn plain_url(transport: &str, url: &Url<'_>, query: &Query) -> String {
    print_url(transport, url.authority, &decode(url.path), query)
}

fn vcs(url: Url<'_>, kind: &str, transport: &str) -> Vec<(String, Attr)> {
    let mut attrs = vec![text_attr("type", kind)];
    let mut rest = Query::new();
    for (key, value) in &url.query {
        if ["rev", "ref", "narHash", "keytype", "publicKey", "publicKeys"].contains(&key.as_str()) {
            attrs.push(text_attr(key, value));
        } else if FLAGS.contains(&key.as_str()) {
            attrs.push((key.clone(), Attr::Flag(value == "1")));
        } else {
            rest.insert(key.clone(), value.clone());
        }
    }
    attrs.push(text_attr("url", plain_url(transport, &url, &rest)));
    attrs
}

fn archive(url: Url<'_>, kind: &str, transport: &str) -> Vec<(String, Attr)> {
    let mut attrs = vec![text_attr("type", kind)];
    let mut rest = url.query.clone();
    for key in ["narHash", "rev"] {
        attrs.extend(rest.remove(key).map(|value| text_attr(key, value)));
    }
    for key in ["revCount", "lastModified"] {
        if let Some(number) = rest.get(key).and_then(|value| value.parse().ok()) {
            rest.remove(key);
            attrs.push((key.to_owned(), Attr::Number(number)));
        }
    }
    attrs.push(text_attr("url", plain_url(transport, &url, &rest)));
    attrs
}

fn print_url(scheme: &str, authority: Option<&str>, path: &str, query: &Query) -> String {
    let mut out = format!("{scheme}:");
    if let Some(authority) = authority {
        out.push_str("//");
        out.push_str(authority);
    }
    out.push_str(&encode(path, b"!$&'()*+,;=:@/"));
    for (i, (key, value)) in query.iter().enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(&encode(key, b"!$'()*,;:@/?"));
        out.push('=');
        out.push_str(&encode(value, b"!$'()*,;:@/?"));
    }
    out
}

/// The reference as a URL. The error is a message.
pub fn to_text(attrs: &[(String, Attr)]) -> Result<String, String> {
    let find = |key: &str| attrs.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    let text = |key: &str| match find(key) {
        Some(Attr::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let need = |key: &str| text(key).ok_or_else(|| format!("input attribute '{key}' is missing"));
    let mut query = Query::new();
    query.extend(text("dir").map(|dir| ("dir".to_owned(), dir.to_owned())));
    let kind = text("type").ok_or("'type' attribute to specify input scheme is required but not provided")?;
    match kind {
        "indirect" => {
            let parts: Vec<&str> = [Some(need("id")?), text("ref"), text("rev")].into_iter().flatten().collect();
            Ok(print_url("flake", None, &parts.join("/"), &query))
        }
        _ if FORGES.contains(&kind) => {
            let parts = [Some(need("owner")?), Some(need("repo")?), text("ref"), text("rev")];
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            for key in ["host", "narHash"] {
                query.extend(text(key).map(|value| (key.to_owned(), value.to_owned())));
            }
            Ok(print_url(kind, None, &parts.join("/"), &query))
        }
        "path" => {
            for (key, value) in attrs {
                let value = match value {
                    Attr::Text(text) => text.clone(),
                    Attr::Number(number) => number.to_string(),
                    Attr::Flag(flag) => u8::from(*flag).to_string(),
                };
                if !["type", "path", "dir", "__final"].contains(&key.as_str()) {
                    query.insert(key.clone(), value);
                }
            }
            Ok(print_url("path", None, need("path")?, &query))
        }
        "git" | "hg" | "tarball" | "file" => {
            let address = need("url")?;
            let url = parse_url(address).ok_or_else(|| format!("'{address}' is not a valid URL"))?;
            query.extend(url.query.clone());
            for key in ["rev", "ref", "narHash"] {
                query.extend(text(key).map(|value| (key.to_owned(), value.to_owned())));
            }
            for key in FLAGS {
                if let Some(Attr::Flag(true)) = find(key)
                    && key != "exportIgnore"
                {
                    query.insert(key.to_owned(), "1".to_owned());
                }
            }
            let prefix =
                if (kind == "git" || kind == "hg") && url.scheme != kind { format!("{kind}+") } else { String::new() };
            Ok(print_url(&format!("{prefix}{}", url.scheme), url.authority, &decode(url.path), &query))
        }
        _ => Err(format!("cannot show unsupported input '{}'", json(attrs))),
    }
}

/// The attributes as a JSON object, for messages.
fn json(attrs: &[(String, Attr)]) -> String {
    let mut out = vec![b'{'];
    for (i, (key, value)) in sorted(attrs.to_vec()).iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // Strings of this language are UTF-8 here, so writing them does not fail.
        let _ = super::json_write::string(&mut out, key.as_bytes());
        out.push(b':');
        match value {
            Attr::Text(text) => {
                let _ = super::json_write::string(&mut out, text.as_bytes());
            }
            Attr::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Attr::Flag(flag) => out.extend_from_slice(flag.to_string().as_bytes()),
        }
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Err(error) => error,
            Ok(attrs) => {
                let parts: Vec<String> = attrs
                    .iter()
                    .map(|(key, value)| match value {
                        Attr::Text(text) => format!("{key}={text}"),
                        Attr::Number(number) => format!("{key}={number}"),
                        Attr::Flag(flag) => format!("{key}={flag}"),
                    })
                    .collect();
                parts.join(" ")
            }
        }
    }

    #[test]
    fn references_round_trip() {
        for (text, attrs) in [
            ("github:NixOS/nixpkgs/23.05?dir=lib", "dir=lib owner=NixOS ref=23.05 repo=nixpkgs type=github"),
            ("flake:nixpkgs/release", "id=nixpkgs ref=release type=indirect"),
            (
                "git+https://example.org/a?ref=main&shallow=1",
                "ref=main shallow=true type=git url=https://example.org/a",
            ),
            ("path:/a/b?lastModified=3", "lastModified=3 path=/a/b type=path"),
            ("https://example.org/a.tar.gz", "type=tarball url=https://example.org/a.tar.gz"),
        ] {
            assert_eq!(shown(text), attrs, "{text}");
            let back = to_text(&parse(text).unwrap()).unwrap();
            assert_eq!(parse(&back).unwrap(), parse(text).unwrap(), "{back}");
        }
    }

    #[test]
    fn other_forms() {
        assert_eq!(shown("nixpkgs"), "id=nixpkgs type=indirect");
        assert_eq!(shown("/a/../b"), "path=/b type=path");
        assert_eq!(shown("./x"), "flake reference './x' is not an absolute path");
        assert_eq!(shown("foo:bar"), "input 'foo:bar' is unsupported");
        assert_eq!(shown("github:x"), "flake reference 'github:x' is not an absolute path");
        assert_eq!(parse_input("github:x"), Err("URL 'github:x' is invalid".to_owned()));
        assert_eq!(shown("gitlab:a%2Fb/c/d"), "owner=a/b ref=d repo=c type=gitlab");
    }
}

//! URLs as flake references have them: RFC 3986, and what Nix lets pass besides.

use std::collections::BTreeMap;
use std::fmt;

use super::{FlakeError, Warn};

/// The part after `?`, decoded.
pub type Query = BTreeMap<String, String>;

/// A URL in its parts, all of them decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// What stands before the first colon.
    pub scheme: String,
    /// User, host and port; `Some` if there is a `//`.
    pub authority: Option<Authority>,
    /// The path between its slashes; an absolute one begins with an empty segment.
    pub path: Vec<String>,
    /// The query.
    pub query: Query,
    /// What follows `#`.
    pub fragment: String,
}

/// Who and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    user: Option<String>,
    password: Option<String>,
    /// The host; in brackets if it is an IPv6 address.
    pub host: String,
    port: Option<u16>,
}

/// Bytes that need no escape anywhere.
fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Bytes that a segment of a path may have as they are.
fn is_pchar(byte: u8) -> bool {
    unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

const IN_PATH: &[u8] = b":@";
const IN_QUERY: &[u8] = b":@/?";

/// Escapes all bytes but letters, digits, `-._~` and those in `keep`.
pub fn percent_encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if unreserved(byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Resolves escapes.
///
/// # Errors
/// A broken escape, or one that makes something else than UTF-8.
pub fn percent_decode(text: &str) -> Result<String, FlakeError> {
    let fail = |why: &str| FlakeError::bad_url(format!("invalid URI parameter '{text}': {why}"));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let digits = bytes.get(at + 1..at + 3).ok_or_else(|| fail("incomplete pct-encoding"))?;
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(|| fail("bad pct-encoding"));
        out.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        at += 3;
    }
    String::from_utf8(out).map_err(|_| fail("not UTF-8"))
}

/// Reads `a=b&c=d`. The first of several values of a key counts; a key without a value is told of and left out.
///
/// # Errors
/// A broken escape or a byte that is not allowed.
pub fn decode_query(text: &str, warn: Warn<'_>) -> Result<Query, FlakeError> {
    let fixed = escape_only(text, b" \"");
    if !valid(&fixed, |byte| is_pchar(byte) || b"/?[]".contains(&byte)) {
        return Err(FlakeError::bad_url(format!("invalid URI query '{text}': invalid character")));
    }
    let mut query = Query::new();
    for pair in fixed.split('&').filter(|_| !fixed.is_empty()) {
        match pair.split_once('=') {
            None => warn(format!("dubious URI query '{pair}' is missing equal sign '=', ignoring")),
            Some((key, value)) => {
                let value = percent_decode(value)?;
                query.entry(percent_decode(key)?).or_insert(value);
            }
        }
    }
    Ok(query)
}

fn encode_query(query: &Query) -> String {
    let pairs = query
        .iter()
        .map(|(key, value)| format!("{}={}", percent_encode(key, IN_QUERY), percent_encode(value, IN_QUERY)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Escapes only the bytes in `wanted`.
fn escape_only(text: &str, wanted: &[u8]) -> String {
    text.chars()
        .map(|c| if c.is_ascii() && wanted.contains(&(c as u8)) { format!("%{:02X}", c as u8) } else { c.into() })
        .collect()
}

/// Whether all bytes outside of escapes are allowed.
fn valid(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        allowed(*byte)
            || (*byte == b'%' && bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
    })
}

impl Authority {
    fn parse(text: &str) -> Result<Self, FlakeError> {
        let fail = || FlakeError::bad_url(format!("invalid URL authority: '{text}': invalid character"));
        let (login, rest) = match text.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, text),
        };
        let (host, port) = match rest.rfind(']') {
            Some(end) => (&rest[..=end], rest[end + 1..].strip_prefix(':')),
            None => match rest.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let in_name = |byte: u8| unreserved(byte) || b"!$&'()*+,;=".contains(&byte);
        let is_address = host.starts_with('[') && host.ends_with(']');
        if !is_address && !valid(host, in_name)
            || !valid(login.unwrap_or_default(), |byte| in_name(byte) || byte == b':')
        {
            return Err(fail());
        }
        let port = match port.filter(|port| !port.is_empty()) {
            None => None,
            Some(port) if !port.bytes().all(|byte| byte.is_ascii_digit()) => return Err(fail()),
            Some(port) => {
                let invalid = || FlakeError::bad_url(format!("port '{port}' is invalid"));
                Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?)
            }
        };
        let (user, password) =
            match login.map(|login| login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)))) {
                None => (None, None),
                Some((user, password)) => (Some(percent_decode(user)?), password.map(percent_decode).transpose()?),
            };
        let host = if is_address { host.to_owned() } else { percent_decode(host)? };
        Ok(Self { user, password, host, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            f.write_str(&percent_encode(user, b""))?;
            if let Some(password) = &self.password {
                write!(f, ":{}", percent_encode(password, b""))?;
            }
            f.write_str("@")?;
        }
        if self.host.starts_with('[') {
            f.write_str(&self.host)?;
        } else {
            f.write_str(&percent_encode(&self.host, b""))?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Url {
    /// A URL of a scheme and a path, with nothing else.
    pub fn new(scheme: &str, authority: Option<Authority>, path: Vec<String>) -> Self {
        Self { scheme: scheme.to_owned(), authority, path, query: Query::new(), fragment: String::new() }
    }

    /// Reads a URL. Spaces and quotes may stand in query and fragment as they are.
    ///
    /// # Errors
    /// [`FlakeError::BadUrl`].
    pub fn parse(text: &str, warn: Warn<'_>) -> Result<Self, FlakeError> {
        let not_valid = || FlakeError::bad_url(format!("'{text}' is not a valid URL: leftover"));
        let no_scheme = || FlakeError::bad_url(format!("'{text}' doesn't have a scheme"));
        // a fragment is the rest of the URL, whatever it holds
        let (body, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (head, query) = body.split_once('?').unwrap_or((body, ""));
        let is_path = |text| valid(text, |byte| is_pchar(byte) || byte == b'/');
        let (scheme, rest) =
            head.split_once(':').ok_or_else(|| if is_path(head) { no_scheme() } else { not_valid() })?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
        if !is_scheme {
            return Err(if scheme.contains('/') { no_scheme() } else { not_valid() });
        }
        let (authority, path) = match rest.strip_prefix("//") {
            None => (None, rest),
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(Authority::parse(authority)?), path)
            }
        };
        if !is_path(path) {
            return Err(not_valid());
        }
        let fragment = escape_only(fragment, b" \"^");
        if !valid(&fragment, |byte| is_pchar(byte) || b"/?#".contains(&byte)) {
            return Err(not_valid());
        }
        let is_file = Self::transport_of(scheme) == "file";
        if let Some(authority) = authority.as_ref().filter(|authority| is_file && !authority.host.is_empty()) {
            return Err(FlakeError::bad_url(format!("file:// URL '{text}' has unexpected authority '{authority}'")));
        }
        let path = if is_file && path.is_empty() { "/" } else { path };
        Ok(Self {
            scheme: scheme.to_owned(),
            authority,
            path: path.split('/').map(percent_decode).collect::<Result<_, _>>()?,
            query: decode_query(query, warn)?,
            fragment: percent_decode(&fragment)?,
        })
    }

    /// What the part of a scheme before `+` says about the kind of thing, if there is one.
    pub fn application_of(scheme: &str) -> Option<&str> {
        scheme.split_once('+').map(|(application, _)| application)
    }

    /// How a scheme says that the thing is transported.
    pub fn transport_of(scheme: &str) -> &str {
        scheme.split_once('+').map_or(scheme, |(_, transport)| transport)
    }

    /// The segments of the path that are not empty.
    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).filter(|segment| !segment.is_empty()).collect()
    }

    /// The path as files have it.
    ///
    /// # Errors
    /// A segment has a slash or a zero byte in it.
    pub fn file_path(&self) -> Result<String, FlakeError> {
        for segment in &self.path {
            if segment.contains('/') {
                return Err(FlakeError::bad_url(format!(
                    "URL path component '{segment}' contains '/', which is not allowed in file names"
                )));
            }
            if segment.contains('\0') {
                return Err(FlakeError::bad_url(format!(
                    "URL path component '{}' contains NUL byte which is not allowed",
                    segment.replace('\0', "␀")
                )));
            }
        }
        Ok(join_path(&self.path))
    }

    /// The segments of a path of files.
    pub fn path_segments(path: &str) -> Vec<String> {
        let named = path.split('/').enumerate().filter(|(at, part)| *at == 0 || !part.is_empty());
        let mut segments: Vec<String> = named.map(|(_, part)| part.to_owned()).collect();
        if path.ends_with('/') {
            segments.push(String::new());
        }
        segments
    }
}

/// Puts segments together; empty ones in the middle vanish.
fn join_path(segments: &[String]) -> String {
    let mut out = String::new();
    for (at, segment) in segments.iter().enumerate() {
        if at == 0 && segment.is_empty() {
            out.push('/');
            continue;
        }
        if !out.is_empty() && !out.ends_with('/') {
            out.push('/');
        }
        out.push_str(segment);
    }
    out
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(authority) = &self.authority {
            write!(f, "//{authority}")?;
        }
        let segments: Vec<String> = self.path.iter().map(|segment| percent_encode(segment, IN_PATH)).collect();
        f.write_str(&segments.join("/"))?;
        if !self.query.is_empty() {
            write!(f, "?{}", encode_query(&self.query))?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", percent_encode(&self.fragment, b""))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_round_trip() {
        for (text, back) in [
            ("git+file:///a/b%20c?ref=x y&dir=d#frag", "git+file:///a/b%20c?dir=d&ref=x%20y#frag"),
            ("file:///a//b/", "file:///a//b/"),
            ("path:./x", "path:./x"),
            ("https://user:p%40w@example.org:8080/a@b", "https://user:p%40w@example.org:8080/a@b"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            ("file:", "file:/"),
        ] {
            assert_eq!(Url::parse(text, &mut |_| {}).unwrap().to_string(), back, "{text}");
        }
    }

    #[test]
    fn refuses() {
        for text in ["/a/b", "x", "a b:c", "file://host/x", "path:a b", "http://h:0/", "http://h/%zz"] {
            assert!(Url::parse(text, &mut |_| {}).is_err(), "{text}");
        }
        let mut warnings = Vec::new();
        let url = Url::parse("path:/a?x&y=1&y=2", &mut |text| warnings.push(text)).unwrap();
        assert_eq!(url.query, Query::from([("y".to_owned(), "1".to_owned())]));
        assert_eq!(warnings, ["dubious URI query 'x' is missing equal sign '=', ignoring"]);
    }
}

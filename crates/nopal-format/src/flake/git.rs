//! How Git names things: remotes and references.

use super::url::{Authority, Url};
use super::{FlakeError, Warn};

/// A remote as a URL: the notation of `scp`, a bare path, or a URL, whose `git+` goes.
///
/// # Errors
/// The notation of `scp` without a user, or no URL.
pub fn fix_git_url(text: &str, warn: Warn<'_>) -> Result<Url, FlakeError> {
    let mut text = text.to_owned();
    if !text.starts_with('/')
        && let Some((place, path)) = text.rsplit_once(':')
        && let Some((user, host)) = place.rsplit_once('@')
        && !user.contains('/')
    {
        text = format!("ssh://{user}@{host}/{path}");
    }
    if !text.starts_with("file:") && !text.starts_with("git+file:") && !text.contains("://") {
        let path: Vec<String> = text.split('/').map(str::to_owned).collect();
        if path[0].contains(':') {
            return Err(FlakeError::bad_url(format!(
                "SCP-like URL '{text}' is not supported; use SSH URL syntax instead (ssh://...)"
            )));
        }
        let authority = text.starts_with('/').then(Authority::default);
        return Ok(Url::new("file", authority, path));
    }
    let mut url = Url::parse(&text, warn)?;
    if let Some(transport) = url.scheme.strip_prefix("git+") {
        url.scheme = transport.to_owned();
    }
    Ok(url)
}

/// Whether Git takes this as the name of a branch, a tag or any reference.
pub fn is_legal_ref(name: &str) -> bool {
    let part_is_legal = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && name.split('/').all(part_is_legal)
        && !name.bytes().any(|byte| byte <= b' ' || byte == 0x7F || b"~^:?*[\\".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes() {
        for (text, url) in [
            ("git@github.com:a/b.git", "ssh://git@github.com/a/b.git"),
            ("/a/b", "file:///a/b"),
            ("a/b", "file:a/b"),
            ("git+https://h/x", "https://h/x"),
            ("file:///a", "file:///a"),
        ] {
            assert_eq!(fix_git_url(text, &mut |_| {}).unwrap().to_string(), url, "{text}");
        }
        assert!(fix_git_url("github.com:a/b", &mut |_| {}).is_err());
    }

    #[test]
    fn names() {
        for name in ["main", "refs/heads/a", "a/b.c", "v1.0", "foo@bar", "HEAD"] {
            assert!(is_legal_ref(name), "{name}");
        }
        for name in ["", "a..b", "a.lock", ".a", "a/", "/a", "a//b", "a b", "a^", "@", "a@{b", "-a", "a."] {
            assert!(!is_legal_ref(name), "{name}");
        }
    }
}

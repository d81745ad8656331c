//! Reading files: what may be read, files that come with the evaluator, and errors of the host.

use std::sync::PoisonError;

use crate::error::{Error, ErrorKind, Result};
use crate::eval::Evaluator;
use crate::host::{FileType, HostError, Listing};
use crate::pos::Pos;
use crate::pure::path::{absolute, canonical, parent};
use crate::value::Root;
use nopal_format::StorePath;

/// Links followed before a path is called endless, as in Nix.
const MAX_LINKS: usize = 1024;

/// Which symbolic links in a path are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// None.
    Keep,
    /// All but one at the end.
    Ancestors,
    /// All.
    Full,
}

/// The file `<nix/fetchurl.nix>`.
const FETCHURL: &str = include_str!("fetchurl.nix");

impl Evaluator {
    /// The evaluation error for a failure of the host.
    #[cold]
    pub fn host_error(&self, error: HostError, pos: Pos) -> Error {
        let kind = match error {
            HostError::Interrupted => ErrorKind::Interrupted,
            HostError::HashMismatch(_) => ErrorKind::HashMismatch,
            _ => ErrorKind::Host,
        };
        Error::new(kind, error.to_string()).at(pos)
    }

    /// Is there something that must not be read?
    pub(super) fn is_restricted(&self) -> bool {
        self.common.allowed.is_some()
    }

    /// Lets a file or tree be read in restricted and pure evaluation.
    pub fn allow_path_text(&mut self, path: &[u8]) {
        if let Some(allowed) = &self.common.allowed {
            allowed.write().unwrap_or_else(PoisonError::into_inner).insert(canonical(path));
        }
    }

    /// Lets a store object be read in restricted and pure evaluation.
    pub fn allow_path(&mut self, path: &StorePath) {
        if self.is_restricted() {
            let printed = self.settings.store_dir.print(path);
            self.allow_path_text(printed.as_bytes());
        }
    }

    /// Fails if restricted or pure evaluation forbids reading `path`.
    pub fn check_access(&self, root: Root, path: &[u8]) -> Result<()> {
        let Some(allowed) = &self.common.allowed else { return Ok(()) };
        if root == Root::INTERNAL {
            return Ok(());
        }
        let allowed = allowed.read().unwrap_or_else(PoisonError::into_inner);
        let mut ancestor = path;
        loop {
            if allowed.contains(ancestor) {
                return Ok(());
            }
            if ancestor == b"/" {
                break;
            }
            ancestor = parent(ancestor);
        }
        // Parents of what is allowed may be looked at, so that links in them can be followed.
        if allowed.iter().any(|entry| crate::pure::path::is_within(entry, path)) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(path);
        let message = if self.settings.pure_eval {
            format!(
                "access to absolute path '{shown}' is forbidden in pure evaluation mode (use '--impure' to override)"
            )
        } else {
            format!("access to absolute path '{shown}' is forbidden in restricted mode")
        };
        Err(Error::new(ErrorKind::Restricted, message))
    }

    /// Fails if restricted evaluation forbids fetching from `uri`.
    pub fn check_uri(&self, uri: &str) -> Result<()> {
        if !self.settings.restrict_eval || self.settings.allowed_uris.iter().any(|prefix| is_allowed(uri, prefix)) {
            return Ok(());
        }
        let path = uri.strip_prefix("file://").unwrap_or(uri);
        if path.starts_with('/') {
            return self.check_access(Root::HOST, &canonical(path.as_bytes()));
        }
        let message = format!("access to URI '{uri}' is forbidden in restricted mode");
        Err(Error::new(ErrorKind::Restricted, message))
    }

    /// What a path is, without following a link at its end; `None` when nothing is there.
    pub fn source_type(&self, root: Root, path: &[u8]) -> Result<Option<FileType>> {
        if root == Root::INTERNAL {
            return Ok(match path {
                b"/" => Some(FileType::Directory),
                b"/fetchurl.nix" => Some(FileType::Regular { executable: false }),
                _ => None,
            });
        }
        self.check_access(root, path)?;
        self.host().file_type(crate::eval::as_path(path)).map_err(|error| self.host_error(error, Pos::NONE))
    }

    /// As [`Evaluator::source_type`], failing when nothing is there.
    pub fn require_file_type(&self, root: Root, path: &[u8]) -> Result<FileType> {
        match self.source_type(root, path)? {
            Some(found) => Ok(found),
            None => Err(self.not_found(root, path)),
        }
    }

    /// The error for a file that does not come with the evaluator, or is none of the kind.
    #[cold]
    fn internal_file(&self, path: &[u8], fault: &str) -> Error {
        let shown = self.shown_path(Root::INTERNAL, path);
        Error::new(ErrorKind::Host, [b"file '", &shown[..], b"' ", fault.as_bytes()].concat())
    }

    /// The contents of a file; links are followed.
    pub fn source_read(&self, root: Root, path: &[u8]) -> Result<Vec<u8>> {
        if root == Root::INTERNAL {
            return match path {
                b"/fetchurl.nix" => Ok(FETCHURL.as_bytes().to_vec()),
                _ => Err(self.internal_file(path, "does not exist")),
            };
        }
        let path = self.resolve_links(root, path, Links::Full)?;
        self.check_access(root, &path)?;
        self.host().read_file(crate::eval::as_path(&path)).map_err(|error| self.read_error(error, &path))
    }

    /// The target of a symbolic link.
    pub fn source_link(&self, root: Root, path: &[u8]) -> Result<Vec<u8>> {
        self.check_access(root, path)?;
        self.host().read_link(crate::eval::as_path(path)).map_err(|error| self.host_error(error, Pos::NONE))
    }

    /// The names in a directory with their types; links to the directory are followed.
    pub fn source_read_dir(&self, root: Root, path: &[u8]) -> Result<Listing> {
        if root == Root::INTERNAL {
            return match self.source_type(root, path)? {
                Some(FileType::Directory) => {
                    Ok([(b"fetchurl.nix".to_vec(), FileType::Regular { executable: false })].into())
                }
                Some(_) => Err(self.internal_file(path, "is not a directory")),
                None => Err(self.internal_file(path, "does not exist")),
            };
        }
        let path = self.resolve_links(root, path, Links::Full)?;
        self.check_access(root, &path)?;
        let listing =
            self.host().read_dir(crate::eval::as_path(&path)).map_err(|error| self.read_error(error, &path))?;
        if !self.is_restricted() {
            return Ok(listing);
        }
        let is_allowed = |name: &[u8]| self.check_access(root, &absolute(&path, name)).is_ok();
        Ok(listing.iter().filter(|(name, _)| is_allowed(name)).cloned().collect())
    }

    /// The path with links in it resolved. What does not exist is kept as it is.
    pub fn resolve_links(&self, root: Root, path: &[u8], links: Links) -> Result<Vec<u8>> {
        if root == Root::INTERNAL || links == Links::Keep {
            return Ok(path.to_vec());
        }
        let mut done: Vec<u8> = Vec::new();
        let mut todo = path.split(|b| *b == b'/').rev().map(<[u8]>::to_vec).collect::<Vec<_>>();
        let mut followed = 0;
        while let Some(component) = todo.pop() {
            match component.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    let up = memchr::memrchr(b'/', &done).unwrap_or(0);
                    done.truncate(up);
                    continue;
                }
                _ => {}
            }
            let before = done.len();
            done.push(b'/');
            done.extend_from_slice(&component);
            let is_last = todo.iter().all(|rest| rest.is_empty());
            if is_last && links == Links::Ancestors {
                break;
            }
            if self.source_type(root, &done)? == Some(FileType::Symlink) {
                followed += 1;
                if followed >= MAX_LINKS {
                    let shown = String::from_utf8_lossy(path);
                    let message = format!("infinite symlink recursion in path '{shown}'");
                    return Err(Error::new(ErrorKind::Host, message));
                }
                let target = self.source_link(root, &done)?;
                done.truncate(if target.first() == Some(&b'/') { 0 } else { before });
                todo.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
            }
        }
        if done.is_empty() {
            done.push(b'/');
        }
        Ok(done)
    }

    /// Where an import of `path` leads: a link at its end is followed, and a directory means its `default.nix`.
    pub(crate) fn resolve_expr_path(&self, root: Root, path: &[u8], add_default_nix: bool) -> Result<Vec<u8>> {
        let mut path = path.to_vec();
        let mut followed = 0;
        while path != b"/" {
            followed += 1;
            if followed >= MAX_LINKS {
                let shown = String::from_utf8_lossy(&path);
                let message = format!("too many symbolic links encountered while traversing the path '{shown}'");
                return Err(Error::new(ErrorKind::Host, message));
            }
            if self.require_file_type(root, &path)? != FileType::Symlink {
                break;
            }
            let target = self.source_link(root, &path)?;
            path = absolute(parent(&path), &target);
        }
        if add_default_nix && self.require_file_type(root, &path)? == FileType::Directory {
            path = absolute(&path, b"default.nix");
        }
        Ok(path)
    }
}

/// Is `uri` below an allowed prefix? The prefix may end in the middle of the path only at a slash, and may be a scheme
/// alone (`https:`).
fn is_allowed(uri: &str, prefix: &[u8]) -> bool {
    let Some(rest) = uri.as_bytes().strip_prefix(prefix) else { return false };
    rest.is_empty()
        || prefix.ends_with(b"/")
        || rest.starts_with(b"/")
        || (prefix.ends_with(b":") && prefix.iter().filter(|b| **b == b':').count() == 1)
}

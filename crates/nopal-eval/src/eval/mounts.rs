//! Trees that were fetched: evaluation reads their copies in the store, messages name where they came from.

use nopal_format::StorePath;

use crate::error::{Error, ErrorKind};
use crate::eval::Evaluator;
use crate::host::{HostError, Mount};
use crate::pos::{Origin, Pos};
use crate::value::{NixPath, Root};

/// What Nix puts before paths of texts that are part of the program.
const INTERNAL_PREFIX: &[u8] = "«nix-internal»".as_bytes();

impl Evaluator {
    /// Lets messages name a store object, and all that is in it, otherwise. The latest mount of a path counts.
    pub fn mount(&mut self, path: &StorePath, mount: Option<Mount>) {
        let path = self.settings.store_dir.print(path).into_bytes();
        self.mounts.retain(|(mounted, _)| *mounted != path);
        self.mounts.extend(mount.map(|mount| (path, mount)));
    }

    /// Has messages name a store object by its path again, unless evaluation is pure: only there does Nix read fetched trees
    /// where they came from, and not the store.
    pub fn unmount_if_impure(&mut self, path: &StorePath) {
        if !self.settings.pure_eval {
            self.mount(path, None);
        }
    }

    /// The mount that a path is in, and where in it.
    fn mount_of<'a>(&self, path: &'a [u8]) -> Option<(&Mount, &'a [u8])> {
        self.mounts.iter().find_map(|(mounted, mount)| {
            let rest = path.strip_prefix(mounted.as_slice())?;
            (rest.is_empty() || rest.starts_with(b"/")).then_some((mount, rest))
        })
    }

    /// A path as messages show it.
    pub(crate) fn shown_path(&self, root: Root, path: &[u8]) -> Vec<u8> {
        match root {
            Root::INTERNAL if path == crate::derivation::INTERNAL_PATH => [INTERNAL_PREFIX, path].concat(),
            Root::INTERNAL => [b"<nix", path, b">"].concat(),
            _ => match self.mount_of(path) {
                Some((mount, rest)) => [&mount.shown, rest].concat(),
                None => path.to_vec(),
            },
        }
    }

    /// A path as it is printed as a value.
    pub(crate) fn printed_path(&self, path: NixPath) -> Vec<u8> {
        if path.root() == Root::INTERNAL {
            self.shown_path(Root::INTERNAL, path.as_bytes())
        } else {
            path.as_bytes().to_vec()
        }
    }

    /// The origin as the syntax crate knows it.
    pub(crate) fn syntax_origin(&self, origin: &Origin) -> nopal_syntax::source::Origin {
        match origin {
            Origin::File { root, path } => nopal_syntax::source::Origin::Path(self.shown_path(*root, path)),
            Origin::Text => nopal_syntax::source::Origin::String,
            Origin::Stdin => nopal_syntax::source::Origin::Stdin,
        }
    }

    /// The error for a path that is not there.
    #[cold]
    pub(super) fn not_found(&self, root: Root, path: &[u8]) -> Error {
        if root != Root::INTERNAL
            && let Some((mount, rest)) = self.mount_of(path).filter(|(mount, _)| mount.is_worktree)
        {
            return self.not_tracked(mount, rest.strip_prefix(b"/").unwrap_or(rest));
        }
        let shown = self.shown_path(root, path);
        Error::new(ErrorKind::Host, [b"path '", shown.as_slice(), b"' does not exist"].concat())
    }

    /// The error for a file that cannot be read.
    #[cold]
    pub(super) fn read_error(&self, error: HostError, path: &[u8]) -> Error {
        match (&error, self.mount_of(path)) {
            (HostError::NotFound(_), Some((mount, rest))) if !mount.is_worktree => {
                let message = [b"'", mount.shown.as_slice(), rest, b"' does not exist"].concat();
                Error::new(ErrorKind::Host, message)
            }
            // the host names the place where the object would be
            (HostError::NotFound(_), _) if path.starts_with(self.settings.store_dir.as_str().as_bytes()) => {
                self.not_found(Root::HOST, path)
            }
            _ => self.host_error(error, Pos::NONE),
        }
    }

    /// Only files that Git knows of are copied from a working tree; users forget to tell it of new ones.
    fn not_tracked(&self, mount: &Mount, rest: &[u8]) -> Error {
        let repository = String::from_utf8_lossy(&mount.shown);
        let path = String::from_utf8_lossy(rest);
        let there = [mount.shown.as_slice(), b"/", rest].concat();
        let message = match self.host().file_type(crate::eval::as_path(&there)) {
            Ok(Some(_)) => format!(
                "Path '{path}' in the repository \"{repository}\" is not tracked by Git.\n\nTo make it visible to Nix, \
                 run:\n\ngit -C \"{repository}\" add \"{path}\""
            ),
            _ => format!("Path '{path}' does not exist in Git repository \"{repository}\"."),
        };
        Error::new(ErrorKind::Host, message)
    }
}

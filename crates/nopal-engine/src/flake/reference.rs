//! References as users type them: relative to the working directory, and looked for in the directories above.

use std::path::{Path, PathBuf};

use nopal_eval::Error;
use nopal_format::flake::reference::{Parsed, PathRef, absolute, parse};
use nopal_format::flake::url::{Authority, Url};
use nopal_format::flake::{FlakeError, FlakeRef};
use nopal_report::Level;

use super::{Flakes, refused};

impl Flakes<'_> {
    /// Reads what a user typed: a reference and a fragment. With `may_be_missing` the directory need not have a
    /// `flake.nix`.
    pub(super) fn parse_typed(&self, text: &str, may_be_missing: bool) -> Result<(FlakeRef, String), Error> {
        let base = self.shared.config.working_dir.display().to_string();
        let parsed = parse(text, true, Some(&base), &mut |warning| self.warn(warning)).map_err(refused)?;
        let (reference, fragment) = match parsed {
            Parsed::Ref(reference, fragment) => (reference, fragment),
            Parsed::Path(parts) => self.find(text, &parts, &base, may_be_missing)?,
        };
        self.check_feature(&reference)?;
        Ok((reference, fragment))
    }

    /// As [`parse_typed`](Self::parse_typed), without a fragment.
    pub(super) fn parse_plain(&self, text: &str, may_be_missing: bool) -> Result<FlakeRef, Error> {
        let (reference, fragment) = self.parse_typed(text, may_be_missing)?;
        if fragment.is_empty() {
            return Ok(reference);
        }
        Err(Error::eval(format!("unexpected fragment '{fragment}' in flake reference '{text}'")))
    }

    /// The flake that a path is in: the directory itself or one above it, and the repository around that.
    fn find(&self, text: &str, parts: &PathRef, base: &str, may_be_missing: bool) -> Result<(FlakeRef, String), Error> {
        let mut path = PathBuf::from(absolute(base, &parts.path));
        if let Ok(real) = nopal_fs::canonicalize(&path) {
            path = real;
        }
        let kind = nopal_fs::symlink_metadata_if_exists(&path).map_err(|error| Error::eval(error.to_string()))?;
        let Some(kind) = kind else {
            return Err(Error::eval(format!("getting status of \"{}\": No such file or directory", path.display())));
        };
        if !kind.is_dir() {
            if path.file_name() != Some("flake.nix".as_ref()) {
                return Err(Error::eval(format!(
                    "path \"{}\" is not a flake (because it's not a directory)",
                    path.display()
                )));
            }
            let parent = nopal_fs::parent_of(&path).to_owned();
            self.warn(format!(
                "Path \"{}\" should point at the directory containing the 'flake.nix' file, not the file itself. \
                 Pretending that you meant \"{}\"",
                path.display(),
                parent.display()
            ));
            path = parent;
        }
        if !may_be_missing {
            path = self.search_up(path)?;
        }
        match repository(text, parts, &path)? {
            Some(url) => FlakeRef::from_url(url, true, &mut |warning| self.warn(warning)).map_err(refused),
            None => {
                let path = path.display().to_string();
                parts.to_path(&path, true, &mut |warning| self.warn(warning)).map_err(refused)
            }
        }
    }

    fn search_up(&self, start: PathBuf) -> Result<PathBuf, Error> {
        if nopal_fs::exists(&start.join("flake.nix")) {
            return Ok(start);
        }
        let text = format!("path \"{}\" does not contain a 'flake.nix', searching up", start.display());
        self.shared.config.reporter.message(Level::Notice, text);
        let device = |path: &Path| {
            use std::os::unix::fs::MetadataExt as _;
            nopal_fs::symlink_metadata(path).map(|metadata| metadata.dev()).ok()
        };
        let first = device(&start);
        let mut path = start;
        while path != Path::new("/") {
            if nopal_fs::exists(&path.join("flake.nix")) {
                return Ok(path);
            }
            if nopal_fs::exists(&path.join(".git")) {
                return Err(Error::eval(format!(
                    "path \"{}\" is not part of a flake (neither it nor its parent directories contain a 'flake.nix' \
                     file)",
                    path.display()
                )));
            }
            if device(&path) != first {
                return Err(Error::eval(format!(
                    "unable to find a flake before encountering filesystem boundary at \"{}\"",
                    path.display()
                )));
            }
            path.pop();
        }
        Err(Error::eval("could not find a flake.nix file"))
    }
}

/// The URL of the repository that a directory is in, if it is in one.
fn repository(text: &str, parts: &PathRef, path: &Path) -> Result<Option<Url>, Error> {
    let Some(root) = path.ancestors().find(|dir| *dir != Path::new("/") && nopal_fs::exists(&dir.join(".git"))) else {
        return Ok(None);
    };
    let mut url = Url::new("git+file", Some(Authority::default()), Url::path_segments(&root.display().to_string()));
    url.query.clone_from(&parts.query);
    url.fragment.clone_from(&parts.fragment);
    let subdir = path.strip_prefix(root).unwrap_or(Path::new(""));
    if !subdir.as_os_str().is_empty() && url.query.insert("dir".to_owned(), subdir.display().to_string()).is_some() {
        return Err(refused(FlakeError::Invalid(format!("flake URL '{text}' has an inconsistent 'dir' parameter"))));
    }
    if nopal_fs::exists(&root.join(".git/shallow")) {
        url.query.insert("shallow".to_owned(), "1".to_owned());
    }
    Ok(Some(url))
}

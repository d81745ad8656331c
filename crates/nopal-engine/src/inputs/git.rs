//! Git repositories: the working tree of one beside us, or a commit of one anywhere.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nopal_eval::host::{HostError, HostResult, Mount};
use nopal_fetch::git::{Git, GitError, Repository};
use nopal_format::flake::{Attr, Attrs, Input, Url};
use nopal_format::hash::sha256;
use nopal_format::json::Json;
use nopal_format::{HashAlgorithm, Hasher};
use nopal_fs::PathLock;

use super::{Source, Tree, git_program, invalid, known, named, tolerate_dirty, wants_commit, warn};
use crate::engine::Shared;

/// What stands for a commit where there is none yet.
const NO_REV: &str = "0000000000000000000000000000000000000000";

pub(super) fn failed(error: GitError) -> HostError {
    HostError::Failed(error.to_string())
}

/// Where a repository is.
enum Location {
    /// Beside us, with a working tree.
    Path(PathBuf),
    /// Elsewhere, or beside us without a working tree: it is cloned into the cache.
    Url(Url),
}

impl Location {
    fn of(shared: &Shared, input: &Input) -> HostResult<Self> {
        let mut url = Url::parse(input.need("url").map_err(invalid)?, &mut |_| {}).map_err(invalid)?;
        if url.scheme == "file" {
            let path = PathBuf::from(url.file_path().map_err(invalid)?);
            // for tests of fetching over a network without one
            let force = shared.config.environment.get(OsStr::new("_NIX_FORCE_HTTP")).is_some_and(|value| value == "1");
            let is_bare = nopal_fs::exists(&path) && !nopal_fs::exists(&path.join(".git"));
            if !force && !is_bare {
                if !path.is_absolute() {
                    warn(
                        shared,
                        format!(
                            "Fetching Git repository '{url}', which uses a path relative to the current directory. This \
                             is not supported and will stop working in a future release. See \
                             https://github.com/NixOS/nix/issues/12281 for details."
                        ),
                    );
                }
                return Ok(Self::Path(shared.config.working_dir.join(path)));
            }
            // to Git they would be part of the name
            url.query.clear();
        }
        // old lock files have the directory of the flake in the URL
        url.query.remove("dir");
        Ok(Self::Url(url))
    }

    fn shown(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Url(url) => url.to_string(),
        }
    }
}

/// The working tree that an input means, if it means one: what a lock file is written to.
pub(crate) fn source_path(shared: &Shared, input: &Input) -> HostResult<Option<PathBuf>> {
    match input.kind() {
        "path" => super::plain::absolute_path(input).map(Some),
        "git" => Ok(match Location::of(shared, input)? {
            Location::Path(path) => Some(path),
            Location::Url(_) => None,
        }),
        "hg" => super::mercurial::source_path(input),
        _ => Ok(None),
    }
}

/// Writes a file into the tree that an input means, makes Git know of it, and commits it if there is a message.
pub(crate) fn put_file(
    shared: &Shared,
    input: &Input,
    path: &str,
    contents: &[u8],
    commit_message: Option<&str>,
) -> HostResult<()> {
    let Some(root) = source_path(shared, input)? else {
        let shown = input.to_text().map_err(invalid)?;
        return Err(HostError::Failed(format!("input '{shown}' does not support modifying file '/{path}'")));
    };
    let place = root.join(path);
    // a link stays one
    let place = nopal_fs::canonicalize(&place).unwrap_or(place);
    nopal_fs::replace(&place, contents).map_err(crate::host::failed)?;
    match input.kind() {
        "git" => {}
        "hg" => return super::mercurial::put_file(shared, &place, commit_message),
        _ => return Ok(()),
    }
    let repository = git_program(shared).worktree(&root);
    if repository.is_ignored(path) {
        return Ok(());
    }
    repository.intend_to_add(path).map_err(failed)?;
    match commit_message {
        Some(message) => repository.commit_file(path, message).map_err(failed),
        None => Ok(()),
    }
}

/// Clones for the user.
pub(crate) fn clone(shared: &Shared, input: &Input, destination: &Path) -> HostResult<()> {
    let location = Location::of(shared, input)?;
    if input.rev().map_err(invalid)?.is_some() {
        return Err(HostError::Failed("cloning a specific revision is not implemented".to_owned()));
    }
    let branch = input.text("ref").map_err(invalid)?;
    git_program(shared).clone(&location.shown(), branch, destination).map_err(failed)
}

/// The commit, or for a working tree with changes what has changed.
pub(super) fn fingerprint(shared: &Shared, input: &Input) -> HostResult<Option<String>> {
    let flag = |name: &str, mark: &'static str| Ok(if input.flag(name).map_err(invalid)? { mark } else { "" });
    let flags = [flag("submodules", ";s")?, flag("exportIgnore", ";e")?, flag("lfs", ";l")?].concat();
    if let Some(rev) = input.rev().map_err(invalid)? {
        return Ok(Some(rev + &flags));
    }
    let Location::Path(path) = Location::of(shared, input)? else { return Ok(None) };
    let status = git_program(shared).worktree(&path).status().map_err(failed)?;
    if status.has_submodules {
        return Ok(None);
    }
    let mut hasher = Hasher::new(HashAlgorithm::Sha512);
    let (gone, changed): (Vec<_>, Vec<_>) = status.changed.iter().partition(|file| !status.files.contains(*file));
    for (what, files) in [("modified:", changed), ("deleted:", gone)] {
        for file in files {
            write_string(&mut hasher, what);
            write_string(&mut hasher, &format!("/{}", file.display()));
            if what == "modified:" {
                let mut nar = Vec::new();
                nopal_store::dump_tree(&path.join(file), &mut nar)
                    .map_err(|error| HostError::Failed(error.to_string()))?;
                hasher.update(&nar);
            }
        }
    }
    let head = status.head.as_deref().unwrap_or(NO_REV);
    Ok(Some(format!("{head}{flags};d={}", hasher.finish().base16())))
}

/// A string as Nix serialises it: its length, its bytes, and zeros up to a multiple of eight.
fn write_string(hasher: &mut Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
    hasher.update(&[0; 8][..(8 - text.len() % 8) % 8]);
}

pub(super) fn fetch(shared: &Shared, input: &Input) -> HostResult<Source> {
    let fetch = Fetch { shared, git: git_program(shared) };
    fetch.check(input)?;
    let location = Location::of(shared, input)?;
    match location {
        Location::Path(path) if !wants_commit(input) => fetch.worktree(input.clone(), &path),
        location => fetch.commit(input.clone(), &location),
    }
}

struct Fetch<'a> {
    shared: &'a Shared,
    git: Git,
}

/// What a working tree says.
struct Local {
    files: BTreeSet<PathBuf>,
    is_dirty: bool,
    head: Option<String>,
}

impl Fetch<'_> {
    fn check(&self, input: &Input) -> HostResult<()> {
        let flag = |name| input.flag(name).map_err(invalid);
        if flag("exportIgnore")? && flag("submodules")? {
            return Err(HostError::Failed("exportIgnore and submodules are not supported together yet".to_owned()));
        }
        if flag("lfs")? {
            let shown = input.to_text().map_err(invalid)?;
            return Err(HostError::Failed(format!("input '{shown}' asks for Git LFS, which is not supported")));
        }
        Ok(())
    }

    /// The files of a working tree as they are now.
    fn worktree(&self, mut input: Input, path: &Path) -> HostResult<Source> {
        let local = self.look_at(&input, path)?;
        let repository = self.git.worktree(path);
        let shallow = input.flag("shallow").map_err(invalid)?;
        if local.is_dirty {
            tolerate_dirty(self.shared, format!("Git tree '{}' is dirty", path.display()))?;
            if let Some(head) = &local.head {
                input.set("dirtyRev", format!("{head}-dirty"));
                input.set("dirtyShortRev", format!("{}-dirty", &head[..7.min(head.len())]));
            }
            self.verify(&input, None, &repository)?;
        } else {
            if let Some(branch) = repository.head_branch() {
                input.set("ref", branch);
            }
            let rev = local.head.as_deref().unwrap_or(NO_REV);
            input.set("rev", rev);
            if !shallow {
                if let Some(head) = local.head.as_ref().filter(|_| repository.is_shallow().unwrap_or(false)) {
                    return Err(HostError::Failed(format!(
                        "Failed to retrieve the parents of Git commit '{head}'. This may be due to an incomplete \
                         repository history. To resolve this, either enable the shallow parameter in your flake URL \
                         (?shallow=1) or add set the shallow parameter to true in builtins.fetchGit, or fetch the \
                         complete history for this branch."
                    )));
                }
                let count = local.head.as_ref().map(|rev| repository.rev_count(rev).map_err(failed)).transpose()?;
                input.set("revCount", Attr::Int(count.unwrap_or(0)));
            }
            self.verify(&input, Some(rev), &repository)?;
        }
        let time = local.head.as_ref().map(|rev| repository.commit(rev).map_err(failed)).transpose()?;
        input.set("lastModified", Attr::Int(time.map_or(0, |commit| commit.time)));
        let mount = Mount { shown: path.display().to_string().into_bytes(), is_worktree: true };
        let tree = Tree::Path { root: path.to_owned(), only: Some(local.files), temp: None };
        Ok(Source { input, tree, mount: Some(mount), key: None })
    }

    fn look_at(&self, input: &Input, path: &Path) -> HostResult<Local> {
        must_exist(path)?;
        let repository = self.git.worktree(path);
        let status = repository.status().map_err(failed)?;
        let (mut files, mut is_dirty) = (status.files.clone(), status.is_dirty());
        if input.flag("exportIgnore").map_err(invalid)? {
            self.leave_out_ignored(&repository, &mut files)?;
        }
        if status.has_submodules && input.flag("submodules").map_err(invalid)? {
            for submodule in repository.worktree_submodules().map_err(failed)? {
                let Some(dir) = repository.submodule_dir(&submodule) else { continue };
                let inner = self.look_at(input, &dir)?;
                is_dirty |= inner.is_dirty;
                files.extend(inner.files.iter().map(|file| Path::new(&submodule.path).join(file)));
            }
        }
        Ok(Local { files, is_dirty, head: status.head })
    }

    fn leave_out_ignored(&self, repository: &Repository, files: &mut BTreeSet<PathBuf>) -> HostResult<()> {
        let says_so = files.iter().any(|file| file.file_name() == Some(OsStr::new(".gitattributes")))
            || nopal_fs::exists(&repository.dir().join(".git/info/attributes"));
        if !says_so {
            return Ok(());
        }
        let mut paths = files.clone();
        for file in files.iter() {
            // the slash at the end says that it is a directory
            let parents = file.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
            paths.extend(parents.map(|parent| parent.join("")));
        }
        let ignored = repository.export_ignored(&paths).map_err(failed)?;
        files.retain(|file| !file.ancestors().any(|part| ignored.contains(part)));
        Ok(())
    }

    /// The tree of a commit.
    fn commit(&self, input: Input, location: &Location) -> HostResult<Source> {
        let (input, repository, rev) = self.resolve(input, location)?;
        let mount = named(&input)?;
        let flags = |name| input.flag(name).map_err(invalid);
        let key = format!("git:{rev}:{}:{}", flags("exportIgnore")?, flags("submodules")?);
        if let Some((path, hash)) = known::find(self.shared, &key, input.name())? {
            return Ok(Source { input, tree: Tree::Store(path, hash), mount: Some(mount), key: None });
        }
        let temp = self.shared.temp_dir("git").map_err(crate::host::failed)?;
        let root = temp.path().join("tree");
        self.write(&input, &repository, &rev, &root)?;
        let tree = Tree::Path { root, only: None, temp: Some(temp) };
        Ok(Source { input, tree, mount: Some(mount), key: Some(key) })
    }

    /// Finds the commit that an input means, fetching what is missing. Returns the input with what is known of it.
    fn resolve(&self, mut input: Input, location: &Location) -> HostResult<(Input, Repository, String)> {
        let shallow = input.flag("shallow").map_err(invalid)?;
        let original_ref = input.text("ref").map_err(invalid)?.map(str::to_owned);
        let reference = match &original_ref {
            Some(reference) => reference.clone(),
            None => self.default_ref(location, shallow)?,
        };
        input.set("ref", reference.as_str());
        let repository = match location {
            Location::Path(path) => {
                must_exist(path)?;
                self.git.worktree(path)
            }
            Location::Url(url) => self.update_cache(&input, url, original_ref.as_deref(), &reference)?,
        };
        let rev = match input.rev().map_err(invalid)? {
            Some(rev) => rev,
            None => repository.resolve(&reference).map_err(failed)?,
        };
        if !repository.has_object(&rev) {
            if matches!(location, Location::Path(_)) {
                return Err(failed(GitError::NoObject(rev)));
            }
            return Err(HostError::Failed(format!(
                "Cannot find Git revision '{rev}' in ref '{reference}' of repository '{}'! Please make sure that the rev \
                 exists on the ref you've specified or add allRefs = true; to fetchGit.",
                location.shown()
            )));
        }
        input.set("rev", rev.as_str());
        if !shallow && repository.is_shallow().map_err(failed)? {
            return Err(HostError::Failed(format!(
                "'{}' is a shallow Git repository, but shallow repositories are only allowed when `shallow = true;` is \
                 specified",
                location.shown()
            )));
        }
        input.set("lastModified", Attr::Int(repository.commit(&rev).map_err(failed)?.time));
        if !shallow {
            input.set("revCount", Attr::Int(repository.rev_count(&rev).map_err(failed)?));
        }
        self.verify(&input, Some(&rev), &repository)?;
        Ok((input, repository, rev))
    }

    fn cache_path(&self, url: &Url, shallow: bool) -> HostResult<PathBuf> {
        let dir = self.shared.cache_dir("gitv3").map_err(crate::host::failed)?;
        let suffix = if shallow { "-shallow" } else { "" };
        Ok(dir.join(format!("{}{suffix}", sha256(url.to_string().as_bytes()).nix32())))
    }

    fn is_recent(&self, file: &Path) -> bool {
        let modified = nopal_fs::symlink_metadata(file).ok().and_then(|metadata| metadata.modified().ok());
        let age = modified.map(|time| SystemTime::now().duration_since(time).unwrap_or(Duration::ZERO));
        age.is_some_and(|age| age < self.shared.config.flakes.tarball_ttl)
    }

    fn default_ref(&self, location: &Location, shallow: bool) -> HostResult<String> {
        let head = match location {
            Location::Path(path) => self.git.worktree(path).head_branch(),
            Location::Url(url) => {
                let cache = self.cache_path(url, shallow)?;
                let cached =
                    if nopal_fs::exists(&cache) { self.git.cache(&cache).map_err(failed)?.cached_head() } else { None };
                match cached {
                    Some(head) if self.is_recent(&cache.join("HEAD")) => Some(head),
                    cached => self.git.remote_head(OsStr::new(&url.to_string())).or_else(|| {
                        cached.inspect(|head| {
                            let text = "could not get HEAD ref for repository";
                            warn(self.shared, format!("{text} '{url}'; using expired cached ref '{head}'"));
                        })
                    }),
                }
            }
        };
        Ok(head.unwrap_or_else(|| {
            let text = "could not read HEAD ref from repo at";
            warn(self.shared, format!("{text} '{}', using 'master'", location.shown()));
            "master".to_owned()
        }))
    }

    /// Clones or updates the copy of a remote, unless it has all that is asked for.
    fn update_cache(
        &self,
        input: &Input,
        url: &Url,
        original_ref: Option<&str>,
        reference: &str,
    ) -> HostResult<Repository> {
        let shallow = input.flag("shallow").map_err(invalid)?;
        let all = input.flag("allRefs").map_err(invalid)?;
        let rev = input.rev().map_err(invalid)?;
        let dir = self.cache_path(url, shallow)?;
        let _lock = PathLock::acquire(&dir.with_extension("lock")).map_err(crate::host::failed)?;
        let repository = self.git.cache(&dir).map_err(failed)?;
        let address = url.to_string();
        repository.set_origin(&address).map_err(failed)?;
        // how old a reference is: files of references keep their time when nothing is new
        let stamp = dir.join(format!("nopal-fetched-{}", sha256(reference.as_bytes()).nix32()));
        let local_ref =
            if reference.starts_with("refs/") { reference.to_owned() } else { format!("refs/heads/{reference}") };
        let must_fetch = match &rev {
            Some(rev) => !repository.has_object(rev),
            None => all || !self.is_recent(&stamp) || !nopal_fs::exists(&dir.join(local_ref)),
        };
        if !must_fetch {
            return Ok(repository);
        }
        let refspec = match (&rev, all) {
            (_, true) => "refs/*:refs/*".to_owned(),
            (Some(rev), false) => rev.clone(),
            (None, false) if reference.starts_with("refs/") => format!("{reference}:{reference}"),
            (None, false) if reference == "HEAD" => "HEAD:HEAD".to_owned(),
            (None, false) => format!("refs/heads/{reference}:refs/heads/{reference}"),
        };
        match repository.fetch(&address, &refspec, shallow) {
            Ok(()) if rev.is_none() => nopal_fs::write(&stamp, b"").map_err(crate::host::failed)?,
            Ok(()) => {}
            Err(error) if rev.is_some() || !nopal_fs::exists(&stamp) => return Err(failed(error)),
            Err(error) => {
                self.shared.config.reporter.message(nopal_report::Level::Notice, format!("error: {error}"));
                let text = "could not update local clone of Git repository";
                warn(self.shared, format!("{text} '{address}'; continuing with the most recent version"));
            }
        }
        if original_ref.is_none() && repository.set_head(reference).is_err() {
            warn(self.shared, format!("could not update cached head '{reference}' for '{address}'"));
        }
        Ok(repository)
    }

    /// Writes the tree of a commit, with those of its submodules if they are asked for.
    fn write(&self, input: &Input, repository: &Repository, rev: &str, root: &Path) -> HostResult<()> {
        let flag = |name| input.flag(name).map_err(invalid);
        repository.export(rev, root, flag("exportIgnore")?).map_err(failed)?;
        if !flag("submodules")? {
            return Ok(());
        }
        for submodule in repository.submodules(rev).map_err(failed)? {
            let Some(destination) = submodule.destination(root) else { continue };
            let mut attrs = Attrs::from([
                ("type".to_owned(), Attr::from("git")),
                ("url".to_owned(), Attr::Str(repository.submodule_url(&submodule.url))),
                ("exportIgnore".to_owned(), Attr::Bool(flag("exportIgnore")?)),
                ("submodules".to_owned(), Attr::Bool(true)),
                ("allRefs".to_owned(), Attr::Bool(true)),
            ]);
            let outer = input.text("ref").map_err(invalid)?.unwrap_or_default();
            let branch = if submodule.branch == "." { outer } else { &submodule.branch };
            if !branch.is_empty() {
                attrs.insert("ref".to_owned(), Attr::from(branch));
            }
            attrs.extend(submodule.rev.clone().map(|rev| ("rev".to_owned(), Attr::Str(rev))));
            let inner = Input::from_attrs(attrs, &mut |_| {}).map_err(invalid)?;
            let (inner, inner_repository, inner_rev) =
                self.resolve(inner.clone(), &Location::of(self.shared, &inner)?)?;
            nopal_fs::remove_tree_if_exists(&destination).map_err(crate::host::failed)?;
            self.write(&inner, &inner_repository, &inner_rev, &destination)?;
        }
        Ok(())
    }

    /// Checks the signature of a commit, if keys are given or a check is asked for.
    fn verify(&self, input: &Input, rev: Option<&str>, repository: &Repository) -> HostResult<()> {
        let keys = public_keys(input)?;
        let asked = match input.attrs().get("verifyCommit") {
            Some(Attr::Bool(flag)) => *flag,
            _ => !keys.is_empty(),
        };
        if !asked {
            return Ok(());
        }
        let Some(rev) = rev else {
            let shown = input.to_text().map_err(invalid)?;
            return Err(HostError::Failed(format!(
                "commit verification is required for Git repository '{shown}', but it's dirty"
            )));
        };
        let temp = self.shared.temp_dir("signers").map_err(crate::host::failed)?;
        repository.verify_commit(rev, &keys, &temp.path().join("allowed")).map_err(failed)?;
        temp.remove().map_err(crate::host::failed)
    }
}

/// The keys that may sign: types and digits.
fn public_keys(input: &Input) -> HostResult<Vec<(String, String)>> {
    let mut keys = Vec::new();
    if let Some(text) = input.text("publicKeys").map_err(invalid)? {
        let malformed = |error: nopal_format::json::JsonError| HostError::Failed(error.to_string());
        let json = Json::parse(text).map_err(malformed)?;
        for entry in json.as_array("publicKeys").map_err(malformed)? {
            let key = entry.key("key").and_then(|key| key.as_str("key")).map_err(malformed)?;
            let kind = entry.get("type").map_or(Ok("ssh-ed25519"), |kind| kind.as_str("type")).map_err(malformed)?;
            keys.push((kind.to_owned(), key.to_owned()));
        }
    }
    if let Some(key) = input.text("publicKey").map_err(invalid)? {
        let kind = input.text("keytype").map_err(invalid)?.unwrap_or("ssh-ed25519");
        keys.push((kind.to_owned(), key.to_owned()));
    }
    Ok(keys)
}

/// Fails if there is no such repository, or if that cannot be told.
fn must_exist(path: &Path) -> HostResult<()> {
    match nopal_fs::metadata_if_exists(path).map_err(crate::host::failed)? {
        Some(_) => Ok(()),
        None => Err(HostError::Failed(format!("Git repository \"{}\" does not exist.", path.display()))),
    }
}

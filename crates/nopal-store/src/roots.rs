//! What keeps paths alive: links, open stores, running processes.

use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use nopal_format::{Hash, HashAlgorithm, StorePath};
use nopal_fs::proc::{ProcessUse, visit_process_strings};
use nopal_fs::{Step, TreeWalk, WalkOptions};

use crate::error::StoreError;
use crate::store::Store;
use crate::temp_roots;

/// A path that is alive by itself, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// The path.
    pub path: StorePath,
    /// Why.
    pub reason: RootReason,
}

/// Why a path is alive by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RootReason {
    /// A symbolic link that is, or is named by, a permanent root.
    Link(PathBuf),
    /// An open store uses it. The owner is the name of its file among the temporary roots.
    OpenStore(String),
    /// A running process uses it.
    Process {
        /// The process.
        pid: u32,
        /// Where in the process the path was found.
        usage: ProcessUse,
    },
    /// The caller asked to keep it.
    Kept,
}

impl fmt::Display for RootReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(f, "{}", link.display()),
            Self::OpenStore(owner) => write!(f, "{{temp:{owner}}}"),
            Self::Process { pid, usage } => write!(f, "/proc/{pid}/{}", usage.file_name()),
            Self::Kept => f.write_str("{kept}"),
        }
    }
}

impl Store {
    /// Makes the symbolic link `link` to the valid path's tree and registers it as a root: the path stays alive for as
    /// long as the link points to it. A link there already is replaced.
    pub fn add_root(&self, link: &Path, path: &StorePath) -> Result<(), StoreError> {
        self.writable("add a root")?;
        self.add_temp_root(path)?;
        if !self.is_valid(path)? {
            return Err(self.not_valid(path));
        }
        let link = nopal_fs::absolute(link)?;
        if nopal_fs::symlink_metadata_if_exists(&link)?.is_some_and(|metadata| !metadata.is_symlink()) {
            let cause = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "there is something that is no link");
            return Err(nopal_fs::FsError::new("make a root at", &link, cause).into());
        }
        nopal_fs::create_dir_all(nopal_fs::parent_of(&link))?;
        nopal_fs::symlink_replace(&self.physical_path(path), &link)?;
        if !link.starts_with(self.config().roots_dir()) {
            nopal_fs::symlink_replace(&link, &self.indirect_root_file(&link))?;
        }
        Ok(())
    }

    /// Removes a root made by [`Store::add_root`]. Says whether there was one.
    pub fn remove_root(&self, link: &Path) -> Result<bool, StoreError> {
        self.writable("remove a root")?;
        let link = nopal_fs::absolute(link)?;
        let known = nopal_fs::remove_file_if_exists(&self.indirect_root_file(&link))?;
        let is_root = known || link.starts_with(self.config().roots_dir());
        let is_link = nopal_fs::symlink_metadata_if_exists(&link)?.is_some_and(|metadata| metadata.is_symlink());
        Ok(is_root && is_link && nopal_fs::remove_file_if_exists(&link)?)
    }

    /// Every root: permanent, temporary, and of running processes of the same user. Roots that are not valid are left
    /// out.
    pub fn roots(&self) -> Result<Vec<Root>, StoreError> {
        let mut roots = self.permanent_roots()?.roots;
        roots.extend(self.runtime_roots());
        let temporary = nopal_fs::if_exists(temp_roots::read_all(self.config()))?.unwrap_or_default();
        roots.extend(
            temporary.roots.into_iter().map(|(path, owner)| Root { path, reason: RootReason::OpenStore(owner) }),
        );
        let valid = self.valid_of(roots.iter().map(|root| &root.path))?;
        let roots: BTreeSet<Root> = roots.into_iter().filter(|root| valid.contains(&root.path)).collect();
        Ok(roots.into_iter().collect())
    }

    /// Roots among links, valid or not, and indirect roots whose link is gone.
    pub(crate) fn permanent_roots(&self) -> Result<PermanentRoots, StoreError> {
        let mut found = PermanentRoots::default();
        let directory = self.config().roots_dir();
        if !nopal_fs::is_dir(&directory) {
            return Ok(found);
        }
        let mut walk = TreeWalk::new(&directory, WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            match step {
                Step::Symlink => {
                    // a root removed while we look is none
                    let Some(target) = nopal_fs::if_exists(walk.read_link())? else { continue };
                    let target = Path::new(std::ffi::OsStr::from_bytes(&target)).to_owned();
                    self.follow_root(walk.path(), &target, &mut found)?;
                }
                Step::File => {
                    if let Some(path) = walk.name().and_then(|name| StorePath::from_base_name_bytes(name).ok()) {
                        found.roots.push(Root { path, reason: RootReason::Link(walk.path().to_owned()) });
                    }
                }
                Step::Enter | Step::Leave | Step::Other => {}
            }
        }
        Ok(found)
    }

    fn follow_root(&self, link: &Path, target: &Path, found: &mut PermanentRoots) -> Result<(), StoreError> {
        if let Some(path) = self.store_path_of(target) {
            found.roots.push(Root { path, reason: RootReason::Link(link.to_owned()) });
            return Ok(());
        }
        let indirect = nopal_fs::parent_of(link).join(target);
        match nopal_fs::symlink_metadata_if_exists(&indirect) {
            Ok(Some(metadata)) if metadata.is_symlink() => {
                let target = nopal_fs::read_link(&indirect)?;
                if let Some(path) = self.store_path_of(&target) {
                    found.roots.push(Root { path, reason: RootReason::Link(indirect) });
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => found.stale.push(link.to_owned()),
            // a directory that we may not look into today may hold the link all the same
            Err(error) if error.is_permission_denied() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The store path that a logical or physical path lies in.
    pub fn store_path_of(&self, path: &Path) -> Option<StorePath> {
        if let Some(text) = path.to_str()
            && let Ok((path, _)) = self.store_dir().split(text)
        {
            return Some(path);
        }
        let inner = path.strip_prefix(self.physical_dir()).ok()?;
        let name = inner.components().next()?;
        StorePath::from_base_name_bytes(name.as_os_str().as_bytes()).ok()
    }

    /// Paths that running processes use, valid or not.
    pub(crate) fn runtime_roots(&self) -> BTreeSet<Root> {
        let mut prefixes = vec![format!("{}/", self.store_dir()).into_bytes()];
        let mut physical = self.physical_dir().as_os_str().as_bytes().to_vec();
        physical.push(b'/');
        prefixes.push(physical);
        let finders: Vec<Finder<'_>> = prefixes.iter().map(Finder::new).collect();
        let mut roots = BTreeSet::new();
        visit_process_strings(&mut |pid, usage, bytes| {
            for finder in &finders {
                for at in finder.find_iter(bytes) {
                    let rest = &bytes[at + finder.needle().len()..];
                    if let Some(path) = leading_store_path(rest) {
                        roots.insert(Root { path, reason: RootReason::Process { pid, usage } });
                    }
                }
            }
        });
        roots
    }

    fn indirect_root_file(&self, link: &Path) -> PathBuf {
        let hash = Hash::of(HashAlgorithm::Sha1, link.as_os_str().as_bytes());
        self.config().indirect_roots_dir().join(hash.nix32())
    }
}

/// Roots among links, and links to links that are gone.
#[derive(Debug, Default)]
pub(crate) struct PermanentRoots {
    pub(crate) roots: Vec<Root>,
    pub(crate) stale: Vec<PathBuf>,
}

/// The store path whose base name the bytes begin with.
fn leading_store_path(bytes: &[u8]) -> Option<StorePath> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(byte);
    let length = bytes.iter().position(|byte| !is_name(byte)).unwrap_or(bytes.len());
    StorePath::from_base_name_bytes(&bytes[..length]).ok()
}

//! Files with equal contents become hard links of one file. The first of each is kept in `.links` in the store directory
//! under the hash of its archive, as Nix does it.

use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nopal_format::StorePath;
use nopal_fs::{EntryKind, FsError};

use crate::error::StoreError;
use crate::store::Store;
use crate::tree::hash_tree;

/// The folder of first files, in the store directory.
pub(crate) const LINKS: &str = ".links";

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptimiseReport {
    /// Files that became links.
    pub files_linked: u64,
    /// Bytes that these took before.
    pub bytes_freed: u64,
}

impl Store {
    /// Links the equal files of all valid paths.
    pub fn optimise(&self) -> Result<OptimiseReport, StoreError> {
        let paths: Vec<StorePath> = self.all_valid_paths()?.into_iter().collect();
        self.optimise_paths(&paths)
    }

    /// Links the files of some valid paths to those that are equal.
    pub fn optimise_paths(&self, paths: &[StorePath]) -> Result<OptimiseReport, StoreError> {
        self.writable("optimise")?;
        self.add_temp_roots(paths)?;
        let links = self.physical_dir().join(LINKS);
        nopal_fs::create_dir_all(&links)?;
        let known = nopal_fs::read_dir(&links)?;
        let mut inodes = HashSet::new();
        for entry in known {
            inodes.insert(nopal_fs::symlink_metadata(&links.join(&entry.name))?.ino());
        }
        let mut work = Linking { links, inodes, report: OptimiseReport::default() };
        for path in self.valid_of(paths)? {
            work.visit(&self.physical_path(&path), self.physical_dir())?;
        }
        Ok(work.report)
    }

    /// Removes the files of `.links` that nothing is linked to any more.
    pub(crate) fn remove_unused_links(&self) -> Result<u64, StoreError> {
        let links = self.physical_dir().join(LINKS);
        let mut freed = 0;
        for name in nopal_fs::if_exists(nopal_fs::read_dir_names(&links))?.unwrap_or_default() {
            let link = links.join(name);
            let metadata = nopal_fs::symlink_metadata(&link)?;
            if metadata.nlink() == 1 {
                nopal_fs::remove_file_if_exists(&link)?;
                freed += nopal_fs::disk_usage_bytes(&metadata);
            }
        }
        Ok(freed)
    }
}

struct Linking {
    links: PathBuf,
    /// Files that are in `.links`.
    inodes: HashSet<u64>,
    report: OptimiseReport,
}

impl Linking {
    fn visit(&mut self, path: &Path, parent: &Path) -> Result<(), StoreError> {
        let metadata = nopal_fs::symlink_metadata(path)?;
        match EntryKind::from(metadata.file_type()) {
            EntryKind::Directory => {
                for name in nopal_fs::read_dir_names(path)? {
                    self.visit(&path.join(name), path)?;
                }
            }
            // somebody may be writing to it
            EntryKind::File if metadata.permissions().mode() & 0o200 != 0 => {}
            EntryKind::File | EntryKind::Symlink => {
                if metadata.nlink() == 1 || !self.inodes.contains(&metadata.ino()) {
                    self.link(path, parent, &metadata)?;
                }
            }
            EntryKind::Other => {}
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, parent: &Path, metadata: &std::fs::Metadata) -> Result<(), StoreError> {
        let first = self.links.join(hash_tree(path)?.nar_hash.nix32());
        match nopal_fs::symlink_metadata_if_exists(&first)? {
            None => {
                nopal_fs::hard_link(path, &first)?;
                self.inodes.insert(metadata.ino());
            }
            Some(known) if known.ino() == metadata.ino() => {}
            // it was changed: what is new takes its place
            Some(known) if known.len() != metadata.len() => {
                nopal_fs::remove_file(&first)?;
                nopal_fs::hard_link(path, &first)?;
                self.inodes.insert(metadata.ino());
            }
            Some(_) => {
                let temporary = self.links.join(nopal_fs::temp::unique_name(".tmp-link"));
                nopal_fs::hard_link(&first, &temporary)?;
                if let Err(error) = replace(&temporary, path, parent) {
                    nopal_fs::remove_file_if_exists(&temporary)?;
                    return Err(error.into());
                }
                self.report.files_linked += 1;
                self.report.bytes_freed += nopal_fs::disk_usage_bytes(metadata);
            }
        }
        Ok(())
    }
}

/// Puts a file in the place of another. Directories of a store cannot be written to, and keep their times.
fn replace(new: &Path, old: &Path, parent: &Path) -> Result<(), FsError> {
    let before = nopal_fs::symlink_metadata(parent)?;
    let sealed = before.permissions().mode() & 0o200 == 0;
    if sealed {
        nopal_fs::set_permissions(parent, 0o755)?;
    }
    let renamed = nopal_fs::rename(new, old);
    if sealed {
        nopal_fs::set_permissions(parent, before.permissions().mode() & 0o7777)?;
        nopal_fs::set_modified(parent, before.modified().map_err(|e| FsError::new("examine", parent, e))?)?;
    }
    renamed
}

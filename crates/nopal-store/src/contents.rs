//! Looking into valid paths: archives, single files, listings.

use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nopal_format::listing::Listing;
use nopal_format::{ByteString, StorePath};
use nopal_fs::create::Metadata;
use nopal_fs::{FsError, Step, TreeWalk, TreeWriter, WalkOptions};

use crate::content::ContentHasher;
use crate::error::StoreError;
use crate::spool::Spool;
use crate::store::Store;
use crate::tree::{ArchiveSink, TreeError, TreeHash, read_archive, walk_tree, without_filter};

/// Writes the NAR of the tree at `root`, and tells its hash and size.
pub fn dump_tree(root: &Path, output: &mut dyn Write) -> Result<TreeHash, TreeError> {
    let sink = ArchiveSink::new().with_output(output);
    let walked = walk_tree(root, None, sink, &mut ContentHasher::None, &mut Spool::Discard);
    let (result, entries) = without_filter(walked)?;
    Ok(TreeHash { nar_hash: result.nar_hash, nar_size: result.nar_size, entries })
}

/// Unpacks a NAR, which must be all there is to read, to `destination`, which must not exist; with ordinary
/// permissions. After an error nothing is left.
pub fn restore_tree(nar: &mut dyn Read, destination: &Path) -> Result<(), TreeError> {
    if nopal_fs::exists(destination) {
        let cause = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(FsError::new("restore to", destination, cause).into());
    }
    let writer = TreeWriter::new(destination, Metadata::Ordinary)?;
    let restored = read_archive(nar, &mut Spool::Disk { writer, open: None });
    if restored.is_err() {
        // the first error is the one to report
        let _ = nopal_fs::remove_tree_if_exists(destination);
    }
    restored.map(drop)
}

/// Unpacks a NAR as Nix does: what was written before an error stays, and so does what is there already.
pub fn unpack_tree(nar: &mut dyn Read, destination: &Path) -> Result<(), TreeError> {
    let writer = TreeWriter::new(destination, Metadata::Ordinary)?;
    match read_archive(nar, &mut Spool::Disk { writer, open: None }) {
        Err(TreeError::Fs(error))
            if error.is_already_exists()
                && error.operation() == "create directory"
                && error.path() == destination
                && nopal_fs::is_dir(destination) =>
        {
            Err(TreeError::Exists { path: destination.to_owned() })
        }
        other => other.map(drop),
    }
}

impl Store {
    /// Writes the NAR of a valid path, and tells its hash and size.
    pub fn dump(&self, path: &StorePath, output: &mut dyn Write) -> Result<TreeHash, StoreError> {
        self.require_valid(path)?;
        Ok(dump_tree(&self.physical_path(path), output)?)
    }

    /// Copies the file `inner` of a valid path (the path itself, if empty) to `output`. Links on the way, and at the
    /// end, are not followed: they may lead out of the store.
    pub fn cat(&self, path: &StorePath, inner: &Path, output: &mut dyn Write) -> Result<u64, StoreError> {
        let file = self.inner_path(path, inner)?;
        if !nopal_fs::symlink_metadata(&file)?.is_file() {
            return Err(StoreError::NotAFile { path: file });
        }
        let mut source = nopal_fs::open_read_nofollow(&file)?;
        Ok(std::io::copy(&mut source, output).map_err(|e| FsError::new("copy", &file, e))?)
    }

    /// What is at `inner` of a valid path; all below it too if `recursive`, else one level.
    pub fn list(&self, path: &StorePath, inner: &Path, recursive: bool) -> Result<Listing, StoreError> {
        let root = self.inner_path(path, inner)?;
        let mut open: Vec<(ByteString, std::collections::BTreeMap<ByteString, Listing>)> = Vec::new();
        let mut result = None;
        let mut walk = TreeWalk::new(&root, WalkOptions::default())?;
        while let Some(step) = walk.next()? {
            let name: ByteString = walk.name().unwrap_or_default().into();
            let entry = match step {
                Step::Enter if !recursive && walk.depth() > 0 => {
                    walk.skip();
                    Listing::Directory(Default::default())
                }
                Step::Enter => {
                    open.push((name, Default::default()));
                    continue;
                }
                Step::Leave => match open.pop() {
                    Some((_, entries)) => Listing::Directory(entries),
                    None => continue,
                },
                Step::File => {
                    let stat = walk.stat()?;
                    let size = u64::try_from(stat.st_size).unwrap_or_default();
                    Listing::File { executable: stat.st_mode & 0o100 != 0, size, nar_offset: None }
                }
                Step::Symlink => Listing::Symlink { target: walk.read_link()?.into() },
                Step::Other => return Err(TreeError::UnsupportedType { path: walk.path().to_owned() }.into()),
            };
            match open.last_mut() {
                Some((_, entries)) => {
                    entries.insert(name, entry);
                }
                None => result = Some(entry),
            }
        }
        result.ok_or_else(|| self.no_such_entry(path, inner))
    }

    fn require_valid(&self, path: &StorePath) -> Result<(), StoreError> {
        if self.is_valid(path)? { Ok(()) } else { Err(self.not_valid(path)) }
    }

    /// Where `inner` of a valid path lies, with every directory on the way a real one.
    fn inner_path(&self, path: &StorePath, inner: &Path) -> Result<PathBuf, StoreError> {
        self.require_valid(path)?;
        let mut place = self.physical_path(path);
        for component in inner.components() {
            match component {
                Component::Normal(name) if name.as_bytes() != b"" => {
                    let metadata = nopal_fs::symlink_metadata(&place)?;
                    if !metadata.is_dir() {
                        return Err(self.no_such_entry(path, inner));
                    }
                    place.push(name);
                }
                Component::CurDir | Component::RootDir => {}
                _ => return Err(self.no_such_entry(path, inner)),
            }
        }
        if nopal_fs::symlink_metadata_if_exists(&place)?.is_none() {
            return Err(self.no_such_entry(path, inner));
        }
        Ok(place)
    }

    fn no_such_entry(&self, path: &StorePath, inner: &Path) -> StoreError {
        StoreError::NoSuchEntry { path: self.print(path), inner: inner.display().to_string() }
    }
}

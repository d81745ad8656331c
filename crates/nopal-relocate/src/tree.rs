//! The file system, or a folder taken for its root, as a resolver of libraries sees it.

use nopal_elf::resolve::{OpenError, Opened, Tree, follow_links};
use nopal_elf::{Bytes, Directory, RunPathDirectories};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Files below a folder, or all files.
#[derive(Debug)]
pub struct FileTree {
    /// The folder that stands for `/`; nothing if that is itself.
    root: Option<PathBuf>,
    working_dir: PathBuf,
}

/// An open file.
#[derive(Debug)]
pub struct TreeFile(nopal_fs::RandomFile);

impl From<nopal_fs::RandomFile> for TreeFile {
    fn from(file: nopal_fs::RandomFile) -> Self {
        Self(file)
    }
}

impl Bytes for TreeFile {
    fn len(&self) -> u64 {
        self.0.size_bytes()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, into)
    }
}

impl FileTree {
    /// All files, or those below a folder.
    pub fn new(root: Option<PathBuf>, working_dir: PathBuf) -> Self {
        Self { root, working_dir }
    }

    /// All files, for paths that begin with a slash or are below the working directory of the process.
    pub fn of_machine() -> Self {
        Self::new(None, PathBuf::new())
    }

    /// Where a path of the tree really is. Links of a tree below a folder do not lead out of it.
    pub fn real(&self, path: &[u8]) -> Option<PathBuf> {
        match &self.root {
            None => Some(self.working_dir.join(OsStr::from_bytes(path))),
            Some(root) => Some(below(root, &self.inside(path)?)),
        }
    }

    /// Follows links of a tree below a folder.
    fn inside(&self, path: &[u8]) -> Option<Vec<u8>> {
        let root = self.root.as_deref()?;
        follow_links(path, |at| Some(nopal_fs::read_link(&below(root, at)).ok()?.into_os_string().into_encoded_bytes()))
    }
}

/// A path from the tree's root on, below the folder that stands for it.
pub(crate) fn below(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)))
}

impl Tree for FileTree {
    type File = TreeFile;

    fn open(&self, path: &[u8]) -> Result<Opened<TreeFile>, OpenError> {
        let path = self.real(path).ok_or(OpenError::Failed)?;
        let file = nopal_fs::RandomFile::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
                OpenError::Absent
            }
            _ => OpenError::Failed,
        })?;
        let identity = file.identity();
        Ok(Opened { file: TreeFile(file), identity })
    }

    fn is_dir(&self, path: &[u8]) -> bool {
        self.real(path).is_some_and(|path| nopal_fs::is_dir(&path))
    }

    fn canonical(&self, path: &[u8]) -> Option<Vec<u8>> {
        match &self.root {
            None => Some(nopal_fs::canonicalize(&self.real(path)?).ok()?.into_os_string().into_encoded_bytes()),
            Some(root) => self.inside(path).filter(|path| nopal_fs::exists(&below(root, path))),
        }
    }

    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        match &self.root {
            _ if path.starts_with(b"/") => path.to_vec(),
            None => self.working_dir.join(OsStr::from_bytes(path)).into_os_string().into_encoded_bytes(),
            Some(_) => [b"/", path].concat(),
        }
    }
}

impl RunPathDirectories for FileTree {
    fn directory(&self, directory: &[u8]) -> Directory {
        let Some(path) = self.real(directory) else { return Directory::AtRunTime };
        let is_searchable = nopal_fs::is_dir(&path) && nopal_fs::may(&path, nopal_fs::Permission::Search);
        if is_searchable && !nopal_fs::may(&path.join("glibc-hwcaps"), nopal_fs::Permission::Exist) {
            Directory::Searchable
        } else {
            Directory::AtRunTime
        }
    }

    fn is_readable(&self, path: &[u8]) -> bool {
        self.real(path).is_some_and(|path| nopal_fs::may(&path, nopal_fs::Permission::Read))
    }
}

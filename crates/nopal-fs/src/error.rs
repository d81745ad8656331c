use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failed operation on the file system: what was tried, on which path, and why it did not work.
///
/// The text already contains the system's reason, so there is no `source`: printing the error says everything once.
#[derive(Debug)]
pub struct FsError {
    operation: &'static str,
    path: PathBuf,
    other: Option<PathBuf>,
    cause: io::Error,
}

impl FsError {
    /// An error of `operation` (an infinitive such as `read`, to stand after "cannot") on `path`.
    pub fn new(operation: &'static str, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self { operation, path: path.to_owned(), other: None, cause: cause.into() }
    }

    /// An error of an operation that has two paths, such as a rename.
    pub fn between(operation: &'static str, path: &Path, other: &Path, cause: impl Into<io::Error>) -> Self {
        Self { operation, path: path.to_owned(), other: Some(other.to_owned()), cause: cause.into() }
    }

    /// What was tried.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The path it was tried on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The system's error.
    pub fn io(&self) -> &io::Error {
        &self.cause
    }

    /// The system's error, taken out.
    pub fn into_io(self) -> io::Error {
        self.cause
    }

    /// The kind of the system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// Whether the path (or a directory on the way) does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    /// Whether something is there already.
    pub fn is_already_exists(&self) -> bool {
        self.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether the user may not do this.
    pub fn is_permission_denied(&self) -> bool {
        self.kind() == io::ErrorKind::PermissionDenied
    }

    /// Whether the disk, or the user's quota on it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the file system is mounted read-only.
    pub fn is_read_only(&self) -> bool {
        self.kind() == io::ErrorKind::ReadOnlyFilesystem
    }

    /// What the user might do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        if self.is_disk_full() {
            return Some("the disk or the quota is full: free some space, for example by collecting garbage");
        }
        if self.is_read_only() {
            return Some("the file system is mounted read-only");
        }
        match self.cause.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                Some("too many files are open: raise the limit with `ulimit -n`")
            }
            _ => None,
        }
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} '{}'", self.operation, self.path.display())?;
        if let Some(other) = &self.other {
            write!(f, " to '{}'", other.display())?;
        }
        write!(f, ": {}", words(&self.cause))
    }
}

impl std::error::Error for FsError {}

/// The system's error in words, without its number, which says nothing that they do not.
pub fn words(error: &io::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.find(" (os error ").unwrap_or(text.len()));
    text
}

/// Attaches operation and path to the results of `std` and `rustix`.
pub(crate) trait Context<T> {
    /// Names what was tried on which path.
    fn on(self, operation: &'static str, path: &Path) -> Result<T, FsError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn on(self, operation: &'static str, path: &Path) -> Result<T, FsError> {
        self.map_err(|cause| FsError::new(operation, path, cause))
    }
}

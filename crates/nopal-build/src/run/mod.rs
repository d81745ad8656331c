//! The namespace in which `nopal run` shows a program its files.
//!
//! The caller's process becomes the program: it moves into a new user and mount namespace (root: a mount namespace
//! only), puts together a root directory, and calls `execve`. There is no pid namespace and no process in between, so
//! signals, job control, the terminal and the exit code are the program's own. Users keep their ids. The root shows
//!
//! - the physical store at its logical directory, read-only;
//! - with an FHS tree: its `usr`, `lib`, `lib64`, `lib32`, `libx32`, `bin`, `sbin` in place of the machine's, and its
//!   `etc` with some files of the machine laid over it (see [`overlaid_files`]);
//! - everything else that the machine has in `/`, such as `home`, `dev`, `proc`, `sys`, `tmp`, `run`.
//!
//! The kernel lets only single-threaded processes make a user namespace for themselves. [`enter`] must be called
//! early, or in a process that starts anew for it.

mod error;
mod etc;
mod root;

use std::convert::Infallible;
use std::ffi::{CString, OsString, c_char};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nopal_format::StoreDir;

pub use error::RunError;
pub use etc::overlaid_files;
use root::Layout;

/// A store that programs see at its logical directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreView {
    /// Where its objects are.
    pub physical: PathBuf,
    /// Where they are to be seen.
    pub logical: StoreDir,
}

/// A program and what it is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSpec {
    /// The store.
    pub store: StoreView,
    /// The physical directory of a tree to show as `/usr` and its like.
    pub fhs: Option<PathBuf>,
    /// Any directory that exists: the new root is mounted there, in the new namespace only. The physical store will
    /// do.
    pub mount_point: PathBuf,
    /// The working directory, as seen inside.
    pub cwd: PathBuf,
    /// The home directory that a made-up entry of `/etc/passwd` names where the machine has no such file.
    pub home: PathBuf,
    /// The program's path, as seen inside.
    pub program: PathBuf,
    /// What the program is called; its path if not given.
    pub name: Option<OsString>,
    /// The arguments behind the name.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Makes this process the program.
///
/// # Errors
/// See [`RunError`]. After an error the process may be in another namespace and should end.
pub fn enter(spec: &RunSpec) -> Result<Infallible, RunError> {
    let program = Program::prepare(spec)?;
    if let Some(layout) = Layout::plan(spec)? {
        layout.enter(&spec.mount_point)?;
    }
    rustix::process::chdir(&spec.cwd)
        .map_err(|errno| RunError::WorkingDirectory { path: spec.cwd.clone(), source: errno.into() })?;
    Err(program.execute(&spec.program))
}

/// What `execve` takes.
struct Program {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    fn prepare(spec: &RunSpec) -> Result<Self, RunError> {
        let text = |bytes: Vec<u8>, what: &'static str| CString::new(bytes).map_err(|_| RunError::Nul { what });
        let path = spec.program.as_os_str().as_bytes().to_vec();
        let name = spec.name.as_ref().map_or(path.clone(), |name| name.as_bytes().to_vec());
        let arguments = std::iter::once(name).chain(spec.arguments.iter().map(|argument| argument.as_bytes().to_vec()));
        let environment = spec.environment.iter().map(|(name, value)| {
            let mut variable = name.clone().into_vec();
            variable.push(b'=');
            variable.extend_from_slice(value.as_bytes());
            variable
        });
        Ok(Self {
            path: text(path, "the program's path")?,
            arguments: arguments.map(|bytes| text(bytes, "an argument")).collect::<Result<_, _>>()?,
            environment: environment.map(|bytes| text(bytes, "an environment variable")).collect::<Result<_, _>>()?,
        })
    }

    /// Becomes the program; returns only an error.
    fn execute(&self, program: &Path) -> RunError {
        let pointers = |texts: &[CString]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        // SAFETY: Rust's runtime ignores SIGPIPE; the program must find the default. The pointers are NUL-terminated
        // texts and null-terminated arrays that live until the call returns.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::execve(self.path.as_ptr(), arguments.as_ptr(), environment.as_ptr());
        }
        RunError::Execute { program: program.to_owned(), source: io::Error::last_os_error() }
    }
}

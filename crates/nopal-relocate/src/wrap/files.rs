//! Making wrappers, and reading them.

use super::format::{self, FormatError};
use super::{Architecture, Launch, Text};
use crate::paths;
use nopal_fs::{AtomicFile, FsError, Permission};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where a wrapper's data are, and its launcher from.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Where the data are.
    pub place: Place,
    /// The processor; that of the target, or of this program, if it is not said.
    pub architecture: Option<Architecture>,
    /// A file for launchers to be hard links to, which is made if it is not there.
    pub shared_launcher: Option<PathBuf>,
}

/// Where a wrapper's data are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Beside it: `.NAME.launch`. All launchers are the same file.
    #[default]
    Beside,
    /// In it.
    Inside,
}

/// Why there is no wrapper.
#[derive(Debug, Error)]
pub enum WrapError {
    /// There is nothing to start.
    #[error("cannot wrap {}, which is not an executable file", .0.display())]
    NotExecutable(PathBuf),
    /// It is nobody's wrapper, or another program's.
    #[error("{} is not a wrapper made by nopal", .0.display())]
    NotWrapper(PathBuf),
    /// A path without a last component.
    #[error("{} is not the name of a file", .0.display())]
    NoName(PathBuf),
    /// It would start itself for ever.
    #[error("a wrapper at {} would take the place of what it starts", .0.display())]
    Itself(PathBuf),
    /// The data make no sense.
    #[error("cannot read what {} does", .0.display())]
    Format(PathBuf, #[source] FormatError),
    /// The wrapper cannot be said in data.
    #[error("cannot write what {} does", .0.display())]
    Data(PathBuf, #[source] FormatError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FsError),
}

/// Where the data of a wrapper lie, if they lie beside it.
fn beside(wrapper: &Path) -> Result<PathBuf, WrapError> {
    let name = wrapper.file_name().ok_or_else(|| WrapError::NoName(wrapper.to_owned()))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".launch");
    Ok(wrapper.with_file_name(hidden))
}

/// Makes sure that a file can be started.
///
/// # Errors
/// It cannot.
pub fn check_executable(path: &Path) -> Result<(), WrapError> {
    if nopal_fs::is_file(path) && nopal_fs::may(path, Permission::Search) {
        return Ok(());
    }
    Err(WrapError::NotExecutable(path.to_owned()))
}

impl WrapError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Itself(_) => Some("`nopal wrap FILE` hides the program and makes a wrapper in its place"),
            _ => None,
        }
    }
}

/// The text for a target: its absolute path, or where it is from the wrapper's folder.
///
/// # Errors
/// A folder is not there.
pub fn target_text(target: &Path, wrapper: &Path, is_relative: bool) -> Result<Text, WrapError> {
    let absolute = nopal_fs::absolute(target)?;
    if !is_relative {
        return Ok(Text::literal(absolute.into_os_string().into_vec()));
    }
    let name = absolute.file_name().ok_or_else(|| WrapError::NoName(target.to_owned()))?;
    nopal_fs::create_dir_all(nopal_fs::parent_of(wrapper))?;
    let from = nopal_fs::canonicalize(nopal_fs::parent_of(&nopal_fs::absolute(wrapper)?))?;
    let to = nopal_fs::canonicalize(nopal_fs::parent_of(&absolute))?;
    let way = paths::relative(from.as_os_str().as_bytes(), to.join(name).as_os_str().as_bytes());
    Ok(Text::below_root([b"/", &way[..]].concat()))
}

/// The file of a wrapper whose data are inside of it.
///
/// # Errors
/// As [`make`].
pub fn in_one_file(launch: &Launch, target: &Path, layout: &Layout) -> Result<Vec<u8>, WrapError> {
    let data = launch.encode().map_err(|error| WrapError::Data(target.to_owned(), error))?;
    Ok(architecture(target, layout)?.launcher_with(&data))
}

/// Makes a wrapper that does what the launch says. `target` is looked at for its processor.
///
/// # Errors
/// Files cannot be written. What was there before is still there then.
pub fn make(launch: &Launch, target: &Path, wrapper: &Path, layout: &Layout) -> Result<(), WrapError> {
    let hidden = beside(wrapper)?;
    let folder = nopal_fs::parent_of(wrapper);
    nopal_fs::create_dir_all(folder)?;
    let place = nopal_fs::canonicalize(folder)?.join(wrapper.file_name().unwrap_or_default());
    if nopal_fs::canonicalize(target)? == place {
        return Err(WrapError::Itself(wrapper.to_owned()));
    }
    match layout.place {
        Place::Inside => {
            write(wrapper, 0o755, &in_one_file(launch, target, layout)?)?;
            nopal_fs::remove_file_if_exists(&hidden)?;
        }
        Place::Beside => {
            let data = launch.encode().map_err(|error| WrapError::Data(wrapper.to_owned(), error))?;
            let launcher = architecture(target, layout)?.launcher();
            // first what the launcher needs
            write(&hidden, 0o644, &data)?;
            match &layout.shared_launcher {
                Some(shared) => link(shared, wrapper, &launcher)?,
                None => write(wrapper, 0o755, &launcher)?,
            }
        }
    }
    Ok(())
}

fn write(path: &Path, mode: u32, contents: &[u8]) -> Result<(), WrapError> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(contents).map_err(|error| FsError::new("write", path, error))?;
    Ok(file.commit_quickly()?)
}

/// Makes a wrapper a hard link to a launcher that others are links to as well; a copy, where that cannot be.
fn link(shared: &Path, wrapper: &Path, launcher: &[u8]) -> Result<(), WrapError> {
    match nopal_fs::read_file_if_exists(shared)? {
        Some(contents) if contents == launcher => {}
        _ => {
            nopal_fs::create_dir_all(nopal_fs::parent_of(shared))?;
            write(shared, 0o755, launcher)?;
        }
    }
    let temporary = wrapper.with_file_name(nopal_fs::temp::unique_name(".new"));
    if nopal_fs::hard_link(shared, &temporary).is_err() {
        return write(wrapper, 0o755, launcher);
    }
    let renamed = nopal_fs::rename(&temporary, wrapper);
    // a rename onto another name of the same file does nothing
    nopal_fs::remove_file_if_exists(&temporary)?;
    Ok(renamed?)
}

/// The processor for a wrapper: that of the program, or that of this one, where that cannot be told.
fn architecture(target: &Path, layout: &Layout) -> Result<Architecture, WrapError> {
    if let Some(architecture) = layout.architecture {
        return Ok(architecture);
    }
    let mut head = [0; 20];
    let mut file = nopal_fs::open_read(target)?;
    let known = file.read_exact(&mut head).ok().and_then(|()| Architecture::of_file(&head));
    let ours = Architecture::from_name(std::env::consts::ARCH).unwrap_or(Architecture::X86_64);
    Ok(known.unwrap_or(ours))
}

/// The name that a program is hidden under when it gets a wrapper: `.NAME-wrapped`, with lines behind it until it is free.
fn hidden_name(program: &Path) -> Result<PathBuf, WrapError> {
    let name = program.file_name().ok_or_else(|| WrapError::NoName(program.to_owned()))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push("-wrapped");
    while nopal_fs::exists(&program.with_file_name(&hidden)) {
        hidden.push("_");
    }
    Ok(program.with_file_name(hidden))
}

/// Hides a program under another name, and makes a wrapper in its place. `make_wrapper` is given the new name.
///
/// If the wrapper cannot be made, the program gets its name back.
///
/// # Errors
/// It is no program, or `make_wrapper` fails.
pub fn wrap_program<E: From<WrapError>>(
    program: &Path,
    make_wrapper: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    check_executable(program)?;
    let hidden = hidden_name(program)?;
    rename(program, &hidden)?;
    make_wrapper(&hidden).inspect_err(|_| {
        // the first error is the one to report
        let _ = rename(&hidden, program);
    })
}

/// Renames a program, and the data beside it, if it is a wrapper itself.
fn rename(from: &Path, to: &Path) -> Result<(), WrapError> {
    nopal_fs::rename(from, to)?;
    match nopal_fs::rename(&beside(from)?, &beside(to)?) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

/// What a wrapper does.
///
/// # Errors
/// It is none, or cannot be read.
pub fn read(wrapper: &Path) -> Result<Launch, WrapError> {
    let place = nopal_fs::canonicalize(wrapper)?;
    if nopal_fs::metadata(&place)?.len() > LIMIT_BYTES {
        return Err(WrapError::NotWrapper(wrapper.to_owned()));
    }
    let file = nopal_fs::read_file_limited(&place, LIMIT_BYTES)?;
    if Architecture::of_file(&file).is_none() {
        return Err(WrapError::NotWrapper(wrapper.to_owned()));
    }
    let data = match format::find(&file) {
        Some(data) => data.to_vec(),
        None => nopal_fs::if_exists(nopal_fs::read_file_limited(&beside(&place)?, LIMIT_BYTES))?
            .ok_or_else(|| WrapError::NotWrapper(wrapper.to_owned()))?,
    };
    Launch::decode(&data).map_err(|error| WrapError::Format(wrapper.to_owned(), error))
}

/// Has a wrapper do something else. Its data stay where they are, inside or beside it.
///
/// # Errors
/// It cannot be read or written. It is what it was, then.
pub fn rewrite(wrapper: &Path, launch: &Launch) -> Result<(), WrapError> {
    let data = launch.encode().map_err(|error| WrapError::Data(wrapper.to_owned(), error))?;
    let file = nopal_fs::read_file_limited(wrapper, LIMIT_BYTES)?;
    match Architecture::of_file(&file).filter(|_| format::find(&file).is_some()) {
        Some(architecture) => write(wrapper, 0o755, &architecture.launcher_with(&data)),
        None => write(&beside(wrapper)?, 0o644, &data),
    }
}

/// Larger files are no wrappers.
const LIMIT_BYTES: u64 = format::MAX_BYTES as u64 + (64 << 10);

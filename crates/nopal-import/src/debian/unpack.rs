//! Unpacking one .deb: `builtin:unpack-deb`.
//!
//! The output holds the package's files at its root, and the control files (maintainer scripts, conffiles, …) as data
//! below [`CONTROL_DIR`], which [`super::join_trees`] leaves out.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use nopal_fetch::archive::{self, ArchiveError, Limits, Unpacked};
use nopal_fetch::compression;
use nopal_fs::FsError;

use super::ar::{ArError, ArReader};

/// Where the control files of an unpacked package are, below its root.
pub const CONTROL_DIR: &str = ".deb/control";

/// Largest control archive in bytes; the largest of Debian's have a few megabytes.
const MAX_CONTROL_BYTES: u64 = 256 << 20;

/// Why a package was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The file could not be read or a directory not made.
    #[error(transparent)]
    File(#[from] FsError),
    /// It is no .deb.
    #[error("{}: {source}", path.display())]
    NotADeb {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ArError,
    },
    /// One of the archives inside is broken or unsafe.
    #[error("{}: {member}: {source}", path.display())]
    Member {
        /// The file.
        path: PathBuf,
        /// `control.tar…` or `data.tar…`.
        member: String,
        /// Why.
        source: ArchiveError,
    },
    /// Something that every .deb has is missing.
    #[error("{}: it has no {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What.
        what: &'static str,
    },
    /// A format that is not known.
    #[error("{}: unknown package format '{version}'", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: String,
    },
}

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnpackReport {
    /// Files, directories and links of the package.
    pub members: u64,
    /// Bytes of the package's files.
    pub bytes: u64,
    /// What was left out: device nodes, set-user-id bits.
    pub notes: Vec<String>,
}

/// Unpacks a .deb into `out`, which must not exist.
///
/// # Errors
/// See [`UnpackError`].
pub fn unpack_deb(deb: &Path, out: &Path) -> Result<UnpackReport, UnpackError> {
    let not_a_deb = |source| UnpackError::NotADeb { path: deb.to_owned(), source };
    let missing = |what| UnpackError::Missing { path: deb.to_owned(), what };
    let file = nopal_fs::open_read(deb)?;
    let mut members = ArReader::new(BufReader::with_capacity(1 << 17, file)).map_err(not_a_deb)?;
    check_format(deb, &mut members)?;
    // the control archive comes first, but its place is made by the data archive: both go beside each other first
    let control_dir = out.join(CONTROL_DIR);
    nopal_fs::create_dir(out)?;
    let staging = nopal_fs::TempDir::new_in(out, ".control")?;
    let staged = staging.path().join("control");
    let mut has_control = false;
    let mut data = None;
    while let Some((name, contents)) = members.next_member().map_err(not_a_deb)? {
        let wrong = |source| UnpackError::Member { path: deb.to_owned(), member: name.clone(), source };
        if name.starts_with("control.tar") && !has_control {
            let limits = Limits { total_bytes: MAX_CONTROL_BYTES, ..Limits::default() };
            unpack_member(&name, contents, &staged, limits).map_err(wrong)?;
            has_control = true;
        } else if name.starts_with("data.tar") {
            let files = staging.path().join("data");
            data = Some((unpack_member(&name, contents, &files, Limits::default()).map_err(wrong)?, files));
            break;
        }
    }
    if !has_control {
        return Err(missing("control.tar"));
    }
    let (unpacked, files) = data.ok_or_else(|| missing("data.tar"))?;
    for name in nopal_fs::read_dir_names(&files)? {
        nopal_fs::rename_noreplace(&files.join(&name), &out.join(&name))?;
    }
    nopal_fs::create_dir(nopal_fs::parent_of(&control_dir))?;
    nopal_fs::rename_noreplace(&staged, &control_dir)?;
    staging.remove()?;
    Ok(UnpackReport { members: unpacked.members, bytes: unpacked.bytes, notes: unpacked.notes })
}

fn check_format(deb: &Path, members: &mut ArReader<impl std::io::Read>) -> Result<(), UnpackError> {
    let not_a_deb = |source| UnpackError::NotADeb { path: deb.to_owned(), source };
    let missing = UnpackError::Missing { path: deb.to_owned(), what: "debian-binary" };
    let Some((name, contents)) = members.next_member().map_err(not_a_deb)? else { return Err(missing) };
    if name != "debian-binary" {
        return Err(missing);
    }
    let mut version = String::new();
    // the member has one line such as 2.0
    std::io::Read::read_to_string(&mut std::io::Read::take(contents, 64), &mut version)
        .map_err(|err| not_a_deb(ArError::Read(err)))?;
    let line = version.lines().next().unwrap_or_default();
    if line.split('.').next() == Some("2") {
        Ok(())
    } else {
        Err(UnpackError::UnknownFormat { path: deb.to_owned(), version: line.to_owned() })
    }
}

fn unpack_member(
    name: &str,
    contents: impl std::io::Read,
    dest: &Path,
    limits: Limits,
) -> Result<Unpacked, ArchiveError> {
    let tar = compression::reader(contents, compression::of_name(name)).map_err(ArchiveError::Read)?;
    archive::unpack_tar(tar, dest, limits)
}

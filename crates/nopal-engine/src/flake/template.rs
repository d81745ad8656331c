//! Templates: a tree that is copied into a directory.

use std::path::{Path, PathBuf};

use nopal_eval::context::Context;
use nopal_eval::{Error, Pos};
use nopal_fs::EntryKind;
use nopal_report::Level;

use super::commands::physical;
use super::{FlakeSource, Flakes, select};

/// What copying came to.
#[derive(Default)]
struct Copied {
    written: Vec<PathBuf>,
    conflicts: usize,
}

fn fs(error: nopal_fs::FsError) -> Error {
    Error::eval(error.to_string())
}

pub(super) fn init(flakes: &mut Flakes<'_>, source: &FlakeSource, destination: &Path) -> Result<(), Error> {
    let (value, _) = select(flakes.ev, flakes.shared, source)?;
    let set = flakes.ev.force_attrs(value, Pos::NONE, "while evaluating a template")?;
    let name = flakes.ev.symbols.intern(b"path");
    let path = flakes.ev.require_attr(set, name, "while evaluating a template")?;
    let path = flakes.ev.force(path, Pos::NONE)?;
    let mut context = Context::EMPTY;
    let (_, path) = flakes.ev.coerce_to_path(path, Pos::NONE, &mut context, "")?;
    let path = String::from_utf8_lossy(&path).into_owned();
    let mut copied = Copied::default();
    let from = physical(flakes.shared, &path)?;
    copy(flakes, (&from, &path), destination, &mut copied)?;
    if !copied.written.is_empty() && nopal_fs::exists(&destination.join(".git")) {
        let repository = nopal_fetch::git::Git::new(&flakes.shared.config.environment).worktree(destination);
        repository.intend_to_add_all(&copied.written).map_err(|error| Error::eval(error.to_string()))?;
    }
    let name = flakes.ev.symbols.intern(b"welcomeText");
    if let Some(text) = set.get(name) {
        let text = flakes.ev.force_string(text, Pos::NONE, "while evaluating the welcome text of a template")?;
        flakes.notice("\n");
        flakes.notice(text.to_lossy().trim_end().to_owned());
    }
    match copied.conflicts {
        0 => Ok(()),
        conflicts => Err(Error::eval(format!("encountered {conflicts} conflicts - see above"))),
    }
}

/// Copies a directory. `shown` is how messages name where it comes from.
fn copy(flakes: &Flakes<'_>, (from, shown): (&Path, &str), to: &Path, copied: &mut Copied) -> Result<(), Error> {
    nopal_fs::create_dir_all(to).map_err(fs)?;
    let mut entries = nopal_fs::read_dir(from).map_err(fs)?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    for entry in entries {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        let shown = format!("{shown}/{}", entry.name.display());
        let exists = nopal_fs::symlink_metadata_if_exists(&to).map_err(fs)?.is_some();
        let is_same = match entry.kind {
            EntryKind::Directory => {
                copy(flakes, (&from, &shown), &to, copied)?;
                continue;
            }
            EntryKind::File => {
                let contents = nopal_fs::read_file(&from).map_err(fs)?;
                if !exists {
                    nopal_fs::write(&to, &contents).map_err(fs)?;
                }
                exists && nopal_fs::read_file(&to).map_err(fs)? == contents
            }
            EntryKind::Symlink => {
                let target = nopal_fs::read_link(&from).map_err(fs)?;
                if !exists {
                    nopal_fs::symlink(&target, &to).map_err(fs)?;
                }
                exists && nopal_fs::read_link(&to).is_ok_and(|there| there == target)
            }
            EntryKind::Other => {
                return Err(Error::eval(format!("path '{shown}' needs to be a symlink, file, or directory")));
            }
        };
        if is_same {
            flakes.notice(format!("skipping identical file: {shown}"));
        } else if exists {
            copied.conflicts += 1;
            let text = format!(
                "refusing to overwrite existing file \"{}\"\n please merge it manually with '{shown}'",
                to.display()
            );
            flakes.shared.config.reporter.message(Level::Notice, text);
        } else {
            flakes.notice(format!("wrote: \"{}\"", to.display()));
            copied.written.push(to);
        }
    }
    Ok(())
}

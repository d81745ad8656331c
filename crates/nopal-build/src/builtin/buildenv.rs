//! `builtin:buildenv`: many packages joined by symbolic links, as profiles are made.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{BuiltinContext, BuiltinError};

/// Where packages that others drag into an environment begin to count.
const PROPAGATED_PRIORITY: i64 = 1000;
/// Files that every package has its own of, or that mean nothing in a profile (Nix's list).
const LEFT_OUT: [&str; 7] =
    ["propagated-build-inputs", "nix-support", "perllocal.pod", "info/dir", "log", "manifest.nix", "manifest.json"];

/// A package and which of two wins.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    priority: i64,
    path: String,
}

/// An entry of the environment: a link to a package's entry, or a directory of entries.
#[derive(Debug)]
enum Entry {
    Link { target: String, priority: i64 },
    Directory(BTreeMap<Vec<u8>, Entry>),
}

/// Builds the environment; see [`super::standard`].
pub(super) fn build_environment(context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
    let output = context.output("out")?;
    let mut packages = packages(context.attribute("derivations")?)?;
    packages.sort();
    let mut joiner = Joiner { context, done: BTreeSet::new(), postponed: BTreeSet::new() };
    let mut top = BTreeMap::new();
    for package in packages {
        joiner.add(&package.path, package.priority, &mut top)?;
    }
    let mut priority = PROPAGATED_PRIORITY;
    while !joiner.postponed.is_empty() {
        for path in std::mem::take(&mut joiner.postponed) {
            joiner.add(&path, priority, &mut top)?;
            priority += 1;
        }
    }
    write(output, &top)?;
    let manifest = context.attribute("manifest")?;
    nopal_fs::symlink(Path::new(manifest), &output.join("manifest.nix")).map_err(BuiltinError::caused)
}

/// `ACTIVE PRIORITY COUNT PATH…` over and over.
fn packages(text: &str) -> Result<Vec<Package>, BuiltinError> {
    let wrong = || BuiltinError::new(format!("attribute 'derivations' is malformed: '{text}'"));
    let mut words = text.split_ascii_whitespace();
    let mut packages = Vec::new();
    while let Some(active) = words.next() {
        let priority: i64 = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        let count: usize = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        for _ in 0..count {
            let path = words.next().ok_or_else(wrong)?.to_owned();
            if active != "false" {
                packages.push(Package { priority, path });
            }
        }
    }
    Ok(packages)
}

struct Joiner<'a, 'c> {
    context: &'a BuiltinContext<'c>,
    done: BTreeSet<String>,
    postponed: BTreeSet<String>,
}

impl Joiner<'_, '_> {
    fn add(&mut self, path: &str, priority: i64, top: &mut BTreeMap<Vec<u8>, Entry>) -> Result<(), BuiltinError> {
        if !self.done.insert(path.to_owned()) {
            return Ok(());
        }
        self.join(path, top, priority)?;
        let physical = self.resolve(path)?;
        let file = physical.join("nix-support/propagated-user-env-packages");
        if let Some(text) = nopal_fs::read_file_if_exists(&file).map_err(BuiltinError::caused)? {
            let text = String::from_utf8_lossy(&text).into_owned();
            self.postponed
                .extend(text.split_ascii_whitespace().filter(|path| !self.done.contains(*path)).map(str::to_owned));
        }
        Ok(())
    }

    /// Where a logical path leads in the end, with links followed within the store.
    fn resolve(&self, logical: &str) -> Result<PathBuf, BuiltinError> {
        let mut logical = logical.to_owned();
        // as many links as the kernel follows
        for _ in 0..40 {
            let physical = self.context.physical_input(&logical)?;
            let metadata = nopal_fs::symlink_metadata(&physical).map_err(BuiltinError::caused)?;
            if !metadata.is_symlink() {
                return Ok(physical);
            }
            let target = nopal_fs::read_link(&physical).map_err(BuiltinError::caused)?;
            let joined = Path::new(&logical).parent().unwrap_or(Path::new("/")).join(target);
            logical = normalise(&joined);
        }
        Err(BuiltinError::new(format!("too many symbolic links at '{logical}'")))
    }

    fn join(&self, source: &str, into: &mut BTreeMap<Vec<u8>, Entry>, priority: i64) -> Result<(), BuiltinError> {
        let physical = self.resolve(source)?;
        if !nopal_fs::is_dir(&physical) {
            self.context.log(&format!("not including '{source}' in the user environment because it's not a directory"));
            return Ok(());
        }
        for name in nopal_fs::read_dir_names(&physical).map_err(BuiltinError::caused)? {
            let text = name.to_string_lossy();
            let logical = format!("{source}/{text}");
            if text.starts_with('.') || LEFT_OUT.iter().any(|suffix| logical.ends_with(&format!("/{suffix}"))) {
                continue;
            }
            let Ok(target) = self.resolve(&logical) else {
                self.context.log(&format!("skipping dangling symlink '{logical}'"));
                continue;
            };
            self.place(&logical, nopal_fs::is_dir(&target), name.as_bytes(), into, priority)?;
        }
        Ok(())
    }

    fn place(
        &self,
        source: &str,
        is_directory: bool,
        name: &[u8],
        into: &mut BTreeMap<Vec<u8>, Entry>,
        priority: i64,
    ) -> Result<(), BuiltinError> {
        let link = || Entry::Link { target: source.to_owned(), priority };
        match into.get_mut(name) {
            None => {
                into.insert(name.to_vec(), link());
            }
            Some(Entry::Directory(entries)) if is_directory => self.join(source, entries, priority)?,
            Some(Entry::Directory(_)) => {
                return Err(BuiltinError::new(format!("collision between non-directory '{source}' and a directory")));
            }
            Some(Entry::Link { target, priority: earlier }) => {
                let (target, earlier) = (target.clone(), *earlier);
                let earlier_is_directory = nopal_fs::is_dir(&self.resolve(&target)?);
                match (is_directory, earlier_is_directory) {
                    (true, true) => {
                        let mut entries = BTreeMap::new();
                        self.join(&target, &mut entries, earlier)?;
                        self.join(source, &mut entries, priority)?;
                        into.insert(name.to_vec(), Entry::Directory(entries));
                    }
                    (true, false) => {
                        return Err(BuiltinError::new(format!(
                            "collision between '{source}' and non-directory '{target}'"
                        )));
                    }
                    (false, _) if earlier == priority => {
                        return Err(BuiltinError::new(format!(
                            "unable to build profile. There is a conflict for the following files:\n\n  {target}\n  {source}"
                        )));
                    }
                    (false, _) if earlier < priority => {}
                    (false, _) => {
                        into.insert(name.to_vec(), link());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Takes `.` and `..` out of an absolute path.
fn normalise(path: &Path) -> String {
    let mut parts: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(part) => parts.push(part),
            std::path::Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.iter().map(|part| format!("/{}", part.to_string_lossy())).collect()
}

fn write(path: &Path, entries: &BTreeMap<Vec<u8>, Entry>) -> Result<(), BuiltinError> {
    nopal_fs::create_dir_mode(path, 0o755).map_err(BuiltinError::caused)?;
    for (name, entry) in entries {
        let path = path.join(OsStr::from_bytes(name));
        match entry {
            Entry::Directory(entries) => write(&path, entries)?,
            Entry::Link { target, .. } => {
                nopal_fs::symlink(Path::new(target), &path).map_err(BuiltinError::caused)?;
            }
        }
    }
    Ok(())
}
